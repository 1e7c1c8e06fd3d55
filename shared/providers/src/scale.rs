//! How each provider writes amounts: its own table, not ISO 4217's. Exact, or not at all: nothing is rounded here.

use kernel::{Currency, Minor, Money};

use crate::Provider;

/// An amount that a provider cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotChargeable(pub String);

/// What Stripe takes in whole units. UGX stands in that list of theirs too, and among the special cases, which win.
const STRIPE_WHOLE: [&str; 15] = [
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
];
/// What Stripe takes in hundredths although there are none: such an amount ends in 00.
const STRIPE_PADDED: [&str; 2] = ["ISK", "UGX"];
/// What Stripe takes in thousandths.
const STRIPE_THOUSANDTHS: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];

/// The least that Stripe charges, in its own units, as its page on currencies says; elsewhere it is the worth of half a
/// dollar at the rate of the day, which Stripe itself refuses.
const STRIPE_LEAST: [(&str, i64); 24] = [
    ("AED", 200),
    ("AUD", 50),
    ("BGN", 100),
    ("BRL", 50),
    ("CAD", 50),
    ("CHF", 50),
    ("CZK", 1_500),
    ("DKK", 250),
    ("EUR", 50),
    ("GBP", 30),
    ("HKD", 400),
    ("HUF", 17_500),
    ("INR", 50),
    ("JPY", 50),
    ("MXN", 1_000),
    ("MYR", 200),
    ("NOK", 300),
    ("NZD", 50),
    ("PLN", 200),
    ("RON", 200),
    ("SEK", 300),
    ("SGD", 50),
    ("THB", 1_000),
    ("USD", 50),
];
/// The least that Razorpay charges: one rupee.
const RAZORPAY_LEAST: [(&str, i64); 1] = [("INR", 100)];

/// How many decimal places the unit has in which a provider counts a currency; nothing where it does not charge it.
fn places(provider: Provider, currency: Currency) -> Option<u8> {
    let (code, iso) = (currency.code(), currency.exponent());
    match provider {
        Provider::Stripe if STRIPE_WHOLE.contains(&code) => Some(0),
        Provider::Stripe if STRIPE_PADDED.contains(&code) => Some(2),
        Provider::Stripe if STRIPE_THOUSANDTHS.contains(&code) => Some(3),
        Provider::Stripe => (iso == 2).then_some(2),
        Provider::Razorpay => (iso <= 3).then_some(iso),
        // Decimals with at most two places, whatever the currency.
        Provider::Cashfree => Some(2),
    }
}

fn least(provider: Provider, currency: Currency) -> i64 {
    let table: &[(&str, i64)] = match provider {
        Provider::Stripe => &STRIPE_LEAST,
        Provider::Razorpay => &RAZORPAY_LEAST,
        Provider::Cashfree => &[],
    };
    let found = table.iter().find(|(code, _)| *code == currency.code());
    found.map_or(1, |(_, least)| *least)
}

/// What a provider counts in: its units of an amount, which may be below its minimum, as a refund is.
pub(crate) fn units(provider: Provider, money: Money) -> Result<i64, NotChargeable> {
    let title = provider.title();
    let places = places(provider, money.currency)
        .ok_or_else(|| NotChargeable(format!("{title} does not charge {}", money.currency)))?;
    if money.minor <= Minor::ZERO {
        return Err(NotChargeable("the amount must be above zero".to_owned()));
    }
    let units = shifted(money.minor.get(), money.currency.exponent(), places).ok_or_else(|| {
        NotChargeable(format!(
            "{title} counts {} with {places} decimal places and cannot charge {money} exactly",
            money.currency
        ))
    })?;
    if places == 3 && units % 10 != 0 {
        return Err(NotChargeable(format!(
            "{title} wants amounts in {} whose third decimal place is 0, so not {money}",
            money.currency
        )));
    }
    Ok(units)
}

/// As [`units`], for what is to be charged: not below the provider's minimum either.
pub(crate) fn charged(provider: Provider, money: Money) -> Result<i64, NotChargeable> {
    let units = units(provider, money)?;
    let least = least(provider, money.currency);
    if units < least {
        let least = self::money(provider, least, money.currency);
        let least = least.map_or_else(String::new, |least| format!(" than {least}"));
        return Err(NotChargeable(format!("{} charges no less{least}", provider.title())));
    }
    Ok(units)
}

/// What a provider's units are worth; nothing if there is no such amount of the currency.
pub(crate) fn money(provider: Provider, units: i64, currency: Currency) -> Option<Money> {
    let places = places(provider, currency)?;
    let minor = shifted(units, places, currency.exponent())?;
    Some(Money::new(Minor::new(minor), currency))
}

/// A number of units with so many places, counted in units with other places; nothing if that is not exact.
fn shifted(units: i64, from: u8, to: u8) -> Option<i64> {
    let by = 10_i64.checked_pow(u32::from(from.abs_diff(to)))?;
    if to >= from {
        units.checked_mul(by)
    } else {
        (units % by == 0).then_some(units / by)
    }
}

#[cfg(test)]
mod tests;
