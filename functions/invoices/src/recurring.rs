//! /v1/recurring-invoices: invoices that recur on the days of a schedule.

use axum::extract::State;
use billing::Recurring;
use billing::recurring::{NewRecurring, RecurringView};
use gate::{Guarded, Route, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ClientId, RecurringInvoiceId, Scope};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};
use serde::Deserialize;

pub(crate) fn routes() -> Vec<Route<Guarded>> {
    routes![create, list, get, pause, resume, cancel]
}

/// Makes a recurring invoice
///
/// Its days count from the one of `startAt` in the client's zone: a 31st is the last day of a month that is too short, and the
/// 31st again after it. Each day is one invoice, dated on it and however late it is made; days before now are made up for.
#[utoipa::path(post, path = "/v1/recurring-invoices", operation_id = "create_recurring_invoice",
    tag = "Recurring invoices", request_body = NewRecurring, responses((status = 201, body = RecurringView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Json(input): Json<NewRecurring>,
) -> Result<Created<RecurringView>> {
    Ok(Created(Recurring::create(&app, &scope, &input).await?))
}

/// Which recurring invoices are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Those of this client.
    client_id: Option<ClientId>,
}

/// Lists recurring invoices, newest first
#[utoipa::path(get, path = "/v1/recurring-invoices", operation_id = "list_recurring_invoices",
    tag = "Recurring invoices", params(Filter, Paging), responses((status = 200, body = List<RecurringView>)))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    pages: Pages<Filter>,
) -> Result<Json<List<RecurringView>>> {
    let page = Recurring::list(&app.table, &scope, pages.filter.client_id, pages.slice()?).await?;
    Ok(Json(pages.list(page, RecurringView::from)?))
}

/// Shows a recurring invoice
#[utoipa::path(get, path = "/v1/recurring-invoices/{id}", operation_id = "get_recurring_invoice",
    tag = "Recurring invoices", params(("id" = RecurringInvoiceId, Path, description = "The recurring invoice.")),
    responses((status = 200, body = RecurringView)))]
async fn get(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<RecurringInvoiceId>,
) -> Result<Json<RecurringView>> {
    let recurring = Recurring::load(&app.table, &scope, id).await?;
    Ok(Json(recurring.into()))
}

/// Lets a recurring invoice rest
///
/// Days that come meanwhile are left out. What was due before is made, however late.
#[utoipa::path(post, path = "/v1/recurring-invoices/{id}/pause", operation_id = "pause_recurring_invoice",
    tag = "Recurring invoices", params(("id" = RecurringInvoiceId, Path, description = "The recurring invoice.")),
    responses((status = 200, body = RecurringView)))]
async fn pause(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<RecurringInvoiceId>,
) -> Result<Json<RecurringView>> {
    Ok(Json(Recurring::pause_now(&app, &scope, id).await?))
}

/// Lets a recurring invoice go on, from today
#[utoipa::path(post, path = "/v1/recurring-invoices/{id}/resume", operation_id = "resume_recurring_invoice",
    tag = "Recurring invoices", params(("id" = RecurringInvoiceId, Path, description = "The recurring invoice.")),
    responses((status = 200, body = RecurringView)))]
async fn resume(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<RecurringInvoiceId>,
) -> Result<Json<RecurringView>> {
    Ok(Json(Recurring::resume_now(&app, &scope, id).await?))
}

/// Ends a recurring invoice
#[utoipa::path(post, path = "/v1/recurring-invoices/{id}/cancel", operation_id = "cancel_recurring_invoice",
    tag = "Recurring invoices", params(("id" = RecurringInvoiceId, Path, description = "The recurring invoice.")),
    responses((status = 200, body = RecurringView)))]
async fn cancel(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<RecurringInvoiceId>,
) -> Result<Json<RecurringView>> {
    Ok(Json(Recurring::cancel_now(&app, &scope, id).await?))
}
