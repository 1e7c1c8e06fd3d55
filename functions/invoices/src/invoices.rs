//! /v1/invoices: drafting, sending, cancelling, looking.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use billing::Invoice;
use billing::invoice::{InvoicePatch, InvoiceView, Listed, NewInvoice, Status};
use gate::{Guarded, Route, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ClientId, InvoiceId, Scope};
use lambda::csv::{Cell, Columns, Format};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};
use serde::Deserialize;

use crate::moment::{Moment, span};

pub(crate) fn routes() -> Vec<Route<Guarded>> {
    routes![create, list, get, update, delete, send, cancel, viewed]
}

/// Drafts an invoice
///
/// Amounts are in minor units. The tax rate of a line is its own, else the invoice's, the client's, the organization's; tax is
/// computed once for each rate, on the sum of its lines. A coupon's discount is a line of its own for each rate. A draft has
/// no number.
#[utoipa::path(post, path = "/v1/invoices", operation_id = "create_invoice", tag = "Invoices", request_body = NewInvoice,
    responses((status = 201, body = InvoiceView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Json(input): Json<NewInvoice>,
) -> Result<Created<InvoiceView>> {
    Ok(Created(Invoice::create(&app, &scope, &input).await?))
}

/// Which invoices are listed: those for which all that is given holds.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Those in this state.
    #[param(inline)]
    status: Option<Status>,
    /// Those of this client.
    client_id: Option<ClientId>,
    /// Those made from then on: a time, or a date in the organization's zone.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-01-01")]
    from: Option<Moment>,
    /// Those made before then: a time, or a date, which is the last.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-01-31")]
    to: Option<Moment>,
    /// `csv` for a spreadsheet; as `accept: text/csv`.
    #[param(inline)]
    format: Option<Format>,
}

const COLUMNS: Columns<InvoiceView> = Columns {
    file: "invoices",
    names: &[
        "id",
        "number",
        "status",
        "clientId",
        "currency",
        "subtotal",
        "taxAmount",
        "total",
        "amountPaid",
        "amountCredited",
        "amountDue",
        "issuedOn",
        "dueDate",
        "createdAt",
        "sentAt",
        "paidAt",
        "billingKey",
        "notes",
    ],
    row: |invoice| {
        let amount = |minor| Cell::amount(minor, invoice.currency);
        vec![
            Cell::plain(&invoice.id),
            Cell::maybe(invoice.number.as_ref()),
            Cell::plain(invoice.status.name()),
            Cell::plain(&invoice.client_id),
            Cell::plain(invoice.currency.code()),
            amount(invoice.subtotal),
            amount(invoice.tax_amount),
            amount(invoice.total),
            amount(invoice.amount_paid),
            amount(invoice.amount_credited),
            amount(invoice.amount_due),
            Cell::maybe(invoice.issued_on),
            Cell::plain(&invoice.due_date),
            Cell::plain(&invoice.created_at),
            Cell::maybe(invoice.sent_at),
            Cell::maybe(invoice.paid_at),
            Cell::maybe(invoice.billing_key.as_ref()),
            invoice.notes.clone().map_or(Cell::Nothing, Cell::Text),
        ]
    },
};

/// Lists invoices, newest first
///
/// A page costs the same however many there are. Of the invoices of a client in one state a page may be short, though
/// others follow. As CSV a page has up to 1,000 rows, amounts as people write them, and `link: <…>; rel="next"` where
/// another page follows.
#[utoipa::path(get, path = "/v1/invoices", operation_id = "list_invoices", tag = "Invoices", params(Filter, Paging),
    responses((status = 200, content((List<InvoiceView> = "application/json"), (String = "text/csv")),
        headers(("link" = String, description = "Of CSV: the next page; absent on the last.")))))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    headers: HeaderMap,
    pages: Pages<Filter>,
) -> Result<Response> {
    let filter = &pages.filter;
    let format = Format::of(filter.format, &headers);
    let (_, [from, to]) = span(&app, &scope, filter.from, filter.to).await?;
    let listed = Listed {
        status: filter.status,
        client: filter.client_id,
        from,
        to,
    };
    let page = Invoice::list(&app.table, &scope, listed, format.slice(&pages)?).await?;
    Ok(format.answer(&pages, page, InvoiceView::from, &COLUMNS)?)
}

/// Shows an invoice
#[utoipa::path(get, path = "/v1/invoices/{id}", operation_id = "get_invoice", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice.")), responses((status = 200, body = InvoiceView)))]
async fn get(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>> {
    let invoice = Invoice::load(&app.table, &scope, id).await?;
    Ok(Json(invoice.into()))
}

/// Changes a draft
///
/// What is absent stays as it was given; lines that are given replace all. 409 `invoice_not_draft` once it was sent.
#[utoipa::path(patch, path = "/v1/invoices/{id}", operation_id = "update_invoice", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice.")), request_body = InvoicePatch,
    responses((status = 200, body = InvoiceView)))]
async fn update(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<InvoiceId>,
    Json(input): Json<InvoicePatch>,
) -> Result<Json<InvoiceView>> {
    Ok(Json(Invoice::patch(&app, &scope, id, &input).await?))
}

/// Deletes a draft
///
/// It has taken no number. 409 `invoice_not_draft` once it was sent: cancel it instead.
#[utoipa::path(delete, path = "/v1/invoices/{id}", operation_id = "delete_invoice", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice.")),
    responses((status = 204, description = "It is deleted.")))]
async fn delete(State(app): State<App>, scope: Scope<ManageBilling>, Path(id): Path<InvoiceId>) -> Result<StatusCode> {
    Invoice::remove(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends an invoice
///
/// It gets the next number of the organization and its year, without a gap, and is dated. The client's balance pays first;
/// where nothing is due then, it is paid. The client is mailed.
#[utoipa::path(post, path = "/v1/invoices/{id}/send", operation_id = "send_invoice", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice.")), responses((status = 200, body = InvoiceView)))]
async fn send(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>> {
    Ok(Json(Invoice::send_now(&app, &scope, id).await?))
}

/// Cancels an invoice
///
/// What was paid of it goes to the client's balance, except what a payment provider can give back. 409 `invoice_paid` once it
/// is paid: credit it instead. Its number stays taken.
#[utoipa::path(post, path = "/v1/invoices/{id}/cancel", operation_id = "cancel_invoice", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice.")), responses((status = 200, body = InvoiceView)))]
async fn cancel(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>> {
    Ok(Json(Invoice::cancel_now(&app, &scope, id).await?))
}

/// Notes that the client has looked at an invoice
#[utoipa::path(post, path = "/v1/invoices/{id}/viewed", operation_id = "view_invoice", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice.")), responses((status = 200, body = InvoiceView)))]
async fn viewed(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<InvoiceId>,
) -> Result<Json<InvoiceView>> {
    Ok(Json(Invoice::view_now(&app, &scope, id).await?))
}
