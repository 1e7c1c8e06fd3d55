//! Jobs: work that is due, now or later, and that happens although a process dies in the middle of it.
//!
//! A [`Job`] is stored in the transaction of its cause ([`Later`]), so neither exists without the other. Its record is the
//! truth; a message on its queue only names it, so messages may be lost, come twice or in any order. A worker takes a
//! job by a conditional write under a lease, does it, and notes what became of it ([`work()`]); of any number that try, one
//! does it. [`sweep()`] finds what is due and nobody was told of: a crash after the commit, a lost message, a worker that
//! died. So a job is done at least once, and whoever does it makes repeats harmless by the job's id.
//!
//! ```text
//! PENDING ──► RUNNING ──► COMPLETED
//!    ▲           ├──────► FAILED ──► RUNNING …     another attempt is due after a pause
//!    │           ├──────► DEAD                     the last attempt failed; a person may try again
//!    └───────────┘ its worker died, or gave it back
//! PENDING, RUNNING, FAILED, DEAD ──► CANCELED
//! ```
//!
//! What a job says is sealed if it may hold a secret, and erased once it is over. A dead job is not: it can be tried again.
//!
//! Access: find a job by its name; list those of a cause, newest first; those of an owner by state; those that are due and
//! those that are dead, by queue. `record/store.rs` has the keys.
//!
//! Known bounds: a queue is told of at most its `most_waiting` jobs a minute by the sweeper (who makes a job tells at once,
//! without a bound); one owner's jobs change state some 500 times a second, the rate of one partition of an index.

mod later;
pub mod queue;
mod record;
mod redrive;
mod sweep;
mod view;
mod work;

use kernel::{JobId, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use later::{Later, Stored};
pub use queue::{Queue, Retry};
pub use record::{Event, HistoryEntry, JobRecord, JobRef, Owner, State, store};
pub use redrive::{Redriven, redrive, redrive_all};
pub use sweep::{Swept, sweep};
pub use view::JobView;
pub use work::{Hold, Outcome, Running, Work, work};

/// Work that is due. What is serialized are its contents; a later version of the code reads them.
pub trait Job: Serialize + DeserializeOwned + Send + Sync {
    /// What it is called, for ever: `mail`, `invoice-pdf`.
    const KIND: &'static str;
    /// The queue by which its workers are told.
    const QUEUE: &'static Queue;
    /// Whether it may hold a secret, so that its contents are sealed.
    const SEALED: bool = false;

    /// Where it lies.
    fn place(&self) -> Place;

    /// What is shown of it to those who may see it, also when it is over: never a secret.
    fn label(&self) -> Option<String> {
        None
    }

    /// What must be unique about it, if anything: the second job with the same key is not made.
    fn key(&self) -> Option<JobKey> {
        None
    }

    /// Whose turn it is when it waits: jobs of one group do not hold up those of another. Its owner unless it says
    /// otherwise.
    fn group(&self) -> String {
        self.place().owner.to_string()
    }
}

/// Where a job lies: whose it is, and what caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub owner: Owner,
    /// An id or a word: letters, digits and `_`.
    pub cause: String,
}

impl Place {
    /// A place by its parts.
    pub fn of(owner: Owner, cause: impl std::fmt::Display) -> Self {
        Self {
            owner,
            cause: cause.to_string(),
        }
    }
}

/// What is unique about a job among those of its kind, owner and cause. As long as one with the same key is stored, no
/// other is made, unless that one is dead or canceled: then the new one takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobKey {
    text: String,
    at: Time,
    replaces: bool,
}

impl JobKey {
    /// A key, and a time that belongs to it, such as the start of the period that is billed. It becomes the time of the
    /// job's id, so that lists show the job in its place. The same key must have the same time; so it is never "now".
    pub fn of(text: impl Into<String>, at: Time) -> Self {
        Self {
            text: text.into(),
            at,
            replaces: true,
        }
    }

    /// As [`JobKey::of`], for what is made once whatever became of it: no job takes the place of one that is dead or canceled.
    pub fn once(text: impl Into<String>, at: Time) -> Self {
        Self {
            replaces: false,
            ..Self::of(text, at)
        }
    }

    /// The id that follows from it: 48 bits of time, as every id has, and 80 bits of a hash.
    fn id(&self, kind: &str) -> JobId {
        let hash = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            format!("{kind}\0{}\0{}", self.at.millis(), self.text).as_bytes(),
        );
        let random = hash
            .as_ref()
            .iter()
            .take(10)
            .fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        let millis = u128::try_from(self.at.millis()).unwrap_or(0) & ((1 << 48) - 1);
        JobId::from_bits(millis << 80 | random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_id_which_tells_its_time() {
        let at = Time::from_millis(1_800_000_000_000);
        let key = JobKey::of("sub_1 2027-01-15", at);
        assert_eq!(key.id("bill"), key.clone().id("bill"));
        assert_eq!(key.id("bill").time(), at);
        let others = [
            key.id("close"),
            JobKey::of("sub_2 2027-01-15", at).id("bill"),
            JobKey::of("sub_1 2027-01-15", at.plus_millis(1)).id("bill"),
        ];
        assert!(others.iter().all(|other| *other != key.id("bill")));
        let early = JobKey::of("x", Time::from_millis(-1)).id("bill");
        assert_eq!(early.time(), Time::from_millis(0));
    }
}
