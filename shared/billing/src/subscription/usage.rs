//! Usage: spans of time in which it is charged by one set of prices, and what is billed of them.

use std::collections::BTreeMap;

use kernel::{Minor, Time};
use serde::{Deserialize, Serialize};

use super::Subscription;
use super::billing::CannotBill;
use crate::line::{Line, LineKind, MOST_LINES};
use crate::number::{Quantity, UnitPrice};
use crate::plan::Terms;
use crate::price::{Metric, Price};
use crate::schedule::Period;
use crate::tax::Taxation;

/// Time in which usage is charged by one set of prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Which of the subscription's, from 0.
    pub number: u32,
    /// Its first instant.
    pub from: Time,
    /// The instant after its last; nothing while it goes on.
    pub until: Option<Time>,
    /// The name of the plan.
    pub plan: String,
    /// What is metered, at which price.
    pub prices: Vec<Price>,
}

/// Usage that was billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// When.
    pub span: Span,
    /// How many units of each price.
    pub units: Vec<Quantity>,
    /// What that was counted from.
    #[serde(default)]
    pub seen: Seen,
}

/// What usage was counted from. As long as that is the same, so is the usage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// How many events of anybody there were on its days.
    pub events: u64,
    /// Whose of them were counted.
    pub user: Option<String>,
}

/// Usage that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// How many units of each metric, in their order.
    pub units: Vec<Quantity>,
    /// What that was counted from.
    pub seen: Seen,
}

/// Usage that has to be known before something is billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of which span.
    pub span: u32,
    /// From which instant.
    pub from: Time,
    /// Until which.
    pub until: Time,
    /// Of what, in this order.
    pub metrics: Vec<Metric>,
    /// What it was counted from when it was billed, if it was: if that is the same now, it may be left out.
    pub settled: Option<Seen>,
}

/// What is known, by span.
pub type Usage = BTreeMap<u32, Known>;

/// Events may come so late (product.md: 400 days back), and be charged.
const LATEST_DAYS: i64 = 400;
/// Of so many spans that were billed, corrections are made; of older ones not.
const MOST_SETTLED: usize = 40;

impl Subscription {
    /// Begins to count usage.
    pub(super) fn open_span(&mut self, from: Time) {
        let span = Span {
            number: self.span_count,
            from,
            until: None,
            plan: self.terms.name.clone(),
            prices: metered(&self.terms),
        };
        self.span_count += 1;
        self.spans.push(span);
    }

    /// Stops counting usage at an instant; a span that holds nothing is forgotten.
    pub(super) fn close_span(&mut self, at: Time) {
        for span in &mut self.spans {
            if span.until.is_none_or(|until| at < until) {
                span.until = Some(at.max(span.from));
            }
        }
        self.spans.retain(|span| {
            span.until
                .is_none_or(|until| span.from < until && !span.prices.is_empty())
        });
    }

    /// Goes on to count usage: in the span that a pause would have ended later, or in a new one.
    pub(super) fn reopen_span(&mut self, now: Time, free_until: Option<Time>) {
        match self
            .spans
            .last_mut()
            .filter(|span| span.until.is_some_and(|until| now < until))
        {
            Some(span) => span.until = None,
            None => self.open_span(free_until.map_or(now, |end| end.max(now))),
        }
    }

    /// Ends spans at an instant, and lets what they hold of the time after it be charged by the terms of now.
    pub(super) fn split_span(&mut self, at: Time) {
        let prices = metered(&self.terms);
        for span in std::mem::take(&mut self.spans) {
            if span.until.is_some_and(|until| until <= at) {
                self.spans.push(span);
                continue;
            }
            let mut number = span.number;
            if span.from < at && !span.prices.is_empty() {
                number = self.span_count;
                self.span_count += 1;
                self.spans.push(Span {
                    until: Some(at),
                    ..span.clone()
                });
            }
            self.spans.push(Span {
                number,
                from: span.from.max(at),
                until: span.until,
                plan: self.terms.name.clone(),
                prices: prices.clone(),
            });
        }
    }

    /// What is known to have been used before an instant and is not billed, and whether it is over by then.
    pub(super) fn used_before(&self, at: Time) -> impl Iterator<Item = (&Span, Time)> {
        let spans = self
            .spans
            .iter()
            .filter(move |span| span.from < at && !span.prices.is_empty());
        spans.map(move |span| (span, span.until.map_or(at, |until| until.min(at))))
    }

    /// Lines for all usage that is over, which is settled with them.
    pub(super) fn bill_usage(
        &mut self,
        at: Time,
        usage: &Usage,
        taxation: Taxation,
        lines: &mut Vec<Line>,
    ) -> Result<(), CannotBill> {
        let is_over = |span: &Span| span.until.is_some_and(|until| until <= at);
        let (over, open): (Vec<Span>, Vec<Span>) = self.spans.drain(..).partition(is_over);
        self.spans = open;
        for span in over {
            let known = usage
                .get(&span.number)
                .filter(|known| known.units.len() == span.prices.len());
            let Known { units, seen } = known.ok_or(CannotBill::UsageUnknown(span.number))?.clone();
            for (price, units) in span.prices.iter().zip(&units) {
                lines.extend(self.usage_line(&span, price, [Quantity::ZERO, *units], LineKind::Usage, taxation)?);
            }
            self.settled.push(Settled { span, units, seen });
        }
        Ok(())
    }

    /// Lines for what has become known of usage that was billed, at its price of then.
    pub(super) fn correct_usage(
        &mut self,
        usage: &Usage,
        taxation: Taxation,
        lines: &mut Vec<Line>,
    ) -> Result<(), CannotBill> {
        let mut settled = std::mem::take(&mut self.settled);
        for earlier in &mut settled {
            let Some(known) = usage.get(&earlier.span.number) else {
                continue;
            };
            let mut is_all = true;
            for (place, price) in earlier.span.prices.iter().enumerate() {
                let Some((billed, known)) = earlier.units.get_mut(place).zip(known.units.get(place)) else {
                    continue;
                };
                if *known <= *billed {
                    continue;
                }
                // What does not fit on this invoice is left for the next one.
                if lines.len() >= MOST_LINES / 2 {
                    is_all = false;
                    continue;
                }
                lines.extend(self.usage_line(
                    &earlier.span,
                    price,
                    [*billed, *known],
                    LineKind::Correction,
                    taxation,
                )?);
                *billed = *known;
            }
            if is_all {
                earlier.seen = known.seen.clone();
            }
        }
        self.settled = settled;
        Ok(())
    }

    /// Forgets what is too old to be corrected.
    pub(super) fn forget_settled(&mut self, at: Time) {
        let oldest = at.plus_millis(-LATEST_DAYS * Time::DAY);
        self.settled
            .retain(|settled| settled.span.until.is_some_and(|until| until > oldest));
        let too_many = self.settled.len().saturating_sub(MOST_SETTLED);
        self.settled.drain(..too_many);
    }

    /// A line for what so many units cost, or cost more than those that were billed; none for nothing.
    fn usage_line(
        &self,
        span: &Span,
        price: &Price,
        [billed, known]: [Quantity; 2],
        kind: LineKind,
        taxation: Taxation,
    ) -> Result<Option<Line>, CannotBill> {
        let is_correction = kind == LineKind::Correction;
        // A first tier's flat amount is billed with its period, even if nothing was used.
        let earlier = if is_correction {
            price.charge(billed)?
        } else {
            Minor::ZERO
        };
        let amount = price.charge(known)? - earlier;
        if amount == Minor::ZERO && (is_correction || known.is_zero()) {
            return Ok(None);
        }
        let period = self.days_of_span(span);
        let name = price.metric().map_or("", |metric| metric.event_name.as_str());
        let what = if is_correction { ", late usage" } else { "" };
        Ok(Some(Line {
            kind,
            description: format!("{}: {name}{what}", span.plan),
            quantity: known.above(billed),
            unit_price: unit_price(price),
            amount,
            tax_rate: taxation.rate(None),
            period: Some(period),
        }))
    }

    /// The days that a span is in, all or a part of each.
    fn days_of_span(&self, span: &Span) -> Period {
        let first = self.zone.day_of(span.from);
        let end = span.until.map_or(first, |until| self.day_after(until));
        Period { first, end }
    }
}

fn metered(terms: &Terms) -> Vec<Price> {
    let metered = terms.prices.iter().filter(|price| price.metric().is_some());
    metered.cloned().collect()
}

fn unit_price(price: &Price) -> Option<UnitPrice> {
    match price {
        Price::PerUnit { unit_amount, .. } => Some(*unit_amount),
        _ => None,
    }
}
