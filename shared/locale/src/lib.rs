//! How a document is written for whom it goes to: words, numbers, days. By the client's language, a tag of BCP 47; what is
//! not one of ours is English.
//!
//! Never computes an amount: it writes the units that it is given.

mod countries;
mod words;

use kernel::number::Fraction;
use kernel::{Currency, Day, Minor, Money};

pub use words::Words;

/// The languages that documents are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// German.
    De,
    /// French.
    Fr,
    /// Spanish.
    Es,
    /// Portuguese.
    Pt,
    /// Hindi.
    Hi,
}

/// A language, and where it is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locale {
    language: Language,
    region: Option<String>,
}

/// What a number stays on one line with.
const NO_BREAK: char = '\u{a0}';
/// What French groups digits with.
const NARROW: char = '\u{202f}';

impl Language {
    /// All.
    pub const ALL: [Self; 6] = [Self::En, Self::De, Self::Fr, Self::Es, Self::Pt, Self::Hi];

    /// Two letters of ISO 639.
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Es => "es",
            Self::Pt => "pt",
            Self::Hi => "hi",
        }
    }
}

impl Locale {
    /// Reads a tag such as `de` or `pt-BR`.
    pub fn of(tag: Option<&str>) -> Self {
        let mut parts = tag.unwrap_or_default().split('-');
        let first = parts.next().unwrap_or_default();
        let language = Language::ALL.into_iter().find(|language| language.code() == first);
        let is_region = |part: &&str| part.len() == 2 && part.chars().all(|c| c.is_ascii_alphabetic());
        Self {
            region: language.and(parts.find(is_region)).map(str::to_ascii_uppercase),
            language: language.unwrap_or(Language::En),
        }
    }

    /// The language.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// Two letters of ISO 3166, if the tag has them.
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// What a document says in it.
    pub fn words(&self) -> &'static Words {
        words::of(self.language)
    }

    /// What a country is called; its two letters if they are none of ISO 3166.
    pub fn country<'a>(&self, code: &'a str) -> &'a str {
        countries::name(code, self.language).unwrap_or(code)
    }

    /// The sign between whole units and parts, and the one between groups of digits.
    fn signs(&self) -> (char, char) {
        let american = ["MX", "US", "PR", "GT", "HN", "NI", "PA", "PE", "SV", "DO"];
        let is_american = self.region().is_some_and(|region| american.contains(&region));
        match (self.language, self.region()) {
            (Language::De, Some("CH" | "LI")) => ('.', '’'),
            (Language::Fr, _) => (',', NARROW),
            (Language::Pt, Some("PT" | "AO" | "MZ")) => (',', NO_BREAK),
            (Language::De | Language::Pt, _) => (',', '.'),
            (Language::Es, _) if !is_american => (',', '.'),
            (Language::En | Language::Hi | Language::Es, _) => ('.', ','),
        }
    }

    /// `12,34,567` as in India; else groups of three.
    fn is_indian(&self) -> bool {
        matches!((self.language, self.region()), (Language::Hi, _) | (_, Some("IN")))
    }

    /// Writes digits of which so many stand behind the point.
    fn decimal(&self, digits: i128, places: u32) -> String {
        let (point, group) = self.signs();
        let all = format!("{:0>width$}", digits.unsigned_abs(), width = places as usize + 1);
        let (whole, part) = all.split_at(all.len() - places as usize);
        let mut text = if digits < 0 { String::from('-') } else { String::new() };
        for (place, digit) in whole.char_indices() {
            let left = whole.len() - place;
            let begins = if self.is_indian() && left > 3 {
                left % 2 == 1
            } else {
                left % 3 == 0
            };
            if place > 0 && begins && left > 0 && left != whole.len() {
                // In India the last three stand together, the others by two.
                text.push(group);
            }
            text.push(digit);
        }
        if places > 0 {
            text.push(point);
            text.push_str(part);
        }
        text
    }

    /// Writes an exact number, with at least so many places and no zeros behind those.
    pub fn number(&self, fraction: Fraction, least: u32) -> String {
        let Fraction { mut digits, mut places } = fraction;
        while places > least && digits % 10 == 0 {
            digits /= 10;
            places -= 1;
        }
        while places < least {
            // Prices have at most 16 places more than units have digits.
            digits = digits.saturating_mul(10);
            places += 1;
        }
        self.decimal(digits, places)
    }

    /// Writes an amount without its currency.
    pub fn amount(&self, amount: Minor, currency: Currency) -> String {
        self.decimal(i128::from(amount.get()), u32::from(currency.exponent()))
    }

    /// Writes money with the sign of its currency, or its code.
    pub fn money(&self, money: Money) -> String {
        let sign = sign(money.currency);
        let number = self.amount(money.minor, money.currency);
        let (minus, number) = match number.strip_prefix('-') {
            Some(number) => ("-", number),
            None => ("", number.as_str()),
        };
        let is_word = sign.ends_with(|c: char| c.is_ascii_alphabetic());
        match self.language {
            Language::En | Language::Hi if !is_word => format!("{minus}{sign}{number}"),
            Language::En | Language::Hi => format!("{minus}{sign}{NO_BREAK}{number}"),
            Language::Pt if !matches!(self.region(), Some("PT" | "AO" | "MZ")) => {
                format!("{minus}{sign}{NO_BREAK}{number}")
            }
            Language::De if matches!(self.region(), Some("CH" | "LI")) => format!("{minus}{sign}{NO_BREAK}{number}"),
            _ => format!("{minus}{number}{NO_BREAK}{sign}"),
        }
    }

    /// Writes a rate in percent.
    pub fn percent(&self, rate: Fraction) -> String {
        let number = self.number(rate, 0);
        match self.language {
            Language::De | Language::Es => format!("{number}{NO_BREAK}%"),
            Language::Fr => format!("{number}{NARROW}%"),
            Language::En | Language::Pt | Language::Hi => format!("{number}%"),
        }
    }

    /// Writes a day.
    pub fn day(&self, day: Day) -> String {
        let month = self.words().months[usize::from(day.month().clamp(1, 12)) - 1];
        let (number, year) = (day.day(), day.year());
        match (self.language, self.region()) {
            (Language::En, Some("US")) => format!("{month} {number}, {year}"),
            (Language::De, _) => format!("{number}. {month} {year}"),
            (Language::Es | Language::Pt, _) => format!("{number} de {month} de {year}"),
            // French counts the first of a month.
            (Language::Fr, _) if number == 1 => format!("1er {month} {year}"),
            (Language::En | Language::Fr | Language::Hi, _) => format!("{number} {month} {year}"),
        }
    }
}

/// The sign of a currency, where it can be no other one's; else its code.
fn sign(currency: Currency) -> &'static str {
    match currency.code() {
        "AMD" => "֏",
        "AZN" => "₼",
        "BDT" => "৳",
        "BRL" => "R$",
        "CRC" => "₡",
        "EUR" => "€",
        "GBP" => "£",
        "GEL" => "₾",
        "GHS" => "GH₵",
        "ILS" => "₪",
        "INR" => "₹",
        "JPY" => "¥",
        "KGS" => "⃀",
        "KHR" => "៛",
        "KRW" => "₩",
        "KZT" => "₸",
        "LAK" => "₭",
        "MNT" => "₮",
        "NGN" => "₦",
        "PHP" => "₱",
        "PYG" => "₲",
        "RUB" => "₽",
        "THB" => "฿",
        "TRY" => "₺",
        "UAH" => "₴",
        "USD" => "$",
        "VND" => "₫",
        code => code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(tag: &str, minor: i64, currency: &str) -> String {
        let money = Money::new(Minor::new(minor), currency.parse().unwrap());
        Locale::of(Some(tag))
            .money(money)
            .replace(NO_BREAK, "_")
            .replace(NARROW, "~")
    }

    #[test]
    fn money_is_written_as_where_it_goes() {
        for (tag, minor, currency, text) in [
            ("en", 123_456_789, "EUR", "€1,234,567.89"),
            ("en", -5, "USD", "-$0.05"),
            ("en", 123_456, "CHF", "CHF_1,234.56"),
            ("en-IN", 123_456_789, "INR", "₹12,34,567.89"),
            ("de", 123_456_789, "EUR", "1.234.567,89_€"),
            ("de-CH", 123_456, "CHF", "CHF_1’234.56"),
            ("fr", 123_456, "EUR", "1~234,56_€"),
            ("es", -123_456, "EUR", "-1.234,56_€"),
            ("es-MX", 123_456, "MXN", "1,234.56_MXN"),
            ("pt-BR", 123_456, "BRL", "R$_1.234,56"),
            ("pt-PT", 123_456, "EUR", "1_234,56_€"),
            ("hi", 1_234_567_890, "INR", "₹1,23,45,678.90"),
            ("hi", 12_345, "INR", "₹123.45"),
            ("ja", 123_456, "JPY", "¥123,456"),
            ("en", 123_456, "KWD", "KWD_123.456"),
            ("de", 123_456, "CLF", "12,3456_CLF"),
            ("en", 0, "JPY", "¥0"),
        ] {
            assert_eq!(money(tag, minor, currency), text, "{tag} {currency}");
        }
    }

    #[test]
    fn numbers_keep_every_digit() {
        let number = |digits, places, least| Locale::of(Some("de")).number(Fraction { digits, places }, least);
        assert_eq!(number(1_500, 3, 0), "1,5");
        assert_eq!(number(15, 0, 2), "15,00");
        assert_eq!(number(123_456_789, 12, 2), "0,000123456789");
        assert_eq!(number(1_000, 0, 0), "1.000");
        assert_eq!(
            Locale::of(Some("fr")).percent(Fraction { digits: 55, places: 1 }),
            "5,5\u{202f}%"
        );
    }

    #[test]
    fn days_are_written_in_words() {
        let day: Day = "2027-03-01".parse().unwrap();
        for (tag, text) in [
            ("en", "1 March 2027"),
            ("en-US", "March 1, 2027"),
            ("de", "1. März 2027"),
            ("fr", "1er mars 2027"),
            ("es", "1 de marzo de 2027"),
            ("pt", "1 de março de 2027"),
            ("hi", "1 मार्च 2027"),
            ("tlh", "1 March 2027"),
        ] {
            assert_eq!(Locale::of(Some(tag)).day(day), text);
        }
    }

    #[test]
    fn only_a_region_of_a_known_language_counts() {
        assert_eq!(Locale::of(Some("zh-Hant-IN")).region(), None);
        assert_eq!(Locale::of(Some("pt-br")).region(), Some("BR"));
        assert_eq!(Locale::of(None), Locale::of(Some("en")));
    }
}
