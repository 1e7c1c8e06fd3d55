//! Serving on Lambda: HTTP, queues and schedules; extractors; problem documents. Knows no capability.

pub mod csv;
mod extract;
mod function;
mod http;
mod line;
mod measure;
mod page;
mod paging;
mod queue;
mod schedule;
mod shutdown;

pub use app::{App, Clock, Env, Recent};
pub use extract::{Created, Json, List, Path, Query, read_body};
pub use function::{Function, Kind, Start, Started, run};
pub use http::client_address;
pub use kernel::{Problem, ProblemDetails};
pub use page::{Nonce, page};
pub use paging::{NoFilter, Pages, Paging, limit};
pub use queue::{Consumer, Message, Queue, deliver, each};
pub use schedule::{Firing, Schedule};

/// What a handler returns.
pub type Result<T> = std::result::Result<T, Problem>;
