//! When digests are due and when it is quiet, by a clock on a wall. Pure: time is passed in.
//!
//! A time that a clock change leaves out is the end of the gap; of two that it shows, it is the earlier one.

use kernel::{Day, Time, TimeOfDay, Zone};
use serde::{Deserialize, Serialize};

/// Looking for the next moment, so many days are tried: a week, one before for those who are a day behind, and one after for
/// moments that are over.
const DAYS: std::ops::RangeInclusive<i64> = -1..=8;
/// A clock change moves what the clock shows by no more than this.
const LARGEST_CHANGE: i64 = 3 * Time::HOUR;

/// A day of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "days are called so")]
pub enum Weekday {
    #[default]
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    fn is(self, day: Day) -> bool {
        self as u8 == day.weekday()
    }
}

/// When digests are due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DigestHours {
    /// When daily and weekly ones are.
    #[schema(example = "08:00")]
    pub at: TimeOfDay,
    /// Where that is.
    #[schema(example = "Europe/Berlin")]
    pub timezone: Zone,
    /// On which day weekly ones are.
    #[serde(default)]
    pub weekday: Weekday,
}

impl Default for DigestHours {
    /// 8:00 UTC, on Mondays.
    fn default() -> Self {
        Self {
            at: TimeOfDay::of(8, 0),
            timezone: Zone::utc(),
            weekday: Weekday::Monday,
        }
    }
}

impl DigestHours {
    /// The next full hour of the clock, after now.
    pub fn next_hourly(&self, now: Time) -> Time {
        let minutes = i64::from(self.timezone.clock_at(now).minutes() % 60);
        let begun = minutes * Time::MINUTE + now.millis().rem_euclid(Time::MINUTE);
        now.plus_millis(Time::HOUR - begun)
    }

    /// The next time of day that is meant, after now.
    pub fn next_daily(&self, now: Time) -> Time {
        self.next(now, self.at, |_| true)
    }

    /// The next one on the day of the week that is meant, after now.
    pub fn next_weekly(&self, now: Time) -> Time {
        self.next(now, self.at, |day| self.weekday.is(day))
    }

    fn next(&self, now: Time, at: TimeOfDay, is_meant: impl Fn(Day) -> bool) -> Time {
        let today = self.timezone.day_of(now);
        let days = DAYS.map(|later| today.plus_days(later)).filter(|day| is_meant(*day));
        let moments = days.map(|day| self.timezone.at(day, at));
        // A week has each day; where a zone left one out, it is a day later.
        moments
            .filter(|moment| *moment > now)
            .min()
            .unwrap_or_else(|| now.plus_millis(Time::DAY))
    }

    /// When it ceases to be quiet, if it is.
    pub(crate) fn end_of_quiet(&self, now: Time, quiet: QuietHours) -> Option<Time> {
        let clock = self.timezone.clock_at(now);
        if !quiet.has(clock) {
            return None;
        }
        let left = i64::from((i32::from(quiet.to.minutes()) - i32::from(clock.minutes())).rem_euclid(24 * 60));
        let by_count = now.floor(Time::MINUTE).plus_millis(left * Time::MINUTE);
        let by_clock = self.next(now, quiet.to, |_| true);
        // Where the clock shows the end twice, its first time may be over: the next one is a day away.
        let is_near = by_clock <= by_count.plus_millis(LARGEST_CHANGE);
        Some(if is_near { by_clock } else { by_count })
    }
}

/// When nobody wants to be told what can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuietHours {
    /// From then on.
    #[schema(example = "22:00")]
    pub from: TimeOfDay,
    /// Until then: on the day after, if that is earlier.
    #[schema(example = "07:00")]
    pub to: TimeOfDay,
}

impl QuietHours {
    fn has(self, clock: TimeOfDay) -> bool {
        if self.from <= self.to {
            self.from <= clock && clock < self.to
        } else {
            self.from <= clock || clock < self.to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(at: &str, zone: &str) -> DigestHours {
        DigestHours {
            at: at.parse().unwrap(),
            timezone: zone.parse().unwrap(),
            weekday: Weekday::Monday,
        }
    }

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    /// The daily digests from one moment to another.
    fn daily(hours: &DigestHours, from: &str, to: &str) -> Vec<String> {
        let (mut now, to, mut found) = (time(from), time(to), Vec::new());
        loop {
            now = hours.next_daily(now);
            if now > to {
                return found;
            }
            found.push(now.to_string()[5..16].to_owned());
        }
    }

    #[test]
    fn a_daily_digest_keeps_its_hour() {
        let berlin = hours("08:00", "Europe/Berlin");
        let expected = [
            "03-26T07:00",
            "03-27T07:00",
            "03-28T06:00",
            "03-29T06:00",
            "03-30T06:00",
        ];
        assert_eq!(daily(&berlin, "2027-03-26T00:00:00Z", "2027-03-31T00:00:00Z"), expected);
        let night = hours("02:30", "Europe/Berlin");
        // On the 28th clocks go from 2:00 to 3:00; on 31 October they show 2:30 twice.
        let expected = ["03-27T01:30", "03-28T01:00", "03-29T00:30"];
        assert_eq!(daily(&night, "2027-03-27T00:00:00Z", "2027-03-29T12:00:00Z"), expected);
        let expected = ["10-30T00:30", "10-31T00:30", "11-01T01:30"];
        assert_eq!(daily(&night, "2027-10-30T00:00:00Z", "2027-11-01T12:00:00Z"), expected);
    }

    #[test]
    fn weekly_ones_come_on_their_day_and_hourly_ones_on_the_full_hour() {
        let mut tokyo = hours("08:00", "Asia/Tokyo");
        tokyo.weekday = Weekday::Wednesday;
        // There it is Wednesday 8:30 already.
        assert_eq!(
            tokyo.next_weekly(time("2027-01-12T23:30:00Z")),
            time("2027-01-19T23:00:00Z")
        );
        assert_eq!(
            tokyo.next_weekly(time("2027-01-12T22:59:59Z")),
            time("2027-01-12T23:00:00Z")
        );
        assert_eq!(
            tokyo.next_hourly(time("2027-01-12T22:00:00Z")),
            time("2027-01-12T23:00:00Z")
        );
        let kolkata = hours("08:00", "Asia/Kolkata");
        assert_eq!(
            kolkata.next_hourly(time("2027-01-12T22:00:00.001Z")),
            time("2027-01-12T22:30:00Z")
        );
    }

    #[test]
    fn it_is_quiet_over_midnight_and_over_clock_changes() {
        let berlin = hours("08:00", "Europe/Berlin");
        let quiet = |from: &str, to: &str| QuietHours {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        };
        let night = quiet("22:00", "07:00");
        for (now, end) in [
            ("2027-01-12T20:59:59Z", None),
            ("2027-01-12T21:00:00Z", Some("2027-01-13T06:00:00Z")),
            ("2027-01-13T05:59:59Z", Some("2027-01-13T06:00:00Z")),
            ("2027-01-13T06:00:00Z", None),
            ("2027-03-27T22:00:00Z", Some("2027-03-28T05:00:00Z")),
            ("2027-10-30T21:00:00Z", Some("2027-10-31T06:00:00Z")),
        ] {
            assert_eq!(berlin.end_of_quiet(time(now), night), end.map(time), "{now}");
        }
        let noon = quiet("12:00", "13:00");
        assert_eq!(
            berlin.end_of_quiet(time("2027-01-12T11:30:00Z"), noon),
            Some(time("2027-01-12T12:00:00Z"))
        );
        assert_eq!(berlin.end_of_quiet(time("2027-01-12T10:30:00Z"), noon), None);
        // 2:15 for the second time: 2:30 was shown already.
        let doubled = quiet("01:00", "02:30");
        let end = berlin.end_of_quiet(time("2027-10-31T01:15:00Z"), doubled);
        assert_eq!(end, Some(time("2027-10-31T01:30:00Z")));
    }

    proptest! {
        #[test]
        fn the_next_one_is_later_and_not_far(
            millis in 1_700_000_000_000_i64..2_000_000_000_000, at in 0_u8..24, minute in 0_u8..60, zone in 0_usize..6,
            from in 0_u8..24, to in 0_u8..24,
        ) {
            let zones = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Apia"];
            let hours = DigestHours { at: TimeOfDay::of(at, minute), ..hours("00:00", zones[zone]) };
            let now = Time::from_millis(millis);
            let wait = |next: Time| next.millis() - now.millis();
            prop_assert!((1..=Time::HOUR).contains(&wait(hours.next_hourly(now))));
            prop_assert!((1..=26 * Time::HOUR).contains(&wait(hours.next_daily(now))));
            prop_assert!((1..=8 * Time::DAY).contains(&wait(hours.next_weekly(now))));
            let quiet = QuietHours { from: TimeOfDay::of(from, 0), to: TimeOfDay::of(to, minute) };
            if let Some(end) = hours.end_of_quiet(now, quiet) {
                prop_assert!((1..=27 * Time::HOUR).contains(&wait(end)), "{now} {quiet:?} {end}");
            }
        }
    }
}
