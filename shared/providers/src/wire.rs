//! What providers write in more than one way: ids as numbers or texts, notes as `[]`, amounts as texts, references that are
//! expanded. Reading never panics and never goes through a float.

use std::collections::BTreeMap;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// An id: a text, or a number.
pub(crate) fn id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// A reference to another object: its id, or the object, which has one.
pub(crate) fn reference<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Object(object) => object.get("id").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    })
}

/// Notes, metadata, tags: texts by name. Nothing, `null` and `[]` are none.
#[derive(Debug, Default)]
pub(crate) struct Notes(BTreeMap<String, String>);

impl Notes {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What it says under a name, if that can be read.
    pub(crate) fn read<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

impl<'de> Deserialize<'de> for Notes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Value::Object(object) = Value::deserialize(from)? else {
            return Ok(Self::default());
        };
        let texts = object.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            Value::Number(number) => Some((name, number.to_string())),
            _ => None,
        });
        Ok(Self(texts.collect()))
    }
}

/// Something, if it can be read; else nothing, whatever stands there: an event that is good is not refused for a detail.
#[derive(Debug)]
pub(crate) struct Lenient<T>(pub(crate) Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        Ok(Self(serde_json::from_str(raw.get()).ok()))
    }
}

/// A decimal number with at most two places that are not 0, as a number or as a text; counted in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hundredths(pub(crate) i64);

impl Hundredths {
    /// As a JSON number: `170.00`.
    pub(crate) fn written(self) -> String {
        format!("{}.{:02}", self.0 / 100, self.0 % 100)
    }

    /// Reads `170`, `170.5`, `170.00`, `170.000`; nothing else, also no exponent.
    fn read(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let (kept, rest) = fraction.split_at(fraction.len().min(2));
        if rest.bytes().any(|byte| byte != b'0') {
            return None;
        }
        let fraction: i64 = format!("{kept:0<2}").parse().ok()?;
        let whole: i64 = whole.parse().ok()?;
        whole.checked_mul(100)?.checked_add(fraction).map(Self)
    }
}

impl<'de> Deserialize<'de> for Hundredths {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        let text = raw.get().trim_matches('"');
        Self::read(text).ok_or_else(|| de::Error::custom("no amount with at most two decimal places"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "id")]
        id: Option<String>,
        #[serde(default, deserialize_with = "reference")]
        reference: Option<String>,
        #[serde(default)]
        notes: Notes,
        amount: Option<Hundredths>,
    }

    fn sample(text: &str) -> Sample {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn ids_are_numbers_or_texts() {
        for (text, expected) in [
            (r#"{"id":1453002795}"#, Some("1453002795")),
            (r#"{"id":"1453002795"}"#, Some("1453002795")),
            (r#"{"id":18446744073709551615}"#, Some("18446744073709551615")),
            (r#"{"id":null}"#, None),
            (r#"{"id":""}"#, None),
            ("{}", None),
        ] {
            assert_eq!(sample(text).id.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn references_may_be_expanded() {
        for (text, expected) in [
            (r#"{"reference":"pi_1"}"#, Some("pi_1")),
            (r#"{"reference":{"id":"pi_1","object":"payment_intent"}}"#, Some("pi_1")),
            (r#"{"reference":null}"#, None),
        ] {
            assert_eq!(sample(text).reference.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn notes_may_be_an_empty_list() {
        for (text, expected) in [
            (r#"{"notes":{"payment":"pay_1","n":2}}"#, Some("pay_1")),
            (r#"{"notes":[]}"#, None),
            (r#"{"notes":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(sample(text).notes.get("payment"), expected, "{text}");
        }
    }

    #[test]
    fn amounts_are_read_without_a_float() {
        for (text, expected) in [
            ("170", Some(17_000)),
            ("170.5", Some(17_050)),
            ("170.00", Some(17_000)),
            ("\"200.12\"", Some(20_012)),
            ("0.290000", Some(29)),
            ("92233720368547758.07", Some(i64::MAX)),
            ("92233720368547758.08", None),
            ("170.001", None),
            ("1.7e2", None),
            ("-1", None),
            ("\"\"", None),
            ("{}", None),
        ] {
            let found: Option<Sample> = serde_json::from_str(&format!("{{\"amount\":{text}}}")).ok();
            assert_eq!(found.and_then(|found| found.amount), expected.map(Hundredths), "{text}");
        }
        assert_eq!(sample(r#"{"amount":null}"#).amount, None);
    }

    proptest! {
        #[test]
        fn amounts_are_read_as_they_are_written(hundredths in 0_i64..=i64::MAX) {
            let amount = Hundredths(hundredths);
            prop_assert_eq!(Hundredths::read(&amount.written()), Some(amount));
        }

        #[test]
        fn no_text_makes_reading_an_amount_panic(text in "\\PC{0,24}|[0-9]{0,25}\\.?[0-9]{0,25}") {
            let _ = Hundredths::read(&text);
        }
    }
}
