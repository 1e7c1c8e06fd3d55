//! Tallies: what all users of a project used in a part of a day by one metric. They are made of the events by whoever asks first, and
//! again once that day has more events.
//!
//! They lie at  pk ORG#<org>#USED#<project>  sk <day>T<minutes>#<metric>#<shard>, each user's in the shard of its hash. The first
//! shard is put last and tells how many there are; each tells of how many events of the day they were made at least. A
//! tally of other events than there are now, in whole or in part, is none.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, anyhow};
use app::App;
use aws_lc_rs::digest::{SHA256, digest};
use futures::stream::{self, StreamExt};
use kernel::{OrgId, ProjectId, Result, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Record, TableName};
use telemetry::metrics::Range;
use telemetry::usage::{self, Used};

use super::{Amount, Measure};
use crate::price::Metric;

/// A shard is about so long, compressed: what is read for one user in one read unit.
const SHARD_BYTES: usize = 8 * 1024;
/// A user may have used so many different values that a shard is longer. If it is longer than this, only that is stored, and what
/// its users used is read from their events.
const LONGEST: usize = 64 * 1024;
/// Nor is one stored that expands to more than this.
const LONGEST_PLAIN: usize = 8 * 1024 * 1024;
/// Days in all zones begin at these.
const QUARTER: i64 = 15 * Time::MINUTE;
/// So many hours of a day are counted at once.
const AT_ONCE: usize = 8;
/// Events come 400 days late at most, and are charged; who asks later asks the events.
const KEPT: i64 = 430 * Time::DAY;

/// A part of a day of which something has to be known.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The day: its first instant.
    pub(super) day: Time,
    /// From when until when, within that day.
    pub(super) range: Range,
    /// How many events the whole day has.
    pub(super) events: u64,
}

impl Part {
    /// Whether it is worth a tally: its day is over, and others may ask for the same part.
    pub(super) fn is_tallied(&self, now: Time) -> bool {
        let is_shared = |at: Time| at.millis() % QUARTER == 0;
        self.day.plus_millis(Time::DAY) <= now && is_shared(self.range.from) && is_shared(self.range.to)
    }

    /// The events of these metrics in it: a user's, or everybody's.
    fn used<'a>(&self, metrics: impl Iterator<Item = &'a Metric>, user: Option<&str>) -> Used {
        Used {
            names: metrics.map(|metric| metric.event_name.clone()).collect(),
            user: user.map(str::to_owned),
            range: self.range,
        }
    }

    fn slot(&self, metric: &Metric) -> Result<String> {
        let minute = |at: Time| (at.millis() - self.day.millis()) / Time::MINUTE;
        let metric = digest(&SHA256, &serde_json::to_vec(metric).context("a metric")?);
        let metric = u128::from_be_bytes(metric.as_ref()[..16].try_into().context("16 of 32 bytes")?);
        let (from, to) = (minute(self.range.from), minute(self.range.to));
        Ok(format!("{}T{from:04}-{to:04}#{metric:032x}", self.day.day()))
    }
}

type Amounts = BTreeMap<String, Amount>;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shard {
    org: OrgId,
    project: ProjectId,
    slot: String,
    number: u32,
    /// How many there are.
    shards: u32,
    /// How many events the day had at least, when it was made.
    events: u64,
    /// When the day was over.
    day: Time,
    /// What each user used; nothing if that is too long.
    amounts: Option<serde_bytes::ByteBuf>,
}

/// What a tally says of a user.
enum Told {
    /// So much, or nothing.
    Used(Option<Amount>),
    /// It was too long to be kept.
    TooLong,
}

impl Record for Shard {
    const KIND: &'static str = "tally";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key((self.org, self.project), &self.slot, self.number)
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.day.plus_millis(KEPT))
    }
}

impl Shard {
    fn of(&self, user: &str) -> Result<Told> {
        let Some(amounts) = &self.amounts else {
            return Ok(Told::TooLong);
        };
        let plain = zstd::bulk::decompress(amounts, LONGEST_PLAIN).context("a stored tally is damaged")?;
        let mut amounts: Amounts = postcard::from_bytes(&plain).context("a stored tally is damaged")?;
        Ok(Told::Used(amounts.remove(user)))
    }
}

fn key((org, project): (OrgId, ProjectId), slot: &str, number: u32) -> Key {
    Key::of(format!("ORG#{org}#USED#{project}"), format!("{slot}#{number:08}"))
}

/// In which of so many shards a user is.
fn shard_of(user: &str, shards: u32) -> u32 {
    let hash = digest(&SHA256, user.as_bytes());
    let hash = hash
        .as_ref()
        .iter()
        .take(4)
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    hash % shards.max(1)
}

/// Adds what a user used in these parts.
pub(super) async fn add(
    app: &App,
    place: (OrgId, ProjectId),
    user: &str,
    parts: &[Part],
    measures: &mut [Measure],
) -> Result<()> {
    let mut wanted = HashMap::new();
    for part in parts {
        for measure in &*measures {
            wanted.insert(part.slot(&measure.metric)?, part.events);
        }
    }
    let found = read(app, place, user, &wanted).await?;
    for part in parts {
        let (mut missing, mut alone) = (Vec::new(), Vec::new());
        for measure in measures.iter_mut() {
            match found.get(&part.slot(&measure.metric)?) {
                Some(Told::Used(amount)) => amount.iter().for_each(|amount| measure.amount.add(amount)),
                Some(Told::TooLong) => alone.push(measure),
                None => missing.push(measure),
            }
        }
        add_alone(app, place.1, user, part, &mut alone).await?;
        let metrics: Vec<Metric> = missing.iter().map(|measure| measure.metric.clone()).collect();
        for (measure, amounts) in missing.into_iter().zip(count(app, place.1, part, &metrics).await?) {
            if let Some(amount) = amounts.get(user) {
                measure.amount.add(amount);
            }
            store(app, place, part, &measure.metric, amounts).await?;
        }
    }
    Ok(())
}

/// What a user used, by slot, of those that have a tally of so many events.
async fn read(
    app: &App,
    place: (OrgId, ProjectId),
    user: &str,
    wanted: &HashMap<String, u64>,
) -> Result<HashMap<String, Told>> {
    let is_of_now = |shard: &Shard| wanted.get(&shard.slot) == Some(&shard.events);
    let keys: Vec<Key> = wanted.keys().map(|slot| key(place, slot, 0)).collect();
    let first: Vec<Shard> = app.table.get_many(&keys, false).await?;
    let (mut found, mut elsewhere) = (HashMap::new(), HashMap::new());
    for shard in first.into_iter().filter(is_of_now) {
        match shard_of(user, shard.shards) {
            0 => drop(found.insert(shard.slot.clone(), shard.of(user)?)),
            number => drop(elsewhere.insert(shard.slot, (number, shard.shards))),
        }
    }
    let keys: Vec<Key> = elsewhere
        .iter()
        .map(|(slot, (number, _))| key(place, slot, *number))
        .collect();
    let others: Vec<Shard> = app.table.get_many(&keys, false).await?;
    for shard in others.into_iter().filter(is_of_now) {
        if elsewhere.get(&shard.slot).map(|(_, shards)| *shards) == Some(shard.shards) {
            found.insert(shard.slot.clone(), shard.of(user)?);
        }
    }
    Ok(found)
}

/// Adds what a user used in a part, from the events of that user alone.
pub(super) async fn add_alone(
    app: &App,
    project: ProjectId,
    user: &str,
    part: &Part,
    measures: &mut [&mut Measure],
) -> Result<()> {
    if measures.is_empty() {
        return Ok(());
    }
    let used = part.used(measures.iter().map(|measure| &measure.metric), Some(user));
    for slice in usage::slices(part.day, part.range.from, part.events) {
        let take = |event: &telemetry::Event| measures.iter_mut().for_each(|measure| measure.take(event));
        usage::each_event(&app.table, project, slice, &used, take).await?;
    }
    Ok(())
}

/// What everybody used in a part by each metric, from the events.
async fn count(app: &App, project: ProjectId, part: &Part, metrics: &[Metric]) -> Result<Vec<Amounts>> {
    let mut tallies = vec![Amounts::new(); metrics.len()];
    if metrics.is_empty() {
        return Ok(tallies);
    }
    let used = part.used(metrics.iter(), None);
    let slices = usage::slices(part.day, part.range.from, part.events);
    let slices = slices.map(|slice| count_slice(app, project, slice, &used, metrics));
    let mut slices = stream::iter(slices).buffer_unordered(AT_ONCE);
    while let Some(found) = slices.next().await {
        for (tally, amounts) in tallies.iter_mut().zip(found?) {
            for (user, amount) in amounts {
                match tally.get_mut(&user) {
                    Some(sum) => sum.add(&amount),
                    None => drop(tally.insert(user, amount)),
                }
            }
        }
    }
    Ok(tallies)
}

async fn count_slice(
    app: &App,
    project: ProjectId,
    slice: Range,
    used: &Used,
    metrics: &[Metric],
) -> Result<Vec<Amounts>> {
    let mut tallies = vec![Amounts::new(); metrics.len()];
    let take = |event: &telemetry::Event| {
        let Some(user) = &event.user_id else { return };
        for (metric, amounts) in metrics.iter().zip(&mut tallies) {
            let is_of_it = event.name == metric.event_name;
            let Some(amount) = is_of_it.then(|| metric.amount(event.payload.as_deref())).flatten() else {
                continue;
            };
            let nothing = || Amount::none(metric.aggregation);
            amounts.entry(user.clone()).or_insert_with(nothing).add(&amount);
        }
    };
    usage::each_event(&app.table, project, slice, used, take).await?;
    Ok(tallies)
}

/// Keeps a tally for who asks next.
async fn store(
    app: &App,
    (org, project): (OrgId, ProjectId),
    part: &Part,
    metric: &Metric,
    amounts: Amounts,
) -> Result<()> {
    let whole = Packed::of(&amounts)?;
    let many = whole.bytes.len().div_ceil(SHARD_BYTES);
    let shards = u32::try_from(many).map_err(|_| anyhow!("a tally of gigabytes"))?;
    let packed = if many == 1 {
        vec![whole]
    } else {
        let mut split = vec![Amounts::new(); many];
        for (user, amount) in amounts {
            split[shard_of(&user, shards) as usize].insert(user, amount);
        }
        split.iter().map(Packed::of).collect::<Result<_>>()?
    };
    let slot = part.slot(metric)?;
    let shard = |(number, packed): (u32, Packed)| Shard {
        org,
        project,
        slot: slot.clone(),
        number,
        shards,
        events: part.events,
        day: part.day.plus_millis(Time::DAY),
        amounts: packed.short(),
    };
    let records: Vec<Shard> = (0..).zip(packed).map(shard).collect();
    let [first, others @ ..] = records.as_slice() else {
        return Ok(());
    };
    app.table.put_all(others).await?;
    app.table.put_all(std::slice::from_ref(first)).await
}

/// Amounts as they are stored.
struct Packed {
    /// How long they are when they are unpacked.
    plain: usize,
    bytes: Vec<u8>,
}

impl Packed {
    fn of(amounts: &Amounts) -> Result<Self> {
        let plain = postcard::to_stdvec(amounts).context("a tally")?;
        let bytes = zstd::bulk::compress(&plain, 3).context("a tally")?;
        let plain = plain.len();
        Ok(Self { plain, bytes })
    }

    /// Nothing if they are too long.
    fn short(self) -> Option<serde_bytes::ByteBuf> {
        let is_short = self.plain <= LONGEST_PLAIN && self.bytes.len() <= LONGEST;
        is_short.then(|| self.bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_not_kept_and_what_is_read_is_what_was_kept() {
        let values =
            |many: u32, length: usize| Amount::Unique((0..many).map(|value| format!("{value:0length$}")).collect());
        let amounts = |amount: Amount| Amounts::from([("ada".to_owned(), amount)]);
        let short = |amounts: &Amounts| Packed::of(amounts).unwrap().short();
        // Compressed to little, and long all the same.
        assert!(short(&amounts(values(10_000, 1_000))).is_none());
        let few = values(1_000, 20);
        let shard = Shard {
            org: OrgId::PLATFORM,
            project: ProjectId::new(Time::from_millis(0)),
            slot: String::new(),
            number: 0,
            shards: 1,
            events: 1,
            day: Time::from_millis(0),
            amounts: short(&amounts(few.clone())),
        };
        let used = |user| match shard.of(user).unwrap() {
            Told::Used(amount) => amount,
            Told::TooLong => panic!("it is short"),
        };
        assert_eq!((used("ada"), used("bob")), (Some(few), None));
        let too_long = Shard {
            amounts: None,
            ..shard.clone()
        };
        assert!(matches!(too_long.of("ada").unwrap(), Told::TooLong));
    }
}
