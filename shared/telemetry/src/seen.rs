//! The ids that clients gave their events, so that one which is sent again within 24 hours counts once.
//!
//! Per project: hashes of 8 bytes, grouped by the hour they were written in. The newest lie in the head, whose
//! version guards every change; when they are too many they become a run, written once and expiring by itself. A warm
//! writer remembers all of it and reads nothing until another writer was faster.
//!
//! Two ids meet in 64 bits with probability n²/2^65: for a million ids a day, about 3 in 100 million.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use kernel::{ProjectId, Result, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Query, Record, Table, TableName, Write};

/// An id is remembered for this many whole hours after the one it was written in.
const HOURS: u32 = 24;
/// The head holds at most this many hashes, so that it is one write unit: 112 × 8 B + 8 B an hour < 1 KiB.
const RECENT: usize = 112;
/// Runs that are read in one page: DynamoDB ends a page at 1 MiB anyway.
const PAGE: u16 = 1_000;

/// What is remembered of an id.
pub type Hash = u64;

/// The hash of a client's id.
pub fn hash(id: &str) -> Hash {
    digest(&SHA256, id.as_bytes())
        .as_ref()
        .first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn hour_of(now: Time) -> u32 {
    u32::try_from(now.millis() / Time::HOUR).unwrap_or(0)
}

fn pk(project: ProjectId) -> String {
    format!("PRJ#{project}#IDS")
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    project: ProjectId,
    /// How many runs were ever written.
    runs: u64,
    #[serde(with = "serde_bytes")]
    recent: Vec<u8>,
    #[serde(default)]
    version: u64,
}

impl Record for Head {
    const KIND: &'static str = "seen";
    const TABLE: TableName = TableName::Telemetry;

    fn key(&self) -> Key {
        Key::of(pk(self.project), "HEAD")
    }

    fn version(&self) -> u64 {
        self.version
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Run {
    project: ProjectId,
    number: u64,
    until: Time,
    #[serde(with = "serde_bytes")]
    hashes: Vec<u8>,
}

impl Record for Run {
    const KIND: &'static str = "seen-run";
    const TABLE: TableName = TableName::Telemetry;

    fn key(&self) -> Key {
        Key::of(pk(self.project), run_sk(self.number))
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.until)
    }
}

fn run_sk(number: u64) -> String {
    format!("RUN#{number:016x}")
}

/// The ids of one project, as this process knows them.
#[derive(Debug, Default)]
pub struct Seen {
    /// The hour each hash was written in.
    hours: HashMap<Hash, u32>,
    /// Those of them that lie in the head.
    recent: BTreeMap<u32, Vec<Hash>>,
    runs: u64,
    version: u64,
    /// The hour in which too old hashes were last forgotten.
    hour: u32,
}

/// What the ids of one project become when a transaction commits.
#[derive(Debug)]
pub struct Change {
    hour: u32,
    fresh: Vec<Hash>,
    recent: BTreeMap<u32, Vec<Hash>>,
    runs: u64,
}

impl Seen {
    /// Whether an id with this hash counted within the last 24 hours.
    pub fn contains(&self, hash: Hash, now: Time) -> bool {
        self.hours.get(&hash).is_some_and(|hour| *hour + HOURS >= hour_of(now))
    }

    /// Whether nothing was learned yet.
    pub fn is_new(&self) -> bool {
        self.version == 0
    }

    /// Learns what other writers have written.
    pub async fn refresh(&mut self, table: &Table, project: ProjectId, now: Time) -> Result<()> {
        let oldest = hour_of(now).saturating_sub(HOURS);
        self.hours.retain(|_, hour| *hour >= oldest);
        let head: Option<Head> = table.get(&Key::of(pk(project), "HEAD")).await?;
        let Some(head) = head else { return Ok(()) };
        if head.version == self.version {
            return Ok(());
        }
        let mut next = None;
        loop {
            let runs = Query::of(pk(project), PAGE)
                .between(run_sk(self.runs), run_sk(u64::MAX))
                .consistent()
                .after(next);
            let page = table.query::<Run>(runs).await?;
            for run in page.records {
                self.learn(unpack(&run.hashes), oldest);
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        self.recent = unpack(&head.recent);
        self.learn(self.recent.clone(), oldest);
        (self.runs, self.version) = (head.runs, head.version);
        Ok(())
    }

    fn learn(&mut self, groups: BTreeMap<u32, Vec<Hash>>, oldest: u32) {
        for (hour, hashes) in groups.into_iter().filter(|(hour, _)| *hour >= oldest) {
            for hash in hashes {
                let known = self.hours.entry(hash).or_default();
                *known = hour.max(*known);
            }
        }
    }

    /// The writes that remember these hashes, for the transaction in which their events are counted; the head's comes
    /// first. Also what [`Seen::apply`] needs once it has committed.
    pub fn remember(&self, project: ProjectId, fresh: Vec<Hash>, now: Time) -> Result<(Vec<Write>, Change)> {
        let hour = hour_of(now);
        let mut recent = self.recent.clone();
        recent.retain(|then, _| then + HOURS >= hour);
        recent.entry(hour).or_default().extend(&fresh);
        let (mut runs, mut run) = (self.runs, None);
        if recent.values().map(Vec::len).sum::<usize>() > RECENT {
            let until = Time::from_millis(i64::from(hour + HOURS + 1) * Time::HOUR);
            run = Some(Run {
                project,
                number: runs,
                until,
                hashes: pack(&recent),
            });
            recent.clear();
            runs += 1;
        }
        let head = Head {
            project,
            runs,
            recent: pack(&recent),
            version: self.version,
        };
        let mut writes = vec![Write::save(&head)?];
        if let Some(run) = run {
            writes.push(Write::create(&run)?);
        }
        Ok((
            writes,
            Change {
                hour,
                fresh,
                recent,
                runs,
            },
        ))
    }

    /// Takes over what was committed.
    pub fn apply(&mut self, change: Change) {
        if self.hour != change.hour {
            self.hour = change.hour;
            self.hours.retain(|_, hour| *hour + HOURS >= change.hour);
        }
        self.hours.extend(change.fresh.iter().map(|hash| (*hash, change.hour)));
        (self.recent, self.runs) = (change.recent, change.runs);
        self.version += 1;
    }
}

/// Groups of hashes as bytes: the hour, how many, the hashes; little-endian.
fn pack(groups: &BTreeMap<u32, Vec<Hash>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (hour, hashes) in groups.iter().filter(|(_, hashes)| !hashes.is_empty()) {
        bytes.extend(hour.to_le_bytes());
        bytes.extend(u32::try_from(hashes.len()).unwrap_or(0).to_le_bytes());
        bytes.extend(hashes.iter().flat_map(|hash| hash.to_le_bytes()));
    }
    bytes
}

fn unpack(mut bytes: &[u8]) -> BTreeMap<u32, Vec<Hash>> {
    let mut groups = BTreeMap::new();
    while let Some((hour, rest)) = bytes.split_first_chunk() {
        let Some((count, mut rest)) = rest.split_first_chunk() else {
            break;
        };
        let mut hashes = Vec::new();
        for _ in 0..u32::from_le_bytes(*count) {
            let Some((hash, more)) = rest.split_first_chunk() else {
                break;
            };
            hashes.push(Hash::from_le_bytes(*hash));
            rest = more;
        }
        groups.insert(u32::from_le_bytes(*hour), hashes);
        bytes = rest;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn project() -> ProjectId {
        ProjectId::new(NOW)
    }

    #[test]
    fn an_id_is_known_for_a_day() {
        let mut seen = Seen::default();
        let (writes, change) = seen.remember(project(), vec![7], NOW).unwrap();
        assert_eq!(writes.len(), 1);
        seen.apply(change);
        assert!(seen.contains(7, NOW) && !seen.contains(8, NOW));
        assert!(seen.contains(7, NOW.plus_millis(Time::DAY)));
        assert!(!seen.contains(7, NOW.plus_millis(26 * Time::HOUR)));
    }

    #[test]
    fn many_recent_ids_become_a_run() {
        let mut seen = Seen::default();
        for start in (0..200).step_by(50) {
            let (writes, change) = seen.remember(project(), (start..start + 50).collect(), NOW).unwrap();
            assert_eq!(writes.len(), if start == 100 { 2 } else { 1 });
            seen.apply(change);
        }
        assert_eq!((seen.runs, seen.version), (1, 4));
        assert!((0..200).all(|hash| seen.contains(hash, NOW)));
    }

    proptest! {
        #[test]
        fn packed_and_back_is_the_same(groups in prop::collection::btree_map(any::<u32>(), prop::collection::vec(any::<u64>(), 1..9), 0..5)) {
            prop_assert_eq!(unpack(&pack(&groups)), groups);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = unpack(&bytes);
        }
    }
}
