//! The emulated services spoken to by the AWS SDK, and whole stacks of a small template with real processes.

mod fixture;
mod functions;
mod http;
mod queues;
mod replay;
mod services;
mod sqs;
