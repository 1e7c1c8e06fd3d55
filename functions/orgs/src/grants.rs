//! /v1/orgs/{orgId}/grants: roles in single projects, beyond the role in the organization.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Route, routes};
use identity::grant::{Grant, GrantView, NewGrant, Wanted};
use kernel::policy::ManageGrants;
use kernel::{GrantId, OrgId, ProjectId, Scope, UserId};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};
use serde::Deserialize;

use crate::Orgs;

pub(crate) fn routes() -> Vec<Route<Orgs>> {
    routes![create, list, revoke]
}

/// Which grants to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Only those of this member.
    user_id: Option<UserId>,
    /// Only those for this project.
    resource_id: Option<ProjectId>,
}

/// Gives a member a role in one project, beyond their role in the organization
///
/// It counts at once, and ends with the membership. An admin grants no ownership. One grant for each member and project
/// (409 `already_granted`).
#[utoipa::path(post, path = "/v1/orgs/{orgId}/grants", operation_id = "create_grant", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization.")), request_body = NewGrant,
    responses((status = 201, body = GrantView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<ManageGrants>,
    Json(input): Json<NewGrant>,
) -> Result<Created<GrantView>> {
    let grant = Grant::create(&app, &scope, &input).await?;
    Ok(Created(grant))
}

/// Lists the grants of an organization, newest first
#[utoipa::path(get, path = "/v1/orgs/{orgId}/grants", operation_id = "list_grants", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization."), Listed, Paging),
    responses((status = 200, body = List<GrantView>)))]
async fn list(
    State(app): State<App>,
    scope: Scope<ManageGrants>,
    pages: Pages<Listed>,
) -> Result<Json<List<GrantView>>> {
    let wanted = Wanted {
        user: pages.filter.user_id,
        resource: pages.filter.resource_id.map(Into::into),
    };
    let page = Grant::list(&app.table, &scope, wanted, pages.slice()?).await?;
    Ok(Json(pages.list(page, GrantView::from)?))
}

/// Takes a grant away
///
/// From the next request on.
#[utoipa::path(delete, path = "/v1/orgs/{orgId}/grants/{grantId}", operation_id = "revoke_grant", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization."),
        ("grantId" = GrantId, Path, description = "The grant.")),
    responses((status = 204, description = "It counts no more.")))]
async fn revoke(
    State(app): State<App>,
    scope: Scope<ManageGrants>,
    Path((_org, id)): Path<(OrgId, GrantId)>,
) -> Result<StatusCode> {
    Grant::revoke(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
