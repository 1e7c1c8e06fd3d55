//! Erasing oneself.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Routes, routes};
use identity::erasure::{self, ErasureAccepted};
use identity::password;
use kernel::policy::ManageOwnAccount;
use kernel::{Check, Input, Scope};
use lambda::{App, Json, Result};
use serde::Deserialize;

use crate::Auth;

pub(crate) fn routes() -> Routes<Auth> {
    // It hashes a password.
    Routes::new().by_address(Routes::new().signed_in(routes![erase_me]))
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
/// that you are alone in is deleted. 409 `has_platform_role` and `no_password` say whom to ask.
#[utoipa::path(post, path = "/v1/auth/erasure", operation_id = "erase_me", tag = "Auth", request_body = Erasure,
    responses((status = 202, description = "Taken.", body = ErasureAccepted)))]
async fn erase_me(
    State(app): State<App>,
    scope: Scope<ManageOwnAccount>,
    Json(input): Json<Erasure>,
) -> Result<(StatusCode, Json<ErasureAccepted>)> {
    let accepted = erasure::begin_own(&app, &scope, &input.password).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
