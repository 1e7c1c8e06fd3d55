//! /v1/auth: registering, logging in and out, refreshing, sessions; and the keys that verify access tokens.

mod erasure;
mod factors;
mod google;
mod recovery;
mod settings;

use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use gate::{Gate, Routes, Serve, routes};
use identity::account::{self, Door, NewUser, SignedIn};
use identity::factor::Passkeys;
use identity::factor::second_step::LoggedIn;
use identity::session::{Device, SessionView};
use identity::token::{Jwks, not_authenticated};
use identity::{Bootstrap, Google, Issuer, Session, User, UserView, password};
use kernel::policy::ManageOwnAccount;
use kernel::{Caller, Check, Input, Origin, Scope, SessionId};
use lambda::{App, Created, Env, Function, Json, List, Pages, Paging, Path, Problem, Result, Start};
use notifications::Desk;
use serde::Deserialize;

use factors::Product;
use settings::Secrets;

/// The function.
pub const FUNCTION: Function = gate::function::<Auth>("auth");

#[derive(Clone, FromRef)]
struct Auth {
    app: App,
    gate: Gate,
    issuer: Issuer,
    door: Door,
    bootstrap: Bootstrap,
    google: Google,
    desk: Desk,
    passkeys: Passkeys,
    product: Product,
}

impl Start for Auth {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        let secrets = Secrets::read(env).await?;
        let product = env.variable("PRODUCT_NAME")?;
        let door = Door {
            desk: Desk::of(env, &app)?,
            issuer: secrets.issuer(env)?,
            passkeys: Passkeys::of(env.variable("CONSOLE_URL")?, product)?,
        };
        Ok(Self {
            gate: Gate::of(env, &app)?,
            desk: door.desk.clone(),
            issuer: door.issuer.clone(),
            passkeys: door.passkeys.clone(),
            door,
            bootstrap: secrets.bootstrap(env),
            google: secrets.google(env)?,
            product: Product(product.to_owned()),
            app,
        })
    }
}

impl Serve for Auth {
    type State = Self;

    fn routes() -> Routes<Self> {
        // What hashes a password, or begins something, is limited by address; a token of 256 bits cannot be tried out, so more
        // of them may come.
        // Logging in and refreshing again does no harm and has its own rules, so only registering remembers its reply.
        let costly = Routes::new()
            .public(routes![register])
            .open(routes![log_in])
            .and(factors::second_step())
            .open(google::begins());
        let by_token = Routes::new()
            .open(routes![refresh])
            .open(google::finishes())
            .anyone(routes![log_out]);
        Routes::new()
            .open(routes![jwks])
            .by_address(costly)
            .strangers(by_token)
            .own_account(routes![me])
            .signed_in(routes![list_sessions, end_session])
            .and(factors::own())
            .and(recovery::routes())
            .and(erasure::routes())
    }
}

/// What a person registers with.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Registration {
    /// The address; upper and lower case are the same.
    #[schema(format = "email", max_length = 254, example = "ada@example.com")]
    email: String,
    /// 8 to 128 characters.
    #[schema(format = "password", min_length = 8, max_length = 128)]
    password: String,
    /// What the person is called.
    #[schema(min_length = 1, max_length = 100, example = "Ada Lovelace")]
    name: String,
}

impl Input for Registration {
    fn check(&self, check: &mut Check) {
        check.email("email", &self.email);
        password::check(check, "password", &self.password);
        check.mailed_name("name", &self.name, 1..=100);
    }
}

/// What a person logs in with.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Credentials {
    /// The address; upper and lower case are the same.
    #[schema(format = "email", max_length = 254, example = "ada@example.com")]
    email: String,
    /// The password.
    #[schema(format = "password", max_length = 128)]
    password: String,
}

impl Input for Credentials {
    fn check(&self, check: &mut Check) {
        // Not the rules of a registration: what breaks those is a wrong password like any other.
        check.that(self.email.len() <= 254, "email", "must have at most 254 bytes");
        check.that(self.password.len() <= 512, "password", "must have at most 512 bytes");
    }
}

/// A refresh token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refresh {
    /// As the last reply gave it.
    refresh_token: String,
}

impl Input for Refresh {
    fn check(&self, _: &mut Check) {}
}

/// On what somebody comes.
struct On(Device);

impl<S: Sync> FromRequestParts<S> for On {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let agent = |headers: &HeaderMap| Some(headers.get(header::USER_AGENT)?.to_str().ok()?.to_owned());
        Ok(Self(Device {
            ip_address: lambda::client_address(&parts.extensions),
            user_agent: agent(&parts.headers),
        }))
    }
}

/// Registers a person and logs them in
///
/// A mail with a token that proves the address follows.
#[utoipa::path(post, path = "/v1/auth/register", operation_id = "register", tag = "Auth", request_body = Registration,
    responses((status = 201, body = SignedIn)))]
async fn register(
    State(app): State<App>,
    State(door): State<Door>,
    State(bootstrap): State<Bootstrap>,
    On(device): On,
    origin: Origin,
    Json(input): Json<Registration>,
) -> Result<Created<SignedIn>> {
    let new = NewUser {
        email: &input.email,
        password: &input.password,
        name: &input.name,
        device,
    };
    let entered = account::register(&app, &door, &bootstrap, &origin, new).await?;
    Ok(Created(entered))
}

/// Logs a person in: opens a session, or asks who has a factor for it
///
/// Who has a factor is answered with a challenge instead of tokens, to be met at `/v1/auth/login/factor`.
#[utoipa::path(post, path = "/v1/auth/login", operation_id = "log_in", tag = "Auth", request_body = Credentials,
    responses((status = 200, body = LoggedIn)))]
async fn log_in(
    State(app): State<App>,
    State(door): State<Door>,
    State(bootstrap): State<Bootstrap>,
    On(device): On,
    Json(input): Json<Credentials>,
) -> Result<Json<LoggedIn>> {
    let entered = account::log_in(&app, &door, &bootstrap, &input.email, &input.password, device).await?;
    Ok(Json(entered))
}

/// Spends a refresh token for new tokens
///
/// A token that is sent again within 30 seconds (requests race, replies get lost) is answered with the same successor.
/// Later it ends the session: 401 `refresh_reused`. A session lasts for 30 days from logging in, however often it is
/// refreshed; then its last token is answered with 401 `session_expired`.
#[utoipa::path(post, path = "/v1/auth/refresh", operation_id = "refresh", tag = "Auth", request_body = Refresh,
    responses((status = 200, body = SignedIn), Problem))]
async fn refresh(
    State(app): State<App>,
    State(issuer): State<Issuer>,
    Json(input): Json<Refresh>,
) -> Result<Json<SignedIn>> {
    let entered = account::refresh(&app, &issuer, &input.refresh_token).await?;
    Ok(Json(entered))
}

/// Logs out: ends the session of the refresh token, or without one the session of the access token
#[utoipa::path(post, path = "/v1/auth/logout", operation_id = "log_out", tag = "Auth", request_body = Option<Refresh>,
    responses((status = 204, description = "The session has ended.")))]
async fn log_out(State(app): State<App>, caller: Option<Caller>, input: Option<Json<Refresh>>) -> Result<StatusCode> {
    match (input, caller) {
        (Some(Json(input)), _) => account::log_out(&app, &input.refresh_token).await?,
        (None, Some(caller)) => {
            let scope = Scope::<ManageOwnAccount>::permit(caller)?;
            Session::end_own(&app, &scope).await?;
        }
        (None, None) => return Err(not_authenticated().into()),
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Shows who is logged in
#[utoipa::path(get, path = "/v1/auth/me", operation_id = "me", tag = "Auth",
    responses((status = 200, body = UserView)))]
async fn me(State(app): State<App>, scope: Scope<ManageOwnAccount>) -> Result<Json<UserView>> {
    let user = User::me(&app.table, &scope).await?;
    Ok(Json(user.into()))
}

/// Lists your sessions, newest first
#[utoipa::path(get, path = "/v1/auth/sessions", operation_id = "list_sessions", tag = "Auth", params(Paging),
    responses((status = 200, body = List<SessionView>)))]
async fn list_sessions(
    State(app): State<App>,
    scope: Scope<ManageOwnAccount>,
    pages: Pages,
) -> Result<Json<List<SessionView>>> {
    let mut page = Session::list(&app.table, &scope, pages.slice()?).await?;
    let user = User::me(&app.table, &scope).await?;
    page.records.retain(|session| session.is_live(&user, app.now()));
    Ok(Json(
        pages.list(page, |session| SessionView::of(session, scope.session()))?,
    ))
}

/// Ends one of your sessions: its tokens stop working within a minute
#[utoipa::path(delete, path = "/v1/auth/sessions/{id}", operation_id = "end_session", tag = "Auth",
    params(("id" = SessionId, Path, description = "The session.")),
    responses((status = 204, description = "It has ended.")))]
async fn end_session(
    State(app): State<App>,
    scope: Scope<ManageOwnAccount>,
    Path(id): Path<SessionId>,
) -> Result<StatusCode> {
    Session::end(&app, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the keys that verify access tokens
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "jwks", tag = "Auth",
    responses((status = 200, description = "A JSON Web Key Set (RFC 7517).", body = Jwks)))]
async fn jwks(State(issuer): State<Issuer>) -> impl IntoResponse {
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        Json(issuer.public_keys().published().clone()),
    )
}
