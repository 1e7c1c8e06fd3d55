//! A subscription: a plan that a client has under a contract, what of its time is billed, and what of its usage is not.
//! Pure: each deed changes it in memory and says what has to be booked with it.
//!
//! Flat prices are billed at the start of their period, usage after its end with the next flat. So there are two things
//! to keep: [`Subscription::next`], the first day whose flat price is not billed, and the [`Span`]s whose usage is not.
//! Whatever happens, in whatever order and however late, `next` only moves forward, so no day is billed twice.

mod billing;
mod change;
mod deeds;
pub mod facts;
mod request;
mod store;
#[cfg(test)]
mod tests;
mod usage;
mod view;

use kernel::{ClientId, ContractId, CreditNoteId, Currency, Day, Minor, Money, OrgId, SubscriptionId, Time, Zone};
use serde::{Deserialize, Serialize};

use crate::coupon::Discount;
use crate::invoice::CreditNote;
use crate::line::{Line, LineKind};
use crate::number::Quantity;
use crate::numbering::DocumentNumber;
use crate::plan::Terms;
use crate::schedule::{Period, Schedule};
use crate::tax::{Taxation, Totals};

pub use billing::{CannotBill, Conditions, Work};
pub use change::{CannotChange, Changed};
pub use request::{CancelRequest, ChangeRequest, SubscriptionRequest};
pub use store::{NAME, book};
pub use usage::{Known, Seen, Settled, Span, Usage, Wanted};
pub use view::{ChangePreview, ChangeReply, ChangedView, PreviewView, ScheduledView, SubscriptionView};

kernel::refusals! {
    /// Why a subscription is not paused.
    CannotPause {
        /// It does not run.
        NotActive = "subscription_not_active": "only an active subscription can be paused";
    }
    /// Why a subscription is not resumed.
    CannotResume {
        /// It is not paused.
        NotPaused = "subscription_not_paused": "only a paused subscription can be resumed";
        /// Its contract does not run.
        ContractRests = "contract_not_active": "only an active contract has active subscriptions";
        /// It ended meanwhile.
        Ended = "subscription_ended": "this subscription ended while it was paused";
    }
    /// Why a subscription is not cancelled, or its cancellation not taken back.
    CannotCancel {
        /// It ended already.
        Ended = "subscription_ended": "this subscription has ended already";
        /// Nobody cancelled it.
        NotCancelled = "subscription_not_cancelled": "this subscription is not about to end";
    }
}

/// The state of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = SubscriptionStatus)]
pub enum Status {
    /// It runs, in its trial too.
    Active,
    /// No period begins.
    Paused,
    /// A person ended it.
    Canceled,
    /// Its contract's time is over.
    Expired,
}

impl Status {
    /// Whether it is over for good.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Canceled | Self::Expired)
    }
}

/// Who paused a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PausedBy {
    /// A person, who has to resume it.
    Person,
    /// Its contract, which resumes it.
    Contract,
}

/// Since when, and by whom, it is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Since when.
    pub at: Time,
    /// By whom.
    pub by: PausedBy,
}

/// When something takes effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At once.
    Now,
    /// When the period that runs is over.
    #[default]
    PeriodEnd,
}

/// How it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// When.
    pub at: Time,
    /// The first day that is not tried: all periods are counted from it.
    pub anchor: Day,
    /// When its trial ends or ended, if it has one.
    pub trial_ends_at: Option<Time>,
}

/// Days whose flat price was billed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charged {
    /// The days.
    pub days: Period,
    /// How many days the whole period has, of which they are a part or all.
    pub whole: u32,
    /// What the whole period costs without a discount.
    pub flat: Minor,
    /// What a discount took off for these days.
    pub discount: Minor,
}

impl Charged {
    /// The days from one on, which are not used: what they cost, and what a discount took off that.
    fn unused(&self, from: Day) -> (Minor, Minor) {
        let left = self.days.from(from).days();
        (
            self.flat.share(left, self.whole),
            self.discount.share(left, self.days.days()),
        )
    }
}

/// A change of plan that waits for its day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduled {
    /// The first day of the new plan.
    pub on: Day,
    /// What is sold from then on.
    pub terms: Terms,
}

/// When it ends, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// The first day that is not billed.
    pub day: Day,
    /// The instant after which usage is not billed.
    pub at: Time,
    /// What it becomes.
    pub status: Status,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Whose it is.
    pub org: OrgId,
    /// Under which contract.
    pub contract: ContractId,
    /// Who has it.
    pub client: ClientId,
    /// Its state.
    pub status: Status,
    /// What was sold.
    pub terms: Terms,
    /// How many of the flat prices.
    pub quantity: Quantity,
    /// Where its days begin: the client's zone when it was made.
    pub zone: Zone,
    /// When it should begin; else with its contract.
    pub start_at: Option<Time>,
    /// Whether it may have a trial: one for each client and plan.
    pub may_try: bool,
    /// How it began; nothing while its contract is a draft.
    pub begun: Option<Begun>,
    /// The first day whose flat price is not billed.
    pub next: Option<Day>,
    /// The days that were billed last.
    pub charged: Option<Charged>,
    /// Days that are not billed, because it was paused when their periods began.
    pub gaps: Vec<Period>,
    /// Usage that is not billed; the last one goes on unless it has an end.
    pub spans: Vec<Span>,
    /// How many spans there were.
    pub span_count: u32,
    /// Usage that was billed, of which more may become known.
    pub settled: Vec<Settled>,
    /// A discount on its invoices.
    pub discount: Option<Discount>,
    /// A change of plan that waits.
    pub scheduled: Option<Scheduled>,
    /// Who paused it, and when.
    pub pause: Option<Pause>,
    /// The day on which it ends because somebody cancelled it for its period's end.
    pub cancel_on: Option<Day>,
    /// When its contract ends by itself.
    pub contract_ends_at: Option<Time>,
    /// How it ended.
    pub end: Option<End>,
    /// Whether everything is billed and nothing will be.
    pub closed: bool,
    /// The start of what was billed last.
    pub last_billed_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// Where its due mark stands.
    #[serde(default)]
    pub(crate) marked_at: Option<Time>,
    /// What it brings a month, as it was counted last.
    #[serde(default)]
    counted: Option<Money>,
    /// How much was told of it.
    #[serde(default)]
    told: u64,
    #[serde(default)]
    version: u64,
}

/// What a new subscription is made of.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    /// Whose it is.
    pub org: OrgId,
    /// Under which contract.
    pub contract: ContractId,
    /// Who gets it.
    pub client: ClientId,
    /// What is sold.
    pub terms: Terms,
    /// How many of the flat prices.
    pub quantity: Quantity,
    /// Where its days begin.
    pub zone: Zone,
    /// When it begins; it may lie in the past, and is caught up then.
    pub start_at: Option<Time>,
    /// Whether its client never tried this plan.
    pub may_try: bool,
    /// A discount on its invoices.
    pub discount: Option<Discount>,
    /// When its contract ends by itself.
    pub contract_ends_at: Option<Time>,
}

/// What a client gets back: a credit note to its balance, still without a number. Its amounts are above zero where
/// something is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// What its amounts are.
    pub currency: Currency,
    /// What is given back, and what is taken for that.
    pub lines: Vec<Line>,
    /// What they come to.
    pub totals: Totals,
    /// The day that it is dated.
    pub issued_on: Day,
}

impl Credit {
    /// The credit note, under a number that is taken with it. All of it is the client's.
    pub fn numbered(self, now: Time, subscription: &Subscription, number: DocumentNumber, reason: &str) -> CreditNote {
        CreditNote {
            id: CreditNoteId::new(now),
            org: subscription.org,
            client: subscription.client,
            number,
            invoice: None,
            subscription: Some(subscription.id),
            currency: self.currency,
            lines: self.lines,
            totals: self.totals,
            reason: reason.to_owned(),
            issued_on: self.issued_on,
            created_at: now,
            lowered_due: Minor::ZERO,
            given_back: Minor::ZERO,
        }
    }
}

/// What the end of a subscription gives back, if it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// The unused days.
    pub credit: Option<Credit>,
}

impl Subscription {
    /// Makes a subscription. Under an active contract it begins; under a draft it waits, paused by it.
    pub fn new(now: Time, new: NewSubscription, contract_is_active: bool) -> Self {
        let mut subscription = Self {
            id: SubscriptionId::new(now),
            org: new.org,
            contract: new.contract,
            client: new.client,
            status: Status::Paused,
            terms: new.terms,
            quantity: new.quantity,
            zone: new.zone,
            start_at: new.start_at,
            may_try: new.may_try,
            begun: None,
            next: None,
            charged: None,
            gaps: Vec::new(),
            spans: Vec::new(),
            span_count: 0,
            settled: Vec::new(),
            discount: new.discount,
            scheduled: None,
            pause: Some(Pause {
                at: now,
                by: PausedBy::Contract,
            }),
            cancel_on: None,
            contract_ends_at: new.contract_ends_at,
            end: None,
            closed: false,
            last_billed_at: None,
            created_at: now,
            marked_at: None,
            counted: None,
            told: 0,
            version: 0,
        };
        if contract_is_active {
            subscription.begin(now);
        }
        subscription
    }

    /// Begins, with its trial if it has one: the anchor is the day on which that ends.
    fn begin(&mut self, now: Time) {
        let at = self.start_at.unwrap_or(now);
        let trial = if self.may_try { self.terms.trial_days } else { 0 };
        let anchor = self.zone.day_of(at).plus_days(trial.into());
        let trial_ends_at = (trial > 0).then(|| self.zone.start_of(anchor));
        self.begun = Some(Begun {
            at,
            anchor,
            trial_ends_at,
        });
        self.status = Status::Active;
        self.pause = None;
        self.next = Some(anchor);
        let free_until = trial_ends_at.filter(|_| !self.terms.trial_usage_billed);
        self.open_span(free_until.unwrap_or(at));
    }

    /// Its days under some terms.
    fn schedule(&self, terms: &Terms) -> Option<Schedule> {
        let begun = self.begun?;
        Some(Schedule {
            anchor: begun.anchor,
            step: terms.interval.step(),
        })
    }

    /// Whether it is tried at that time.
    pub fn is_tried(&self, now: Time) -> bool {
        let end = self.begun.and_then(|begun| begun.trial_ends_at);
        end.is_some_and(|end| now < end)
    }

    /// When the next period begins; nothing while it is paused, or once none will.
    pub fn next_billing_at(&self) -> Option<Time> {
        let next = self.next.filter(|_| self.status == Status::Active)?;
        let goes_on = self.ends().is_none_or(|end| next < end.day);
        goes_on.then(|| self.zone.start_of(next))
    }

    /// When it ends, by what has happened so far.
    pub fn ends(&self) -> Option<End> {
        if self.end.is_some() {
            return self.end;
        }
        let cancelled = self.cancel_on.map(|day| End {
            day,
            at: self.zone.start_of(day),
            status: Status::Canceled,
        });
        let expired = self.contract_ends_at.map(|at| End {
            day: self.day_after(at),
            at,
            status: Status::Expired,
        });
        [cancelled, expired].into_iter().flatten().min_by_key(|end| end.at)
    }

    /// Whether it is over by then, also where nobody has noted it.
    pub fn is_over(&self, now: Time) -> bool {
        self.status.is_over() || self.ends().is_some_and(|end| end.at <= now)
    }

    /// The first day that has not begun before an instant.
    fn day_after(&self, at: Time) -> Day {
        let day = self.zone.day_of(at);
        if self.zone.start_of(day) == at {
            day
        } else {
            day.plus_days(1)
        }
    }

    /// What all flat prices of some terms come to for a whole period.
    fn flat(&self, terms: &Terms) -> Result<Minor, kernel::money::TooMuch> {
        let flat = terms.prices.iter().filter(|price| price.metric().is_none());
        let amounts: Result<Vec<Minor>, _> = flat.map(|price| price.charge(self.quantity)).collect();
        amounts?.into_iter().sum::<Minor>().within()
    }

    /// Whether its contract paused it, and so resumes it.
    pub fn is_paused_by_contract(&self) -> bool {
        self.pause.is_some_and(|pause| pause.by == PausedBy::Contract)
    }

    /// Pauses it: no period begins. The one that runs goes on to its end, its usage too, and nothing is given back.
    pub fn pause(&mut self, now: Time, by: PausedBy) -> Result<(), CannotPause> {
        if self.status != Status::Active || self.is_over(now) {
            return Err(CannotPause::NotActive);
        }
        self.status = Status::Paused;
        self.pause = Some(Pause { at: now, by });
        if let Some(day) = self.first_after(now) {
            self.close_span(self.zone.start_of(day));
        }
        Ok(())
    }

    /// Lets it go on from today, or begin with its contract. Its anchor stays; periods that would have begun in between
    /// are not billed.
    pub fn resume(&mut self, now: Time, contract_is_active: bool) -> Result<(), CannotResume> {
        let Some(pause) = self.pause.filter(|_| self.status == Status::Paused) else {
            return Err(CannotResume::NotPaused);
        };
        if !contract_is_active {
            return Err(CannotResume::ContractRests);
        }
        if self.is_over(now) {
            return Err(CannotResume::Ended);
        }
        let Some(begun) = self.begun else {
            self.begin(now);
            return Ok(());
        };
        self.status = Status::Active;
        self.pause = None;
        self.skip(pause.at, self.zone.day_of(now));
        let free_until = begun.trial_ends_at.filter(|_| !self.terms.trial_usage_billed);
        self.reopen_span(now, free_until);
        Ok(())
    }

    /// The first day of the first period that has not begun by a time.
    fn first_after(&self, time: Time) -> Option<Day> {
        let (mut day, schedule) = self.next.zip(self.schedule(&self.terms))?;
        // Bounded by how long ago it may have begun.
        while self.zone.start_of(day) <= time {
            day = schedule.period(day).end;
        }
        Some(day)
    }

    /// Notes that days are not billed: those from the first period that did not begin before the pause, until today. What
    /// had begun is billed, however late.
    fn skip(&mut self, paused_at: Time, today: Day) {
        if let Some(first) = self.first_after(paused_at).filter(|first| *first < today) {
            self.gaps.push(Period { first, end: today });
            self.pass_gaps();
        }
    }

    /// Moves on from a day that is not billed.
    fn pass_gaps(&mut self) {
        while let Some(next) = self.next {
            let gap = self.gaps.iter().position(|gap| gap.first <= next);
            let Some(gap) = gap.map(|place| self.gaps.remove(place)) else {
                return;
            };
            self.next = Some(next.max(gap.end));
        }
    }

    /// Cancels it. For the end of the period it goes on until then; now, the unused days are given back, this one among
    /// them, and what was used is billed on a closing invoice.
    pub fn cancel(&mut self, now: Time, when: When, taxation: Taxation) -> Result<Cancelled, CannotCancel> {
        if self.is_over(now) {
            return Err(CannotCancel::Ended);
        }
        let today = self.zone.day_of(now);
        match (when, self.begun) {
            (When::PeriodEnd, Some(begun)) => {
                let schedule = self.schedule(&self.terms);
                let period = schedule.map(|schedule| schedule.period(today).end);
                // Before the first period there is none to wait for: it ends with its trial.
                let running = period.filter(|_| begun.anchor <= today);
                self.cancel_on = Some(running.unwrap_or(begun.anchor));
                Ok(Cancelled::default())
            }
            (When::Now, _) | (When::PeriodEnd, None) => Ok(self.cancel_now(now, today, taxation)),
        }
    }

    fn cancel_now(&mut self, now: Time, today: Day, taxation: Taxation) -> Cancelled {
        self.close_span(now);
        self.status = Status::Canceled;
        self.scheduled = None;
        self.closed = self.begun.is_none();
        self.end = Some(End {
            day: today,
            at: now,
            status: Status::Canceled,
        });
        let Some(charged) = self.charged else {
            return Cancelled::default();
        };
        let (flat, discount) = charged.unused(today);
        let unused = charged.days.from(today);
        let given = self.proration("unused", flat, unused, taxation);
        let taken = self.proration("discount", -discount, unused, taxation);
        let lines: Vec<Line> = [given, taken].into_iter().flatten().collect();
        Cancelled {
            credit: self.credit(lines, today),
        }
    }

    /// Takes a cancellation for the period's end back.
    pub fn uncancel(&mut self, now: Time) -> Result<(), CannotCancel> {
        if self.is_over(now) {
            return Err(CannotCancel::Ended);
        }
        self.cancel_on.take().map(|_| ()).ok_or(CannotCancel::NotCancelled)
    }

    /// A line for a part of a period; none for nothing.
    fn proration(&self, what: &str, amount: Minor, period: Period, taxation: Taxation) -> Option<Line> {
        (amount != Minor::ZERO).then(|| Line {
            kind: LineKind::Proration,
            description: format!("{}: {what}", self.terms.name),
            quantity: Quantity::whole(1),
            unit_price: None,
            amount,
            tax_rate: taxation.rate(None),
            period: Some(period),
        })
    }

    /// A credit of lines that come to more than nothing.
    fn credit(&self, lines: Vec<Line>, today: Day) -> Option<Credit> {
        // What was charged before, which was below the limit.
        let totals = Totals::of(&lines).unwrap_or_default();
        (totals.total > Minor::ZERO).then_some(Credit {
            currency: self.terms.currency,
            lines,
            totals,
            issued_on: today,
        })
    }
}
