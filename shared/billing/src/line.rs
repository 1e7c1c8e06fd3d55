//! Lines of a document: what each is for, and what it comes to. Rounded once, each.

use kernel::{Check, Minor};
use serde::{Deserialize, Serialize};

use crate::number::{Fraction, Given, Quantity, Rate, UnitPrice};
use crate::price::number;
use crate::schedule::Period;
use crate::tax::Taxation;

/// A document has at most so many.
pub const MOST_LINES: usize = 500;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// What a person wrote.
    Item,
    /// A flat price of a plan.
    Flat,
    /// Usage of a period that is over.
    Usage,
    /// Usage that became known after its period was billed.
    Correction,
    /// The rest of a period, taken back or added by a change.
    Proration,
    /// A discount.
    Discount,
}

/// A line of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What it is.
    pub kind: LineKind,
    /// What it is for.
    pub description: String,
    /// How many.
    pub quantity: Quantity,
    /// What one costs; nothing where that is not one number, as with tiers or a part of a period.
    pub unit_price: Option<UnitPrice>,
    /// What it comes to, net of tax.
    pub amount: Minor,
    /// The rate that it is taxed at.
    pub tax_rate: Rate,
    /// The days that it is for, which its description does not repeat.
    pub period: Option<Period>,
}

impl Line {
    /// What so many of its quantity come to.
    pub(crate) fn share(&self, quantity: Quantity) -> Minor {
        let (part, whole) = (quantity.fraction(), self.quantity.fraction());
        if whole.digits == 0 {
            return Minor::ZERO;
        }
        // An amount of 15 digits and two quantities of 18: (amount × part / 10^a) / (whole / 10^b), both brought to the
        // larger number of places first.
        let places = part.places.max(whole.places);
        let widened = |one: Fraction| one.digits * 10_i128.pow(places - one.places);
        let amount = i128::from(self.amount.get()) * widened(part);
        Minor::nearest(amount, widened(whole)).unwrap_or(self.amount)
    }
}

/// A line, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = LineInput)]
pub struct NewLine {
    /// What it is for.
    #[schema(example = "Consulting")]
    pub description: String,
    /// How many: above zero, at most six decimal places.
    pub quantity: Given,
    /// Minor units for each: at most twelve decimal places.
    pub unit_price: Given,
    /// In percent: at most four decimal places. The invoice's if it is not given.
    pub tax_rate: Option<Given>,
}

impl NewLine {
    /// Reads it, and notes every rule that it breaks under `field`.
    pub fn read(&self, check: &mut Check, field: &str, taxation: Taxation) -> Option<Line> {
        check.text(&format!("{field}.description"), &self.description, 1..=500);
        let name = format!("{field}.quantity");
        let quantity: Option<Quantity> = number(check, &name, &self.quantity);
        if let Some(quantity) = quantity {
            check.that(!quantity.is_zero(), &name, "must be above 0");
        }
        let unit_price: Option<UnitPrice> = number(check, &format!("{field}.unitPrice"), &self.unit_price);
        let tax_rate = self.tax_rate.as_ref();
        let tax_rate = tax_rate.map(|given| number(check, &format!("{field}.taxRate"), given));
        // A rate that was given and cannot be read is none that may be left out.
        let tax_rate = tax_rate.map_or(Some(None), |read| read.map(Some))?;
        let (quantity, unit_price) = (quantity?, unit_price?);
        let amount = quantity.cost(unit_price);
        check.that(amount.is_ok(), field, "must come to less than 10^15 minor units");
        Some(Line {
            kind: LineKind::Item,
            description: self.description.clone(),
            quantity,
            unit_price: Some(unit_price),
            amount: amount.ok()?,
            tax_rate: taxation.rate(tax_rate),
            period: None,
        })
    }
}

/// Reads all lines of a document, and notes every rule that they break.
pub fn read(check: &mut Check, field: &str, lines: &[NewLine], taxation: Taxation) -> Vec<Line> {
    let within = (1..=MOST_LINES).contains(&lines.len());
    check.that(within, field, format!("must have 1 to {MOST_LINES} lines"));
    let some = lines.iter().take(MOST_LINES).enumerate();
    some.filter_map(|(place, line)| line.read(check, &format!("{field}[{place}]"), taxation))
        .collect()
}

#[cfg(test)]
impl Line {
    /// A line of an amount.
    pub(crate) fn of_amount(amount: i64, rate: &str) -> Self {
        Self {
            kind: LineKind::Item,
            description: "Work".to_owned(),
            quantity: Quantity::whole(1),
            unit_price: None,
            amount: Minor::new(amount),
            tax_rate: rate.parse().unwrap(),
            period: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Error, Result};
    use proptest::prelude::*;

    use super::*;

    fn read_all(json: &str) -> Result<Vec<Line>> {
        let lines: Vec<NewLine> = serde_json::from_str(json).unwrap();
        let mut check = Check::default();
        let lines = read(&mut check, "lineItems", &lines, Taxation::default());
        check.done().map(|()| lines)
    }

    #[test]
    fn a_line_is_rounded_once() {
        let lines = read_all(
            r#"[{"description":"a","quantity":0.5,"unitPrice":"0.999999999999"},
                {"description":"b","quantity":"2.5","unitPrice":33,"taxRate":"8.5"}]"#,
        )
        .unwrap();
        let amounts: Vec<i64> = lines.iter().map(|line| line.amount.get()).collect();
        assert_eq!(amounts, [0, 83]);
        assert_eq!(lines[1].tax_rate.to_string(), "8.5");
    }

    #[test]
    fn every_broken_rule_is_named_with_its_field() {
        let error = read_all(
            r#"[{"description":"a","quantity":0,"unitPrice":-1,"taxRate":100.5},
                {"description":" ","quantity":"x","unitPrice":1},
                {"description":"c","quantity":999999999999,"unitPrice":999999999999999}]"#,
        );
        let Err(Error::Invalid(problems)) = error else {
            panic!("taken")
        };
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "lineItems[0].quantity",
                "lineItems[0].unitPrice",
                "lineItems[0].taxRate",
                "lineItems[1].description",
                "lineItems[1].quantity",
                "lineItems[2]",
            ]
        );
        assert!(read_all("[]").is_err());
        let line = r#"{"description":"a","quantity":1,"unitPrice":1}"#;
        assert!(read_all(&format!("[{}]", vec![line; MOST_LINES].join(","))).is_ok());
        assert!(read_all(&format!("[{}]", vec![line; MOST_LINES + 1].join(","))).is_err());
    }

    proptest! {
        #[test]
        fn an_amount_is_nearest_to_its_product(quantity in 1_i64..1_000_000_000, price in 0_i64..1_000_000_000) {
            // Thousandths times thousandths.
            let json = format!(
                r#"[{{"description":"a","quantity":{}.{:03},"unitPrice":"{}.{:03}"}}]"#,
                quantity / 1_000, quantity % 1_000, price / 1_000, price % 1_000
            );
            let amount = i128::from(read_all(&json).unwrap()[0].amount.get());
            let off = amount * 1_000_000 - i128::from(quantity) * i128::from(price);
            prop_assert!(off <= 500_000 && off > -500_000);
        }
    }
}
