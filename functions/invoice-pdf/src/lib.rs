//! /v1/invoices/{id}/pdf and /xml, and those of credit notes: what was sent, as a page and as an e-invoice; for whoever has
//! the link of an invoice, too. And statements of clients' accounts.
//!
//! A function of its own, for it alone has a typesetter and fonts in it: the others start without them.

mod statement;

use archive::{Archive, Period};
use axum::extract::{FromRef, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use billing::Invoice;
use billing::invoice::NotOpen;
use documents::{Document, cii, ubl};
use gate::{Gate, Routes, Serve, routes};
use kernel::link::Token;
use kernel::policy::ReadBilling;
use kernel::{ClientId, CreditNoteId, Currency, Day, Error, InvoiceId, OrgId, Scope, Zone};
use lambda::{App, Env, Function, Json, Path, Query, Result, Start};
use serde::Deserialize;

use statement::StatementView;

/// The function.
pub const FUNCTION: Function = gate::function::<InvoicePdf>("invoice-pdf");

#[derive(Clone, FromRef)]
struct InvoicePdf {
    app: App,
    gate: Gate,
    archive: Archive,
}

impl Start for InvoicePdf {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            archive: Archive::of(env)?,
            app,
        })
    }
}

impl Serve for InvoicePdf {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new()
            .members(routes![
                invoice_pdf,
                invoice_xml,
                credit_note_pdf,
                credit_note_xml,
                statement
            ])
            .visitors(routes![linked_pdf, linked_xml])
    }
}

/// Leads to an invoice as a PDF
///
/// It is what was sent: what was paid since does not change it. In the client's language, with the e-invoice in it (PDF/A-3,
/// Factur-X profile EN 16931). The link is good for five minutes and needs no token. A draft and a cancelled invoice say on
/// each page what they are, and carry no e-invoice.
#[utoipa::path(get, path = "/v1/invoices/{id}/pdf", operation_id = "get_invoice_pdf", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice.")),
    responses((status = 302, description = "It lies at `location`.", headers(("location" = String)))))]
async fn invoice_pdf(
    State(app): State<App>,
    State(archive): State<Archive>,
    scope: Scope<ReadBilling>,
    Path(id): Path<InvoiceId>,
) -> Result<Response> {
    let document = archive.invoice(&app, &scope, id).await?;
    Ok(page(&archive, scope.org(), &id.to_string(), &document).await?)
}

/// Shows an invoice as an e-invoice
///
/// EN 16931: as CII by the Factur-X profile EN 16931, or as UBL 2.1. Complete once organization and client carry an address
/// and the organization its `taxId`; what neither said is left out. 409 `invoice_not_sent` for a draft.
#[utoipa::path(get, path = "/v1/invoices/{id}/xml", operation_id = "get_invoice_xml", tag = "Invoices",
    params(("id" = InvoiceId, Path, description = "The invoice."), Written),
    responses((status = 200, description = "The e-invoice.", content_type = "application/xml", body = String)))]
async fn invoice_xml(
    State(app): State<App>,
    State(archive): State<Archive>,
    scope: Scope<ReadBilling>,
    Path(id): Path<InvoiceId>,
    Query(written): Query<Written>,
) -> Result<Response> {
    let document = archive.invoice(&app, &scope, id).await?;
    Ok(written.of(&document)?)
}

/// Leads whoever has its link to an invoice as a PDF
///
/// As `/v1/invoices/{id}/pdf` does its organization.
#[utoipa::path(get, path = "/pay/{token}/pdf", operation_id = "get_linked_pdf", tag = "Payment pages",
    params(("token" = String, Path, description = "The end of the link.")),
    responses((status = 302, description = "It lies at `location`.", headers(("location" = String)))))]
async fn linked_pdf(
    State(app): State<App>,
    State(archive): State<Archive>,
    Path(token): Path<String>,
) -> Result<Response> {
    let (scope, id) = linked(&app, &token).await?;
    let document = archive.invoice(&app, &scope, id).await?;
    Ok(page(&archive, scope.org(), &id.to_string(), &document).await?)
}

/// Shows an invoice as an e-invoice to whoever has its link
///
/// As `/v1/invoices/{id}/xml` does to its organization.
#[utoipa::path(get, path = "/pay/{token}/xml", operation_id = "get_linked_xml", tag = "Payment pages",
    params(("token" = String, Path, description = "The end of the link."), Written),
    responses((status = 200, description = "The e-invoice.", content_type = "application/xml", body = String)))]
async fn linked_xml(
    State(app): State<App>,
    State(archive): State<Archive>,
    Path(token): Path<String>,
    Query(written): Query<Written>,
) -> Result<Response> {
    let (scope, id) = linked(&app, &token).await?;
    let document = archive.invoice(&app, &scope, id).await?;
    Ok(written.of(&document)?)
}

/// The invoice that a link leads to, and the right to read it, which the link proves. 404 if it leads nowhere.
async fn linked(app: &App, token: &str) -> kernel::Result<(Scope<ReadBilling>, InvoiceId)> {
    let token = Token::parse(token).ok_or(Error::NotFound("invoice"))?;
    let invoice = Invoice::by_token(&app.table, &token).await?;
    Ok((Scope::system(invoice.org), invoice.id))
}

/// Leads to a credit note as a PDF
///
/// As that of an invoice. The link is good for five minutes and needs no token.
#[utoipa::path(get, path = "/v1/credit-notes/{id}/pdf", operation_id = "get_credit_note_pdf", tag = "Invoices",
    params(("id" = CreditNoteId, Path, description = "The credit note.")),
    responses((status = 302, description = "It lies at `location`.", headers(("location" = String)))))]
async fn credit_note_pdf(
    State(app): State<App>,
    State(archive): State<Archive>,
    scope: Scope<ReadBilling>,
    Path(id): Path<CreditNoteId>,
) -> Result<Response> {
    let document = archive.credit_note(&app, &scope, id).await?;
    Ok(page(&archive, scope.org(), &id.to_string(), &document).await?)
}

/// Shows a credit note as an e-invoice
///
/// As that of an invoice, with the number of the invoice that it credits.
#[utoipa::path(get, path = "/v1/credit-notes/{id}/xml", operation_id = "get_credit_note_xml", tag = "Invoices",
    params(("id" = CreditNoteId, Path, description = "The credit note."), Written),
    responses((status = 200, description = "The e-invoice.", content_type = "application/xml", body = String)))]
async fn credit_note_xml(
    State(app): State<App>,
    State(archive): State<Archive>,
    scope: Scope<ReadBilling>,
    Path(id): Path<CreditNoteId>,
    Query(written): Query<Written>,
) -> Result<Response> {
    let document = archive.credit_note(&app, &scope, id).await?;
    Ok(written.of(&document)?)
}

/// What a statement is of.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Stated {
    /// The first day; 90 days before the last if absent.
    #[param(value_type = Option<String>, format = Date, example = "2027-01-01")]
    from: Option<Day>,
    /// The last day; today if absent.
    #[param(value_type = Option<String>, format = Date, example = "2027-03-31")]
    to: Option<Day>,
    /// In which currency; the client's if absent.
    #[param(example = "EUR")]
    currency: Option<String>,
    /// What it is shown as.
    #[param(inline)]
    #[serde(default)]
    format: StatedAs,
}

/// What a statement is shown as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum StatedAs {
    /// A link to a page.
    #[default]
    Pdf,
    /// The same as data.
    Json,
}

/// Leads to the statement of a client's account as a PDF
///
/// What the client owed before, each invoice, credit note and payment of these days, and what it owes then; less than nothing
/// is what it has on its balance. Days are those of the client's zone. The link is good for five minutes and needs no token; with
/// `format=json` the same is answered as data. 409 `statement_too_long` where more than 5,000 things happened in these days, and for a
/// client with more than 50,000 invoices.
#[utoipa::path(get, path = "/v1/clients/{id}/statement", operation_id = "get_client_statement", tag = "Clients",
    params(("id" = ClientId, Path, description = "The client."), Stated),
    responses((status = 302, description = "It lies at `location`.", headers(("location" = String))),
        (status = 200, description = "With `format=json`.", body = StatementView)))]
async fn statement(
    State(app): State<App>,
    State(archive): State<Archive>,
    scope: Scope<ReadBilling>,
    Path(id): Path<ClientId>,
    Query(stated): Query<Stated>,
) -> Result<Response> {
    let to = stated.to.unwrap_or_else(|| Zone::utc().day_of(app.now()));
    let from = stated.from.unwrap_or_else(|| to.plus_days(-90));
    if to < from {
        return Err(Error::invalid("to", "must not be before `from`").into());
    }
    let currency = stated.currency.as_deref().map(str::parse::<Currency>).transpose();
    let currency = currency.map_err(|problem| Error::invalid("currency", problem.to_string()))?;
    let given = stated.from.is_some() || stated.to.is_some();
    let period = given.then_some(Period { from, to });
    if stated.format == StatedAs::Json {
        let view = StatementView::of(id, archive::account(&app, &scope, id, period, currency).await?);
        return Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response());
    }
    let location = archive.statement(&app, &scope, id, period, currency).await?;
    Ok(found(location))
}

/// Answers with a link to a document.
async fn page(archive: &Archive, org: OrgId, id: &str, document: &Document) -> kernel::Result<Response> {
    Ok(found(archive.link(org, id, document).await?))
}

fn found(location: String) -> Response {
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (StatusCode::FOUND, headers).into_response()
}

/// What an e-invoice is written in.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Syntax {
    /// Cross Industry Invoice, by the Factur-X profile EN 16931.
    #[default]
    Cii,
    /// UBL 2.1.
    Ubl,
}

/// How an e-invoice is shown.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Written {
    /// What it is written in.
    #[param(inline)]
    #[serde(default)]
    format: Syntax,
}

impl Written {
    fn of(&self, document: &Document) -> kernel::Result<Response> {
        let write = match self.format {
            Syntax::Cii => cii::write,
            Syntax::Ubl => ubl::write,
        };
        let number = document.number.ok_or(NotOpen::Draft)?;
        let xml = write(document).ok_or(NotOpen::Draft)?;
        let headers = [
            (header::CONTENT_TYPE, "application/xml".to_owned()),
            (
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{number}.xml\""),
            ),
        ];
        Ok((headers, xml).into_response())
    }
}
