//! Usage: what events come to by a metric. Exact: values are read from the JSON text, and added as decimals.

mod store;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

use kernel::money::TooMuch;
use kernel::number::{self, Quantity};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use telemetry::Event;

use crate::price::{Aggregation, Metric};

pub(crate) use store::usage;

/// What the events that were taken so far come to by one metric.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    metric: Metric,
    amount: Amount,
}

/// What events come to: made in any parts, added in any order, it is the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Amount {
    Count(u32),
    /// Nothing if it is too much.
    Sum(Option<Exact>),
    Unique(BTreeSet<String>),
    Max(Exact),
}

/// A decimal, which is stored in its 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "[u8; 16]", into = "[u8; 16]")]
struct Exact(Decimal);

impl From<[u8; 16]> for Exact {
    fn from(bytes: [u8; 16]) -> Self {
        Self(Decimal::deserialize(bytes))
    }
}

impl From<Exact> for [u8; 16] {
    fn from(exact: Exact) -> Self {
        exact.0.serialize()
    }
}

impl Amount {
    /// What no event comes to.
    fn none(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Count => Self::Count(0),
            Aggregation::Sum => Self::Sum(Some(Exact(Decimal::ZERO))),
            Aggregation::Unique => Self::Unique(BTreeSet::new()),
            Aggregation::Max => Self::Max(Exact(Decimal::ZERO)),
        }
    }

    /// Adds what other events come to by the same metric.
    fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count = count.saturating_add(*more),
            (Self::Sum(sum), Self::Sum(more)) => {
                *sum = sum
                    .zip(*more)
                    .and_then(|(sum, more)| sum.0.checked_add(more.0))
                    .map(Exact);
            }
            (Self::Unique(values), Self::Unique(more)) => values.extend(more.iter().cloned()),
            (Self::Max(max), Self::Max(more)) => *max = (*max).max(*more),
            _ => debug_assert!(false, "amounts of two metrics"),
        }
    }
}

impl Measure {
    /// Of no event yet.
    pub(crate) fn new(metric: Metric) -> Self {
        let amount = Amount::none(metric.aggregation);
        Self { metric, amount }
    }

    /// Takes an event, if it has its name.
    pub(crate) fn take(&mut self, event: &Event) {
        if event.name == self.metric.event_name {
            self.count(event.payload.as_deref());
        }
    }

    /// Counts an event by its payload.
    fn count(&mut self, payload: Option<&str>) {
        if let Some(amount) = self.metric.amount(payload) {
            self.amount.add(&amount);
        }
    }

    /// How many units they come to: what lies behind the sixth decimal place is not charged, nor is less than nothing.
    /// `TooMuch` if that is no quantity of ours.
    pub(crate) fn units(&self) -> Result<Quantity, TooMuch> {
        let exact = match &self.amount {
            Amount::Count(count) => return Ok(Quantity::whole(*count)),
            Amount::Unique(values) => return u32::try_from(values.len()).map(Quantity::whole).map_err(|_| TooMuch),
            Amount::Sum(sum) => sum.ok_or(TooMuch)?,
            Amount::Max(max) => *max,
        };
        Quantity::at_most(exact.0.max(Decimal::ZERO)).ok_or(TooMuch)
    }
}

impl Metric {
    /// What one event of its name comes to. One without the property, or with one that is no number where a number is added or
    /// compared, comes to nothing.
    fn amount(&self, payload: Option<&str>) -> Option<Amount> {
        let exact = |value: String| number::decimal(&value).map(Exact);
        match self.aggregation {
            Aggregation::Count => Some(Amount::Count(1)),
            Aggregation::Sum => exact(self.value(payload)?).map(|number| Amount::Sum(Some(number))),
            Aggregation::Unique => Some(Amount::Unique(BTreeSet::from([plain(&self.value(payload)?)]))),
            Aggregation::Max => exact(self.value(payload)?).map(Amount::Max),
        }
    }

    fn value(&self, payload: Option<&str>) -> Option<String> {
        let property = self.property.as_deref()?;
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(payload?).ok()?;
        let value = members.remove(property)?;
        (value.get() != "null").then(|| value.get().to_owned())
    }
}

/// A value by which it is told apart from others: 1 and 1.0 are one, the number 1 and the text "1" too.
fn plain(value: &str) -> String {
    if let Some(number) = number::decimal(value) {
        return number.normalize().to_string();
    }
    serde_json::from_str::<serde_json::Value>(value).map_or_else(|_| value.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(aggregation: Aggregation, payloads: &[&str], expected: &str) {
        let mut measure = Measure::new(Metric {
            event_name: "call".to_owned(),
            aggregation,
            property: Some("n".to_owned()),
        });
        for payload in payloads {
            measure.count((!payload.is_empty()).then_some(payload));
        }
        assert_eq!(measure.units().unwrap().to_string(), expected);
    }

    #[test]
    fn events_come_to_units() {
        let payloads = [
            r#"{"n": 0.1}"#,
            r#"{"n": 0.2}"#,
            r#"{"n": "0.20"}"#,
            r#"{"n": "x"}"#,
            r#"{"n": null}"#,
            "{}",
            "",
            r#"{"m": 7, "n": 12e-1}"#,
            r#"{"n": [1]}"#,
            r#"{"n": [ 1 ]}"#,
        ];
        check(Aggregation::Count, &payloads, "10");
        check(Aggregation::Sum, &payloads, "1.7");
        check(Aggregation::Max, &payloads, "1.2");
        check(Aggregation::Unique, &payloads, "5");
    }

    #[test]
    fn less_than_nothing_is_nothing_and_the_seventh_place_is_not_charged() {
        check(Aggregation::Sum, &[r#"{"n": 2}"#, r#"{"n": -3}"#], "0");
        check(Aggregation::Sum, &[r#"{"n": 2}"#, r#"{"n": -0.5}"#], "1.5");
        check(Aggregation::Max, &[r#"{"n": -3}"#], "0");
        check(Aggregation::Sum, &[r#"{"n": 1.23456789}"#], "1.234567");
    }

    #[test]
    fn what_is_too_much_is_told() {
        let mut measure = Measure::new(Metric {
            event_name: "call".to_owned(),
            aggregation: Aggregation::Sum,
            property: Some("n".to_owned()),
        });
        for _ in 0..20 {
            measure.count(Some(r#"{"n": 9000000000000000000000000000}"#));
        }
        assert!(measure.units().is_err());
    }

    fn payload() -> impl Strategy<Value = Option<String>> {
        let number =
            (-50_i32..50, 0_u32..4).prop_map(|(number, places)| Decimal::new(number.into(), places).to_string());
        let value = prop_oneof![
            number.clone(),
            number.prop_map(|number| format!("\"{number}\"")),
            "\"[a-c]\"",
            Just("null".to_owned())
        ];
        prop_oneof![4 => value.prop_map(|value| Some(format!("{{\"n\":{value}}}"))), 1 => Just(None)]
    }

    proptest! {
        /// What is added up by parts, stored and read again, comes to what all events do.
        #[test]
        fn parts_come_to_the_whole(parts in proptest::collection::vec(proptest::collection::vec(payload(), 0..6), 0..6)) {
            for aggregation in [Aggregation::Count, Aggregation::Sum, Aggregation::Unique, Aggregation::Max] {
                let metric = Metric { event_name: "call".to_owned(), aggregation, property: Some("n".to_owned()) };
                let mut whole = Measure::new(metric.clone());
                parts.iter().flatten().for_each(|payload| whole.count(payload.as_deref()));
                let mut sum = Measure::new(metric.clone());
                for part in parts.iter().rev() {
                    let mut amount = Amount::none(aggregation);
                    part.iter().filter_map(|payload| metric.amount(payload.as_deref())).for_each(|one| amount.add(&one));
                    let stored = postcard::to_stdvec(&amount).unwrap();
                    sum.amount.add(&postcard::from_bytes(&stored).unwrap());
                }
                prop_assert_eq!(whole.units().unwrap(), sum.units().unwrap());
            }
        }
    }
}
