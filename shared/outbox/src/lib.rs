//! The outbox: what happened, one item each whatever listens, stored in the transaction in which it happened.
//!
//! A [`Fact`] is told by [`Telling`]: its write belongs into that transaction, so that neither exists without the other.
//! A relay then hands it to every [`Listener`] ([`relay()`]), each of which makes of it what it needs: deliveries, entries of
//! an inbox, messages of a room. Fan-out never happens in the transaction. The record is the truth; a message on the queue
//! only names it, and [`sweep()`] tells again of what was not relayed. A listener may hear a fact more than once, with the
//! same id, and must make that harmless.
//!
//! A fact is kept for 30 days, relayed or not, for those who would rather read the log, and for replays.
//!
//! Access: find a fact by its name; those that were not relayed, by shard. `store.rs` has the keys.
//!
//! Known bounds: facts of one organization are stored in one partition, 1,000 a second; a fact that a listener fails at
//! is tried again after pauses that double up to an hour, for as long as it is kept.

mod fact;
mod relay;
pub mod store;

pub use fact::{About, Fact, FactRef, Kind, Shown, Telling, Told};
pub use relay::{Heard, Listener, relay, sweep};

/// Where the relay is told of facts.
pub const QUEUE: app::Queue = app::Queue("OUTBOX_QUEUE_URL");
