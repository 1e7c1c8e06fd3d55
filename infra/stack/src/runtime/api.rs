//! The Lambda Runtime API of one process, and as much of the Extensions API as graceful shutdown needs.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::pool::Pool;
use super::process::Process;
use super::{MAX_PAYLOAD_BYTES, Outcome};
use crate::clock::real_ms;

type Served = (Arc<Pool>, Arc<Process>);

pub(super) fn serve(listener: TcpListener, pool: Arc<Pool>, process: Arc<Process>) -> JoinHandle<()> {
    let router = Router::new().fallback(answer).with_state((pool, process));
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    })
}

async fn answer(State((pool, process)): State<Served>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if parts.method == Method::GET && path == "/2018-06-01/runtime/invocation/next" {
        return next(&pool, &process).await;
    }
    if parts.method == Method::GET && path == "/2020-01-01/extension/event/next" {
        return std::future::pending().await;
    }
    // One byte more than allowed, so that too much can be told from just enough.
    let body = axum::body::to_bytes(body, MAX_PAYLOAD_BYTES).await;
    if let Some(rest) = path.strip_prefix("/2018-06-01/runtime/invocation/") {
        let Some((id, what)) = rest.split_once('/') else {
            return reply(StatusCode::NOT_FOUND, "{}");
        };
        return match (what, body) {
            ("response", Ok(body)) => finish(&process, id, Outcome::Reply(body)),
            ("response", Err(_)) => {
                let error =
                    r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"the reply is larger than 6 MB"}"#;
                finish(&process, id, Outcome::Error(Bytes::from_static(error.as_bytes())));
                reply(StatusCode::PAYLOAD_TOO_LARGE, error)
            }
            ("error", body) => finish(&process, id, Outcome::Error(body.unwrap_or_default())),
            _ => reply(StatusCode::NOT_FOUND, "{}"),
        };
    }
    match path {
        "/2018-06-01/runtime/init/error" => {
            tracing::warn!(function = pool.function().binary, "reports an error while it starts");
            reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
        }
        "/2020-01-01/extension/register" => registered(&pool, &process),
        "/2020-01-01/extension/init/error" | "/2020-01-01/extension/exit/error" => {
            reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
        }
        _ => reply(StatusCode::NOT_FOUND, r#"{"errorType":"NotFound"}"#),
    }
}

async fn next(pool: &Arc<Pool>, process: &Arc<Process>) -> Response {
    let job = pool.next(process).await;
    let timeout_ms = i64::from(pool.function().timeout_s) * 1000;
    let mut response = Response::new(Body::from(job.payload.clone()));
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("content-type", "application/json");
    set("lambda-runtime-aws-request-id", &job.id);
    set("lambda-runtime-deadline-ms", &(real_ms() + timeout_ms).to_string());
    set("lambda-runtime-invoked-function-arn", &pool.function().arn());
    set("lambda-runtime-trace-id", &trace_id(&job.id, pool.function().traced));
    pool.begin(process, job);
    response
}

/// Makes an X-Ray trace id of an invocation's id: eight digits of time, then twenty-four at random; and Lambda's own span of the
/// rest. Here each invocation of a function that is traced is sampled.
fn trace_id(id: &str, traced: bool) -> String {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    let (root, parent, sampled) = (&digits[..24], &digits[16..], u8::from(traced));
    format!(
        "Root=1-{:08x}-{root};Parent={parent};Sampled={sampled}",
        real_ms() / 1000
    )
}

fn finish(process: &Process, id: &str, outcome: Outcome) -> Response {
    match process.finish(Some(id)) {
        Some(running) => {
            let _ = running.reply.send(outcome);
            reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
        }
        None => reply(StatusCode::BAD_REQUEST, r#"{"errorType":"InvalidRequestID"}"#),
    }
}

fn registered(pool: &Pool, process: &Process) -> Response {
    process.extended.store(true, Ordering::Relaxed);
    let function = pool.function();
    let body = serde_json::json!({"functionName": function.id, "functionVersion": "$LATEST", "handler": "bootstrap"});
    let mut response = reply(StatusCode::OK, &body.to_string());
    let id = uuid::Uuid::new_v4().to_string();
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("lambda-extension-identifier", id);
    }
    response
}

fn reply(status: StatusCode, body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
