//! Events: taken in, made durable, counted once, searched.
//!
//! | entity | key | what it is |
//! |---|---|---|
//! | chunk  | `PRJ#<project>#DAY#<day>` / `CHUNK#<last>#<chunk>` | one message's events of one day: its place, bounds, duplicates |
//! | blob   | `PRJ#<project>#BLOB#<day>` / `<chunk>` | those events, compressed |
//! | head   | `PRJ#<project>#DAY#<day>` / `HEAD` | which chunks are not in the rollups yet; events by API key |
//! | rollup | `PRJ#<project>#DAY#<day>` / `HOUR#<hh>` or `DAY` | counts by type, name and minute (or hour), and the users' sketch |
//! | seen ids | `PRJ#<project>#IDS` / `HEAD`, `RUN#<n>` | hashes of the clients' event ids of the last day |
//!
//! Invariants:
//! - A chunk and its place in the head's pending set are written in one transaction, so an event is counted and found,
//!   or neither; the chunk's key comes from its message, so a redelivery changes nothing.
//! - Metrics are the rollups plus the pending chunks. Folding moves chunks from one to the other in one transaction.
//! - An event's id tells its day, chunk and place, so that no index of ids is needed.
//! - All that is stored of a day expires at one moment, 435 days after the day is over, and is not read from then on.
//!
//! # Known bounds
//!
//! - The ids of a project's last 24 hours are read by a writer that has just started, so a project with many millions of ids
//!   a day wants them sharded by hash.
//! - A fold writes one transaction of at most 4 MB, which 25 rollups full of the longest names could exceed.
//! - An hour's users are one sketch, so parts of an hour count the whole hour's users.
//! - Past 1,000 names (or 128 KiB of names) a day the rest count as `other` in the rollups; in the chunks they are exact.
//! - A day's head notes each API key that sent events, about 100 bytes a key: some 4,000 keys on one day would fill it.
//! - Four days are folded an invocation, so after a backfill some stay pending until something is written again.
//! - All writers of a project meet on its day's head, so one project takes about as many transactions a second as one item.

pub mod batch;
pub mod cloud_event;
#[cfg(test)]
mod damage;
pub mod event;
pub mod hll;
pub mod message;
pub mod metrics;
mod portable;
pub mod rollup;
pub mod search;
pub mod seen;
pub mod store;
pub mod usage;
pub mod writer;

pub use event::{Event, EventView};
pub use message::{Message, enqueue};
pub use store::{KeyUsage, key_usage};
