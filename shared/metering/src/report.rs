//! What becomes of receipts that are not stored with what they pay for: they are reported to their lease. And what is given
//! back of leases, for it cost nothing after all.

use std::collections::BTreeMap;

use app::App;
use futures::future::join_all;
use kernel::{LeaseId, OrgId, Result};
use table::Write;

use crate::lease::{self, Reported, Tally};
use crate::receipt::Receipt;
use crate::wallet::Wallet;

/// What is given back of leases, to be written in the transaction that finds it out.
#[derive(Clone, Debug, Default)]
pub struct Refunds(BTreeMap<(OrgId, LeaseId), BTreeMap<Tally, u64>>);

impl Refunds {
    /// Adds so many of the operations of a receipt.
    pub fn add(&mut self, receipt: &Receipt, times: u64) {
        let credits = receipt.price.saturating_mul(times);
        if credits > 0 {
            let sales = self.0.entry((receipt.org, receipt.lease)).or_default();
            *sales.entry(receipt.tally.clone()).or_default() += credits;
        }
    }

    /// The writes: one for each lease.
    pub fn writes(&self) -> Vec<Write> {
        self.0
            .iter()
            .map(|((org, lease), sales)| lease::given_back(*org, *lease, sales))
            .collect()
    }
}

/// Reports what was sold, once what it paid for is durable. An error if a receipt could not be reported: it must come again.
/// Reporting one twice, or after a later one, changes nothing.
pub async fn report(app: &App, receipts: impl IntoIterator<Item = Receipt>) -> Result<()> {
    let mut totals: BTreeMap<(OrgId, LeaseId), BTreeMap<Tally, u64>> = BTreeMap::new();
    for receipt in receipts {
        let tallies = totals.entry((receipt.org, receipt.lease)).or_default();
        let total = tallies.entry(receipt.tally).or_default();
        *total = receipt.total.max(*total);
    }
    let reports = totals
        .into_iter()
        .map(|((org, lease), tallies)| report_lease(app, org, lease, tallies));
    join_all(reports).await.into_iter().collect()
}

async fn report_lease(app: &App, org: OrgId, id: LeaseId, tallies: BTreeMap<Tally, u64>) -> Result<()> {
    let mut is_behind = false;
    for (tally, total) in tallies {
        match lease::reported(&app.table, org, id, &tally, total).await? {
            Reported::Open => is_behind = false,
            Reported::Closed(lease) => is_behind = lease.is_behind(),
            Reported::Nowhere => {
                tracing::error!(lease.id = %id, org.id = %org, total, "a report is later than its lease is kept");
            }
        }
    }
    if is_behind {
        // It was given up before this came, or closed before it was known what cost nothing.
        tracing::warn!(lease.id = %id, org.id = %org, "a report came after its lease was settled");
        Wallet::settle_lease(app, org, id, |lease| lease.is_behind()).await?;
    }
    Ok(())
}
