//! /v1/contracts: agreements with clients, and the subscriptions under them.

mod subscriptions;

use axum::extract::State;
use billing::Contract;
use billing::contract::{ContractPatch, ContractView, NewContract, Termination};
use gate::{Guarded, Routes, Serve, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ClientId, ContractId, Scope};
use lambda::{App, Created, Function, Json, List, Pages, Paging, Path, Result};
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<Contracts>("contracts");

struct Contracts;

impl Serve for Contracts {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new()
            .members(routes![create, list, get, update, activate, suspend, resume, terminate])
            .members(subscriptions::routes())
    }
}

/// Makes a draft of a contract with a client
#[utoipa::path(post, path = "/v1/contracts", operation_id = "create_contract", tag = "Contracts",
    request_body = NewContract, responses((status = 201, body = ContractView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Json(input): Json<NewContract>,
) -> Result<Created<ContractView>> {
    Ok(Created(Contract::create(&app, &scope, &input).await?))
}

/// Which contracts are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Only those with this client; what was changed a moment ago may be missing.
    client_id: Option<ClientId>,
}

/// Lists the contracts, newest first
#[utoipa::path(get, path = "/v1/contracts", operation_id = "list_contracts", tag = "Contracts", params(Listed, Paging),
    responses((status = 200, body = List<ContractView>)))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    pages: Pages<Listed>,
) -> Result<Json<List<ContractView>>> {
    let page = match pages.filter.client_id {
        None => Contract::list(&app.table, &scope, pages.slice()?).await?,
        Some(client) => Contract::list_of(&app.table, &scope, client, pages.slice()?).await?,
    };
    Ok(Json(pages.list(page, |contract| ContractView::from(&contract))?))
}

/// Shows a contract
#[utoipa::path(get, path = "/v1/contracts/{id}", operation_id = "get_contract", tag = "Contracts",
    params(("id" = ContractId, Path, description = "The contract.")), responses((status = 200, body = ContractView)))]
async fn get(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<ContractId>,
) -> Result<Json<ContractView>> {
    let contract = Contract::load(&app.table, &scope, id).await?;
    Ok(Json(ContractView::from(&contract)))
}

/// Changes a contract
///
/// An end inside a period takes the days after it off the last flat price. 409 `contract_ended` once it is over.
#[utoipa::path(patch, path = "/v1/contracts/{id}", operation_id = "update_contract", tag = "Contracts",
    params(("id" = ContractId, Path, description = "The contract.")), request_body = ContractPatch,
    responses((status = 200, body = ContractView)))]
async fn update(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<ContractId>,
    Json(input): Json<ContractPatch>,
) -> Result<Json<ContractView>> {
    Ok(Json(Contract::patch(&app, &scope, id, &input).await?))
}

/// Lets a draft begin, and its subscriptions with it
///
/// 409 `contract_not_draft`; 409 `contract_without_subscription`; 409 `contract_ended` if its end lies in the past.
#[utoipa::path(post, path = "/v1/contracts/{id}/activate", operation_id = "activate_contract", tag = "Contracts",
    params(("id" = ContractId, Path, description = "The contract.")), responses((status = 200, body = ContractView)))]
async fn activate(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<ContractId>,
) -> Result<Json<ContractView>> {
    Ok(Json(Contract::begin(&app, &scope, id).await?))
}

/// Lets a contract rest, and its active subscriptions with it
///
/// 409 `contract_not_active`.
#[utoipa::path(post, path = "/v1/contracts/{id}/suspend", operation_id = "suspend_contract", tag = "Contracts",
    params(("id" = ContractId, Path, description = "The contract.")), responses((status = 200, body = ContractView)))]
async fn suspend(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<ContractId>,
) -> Result<Json<ContractView>> {
    Ok(Json(Contract::rest(&app, &scope, id).await?))
}

/// Lets a suspended contract go on, with the subscriptions that it paused
///
/// 409 `contract_not_suspended`; 409 `contract_ended` if it ended meanwhile.
#[utoipa::path(post, path = "/v1/contracts/{id}/resume", operation_id = "resume_contract", tag = "Contracts",
    params(("id" = ContractId, Path, description = "The contract.")), responses((status = 200, body = ContractView)))]
async fn resume(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<ContractId>,
) -> Result<Json<ContractView>> {
    Ok(Json(Contract::go_on(&app, &scope, id).await?))
}

/// Ends a contract now, and its subscriptions with it; what they have not used goes to the client's balance
///
/// 409 `contract_ended` if it has ended already.
#[utoipa::path(post, path = "/v1/contracts/{id}/terminate", operation_id = "terminate_contract", tag = "Contracts",
    params(("id" = ContractId, Path, description = "The contract.")), request_body = Termination,
    responses((status = 200, body = ContractView)))]
async fn terminate(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<ContractId>,
    Json(input): Json<Termination>,
) -> Result<Json<ContractView>> {
    Ok(Json(Contract::end(&app, &scope, id, input.reason).await?))
}
