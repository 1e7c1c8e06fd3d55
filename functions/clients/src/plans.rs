//! /v1/plans: what is sold, how often it is billed and at which prices.

use axum::extract::State;
use axum::http::StatusCode;
use billing::Plan;
use billing::plan::{NewPlan, PlanPatch, PlanView};
use gate::{Guarded, Route, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{PlanId, Scope};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};

pub(crate) fn routes() -> Vec<Route<Guarded>> {
    routes![create, list, get, update, delete]
}

/// Makes a plan
///
/// Flat prices are billed at the start of each period, metered ones after its end with the next flat. An event is usage of
/// the client whose `externalId` is its `userId`.
#[utoipa::path(post, path = "/v1/plans", operation_id = "create_plan", tag = "Plans", request_body = NewPlan,
    responses((status = 201, body = PlanView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Json(input): Json<NewPlan>,
) -> Result<Created<PlanView>> {
    Ok(Created(Plan::create(&app, &scope, &input).await?))
}

/// Lists the plans, newest first
#[utoipa::path(get, path = "/v1/plans", operation_id = "list_plans", tag = "Plans", params(Paging),
    responses((status = 200, body = List<PlanView>)))]
async fn list(State(app): State<App>, scope: Scope<ReadBilling>, pages: Pages) -> Result<Json<List<PlanView>>> {
    let page = Plan::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, PlanView::from)?))
}

/// Shows a plan
#[utoipa::path(get, path = "/v1/plans/{id}", operation_id = "get_plan", tag = "Plans",
    params(("id" = PlanId, Path, description = "The plan.")), responses((status = 200, body = PlanView)))]
async fn get(State(app): State<App>, scope: Scope<ReadBilling>, Path(id): Path<PlanId>) -> Result<Json<PlanView>> {
    let plan = Plan::load(&app.table, &scope, id).await?;
    Ok(Json(plan.into()))
}

/// Changes a plan
///
/// Who has it keeps what it was sold at; what it entitles to changes for everybody.
#[utoipa::path(patch, path = "/v1/plans/{id}", operation_id = "update_plan", tag = "Plans",
    params(("id" = PlanId, Path, description = "The plan.")), request_body = PlanPatch,
    responses((status = 200, body = PlanView)))]
async fn update(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<PlanId>,
    Json(input): Json<PlanPatch>,
) -> Result<Json<PlanView>> {
    let plan = Plan::patch(&app, &scope, id, &input).await?;
    Ok(Json(plan.into()))
}

/// Deletes a plan: nobody gets it any more, and who has it keeps it
#[utoipa::path(delete, path = "/v1/plans/{id}", operation_id = "delete_plan", tag = "Plans",
    params(("id" = PlanId, Path, description = "The plan.")),
    responses((status = 204, description = "It is deleted.")))]
async fn delete(State(app): State<App>, scope: Scope<ManageBilling>, Path(id): Path<PlanId>) -> Result<StatusCode> {
    Plan::remove(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
