//! /v1/orgs/{orgId}/invitations and /v1/orgs/invitations/accept: who is invited, and becoming a member.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Routes, routes};
use identity::Invitation;
use identity::invitation::InvitationView;
use identity::org::OrgView;
use kernel::policy::{AcceptInvitations, ManageMembers};
use kernel::{Check, Input, InvitationId, OrgId, Scope};
use lambda::{App, Created, Json, List, Pages, Paging, Path, Result};
use serde::Deserialize;

use crate::Orgs;

pub(crate) fn routes() -> Routes<Orgs> {
    Routes::new().signed_in(routes![accept]).members(routes![list, revoke])
}

/// The proof that you were invited.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Acceptance {
    /// The token of the mail.
    token: String,
}

impl Input for Acceptance {
    fn check(&self, _: &mut Check) {}
}

/// Lists the open invitations of an organization, newest first
#[utoipa::path(get, path = "/v1/orgs/{orgId}/invitations", operation_id = "list_invitations", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization."), Paging),
    responses((status = 200, body = List<InvitationView>)))]
async fn list(State(app): State<App>, scope: Scope<ManageMembers>, pages: Pages) -> Result<Json<List<InvitationView>>> {
    let page = Invitation::list(&app.table, app.now(), &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, InvitationView::from)?))
}

/// Takes an invitation back: its token is worthless
///
/// An admin takes back no owner's.
#[utoipa::path(delete, path = "/v1/orgs/{orgId}/invitations/{invitationId}", operation_id = "revoke_invitation",
    tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization."),
        ("invitationId" = InvitationId, Path, description = "The invitation.")),
    responses((status = 204, description = "It is taken back.")))]
async fn revoke(
    State(app): State<App>,
    scope: Scope<ManageMembers>,
    Path((_org, id)): Path<(OrgId, InvitationId)>,
) -> Result<StatusCode> {
    Invitation::revoke(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes you a member with the token of an invitation
///
/// You must be logged in with the address that was invited (409 `invitation_for_another_address`), which is proved by
/// this. 409 `invitation_void` when whoever invited you may not do so any more; 400 `bad_token` when the token is unknown,
/// used, replaced or expired.
#[utoipa::path(post, path = "/v1/orgs/invitations/accept", operation_id = "accept_invitation", tag = "Organizations",
    request_body = Acceptance, responses((status = 201, description = "You are a member.", body = OrgView)))]
async fn accept(
    State(app): State<App>,
    scope: Scope<AcceptInvitations>,
    Json(input): Json<Acceptance>,
) -> Result<Created<OrgView>> {
    let org = Invitation::accept(&app, &scope, &input.token).await?;
    Ok(Created(org))
}
