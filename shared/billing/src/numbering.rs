//! Numbers of documents: `INV-2027-0001`, counted without a gap for each organization, series and year.
//!
//! Whoever takes one advances the counter in the transaction that sends the document, so none is taken without one.

mod store;
mod turns;

use std::fmt;
use std::str::FromStr;

use kernel::{Time, Zone};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(crate) use store::Counter;
pub(crate) use turns::turn;

/// Which documents are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Series {
    /// Invoices.
    #[serde(rename = "INV")]
    Invoices,
    /// Credit notes.
    #[serde(rename = "CN")]
    CreditNotes,
}

impl Series {
    /// What its numbers begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Invoices => "INV",
            Self::CreditNotes => "CN",
        }
    }
}

/// The number of a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentNumber {
    series: Series,
    year: i16,
    count: u32,
}

impl DocumentNumber {
    /// The year that a document which is sent now is counted in: that of the organization's zone.
    pub fn year_at(now: Time, org: &Zone) -> i16 {
        org.day_of(now).year()
    }

    /// The number of the `count`th document of a year, from 1.
    pub const fn new(series: Series, year: i16, count: u32) -> Self {
        Self { series, year, count }
    }

    /// Which documents it is counted with.
    pub const fn series(self) -> Series {
        self.series
    }
}

impl fmt::Display for DocumentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:04}-{:04}", self.series.prefix(), self.year, self.count)
    }
}

impl fmt::Debug for DocumentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Says that a text is no number of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a number such as INV-2027-0001")]
pub struct NotANumber;

impl FromStr for DocumentNumber {
    type Err = NotANumber;

    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let mut parts = text.split('-');
        let (prefix, year, count) = (parts.next(), parts.next(), parts.next());
        let series = [Series::Invoices, Series::CreditNotes]
            .into_iter()
            .find(|series| prefix == Some(series.prefix()))
            .ok_or(NotANumber)?;
        let number = Self {
            series,
            year: year.and_then(|year| year.parse().ok()).ok_or(NotANumber)?,
            count: count.and_then(|count| count.parse().ok()).ok_or(NotANumber)?,
        };
        // One text for each number.
        if number.to_string() == text {
            Ok(number)
        } else {
            Err(NotANumber)
        }
    }
}

impl Serialize for DocumentNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DocumentNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S16.
    #[test]
    fn the_year_turns_in_the_organizations_zone() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let year = |at: &str, zone: &Zone| DocumentNumber::year_at(at.parse().unwrap(), zone);
        assert_eq!(year("2026-12-31T22:30:00Z", &berlin), 2026);
        assert_eq!(year("2026-12-31T23:30:00Z", &berlin), 2027);
        assert_eq!(year("2026-12-31T23:30:00Z", &Zone::utc()), 2026);
    }

    /// S16.
    #[test]
    fn numbers_have_four_digits_at_least() {
        let number = |count| DocumentNumber::new(Series::Invoices, 2027, count).to_string();
        assert_eq!(number(1), "INV-2027-0001");
        assert_eq!(number(10_000), "INV-2027-10000");
        let note = DocumentNumber::new(Series::CreditNotes, 2027, 12);
        assert_eq!(note.to_string(), "CN-2027-0012");
        assert_eq!("CN-2027-0012".parse(), Ok(note));
        for text in [
            "",
            "INV",
            "INV-2027-1",
            "INV-27-0001",
            "XX-2027-0001",
            "INV-2027-0001-1",
            "INV-2027--001",
        ] {
            assert_eq!(text.parse::<DocumentNumber>(), Err(NotANumber), "{text}");
        }
    }
}
