//! /v1/admin: what the platform's managers set: prices, credits and quotas of organizations; and what its admins look at: how much there
//! is of everything, and the events of all tenants.
//!
//! # Known bounds
//!
//! How much there is of everything is counted anew each time, by up to 20 pages of 1,000 each, and kept nowhere.

mod events;
mod stats;

use axum::extract::State;
use gate::{Guarded, Routes, Serve, routes};
use identity::Quotas;
use identity::quota::{QuotaChange, QuotasView};
use kernel::policy::{GrantCredits, ManagePrices, ManageQuotas};
use kernel::{Check, Input, OrgId, Scope, Time};
use lambda::{App, Created, Function, Json, Path, Result};
use metering::credit_grant::CreditGrant;
use metering::grants::{self, Adjusted, Adjustment};
use metering::price::{self, Prices};
use metering::topup::MOST;
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<Admin>("admin");

struct Admin;

impl Serve for Admin {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new()
            .signed_in(routes![get_prices, set_prices, adjust_credits, get_quotas, set_quotas])
            .and(stats::routes())
            .and(events::routes())
    }
}

/// Shows what operations cost
#[utoipa::path(get, path = "/v1/admin/prices", operation_id = "get_prices", tag = "Platform",
    responses((status = 200, body = Prices)))]
async fn get_prices(State(app): State<App>, _: Scope<ManagePrices>) -> Result<Json<Prices>> {
    let list = price::load(&app.table).await?;
    Ok(Json(Prices::from(&list)))
}

/// Sets what operations cost
///
/// The list replaces the one before. Within a minute calls cost what it says; what was sold before stays sold at the price of
/// then.
#[utoipa::path(put, path = "/v1/admin/prices", operation_id = "set_prices", tag = "Platform", request_body = Prices,
    responses((status = 200, body = Prices)))]
async fn set_prices(
    State(app): State<App>,
    scope: Scope<ManagePrices>,
    Json(input): Json<Prices>,
) -> Result<Json<Prices>> {
    let list = price::set(&app, &scope, &input).await?;
    Ok(Json(Prices::from(&list)))
}

/// Credits to add, or to take back.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AdjustmentInput {
    /// How many; a negative number takes credits back that were granted by mistake. Not 0.
    #[schema(minimum = -1_000_000_000_000_i64, maximum = 1_000_000_000_000_i64, example = 5_000)]
    credits: i64,
    /// Why; the organization sees it.
    #[schema(min_length = 1, max_length = 200, example = "goodwill")]
    reason: String,
    /// When what is left of them ends; never if absent. Counts for credits that are added.
    expires_at: Option<Time>,
    /// Those with a lower number are used first; 50 if absent. Counts for credits that are added.
    #[schema(minimum = 1, maximum = 100, default = 50)]
    priority: Option<i64>,
}

impl Input for AdjustmentInput {
    fn check(&self, check: &mut Check) {
        check.range("credits", self.credits, -MOST..=MOST);
        check.that(self.credits != 0, "credits", "must not be 0");
        check.text("reason", &self.reason, 1..=200);
        let priority = self.priority.unwrap_or(CreditGrant::PRIORITY.into());
        let (first, last) = CreditGrant::PRIORITIES.into_inner();
        check.range("priority", priority, first.into()..=last.into());
    }
}

impl From<AdjustmentInput> for Adjustment {
    fn from(input: AdjustmentInput) -> Self {
        let priority = input.priority.and_then(|priority| u8::try_from(priority).ok());
        Self {
            credits: input.credits,
            reason: input.reason,
            priority: priority.unwrap_or(CreditGrant::PRIORITY),
            expires_at: input.expires_at,
        }
    }
}

/// Adds credits to an organization's wallet, or takes some back
///
/// Credits that are added first pay the wallet's debt, and fulfil the top-up that it asked for by itself, if one is open.
/// Taking back lowers `granted`; it takes what would be used last, and nothing that a call holds: 409 `balance_too_low` if
/// the balance does not have so many. An `expiresAt` that has passed is 422.
#[utoipa::path(post, path = "/v1/admin/orgs/{orgId}/credits", operation_id = "adjust_credits", tag = "Platform",
    params(("orgId" = OrgId, Path, description = "The organization.")), request_body = AdjustmentInput,
    responses((status = 201, body = Adjusted)))]
async fn adjust_credits(
    State(app): State<App>,
    scope: Scope<GrantCredits>,
    Path(org): Path<OrgId>,
    Json(input): Json<AdjustmentInput>,
) -> Result<Created<Adjusted>> {
    let adjusted = grants::adjust(&app, &scope, org, &input.into()).await?;
    Ok(Created(adjusted))
}

/// Shows the quotas of an organization
#[utoipa::path(get, path = "/v1/admin/orgs/{orgId}/quotas", operation_id = "get_quotas", tag = "Platform",
    params(("orgId" = OrgId, Path, description = "The organization.")), responses((status = 200, body = QuotasView)))]
async fn get_quotas(
    State(app): State<App>,
    scope: Scope<ManageQuotas>,
    Path(org): Path<OrgId>,
) -> Result<Json<QuotasView>> {
    Ok(Json(Quotas::show(&app.table, &scope, org).await?))
}

/// Sets quotas of an organization
///
/// What is there above a quota stays; nothing more is made (409 `quota_reached`).
#[utoipa::path(patch, path = "/v1/admin/orgs/{orgId}/quotas", operation_id = "set_quotas", tag = "Platform",
    params(("orgId" = OrgId, Path, description = "The organization.")), request_body = QuotaChange,
    responses((status = 200, body = QuotasView)))]
async fn set_quotas(
    State(app): State<App>,
    scope: Scope<ManageQuotas>,
    Path(org): Path<OrgId>,
    Json(input): Json<QuotaChange>,
) -> Result<Json<QuotasView>> {
    Ok(Json(Quotas::set(&app, &scope, org, &input).await?))
}
