//! /v1/orgs: organizations, and who belongs to them with which role.

mod grants;
mod invitations;

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use gate::{Gate, Proved, Proving, Routes, Serve, routes};
use identity::invitation::InvitationView;
use identity::member::MemberView;
use identity::org::{BillingPatch, BillingSettings, OrgChange, OrgView};
use identity::{Invitation, Member, Org};
use kernel::check::{given, given_object};
use kernel::number::Given;
use kernel::policy::{CreateOrg, DeleteOrg, LeaveOrg, ListOwnOrgs, ManageMembers, ReadMembers, ReadOrg, UpdateOrg};
use kernel::{Address, Check, Error, Input, OrgId, OrgRole, Permission, Scope, UserId, Zone};
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
    /// The IANA zone of its days and months; UTC if it is left out.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "Europe/Berlin")]
    time_zone: Option<String>,
}

impl Input for NewOrg {
    fn check(&self, check: &mut Check) {
        check.mailed_name("name", &self.name, 1..=100);
        check_zone(check, self.time_zone.as_deref());
    }
}

fn check_zone(check: &mut Check, zone: Option<&str>) {
    if let Some(Err(problem)) = zone.map(str::parse::<Zone>) {
        check.that(false, "timeZone", problem.to_string());
    }
}

/// What [`check_zone`] has looked at.
fn zone(text: Option<String>) -> Option<Zone> {
    text.and_then(|text| text.parse().ok())
}

/// What changes an organization; what is absent stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OrgPatch {
    /// What it is called.
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 100, nullable = false)]
    name: Option<String>,
    /// The IANA zone of its days and months. What was counted stays where it was counted.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// Whether members without a factor get no further than to their own account. An owner says so who has one, and who proved a
    /// moment ago that it is them.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    require_factor: Option<bool>,
    /// Where it is, as its invoices say.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<Address>)]
    address: Option<Option<Address>>,
    /// In percent, at most four decimal places: what it taxes where neither an invoice nor a client says otherwise.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Given>)]
    tax_rate: Option<Option<Given>>,
    /// Its tax number.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "DE123456789")]
    tax_id: Option<Option<String>>,
    /// A picture on its invoices: an https URL, or a data URL of a PNG, JPEG or SVG picture of at most 30 KB.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    logo: Option<Option<String>>,
    /// The colour of its invoices.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "#1f6feb")]
    color: Option<Option<String>>,
    /// So many days after the one that it is dated an invoice is due.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, maximum = 365, example = 14)]
    due_in_days: Option<u16>,
    /// So many hours after a period its usage is waited for.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, maximum = 168, example = 1)]
    usage_grace_hours: Option<u16>,
    /// So many days after the due one reminders are sent, ascending; at most ten.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_items = 10, example = json!([3, 10, 20]))]
    reminder_days: Option<Vec<u32>>,
    /// So many days after the due one of a subscription's invoice that is not paid its contract is suspended, with its
    /// subscriptions; null, as it is at first, for never. It goes on when nothing is due any more of what it was suspended for.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 365, example = 30)]
    suspend_after_days: Option<Option<u16>>,
}

fn day(days: u32) -> u16 {
    u16::try_from(days).unwrap_or(u16::MAX)
}

impl OrgPatch {
    fn change(self) -> OrgChange {
        OrgChange {
            billing: self.billing(),
            name: self.name,
            require_factor: self.require_factor,
            time_zone: zone(self.time_zone),
        }
    }

    fn billing(&self) -> BillingPatch {
        BillingPatch {
            address: self.address.clone(),
            tax_rate: self.tax_rate.clone(),
            tax_id: self.tax_id.clone(),
            logo: self.logo.clone(),
            color: self.color.clone(),
            due_in_days: self.due_in_days,
            usage_grace_hours: self.usage_grace_hours,
            // What is more than any number of days is refused with them.
            reminder_days: self
                .reminder_days
                .as_ref()
                .map(|days| days.iter().copied().map(day).collect()),
            suspend_after_days: self.suspend_after_days,
        }
    }
}

impl Input for OrgPatch {
    fn check(&self, check: &mut Check) {
        if let Some(name) = &self.name {
            check.mailed_name("name", name, 1..=100);
        }
        check_zone(check, self.time_zone.as_deref());
        self.billing().check(check);
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
///
/// 409 `quota_reached` when there are 20 that you have made.
#[utoipa::path(post, path = "/v1/orgs", operation_id = "create_org", tag = "Organizations", request_body = NewOrg,
    responses((status = 201, body = OrgView)))]
async fn create(
    State(app): State<App>,
    scope: Scope<CreateOrg>,
    Json(input): Json<NewOrg>,
) -> Result<Created<OrgView>> {
    let zone = zone(input.time_zone).unwrap_or_default();
    let now = app.now();
    let org = Org::create(&app, &scope, &input.name, zone, |org| {
        billing::platform::enrolment(now, org)
    })
    .await?;
    Ok(Created(org))
}

/// Lists the organizations you belong to, in the order they were made
#[utoipa::path(get, path = "/v1/orgs", operation_id = "list_orgs", tag = "Organizations", params(Paging),
    responses((status = 200, body = List<OrgView>)))]
async fn list(State(app): State<App>, scope: Scope<ListOwnOrgs>, pages: Pages) -> Result<Json<List<OrgView>>> {
    let page = Org::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, |org| org)?))
}

/// Shows an organization
#[utoipa::path(get, path = "/v1/orgs/{orgId}", operation_id = "get_org", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization.")), responses((status = 200, body = OrgView)))]
async fn get(State(app): State<App>, scope: Scope<ReadOrg>) -> Result<Json<OrgView>> {
    let org = Org::load(&app.table, &scope).await?;
    let billing = BillingSettings::load(&app.table, &scope).await?;
    Ok(Json(OrgView::of(org, billing, role(&scope)?)))
}

/// Changes an organization
#[utoipa::path(patch, path = "/v1/orgs/{orgId}", operation_id = "update_org", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization.")), request_body = OrgPatch,
    responses((status = 200, body = OrgView)))]
async fn update(
    State(app): State<App>,
    scope: Scope<UpdateOrg>,
    proving: Proving,
    Json(input): Json<OrgPatch>,
) -> Result<Json<OrgView>> {
    if input.require_factor.is_some() {
        proving.must_be_recent().await?;
    }
    let org = Org::load(&app.table, &scope).await?;
    let besides = billing::platform::enrolment(app.now(), org.id)?;
    let (org, billing) = org.update(&app, &scope, input.change(), besides).await?;
    Ok(Json(OrgView::of(org, billing, role(&scope)?)))
}

/// Deletes an organization: from then on it is absent for everyone, and its API keys stop working within a minute
///
/// 403 `proof_required` for who has not proved a moment ago that it is them.
#[utoipa::path(delete, path = "/v1/orgs/{orgId}", operation_id = "delete_org", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization.")),
    responses((status = 204, description = "It is deleted.")))]
async fn delete(State(app): State<App>, scope: Scope<DeleteOrg>, _: Proved) -> Result<StatusCode> {
    let org = Org::load(&app.table, &scope).await?;
    let besides = billing::platform::enrolment(app.now(), org.id)?;
    org.delete(&app, &scope, besides).await?;
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
/// `too_many_mails` after 5 mails to one address in an hour; 409 `too_many_invitations` when 200 are open. 403 `proof_required`
/// for who invites an owner and has not proved a moment ago that it is them.
#[utoipa::path(post, path = "/v1/orgs/{orgId}/members", operation_id = "invite_member", tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization.")), request_body = NewMember,
    responses((status = 201, body = InvitationView)))]
async fn invite_member(
    State(app): State<App>,
    State(desk): State<Desk>,
    scope: Scope<ManageMembers>,
    proving: Proving,
    Json(input): Json<NewMember>,
) -> Result<Created<InvitationView>> {
    if input.role == OrgRole::Owner {
        proving.must_be_recent().await?;
    }
    let invitation = Invitation::create(&app, &desk, &scope, &input.email, input.role).await?;
    Ok(Created(invitation))
}

/// Gives a member another role
///
/// An admin neither makes nor changes an owner; the last owner stays (409 `last_owner`). 403 `proof_required` for who makes an
/// owner and has not proved a moment ago that it is them.
#[utoipa::path(patch, path = "/v1/orgs/{orgId}/members/{userId}", operation_id = "set_member_role",
    tag = "Organizations",
    params(("orgId" = OrgId, Path, description = "The organization."),
        ("userId" = UserId, Path, description = "The member.")),
    request_body = MemberPatch, responses((status = 200, body = MemberView)))]
async fn set_member_role(
    State(app): State<App>,
    scope: Scope<ManageMembers>,
    proving: Proving,
    Path((_org, user)): Path<(OrgId, UserId)>,
    Json(input): Json<MemberPatch>,
) -> Result<Json<MemberView>> {
    if input.role == OrgRole::Owner {
        proving.must_be_recent().await?;
    }
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
