//! Comparing what clients were told with what is there.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use serde::Serialize;

use crate::up::Running;

/// One comparison.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    /// How much there must be.
    pub(super) told: u64,
    /// How much there is.
    pub(super) found: u64,
    /// How much of what must be there is not.
    pub(super) lost: u64,
    /// How much is there that must not be.
    pub(super) doubled: u64,
}

impl Check {
    /// Compares counts by name: each lost or doubled on its own, so that two wrongs do not make a right.
    pub(super) fn of<K: Ord>(name: impl Into<String>, told: &BTreeMap<K, u64>, found: &BTreeMap<K, u64>) -> Self {
        let missing = |have: &BTreeMap<K, u64>, want: &BTreeMap<K, u64>| -> u64 {
            let missing = want
                .iter()
                .map(|(key, count)| count.saturating_sub(have.get(key).copied().unwrap_or(0)));
            missing.sum()
        };
        Self {
            name: name.into(),
            told: told.values().sum(),
            found: found.values().sum(),
            lost: missing(found, told),
            doubled: missing(told, found),
        }
    }

    /// Compares two numbers.
    pub(super) fn number(name: impl Into<String>, told: u64, found: u64) -> Self {
        Self::of(name, &BTreeMap::from([((), told)]), &BTreeMap::from([((), found)]))
    }
}

/// Counts the messages of a dead-letter queue as lost: nobody will see what they tell.
pub(super) fn dead_letters(running: &Running) -> Result<Check> {
    let dead = count(running, true)?;
    Ok(Check {
        lost: dead,
        doubled: 0,
        ..Check::number("messages in dead-letter queues", 0, dead)
    })
}

/// Counts the messages of all other queues.
pub(super) fn waiting(running: &Running) -> Result<u64> {
    count(running, false)
}

fn count(running: &Running, dead: bool) -> Result<u64> {
    let sqs = running.stack().aws.sqs();
    let dead_letter = |name: &str| {
        let sources = sqs.names().filter_map(|other| sqs.queue(other).ok()?.redrive.as_ref());
        sources.into_iter().any(|redrive| redrive.dead_letter_queue == name)
    };
    let depths = sqs.depths().map_err(|refusal| anyhow!(refusal.message))?;
    let chosen = depths.iter().filter(|(name, _)| dead_letter(name) == dead);
    Ok(chosen.map(|(_, depth)| depth.total()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_wrongs_make_no_right() {
        let told = BTreeMap::from([("a", 2), ("b", 1)]);
        let found = BTreeMap::from([("a", 1), ("b", 1), ("c", 1)]);
        let check = Check::of("x", &told, &found);
        assert_eq!((check.told, check.found, check.lost, check.doubled), (3, 3, 1, 1));
    }
}
