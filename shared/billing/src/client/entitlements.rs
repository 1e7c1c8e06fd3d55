//! What a client is entitled to: by the plans of its subscriptions that run.

use std::collections::{BTreeMap, BTreeSet};

use app::App;
use kernel::policy::ReadBilling;
use kernel::{ClientId, PlanId, Result, Scope, SubscriptionId};
use serde::Serialize;
use table::Slice;

use super::Client;
use crate::contract::{self, Contract};
use crate::plan::{Entitlement, Plan};
use crate::subscription::Subscription;

/// So many of a client's contracts are looked at, the newest.
const CONTRACTS: u16 = 100;

/// What a client is entitled to, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientEntitlements {
    /// The names of the plans of its subscriptions that run.
    #[schema(example = json!(["Pro"]))]
    pub plans: Vec<String>,
    /// What they grant, by name: the most that one of them does.
    #[schema(example = json!({"projects": 20, "sso": true}))]
    pub entitlements: BTreeMap<String, Entitlement>,
}

impl ClientEntitlements {
    /// Reads what a client has now; 404 if the organization has none with this id.
    pub async fn load(app: &App, scope: &Scope<ReadBilling>, client: ClientId) -> Result<Self> {
        let (now, table) = (app.now(), &app.table);
        Client::load(table, scope, client).await?;
        let slice = Slice {
            limit: CONTRACTS,
            after: None,
        };
        let contracts = Contract::list_of(table, scope, client, slice).await?.records;
        let running = contracts
            .iter()
            .filter(|contract| contract.status == contract::Status::Active);
        let ids: Vec<SubscriptionId> = running
            .flat_map(|contract| contract.subscriptions.iter().copied())
            .collect();
        let subscriptions = Subscription::load_many(table, scope, &ids).await?;
        let running = subscriptions.iter().filter(|one| one.runs(now) && !one.is_over(now));
        let plans: BTreeSet<PlanId> = running.map(|one| one.terms.plan).collect();
        let ids: Vec<PlanId> = plans.into_iter().collect();
        let mut plans = Plan::load_many_even_deleted(table, scope, &ids).await?;
        plans.sort_by(|one, other| one.terms.name.cmp(&other.terms.name));
        Ok(Self::of(&plans))
    }

    fn of(plans: &[Plan]) -> Self {
        let mut entitlements: BTreeMap<String, Entitlement> = BTreeMap::new();
        for (name, granted) in plans.iter().flat_map(|plan| &plan.entitlements) {
            let most = entitlements.entry(name.clone()).or_insert(*granted);
            *most = most.or_more(*granted);
        }
        Self {
            plans: plans.iter().map(|plan| plan.terms.name.clone()).collect(),
            entitlements,
        }
    }
}
