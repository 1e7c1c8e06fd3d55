//! Where entries lie.
//!
//! An entry of an org's chain:     pk ORG#<org>#AUDIT     sk <seq, 12 digits>
//! One of a person's chain:        pk USER#<user>#AUDIT   sk <seq, 12 digits>
//! A person's, of the platform:    gsi1pk PLATFORM#AUDIT  gsi1sk <createdAt>#<id>

use kernel::policy::{ReadOrgAudit, ReadPlatformAudit};
use kernel::{Result, Scope, UserId};
use table::{Key, Page, Query, Record, Slice, Table, TableName};

use crate::chain::Head;
use crate::entry::{Chain, Entry};

impl Record for Entry {
    const KIND: &'static str = "auditEntry";
    const TABLE: TableName = TableName::Audit;

    fn key(&self) -> Key {
        Key::of(partition(self.chain), place(self.seq))
    }

    fn index1(&self) -> Option<Key> {
        match self.chain {
            Chain::Org(_) => None,
            Chain::User(_) => Some(Key::of(PLATFORM, format!("{}#{}", self.created_at, self.id))),
        }
    }
}

const PLATFORM: &str = "PLATFORM#AUDIT";

fn partition(chain: Chain) -> String {
    match chain {
        Chain::Org(org) => format!("ORG#{org}#AUDIT"),
        Chain::User(user) => format!("USER#{user}#AUDIT"),
    }
}

fn place(seq: u64) -> String {
    format!("{seq:012}")
}

/// The end of a chain, as it is now.
pub(crate) async fn head(table: &Table, chain: Chain) -> Result<Head> {
    let page = table
        .query::<Entry>(Query::of(partition(chain), 1).descending().consistent())
        .await?;
    Ok(page.records.first().map_or_else(Head::genesis, Head::of))
}

/// Reads the chain of the scope's organization, newest first.
pub async fn of_org(table: &Table, scope: &Scope<ReadOrgAudit>, slice: Slice) -> Result<Page<Entry>> {
    table
        .query(Query::slice(partition(Chain::Org(scope.org())), slice).descending())
        .await
}

/// Reads what happened to people on the platform, newest first.
pub async fn of_platform(table: &Table, _: &Scope<ReadPlatformAudit>, slice: Slice) -> Result<Page<Entry>> {
    table.query(Query::slice(PLATFORM, slice).index1().descending()).await
}

/// Reads what follows `head` in the chain of the scope's organization, oldest first, as it is now.
pub async fn of_org_after(table: &Table, scope: &Scope<ReadOrgAudit>, head: &Head, limit: u16) -> Result<Page<Entry>> {
    after(table, Chain::Org(scope.org()), head, limit).await
}

/// Reads what follows `head` in the chain of a person, oldest first, as it is now.
pub async fn of_person_after(
    table: &Table,
    _: &Scope<ReadPlatformAudit>,
    person: UserId,
    head: &Head,
    limit: u16,
) -> Result<Page<Entry>> {
    after(table, Chain::User(person), head, limit).await
}

async fn after(table: &Table, chain: Chain, head: &Head, limit: u16) -> Result<Page<Entry>> {
    let slice = Slice { limit, after: None };
    let query = Query::slice(partition(chain), slice).between(place(head.seq + 1), place(LAST));
    table.query(query.consistent()).await
}

/// The last place that 12 digits hold.
const LAST: u64 = 999_999_999_999;
