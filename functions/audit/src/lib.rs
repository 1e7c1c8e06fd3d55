//! /v1/audit and /v1/orgs/{orgId}/audit: who changed what, newest first, and exports to verify. Nothing here writes.

mod export;

use axum::extract::State;
use gate::{Guarded, Routes, Serve, routes};
use kernel::policy::{ReadOrgAudit, ReadPlatformAudit};
use kernel::{OrgId, Scope};
use lambda::{App, Function, Json, List, Pages, Paging, Result};
use trail::EntryView;

/// The function.
pub const FUNCTION: Function = gate::function::<Audit>("audit");

struct Audit;

impl Serve for Audit {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new()
            .signed_in(routes![list_platform])
            .members(routes![list_org])
            .and(export::routes())
    }
}

/// Lists what happened to people on the platform, newest first
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_platform_audit", tag = "Audit", params(Paging),
    responses((status = 200, body = List<EntryView>)))]
async fn list_platform(
    State(app): State<App>,
    scope: Scope<ReadPlatformAudit>,
    pages: Pages,
) -> Result<Json<List<EntryView>>> {
    let page = trail::of_platform(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, EntryView::from)?))
}

/// Lists what happened in an organization, newest first
#[utoipa::path(get, path = "/v1/orgs/{orgId}/audit", operation_id = "list_org_audit", tag = "Audit",
    params(("orgId" = OrgId, Path, description = "The organization."), Paging),
    responses((status = 200, body = List<EntryView>)))]
async fn list_org(State(app): State<App>, scope: Scope<ReadOrgAudit>, pages: Pages) -> Result<Json<List<EntryView>>> {
    let page = trail::of_org(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, EntryView::from)?))
}
