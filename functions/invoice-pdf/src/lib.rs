//! /v1/invoices/{id}/pdf and /xml, and those of credit notes: what was sent, as a page and as an e-invoice.
//!
//! A function of its own, for it alone has a typesetter and fonts in it: the others start without them.

mod source;

use std::time::Duration;

use axum::extract::{FromRef, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use billing::invoice::NotOpen;
use documents::{Document, cii, pdf, ubl};
use gate::{Gate, Routes, Serve, routes};
use kernel::policy::ReadBilling;
use kernel::{CreditNoteId, Error, InvoiceId, OrgId, Scope};
use lambda::{App, Env, Function, Path, Query, Result, Start};
use objects::{Bucket, Link};
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<InvoicePdf>("invoice-pdf");

/// Names the bucket of what was rendered.
const BUCKET: &str = "DOCUMENT_BUCKET";
/// How long a link is good: long enough to be followed, too short to be passed on.
const LINK_LASTS: Duration = Duration::from_mins(5);

#[derive(Clone, FromRef)]
struct InvoicePdf {
    app: App,
    gate: Gate,
    bucket: Bucket,
}

impl Start for InvoicePdf {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            bucket: Bucket::of(env, BUCKET)?,
            app,
        })
    }
}

impl Serve for InvoicePdf {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new().members(routes![invoice_pdf, invoice_xml, credit_note_pdf, credit_note_xml])
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
    State(bucket): State<Bucket>,
    scope: Scope<ReadBilling>,
    Path(id): Path<InvoiceId>,
) -> Result<Response> {
    let document = source::invoice(&app, &scope, id).await?;
    Ok(page(&bucket, scope.org(), &id.to_string(), &document).await?)
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
    scope: Scope<ReadBilling>,
    Path(id): Path<InvoiceId>,
    Query(written): Query<Written>,
) -> Result<Response> {
    let document = source::invoice(&app, &scope, id).await?;
    Ok(written.of(&document)?)
}

/// Leads to a credit note as a PDF
///
/// As that of an invoice. The link is good for five minutes and needs no token.
#[utoipa::path(get, path = "/v1/credit-notes/{id}/pdf", operation_id = "get_credit_note_pdf", tag = "Invoices",
    params(("id" = CreditNoteId, Path, description = "The credit note.")),
    responses((status = 302, description = "It lies at `location`.", headers(("location" = String)))))]
async fn credit_note_pdf(
    State(app): State<App>,
    State(bucket): State<Bucket>,
    scope: Scope<ReadBilling>,
    Path(id): Path<CreditNoteId>,
) -> Result<Response> {
    let document = source::credit_note(&app, &scope, id).await?;
    Ok(page(&bucket, scope.org(), &id.to_string(), &document).await?)
}

/// Shows a credit note as an e-invoice
///
/// As that of an invoice, with the number of the invoice that it credits.
#[utoipa::path(get, path = "/v1/credit-notes/{id}/xml", operation_id = "get_credit_note_xml", tag = "Invoices",
    params(("id" = CreditNoteId, Path, description = "The credit note."), Written),
    responses((status = 200, description = "The e-invoice.", content_type = "application/xml", body = String)))]
async fn credit_note_xml(
    State(app): State<App>,
    scope: Scope<ReadBilling>,
    Path(id): Path<CreditNoteId>,
    Query(written): Query<Written>,
) -> Result<Response> {
    let document = source::credit_note(&app, &scope, id).await?;
    Ok(written.of(&document)?)
}

/// Answers with a link to a document. One that counts is rendered when it is first asked for; another one each time, and
/// the bucket keeps it for a day.
async fn page(bucket: &Bucket, org: OrgId, id: &str, document: &Document) -> kernel::Result<Response> {
    const PDF: &str = "application/pdf";
    let render = || pdf::render(document).map_err(|problem| Error::from(anyhow::Error::new(problem)));
    let counts = document.mark.is_none();
    let key = format!("{}/{org}/{id}.pdf", if counts { "ORG" } else { "MARKED" });
    if !counts || !bucket.has(&key).await? {
        bucket.put(&key, PDF, render()?).await?;
    }
    let name = document
        .number
        .map_or_else(|| "draft".to_owned(), |number| number.to_string());
    let link = Link {
        file_name: &format!("{name}.pdf"),
        lasts: LINK_LASTS,
    };
    let headers = [
        (header::LOCATION, bucket.link(&key, link).await?),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::FOUND, headers).into_response())
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
