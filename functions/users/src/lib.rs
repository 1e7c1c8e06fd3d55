//! /v1/users: the people of the platform, their roles, keeping them out and letting them in again, ending their sessions.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Guarded, Routes, Serve, routes};
use identity::user::UserStatus;
use identity::{User, UserView};
use kernel::policy::{EndSessions, ManageUsers};
use kernel::{Check, Input, PlatformRole, Scope, UserId};
use lambda::{App, Function, Json, List, Pages, Paging, Path, Result};
use serde::Deserialize;

/// The function.
pub const FUNCTION: Function = gate::function::<Users>("users");

struct Users;

impl Serve for Users {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new().signed_in(routes![list, set_role, deactivate, reactivate, end_sessions])
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
/// An admin neither touches a manager nor makes one; nobody changes himself. Repeating it changes nothing. 409 `user_unproved`
/// for more than they are, unless they have proved their address.
#[utoipa::path(patch, path = "/v1/users/{id}/role", operation_id = "set_user_role", tag = "Users",
    params(("id" = UserId, Path, description = "The person.")), request_body = RoleInput,
    responses((status = 200, body = UserView)))]
async fn set_role(
    State(app): State<App>,
    scope: Scope<ManageUsers>,
    Path(id): Path<UserId>,
    Json(input): Json<RoleInput>,
) -> Result<Json<UserView>> {
    let user = User::load(&app.table, &scope, id).await?;
    let user = user.save_role(&app, &scope, input.role).await?;
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
/// Managers alone may. It does so each time, with what was opened meanwhile.
#[utoipa::path(delete, path = "/v1/users/{id}/sessions", operation_id = "end_user_sessions", tag = "Users",
    params(("id" = UserId, Path, description = "The person.")),
    responses((status = 204, description = "They have ended.")))]
async fn end_sessions(State(app): State<App>, scope: Scope<EndSessions>, Path(id): Path<UserId>) -> Result<StatusCode> {
    User::end_all_sessions(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
