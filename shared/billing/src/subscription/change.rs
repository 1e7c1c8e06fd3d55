//! Changes of plan. The day of the change belongs to the new plan: what is left of the period that was paid is given back
//! at the old price and taken at the new one, by days. The anchor stays, also where the interval changes: then the new
//! plan's own period that holds the day counts.

use kernel::money::TooMuch;
use kernel::{Day, Minor, Time};

use super::{Charged, Conditions, Credit, Scheduled, Status, Subscription, Usage, When};
use crate::invoice::{Content, Source};
use crate::line::Line;
use crate::plan::Terms;

kernel::refusals! {
    /// Why a plan is not changed.
    CannotChange {
        /// It does not run.
        NotActive = "subscription_not_active": "only an active subscription can change its plan";
        /// It has that plan.
        SamePlan = "same_plan": "the subscription has this plan already";
        /// Its invoices are in another currency.
        OtherCurrency = "other_currency": "the plan is sold in another currency";
        /// There are too many changes on its next invoice already.
        TooOften = "too_many_changes": "the plan was changed too often in this period";
        /// An invoice would come to too much.
        TooMuch = "amount_too_large": "the change would come to 10^15 minor units or more";
    }
}

/// Usage that is not billed yet is charged by the prices of at most so many plans, so that an invoice stays readable.
const MOST_SPANS: usize = 20;

/// What a change of plan brings: the same whether it is booked or only looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// What is owed for it now.
    pub invoice: Option<Content>,
    /// What is given back for it now.
    pub credit: Option<Credit>,
    /// What the first invoice of the new plan will have on it, before usage, where the change waits for its day.
    pub upcoming: Option<Content>,
}

impl Subscription {
    /// Changes the plan. Look at it by changing a clone: that is what is booked.
    pub fn change_plan(
        &mut self,
        now: Time,
        terms: &Terms,
        when: When,
        conditions: &Conditions,
    ) -> Result<Changed, CannotChange> {
        if self.status != Status::Active || self.is_over(now) {
            return Err(CannotChange::NotActive);
        }
        if terms.plan == self.terms.plan {
            return Err(CannotChange::SamePlan);
        }
        if terms.currency != self.terms.currency {
            return Err(CannotChange::OtherCurrency);
        }
        if self.spans.len() >= MOST_SPANS {
            return Err(CannotChange::TooOften);
        }
        let mut after = self.clone();
        let changed = after.changed(now, terms, when, conditions);
        let changed = changed.map_err(|TooMuch| CannotChange::TooMuch)?;
        *self = after;
        Ok(changed)
    }

    /// Where an invoice of a change comes from: it has no key, for nothing makes it but the change itself.
    pub fn source_of_change(&self) -> Source {
        Source::Subscription {
            subscription: self.id,
            billing_key: None,
        }
    }

    fn changed(&mut self, now: Time, terms: &Terms, when: When, conditions: &Conditions) -> Result<Changed, TooMuch> {
        self.scheduled = None;
        let today = self.zone.day_of(now);
        let begun = self.begun.map_or(today, |begun| begun.anchor);
        let next = self.next.unwrap_or(today);
        match when {
            // Nothing was billed for today: before the first period, or because its billing is still to come. So there
            // is nothing to give back, and the new plan is billed from today on.
            When::Now if today < begun || next <= today => {
                self.schedule_change(today, terms, today <= next);
                Ok(Changed::default())
            }
            When::Now => self.prorate(today, terms, conditions),
            When::PeriodEnd => {
                let running = self.schedule(&self.terms).map(|schedule| schedule.period(today).end);
                let on = if today < begun {
                    begun
                } else {
                    next.max(running.filter(|_| next <= today).unwrap_or(next))
                };
                self.schedule_change(on, terms, false);
                self.upcoming(on, conditions)
            }
        }
    }

    /// Lets the new plan hold from a day on, or at once.
    fn schedule_change(&mut self, on: Day, terms: &Terms, at_once: bool) {
        if at_once {
            self.terms = terms.clone();
            self.split_span(self.zone.start_of(on));
        } else {
            self.scheduled = Some(Scheduled {
                on,
                terms: terms.clone(),
            });
        }
    }

    /// Gives back the days of the old plan from today on, and takes those of the new one.
    fn prorate(&mut self, today: Day, terms: &Terms, conditions: &Conditions) -> Result<Changed, TooMuch> {
        let taxation = conditions.taxation;
        let mut lines: Vec<Line> = Vec::new();
        let charged = self.charged;
        if let Some(charged) = charged {
            let (flat, discount) = charged.unused(today);
            let unused = charged.days.from(today);
            lines.extend(self.proration("unused", -flat, unused, taxation));
            lines.extend(self.proration("discount taken back", discount, unused, taxation));
        }
        self.terms = terms.clone();
        self.split_span(self.zone.start_of(today));
        let Some(schedule) = self.schedule(terms) else {
            return Ok(Changed::default());
        };
        let period = schedule.period(today);
        let mut days = period.from(today);
        if let Some(end) = self.ends() {
            days = days.until(end.day);
        }
        let whole = period.days();
        let flat = self.flat(terms)?;
        let was_discounted = charged.is_some_and(|charged| charged.discount > Minor::ZERO);
        let discount = self.discount.as_ref().filter(|_| was_discounted);
        let discount = discount
            .map_or(Minor::ZERO, |discount| discount.of(flat))
            .share(days.days(), whole);
        lines.extend(self.proration("from the change on", flat.share(days.days(), whole), days, taxation));
        lines.extend(self.proration("discount", -discount, days, taxation));
        self.charged = Some(Charged {
            days,
            whole,
            flat,
            discount,
        });
        self.next = Some(days.end);
        self.pass_gaps();
        self.booked(today, lines, conditions)
    }

    /// An invoice or a credit, whichever the lines come to; nothing if they come to nothing.
    fn booked(&self, today: Day, lines: Vec<Line>, conditions: &Conditions) -> Result<Changed, TooMuch> {
        let sum: Minor = lines.iter().map(|line| line.amount).sum();
        if sum > Minor::ZERO {
            let content = self.dated(today, lines, conditions);
            content.computed()?;
            return Ok(Changed {
                invoice: Some(content),
                ..Changed::default()
            });
        }
        let mirrored = lines.into_iter().map(|line| Line {
            amount: -line.amount,
            ..line
        });
        Ok(Changed {
            credit: self.credit(mirrored.collect(), today),
            ..Changed::default()
        })
    }

    /// What the next invoice will have on it if nothing is used, where that is the one on which a change takes effect.
    fn upcoming(&self, on: Day, conditions: &Conditions) -> Result<Changed, TooMuch> {
        let mut then = self.clone();
        then.spans.clear();
        let work = then.work(conditions).filter(|work| !work.is_closing && work.day == on);
        let Some(work) = work else {
            return Ok(Changed::default());
        };
        match then.bill(&work, &Usage::new(), conditions) {
            Ok(upcoming) => Ok(Changed {
                upcoming,
                ..Changed::default()
            }),
            Err(super::CannotBill::TooMuch(problem)) => Err(problem),
            Err(_) => Ok(Changed::default()),
        }
    }
}
