//! Plans: what an organization has of the product. Pure.
//!
//! An entitlement is a number, or that something may be done at all. Whatever limits an organization by its plan asks here.

use std::collections::BTreeMap;

use serde::Serialize;

/// What a plan grants.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What it is called.
    pub name: &'static str,
    /// Credits for each calendar month.
    pub included_credits: u64,
    entitlements: &'static [(&'static str, Entitlement)],
}

/// One thing that a plan grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Entitlement {
    /// So many, or so much.
    Number(u64),
    /// That it may be done.
    Granted(bool),
}

/// What everybody begins with.
pub const FREE: Plan = Plan {
    name: "free",
    included_credits: 100_000,
    entitlements: &[
        ("alertsPerProject", Entitlement::Number(200)),
        ("includedCredits", Entitlement::Number(100_000)),
        ("maxFileMb", Entitlement::Number(10)),
        ("metrics", Entitlement::Granted(true)),
    ],
};

/// What an organization is entitled to, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementsView {
    /// The plan.
    #[schema(example = "free")]
    pub plan: &'static str,
    /// What it grants, by name: a number, or `true`.
    #[schema(example = json!({"maxFileMb": 10, "metrics": true}))]
    pub entitlements: BTreeMap<&'static str, Entitlement>,
}

impl From<&Plan> for EntitlementsView {
    fn from(plan: &Plan) -> Self {
        Self {
            plan: plan.name,
            entitlements: plan.entitlements.iter().copied().collect(),
        }
    }
}
