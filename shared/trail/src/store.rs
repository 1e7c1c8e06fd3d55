//! Where entries lie.
//!
//! An entry of an org's chain:     pk ORG#<org>#AUDIT     sk <seq, 12 digits>
//! One of a person's chain:        pk USER#<user>#AUDIT   sk <seq, 12 digits>
//! A person's, of the platform:    gsi1pk PLATFORM#AUDIT  gsi1sk <createdAt>#<id>

use std::time::Duration;

use kernel::policy::{ReadOrgAudit, ReadPlatformAudit};
use kernel::{Error, Result, Scope, Time, UserId};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write, WriteError};

use crate::chain::Head;
use crate::entry::{Chain, Change, Entry};

/// Writers of one chain that meet try this often.
const ATTEMPTS: u32 = 12;

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

async fn head(table: &Table, chain: Chain) -> Result<Head> {
    let page = table
        .query::<Entry>(Query::of(partition(chain), 1).descending().consistent())
        .await?;
    Ok(page.records.first().map_or_else(Head::genesis, Head::of))
}

/// Does `writes` and notes `change` in `chain`, together or not at all. `WriteError::Condition` names places in
/// `writes`; when only someone else's entry came first, it tries again. A request that must happen once is marked as
/// done with it.
pub async fn commit(
    table: &Table,
    now: Time,
    chain: Chain,
    change: Change,
    writes: Vec<Write>,
) -> Result<(), WriteError> {
    for attempt in 0..ATTEMPTS {
        let entry = Entry::after(&head(table, chain).await?, chain, &change, now);
        let mut all = writes.clone();
        all.push(Write::create(&entry)?);
        all.extend(table::mark(&format!("{} {}", change.target_type, change.target_id))?);
        match table.write(all).await {
            Ok(()) => {
                table::marked();
                return Ok(());
            }
            // Whoever holds the request's key now does it, or has done it.
            Err(WriteError::Condition(places)) if places.contains(&(writes.len() + 1)) => {
                return Err(Error::InFlight { retry_after_seconds: 1 }.into());
            }
            Err(WriteError::Condition(places)) if places == [writes.len()] => backoff(attempt).await,
            Err(WriteError::Condition(mut places)) => {
                places.retain(|place| *place < writes.len());
                return Err(WriteError::Condition(places));
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::Busy.into())
}

/// Waits up to 5 ms, doubled with each attempt up to 160 ms, so that writers that met do not meet again.
async fn backoff(attempt: u32) {
    let [jitter] = kernel::id::random::<1>();
    tokio::time::sleep(Duration::from_millis((1 + u64::from(jitter) / 64) << attempt.min(5))).await;
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
