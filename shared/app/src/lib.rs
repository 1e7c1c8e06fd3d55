//! What every function is built from: its environment, and of that its tables, its queues, its clock and the secret of
//! its cursors. Serves nothing and knows no capability.

mod app;
mod aws;
mod clock;
mod env;
mod queues;

pub use app::App;
pub use clock::Clock;
pub use env::Env;
pub use queues::{Outgoing, Queue, Queues};
