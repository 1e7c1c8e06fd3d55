//! `Idempotency-Key` on the POST requests of a router.

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::LengthLimitError;
use kernel::{Error, Origin, Problem, Result, Time};

use crate::once::{Answer, Ask, Once, Reply};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of a reply that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest request that is taken with a key: no route takes a longer one without.
const LONGEST_REQUEST: usize = 1024 * 1024;
/// The longest reply that is remembered, so that it fits an item. Of what has a longer one it is known that it was done.
const LONGEST_REPLY: usize = 384 * 1024;
/// Lambda answers with no more.
const LONGEST_ANSWER: usize = 6 * 1024 * 1024;

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// In whose name space their keys lie.
    pub owner: String,
    /// Who they are there, and as what: the same request of somebody else is another one, for their role may not allow it.
    /// A text that stays the same however the code that makes it changes.
    pub actor: String,
}

/// Answers a POST that carries an `Idempotency-Key` once: its handler finds the claim in the request's [`Origin`].
/// Everything else passes.
///
/// `once` is asked for what keeps the claims only where there is a key, `now` for the time before and after the handler.
pub async fn remember<F>(
    once: impl FnOnce() -> F,
    now: impl Fn() -> Time,
    who: &Who,
    request: Request,
    next: Next,
) -> Response
where
    F: Future<Output = Result<Once>>,
{
    let Some(key) = request.headers().get(&IDEMPOTENCY_KEY).cloned() else {
        return next.run(request).await;
    };
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let done = async {
        let key = readable(&key)?;
        attempt(&once().await?, now, who, key, request, next).await
    };
    done.await.unwrap_or_else(|error| Problem::from(error).into_response())
}

fn readable(key: &HeaderValue) -> Result<&str> {
    let text = key.to_str().ok().filter(|text| (1..=255).contains(&text.len()));
    text.ok_or_else(|| {
        Error::malformed_field(
            "bad_idempotency_key",
            "Idempotency-Key",
            "must have 1 to 255 visible ASCII characters",
        )
    })
}

async fn attempt(
    once: &Once,
    now: impl Fn() -> Time,
    who: &Who,
    key: &str,
    request: Request,
    next: Next,
) -> Result<Response> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str).to_owned();
    let (mut parts, body) = request.into_parts();
    let body = read(body, LONGEST_REQUEST).await?;
    let address = parts.uri.to_string();
    let ask = Ask {
        owner: &who.owner,
        route: &route,
        key,
        parts: &[who.actor.as_bytes(), address.as_bytes(), &body],
    };
    let claim = match once.claim(now(), &ask).await? {
        Answer::Do(claim) => claim,
        Answer::Replay(reply) => return Ok(replayed(reply)),
    };
    let mut origin = parts.extensions.get::<Origin>().cloned().unwrap_or_default();
    origin.claim = Some(claim.clone());
    parts.extensions.insert(origin);
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;

    let (parts, body) = response.into_parts();
    let body = read(body, LONGEST_ANSWER).await?;
    let is_kept = parts.status.is_success() && body.len() <= LONGEST_REPLY;
    let reply = is_kept.then(|| Reply {
        status: parts.status.as_u16(),
        content_type: content_type(&parts.headers),
        body: body.to_vec(),
    });
    if let Err(error) = once.settle(now(), &claim, reply.as_ref()).await {
        // The reply is true all the same.
        tracing::error!(error = %error, "a reply was not remembered");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

async fn read(body: Body, most: usize) -> Result<Bytes> {
    axum::body::to_bytes(body, most).await.map_err(|error| {
        if error.into_inner().is::<LengthLimitError>() {
            Error::TooLarge(format!("the body has more than {most} bytes"))
        } else {
            Error::malformed("malformed_body", "the body ended before it was whole")
        }
    })
}

fn content_type(headers: &http::HeaderMap) -> Option<String> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
}

fn replayed(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(Ok(kind)) = reply.content_type.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    response
}
