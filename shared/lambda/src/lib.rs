//! Serving on Lambda: HTTP, queues and schedules; extractors; problem documents; idempotency. Knows no capability.

mod extract;
mod http;
mod idempotency;
mod paging;
mod queue;
mod schedule;

pub use app::{App, Clock, Env};
pub use extract::{Created, Json, List, Path, Query, read_body};
pub use http::{Caller, client_address, serve, service};
pub use idempotency::remember;
pub use kernel::{Problem, ProblemDetails};
pub use paging::{IdempotencyKey, NoFilter, Pages, Paging, limit};
pub use queue::{Consumer, Message, serve_queue};
pub use schedule::{Schedule, serve_schedule};

/// What a handler returns.
pub type Result<T> = std::result::Result<T, Problem>;

/// What every AWS client needs, from the environment of this process.
pub fn aws_config() -> anyhow::Result<aws_config::SdkConfig> {
    Env::of_process().aws_config()
}

/// Reads an environment variable that must be there.
pub fn variable(name: &str) -> anyhow::Result<String> {
    Env::of_process().variable(name).map(str::to_owned)
}
