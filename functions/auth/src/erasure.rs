//! What is kept about oneself: taking it away, and erasing it.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Proved, Routes, routes};
use identity::Accepted;
use identity::erasure;
use identity::export::{self, Export};
use identity::password;
use kernel::policy::ManageOwnAccount;
use kernel::{Check, Input, Scope};
use lambda::{App, Json, Result};
use serde::Deserialize;

use crate::Auth;

pub(crate) fn routes() -> Routes<Auth> {
    // One hashes a password, the other reads much.
    Routes::new().by_address(Routes::new().signed_in(routes![erase_me, export_me]))
}

/// The proof that it is you.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Erasure {
    /// Your password.
    #[schema(format = "password", min_length = 8, max_length = 128)]
    password: String,
}

impl Input for Erasure {
    fn check(&self, check: &mut Check) {
        password::check(check, "password", &self.password);
    }
}

/// Erases you: your sessions end at once, and a minute later nothing is left of you but your id
///
/// It cannot be taken back. 409 `sole_owner`, which names them, while organizations with others in them have no other owner; one
/// that you are alone in is deleted. 409 `has_platform_role` and `no_password` say whom to ask. 403
/// `proof_required` for who has not proved a moment ago that it is them.
#[utoipa::path(post, path = "/v1/auth/erasure", operation_id = "erase_me", tag = "Auth", request_body = Erasure,
    responses((status = 202, description = "Taken.", body = Accepted)))]
async fn erase_me(
    State(app): State<App>,
    scope: Scope<ManageOwnAccount>,
    _: Proved,
    Json(input): Json<Erasure>,
) -> Result<(StatusCode, Json<Accepted>)> {
    let accepted = erasure::begin_own(&app, &scope, &input.password).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// Exports what is kept about you: who you are, how you log in and from where, your memberships, and what was noted about you
///
/// Of each at most the newest 1,000; `complete` tells whether that is all. What you did in an organization is in that one's audit
/// trail, which its owners and admins export. That you asked is noted.
#[utoipa::path(get, path = "/v1/auth/export", operation_id = "export_me", tag = "Auth",
    responses((status = 200, description = "All of it.", body = Export)))]
async fn export_me(State(app): State<App>, scope: Scope<ManageOwnAccount>) -> Result<Json<Export>> {
    Ok(Json(export::export(&app, &scope).await?))
}
