//! Counts of events by type, name and bucket, and the sketch of their users. One hour's rollup has a bucket a minute,
//! one day's a bucket an hour. Pure: what is added here in any order, in any parts, gives the same counts.

use std::collections::{BTreeMap, HashSet};

use kernel::Time;
use serde::{Deserialize, Serialize};

use crate::Event;
use crate::event::ERROR;
use crate::hll::Sketch;

/// A day's rollup tells this many series (type and name) apart; events of further names count as `other`.
pub const MOST_SERIES: usize = 1_000;
/// The names of those series have at most this many bytes together, so that a rollup fits an item of 400 KiB whatever
/// the names are.
const MOST_NAME_BYTES: usize = 128 * 1024;
/// A day's rollup tells this many types apart; events of further types count as type `other`. Errors are always told.
pub const MOST_TYPES: usize = 100;
/// The name of all further names, and the type of all further types.
pub const OTHER: &str = "other";
/// What a stored rollup begins with.
const VERSION: u8 = 1;
/// A rollup expands to at most this: 1,000 series of 60 buckets, their names, and the sketch.
const LONGEST: usize = 4 * 1024 * 1024;

/// Which events: their type and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The type.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// How many there were of one series, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// When the last one occurred, in milliseconds since the epoch.
    pub last_ms: i64,
    /// How many in which bucket.
    pub buckets: BTreeMap<u8, u64>,
}

/// The counts of one hour or day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// By type and name.
    pub series: BTreeMap<Series, Counts>,
    /// The users.
    pub users: Sketch,
}

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    series: Vec<StoredSeries<'a>>,
    users: &'a [u8],
}

/// Type, name, last moment, counts by bucket.
type StoredSeries<'a> = (&'a str, &'a str, i64, Vec<(u8, u64)>);

/// Says that the bytes of a rollup are damaged.
#[derive(Debug, thiserror::Error)]
#[error("a stored rollup is damaged")]
pub struct Damaged;

impl Rollup {
    /// Counts one event in a bucket.
    pub fn add(&mut self, event: &Event, bucket: u8) {
        let series = Series {
            kind: event.kind.clone(),
            name: event.name.clone(),
        };
        self.count(series, bucket, 1, event.occurred_at_ms);
        if let Some(user) = &event.user_id {
            self.users.add(user);
        }
    }

    fn count(&mut self, series: Series, bucket: u8, count: u64, last_ms: i64) {
        let counts = self.series.entry(series).or_insert_with(|| Counts {
            last_ms,
            ..Counts::default()
        });
        counts.last_ms = counts.last_ms.max(last_ms);
        *counts.buckets.entry(bucket).or_default() += count;
    }

    /// Adds another rollup of the same span; series that `known` has no room for become `other`.
    pub fn merge(&mut self, other: Self, known: &mut Known) {
        for (series, counts) in other.series {
            let series = known.admit(series);
            for (bucket, count) in counts.buckets {
                self.count(series.clone(), bucket, count, counts.last_ms);
            }
        }
        self.users.merge(&other.users);
    }

    /// The stored form: a version, then compressed postcard.
    pub fn encode(&self) -> anyhow::Result<Vec<u8>> {
        let series = self.series.iter().map(|(series, counts)| {
            let buckets = counts.buckets.iter().map(|(bucket, count)| (*bucket, *count)).collect();
            (series.kind.as_str(), series.name.as_str(), counts.last_ms, buckets)
        });
        let stored = Stored {
            series: series.collect(),
            users: self.users.bytes(),
        };
        let mut bytes = vec![VERSION];
        bytes.extend(zstd::bulk::compress(&postcard::to_stdvec(&stored)?, 6)?);
        Ok(bytes)
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (&VERSION, compressed) = bytes.split_first().ok_or(Damaged)? else {
            return Err(Damaged);
        };
        let plain = zstd::bulk::decompress(compressed, LONGEST).map_err(|_| Damaged)?;
        let stored: Stored = postcard::from_bytes(&plain).map_err(|_| Damaged)?;
        let series = stored.series.into_iter().map(|(kind, name, last_ms, buckets)| {
            let series = Series {
                kind: kind.to_owned(),
                name: name.to_owned(),
            };
            (
                series,
                Counts {
                    last_ms,
                    buckets: buckets.into_iter().collect(),
                },
            )
        });
        let users = Sketch::from_bytes(stored.users.to_vec()).ok_or(Damaged)?;
        Ok(Self {
            series: series.collect(),
            users,
        })
    }
}

/// The series that a day tells apart: at most [`MOST_SERIES`], with names of at most [`MOST_NAME_BYTES`].
#[derive(Debug, Default)]
pub struct Known {
    series: HashSet<Series>,
    types: HashSet<String>,
    name_bytes: usize,
}

impl Known {
    /// The series that a day's rollup has already.
    pub fn of(day: &Rollup) -> Self {
        let name_bytes = day.series.keys().map(|series| series.name.len()).sum();
        Self {
            series: day.series.keys().cloned().collect(),
            types: day.series.keys().map(|series| series.kind.clone()).collect(),
            name_bytes,
        }
    }

    fn admit(&mut self, mut series: Series) -> Series {
        if !self.types.contains(&series.kind) {
            if self.types.len() >= MOST_TYPES && series.kind != ERROR {
                OTHER.clone_into(&mut series.kind);
            }
            self.types.insert(series.kind.clone());
        }
        if self.series.contains(&series) {
            return series;
        }
        let name_bytes = self.name_bytes + series.name.len();
        if self.series.len() >= MOST_SERIES || name_bytes > MOST_NAME_BYTES {
            return Series {
                name: OTHER.to_owned(),
                ..series
            };
        }
        self.name_bytes = name_bytes;
        self.series.insert(series.clone());
        series
    }
}

/// The minute of its hour in which a moment lies.
pub fn minute(at: Time) -> u8 {
    u8::try_from(at.millis().rem_euclid(Time::HOUR) / Time::MINUTE).unwrap_or(0)
}

/// The hour of its day in which a moment lies.
pub fn hour(at: Time) -> u8 {
    u8::try_from(at.millis().rem_euclid(Time::DAY) / Time::HOUR).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(kind: &str, name: &str, at: i64) -> Event {
        Event {
            kind: kind.to_owned(),
            name: name.to_owned(),
            user_id: Some(format!("user-{at}")),
            payload: None,
            metadata: None,
            occurred_at_ms: at,
            client_id: None,
        }
    }

    fn of(events: &[(u8, u8)]) -> Rollup {
        let mut rollup = Rollup::default();
        for (name, minute) in events {
            rollup.add(
                &event("A", &format!("n{name}"), i64::from(*minute) * Time::MINUTE),
                *minute,
            );
        }
        rollup
    }

    #[test]
    fn past_the_bound_names_count_as_other() {
        let (mut all, mut known) = (Rollup::default(), Known::default());
        for name in 0..=MOST_SERIES {
            let mut one = Rollup::default();
            one.add(&event("A", &format!("name-{name}"), 1), 0);
            all.merge(one, &mut known);
        }
        assert_eq!(all.series.len(), MOST_SERIES + 1);
        let total: u64 = all.series.values().flat_map(|counts| counts.buckets.values()).sum();
        assert_eq!(total, MOST_SERIES as u64 + 1);
        assert!(all.series.contains_key(&Series {
            kind: "A".to_owned(),
            name: OTHER.to_owned()
        }));
    }

    #[test]
    fn past_the_bound_types_count_as_other_but_errors_stay_errors() {
        let (mut all, mut known) = (Rollup::default(), Known::default());
        for kind in (0..=2 * MOST_TYPES)
            .map(|kind| format!("T{kind}"))
            .chain([ERROR.to_owned()])
        {
            let mut one = Rollup::default();
            one.add(&event(&kind, "a", 1), 0);
            all.merge(one, &mut known);
        }
        let types: HashSet<&str> = all.series.keys().map(|series| series.kind.as_str()).collect();
        assert!(types.len() == MOST_TYPES + 2 && types.contains(ERROR) && types.contains(OTHER));
    }

    #[test]
    fn the_longest_names_and_the_fullest_hours_fit_an_item() {
        let (mut all, mut known) = (Rollup::default(), Known::default());
        for series in 0..2 * MOST_SERIES {
            let mut one = Rollup::default();
            let name = hex::encode(kernel::id::random::<200>());
            for minute in 0..60 {
                let at = i64::from(minute) * Time::MINUTE + i64::try_from(series).unwrap();
                let name = if series % 2 == 0 {
                    format!("short-{series}")
                } else {
                    name.clone()
                };
                one.add(&event("A", &name, at), minute);
            }
            all.merge(one, &mut known);
        }
        let bytes = all.encode().unwrap().len();
        assert!(bytes < 400 * 1024, "{bytes} bytes");
    }

    #[test]
    fn buckets_of_a_moment() {
        let at: Time = "2026-11-21T13:59:59.999Z".parse().unwrap();
        assert_eq!((hour(at), minute(at)), (13, 59));
    }

    proptest! {
        #[test]
        fn in_any_parts_the_counts_are_the_same(events in prop::collection::vec((0_u8..20, 0_u8..60), 0..200), cut in 0_usize..200) {
            let cut = cut.min(events.len());
            let mut parts = of(&events[cut..]);
            parts.merge(of(&events[..cut]), &mut Known::default());
            let whole = of(&events);
            prop_assert_eq!(&parts, &whole);
            prop_assert_eq!(Rollup::decode(&whole.encode().unwrap()).unwrap(), whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Rollup::decode(&bytes);
        }
    }
}
