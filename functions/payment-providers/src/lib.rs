//! /v1/payment-providers and /v1/invoices/{id}/pay: where an organization is paid, and pages on which its clients pay.
//!
//! A function of its own, for it alone of those that people call opens the organizations' credentials and calls providers.

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gate::{Gate, Routes, Serve, routes};
use kernel::check::{Check, Input};
use kernel::policy::{ManageBilling, ManageProviders, ReadBilling};
use kernel::{Error, InvoiceId, Minor, Scope};
use lambda::{App, Created, Env, Function, Json, Path, Result, Start};
use payments::account::{self, AccountView, Keys};
use payments::{Asked, By, StartedView, Till, What};
use providers::Provider;
use serde::{Deserialize, Serialize};

/// The function.
pub const FUNCTION: Function = gate::function::<PaymentProviders>("payment-providers");

#[derive(Clone, FromRef)]
struct PaymentProviders {
    app: App,
    gate: Gate,
    till: Till,
}

impl Start for PaymentProviders {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            till: Till::of(env, &app)?,
            app,
        })
    }
}

impl Serve for PaymentProviders {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new().members(routes![list, get, set, remove, pay])
    }
}

/// Where an organization can be paid.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Accounts {
    /// One entry for each provider.
    data: Vec<AccountView>,
}

/// Lists payment providers, and whether the organization can be paid by each
#[utoipa::path(get, path = "/v1/payment-providers", operation_id = "list_payment_providers", tag = "Payments",
    responses((status = 200, description = "All providers.", body = Accounts)))]
async fn list(State(app): State<App>, State(till): State<Till>, scope: Scope<ReadBilling>) -> Result<Json<Accounts>> {
    let data = account::list(&app.table, &scope, &till).await?;
    Ok(Json(Accounts { data }))
}

/// Shows whether the organization can be paid by a provider
///
/// What opens its account there is never shown.
#[utoipa::path(get, path = "/v1/payment-providers/{provider}", operation_id = "get_payment_provider", tag = "Payments",
    params(("provider" = Provider, Path, description = "The provider.")),
    responses((status = 200, body = AccountView)))]
async fn get(
    State(app): State<App>,
    State(till): State<Till>,
    scope: Scope<ReadBilling>,
    Path(provider): Path<Provider>,
) -> Result<Json<AccountView>> {
    let accounts = account::list(&app.table, &scope, &till).await?;
    let found = accounts.into_iter().find(|account| account.provider == provider);
    Ok(Json(found.ok_or(Error::NotFound("payment provider"))?))
}

/// Sets what opens the organization's account at a provider
///
/// Stripe wants `secretKey` and `webhookSecret`; Razorpay `keyId`, `keySecret` and `webhookSecret`; Cashfree `clientId` and
/// `clientSecret`; 422 for what is missing and for what is another provider's. It is stored sealed and never shown. What was
/// set before still verifies the provider's events for four days. The reply says where the provider is to send them.
#[utoipa::path(put, path = "/v1/payment-providers/{provider}", operation_id = "set_payment_provider", tag = "Payments",
    params(("provider" = Provider, Path, description = "The provider.")), request_body = Keys,
    responses((status = 200, body = AccountView)))]
async fn set(
    State(app): State<App>,
    State(till): State<Till>,
    scope: Scope<ManageProviders>,
    Path(provider): Path<Provider>,
    Json(keys): Json<Keys>,
) -> Result<Json<AccountView>> {
    let credentials = keys.of(provider)?;
    Ok(Json(account::set(&app, &scope, &till, credentials).await?))
}

/// Forgets what opens the organization's account at a provider
///
/// Payments of that account can be given back there only by hand then.
#[utoipa::path(delete, path = "/v1/payment-providers/{provider}", operation_id = "remove_payment_provider", tag = "Payments",
    params(("provider" = Provider, Path, description = "The provider.")),
    responses((status = 204, description = "It is forgotten.")))]
async fn remove(
    State(app): State<App>,
    scope: Scope<ManageProviders>,
    Path(provider): Path<Provider>,
) -> Result<StatusCode> {
    account::forget(&app, &scope, provider).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where an invoice is to be paid, and how much of it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewOnlinePayment {
    /// The provider.
    provider: Provider,
    /// Minor units; all that is due if absent, and never more.
    #[schema(value_type = Option<i64>, minimum = 1)]
    amount: Option<Minor>,
}

impl Input for NewOnlinePayment {
    fn check(&self, check: &mut Check) {
        let fits = |amount: Minor| amount > Minor::ZERO && amount.within().is_ok();
        let rule = "must be above 0 and below 10^15";
        check.that(self.amount.is_none_or(fits), "amount", rule);
    }
}

/// Begins to have an invoice paid
///
/// Opens a page at the provider; the client reaches it by `paymentUrl`, our own page without a login, which opens a fresh one
/// when this has ended. At most one is open for an invoice: the same provider and amount give the same payment again (200),
/// others close it first. 409: `provider_not_configured`, `payment_under_way` while the provider waits for money,
/// `provider_refused`, and where nothing can be paid `invoice_not_sent`, `invoice_paid`, `invoice_cancelled`. 422:
/// `amount_not_chargeable` for what the provider cannot take, `phone_required` where Cashfree wants a client's phone number.
/// 503 `unanswered` when the provider does not answer.
#[utoipa::path(post, path = "/v1/invoices/{id}/pay", operation_id = "pay_invoice", tag = "Payments",
    params(("id" = InvoiceId, Path, description = "The invoice.")), request_body = NewOnlinePayment,
    responses((status = 201, description = "It was begun.", body = StartedView),
        (status = 200, description = "It had been begun.", body = StartedView)))]
async fn pay(
    State(app): State<App>,
    State(till): State<Till>,
    scope: Scope<ManageBilling>,
    Path(id): Path<InvoiceId>,
    Json(input): Json<NewOnlinePayment>,
) -> Result<Response> {
    let asked = Asked {
        org: scope.org(),
        what: What::Invoice(id, input.amount),
        provider: input.provider,
    };
    let started = payments::pay(&app, &till, By::Member(&scope), asked).await?;
    let is_new = started.is_new;
    let view = StartedView::from(started);
    Ok(if is_new {
        Created(view).into_response()
    } else {
        Json(view).into_response()
    })
}
