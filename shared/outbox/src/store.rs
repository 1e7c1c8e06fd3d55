//! Where facts lie.
//!
//! One fact, and an organization's log:   pk ORG#<org>#OUTBOX       sk <msg>
//! Not relayed, by shard:                 gsi1pk DUE#OUTBOX#<0..3>   gsi1sk <dueAt>#<msg>

use kernel::{MessageId, OrgId, OrgWide, Result, Scope, Time};
use table::{Key, Page, Position, Query, Record, Slice, Table, TableName, Write};

use crate::fact::{FactRef, KEPT, Told};

impl Record for Told {
    const KIND: &'static str = "fact";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn index1(&self) -> Option<Key> {
        let due = self.due_at?;
        Some(Key::of(due_in(self.shard()), format!("{due}#{}", self.id)))
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.at.plus_millis(KEPT))
    }
}

fn key(org: OrgId, id: MessageId) -> Key {
    Key::of(log_of(org), id.to_string())
}

fn log_of(org: OrgId) -> String {
    format!("ORG#{org}#OUTBOX")
}

fn due_in(shard: u8) -> String {
    format!("DUE#OUTBOX#{shard}")
}

/// What stores a fact in the transaction in which it happens.
pub(crate) fn create(told: &Told) -> Result<Write> {
    Write::create(told)
}

/// Reads the fact that a message of our own queue names, as it is now.
pub async fn find(table: &Table, fact: &FactRef) -> Result<Option<Told>> {
    table.get(&key(fact.org, fact.id)).await
}

/// Stores what became of a fact, if nobody changed it meanwhile; says whether that was so.
pub(crate) async fn save(table: &Table, told: &Told) -> Result<bool> {
    match table.write([Write::replace(told)?]).await {
        Ok(()) => Ok(true),
        Err(error) if error.failed(0) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads one page of a shard's facts that were to be relayed before `before`, the longest due first, as they were a
/// moment ago.
pub(crate) async fn due(
    table: &Table,
    shard: u8,
    before: Time,
    limit: u16,
    after: Option<Position>,
) -> Result<Page<Told>> {
    // Every time begins with a digit, and what follows it with `#`, so this ends before `before`.
    let query = Query::of(due_in(shard), limit).index1();
    table.query(query.between("0", before.to_string()).after(after)).await
}

/// Reads what happened in the scope's organization after a fact, or from the beginning, until `before`: at most `limit`,
/// oldest first.
pub async fn log_after<P: OrgWide>(
    table: &Table,
    scope: &Scope<P>,
    after: Option<MessageId>,
    before: Time,
    limit: u16,
) -> Result<Page<Told>> {
    // Of one millisecond all facts come, or none.
    let last = MessageId::from_bits(u128::try_from(before.millis()).unwrap_or(0) << 80).to_string();
    let first = after.map_or_else(String::new, |after| format!("{after}~"));
    if first >= last {
        return Ok(Page {
            records: Vec::new(),
            next: None,
        });
    }
    let query = Query::of(log_of(scope.org()), limit).between(first.max("msg_".to_owned()), last);
    table.query(query.consistent()).await
}

/// Reads one page of what happened in the scope's organization, oldest first.
pub async fn log<P: OrgWide>(table: &Table, scope: &Scope<P>, slice: Slice) -> Result<Page<Told>> {
    table.query(Query::slice(log_of(scope.org()), slice).consistent()).await
}
