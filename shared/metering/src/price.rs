//! The price list: credits by operation. Pure.

mod store;

use std::collections::BTreeMap;

use kernel::{Check, Input, Time};
use serde::{Deserialize, Serialize};

use crate::wallet::amount;

pub use store::{load, set};

/// The most that an operation may cost.
pub const MOST: u64 = 1_000_000;
/// What an operation costs that the list does not name.
const DEFAULT: u64 = 1;

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
        self.changed_at = now;
    }

    /// What an operation costs.
    pub fn of(&self, operation: Operation) -> u64 {
        self.prices.get(operation.name()).copied().unwrap_or(DEFAULT)
    }
}

/// The price list, as it is shown and set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prices {
    /// Credits by operation, 0 to 1,000,000. An operation that is left out costs 1.
    #[schema(example = json!({"ingest.event": 1, "public.call": 1}))]
    pub prices: BTreeMap<String, i64>,
}

impl Input for Prices {
    fn check(&self, check: &mut Check) {
        for (name, price) in &self.prices {
            let field = format!("prices.{name}");
            let known = Operation::ALL.iter().any(|operation| operation.name() == name);
            check.that(known, &field, "is no operation that costs credits");
            check.range(&field, *price, 0..=amount(MOST));
        }
    }
}

impl From<&PriceList> for Prices {
    fn from(list: &PriceList) -> Self {
        let price = |operation: &Operation| (operation.name().to_owned(), amount(list.of(*operation)));
        Self {
            prices: Operation::ALL.iter().map(price).collect(),
        }
    }
}
