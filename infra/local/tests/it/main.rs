//! The emulated services spoken to by the AWS SDK, and whole stacks of a small template with real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod alerts;
mod audit;
mod chaos;
mod fixture;
mod functions;
mod golden_path;
mod http;
mod limits;
mod oidc;
mod queues;
mod reliability;
mod replay;
mod services;
mod sqs;
