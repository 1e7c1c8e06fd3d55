//! Search of the raw events, newest first. It walks the chunks of a day by when their last event occurred, reads
//! those that can hold what is wanted, and shows an event once no unread chunk can hold a later one. A request reads a
//! bounded number of chunks; its cursor tells where the next goes on.

use std::collections::{BTreeMap, HashSet};

use aws_lc_rs::digest::{SHA256, digest};
use kernel::{Error, EventId, ProjectId, Result, Scope, Time, policy};
use serde::{Deserialize, Serialize};
use table::{Query, Table};

use crate::message::{self, event_id};
use crate::metrics::Range;
use crate::store::{self, BlobRecord, ChunkRecord, ChunkRef, DayHead};
use crate::{Event, EventView};

/// A request reads at most so many chunks, unless it could show nothing then.
const MOST_CHUNKS: usize = 64;
/// Entries that are read in one page.
const PAGE: u16 = 128;
/// A request reads at most so many pages of entries, unless it could not go on from there.
const MOST_PAGES: usize = 32;
/// So many heads of days are as much as a page.
const HEADS: usize = 100;
/// Bits of a Bloom filter an entry; with 5 places each about 1 in 100 is a false hit.
const FILTER_BITS: usize = 10;
/// A filter is at most this long, so that an entry stays within one write unit for ordinary chunks.
const FILTER_BYTES: usize = 512;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// When it occurred.
    pub range: Range,
    /// Its type.
    pub kind: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its user.
    pub user_id: Option<String>,
}

impl Wanted {
    pub(crate) fn admits(&self, event: &Event) -> bool {
        let same =
            |wanted: &Option<String>, has: Option<&str>| wanted.as_deref().is_none_or(|wanted| has == Some(wanted));
        self.range.contains(event.occurred_at())
            && same(&self.kind, Some(&event.kind))
            && same(&self.name, Some(&event.name))
            && same(&self.user_id, event.user_id.as_deref())
    }

    pub(crate) fn may_be_in(&self, entry: &ChunkRecord) -> bool {
        let filter = Filter(entry.filter.clone());
        let may = |tag, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| filter.may_hold(tag, wanted));
        may('t', &self.kind) && may('n', &self.name) && may('u', &self.user_id)
    }
}

/// Where a search goes on: everything from `before` on was shown, and no chunk whose last event is later than
/// `last_ms` holds more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    before: EventId,
    last_ms: i64,
}

/// How much a request may still read. One that walks through several projects has one for all of them.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    chunks: usize,
    pages: usize,
}

impl Budget {
    /// What a request may read.
    pub const fn new() -> Self {
        Self {
            chunks: MOST_CHUNKS,
            pages: MOST_PAGES,
        }
    }

    /// Whether nothing more should be read.
    pub fn is_spent(&self) -> bool {
        self.chunks == 0 || self.pages == 0
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

/// A found event and the last moment of its chunk, to be shown when its turn comes.
struct Found {
    view: EventView,
    chunk_last_ms: i64,
}

/// A page of events, newest first, and where to go on.
type Shown = (Vec<EventView>, Option<Position>);

/// Finds at most `limit` events that are kept at `now`, newest first, and where to go on.
pub async fn search(
    table: &Table,
    _: &Scope<policy::ReadEvents>,
    project: ProjectId,
    wanted: (&Wanted, Time),
    limit: usize,
    position: Option<Position>,
) -> Result<Shown> {
    walk(table, project, wanted, limit, position, &mut Budget::new()).await
}

/// As [`search`], in whosever project, within what is left of a budget: for the platform.
pub async fn search_anywhere(
    table: &Table,
    _: &Scope<policy::SearchAllEvents>,
    project: ProjectId,
    wanted: (&Wanted, Time),
    limit: usize,
    position: Option<Position>,
    budget: &mut Budget,
) -> Result<Shown> {
    walk(table, project, wanted, limit, position, budget).await
}

async fn walk(
    table: &Table,
    project: ProjectId,
    (wanted, now): (&Wanted, Time),
    limit: usize,
    position: Option<Position>,
    budget: &mut Budget,
) -> Result<Shown> {
    let end = wanted.range.to.millis() - 1;
    let start = position.unwrap_or(Position {
        before: EventId::from_bits(u128::MAX),
        last_ms: i64::MAX,
    });
    let mut walk = Walk {
        table,
        project,
        wanted,
        limit,
        start,
        found: BTreeMap::new(),
        shown: Vec::new(),
        budget,
        dropped_ms: i64::MIN,
    };
    let newest = Time::from_millis(start.last_ms.min(end));
    let days = wanted.range.days();
    let days: Vec<Time> = days.filter(|day| *day <= newest && store::is_kept(*day, now)).collect();
    // The heads tell which days have events at all.
    let heads: Vec<_> = days.iter().map(|day| store::head_key(project, &day.day())).collect();
    walk.budget.pages = walk.budget.pages.saturating_sub(heads.len() / HEADS);
    let heads = table.get_many::<DayHead>(&heads, false).await?;
    let with_events: HashSet<&str> = heads.iter().map(DayHead::day).collect();
    for day in days
        .into_iter()
        .rev()
        .filter(|day| with_events.contains(day.day().as_str()))
    {
        if let Some(next) = walk.day(day).await? {
            return Ok((walk.shown, Some(next)));
        }
    }
    Ok((walk.shown, None))
}

struct Walk<'a> {
    table: &'a Table,
    project: ProjectId,
    wanted: &'a Wanted,
    limit: usize,
    start: Position,
    found: BTreeMap<EventId, Found>,
    shown: Vec<EventView>,
    budget: &'a mut Budget,
    /// The last moment of any chunk of which found events were dropped, for the page is full without them.
    dropped_ms: i64,
}

impl Walk<'_> {
    /// Walks one day. Returns where to go on if the page ends within it.
    async fn day(&mut self, day: Time) -> Result<Option<Position>> {
        let first_ms = self.wanted.range.from.max(day).millis();
        let last_ms = self.start.last_ms.min(day.millis() + Time::DAY - 1);
        let (pk, first, last) = store::chunks_between(self.project, &day.day(), first_ms, last_ms);
        let mut next = None;
        loop {
            let query = Query::of(&pk, PAGE).between(&first, &last).descending().after(next);
            let page = self.table.query::<ChunkRecord>(query).await?;
            for entry in page.records {
                if let Some(end) = self.show_after(entry.last_ms, Some(entry.last_ms)) {
                    return Ok(Some(end));
                }
                if self.budget.is_spent() && entry.last_ms + 1 < self.start.before.time().millis() {
                    let before = EventId::from_bits(u128::try_from(entry.last_ms + 1).unwrap_or(0) << 80);
                    return Ok(Some(Position {
                        before,
                        last_ms: self.highest(entry.last_ms),
                    }));
                }
                let later = entry.first_ms > self.start.before.time().millis();
                if later || entry.events == 0 || !self.wanted.may_be_in(&entry) {
                    continue;
                }
                self.read(&entry).await?;
            }
            self.budget.pages = self.budget.pages.saturating_sub(1);
            next = page.next;
            if next.is_none() {
                return Ok(self.show_after(i64::MIN, None));
            }
        }
    }

    async fn read(&mut self, entry: &ChunkRecord) -> Result<()> {
        self.budget.chunks = self.budget.chunks.saturating_sub(1);
        let key = store::blob_key(self.project, &entry.day, entry.chunk);
        let Some(blob) = self.table.get::<BlobRecord>(&key).await? else {
            return Ok(());
        };
        for (place, event) in message::decode(&blob.data)?.into_iter().enumerate() {
            let id = event_id(&event, place, entry.chunk);
            let repeated = entry.repeated.iter().any(|repeated| usize::from(*repeated) == place);
            if !repeated && id < self.start.before && self.wanted.admits(&event) {
                self.found.insert(
                    id,
                    Found {
                        view: EventView::new(id, event),
                        chunk_last_ms: entry.last_ms,
                    },
                );
                // One more than the page can show tells that it is not the last.
                if self.found.len() > self.limit - self.shown.len() + 1
                    && let Some((_, oldest)) = self.found.pop_first()
                {
                    self.dropped_ms = self.dropped_ms.max(oldest.chunk_last_ms);
                }
            }
        }
        Ok(())
    }

    /// Shows what was found and is later than `last_ms`, until the page is full; then tells where to go on. `unread` is
    /// the last moment of the next chunk of the day, if there is one.
    fn show_after(&mut self, last_ms: i64, unread: Option<i64>) -> Option<Position> {
        while let Some(newest) = self
            .found
            .last_entry()
            .filter(|newest| newest.key().time().millis() > last_ms)
        {
            if self.shown.len() == self.limit {
                let before = self.shown.last().map_or(self.start.before, |view| view.id);
                return Some(Position {
                    before,
                    last_ms: self.highest(unread.unwrap_or(i64::MIN)),
                });
            }
            self.shown.push(newest.remove().view);
        }
        None
    }

    /// The last moment of any chunk that may hold more.
    fn highest(&self, unread: i64) -> i64 {
        self.found
            .values()
            .map(|found| found.chunk_last_ms)
            .fold(unread.max(self.dropped_ms), i64::max)
    }
}

/// Finds one event by its id among these projects, if it is kept at `now`.
pub async fn find(
    table: &Table,
    _: &Scope<policy::ReadEvents>,
    projects: &[ProjectId],
    id: EventId,
    now: Time,
) -> Result<EventView> {
    if !store::is_kept(id.time().floor(Time::DAY), now) {
        return Err(Error::NotFound("event"));
    }
    let (chunk, place) = message::place_of(id);
    for blob in table
        .get_many::<BlobRecord>(&store::blob_keys_of(id, projects), false)
        .await?
    {
        let events = message::decode(&blob.data)?;
        let last_ms = events.iter().map(|event| event.occurred_at_ms).max().unwrap_or(0);
        // The events are put before the entry that makes them count.
        let entry = store::chunk_key(blob.project, &blob.day, ChunkRef { last_ms, chunk });
        let Some(entry) = table.get::<ChunkRecord>(&entry).await? else {
            continue;
        };
        let repeated = entry.repeated.iter().any(|repeated| usize::from(*repeated) == place);
        let event = events
            .into_iter()
            .nth(place)
            .filter(|event| !repeated && event_id(event, place, chunk) == id);
        if let Some(event) = event {
            return Ok(EventView::new(id, event));
        }
    }
    Err(Error::NotFound("event"))
}

/// A Bloom filter of the types, names and users of a chunk.
#[derive(Clone, Debug)]
pub struct Filter(Vec<u8>);

impl Filter {
    /// The filter of these events.
    pub fn of(events: &[Event]) -> Self {
        let mut texts = HashSet::new();
        for event in events {
            texts.insert(('t', event.kind.as_str()));
            texts.insert(('n', event.name.as_str()));
            texts.extend(event.user_id.as_deref().map(|user| ('u', user)));
        }
        let bytes = (texts.len() * FILTER_BITS).div_ceil(8).clamp(1, FILTER_BYTES);
        let mut filter = Self(vec![0; bytes]);
        for (tag, text) in texts {
            for bit in filter.bits(tag, text) {
                filter.0[bit / 8] |= 1 << (bit % 8);
            }
        }
        filter
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn may_hold(&self, tag: char, text: &str) -> bool {
        self.0.is_empty()
            || self
                .bits(tag, text)
                .iter()
                .all(|bit| self.0[bit / 8] & (1 << (bit % 8)) != 0)
    }

    fn bits(&self, tag: char, text: &str) -> [usize; 5] {
        let hash = digest(&SHA256, format!("{tag}{text}").as_bytes());
        let part = |place: usize| {
            let bytes = [
                hash.as_ref()[4 * place],
                hash.as_ref()[4 * place + 1],
                hash.as_ref()[4 * place + 2],
            ];
            (usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])) % (self.0.len() * 8)
        };
        std::array::from_fn(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_holds_what_it_was_made_of_and_little_else() {
        let event = |n: u32| Event {
            kind: "A".to_owned(),
            name: format!("name-{n}"),
            user_id: Some(format!("user-{n}")),
            payload: None,
            metadata: None,
            occurred_at_ms: 0,
            client_id: None,
        };
        let filter = Filter::of(&(0..100).map(event).collect::<Vec<_>>());
        assert!(
            (0..100).all(|n| filter.may_hold('n', &format!("name-{n}")) && filter.may_hold('u', &format!("user-{n}")))
        );
        let false_hits = (100..1_100)
            .filter(|n| filter.may_hold('n', &format!("name-{n}")))
            .count();
        assert!(false_hits < 40, "{false_hits} of 1,000");
    }
}
