//! /v1/clients: whom an organization sells to; and what: plans, and coupons.

mod coupons;
mod plans;

use axum::extract::State;
use axum::http::StatusCode;
use billing::Client;
use billing::client::{ClientEntitlements, ClientPatch, ClientView, NewClient};
use gate::{Guarded, Routes, Serve, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ClientId, Error, Scope};
use lambda::{App, Created, Function, Json, List, Pages, Paging, Path, Result};
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<Clients>("clients");

struct Clients;

impl Serve for Clients {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new()
            .members(routes![create, list, search, get, update, delete, entitlements])
            .members(plans::routes())
            .members(coupons::routes())
    }
}

/// Makes a client
///
/// Events whose `userId` is its `externalId` are its usage; no two clients have the same (409 `external_id_taken`).
#[utoipa::path(post, path = "/v1/clients", operation_id = "create_client", tag = "Clients", request_body = NewClient,
    responses((status = 201, body = ClientView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Json(input): Json<NewClient>,
) -> Result<Created<ClientView>> {
    Ok(Created(Client::create(&app, &scope, &input).await?))
}

/// Lists the clients, newest first
#[utoipa::path(get, path = "/v1/clients", operation_id = "list_clients", tag = "Clients", params(Paging),
    responses((status = 200, body = List<ClientView>)))]
async fn list(State(app): State<App>, scope: Scope<ReadBilling>, pages: Pages) -> Result<Json<List<ClientView>>> {
    let page = Client::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, ClientView::from)?))
}

/// What is looked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// A part of a name, of an email address or of an `externalId`, in any case: 1 to 200 characters.
    q: String,
}

/// Looks for clients, newest first
///
/// A call looks at 2,000 clients at most: a page may have fewer than `limit`, even none, while `nextCursor` says that there
/// are more to look at.
#[utoipa::path(get, path = "/v1/clients/search", operation_id = "search_clients", tag = "Clients",
    params(Wanted, Paging), responses((status = 200, body = List<ClientView>)))]
async fn search(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    pages: Pages<Wanted>,
) -> Result<Json<List<ClientView>>> {
    let text = pages.filter.q.trim();
    if text.is_empty() || text.chars().count() > 200 {
        return Err(Error::invalid("q", "must have 1 to 200 characters").into());
    }
    let page = Client::search(&app.table, &scope, text, pages.slice()?).await?;
    Ok(Json(pages.list(page, ClientView::from)?))
}

/// Shows a client
#[utoipa::path(get, path = "/v1/clients/{id}", operation_id = "get_client", tag = "Clients",
    params(("id" = ClientId, Path, description = "The client.")), responses((status = 200, body = ClientView)))]
async fn get(State(app): State<App>, scope: Scope<ReadBilling>, Path(id): Path<ClientId>) -> Result<Json<ClientView>> {
    let client = Client::load(&app.table, &scope, id).await?;
    Ok(Json(client.into()))
}

/// Changes a client
///
/// What was sent stays as it is, and subscriptions keep the time zone that they began in.
#[utoipa::path(patch, path = "/v1/clients/{id}", operation_id = "update_client", tag = "Clients",
    params(("id" = ClientId, Path, description = "The client.")), request_body = ClientPatch,
    responses((status = 200, body = ClientView)))]
async fn update(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<ClientId>,
    Json(input): Json<ClientPatch>,
) -> Result<Json<ClientView>> {
    let client = Client::patch(&app, &scope, id, &input).await?;
    Ok(Json(client.into()))
}

/// Deletes a client; what was sold to it stays
///
/// 409 `client_has_contract` while a contract with it has not ended.
#[utoipa::path(delete, path = "/v1/clients/{id}", operation_id = "delete_client", tag = "Clients",
    params(("id" = ClientId, Path, description = "The client.")),
    responses((status = 204, description = "It is deleted.")))]
async fn delete(State(app): State<App>, scope: Scope<ManageBilling>, Path(id): Path<ClientId>) -> Result<StatusCode> {
    Client::remove(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows what a client is entitled to by the plans of its subscriptions that run
///
/// Of two plans that grant the same, the one that grants more counts. Its newest 100 contracts are looked at.
#[utoipa::path(get, path = "/v1/clients/{id}/entitlements", operation_id = "get_client_entitlements", tag = "Clients",
    params(("id" = ClientId, Path, description = "The client.")),
    responses((status = 200, body = ClientEntitlements)))]
async fn entitlements(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<ClientId>,
) -> Result<Json<ClientEntitlements>> {
    Ok(Json(ClientEntitlements::load(&app, &scope, id).await?))
}
