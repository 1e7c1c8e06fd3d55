//! What a subscription's time brings: one piece of work after the other, each one invoice or none. How late it is done
//! does not change what it comes to, nor the day that it is dated.

use kernel::money::{TooMuch, nearest};
use kernel::{Day, Minor, Time};

use super::{Charged, Known, Seen, Status, Subscription, Usage, Wanted};
use crate::coupon::Lasts;
use crate::invoice::{Content, Source};
use crate::line::{Line, LineKind};
use crate::number::{Quantity, UnitPrice};
use crate::price::{Metric, Price};
use crate::schedule::Period;
use crate::tax::Taxation;

/// What holds for the invoices of a client's subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// How they are taxed.
    pub taxation: Taxation,
    /// How many days after the one that they are dated they are due.
    pub due_in_days: u16,
    /// How long after a period its usage is waited for.
    pub usage_grace_hours: u16,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            taxation: Taxation::default(),
            due_in_days: 14,
            usage_grace_hours: 1,
        }
    }
}

/// What has to be billed next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The instant that it is for: a period begins, or everything ends.
    pub at: Time,
    /// When it can be done: later by the grace if usage has to be known.
    pub ready_at: Time,
    /// The day that it is dated.
    pub day: Day,
    /// The one invoice's key.
    pub billing_key: String,
    /// Whether it is the last one.
    pub is_closing: bool,
}

/// Why something is not billed: never the fault of whoever asks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotBill {
    /// It was billed already, or other work comes before it.
    #[error("this is not what is to be billed next")]
    NotNext,
    /// The units of a span were not given.
    #[error("the usage of span {0} is not known")]
    UsageUnknown(u32),
    /// It comes to too much.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
}

impl Subscription {
    /// What has to be billed next; nothing while it rests, and once it is closed.
    pub fn work(&self, conditions: &Conditions) -> Option<Work> {
        if self.closed {
            return None;
        }
        self.next_period(conditions).or_else(|| self.closing(conditions))
    }

    fn next_period(&self, conditions: &Conditions) -> Option<Work> {
        let next = self.next?;
        let at = self.zone.start_of(next);
        let is_over = self.ends().is_some_and(|end| end.day <= next);
        // A period that had begun before the pause is billed, however late.
        let rests = self.pause.is_some_and(|pause| pause.at < at);
        if is_over || rests {
            return None;
        }
        Some(Work {
            at,
            ready_at: self.ready_at(at, conditions),
            day: next,
            billing_key: format!("{}_{at}", self.id),
            is_closing: false,
        })
    }

    fn closing(&self, conditions: &Conditions) -> Option<Work> {
        let end = self.ends()?;
        Some(Work {
            at: end.at,
            ready_at: self.ready_at(end.at, conditions),
            day: self.zone.day_of(end.at),
            billing_key: format!("{}_closing", self.id),
            is_closing: true,
        })
    }

    fn ready_at(&self, at: Time, conditions: &Conditions) -> Time {
        if self.used_before(at).next().is_none() {
            return at;
        }
        at.plus_millis(i64::from(conditions.usage_grace_hours) * Time::HOUR)
    }

    /// The usage that has to be known for some work, and that which may have grown since it was billed.
    pub fn wanted(&self, work: &Work) -> Vec<Wanted> {
        let metrics = |prices: &[Price]| -> Vec<Metric> { prices.iter().filter_map(Price::metric).cloned().collect() };
        let new = self.used_before(work.at).map(|(span, until)| Wanted {
            span: span.number,
            from: span.from,
            until,
            metrics: metrics(&span.prices),
            settled: None,
        });
        let old = self.settled.iter().map(|settled| Wanted {
            span: settled.span.number,
            from: settled.span.from,
            until: settled.span.until.unwrap_or(work.at),
            metrics: metrics(&settled.span.prices),
            settled: Some(settled.seen.clone()),
        });
        new.chain(old).collect()
    }

    /// Where an invoice of some work comes from.
    pub fn source(&self, work: &Work) -> Source {
        Source::Subscription {
            subscription: self.id,
            billing_key: Some(work.billing_key.clone()),
        }
    }

    /// Bills the work that is next: moves on, and gives the content of its invoice, if there is anything on it. What
    /// fails changes nothing.
    pub fn bill(&mut self, work: &Work, usage: &Usage, conditions: &Conditions) -> Result<Option<Content>, CannotBill> {
        if self.work(conditions).as_ref() != Some(work) {
            return Err(CannotBill::NotNext);
        }
        let mut after = self.clone();
        let content = if work.is_closing {
            after.bill_end(work, usage, conditions)?
        } else {
            after.bill_period(work, usage, conditions)?
        };
        after.last_billed_at = Some(work.at);
        *self = after;
        Ok(content)
    }

    fn bill_period(
        &mut self,
        work: &Work,
        usage: &Usage,
        conditions: &Conditions,
    ) -> Result<Option<Content>, CannotBill> {
        if let Some(change) = self.scheduled.take_if(|change| change.on <= work.day) {
            self.terms = change.terms;
        }
        // Usage of before is billed now, and by the prices of before.
        self.split_span(work.at);
        let schedule = self.schedule(&self.terms).ok_or(CannotBill::NotNext)?;
        let period = schedule.period(work.day);
        let mut days = period.from(work.day);
        let stops = [
            self.ends().map(|end| end.day),
            self.scheduled.as_ref().map(|change| change.on),
        ];
        for stop in stops.into_iter().flatten() {
            days = days.until(stop);
        }
        let flats = self.flat_lines(days, period.days(), conditions.taxation)?;
        let flat: Minor = flats.iter().map(|line| line.amount).sum();
        let mut lines = flats;
        self.bill_usage(work.at, usage, conditions.taxation, &mut lines)?;
        self.correct_usage(usage, conditions.taxation, &mut lines)?;
        self.forget_settled(work.at);
        let (content, discount) = self.content(work.day, lines, conditions)?;
        self.charged = Some(Charged {
            days,
            whole: period.days(),
            flat: self.flat(&self.terms)?,
            discount: content
                .as_ref()
                .map_or(Minor::ZERO, |content| share_of(discount, flat, content)),
        });
        self.next = Some(days.end);
        self.pass_gaps();
        Ok(content)
    }

    fn bill_end(&mut self, work: &Work, usage: &Usage, conditions: &Conditions) -> Result<Option<Content>, CannotBill> {
        let end = self.ends().ok_or(CannotBill::NotNext)?;
        self.close_span(end.at);
        let mut lines = Vec::new();
        self.bill_usage(work.at, usage, conditions.taxation, &mut lines)?;
        self.correct_usage(usage, conditions.taxation, &mut lines)?;
        self.status = end.status;
        self.end = Some(end);
        self.pause = None;
        self.scheduled = None;
        self.closed = true;
        let (content, _) = self.content(work.day, lines, conditions)?;
        Ok(content)
    }

    /// A line for each flat price: for the days of a period that has so many.
    pub(super) fn flat_lines(&self, days: Period, whole: u32, taxation: Taxation) -> Result<Vec<Line>, TooMuch> {
        let mut lines = Vec::new();
        for price in &self.terms.prices {
            let Price::Flat { amount } = price else { continue };
            let all = price.charge(self.quantity)?;
            // What is free is on no invoice.
            if all == Minor::ZERO {
                continue;
            }
            let is_whole = days.days() == whole;
            lines.push(Line {
                kind: LineKind::Flat,
                description: self.terms.name.clone(),
                quantity: self.quantity,
                unit_price: is_whole.then(|| UnitPrice::from(*amount)),
                amount: if is_whole { all } else { all.share(days.days(), whole) },
                tax_rate: taxation.rate(None),
                period: Some(days),
            });
        }
        Ok(lines)
    }

    /// What an invoice of lines has on it, with the discount if there is one; and what that takes off. Nothing without
    /// lines.
    fn content(
        &mut self,
        day: Day,
        items: Vec<Line>,
        conditions: &Conditions,
    ) -> Result<(Option<Content>, Minor), TooMuch> {
        if items.is_empty() {
            return Ok((None, Minor::ZERO));
        }
        let sum: Minor = items.iter().map(|line| line.amount).sum();
        let mut discount = self.discount.clone().filter(|discount| discount.is_on(day));
        let taken = discount.as_ref().map_or(Minor::ZERO, |discount| discount.of(sum));
        if taken == Minor::ZERO {
            // It was no use yet: a discount on one invoice waits for one that it lowers.
            discount = None;
        } else if let Some(discount) = &mut self.discount {
            discount.since.get_or_insert(day);
        }
        let content = self.dated(day, items, conditions);
        let content = Content { discount, ..content };
        content.computed()?;
        Ok((Some(content), taken))
    }

    /// What an invoice of a day has on it.
    pub(super) fn dated(&self, day: Day, items: Vec<Line>, conditions: &Conditions) -> Content {
        Content {
            currency: self.terms.currency,
            items,
            discount: None,
            exempt: conditions.taxation.exempt,
            issued_on: Some(day),
            due_date: day.plus_days(conditions.due_in_days.into()),
            notes: None,
            zone: self.zone.clone(),
        }
    }

    /// Does all work that is ready, with usage as `units` knows it: what was invoiced, oldest first.
    pub fn catch_up(
        &mut self,
        now: Time,
        conditions: &Conditions,
        units: impl Fn(&Wanted) -> Vec<Quantity>,
    ) -> Result<Vec<(Work, Content)>, CannotBill> {
        let mut done = Vec::new();
        while let Some(work) = self.work(conditions).filter(|work| work.ready_at <= now) {
            let wanted = self.wanted(&work);
            let known = |wanted: &Wanted| Known {
                units: units(wanted),
                seen: Seen::default(),
            };
            let usage: Usage = wanted.iter().map(|wanted| (wanted.span, known(wanted))).collect();
            let content = self.bill(&work, &usage, conditions)?;
            done.extend(content.map(|content| (work, content)));
        }
        Ok(done)
    }

    /// Whether it counts among what runs: what reports of the future are about.
    pub fn runs(&self, now: Time) -> bool {
        self.status == Status::Active && self.begun.is_some_and(|begun| begun.at <= now)
    }
}

impl Subscription {
    /// What its flat prices come to for a whole period, less a discount that is on more than one of them; nothing if that
    /// is too much.
    pub(crate) fn net_flat(&self, now: Time) -> Option<Minor> {
        let flat = self.flat(&self.terms).ok()?;
        let today = self.zone.day_of(now);
        let lasting = self
            .discount
            .as_ref()
            .filter(|discount| discount.lasts != Lasts::Once && discount.is_on(today));
        Some(flat - lasting.map_or(Minor::ZERO, |discount| discount.of(flat)))
    }
}

/// What of a discount on a document is that on its flat lines.
fn share_of(discount: Minor, flat: Minor, content: &Content) -> Minor {
    let all: Minor = content.items.iter().map(|line| line.amount).sum();
    if all <= Minor::ZERO {
        return Minor::ZERO;
    }
    let share = nearest(i128::from(discount.get()) * i128::from(flat.get()), all.get().into());
    // At most the discount.
    Minor::new(i64::try_from(share).unwrap_or(discount.get()))
}
