//! One function's routes as a Lambda: what surrounds every request (its id, its log line, secure headers, problem
//! documents).

use std::net::IpAddr;
use std::time::Instant;

use app::survive;
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use kernel::Origin;
use lambda_http::RequestExt;
use lambda_http::request::RequestContext;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::Problem;
use crate::measure::{TARGET, Watch, write_rest};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Surrounds routes with what every request gets.
pub(crate) fn service(routes: Router, watch: Watch) -> Router {
    routes
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such route"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this route does not take this method",
            )
        })
        .layer(middleware::from_fn_with_state(watch, surround))
}

async fn surround(State(watch): State<Watch>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let caller = traceparent(request.headers());
    spans::begin(
        request
            .lambda_context_ref()
            .and_then(|lambda| lambda.xray_trace_id.as_deref()),
    );
    let span = span(&method, route.as_deref(), caller.as_deref());
    let origin = Origin {
        request: id.clone(),
        trace: spans::of(&span).or(caller),
        claim: None,
    };
    let trace: Option<spans::Context> = origin.trace.as_deref().and_then(|trace| trace.parse().ok());
    request.extensions_mut().insert(origin);
    let within = watch.invocation(request.lambda_context_ref(), Some(&id));
    let next = survive(next.run(request)).instrument(span.clone());
    let reply = next.instrument(within.clone()).await;
    let _within = within.entered();
    let mut response = reply.unwrap_or_else(|panic| panicked(&panic));
    finish(&mut response, &id);
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    span.record("error", status.is_server_error());
    drop(span);
    watch.time("http.server.request.duration", started.elapsed());
    let (emf, rest) = watch.ended();
    tracing::info!(
        target: TARGET,
        {
        http.request.method = %method,
        http.route = route.as_deref().unwrap_or("none"),
        http.response.status_code = status.as_u16(),
        request.id = id,
        trace_id = trace.map(|trace| hex::encode(trace.trace)),
        span_id = trace.map(|trace| hex::encode(trace.span)),
        duration_ms = started.elapsed().as_secs_f64() * 1_000.0,
        emf,
        },
        "answered"
    );
    write_rest(rest);
    spans::flush();
    response
}

/// What a request takes, as OpenTelemetry's conventions for HTTP servers describe it.
fn span(method: &Method, route: Option<&str>, caller: Option<&str>) -> Span {
    let route = route.unwrap_or("none");
    tracing::info_span!(
        target: spans::TARGET,
        "request",
        otel.kind = "server",
        otel.name = format!("{method} {route}"),
        otel.parent = caller,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = Empty,
        error = Empty,
    )
}

fn panicked(panic: &str) -> Response {
    tracing::error!(error = panic, "a handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "something went wrong on our side",
    )
    .into_response()
}

/// The caller's request id if it is a plain short text, else Lambda's.
fn request_id(request: &Request) -> String {
    let plain = |text: &&str| (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let given = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(plain);
    let given = given
        .map(str::to_owned)
        .or_else(|| Some(request.lambda_context_ref()?.request_id.clone()));
    given.unwrap_or_else(|| hex::encode(kernel::id::random::<16>()))
}

/// A trace context that is one (W3C Trace Context, version 00); anything else is dropped, as the standard wants.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let given = headers.get("traceparent")?.to_str().ok()?;
    given.parse::<spans::Context>().ok().map(|_| given.to_owned())
}

fn finish(response: &mut Response, id: &str) {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let details = serde_json::to_vec(&problem.details(id)).unwrap_or_default();
        *response.body_mut() = Body::from(details);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.remove(header::CONTENT_LENGTH);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    let secure = [
        (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in secure {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// The address of the caller as the gateway saw it; never what a header says.
pub fn client_address(extensions: &http::Extensions) -> Option<IpAddr> {
    match extensions.get::<RequestContext>()? {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref()?.parse().ok(),
        _ => None,
    }
}
