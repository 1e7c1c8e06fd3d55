//! Usage: what events come to by a metric. Exact: values are read from the JSON text, and added as decimals.

mod store;

use std::collections::{BTreeMap, HashSet};

use kernel::money::TooMuch;
use kernel::number::{self, Quantity};
use rust_decimal::Decimal;
use serde_json::value::RawValue;
use telemetry::Event;

use crate::price::{Aggregation, Metric};

pub(crate) use store::usage;

/// What the events that were taken so far come to by one metric.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    metric: Metric,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Count(u32),
    Sum(Option<Decimal>),
    Unique(HashSet<String>),
    Max(Decimal),
}

impl Measure {
    /// Of no event yet.
    pub(crate) fn new(metric: Metric) -> Self {
        let state = match metric.aggregation {
            Aggregation::Count => State::Count(0),
            Aggregation::Sum => State::Sum(Some(Decimal::ZERO)),
            Aggregation::Unique => State::Unique(HashSet::new()),
            Aggregation::Max => State::Max(Decimal::ZERO),
        };
        Self { metric, state }
    }

    /// Takes an event, if it has its name.
    pub(crate) fn take(&mut self, event: &Event) {
        if event.name == self.metric.event_name {
            self.count(event.payload.as_deref());
        }
    }

    /// Counts an event by its payload. One without the property, or with one that is no number where a number is added or
    /// compared, comes to nothing.
    fn count(&mut self, payload: Option<&str>) {
        if let State::Count(count) = &mut self.state {
            *count += 1;
            return;
        }
        let Some(value) = self.value(payload) else { return };
        match &mut self.state {
            State::Count(_) => {}
            State::Unique(values) => {
                values.insert(plain(&value));
            }
            State::Sum(sum) => {
                if let Some(number) = number::decimal(&value) {
                    *sum = sum.and_then(|sum| sum.checked_add(number));
                }
            }
            State::Max(max) => {
                if let Some(number) = number::decimal(&value) {
                    *max = number.max(*max);
                }
            }
        }
    }

    fn value(&self, payload: Option<&str>) -> Option<String> {
        let property = self.metric.property.as_deref()?;
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(payload?).ok()?;
        let value = members.remove(property)?;
        (value.get() != "null").then(|| value.get().to_owned())
    }

    /// How many units they come to: what lies behind the sixth decimal place is not charged, nor is less than nothing.
    /// `TooMuch` if that is no quantity of ours.
    pub(crate) fn units(&self) -> Result<Quantity, TooMuch> {
        let exact = match &self.state {
            State::Count(count) => return Ok(Quantity::whole(*count)),
            State::Unique(values) => return u32::try_from(values.len()).map(Quantity::whole).map_err(|_| TooMuch),
            State::Sum(sum) => sum.ok_or(TooMuch)?,
            State::Max(max) => *max,
        };
        Quantity::at_most(exact.max(Decimal::ZERO)).ok_or(TooMuch)
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
}
