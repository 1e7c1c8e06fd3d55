//! An invoice: its states, what is paid and due, and when it is overdue. Pure.
//!
//! A draft may be changed; what was sent never is. What it comes to is computed by [`Totals`] when it is drafted, and
//! never again.

mod clock;
mod credit;
mod deeds;
mod draft;
mod dunning;
pub mod facts;
mod link;
mod news;
mod patch;
mod store;
mod view;

use kernel::link::{Secret, Token};
use kernel::{ClientId, Currency, Day, InvoiceId, Minor, Money, OrgId, RecurringInvoiceId, SubscriptionId, Time, Zone};
use serde::{Deserialize, Serialize};

use crate::coupon::Discount;
use crate::line::Line;
use crate::numbering::DocumentNumber;
use crate::tax::{TaxExempt, Totals};

pub use credit::{CreditNote, CreditNoteView, Credited, NewCreditLine, NewCreditNote};
pub(crate) use draft::GivenRates;
pub use draft::{Content, Method, NewInvoice, NewPayment};
pub(crate) use dunning::{Chased, Chasing};
pub use link::Shared;
pub(crate) use news::{News, news};
pub use patch::InvoicePatch;
pub(crate) use store::BillingKey;
pub use store::Listed;
pub use view::{DaysView, InvoiceView, LineView, TaxView};

kernel::refusals! {
    /// Why an invoice is not changed or deleted.
    CannotChange {
        /// It is no draft any more.
        Sent = "invoice_not_draft": "only a draft can be changed or deleted";
    }
    /// Why an invoice is not sent.
    CannotSend {
        /// It was.
        Sent = "invoice_already_sent": "this invoice was sent already";
        /// It was cancelled.
        Cancelled = "invoice_cancelled": "this invoice was cancelled";
        /// There is nothing on it.
        Empty = "invoice_empty": "an invoice without lines is not sent";
    }
    /// Why an invoice is not cancelled.
    CannotCancel {
        /// It is paid.
        Paid = "invoice_paid": "a paid invoice is not cancelled; credit it";
        /// It was.
        Cancelled = "invoice_cancelled": "this invoice was cancelled already";
    }
    /// Why nothing is paid on an invoice, and nothing credited.
    NotOpen {
        /// It was not sent.
        Draft = "invoice_not_sent": "this invoice was not sent yet";
        /// It is paid.
        Paid = "invoice_paid": "this invoice is paid";
        /// It was cancelled.
        Cancelled = "invoice_cancelled": "this invoice was cancelled";
    }
}

/// The state of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = InvoiceStatus)]
pub enum Status {
    /// It may be changed.
    Draft,
    /// It was sent.
    Sent,
    /// Its client has looked at it.
    Viewed,
    /// A part is paid.
    PartiallyPaid,
    /// Nothing is due any more.
    Paid,
    /// Its due day is over.
    Overdue,
    /// It does not count any more.
    Cancelled,
}

impl Status {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::Draft,
        Self::Sent,
        Self::Viewed,
        Self::PartiallyPaid,
        Self::Paid,
        Self::Overdue,
        Self::Cancelled,
    ];

    /// As it is written in JSON: never changed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Sent => "sent",
            Self::Viewed => "viewed",
            Self::PartiallyPaid => "partially_paid",
            Self::Paid => "paid",
            Self::Overdue => "overdue",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether something is due, so that it can be paid.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Sent | Self::Viewed | Self::PartiallyPaid | Self::Overdue)
    }

    /// Whether it may become another one. From `Paid` by a lost dispute alone; to `Paid` from a draft when nothing is due
    /// at its sending.
    pub const fn may_become(self, next: Self) -> bool {
        use Status::{Cancelled, Draft, Overdue, Paid, PartiallyPaid, Sent, Viewed};
        match self {
            Draft => matches!(next, Sent | Cancelled),
            Sent => matches!(next, Viewed | Paid | PartiallyPaid | Overdue | Cancelled),
            Viewed => matches!(next, Paid | PartiallyPaid | Overdue | Cancelled),
            PartiallyPaid => matches!(next, Paid | Overdue | Cancelled),
            Overdue => matches!(next, Paid | PartiallyPaid | Cancelled),
            Paid => matches!(next, PartiallyPaid | Overdue),
            Cancelled => false,
        }
    }
}

/// What an invoice was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "from")]
pub enum Source {
    /// A person wrote it.
    Person,
    /// A subscription's period, its end, or a change of plan.
    Subscription {
        /// Which.
        subscription: SubscriptionId,
        /// There is one invoice for each key; a change of plan has none.
        billing_key: Option<String>,
    },
    /// An occurrence of a recurring invoice.
    Recurring {
        /// Which.
        recurring: RecurringInvoiceId,
        /// The day of the occurrence; there is one invoice for each.
        day: Day,
    },
}

/// Where money on an invoice came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PaidBy {
    /// The client's balance.
    Balance,
    /// From outside, recorded by a person.
    Hand,
    /// A payment provider, which can give it back.
    Provider,
}

/// What was paid, by where it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paid {
    /// From the client's balance.
    pub balance: Minor,
    /// From outside.
    pub hand: Minor,
    /// By a payment provider.
    pub provider: Minor,
}

impl Paid {
    /// All of it.
    pub fn sum(self) -> Minor {
        self.balance + self.hand + self.provider
    }
}

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Whose it is.
    pub org: OrgId,
    /// Who owes it.
    pub client: ClientId,
    /// Its state.
    pub status: Status,
    /// Taken when it is sent.
    pub number: Option<DocumentNumber>,
    /// What its amounts are.
    pub currency: Currency,
    /// Its lines, discounts among them.
    pub lines: Vec<Line>,
    /// What they come to.
    pub totals: Totals,
    /// Whether the client is taxed.
    pub exempt: TaxExempt,
    /// The discount that made lines of itself.
    pub discount: Option<Discount>,
    /// What a person added.
    pub notes: Option<String>,
    /// The day that it is dated; given for what is billed late, else the day it is sent.
    pub issued_on: Option<Day>,
    /// The last day on which it is not overdue.
    pub due_date: Day,
    /// Where its days begin: the client's zone.
    pub zone: Zone,
    /// What it was made of.
    pub source: Source,
    /// What was paid.
    pub paid: Paid,
    /// What of each line was credited; empty if nothing was.
    pub credited: Vec<Credited>,
    /// What was credited, with tax.
    pub amount_credited: Minor,
    /// What of that was due; the rest went to the client's balance.
    pub credited_due: Minor,
    /// What payment providers gave back of what was paid: it stays paid.
    #[serde(default)]
    pub refunded: Minor,
    /// How many reminders were sent.
    pub reminders: u32,
    /// Whether its contract rests because of it.
    #[serde(default)]
    pub(crate) chased: Chased,
    /// When it was made.
    pub created_at: Time,
    /// When it was sent.
    pub sent_at: Option<Time>,
    /// When its client first looked at it.
    pub viewed_at: Option<Time>,
    /// When nothing was due any more.
    pub paid_at: Option<Time>,
    /// When it first became overdue.
    pub overdue_at: Option<Time>,
    /// When it was cancelled.
    pub cancelled_at: Option<Time>,
    /// Of a draft that a person wrote: the tax rates that they gave.
    #[serde(default)]
    pub(crate) rates: Option<GivenRates>,
    /// When the clock does something to it, as its mark says.
    #[serde(default)]
    pub(crate) marked_at: Option<Time>,
    /// How many facts were told of it.
    #[serde(default)]
    pub(crate) told: u64,
    /// What its client's link ends in, from its sending on. What was sent before there were links gets one when it is asked for.
    #[serde(default)]
    link: Option<Secret>,
    #[serde(default)]
    version: u64,
}

impl Invoice {
    /// What is still to be paid.
    pub fn amount_due(&self) -> Minor {
        match self.status {
            Status::Cancelled => Minor::ZERO,
            _ => (self.totals.total - self.paid.sum() - self.credited_due).max(Minor::ZERO),
        }
    }

    /// What is still to be paid, as money.
    pub fn due(&self) -> Money {
        Money::new(self.amount_due(), self.currency)
    }

    /// Sends it, under a number that is taken with it, and pays as much as the client's balance has; what it took of
    /// that. Without anything due it is paid.
    pub fn send(&mut self, now: Time, org: &Zone, number: DocumentNumber, balance: Minor) -> Result<Minor, CannotSend> {
        match self.status {
            Status::Draft if self.lines.is_empty() => return Err(CannotSend::Empty),
            Status::Draft => {}
            Status::Cancelled => return Err(CannotSend::Cancelled),
            _ => return Err(CannotSend::Sent),
        }
        self.status = Status::Sent;
        self.number = Some(number);
        self.sent_at = Some(now);
        self.link.get_or_insert_default();
        self.issued_on.get_or_insert_with(|| org.day_of(now));
        let taken = balance.min(self.totals.total).max(Minor::ZERO);
        self.paid.balance += taken;
        self.settle(now);
        Ok(taken)
    }

    /// What its client's link ends in; none before it is sent.
    pub fn token(&self) -> Option<Token> {
        let (org, invoice) = (self.org, self.id);
        self.link.map(|secret| Token::Invoice { org, invoice, secret })
    }

    /// Gives it a link, if it was sent before there were links.
    pub(crate) fn ensure_link(&mut self) -> Option<Token> {
        if self.sent_at.is_some() {
            self.link.get_or_insert_default();
        }
        self.token()
    }

    /// Notes that its client looked at it.
    pub fn view(&mut self, now: Time) -> Result<(), NotOpen> {
        match self.status {
            Status::Draft => return Err(NotOpen::Draft),
            Status::Cancelled => return Err(NotOpen::Cancelled),
            _ => {}
        }
        self.viewed_at.get_or_insert(now);
        if self.status.may_become(Status::Viewed) {
            self.status = Status::Viewed;
        }
        Ok(())
    }

    /// Takes money for it; what it is more than is due, which belongs to the client.
    pub fn pay(&mut self, now: Time, amount: Minor, by: PaidBy) -> Result<Minor, NotOpen> {
        self.open()?;
        let applied = amount.min(self.amount_due()).max(Minor::ZERO);
        let paid = match by {
            PaidBy::Balance => &mut self.paid.balance,
            PaidBy::Hand => &mut self.paid.hand,
            PaidBy::Provider => &mut self.paid.provider,
        };
        *paid += applied;
        self.settle(now);
        Ok(amount - applied)
    }

    /// Whether it can be paid.
    pub fn open(&self) -> Result<(), NotOpen> {
        match self.status {
            Status::Draft => Err(NotOpen::Draft),
            Status::Paid => Err(NotOpen::Paid),
            Status::Cancelled => Err(NotOpen::Cancelled),
            Status::Sent | Status::Viewed | Status::PartiallyPaid | Status::Overdue => Ok(()),
        }
    }

    /// Takes back what a provider had paid and lost to a dispute: the one way in which a paid invoice opens again.
    pub fn lose_dispute(&mut self, now: Time, amount: Minor) {
        self.paid.provider -= amount.min(self.paid.provider);
        if self.status != Status::Paid || self.amount_due() == Minor::ZERO {
            return;
        }
        self.paid_at = None;
        self.status = if self.overdue_from() <= now {
            self.overdue_at.get_or_insert(now);
            Status::Overdue
        } else {
            Status::PartiallyPaid
        };
    }

    /// Notes that a provider gave money back, or that it did not after all: then `amount` is negative. What is due stays.
    pub fn give_back(&mut self, amount: Minor) {
        self.refunded += amount;
    }

    /// Cancels it; what of the money on it goes back to the client's balance. What a provider paid stays with that
    /// payment, which can be refunded.
    pub fn cancel(&mut self, now: Time) -> Result<Minor, CannotCancel> {
        match self.status {
            Status::Paid => return Err(CannotCancel::Paid),
            Status::Cancelled => return Err(CannotCancel::Cancelled),
            _ => {}
        }
        self.status = Status::Cancelled;
        self.cancelled_at = Some(now);
        Ok(self.paid.balance + self.paid.hand)
    }

    /// The instant from which it is overdue: when the day after the due one begins where the client is.
    pub fn overdue_from(&self) -> Time {
        self.zone.start_of(self.due_date.plus_days(1))
    }

    /// Makes it overdue, if it is; whether that is the first time.
    pub fn fall_due(&mut self, now: Time) -> Option<bool> {
        let is_late = self.overdue_from() <= now && self.amount_due() > Minor::ZERO;
        if !is_late || !self.status.is_open() || self.status == Status::Overdue {
            return None;
        }
        self.status = Status::Overdue;
        let is_first = self.overdue_at.is_none();
        self.overdue_at.get_or_insert(now);
        Some(is_first)
    }

    /// When the next reminder is due, if they go out so many days after the due one, ascending; none once it is paid.
    pub fn reminder_at(&self, days: &[u16]) -> Option<Time> {
        let sent = usize::try_from(self.reminders).unwrap_or(usize::MAX);
        let after = days.get(sent).filter(|_| self.status.is_open())?;
        Some(self.zone.start_of(self.due_date.plus_days((*after).into())))
    }

    /// When the clock does something to it next: it falls overdue, its client is reminded, its contract is suspended or goes on.
    pub(crate) fn due_at(&self, chasing: &Chasing) -> Option<Time> {
        let falls = self.status.is_open() && self.status != Status::Overdue;
        let falls = falls.then(|| self.overdue_from());
        let chased = [self.reminder_at(&chasing.reminder_days), self.chased_at(chasing)];
        falls.into_iter().chain(chased.into_iter().flatten()).min()
    }

    /// What there is one invoice of, if there is only one of what it was made of.
    pub fn billing_key(&self) -> Option<String> {
        match &self.source {
            Source::Person => None,
            Source::Subscription { billing_key, .. } => billing_key.clone(),
            Source::Recurring { recurring, day } => Some(format!("{recurring}_{day}")),
        }
    }

    /// What of it was credited, net of tax.
    pub(crate) fn net_credited(&self) -> Minor {
        self.credited.iter().map(|credited| credited.amount).sum()
    }

    /// Counts a reminder that is due; whether one is. Of several that were missed, one is sent.
    pub fn remind(&mut self, now: Time, days: &[u16]) -> bool {
        let mut is_due = false;
        while self.reminder_at(days).is_some_and(|at| at <= now) {
            is_due = true;
            self.reminders += 1;
        }
        is_due
    }

    /// What its state is after money moved.
    fn settle(&mut self, now: Time) {
        if self.amount_due() == Minor::ZERO {
            self.status = Status::Paid;
            self.paid_at.get_or_insert(now);
        } else if self.paid.sum() > Minor::ZERO && self.status.may_become(Status::PartiallyPaid) {
            self.status = Status::PartiallyPaid;
        }
    }
}

/// Reminders go out so many days after the due one, unless an organization says otherwise.
pub const REMINDER_DAYS: [u16; 3] = [3, 10, 20];

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numbering::Series;

    pub(crate) const NOW: Time = Time::from_millis(1_799_000_000_000);

    pub(crate) fn draft_of(lines: Vec<Line>) -> Invoice {
        let content = Content {
            currency: "EUR".parse().unwrap(),
            items: lines,
            discount: None,
            exempt: TaxExempt::None,
            due_date: "2027-01-14".parse().unwrap(),
            issued_on: None,
            notes: None,
            zone: "Europe/Berlin".parse().unwrap(),
        };
        Invoice::draft(
            NOW,
            OrgId::from_bits(1),
            ClientId::from_bits(2),
            Source::Person,
            content,
        )
        .unwrap()
    }

    pub(crate) fn sent(lines: Vec<Line>) -> Invoice {
        let mut invoice = draft_of(lines);
        send(&mut invoice, Minor::ZERO).unwrap();
        invoice
    }

    fn send(invoice: &mut Invoice, balance: Minor) -> Result<Minor, CannotSend> {
        let number = DocumentNumber::new(Series::Invoices, 2027, 1);
        invoice.send(NOW, &Zone::utc(), number, balance)
    }

    /// An invoice over 100.00 in that state.
    fn in_state(status: Status) -> Invoice {
        let mut invoice = draft_of(vec![Line::of_amount(10_000, "0")]);
        if status != Status::Draft {
            send(&mut invoice, Minor::ZERO).unwrap();
        }
        match status {
            Status::Draft | Status::Sent => {}
            Status::Viewed => invoice.view(NOW).unwrap(),
            Status::PartiallyPaid => assert!(invoice.pay(NOW, Minor::new(1), PaidBy::Provider).is_ok()),
            Status::Paid => assert!(invoice.pay(NOW, Minor::new(10_000), PaidBy::Provider).is_ok()),
            Status::Overdue => assert!(invoice.fall_due(invoice.overdue_from()).is_some()),
            Status::Cancelled => assert!(invoice.cancel(NOW).is_ok()),
        }
        assert_eq!(invoice.status, status);
        invoice
    }

    #[test]
    fn states_follow_each_other_as_the_contract_says() {
        use Status::{Cancelled, Draft, Overdue, Paid, PartiallyPaid, Sent, Viewed};
        let allowed = [
            (Draft, vec![Sent, Cancelled]),
            (Sent, vec![Viewed, PartiallyPaid, Paid, Overdue, Cancelled]),
            (Viewed, vec![PartiallyPaid, Paid, Overdue, Cancelled]),
            (PartiallyPaid, vec![Paid, Overdue, Cancelled]),
            (Paid, vec![PartiallyPaid, Overdue]),
            (Overdue, vec![PartiallyPaid, Paid, Cancelled]),
            (Cancelled, vec![]),
        ];
        for (from, next) in allowed {
            let found: Vec<Status> = Status::ALL.into_iter().filter(|to| from.may_become(*to)).collect();
            assert_eq!(found, next, "{from:?}");
        }
    }

    /// Whether it was done.
    type Deed = fn(&mut Invoice, Time) -> bool;

    /// Every deed in every state: what it does is a step of the table, or refused with nothing changed.
    #[test]
    fn every_deed_in_every_state_is_a_step_or_changes_nothing() {
        let late = Time::from_millis(1_900_000_000_000);
        let deeds: [(&str, Deed); 7] = [
            ("send", |invoice, _| send(invoice, Minor::ZERO).is_ok()),
            ("view", |invoice, now| invoice.view(now).is_ok()),
            ("pay a part", |invoice, now| {
                invoice.pay(now, Minor::new(5), PaidBy::Hand).is_ok()
            }),
            ("pay all", |invoice, now| {
                invoice.pay(now, Minor::new(10_000), PaidBy::Hand).is_ok()
            }),
            ("cancel", |invoice, now| invoice.cancel(now).is_ok()),
            ("fall due", |invoice, now| invoice.fall_due(now).is_some()),
            ("lose a dispute", |invoice, now| {
                invoice.lose_dispute(now, Minor::new(10_000));
                true
            }),
        ];
        let mut steps = 0;
        for status in Status::ALL {
            for (deed, act) in deeds {
                for now in [NOW, late] {
                    let mut invoice = in_state(status);
                    let before = invoice.clone();
                    if !act(&mut invoice, now) {
                        assert_eq!(invoice, before, "{status:?} by {deed}, refused");
                    }
                    let reached = invoice.status;
                    assert!(
                        reached == status || status.may_become(reached),
                        "{status:?} by {deed}: {reached:?}"
                    );
                    let opened = status == Status::Paid && reached != Status::Paid;
                    assert!(!opened || deed == "lose a dispute", "{deed} opened a paid invoice");
                    assert!(reached != Status::Paid || invoice.amount_due() == Minor::ZERO);
                    steps += usize::from(reached != status);
                }
            }
        }
        assert!(steps > 30, "{steps}");
    }

    #[test]
    fn refusals_say_why() {
        assert_eq!(send(&mut in_state(Status::Viewed), Minor::ZERO), Err(CannotSend::Sent));
        assert_eq!(
            send(&mut in_state(Status::Cancelled), Minor::ZERO),
            Err(CannotSend::Cancelled)
        );
        assert_eq!(send(&mut draft_of(vec![]), Minor::ZERO), Err(CannotSend::Empty));
        assert_eq!(in_state(Status::Paid).cancel(NOW), Err(CannotCancel::Paid));
        assert_eq!(in_state(Status::Cancelled).cancel(NOW), Err(CannotCancel::Cancelled));
        for (status, refusal) in [
            (Status::Draft, NotOpen::Draft),
            (Status::Paid, NotOpen::Paid),
            (Status::Cancelled, NotOpen::Cancelled),
        ] {
            assert_eq!(in_state(status).pay(NOW, Minor::new(1), PaidBy::Hand), Err(refusal));
        }
        assert_eq!(in_state(Status::Draft).view(NOW), Err(NotOpen::Draft));
        let error: kernel::Error = CannotCancel::Paid.into();
        assert!(matches!(
            error,
            kernel::Error::Refused {
                code: "invoice_paid",
                ..
            }
        ));
    }

    #[test]
    fn what_comes_to_nothing_is_paid_when_it_is_sent() {
        let mut invoice = draft_of(vec![Line::of_amount(0, "19")]);
        send(&mut invoice, Minor::ZERO).unwrap();
        assert_eq!((invoice.status, invoice.paid_at), (Status::Paid, Some(NOW)));
        assert_eq!(invoice.reminder_at(&REMINDER_DAYS), None);
    }

    #[test]
    fn the_balance_pays_first() {
        let mut part = draft_of(vec![Line::of_amount(10_000, "19")]);
        assert_eq!(send(&mut part, Minor::new(900)), Ok(Minor::new(900)));
        assert_eq!((part.status, part.amount_due().get()), (Status::PartiallyPaid, 11_000));
        let mut all = draft_of(vec![Line::of_amount(10_000, "19")]);
        assert_eq!(send(&mut all, Minor::new(90_000)), Ok(Minor::new(11_900)));
        assert_eq!((all.status, all.amount_due().get()), (Status::Paid, 0));
        let mut debt = draft_of(vec![Line::of_amount(10_000, "19")]);
        assert_eq!(send(&mut debt, Minor::new(-5)), Ok(Minor::ZERO));
        assert_eq!(debt.status, Status::Sent);
    }

    #[test]
    fn a_cancelled_invoice_gives_back_what_no_provider_holds() {
        let mut invoice = draft_of(vec![Line::of_amount(10_000, "0")]);
        send(&mut invoice, Minor::new(100)).unwrap();
        invoice.pay(NOW, Minor::new(20), PaidBy::Hand).unwrap();
        invoice.pay(NOW, Minor::new(3), PaidBy::Provider).unwrap();
        assert_eq!(invoice.cancel(NOW), Ok(Minor::new(120)));
        assert_eq!(invoice.amount_due(), Minor::ZERO);
    }

    /// S16.
    #[test]
    fn an_invoice_is_overdue_when_its_due_day_is_over_at_the_client() {
        let mut invoice = in_state(Status::Sent);
        let end: Time = "2027-01-14T23:00:00Z".parse().unwrap();
        assert_eq!(invoice.fall_due(end.plus_millis(-1)), None);
        assert!(!invoice.remind(end.plus_seconds(-60), &REMINDER_DAYS));
        assert_eq!(invoice.fall_due(end), Some(true));
        assert_eq!(invoice.fall_due(end), None);
        // A part is paid: it is overdue again, but that is no news.
        invoice.pay(end, Minor::new(1), PaidBy::Hand).unwrap();
        assert_eq!(invoice.status, Status::PartiallyPaid);
        assert_eq!(invoice.fall_due(end), Some(false));
        let mut paid = in_state(Status::Paid);
        assert_eq!(paid.fall_due(end), None);
    }

    #[test]
    fn reminders_go_out_until_it_is_paid() {
        let mut invoice = in_state(Status::Sent);
        let at = |invoice: &Invoice| invoice.reminder_at(&REMINDER_DAYS).map(|at| at.to_string());
        assert_eq!(at(&invoice).unwrap(), "2027-01-16T23:00:00.000Z");
        assert!(invoice.remind("2027-01-16T23:00:00Z".parse().unwrap(), &REMINDER_DAYS));
        assert_eq!(at(&invoice).unwrap(), "2027-01-23T23:00:00.000Z");
        // Two were missed: one is sent.
        assert!(invoice.remind("2027-03-01T00:00:00Z".parse().unwrap(), &REMINDER_DAYS));
        assert_eq!(at(&invoice), None);
        let mut paid = in_state(Status::Sent);
        paid.pay(NOW, Minor::new(10_000), PaidBy::Provider).unwrap();
        assert!(!paid.remind("2027-03-01T00:00:00Z".parse().unwrap(), &REMINDER_DAYS));
    }

    #[test]
    fn a_lost_dispute_opens_it_again() {
        let mut invoice = in_state(Status::Paid);
        invoice.lose_dispute(NOW, Minor::new(10_000));
        assert_eq!(
            (invoice.status, invoice.amount_due().get()),
            (Status::PartiallyPaid, 10_000)
        );
        let mut late = in_state(Status::Paid);
        late.lose_dispute(late.overdue_from(), Minor::new(4_000));
        assert_eq!((late.status, late.amount_due().get()), (Status::Overdue, 4_000));
    }

    #[test]
    fn invoices_are_stored_and_read_the_same() {
        let mut invoice = in_state(Status::Overdue);
        invoice.lines[0].unit_price = Some("0.125".parse().unwrap());
        let stored = serde_json::to_value(&invoice).unwrap();
        assert_eq!(serde_json::from_value::<Invoice>(stored).unwrap(), invoice);
    }

    proptest! {
        /// What is paid, due and given back always adds up, whatever is paid in whatever order.
        #[test]
        fn no_money_is_lost_or_made(
            amounts in prop::collection::vec((1_i64..6_000, 0_usize..2), 1..10),
            balance in 0_i64..20_000,
        ) {
            let mut invoice = draft_of(vec![Line::of_amount(10_000, "19")]);
            let taken = send(&mut invoice, Minor::new(balance)).unwrap();
            let (mut given, mut back) = (taken, Minor::ZERO);
            for (amount, by) in amounts {
                if let Ok(rest) = invoice.pay(NOW, Minor::new(amount), [PaidBy::Hand, PaidBy::Provider][by]) {
                    given += Minor::new(amount);
                    back += rest;
                }
            }
            prop_assert_eq!(invoice.paid.sum() + back, given);
            prop_assert_eq!(invoice.paid.sum() + invoice.amount_due(), invoice.totals.total);
            prop_assert_eq!(invoice.status == Status::Paid, invoice.amount_due() == Minor::ZERO);
        }
    }
}
