//! A moment in UTC with millisecond precision, the only time that is stored or shown.
//!
//! Never asks what time it is.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time as Time24};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment, as milliseconds since 1970-01-01T00:00:00Z. Shown and stored as RFC 3339 with three decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// The length of a second in milliseconds.
    pub const SECOND: i64 = 1_000;
    /// The length of a minute in milliseconds.
    pub const MINUTE: i64 = 60 * Self::SECOND;
    /// The length of an hour in milliseconds.
    pub const HOUR: i64 = 60 * Self::MINUTE;
    /// The length of a day in milliseconds.
    pub const DAY: i64 = 24 * Self::HOUR;

    /// Makes a moment from milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, as DynamoDB's TTL and JWTs count.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(Self::SECOND)
    }

    /// The moment that many milliseconds later; earlier for a negative number.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The moment that many seconds later; earlier for a negative number.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        self.plus_millis(seconds.saturating_mul(Self::SECOND))
    }

    /// The start of the span of `millis` that holds this moment, counted from the epoch.
    #[must_use]
    pub const fn floor(self, millis: i64) -> Self {
        Self(self.0.div_euclid(millis) * millis)
    }

    /// The calendar day in UTC, as `2026-11-21`.
    pub fn day(self) -> String {
        let mut text = self.to_string();
        text.truncate(10);
        text
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Out of the range of years (9999) only when a stored number is damaged.
        let moment = EPOCH.checked_add(SignedDuration::from_millis(self.0));
        write!(f, "{:.3}Z", moment.unwrap_or(DateTime::MAX))
    }
}

/// Times are civil times of UTC: jiff's own moments end a day before the year 9999 does, which people write for "never".
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Says that a text is no RFC 3339 moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 time with a zone, such as 2026-11-21T12:00:00.000Z")]
pub struct NotATime;

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        read(text.as_bytes()).map(Self).ok_or(NotATime)
    }
}

/// Reads `date-time` of RFC 3339, section 5.6. What is finer than a millisecond is cut off; a leap second is the one before it.
fn read(text: &[u8]) -> Option<i64> {
    let (civil, rest) = text.split_at_checked(19)?;
    let marks = [(4, b"-".as_slice()), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    if marks.iter().any(|(place, marks)| !marks.contains(&civil[*place])) {
        return None;
    }
    let part = |from: usize, to: usize| number(&civil[from..to]);
    let date = Date::new(part(0, 4)?, part(5, 7)?.try_into().ok()?, part(8, 10)?.try_into().ok()?).ok()?;
    let second = match part(17, 19)? {
        60 => 59,
        second => second,
    };
    let time = Time24::new(
        part(11, 13)?.try_into().ok()?,
        part(14, 16)?.try_into().ok()?,
        second.try_into().ok()?,
        0,
    )
    .ok()?;
    let (millis, zone) = match rest.split_first()? {
        (b'.', rest) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, zone) = rest.split_at(digits);
            let digit = |place: usize| fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
            (!fraction.is_empty()).then_some((digit(0) * 100 + digit(1) * 10 + digit(2), zone))?
        }
        _ => (0, rest),
    };
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), hour @ .., b':', tens, ones] if hour.len() == 2 => {
            let (hours, minutes) = (i64::from(number(hour)?), i64::from(number(&[*tens, *ones])?));
            let offset = (hours <= 23 && minutes <= 59).then_some(hours * Time::HOUR + minutes * Time::MINUTE)?;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let whole = i64::try_from(date.to_datetime(time).duration_since(EPOCH).as_millis()).ok()?;
    let millis = whole + millis - offset;
    // Its year must be one of four digits in UTC too.
    EPOCH
        .checked_add(SignedDuration::from_millis(millis))
        .ok()
        .filter(|utc| utc.year() >= 0)?;
    Some(millis)
}

/// Digits and nothing else.
fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0, |number: i16, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i16::from(byte - b'0'))
    })
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for Time {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                utoipa::openapi::KnownFormat::DateTime,
            )))
            .description(Some("RFC 3339, UTC, milliseconds"))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Time {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_three_decimals_in_utc() {
        assert_eq!(Time::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        let noon: Time = "2026-11-21T13:00:00.1239+01:00".parse().unwrap();
        assert_eq!(noon.to_string(), "2026-11-21T12:00:00.123Z");
        assert_eq!(noon.day(), "2026-11-21");
    }

    #[test]
    fn reads_whatever_rfc_3339_allows() {
        for (text, utc) in [
            ("2026-11-21T12:00:00.1234567890Z", "2026-11-21T12:00:00.123Z"),
            ("2026-11-21t12:00:00.5z", "2026-11-21T12:00:00.500Z"),
            ("2026-11-21 12:00:00-00:00", "2026-11-21T12:00:00.000Z"),
            ("2026-11-21T12:00:00+23:59", "2026-11-20T12:01:00.000Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(
                text.parse::<Time>().map(|time| time.to_string()),
                Ok(utc.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_moment() {
        for text in [
            "",
            "yesterday",
            "2026-11-21",
            "2026-11-21T12:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T12:00:61Z",
            "2026-11-21T12:00Z",
            "10:00Z",
            "2026-11-21T12:00:00.Z",
            "2026-11-21T12:00:00,5Z",
            "2026-11-21T12:00:00+01",
            "2026-11-21T12:00:00+0100",
            "2026-11-21T12:00:00+25:00",
            "2026-11-21T12:00:00+01:60",
            "2026-11-21T12:00:00+01:00[Europe/Paris]",
            "2026-11-21T12:00:00Z ",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+01:00",
            "-02026-11-21T12:00:00Z",
            "２026-11-21T12:00:00Z",
        ] {
            assert_eq!(text.parse::<Time>(), Err(NotATime), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same(millis in 0_i64..4_102_444_800_000) {
            let time = Time::from_millis(millis);
            prop_assert_eq!(time.to_string().parse::<Time>(), Ok(time));
            prop_assert!(time.floor(Time::HOUR) <= time);
        }

        #[test]
        fn what_is_read_is_written_and_read_the_same(
            text in "\\PC{0,40}|-?[0-9]{4,6}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]{1,12})?([Zz]|[+-][0-9]{2}:?[0-9]{2})",
        ) {
            if let Ok(time) = text.parse::<Time>() {
                prop_assert_eq!(time.to_string().parse::<Time>(), Ok(time));
                prop_assert_eq!(time.day().len(), time.to_string().find('T').unwrap());
            }
        }
    }
}
