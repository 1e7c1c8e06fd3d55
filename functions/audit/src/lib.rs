//! /v1/audit and /v1/orgs/{orgId}/audit: who changed what, newest first, and exports to verify. Nothing here writes.

mod export;

use axum::extract::State;
use identity::Guard;
use kernel::policy::{ReadOrgAudit, ReadPlatformAudit};
use kernel::{OrgId, Scope};
use lambda::{App, Json, List, Paging, Problem, Query, Result};
use trail::EntryView;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this function.
pub fn routes(guard: &Guard) -> OpenApiRouter<App> {
    let platform = OpenApiRouter::new()
        .routes(routes!(list_platform))
        .routes(routes!(export::export_platform));
    let org = OpenApiRouter::new()
        .routes(routes!(list_org))
        .routes(routes!(export::export_org));
    guard.signed_in(platform).merge(guard.members(org))
}

/// Lists what happened to people on the platform, newest first
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_platform_audit", tag = "Audit", params(Paging),
    security(("bearer" = [])), responses((status = 200, body = List<EntryView>), Problem))]
async fn list_platform(
    State(app): State<App>,
    scope: Scope<ReadPlatformAudit>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<EntryView>>> {
    let context = "/v1/audit";
    let page = trail::of_platform(&app.table, &scope, paging.slice(&app, context)?).await?;
    Ok(Json(List::of(&app, context, page, EntryView::from)?))
}

/// Lists what happened in an organization, newest first
#[utoipa::path(get, path = "/v1/orgs/{orgId}/audit", operation_id = "list_org_audit", tag = "Audit",
    params(("orgId" = OrgId, Path, description = "The organization."), Paging), security(("bearer" = [])),
    responses((status = 200, body = List<EntryView>), Problem))]
async fn list_org(
    State(app): State<App>,
    scope: Scope<ReadOrgAudit>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<EntryView>>> {
    let context = format!("{} /v1/orgs/audit", scope.org());
    let page = trail::of_org(&app.table, &scope, paging.slice(&app, &context)?).await?;
    Ok(Json(List::of(&app, &context, page, EntryView::from)?))
}
