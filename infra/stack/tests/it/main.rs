//! The emulated services spoken to by the AWS SDK, and whole stacks of a small template with real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod aids;
mod chaos;
mod fixture;
mod functions;
mod http;
mod queues;
mod s3;
mod services;
mod sqs;
mod uploads;
