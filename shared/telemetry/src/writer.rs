//! The event writer: makes messages durable and counted, exactly once, whatever is delivered how often and whoever
//! dies in between.
//!
//! For each project of a batch: the chunks' events are put first (a repeat puts the same), with the receipts of what was paid
//! for them, then one transaction makes their entries, adds them to their days' pending sets and remembers their ids. An
//! entry that is there already cancels it and names the chunk that was done before; that one is dropped and the rest is tried
//! again. A receipt that comes late, or of a chunk of which something is free, is reported to its lease after that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use app::App;
use kernel::{ProjectId, Result, Time};
use metering::{Receipt, Refunds};
use table::{Key, Put, Record, Table, Write, WriteError};

use crate::message::{self, Chunk, Message};
use crate::rollup::{self, Known, Rollup};
use crate::search::Filter;
use crate::seen::{self, Seen};
use crate::store::{self, BlobRecord, ChunkRecord, DayHead, RollupRecord, Span};

/// A transaction takes 100 items: 32 entries, at most as many days, as many leases that are given something back, and two
/// for the ids.
const CHUNKS: usize = 32;
/// A transaction is tried this often before the message goes back to the queue.
const ATTEMPTS: usize = 12;
/// Today, with this many pending chunks, is folded.
pub const FOLD_AT: usize = 32;
/// A day that is over is folded sooner, for little more comes that could be folded with it.
const FOLD_PAST_AT: usize = 8;
/// So many are folded at once, which bounds what a fold reads.
const FOLD_MOST: usize = 64;
/// So many days are folded in one invocation, whoever wrote to how many.
pub const FOLDS: usize = 4;
/// So many days that are due are remembered for the next invocation. One that is forgotten is due again once it is written to.
const OWED: usize = 256;
/// An invocation begins nothing new after this: of the 20 s that it has, a transaction that loses against others each time
/// takes 5 s, and reporting what was paid the rest.
pub const BUDGET: Duration = Duration::from_secs(12);
/// The ids of so many projects are remembered between invocations.
const PROJECTS: usize = 64;

/// Writes messages. One lives as long as its process, for what it remembers.
#[derive(Debug)]
pub struct Writer {
    app: App,
    seen: HashMap<ProjectId, Seen>,
    /// Today, and the projects that have written today.
    today: (String, HashSet<ProjectId>),
    /// Days that are due, and were not folded yet.
    owed: Vec<Fold>,
}

/// A day that is to be folded.
#[derive(Debug)]
struct Fold {
    project: ProjectId,
    day: String,
    /// Once so many chunks are pending.
    at_least: usize,
    /// So many were.
    pending: usize,
}

/// A message and what SQS calls it.
#[derive(Debug)]
pub struct Delivery {
    /// SQS's id of it.
    pub id: String,
    /// Its text.
    pub text: String,
}

/// A chunk that is to be written.
struct Pending {
    delivery: String,
    request: String,
    record: ChunkRecord,
    chunk: Chunk,
    receipt: Option<Receipt>,
    /// Whether the receipt was stored with the events.
    is_paid: bool,
}

impl Pending {
    fn place(&self) -> (String, u64) {
        (self.chunk.day.clone(), self.record.chunk)
    }

    /// The receipt that can be stored with the events. Not if something of them is free: a lease that is closed learns that
    /// from the report.
    fn rides(&self, now: Time) -> Option<&Receipt> {
        let receipt = self.receipt.as_ref()?;
        (!self.is_paid && self.record.repeated.is_empty() && receipt.is_early(now)).then_some(receipt)
    }

    /// The receipt that is to be reported, and the delivery that it came with.
    fn owed(&self) -> Option<(String, Receipt)> {
        let receipt = self.receipt.as_ref()?;
        let is_done = self.is_paid && self.record.repeated.is_empty();
        (!is_done).then(|| (self.delivery.clone(), receipt.clone()))
    }

    /// The receipt, of a chunk that was written before, and the delivery that it came with: nobody knows whether who wrote it
    /// has reported all of it.
    fn again(self) -> Option<(String, Receipt)> {
        Some((self.delivery, self.receipt?))
    }
}

impl Writer {
    /// A writer that remembers nothing yet.
    pub fn new(app: App) -> Self {
        Self {
            app,
            seen: HashMap::new(),
            today: (String::new(), HashSet::new()),
            owed: Vec::new(),
        }
    }

    /// Writes a batch. Returns the ids of deliveries that must come again.
    pub async fn write(&mut self, deliveries: Vec<Delivery>, now: Time) -> Vec<String> {
        self.write_until(deliveries, now, Instant::now() + BUDGET).await
    }

    /// Writes a batch, and begins nothing new from `until` on: what is not written then must come again. Whoever sent little
    /// is written before those who sent much.
    pub async fn write_until(&mut self, deliveries: Vec<Delivery>, now: Time, until: Instant) -> Vec<String> {
        let mut failed = HashSet::new();
        let mut receipts: BTreeMap<String, Receipt> = BTreeMap::new();
        let mut written: Vec<(ProjectId, HashSet<String>)> = Vec::new();
        for (project, mut chunks) in read_all(deliveries, &mut failed) {
            written.push((
                project,
                chunks.iter().map(|pending| pending.chunk.day.clone()).collect(),
            ));
            while !chunks.is_empty() {
                let rest = chunks.split_off(chunks.len().min(CHUNKS));
                let ids: Vec<String> = chunks.iter().map(|pending| pending.delivery.clone()).collect();
                let requests: BTreeSet<String> = chunks.iter().map(|pending| pending.request.clone()).collect();
                match self.commit(project, chunks, now, until).await {
                    Ok(owed) => receipts.extend(owed),
                    Err(error) => {
                        let error = format!("{:#}", anyhow!(error));
                        tracing::error!(project.id = %project, request.ids = ?requests, error, "events were not written");
                        self.seen.remove(&project);
                        failed.extend(ids);
                    }
                }
                chunks = rest;
            }
        }
        // What was written is not written again when its message comes again, but reported.
        let (paid, receipts): (Vec<_>, Vec<_>) = receipts.into_iter().unzip();
        let app = self.app.clone();
        let (reported, ()) = futures::join!(metering::report(&app, receipts), self.fold_some(written, now, until));
        if let Err(error) = reported {
            tracing::error!(
                error = format!("{:#}", anyhow!(error)),
                "what events cost was not reported"
            );
            failed.extend(paid);
        }
        failed.into_iter().collect()
    }

    /// Folds a few of the days that are due: those of which too much is pending, then the newest. What is left is due again
    /// when something is written next, whoever writes it.
    async fn fold_some(&mut self, written: Vec<(ProjectId, HashSet<String>)>, now: Time, until: Instant) {
        let due = match self.due(written, now).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(
                    error = format!("{:#}", anyhow!(error)),
                    "it is not known which days to fold"
                );
                return;
            }
        };
        let mut rest = due.into_iter();
        for fold in rest.by_ref().take(FOLDS) {
            if Instant::now() >= until {
                self.owed.push(fold);
                break;
            }
            // A fold that loses against another writer, or fails, is made up for by the next.
            if let Err(error) = self::fold(&self.app.table, fold.project, &fold.day, fold.at_least).await {
                tracing::warn!(project.id = %fold.project, error = format!("{:#}", anyhow!(error)), "a day was not folded");
            }
        }
        self.owed.extend(rest);
        self.owed.truncate(OWED);
    }

    /// The days that are to be folded, of those that were written to and of those that are owed, and with a project's first
    /// events of today what yesterday left. Their order: where a whole fold is pending, then the newest.
    async fn due(&mut self, written: Vec<(ProjectId, HashSet<String>)>, now: Time) -> Result<Vec<Fold>> {
        let today = now.day();
        if self.today.0 != today {
            self.today = (today.clone(), HashSet::new());
        }
        let mut folds: BTreeMap<(ProjectId, String), usize> = BTreeMap::new();
        for fold in std::mem::take(&mut self.owed) {
            folds.insert((fold.project, fold.day), fold.at_least);
        }
        for (project, days) in written {
            for day in days {
                if day == today && self.today.1.insert(project) {
                    folds.insert((project, now.plus_millis(-Time::DAY).day()), 1);
                }
                let at_least = if day < today { FOLD_PAST_AT } else { FOLD_AT };
                let owed = folds.entry((project, day)).or_insert(at_least);
                *owed = at_least.min(*owed);
            }
        }
        let keys: Vec<_> = folds
            .keys()
            .map(|(project, day)| store::head_key(*project, day))
            .collect();
        let heads = self.app.table.get_many::<DayHead>(&keys, false).await?;
        let pending: HashMap<Key, usize> = heads.iter().map(|head| (head.key(), head.pending().len())).collect();
        let of = |((project, day), at_least): ((ProjectId, String), usize)| Fold {
            pending: pending.get(&store::head_key(project, &day)).copied().unwrap_or(0),
            project,
            day,
            at_least,
        };
        let mut due: Vec<Fold> = folds
            .into_iter()
            .map(of)
            .filter(|fold| fold.pending >= fold.at_least)
            .collect();
        due.sort_by(|a, b| (b.pending >= FOLD_MOST, &b.day).cmp(&(a.pending >= FOLD_MOST, &a.day)));
        Ok(due)
    }

    /// Forgets the ids of another project, if there would be too many with those of this one.
    fn make_room(&mut self, project: ProjectId) {
        if self.seen.len() >= PROJECTS
            && !self.seen.contains_key(&project)
            && let Some(other) = self.seen.keys().next().copied()
        {
            self.seen.remove(&other);
        }
    }

    /// Makes chunks durable and counted. The receipts that are still to be reported, by the deliveries they came with.
    async fn commit(
        &mut self,
        project: ProjectId,
        mut chunks: Vec<Pending>,
        now: Time,
        until: Instant,
    ) -> Result<Vec<(String, Receipt)>> {
        // The same message may be delivered twice in one batch; a transaction takes each item once.
        let mut here = HashSet::new();
        let twice = chunks.extract_if(.., |pending| !here.insert(pending.place()));
        let mut owed: Vec<_> = twice.filter_map(Pending::again).collect();
        let with_ids = chunks
            .iter()
            .any(|pending| pending.chunk.events.iter().any(|event| event.client_id.is_some()));
        if with_ids {
            self.make_room(project);
        }
        let mut put = HashSet::new();
        for attempt in 0..ATTEMPTS {
            if Instant::now() >= until {
                return Err(kernel::Error::Busy);
            }
            if let Some(lost) = u32::try_from(attempt).unwrap_or(u32::MAX).checked_sub(1) {
                table::pause(lost).await;
            }
            let seen = if with_ids {
                Some(self.seen.entry(project).or_default())
            } else {
                None
            };
            let mut fresh = Vec::new();
            if let Some(seen) = seen {
                // A process that has just started, or met another writer, first learns what is there.
                if attempt > 0 || seen.is_new() {
                    seen.refresh(&self.app.table, project, now).await?;
                }
                fresh = mark_repeated(&mut chunks, seen, now);
                // One of which nothing counts is written if it was paid for, so that it is paid back once.
                chunks.retain(|pending| pending.record.events > 0 || pending.receipt.is_some());
            }
            if chunks.is_empty() {
                return Ok(owed);
            }
            self.put_blobs(project, &mut chunks, &mut put, now).await?;
            let (writes, change) = self.writes(project, &chunks, fresh, now)?;
            match self.app.table.write(writes).await {
                Ok(()) => {
                    if let (Some(change), Some(seen)) = (change, self.seen.get_mut(&project)) {
                        seen.apply(change);
                    }
                    owed.extend(chunks.iter().filter_map(Pending::owed));
                    return Ok(owed);
                }
                Err(WriteError::Condition(places)) => {
                    // The entries come first, so their places are the chunks'; a place behind them is the ids' head.
                    let mut place = 0;
                    let before = chunks.extract_if(.., |_| {
                        place += 1;
                        places.contains(&(place - 1))
                    });
                    owed.extend(before.filter_map(Pending::again));
                }
                Err(WriteError::Other(error)) => return Err(error),
            }
        }
        Err(kernel::Error::Busy)
    }

    /// Puts what was not put yet: the events of chunks of which something counts, and the receipts that can go with them.
    async fn put_blobs(
        &self,
        project: ProjectId,
        chunks: &mut [Pending],
        put: &mut HashSet<(String, u64)>,
        now: Time,
    ) -> Result<()> {
        let counted = chunks.iter().filter(|pending| pending.record.events > 0);
        let fresh = counted.filter(|pending| put.insert(pending.place()));
        let blob = |pending: &Pending| {
            Put::of(&BlobRecord {
                project,
                day: pending.chunk.day.clone(),
                chunk: pending.record.chunk,
                data: pending.chunk.bytes.clone(),
            })
        };
        let mut puts: Vec<Put> = fresh.map(blob).collect::<Result<_>>()?;
        puts.extend(metering::receipt::puts(
            chunks.iter().filter_map(|pending| pending.rides(now)),
        )?);
        self.app.table.put_together(puts).await?;
        for pending in chunks {
            pending.is_paid |= pending.rides(now).is_some();
        }
        Ok(())
    }

    fn writes(
        &self,
        project: ProjectId,
        chunks: &[Pending],
        fresh: Vec<seen::Hash>,
        now: Time,
    ) -> Result<(Vec<Write>, Option<seen::Change>)> {
        let mut writes = chunks
            .iter()
            .map(|pending| Write::create(&pending.record))
            .collect::<Result<Vec<_>>>()?;
        let mut days: BTreeMap<&str, Vec<&ChunkRecord>> = BTreeMap::new();
        let mut refunds = Refunds::default();
        for pending in chunks {
            if let Some(receipt) = &pending.receipt {
                refunds.add(receipt, pending.record.repeated.len() as u64);
            }
            if pending.record.events == 0 {
                continue;
            }
            days.entry(&pending.chunk.day).or_default().push(&pending.record);
        }
        writes.extend(
            days.into_iter()
                .map(|(day, chunks)| store::add_pending(project, day, &chunks)),
        );
        writes.extend(refunds.writes());
        let Some(seen) = self.seen.get(&project).filter(|_| !fresh.is_empty()) else {
            return Ok((writes, None));
        };
        let (remember, change) = seen.remember(project, fresh, now)?;
        writes.extend(remember);
        Ok((writes, Some(change)))
    }
}

/// The chunks of a batch by project, those first that have the fewest: who sent little does not wait for who sent much. What
/// cannot be read has failed.
fn read_all(deliveries: Vec<Delivery>, failed: &mut HashSet<String>) -> Vec<(ProjectId, Vec<Pending>)> {
    let mut projects: BTreeMap<ProjectId, Vec<Pending>> = BTreeMap::new();
    for delivery in deliveries {
        match read(&delivery) {
            Ok((project, chunks)) => projects.entry(project).or_default().extend(chunks),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(message.id = delivery.id, error, "a message cannot be read");
                failed.insert(delivery.id);
            }
        }
    }
    let mut projects: Vec<_> = projects.into_iter().collect();
    projects.sort_by_key(|(_, chunks)| chunks.len());
    projects
}

fn read(delivery: &Delivery) -> anyhow::Result<(ProjectId, Vec<Pending>)> {
    let message = Message::from_text(&delivery.text)?;
    let pending = |chunk: Chunk| {
        let times = || chunk.events.iter().map(|event| event.occurred_at_ms);
        let record = ChunkRecord {
            project: message.project,
            day: chunk.day.clone(),
            chunk: message.chunk,
            first_ms: times().min().unwrap_or(0),
            last_ms: times().max().unwrap_or(0),
            key: message.key,
            received_at: message.received_at,
            events: chunk.events.len() as u64,
            repeated: Vec::new(),
            filter: Filter::of(&chunk.events).into_bytes(),
        };
        Pending {
            delivery: delivery.id.clone(),
            request: message.origin.request.clone(),
            record,
            chunk,
            receipt: message.receipt.clone(),
            is_paid: false,
        }
    };
    Ok((message.project, message.chunks()?.into_iter().map(pending).collect()))
}

/// Marks the events whose ids were seen before, in earlier transactions or earlier in these chunks. Returns the others'.
fn mark_repeated(chunks: &mut [Pending], seen: &Seen, now: Time) -> Vec<seen::Hash> {
    let (mut fresh, mut here) = (Vec::new(), HashSet::new());
    for pending in chunks {
        pending.record.repeated.clear();
        for (place, event) in pending.chunk.events.iter().enumerate() {
            let Some(id) = &event.client_id else { continue };
            let hash = seen::hash(id);
            if seen.contains(hash, now) || !here.insert(hash) {
                pending.record.repeated.push(u16::try_from(place).unwrap_or(u16::MAX));
            } else {
                fresh.push(hash);
            }
        }
        pending.record.events = (pending.chunk.events.len() - pending.record.repeated.len()) as u64;
    }
    fresh
}

/// Moves pending chunks of a day into its rollups once there are `at_least` so many.
///
/// The day's rollup is read before the head, and replaced only if it is unchanged. Another fold that commits before
/// that read has taken its chunks out of the head we read later; one that commits after it has changed the rollup. So
/// no chunk is added twice.
pub async fn fold(table: &Table, project: ProjectId, day: &str, at_least: usize) -> Result<()> {
    let Some(head) = table.peek::<DayHead>(&store::head_key(project, day)).await? else {
        return Ok(());
    };
    if head.pending().len() < at_least {
        return Ok(());
    }
    let day_key = store::rollup_key(project, day, Span::Day);
    let day_record: Option<RollupRecord> = table.get(&day_key).await?;
    let head = table
        .get::<DayHead>(&store::head_key(project, day))
        .await?
        .unwrap_or_default();
    let mut places = head.pending();
    places.truncate(FOLD_MOST);
    if places.is_empty() {
        return Ok(());
    }
    let mut hours: BTreeMap<u8, Rollup> = BTreeMap::new();
    let mut whole = Rollup::default();
    for event in counted_events(table, project, day, &places)
        .await?
        .into_iter()
        .flatten()
    {
        let hour = rollup::hour(event.occurred_at());
        hours
            .entry(hour)
            .or_default()
            .add(&event, rollup::minute(event.occurred_at()));
        whole.add(&event, hour);
    }

    let mut day_counts = day_record
        .as_ref()
        .map_or_else(|| Ok(Rollup::default()), RollupRecord::counts)?;
    let mut known = Known::of(&day_counts);
    day_counts.merge(whole, &mut known);
    let day_record = day_record.unwrap_or_else(|| RollupRecord::empty(project, day, Span::Day));
    let mut writes = vec![
        day_record.replace(&day_counts)?,
        store::remove_pending(project, day, &places),
    ];
    let keys: Vec<_> = hours
        .keys()
        .map(|hour| store::rollup_key(project, day, Span::Hour(*hour)))
        .collect();
    let mut records: BTreeMap<Option<u8>, RollupRecord> = table
        .get_many::<RollupRecord>(&keys, true)
        .await?
        .into_iter()
        .map(|record| (record.hour, record))
        .collect();
    for (hour, delta) in hours {
        let record = records
            .remove(&Some(hour))
            .unwrap_or_else(|| RollupRecord::empty(project, day, Span::Hour(hour)));
        let mut counts = record.counts()?;
        counts.merge(delta, &mut known);
        writes.push(record.replace(&counts)?);
    }
    match table.write(writes).await {
        // Another writer folds this day.
        Ok(()) | Err(WriteError::Condition(_)) => Ok(()),
        Err(WriteError::Other(error)) => Err(error),
    }
}

/// The events of these chunks that count, chunk by chunk in no order.
pub(crate) async fn counted_events(
    table: &Table,
    project: ProjectId,
    day: &str,
    places: &[store::ChunkRef],
) -> Result<Vec<Vec<crate::Event>>> {
    let entries: Vec<_> = places
        .iter()
        .map(|place| store::chunk_key(project, day, *place))
        .collect();
    let entries = table.get_many::<ChunkRecord>(&entries, true).await?;
    if entries.len() != places.len() {
        return Err(anyhow!("{} pending chunks have {} entries", places.len(), entries.len()).into());
    }
    events_of(table, project, day, entries).await
}

/// The events that count of the chunks with these entries, chunk by chunk in no order.
pub(crate) async fn events_of(
    table: &Table,
    project: ProjectId,
    day: &str,
    entries: Vec<ChunkRecord>,
) -> Result<Vec<Vec<crate::Event>>> {
    let blobs: Vec<_> = entries
        .iter()
        .map(|entry| store::blob_key(project, day, entry.chunk))
        .collect();
    let blobs = table.get_many::<BlobRecord>(&blobs, true).await?;
    if blobs.len() != entries.len() {
        return Err(anyhow!("{} chunks have {} blobs", entries.len(), blobs.len()).into());
    }
    let repeated: HashMap<u64, Vec<u16>> = entries.into_iter().map(|entry| (entry.chunk, entry.repeated)).collect();
    let counted = |blob: BlobRecord| {
        let skip = repeated.get(&blob.chunk).map_or(&[][..], Vec::as_slice);
        let events = message::decode(&blob.data)?.into_iter().enumerate();
        Ok(events
            .filter(|(place, _)| !skip.iter().any(|s| usize::from(*s) == *place))
            .map(|(_, event)| event)
            .collect())
    };
    blobs.into_iter().map(counted).collect()
}
