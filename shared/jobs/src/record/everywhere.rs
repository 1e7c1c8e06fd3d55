//! Jobs of all owners, for the platform: lists that are merged over the partitions of queues, one job by its id, and how
//! many there are. Each read has a bound.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use futures::future::try_join_all;
use kernel::policy::kind;
use kernel::{Error, JobId, Permission, Result, Scope};
use table::{Key, Page, Query, Record, Slice, Table, Tally};

use super::store::{Filter, all_in, dead_in, due_in};
use super::{JobRecord, State};
use crate::queue::{self, Queue};

/// Counting reads so many jobs of a partition at a time, …
const COUNTED: u16 = 1_000;
/// … and so many times at most.
const MOST_PAGES: u32 = 20;

/// A page of jobs, and the place of its last one if there are more.
type Listed = (Vec<JobRecord>, Option<String>);

/// How many jobs of a queue there are, by state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The queue.
    pub queue: &'static str,
    /// Those that are to be done, and those that are dead.
    pub counts: BTreeMap<State, u64>,
    /// Whether all were counted; if not, there are at least so many.
    pub complete: bool,
}

/// Where the jobs of a list lie, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    /// Whatever became of them, newest first.
    All,
    /// Those that are to be done, the longest due first.
    Due,
    /// Those that are dead, owner by owner, the longest dead first.
    Dead,
}

impl List {
    fn of(state: Option<State>) -> Self {
        match state {
            Some(State::Dead) => Self::Dead,
            Some(state) if state.is_open() => Self::Due,
            _ => Self::All,
        }
    }

    fn partitions(self, queue: &Queue) -> Vec<String> {
        let shards = 0..queue.shards.max(1);
        match self {
            Self::All => shards.map(|shard| all_in(queue.name, shard)).collect(),
            Self::Due => shards.map(|shard| due_in(queue.name, shard)).collect(),
            Self::Dead => vec![dead_in(queue.name)],
        }
    }
}

/// What comes after every place, which all begin with a letter or a digit.
const END: &str = "~";

/// Reads one page of the jobs of all owners, and after which place the next one goes on. In one state that is open or dead
/// they come as its index has them, else newest first. A page may be short: jobs in other states are left out of it.
pub async fn everywhere<P: Permission<Kind = kind::Platform>>(
    table: &Table,
    _: &Scope<P>,
    filter: &Filter,
    limit: u16,
    after: Option<String>,
) -> Result<(Vec<JobRecord>, Option<String>)> {
    let list = List::of(filter.state);
    let wanted = queue::ALL.iter().filter(|queue| filter.admits(queue.name));
    let partitions: Vec<String> = wanted.flat_map(|queue| list.partitions(queue)).collect();
    let (jobs, next) = if list == List::All {
        newest(table, partitions, limit, after).await?
    } else {
        in_order(table, partitions, limit, after).await?
    };
    let jobs = jobs.into_iter();
    let jobs = jobs.filter(|job| filter.state.is_none_or(|state| job.state == state));
    Ok((jobs.collect(), next))
}

/// The newest of all partitions, of which only the keys are read, and then those jobs alone.
async fn newest(table: &Table, partitions: Vec<String>, limit: u16, after: Option<String>) -> Result<Listed> {
    let after: Option<JobId> = after.and_then(|after| after.parse().ok());
    let last = match after {
        Some(after) => JobId::from_bits(after.bits().saturating_sub(1)).to_string(),
        None => END.to_owned(),
    };
    let read = partitions.into_iter().map(|partition| {
        let query = Query::of(partition, limit + 1).index3().descending();
        table.keys::<JobRecord>(query.between("0", last.clone()))
    });
    let pages = try_join_all(read).await?;
    let (keys, more) = merge(pages, limit, |key: &Key| Reverse(key.sk.clone()));
    let next = keys.last().filter(|_| more).map(|last| last.sk.clone());
    let mut jobs: Vec<JobRecord> = table.get_many(&keys, false).await?;
    jobs.sort_by_key(|job| Reverse(job.id));
    Ok((jobs, next))
}

/// The first of all partitions of the first index.
async fn in_order(table: &Table, partitions: Vec<String>, limit: u16, after: Option<String>) -> Result<Listed> {
    // A blank comes before whatever a longer place goes on with.
    let first = after.map_or_else(|| "0".to_owned(), |after| format!("{after} "));
    let read = partitions.into_iter().map(|partition| {
        let query = Query::of(partition, limit + 1).index1();
        table.query::<JobRecord>(query.between(first.clone(), END))
    });
    let pages = try_join_all(read).await?;
    let place = |job: &JobRecord| job.index1().map_or_else(String::new, |key| key.sk);
    let (jobs, more) = merge(pages, limit, place);
    let next = jobs.last().filter(|_| more).map(place);
    Ok((jobs, next))
}

/// Merges the first pages of partitions to one of at most `limit` things, by where they have their place; says whether there may
/// be more. A page ends at its limit or at 1 MB: what the others have after its end is left to the next call, for nobody knows
/// what of its own comes before that.
pub(super) fn merge<T, K: Ord>(pages: Vec<Page<T>>, limit: u16, place: impl Fn(&T) -> K) -> (Vec<T>, bool) {
    let ended = pages.iter().filter(|page| page.next.is_some());
    let end = ended.filter_map(|page| page.records.last()).map(&place).min();
    let mut things: Vec<T> = pages.into_iter().flat_map(|page| page.records).collect();
    if let Some(end) = &end {
        things.retain(|thing| place(thing) <= *end);
    }
    things.sort_by_cached_key(&place);
    let limit = usize::from(limit);
    let more = end.is_some() || things.len() > limit;
    things.truncate(limit);
    (things, more)
}

/// Reads a job of any owner, as it is now; 404 if there is none with this id.
pub async fn load_anywhere<P: Permission<Kind = kind::Platform>>(
    table: &Table,
    _: &Scope<P>,
    id: JobId,
) -> Result<JobRecord> {
    let id = id.to_string();
    // In every shard: a queue may have had fewer of them when the job was made.
    let partitions = queue::ALL.iter().flat_map(|queue| List::All.partitions(queue));
    let places = partitions.map(|partition| {
        let query = Query::of(partition, 1).index3();
        table.keys::<JobRecord>(query.between(id.clone(), id.clone()))
    });
    let found = try_join_all(places).await?;
    let key = found.into_iter().flat_map(|page| page.records).next();
    let key = key.ok_or(Error::NotFound("job"))?;
    table.get(&key).await?.ok_or(Error::NotFound("job"))
}

/// Counts the jobs of all owners that are to be done or dead, queue by queue, as they were a moment ago: up to 20,000 of
/// each partition.
pub async fn counts<P: Permission<Kind = kind::Platform>>(table: &Table, _: &Scope<P>) -> Result<Vec<Depth>> {
    try_join_all(queue::ALL.iter().map(|queue| depth(table, queue))).await
}

async fn depth(table: &Table, queue: &Queue) -> Result<Depth> {
    let partitions = [List::Due, List::Dead]
        .into_iter()
        .flat_map(|list| list.partitions(queue));
    let queries: Vec<Query> = partitions
        .map(|partition| {
            let slice = Slice {
                limit: COUNTED,
                after: None,
            };
            Query::slice(partition, slice).index1()
        })
        .collect();
    let counted = queries
        .iter()
        .map(|query| table.tally::<JobRecord>(query, "state", MOST_PAGES));
    let mut depth = Depth {
        queue: queue.name,
        counts: State::ALL
            .into_iter()
            .filter(|state| state.is_open() || *state == State::Dead)
            .map(|state| (state, 0))
            .collect(),
        complete: true,
    };
    for Tally { counts, complete } in try_join_all(counted).await? {
        for (state, count) in &mut depth.counts {
            *count += counts.get(state.name()).copied().unwrap_or(0);
        }
        depth.complete &= complete;
    }
    Ok(depth)
}

#[cfg(test)]
mod tests {
    use table::Position;

    use super::*;

    fn page(records: &[u8], ended: bool) -> Page<u8> {
        let records = records.to_vec();
        Page {
            records,
            next: ended.then(Position::default),
        }
    }

    #[test]
    fn pages_are_merged_to_one_of_the_limit() {
        let pages = vec![page(&[1, 4, 5], false), page(&[2, 3], false)];
        assert_eq!(merge(pages, 4, |thing| *thing), (vec![1, 2, 3, 4], true));
        let pages = vec![page(&[1, 4], false), page(&[2, 3], false)];
        assert_eq!(merge(pages, 4, |thing| *thing), (vec![1, 2, 3, 4], false));
    }

    #[test]
    fn nothing_is_skipped_after_a_page_that_ended_before_its_limit() {
        // The second partition has a 4 that did not fit its page.
        let pages = vec![page(&[1, 5, 6], false), page(&[2, 3], true)];
        assert_eq!(merge(pages, 4, |thing| *thing), (vec![1, 2, 3], true));
        let pages = vec![page(&[6, 5, 1], false), page(&[4, 3], true)];
        assert_eq!(merge(pages, 4, |thing| Reverse(*thing)), (vec![6, 5, 4, 3], true));
    }
}
