//! What is stored of a request.
//!
//! One:   pk <owner>#IDEMPOTENCY   sk <hash of owner, route and key>   (gone a day after it counts for nothing any more)

use kernel::Time;
use kernel::origin::Claim;
use serde::{Deserialize, Serialize};
use table::{Key, Record, TableName};

/// After this a request counts as crashed: twice the longest timeout of a function that serves HTTP.
pub const LEASE: i64 = 30 * Time::SECOND;
/// A reply is replayed, and an effect remembered, for this long.
pub const MEMORY: i64 = Time::DAY;

/// A request that was seen, and its reply once there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seen {
    pub(crate) owner: String,
    pub(crate) name: String,
    #[serde(with = "serde_bytes")]
    pub(crate) fingerprint: Vec<u8>,
    /// In flight until then; remembered until then once `status` is there.
    pub(crate) until: Time,
    /// What was begun, to be resumed.
    pub(crate) begun: Option<String>,
    /// What was done.
    pub(crate) effect: Option<String>,
    /// What was replied.
    pub(crate) status: Option<u16>,
    pub(crate) content_type: Option<String>,
    /// Sealed.
    #[serde(default, with = "serde_bytes")]
    pub(crate) reply: Vec<u8>,
    #[serde(default)]
    pub(crate) version: u64,
}

impl Record for Seen {
    const KIND: &'static str = "idempotency";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(&self.owner, &self.name)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.until.plus_millis(MEMORY))
    }
}

pub(crate) fn key(owner: &str, name: &str) -> Key {
    Key::of(format!("{owner}#IDEMPOTENCY"), name)
}

/// What becomes of a request whose key was seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It gets the reply that was stored, with this status.
    Replay(u16),
    /// Somebody works on it.
    InFlight,
    /// The key is another request's.
    Reused,
    /// It was done, and nobody knows its reply.
    Done(String),
    /// The key is free: nothing was done, or the rest of what was begun is to be.
    Free(Option<String>),
}

impl Seen {
    /// A claim's record, saying nothing more.
    pub(crate) fn of(claim: &Claim) -> Self {
        Self {
            owner: claim.owner.clone(),
            name: claim.name.clone(),
            fingerprint: claim.fingerprint.clone(),
            until: claim.until,
            begun: None,
            effect: None,
            status: None,
            content_type: None,
            reply: Vec::new(),
            version: claim.progress.last().version,
        }
    }

    /// Decides about a request at `now`, which is the same one or another one with the same key.
    pub(crate) fn judge(&self, now: Time, is_same: bool) -> Verdict {
        let remembered = self.until.plus_millis(MEMORY) > now;
        // What was done or begun without a known reply lasts longer than a reply does.
        let unanswered = self.status.is_none() && (self.effect.is_some() || self.begun.is_some());
        let lasting = remembered && unanswered;
        let running = self.until > now;
        if (running || lasting) && !is_same {
            return Verdict::Reused;
        }
        match (self.status, &self.effect) {
            (Some(status), _) if running => Verdict::Replay(status),
            // A reply that is old enough to be forgotten frees its key.
            (Some(_), _) => Verdict::Free(None),
            (None, _) if running => Verdict::InFlight,
            (None, Some(effect)) if remembered => Verdict::Done(effect.clone()),
            (None, _) => Verdict::Free(self.begun.clone().filter(|_| remembered)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn seen() -> Seen {
        Seen {
            owner: "ORG".to_owned(),
            name: "name".to_owned(),
            fingerprint: Vec::new(),
            until: NOW.plus_millis(LEASE),
            begun: None,
            effect: None,
            status: None,
            content_type: None,
            reply: Vec::new(),
            version: 1,
        }
    }

    /// What a seen request makes of the same one, and of another one, so long after its claim.
    #[track_caller]
    fn check(seen: &Seen, after: i64, same: Verdict, other: Verdict) {
        let now = NOW.plus_millis(after);
        assert_eq!(
            (seen.judge(now, true), seen.judge(now, false)),
            (same, other),
            "{after}"
        );
    }

    #[test]
    fn what_had_no_effect_is_free_after_its_lease() {
        check(&seen(), LEASE - 1, Verdict::InFlight, Verdict::Reused);
        check(&seen(), LEASE, Verdict::Free(None), Verdict::Free(None));
    }

    #[test]
    fn an_effect_without_a_reply_is_told_and_not_repeated_for_a_day() {
        let done = Seen {
            effect: Some("project prj_1".to_owned()),
            ..seen()
        };
        let told = || Verdict::Done("project prj_1".to_owned());
        check(&done, LEASE - 1, Verdict::InFlight, Verdict::Reused);
        check(&done, LEASE, told(), Verdict::Reused);
        check(&done, LEASE + MEMORY - 1, told(), Verdict::Reused);
        check(&done, LEASE + MEMORY, Verdict::Free(None), Verdict::Free(None));
    }

    #[test]
    fn what_was_begun_is_resumed() {
        let begun = Seen {
            begun: Some("payment pay_1".to_owned()),
            ..seen()
        };
        let resumed = || Verdict::Free(Some("payment pay_1".to_owned()));
        check(&begun, LEASE - 1, Verdict::InFlight, Verdict::Reused);
        check(&begun, LEASE, resumed(), Verdict::Reused);
        check(&begun, LEASE + MEMORY, Verdict::Free(None), Verdict::Free(None));
    }

    #[test]
    fn a_reply_is_replayed_for_as_long_as_it_is_remembered() {
        let replied = Seen {
            effect: Some("project prj_1".to_owned()),
            status: Some(201),
            until: NOW.plus_millis(MEMORY),
            ..seen()
        };
        check(&replied, MEMORY - 1, Verdict::Replay(201), Verdict::Reused);
        check(&replied, MEMORY, Verdict::Free(None), Verdict::Free(None));
    }
}
