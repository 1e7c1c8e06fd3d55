//! Where jobs lie.
//!
//! One job, and a cause's:   pk ORG#<org>#JOBS#<cause> or USER#<user>#JOBS#<cause>   sk <job>
//! Due, by queue and shard:  gsi1pk DUE#<queue>#<shard>   gsi1sk <dueAt>#<job>             (while it is open)
//! Dead, by queue:           gsi1pk DEAD#<queue>          gsi1sk <owner>#<finishedAt>#<job>
//! An owner's, by state:     gsi2pk ORG#<org>#JOBS or USER#<user>#JOBS               gsi2sk <state>#<job>
//! All, by queue and shard:  gsi3pk JOBS#<queue>#<shard>  gsi3sk <job>                    (keys alone)

use std::cmp::Reverse;

use futures::future::{join_all, try_join_all};
use kernel::{Error, JobId, OrgWide, Result, Scope, Time};
use table::{Key, Page, Position, Query, Record, Slice, Table, TableName, Write};

use super::everywhere::merge;
use super::{JobRecord, JobRef, Owner, State};

pub use super::everywhere::{Depth, counts, everywhere, load_anywhere};

/// So many jobs are erased in one transaction.
const FORGOTTEN_AT_ONCE: u16 = 50;
/// Whoever asks for one job by its id looks this often.
const LOOKS: u32 = 2;

impl Record for JobRecord {
    const KIND: &'static str = "job";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(&self.reference())
    }

    fn index1(&self) -> Option<Key> {
        match (self.state, self.finished_at) {
            (State::Dead, Some(at)) => Some(Key::of(
                dead_in(&self.queue),
                format!("{}#{at}#{}", self.owner, self.id),
            )),
            (state, _) if state.is_open() => Some(Key::of(
                due_in(&self.queue, self.shard),
                format!("{}#{}", self.due_at, self.id),
            )),
            _ => None,
        }
    }

    fn index2(&self) -> Option<Key> {
        Some(Key::of(
            of_owner(self.owner),
            format!("{}#{}", self.state.name(), self.id),
        ))
    }

    fn index3(&self) -> Option<Key> {
        Some(Key::of(all_in(&self.queue, self.shard), self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.finished_at?.plus_seconds(self.kept_seconds))
    }
}

fn key(job: &JobRef) -> Key {
    Key::of(of_cause(job.owner, &job.cause), job.id.to_string())
}

fn of_cause(owner: Owner, cause: &str) -> String {
    format!("{}#{cause}", of_owner(owner))
}

fn of_owner(owner: Owner) -> String {
    match owner {
        Owner::Org(org) => format!("ORG#{org}#JOBS"),
        Owner::User(user) => format!("USER#{user}#JOBS"),
    }
}

pub(super) fn due_in(queue: &str, shard: u8) -> String {
    format!("DUE#{queue}#{shard}")
}

pub(super) fn all_in(queue: &str, shard: u8) -> String {
    format!("JOBS#{queue}#{shard}")
}

pub(super) fn dead_in(queue: &str) -> String {
    format!("DEAD#{queue}")
}

/// What stores a new job in the transaction of its cause. One that `replaces` takes the place of one that is dead or
/// canceled, of no other.
pub(crate) fn create(job: &JobRecord, replaces: bool) -> Result<Write> {
    if replaces {
        let replaced = [State::Dead, State::Canceled].map(State::name);
        return Write::create_over(job, "state", &replaced);
    }
    Write::create(job)
}

/// What stores a job that is as it was read, but for what became of it since.
pub fn replace(job: &JobRecord) -> Result<Write> {
    Write::replace(job)
}

/// Reads the job that a message of our own queue names, as it is now.
pub async fn find(table: &Table, job: &JobRef) -> Result<Option<JobRecord>> {
    table.get(&key(job)).await
}

/// Stores what became of a job, if nobody changed it meanwhile; says whether that was so.
pub async fn save(table: &Table, job: &mut JobRecord) -> Result<bool> {
    match table.write([Write::replace(job)?]).await {
        Ok(()) => {
            job.version += 1;
            Ok(true)
        }
        Err(error) if error.failed(0) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads a job of a cause in the scope's organization, as it is now; 404 if it has none with this id.
pub async fn one_of<P: OrgWide>(table: &Table, scope: &Scope<P>, cause: &str, id: JobId) -> Result<JobRecord> {
    let partition = of_cause(Owner::Org(scope.org()), cause);
    let found = table.get(&Key::of(partition, id.to_string())).await?;
    found.ok_or(Error::NotFound("job"))
}

/// Reads one page of a queue's jobs that were due before `before`, the longest due first, as they were a moment ago.
pub async fn due(
    table: &Table,
    queue: &str,
    shard: u8,
    before: Time,
    limit: u16,
    after: Option<Position>,
) -> Result<Page<JobRecord>> {
    // Every time begins with a digit, and what follows it with `#`, so this ends before `before`.
    let query = Query::of(due_in(queue, shard), limit)
        .index1()
        .between("0", before.to_string());
    table.query(query.after(after)).await
}

/// Erases the jobs of an owner, whatever became of them, but the one that does it.
pub async fn forget(table: &Table, owner: Owner, but: JobId) -> Result<()> {
    let mut next = None;
    loop {
        let page = table
            .query::<JobRecord>(Query::of(of_owner(owner), FORGOTTEN_AT_ONCE).index2().after(next))
            .await?;
        let others = page.records.iter().filter(|job| job.id != but);
        table.write(others.map(Write::remove)).await?;
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// Reads one page of a queue's dead jobs, as they were a moment ago: of one owner those that died before `before`, the
/// longest dead first; of all owners whenever they died, owner by owner.
pub(crate) async fn dead(
    table: &Table,
    queue: &str,
    owner: Option<Owner>,
    before: Time,
    limit: u16,
    after: Option<Position>,
) -> Result<Page<JobRecord>> {
    let mut query = Query::of(dead_in(queue), limit).index1();
    if let Some(owner) = owner {
        query = query.between(format!("{owner}#0"), format!("{owner}#{before}"));
    }
    table.query(query.after(after)).await
}

/// Which jobs of an owner a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those in this state.
    pub state: Option<State>,
    /// Those of this queue. A page may be short then: the others are left out of it.
    pub queue: Option<String>,
}

impl Filter {
    /// Whether jobs of this queue are shown.
    pub(super) fn admits(&self, queue: &str) -> bool {
        self.queue.as_ref().is_none_or(|wanted| wanted == queue)
    }
}

/// Where a list of jobs in all states goes on: after this job.
const AFTER: &str = "after";

/// Reads one page of the jobs of the scope's organization, newest first.
pub async fn list<P: OrgWide>(
    table: &Table,
    scope: &Scope<P>,
    filter: &Filter,
    slice: Slice,
) -> Result<Page<JobRecord>> {
    let partition = of_owner(Owner::Org(scope.org()));
    let mut page = match filter.state {
        Some(state) => {
            let query = Query::slice(partition, slice).index2().descending();
            table.query(query.prefix(format!("{}#", state.name()))).await?
        }
        None => in_any_state(table, &partition, slice).await?,
    };
    page.records.retain(|job: &JobRecord| filter.admits(&job.queue));
    Ok(page)
}

/// Each state has a list of its own, so the newest of each are read and the newest of those are shown.
async fn in_any_state(table: &Table, partition: &str, slice: Slice) -> Result<Page<JobRecord>> {
    let after = slice.after.as_ref().and_then(|after| after.get(AFTER)?.parse().ok());
    // No job is older than the oldest id there can be.
    let before = after.map_or(u128::MAX, |after: JobId| after.bits().saturating_sub(1));
    let first = |state: State| {
        let range = [0, before].map(|bits| format!("{}#{}", state.name(), JobId::from_bits(bits)));
        let [oldest, newest] = range;
        let query = Query::of(partition, slice.limit + 1).index2().descending();
        table.query::<JobRecord>(query.between(oldest, newest))
    };
    let pages = try_join_all(State::ALL.map(first)).await?;
    let (records, more) = merge(pages, slice.limit, |job: &JobRecord| Reverse(job.id));
    let next = records.last().filter(|_| more);
    let next = next.map(|last| Position::from([(AFTER.to_owned(), last.id.to_string())]));
    Ok(Page { records, next })
}

/// Reads a job of the scope's organization, as it is now; 404 if it has none with this id.
pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>, id: JobId) -> Result<JobRecord> {
    let partition = of_owner(Owner::Org(scope.org()));
    // Its state is part of where the index has it; while that changes, the index may have it nowhere.
    for attempt in 0..LOOKS {
        let in_state = |state: State| {
            let place = format!("{}#{id}", state.name());
            table.query::<JobRecord>(Query::of(&partition, 1).index2().between(place.clone(), place))
        };
        for page in join_all(State::ALL.map(in_state)).await {
            if let Some(found) = page?.records.first() {
                let job = table.get(&found.key()).await?;
                return job.ok_or(Error::NotFound("job"));
            }
        }
        table::pause(attempt).await;
    }
    Err(Error::NotFound("job"))
}

/// Reads one page of the jobs of a cause in the scope's organization, newest first.
pub async fn of_cause_in<P: OrgWide>(
    table: &Table,
    scope: &Scope<P>,
    cause: &str,
    slice: Slice,
) -> Result<Page<JobRecord>> {
    let partition = of_cause(Owner::Org(scope.org()), cause);
    table.query(Query::slice(partition, slice).descending()).await
}
