//! What AWS does to a function's calls when it is cruel: it refuses, it is silent, it loses its replies, and the caller
//! may not live to hear them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};

use super::{ServiceError, Services, error_reply, json_reply, respond, text};
use crate::chaos::{Death, Draw, Fault, cut};

/// How long silence lasts for a caller that waits for ever; a function's own timeout is shorter.
const SILENCE: Duration = Duration::from_mins(1);
/// The header with the session token, by which a process is known.
const TOKEN: &str = "x-amz-security-token";

/// Answers a function's call, or fails it.
pub(super) async fn answer(services: Arc<Services>, parts: Parts, body: Bytes) -> Response {
    let chaos = services.chaos.clone();
    match chaos.death(text(&parts.headers, TOKEN)) {
        Some((Death::AfterEffect, victim)) => {
            respond(&services, &parts, body).await;
            victim.kill();
            return cut();
        }
        Some((Death::BeforeEffect(later), victim)) => {
            victim.kill();
            // On its own: the connection dies with the caller, and what waits on it too.
            tokio::spawn(async move {
                tokio::time::sleep(later).await;
                respond(&services, &parts, body).await;
            });
            return cut();
        }
        None => {}
    }
    let operation = operation(&parts);
    if let Some(draw) = chaos.strike(Fault::Throttle, operation) {
        return throttled(operation, &body, draw);
    }
    if chaos.strike(Fault::ServerError, operation).is_some() {
        return error_reply(&ServiceError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..ServiceError::refused("InternalServerError", "chaos: nothing was done")
        });
    }
    if chaos.strike(Fault::Silence, operation).is_some() {
        tokio::time::sleep(SILENCE).await;
        return cut();
    }
    let reply = respond(&services, &parts, body).await;
    match chaos.strike(Fault::LostReply, operation) {
        Some(_) => cut(),
        None => reply,
    }
}

/// Names what is called: `PutItem`, or a path where the protocol has no names.
fn operation(parts: &Parts) -> &str {
    let target = text(&parts.headers, "x-amz-target");
    target
        .rsplit('.')
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or(parts.uri.path())
}

/// Refuses a call in one of the ways in which its service refuses what comes too fast, or meets something else.
fn throttled(operation: &str, body: &[u8], draw: Draw) -> Response {
    let refused = |code: &str| error_reply(&ServiceError::refused(code, "chaos: come again later"));
    match operation {
        "TransactWriteItems" => cancelled(body, draw),
        "BatchGetItem" if draw.below(2) == 0 => unprocessed(body, "UnprocessedKeys"),
        "BatchWriteItem" if draw.below(2) == 0 => unprocessed(body, "UnprocessedItems"),
        "PutItem" | "UpdateItem" | "DeleteItem" if draw.below(2) == 0 => refused("TransactionConflictException"),
        "GetItem" | "Query" | "BatchGetItem" | "BatchWriteItem" | "PutItem" | "UpdateItem" | "DeleteItem" => {
            refused("ProvisionedThroughputExceededException")
        }
        "SendMessage" | "SendMessageBatch" => refused("RequestThrottled"),
        path if path.starts_with("/v2/email/") => error_reply(&ServiceError {
            status: StatusCode::TOO_MANY_REQUESTS,
            ..ServiceError::refused("TooManyRequestsException", "chaos: come again later")
        }),
        _ => refused("ThrottlingException"),
    }
}

/// Cancels a transaction at one of its items.
fn cancelled(body: &[u8], draw: Draw) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let items = request["TransactItems"].as_array().map_or(1, Vec::len);
    let place = draw.below(items as u64);
    let code = [
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    ][usize::try_from(draw.below(3 * items as u64) % 3).unwrap_or_default()];
    let reason = |at: u64| json!({"Code": if at == place { code } else { "None" }});
    let reasons: Vec<Value> = (0..items as u64).map(reason).collect();
    let error = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{code}]"),
        "CancellationReasons": reasons,
    });
    json_reply(StatusCode::BAD_REQUEST, error.to_string())
}

/// Does nothing of a batch and says so.
fn unprocessed(body: &[u8], field: &str) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let reply = json!({"Responses": {}, field: request["RequestItems"]});
    json_reply(StatusCode::OK, reply.to_string())
}
