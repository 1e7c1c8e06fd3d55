//! Where entries lie.
//!
//! An entry of an org's chain:     pk ORG#<org>#AUDIT     sk <seq, 12 digits>
//! One of a person's chain:        pk USER#<user>#AUDIT   sk <seq, 12 digits>
//! What it discloses:              pk as its entry        sk <seq>#newValue, <seq>#oldValue   (in a table of their own)
//!   of whom:                      gsi1pk SUBJECT#<subject>
//! Of the platform:                gsi1pk PLATFORM#AUDIT  gsi1sk <createdAt>#<id>   (people's, and which organizations come and go)

use std::collections::HashMap;

use kernel::policy::{ManageOwnAccount, ReadOrgAudit, ReadPlatformAudit};
use kernel::{Result, Scope};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};

use crate::chain::Head;
use crate::disclosure::{Disclosure, Side, Subject};
use crate::entry::{Chain, Entry, EntryView};

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

impl Record for Disclosure {
    const KIND: &'static str = "disclosure";
    const TABLE: TableName = TableName::Disclosures;

    fn key(&self) -> Key {
        disclosure_key(self.chain, self.seq, self.side)
    }

    fn index1(&self) -> Option<Key> {
        let place = self.key();
        Some(Key::of(of_subject(&self.subject), format!("{}#{}", place.pk, place.sk)))
    }
}

fn disclosure_key(chain: Chain, seq: u64, side: Side) -> Key {
    Key::of(partition(chain), format!("{}#{}", place(seq), side.name()))
}

fn of_subject(subject: &Subject) -> String {
    format!("SUBJECT#{subject}")
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

/// The entries of a page as they are shown: with what they disclose and was not erased, as it is now.
async fn shown(table: &Table, page: Page<Entry>) -> Result<Page<EntryView>> {
    let key = |entry: &Entry, side: &Side| disclosure_key(entry.chain, entry.seq, *side);
    let entries = &page.records;
    let keys = entries
        .iter()
        .flat_map(|entry| entry.personal.iter().map(move |side| key(entry, side)));
    let mut disclosed: HashMap<(Chain, u64), Vec<Disclosure>> = HashMap::new();
    for disclosure in table.get_many::<Disclosure>(&keys.collect::<Vec<_>>(), true).await? {
        let place = (disclosure.chain, disclosure.seq);
        disclosed.entry(place).or_default().push(disclosure);
    }
    let view = |entry: Entry| {
        let disclosures = disclosed.remove(&(entry.chain, entry.seq)).unwrap_or_default();
        EntryView::of(entry, &disclosures)
    };
    let records = page.records.into_iter().map(view).collect::<Result<_>>()?;
    Ok(Page {
        records,
        next: page.next,
    })
}

/// Reads the chain of the scope's organization, newest first.
pub async fn of_org(table: &Table, scope: &Scope<ReadOrgAudit>, slice: Slice) -> Result<Page<EntryView>> {
    let query = Query::slice(partition(Chain::Org(scope.org())), slice);
    shown(table, table.query(query.descending()).await?).await
}

/// Reads what happened on the platform, newest first: to people, and which organizations came and went.
pub async fn of_platform(table: &Table, _: &Scope<ReadPlatformAudit>, slice: Slice) -> Result<Page<EntryView>> {
    let query = Query::slice(PLATFORM, slice).index1();
    shown(table, table.query(query.descending()).await?).await
}

/// Reads any chain, newest first; also that of an organization that was deleted.
pub async fn of_chain(
    table: &Table,
    _: &Scope<ReadPlatformAudit>,
    chain: Chain,
    slice: Slice,
) -> Result<Page<EntryView>> {
    let query = Query::slice(partition(chain), slice);
    shown(table, table.query(query.descending()).await?).await
}

/// Reads the caller's own chain, newest first.
pub async fn of_own(table: &Table, scope: &Scope<ManageOwnAccount>, slice: Slice) -> Result<Page<EntryView>> {
    let query = Query::slice(partition(Chain::User(scope.user()?)), slice);
    shown(table, table.query(query.descending()).await?).await
}

/// Reads what follows `head` in the chain of the scope's organization, oldest first, as it is now.
pub async fn of_org_after(
    table: &Table,
    scope: &Scope<ReadOrgAudit>,
    head: &Head,
    limit: u16,
) -> Result<Page<EntryView>> {
    after(table, Chain::Org(scope.org()), head, limit).await
}

/// Reads what follows `head` in any chain, as [`of_chain`], oldest first, as it is now.
pub async fn of_chain_after(
    table: &Table,
    _: &Scope<ReadPlatformAudit>,
    chain: Chain,
    head: &Head,
    limit: u16,
) -> Result<Page<EntryView>> {
    after(table, chain, head, limit).await
}

async fn after(table: &Table, chain: Chain, head: &Head, limit: u16) -> Result<Page<EntryView>> {
    let slice = Slice { limit, after: None };
    let query = Query::slice(partition(chain), slice).between(place(head.seq + 1), place(LAST));
    shown(table, table.query(query.consistent()).await?).await
}

/// Erases all that entries disclose of a subject; the entries stay, and their chains are whole. What was noted a moment ago may
/// not be in the index yet.
pub async fn erase(table: &Table, subject: &Subject) -> Result<()> {
    let mut next = None;
    loop {
        let query = Query::of(of_subject(subject), ERASED_AT_ONCE).index1().after(next);
        let page = table.query::<Disclosure>(query).await?;
        table.write(page.records.iter().map(Write::remove)).await?;
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// So many disclosures are erased in one transaction.
const ERASED_AT_ONCE: u16 = 50;
/// The last place that 12 digits hold.
const LAST: u64 = 999_999_999_999;
