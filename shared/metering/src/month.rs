//! The month of a wallet: what the plan includes, and how much of that was spent. Pure.

use kernel::{Time, Zone};
use serde::{Deserialize, Serialize};

/// What a calendar month includes, in the zone of the organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Month {
    /// When it ends, and the next one begins.
    pub ends_at: Time,
    /// The zone of its days.
    pub zone: Zone,
    /// How many credits the plan grants for it.
    pub included: u64,
    /// How many were spent in it.
    pub spent: u64,
    /// How many thresholds were told of.
    told: u8,
}

/// How much of what a month includes was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// 80 %.
    Low,
    /// All of it.
    Exhausted,
}

/// The thresholds in the order in which they are reached, and the percentage of each.
const THRESHOLDS: [(Threshold, u64); 2] = [(Threshold::Low, 80), (Threshold::Exhausted, 100)];

/// More than clocks of two zones are apart, which is 26 hours.
const APART: i64 = 2 * Time::DAY;

impl Month {
    /// None: one that is over.
    pub fn none() -> Self {
        Self {
            ends_at: Time::default(),
            zone: Zone::utc(),
            included: 0,
            spent: 0,
            told: 0,
        }
    }

    /// The month of a moment.
    pub fn of(now: Time, zone: Zone, included: u64) -> Self {
        Self {
            ends_at: zone.start_of(zone.day_of(now).first_of_month().plus_months(1)),
            zone,
            included,
            spent: 0,
            told: 0,
        }
    }

    /// The month that follows this one, which is over. Where the zone was changed meanwhile, calendar months do not join: the
    /// rest of a month that was paid for in the zone before is part of the next one, so that nobody has two months in one.
    #[must_use]
    pub fn next(&self, now: Time, zone: Zone, included: u64) -> Self {
        let month = Self::of(now, zone, included);
        if month.ends_at.millis() - self.ends_at.millis() < APART {
            return Self::of(month.ends_at, month.zone, included);
        }
        month
    }

    /// Whether the next one has begun.
    pub fn is_over(&self, now: Time) -> bool {
        now >= self.ends_at
    }

    /// Counts credits that were spent. The thresholds that were reached with them, each once.
    pub(crate) fn count(&mut self, credits: u64) -> Vec<Threshold> {
        self.spent = self.spent.saturating_add(credits);
        if self.included == 0 {
            return Vec::new();
        }
        let reached = THRESHOLDS.iter().skip(self.told.into()).take_while(|(_, percent)| {
            u128::from(self.spent) * 100 >= u128::from(self.included) * u128::from(*percent)
        });
        let reached: Vec<_> = reached.map(|(threshold, _)| *threshold).collect();
        self.told += u8::try_from(reached.len()).unwrap_or(0);
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_next(zone: &str, ended: &str, now: &str, ends: &str) {
        let mut before = Month::none();
        before.ends_at = ended.parse().unwrap();
        let next = before.next(now.parse().unwrap(), zone.parse().unwrap(), 1);
        assert_eq!(next.ends_at.to_string(), ends);
    }

    #[test]
    fn a_change_of_zone_gives_nobody_two_months_in_one() {
        let november = "2026-12-01T00:00:00.000Z";
        check_next("UTC", november, november, "2027-01-01T00:00:00.000Z");
        check_next("Europe/Berlin", november, november, "2026-12-31T23:00:00.000Z");
        // There it is November for eight hours more, or for twelve.
        check_next("America/Los_Angeles", november, november, "2027-01-01T08:00:00.000Z");
        check_next(
            "Etc/GMT+12",
            november,
            "2026-12-01T11:59:59Z",
            "2027-01-01T12:00:00.000Z",
        );
        // Who was away for months begins in the middle of one, or at its very end.
        check_next("UTC", november, "2027-03-31T23:59:59Z", "2027-04-01T00:00:00.000Z");
    }

    #[test]
    fn each_threshold_is_reached_once() {
        let mut month = Month::of(Time::from_millis(1_800_000_000_000), Zone::utc(), 1_000);
        assert_eq!(month.count(799), []);
        assert_eq!(month.count(1), [Threshold::Low]);
        assert_eq!(month.count(199), []);
        assert_eq!(month.count(1), [Threshold::Exhausted]);
        assert_eq!(month.count(5_000), []);
        let mut at_once = Month::of(Time::from_millis(0), Zone::utc(), 10);
        assert_eq!(at_once.count(10), [Threshold::Low, Threshold::Exhausted]);
        assert_eq!(Month::of(Time::from_millis(0), Zone::utc(), 0).count(10), []);
    }
}
