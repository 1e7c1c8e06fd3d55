//! /v1/users: the people of the platform, their roles, keeping them out and letting them in again, ending their sessions,
//! erasing them, removing factors that they have lost.

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use gate::{Gate, Proved, Routes, Serve, routes};
use identity::Accepted;
use identity::erasure;
use identity::factor::enrolment;
use identity::user::UserStatus;
use identity::{User, UserView};
use kernel::policy::{EndSessions, ErasePeople, ManageUsers, ResetFactors};
use kernel::{Check, Input, PlatformRole, Scope, UserId};
use lambda::{App, Env, Function, Json, List, Pages, Paging, Path, Result, Start};
use notifications::Desk;
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<Users>("users");

#[derive(Clone, FromRef)]
struct Users {
    app: App,
    gate: Gate,
    desk: Desk,
}

impl Start for Users {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            desk: Desk::of(env, &app)?,
            app,
        })
    }
}

impl Serve for Users {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new().signed_in(routes![
            list,
            set_role,
            deactivate,
            reactivate,
            end_sessions,
            remove_factors,
            erase
        ])
    }
}

/// A person's new role.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoleInput {
    /// The role on the platform.
    role: PlatformRole,
}

impl Input for RoleInput {
    fn check(&self, _: &mut Check) {}
}

/// Lists everybody, in the order they registered
#[utoipa::path(get, path = "/v1/users", operation_id = "list_users", tag = "Users", params(Paging),
    responses((status = 200, body = List<UserView>)))]
async fn list(State(app): State<App>, scope: Scope<ManageUsers>, pages: Pages) -> Result<Json<List<UserView>>> {
    let page = User::list(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, UserView::from)?))
}

/// Gives a person a role on the platform
///
/// An admin neither touches a manager nor makes one; nobody changes himself. Repeating it changes nothing. They are told by mail.
/// 409 `user_unproved` for more than they are, unless they have proved their address. 403 `proof_required` for who has not
/// proved a moment ago that it is them.
#[utoipa::path(patch, path = "/v1/users/{id}/role", operation_id = "set_user_role", tag = "Users",
    params(("id" = UserId, Path, description = "The person.")), request_body = RoleInput,
    responses((status = 200, body = UserView)))]
async fn set_role(
    State(app): State<App>,
    State(desk): State<Desk>,
    scope: Scope<ManageUsers>,
    _: Proved,
    Path(id): Path<UserId>,
    Json(input): Json<RoleInput>,
) -> Result<Json<UserView>> {
    let user = User::load(&app.table, &scope, id).await?;
    let user = user.save_role(&app, &desk, &scope, input.role).await?;
    Ok(Json(user.into()))
}

/// Deactivates a person: they cannot log in, and their tokens stop working within a minute
///
/// Nothing is deleted.
#[utoipa::path(delete, path = "/v1/users/{id}", operation_id = "deactivate_user", tag = "Users",
    params(("id" = UserId, Path, description = "The person.")),
    responses((status = 204, description = "The person is deactivated.")))]
async fn deactivate(State(app): State<App>, scope: Scope<ManageUsers>, Path(id): Path<UserId>) -> Result<StatusCode> {
    let user = User::load(&app.table, &scope, id).await?;
    user.save_status(&app, &scope, UserStatus::Deactivated).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a deactivated person in again
#[utoipa::path(patch, path = "/v1/users/{id}/reactivate", operation_id = "reactivate_user", tag = "Users",
    params(("id" = UserId, Path, description = "The person.")), responses((status = 200, body = UserView)))]
async fn reactivate(
    State(app): State<App>,
    scope: Scope<ManageUsers>,
    Path(id): Path<UserId>,
) -> Result<Json<UserView>> {
    let user = User::load(&app.table, &scope, id).await?;
    let user = user.save_status(&app, &scope, UserStatus::Active).await?;
    Ok(Json(user.into()))
}

/// Ends all sessions of a person: their tokens stop working within a minute, and they may log in again
///
/// Managers alone may. It does so each time, with what was opened meanwhile. 403 `proof_required` for who has not proved a
/// moment ago that it is them.
#[utoipa::path(delete, path = "/v1/users/{id}/sessions", operation_id = "end_user_sessions", tag = "Users",
    params(("id" = UserId, Path, description = "The person.")),
    responses((status = 204, description = "They have ended.")))]
async fn end_sessions(
    State(app): State<App>,
    scope: Scope<EndSessions>,
    _: Proved,
    Path(id): Path<UserId>,
) -> Result<StatusCode> {
    User::end_all_sessions(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Erases a person: they are kept out at once, and a minute later nothing is left of them but their id
///
/// Managers alone may. It cannot be taken back. 409 `has_platform_role` while they have a role on the platform, and `sole_owner`,
/// which names them, while organizations with others in them have no other owner. One that they are alone in is deleted. 403
/// `proof_required` for who has not proved a moment ago that it is them.
#[utoipa::path(post, path = "/v1/users/{id}/erasure", operation_id = "erase_user", tag = "Users",
    params(("id" = UserId, Path, description = "The person.")),
    responses((status = 202, description = "Taken.", body = Accepted)))]
async fn erase(
    State(app): State<App>,
    scope: Scope<ErasePeople>,
    _: Proved,
    Path(id): Path<UserId>,
) -> Result<(StatusCode, Json<Accepted>)> {
    let accepted = erasure::begin(&app, &scope, id).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// Removes all factors of a person who has lost them, ends their sessions, and tells them by mail
///
/// Managers alone may, once they know who asks; their own they remove themselves (409 `own_account`). Nothing happens if the
/// person has none. 403 `proof_required` for who has not proved a moment ago that it is them.
#[utoipa::path(delete, path = "/v1/users/{id}/factors", operation_id = "remove_user_factors", tag = "Users",
    params(("id" = UserId, Path, description = "The person.")),
    responses((status = 204, description = "They have none.")))]
async fn remove_factors(
    State(app): State<App>,
    State(desk): State<Desk>,
    scope: Scope<ResetFactors>,
    _: Proved,
    Path(id): Path<UserId>,
) -> Result<StatusCode> {
    enrolment::reset(&app, &desk, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
