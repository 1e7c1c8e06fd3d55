//! /v1/subscriptions: plans that clients have under contracts.

use axum::extract::State;
use billing::Subscription;
use billing::subscription::{
    CancelRequest, ChangeReply, ChangeRequest, ChangedView, SubscriptionRequest, SubscriptionView,
};
use gate::{Guarded, Route, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ContractId, Scope, SubscriptionId};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};
use serde::Deserialize;

pub(crate) fn routes() -> Vec<Route<Guarded>> {
    routes![create, list, get, pause, resume, change_plan, cancel]
}

/// Sells a plan to the client of a contract
///
/// Under an active contract it begins at once; under a draft, or one that is suspended, it waits. A client tries a plan
/// once. A contract has at most 10 subscriptions that have not ended (409 `too_many_subscriptions`), and none is added to one
/// that has (409 `contract_ended`). A coupon that may not be applied: 409 `coupon_expired`, `coupon_used_up` or
/// `coupon_currency`.
#[utoipa::path(post, path = "/v1/subscriptions", operation_id = "create_subscription", tag = "Subscriptions",
    request_body = SubscriptionRequest, responses((status = 201, body = SubscriptionView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Json(input): Json<SubscriptionRequest>,
) -> Result<Created<SubscriptionView>> {
    Ok(Created(Subscription::create(&app, &scope, &input).await?))
}

/// Which subscriptions are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Only those of this contract; what was changed a moment ago may be missing.
    contract_id: Option<ContractId>,
}

/// Lists the subscriptions, newest first
#[utoipa::path(get, path = "/v1/subscriptions", operation_id = "list_subscriptions", tag = "Subscriptions",
    params(Listed, Paging), responses((status = 200, body = List<SubscriptionView>)))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    pages: Pages<Listed>,
) -> Result<Json<List<SubscriptionView>>> {
    let page = match pages.filter.contract_id {
        None => Subscription::list(&app.table, &scope, pages.slice()?).await?,
        Some(contract) => Subscription::list_of(&app.table, &scope, contract, pages.slice()?).await?,
    };
    Ok(Json(pages.list(page, |one| SubscriptionView::from(&one))?))
}

/// Shows a subscription
#[utoipa::path(get, path = "/v1/subscriptions/{id}", operation_id = "get_subscription", tag = "Subscriptions",
    params(("id" = SubscriptionId, Path, description = "The subscription.")),
    responses((status = 200, body = SubscriptionView)))]
async fn get(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<SubscriptionId>,
) -> Result<Json<SubscriptionView>> {
    let one = Subscription::load(&app.table, &scope, id).await?;
    Ok(Json(SubscriptionView::from(&one)))
}

/// Pauses a subscription: no period begins, and nothing that was billed is given back
///
/// 409 `subscription_not_active`.
#[utoipa::path(post, path = "/v1/subscriptions/{id}/pause", operation_id = "pause_subscription", tag = "Subscriptions",
    params(("id" = SubscriptionId, Path, description = "The subscription.")),
    responses((status = 200, body = SubscriptionView)))]
async fn pause(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<SubscriptionId>,
) -> Result<Json<SubscriptionView>> {
    Ok(Json(Subscription::rest(&app, &scope, id).await?))
}

/// Lets a paused subscription go on: its anchor stays, and it is billed from today to the next of its days
///
/// 409 `subscription_not_paused`; 409 `contract_not_active`; 409 `subscription_ended` if it ended meanwhile.
#[utoipa::path(post, path = "/v1/subscriptions/{id}/resume", operation_id = "resume_subscription",
    tag = "Subscriptions", params(("id" = SubscriptionId, Path, description = "The subscription.")),
    responses((status = 200, body = SubscriptionView)))]
async fn resume(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<SubscriptionId>,
) -> Result<Json<SubscriptionView>> {
    Ok(Json(Subscription::go_on(&app, &scope, id).await?))
}

/// Changes the plan of a subscription, or shows what that would bring
///
/// The day of the change belongs to the new plan: what is left of the period is given back at the old flat price and taken
/// at the new one, by days, on an invoice or a credit note to the client's balance. With `preview` nothing is changed, and the
/// reply has the `invoice` or `creditNote` that the change would make. 409 `same_plan`, `other_currency`,
/// `subscription_not_active`, `too_many_changes`.
#[utoipa::path(post, path = "/v1/subscriptions/{id}/change-plan", operation_id = "change_plan", tag = "Subscriptions",
    params(("id" = SubscriptionId, Path, description = "The subscription.")), request_body = ChangeRequest,
    responses((status = 200, body = ChangeReply)))]
async fn change_plan(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<SubscriptionId>,
    Json(input): Json<ChangeRequest>,
) -> Result<Json<ChangeReply>> {
    Ok(Json(Subscription::switch(&app, &scope, id, &input).await?))
}

/// Cancels a subscription: for the end of its period, or now; or takes that back
///
/// Now, the unused days go to the client's balance, this one among them. `{"at":null}` takes back what waits for the end of
/// the period (409 `subscription_not_cancelled` if nothing does). 409 `subscription_ended` once it is over.
#[utoipa::path(post, path = "/v1/subscriptions/{id}/cancel", operation_id = "cancel_subscription",
    tag = "Subscriptions", params(("id" = SubscriptionId, Path, description = "The subscription.")),
    request_body = Option<CancelRequest>, responses((status = 200, body = ChangedView)))]
async fn cancel(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<SubscriptionId>,
    input: Option<Json<CancelRequest>>,
) -> Result<Json<ChangedView>> {
    let request = input.map(|Json(request)| request).unwrap_or_default();
    Ok(Json(Subscription::end(&app, &scope, id, request.when()).await?))
}
