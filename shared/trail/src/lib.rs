//! The audit trail: who changed what, in chains of entries that nobody can change unseen.
//!
//! An entry is written in the transaction of the change it tells of, so neither exists without the other. There is
//! one chain per organization, and for what happens to people on the platform one per person. Entry n+1 holds the
//! hash of entry n, and is created where no entry n+1 is yet: that keeps a chain a line whoever writes at once.
//!
//! What is personal in an entry lies beside its chain, in a table of its own, and can be erased: the entry holds its digest.
//!
//! Access: append to a chain; list a chain, newest first; list what happened on the platform (to people, and which organizations came
//! and went), newest first; export a chain, oldest first, as lines that anyone can verify offline.
//!
//! # Known bounds
//!
//! - Whoever writes to a chain meets the others at its end: some 50 to 60 audited deeds a second in one organization
//!   (estimated from the round trips); of a hundred at once some are answered 503.
//! - A chain proves nothing about its own end, which whoever keeps it could make anew: verifiers take a head noted earlier.
//! - IAM cannot forbid a put over an entry. `docs/decisions/020-guarded-tables.md` tells what it can, and what finds one.

mod chain;
mod disclosure;
mod entry;
mod export;
mod heads;
mod store;

pub use chain::{Broken, Head, verify};
pub use disclosure::{Disclosed, Disclosure, Noted, Opened, Subject};
pub use entry::{Chain, Change, Entry, EntryView};
pub use export::{Flaw, Verifier, What, Whole, entry_line, head_line};
pub use heads::Heads;
pub use store::{erase, of_chain, of_chain_after, of_org, of_org_after, of_own, of_platform};
