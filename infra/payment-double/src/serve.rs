//! The port: which provider is called, by whom, whether it goes wrong, and what is kept under the key.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::world::{Call, Fault, FaultKind, Kept, Operation, Provider, World, named, sha256};
use crate::{Shared, cashfree, control, page, razorpay, stripe};

const LONGEST_BODY: usize = 1 << 20;
/// How long a slow answer takes.
const SLOW: Duration = Duration::from_secs(30);

pub(crate) fn router(shared: Shared) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LONGEST_BODY).await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "too large".to_owned());
    };
    let path = parts.uri.path().to_owned();
    let providers = [Provider::Stripe, Provider::Razorpay, Provider::Cashfree];
    let called = providers.into_iter().find_map(|provider| {
        let rest = path.strip_prefix(provider.path())?;
        rest.starts_with('/').then_some((provider, rest))
    });
    match called {
        Some((provider, rest)) => call(&shared, provider, rest, &parts, &body).await,
        None if path.starts_with("/hosted/") => page::answer(&shared, &parts, &body),
        None => control::answer(&shared, &parts, &body),
    }
}

pub(crate) fn text(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    response
}

pub(crate) fn json(status: u16, body: String) -> Response {
    text(
        StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        "application/json",
        body,
    )
}

async fn call(shared: &Shared, provider: Provider, rest: &str, parts: &Parts, body: &[u8]) -> Response {
    let segments: Vec<String> = rest
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| {
            percent_encoding::percent_decode_str(part)
                .decode_utf8_lossy()
                .into_owned()
        })
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let key = key(provider, &parts.headers);
    let (reply, fault, is_replayed) = {
        let mut world = shared.world();
        let account = account(provider, &parts.headers, &mut world);
        let now = shared.now();
        world.expire(now);
        let slot = account.clone().zip(key.clone());
        let slot = slot.map(|(account, key)| (provider, account, key));
        let is_replayed = provider == Provider::Stripe && slot.is_some_and(|slot| world.kept(&slot).is_some());
        let (reply, fault) = match &account {
            Some(account) => {
                let fault = world.fault(provider, operation(parts.method.as_str(), &segments));
                let asked = (
                    parts.method.as_str(),
                    segments.as_slice(),
                    parts.uri.query().unwrap_or_default(),
                    body,
                );
                (
                    done(&mut world, provider, account, key.as_deref(), asked, fault, now),
                    fault,
                )
            }
            None => (denied(provider), None),
        };
        world.saw(Call {
            provider,
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            key,
            sha256: sha256(body),
            status: reply.0,
        });
        if parts.method != "GET" {
            world.save();
        }
        (reply, fault, is_replayed)
    };
    shared.0.due.notify_one();
    match fault.map(|fault| fault.kind) {
        Some(FaultKind::Lost) => lost(),
        Some(FaultKind::Slow) => {
            tokio::time::sleep(SLOW).await;
            json(reply.0, reply.1)
        }
        Some(FaultKind::Retry) => advising(json(reply.0, reply.1), "true"),
        Some(FaultKind::Never) => advising(json(reply.0, reply.1), "false"),
        _ if is_replayed => replayed(json(reply.0, reply.1)),
        _ => json(reply.0, reply.1),
    }
}

/// An answer that says whether asking again is of use.
fn advising(mut response: Response, advice: &'static str) -> Response {
    let headers = response.headers_mut();
    headers.insert("stripe-should-retry", HeaderValue::from_static(advice));
    response
}

/// An answer that was kept under the key.
fn replayed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

/// An answer that breaks off.
fn lost() -> Response {
    let broken = futures::stream::once(async { Err::<Vec<u8>, _>(io::Error::other("lost")) });
    Response::new(Body::from_stream(broken))
}

/// Does what is asked, unless a fault says otherwise, once for each key.
fn done(
    world: &mut World,
    provider: Provider,
    account: &str,
    key: Option<&str>,
    asked: (&str, &[&str], &str, &[u8]),
    fault: Option<Fault>,
    now: i64,
) -> (u16, String) {
    let (method, path, _, body) = asked;
    match fault.map(|fault| fault.kind) {
        Some(FaultKind::Busy | FaultKind::Never) => return error(provider, 429, "too many requests"),
        Some(FaultKind::Conflict | FaultKind::Retry) => {
            return error(provider, 409, "another request with this key is in progress");
        }
        Some(FaultKind::Lost | FaultKind::Slow) if !fault.is_some_and(|fault| fault.done) => return (0, String::new()),
        _ => {}
    }
    let slot = key
        .filter(|_| method == "POST")
        .map(|key| (provider, account.to_owned(), key.to_owned()));
    let fingerprint = sha256(&[method.as_bytes(), path.join("/").as_bytes(), body].join(&b'\n'));
    if let Some(kept) = slot.as_ref().and_then(|slot| world.kept(slot)) {
        if kept.fingerprint == fingerprint {
            return kept.reply.clone();
        }
        return match provider {
            Provider::Stripe => stripe::error(
                400,
                "idempotency_error",
                "Keys for idempotent requests can only be used with the same parameters they were first used with.",
            ),
            _ => error(provider, 400, "different request with the same idempotency key"),
        };
    }
    let fails = fault.is_some_and(|fault| fault.kind == FaultKind::Error);
    let mut reply = if fails && !fault.is_some_and(|fault| fault.done) {
        (500, String::new())
    } else {
        perform(world, provider, account, asked, now)
    };
    if fails {
        reply = error(provider, 500, "something went wrong");
    }
    // Stripe keeps whatever came of it once it began, errors of the server too; what was refused had not begun.
    let is_kept = reply.0 < 400 || (reply.0 >= 500 && provider == Provider::Stripe);
    if let Some(slot) = slot.filter(|_| is_kept) {
        world.kept.push(Kept {
            slot,
            fingerprint,
            reply: reply.clone(),
        });
    }
    reply
}

fn perform(
    world: &mut World,
    provider: Provider,
    account: &str,
    asked: (&str, &[&str], &str, &[u8]),
    now: i64,
) -> (u16, String) {
    match provider {
        Provider::Stripe => stripe::answer(world, account, asked, now),
        Provider::Razorpay => razorpay::answer(world, account, asked, now),
        Provider::Cashfree => cashfree::answer(world, account, asked, now),
    }
}

fn error(provider: Provider, status: u16, message: &str) -> (u16, String) {
    match provider {
        Provider::Stripe => stripe::error(status, "api_error", message),
        Provider::Razorpay => razorpay::error(status, message),
        Provider::Cashfree => cashfree::error(status, "request_failed", message),
    }
}

fn denied(provider: Provider) -> (u16, String) {
    match provider {
        Provider::Stripe => stripe::error(401, "invalid_request_error", "Invalid API Key provided"),
        Provider::Razorpay => razorpay::error(401, "Authentication failed"),
        Provider::Cashfree => cashfree::error(401, "request_failed", "authentication Failed"),
    }
}

fn operation(method: &str, path: &[&str]) -> Operation {
    match path.last() {
        _ if method == "GET" => Operation::Look,
        Some(&"expire" | &"cancel") => Operation::Close,
        Some(&"refund" | &"refunds") => Operation::Refund,
        Some(&"capture") => Operation::Capture,
        _ => Operation::Open,
    }
}

fn key(provider: Provider, headers: &HeaderMap) -> Option<String> {
    let name = match provider {
        Provider::Stripe => "idempotency-key",
        Provider::Razorpay => "x-refund-idempotency",
        Provider::Cashfree => "x-idempotency-key",
    };
    header(headers, name).map(str::to_owned)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Who calls, if that looks right: any key that begins as the provider's do.
fn account(provider: Provider, headers: &HeaderMap, world: &mut World) -> Option<String> {
    let basic = |value: &str| {
        let bytes = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    };
    match provider {
        Provider::Stripe => {
            header(headers, "stripe-version")?;
            let value = header(headers, "authorization")?;
            let bearer = value.strip_prefix("Bearer ").map(str::to_owned);
            let key = bearer.or_else(|| basic(value).map(|(user, _)| user))?;
            (key.starts_with("sk_") || key.starts_with("rk_")).then(|| named(&key))
        }
        Provider::Razorpay => {
            let (user, password) = basic(header(headers, "authorization")?)?;
            if !user.starts_with("rzp_") || password.is_empty() {
                return None;
            }
            world.key_secrets.insert(named(&user), password);
            Some(named(&user))
        }
        Provider::Cashfree => {
            header(headers, "x-api-version")?;
            let secret = header(headers, "x-client-secret")?;
            let id = header(headers, "x-client-id")?;
            (!id.is_empty() && !secret.is_empty()).then(|| named(id))
        }
    }
}
