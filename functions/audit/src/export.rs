//! Exporting a chain as lines that anyone can verify offline; the last page ends with the head.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use gate::{Guarded, Routes, routes};
use kernel::policy::{ReadOrgAudit, ReadPlatformAudit};
use kernel::{Error, OrgId, Scope};
use lambda::{App, Pages, Result};
use table::Page;
use trail::{Chain, EntryView, Head};

use crate::Whose;

/// A page holds at most so many entries, and at most what DynamoDB reads at once: 1 MB of them.
const MOST: u16 = 1_000;

pub(crate) fn routes() -> Routes<Guarded> {
    Routes::new()
        .signed_in(routes![export_platform])
        .members(routes![export_org])
}

/// How the pages of an export are asked for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ExportPaging {
    /// How many entries at most: 1 to 1,000, 1,000 if absent.
    #[param(minimum = 1, maximum = 1_000)]
    #[expect(dead_code, reason = "only described; `Pages` reads it")]
    limit: Option<u16>,
    /// As the `link` of the page before has it.
    #[expect(dead_code, reason = "only described; `Pages` reads it")]
    cursor: Option<String>,
}

/// Exports what happened in an organization, oldest first, to be verified offline
///
/// One line an entry, in canonical JSON (RFC 8785); `hash` is the SHA-256 of the line's bytes without that member. Follow
/// `link: <…>; rel="next"` until there is none and join the pages: the last line is the head
/// `{"at","chain","count","hash"}`. `cargo local audit verify FILE` checks the file.
#[utoipa::path(get, path = "/v1/orgs/{orgId}/audit/export", operation_id = "export_org_audit", tag = "Audit",
    params(("orgId" = OrgId, Path, description = "The organization."), ExportPaging),
    responses((status = 200, description = "Lines of JSON.", content_type = "application/x-ndjson", body = String, headers(("link" = String, description = "The next page; absent on the last.")))))]
async fn export_org(State(app): State<App>, scope: Scope<ReadOrgAudit>, pages: Pages) -> Result<Lines> {
    let part = Part::of(&pages)?;
    let page = trail::of_org_after(&app.table, &scope, &part.after, part.limit).await?;
    Ok(part.lines(&app, &pages, Chain::Org(scope.org()), &page)?)
}

/// Exports what happened to a person on the platform or in any organization, oldest first, to be verified offline
///
/// Each person and each organization has a chain of their own; that of a deleted organization stays. Name one by `userId`
/// or `orgId`. The format is that of an organization's export.
#[utoipa::path(get, path = "/v1/audit/export", operation_id = "export_platform_audit", tag = "Audit",
    params(Whose, ExportPaging),
    responses((status = 200, description = "Lines of JSON.", content_type = "application/x-ndjson", body = String, headers(("link" = String, description = "The next page; absent on the last.")))))]
async fn export_platform(
    State(app): State<App>,
    scope: Scope<ReadPlatformAudit>,
    pages: Pages<Whose>,
) -> Result<Lines> {
    let part = Part::of(&pages)?;
    let nobody = || Error::malformed_field("missing_field", "userId", "name a person or an organization");
    let chain = pages.filter.chain()?.ok_or_else(nobody)?;
    let page = trail::of_chain_after(&app.table, &scope, chain, &part.after, part.limit).await?;
    Ok(part.lines(&app, &pages, chain, &page)?)
}

/// A page of an export that is asked for.
struct Part {
    limit: u16,
    /// The last entry of the page before.
    after: Head,
}

impl Part {
    fn of<F>(pages: &Pages<F>) -> kernel::Result<Self> {
        let limit = pages.limit(MOST, MOST)?;
        let after = match pages.after()? {
            Some((seq, hash)) => Head { seq, hash },
            None => Head::genesis(),
        };
        Ok(Self { limit, after })
    }

    fn lines<F>(self, app: &App, pages: &Pages<F>, chain: Chain, page: &Page<EntryView>) -> kernel::Result<Lines> {
        let head = page.records.last().map_or(self.after, Head::shown);
        let mut text = String::new();
        for entry in &page.records {
            text.push_str(&trail::entry_line(entry)?);
            text.push('\n');
        }
        let goes_on = page.next.is_some().then_some((head.seq, &head.hash));
        let Some(cursor) = pages.next(goes_on.as_ref())? else {
            text.push_str(&trail::head_line(chain, &head, app.now()));
            text.push('\n');
            return Ok(Lines { text, next: None });
        };
        let next = format!("<{}>; rel=\"next\"", pages.address(self.limit, &cursor));
        let next = HeaderValue::try_from(next).map_err(anyhow::Error::new)?;
        Ok(Lines { text, next: Some(next) })
    }
}

/// Lines of JSON, and where the next page is.
struct Lines {
    text: String,
    next: Option<HeaderValue>,
}

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
        let mut response = (kind, self.text).into_response();
        if let Some(next) = self.next {
            response.headers_mut().insert(header::LINK, next);
        }
        response
    }
}
