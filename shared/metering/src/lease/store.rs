//! A lease:      pk ORG#<org>#WALLET     sk LEASE#<lease>
//! An open one:  pk DUE#LEASE#<shard>    sk <endsAt>#<lease>       (whoever looks for those whose owners are gone)
//!
//! The latter is an item of its own, not an index: each report would change what an index shows, and cost as much again.
//!
//! What is sold of it are attributes of its item, by tally: `s:` what was reported, `r:` what its receipts said when it was given
//! up, `d:` what was sold in a transaction of its own, `b:` what was given back, `a:` what the wallet knows of; `p:` credits by
//! grant. Reports change them one by one, beside one another.

use std::collections::BTreeMap;

use kernel::{LeaseId, OrgId, Result, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use table::{Key, Page, Position, Query, Record, Table, TableName, Update, Updated, Write};

use super::{ClosedBy, Lease, Tally};
use crate::wallet::{self, amount};

/// Open leases are found in so many partitions of the index.
pub(crate) const SHARDS: u8 = 4;
/// A report may come as late as SQS keeps messages.
const KEPT: i64 = 15 * Time::DAY;
/// What `closed` says; the order matters to [`reported`].
const BY_FINDER: i64 = 1;
const BY_OWNER: i64 = 2;

/// A lease as it lies in the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeaseRecord {
    id: LeaseId,
    org: OrgId,
    ends_at: Time,
    units: u64,
    #[serde(default)]
    closed: Option<i64>,
    #[serde(default)]
    settled: u64,
    #[serde(default)]
    given_back: u64,
    #[serde(default)]
    direct: u64,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Record for LeaseRecord {
    const KIND: &'static str = "lease";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }
}

/// That a lease is open.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OpenLease {
    pub(crate) org: OrgId,
    pub(crate) lease: LeaseId,
    ends_at: Time,
}

impl Record for OpenLease {
    const KIND: &'static str = "open-lease";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        Key::of(due_in(shard(self.lease)), format!("{}#{}", self.ends_at, self.lease))
    }

    /// As it is never changed, it is always the first.
    fn version(&self) -> u64 {
        0
    }
}

impl OpenLease {
    /// Reads those of a shard that ended before a time, those that ended first first.
    pub(crate) async fn over(
        table: &Table,
        shard: u8,
        before: Time,
        limit: u16,
        after: Option<Position>,
    ) -> Result<Page<Self>> {
        let query = Query::of(due_in(shard), limit).between("0", before.to_string());
        table.query(query.after(after)).await
    }
}

fn key(org: OrgId, id: LeaseId) -> Key {
    Key::of(wallet::partition(org), format!("LEASE#{id}"))
}

fn due_in(shard: u8) -> String {
    format!("DUE#LEASE#{shard}")
}

fn shard(id: LeaseId) -> u8 {
    u8::try_from(id.bits() % u128::from(SHARDS)).unwrap_or(0)
}

impl From<LeaseRecord> for Lease {
    fn from(record: LeaseRecord) -> Self {
        let mut lease = Self::new(record.org, record.id, record.ends_at);
        for (name, value) in &record.rest {
            let (Some((kind, name)), Some(units)) = (name.split_once(':'), value.as_u64()) else {
                continue;
            };
            if kind == "p" {
                let Ok(grant) = name.parse() else { continue };
                lease.parts.insert(grant, units);
                continue;
            }
            let Ok(tally) = name.parse::<Tally>() else { continue };
            let sale = lease.sales.entry(tally).or_default();
            match kind {
                "s" => sale.reported = units,
                "r" => sale.received = units,
                "d" => sale.direct = units,
                "b" => sale.given_back = units,
                "a" => sale.applied = units,
                _ => {}
            }
        }
        lease.units = record.units;
        lease.closed = record.closed.map(|closed| match closed {
            BY_FINDER => ClosedBy::Finder,
            _ => ClosedBy::Owner,
        });
        lease.settled = record.settled;
        lease.given_back = record.given_back;
        lease.direct = record.direct;
        lease.written = lease.sales.clone();
        lease
    }
}

impl Lease {
    fn opened(&self) -> OpenLease {
        OpenLease {
            org: self.org,
            lease: self.id,
            ends_at: self.ends_at,
        }
    }

    /// What stores a new one.
    pub(crate) fn create(&self) -> Result<Vec<Write>> {
        let parts = self
            .parts
            .iter()
            .map(|(grant, units)| (format!("p:{grant}"), (*units).into()));
        let lease = Write::create(&LeaseRecord {
            id: self.id,
            org: self.org,
            ends_at: self.ends_at,
            units: self.units,
            closed: None,
            settled: 0,
            given_back: 0,
            direct: 0,
            rest: parts.collect(),
        })?;
        Ok(vec![lease, Write::put(&self.opened())?])
    }

    /// What adds to an open one the credits that it has more than `before`.
    pub(crate) fn add_more(&self, before: &Self) -> Write {
        let mut update = Update::of::<LeaseRecord>(&key(self.org, self.id))
            .add_number("units", amount(self.units - before.units))
            .if_more_than("units", 0)
            .if_absent("closed");
        for (grant, units) in &self.parts {
            let more = units - before.part(*grant).unwrap_or(0);
            if more > 0 {
                update = update.add_number(&format!("p:{grant}"), amount(more));
            }
        }
        update.into()
    }

    /// What stores that the wallet is up to date with it, if nobody else brought it so, and nothing was added, given back or
    /// sold directly, since it was read.
    pub(crate) fn save(&self, now: Time) -> Vec<Write> {
        let closed = match self.closed {
            Some(ClosedBy::Owner) => BY_OWNER,
            Some(ClosedBy::Finder) | None => BY_FINDER,
        };
        let mut update = Update::of::<LeaseRecord>(&key(self.org, self.id))
            .set_number("closed", closed)
            .expires_at(now.plus_millis(KEPT))
            .add_number("settled", 1)
            .if_number("settled", amount(self.settled))
            .if_number("givenBack", amount(self.given_back))
            .if_number("direct", amount(self.direct))
            .if_number("units", amount(self.units));
        for (tally, sale) in &self.sales {
            let before = self.written.get(tally).copied().unwrap_or_default();
            // What a report has raised meanwhile is the next one's to settle: only the owner's word replaces it.
            if self.closed == Some(ClosedBy::Owner) && sale.reported != before.reported {
                update = update.set_number(&format!("s:{tally}"), amount(sale.reported));
            }
            if sale.received != before.received {
                update = update.set_number(&format!("r:{tally}"), amount(sale.received));
            }
            if sale.applied != before.applied {
                update = update.set_number(&format!("a:{tally}"), amount(sale.applied));
            }
        }
        let mut writes = vec![update.into()];
        if self.settled == 0 {
            writes.push(Write::remove(&self.opened()));
        }
        writes
    }

    /// Reads one as it is now.
    pub(crate) async fn load(table: &Table, org: OrgId, id: LeaseId) -> Result<Option<Self>> {
        Ok(table.get::<LeaseRecord>(&key(org, id)).await?.map(Into::into))
    }

    /// Reads many as they are now.
    pub(crate) async fn load_many(table: &Table, org: OrgId, ids: &[LeaseId]) -> Result<Vec<Self>> {
        let keys: Vec<Key> = ids.iter().map(|id| key(org, *id)).collect();
        let found = table.get_many::<LeaseRecord>(&keys, true).await?;
        Ok(found.into_iter().map(Into::into).collect())
    }
}

/// Says that so much was given back: in the transaction that finds it out, so it is said once.
pub(crate) fn given_back(org: OrgId, id: LeaseId, sales: &BTreeMap<Tally, u64>) -> Write {
    let update = Update::of::<LeaseRecord>(&key(org, id)).add_number("givenBack", 1);
    let add = |update: Update, (tally, units): (&Tally, &u64)| update.add_number(&format!("b:{tally}"), amount(*units));
    sales.iter().fold(update, add).into()
}

/// Says that so much was sold: in the transaction of what it pays for. Its condition does not hold once the lease is closed.
pub(crate) fn sold_directly(org: OrgId, id: LeaseId, tally: &Tally, credits: u64) -> Write {
    Update::of::<LeaseRecord>(&key(org, id))
        .add_number("direct", 1)
        .add_number(&format!("d:{tally}"), amount(credits))
        .if_absent("closed")
        .if_more_than("units", 0)
        .into()
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// The lease is open, and will be settled with it.
    Open,
    /// The lease was closed before; it is as this now.
    Closed(Lease),
    /// There is no such lease.
    Nowhere,
}

/// Reports that so much was sold in all. What is smaller than what was reported before changes nothing, nor does any report
/// of a lease that its owner closed. As a rule the lease is open, so nothing is asked to be told of it.
pub(crate) async fn reported(table: &Table, org: OrgId, id: LeaseId, tally: &Tally, total: u64) -> Result<Reported> {
    let (name, total) = (format!("s:{tally}"), amount(total));
    let report = Update::of::<LeaseRecord>(&key(org, id))
        .set_number(&name, total)
        .if_more_than("units", 0)
        .if_absent_or_at_most(&name, total - 1);
    let there = match table.change::<LeaseRecord>(report.clone().if_absent("closed")).await? {
        Ok(()) => return Ok(Reported::Open),
        Err(None) => return Ok(Reported::Nowhere),
        Err(Some(record)) => Lease::from(record),
    };
    if there.is_open() {
        // More was reported already.
        return Ok(Reported::Open);
    }
    let update = report.if_absent_or_at_most("closed", BY_FINDER);
    Ok(match table.update::<LeaseRecord>(update).await? {
        Updated::Done(record) | Updated::Refused(Some(record)) => Reported::Closed(record.into()),
        Updated::Refused(None) => Reported::Nowhere,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Sale;
    use kernel::{ApiKeyId, CreditGrantId, ProjectId};
    use serde_json::json;

    #[test]
    fn a_lease_is_read_from_its_attributes() {
        let (org, id, grant) = (OrgId::from_bits(1), LeaseId::from_bits(2), CreditGrantId::from_bits(3));
        let tally = Tally {
            day: "2026-11-21".parse().unwrap(),
            project: ProjectId::from_bits(4),
            key: ApiKeyId::from_bits(5),
            endpoint: "POST /v1/ingest/event".to_owned(),
        };
        let record: LeaseRecord = serde_json::from_value(json!({
            "id": id, "org": org, "endsAt": "2026-11-21T10:00:00.000Z", "units": 10, "closed": 1, "settled": 2,
            "givenBack": 1, "direct": 2, (format!("p:{grant}")): 10, (format!("s:{tally}")): 5, (format!("d:{tally}")): 2, (format!("b:{tally}")): 2,
            (format!("r:{tally}")): 4, (format!("a:{tally}")): 4, "pk": "x", "z:what": 3, "s:what": 9,
        }))
        .unwrap();
        let lease = Lease::from(record);
        let sale = Sale {
            reported: 5,
            received: 4,
            direct: 2,
            given_back: 2,
            applied: 4,
        };
        assert_eq!(lease.sales, BTreeMap::from([(tally, sale)]));
        assert_eq!((lease.due(), lease.applied(), lease.is_behind()), (5, 4, true));
        assert_eq!((lease.part(grant), lease.closed), (Some(10), Some(ClosedBy::Finder)));
    }
}
