//! Serving on Lambda: HTTP, queues and schedules; extractors; problem documents; idempotency. Knows no capability.

mod app;
mod clock;
mod extract;
mod http;
mod idempotency;
mod problem;
mod queue;

pub use app::{App, aws_config, variable};
pub use clock::Clock;
pub use extract::{Created, Json, List, Path, Query};
pub use http::{Caller, client_address, serve, service};
pub use idempotency::remember;
pub use problem::{Problem, ProblemDetails, Result};
pub use queue::{Message, serve_queue};
