//! A lease of a wallet: credits that one process spends, and what was sold of them. Pure: time is passed in.
//!
//! Reports of sales are cumulative, by what was sold: the largest counts, so one that comes twice or late changes nothing. What
//! is sold with a write of its own is added in that write's transaction instead, and is in no report.
//! What turned out to cost nothing, an event that was counted before, is given back, each once. A lease is settled when its
//! owner closes it, who knows exactly what was sold; or, when the owner is heard of no more, by what was reported and by the
//! receipts that were stored.

mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use kernel::{ApiKeyId, CreditGrantId, Day, LeaseId, OrgId, ProjectId, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(crate) use store::{OpenLease, Reported, SHARDS, given_back, reported, sold_directly};

/// So many kinds of sales one lease counts.
pub const MOST_TALLIES: usize = 32;

/// What is sold, as usage tells it apart. As text: the four with `|` between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tally {
    /// The day, in the zone of the organization.
    pub day: Day,
    /// To which project.
    pub project: ProjectId,
    /// With which key.
    pub key: ApiKeyId,
    /// By which method of which path.
    pub endpoint: String,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            day,
            project,
            key,
            endpoint,
        } = self;
        write!(f, "{day}|{project}|{key}|{endpoint}")
    }
}

/// Says that a text is no tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no tally")]
pub struct NotATally;

impl FromStr for Tally {
    type Err = NotATally;

    fn from_str(text: &str) -> Result<Self, NotATally> {
        let parts: Vec<&str> = text.splitn(4, '|').collect();
        let [day, project, key, endpoint] = parts.as_slice() else {
            return Err(NotATally);
        };
        Ok(Self {
            day: day.parse().map_err(|_| NotATally)?,
            project: project.parse().map_err(|_| NotATally)?,
            key: key.parse().map_err(|_| NotATally)?,
            endpoint: (*endpoint).to_owned(),
        })
    }
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Who ended a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// Its process, whose word is the last.
    Owner,
    /// Somebody who found it long over: reports may still come.
    Finder,
}

/// How much was sold of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sale {
    /// The largest count that was reported to the lease.
    pub reported: u64,
    /// The largest count of the receipts, once the lease was given up.
    pub received: u64,
    /// What was written in the transactions of what it paid for, besides.
    pub direct: u64,
    /// What of it cost nothing after all.
    pub given_back: u64,
    /// What the wallet knows of.
    pub applied: u64,
}

impl Sale {
    fn due(self) -> u64 {
        (self.reported.max(self.received) + self.direct).saturating_sub(self.given_back)
    }
}

/// Credits that one process spends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// Whose wallet it is of.
    pub org: OrgId,
    /// Nothing of it is spent from then on.
    pub ends_at: Time,
    /// How many credits it holds.
    pub units: u64,
    /// From which grants.
    parts: BTreeMap<CreditGrantId, u64>,
    /// What was sold.
    pub(crate) sales: BTreeMap<Tally, Sale>,
    /// Who ended it; nobody while it is open.
    pub closed: Option<ClosedBy>,
    /// How often the wallet was brought up to date with it.
    settled: u64,
    /// How often something was given back.
    given_back: u64,
    /// How often something was written directly.
    direct: u64,
    /// What its sales were when it was read or last written.
    written: BTreeMap<Tally, Sale>,
}

impl Lease {
    pub(crate) fn new(org: OrgId, id: LeaseId, ends_at: Time) -> Self {
        Self {
            id,
            org,
            ends_at,
            units: 0,
            parts: BTreeMap::new(),
            sales: BTreeMap::new(),
            closed: None,
            settled: 0,
            given_back: 0,
            direct: 0,
            written: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, grant: CreditGrantId, units: u64, grant_ends: Option<Time>) {
        *self.parts.entry(grant).or_default() += units;
        self.units += units;
        self.ends_at = grant_ends.map_or(self.ends_at, |end| self.ends_at.min(end));
    }

    /// Whether its process may still spend of it or close it.
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    pub(crate) fn part(&self, grant: CreditGrantId) -> Option<u64> {
        self.parts.get(&grant).copied()
    }

    pub(crate) fn first_part(&self) -> Option<CreditGrantId> {
        self.parts.keys().next().copied()
    }

    /// What was sold of it, as far as is known.
    pub fn due(&self) -> u64 {
        self.sales.values().map(|sale| sale.due()).sum()
    }

    /// What of that the wallet knows of.
    pub(crate) fn applied(&self) -> u64 {
        self.sales.values().map(|sale| sale.applied).sum()
    }

    /// Whether the wallet does not know all that is known of it.
    pub(crate) fn is_behind(&self) -> bool {
        !self.is_open() && self.sales.values().any(|sale| sale.due() != sale.applied)
    }

    /// Notes that the wallet is up to date with it.
    pub(crate) fn apply(&mut self) {
        for sale in self.sales.values_mut() {
            sale.applied = sale.due();
        }
    }

    /// Ends it by its owner's word on what was sold.
    pub(crate) fn close(&mut self, sold: &BTreeMap<Tally, u64>) {
        self.closed = Some(ClosedBy::Owner);
        for sale in self.sales.values_mut() {
            (sale.reported, sale.received) = (0, 0);
        }
        for (tally, units) in sold {
            self.sales.entry(tally.clone()).or_default().reported = *units;
        }
    }

    /// Ends it by what was reported and by its receipts, for its owner is heard of no more.
    pub(crate) fn give_up(&mut self, receipts: &BTreeMap<Tally, u64>) {
        self.closed = Some(ClosedBy::Finder);
        self.receive(receipts);
    }

    /// Takes what its receipts say.
    pub(crate) fn receive(&mut self, receipts: &BTreeMap<Tally, u64>) {
        for (tally, total) in receipts {
            let sale = self.sales.entry(tally.clone()).or_default();
            sale.received = sale.received.max(*total);
        }
    }

    /// What usage gains by what was applied since it was read.
    pub(crate) fn used(&self) -> impl Iterator<Item = (&Tally, i64)> {
        self.sales.iter().filter_map(|(tally, sale)| {
            let before = self.written.get(tally).map_or(0, |sale| sale.applied);
            let more = crate::wallet::amount(sale.applied) - crate::wallet::amount(before);
            (more != 0).then_some((tally, more))
        })
    }

    /// What is sold and not yet in the usage.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = (&Tally, u64)> {
        let open = self.is_open();
        self.sales
            .iter()
            .filter(move |_| open)
            .map(|(tally, sale)| (tally, sale.due()))
    }
}

#[cfg(test)]
impl Lease {
    /// A report arrives.
    pub(crate) fn note_report(&mut self, tally: &Tally, total: u64) {
        if self.closed != Some(ClosedBy::Owner) {
            let sale = self.sales.entry(tally.clone()).or_default();
            sale.reported = sale.reported.max(total);
        }
    }

    /// Something turns out to cost nothing.
    pub(crate) fn note_given_back(&mut self, tally: &Tally, units: u64) {
        self.sales.entry(tally.clone()).or_default().given_back += units;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tally_is_read_as_it_was_written(project: u128, key: u128, endpoint in "(GET|POST) /v1/[a-z/{}|]{0,30}") {
            let tally = Tally {
                day: "2026-11-21".parse().unwrap(),
                project: ProjectId::from_bits(project),
                key: ApiKeyId::from_bits(key),
                endpoint,
            };
            prop_assert_eq!(tally.to_string().parse(), Ok(tally));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-z_|-]{0,80}") {
            let _ = text.parse::<Tally>();
        }
    }
}
