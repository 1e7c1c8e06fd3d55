//! `/_local/…`: what tests and developers may look at and move. Exists on one machine only.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::assembly::Stack;
use crate::aws::SECRET;
use crate::clock::{real_ms, rfc3339};
use crate::template::REGION;

/// The farthest that one move takes the clock: ten years.
const MAX_ADVANCE_SECONDS: u32 = 10 * 366 * 86_400;

/// The longest body.
const MOST_BYTES: usize = 256 * 1024;

const AIDS: [(&str, &[Method]); 9] = [
    ("aws", &[Method::GET]),
    ("chaos", &[Method::GET, Method::POST]),
    ("emails", &[Method::GET]),
    ("clock", &[Method::GET, Method::POST]),
    ("functions", &[Method::GET]),
    ("metrics", &[Method::GET]),
    ("queues", &[Method::GET]),
    ("traces", &[Method::GET]),
    ("ses/events", &[Method::POST]),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    advance_seconds: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    enabled: bool,
}

/// What this machine calls itself.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Answers a request whose path begins with `/_local/`.
pub async fn answer(stack: &Stack, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    if !is_local(&parts.headers) {
        let detail = "call it by localhost or 127.0.0.1, and not from a page";
        return problem(StatusCode::FORBIDDEN, "not_local", detail);
    }
    let name = parts.uri.path().trim_start_matches("/_local/");
    let told = stack.told.keys().map(|aid| (aid.as_str(), [Method::GET].as_slice()));
    let aids = AIDS.into_iter().chain(told);
    let Some((_, methods)) = aids.clone().find(|(aid, _)| *aid == name) else {
        let names: Vec<String> = aids.map(|(aid, _)| format!("/_local/{aid}")).collect();
        return problem(
            StatusCode::NOT_FOUND,
            "not_found",
            &format!("there are {}", names.join(", ")),
        );
    };
    if !methods.contains(&parts.method) {
        let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
        return problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            &format!("use {}", methods.join(" or ")),
        );
    }
    if name == "metrics" {
        return metrics(stack);
    }
    if name == "traces" && accepts_pages(&parts.headers) {
        return match trace(&parts) {
            Ok(trace) => page(stack.traces.page(trace.as_deref())),
            Err(detail) => problem(StatusCode::BAD_REQUEST, "invalid_request", &detail),
        };
    }
    let done = match name {
        "traces" => trace(&parts).map(|trace| stack.traces.json(trace.as_deref())),
        "aws" => Ok(aws(stack)),
        "emails" => emails(stack, parts.uri.query().unwrap_or_default()),
        "clock" if parts.method == Method::GET => Ok(json!({"now": rfc3339(stack.clock.now_ms())})),
        "clock" => {
            let done = small(body).await.and_then(|body| clock(stack, &body));
            next_second(stack).await;
            done
        }
        "chaos" if parts.method == Method::POST => small(body).await.and_then(|body| chaos(stack, &body)),
        "chaos" => Ok(json!(stack.chaos.report())),
        "functions" => Ok(json!({"data": stack.processes()})),
        "queues" => queues(stack),
        "ses/events" => small(body).await.and_then(|body| mail_event(stack, &body)),
        _ => Ok(stack.told[name].clone()),
    };
    match done {
        Ok(reply) => json_reply(StatusCode::OK, "application/json", &reply),
        Err(detail) => problem(StatusCode::BAD_REQUEST, "invalid_request", &detail),
    }
}

/// Whether it comes from a program on this machine: a page could ask by a name of its own that leads here (DNS rebinding), or
/// send what needs no preflight.
fn is_local(headers: &HeaderMap) -> bool {
    let here = |host: &HeaderValue| {
        let authority: Option<Authority> = host.to_str().ok().and_then(|host| host.parse().ok());
        authority.is_some_and(|authority| HERE.iter().any(|here| authority.host().eq_ignore_ascii_case(here)))
    };
    headers.get(header::HOST).is_none_or(here) && !headers.contains_key(header::ORIGIN)
}

fn accepts_pages(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// Which trace is asked for; all, if none is named.
fn trace(parts: &http::request::Parts) -> Result<Option<String>, String> {
    let query = parts.uri.query().unwrap_or_default();
    match query.split_once('=') {
        None if query.is_empty() => Ok(None),
        Some(("traceId", id)) if id.len() == 32 => Ok(Some(id.to_ascii_lowercase())),
        _ => Err(format!("{query:?} is no traceId=<32 hexadecimal digits>")),
    }
}

fn page(html: String) -> Response {
    let mut response = Response::new(Body::from(html));
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn small(body: Body) -> Result<Bytes, String> {
    let read = axum::body::to_bytes(body, MOST_BYTES).await;
    read.map_err(|_| "the body is too large".to_owned())
}

/// Where the services of AWS are, for other clients than functions, and what such a client signs with.
fn aws(stack: &Stack) -> Value {
    let buckets: Vec<&str> = stack.template.buckets.iter().map(|it| it.name.as_str()).collect();
    json!({"endpoint": stack.aws.endpoint(), "region": REGION, "accessKey": "developer", "secretKey": SECRET, "buckets": buckets})
}

fn emails(stack: &Stack, query: &str) -> Result<Value, String> {
    let mut to = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            // A plus sign is part of many addresses; here it is no blank.
            Some(("to", address)) => to = Some(crate::gateway::decode(address)),
            _ => return Err(format!("there is no query parameter {pair:?}; use to=ADDRESS")),
        }
    }
    let mails = stack
        .aws
        .ses()
        .mails(to.as_deref())
        .map_err(|error| error.to_string())?;
    let data: Vec<Value> = mails
        .iter()
        .map(|mail| {
            json!({
                "to": mail.to.join(", "), "subject": mail.subject, "html": mail.html, "text": mail.text,
                "sentAt": mail.sent_at, "from": mail.from, "id": mail.id, "headers": mail.headers, "attachments": mail.attachments,
                "configurationSet": mail.configuration_set, "tags": mail.tags,
            })
        })
        .collect();
    Ok(json!({"data": data}))
}

/// Waits for the next second by the machine's time, where there is S3: addresses are signed by the second, so one that is
/// signed from now on must not seem older than the move.
async fn next_second(stack: &Stack) {
    if !stack.template.buckets.is_empty() {
        let rest = u64::try_from(1_000 - real_ms().rem_euclid(1_000)).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
}

fn clock(stack: &Stack, body: &[u8]) -> Result<Value, String> {
    let advance: Advance =
        serde_json::from_slice(body).map_err(|error| format!("the body must be {{\"advanceSeconds\": n}}: {error}"))?;
    if advance.advance_seconds > MAX_ADVANCE_SECONDS {
        return Err(format!("advanceSeconds is at most {MAX_ADVANCE_SECONDS}"));
    }
    stack
        .clock
        .advance(advance.advance_seconds)
        .map_err(|error| error.to_string())?;
    Ok(json!({"now": rfc3339(stack.clock.now_ms()), "offsetSeconds": stack.clock.offset_ms() / 1000}))
}

fn chaos(stack: &Stack, body: &[u8]) -> Result<Value, String> {
    let switch: Switch =
        serde_json::from_slice(body).map_err(|error| format!("the body must be {{\"enabled\": bool}}: {error}"))?;
    if !stack.chaos.enable(switch.enabled) {
        return Err("this stack knows no cruelty; start it with --chaos SEED".into());
    }
    Ok(json!(stack.chaos.report()))
}

/// What SES tells of a mail: a bounce, a complaint, a delivery.
fn mail_event(stack: &Stack, body: &[u8]) -> Result<Value, String> {
    let event = serde_json::from_slice(body).map_err(|error| format!("the body must be an event of SES: {error}"))?;
    Ok(json!({"told": stack.aws.tell_of_mail(event)?}))
}

fn queues(stack: &Stack) -> Result<Value, String> {
    let sqs = stack.aws.sqs();
    let mut data = Vec::new();
    for name in sqs.names() {
        let depth = sqs.depth(name).map_err(|refusal| refusal.message)?;
        data.push(json!({
            "name": name, "visible": depth.visible, "inFlight": depth.in_flight, "delayed": depth.delayed,
        }));
    }
    Ok(json!({"data": data}))
}

/// What functions measured, and how many messages wait, as Prometheus reads it.
fn metrics(stack: &Stack) -> Response {
    let sqs = stack.aws.sqs();
    let depths = sqs.names().filter_map(|name| {
        let visible = u32::try_from(sqs.depth(name).ok()?.visible).ok()?;
        Some((name.to_owned(), f64::from(visible)))
    });
    let help = "How many messages of a queue wait.";
    let depth = ("aws_sqs_messages_visible", help, "queue_name", depths.collect());
    let mut response = Response::new(Body::from(stack.metrics.text(&[depth])));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Answers with an error as RFC 9457 has it.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let request_id = uuid::Uuid::new_v4().to_string();
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "code": code, "requestId": request_id});
    json_reply(status, "application/problem+json", &body)
}

/// Answers with JSON.
pub fn json_reply(status: StatusCode, kind: &'static str, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
