//! Tax and totals: once for each rate, on the sum of that rate's rounded lines (EN 16931, BR-CO-10 and BR-CO-17). The one
//! computation of what a document comes to, whoever asks: preview, booking, PDF or XML.

use std::collections::BTreeMap;

use kernel::Minor;
use kernel::money::TooMuch;
use serde::{Deserialize, Serialize};

use crate::line::Line;
use crate::number::Rate;

/// Whether a client is taxed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaxExempt {
    /// It is.
    #[default]
    None,
    /// It is not.
    Exempt,
    /// It owes the tax itself.
    ReverseCharge,
}

impl TaxExempt {
    /// What an invoice has to say about it, in English.
    pub fn wording(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Exempt => Some("Exempt from VAT"),
            Self::ReverseCharge => Some("Reverse charge: the recipient is liable for the VAT"),
        }
    }

    /// The rate that is charged where another one would be.
    pub fn charged(self, rate: Rate) -> Rate {
        match self {
            Self::None => rate,
            Self::Exempt | Self::ReverseCharge => Rate::ZERO,
        }
    }
}

/// How the lines of a document are taxed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Taxation {
    /// The rate of lines that do not say another.
    pub rate: Rate,
    /// Whether the client is taxed at all.
    pub exempt: TaxExempt,
}

impl Taxation {
    /// Takes the first rate that is given: the document's, the client's, the organization's; else nothing is charged.
    pub fn of(exempt: TaxExempt, rates: [Option<Rate>; 3]) -> Self {
        Self {
            rate: rates.into_iter().flatten().next().unwrap_or_default(),
            exempt,
        }
    }

    /// The rate of a line.
    pub fn rate(self, given: Option<Rate>) -> Rate {
        self.exempt.charged(given.unwrap_or(self.rate))
    }
}

/// What is taxed at one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    /// The rate.
    pub rate: Rate,
    /// The sum of the lines that have it.
    pub base: Minor,
    /// The tax on it.
    pub amount: Minor,
}

/// What lines come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// The sum of the lines.
    pub subtotal: Minor,
    /// The tax, by rate, ascending.
    pub taxes: Vec<Tax>,
    /// Its sum.
    pub tax_amount: Minor,
    /// Lines and tax.
    pub total: Minor,
}

impl Totals {
    /// Sums lines; `TooMuch` if what they come to reaches the limit of an amount.
    pub fn of(lines: &[Line]) -> Result<Self, TooMuch> {
        let mut bases: BTreeMap<Rate, Minor> = BTreeMap::new();
        for line in lines {
            *bases.entry(line.tax_rate).or_default() += line.amount.within()?;
        }
        let taxes = bases.into_iter().map(|(rate, base)| Tax {
            rate,
            base,
            amount: rate.of(base),
        });
        Self::sum(taxes.collect())
    }

    /// Sums what is taxed already.
    pub(crate) fn sum(taxes: Vec<Tax>) -> Result<Self, TooMuch> {
        let subtotal: Minor = taxes.iter().map(|tax| tax.base).sum();
        let tax_amount: Minor = taxes.iter().map(|tax| tax.amount).sum();
        Ok(Self {
            subtotal: subtotal.within()?,
            taxes,
            tax_amount,
            total: (subtotal + tax_amount).within()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn totals(rate: &str, amounts: &[i64]) -> (i64, i64, i64) {
        let lines: Vec<Line> = amounts.iter().map(|amount| Line::of_amount(*amount, rate)).collect();
        let totals = Totals::of(&lines).unwrap();
        (totals.subtotal.get(), totals.tax_amount.get(), totals.total.get())
    }

    /// S1.
    #[test]
    fn what_is_taken_back_mirrors_what_was_given() {
        assert_eq!(totals("19", &[761_250]), (761_250, 144_638, 905_888));
        assert_eq!(totals("19", &[-761_250]), (-761_250, -144_638, -905_888));
        assert_eq!(totals("19", &[171_050]).1, 32_500);
        assert_eq!(totals("19", &[-171_050]).1, -32_500);
    }

    /// S2.
    #[test]
    fn tax_is_rounded_once_for_each_rate() {
        assert_eq!(totals("25", &[69_622; 3]), (208_866, 52_217, 261_083));
        assert_eq!(
            totals("8.5", &[59_889, 32_984, -5_989, -3_298]),
            (83_586, 7_105, 90_691)
        );
    }

    #[test]
    fn the_nearest_given_rate_counts_unless_the_client_is_exempt() {
        let [line, client, org] = ["7", "19", "20"].map(|rate| rate.parse::<Rate>().unwrap());
        let rate = |exempt, rates, line| Taxation::of(exempt, rates).rate(line).to_string();
        assert_eq!(rate(TaxExempt::None, [None, Some(client), Some(org)], Some(line)), "7");
        assert_eq!(rate(TaxExempt::None, [None, Some(client), Some(org)], None), "19");
        assert_eq!(rate(TaxExempt::None, [None, None, Some(org)], None), "20");
        assert_eq!(rate(TaxExempt::None, [None; 3], None), "0");
        for exempt in [TaxExempt::Exempt, TaxExempt::ReverseCharge] {
            assert_eq!(rate(exempt, [Some(client), None, None], Some(line)), "0");
            assert!(exempt.wording().is_some());
        }
    }

    #[test]
    fn totals_stay_below_the_limit() {
        let most = Minor::LIMIT - 1;
        let lines =
            |amounts: &[i64]| -> Vec<Line> { amounts.iter().map(|amount| Line::of_amount(*amount, "19")).collect() };
        assert_eq!(Totals::of(&lines(&[most])), Err(TooMuch));
        assert_eq!(Totals::of(&lines(&[most, most])), Err(TooMuch));
        assert_eq!(Totals::of(&lines(&[i64::MAX])), Err(TooMuch));
        assert!(Totals::of(&[]).unwrap().taxes.is_empty());
    }

    proptest! {
        #[test]
        fn lines_and_tax_are_the_total(
            lines in prop::collection::vec((-1_000_000_000_i64..1_000_000_000, 0_usize..4), 0..50),
        ) {
            let rates = ["0", "7", "19", "8.5375"];
            let lines: Vec<Line> = lines.into_iter().map(|(amount, rate)| Line::of_amount(amount, rates[rate])).collect();
            let totals = Totals::of(&lines).unwrap();
            let sum: i64 = lines.iter().map(|line| line.amount.get()).sum();
            prop_assert_eq!(totals.subtotal.get(), sum);
            prop_assert_eq!(totals.taxes.iter().map(|tax| tax.base.get()).sum::<i64>(), sum);
            prop_assert_eq!(totals.total, totals.subtotal + totals.taxes.iter().map(|tax| tax.amount).sum());
            // Everything with the other sign comes to everything with the other sign.
            let mirrored: Vec<Line> = lines.into_iter().map(|line| Line { amount: -line.amount, ..line }).collect();
            let mirrored = Totals::of(&mirrored).unwrap();
            prop_assert_eq!(mirrored.total, -totals.total);
            prop_assert_eq!(mirrored.tax_amount, -totals.tax_amount);
        }
    }
}
