//! What every function is built from: its environment, and of that its tables, its queues, its clock, its secrets, and
//! how it ends. Serves nothing and knows no capability.

mod app;
mod aws;
mod clock;
mod env;
mod measures;
mod memory;
mod panic;
mod queues;
mod recent;
mod sealing;
mod secrets;
mod shutdown;

pub use app::{App, REQUEST_KEYS, SEALING_KEYS};
pub use clock::Clock;
pub use env::Env;
pub use measures::{Measure, Measures, Unit};
pub use memory::Memory;
pub use panic::survive;
pub use queues::{Nudge, Outgoing, Queue, Queues};
pub use recent::Recent;
pub use sealing::Sealing;
pub use shutdown::{Busy, Shutdown};
