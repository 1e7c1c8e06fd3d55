//! /v1/orgs: organizations, and who belongs to them with which role.

mod grants;
mod invitations;

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use gate::{Gate, Routes, Serve, routes};
use identity::invitation::InvitationView;
use identity::member::MemberView;
use identity::org::OrgView;
use identity::{Invitation, Member, Org};
use kernel::check::given;
use kernel::policy::{CreateOrg, DeleteOrg, LeaveOrg, ListOwnOrgs, ManageMembers, ReadMembers, ReadOrg, UpdateOrg};
use kernel::{Check, Error, Input, OrgId, OrgRole, Permission, Scope, UserId};
use lambda::{App, Created, Env, Function, Json, List, Pages, Paging, Path, Result, Start};
use notifications::Desk;
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<Orgs>("orgs");

#[derive(Clone, FromRef)]
struct Orgs {
    app: App,
    gate: Gate,
    desk: Desk,
}

impl Start for Orgs {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            desk: Desk::of(env, &app)?,
            app,
        })
    }
}

impl Serve for Orgs {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new()
            .signed_in(routes![create, list])
            .members(routes![get, update, delete])
            .members(routes![list_members, invite_member, set_member_role, remove_member])
            .and(invitations::routes())
            .members(grants::routes())
    }
}

/// What makes an organization.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewOrg {
    /// What it is called.
    #[schema(min_length = 1, max_length = 100, example = "Acme")]
    name: String,
}

impl Input for NewOrg {
    fn check(&self, check: &mut Check) {
        check.text("name", &self.name, 1..=100);
    }
}

/// What changes an organization; what is absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OrgPatch {
    /// What it is called.
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 100, nullable = false)]
    name: Option<String>,
}

impl Input for OrgPatch {
    fn check(&self, check: &mut Check) {
        if let Some(name) = &self.name {
            check.text("name", name, 1..=100);
        }
    }
}

/// Who is invited to be a member.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewMember {
    /// The address, of a registered person or not.
    #[schema(format = "email", example = "ada@example.com")]
    email: String,
    /// What they may do.
    role: OrgRole,
}

impl Input for NewMember {
    fn check(&self, check: &mut Check) {
        check.email("email", &self.email);
    }
}

/// A member's new role.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MemberPatch {
    /// What they may do.
    role: OrgRole,
}

impl Input for MemberPatch {
    fn check(&self, _: &mut Check) {}
}

/// Makes an organization; you are its owner
#[utoipa::path(post, path = "/v1/orgs", operation_id = "create_org", tag = "Organizations", request_body = NewOrg,
    responses((status = 201, body = OrgView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<CreateOrg>,
    Json(input): Json<NewOrg>,
) -> Result<Created<OrgView>> {
    let org = Org::create(&app, &scope, &input.name).await?;
    Ok(Created(org))
}

/// Lists the organizations you belong to, in the order they were made
#[utoipa::path(get, path = "/v1/orgs", operation_id = "list_orgs", tag = "Organizations", params(Paging),
    responses((status = 200, body = List<OrgView>)))]
async fn list(State(app): State<App>, scope: Scope<ListOwnOrgs>, pages: Pages) -> Result<Json<List<OrgView>>> {
    let page = Org::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, |(org, role)| OrgView::of(org, role))?))
}

/// Shows an organization
#[utoipa::path(get, path = "/v1/orgs/{orgId}", operation_id = "get_org", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization.")), responses((status = 200, body = OrgView)))]
async fn get(State(app): State<App>, scope: Scope<ReadOrg>) -> Result<Json<OrgView>> {
    let org = Org::load(&app.table, &scope).await?;
    Ok(Json(OrgView::of(org, role(&scope)?)))
}

/// Changes an organization
#[utoipa::path(patch, path = "/v1/orgs/{orgId}", operation_id = "update_org", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization.")), request_body = OrgPatch,
    responses((status = 200, body = OrgView)))]
async fn update(State(app): State<App>, scope: Scope<UpdateOrg>, Json(input): Json<OrgPatch>) -> Result<Json<OrgView>> {
    let mut org = Org::load(&app.table, &scope).await?;
    if let Some(name) = input.name {
        org = org.rename(&app, &scope, &name).await?;
    }
    Ok(Json(OrgView::of(org, role(&scope)?)))
}

/// Deletes an organization: from then on it is absent for everyone, and its API keys stop working within a minute
#[utoipa::path(delete, path = "/v1/orgs/{orgId}", operation_id = "delete_org", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization.")),
    responses((status = 204, description = "It is deleted.")))]
async fn delete(State(app): State<App>, scope: Scope<DeleteOrg>) -> Result<StatusCode> {
    let org = Org::load(&app.table, &scope).await?;
    org.delete(&app, &scope).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the members of an organization
#[utoipa::path(get, path = "/v1/orgs/{orgId}/members", operation_id = "list_members", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization."), Paging),
    responses((status = 200, body = List<MemberView>)))]
async fn list_members(
    State(app): State<App>,
    scope: Scope<ReadMembers>,
    pages: Pages,
) -> Result<Json<List<MemberView>>> {
    let page = Member::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, |member| member)?))
}

/// Invites an address to an organization: whoever accepts by the token that is mailed there becomes a member
///
/// Inviting again replaces the token, which is good for 7 days. An admin invites no owner. 409 `already_member`; 409
/// `too_many_mails` after 5 mails to one address in an hour; 409 `too_many_invitations` when 200 are open.
#[utoipa::path(post, path = "/v1/orgs/{orgId}/members", operation_id = "invite_member", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization.")), request_body = NewMember,
    responses((status = 201, body = InvitationView)))]
async fn invite_member(
    State(app): State<App>,
    State(desk): State<Desk>,
    scope: Scope<ManageMembers>,
    Json(input): Json<NewMember>,
) -> Result<Created<InvitationView>> {
    let invitation = Invitation::create(&app, &desk, &scope, &input.email, input.role).await?;
    Ok(Created(invitation))
}

/// Gives a member another role
///
/// An admin neither makes nor changes an owner; the last owner stays (409 `last_owner`).
#[utoipa::path(patch, path = "/v1/orgs/{orgId}/members/{userId}", operation_id = "set_member_role",
    tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization."),
        ("userId" = UserId, Path, description = "The member.")),
    request_body = MemberPatch, responses((status = 200, body = MemberView)))]
async fn set_member_role(
    State(app): State<App>,
    scope: Scope<ManageMembers>,
    Path((_org, user)): Path<(OrgId, UserId)>,
    Json(input): Json<MemberPatch>,
) -> Result<Json<MemberView>> {
    let member = Member::set_role(&app, &scope, user, input.role).await?;
    Ok(Json(member.view(&app.table).await?))
}

/// Takes a member out of an organization
///
/// Anyone may leave; the last owner stays (409 `last_owner`).
#[utoipa::path(delete, path = "/v1/orgs/{orgId}/members/{userId}", operation_id = "remove_member",
    tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization."),
        ("userId" = UserId, Path, description = "The member.")),
    responses((status = 204, description = "They are no member.")))]
async fn remove_member(
    State(app): State<App>,
    scope: Scope<LeaveOrg>,
    Path((_org, user)): Path<(OrgId, UserId)>,
) -> Result<StatusCode> {
    if user == scope.user()? {
        Member::leave(&app, &scope).await?;
    } else {
        Member::remove(&app, &scope.narrow::<ManageMembers>()?, user).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn role<P: Permission>(scope: &Scope<P>) -> Result<OrgRole> {
    Ok(scope.role().ok_or(Error::Denied)?)
}
