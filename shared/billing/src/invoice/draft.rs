//! Drafts: what a request says about an invoice, and the one place where its lines and totals are put together.

use kernel::money::TooMuch;
use kernel::{Check, ClientId, Currency, Day, Error, Input, InvoiceId, Minor, OrgId, Time, Zone};
use serde::{Deserialize, Serialize};

use super::{CannotChange, Chased, Invoice, Paid, Source, Status};
use crate::coupon::{Discount, currency};
use crate::line::{self, Line, NewLine};
use crate::number::{Given, Rate};
use crate::price::{amount, number};
use crate::tax::{TaxExempt, Taxation, Totals};

/// What an invoice is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// What its amounts are.
    pub currency: Currency,
    /// Its lines, without discounts.
    pub items: Vec<Line>,
    /// A discount on them.
    pub discount: Option<Discount>,
    /// Whether the client is taxed.
    pub exempt: TaxExempt,
    /// The day that it is dated, if that is not the day it is sent.
    pub issued_on: Option<Day>,
    /// The last day on which it is not overdue.
    pub due_date: Day,
    /// What a person added.
    pub notes: Option<String>,
    /// Where its days begin.
    pub zone: Zone,
}

impl Content {
    /// Its lines with those of the discount, and what they come to. Everything that shows or books it asks this.
    pub fn computed(&self) -> Result<(Vec<Line>, Totals), TooMuch> {
        let mut lines = self.items.clone();
        lines.extend(self.discount.iter().flat_map(|discount| discount.lines(&self.items)));
        let totals = Totals::of(&lines)?;
        Ok((lines, totals))
    }
}

/// The tax rates that a request gave, for a change that says none: those of client and organization may be others then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GivenRates {
    /// The document's.
    pub(crate) document: Option<Rate>,
    /// Those of its lines.
    pub(crate) lines: Vec<Option<Rate>>,
}

impl GivenRates {
    /// Those of a request that was read, and so can be.
    pub(crate) fn of(document: Option<&Given>, lines: &[NewLine]) -> Self {
        Self {
            document: document.and_then(|given| given.try_into().ok()),
            lines: Self::of_lines(lines),
        }
    }

    pub(crate) fn of_lines(lines: &[NewLine]) -> Vec<Option<Rate>> {
        let rate = |line: &NewLine| line.tax_rate.as_ref().and_then(|given| given.try_into().ok());
        lines.iter().map(rate).collect()
    }
}

/// An invoice, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewInvoice {
    /// Who owes it.
    pub client_id: ClientId,
    /// 1 to 500 lines.
    pub line_items: Vec<NewLine>,
    /// In percent: at most four decimal places. The client's if it is not given, then the organization's.
    pub tax_rate: Option<Given>,
    /// Of ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// The last day on which it is not overdue; a time behind it is cut off.
    #[schema(example = "2027-01-14")]
    pub due_date: String,
    /// What its client should read, too.
    pub notes: Option<String>,
    /// A coupon that takes something off.
    pub coupon_code: Option<String>,
}

impl Input for NewInvoice {
    fn check(&self, check: &mut Check) {
        self.parts(check, TaxExempt::None, [None; 2]);
    }
}

impl NewInvoice {
    /// Reads what it says, with the rates of client and organization for lines that say none; the discount is added by
    /// whoever redeems its coupon.
    pub fn content(&self, exempt: TaxExempt, rates: [Option<Rate>; 2], zone: Zone) -> kernel::Result<Content> {
        let mut check = Check::default();
        let parts = self.parts(&mut check, exempt, rates);
        check.done()?;
        let (currency, items, due_date) = parts.ok_or_else(|| Error::invalid("lineItems", "cannot be read"))?;
        Ok(Content {
            currency,
            items,
            discount: None,
            exempt,
            issued_on: None,
            due_date,
            notes: self.notes.clone(),
            zone,
        })
    }

    /// The tax rates that it gives.
    pub(crate) fn rates(&self) -> GivenRates {
        GivenRates::of(self.tax_rate.as_ref(), &self.line_items)
    }

    fn parts(
        &self,
        check: &mut Check,
        exempt: TaxExempt,
        [client, org]: [Option<Rate>; 2],
    ) -> Option<(Currency, Vec<Line>, Day)> {
        let given = self.tax_rate.as_ref();
        let rate: Option<Rate> = given.and_then(|given| number(check, "taxRate", given));
        let lines = line::read(
            check,
            "lineItems",
            &self.line_items,
            Taxation::of(exempt, [rate, client, org]),
        );
        let sums = Totals::of(&lines).is_ok();
        check.that(sums, "lineItems", "must come to less than 10^15 minor units");
        let currency = currency(check, "currency", &self.currency);
        let due_date = Day::cut(&self.due_date);
        if let Err(problem) = due_date {
            check.that(false, "dueDate", problem.to_string());
        }
        if let Some(notes) = &self.notes {
            check.text("notes", notes, 0..=2_000);
        }
        if let Some(code) = &self.coupon_code {
            check.text("couponCode", code, 1..=50);
        }
        Some((currency?, lines, due_date.ok()?))
    }
}

/// Money that came from outside, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPayment {
    /// Minor units, above zero.
    #[schema(value_type = i64)]
    pub amount: Minor,
    /// How it came.
    pub method: Method,
    /// When it came.
    pub paid_at: Time,
    /// What it can be found by.
    pub reference: Option<String>,
    /// Whether it may be more than is due; the rest is the client's balance then.
    #[serde(default)]
    pub allow_overpayment: bool,
}

/// How money came from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PaymentMethod)]
pub enum Method {
    /// By a bank.
    BankTransfer,
    /// In coins and notes.
    Cash,
    /// By a check.
    Check,
    /// Otherwise.
    Other,
}

impl Input for NewPayment {
    fn check(&self, check: &mut Check) {
        amount(check, "amount", self.amount);
        check.that(self.amount != Minor::ZERO, "amount", "must be above 0");
        if let Some(reference) = &self.reference {
            check.text("reference", reference, 1..=200);
        }
    }
}

impl Invoice {
    /// Makes a draft.
    pub fn draft(now: Time, org: OrgId, client: ClientId, source: Source, content: Content) -> Result<Self, TooMuch> {
        let (lines, totals) = content.computed()?;
        Ok(Self {
            id: InvoiceId::new(now),
            org,
            client,
            status: Status::Draft,
            number: None,
            currency: content.currency,
            lines,
            totals,
            exempt: content.exempt,
            discount: content.discount,
            notes: content.notes,
            issued_on: content.issued_on,
            due_date: content.due_date,
            zone: content.zone,
            source,
            paid: Paid::default(),
            credited: Vec::new(),
            amount_credited: Minor::ZERO,
            credited_due: Minor::ZERO,
            refunded: Minor::ZERO,
            reminders: 0,
            chased: Chased::default(),
            created_at: now,
            sent_at: None,
            viewed_at: None,
            paid_at: None,
            overdue_at: None,
            cancelled_at: None,
            rates: None,
            marked_at: None,
            told: 0,
            link: None,
            version: 0,
        })
    }

    /// Gives a draft another content.
    pub fn change(&mut self, content: Content) -> kernel::Result<()> {
        self.changeable()?;
        let computed = content.computed();
        let too_much = |problem: TooMuch| Error::invalid("lineItems", problem.to_string());
        (self.lines, self.totals) = computed.map_err(too_much)?;
        self.currency = content.currency;
        self.exempt = content.exempt;
        self.discount = content.discount;
        self.notes = content.notes;
        self.issued_on = content.issued_on;
        self.due_date = content.due_date;
        self.zone = content.zone;
        Ok(())
    }

    /// Whether it may be changed or deleted: no number was taken yet.
    pub fn changeable(&self) -> Result<(), CannotChange> {
        match self.status {
            Status::Draft => Ok(()),
            _ => Err(CannotChange::Sent),
        }
    }

    /// Records money that came from outside; what of it goes to the client's balance. `Invalid` for more than is due,
    /// unless that is allowed.
    pub fn record(&mut self, now: Time, payment: &NewPayment) -> kernel::Result<Minor> {
        Check::run(payment)?;
        self.open()?;
        if payment.amount > self.amount_due() && !payment.allow_overpayment {
            return Err(Error::invalid("amount", "is more than is due"));
        }
        Ok(self.pay(now, payment.amount, super::PaidBy::Hand)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coupon::tests::discount;
    use crate::invoice::tests::{NOW, draft_of, sent};

    fn content(json: &str) -> kernel::Result<Content> {
        let new: NewInvoice = serde_json::from_str(json).unwrap();
        new.content(TaxExempt::None, [None, Some("19".parse().unwrap())], Zone::utc())
    }

    fn invoice_json(rest: &str) -> String {
        let client = ClientId::from_bits(1);
        format!(r#"{{"clientId":"{client}",{rest}}}"#)
    }

    #[test]
    fn a_due_date_is_a_date() {
        let json = |due: &str| {
            invoice_json(&format!(
                r#""currency":"EUR","dueDate":"{due}","lineItems":[{{"description":"a","quantity":1,"unitPrice":100}}]"#
            ))
        };
        let day = |due: &str| content(&json(due)).unwrap().due_date.to_string();
        assert_eq!(day("2027-01-14"), "2027-01-14");
        assert_eq!(day("2027-01-14T23:30:00-08:00"), "2027-01-14");
        assert!(content(&json("14.01.2027")).is_err());
    }

    /// S4 and what else a request can break, each with its field.
    #[test]
    fn every_broken_rule_has_its_field() {
        for currency in ["EURO", "eur", "XXX", "XTS"] {
            let json = invoice_json(&format!(
                r#""currency":"{currency}","dueDate":"2027-01-14","lineItems":[{{"description":"a","quantity":1,"unitPrice":1}}]"#
            ));
            let Err(Error::Invalid(problems)) = content(&json) else {
                panic!("{currency} is taken")
            };
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].field, "currency");
        }
        let notes = "x".repeat(2_001);
        let json = invoice_json(&format!(
            r#""currency":"EUR","dueDate":"","taxRate":"100.1","couponCode":"","notes":"{notes}","lineItems":[]"#
        ));
        let Err(Error::Invalid(problems)) = content(&json) else {
            panic!("taken")
        };
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["taxRate", "lineItems", "dueDate", "notes", "couponCode"]);
    }

    #[test]
    fn only_a_draft_is_changed() {
        let json = invoice_json(
            r#""currency":"JPY","dueDate":"2027-02-01","taxRate":"10","lineItems":[{"description":"a","quantity":"1.5","unitPrice":333}]"#,
        );
        let other = content(&json).unwrap();
        let mut invoice = draft_of(vec![Line::of_amount(1, "0")]);
        invoice.change(other.clone()).unwrap();
        assert_eq!(
            (invoice.totals.subtotal.get(), invoice.totals.tax_amount.get()),
            (500, 50)
        );
        let mut sent = sent(vec![Line::of_amount(1, "0")]);
        let before = sent.clone();
        let error = sent.change(other).unwrap_err();
        assert!(matches!(
            error,
            Error::Refused {
                code: "invoice_not_draft",
                ..
            }
        ));
        assert_eq!(sent, before);
    }

    #[test]
    fn more_than_is_due_is_taken_only_if_that_is_meant() {
        let payment = |amount: i64, rest: &str| -> NewPayment {
            let json = format!(r#"{{"amount":{amount},"method":"cash","paidAt":"2027-01-01T00:00:00Z"{rest}}}"#);
            serde_json::from_str(&json).unwrap()
        };
        let mut invoice = sent(vec![Line::of_amount(100, "0")]);
        for wrong in [
            payment(101, ""),
            payment(0, ""),
            payment(-1, ""),
            payment(1, r#","reference":"""#),
        ] {
            assert!(matches!(invoice.record(NOW, &wrong), Err(Error::Invalid(_))));
        }
        let rest = invoice
            .record(NOW, &payment(130, r#","allowOverpayment":true"#))
            .unwrap();
        assert_eq!(
            (rest.get(), invoice.status, invoice.paid.sum().get()),
            (30, Status::Paid, 100)
        );
        let refused = invoice.record(NOW, &payment(1, ""));
        assert!(matches!(
            refused,
            Err(Error::Refused {
                code: "invoice_paid",
                ..
            })
        ));
    }

    proptest! {
        /// The same numbers whoever computes them, in currencies of every exponent.
        #[test]
        fn lines_tax_and_total_agree_in_every_currency(
            lines in prop::collection::vec((1_u32..100_000, 0_i64..10_000_000, 0_usize..4), 1..30),
            code in 0_usize..4,
            percent in 0_u32..=100,
        ) {
            let rates = ["0", "5.5", "7", "25.1234"];
            let items: Vec<String> = lines.iter().map(|(quantity, price, rate)| format!(
                r#"{{"description":"a","quantity":{}.{:02},"unitPrice":"{}.{:03}","taxRate":{}}}"#,
                quantity / 100, quantity % 100, price / 1_000, price % 1_000, rates[*rate]
            )).collect();
            let code = ["JPY", "EUR", "KWD", "CLF"][code];
            let json = invoice_json(&format!(
                r#""currency":"{code}","dueDate":"2027-01-14","lineItems":[{}]"#, items.join(",")
            ));
            let mut content = content(&json).unwrap();
            if percent > 0 {
                content.discount = Some(discount(&format!(r#"{{"code":"A","percentOff":{percent},"duration":"once"}}"#)));
            }
            let (preview, totals) = content.computed().unwrap();
            let invoice = Invoice::draft(NOW, OrgId::from_bits(1), ClientId::from_bits(1), Source::Person, content).unwrap();
            prop_assert_eq!(&invoice.lines, &preview);
            prop_assert_eq!(&invoice.totals, &totals);
            let sum: Minor = invoice.lines.iter().map(|line| line.amount).sum();
            prop_assert_eq!(sum, totals.subtotal);
            prop_assert_eq!(totals.subtotal + totals.tax_amount, totals.total);
            prop_assert!(totals.total >= Minor::ZERO);
            // As a person reads it: as many digits behind the point as the currency has, and the same number.
            let text = kernel::Money::new(totals.total, invoice.currency).plain();
            let places = text.split_once('.').map_or(0, |(_, places)| places.len());
            prop_assert_eq!(places, usize::from(invoice.currency.exponent()));
            prop_assert_eq!(text.replace('.', "").parse::<i64>().unwrap(), totals.total.get());
        }
    }
}
