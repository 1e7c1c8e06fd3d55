//! What the clock does next to something that is billed:  pk DUE#BILLING#<shard>   sk <time>#<what>#<id>
//!
//! A mark is an item of its own, not an index of the thing: those are copied whole with every change, and an invoice has two
//! orders to be listed in already. It is moved in the transaction that changes when the thing is due. A mark that nothing is
//! due for any more is taken away by whoever finds it so.

use std::fmt;

use kernel::{ContractId, InvoiceId, OrgId, RecurringInvoiceId, Result, SubscriptionId, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Page, Position, Query, Record, Table, TableName, Write};

/// Marks lie in so many partitions.
pub const SHARDS: u8 = 8;

/// What the clock does something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// An organization is to become a client of the platform.
    Enrolment(OrgId),
    /// A contract's time is over.
    Contract(ContractId),
    /// A subscription has to be billed.
    Subscription(SubscriptionId),
    /// An invoice falls overdue, or its client is reminded.
    Invoice(InvoiceId),
    /// A recurring invoice recurs.
    Recurring(RecurringInvoiceId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enrolment(id) => write!(f, "enrolment#{id}"),
            Self::Contract(id) => write!(f, "contract#{id}"),
            Self::Subscription(id) => write!(f, "subscription#{id}"),
            Self::Invoice(id) => write!(f, "invoice#{id}"),
            Self::Recurring(id) => write!(f, "recurring#{id}"),
        }
    }
}

impl Subject {
    fn shard(self) -> u8 {
        let bits = match self {
            Self::Enrolment(id) => id.bits(),
            Self::Contract(id) => id.bits(),
            Self::Subscription(id) => id.bits(),
            Self::Invoice(id) => id.bits(),
            Self::Recurring(id) => id.bits(),
        };
        u8::try_from(bits % u128::from(SHARDS)).unwrap_or(0)
    }
}

/// That something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// Whose it is.
    pub org: OrgId,
    /// What it is.
    pub subject: Subject,
    /// When.
    pub at: Time,
}

impl Record for Mark {
    const KIND: &'static str = "due-mark";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        let Self { subject, at, .. } = self;
        Key::of(partition(subject.shard()), format!("{at}#{subject}"))
    }
}

fn partition(shard: u8) -> String {
    format!("DUE#BILLING#{shard}")
}

impl Mark {
    /// Reads those of a shard that were due before a time, the oldest first.
    pub async fn before(
        table: &Table,
        shard: u8,
        time: Time,
        limit: u16,
        after: Option<Position>,
    ) -> Result<Page<Self>> {
        let query = Query::of(partition(shard), limit).between("0", time.to_string());
        table.query(query.after(after)).await
    }

    /// Whether it is not there any more.
    pub(crate) async fn is_gone(&self, table: &Table) -> Result<bool> {
        Ok(table.get::<Self>(&self.key()).await?.is_none())
    }
}

/// What moves the mark of something from when it was due to when it is: nothing if that is the same.
pub fn moved(org: OrgId, subject: Subject, before: Option<Time>, after: Option<Time>) -> Result<Vec<Write>> {
    if before == after {
        return Ok(Vec::new());
    }
    let mark = |at| Mark { org, subject, at };
    let gone = before.map(|at| Write::remove(&mark(at)));
    let new = after.map(|at| Write::put(&mark(at))).transpose()?;
    Ok(gone.into_iter().chain(new).collect())
}
