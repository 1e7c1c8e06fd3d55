//! What a breaker is, and each change of it: a conditional update, as data. Pure: time is passed in.
//!
//! A breaker is open because of its failures, not by a state beside them: one update that counts the last failure opens it,
//! so no crash leaves it in between. What a call reports counts only if the breaker is still as the call found it: in the
//! same `round`, which ends when it closes again, or under the number of its trial.

use kernel::Time;
use serde::{Deserialize, Serialize};

use crate::Rule;

/// Who tries it has so long; then another one may, and what the first one reports counts for nothing. Longer than any
/// call waits for its answer.
pub(crate) const TRIAL: i64 = Time::MINUTE;

/// A breaker as it is stored; whatever is absent is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct State {
    /// How often it has closed again.
    pub(crate) round: i64,
    /// How many failures there were in a row.
    pub(crate) failures: i64,
    /// When the last of them was, by the clock of who saw it.
    pub(crate) failed_ms: i64,
    /// How many trials have succeeded since.
    pub(crate) successes: i64,
    /// The number of the trial that is under way; 0 if none is.
    pub(crate) trial: i64,
    /// When that has had its time.
    pub(crate) trial_ends_ms: i64,
}

/// What a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Be made.
    Pass,
    /// Be made if it gets the one place for a trial.
    Trial,
    /// Not be made.
    Refused {
        /// When to ask again.
        until: Time,
    },
}

impl State {
    /// What a call may do at `now`.
    pub(crate) fn admission(&self, rule: Rule, now: Time) -> Admission {
        if self.failures < i64::from(rule.failures) {
            return Admission::Pass;
        }
        let cool_down = millis(rule);
        let cooled = Time::from_millis(self.failed_ms).plus_millis(cool_down);
        if now < cooled {
            return Admission::Refused { until: cooled };
        }
        let tried = Time::from_millis(self.trial_ends_ms);
        if now < tried {
            // A trial takes as long as a call takes, as a rule; its whole time is for those who died.
            let until = tried.min(now.plus_millis(cool_down));
            return Admission::Refused { until };
        }
        Admission::Trial
    }

    fn is_open(&self, rule: Rule) -> bool {
        self.failures >= i64::from(rule.failures)
    }
}

fn millis(rule: Rule) -> i64 {
    i64::try_from(rule.cool_down.as_millis()).unwrap_or(i64::MAX)
}

/// A number of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Round,
    Failures,
    FailedMs,
    Successes,
    Trial,
    TrialEndsMs,
}

impl Field {
    /// What its attribute is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Round => "round",
            Self::Failures => "failures",
            Self::FailedMs => "failedMs",
            Self::Successes => "successes",
            Self::Trial => "trial",
            Self::TrialEndsMs => "trialEndsMs",
        }
    }
}

/// What a number must be, an absent one being 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Is(i64),
    AtMost(i64),
}

/// A change, which happens whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) wants: Vec<(Field, Want)>,
    pub(crate) sets: Vec<(Field, i64)>,
    /// Those that grow by one.
    pub(crate) adds: Vec<Field>,
}

impl Change {
    /// A failure of a closed one counts, up to the one that opens it: those of calls that were under way then do not
    /// prolong its cool-down.
    pub(crate) fn failure(round: i64, rule: Rule, now: Time) -> Self {
        Self {
            wants: Self::closed(round, rule),
            sets: vec![(Field::FailedMs, now.millis())],
            adds: vec![Field::Failures],
        }
    }

    /// A success of a closed one ends the row of failures.
    pub(crate) fn end_of_row(round: i64, rule: Rule) -> Self {
        Self {
            wants: Self::closed(round, rule),
            sets: vec![(Field::Failures, 0)],
            adds: Vec::new(),
        }
    }

    fn closed(round: i64, rule: Rule) -> Vec<(Field, Want)> {
        let most = i64::from(rule.failures) - 1;
        vec![(Field::Round, Want::Is(round)), (Field::Failures, Want::AtMost(most))]
    }

    /// The place for a trial is taken, if the breaker is as it was read and the place is free.
    pub(crate) fn trial(read: &State, number: i64, now: Time) -> Self {
        Self {
            wants: vec![
                (Field::Round, Want::Is(read.round)),
                (Field::FailedMs, Want::Is(read.failed_ms)),
                (Field::TrialEndsMs, Want::AtMost(now.millis())),
            ],
            sets: vec![
                (Field::Trial, number),
                (Field::TrialEndsMs, now.plus_millis(TRIAL).millis()),
            ],
            adds: Vec::new(),
        }
    }

    /// A trial has succeeded, after so many others: the place is free for the next one, or it closes.
    pub(crate) fn success(number: i64, succeeded: i64, rule: Rule) -> Self {
        let successes = succeeded + 1;
        if successes < i64::from(rule.successes) {
            return Self::tried(number, vec![(Field::Successes, successes)]);
        }
        Self {
            adds: vec![Field::Round],
            ..Self::tried(number, vec![(Field::Successes, 0), (Field::Failures, 0)])
        }
    }

    /// A trial has failed: it is open anew from now on.
    pub(crate) fn opened_anew(number: i64, now: Time) -> Self {
        Self::tried(number, vec![(Field::Successes, 0), (Field::FailedMs, now.millis())])
    }

    fn tried(number: i64, mut sets: Vec<(Field, i64)>) -> Self {
        sets.extend([(Field::Trial, 0), (Field::TrialEndsMs, 0)]);
        Self {
            wants: vec![(Field::Trial, Want::Is(number))],
            sets,
            adds: Vec::new(),
        }
    }

    /// Whether it closes the breaker.
    pub(crate) fn closes(&self) -> bool {
        self.adds.contains(&Field::Round)
    }

    /// Whether it opened the breaker, or opened it anew, that is in this state after it.
    pub(crate) fn opens(&self, after: &State, rule: Rule) -> bool {
        after.is_open(rule) && self.sets.iter().any(|(field, _)| *field == Field::FailedMs)
    }
}

#[cfg(test)]
mod tests;
