//! Buying credits: by hand, and by itself when few are left.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Route, routes};
use kernel::link::Links;
use kernel::policy::{ReadWallet, TopUpWallet};
use kernel::{Check, Error, Input, Scope};
use lambda::{App, Created, Json, List, Pages, Paging, Result};
use metering::topup::{self, AutoTopup, MOST, StartedTopup, TopupView};
use metering::{Wallet, grants};
use serde::Deserialize;

use crate::Wallets;

pub(crate) fn routes() -> Vec<Route<Wallets>> {
    routes![create, list, get_auto, set_auto, delete_auto]
}

/// Credits that somebody wants to buy.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewTopup {
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 10_000)]
    credits: i64,
}

impl Input for NewTopup {
    fn check(&self, check: &mut Check) {
        check.range("credits", self.credits, 1..=MOST);
    }
}

/// How a wallet is to be topped up by itself.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AutoTopupInput {
    /// When the balance falls below this, credits are bought.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 1_000)]
    threshold: i64,
    /// They are bought in whole steps of this, as few as reach the threshold.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 500)]
    step: i64,
}

impl Input for AutoTopupInput {
    fn check(&self, check: &mut Check) {
        check.range("threshold", self.threshold, 1..=MOST);
        check.range("step", self.step, 1..=MOST);
    }
}

/// Asks for credits
///
/// The top-up is `pending` until it is paid, at `paymentUrl`, a page without a login, by a provider of one's choice; the
/// platform takes the money, and the credits are there within seconds. A refund takes back what is unspent of them; the rest
/// is `debt`.
#[utoipa::path(post, path = "/v1/wallet/topups", operation_id = "create_topup", tag = "Wallet", request_body = NewTopup,
    responses((status = 201, body = StartedTopup)))]
async fn create(
    State(app): State<App>,
    State(links): State<Links>,
    scope: Scope<TopUpWallet>,
    Json(input): Json<NewTopup>,
) -> Result<Created<StartedTopup>> {
    let started = topup::create(&app, &links, &scope, input.credits.unsigned_abs()).await?;
    Ok(Created(started))
}

/// Lists the top-ups, newest first
#[utoipa::path(get, path = "/v1/wallet/topups", operation_id = "list_topups", tag = "Wallet", params(Paging),
    responses((status = 200, body = List<TopupView>)))]
async fn list(
    State(app): State<App>,
    State(links): State<Links>,
    scope: Scope<ReadWallet>,
    pages: Pages,
) -> Result<Json<List<TopupView>>> {
    let page = topup::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, |topup| TopupView::of(&topup, &links))?))
}

/// Shows how the wallet is topped up by itself; 404 if it is not
#[utoipa::path(get, path = "/v1/wallet/auto-topup", operation_id = "get_auto_topup", tag = "Wallet",
    responses((status = 200, body = AutoTopup)))]
async fn get_auto(State(app): State<App>, scope: Scope<ReadWallet>) -> Result<Json<AutoTopup>> {
    let wallet = Wallet::now(&app, &scope).await?;
    let auto = wallet.auto_topup.ok_or(Error::NotFound("automatic top-up"))?;
    Ok(Json(auto))
}

/// Lets the wallet be topped up by itself
///
/// When the balance falls below the threshold, or is below it already, a top-up is asked for: as many whole steps as fill
/// the gap. Only one of this kind is open at a time; until it is fulfilled, no other is asked for. Credits that the platform
/// grants by hand fulfil it.
#[utoipa::path(put, path = "/v1/wallet/auto-topup", operation_id = "set_auto_topup", tag = "Wallet",
    request_body = AutoTopupInput, responses((status = 200, body = AutoTopup)))]
async fn set_auto(
    State(app): State<App>,
    scope: Scope<TopUpWallet>,
    Json(input): Json<AutoTopupInput>,
) -> Result<Json<AutoTopup>> {
    let auto = AutoTopup {
        threshold: input.threshold.unsigned_abs(),
        step: input.step.unsigned_abs(),
    };
    grants::set_auto_topup(&app, &scope, Some(auto)).await?;
    Ok(Json(auto))
}

/// Lets the wallet be topped up by itself no more
///
/// A top-up that is open stays so.
#[utoipa::path(delete, path = "/v1/wallet/auto-topup", operation_id = "delete_auto_topup", tag = "Wallet",
    responses((status = 204, description = "It is not topped up by itself.")))]
async fn delete_auto(State(app): State<App>, scope: Scope<TopUpWallet>) -> Result<StatusCode> {
    grants::set_auto_topup(&app, &scope, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
