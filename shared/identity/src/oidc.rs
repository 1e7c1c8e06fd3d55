//! Logging in with Google, or with any other provider of OpenID Connect that the deployment names as issuer:
//! authorization code with PKCE, state and nonce.
//!
//! Entities: an attempt, from leaving for the provider to coming back; a login, which says whose an account of the
//! provider is.
//!
//! Invariants: an attempt is finished once, within 10 minutes, in the browser that began it. A person is whom the
//! provider's account (issuer and subject) belongs to: an address alone never opens anybody's account, so this login and
//! a password for the same address are two people.

mod attempt;
mod id_token;
mod provider;
mod store;

use std::sync::Arc;

use app::App;
use commit::{Commit, NotDone};
use kernel::{Check, Error, Origin, PlatformRole, Result};
use serde_json::json;
use table::Write;
use trail::{Chain, Change};

use crate::account::{self, Door, SignedIn, Tokens};
use crate::devices::Devices;
use crate::factor::second_step::LoggedIn;
use crate::session::{Device, Session};
use crate::token::Issuer;
use crate::user::User;

use attempt::{Attempt, Secrets};
use provider::{Account, Provider};
use store::GoogleLogin;

pub use attempt::LIFETIME_SECONDS;
pub(crate) use store::{forget, logs_in};

/// The path that the provider sends people back to.
pub const CALLBACK: &str = "/v1/auth/google/callback";

/// Where people log in, and as what we are known there.
#[derive(Clone)]
pub struct Settings {
    /// The provider, as its discovery document and its tokens name it: `https://accounts.google.com`.
    pub issuer: String,
    /// Our name at the provider.
    pub client_id: String,
    /// Our password there; empty for a public client.
    pub client_secret: String,
    /// Where browsers reach our API, without a slash at the end. Never taken from a request: whoever could choose it
    /// would be sent other people's codes.
    pub public_url: String,
}

impl std::fmt::Debug for Settings {
    /// Without our password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Logs people in with their account at the provider. Cheap to clone; asks nobody anything before the first login.
#[derive(Clone, Debug)]
pub struct Google(Option<Arc<Provider>>);

impl Google {
    /// Nobody logs in so.
    pub fn nowhere() -> Self {
        Self(None)
    }

    /// With this provider.
    pub fn new(settings: Settings, http: outbound::Client) -> Self {
        Self(Some(Arc::new(Provider::new(settings, http))))
    }

    /// Whether browsers reach us by https, so that a cookie may demand it.
    pub fn is_secure(&self) -> bool {
        let provider = self.0.as_ref();
        provider.is_none_or(|provider| provider.settings.public_url.starts_with("https://"))
    }

    fn provider(&self) -> Result<&Provider> {
        self.0.as_deref().ok_or_else(|| {
            Error::refused(
                "google_not_configured",
                "logging in with Google is not set up here; log in with a password",
            )
        })
    }
}

/// A login that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The page of the provider to go to.
    pub location: String,
    /// What the browser keeps, in a cookie that scripts cannot read, and shows when it comes back.
    pub browser: String,
}

/// Begins a login; 409 `google_not_configured`, 503 `busy` when the provider does not answer.
pub async fn begin(app: &App, google: &Google) -> Result<Begun> {
    let (provider, now) = (google.provider()?, app.now());
    let metadata = provider.metadata(now).await?;
    let (attempt, secrets) = Attempt::begin(now);
    let location = metadata.login_page(&[
        ("response_type", "code"),
        ("client_id", &provider.settings.client_id),
        ("redirect_uri", &provider.redirect_uri()),
        ("scope", "openid email profile"),
        ("state", &secrets.state),
        ("nonce", &secrets.nonce()),
        ("code_challenge", &secrets.challenge()),
        ("code_challenge_method", "S256"),
    ])?;
    Commit::of(app, &Origin::default())
        .write("attempt", Write::create(&attempt)?)
        .await?;
    Ok(Begun {
        location,
        browser: secrets.browser,
    })
}

/// With what somebody comes back from the provider.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Which attempt it is.
    pub state: &'a str,
    /// What is worth an account, if they were logged in.
    pub code: Option<&'a str>,
    /// Why they were not.
    pub error: Option<&'a str>,
    /// Which provider says so (RFC 9207).
    pub issuer: Option<&'a str>,
}

/// Finishes a login in the browser that began it; who comes for the first time is registered, and who has a factor gets a
/// challenge.
///
/// 401 `bad_state` if this browser began no such attempt, or it is used or too old; `google_denied`, `bad_code`,
/// `bad_id_token`; 409 `email_unverified`, `google_account_changed`; 503 `busy` when the provider does not answer.
pub async fn finish(
    app: &App,
    door: &Door,
    google: &Google,
    answer: Answer<'_>,
    browser: Option<&str>,
    device: Device,
) -> Result<LoggedIn> {
    let (provider, now) = (google.provider()?, app.now());
    let secrets = claim(app, answer.state, browser).await?;
    let metadata = provider.metadata(now).await?;
    if !metadata.may_have_answered(answer.issuer) {
        return Err(bad_state());
    }
    if let Some(error) = answer.error {
        return Err(provider::denied(error));
    }
    let code = answer.code.ok_or_else(provider::bad_code)?;
    let account = provider.account(now, code, &secrets).await?;
    check(&account)?;
    enter(app, door, &account, device).await
}

fn bad_state() -> Error {
    Error::Unauthenticated {
        code: "bad_state",
        detail: "this login was not begun in this browser, or is used or older than 10 minutes; begin again",
    }
}

/// Takes an attempt out of the store, so that it is finished once; only the browser that began it can.
async fn claim(app: &App, state: &str, browser: Option<&str>) -> Result<Secrets> {
    let secrets = browser.and_then(|browser| Secrets::parse(state, browser));
    let secrets = secrets.ok_or_else(bad_state)?;
    let attempt = store::find(&app.table, &secrets).await?.ok_or_else(bad_state)?;
    if !attempt.is_open(&secrets, app.now()) {
        return Err(bad_state());
    }
    let taken = Commit::of(app, &Origin::default()).write("attempt", Write::delete(&attempt));
    taken.await.map_err(|failed| failed.if_failed("attempt", bad_state))?;
    Ok(secrets)
}

fn check(account: &Account) -> Result<()> {
    let mut rules = Check::default();
    rules.email("email", &account.email);
    if !account.email_verified || rules.done().is_err() {
        return Err(Error::refused(
            "email_unverified",
            "the provider has not verified the address of this account; verify it there, then log in again",
        ));
    }
    Ok(())
}

/// Logs the account's person in; registers them if nobody has come with this account before.
async fn enter(app: &App, door: &Door, account: &Account, device: Device) -> Result<LoggedIn> {
    let known = match GoogleLogin::find(&app.table, &account.email).await? {
        Some(login) => Some(login),
        None => match register(app, &door.issuer, account, device.clone()).await? {
            Some(entered) => return Ok(LoggedIn::SignedIn(Box::new(entered))),
            // Their other tab was faster.
            None => GoogleLogin::find(&app.table, &account.email).await?,
        },
    };
    let login = known.ok_or(Error::Busy)?;
    if !login.is_of(account) {
        return Err(Error::refused(
            "google_account_changed",
            "this address belongs to another account of the provider than before; ask an administrator",
        ));
    }
    let user = User::find(&app.table, login.user).await?.ok_or(Error::Busy)?;
    user.must_be_active()?;
    account::open(app, door, user, device).await
}

/// Registers and logs in; nothing if somebody has come with this account meanwhile.
async fn register(app: &App, issuer: &Issuer, account: &Account, device: Device) -> Result<Option<SignedIn>> {
    let now = app.now();
    let mut user = User::new(now, &account.email, &account.name, PlatformRole::User);
    // The provider has; an account that it has not verified does not get this far.
    user.prove_email(now);
    let mut devices = Devices::none(user.id);
    devices.remember(&device, now);
    let (session, refresh) = Session::open(now, &user, device);
    let new = json!({"email": user.email, "name": user.name, "role": user.role, "provider": store::PROVIDER});
    let change = Change::by(user.id, "user.registered", "user", user.id).to(user.noted(new));
    let done = Commit::of(app, &Origin::default())
        .write("user", Write::create(&user)?)
        .write("login", Write::create(&GoogleLogin::new(&user, account))?)
        .write("session", Write::create(&session)?)
        .write("devices", Write::create(&devices)?)
        .note(Chain::User(user.id), change)
        .await;
    match done {
        Err(NotDone::Conditions(_)) => return Ok(None),
        done => done?,
    }
    let access = issuer.issue(now, user.id, session.id)?;
    Ok(Some(SignedIn::of(user, Tokens { access, refresh })))
}
