//! Plans: what is sold, how often it is billed and at which prices. A subscription keeps the terms that it was sold at.

mod store;
mod view;

use std::collections::BTreeMap;

use kernel::check::given;
use kernel::{Check, Currency, Input, OrgId, PlanId, Time};
use serde::{Deserialize, Serialize};

use crate::coupon::currency;
use crate::price::{MOST_PRICES, NewPrice, Price};
use crate::schedule::Interval;

pub use store::NAME;
pub use view::PlanView;

/// What a plan entitles to: something, or so much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = PlanEntitlement)]
pub enum Entitlement {
    /// It is there, or not.
    Has(bool),
    /// So much.
    UpTo(u64),
}

impl Entitlement {
    /// The one of two that grants more. A number says more than that something is there.
    pub(crate) fn or_more(self, other: Self) -> Self {
        match (self, other) {
            (Self::UpTo(one), Self::UpTo(two)) => Self::UpTo(one.max(two)),
            (Self::Has(one), Self::Has(two)) => Self::Has(one || two),
            (Self::UpTo(_), Self::Has(_)) => self,
            (Self::Has(_), Self::UpTo(_)) => other,
        }
    }
}

/// A plan, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPlan {
    /// Its name.
    #[schema(example = "Pro")]
    pub name: String,
    /// How often it is billed.
    pub interval: Interval,
    /// What its prices are in.
    #[schema(example = "EUR")]
    pub currency: String,
    /// 1 to 20 prices.
    pub prices: Vec<NewPrice>,
    /// How many days it is tried, once for each client.
    #[schema(maximum = 730)]
    pub trial_days: Option<u16>,
    /// Whether usage during the trial is billed.
    #[serde(default)]
    pub trial_usage_billed: bool,
    /// Credits for a month; they do not roll over.
    pub included_credits: Option<u64>,
    /// What it entitles to.
    #[serde(default)]
    pub entitlements: BTreeMap<String, Entitlement>,
}

/// What changes a plan; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanPatch {
    /// Its name.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "Pro")]
    pub name: Option<String>,
    /// How often it is billed.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub interval: Option<Interval>,
    /// What its prices are in.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "EUR")]
    pub currency: Option<String>,
    /// 1 to 20 prices.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub prices: Option<Vec<NewPrice>>,
    /// How many days it is tried, once for each client.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u16>, maximum = 730)]
    pub trial_days: Option<Option<u16>>,
    /// Whether usage during the trial is billed.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub trial_usage_billed: Option<bool>,
    /// Credits for a month; they do not roll over.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    pub included_credits: Option<Option<u64>>,
    /// What it entitles to.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub entitlements: Option<BTreeMap<String, Entitlement>>,
}

impl Input for PlanPatch {
    // It is checked with what it leaves as it is: `Plan::patched`.
    fn check(&self, _: &mut Check) {}
}

/// What is sold: what a subscription keeps of its plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// Of which plan.
    pub plan: PlanId,
    /// The plan's name.
    pub name: String,
    /// How often it is billed.
    pub interval: Interval,
    /// What its prices are in.
    pub currency: Currency,
    /// Its prices.
    pub prices: Vec<Price>,
    /// How many days it is tried.
    pub trial_days: u16,
    /// Whether usage during the trial is billed.
    pub trial_usage_billed: bool,
}

impl Terms {
    /// Whether something about it is metered.
    pub fn is_metered(&self) -> bool {
        self.prices.iter().any(|price| price.metric().is_some())
    }
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Whose it is.
    pub org: OrgId,
    /// What is sold.
    pub terms: Terms,
    /// Credits for a month.
    pub included_credits: Option<u64>,
    /// What it entitles to.
    pub entitlements: BTreeMap<String, Entitlement>,
    /// When it was made.
    pub created_at: Time,
    /// When it was deleted. Who has it keeps it.
    pub deleted_at: Option<Time>,
    #[serde(default)]
    version: u64,
}

impl Input for NewPlan {
    fn check(&self, check: &mut Check) {
        self.read(check, PlanId::from_bits(0));
    }
}

impl NewPlan {
    fn read(&self, check: &mut Check, plan: PlanId) -> Option<Terms> {
        check.name("name", &self.name, 1..=100);
        let within = (1..=MOST_PRICES).contains(&self.prices.len());
        check.that(within, "prices", format!("must have 1 to {MOST_PRICES} prices"));
        let some = self.prices.iter().take(MOST_PRICES).enumerate();
        let prices = some.map(|(place, price)| price.read(check, &format!("prices[{place}]")));
        let prices: Vec<Option<Price>> = prices.collect();
        if let Some(days) = self.trial_days {
            check.range("trialDays", days, 0..=730);
        }
        let few = self.entitlements.len() <= 100;
        check.that(few, "entitlements", "must have at most 100 members");
        for name in self.entitlements.keys().take(100) {
            let plain = (1..=50).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric());
            check.that(plain, "entitlements", "must have names of 1 to 50 letters and digits");
        }
        let currency = currency(check, "currency", &self.currency)?;
        Some(Terms {
            plan,
            name: self.name.clone(),
            interval: self.interval,
            currency,
            prices: prices.into_iter().collect::<Option<_>>()?,
            trial_days: self.trial_days.unwrap_or(0),
            trial_usage_billed: self.trial_usage_billed,
        })
    }
}

impl Plan {
    /// Makes a plan; `Invalid` with every rule that the request breaks.
    pub fn new(now: Time, org: OrgId, new: &NewPlan) -> kernel::Result<Self> {
        let id = PlanId::new(now);
        Ok(Self {
            id,
            org,
            terms: Self::terms(new, id)?,
            included_credits: new.included_credits,
            entitlements: new.entitlements.clone(),
            created_at: now,
            deleted_at: None,
            version: 0,
        })
    }

    fn terms(new: &NewPlan, id: PlanId) -> kernel::Result<Terms> {
        let mut check = Check::default();
        let terms = new.read(&mut check, id);
        check.done()?;
        terms.ok_or_else(|| kernel::Error::invalid("prices", "cannot be read"))
    }

    /// Changes what is sold from now on: who has it keeps the terms that it was sold at.
    pub fn change(&mut self, new: &NewPlan) -> kernel::Result<()> {
        self.terms = Self::terms(new, self.id)?;
        self.included_credits = new.included_credits;
        self.entitlements.clone_from(&new.entitlements);
        Ok(())
    }

    /// The same with what a patch changes; `Invalid` with every rule that it breaks.
    pub(crate) fn patched(&self, patch: &PlanPatch) -> kernel::Result<Self> {
        let patch = patch.clone();
        let terms = &self.terms;
        let prices = || terms.prices.iter().map(NewPrice::from).collect();
        let new = NewPlan {
            name: patch.name.unwrap_or_else(|| terms.name.clone()),
            interval: patch.interval.unwrap_or(terms.interval),
            currency: patch.currency.unwrap_or_else(|| terms.currency.to_string()),
            prices: patch.prices.unwrap_or_else(prices),
            trial_days: patch.trial_days.unwrap_or(Some(terms.trial_days)),
            trial_usage_billed: patch.trial_usage_billed.unwrap_or(terms.trial_usage_billed),
            included_credits: patch.included_credits.unwrap_or(self.included_credits),
            entitlements: patch.entitlements.unwrap_or_else(|| self.entitlements.clone()),
        };
        let mut changed = self.clone();
        changed.change(&new)?;
        Ok(changed)
    }

    /// Deletes it: nobody gets it any more.
    pub fn delete(&mut self, now: Time) {
        self.deleted_at.get_or_insert(now);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kernel::Error;

    use super::*;

    const NOW: Time = Time::from_millis(1_799_000_000_000);

    pub(crate) fn plan(json: &str) -> kernel::Result<Plan> {
        Plan::new(NOW, OrgId::from_bits(1), &serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_plan_is_stored_and_read_the_same() {
        let plan = plan(
            r#"{"name":"Pro","interval":"30d","currency":"EUR","trialDays":14,"includedCredits":5,
            "entitlements":{"sso":true,"projects":20},
            "prices":[{"kind":"flat","amount":4900},
                {"kind":"perUnit","unitAmount":"0.5","metric":{"eventName":"call","aggregation":"sum","property":"bytes"}}]}"#,
        )
        .unwrap();
        assert!(plan.terms.is_metered());
        assert_eq!(plan.terms.plan, plan.id);
        let stored = serde_json::to_value(&plan).unwrap();
        assert_eq!(stored["terms"]["interval"], "30d");
        assert_eq!(serde_json::from_value::<Plan>(stored).unwrap(), plan);
    }

    #[test]
    fn every_broken_rule_has_its_field() {
        let error = plan(
            r#"{"name":"","interval":"monthly","currency":"EURO","trialDays":731,"entitlements":{"a b":true},
            "prices":[{"kind":"flat"}]}"#,
        );
        let Err(Error::Invalid(problems)) = error else {
            panic!("taken")
        };
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            ["name", "prices[0].amount", "trialDays", "entitlements", "currency"]
        );
        assert!(plan(r#"{"name":"a","interval":"monthly","currency":"EUR","prices":[]}"#).is_err());
        assert!(
            serde_json::from_str::<NewPlan>(r#"{"name":"a","interval":"weekly","currency":"EUR","prices":[]}"#)
                .is_err()
        );
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let metric = r#""metric":{"eventName":"call","aggregation":"count"}"#;
        let tiers = r#"[{"upTo":250,"unitAmount":"0"},{"upTo":null,"unitAmount":"2.5","flatAmount":7}]"#;
        let json = format!(
            r#"{{"name":"Pro","interval":"yearly","currency":"EUR","trialDays":14,"includedCredits":5,
            "trialUsageBilled":true,"entitlements":{{"sso":true}},
            "prices":[{{"kind":"flat","amount":4900}},{{"kind":"perUnit","unitAmount":"0.5",{metric}}},
                {{"kind":"graduated","tiers":{tiers},{metric}}},{{"kind":"volume","tiers":{tiers},{metric}}},
                {{"kind":"package","size":10,"amount":3,{metric}}}]}}"#
        );
        let one = plan(&json).unwrap();
        let patched = |json: &str| one.patched(&serde_json::from_str(json).unwrap());
        assert_eq!(patched("{}").unwrap(), one);
        let other = patched(r#"{"name":"Max","trialDays":null,"includedCredits":null,"entitlements":{}}"#).unwrap();
        assert_eq!((other.terms.name.as_str(), other.terms.trial_days), ("Max", 0));
        assert_eq!((other.included_credits, other.entitlements.len()), (None, 0));
        assert_eq!(other.terms.prices, one.terms.prices);
        assert!(patched(r#"{"prices":[]}"#).is_err());
        assert!(serde_json::from_str::<PlanPatch>(r#"{"prices":null}"#).is_err());
    }

    #[test]
    fn of_two_entitlements_the_larger_counts() {
        use Entitlement::{Has, UpTo};
        for (one, two, most) in [
            (UpTo(3), UpTo(5), UpTo(5)),
            (Has(false), Has(true), Has(true)),
            (Has(true), UpTo(5), UpTo(5)),
        ] {
            assert_eq!((one.or_more(two), two.or_more(one)), (most, most));
        }
    }

    #[test]
    fn changing_a_plan_keeps_its_id() {
        let json = |amount| {
            format!(
                r#"{{"name":"a","interval":"monthly","currency":"EUR","prices":[{{"kind":"flat","amount":{amount}}}]}}"#
            )
        };
        let mut one = plan(&json(5)).unwrap();
        let sold = one.terms.clone();
        one.change(&serde_json::from_str(&json(6)).unwrap()).unwrap();
        assert_eq!(one.terms.plan, sold.plan);
        assert_ne!(one.terms.prices, sold.prices);
    }
}
