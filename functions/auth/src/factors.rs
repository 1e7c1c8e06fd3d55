//! /v1/auth/factors and the second step of a login: what people prove with, besides a password, that it is them.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Proved, Routes, routes};
use identity::account::{Door, SignedIn};
use identity::factor::enrolment::{self, Confirmed, NewPasskey, NewTotp, RecoveryCodes};
use identity::factor::second_step::{self, FactorChallenge};
use identity::factor::step_up::{self, Again};
use identity::factor::{FactorsView, Passkeys, Proof, Signed};
use kernel::policy::ManageOwnAccount;
use kernel::{Check, FactorId, Input, Origin, Scope};
use lambda::{App, Created, Json, Path, Result};
use notifications::Desk;
use serde::Deserialize;
use serde_json::Value;

use crate::{Auth, On};

/// What authenticator apps call us.
#[derive(Clone, Debug)]
pub(crate) struct Product(pub(crate) String);

/// A code, however it is typed, has at most so many bytes.
const LONGEST_CODE: usize = 64;

/// The routes of who is logged in.
pub(crate) fn own() -> Routes<Auth> {
    Routes::new().own_account(routes![
        list,
        add_totp,
        add_passkey,
        confirm,
        remove,
        make_codes,
        ask_again,
        step_up
    ])
}

/// The second step of a login.
pub(crate) fn second_step() -> Routes<Auth> {
    Routes::new().open(routes![ask_for_passkey, log_in_by_factor])
}

/// A new factor.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewFactor {
    /// What you call it.
    #[schema(min_length = 1, max_length = 100, example = "Phone")]
    name: String,
}

impl Input for NewFactor {
    fn check(&self, check: &mut Check) {
        check.mailed_name("name", &self.name, 1..=100);
    }
}

/// What lets a factor count.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Confirmation {
    /// The six digits that the app shows.
    #[schema(nullable = false, max_length = 64, example = "492039")]
    code: Option<String>,
    /// The passkey that was made: what `toJSON` of the browser's `PublicKeyCredential` gives.
    #[schema(nullable = false, value_type = Object)]
    credential: Option<Value>,
}

impl Input for Confirmation {
    fn check(&self, check: &mut Check) {
        let one = self.code.is_some() != self.credential.is_some();
        check.that(one, "code", "must be given, or `credential`, and not both");
        check_code(check, "code", self.code.as_deref().unwrap_or_default());
    }
}

impl Confirmation {
    fn proof<'a>(&'a self, passkeys: &'a Passkeys) -> Proof<'a> {
        match &self.credential {
            Some(credential) => Proof::Passkey(Signed { passkeys, credential }),
            None => Proof::Code(self.code.as_deref().unwrap_or_default()),
        }
    }
}

fn check_code(check: &mut Check, field: &str, code: &str) {
    check.that(code.len() <= LONGEST_CODE, field, "must have at most 64 bytes");
}

/// A challenge, and one of the proofs that meet it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SecondStep {
    /// As logging in gave it.
    challenge: String,
    /// The six digits that your app shows.
    #[schema(nullable = false, max_length = 64, example = "492039")]
    code: Option<String>,
    /// One of your recovery codes.
    #[schema(nullable = false, max_length = 64, example = "1f3a9-0c2d4-77b0e-9a1c5")]
    recovery_code: Option<String>,
    /// What your passkey signed: what `toJSON` of the browser's `PublicKeyCredential` gives.
    #[schema(nullable = false, value_type = Object)]
    credential: Option<Value>,
}

impl Input for SecondStep {
    fn check(&self, check: &mut Check) {
        let given = [
            self.code.is_some(),
            self.recovery_code.is_some(),
            self.credential.is_some(),
        ];
        let one = given.into_iter().filter(|given| *given).count() == 1;
        check.that(
            one,
            "code",
            "must be given, or `recoveryCode`, or `credential`, and no two of them",
        );
        check_code(check, "code", self.code.as_deref().unwrap_or_default());
        check_code(check, "recoveryCode", self.recovery_code.as_deref().unwrap_or_default());
    }
}

impl SecondStep {
    fn proof<'a>(&'a self, passkeys: &'a Passkeys) -> Proof<'a> {
        match (&self.code, &self.recovery_code, &self.credential) {
            (.., Some(credential)) => Proof::Passkey(Signed { passkeys, credential }),
            (_, Some(code), None) => Proof::RecoveryCode(code),
            (code, None, None) => Proof::Code(code.as_deref().unwrap_or_default()),
        }
    }
}

/// Asks for a passkey, with which you log in without a password
///
/// The challenge is met at `/v1/auth/login/factor` with `credential`.
#[utoipa::path(post, path = "/v1/auth/login/passkey", operation_id = "ask_for_passkey", tag = "Auth",
    responses((status = 200, body = FactorChallenge)))]
async fn ask_for_passkey(State(app): State<App>, State(passkeys): State<Passkeys>) -> Result<Json<FactorChallenge>> {
    Ok(Json(second_step::ask_anybody(&app, &passkeys).await?))
}

/// Logs in who has a factor, with the challenge that logging in gave and a proof
///
/// A challenge is good once and for 5 minutes: 401 `bad_challenge`. A passkey has to have signed it: 401 `wrong_passkey`. A code is good once, for a minute and a half around its time,
/// a recovery code until it is used: 401 `wrong_code`. After ten that were wrong each one more has to wait, at most 15 minutes:
/// 429 `too_many_failures`.
#[utoipa::path(post, path = "/v1/auth/login/factor", operation_id = "log_in_by_factor", tag = "Auth",
    request_body = SecondStep, responses((status = 200, body = SignedIn)))]
async fn log_in_by_factor(
    State(app): State<App>,
    State(door): State<Door>,
    On(device): On,
    origin: Origin,
    Json(input): Json<SecondStep>,
) -> Result<Json<SignedIn>> {
    let proof = input.proof(&door.passkeys);
    let entered = second_step::meet(&app, &door, &origin, &input.challenge, proof, device).await?;
    Ok(Json(entered))
}

/// Lists your factors
#[utoipa::path(get, path = "/v1/auth/factors", operation_id = "list_factors", tag = "Auth",
    responses((status = 200, body = FactorsView)))]
async fn list(State(app): State<App>, scope: Scope<ManageOwnAccount>) -> Result<Json<FactorsView>> {
    Ok(Json(enrolment::list(&app.table, &scope).await?))
}

/// Begins to add an authenticator app: makes its secret
///
/// It counts once it was confirmed with a code, within 10 minutes; beginning again voids the secret before. 409
/// `too_many_factors` for who has ten; 403 `proof_required` for who has not proved a moment ago that it is them.
#[utoipa::path(post, path = "/v1/auth/factors/totp", operation_id = "add_totp", tag = "Auth",
    request_body = NewFactor, responses((status = 201, body = NewTotp)))]
async fn add_totp(
    State(app): State<App>,
    State(Product(product)): State<Product>,
    scope: Scope<ManageOwnAccount>,
    _: Proved,
    Json(input): Json<NewFactor>,
) -> Result<Created<NewTotp>> {
    let added = enrolment::add_totp(&app, &scope, &product, &input.name).await?;
    Ok(Created(added))
}

/// Begins to add a passkey: says how your browser is to make it
///
/// It counts once it was confirmed with what the browser made, within 10 minutes; beginning again voids what was asked before. 409
/// `too_many_factors` for who has ten; 403 `proof_required` for who has not proved a moment ago that it is them.
#[utoipa::path(post, path = "/v1/auth/factors/passkey", operation_id = "add_passkey", tag = "Auth",
    request_body = NewFactor, responses((status = 201, body = NewPasskey)))]
async fn add_passkey(
    State(app): State<App>,
    State(passkeys): State<Passkeys>,
    scope: Scope<ManageOwnAccount>,
    _: Proved,
    Json(input): Json<NewFactor>,
) -> Result<Created<NewPasskey>> {
    let added = enrolment::add_passkey(&app, &passkeys, &scope, &input.name).await?;
    Ok(Created(added))
}

/// Lets a factor count, with the code that the app shows or the passkey that the browser made
///
/// From then on logging in takes a factor. The first one comes with ten recovery codes, which are shown this once, and ends
/// your other sessions. 422 when the code is wrong, or the passkey not what was to be made.
#[utoipa::path(post, path = "/v1/auth/factors/{id}/confirm", operation_id = "confirm_factor", tag = "Auth",
    params(("id" = FactorId, Path, description = "The factor.")), request_body = Confirmation,
    responses((status = 200, body = Confirmed)))]
async fn confirm(
    State(app): State<App>,
    State(door): State<Door>,
    scope: Scope<ManageOwnAccount>,
    Path(id): Path<FactorId>,
    Json(input): Json<Confirmation>,
) -> Result<Json<Confirmed>> {
    let proof = input.proof(&door.passkeys);
    let confirmed = enrolment::confirm(&app, &door.desk, &scope, id, proof).await?;
    Ok(Json(confirmed))
}

/// Removes one of your factors; with the last one your recovery codes are void
///
/// 403 `proof_required` for who has not proved a moment ago that it is them.
#[utoipa::path(delete, path = "/v1/auth/factors/{id}", operation_id = "remove_factor", tag = "Auth",
    params(("id" = FactorId, Path, description = "The factor.")),
    responses((status = 204, description = "It is removed.")))]
async fn remove(
    State(app): State<App>,
    State(desk): State<Desk>,
    scope: Scope<ManageOwnAccount>,
    _: Proved,
    Path(id): Path<FactorId>,
) -> Result<StatusCode> {
    enrolment::remove(&app, &desk, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes ten new recovery codes, which are shown this once; those before are void
///
/// 409 `no_factor` for who has no factor; 403 `proof_required` for who has not proved a moment ago that it is them.
#[utoipa::path(post, path = "/v1/auth/factors/recovery-codes", operation_id = "make_recovery_codes", tag = "Auth",
    responses((status = 201, body = RecoveryCodes)))]
async fn make_codes(
    State(app): State<App>,
    scope: Scope<ManageOwnAccount>,
    _: Proved,
) -> Result<Created<RecoveryCodes>> {
    let made = enrolment::make_codes(&app, &scope).await?;
    Ok(Created(made))
}

/// What proves that it is still you.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StepUp {
    /// Your password, if you have no factor.
    #[schema(nullable = false, format = "password", max_length = 128)]
    password: Option<String>,
    /// The six digits that your app shows, if you have one.
    #[schema(nullable = false, max_length = 64, example = "492039")]
    code: Option<String>,
    /// What one of your passkeys signed: what `toJSON` of the browser's `PublicKeyCredential` gives. With `challenge`.
    #[schema(nullable = false, value_type = Object)]
    credential: Option<Value>,
    /// As `/v1/auth/step-up/passkey` gave it.
    #[schema(nullable = false)]
    challenge: Option<String>,
}

impl Input for StepUp {
    fn check(&self, check: &mut Check) {
        let given = [self.password.is_some(), self.code.is_some(), self.credential.is_some()];
        let one = given.into_iter().filter(|given| *given).count() == 1;
        check.that(
            one,
            "code",
            "must be given, or `password`, or `credential`, and no two of them",
        );
        let together = self.credential.is_some() == self.challenge.is_some();
        check.that(
            together,
            "challenge",
            "must be given with `credential`, and not without it",
        );
        check_code(check, "code", self.code.as_deref().unwrap_or_default());
        let password = self.password.as_deref().unwrap_or_default();
        check.that(password.len() <= 512, "password", "must have at most 512 bytes");
    }
}

impl StepUp {
    fn again<'a>(&'a self, passkeys: &'a Passkeys) -> Again<'a> {
        match (&self.password, &self.credential) {
            (Some(password), _) => Again::Password(password),
            (None, Some(credential)) => {
                let challenge = self.challenge.as_deref().unwrap_or_default();
                Again::Passkey(challenge, Signed { passkeys, credential })
            }
            (None, None) => Again::Code(self.code.as_deref().unwrap_or_default()),
        }
    }
}

/// Asks for one of your passkeys, to prove by it that it is still you
///
/// 409 `no_passkey` for who has none.
#[utoipa::path(post, path = "/v1/auth/step-up/passkey", operation_id = "ask_again", tag = "Auth",
    responses((status = 200, body = FactorChallenge)))]
async fn ask_again(
    State(app): State<App>,
    State(passkeys): State<Passkeys>,
    scope: Scope<ManageOwnAccount>,
) -> Result<Json<FactorChallenge>> {
    Ok(Json(step_up::ask(&app, &passkeys, &scope).await?))
}

/// Proves in your session that it is still you, for what takes a recent proof
///
/// Logging in is such a proof. Who has a factor sends its code or what a passkey signed, others their password: 422 if it is wrong, 401
/// `bad_challenge` for a challenge that is used, over or another's, 429
/// `too_many_failures` after some of those, 409 `no_password` for who has neither and logs in again instead.
#[utoipa::path(post, path = "/v1/auth/step-up", operation_id = "step_up", tag = "Auth", request_body = StepUp,
    responses((status = 204, description = "It is proved.")))]
async fn step_up(
    State(app): State<App>,
    State(passkeys): State<Passkeys>,
    scope: Scope<ManageOwnAccount>,
    On(device): On,
    Json(input): Json<StepUp>,
) -> Result<StatusCode> {
    step_up::prove(&app, &scope, input.again(&passkeys), &device).await?;
    Ok(StatusCode::NO_CONTENT)
}
