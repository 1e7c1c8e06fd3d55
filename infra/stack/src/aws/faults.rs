//! What AWS does to a function's calls when it is cruel: it refuses, it is silent, it loses its replies, and the caller
//! may not live to hear them.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;

use super::service::{Call, Service, ServiceError, text};
use super::{Services, respond};
use crate::chaos::{Death, Fault, Moment, cut};

/// How long silence lasts for a caller that waits for ever; a function's own timeout is shorter.
const SILENCE: Duration = Duration::from_mins(1);
/// The header with the session token, by which a process is known.
const TOKEN: &str = "x-amz-security-token";

/// Answers a function's call, or fails it.
pub(super) async fn answer(services: Arc<Services>, service: Arc<dyn Service>, call: Call) -> Response {
    let chaos = services.chaos.clone();
    match chaos.death(text(&call.parts.headers, TOKEN)) {
        Some((Death::AfterEffect, victim)) => {
            respond(&services, &*service, call).await;
            victim.kill();
            return cut();
        }
        Some((Death::BeforeEffect(later), victim)) => {
            victim.kill();
            // On its own: the connection dies with the caller, and what waits on it too.
            tokio::spawn(async move {
                tokio::time::sleep(later).await;
                respond(&services, &*service, call).await;
            });
            return cut();
        }
        None => {}
    }
    if let Some(moment) = chaos.crash() {
        if moment == Moment::After {
            respond(&services, &*service, call).await;
        }
        chaos.drop_caller().await;
    }
    let operation = call.operation.as_str();
    if let Some(draw) = chaos.strike(Fault::Throttle, operation) {
        return service.throttle(&call, draw);
    }
    if chaos.strike(Fault::ServerError, operation).is_some() {
        return service.refuse(&ServiceError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..ServiceError::refused("InternalServerError", "chaos: nothing was done")
        });
    }
    if chaos.strike(Fault::Silence, operation).is_some() {
        tokio::time::sleep(SILENCE).await;
        return cut();
    }
    let is_lost = chaos.strike(Fault::LostReply, operation).is_some();
    let reply = respond(&services, &*service, call).await;
    if is_lost { cut() } else { reply }
}
