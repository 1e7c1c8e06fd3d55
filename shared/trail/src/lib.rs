//! The audit trail: who changed what, in chains of entries that nobody can change unseen.
//!
//! An entry is written in the transaction of the change it tells of, so neither exists without the other. There is
//! one chain per organization, and for what happens to people on the platform one per person. Entry n+1 holds the
//! hash of entry n, and is created where no entry n+1 is yet: that keeps a chain a line whoever writes at once.
//!
//! Access: append to a chain; list a chain, newest first; list what happened on the platform, newest first.

mod chain;
mod entry;
mod store;

pub use chain::{Broken, Head, verify};
pub use entry::{Chain, Change, Entry, EntryView};
pub use store::{commit, of_org, of_platform};
