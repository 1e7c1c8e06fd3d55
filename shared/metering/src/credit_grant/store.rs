//! A credit grant:   pk ORG#<org>#WALLET   sk GRANT#<grant>

use kernel::policy::ReadWallet;
use kernel::{CreditGrantId, OrgId, Result, Scope, Time};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Update, Write};

use super::CreditGrant;
use crate::wallet;

/// A grant that ended is shown for so long.
const KEPT: i64 = 400 * Time::DAY;
const PREFIX: &str = "GRANT#";

impl Record for CreditGrant {
    const KIND: &'static str = "credit-grant";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.expires_at?.plus_millis(KEPT))
    }
}

fn key(org: OrgId, id: CreditGrantId) -> Key {
    Key::of(wallet::partition(org), format!("{PREFIX}{id}"))
}

/// Adds to what ended unspent of a grant.
pub(crate) fn expired(org: OrgId, id: CreditGrantId, credits: u64) -> Write {
    Update::of::<CreditGrant>(&key(org, id))
        .add_number("expired", wallet::amount(credits))
        .into()
}

/// Reads one page of an organization's grants, newest first.
pub async fn list(table: &Table, scope: &Scope<ReadWallet>, slice: Slice) -> Result<Page<CreditGrant>> {
    let query = Query::slice(wallet::partition(scope.org()), slice);
    table.query(query.prefix(PREFIX).descending().consistent()).await
}
