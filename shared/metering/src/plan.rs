//! Plans: what an organization has of the product. Pure.
//!
//! An entitlement is a number, or that something may be done at all. Whatever limits an organization by its plan asks here.

mod store;

use std::collections::BTreeMap;

use serde::Serialize;

/// What a plan grants.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What it is called.
    pub name: &'static str,
    /// Credits for each calendar month.
    pub included_credits: u64,
    /// Alerts that one project may have.
    pub alerts_per_project: u32,
    /// How large a file may be, in MiB.
    pub max_file_mb: u32,
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
    alerts_per_project: 200,
    max_file_mb: 10,
};

/// For teams.
pub const PRO: Plan = Plan {
    name: "pro",
    included_credits: 5_000_000,
    alerts_per_project: 200,
    max_file_mb: 50,
};

/// For companies.
pub const ENTERPRISE: Plan = Plan {
    name: "enterprise",
    included_credits: 100_000_000,
    alerts_per_project: 200,
    max_file_mb: 200,
};

/// All of them.
pub const ALL: [&Plan; 3] = [&FREE, &PRO, &ENTERPRISE];

impl Plan {
    /// The plan of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|plan| plan.name == name)
    }

    /// What it grants, by the names that clients know.
    fn entitlements(&self) -> [(&'static str, Entitlement); 4] {
        let number = |number: u32| Entitlement::Number(number.into());
        [
            ("alertsPerProject", number(self.alerts_per_project)),
            ("includedCredits", Entitlement::Number(self.included_credits)),
            ("maxFileMb", number(self.max_file_mb)),
            ("metrics", Entitlement::Granted(true)),
        ]
    }
}

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
            entitlements: plan.entitlements().into_iter().collect(),
        }
    }
}
