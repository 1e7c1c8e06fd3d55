//! Serving on Lambda: HTTP, queues and schedules; extractors; problem documents; idempotency. Knows no capability.

mod app;
mod clock;
mod extract;
mod http;
mod idempotency;
mod paging;
mod problem;
mod queue;
mod schedule;

pub use app::{App, aws_config, variable};
pub use clock::Clock;
pub use extract::{Created, Json, List, Path, Query, read_body};
pub use http::{Caller, client_address, serve, service};
pub use idempotency::remember;
pub use paging::{IdempotencyKey, Paging, limit};
pub use problem::{Problem, ProblemDetails, Result};
pub use queue::{Consumer, Message, serve_queue};
pub use schedule::{Schedule, serve_schedule};
