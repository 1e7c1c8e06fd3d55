//! /v1/payments, and those of an invoice: money that came by a provider or was recorded by hand, and what goes back of it.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use billing::Invoice;
use billing::invoice::NewPayment;
use gate::{Guarded, Route, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{InvoiceId, PaymentId, Scope};
use lambda::csv::{Cell, Columns, Format};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};
use payments::reconcile::Report;
use payments::refund::{self, NewPartialRefund, NewRefund, RefundedView};
use payments::{Payment, PaymentView};
use providers::Provider;
use serde::Deserialize;
use serde_json::json;

pub(crate) fn routes() -> Vec<Route<Guarded>> {
    routes![record, list_of, list, get, refund_all, refund_part, reconciliations]
}

/// Records money that came from outside for an invoice
///
/// More than is due is 422, unless `allowOverpayment` says that the rest is for the client's balance. 409 where nothing can be
/// paid: `invoice_not_sent`, `invoice_paid`, `invoice_cancelled`.
#[utoipa::path(post, path = "/v1/invoices/{id}/payments", operation_id = "record_payment", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice.")), request_body = NewPayment,
    responses((status = 201, body = PaymentView)))]
async fn record(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<InvoiceId>,
    Json(input): Json<NewPayment>,
) -> Result<Created<PaymentView>> {
    Ok(Created(Payment::record(&app, &scope, id, &input).await?))
}

/// Lists the payments of an invoice, newest first
#[utoipa::path(get, path = "/v1/invoices/{id}/payments", operation_id = "list_invoice_payments", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice."), Paging),
    responses((status = 200, body = List<PaymentView>)))]
async fn list_of(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<InvoiceId>,
    pages: Pages,
) -> Result<Json<List<PaymentView>>> {
    let invoice = Invoice::load(&app.table, &scope, id).await?;
    let page = Payment::list_of(&app.table, &scope, invoice.id, pages.slice()?).await?;
    Ok(Json(pages.list(page, |payment| PaymentView::from(&payment))?))
}

/// How payments are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// `csv` for a spreadsheet; as `accept: text/csv`.
    #[param(inline)]
    format: Option<Format>,
}

const COLUMNS: Columns<PaymentView> = Columns {
    file: "payments",
    names: &[
        "id",
        "invoiceId",
        "clientId",
        "status",
        "provider",
        "currency",
        "amount",
        "amountRefunded",
        "amountToBalance",
        "method",
        "paidAt",
        "createdAt",
        "reference",
    ],
    row: |payment| {
        let method = json!(payment.method);
        vec![
            Cell::plain(&payment.id),
            payment.invoice_id.as_ref().map_or(Cell::Nothing, Cell::plain),
            payment.client_id.as_ref().map_or(Cell::Nothing, Cell::plain),
            Cell::maybe(json!(payment.status).as_str()),
            Cell::maybe(payment.provider.map(Provider::name)),
            Cell::plain(payment.currency.code()),
            Cell::amount(payment.amount, payment.currency),
            Cell::amount(
                payment.amount_refunded,
                payment.received_currency.unwrap_or(payment.currency),
            ),
            Cell::amount(payment.amount_to_balance, payment.currency),
            Cell::maybe(method.as_str()),
            payment.paid_at.as_ref().map_or(Cell::Nothing, Cell::plain),
            Cell::plain(&payment.created_at),
            payment.reference.clone().map_or(Cell::Nothing, Cell::Text),
        ]
    },
};

/// Lists payments, newest first
///
/// As CSV a page has up to 1,000 rows, amounts as people write them, and `link: <…>; rel="next"` where another page follows.
#[utoipa::path(get, path = "/v1/payments", operation_id = "list_payments", tag = "Invoices", params(Filter, Paging),
    responses((status = 200, content((List<PaymentView> = "application/json"), (String = "text/csv")),
        headers(("link" = String, description = "Of CSV: the next page; absent on the last.")))))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    headers: HeaderMap,
    pages: Pages<Filter>,
) -> Result<Response> {
    let format = Format::of(pages.filter.format, &headers);
    let page = Payment::list(&app.table, &scope, format.slice(&pages)?).await?;
    Ok(format.answer(&pages, page, |payment| PaymentView::from(&payment), &COLUMNS)?)
}

/// Shows a payment
///
/// `history` says what happened to it, in words.
#[utoipa::path(get, path = "/v1/payments/{id}", operation_id = "get_payment", tag = "Payments",
    params(("id" = PaymentId, Path, description = "The payment.")), responses((status = 200, body = PaymentView)))]
async fn get(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<PaymentId>,
) -> Result<Json<PaymentView>> {
    let payment = Payment::load(&app.table, &scope, id).await?;
    Ok(Json(PaymentView::from(&payment)))
}

/// Gives back all that is left of a payment
///
/// The provider is asked a moment later, once whatever happens. What is `pending` counts against the rest; what `failed` does
/// not any more, also when it had succeeded before. The invoice stays paid and shows `amountRefunded`. 409:
/// `not_refundable` for one by hand, `payment_not_received`, `payment_disputed`, `nothing_to_refund`, `too_many_refunds`.
#[utoipa::path(post, path = "/v1/payments/{id}/refund", operation_id = "refund_payment", tag = "Payments",
    params(("id" = PaymentId, Path, description = "The payment.")), request_body = Option<NewRefund>,
    responses((status = 201, body = RefundedView)))]
async fn refund_all(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<PaymentId>,
    input: Option<Json<NewRefund>>,
) -> Result<Created<RefundedView>> {
    let reason = input.and_then(|Json(input)| input.reason);
    Ok(Created(refund::refund(&app, &scope, id, None, reason).await?))
}

/// Gives back a part of a payment
///
/// As all of it; 409 `refund_too_large` for more than is left, 422 `amount_not_chargeable` for what the provider cannot
/// express.
#[utoipa::path(post, path = "/v1/payments/{id}/partial-refund", operation_id = "refund_part_of_payment", tag = "Payments",
    params(("id" = PaymentId, Path, description = "The payment.")), request_body = NewPartialRefund,
    responses((status = 201, body = RefundedView)))]
async fn refund_part(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<PaymentId>,
    Json(input): Json<NewPartialRefund>,
) -> Result<Created<RefundedView>> {
    let refunded = refund::refund(&app, &scope, id, Some(input.amount), input.reason).await?;
    Ok(Created(refunded))
}

/// Lists what comparisons with payment providers found, newest first
///
/// Each night what a provider lists of the organization's account is compared with what is booked here. What nothing had told
/// of is booked then (`repaired`); what differs all the same is `drift`, told once as `reconciliation.drifted`, and mailed to
/// owners, admins and accountants. A night in which nothing differs has no entry. Cashfree lists nothing: there each payment is looked at for itself.
#[utoipa::path(get, path = "/v1/payment-reconciliations", operation_id = "list_reconciliations", tag = "Payments",
    params(Paging), responses((status = 200, body = List<Report>)))]
async fn reconciliations(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    pages: Pages,
) -> Result<Json<List<Report>>> {
    let page = Report::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, |report| report)?))
}
