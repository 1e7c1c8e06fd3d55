//! What every function is built from: its environment, and of that its tables, its queues, its clock and its
//! secrets. Serves nothing and knows no capability.

mod app;
mod aws;
mod clock;
mod env;
mod queues;
mod sealing;
mod secrets;

pub use app::{App, REQUEST_KEYS, SEALING_KEYS};
pub use clock::Clock;
pub use env::Env;
pub use queues::{Outgoing, Queue, Queues};
pub use sealing::Sealing;
