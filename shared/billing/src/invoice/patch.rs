//! Changes of a draft: what a request says, and what the draft is made of then. What is absent stays as it was given.

use kernel::{Check, ClientId, Day, Error, Input, Zone};
use serde::Deserialize;

use super::draft::GivenRates;
use super::{Content, Invoice};
use crate::coupon::currency;
use crate::line::{self, Line, LineKind, NewLine};
use crate::number::{Given, Rate};
use crate::price::number;
use crate::tax::{TaxExempt, Taxation, Totals};

/// What changes a draft; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvoicePatch {
    /// Who owes it.
    #[serde(default, deserialize_with = "kernel::check::given")]
    #[schema(nullable = false)]
    pub client_id: Option<ClientId>,
    /// 1 to 500 lines instead of those that it has.
    #[serde(default, deserialize_with = "kernel::check::given")]
    #[schema(nullable = false)]
    pub line_items: Option<Vec<NewLine>>,
    /// In percent; null: the client's, else the organization's.
    #[serde(default, deserialize_with = "kernel::check::given")]
    pub tax_rate: Option<Option<Given>>,
    /// Of ISO 4217.
    #[serde(default, deserialize_with = "kernel::check::given")]
    #[schema(nullable = false, example = "EUR")]
    pub currency: Option<String>,
    /// The last day on which it is not overdue; a time behind it is cut off.
    #[serde(default, deserialize_with = "kernel::check::given")]
    #[schema(nullable = false, example = "2027-01-14")]
    pub due_date: Option<String>,
    /// What its client should read, too.
    #[serde(default, deserialize_with = "kernel::check::given")]
    pub notes: Option<Option<String>>,
    /// A coupon that takes something off, instead of the one that it has; null for none.
    #[serde(default, deserialize_with = "kernel::check::given")]
    pub coupon_code: Option<Option<String>>,
}

impl Input for InvoicePatch {
    fn check(&self, check: &mut Check) {
        if let Some(Some(given)) = &self.tax_rate {
            let _: Option<Rate> = number(check, "taxRate", given);
        }
        if let Some(lines) = &self.line_items {
            line::read(check, "lineItems", lines, Taxation::default());
        }
        if let Some(code) = &self.currency {
            currency(check, "currency", code);
        }
        if let Some(Err(problem)) = self.due_date.as_deref().map(Day::cut) {
            check.that(false, "dueDate", problem.to_string());
        }
        if let Some(Some(notes)) = &self.notes {
            check.text("notes", notes, 0..=2_000);
        }
        if let Some(Some(code)) = &self.coupon_code {
            check.text("couponCode", code, 1..=50);
        }
    }
}

impl InvoicePatch {
    /// What a draft is made of with it, and the rates that were given; its discount stays.
    pub(crate) fn content(
        &self,
        draft: &Invoice,
        exempt: TaxExempt,
        [client, org]: [Option<Rate>; 2],
        zone: Zone,
    ) -> kernel::Result<(Content, GivenRates)> {
        let mut check = Check::default();
        self.check(&mut check);
        check.done()?;
        let old = draft.given_rates();
        let document = match &self.tax_rate {
            None => old.document,
            Some(given) => given.as_ref().and_then(|given| given.try_into().ok()),
        };
        let taxation = Taxation::of(exempt, [document, client, org]);
        let (items, lines) = match &self.line_items {
            Some(lines) => {
                let items = line::read(&mut Check::default(), "lineItems", lines, taxation);
                (items, GivenRates::of_lines(lines))
            }
            None => (draft.items(&old, taxation), old.lines),
        };
        Totals::of(&items).map_err(|problem| Error::invalid("lineItems", problem.to_string()))?;
        let currency = match &self.currency {
            Some(code) => code.parse().map_err(|_| Error::invalid("currency", "is no currency"))?,
            None => draft.currency,
        };
        let due_date = match &self.due_date {
            Some(text) => Day::cut(text).map_err(|problem| Error::invalid("dueDate", problem.to_string()))?,
            None => draft.due_date,
        };
        let content = Content {
            currency,
            items,
            discount: draft.discount.clone(),
            exempt,
            issued_on: draft.issued_on,
            due_date,
            notes: self.notes.clone().unwrap_or_else(|| draft.notes.clone()),
            zone,
        };
        Ok((content, GivenRates { document, lines }))
    }
}

impl Invoice {
    /// The lines of a draft without its discount, taxed anew.
    fn items(&self, rates: &GivenRates, taxation: Taxation) -> Vec<Line> {
        let items = self.lines.iter().filter(|line| line.kind != LineKind::Discount);
        let with_rates = items.zip(rates.lines.iter().copied().chain(std::iter::repeat(None)));
        let taxed = with_rates.map(|(line, given)| Line {
            tax_rate: taxation.rate(given),
            ..line.clone()
        });
        taxed.collect()
    }

    /// The rates that were given for it; those of its lines if nobody gave any.
    fn given_rates(&self) -> GivenRates {
        let of_lines = || GivenRates {
            document: None,
            lines: self.lines.iter().map(|line| Some(line.tax_rate)).collect(),
        };
        self.rates.clone().unwrap_or_else(of_lines)
    }
}

#[cfg(test)]
mod tests {
    use kernel::{ClientId, OrgId};

    use super::*;
    use crate::invoice::tests::NOW;
    use crate::invoice::{NewInvoice, Source};

    const RATES: [Option<Rate>; 2] = [None, None];

    fn draft() -> Invoice {
        let client = ClientId::from_bits(1);
        let json = format!(
            r#"{{"clientId":"{client}","currency":"EUR","dueDate":"2027-01-14","taxRate":19,"notes":"n","lineItems":[
            {{"description":"a","quantity":1,"unitPrice":1000}},
            {{"description":"b","quantity":2,"unitPrice":500,"taxRate":7}}]}}"#
        );
        let new: NewInvoice = serde_json::from_str(&json).unwrap();
        let content = new.content(TaxExempt::None, RATES, Zone::utc()).unwrap();
        let mut draft = Invoice::draft(NOW, OrgId::from_bits(1), client, Source::Person, content).unwrap();
        draft.rates = Some(new.rates());
        draft
    }

    /// The tax that a patch of the draft leaves, by line, and the rest that it has.
    fn patched(json: &str, exempt: TaxExempt) -> kernel::Result<(Vec<String>, Content)> {
        let patch: InvoicePatch = serde_json::from_str(json).unwrap();
        let (content, _) = patch.content(&draft(), exempt, RATES, Zone::utc())?;
        let rates = content.items.iter().map(|line| line.tax_rate.to_string());
        Ok((rates.collect(), content))
    }

    #[test]
    fn what_is_absent_stays() {
        let (rates, content) = patched("{}", TaxExempt::None).unwrap();
        assert_eq!(rates, ["19", "7"]);
        assert_eq!((content.notes.as_deref(), content.currency.code()), (Some("n"), "EUR"));
        let (rates, content) = patched(
            r#"{"taxRate":"20","notes":null,"dueDate":"2027-02-01"}"#,
            TaxExempt::None,
        )
        .unwrap();
        assert_eq!(rates, ["20", "7"]);
        assert_eq!(
            (content.notes, content.due_date.to_string().as_str()),
            (None, "2027-02-01")
        );
        assert_eq!(patched(r#"{"taxRate":null}"#, TaxExempt::None).unwrap().0, ["0", "7"]);
        let one = r#"{"lineItems":[{"description":"c","quantity":1,"unitPrice":1}]}"#;
        assert_eq!(patched(one, TaxExempt::None).unwrap().0, ["19"]);
        assert_eq!(patched("{}", TaxExempt::Exempt).unwrap().0, ["0", "0"]);
    }

    #[test]
    fn every_broken_rule_is_named() {
        let error = patched(
            r#"{"taxRate":101,"currency":"EURO","dueDate":"x","couponCode":"","lineItems":[]}"#,
            TaxExempt::None,
        );
        let Err(Error::Invalid(problems)) = error else {
            panic!("taken")
        };
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["taxRate", "lineItems", "currency", "dueDate", "couponCode"]);
        for null in ["clientId", "lineItems", "currency", "dueDate"] {
            let json = format!(r#"{{"{null}":null}}"#);
            assert!(serde_json::from_str::<InvoicePatch>(&json).is_err(), "{null}");
        }
    }
}
