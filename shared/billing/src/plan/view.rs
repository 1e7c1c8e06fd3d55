//! A plan as replies show it.

use std::collections::BTreeMap;

use kernel::{Currency, PlanId, Time};
use serde::Serialize;

use super::{Entitlement, Plan};
use crate::price::Price;
use crate::schedule::Interval;

/// A plan as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// Its id.
    pub id: PlanId,
    /// Its name.
    #[schema(example = "Pro")]
    pub name: String,
    /// How often it is billed.
    pub interval: Interval,
    /// What its prices are in.
    pub currency: Currency,
    /// Its prices.
    pub prices: Vec<Price>,
    /// How many days it is tried, once for each client.
    pub trial_days: u16,
    /// Whether usage during the trial is billed.
    pub trial_usage_billed: bool,
    /// Credits for a month; they do not roll over.
    #[schema(required)]
    pub included_credits: Option<u64>,
    /// What it entitles to.
    pub entitlements: BTreeMap<String, Entitlement>,
    /// When it was made.
    pub created_at: Time,
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        let terms = plan.terms;
        Self {
            id: plan.id,
            name: terms.name,
            interval: terms.interval,
            currency: terms.currency,
            prices: terms.prices,
            trial_days: terms.trial_days,
            trial_usage_billed: terms.trial_usage_billed,
            included_credits: plan.included_credits,
            entitlements: plan.entitlements,
            created_at: plan.created_at,
        }
    }
}
