//! Prices: what a plan charges for a period, and for usage by which model. One rounding for each line.

use kernel::money::TooMuch;
use kernel::{Check, Minor};
use serde::{Deserialize, Serialize};

pub(crate) use crate::number::read as number;
use crate::number::{Fraction, Given, Quantity, UnitPrice};

/// How events become a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// How many there are.
    Count,
    /// The sum of a property.
    Sum,
    /// How many different values a property has.
    Unique,
    /// The largest value of a property.
    Max,
}

/// What is metered: events of a name, whose `userId` is the `externalId` of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metric {
    /// The events' name.
    pub event_name: String,
    /// How they become a number.
    pub aggregation: Aggregation,
    /// A key of their payload; all but `count` want one.
    pub property: Option<String>,
}

impl Metric {
    fn check(&self, check: &mut Check, field: &str) {
        check.text(&format!("{field}.eventName"), &self.event_name, 1..=200);
        let property = format!("{field}.property");
        match (self.aggregation, &self.property) {
            (Aggregation::Count, given) => check.that(given.is_none(), &property, "is not for `count`"),
            (_, Some(key)) => check.text(&property, key, 1..=200),
            (_, None) => check.that(false, &property, "is missing"),
        }
    }
}

/// What units cost in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// The last unit that is in it; none for the last tier.
    pub up_to: Option<Quantity>,
    /// What each unit costs.
    pub unit_amount: UnitPrice,
    /// What it costs once, when it is entered.
    #[schema(value_type = i64)]
    pub flat_amount: Minor,
}

/// A price of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Price {
    /// So much for a period, billed at its start.
    Flat {
        /// How much.
        #[schema(value_type = i64)]
        amount: Minor,
    },
    /// So much for each unit.
    PerUnit {
        /// What is metered.
        metric: Metric,
        /// How much.
        unit_amount: UnitPrice,
    },
    /// Each unit costs what its tier says.
    Graduated {
        /// What is metered.
        metric: Metric,
        /// The tiers; the first holds the first unit.
        tiers: Vec<Tier>,
    },
    /// All units cost what the tier of the last one says.
    Volume {
        /// What is metered.
        metric: Metric,
        /// The tiers; the first holds the first unit.
        tiers: Vec<Tier>,
    },
    /// So much for each package that is begun.
    Package {
        /// What is metered.
        metric: Metric,
        /// How many units a package has.
        size: u32,
        /// How much.
        #[schema(value_type = i64)]
        amount: Minor,
    },
}

impl Price {
    /// What is metered; nothing for a flat price.
    pub fn metric(&self) -> Option<&Metric> {
        match self {
            Self::Flat { .. } => None,
            Self::PerUnit { metric, .. }
            | Self::Graduated { metric, .. }
            | Self::Volume { metric, .. }
            | Self::Package { metric, .. } => Some(metric),
        }
    }

    /// What so many units cost; for a flat price, what it costs so many times.
    pub fn charge(&self, units: Quantity) -> Result<Minor, TooMuch> {
        match self {
            Self::Flat { amount } => units.fraction().times((*amount).into())?.nearest(),
            Self::PerUnit { unit_amount, .. } => units.cost(*unit_amount),
            Self::Graduated { tiers, .. } => graduated(tiers, units)?.nearest(),
            Self::Volume { tiers, .. } => volume(tiers, units)?.nearest(),
            Self::Package { size, amount, .. } => {
                let packages = units.packages(*size);
                let cost = packages.checked_mul(amount.get().into()).ok_or(TooMuch)?;
                Minor::nearest(cost, 1)
            }
        }
    }
}

/// Sums the tiers that are entered, each for its own units. The first is always entered.
fn graduated(tiers: &[Tier], units: Quantity) -> Result<Fraction, TooMuch> {
    let mut cost = Fraction::from(Minor::ZERO);
    let mut below = Quantity::ZERO;
    for (place, tier) in tiers.iter().enumerate() {
        if place > 0 && units <= below {
            break;
        }
        let inside = tier.up_to.map_or(units, |last| units.min(last)).above(below);
        cost = cost.plus(inside.fraction().times(tier.unit_amount.fraction())?)?;
        cost = cost.plus(tier.flat_amount.into())?;
        below = tier.up_to.unwrap_or(units);
    }
    Ok(cost)
}

/// All units by the tier that the last one is in.
fn volume(tiers: &[Tier], units: Quantity) -> Result<Fraction, TooMuch> {
    let holds = |tier: &&Tier| tier.up_to.is_none_or(|last| units <= last);
    let Some(tier) = tiers.iter().find(holds) else {
        return Ok(Minor::ZERO.into());
    };
    let cost = units.fraction().times(tier.unit_amount.fraction())?;
    cost.plus(tier.flat_amount.into())
}

/// Which model a price is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PriceKind)]
pub enum Kind {
    /// So much for a period.
    Flat,
    /// So much for each unit.
    PerUnit,
    /// Each unit by its tier.
    Graduated,
    /// All units by one tier.
    Volume,
    /// So much for each begun package.
    Package,
}

/// A price, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PriceInput)]
pub struct NewPrice {
    /// Which model it is.
    pub kind: Kind,
    /// Minor units: of `flat` for a period, of `package` for each.
    #[schema(value_type = Option<i64>)]
    pub amount: Option<Minor>,
    /// What is metered, for all but `flat`.
    #[serde(default, deserialize_with = "kernel::check::object")]
    pub metric: Option<Metric>,
    /// Minor units for each unit, of `perUnit`; at most twelve decimal places.
    pub unit_amount: Option<Given>,
    /// Of `graduated` and `volume`: ascending, the last without an end.
    pub tiers: Option<Vec<NewTier>>,
    /// Of `package`: how many units it has.
    pub size: Option<u32>,
}

/// A tier, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = TierInput)]
pub struct NewTier {
    /// The last unit that is in it; null for the last tier.
    pub up_to: Option<Given>,
    /// Minor units for each unit; at most twelve decimal places.
    pub unit_amount: Given,
    /// Minor units once, when it is entered.
    #[serde(default)]
    #[schema(value_type = i64)]
    pub flat_amount: Minor,
}

impl From<&Tier> for NewTier {
    fn from(tier: &Tier) -> Self {
        Self {
            up_to: tier.up_to.map(Given::from),
            unit_amount: tier.unit_amount.into(),
            flat_amount: tier.flat_amount,
        }
    }
}

/// In the words of a request, so that a plan can be changed in a part.
impl From<&Price> for NewPrice {
    fn from(price: &Price) -> Self {
        let none = |kind| Self {
            kind,
            amount: None,
            metric: price.metric().cloned(),
            unit_amount: None,
            tiers: None,
            size: None,
        };
        match price {
            Price::Flat { amount } => Self {
                amount: Some(*amount),
                ..none(Kind::Flat)
            },
            Price::PerUnit { unit_amount, .. } => Self {
                unit_amount: Some((*unit_amount).into()),
                ..none(Kind::PerUnit)
            },
            Price::Graduated { tiers, .. } => Self {
                tiers: Some(tiers.iter().map(NewTier::from).collect()),
                ..none(Kind::Graduated)
            },
            Price::Volume { tiers, .. } => Self {
                tiers: Some(tiers.iter().map(NewTier::from).collect()),
                ..none(Kind::Volume)
            },
            Price::Package { size, amount, .. } => Self {
                amount: Some(*amount),
                size: Some(*size),
                ..none(Kind::Package)
            },
        }
    }
}

/// A plan has at most so many prices, and a price so many tiers.
pub const MOST_PRICES: usize = 20;
/// See [`MOST_PRICES`].
pub const MOST_TIERS: usize = 20;

/// Wants an amount that is not below zero and below the limit.
pub(crate) fn amount(check: &mut Check, field: &str, amount: Minor) {
    check.range(field, amount.get(), 0..=Minor::LIMIT - 1);
}

impl NewPrice {
    /// Reads it, and notes every rule that it breaks under `field`.
    pub fn read(&self, check: &mut Check, field: &str) -> Option<Price> {
        self.check_members(check, field);
        if let Some(metric) = &self.metric {
            metric.check(check, &format!("{field}.metric"));
        }
        if let Some(given) = self.amount {
            amount(check, &format!("{field}.amount"), given);
        }
        if let Some(size) = self.size {
            check.that(size > 0, &format!("{field}.size"), "must be at least 1");
        }
        let unit_amount = self.unit_amount.as_ref();
        let unit_amount = unit_amount.and_then(|given| number(check, &format!("{field}.unitAmount"), given));
        let tiers = self.tiers.as_ref();
        let tiers = tiers.and_then(|tiers| read_tiers(check, &format!("{field}.tiers"), tiers));
        Some(match self.kind {
            Kind::Flat => Price::Flat { amount: self.amount? },
            Kind::PerUnit => Price::PerUnit {
                metric: self.metric.clone()?,
                unit_amount: unit_amount?,
            },
            Kind::Graduated => Price::Graduated {
                metric: self.metric.clone()?,
                tiers: tiers?,
            },
            Kind::Volume => Price::Volume {
                metric: self.metric.clone()?,
                tiers: tiers?,
            },
            Kind::Package => Price::Package {
                metric: self.metric.clone()?,
                size: self.size?,
                amount: self.amount?,
            },
        })
    }

    /// Wants the members of its model, and no others.
    fn check_members(&self, check: &mut Check, field: &str) {
        let has_tiers = matches!(self.kind, Kind::Graduated | Kind::Volume);
        let has_amount = matches!(self.kind, Kind::Flat | Kind::Package);
        for (name, given, wanted) in [
            ("amount", self.amount.is_some(), has_amount),
            ("metric", self.metric.is_some(), self.kind != Kind::Flat),
            ("unitAmount", self.unit_amount.is_some(), self.kind == Kind::PerUnit),
            ("tiers", self.tiers.is_some(), has_tiers),
            ("size", self.size.is_some(), self.kind == Kind::Package),
        ] {
            let problem = if wanted { "is missing" } else { "is not for this kind" };
            check.that(given == wanted, &format!("{field}.{name}"), problem);
        }
    }
}

fn read_tiers(check: &mut Check, field: &str, tiers: &[NewTier]) -> Option<Vec<Tier>> {
    if tiers.is_empty() || tiers.len() > MOST_TIERS {
        check.that(false, field, format!("must have 1 to {MOST_TIERS} tiers"));
        return None;
    }
    let mut read = Vec::new();
    let mut below = Quantity::ZERO;
    for (place, tier) in tiers.iter().enumerate() {
        let field = format!("{field}[{place}]");
        let end = format!("{field}.upTo");
        let is_last = place + 1 == tiers.len();
        check.that(
            tier.up_to.is_none() == is_last,
            &end,
            "must be null in the last tier, and only there",
        );
        let given = tier.up_to.as_ref();
        let up_to: Option<Quantity> = given.and_then(|given| number(check, &end, given));
        if let Some(up_to) = up_to {
            check.that(up_to > below, &end, "must be above the one before it");
            below = up_to;
        }
        amount(check, &format!("{field}.flatAmount"), tier.flat_amount);
        let unit_amount = number(check, &format!("{field}.unitAmount"), &tier.unit_amount);
        read.extend(unit_amount.map(|unit_amount| Tier {
            up_to,
            unit_amount,
            flat_amount: tier.flat_amount,
        }));
    }
    Some(read)
}

#[cfg(test)]
pub(crate) mod tests {
    use kernel::Error;
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn price(json: &str) -> Price {
        let mut check = Check::default();
        let price: NewPrice = serde_json::from_str(json).unwrap();
        let price = price.read(&mut check, "p");
        check.done().unwrap();
        price.unwrap()
    }

    pub(crate) const CALLS: &str = r#""metric":{"eventName":"call","aggregation":"count"}"#;

    fn check_charges(price: &Price, expected: &[(u32, i64)]) {
        for (units, amount) in expected {
            let charge = price.charge(Quantity::whole(*units)).unwrap();
            assert_eq!(charge.get(), *amount, "{units} units of {price:?}");
        }
    }

    /// S5.
    #[test]
    fn tier_edges_are_inclusive() {
        let free = format!(
            r#"{{"kind":"graduated",{CALLS},"tiers":[{{"upTo":250,"unitAmount":"0"}},{{"upTo":null,"unitAmount":"2"}}]}}"#
        );
        check_charges(&price(&free), &[(0, 0), (250, 0), (251, 2)]);
        let tiers = r#""tiers":[{"upTo":100,"unitAmount":"5","flatAmount":1000},
            {"upTo":1000,"unitAmount":"3","flatAmount":500},{"upTo":null,"unitAmount":"1.5"}]"#;
        check_charges(
            &price(&format!(r#"{{"kind":"graduated",{CALLS},{tiers}}}"#)),
            &[
                (0, 1000),
                (1, 1005),
                (100, 1500),
                (101, 2003),
                (1000, 4700),
                (1001, 4702),
            ],
        );
        check_charges(
            &price(&format!(r#"{{"kind":"volume",{CALLS},{tiers}}}"#)),
            &[(0, 1000), (100, 1500), (101, 803), (1000, 3500), (1001, 1502)],
        );
    }

    /// S5.
    #[test]
    fn a_begun_package_is_a_whole_one() {
        check_charges(
            &price(&format!(r#"{{"kind":"package",{CALLS},"size":1000,"amount":250}}"#)),
            &[(0, 0), (1, 250), (1000, 250), (1001, 500), (2500, 750)],
        );
        let package = price(&format!(r#"{{"kind":"package",{CALLS},"size":1000,"amount":250}}"#));
        assert_eq!(package.charge("1000.000001".parse().unwrap()).unwrap().get(), 500);
    }

    #[test]
    fn prices_are_stored_and_read_the_same() {
        for json in [
            r#"{"kind":"flat","amount":1500}"#.to_owned(),
            format!(r#"{{"kind":"perUnit",{CALLS},"unitAmount":"0.1"}}"#),
            format!(r#"{{"kind":"volume",{CALLS},"tiers":[{{"upTo":null,"unitAmount":"0.000000000001"}}]}}"#),
        ] {
            let price = price(&json);
            let stored = serde_json::to_value(&price).unwrap();
            assert_eq!(serde_json::from_value::<Price>(stored).unwrap(), price, "{json}");
        }
    }

    #[track_caller]
    fn check_refused(json: &str, fields: &[&str]) {
        let mut check = Check::default();
        serde_json::from_str::<NewPrice>(json).unwrap().read(&mut check, "p");
        let Err(Error::Invalid(problems)) = check.done() else {
            panic!("{json} is taken");
        };
        let found: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(found, fields, "{json}");
    }

    #[test]
    fn what_a_model_does_not_have_is_refused_by_name() {
        check_refused(r#"{"kind":"flat","size":1}"#, &["p.amount", "p.size"]);
        check_refused(r#"{"kind":"flat","amount":-1}"#, &["p.amount"]);
        check_refused(r#"{"kind":"flat","amount":1000000000000000}"#, &["p.amount"]);
        check_refused(
            r#"{"kind":"perUnit","unitAmount":"0.0000000000001"}"#,
            &["p.metric", "p.unitAmount"],
        );
        check_refused(
            r#"{"kind":"perUnit","unitAmount":1,"metric":{"eventName":" ","aggregation":"sum"}}"#,
            &["p.metric.eventName", "p.metric.property"],
        );
        check_refused(
            &format!(r#"{{"kind":"package",{CALLS},"amount":1,"size":0}}"#),
            &["p.size"],
        );
        check_refused(&format!(r#"{{"kind":"volume",{CALLS},"tiers":[]}}"#), &["p.tiers"]);
        check_refused(
            &format!(
                r#"{{"kind":"volume",{CALLS},"tiers":[{{"upTo":5,"unitAmount":1}},{{"upTo":5,"unitAmount":-1,"flatAmount":-1}}]}}"#
            ),
            &[
                "p.tiers[1].upTo",
                "p.tiers[1].upTo",
                "p.tiers[1].flatAmount",
                "p.tiers[1].unitAmount",
            ],
        );
    }

    #[test]
    fn what_is_too_much_is_said() {
        let price = price(&format!(r#"{{"kind":"perUnit",{CALLS},"unitAmount":999999999999999}}"#));
        assert_eq!(price.charge(Quantity::whole(2)), Err(TooMuch));
    }

    proptest! {
        #[test]
        fn one_tier_is_a_price_per_unit(units in 0_u32..1_000_000, tenths in 0_u32..10_000) {
            let unit = format!("{}.{}", tenths / 10, tenths % 10);
            let tiers = format!(r#""tiers":[{{"upTo":null,"unitAmount":"{unit}"}}]"#);
            let units = Quantity::whole(units);
            let plain = price(&format!(r#"{{"kind":"perUnit",{CALLS},"unitAmount":"{unit}"}}"#)).charge(units);
            for kind in ["graduated", "volume"] {
                prop_assert_eq!(price(&format!(r#"{{"kind":"{kind}",{CALLS},{tiers}}}"#)).charge(units), plain);
            }
        }

        #[test]
        fn more_usage_never_costs_less_when_graduated(units in 0_u32..5_000, more in 0_u32..5_000) {
            let tiers = r#""tiers":[{"upTo":100,"unitAmount":"5.5","flatAmount":10},{"upTo":999,"unitAmount":"0.3"},
                {"upTo":null,"unitAmount":"1"}]"#;
            let price = price(&format!(r#"{{"kind":"graduated",{CALLS},{tiers}}}"#));
            let charge = |units| price.charge(Quantity::whole(units)).unwrap();
            prop_assert!(charge(units) <= charge(units + more));
        }
    }
}
