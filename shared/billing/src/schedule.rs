//! Periods: each begins on the day of the anchor, in the zone of the client. A month that is too short has its last day
//! instead, and the month after it has the anchor's day again, for every period is counted from the anchor.
//!
//! Never counts from the last run, never adds hours.

use kernel::{Day, Time, Zone};
use serde::{Deserialize, Serialize};

/// How often a plan is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Interval {
    /// Every month.
    #[serde(rename = "monthly")]
    Monthly,
    /// Every year.
    #[serde(rename = "yearly")]
    Yearly,
    /// Every 30 days.
    #[serde(rename = "30d")]
    Days30,
}

impl Interval {
    /// What lies between two of its days.
    pub const fn step(self) -> Step {
        match self {
            Self::Monthly => Step::Months(1),
            Self::Yearly => Step::Months(12),
            Self::Days30 => Step::Days(30),
        }
    }
}

/// Whether something may begin at a moment: within ten years, so that what is caught up is bounded.
pub(crate) fn may_start(now: Time, start: Time) -> bool {
    const TEN_YEARS: i64 = 3_653 * Time::DAY;
    (start.millis() - now.millis()).abs() <= TEN_YEARS
}

/// What lies between two days of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many days.
    Days(u16),
    /// So many months.
    Months(u16),
}

/// The days `anchor + n × step`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The first day.
    pub anchor: Day,
    /// What lies between two.
    pub step: Step,
}

/// Some days: the first one, and the one after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Its first day.
    pub first: Day,
    /// The day after its last.
    pub end: Day,
}

impl Period {
    /// How many days it has.
    pub fn days(self) -> u32 {
        u32::try_from(self.first.days_until(self.end)).unwrap_or(0)
    }

    /// Its last day.
    pub fn last(self) -> Day {
        self.end.plus_days(-1)
    }

    /// Its days from one on.
    #[must_use]
    pub fn from(self, day: Day) -> Self {
        Self {
            first: self.first.max(day).min(self.end),
            end: self.end,
        }
    }

    /// Its days before one.
    #[must_use]
    pub fn until(self, day: Day) -> Self {
        Self {
            first: self.first,
            end: self.end.min(day).max(self.first),
        }
    }

    /// The instant at which it begins.
    pub fn start(self, zone: &Zone) -> Time {
        zone.start_of(self.first)
    }
}

impl Schedule {
    /// The day `n` steps after the anchor; before it for a negative number.
    pub fn day(&self, n: i64) -> Day {
        match self.step {
            Step::Days(days) => self.anchor.plus_days(n.saturating_mul(days.into())),
            Step::Months(months) => self.anchor.plus_months(n.saturating_mul(months.into())),
        }
    }

    /// How many steps after the anchor the period that holds a day begins.
    pub fn number(&self, day: Day) -> i64 {
        match self.step {
            Step::Days(days) => self.anchor.days_until(day).div_euclid(i64::from(days.max(1))),
            Step::Months(months) => {
                let n = self.anchor.months_until(day).div_euclid(i64::from(months.max(1)));
                // Its month has begun; its day may lie ahead.
                if self.day(n) <= day { n } else { n - 1 }
            }
        }
    }

    /// The period that holds a day.
    pub fn period(&self, day: Day) -> Period {
        let n = self.number(day);
        Period {
            first: self.day(n),
            end: self.day(n + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Months, NaiveDate, TimeZone};
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn starts(anchor: &str, zone: &str, interval: Interval, count: i64) -> Vec<String> {
        let schedule = Schedule {
            anchor: day(anchor),
            step: interval.step(),
        };
        let zone: Zone = zone.parse().unwrap();
        (0..count).map(|n| zone.start_of(schedule.day(n)).to_string()).collect()
    }

    /// S6.
    #[test]
    fn anchors_are_kept_in_the_clients_zone() {
        assert_eq!(
            starts("2027-01-31", "Pacific/Auckland", Interval::Monthly, 5),
            [
                "2027-01-30T11:00:00.000Z",
                "2027-02-27T11:00:00.000Z",
                "2027-03-30T11:00:00.000Z",
                "2027-04-29T12:00:00.000Z",
                "2027-05-30T12:00:00.000Z",
            ]
        );
        assert_eq!(
            starts("2027-01-31", "Europe/Berlin", Interval::Monthly, 3),
            [
                "2027-01-30T23:00:00.000Z",
                "2027-02-27T23:00:00.000Z",
                "2027-03-30T22:00:00.000Z",
            ]
        );
        assert_eq!(
            starts("2024-02-29", "UTC", Interval::Yearly, 5)[3..],
            ["2027-02-28T00:00:00.000Z", "2028-02-29T00:00:00.000Z"]
        );
        assert_eq!(
            starts("2027-03-01", "Europe/Berlin", Interval::Days30, 2),
            ["2027-02-28T23:00:00.000Z", "2027-03-30T22:00:00.000Z"]
        );
    }

    /// The nth day by another library.
    fn expected(anchor: NaiveDate, interval: Interval, n: u32) -> NaiveDate {
        match interval {
            Interval::Monthly => anchor.checked_add_months(Months::new(n)).unwrap(),
            Interval::Yearly => anchor.checked_add_months(Months::new(12 * n)).unwrap(),
            Interval::Days30 => anchor + chrono::Days::new(30 * u64::from(n)),
        }
    }

    /// The first instant of a day by another library, with another database.
    fn midnight(date: NaiveDate, zone: chrono_tz::Tz) -> i64 {
        let minutes = (0..=180).map(|minute| date.and_hms_opt(minute / 60, minute % 60, 0).unwrap());
        let mut instants = minutes.filter_map(|at| zone.from_local_datetime(&at).earliest());
        instants.next().unwrap().timestamp_millis()
    }

    const ZONES: [&str; 6] = [
        "Europe/Berlin",
        "America/New_York",
        "Pacific/Auckland",
        // Clocks change at midnight in these two, and by half an hour in the last one.
        "Asia/Beirut",
        "America/Havana",
        "Australia/Lord_Howe",
    ];

    /// Walks the periods of a start day, and compares each with the other library. Each period begins where the one
    /// before it ends.
    fn check_walk(anchor: NaiveDate, interval: Interval, periods: u32, zone: &str) {
        let (ours, theirs): (Zone, chrono_tz::Tz) = (zone.parse().unwrap(), zone.parse().unwrap());
        let schedule = Schedule {
            anchor: day(&anchor.to_string()),
            step: interval.step(),
        };
        let mut next = schedule.anchor;
        for n in 0..periods {
            let found = schedule.period(next);
            let first = expected(anchor, interval, n);
            assert_eq!(found.first.to_string(), first.to_string(), "{anchor} {interval:?} {n}");
            assert_eq!(found.first, next);
            assert_eq!(found.start(&ours).millis(), midnight(first, theirs), "{first} {zone}");
            let days = (expected(anchor, interval, n + 1) - first).num_days();
            assert_eq!(i64::from(found.days()), days);
            assert_eq!(schedule.period(found.end.plus_days(-1)), found);
            next = found.end;
        }
    }

    #[test]
    fn every_start_day_of_ten_years_in_every_zone_and_interval() {
        use chrono::Datelike;
        let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();
        for (place, anchor) in first.iter_days().take(3_653).enumerate() {
            let zone = ZONES[place % ZONES.len()];
            check_walk(anchor, Interval::Monthly, 14, zone);
            check_walk(anchor, Interval::Yearly, 5, zone);
            check_walk(anchor, Interval::Days30, 14, zone);
            // Those that a month may not have: ten years of each, in every zone, from two years.
            if anchor.day() >= 28 && anchor.year() < 2026 {
                for zone in ZONES {
                    check_walk(anchor, Interval::Monthly, 120, zone);
                    check_walk(anchor, Interval::Yearly, 10, zone);
                    check_walk(anchor, Interval::Days30, 122, zone);
                }
            }
        }
    }

    #[test]
    fn parts_of_a_period() {
        let period = Schedule {
            anchor: day("2027-01-31"),
            step: Step::Months(1),
        }
        .period(day("2027-03-30"));
        assert_eq!(period.days(), 31);
        assert_eq!(period.from(day("2027-03-16")).days(), 15);
        assert_eq!(period.until(day("2027-03-16")).days(), 16);
        assert_eq!(period.from(day("2027-04-16")).days(), 0);
        assert_eq!(period.until(day("2027-01-01")).days(), 0);
    }

    proptest! {
        #[test]
        fn a_day_lies_in_its_period(anchor in 0_i64..4_000, days in -4_000_i64..4_000, months in 1_u16..=12, by_days: bool) {
            let step = if by_days { Step::Days(months * 7) } else { Step::Months(months) };
            let anchor = day("2024-01-01").plus_days(anchor);
            let schedule = Schedule { anchor, step };
            let wanted = anchor.plus_days(days);
            let period = schedule.period(wanted);
            prop_assert!(period.first <= wanted && wanted < period.end);
            prop_assert_eq!(schedule.number(period.end), schedule.number(wanted) + 1);
            prop_assert_eq!(period.until(wanted).days() + period.from(wanted).days(), period.days());
        }
    }
}
