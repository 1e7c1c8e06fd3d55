//! Addresses that get no mail, or none that they can do without: what came back from them, and who reported ours as unwanted.
//! Pure: what happened is passed in, in any order and as often as it comes.
//!
//! - Mail that came back for good: the address gets none at all, from nobody.
//! - A complaint: the address gets no optional mail, from nobody.
//! - Mail that came back for now, of one organization on three different days: the address gets no optional mail of that one.
//!
//! Until somebody re-enables the address: then what happened before counts no more, however late it is told. Whose address it is
//! lifts all of it; an organization what its own mails alone have brought. The service's list of this account's addresses is not
//! ours, so what it holds back because of that is no news.

mod feedback;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use jobs::Owner;
use kernel::{Error, Result, Time};
use serde::{Deserialize, Serialize};

pub use feedback::{Feedback, OWNER_TAG};

/// Mail that came back for now counts as many days …
const DAYS: usize = 3;
/// … of so many in a row, …
const WITHIN: i64 = 90;
/// … of so many organizations: of more, those of the longest ago are forgotten.
const MOST_OWNERS: usize = 50;
/// Stands for an organization that the service did not tell: what it sent counts against all.
const ANYBODY: &str = "?";

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppression {
    /// The SHA-256 of the address, which is kept nowhere here.
    address: String,
    /// When mail to it came back for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permanent_at: Option<Time>,
    /// Whose mail did; nobody's if that was before it was kept.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    permanent_by: BTreeSet<String>,
    /// When its reader reported mail of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    complained_at: Option<Time>,
    /// Whose mail that was.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    complained_by: BTreeSet<String>,
    /// On which days, since 1970, mail to it came back for now, by whose it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    bounced: BTreeMap<String, Vec<i64>>,
    /// When whose it is last re-enabled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reenabled_at: Option<Time>,
    /// When others last re-enabled it for their own mails.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    reenabled_by: BTreeMap<String, Time>,
    #[serde(default)]
    version: u64,
}

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It came back, and so would any other.
    Permanent,
    /// It came back; another may not.
    Transient,
    /// Its reader reported it.
    Complaint,
}

/// What became of a mail to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What.
    pub fate: Fate,
    /// When.
    pub at: Time,
    /// Whose mail it was, if that is known.
    pub owner: Option<Owner>,
}

impl Suppression {
    /// What is known of an address that nothing was heard of. `address` as [`kernel::mailbox::known_by`] has it.
    fn none(address: &str) -> Self {
        Self {
            address: hash(address),
            permanent_at: None,
            permanent_by: BTreeSet::new(),
            complained_at: None,
            complained_by: BTreeSet::new(),
            bounced: BTreeMap::new(),
            reenabled_at: None,
            reenabled_by: BTreeMap::new(),
            version: 0,
        }
    }

    /// Why a mail of this owner is not sent, for whoever looks at its job; nothing if it is.
    pub fn silences(&self, owner: Owner, is_optional: bool) -> Option<&'static str> {
        if self.permanent_at.is_some() {
            return Some("mail to this address came back for good; nothing is sent until somebody re-enables it");
        }
        if !is_optional {
            return None;
        }
        if self.complained_at.is_some() {
            return Some("its reader reported mail as unwanted; nothing optional is sent until somebody re-enables it");
        }
        let is_full = |name: &str| self.bounced.get(name).is_some_and(|days| days.len() >= DAYS);
        let bounced = is_full(&owner.to_string()) || is_full(ANYBODY);
        bounced.then_some(
            "mail to this address came back on three days; nothing optional is sent until somebody re-enables it",
        )
    }

    /// Takes down what became of a mail; says whether that is news.
    fn hear(&mut self, news: &News) -> bool {
        let whose = whose(news);
        let since = self.reenabled_at.max(self.reenabled_by.get(&whose).copied());
        if since.is_some_and(|since| news.at <= since) {
            return false;
        }
        let (mark, by) = match news.fate {
            Fate::Permanent => (&mut self.permanent_at, &mut self.permanent_by),
            Fate::Complaint => (&mut self.complained_at, &mut self.complained_by),
            Fate::Transient => return self.hear_for_now(news),
        };
        let is_new = mark.is_none();
        mark.get_or_insert(news.at);
        let is_another = by.len() < MOST_OWNERS && by.insert(whose);
        is_new || is_another
    }

    fn hear_for_now(&mut self, news: &News) -> bool {
        let owner = whose(news);
        let day = news.at.millis().div_euclid(Time::DAY);
        let days = self.bounced.entry(owner).or_default();
        if days.len() >= DAYS || days.contains(&day) {
            return false;
        }
        let before = days.clone();
        days.push(day);
        days.sort_unstable();
        let newest = days.last().copied().unwrap_or(day);
        days.retain(|day| newest - day < WITHIN);
        let is_new = *days != before;
        while self.bounced.len() > MOST_OWNERS {
            let oldest = self.bounced.iter().min_by_key(|(_, days)| days.last().copied());
            let Some(oldest) = oldest.map(|(owner, _)| owner.clone()) else {
                break;
            };
            self.bounced.remove(&oldest);
        }
        is_new
    }

    /// Lets it have mail again; says whether that changes anything.
    fn reenable(&mut self, now: Time) -> bool {
        let was_silent = self.permanent_at.is_some() || self.complained_at.is_some() || !self.bounced.is_empty();
        if was_silent {
            (self.permanent_at, self.complained_at) = (None, None);
            self.permanent_by.clear();
            self.complained_by.clear();
            self.bounced.clear();
            self.reenabled_at = Some(now);
        }
        was_silent
    }

    /// Lets it have an owner's mail again, if nobody else's mail holds it back: else 409 `suppressed_by_others`. Says whether that
    /// changes anything.
    fn reenable_for(&mut self, owner: Owner, now: Time) -> Result<bool> {
        let name = owner.to_string();
        let mut after = self.clone();
        if self.permanent_by.iter().eq([&name]) {
            after.permanent_at = None;
            after.permanent_by.clear();
        }
        if self.complained_by.iter().eq([&name]) {
            after.complained_at = None;
            after.complained_by.clear();
        }
        after.bounced.remove(&name);
        if after.silences(owner, true).is_some() {
            let detail = "mail of others came back from this address or was reported there; whoever reads its mail re-enables it, \
                          logged in, once they have confirmed it";
            return Err(Error::refused("suppressed_by_others", detail));
        }
        if after == *self {
            return Ok(false);
        }
        after.reenabled_by.insert(name, now);
        while after.reenabled_by.len() > MOST_OWNERS {
            let oldest = after.reenabled_by.iter().min_by_key(|(_, at)| **at);
            let Some(oldest) = oldest.map(|(owner, _)| owner.clone()) else {
                break;
            };
            after.reenabled_by.remove(&oldest);
        }
        *self = after;
        Ok(true)
    }
}

fn whose(news: &News) -> String {
    news.owner.map_or_else(|| ANYBODY.to_owned(), |owner| owner.to_string())
}

fn hash(address: &str) -> String {
    hex::encode(digest(&SHA256, address.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::OrgId;
    use proptest::prelude::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn owner(number: u128) -> Owner {
        Owner::Org(OrgId::from_bits(number))
    }

    fn news(fate: Fate, day: i64, of: u128) -> News {
        News {
            fate,
            at: NOW.plus_millis(day * Time::DAY),
            owner: Some(owner(of)),
        }
    }

    fn after(all: &[News]) -> Suppression {
        let mut known = Suppression::none("a@b.co");
        for news in all {
            known.hear(news);
        }
        known
    }

    /// Whether an organization's mail goes: such as must, and such as may.
    fn goes(known: &Suppression, of: u128) -> (bool, bool) {
        let goes = |optional| known.silences(owner(of), optional).is_none();
        (goes(false), goes(true))
    }

    #[test]
    fn what_came_back_for_good_silences_all() {
        let known = after(&[news(Fate::Permanent, 0, 1)]);
        assert_eq!((goes(&known, 1), goes(&known, 2)), ((false, false), (false, false)));
    }

    #[test]
    fn a_complaint_silences_what_is_optional() {
        let known = after(&[news(Fate::Complaint, 0, 1)]);
        assert_eq!((goes(&known, 1), goes(&known, 2)), ((true, false), (true, false)));
    }

    #[test]
    fn a_full_mailbox_counts_on_the_third_day_and_for_its_own_sender() {
        let [first, second, third] = [0, 1, 5].map(|day| news(Fate::Transient, day, 1));
        assert_eq!(
            goes(&after(&[first.clone(), first.clone(), second.clone()]), 1),
            (true, true)
        );
        let known = after(&[third, first.clone(), second, first]);
        assert_eq!((goes(&known, 1), goes(&known, 2)), ((true, false), (true, true)));
        let slow = [0, 80, 160].map(|day| news(Fate::Transient, day, 1));
        assert_eq!(
            goes(&after(&slow), 1),
            (true, true),
            "three days of half a year are none of a dead mailbox"
        );
        let of_nobody = [0, 1, 2].map(|day| News {
            owner: None,
            ..news(Fate::Transient, day, 1)
        });
        assert_eq!(goes(&after(&of_nobody), 7), (true, false));
    }

    #[test]
    fn who_was_reenabled_hears_nothing_of_before() {
        let mut known = after(&[news(Fate::Permanent, 0, 1), news(Fate::Complaint, 0, 1)]);
        assert!(known.reenable(NOW.plus_millis(Time::DAY)));
        assert_eq!(goes(&known, 1), (true, true));
        assert!(!known.hear(&news(Fate::Permanent, 0, 1)) && !known.hear(&news(Fate::Complaint, 1, 1)));
        assert!(!known.reenable(NOW.plus_millis(Time::DAY)), "which it is");
        assert!(known.hear(&news(Fate::Permanent, 2, 1)));
    }

    #[test]
    fn an_owner_lifts_what_its_own_mails_brought_and_nothing_else() {
        let later = NOW.plus_millis(Time::DAY);
        for fate in [Fate::Permanent, Fate::Complaint] {
            let mut known = after(&[news(fate, 0, 1)]);
            let before = known.clone();
            let refused = known.reenable_for(owner(2), later);
            assert!(matches!(
                refused,
                Err(Error::Refused {
                    code: "suppressed_by_others",
                    ..
                })
            ));
            assert_eq!(known, before);
            assert!(known.reenable_for(owner(1), later).unwrap());
            assert_eq!(goes(&known, 1), (true, true));
            assert!(!known.hear(&news(fate, 0, 1)), "it was before");
            assert!(!known.reenable_for(owner(1), later).unwrap(), "which it is");
            assert!(known.hear(&news(fate, 0, 2)), "another's counts");
            let mut both = after(&[news(fate, 0, 1), news(fate, 0, 2)]);
            assert!(both.reenable_for(owner(1), later).is_err());
            let of_nobody = News {
                owner: None,
                ..news(fate, 0, 1)
            };
            assert!(after(&[of_nobody]).reenable_for(owner(1), later).is_err());
        }
        let days = [0, 1, 2].map(|day| news(Fate::Transient, day, 1));
        let mut known = after(&days);
        assert!(!known.reenable_for(owner(2), later).unwrap());
        assert_eq!(goes(&known, 1), (true, false));
        assert!(known.reenable_for(owner(1), NOW.plus_millis(3 * Time::DAY)).unwrap());
        assert_eq!(goes(&known, 1), (true, true));
    }

    #[test]
    fn it_holds_so_much_and_no_more() {
        let all: Vec<News> = (0..200).map(|of| news(Fate::Transient, 0, of)).collect();
        assert_eq!(after(&all).bounced.len(), MOST_OWNERS);
        let all_gone: Vec<News> = (0..200).map(|of| news(Fate::Permanent, 0, of)).collect();
        assert_eq!(after(&all_gone).permanent_by.len(), MOST_OWNERS);
        assert!(!serde_json::to_string(&after(&all)).unwrap().contains("a@b.co"));
    }

    fn any_news() -> impl Strategy<Value = News> {
        let fates = prop::sample::select(vec![Fate::Permanent, Fate::Transient, Fate::Complaint]);
        (fates, 0_i64..20, 1_u128..3).prop_map(|(fate, day, of)| news(fate, day, of))
    }

    proptest! {
        #[test]
        fn neither_order_nor_repeats_change_what_goes(
            all in prop::collection::vec(any_news(), 0..12).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
        ) {
            let (given, mut shuffled) = all;
            shuffled.extend(given.iter().rev().cloned());
            let (one, other) = (after(&given), after(&shuffled));
            for of in 1..3 {
                prop_assert_eq!(goes(&one, of), goes(&other, of));
            }
        }
    }
}
