//! SQS: standard queues with at-least-once delivery, visibility timeouts, delays and dead-letter queues.
//!
//! [`Sqs`] is what the local stack itself uses; `wire` serves the same to the AWS SDK. Delays follow the test
//! clock, visibility follows real time: a process that hangs is not helped by a jump of the clock.

mod checksum;
mod fair;
mod needs;
mod queue;
mod wire;

use axum::response::Response;
use futures::future::BoxFuture;
use http::request::Parts;

use super::iam::Need;
use super::service::{Answer, Call, Service, ServiceError, THROTTLED, targets};
use super::usage::Used;
use crate::chaos::Draw;

pub use queue::{Depth, Message, Move, Refusal, Send, Sqs};

impl Service for Sqs {
    fn names(&self) -> &'static [&'static str] {
        &["SQS"]
    }

    fn takes(&self, parts: &Parts) -> bool {
        targets(parts, "AmazonSQS.")
    }

    fn needs(&self, call: &Call) -> Result<Vec<Need>, String> {
        needs::needs(&call.operation, &call.body)
    }

    fn answer(&self, call: Call) -> BoxFuture<'_, Result<Answer, ServiceError>> {
        Box::pin(async move {
            let reply = wire::answer(self, &call.operation, &call.body).await;
            let reply = reply.map_err(|refusal| ServiceError {
                query_code: refusal.query_code(),
                ..ServiceError::refused(refusal.code, refusal.message)
            })?;
            Ok(Answer::json(&reply, Used::QueueBytes(call.body.len())))
        })
    }

    fn throttle(&self, call: &Call, _draw: Draw) -> Response {
        let code = match call.operation.as_str() {
            "SendMessage" | "SendMessageBatch" => "RequestThrottled",
            _ => "ThrottlingException",
        };
        self.refuse(&ServiceError::refused(code, THROTTLED))
    }
}
