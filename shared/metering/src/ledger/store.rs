//! An entry of a wallet's ledger:   pk ORG#<org>#WALLET   sk ENTRY#<entry>

use kernel::policy::ReadWallet;
use kernel::{Result, Scope};
use table::{Key, Page, Query, Record, Slice, Table, TableName};

use super::Entry;
use crate::wallet;

const PREFIX: &str = "ENTRY#";

impl Record for Entry {
    const KIND: &'static str = "ledger-entry";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        Key::of(wallet::partition(self.org), format!("{PREFIX}{}", self.id))
    }
}

/// Reads one page of an organization's entries, newest first.
pub async fn list(table: &Table, scope: &Scope<ReadWallet>, slice: Slice) -> Result<Page<Entry>> {
    let query = Query::slice(wallet::partition(scope.org()), slice);
    table.query(query.prefix(PREFIX).descending().consistent()).await
}
