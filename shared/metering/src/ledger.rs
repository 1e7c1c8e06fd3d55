//! The ledger of a wallet: every credit that moves is an entry whose lines sum to zero. Appended to, never changed. Pure.

mod store;

use kernel::{LedgerEntryId, OrgId, Time};
use serde::{Deserialize, Serialize};

pub use store::list;

/// What credits move between. The credits of an open lease are in `balance` still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Account {
    /// Where credits come from: minus what was granted.
    Granted,
    /// What can be spent.
    Balance,
    /// What was spent.
    Spent,
    /// What ended unspent.
    Expired,
    /// What was used without being there.
    Debt,
    /// Minus that.
    Uncovered,
}

/// Credits that moved, all for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its id.
    pub id: LedgerEntryId,
    /// In whose wallet.
    pub org: OrgId,
    /// When.
    pub at: Time,
    /// Why, in words.
    pub reason: String,
    /// From where to where. Sums to zero.
    pub lines: Vec<(Account, i64)>,
}

impl Entry {
    /// # Panics
    /// Never: what makes entries takes from one account what it adds to another.
    pub(crate) fn new(now: Time, org: OrgId, reason: &str, lines: Vec<(Account, i64)>) -> Self {
        debug_assert_eq!(lines.iter().map(|(_, amount)| amount).sum::<i64>(), 0);
        Self {
            id: LedgerEntryId::new(now),
            org,
            at: now,
            reason: reason.to_owned(),
            lines: lines.into_iter().filter(|(_, amount)| *amount != 0).collect(),
        }
    }
}

/// One line of the ledger, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineView {
    /// Its id.
    #[schema(example = "len_01k9b2v0e4f8p6q3r5s7t9w1x2-1")]
    pub id: String,
    /// The entry it belongs to: the amounts of one entry sum to zero.
    pub entry_id: LedgerEntryId,
    /// Of which account.
    pub account: Account,
    /// How many credits it gains; negative if it loses them.
    pub amount: i64,
    /// Why.
    #[schema(example = "usage")]
    pub reason: String,
    /// When.
    pub at: Time,
}

impl LineView {
    /// Shows the lines of an entry.
    pub fn of(entry: &Entry) -> impl Iterator<Item = Self> + '_ {
        (1..).zip(&entry.lines).map(|(number, (account, amount))| Self {
            id: format!("{}-{number}", entry.id),
            entry_id: entry.id,
            account: *account,
            amount: *amount,
            reason: entry.reason.clone(),
            at: entry.at,
        })
    }
}
