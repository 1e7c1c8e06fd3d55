//! Questions about numbers: overview, timeseries, top errors. They read rollups and what is not folded yet, so the
//! cost depends on the days and hours asked for, never on how many events there were.

use std::collections::BTreeMap;

use kernel::{Error, ProjectId, Result, Scope, Time, policy};
use serde::{Deserialize, Serialize};
use table::{Key, Table};

use crate::event::ERROR;
use crate::hll::Sketch;
use crate::rollup::{self, Counts, Rollup, Series};
use crate::store::{self, DayHead, RollupRecord, Span};
use crate::writer;

/// A question spans at most this: the 400 days that events may be late, and a day.
pub const LONGEST_RANGE: i64 = 401 * Time::DAY;
/// A timeseries has at most this many points: a week of minutes.
pub const MOST_POINTS: i64 = 7 * 24 * 60;
/// A question that met a fold begins again, this often.
const ATTEMPTS: usize = 5;

/// A span of time: `from` included, `to` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first moment.
    pub from: Time,
    /// The first moment after.
    pub to: Time,
}

impl Range {
    /// The range asked for, or the last 24 hours; widened to whole steps.
    pub fn of(from: Option<Time>, to: Option<Time>, now: Time, step_ms: i64) -> Result<Self> {
        let to = to.unwrap_or(now.plus_millis(1));
        let from = from.unwrap_or(to.plus_millis(-Time::DAY));
        if from >= to {
            return Err(Error::invalid("from", "must be before `to`"));
        }
        if to.millis().saturating_sub(from.millis()) > LONGEST_RANGE {
            return Err(Error::invalid("from", "must be at most 401 days before `to`"));
        }
        Ok(Self {
            from: from.floor(step_ms),
            to: to.plus_millis(step_ms - 1).floor(step_ms),
        })
    }

    /// Whether a moment lies in it.
    pub fn contains(&self, at: Time) -> bool {
        self.from <= at && at < self.to
    }

    /// The starts of the days it touches.
    pub fn days(&self) -> impl DoubleEndedIterator<Item = Time> + use<> {
        let first = self.from.millis().div_euclid(Time::DAY);
        let last = (self.to.millis() - 1).div_euclid(Time::DAY);
        (first..=last).map(|day| Time::from_millis(day * Time::DAY))
    }
}

/// The numbers of a range at a glance.
#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// How many events.
    pub events: u64,
    /// How many of them of type `ERROR`.
    pub errors: u64,
    /// Errors divided by events; 0 without events.
    pub error_rate: f64,
    /// About how many different `userId`s (standard error 0.81 %), counted by whole hours.
    pub unique_users: u64,
    /// Events by type.
    pub by_type: BTreeMap<String, u64>,
    /// When the last one occurred; null without events.
    #[schema(required)]
    pub last_event_at: Option<Time>,
}

/// The width of a timeseries' buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
pub enum Interval {
    /// A minute.
    #[serde(rename = "1m")]
    Minute,
    /// Five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// An hour.
    #[serde(rename = "1h")]
    Hour,
    /// A day in UTC.
    #[serde(rename = "1d")]
    Day,
}

impl Interval {
    /// Its length in milliseconds.
    pub fn millis(self) -> i64 {
        match self {
            Self::Minute => Time::MINUTE,
            Self::FiveMinutes => 5 * Time::MINUTE,
            Self::Hour => Time::HOUR,
            Self::Day => Time::DAY,
        }
    }
}

/// One bucket of a timeseries.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Point {
    /// When it begins.
    pub at: Time,
    /// How many events.
    pub count: u64,
    /// How many of them of type `ERROR`.
    pub errors: u64,
}

/// Events over time, without holes.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Timeseries {
    /// The buckets, oldest first.
    pub points: Vec<Point>,
}

/// One kind of error.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopError {
    /// Its name; `other` stands for all names past the first 1,000 of a day.
    pub name: String,
    /// How often it occurred.
    pub count: u64,
    /// When it last occurred.
    pub last_seen_at: Time,
}

/// The most frequent errors.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TopErrors {
    /// The most frequent first; of equals by name.
    pub errors: Vec<TopError>,
}

/// Which events a timeseries counts.
#[derive(Clone, Debug, Default)]
pub struct Only {
    /// Of this type.
    pub kind: Option<String>,
    /// Of this name.
    pub name: Option<String>,
}

impl Only {
    fn admits(&self, series: &Series) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == series.kind)
            && self.name.as_ref().is_none_or(|name| *name == series.name)
    }
}

/// Answers with the numbers of a range, seen from `now`: days that are not kept any more have none.
pub async fn overview(
    table: &Table,
    _: &Scope<policy::ReadMetrics>,
    project: ProjectId,
    range: Range,
    now: Time,
) -> Result<Overview> {
    let loaded = load(table, project, (range, now), Detail::Hours).await?;
    let (mut by_type, mut last) = (BTreeMap::<String, u64>::new(), None);
    let users = loaded.each(|series, bucket| {
        *by_type.entry(series.kind.clone()).or_default() += bucket.count;
        last = last.max(Some(bucket.last));
    })?;
    let events = by_type.values().sum();
    let errors = by_type.get(ERROR).copied().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let error_rate = if events == 0 {
        0.0
    } else {
        errors as f64 / events as f64
    };
    Ok(Overview {
        events,
        errors,
        error_rate,
        unique_users: users.count(),
        by_type,
        last_event_at: last,
    })
}

/// Answers with a range's events bucket by bucket.
pub async fn timeseries(
    table: &Table,
    _: &Scope<policy::ReadMetrics>,
    project: ProjectId,
    (range, now): (Range, Time),
    interval: Interval,
    only: Only,
) -> Result<Timeseries> {
    let step = interval.millis();
    let many = (range.to.millis() - range.from.millis()) / step;
    if many > MOST_POINTS {
        return Err(Error::invalid(
            "interval",
            format!("gives {many} points; at most {MOST_POINTS} are answered"),
        ));
    }
    let starts = (0..many).map(|place| range.from.plus_millis(place * step));
    let mut points: Vec<Point> = starts
        .map(|at| Point {
            at,
            count: 0,
            errors: 0,
        })
        .collect();
    let detail = if step < Time::HOUR {
        Detail::Minutes
    } else {
        Detail::Hours
    };
    load(table, project, (range, now), detail)
        .await?
        .each(|series, bucket| {
            let place = (bucket.at.millis() - range.from.millis()) / step;
            let point = usize::try_from(place).ok().and_then(|place| points.get_mut(place));
            if let (Some(point), true) = (point, only.admits(series)) {
                point.count += bucket.count;
                point.errors += if series.kind == ERROR { bucket.count } else { 0 };
            }
        })?;
    Ok(Timeseries { points })
}

/// Answers with the most frequent errors of a range.
pub async fn top_errors(
    table: &Table,
    _: &Scope<policy::ReadMetrics>,
    project: ProjectId,
    (range, now): (Range, Time),
    limit: usize,
) -> Result<TopErrors> {
    let mut names: BTreeMap<String, (u64, Time)> = BTreeMap::new();
    load(table, project, (range, now), Detail::Hours)
        .await?
        .each(|series, bucket| {
            if series.kind == ERROR {
                let (count, last) = names.entry(series.name.clone()).or_default();
                *count += bucket.count;
                *last = bucket.last.max(*last);
            }
        })?;
    let error = |(name, (count, last_seen_at))| TopError {
        name,
        count,
        last_seen_at,
    };
    let mut errors: Vec<TopError> = names.into_iter().map(error).collect();
    // The sort is stable, so equals stay in the order of their names.
    errors.sort_by_key(|error| std::cmp::Reverse(error.count));
    errors.truncate(limit);
    Ok(TopErrors { errors })
}

/// A question among many about one project: which events, and from when on.
#[derive(Clone, Debug)]
pub struct Question {
    /// The first moment, at the start of a minute.
    pub from: Time,
    /// Which events.
    pub only: Only,
}

/// How many events there were, and how many of them of type `ERROR`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many events.
    pub events: u64,
    /// How many of them of type `ERROR`.
    pub errors: u64,
}

/// Answers many questions at once, each from its first moment to the end of `range`, which is read once. The range
/// begins and ends with a minute, and no question begins before it.
pub async fn tallies(
    table: &Table,
    _: &Scope<policy::ReadMetrics>,
    project: ProjectId,
    (range, now): (Range, Time),
    questions: &[Question],
) -> Result<Vec<Tally>> {
    let mut tallies = vec![Tally::default(); questions.len()];
    load(table, project, (range, now), Detail::Minutes)
        .await?
        .each(|series, bucket| {
            for (question, tally) in questions.iter().zip(&mut tallies) {
                if question.from <= bucket.at && question.only.admits(series) {
                    tally.events += bucket.count;
                    tally.errors += if series.kind == ERROR { bucket.count } else { 0 };
                }
            }
        })?;
    Ok(tallies)
}

/// How many events of these projects count so far of a day (UTC), whosever they are: for the platform.
pub async fn of_day(table: &Table, _: &Scope<policy::ReadStats>, projects: &[ProjectId], day: Time) -> Result<u64> {
    let keys: Vec<_> = projects
        .iter()
        .map(|project| store::head_key(*project, &day.day()))
        .collect();
    let heads = table.get_many::<DayHead>(&keys, false).await?;
    Ok(heads.iter().map(DayHead::events).sum())
}

/// How many events of a series there were in one bucket.
struct Bucket {
    at: Time,
    count: u64,
    /// When the last of them occurred; the bucket's start if a later one hides it.
    last: Time,
}

/// How finely the days that lie wholly in a range must be known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Minutes,
    Hours,
}

/// What was read to answer a question: rollups as they are stored, and what is not folded yet, added up by hour. Neither
/// grows with the number of events.
struct Loaded {
    range: Range,
    stored: Vec<RollupRecord>,
    pending: BTreeMap<Time, Rollup>,
}

impl Loaded {
    /// Visits every series and bucket of the range. Returns the users.
    fn each(&self, mut visit: impl FnMut(&Series, Bucket)) -> Result<Sketch> {
        let mut users = Sketch::default();
        for record in &self.stored {
            let Some(day) = store::day_start(&record.day) else {
                continue;
            };
            let (start, width) = record.hour.map_or((day, Time::HOUR), |hour| {
                (day.plus_millis(i64::from(hour) * Time::HOUR), Time::MINUTE)
            });
            let counts = record.counts()?;
            self.visit(&counts, start, width, &mut visit);
            users.merge(&counts.users);
        }
        for (hour, counts) in &self.pending {
            self.visit(counts, *hour, Time::MINUTE, &mut visit);
            users.merge(&counts.users);
        }
        Ok(users)
    }

    fn visit(&self, rollup: &Rollup, start: Time, width: i64, visit: &mut impl FnMut(&Series, Bucket)) {
        for (series, counts) in &rollup.series {
            for (at, count) in starts(start, width, counts).filter(|(at, _)| self.range.contains(*at)) {
                let last = Time::from_millis(counts.last_ms);
                let last = if at <= last && last < at.plus_millis(width) {
                    last
                } else {
                    at
                };
                visit(series, Bucket { at, count, last });
            }
        }
    }
}

fn starts(start: Time, width: i64, counts: &Counts) -> impl Iterator<Item = (Time, u64)> {
    counts
        .buckets
        .iter()
        .map(move |(bucket, count)| (start.plus_millis(i64::from(*bucket) * width), *count))
}

/// Reads what a range needs of the days that are kept at `now`. A fold in between would show its chunks twice or not at all;
/// then it reads again.
async fn load(table: &Table, project: ProjectId, (range, now): (Range, Time), detail: Detail) -> Result<Loaded> {
    let days: Vec<Time> = range.days().filter(|day| store::is_kept(*day, now)).collect();
    for _ in 0..ATTEMPTS {
        let heads: Vec<Key> = days.iter().map(|day| store::head_key(project, &day.day())).collect();
        let heads = table.get_many::<DayHead>(&heads, true).await?;
        let folds = |heads: &[DayHead]| {
            let folds = heads.iter().map(|head| (head.day().to_owned(), head.folds));
            folds.collect::<BTreeMap<_, _>>()
        };
        let folded = heads
            .iter()
            .filter(|head| head.folds > 0)
            .filter_map(|head| store::day_start(head.day()));
        let keys: Vec<Key> = folded
            .flat_map(|day| rollup_keys(project, day, range, detail))
            .collect();
        let stored = table.get_many::<RollupRecord>(&keys, true).await?;

        let keys: Vec<Key> = heads.iter().map(|head| store::head_key(project, head.day())).collect();
        let again = table.get_many::<DayHead>(&keys, true).await?;
        if folds(&again) != folds(&heads) {
            continue;
        }
        let mut loaded = Loaded {
            range,
            stored,
            pending: BTreeMap::new(),
        };
        for head in again {
            let mut places = head.pending();
            places.retain(|place| place.last_ms >= range.from.millis());
            let events = writer::counted_events(table, project, head.day(), &places).await?;
            for event in events
                .into_iter()
                .flatten()
                .filter(|event| range.contains(event.occurred_at()))
            {
                let hour = event.occurred_at().floor(Time::HOUR);
                let minute = rollup::minute(event.occurred_at());
                loaded.pending.entry(hour).or_default().add(&event, minute);
            }
        }
        return Ok(loaded);
    }
    Err(Error::Busy)
}

/// The rollups of a day that a range needs: the day's if it lies in the range and whole hours will do, else its hours'.
fn rollup_keys(project: ProjectId, day: Time, range: Range, detail: Detail) -> Vec<Key> {
    let whole = range.from <= day && day.plus_millis(Time::DAY) <= range.to;
    if whole && detail == Detail::Hours {
        return vec![store::rollup_key(project, &day.day(), Span::Day)];
    }
    let hours = (0..24_u8).filter(|hour| {
        let start = day.plus_millis(i64::from(*hour) * Time::HOUR);
        start < range.to && start.plus_millis(Time::HOUR) > range.from
    });
    hours
        .map(|hour| store::rollup_key(project, &day.day(), Span::Hour(hour)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_is_widened_to_whole_steps() {
        let range = Range::of(
            Some(time("2026-11-21T10:05:30Z")),
            Some(time("2026-11-22T10:05:30Z")),
            Time::default(),
            Time::HOUR,
        );
        let range = range.unwrap();
        assert_eq!(
            (range.from, range.to),
            (time("2026-11-21T10:00:00Z"), time("2026-11-22T11:00:00Z"))
        );
        assert_eq!(range.days().count(), 2);
        assert!(Range::of(Some(range.to), Some(range.from), range.to, Time::MINUTE).is_err());
        assert!(Range::of(Some(Time::default()), Some(range.to), range.to, Time::MINUTE).is_err());
    }
}
