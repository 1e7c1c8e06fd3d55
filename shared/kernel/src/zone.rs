//! A time zone by its IANA name, and the calendar days and months of people who live in it. The database is built in, so
//! that a day is the same day wherever this runs.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Time;

/// A time zone. Shown and stored as its name, `Europe/Berlin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// Says that a text names no time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the IANA name of a time zone, such as Europe/Berlin")]
pub struct NotAZone;

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The calendar day of a moment.
    pub fn day(&self, at: Time) -> Day {
        let moment = Timestamp::from_millisecond(at.millis()).unwrap_or_default();
        Day(self.0.to_datetime(moment).date())
    }

    /// When a day begins: at midnight, or if there is none on that day, at the first moment after.
    pub fn begins(&self, day: Day) -> Time {
        // Only at the ends of the calendar, in the years -9999 and 9999, is there no such moment.
        let moment = self
            .0
            .to_ambiguous_zoned(day.0.to_datetime(jiff::civil::Time::midnight()));
        let moment = moment.compatible().map(|zoned| zoned.timestamp());
        Time::from_millis(moment.unwrap_or(Timestamp::MAX).as_millisecond())
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Zone {
    type Err = NotAZone;

    fn from_str(text: &str) -> Result<Self, NotAZone> {
        let zone = TimeZone::get(text).map_err(|_| NotAZone)?;
        // Names are found in any case; they are kept as the database writes them.
        zone.iana_name().is_some().then_some(Self(zone)).ok_or(NotAZone)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for Zone {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("IANA time zone"))
            .examples([serde_json::json!("Europe/Berlin")])
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Zone {}

/// A day of the calendar, wherever. Shown and stored as `2026-11-21`; texts sort as days do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

impl Day {
    /// The day after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(Date::MAX))
    }

    /// The first day of its month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        Self(self.0.first_of_month())
    }

    /// The first day of the month after.
    #[must_use]
    pub fn next_month(self) -> Self {
        Self(self.0.last_of_month()).next()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Says that a text is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a day, such as 2026-11-21")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        // A date with anything more, such as a time, is a date for jiff.
        let date = (text.len() == 10).then(|| text.parse().ok()).flatten();
        date.map(Self).ok_or(NotADay)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    #[track_caller]
    fn check_month(zone_name: &str, at: &str, begins: &str, ends: &str) {
        let zone = zone(zone_name);
        let day = zone.day(time(at));
        assert_eq!(zone.begins(day.first_of_month()).to_string(), begins);
        assert_eq!(zone.begins(day.next_month()).to_string(), ends);
    }

    #[test]
    fn months_are_those_of_the_zone() {
        check_month(
            "UTC",
            "2027-02-28T23:59:59.999Z",
            "2027-02-01T00:00:00.000Z",
            "2027-03-01T00:00:00.000Z",
        );
        // March begins in winter and ends in summer.
        check_month(
            "Europe/Berlin",
            "2027-02-28T23:30:00Z",
            "2027-02-28T23:00:00.000Z",
            "2027-03-31T22:00:00.000Z",
        );
        check_month(
            "Pacific/Auckland",
            "2027-09-30T12:00:00Z",
            "2027-09-30T11:00:00.000Z",
            "2027-10-31T11:00:00.000Z",
        );
        check_month(
            "Asia/Kathmandu",
            "2026-12-31T18:20:00Z",
            "2026-12-31T18:15:00.000Z",
            "2027-01-31T18:15:00.000Z",
        );
    }

    #[test]
    fn a_day_without_a_midnight_begins_when_it_does() {
        // In Beirut clocks went from 00:00 to 01:00.
        let day: Day = "2025-03-30".parse().unwrap();
        assert_eq!(zone("Asia/Beirut").begins(day).to_string(), "2025-03-29T22:00:00.000Z");
        assert_eq!(zone("Asia/Beirut").day(time("2025-03-29T22:00:00Z")), day);
    }

    #[test]
    fn what_names_no_zone_or_day_is_refused() {
        for text in ["", "Berlin", "+01:00", "Europe/Berlin ", "CET-1"] {
            assert_eq!(text.parse::<Zone>(), Err(NotAZone), "{text}");
        }
        for text in ["", "2026-02-30", "2026-11-21T10:00", "26-11-21", "2026/11/21"] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
        }
        assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
    }

    proptest! {
        #[test]
        fn each_moment_lies_in_its_day(millis in 0_i64..4_000_000_000_000, name in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kathmandu"])) {
            let (zone, at) = (zone(name), Time::from_millis(millis));
            let day = zone.day(at);
            prop_assert!(zone.begins(day) <= at && at < zone.begins(day.next()));
            prop_assert_eq!(day.to_string().parse::<Day>(), Ok(day));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,20}") {
            let _ = (text.parse::<Zone>(), text.parse::<Day>());
        }
    }
}
