//! /v1/payments, and those of an invoice: money that came from outside and was recorded by hand.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use billing::invoice::NewPayment;
use billing::payment::PaymentView;
use billing::{Invoice, Payment};
use gate::{Guarded, Route, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{InvoiceId, Scope};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};
use serde::Deserialize;

use crate::csv::{Cell, Columns, Format};

pub(crate) fn routes() -> Vec<Route<Guarded>> {
    routes![record, list_of, list]
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
    Ok(Json(pages.list(page, PaymentView::from)?))
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
        "currency",
        "amount",
        "amountToBalance",
        "method",
        "paidAt",
        "createdAt",
        "reference",
    ],
    row: |payment| {
        let method = serde_json::json!(payment.method);
        vec![
            Cell::plain(&payment.id),
            Cell::plain(&payment.invoice_id),
            Cell::plain(&payment.client_id),
            Cell::plain(payment.currency.code()),
            Cell::amount(payment.amount, payment.currency),
            Cell::amount(payment.amount_to_balance, payment.currency),
            Cell::maybe(method.as_str()),
            Cell::plain(&payment.paid_at),
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
    Ok(format.answer(&pages, page, PaymentView::from, &COLUMNS)?)
}
