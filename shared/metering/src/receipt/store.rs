//! A receipt:    pk ORG#<org>#RECEIPTS#<lease>     sk <tally>#<total>     (the total in hex at full width, so that text sorts as it does)
//!
//! All that it says is in its key: stored again it is the same item, and a larger one is another.

use std::collections::BTreeMap;

use anyhow::anyhow;
use futures::stream::{self, StreamExt, TryStreamExt};
use kernel::{LeaseId, OrgId, Result, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Put, Query, Record, Table, TableName};

use super::Receipt;
use crate::lease::{MOST_TALLIES, Tally};

/// Whoever gives a lease up needs them minutes after they were made; this outlasts a week in which nobody can.
const KEPT: i64 = 8 * Time::DAY;
/// Leases whose receipts are looked for at once.
const AT_ONCE: usize = 16;
/// Sorts behind every tally.
const LAST: &str = "~";

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ReceiptRecord {
    pk: String,
    sk: String,
    #[serde(skip)]
    kept_until: Option<Time>,
}

impl Record for ReceiptRecord {
    const KIND: &'static str = "receipt";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        Key::of(&self.pk, &self.sk)
    }

    fn expires_at(&self) -> Option<Time> {
        self.kept_until
    }
}

impl ReceiptRecord {
    fn of(receipt: &Receipt) -> Self {
        Self {
            pk: partition(receipt.org, receipt.lease),
            sk: format!("{}{:016x}", all_of(&receipt.tally), receipt.total),
            kept_until: Some(receipt.lease.time().plus_millis(KEPT)),
        }
    }

    fn read(&self) -> Option<(Tally, u64)> {
        let (tally, total) = self.sk.rsplit_once('#')?;
        Some((tally.parse().ok()?, u64::from_str_radix(total, 16).ok()?))
    }
}

fn partition(org: OrgId, lease: LeaseId) -> String {
    format!("ORG#{org}#RECEIPTS#{lease}")
}

/// What the places of a kind's receipts begin with.
fn all_of(tally: &Tally) -> String {
    format!("{tally}#")
}

/// What stores receipts, each by itself: the largest of each lease and kind.
pub fn puts<'a>(receipts: impl IntoIterator<Item = &'a Receipt>) -> Result<Vec<Put>> {
    let mut largest: BTreeMap<(LeaseId, &Tally), &Receipt> = BTreeMap::new();
    for receipt in receipts {
        let kept = largest.entry((receipt.lease, &receipt.tally)).or_insert(receipt);
        if receipt.total > kept.total {
            *kept = receipt;
        }
    }
    largest
        .into_values()
        .map(|receipt| Put::of(&ReceiptRecord::of(receipt)))
        .collect()
}

/// The largest receipt of each kind that is stored now. Costs by how many kinds there are, not by how many receipts: each
/// question is for the last one before the kind that was found last.
pub(crate) async fn largest(table: &Table, org: OrgId, lease: LeaseId) -> Result<BTreeMap<Tally, u64>> {
    let (pk, mut before, mut largest) = (partition(org, lease), LAST.to_owned(), BTreeMap::new());
    // The last question finds nothing.
    while largest.len() <= MOST_TALLIES {
        let query = Query::of(&pk, 1).between("0", &before).descending().consistent();
        let page = table.query::<ReceiptRecord>(query).await?;
        let Some(record) = page.records.first() else {
            return Ok(largest);
        };
        let (tally, total) = record
            .read()
            .ok_or_else(|| anyhow!("a receipt of lease {lease} that is none of ours"))?;
        before = all_of(&tally);
        largest.insert(tally, total);
    }
    Err(anyhow!("lease {lease} has receipts of more than {MOST_TALLIES} kinds").into())
}

/// The same of many leases of one organization.
pub(crate) async fn largest_of(
    table: &Table,
    org: OrgId,
    leases: impl IntoIterator<Item = LeaseId>,
) -> Result<BTreeMap<LeaseId, BTreeMap<Tally, u64>>> {
    let found = stream::iter(leases).map(async |lease| Ok((lease, largest(table, org, lease).await?)));
    found.buffer_unordered(AT_ONCE).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{ApiKeyId, ProjectId};
    use proptest::prelude::*;

    fn receipt(endpoint: &str, total: u64) -> Receipt {
        Receipt {
            org: OrgId::from_bits(1),
            lease: LeaseId::from_bits(2),
            tally: Tally {
                day: "2026-11-21".parse().unwrap(),
                project: ProjectId::from_bits(3),
                key: ApiKeyId::from_bits(4),
                endpoint: endpoint.to_owned(),
            },
            price: 1,
            total,
        }
    }

    proptest! {
        #[test]
        fn a_receipt_is_read_from_its_key_and_sorts_by_its_total(
            endpoint in "(GET|POST) /v1/[a-z/{}]{0,30}", one: u64, other: u64,
        ) {
            let [one, other] = [one, other].map(|total| receipt(&endpoint, total));
            let [first, second] = [&one, &other].map(ReceiptRecord::of);
            prop_assert_eq!(first.read(), Some((one.tally, one.total)));
            prop_assert_eq!(first.sk.cmp(&second.sk), one.total.cmp(&other.total));
            prop_assert!(first.sk.as_str() > "0" && first.sk.as_str() < LAST);
        }

        #[test]
        fn kinds_lie_one_after_the_other(
            one in "(GET|POST) /v1/[a-z/{}]{0,9}", other in "(GET|POST) /v1/[a-z/{}]{0,9}", totals: [u64; 2],
        ) {
            let [one, other] = [receipt(&one, totals[0]), receipt(&other, totals[1])];
            prop_assume!(one.tally != other.tally);
            // What is before a kind is before all of its receipts, and they are before what comes after it.
            let (place, bound) = (ReceiptRecord::of(&one).sk, all_of(&other.tally));
            let (own, lowest) = (ReceiptRecord::of(&other).sk, all_of(&one.tally));
            prop_assert_eq!(place < bound, place < own);
            prop_assert!(place > lowest);
        }
    }

    #[test]
    fn of_receipts_together_the_largest_of_a_kind_is_stored() {
        let receipts = [
            receipt("POST /a", 3),
            receipt("POST /b", 2),
            receipt("POST /a", 9),
            receipt("POST /a", 4),
        ];
        assert_eq!(puts(&receipts).unwrap().len(), 2);
        assert_eq!(puts(&[]).unwrap().len(), 0);
    }
}
