//! Exact numbers: quantities, tax rates, unit prices. Decimals of a bounded number of places, never floats.
//!
//! What a request says is a [`Given`]: it is read from the JSON text itself, so that no float comes in between, whatever
//! features `serde_json` has. What is stored is a decimal string.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use crate::money::TooMuch;
use crate::{Check, Minor};

/// A number of a request, as it was written: a JSON number, or a string that holds a decimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    text: String,
    is_string: bool,
}

/// The longest text that is read as a number.
const LONGEST: usize = 64;

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let wrong = || de::Error::custom("must be a number or a decimal string");
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => Ok(Self {
                text: serde_json::from_str(text).map_err(|_| wrong())?,
                is_string: true,
            }),
            Some(b'-' | b'0'..=b'9') => Ok(Self {
                text: text.to_owned(),
                is_string: false,
            }),
            _ => Err(wrong()),
        }
    }
}

impl utoipa::PartialSchema for Given {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{SchemaType, Type};
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::Number, Type::String]))
            .description(Some("a number, or a string that holds a decimal; read exactly"))
            .build()
            .into()
    }
}

impl utoipa::ToSchema for Given {}

/// Reads a JSON text exactly, a number or a string that holds one; nothing if it is neither, or has more than 28 digits.
pub fn decimal(json: &str) -> Option<Decimal> {
    match json.as_bytes().first()? {
        b'"' => exact(&serde_json::from_str::<String>(json).ok()?),
        _ => exact(json),
    }
}

/// Reads a number, and notes what is wrong with it.
pub fn read<'a, N: TryFrom<&'a Given, Error: fmt::Display>>(
    check: &mut Check,
    field: &str,
    given: &'a Given,
) -> Option<N> {
    match N::try_from(given) {
        Ok(number) => Some(number),
        Err(problem) => {
            check.that(false, field, problem.to_string());
            None
        }
    }
}

/// Reads digits, a point and an exponent exactly; nothing if that would need more than 28 digits.
fn exact(text: &str) -> Option<Decimal> {
    if text.len() > LONGEST || !text.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let plain = digits.strip_prefix('-').unwrap_or(digits);
    let is_plain = plain.starts_with(|c: char| c.is_ascii_digit())
        && plain.ends_with(|c: char| c.is_ascii_digit())
        && plain.chars().all(|c| c.is_ascii_digit() || c == '.');
    if !is_plain {
        return None;
    }
    let value = Decimal::from_str_exact(digits).ok()?;
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() <= 28)?;
    let power = Decimal::try_from_i128_with_scale(10_i128.pow(exponent.unsigned_abs()), 0).ok()?;
    let value = value.normalize();
    if exponent >= 0 {
        value.checked_mul(power).map(|value| value.normalize())
    } else {
        let scale = value.scale() + exponent.unsigned_abs();
        Decimal::try_from_i128_with_scale(value.mantissa(), scale)
            .ok()
            .map(|value| value.normalize())
    }
}

/// What is wrong with a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotThatNumber(String);

macro_rules! decimals {
    ($($(#[$doc:meta])* $name:ident: $places:literal places, $least:literal to $most:literal, $numbers:ident numbers;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(Decimal);

        impl $name {
            /// How many decimal places it has at most.
            pub const PLACES: u32 = $places;
            /// Zero.
            pub const ZERO: Self = Self(Decimal::ZERO);

            /// Makes a whole number, which stays within the bounds.
            pub fn whole(units: u32) -> Self {
                Self(Decimal::from(units))
            }

            /// Its digits without the point, and how many of them stand behind it: the exact fraction
            /// `digits / 10^places`.
            pub fn fraction(self) -> Fraction {
                Fraction { digits: self.0.mantissa(), places: self.0.scale() }
            }

            /// Whether it is zero.
            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }
        }

        impl TryFrom<&Given> for $name {
            type Error = NotThatNumber;

            fn try_from(given: &Given) -> Result<Self, NotThatNumber> {
                let value: Self = given.text.parse()?;
                let whole = Numbers::$numbers == Numbers::Whole;
                if whole && !given.is_string && !value.0.is_integer() {
                    return Err(NotThatNumber("must be a whole number, or a string that holds a decimal".to_owned()));
                }
                Ok(value)
            }
        }

        impl FromStr for $name {
            type Err = NotThatNumber;

            fn from_str(text: &str) -> Result<Self, NotThatNumber> {
                let wrong = |problem: String| NotThatNumber(problem);
                let value = exact(text).ok_or_else(|| wrong(format!(
                    "must be a decimal of at most {} places", $places
                )))?;
                if value.scale() > $places {
                    return Err(wrong(format!("must have at most {} decimal places", $places)));
                }
                if value < Decimal::from($least as i64) || value > Decimal::from($most as i64) {
                    return Err(wrong(format!("must be from {} to {}", $least, $most)));
                }
                Ok(Self(value))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some(concat!("a decimal of at most ", $places, " places")))
                    .examples([serde_json::json!("19")])
                    .build()
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl From<$name> for Given {
            fn from(number: $name) -> Self {
                Self { text: number.to_string(), is_string: true }
            }
        }
    )*};
}

/// Which JSON numbers of a request are taken; strings may hold any decimal.
#[derive(PartialEq)]
enum Numbers {
    /// Whole ones: what is money is not written as what others read as a float.
    Whole,
    /// Those with a fraction too.
    Any,
}

decimals! {
    /// How many of something: at most six places.
    Quantity: 6 places, 0 to 999_999_999_999_i64, Any numbers;
    /// A rate in percent: at most four places.
    Rate: 4 places, 0 to 100, Any numbers;
    /// The price of one of something in minor units: at most twelve places.
    UnitPrice: 12 places, 0 to 999_999_999_999_999_i64, Whole numbers;
}

/// A number `digits / 10^places`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// The digits, without a point.
    pub digits: i128,
    /// How many of them stand behind the point.
    pub places: u32,
}

impl Fraction {
    /// The number by which its digits are divided.
    pub fn denominator(self) -> i128 {
        10_i128.pow(self.places)
    }

    /// The product, exactly; `TooMuch` if it has more digits than any amount of ours.
    pub fn times(self, other: Self) -> Result<Self, TooMuch> {
        Ok(Self {
            digits: self.digits.checked_mul(other.digits).ok_or(TooMuch)?,
            places: self.places + other.places,
        })
    }

    /// The sum, exactly; `TooMuch` if it has more digits than any amount of ours.
    pub fn plus(self, other: Self) -> Result<Self, TooMuch> {
        let places = self.places.max(other.places);
        let widened = |one: Self| one.digits.checked_mul(10_i128.pow(places - one.places));
        let (one, two) = widened(self).zip(widened(other)).ok_or(TooMuch)?;
        let digits = one.checked_add(two).ok_or(TooMuch)?;
        Ok(Self { digits, places })
    }

    /// The nearest amount.
    pub fn nearest(self) -> Result<Minor, TooMuch> {
        Minor::nearest(self.digits, self.denominator())
    }
}

impl From<Minor> for Fraction {
    fn from(amount: Minor) -> Self {
        Self {
            digits: i128::from(amount.get()),
            places: 0,
        }
    }
}

impl Quantity {
    /// The largest quantity that is not above a number: what lies behind its last place is cut off. Nothing if the number is
    /// above all quantities.
    pub fn at_most(number: Decimal) -> Option<Self> {
        number
            .trunc_with_scale(Self::PLACES)
            .normalize()
            .to_string()
            .parse()
            .ok()
    }

    /// How many there are above some: nothing if there are fewer.
    #[must_use]
    pub fn above(self, some: Self) -> Self {
        Self((self.0 - some.0).max(Decimal::ZERO))
    }

    /// So many more.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self(self.0 + more.0)
    }

    /// What so many cost, rounded once.
    pub fn cost(self, price: UnitPrice) -> Result<Minor, TooMuch> {
        self.fraction().times(price.fraction())?.nearest()
    }

    /// How many packages of that size are begun.
    pub fn packages(self, size: u32) -> i128 {
        let Fraction { digits, places } = self.fraction();
        let one = i128::from(size.max(1)) * 10_i128.pow(places);
        (digits + one - 1) / one
    }
}

impl From<Minor> for UnitPrice {
    fn from(amount: Minor) -> Self {
        Self(Decimal::from(amount.get()))
    }
}

impl Rate {
    /// That many percent of an amount, rounded once.
    pub fn of(self, amount: Minor) -> Minor {
        let rate = self.fraction();
        // At most a hundred percent of what is below the limit, but for sums of credited lines, which saturate.
        let found = crate::money::nearest(i128::from(amount.get()) * rate.digits, 100 * rate.denominator());
        Minor::new(i64::try_from(found).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Line {
        quantity: Given,
    }

    fn read(json: &str) -> Result<Quantity, String> {
        let line: Line = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json))
            .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
        Quantity::try_from(&line.quantity).map_err(|problem| problem.to_string())
    }

    #[test]
    fn numbers_and_strings_are_read_exactly() {
        for (json, expected) in [
            ("0.1", "0.1"),
            ("3", "3"),
            ("3.000000", "3"),
            ("123456789012.123456", "123456789012.123456"),
            (r#""123456789012.123456""#, "123456789012.123456"),
            ("1e-06", "0.000001"),
            ("1.5E+2", "150"),
            (r#""007.50""#, "7.5"),
        ] {
            let found = read(&format!("{{\"quantity\": {json}}}"));
            assert_eq!(
                found.map(|quantity| quantity.to_string()),
                Ok(expected.to_owned()),
                "{json}"
            );
        }
    }

    #[test]
    fn what_is_no_such_number_is_refused_by_its_rule() {
        let places = "must have at most 6 decimal places";
        let decimal = "must be a decimal of at most 6 places";
        let bounds = "must be from 0 to 999999999999";
        for (json, problem) in [
            ("0.0000001", places),
            ("1e-7", places),
            ("1e-400", decimal),
            ("1e999999999", decimal),
            ("1000000000000", bounds),
            ("-1", bounds),
            (r#""""#, decimal),
            (r#""1,5""#, decimal),
            (r#"".5""#, decimal),
            (r#""5.""#, decimal),
            (r#""1_0""#, decimal),
            (r#""+1""#, decimal),
            (r#""NaN""#, decimal),
            (r#""0x10""#, decimal),
            (r#"" 1""#, decimal),
            (&format!("1.{}", "0".repeat(70)), decimal),
        ] {
            assert_eq!(
                read(&format!("{{\"quantity\":{json}}}")),
                Err(problem.to_owned()),
                "{json}"
            );
        }
        for json in ["true", "null", "[1]", "{}"] {
            let error = read(&format!("{{\"quantity\":{json}}}")).unwrap_err();
            assert!(
                error.starts_with("quantity: must be a number or a decimal string"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_price_with_a_fraction_is_a_string() {
        let read = |json: &str| UnitPrice::try_from(&serde_json::from_str::<Given>(json).unwrap()).is_ok();
        assert!(read("15") && read("1e2") && read("15.0") && read(r#""15.5""#));
        assert!(!read("15.5") && !read("1e-2"));
    }

    #[test]
    fn stored_numbers_are_strings() {
        let rate: Rate = "8.5".parse().unwrap();
        assert_eq!(serde_json::to_string(&rate).unwrap(), r#""8.5""#);
        assert_eq!(serde_json::from_str::<Rate>(r#""8.5""#).unwrap(), rate);
        assert!(serde_json::from_str::<Rate>("8.5").is_err());
        assert!("100.0001".parse::<Rate>().is_err() && "0.00001".parse::<Rate>().is_err());
    }

    #[test]
    fn a_product_is_exact_however_long() {
        let cost = |quantity: &str, price: &str| quantity.parse::<Quantity>().unwrap().cost(price.parse().unwrap());
        // 33 digits, of which half a unit decides.
        assert_eq!(cost("999999999.5", "1.000000001").map(Minor::get), Ok(1_000_000_000));
        assert_eq!(cost("0.000001", "500000").map(Minor::get), Ok(1));
        assert_eq!(cost("0.000001", "499999.999999999999").map(Minor::get), Ok(0));
        assert_eq!(
            cost("999999999999", "999.999999999999").map(Minor::get),
            Ok(999_999_999_998_999)
        );
        assert_eq!(cost("999999999999", "999999999999999"), Err(TooMuch));
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same(digits in 0_i64..1_000_000_000_000_000, places in 0_u32..=6) {
            let quantity = Quantity(Decimal::new(digits, places).normalize());
            prop_assume!(quantity.0 <= Decimal::from(999_999_999_999_i64));
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
            let json = read(&format!("{{\"quantity\":{quantity}}}"));
            prop_assert_eq!(json, Ok(quantity));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}|-?[0-9]{1,30}(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?") {
            if let Ok(price) = text.parse::<UnitPrice>() {
                prop_assert_eq!(price.to_string().parse::<UnitPrice>(), Ok(price));
            }
        }
    }
}
