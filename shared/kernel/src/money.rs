//! Money: whole minor units of a currency of ISO 4217. The only place where anything is rounded.
//!
//! Never a float.

mod list_one;

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use list_one::LIST_ONE;

/// A currency of ISO 4217 list one that has minor units.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(u8);

/// Says that a text is no currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a currency of ISO 4217 in capitals, such as EUR")]
pub struct NotACurrency;

impl Currency {
    /// The three letters.
    pub fn code(self) -> &'static str {
        LIST_ONE[usize::from(self.0)].0
    }

    /// How many decimal places its minor unit stands behind the point: 0 to 4.
    pub fn exponent(self) -> u8 {
        LIST_ONE[usize::from(self.0)].1
    }

    /// Every currency, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..LIST_ONE.len()).filter_map(|place| u8::try_from(place).ok().map(Self))
    }
}

impl FromStr for Currency {
    type Err = NotACurrency;

    fn from_str(text: &str) -> Result<Self, NotACurrency> {
        let place = LIST_ONE.binary_search_by_key(&text, |(code, _)| code);
        let place = place.map_err(|_| NotACurrency)?;
        u8::try_from(place).map(Self).map_err(|_| NotACurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for Currency {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[A-Z]{3}$"))
            .description(Some("ISO 4217"))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Currency {}

/// A number of minor units, of a currency that whoever holds it knows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Minor(i64);

/// Says that an amount is not below [`Minor::LIMIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must stay below 10^15 minor units")]
pub struct TooMuch;

impl Minor {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// What every amount of a document stays below: 10^15. So sums of a thousand of them fit, and readers that know
    /// floats only (2^53) still see the exact number.
    pub const LIMIT: i64 = 1_000_000_000_000_000;

    /// Makes an amount.
    pub const fn new(units: i64) -> Self {
        Self(units)
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The amount that is nearest to a fraction, halves away from zero; `TooMuch` if it reaches the limit.
    pub fn nearest(numerator: i128, denominator: i128) -> Result<Self, TooMuch> {
        let units = i64::try_from(nearest(numerator, denominator)).map_err(|_| TooMuch)?;
        Self(units).within()
    }

    /// Itself, if it is below the limit.
    pub fn within(self) -> Result<Self, TooMuch> {
        if self.0.abs() < Self::LIMIT {
            Ok(self)
        } else {
            Err(TooMuch)
        }
    }

    /// So many parts of so many of it: a proration. Nothing if there are no parts.
    #[must_use]
    pub fn share(self, part: u32, whole: u32) -> Self {
        if whole == 0 || part == 0 {
            return Self::ZERO;
        }
        let share = nearest(i128::from(self.0) * i128::from(part), i128::from(whole));
        // Not above 2^63 × 2^32, which saturates where nothing below the limit gets.
        Self(i64::try_from(share).unwrap_or(i64::MAX))
    }

    /// Splits it by weights, so that the parts sum to it: each gets the whole units of its share, and what is left goes
    /// unit by unit to the largest remainders, of equal ones to the earlier. Mirrored for a negative amount. If no
    /// weight is above zero, all weigh the same.
    pub fn split(self, weights: &[i64]) -> Vec<Self> {
        if weights.is_empty() {
            return Vec::new();
        }
        let positive = |weight: &i64| i128::from(*weight.max(&0));
        let mut weights: Vec<i128> = weights.iter().map(positive).collect();
        if weights.iter().all(|weight| *weight == 0) {
            weights.fill(1);
        }
        let whole: i128 = weights.iter().sum();
        let amount = i128::from(self.0.unsigned_abs());
        let mut parts: Vec<i128> = weights.iter().map(|weight| amount * weight / whole).collect();
        let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
        // A stable sort: of equal remainders the earlier stays in front.
        by_remainder.sort_by_key(|place| std::cmp::Reverse(amount * weights[*place] % whole));
        let left = amount - parts.iter().sum::<i128>();
        // Fewer are left than there are parts, for each is less than one short.
        for place in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(0)) {
            parts[place] += 1;
        }
        let sign = i128::from(self.0.signum());
        // Each part is at most the amount, which fits.
        let signed = |part| i64::try_from(sign * part).unwrap_or(i64::MAX);
        parts.into_iter().map(|part| Self(signed(part))).collect()
    }
}

/// The whole number that is nearest to a fraction, halves away from zero (EN 16931's commercial rounding): rounded
/// without its sign, so that what is taken back is exactly what was given. The only rounding of money that there is.
///
/// The denominator is above zero.
pub fn nearest(numerator: i128, denominator: i128) -> i128 {
    let (size, by) = (numerator.unsigned_abs(), denominator.unsigned_abs());
    let (whole, rest) = (size / by, size % by);
    // 2 × rest ≥ by, without the overflow.
    let up = u128::from(rest >= by - rest);
    // Above i128 only for i128::MIN over one, which no amount gets near.
    let whole = i128::try_from(whole + up).unwrap_or(i128::MAX);
    if (numerator < 0) == (denominator < 0) {
        whole
    } else {
        -whole
    }
}

impl Add for Minor {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Minor {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Minor {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Minor {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Minor {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Sum for Minor {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Money {
    /// How many minor units.
    pub minor: Minor,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// Makes an amount of money.
    pub const fn new(minor: Minor, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// The number with its point and no other sign, as documents for machines have it: `-1234.50`.
    pub fn plain(self) -> String {
        self.written("")
    }

    fn written(self, between_thousands: &str) -> String {
        let exponent = usize::from(self.currency.exponent());
        let digits = format!("{:0>width$}", self.minor.get().unsigned_abs(), width = exponent + 1);
        let (whole, fraction) = digits.split_at(digits.len() - exponent);
        let mut text = String::from(if self.minor < Minor::ZERO { "-" } else { "" });
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place) % 3 == 0 {
                text.push_str(between_thousands);
            }
            text.push(digit);
        }
        if exponent > 0 {
            text.push('.');
            text.push_str(fraction);
        }
        text
    }
}

/// For people, in no particular language: `EUR 1,234.50`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, self.written(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(amount: i64, weights: &[i64]) -> Vec<i64> {
        Minor::new(amount).split(weights).into_iter().map(Minor::get).collect()
    }

    #[test]
    fn halves_go_away_from_zero_and_mirror() {
        for (numerator, denominator, expected) in [
            (1, 2, 1),
            (-1, 2, -1),
            (3, 2, 2),
            (-3, 2, -2),
            (5, 2, 3),
            (49, 100, 0),
            (-49, 100, 0),
            (7, -2, -4),
            (0, 7, 0),
            (i128::MAX, 1, i128::MAX),
        ] {
            assert_eq!(nearest(numerator, denominator), expected, "{numerator}/{denominator}");
        }
    }

    /// S1.
    #[test]
    fn splits_go_to_the_largest_remainder_and_mirror() {
        assert_eq!(split(22_000, &[445_455, 9_091, 545_455]), [9_800, 200, 12_000]);
        assert_eq!(split(1_000, &[6_667, 3_333]), [667, 333]);
        assert_eq!(split(-1_000, &[6_667, 3_333]), [-667, -333]);
        assert_eq!(split(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(split(-100, &[1, 1, 1]), [-34, -33, -33]);
        assert_eq!(split(-2, &[1, 1, 1]), [-1, -1, 0]);
        assert_eq!(split(5, &[0, 0]), [3, 2]);
        assert_eq!(split(5, &[0, -4, 1]), [0, 0, 5]);
        assert_eq!(split(5, &[]), [0_i64; 0]);
    }

    /// S4.
    #[test]
    fn exponents_are_those_of_list_one() {
        for (exponent, codes) in [
            (0, "JPY KRW CLP ISK UGX XAF VND"),
            (2, "EUR HUF TWD IDR MGA MRU"),
            (3, "KWD BHD JOD OMR TND IQD LYD"),
            (4, "CLF UYW"),
        ] {
            for code in codes.split(' ') {
                assert_eq!(code.parse::<Currency>().unwrap().exponent(), exponent, "{code}");
            }
        }
        for text in ["EURO", "eur", "XXX", "XTS", "XAU", "", "EU", "€"] {
            assert_eq!(text.parse::<Currency>(), Err(NotACurrency), "{text}");
        }
        assert_eq!(Currency::all().count(), 165);
        assert!(LIST_ONE.is_sorted_by(|one, next| one.0 < next.0));
    }

    /// S4.
    #[test]
    fn amounts_are_written_by_their_currency() {
        for (minor, code, text, plain) in [
            (12_345, "MRU", "MRU 123.45", "123.45"),
            (12_345, "CLF", "CLF 1.2345", "1.2345"),
            (12_345, "KWD", "KWD 12.345", "12.345"),
            (12_345, "ISK", "ISK 12,345", "12345"),
            (-5, "EUR", "EUR -0.05", "-0.05"),
            (-123_456_789, "EUR", "EUR -1,234,567.89", "-1234567.89"),
            (0, "JPY", "JPY 0", "0"),
        ] {
            let money = Money::new(Minor::new(minor), code.parse().unwrap());
            assert_eq!((money.to_string().as_str(), money.plain().as_str()), (text, plain));
        }
    }

    #[test]
    fn money_is_read_as_it_is_written() {
        let text = r#"{"minor":-5,"currency":"KWD"}"#;
        let money: Money = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&money).unwrap(), text);
        let error = serde_json::from_str::<Money>(r#"{"minor":5,"currency":"EURO"}"#).unwrap_err();
        assert!(error.to_string().starts_with(&NotACurrency.to_string()));
        assert!(serde_json::from_str::<Money>(r#"{"minor":5.5,"currency":"EUR"}"#).is_err());
    }

    #[test]
    fn what_reaches_the_limit_is_refused() {
        let below = i128::from(Minor::LIMIT) - 1;
        assert_eq!(Minor::nearest(below, 1).map(Minor::get), Ok(Minor::LIMIT - 1));
        assert_eq!(Minor::nearest(-below * 2 - 1, 2), Err(TooMuch));
        assert_eq!(Minor::nearest(i128::MAX, 1), Err(TooMuch));
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole_and_mirror(
            amount in -Minor::LIMIT..Minor::LIMIT,
            weights in prop::collection::vec(0..Minor::LIMIT, 1..20),
        ) {
            let parts = split(amount, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), amount);
            prop_assert_eq!(split(-amount, &weights), parts.iter().map(|part| -part).collect::<Vec<_>>());
            // None is a whole unit away from its share.
            let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
            prop_assume!(whole > 0);
            for (part, weight) in parts.iter().zip(&weights) {
                let off = i128::from(*part) * whole - i128::from(amount) * i128::from(*weight);
                prop_assert!(off.abs() < whole);
            }
        }

        #[test]
        fn rounding_is_nearest_and_mirrors(numerator in -1_i128 << 100..1 << 100, denominator in 1_i128..1 << 60) {
            let found = nearest(numerator, denominator);
            prop_assert_eq!(nearest(-numerator, denominator), -found);
            let off = found * denominator - numerator;
            prop_assert!(2 * off.abs() <= denominator);
            // A half goes away from zero.
            prop_assert!(2 * off.abs() < denominator || found.abs() * denominator > numerator.abs());
        }

        #[test]
        fn a_share_and_its_rest_are_at_most_a_unit_off(amount in -Minor::LIMIT..Minor::LIMIT, part in 0_u32..=366) {
            let minor = Minor::new(amount);
            let sum = minor.share(part, 366) + minor.share(366 - part, 366);
            prop_assert!((sum - minor).get().abs() <= 1);
            prop_assert_eq!((-minor).share(part, 366), -minor.share(part, 366));
        }
    }
}
