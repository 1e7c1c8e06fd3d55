//! SQS: standard queues with at-least-once delivery, visibility timeouts, delays and dead-letter queues.
//!
//! [`Sqs`] is what the local stack itself uses; `wire` serves the same to the AWS SDK. Delays follow the test
//! clock, visibility follows real time: a process that hangs is not helped by a jump of the clock.

mod checksum;
mod queue;
pub(super) mod wire;

pub use queue::{Depth, Message, Refusal, Send, Sqs};
