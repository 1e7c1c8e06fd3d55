//! The price list: credits by operation. Pure.

mod store;

use std::collections::BTreeMap;

use kernel::{Check, Currency, Input, Minor, Money, Time};
use serde::{Deserialize, Serialize};

use crate::topup;
use crate::wallet::amount;

pub use store::{load, set};

/// The most that an operation may cost.
pub const MOST: u64 = 1_000_000;
/// What an operation costs that the list does not name.
const DEFAULT: u64 = 1;
/// A credit costs at most so many minor units: then no top-up comes to more than an amount may be.
const DEAREST: i64 = 400;

/// Something that costs credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// An event that is taken in and counted.
    IngestEvent,
    /// A call to the public API.
    PublicCall,
}

impl Operation {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::IngestEvent, Self::PublicCall];

    /// What the price list calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IngestEvent => "ingest.event",
            Self::PublicCall => "public.call",
        }
    }
}

/// What operations cost.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceList {
    /// By the names of operations.
    prices: BTreeMap<String, u64>,
    /// What credits cost, if somebody has said so.
    #[serde(default)]
    topup: Option<CreditPrice>,
    /// When it was last changed.
    pub changed_at: Time,
    #[serde(default)]
    version: u64,
}

impl PriceList {
    /// Replaces the prices by those that were checked.
    fn set(&mut self, now: Time, prices: &Prices) {
        let price = |(name, price): (&String, &i64)| Some((name.clone(), u64::try_from(*price).ok()?));
        self.prices = prices.prices.iter().filter_map(price).collect();
        if let Some(given) = &prices.topup {
            self.topup = given.price().or(self.topup);
        }
        self.changed_at = now;
    }

    /// What an operation costs.
    pub fn of(&self, operation: Operation) -> u64 {
        self.prices.get(operation.name()).copied().unwrap_or(DEFAULT)
    }

    /// What so many credits cost: rounded once, and at least one minor unit, for nothing is sold for nothing.
    pub fn cost_of(&self, credits: u64) -> Money {
        let CreditPrice {
            credits: so_many,
            price,
        } = self.topup.unwrap_or_default();
        let whole = i128::from(price.minor.get()) * i128::from(credits);
        // Not above the limit, as `DEAREST` and `topup::MOST` say.
        let minor = Minor::nearest(whole, i128::from(so_many)).unwrap_or(Minor::new(Minor::LIMIT - 1));
        Money::new(minor.max(Minor::new(1)), price.currency)
    }
}

/// What credits cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CreditPrice {
    /// So many …
    credits: u64,
    /// … cost this.
    price: Money,
}

impl Default for CreditPrice {
    /// 10 dollars a million.
    fn default() -> Self {
        Self {
            credits: 1_000_000,
            price: Money::new(Minor::new(1_000), "USD".parse().expect("USD is of list one")),
        }
    }
}

/// What credits cost, as it is shown and set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopupPrice {
    /// So many credits …
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 1_000_000)]
    pub credits: i64,
    /// … cost so many minor units. At most 400 a credit.
    #[schema(minimum = 1, example = 1_000)]
    pub amount: i64,
    /// Of this currency, by ISO 4217.
    #[schema(example = "USD")]
    pub currency: String,
}

impl TopupPrice {
    fn check(&self, check: &mut Check) {
        check.range("topup.credits", self.credits, 1..=topup::MOST);
        let most = self.credits.clamp(1, topup::MOST) * DEAREST;
        check.range("topup.amount", self.amount, 1..=most);
        if let Err(unknown) = self.currency.parse::<Currency>() {
            check.that(false, "topup.currency", unknown.to_string());
        }
    }

    fn price(&self) -> Option<CreditPrice> {
        Some(CreditPrice {
            credits: u64::try_from(self.credits).ok()?,
            price: Money::new(Minor::new(self.amount), self.currency.parse().ok()?),
        })
    }
}

impl From<CreditPrice> for TopupPrice {
    fn from(price: CreditPrice) -> Self {
        Self {
            credits: amount(price.credits),
            amount: price.price.minor.get(),
            currency: price.price.currency.to_string(),
        }
    }
}

/// The price list, as it is shown and set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prices {
    /// Credits by operation, 0 to 1,000,000. An operation that is left out costs 1.
    #[schema(example = json!({"ingest.event": 1, "public.call": 1}))]
    pub prices: BTreeMap<String, i64>,
    /// What credits cost in a top-up: 1,000,000 for 1000 cents of USD as long as nobody has said otherwise. Stays as it is if it
    /// is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topup: Option<TopupPrice>,
}

impl Input for Prices {
    fn check(&self, check: &mut Check) {
        for (name, price) in &self.prices {
            let field = format!("prices.{name}");
            let known = Operation::ALL.iter().any(|operation| operation.name() == name);
            check.that(known, &field, "is no operation that costs credits");
            check.range(&field, *price, 0..=amount(MOST));
        }
        if let Some(topup) = &self.topup {
            topup.check(check);
        }
    }
}

impl From<&PriceList> for Prices {
    fn from(list: &PriceList) -> Self {
        let price = |operation: &Operation| (operation.name().to_owned(), amount(list.of(*operation)));
        Self {
            prices: Operation::ALL.iter().map(price).collect(),
            topup: list.topup.map(TopupPrice::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(credits: i64, amount: i64, currency: &str) -> PriceList {
        let mut list = PriceList::default();
        let topup = TopupPrice {
            credits,
            amount,
            currency: currency.to_owned(),
        };
        let prices = Prices {
            prices: BTreeMap::new(),
            topup: Some(topup),
        };
        list.set(Time::default(), &prices);
        list
    }

    fn cost(list: &PriceList, credits: u64) -> (i64, String) {
        let cost = list.cost_of(credits);
        (cost.minor.get(), cost.currency.to_string())
    }

    #[test]
    fn credits_cost_ten_dollars_a_million_rounded_once_and_never_nothing() {
        let usual = PriceList::default();
        for (credits, cents) in [(1_000_000, 1_000), (1_499, 1), (1_500, 2), (2_500, 3), (1, 1), (499, 1)] {
            assert_eq!(cost(&usual, credits), (cents, "USD".to_owned()), "{credits}");
        }
        assert_eq!(cost(&list(3, 2, "JPY"), 10), (7, "JPY".to_owned()));
    }

    #[test]
    fn the_dearest_top_up_is_an_amount() {
        // What is bought by itself may be nearly two steps of the most.
        let most = u64::try_from(topup::MOST).unwrap() * 2;
        for credits in [1, 7, topup::MOST] {
            let dear = list(credits, credits * DEAREST, "KWD").cost_of(most).minor;
            assert_eq!(dear.get(), 800_000_000_000_000);
        }
    }

    #[test]
    fn a_price_of_credits_that_breaks_a_rule_names_the_field() {
        for (credits, amount, currency, field) in [
            (0, 1, "EUR", "topup.credits"),
            (1, 0, "EUR", "topup.amount"),
            (1, 401, "EUR", "topup.amount"),
            (1, 1, "XTS", "topup.currency"),
            (i64::MAX, 1, "EUR", "topup.credits"),
        ] {
            let topup = TopupPrice {
                credits,
                amount,
                currency: currency.to_owned(),
            };
            let prices = Prices {
                prices: BTreeMap::new(),
                topup: Some(topup),
            };
            let Err(kernel::Error::Invalid(fields)) = Check::run(&prices) else {
                panic!("{field} is wrong");
            };
            assert!(format!("{fields:?}").contains(field), "{fields:?}");
        }
    }
}
