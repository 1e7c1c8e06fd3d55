//! Where entries lie.
//!
//! An entry of an org's chain:     pk ORG#<org>#AUDIT     sk <seq, 12 digits>
//! One of a person's chain:        pk USER#<user>#AUDIT   sk <seq, 12 digits>
//! Of the platform:                gsi1pk PLATFORM#AUDIT  gsi1sk <createdAt>#<id>   (people's, and which organizations come and go)

use kernel::policy::{ReadOrgAudit, ReadPlatformAudit};
use kernel::{Result, Scope};
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
        let is_of_platform = match self.chain {
            Chain::Org(_) => ORGS_THAT_COME_AND_GO.contains(&self.action.as_str()),
            Chain::User(_) => true,
        };
        is_of_platform.then(|| Key::of(PLATFORM, format!("{}#{}", self.created_at, self.id)))
    }
}

/// What an organization's chain tells the platform too, for nobody reads the chain of one that is gone by chance.
const ORGS_THAT_COME_AND_GO: [&str; 2] = ["org.created", "org.deleted"];
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

/// Reads what happened on the platform, newest first: to people, and which organizations came and went.
pub async fn of_platform(table: &Table, _: &Scope<ReadPlatformAudit>, slice: Slice) -> Result<Page<Entry>> {
    table.query(Query::slice(PLATFORM, slice).index1().descending()).await
}

/// Reads any chain, newest first; also that of an organization that was deleted.
pub async fn of_chain(table: &Table, _: &Scope<ReadPlatformAudit>, chain: Chain, slice: Slice) -> Result<Page<Entry>> {
    table.query(Query::slice(partition(chain), slice).descending()).await
}

/// Reads what follows `head` in the chain of the scope's organization, oldest first, as it is now.
pub async fn of_org_after(table: &Table, scope: &Scope<ReadOrgAudit>, head: &Head, limit: u16) -> Result<Page<Entry>> {
    after(table, Chain::Org(scope.org()), head, limit).await
}

/// Reads what follows `head` in any chain, as [`of_chain`], oldest first, as it is now.
pub async fn of_chain_after(
    table: &Table,
    _: &Scope<ReadPlatformAudit>,
    chain: Chain,
    head: &Head,
    limit: u16,
) -> Result<Page<Entry>> {
    after(table, chain, head, limit).await
}

async fn after(table: &Table, chain: Chain, head: &Head, limit: u16) -> Result<Page<Entry>> {
    let slice = Slice { limit, after: None };
    let query = Query::slice(partition(chain), slice).between(place(head.seq + 1), place(LAST));
    table.query(query.consistent()).await
}

/// The last place that 12 digits hold.
const LAST: u64 = 999_999_999_999;
