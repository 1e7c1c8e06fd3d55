//! Function processes and the Lambda Runtime API they talk to.
//!
//! A process handles one invocation at a time, as on Lambda. A [`Pool`] starts more on demand, up to eight or what
//! the template reserves, and stops idle ones. Each process has a Runtime API port of its own.

mod api;
mod output;
mod pool;
mod process;
mod program;

pub use output::{Log, log};
pub use pool::Pool;
pub use process::{Snapshot, environment};
pub use program::{Program, Programs, become_guarded};

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::chaos::Chaos;

/// How many processes a function may have where the template does not say.
pub const MAX_PROCESSES: usize = 8;
/// The largest event and the largest reply of a synchronous invocation, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 6_291_556;

/// What became of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The function's reply.
    Reply(Bytes),
    /// The function reported an error: its JSON `{errorType, errorMessage}`.
    Error(Bytes),
    /// The process died; what it was doing is unknown.
    Crashed(String),
    /// It took longer than its timeout and was killed.
    TimedOut,
    /// No process would start: why, with its last words.
    NotStarted(String),
    /// Every process stayed busy for too long, or the stack is stopping.
    Busy,
}

/// What all functions of a stack share.
#[derive(Clone)]
pub struct Shared {
    /// Environment besides that of the template: where the services are, what time it is.
    pub environment: BTreeMap<String, String>,
    /// A program that becomes the one its further arguments name, and dies with us; without it functions that hang
    /// outlive kill -9.
    pub guard: Option<Program>,
    /// Where functions' output goes.
    pub log: Log,
    /// What goes wrong.
    pub chaos: Chaos,
}
