//! /v1/auth/password and /v1/auth/email: getting an account back, and proving its address, by tokens in mails.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Routes, routes};
use identity::Accepted;
use identity::password;
use identity::recovery;
use kernel::policy::ManageOwnAccount;
use kernel::{Check, Input, Origin, Scope};
use lambda::{App, Json, Problem, Result};
use notifications::Desk;
use serde::Deserialize;

use crate::Auth;

pub(crate) fn routes() -> Routes<Auth> {
    // A token of 256 bits cannot be tried out, and mails are counted by person.
    Routes::new()
        .strangers(Routes::new().open(routes![verify_email]))
        .signed_in(routes![resend_verification])
        .by_address(
            Routes::new()
                .open(routes![forgot_password, reset_password])
                .signed_in(routes![change_password]),
        )
}

/// Whose password was forgotten.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Forgotten {
    /// The address; upper and lower case are the same.
    #[schema(format = "email", max_length = 254, example = "ada@example.com")]
    email: String,
}

impl Input for Forgotten {
    fn check(&self, check: &mut Check) {
        check.email("email", &self.email);
    }
}

/// A new password, and the proof that it may be set.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reset {
    /// The token of the mail.
    token: String,
    /// 8 to 128 characters.
    #[schema(format = "password", min_length = 8, max_length = 128)]
    password: String,
}

impl Input for Reset {
    fn check(&self, check: &mut Check) {
        password::check(check, "password", &self.password);
    }
}

/// The old password and a new one.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PasswordChange {
    /// The password that you log in with.
    #[schema(format = "password", max_length = 128)]
    current_password: String,
    /// 8 to 128 characters.
    #[schema(format = "password", min_length = 8, max_length = 128)]
    new_password: String,
}

impl Input for PasswordChange {
    fn check(&self, check: &mut Check) {
        // As at login: what breaks the rules of a new password is a wrong one like any other.
        let current = self.current_password.len() <= 512;
        check.that(current, "currentPassword", "must have at most 512 bytes");
        password::check(check, "newPassword", &self.new_password);
    }
}

/// A token that proves an address.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verification {
    /// The token of the mail.
    token: String,
}

impl Input for Verification {
    fn check(&self, _: &mut Check) {}
}

fn accepted() -> (StatusCode, Json<Accepted>) {
    (StatusCode::ACCEPTED, Json(Accepted::taken()))
}

/// Asks for a mail with which to choose a new password
///
/// The answer is the same, and as fast, whether or not anybody has this address. A person gets at most 5 such mails an
/// hour; the token is good for one hour.
#[utoipa::path(post, path = "/v1/auth/password/forgot", operation_id = "forgot_password", tag = "Auth",
    request_body = Forgotten, responses((status = 202, description = "Taken.", body = Accepted)))]
async fn forgot_password(
    State(app): State<App>,
    origin: Origin,
    Json(input): Json<Forgotten>,
) -> Result<(StatusCode, Json<Accepted>)> {
    recovery::ask(&app, &origin, &input.email).await?;
    Ok(accepted())
}

/// Sets a new password with the token of a mail
///
/// Ends every session, makes other such tokens worthless, and proves the address. If it was not proved before, somebody else
/// may have registered it: you then leave organizations that have another owner, and in those that have none the API keys and
/// invitations of before are void and nobody else is a member. 400 `bad_token` when the token is
/// unknown, used or expired.
#[utoipa::path(post, path = "/v1/auth/password/reset", operation_id = "reset_password", tag = "Auth",
    request_body = Reset, responses((status = 204, description = "The password is set.")))]
async fn reset_password(
    State(app): State<App>,
    State(desk): State<Desk>,
    origin: Origin,
    Json(input): Json<Reset>,
) -> Result<StatusCode> {
    recovery::reset(&app, &desk, &origin, &input.token, &input.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a new password for you, who know the old one
///
/// Ends your other sessions; this one stays.
#[utoipa::path(post, path = "/v1/auth/password/change", operation_id = "change_password", tag = "Auth",
    request_body = PasswordChange, responses((status = 204, description = "The password is set.")))]
async fn change_password(
    State(app): State<App>,
    State(desk): State<Desk>,
    scope: Scope<ManageOwnAccount>,
    Json(input): Json<PasswordChange>,
) -> Result<StatusCode> {
    recovery::change(&app, &desk, &scope, &input.current_password, &input.new_password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Proves an address with the token of a mail
///
/// 400 `bad_token` when the token is unknown, used or expired.
#[utoipa::path(post, path = "/v1/auth/email/verify", operation_id = "verify_email", tag = "Auth",
    request_body = Verification, responses((status = 204, description = "The address is proved."), Problem))]
async fn verify_email(State(app): State<App>, origin: Origin, Json(input): Json<Verification>) -> Result<StatusCode> {
    recovery::verify_email(&app, &origin, &input.token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks for another mail with which to prove your address
///
/// None follows when it is proved already, nor after 5 in an hour.
#[utoipa::path(post, path = "/v1/auth/email/resend", operation_id = "resend_verification", tag = "Auth",
    responses((status = 202, description = "Taken.", body = Accepted)))]
async fn resend_verification(
    State(app): State<App>,
    State(desk): State<Desk>,
    scope: Scope<ManageOwnAccount>,
) -> Result<(StatusCode, Json<Accepted>)> {
    let accepted = recovery::resend(&app, &desk, &scope).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
