//! Credit notes: what of an invoice is taken back, in parts that never come to more than it did. The tax of all notes
//! together is the tax on what they credit.

mod store;
mod view;

use std::collections::BTreeMap;

use kernel::{
    Check, ClientId, CreditNoteId, Currency, Day, Error, Input, InvoiceId, Minor, OrgId, SubscriptionId, Time, Zone,
};
use serde::{Deserialize, Serialize};

use super::{Invoice, NotOpen, Status};
use crate::line::{Line, MOST_LINES};
use crate::number::{Given, Quantity, Rate};
use crate::numbering::DocumentNumber;
use crate::price::number;
use crate::tax::{Tax, Totals};

pub use view::CreditNoteView;

/// What of a line was credited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credited {
    /// How many, by notes that said how many.
    pub quantity: Quantity,
    /// How much, net of tax; of the line's sign.
    pub amount: Minor,
}

/// A credit note, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCreditNote {
    /// What of which lines, each line once.
    pub lines: Vec<NewCreditLine>,
    /// Why.
    pub reason: String,
    /// Whether what was paid is given back by the way it was paid, not put on the client's balance.
    #[serde(default)]
    pub refund: bool,
}

/// What of a line is credited: so many, or so much; without either all that is left.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreditLineInput)]
pub struct NewCreditLine {
    /// Which line of the invoice, from 0.
    #[schema(maximum = 499)]
    pub line_index: usize,
    /// How many.
    pub quantity: Option<Given>,
    /// How much in minor units, net of tax.
    #[schema(value_type = Option<i64>)]
    pub amount: Option<Minor>,
}

impl Input for NewCreditNote {
    fn check(&self, check: &mut Check) {
        check.text("reason", &self.reason, 1..=500);
        let within = (1..=MOST_LINES).contains(&self.lines.len());
        check.that(within, "lines", format!("must have 1 to {MOST_LINES} lines"));
        let mut seen = std::collections::BTreeSet::new();
        for (place, line) in self.lines.iter().take(MOST_LINES).enumerate() {
            let field = format!("lines[{place}]");
            let is_new = seen.insert(line.line_index);
            check.that(is_new, &format!("{field}.lineIndex"), "is credited twice");
            let one = line.quantity.is_none() || line.amount.is_none();
            check.that(one, &field, "must have `quantity` or `amount`, not both");
        }
    }
}

/// A credit note. Its amounts are what is credited: above zero where the invoice's were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreditNote {
    /// Its id.
    pub id: CreditNoteId,
    /// Whose it is.
    pub org: OrgId,
    /// Who gets it.
    pub client: ClientId,
    /// Its number.
    pub number: DocumentNumber,
    /// What it credits.
    pub invoice: Option<InvoiceId>,
    /// Whose change or end made it.
    pub subscription: Option<SubscriptionId>,
    /// What its amounts are.
    pub currency: Currency,
    /// What is credited.
    pub lines: Vec<Line>,
    /// What that comes to.
    pub totals: Totals,
    /// Why.
    pub reason: String,
    /// The day that it is dated.
    pub issued_on: Day,
    /// When it was made.
    pub created_at: Time,
    /// What of it lowered what was due; the rest is the client's.
    pub lowered_due: Minor,
    /// What of the rest goes back by the payments of the invoice.
    #[serde(default)]
    pub given_back: Minor,
}

impl CreditNote {
    /// What of it is the client's: on the balance, or refunded.
    pub fn rest(&self) -> Minor {
        self.totals.total - self.lowered_due
    }

    /// What of it goes to the client's balance.
    pub fn to_balance(&self) -> Minor {
        self.rest() - self.given_back
    }
}

impl Invoice {
    /// Credits some of it, under a number that is taken with it: lowers what is due first. `Invalid` for more than is
    /// left.
    pub fn credit(
        &mut self,
        now: Time,
        org: &Zone,
        number: DocumentNumber,
        new: &NewCreditNote,
    ) -> kernel::Result<CreditNote> {
        Check::run(new)?;
        self.creditable()?;
        let before = self.credited_lines();
        let mut after = before.clone();
        let mut lines = Vec::new();
        for (place, wanted) in new.lines.iter().enumerate() {
            let line = self.credit_line(&mut after, wanted, &format!("lines[{place}]"))?;
            lines.push(line);
        }
        let totals = self.credited_totals(&before, &after)?;
        let lowered_due = totals.total.min(self.amount_due());
        let rest = totals.total - lowered_due;
        self.credited = after;
        self.amount_credited += totals.total;
        self.credited_due += lowered_due;
        if self.status.is_open() {
            self.settle(now);
        }
        Ok(CreditNote {
            id: CreditNoteId::new(now),
            org: self.org,
            client: self.client,
            number,
            invoice: Some(self.id),
            subscription: None,
            currency: self.currency,
            lines,
            totals,
            reason: new.reason.clone(),
            issued_on: org.day_of(now),
            created_at: now,
            lowered_due,
            given_back: if new.refund { rest } else { Minor::ZERO },
        })
    }

    fn creditable(&self) -> Result<(), NotOpen> {
        match self.status {
            Status::Draft => Err(NotOpen::Draft),
            Status::Cancelled => Err(NotOpen::Cancelled),
            _ => Ok(()),
        }
    }

    fn credited_lines(&self) -> Vec<Credited> {
        let mut lines = self.credited.clone();
        lines.resize(self.lines.len(), Credited::default());
        lines
    }

    /// What one line of a note credits, which is added to what was credited.
    fn credit_line(&self, credited: &mut [Credited], new: &NewCreditLine, field: &str) -> kernel::Result<Line> {
        let line = self.lines.get(new.line_index).zip(credited.get_mut(new.line_index));
        let Some((line, credited)) = line else {
            return Err(Error::invalid(
                format!("{field}.lineIndex"),
                "is no line of the invoice",
            ));
        };
        let sign = |amount: Minor| if line.amount < Minor::ZERO { -amount } else { amount };
        let left = sign(line.amount - credited.amount);
        let (name, quantity, amount) = match (&new.quantity, new.amount) {
            (Some(given), _) => {
                let name = format!("{field}.quantity");
                let quantity = count(&name, given, line.quantity.above(credited.quantity))?;
                // Of all that were credited, less those before: so parts sum to the line.
                let until = |quantity: Quantity| line.share(quantity);
                let all = credited.quantity.plus(quantity);
                let amount = sign(until(all) - until(credited.quantity));
                (name, quantity, amount)
            }
            (None, Some(amount)) => (format!("{field}.amount"), Quantity::ZERO, amount),
            (None, None) => (field.to_owned(), Quantity::ZERO, left),
        };
        if amount <= Minor::ZERO {
            return Err(Error::invalid(name, "must come to more than 0"));
        }
        if amount > left {
            return Err(Error::invalid(name, "is more than is left of the line"));
        }
        credited.quantity = credited.quantity.plus(quantity);
        credited.amount += sign(amount);
        Ok(Line {
            amount: sign(amount),
            quantity: if quantity.is_zero() {
                Quantity::whole(1)
            } else {
                quantity
            },
            unit_price: line.unit_price.filter(|_| !quantity.is_zero()),
            ..line.clone()
        })
    }

    /// What a note comes to: for each rate the tax on all that was credited, less what was credited before.
    fn credited_totals(&self, before: &[Credited], after: &[Credited]) -> kernel::Result<Totals> {
        let (before, after) = (self.bases(before), self.bases(after));
        let mut taxes = Vec::new();
        for (rate, base) in after {
            let earlier = before.get(&rate).copied().unwrap_or_default();
            let whole = self.totals.taxes.iter().find(|tax| tax.rate == rate);
            let whole = whole.map_or(Minor::ZERO, |tax| tax.base);
            // Discounts lower what is left of the lines that they are on.
            if base < Minor::ZERO || base > whole {
                return Err(Error::invalid("lines", "come to more than is left of the invoice"));
            }
            if base != earlier {
                taxes.push(Tax {
                    rate,
                    base: base - earlier,
                    amount: rate.of(base) - rate.of(earlier),
                });
            }
        }
        let totals = Totals::sum(taxes).map_err(|problem| Error::invalid("lines", problem.to_string()))?;
        if totals.total <= Minor::ZERO {
            return Err(Error::invalid("lines", "must come to more than 0"));
        }
        Ok(totals)
    }

    fn bases(&self, credited: &[Credited]) -> BTreeMap<Rate, Minor> {
        let mut bases = BTreeMap::new();
        for (line, credited) in self.lines.iter().zip(credited) {
            *bases.entry(line.tax_rate).or_default() += credited.amount;
        }
        bases
    }
}

/// Reads how many, of so many that are left.
fn count(field: &str, given: &Given, left: Quantity) -> kernel::Result<Quantity> {
    let mut check = Check::default();
    let quantity: Option<Quantity> = number(&mut check, field, given);
    check.done()?;
    match quantity {
        Some(quantity) if quantity <= left => Ok(quantity),
        _ => Err(Error::invalid(field, "is more than is left of the line")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coupon::tests::discount;
    use crate::invoice::PaidBy;
    use crate::invoice::tests::{NOW, draft_of, sent};
    use crate::numbering::Series;

    fn note(invoice: &mut Invoice, lines: &str) -> kernel::Result<CreditNote> {
        let new: NewCreditNote = serde_json::from_str(&format!(r#"{{"lines":{lines},"reason":"x"}}"#)).unwrap();
        let number = DocumentNumber::new(Series::CreditNotes, 2027, 1);
        invoice.credit(NOW, &Zone::utc(), number, &new)
    }

    fn totals(note: &CreditNote) -> (i64, i64, i64) {
        let totals = &note.totals;
        (totals.subtotal.get(), totals.tax_amount.get(), totals.total.get())
    }

    /// S1.
    #[test]
    fn a_full_credit_note_is_its_invoice() {
        let mut invoice = sent(vec![Line::of_amount(761_250, "19")]);
        let note = note(&mut invoice, r#"[{"lineIndex":0}]"#).unwrap();
        assert_eq!(totals(&note), (761_250, 144_638, 905_888));
        assert_eq!((invoice.status, invoice.amount_due()), (Status::Paid, Minor::ZERO));
    }

    /// S3.
    #[test]
    fn credit_notes_in_parts_sum_to_the_invoice() {
        let lines = [6_833, 6_833, 5_750, 8_500];
        let mut invoice = sent(lines.map(|amount| Line::of_amount(amount, "20")).to_vec());
        assert_eq!(invoice.totals.total.get(), 33_499);
        let found = [0, 2, 3, 1].map(|line| {
            let note = note(&mut invoice, &format!(r#"[{{"lineIndex":{line}}}]"#)).unwrap();
            note.totals.total.get()
        });
        assert_eq!(found, [8_200, 6_900, 10_200, 8_199]);
        assert_eq!(invoice.amount_credited.get(), 33_499);
        assert!(note(&mut invoice, r#"[{"lineIndex":0}]"#).is_err());
    }

    /// S2.
    #[test]
    fn a_credit_note_leaves_the_tax_of_what_is_left() {
        let mut invoice = sent(vec![Line::of_amount(59_889, "8.5"), Line::of_amount(32_984, "8.5")]);
        let lines = r#"[{"lineIndex":0,"amount":5989},{"lineIndex":1,"amount":3298}]"#;
        let note = note(&mut invoice, lines).unwrap();
        assert_eq!(totals(&note).0, 9_287);
        // 8.5 % of 83,586 rounded once is 7,105; of what was credited by itself as well as of what is left.
        assert_eq!(invoice.totals.tax_amount.get() - totals(&note).1, 7_105);
    }

    #[test]
    fn what_is_due_is_lowered_first() {
        let mut invoice = sent(vec![Line::of_amount(10_000, "0")]);
        invoice.pay(NOW, Minor::new(4_000), PaidBy::Provider).unwrap();
        let first = note(&mut invoice, r#"[{"lineIndex":0,"amount":7000}]"#).unwrap();
        assert_eq!((first.lowered_due.get(), first.rest().get()), (6_000, 1_000));
        assert_eq!((invoice.status, invoice.amount_due()), (Status::Paid, Minor::ZERO));
        let second = note(&mut invoice, r#"[{"lineIndex":0}]"#).unwrap();
        assert_eq!((second.lowered_due.get(), second.rest().get()), (0, 3_000));
        // The provider takes back what it had paid: that is due, and the client keeps what it was credited.
        invoice.lose_dispute(NOW, Minor::new(4_000));
        assert_eq!(invoice.amount_due().get(), 4_000);
    }

    #[test]
    fn a_discount_is_not_credited_twice() {
        let mut draft = draft_of(vec![Line::of_amount(1_000, "19")]);
        let content = crate::invoice::Content {
            currency: draft.currency,
            items: draft.lines.clone(),
            discount: Some(discount(r#"{"code":"A","percentOff":10,"duration":"once"}"#)),
            exempt: draft.exempt,
            issued_on: None,
            due_date: draft.due_date,
            notes: None,
            zone: Zone::utc(),
        };
        draft.change(content).unwrap();
        let number = DocumentNumber::new(Series::Invoices, 2027, 1);
        draft.send(NOW, &Zone::utc(), number, Minor::ZERO).unwrap();
        let before = draft.clone();
        for too_much in [r#"[{"lineIndex":0}]"#, r#"[{"lineIndex":1}]"#] {
            assert!(matches!(note(&mut draft, too_much), Err(Error::Invalid(_))));
            assert_eq!(draft, before);
        }
        let whole = note(&mut draft, r#"[{"lineIndex":0},{"lineIndex":1}]"#).unwrap();
        assert_eq!(totals(&whole), (900, 171, 1_071));
    }

    #[test]
    fn what_is_too_much_or_nothing_is_refused_by_field() {
        let mut line = Line::of_amount(1_000, "19");
        line.quantity = Quantity::whole(3);
        let mut invoice = sent(vec![line]);
        for (lines, field) in [
            (r#"[{"lineIndex":1}]"#, "lines[0].lineIndex"),
            (r#"[{"lineIndex":0},{"lineIndex":0}]"#, "lines[1].lineIndex"),
            (r#"[{"lineIndex":0,"amount":1001}]"#, "lines[0].amount"),
            (r#"[{"lineIndex":0,"amount":0}]"#, "lines[0].amount"),
            (r#"[{"lineIndex":0,"amount":-5}]"#, "lines[0].amount"),
            (r#"[{"lineIndex":0,"quantity":"3.1"}]"#, "lines[0].quantity"),
            (r#"[{"lineIndex":0,"quantity":0}]"#, "lines[0].quantity"),
            (r#"[{"lineIndex":0,"quantity":1,"amount":1}]"#, "lines[0]"),
            ("[]", "lines"),
        ] {
            let Err(Error::Invalid(problems)) = note(&mut invoice, lines) else {
                panic!("{lines} is taken")
            };
            assert_eq!(problems[0].field, field, "{lines}");
        }
        let third = |invoice: &mut Invoice| {
            note(invoice, r#"[{"lineIndex":0,"quantity":1}]"#)
                .unwrap()
                .totals
                .subtotal
                .get()
        };
        assert_eq!(
            [third(&mut invoice), third(&mut invoice), third(&mut invoice)],
            [333, 334, 333]
        );
        assert!(matches!(
            note(&mut draft_of(vec![Line::of_amount(1, "0")]), r#"[{"lineIndex":0}]"#),
            Err(Error::Refused {
                code: "invoice_not_sent",
                ..
            })
        ));
    }

    proptest! {
        /// In whatever parts and order: never more than the invoice, and all of it comes to all of it.
        #[test]
        fn parts_never_come_to_more_than_the_whole(
            lines in prop::collection::vec((1_i64..50_000, 0_usize..3), 1..6),
            parts in prop::collection::vec((0_usize..6, 1_i64..60_000), 0..12),
        ) {
            let rates = ["7", "19", "8.5"];
            let mut invoice = sent(lines.iter().map(|(amount, rate)| Line::of_amount(*amount, rates[*rate])).collect());
            let (mut sum, mut tax) = (Minor::ZERO, Minor::ZERO);
            for (line, amount) in parts {
                if let Ok(note) = note(&mut invoice, &format!(r#"[{{"lineIndex":{line},"amount":{amount}}}]"#)) {
                    prop_assert!(note.totals.tax_amount >= Minor::ZERO);
                    sum += note.totals.total;
                    tax += note.totals.tax_amount;
                    prop_assert!(sum <= invoice.totals.total);
                    prop_assert_eq!(invoice.amount_due(), invoice.totals.total - sum);
                }
            }
            for line in 0..lines.len() {
                if let Ok(note) = note(&mut invoice, &format!(r#"[{{"lineIndex":{line}}}]"#)) {
                    sum += note.totals.total;
                    tax += note.totals.tax_amount;
                }
            }
            prop_assert_eq!(sum, invoice.totals.total);
            prop_assert_eq!(tax, invoice.totals.tax_amount);
        }
    }
}
