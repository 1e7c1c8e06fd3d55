//! The HTTP API as API Gateway serves it (payload format 2.0): routes, events, replies, CORS.

mod cors;
mod event;
mod reply;
mod router;
mod throttle;

pub use event::{Caller, event};
pub use reply::reply;
pub(crate) use router::decode;
pub use router::{Match, Router};

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{Method, Request, StatusCode};

use crate::chaos::{Chaos, Fault, cut};
use crate::clock::Clock;
use crate::runtime::{MAX_PAYLOAD_BYTES, Outcome, Pool};
use crate::template::{Cors, Template};
use throttle::Bucket;

/// The largest request that API Gateway takes.
pub const MAX_REQUEST_BYTES: usize = 10 * 1024 * 1024;

/// The HTTP API of one stack.
pub struct Gateway {
    router: Router,
    cors: Option<Cors>,
    throttle: Option<Bucket>,
    pools: HashMap<String, Arc<Pool>>,
    clock: Clock,
    chaos: Chaos,
}

impl Gateway {
    /// Makes the API of a template, in front of the pools by logical id.
    pub fn new(template: &Template, pools: HashMap<String, Arc<Pool>>, clock: Clock, chaos: Chaos) -> Self {
        Self {
            router: Router::new(&template.routes),
            cors: template.cors.clone(),
            throttle: template.throttle.map(|bound| Bucket::of(bound, Instant::now())),
            pools,
            clock,
            chaos,
        }
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Body>, peer: SocketAddr) -> Response {
        let (parts, body) = request.into_parts();
        let origin = parts.headers.get(http::header::ORIGIN).cloned();
        if let Some(cors) = &self.cors
            && cors::is_preflight(&parts)
        {
            return cors::preflight(cors, origin.as_ref());
        }
        let mut response = self.route(&parts, body, peer).await;
        if self.chaos.strike(Fault::LostAnswer, "gateway").is_some() {
            return cut();
        }
        if let Some(cors) = &self.cors {
            cors::decorate(cors, origin.as_ref(), response.headers_mut());
        }
        response
    }

    async fn route(&self, parts: &http::request::Parts, body: Body, peer: SocketAddr) -> Response {
        let Some(found) = self.router.find(&parts.method, parts.uri.path()) else {
            return message(StatusCode::NOT_FOUND, "Not Found");
        };
        if self
            .throttle
            .as_ref()
            .is_some_and(|bucket| !bucket.take(Instant::now()))
        {
            return message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        }
        let Some(pool) = self.pools.get(&found.route.function) else {
            return message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        };
        let Ok(body) = read(body).await else {
            return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        };
        let caller = Caller {
            peer,
            now_ms: self.clock.now_ms(),
        };
        let event = event(&found, parts, &body, &caller);
        if event.len() > MAX_PAYLOAD_BYTES {
            return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        }
        let outcome = pool.invoke(event.into()).await;

        answer_of(&parts.method, pool, &outcome)
    }
}

async fn read(body: Body) -> Result<Bytes, axum::Error> {
    axum::body::to_bytes(body, MAX_REQUEST_BYTES).await
}

fn answer_of(method: &Method, pool: &Pool, outcome: &Outcome) -> Response {
    let name = &pool.function().binary;
    match outcome {
        Outcome::Reply(payload) => reply(method, payload).unwrap_or_else(|error| {
            tracing::error!("{name} gave a reply that API Gateway would not take: {error:#}");
            message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }),
        Outcome::Error(error) => {
            tracing::error!("{name} failed: {}", String::from_utf8_lossy(error));
            message(StatusCode::BAD_GATEWAY, "Internal Server Error")
        }
        Outcome::Crashed(why) => {
            tracing::error!("{name} crashed: {why}");
            message(StatusCode::BAD_GATEWAY, "Internal Server Error")
        }
        Outcome::TimedOut => message(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out"),
        Outcome::NotStarted(why) => {
            tracing::error!("{name} does not start: {why}");
            message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
        }
        Outcome::Busy => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

/// Answers as API Gateway itself does.
fn message(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(format!(r#"{{"message":"{text}"}}"#)));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
