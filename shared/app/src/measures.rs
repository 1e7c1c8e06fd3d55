//! What a process counts and times until its invocation ends: then it stands in the line of the log that tells of it, where
//! `CloudWatch` finds it. So nothing is sent for it, and nothing waits. Never a tenant as a label: each value of a label is a
//! series that is paid for.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A line has no more values of a metric: what `CloudWatch` takes.
const MOST_VALUES: usize = 100;
/// So many measures are kept until the invocation ends; what comes after is lost.
const MOST: usize = 200;

/// What a value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many there were.
    Count,
    /// How long it took.
    Seconds,
}

/// Values of one metric with the same labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// What is measured: `jobs.failed`.
    pub name: &'static str,
    /// What its values are counted in.
    pub unit: Unit,
    /// What tells its series apart: few labels of few values.
    pub labels: Vec<(&'static str, String)>,
    /// One sum of all that was counted, or each time that was taken.
    pub values: Vec<f64>,
}

/// What was measured and not told yet. Clones share it.
#[derive(Clone, Default)]
pub struct Measures(Arc<Mutex<Vec<Measure>>>);

impl Measures {
    /// Counts something that happened.
    pub fn count(&self, name: &'static str, labels: &[(&'static str, &str)]) {
        self.add(name, Unit::Count, labels, 1.0);
    }

    /// Notes how many of something there are: once an invocation.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)], value: u32) {
        self.add(name, Unit::Count, labels, f64::from(value));
    }

    /// Notes how long something took.
    pub fn time(&self, name: &'static str, labels: &[(&'static str, &str)], took: Duration) {
        self.add(name, Unit::Seconds, labels, took.as_secs_f64());
    }

    fn add(&self, name: &'static str, unit: Unit, labels: &[(&'static str, &str)], value: f64) {
        let mut all = self.lock();
        let has_room = all.len() < MOST;
        let same = |one: &&mut Measure| {
            let mut pairs = one.labels.iter().zip(labels);
            one.name == name && one.labels.len() == labels.len() && pairs.all(|(a, b)| a.0 == b.0 && a.1 == b.1)
        };
        match all.iter_mut().find(same) {
            Some(known) if unit == Unit::Count => known.values[0] += value,
            Some(known) if known.values.len() < MOST_VALUES => known.values.push(value),
            None if has_room => all.push(Measure {
                name,
                unit,
                labels: labels
                    .iter()
                    .map(|(name, value)| (*name, (*value).to_owned()))
                    .collect(),
                values: vec![value],
            }),
            // What has no room any more is lost.
            _ => {}
        }
    }

    /// Takes all that was measured so far.
    pub fn take(&self) -> Vec<Measure> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Measure>> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Measures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measures").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_times_are_kept_and_nothing_is_told_twice() {
        let measures = Measures::default();
        for _ in 0..3 {
            measures.clone().count("jobs.failed", &[("queue", "payments")]);
        }
        measures.count("jobs.failed", &[("queue", "notifications")]);
        for _ in 0..150 {
            measures.time("call", &[], Duration::from_millis(500));
        }
        let taken = measures.take();
        let values: Vec<_> = taken
            .iter()
            .map(|one| (one.name, one.values.len(), one.values[0]))
            .collect();
        assert_eq!(
            values,
            [("jobs.failed", 1, 3.0), ("jobs.failed", 1, 1.0), ("call", 100, 0.5)]
        );
        assert!(measures.take().is_empty());
    }

    #[test]
    fn what_nobody_takes_does_not_grow_for_ever() {
        let measures = Measures::default();
        for number in 0..1_000 {
            measures.count("made", &[("number", &number.to_string())]);
        }
        assert_eq!(measures.take().len(), MOST);
    }
}
