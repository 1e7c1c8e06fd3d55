//! Where jobs lie.
//!
//! One job:          pk ORG#<org>#NOTICES#<cause> or USER#<user>#NOTICES#<cause>   sk <job>
//! Due, by shard:    gsi1pk DUE#NOTIFICATION#<0..15>   gsi1sk <dueAt>#<job>   (while it is pending)

use kernel::policy::ReadAlerts;
use kernel::{AlertId, Result, Scope, Time};
use table::{Key, Page, Position, Query, Record, Slice, Table, TableName, Write};

use super::{Job, JobRef, JobState, KEPT_MILLIS, Owner};

/// Due jobs are spread over so many partitions of the index.
pub const SHARDS: u8 = 16;

impl Record for Job {
    const KIND: &'static str = "noticeJob";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(&self.reference())
    }

    fn index1(&self) -> Option<Key> {
        let shard = u8::try_from(self.id.bits() % u128::from(SHARDS)).unwrap_or(0);
        let due = || Key::of(due_in(shard), format!("{}#{}", self.due_at, self.id));
        (self.state == JobState::Pending).then(due)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.finished_at?.plus_millis(KEPT_MILLIS))
    }
}

fn key(job: &JobRef) -> Key {
    Key::of(of_cause(job.owner, &job.cause), job.id.to_string())
}

fn of_cause(owner: Owner, cause: &str) -> String {
    match owner {
        Owner::Org(org) => format!("ORG#{org}#NOTICES#{cause}"),
        Owner::User(user) => format!("USER#{user}#NOTICES#{cause}"),
    }
}

fn due_in(shard: u8) -> String {
    format!("DUE#NOTIFICATION#{shard}")
}

impl Job {
    /// What stores it for the first time, in the transaction of its cause.
    pub fn write(&self) -> Result<Write> {
        Write::create(self)
    }
}

/// Reads the job that a message of our own queue names, as it is now.
pub async fn find(table: &Table, job: &JobRef) -> Result<Option<Job>> {
    table.get(&key(job)).await
}

/// Stores what a worker made of a job, if nobody changed it meanwhile; says whether that was so.
pub async fn save(table: &Table, job: &mut Job) -> Result<bool> {
    match table.write([Write::replace(job)?]).await {
        Ok(()) => {
            job.version += 1;
            Ok(true)
        }
        Err(error) if error.failed(0) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads one page of a shard's jobs that were due before `before`, the longest due first.
pub async fn due(table: &Table, shard: u8, before: Time, limit: u16, after: Option<Position>) -> Result<Page<Job>> {
    // Every time begins with a digit, and what follows it with `#`, so this ends before `before`.
    let query = Query::of(due_in(shard), limit)
        .index1()
        .between("0", before.to_string());
    table.query(query.after(after)).await
}

/// Reads one page of the notices that an alert caused, newest first.
pub async fn of_alert(table: &Table, scope: &Scope<ReadAlerts>, alert: AlertId, slice: Slice) -> Result<Page<Job>> {
    let partition = of_cause(Owner::Org(scope.org()), &alert.to_string());
    table.query(Query::slice(partition, slice).descending()).await
}
