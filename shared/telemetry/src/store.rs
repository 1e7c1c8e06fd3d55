//! Keys and records of events: the only place that knows how they lie in the table.

use std::collections::{BTreeSet, HashMap};

use kernel::{ApiKeyId, EventId, ProjectId, Result, Scope, Time, policy};
use serde::{Deserialize, Serialize};
use table::{Key, Record, Table, TableName, Update, Write};

use crate::event::LATE;
use crate::message;
use crate::rollup::Rollup;

/// How many days of use an API key's figures cover.
const USAGE_DAYS: i64 = 30;
/// How long a chunk of which no event counts is known.
const VOID_KEPT: i64 = 15 * Time::DAY;
/// After its day, an event is kept as long as it may be late, and this much longer: twice the 14 days that SQS keeps a message,
/// in the queue and among the dead, and a week. So nothing is written to a day that is not kept any more.
const MARGIN: i64 = 35 * Time::DAY;

/// Until when a day that begins then is kept: readers do not know it from then on, whenever DynamoDB deletes it.
fn kept_until(day: Time) -> Time {
    day.plus_millis(Time::DAY + LATE + MARGIN)
}

/// Whether a day that begins then is kept.
pub fn is_kept(day: Time, now: Time) -> bool {
    now < kept_until(day)
}

/// Until when what is stored of a day is kept.
fn expiry(day: &str) -> Option<Time> {
    day_start(day).map(kept_until)
}

/// The first moment of a day.
pub fn day_start(day: &str) -> Option<Time> {
    format!("{day}T00:00:00Z").parse().ok()
}

/// The partition of a project's events of one day.
fn day_pk(project: ProjectId, day: &str) -> String {
    format!("PRJ#{project}#DAY#{day}")
}

/// Where a chunk stands among its day's: by when its last event occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkRef {
    /// When the last event occurred.
    pub last_ms: i64,
    /// Its 62 bits.
    pub chunk: u64,
}

impl ChunkRef {
    /// As it stands in a pending set and in keys: both numbers in hex at full width, so that text sorts as they do.
    pub fn to_text(self) -> String {
        format!("{:012x}#{:016x}", self.last_ms, self.chunk)
    }

    fn from_text(text: &str) -> Option<Self> {
        let (last, chunk) = text.split_once('#')?;
        Some(Self {
            last_ms: i64::from_str_radix(last, 16).ok()?,
            chunk: u64::from_str_radix(chunk, 16).ok()?,
        })
    }
}

/// A chunk's entry in its day: all about it but the events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChunkRecord {
    /// The project.
    pub project: ProjectId,
    /// The day.
    pub day: String,
    /// The chunk.
    pub chunk: u64,
    /// When its first event occurred.
    pub first_ms: i64,
    /// When its last event occurred.
    pub last_ms: i64,
    /// The key it came with.
    pub key: ApiKeyId,
    /// When it arrived.
    pub received_at: Time,
    /// How many events count.
    pub events: u64,
    /// The places of events that do not count, because their ids were seen before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeated: Vec<u16>,
    /// A Bloom filter of what search can ask for.
    #[serde(with = "serde_bytes")]
    pub filter: Vec<u8>,
}

impl ChunkRecord {
    /// Where it stands.
    pub fn place(&self) -> ChunkRef {
        ChunkRef {
            last_ms: self.last_ms,
            chunk: self.chunk,
        }
    }
}

impl Record for ChunkRecord {
    const KIND: &'static str = "chunk";
    const TABLE: TableName = TableName::Telemetry;

    fn key(&self) -> Key {
        chunk_key(self.project, &self.day, self.place())
    }

    /// One of which no event counts only says that it was here, for as long as SQS may deliver it again.
    fn expires_at(&self) -> Option<Time> {
        match self.events {
            0 => Some(self.received_at.plus_millis(VOID_KEPT)),
            _ => expiry(&self.day),
        }
    }
}

/// The key of a chunk's entry.
pub fn chunk_key(project: ProjectId, day: &str, place: ChunkRef) -> Key {
    Key::of(day_pk(project, day), format!("CHUNK#{}", place.to_text()))
}

/// A chunk's events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlobRecord {
    /// The project.
    pub project: ProjectId,
    /// The day.
    pub day: String,
    /// The chunk.
    pub chunk: u64,
    /// The events, as `message::encode` writes them.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

impl Record for BlobRecord {
    const KIND: &'static str = "blob";
    const TABLE: TableName = TableName::Telemetry;

    fn key(&self) -> Key {
        blob_key(self.project, &self.day, self.chunk)
    }

    fn expires_at(&self) -> Option<Time> {
        expiry(&self.day)
    }
}

/// The key of a chunk's events.
pub fn blob_key(project: ProjectId, day: &str, chunk: u64) -> Key {
    Key::of(format!("PRJ#{project}#BLOB#{day}"), format!("{chunk:016x}"))
}

/// The keys under which an event may lie, one for each project.
pub fn blob_keys_of(id: EventId, projects: &[ProjectId]) -> Vec<Key> {
    let (chunk, _) = message::place_of(id);
    projects
        .iter()
        .map(|project| blob_key(*project, &id.time().day(), chunk))
        .collect()
}

/// A day's head. It is changed by updates alone, so it is only ever read as this.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DayHead {
    /// The partition it was read from, which tells its day.
    #[serde(default)]
    pk: String,
    /// The chunks that no rollup holds yet.
    #[serde(default)]
    pending: BTreeSet<String>,
    /// How often chunks were folded.
    #[serde(default)]
    pub folds: u64,
    /// `n:<key>`: events by API key; `t:<key>`: when it was last used, in milliseconds.
    #[serde(flatten)]
    rest: HashMap<String, serde_json::Value>,
}

impl Record for DayHead {
    const KIND: &'static str = "day";
    const TABLE: TableName = TableName::Telemetry;

    fn key(&self) -> Key {
        Key::of(&self.pk, "HEAD")
    }
}

impl DayHead {
    /// The day it is the head of.
    pub fn day(&self) -> &str {
        self.pk.rsplit('#').next().unwrap_or_default()
    }

    /// The chunks that no rollup holds yet, oldest first.
    pub fn pending(&self) -> Vec<ChunkRef> {
        self.pending
            .iter()
            .filter_map(|text| ChunkRef::from_text(text))
            .collect()
    }

    /// How many of its events count so far.
    pub fn events(&self) -> u64 {
        let counts = self.rest.iter().filter(|(name, _)| name.starts_with("n:"));
        counts.filter_map(|(_, count)| count.as_u64()).sum()
    }

    fn keys(&self) -> impl Iterator<Item = (ApiKeyId, u64, Option<i64>)> {
        self.rest.iter().filter_map(|(name, value)| {
            let id = name.strip_prefix("n:")?;
            let last = self.rest.get(&format!("t:{id}")).and_then(serde_json::Value::as_i64);
            Some((id.parse().ok()?, value.as_u64()?, last))
        })
    }
}

/// The key of a day's head.
pub fn head_key(project: ProjectId, day: &str) -> Key {
    Key::of(day_pk(project, day), "HEAD")
}

/// Begins a change of a day's head. Each says until when it is kept, for any may be the one that makes it.
fn change_head(project: ProjectId, day: &str) -> Update {
    let update = Update::of::<DayHead>(&head_key(project, day));
    match expiry(day) {
        Some(expiry) => update.expires_at(expiry),
        None => update,
    }
}

/// Adds chunks of one day to its head.
pub fn add_pending(project: ProjectId, day: &str, chunks: &[&ChunkRecord]) -> Write {
    let mut update =
        change_head(project, day).add_to_set("pending", chunks.iter().map(|chunk| chunk.place().to_text()).collect());
    let mut used: HashMap<ApiKeyId, (u64, Time)> = HashMap::new();
    for chunk in chunks {
        let (events, last) = used.entry(chunk.key).or_default();
        *events += chunk.events;
        *last = chunk.received_at.max(*last);
    }
    for (key, (events, last)) in used {
        update = update
            .add_number(&format!("n:{key}"), i64::try_from(events).unwrap_or(i64::MAX))
            .set_number(&format!("t:{key}"), last.millis());
    }
    update.into()
}

/// Takes chunks of one day out of its head, for a rollup holds them now.
pub fn remove_pending(project: ProjectId, day: &str, chunks: &[ChunkRef]) -> Write {
    change_head(project, day)
        .remove_from_set("pending", chunks.iter().map(|chunk| chunk.to_text()).collect())
        .add_number("folds", 1)
        .into()
}

/// Which span of a day a rollup covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// One hour, minute by minute.
    Hour(u8),
    /// All of it, hour by hour.
    Day,
}

/// A stored rollup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RollupRecord {
    /// The project.
    pub project: ProjectId,
    /// The day.
    pub day: String,
    /// The hour; all of the day if absent.
    pub hour: Option<u8>,
    /// The counts.
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
    #[serde(default)]
    version: u64,
}

impl Record for RollupRecord {
    const KIND: &'static str = "rollup";
    const TABLE: TableName = TableName::Telemetry;

    fn key(&self) -> Key {
        rollup_key(self.project, &self.day, self.hour.map_or(Span::Day, Span::Hour))
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        expiry(&self.day)
    }
}

impl RollupRecord {
    /// An empty rollup that was never stored.
    pub fn empty(project: ProjectId, day: &str, span: Span) -> Self {
        let hour = match span {
            Span::Hour(hour) => Some(hour),
            Span::Day => None,
        };
        Self {
            project,
            day: day.to_owned(),
            hour,
            data: Vec::new(),
            version: 0,
        }
    }

    /// Its counts.
    pub fn counts(&self) -> Result<Rollup> {
        if self.data.is_empty() {
            return Ok(Rollup::default());
        }
        Ok(Rollup::decode(&self.data).map_err(anyhow::Error::new)?)
    }

    /// Stores these counts in its place, if it is as it was read.
    pub fn replace(mut self, counts: &Rollup) -> Result<Write> {
        self.data = counts.encode()?;
        Write::save(&self)
    }
}

/// The key of a rollup.
pub fn rollup_key(project: ProjectId, day: &str, span: Span) -> Key {
    let sk = match span {
        Span::Hour(hour) => format!("HOUR#{hour:02}"),
        Span::Day => "DAY".to_owned(),
    };
    Key::of(day_pk(project, day), sk)
}

/// The partition of a day's chunks, and the range of it in which chunks lie whose last event occurred from `first_ms`
/// to `last_ms`, both included.
pub fn chunks_between(project: ProjectId, day: &str, first_ms: i64, last_ms: i64) -> (String, String, String) {
    let place = |last_ms, chunk| format!("CHUNK#{}", ChunkRef { last_ms, chunk }.to_text());
    (day_pk(project, day), place(first_ms, 0), place(last_ms, u64::MAX))
}

/// How much an API key was used in the last 30 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Events that occurred in those days and came with this key.
    pub events: u64,
    /// When events last came with it.
    pub last_used_at: Option<Time>,
}

/// How much each key of a project was used.
pub async fn key_usage(
    table: &Table,
    scope: &Scope<policy::ReadApiKeys>,
    project: ProjectId,
    now: Time,
) -> Result<HashMap<ApiKeyId, KeyUsage>> {
    scope.org_of(project)?;
    let days = (0..=USAGE_DAYS).map(|back| now.plus_millis(-back * Time::DAY).day());
    let keys: Vec<Key> = days.map(|day| head_key(project, &day)).collect();
    let mut usage: HashMap<ApiKeyId, KeyUsage> = HashMap::new();
    for head in table.get_many::<DayHead>(&keys, false).await? {
        for (key, events, last) in head.keys() {
            let usage = usage.entry(key).or_default();
            usage.events += events;
            usage.last_used_at = usage.last_used_at.max(last.map(Time::from_millis));
        }
    }
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_sort_as_their_text(a in 0_i64..4_000_000_000_000, b in 0_i64..4_000_000_000_000, c: u64, d: u64) {
            let (one, two) = (ChunkRef { last_ms: a, chunk: c }, ChunkRef { last_ms: b, chunk: d });
            prop_assert_eq!(one.cmp(&two), one.to_text().cmp(&two.to_text()));
            prop_assert_eq!(ChunkRef::from_text(&one.to_text()), Some(one));
        }
    }
}
