//! What EN 16931 calls the parts of a document: the terms that both syntaxes write, so that they cannot differ.
//!
//! Lines are those of the document, one by one, so that their sum (BT-106) is its subtotal; one that takes something off
//! has a negative quantity, for prices are never negative (BR-27). What an organization or a client never said is left out:
//! nothing is made up to please a validator.

use billing::number::Fraction;
use billing::{Line, TaxExempt, Totals, UnitPrice};
use kernel::{Minor, Money};

use crate::document::{Content, Document, Kind, Party};

/// The specification that it follows (BT-24).
pub(crate) const SPECIFICATION: &str = "urn:cen.eu:en16931:2017";
/// The unit of every quantity: one (UN/ECE recommendation 20).
pub(crate) const UNIT: &str = "C62";
/// A scheme of electronic addresses: e-mail.
pub(crate) const EMAIL: &str = "EM";

/// A category of tax (UNCL 5305).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    Standard,
    Zero,
    Exempt,
    ReverseCharge,
    Outside,
}

impl Category {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Standard => "S",
            Self::Zero => "Z",
            Self::Exempt => "E",
            Self::ReverseCharge => "AE",
            Self::Outside => "O",
        }
    }

    /// Why nothing is charged (BT-121), where there is a code for it.
    pub(crate) const fn reason_code(self) -> Option<&'static str> {
        match self {
            Self::ReverseCharge => Some("VATEX-EU-AE"),
            Self::Outside => Some("VATEX-EU-O"),
            Self::Standard | Self::Zero | Self::Exempt => None,
        }
    }
}

/// A document that is about lines.
pub(crate) struct Terms<'a> {
    pub(crate) document: &'a Document,
    pub(crate) number: String,
    pub(crate) lines: &'a [Line],
    pub(crate) totals: &'a Totals,
    pub(crate) prepaid: Minor,
    pub(crate) due: Minor,
    /// Neither is the seller taxed nor is anything here.
    is_outside: bool,
}

/// What one of a line costs, for how many; and how many there are.
pub(crate) struct Price {
    pub(crate) amount: String,
    pub(crate) base: Option<String>,
    pub(crate) quantity: String,
}

impl<'a> Terms<'a> {
    /// Those of a document; none of what has no number, or no lines.
    pub(crate) fn of(document: &'a Document) -> Option<Self> {
        let Content::Lines {
            lines,
            totals,
            prepaid,
            due,
        } = &document.content
        else {
            return None;
        };
        let is_untaxed = totals.taxes.iter().all(|tax| tax.rate.is_zero());
        Some(Self {
            document,
            number: document.number?.to_string(),
            lines,
            totals,
            prepaid: *prepaid,
            due: *due,
            is_outside: document.exempt == TaxExempt::None && document.seller.tax_id.is_none() && is_untaxed,
        })
    }

    /// 380 or 381 (UNTDID 1001).
    pub(crate) const fn type_code(&self) -> &'static str {
        match self.document.kind {
            Kind::CreditNote => "381",
            Kind::Invoice | Kind::Statement => "380",
        }
    }

    /// An amount, as EN 16931 writes it.
    pub(crate) fn amount(&self, minor: Minor) -> String {
        Money::new(minor, self.document.currency).plain()
    }

    /// The category of what is taxed at a rate.
    pub(crate) fn category(&self, rate: billing::Rate) -> Category {
        if !rate.is_zero() {
            return Category::Standard;
        }
        match self.document.exempt {
            TaxExempt::Exempt => Category::Exempt,
            TaxExempt::ReverseCharge => Category::ReverseCharge,
            TaxExempt::None if self.is_outside => Category::Outside,
            TaxExempt::None => Category::Zero,
        }
    }

    /// Why nothing is charged (BT-120), in the language of the document.
    pub(crate) fn reason(&self, category: Category) -> Option<&'static str> {
        let words = self.document.locale.words();
        match category {
            Category::Exempt => Some(words.exempt),
            Category::ReverseCharge => Some(words.reverse_charge),
            Category::Outside => Some("Not subject to VAT"),
            Category::Standard | Category::Zero => None,
        }
    }

    /// The rate that is said of a category; outside of tax there is none.
    pub(crate) fn rate(category: Category, rate: billing::Rate) -> Option<String> {
        (category != Category::Outside).then(|| rate.to_string())
    }

    /// When it is to be paid (BT-20), where no day says so: BR-CO-25 wants one of them.
    pub(crate) fn payment_terms(&self) -> Option<&'static str> {
        let is_open = self.document.due_date.is_none() && self.due > Minor::ZERO;
        is_open.then(|| self.document.locale.words().credited)
    }

    /// What a line costs. Where its amount is no product of a price, it is the price of all of them.
    pub(crate) fn price(&self, line: &Line) -> Price {
        let is_taken = line.amount < Minor::ZERO;
        let signed = |quantity: String| if is_taken { format!("-{quantity}") } else { quantity };
        let size = if is_taken { -line.amount } else { line.amount };
        let product = |price: UnitPrice| line.quantity.cost(price).is_ok_and(|amount| amount == size);
        let quantity = plain(line.quantity.fraction());
        if let Some(price) = line.unit_price.filter(|price| product(*price)) {
            let mut price = price.fraction();
            price.places += u32::from(self.document.currency.exponent());
            return Price {
                amount: plain(price),
                base: None,
                quantity: signed(quantity),
            };
        }
        let one = "1".to_owned();
        let (quantity, base) = if line.quantity.is_zero() {
            (one, None)
        } else {
            (quantity.clone(), Some(quantity))
        };
        Price {
            amount: self.amount(size),
            base: base.filter(|base| base != "1"),
            quantity: signed(quantity),
        }
    }

    /// The number of a party as one of VAT (BT-31, BT-48); else it is one of another register.
    pub(crate) fn vat_id(party: &Party) -> Option<&str> {
        let id = party.tax_id.as_deref()?;
        let prefix = id.get(..2)?;
        let country = party.address.as_ref().map(|address| address.country.as_str());
        // Greece and Northern Ireland have prefixes of their own.
        let fits = match country {
            Some("GR") => prefix == "EL",
            Some("GB") => matches!(prefix, "GB" | "XI"),
            Some(country) => prefix == country,
            None => prefix.chars().all(|c| c.is_ascii_uppercase()),
        };
        fits.then_some(id)
    }

    /// The number of the buyer for VAT; where nothing is subject to it none is said (BR-O-02).
    pub(crate) fn buyer_vat_id(&self) -> Option<&str> {
        Self::vat_id(&self.document.buyer).filter(|_| !self.is_outside)
    }
}

/// A number without grouping.
fn plain(fraction: Fraction) -> String {
    let Fraction { mut digits, mut places } = fraction;
    while places > 0 && digits % 10 == 0 {
        digits /= 10;
        places -= 1;
    }
    let places = places as usize;
    let all = format!("{digits:0>width$}", width = places + 1);
    let (whole, part) = all.split_at(all.len() - places);
    if part.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{part}")
    }
}

#[cfg(test)]
mod tests;
