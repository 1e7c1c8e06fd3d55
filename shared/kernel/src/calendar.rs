//! Calendar days and the zones they begin in. The time zone database is part of the program, so that a day begins at the
//! same instant wherever it runs.
//!
//! Never counts a day as 24 hours, never asks which day it is.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Time;

/// The bundled database alone: none of the machine's files is read.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A day of the calendar, in no zone. Shown and stored as `2027-01-31`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

/// Says that a text is no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a date such as 2027-01-31")]
pub struct NotADay;

impl Day {
    /// Reads a date, and of a moment (`2027-01-31T…`) its date as it is written: the time is cut off.
    pub fn cut(text: &str) -> Result<Self, NotADay> {
        let Some((date, _)) = text.split_once(['T', 't']) else {
            return text.parse();
        };
        // The rest has to be a time all the same.
        let _: Time = text.parse().map_err(|_| NotADay)?;
        date.parse()
    }

    /// The day that many days later; earlier for a negative number. Stays within the years 1 to 9999.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Self {
        Self(self.0.saturating_add(span(days, Span::try_days)))
    }

    /// The same day that many months later, or the last one of a month that is too short.
    #[must_use]
    pub fn plus_months(self, months: i64) -> Self {
        Self(self.0.saturating_add(span(months, Span::try_months)))
    }

    /// The first day of its month.
    #[must_use]
    pub fn first_of_month(self) -> Self {
        Self(self.0.first_of_month())
    }

    /// How many days later the other one is; negative if it is earlier.
    pub fn days_until(self, other: Self) -> i64 {
        let since = other.0.duration_since(self.0);
        since.as_hours() / 24
    }

    /// How many months' beginnings lie between this one's month and the other's.
    pub fn months_until(self, other: Self) -> i64 {
        let months = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
        months(other.0) - months(self.0)
    }

    /// Its year.
    pub fn year(self) -> i16 {
        self.0.year()
    }

    /// Its month, from 1.
    pub fn month(self) -> u8 {
        self.0.month().unsigned_abs()
    }

    /// How many days after a Monday it is: 0 to 6.
    pub fn weekday(self) -> u8 {
        self.0.weekday().to_monday_zero_offset().unsigned_abs()
    }

    /// Its day of the month, from 1.
    pub fn day(self) -> u8 {
        self.0.day().unsigned_abs()
    }
}

/// A span that fits jiff's bounds; what does not is beyond its calendar anyway.
fn span(units: i64, of: impl Fn(Span, i64) -> Result<Span, jiff::Error>) -> Span {
    const MOST: i64 = 100_000;
    of(Span::new(), units.clamp(-MOST, MOST)).unwrap_or_default()
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        // jiff takes more than we show: a time behind the date, and years with a sign.
        if text.len() != "2027-01-31".len() || !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(NotADay);
        }
        text.parse().map(Self).map_err(|_| NotADay)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for Day {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                utoipa::openapi::KnownFormat::Date,
            )))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Day {}

/// What a clock on the wall shows, to the minute. Shown and stored as `08:30`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

/// Says that no clock shows a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time of day such as 08:30, from 00:00 to 23:59")]
pub struct NotATimeOfDay;

impl TimeOfDay {
    /// When days begin, nearly always.
    pub const MIDNIGHT: Self = Self(0);

    /// An hour and a minute; what no clock shows is cut off.
    pub const fn of(hour: u8, minute: u8) -> Self {
        Self((hour % 24) as u16 * 60 + (minute % 60) as u16)
    }

    fn hour(self) -> i8 {
        i8::try_from(self.0 / 60).unwrap_or(0)
    }

    fn minute(self) -> i8 {
        i8::try_from(self.0 % 60).unwrap_or(0)
    }

    /// Minutes since midnight.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl FromStr for TimeOfDay {
    type Err = NotATimeOfDay;

    fn from_str(text: &str) -> Result<Self, NotATimeOfDay> {
        let digits = |text: &str| -> Option<u8> {
            let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            if plain { text.parse().ok() } else { None }
        };
        let parts = text.split_once(':');
        let parts = parts.and_then(|(hour, minute)| Some((digits(hour)?, digits(minute)?)));
        match parts {
            Some((hour @ 0..24, minute @ 0..60)) => Ok(Self::of(hour, minute)),
            _ => Err(NotATimeOfDay),
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour(), self.minute())
    }
}

impl fmt::Debug for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for TimeOfDay {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^([01][0-9]|2[0-3]):[0-5][0-9]$"))
            .description(Some("what a clock on the wall shows, such as 08:30"))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for TimeOfDay {}

/// A time zone of IANA's database.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// Says that a text is no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time zone of IANA, such as Europe/Berlin")]
pub struct NotAZone;

impl Zone {
    /// Where it is the time that we store.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Its name in the database.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The first instant of a day there: midnight; the earlier of two midnights; the end of the gap if a clock change
    /// leaves midnight out.
    pub fn start_of(&self, day: Day) -> Time {
        self.at(day, TimeOfDay::MIDNIGHT)
    }

    /// When clocks there show this on that day: the earlier of two such moments; the end of the gap if a clock change leaves it
    /// out.
    pub fn at(&self, day: Day, clock: TimeOfDay) -> Time {
        let wanted = day.0.at(clock.hour(), clock.minute(), 0, 0);
        let ambiguous = self.0.to_ambiguous_timestamp(wanted);
        let at = match ambiguous.offset() {
            AmbiguousOffset::Gap { after, .. } => {
                // With the offset of afterwards it lies before the change, for the gap ends later than what is wanted.
                let before = after.to_timestamp(wanted).unwrap_or(Timestamp::MAX);
                let change = self.0.following(before).next();
                change.map_or(before, |change| change.timestamp())
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                ambiguous.earlier().unwrap_or(Timestamp::MAX)
            }
        };
        Time::from_millis(at.as_millisecond())
    }

    /// What clocks there show, to the minute.
    pub fn clock_at(&self, time: Time) -> TimeOfDay {
        let moment = Timestamp::from_millisecond(time.millis()).unwrap_or(Timestamp::MAX);
        let shown = self.0.to_datetime(moment).time();
        TimeOfDay::of(shown.hour().unsigned_abs(), shown.minute().unsigned_abs())
    }

    /// The day that it is there: the one that has begun last.
    pub fn day_of(&self, time: Time) -> Day {
        let moment = Timestamp::from_millisecond(time.millis()).unwrap_or(Timestamp::MAX);
        let shown = Day(self.0.to_datetime(moment).date());
        // Where clocks go back over midnight, the old day is shown again after the new one has begun.
        let next = shown.plus_days(1);
        if next > shown && self.start_of(next) <= time {
            next
        } else {
            shown
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl FromStr for Zone {
    type Err = NotAZone;

    fn from_str(text: &str) -> Result<Self, NotAZone> {
        if text == "UTC" {
            return Ok(Self::utc());
        }
        let zone = ZONES.get(text).map_err(|_| NotAZone)?;
        // The database takes names in any case; we take them as they are written.
        if zone.is_unknown() || zone.iana_name() != Some(text) {
            return Err(NotAZone);
        }
        Ok(Self(zone))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for Zone {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("a time zone of IANA, such as Europe/Berlin"))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Zone {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(zone: &str, day: &str, start: &str) {
        let (zone, day): (Zone, Day) = (zone.parse().unwrap(), day.parse().unwrap());
        let found = zone.start_of(day);
        assert_eq!(found.to_string(), start, "{zone} {day}");
        assert_eq!(zone.day_of(found), day, "{zone} {day}");
        assert_eq!(zone.day_of(found.plus_millis(-1)), day.plus_days(-1), "{zone} {day}");
    }

    #[test]
    fn days_begin_at_midnight() {
        check("UTC", "2027-01-31", "2027-01-31T00:00:00.000Z");
        check("Europe/Berlin", "2027-03-28", "2027-03-27T23:00:00.000Z");
        check("Europe/Berlin", "2027-03-29", "2027-03-28T22:00:00.000Z");
        check("Pacific/Auckland", "2027-04-04", "2027-04-03T11:00:00.000Z");
        check("America/Los_Angeles", "2027-03-31", "2027-03-31T07:00:00.000Z");
        check("Asia/Kathmandu", "2027-01-01", "2026-12-31T18:15:00.000Z");
    }

    #[test]
    fn a_midnight_that_is_left_out_is_the_end_of_the_gap() {
        // Clocks went from 24:00 to 1:00.
        check("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00.000Z");
        check("Asia/Beirut", "2027-03-28", "2027-03-27T22:00:00.000Z");
        // And from 23:30 to 0:00 and 0:30.
        check("America/Scoresbysund", "2024-03-31", "2024-03-31T01:00:00.000Z");
    }

    #[test]
    fn a_doubled_midnight_is_the_earlier_one() {
        // Clocks go from 1:00 to 0:00.
        check("America/Havana", "2027-11-07", "2027-11-07T04:00:00.000Z");
        // And from 24:00 to 23:00, which doubles the end of the day before.
        check("Asia/Beirut", "2027-10-31", "2027-10-30T22:00:00.000Z");
        // One minute after midnight back to 23:01: the day had begun.
        check("America/St_Johns", "2010-11-07", "2010-11-07T02:30:00.000Z");
    }

    #[test]
    fn clocks_that_leave_a_time_out_or_show_it_twice() {
        for (zone, day, clock, expected) in [
            ("Europe/Berlin", "2027-03-27", "02:30", "2027-03-27T01:30:00.000Z"),
            // They go from 2:00 to 3:00, and back.
            ("Europe/Berlin", "2027-03-28", "02:00", "2027-03-28T01:00:00.000Z"),
            ("Europe/Berlin", "2027-03-28", "02:30", "2027-03-28T01:00:00.000Z"),
            ("Europe/Berlin", "2027-03-28", "03:00", "2027-03-28T01:00:00.000Z"),
            ("Europe/Berlin", "2027-03-28", "08:00", "2027-03-28T06:00:00.000Z"),
            ("Europe/Berlin", "2027-10-31", "02:30", "2027-10-31T00:30:00.000Z"),
            // By half an hour.
            ("Australia/Lord_Howe", "2027-10-03", "02:15", "2027-10-02T15:30:00.000Z"),
            // From one day to the one after the next.
            ("Pacific/Apia", "2011-12-30", "08:00", "2011-12-30T10:00:00.000Z"),
        ] {
            let zone: Zone = zone.parse().unwrap();
            let found = zone.at(day.parse().unwrap(), clock.parse().unwrap());
            assert_eq!(found.to_string(), expected, "{zone} {day} {clock}");
        }
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let shown = |time: &str| berlin.clock_at(time.parse().unwrap()).to_string();
        assert_eq!(shown("2027-10-31T00:59:59.999Z"), "02:59");
        assert_eq!(shown("2027-10-31T01:00:00.000Z"), "02:00");
        assert_eq!("2027-11-01".parse::<Day>().unwrap().weekday(), 0, "a Monday");
    }

    #[test]
    fn what_no_clock_shows_is_none() {
        for text in [
            "", "8:00", "24:00", "08:60", "08:00:00", "+8:00", "０8:00", "08 00", "-1:00",
        ] {
            assert_eq!(text.parse::<TimeOfDay>(), Err(NotATimeOfDay), "{text}");
        }
        for text in ["00:00", "08:30", "23:59"] {
            assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_day_that_never_was_has_no_length() {
        let apia: Zone = "Pacific/Apia".parse().unwrap();
        let day: Day = "2011-12-30".parse().unwrap();
        assert_eq!(apia.start_of(day), apia.start_of(day.plus_days(1)));
        assert_eq!(apia.day_of(apia.start_of(day)), day.plus_days(1));
    }

    #[test]
    fn zones_are_those_of_the_database() {
        for text in [
            "",
            "Berlin",
            "europe/berlin",
            "Etc/Unknown",
            "+02:00",
            "local",
            "CET-1CEST",
            "../UTC",
        ] {
            assert_eq!(text.parse::<Zone>(), Err(NotAZone), "{text}");
        }
        for text in [
            "UTC",
            "Etc/UTC",
            "Europe/Kyiv",
            "Asia/Calcutta",
            "America/Argentina/Buenos_Aires",
        ] {
            assert_eq!(text.parse::<Zone>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn days_are_read_as_they_are_written() {
        for text in [
            "",
            "2027-1-31",
            "2027-02-29",
            "20270131",
            "2027-01-31T00:00:00Z",
            "+002027-01-31",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
        }
        assert_eq!(Day::cut("2027-01-14T23:59:59+14:00").unwrap().to_string(), "2027-01-14");
        assert_eq!(Day::cut("2027-01-14").unwrap().to_string(), "2027-01-14");
        assert_eq!(Day::cut("2027-01-14Tea"), Err(NotADay));
    }

    #[test]
    fn months_end_where_they_end() {
        let day: Day = "2027-01-31".parse().unwrap();
        assert_eq!(day.plus_months(1).to_string(), "2027-02-28");
        assert_eq!(day.plus_months(13).to_string(), "2028-02-29");
        assert_eq!(day.plus_months(-2).to_string(), "2026-11-30");
        assert_eq!(day.months_until(day.plus_months(13)), 13);
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_its_day(millis in 1_000_000_000_000_i64..4_102_444_800_000, zone in 0_usize..8) {
            let zone: Zone = [
                "UTC", "Europe/Berlin", "America/St_Johns", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo",
                "America/Scoresbysund", "Pacific/Apia",
            ][zone].parse().unwrap();
            let time = Time::from_millis(millis);
            let day = zone.day_of(time);
            prop_assert!(zone.start_of(day) <= time && time < zone.start_of(day.plus_days(1)), "{day} {time}");
        }

        #[test]
        fn days_are_counted_back_and_forth(start in 0_i64..20_000, days in -5_000_i64..5_000) {
            let day = Day(Date::constant(2000, 1, 1)).plus_days(start);
            prop_assert_eq!(day.days_until(day.plus_days(days)), days);
            prop_assert_eq!(day.plus_days(days).to_string().parse::<Day>(), Ok(day.plus_days(days)));
        }
    }
}
