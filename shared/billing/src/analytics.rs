//! What invoices come to: by month and currency, and by state. Sums that are moved in the transactions that change what
//! they sum, so that nobody adds up invoices to know them. Pure.
//!
//! A deed is counted in the month in which it was done, in the organization's zone; a month that is over is never changed.

mod store;

use std::collections::BTreeMap;

use kernel::{Currency, Day, Minor};
use serde::Serialize;

use crate::invoice::{CreditNote, Invoice, Status};

pub use store::{OverdueView, RevenueOfMonth, StatesView, monthly_recurring, moved_mrr, revenue, states};

/// What was done in a month in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// How many invoices were sent.
    pub(crate) sent: i64,
    /// What they came to, net of tax.
    pub(crate) invoiced: Minor,
    /// What was credited, net of tax.
    pub(crate) credited: Minor,
    /// What was left of invoices that were cancelled, net of tax.
    pub(crate) cancelled: Minor,
    /// The tax on all of that.
    pub(crate) tax: Minor,
    /// What came in from outside.
    pub(crate) received: Minor,
}

impl Figures {
    /// What changed with an invoice that was so and is so now.
    pub(crate) fn of(before: Option<&Invoice>, after: &Invoice) -> Self {
        let was_numbered = before.is_some_and(|before| before.number.is_some());
        let was_cancelled = before.is_some_and(|before| before.status == Status::Cancelled);
        let mut figures = Self::default();
        let outside = |invoice: &Invoice| invoice.paid.hand + invoice.paid.provider;
        figures.received = outside(after) - before.map(outside).unwrap_or_default();
        if after.number.is_none() {
            return figures;
        }
        if !was_numbered {
            figures.sent = 1;
            figures.invoiced = after.totals.subtotal;
            figures.tax += after.totals.tax_amount;
        }
        let net = after.net_credited() - before.map(Invoice::net_credited).unwrap_or_default();
        let gross = after.amount_credited - before.map(|before| before.amount_credited).unwrap_or_default();
        figures.credited = net;
        figures.tax -= gross - net;
        if after.status == Status::Cancelled && !was_cancelled {
            let net_left = after.totals.subtotal - after.net_credited();
            figures.cancelled = net_left;
            figures.tax -= after.totals.total - after.amount_credited - net_left;
        }
        figures
    }

    /// What changed with a credit note that is for no invoice.
    pub(crate) fn of_note(note: &CreditNote) -> Self {
        Self {
            credited: note.totals.subtotal,
            tax: -note.totals.tax_amount,
            ..Self::default()
        }
    }

    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.invoiced += other.invoiced;
        self.credited += other.credited;
        self.cancelled += other.cancelled;
        self.tax += other.tax;
        self.received += other.received;
    }
}

/// How many invoices are in a state, and what is due on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Held {
    pub(crate) count: i64,
    pub(crate) due: Minor,
}

/// Changes of sums that belong to one transaction: one write for each item, whatever many documents change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    months: BTreeMap<Currency, Figures>,
    states: BTreeMap<Currency, BTreeMap<Status, Held>>,
}

impl Sums {
    /// Adds what an invoice changes that was so and is so now, or is gone.
    pub(crate) fn move_invoice(&mut self, before: Option<&Invoice>, after: Option<&Invoice>) {
        if let Some(after) = after {
            self.month(after.currency).add(Figures::of(before, after));
        }
        for (invoice, sign) in before.map(|one| (one, -1)).into_iter().chain(after.map(|one| (one, 1))) {
            let states = self.states.entry(invoice.currency).or_default();
            let held = states.entry(invoice.status).or_default();
            held.count += sign;
            if invoice.status.is_open() {
                let due = invoice.amount_due();
                held.due += if sign < 0 { -due } else { due };
            }
        }
    }

    /// Adds a credit note that is for no invoice.
    pub(crate) fn add_note(&mut self, note: &CreditNote) {
        self.month(note.currency).add(Figures::of_note(note));
    }

    /// Adds what came in beyond what was due.
    pub(crate) fn receive(&mut self, currency: Currency, amount: Minor) {
        self.month(currency).received += amount;
    }

    fn month(&mut self, currency: Currency) -> &mut Figures {
        self.months.entry(currency).or_default()
    }
}

/// What a month is called: `2027-01`.
fn name_of(day: Day) -> String {
    let mut name = day.to_string();
    name.truncate("2027-01".len());
    name
}

#[cfg(test)]
mod tests {
    use kernel::{Time, Zone};

    use super::*;
    use crate::Line;
    use crate::invoice::PaidBy;
    use crate::invoice::tests::{NOW, draft_of, sent};
    use crate::numbering::{DocumentNumber, Series};

    fn figures(sums: &Sums) -> Figures {
        sums.months.values().copied().next().unwrap_or_default()
    }

    /// Whatever is done with an invoice, its sums are those of what is left of it.
    #[test]
    fn sums_follow_an_invoice_through_its_life() {
        let mut sums = Sums::default();
        let draft = draft_of(vec![Line::of_amount(10_000, "19")]);
        sums.move_invoice(None, Some(&draft));
        assert_eq!(figures(&sums), Figures::default());
        let sent = sent(vec![Line::of_amount(10_000, "19")]);
        sums.move_invoice(Some(&draft), Some(&sent));
        let mut paid = sent.clone();
        paid.pay(NOW, Minor::new(900), PaidBy::Hand).unwrap();
        sums.move_invoice(Some(&sent), Some(&paid));
        let mut credited = paid.clone();
        let new = serde_json::from_str(r#"{"lines":[{"lineIndex":0,"amount":4000}],"reason":"x"}"#).unwrap();
        let number = DocumentNumber::new(Series::CreditNotes, 2027, 1);
        credited.credit(NOW, &Zone::utc(), number, &new).unwrap();
        sums.move_invoice(Some(&paid), Some(&credited));
        let mut cancelled = credited.clone();
        cancelled.cancel(NOW).unwrap();
        sums.move_invoice(Some(&credited), Some(&cancelled));
        let found = figures(&sums);
        assert_eq!(
            [
                found.invoiced,
                found.credited,
                found.cancelled,
                found.tax,
                found.received
            ]
            .map(Minor::get),
            [10_000, 4_000, 6_000, 0, 900]
        );
        let states = sums.states.into_values().next().unwrap();
        for (status, held) in states {
            let expected = i64::from(status == Status::Cancelled);
            assert_eq!((held.count, held.due), (expected, Minor::ZERO), "{status:?}");
        }
    }

    #[test]
    fn a_month_has_a_name() {
        let day = Zone::utc().day_of(Time::from_millis(1_799_000_000_000));
        assert_eq!(name_of(day), "2027-01");
    }
}
