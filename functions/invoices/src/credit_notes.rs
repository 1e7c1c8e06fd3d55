//! /v1/credit-notes, and those of an invoice: what is taken back.

use axum::extract::State;
use billing::invoice::{CreditNoteView, NewCreditNote};
use billing::{CreditNote, Invoice};
use gate::{Guarded, Route, routes};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ClientId, CreditNoteId, InvoiceId, Scope};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};
use payments::refund;
use serde::Deserialize;

pub(crate) fn routes() -> Vec<Route<Guarded>> {
    routes![create, list_of, list, get]
}

/// Credits some of an invoice
///
/// Each line is named by its place, from 0, with a `quantity`, an `amount` net of tax, or neither for all that is left of it.
/// All credit notes together come to at most the invoice, with exactly its tax. The credit lowers what is due first; the
/// rest goes to the client's balance, which its next invoice uses; with `refund` it goes back by the payments that paid the
/// invoice, a moment later, each with its refund. 409: `not_refundable` where no payment provider can give anything back,
/// `refund_too_large` where they can give back less.
#[utoipa::path(post, path = "/v1/invoices/{id}/credit-notes", operation_id = "create_credit_note", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice.")), request_body = NewCreditNote,
    responses((status = 201, body = CreditNoteView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageBilling>,
    Path(id): Path<InvoiceId>,
    Json(input): Json<NewCreditNote>,
) -> Result<Created<CreditNoteView>> {
    Ok(Created(refund::credit(&app, &scope, id, &input).await?))
}

/// Lists the credit notes of an invoice, newest first
#[utoipa::path(get, path = "/v1/invoices/{id}/credit-notes", operation_id = "list_invoice_credit_notes", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice."), Paging),
    responses((status = 200, body = List<CreditNoteView>)))]
async fn list_of(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<InvoiceId>,
    pages: Pages,
) -> Result<Json<List<CreditNoteView>>> {
    let invoice = Invoice::load(&app.table, &scope, id).await?;
    let page = CreditNote::list_of(&app.table, &scope, invoice.id, pages.slice()?).await?;
    Ok(Json(pages.list(page, CreditNoteView::from)?))
}

/// Which credit notes are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Those of this client.
    client_id: Option<ClientId>,
}

/// Lists credit notes, newest first
#[utoipa::path(get, path = "/v1/credit-notes", operation_id = "list_credit_notes", tag = "Invoices", params(Filter, Paging),
    responses((status = 200, body = List<CreditNoteView>)))]
async fn list(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    pages: Pages<Filter>,
) -> Result<Json<List<CreditNoteView>>> {
    let slice = pages.slice()?;
    let page = match pages.filter.client_id {
        Some(client) => CreditNote::list_for(&app.table, &scope, client, slice).await?,
        None => CreditNote::list(&app.table, &scope, slice).await?,
    };
    Ok(Json(pages.list(page, CreditNoteView::from)?))
}

/// Shows a credit note
#[utoipa::path(get, path = "/v1/credit-notes/{id}", operation_id = "get_credit_note", tag = "Invoices",
    params(("id" = CreditNoteId, Path, description = "The credit note.")),
    responses((status = 200, body = CreditNoteView)))]
async fn get(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<CreditNoteId>,
) -> Result<Json<CreditNoteView>> {
    let note = CreditNote::load(&app.table, &scope, id).await?;
    Ok(Json(note.into()))
}
