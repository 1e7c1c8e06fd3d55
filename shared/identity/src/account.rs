//! Registering, logging in and out, refreshing: what happens before anybody is known. Opens no tenant's data.

use std::net::IpAddr;

use app::App;
use aws_lc_rs::digest::{SHA256, digest};
use commit::{Commit, NotDone, Reply, again};
use kernel::{Error, Origin, PlatformRole, Result, UserId};
use notifications::{Desk, Letter};
use serde::Serialize;
use serde_json::json;
use table::Write;
use trail::{Chain, Change};

use crate::bootstrap::{Bootstrap, Made};
use crate::devices::Devices;
use crate::factor::second_step::{self, LoggedIn};
use crate::factor::{Method, Passkeys};
use crate::failures::{Guess, Subject};
use crate::mailed::Mailed;
use crate::org::Org;
use crate::recovery::{self, FORGOT_PAGE, telling};
use crate::session::{self, Device, RefreshToken, Session, bad_refresh_token};
use crate::token::LIFETIME_SECONDS;
use crate::user::{Address, Login, User, UserView};
use crate::{password, token::Issuer};

/// What someone registers with.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// Their address.
    pub email: &'a str,
    /// Their password, which is stored as a hash only.
    pub password: &'a str,
    /// What they are called.
    pub name: &'a str,
    /// From where they come.
    pub device: Device,
}

/// The tokens of a session.
#[derive(Debug)]
pub struct Tokens {
    /// Opens the API for 15 minutes.
    pub access: String,
    /// Good once, for the next two tokens.
    pub refresh: RefreshToken,
}

/// A person and the tokens of their session, as replies show them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedIn {
    /// Who.
    pub user: UserView,
    /// Opens the API: `Authorization: Bearer <access token>`.
    pub access_token: String,
    /// Good once, for the next two tokens; 7 days.
    pub refresh_token: String,
    /// How many seconds the access token is good.
    #[schema(example = 900)]
    pub expires_in: i64,
}

impl SignedIn {
    /// Shows a person and their tokens.
    pub(crate) fn of(user: User, tokens: Tokens) -> Self {
        Self {
            user: user.into(),
            access_token: tokens.access,
            refresh_token: tokens.refresh.reveal(),
            expires_in: LIFETIME_SECONDS,
        }
    }
}

/// What it takes to let somebody in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    /// Makes the mails that tell of it.
    pub desk: Desk,
    /// Makes the tokens.
    pub issuer: Issuer,
    /// Judges passkeys.
    pub passkeys: Passkeys,
}

/// Registers a person, logs them in and mails them a token that proves their address; 409 `email_taken`, 422
/// `common_password` and `personal_password`.
pub async fn register(
    app: &App,
    door: &Door,
    bootstrap: &Bootstrap,
    origin: &Origin,
    new: NewUser<'_>,
) -> Result<SignedIn> {
    let now = app.now();
    password::must_be_hard_to_guess("password", new.password, new.email, new.name)?;
    let user = User::new(now, new.email, new.name, PlatformRole::User);
    let hash = password::hash(new.password).await?;
    if bootstrap.is(&user.email) {
        return Err(email_taken());
    }
    let mut devices = Devices::none(user.id);
    devices.remember(&new.device, now);
    let (session, refresh) = Session::open(now, &user, new.device);
    let mut mailed = Mailed::nothing(user.id);
    let mail = recovery::verification(&door.desk, now, &user, &mut mailed, "registration")?;
    let access = door.issuer.issue(now, user.id, session.id)?;
    let entered = SignedIn::of(user.clone(), Tokens { access, refresh });
    let mut commit = Commit::of(app, origin)
        .write("session", Write::create(&session)?)
        .write("devices", Write::create(&devices)?)
        .write("mailed", Write::save(&mailed)?)
        .reply(Reply::created(&entered)?);
    if let Some(mail) = mail {
        commit = commit.due(mail.later())?;
    }
    enter(commit, &user, hash, "user.registered").await?;
    Ok(entered)
}

fn email_taken() -> Error {
    Error::refused("email_taken", "somebody is registered with this address already")
}

/// Stores a new person and their login with a commit, and notes it.
async fn enter(commit: Commit<'_>, user: &User, password_hash: String, action: &'static str) -> Result<()> {
    let new = json!({"email": user.email, "name": user.name, "role": user.role});
    let done = commit
        .write("user", Write::create(user)?)
        .write("login", Write::create(&Login::new(user, password_hash))?)
        .write("address", Write::create(&Address::of(user))?)
        .note(
            Chain::User(user.id),
            Change::by(user.id, action, "user", user.id).to(user.noted(new)),
        )
        .await;
    match done {
        Err(NotDone::Conditions(_)) => Err(email_taken()),
        done => Ok(done?),
    }
}

/// Logs a person in; who has a factor gets a challenge. A wrong address and a wrong password are one answer, after the same
/// time: 401 `bad_credentials`; after some of those 429 `too_many_failures`. Whoever has the right password of a deactivated
/// account is told so.
pub async fn log_in(
    app: &App,
    door: &Door,
    bootstrap: &Bootstrap,
    email: &str,
    password: &str,
    device: Device,
) -> Result<LoggedIn> {
    let email = email.to_lowercase();
    let login = Login::find(&app.table, &email).await?;
    let (whose, from) = (login.as_ref().map(|login| login.user), device.ip_address);
    let entered = by_password(app, door, bootstrap, &email, login, password, device).await;
    if let Err(error) = &entered {
        log_failure(&email, whose, from, error);
    }
    entered
}

/// One line of the log for a login that failed for what was sent, or came too early.
pub(crate) fn log_failure(email: &str, whose: Option<UserId>, from: Option<IpAddr>, error: &Error) {
    let code = match error {
        Error::Unauthenticated { code, .. } => code,
        Error::TooManyFailures { .. } => "too_many_failures",
        _ => return,
    };
    tracing::warn!(
        user.id = whose.map(|user| user.to_string()),
        user.address_sha256 = address_hash(email),
        client.address = from.map(|address| address.to_string()),
        code,
        "a login failed"
    );
}

/// What logs have of an address.
fn address_hash(email: &str) -> String {
    hex::encode(digest(&SHA256, email.as_bytes()))
}

/// Opens a session for a password. The address is in lower case, and the login the one that it has.
async fn by_password(
    app: &App,
    door: &Door,
    bootstrap: &Bootstrap,
    email: &str,
    mut login: Option<Login>,
    password: &str,
    device: Device,
) -> Result<LoggedIn> {
    let guess = guess(app, email, login.as_ref(), &device).await?;
    if login.is_none() && bootstrap.is(email) && bootstrap.accepts(password) {
        if !Made::there(&app.table, email).await? {
            make_manager(app, email, password).await?;
        }
        // Who was made a moment ago by another request is there by now; who was erased is not.
        login = Login::find(&app.table, email).await?;
    }
    let right = password::verify(password, login.as_ref().map(|login| login.password_hash.as_str())).await?;
    let Some(login) = login.filter(|_| right) else {
        return Err(bad_credentials());
    };
    guess.was_right(app).await?;
    let user = User::find(&app.table, login.user).await?.ok_or_else(bad_credentials)?;
    user.must_be_active()?;
    hash_anew(app, login, password).await?;
    if bootstrap.is(email) {
        if bootstrap.accepts(password) {
            tracing::warn!(user.id = %user.id, "the first manager still has the password of the deployment; change it");
        }
        if user.role == PlatformRole::Manager {
            Org::own_platform(app, user.id).await?;
        }
    }
    open(app, door, user, device).await
}

/// Stores a password that is right under a new hash, if its hash was made with other parameters than those of now.
async fn hash_anew(app: &App, mut login: Login, password: &str) -> Result<()> {
    if !password::is_outdated(&login.password_hash) {
        return Ok(());
    }
    login.password_hash = password::hash(password).await?;
    let stored = Commit::of(app, &Origin::default()).write("login", Write::replace(&login)?);
    match stored.await {
        // Somebody logged in or set another password meanwhile: that stands.
        Err(NotDone::Conditions(_)) => Ok(()),
        done => Ok(done?),
    }
}

/// Their login, of who sends their own password once more; and the guess that it was, which is to be forgotten. 409 `no_password`
/// with `without`, which says what to do, for who logs in otherwise; 422 for another password, and 429 `too_many_failures`.
pub(crate) async fn prove_password(
    app: &App,
    user: &User,
    (field, password): (&'static str, &str),
    without: &'static str,
) -> Result<(Login, Guess)> {
    let login = Login::of(&app.table, user).await?;
    let login = login.ok_or_else(|| Error::refused("no_password", without))?;
    let guess = Guess::begin(app, Subject::Password(user.id)).await?;
    if !password::verify(password, Some(&login.password_hash)).await? {
        return Err(Error::invalid(field, "is not your password"));
    }
    Ok((login, guess))
}

/// Charges an attempt at the password for an address. Does the same, and as much, whether or not anybody has it.
async fn guess(app: &App, email: &str, login: Option<&Login>, device: &Device) -> Result<Guess> {
    let whose = login.map_or(UserId::from_bits(0), |login| login.user);
    let from = Devices::of(&app.table, whose).await?.known_network(device);
    Guess::begin(app, Subject::Login { email, from }).await
}

/// Opens a session of a person who logs in, or asks them for their factor.
pub(crate) async fn open(app: &App, door: &Door, user: User, device: Device) -> Result<LoggedIn> {
    if user.has_factor {
        return second_step::challenge(app, &door.passkeys, &user)
            .await
            .map(LoggedIn::Challenged);
    }
    let entered = again(|| async {
        let opening = Opening::of(app, user.clone(), &device).await?;
        opening.commit(app, &door.desk, &Origin::default())?.await?;
        Ok(opening.done(app, &door.issuer, None)?)
    })
    .await?;
    Ok(LoggedIn::SignedIn(Box::new(entered)))
}

/// A session that is about to be opened.
pub(crate) struct Opening {
    user: User,
    session: Session,
    refresh: RefreshToken,
    devices: Devices,
    /// Whether the device is remembered from now on.
    is_new_device: bool,
    /// Whether the person has logged in before, and never on this one.
    is_strange: bool,
}

impl Opening {
    /// A session of a person on a device.
    pub(crate) async fn of(app: &App, user: User, device: &Device) -> Result<Self> {
        let now = app.now();
        let (session, refresh) = Session::open(now, &user, device.clone());
        let mut devices = Devices::of(&app.table, user.id).await?;
        let is_strange = !devices.knows(device);
        let is_new_device = devices.remember(device, now);
        Ok(Self {
            user,
            session,
            refresh,
            devices,
            is_new_device,
            is_strange,
        })
    }

    /// What opens it, and tells the person of a device that they have never used before.
    pub(crate) fn commit<'a>(&self, app: &'a App, desk: &Desk, origin: &Origin) -> Result<Commit<'a>> {
        let devices = self.is_new_device.then(|| Write::save(&self.devices));
        let commit = Commit::of(app, origin)
            .write("session", Write::create(&self.session)?)
            .write_all("devices", devices.transpose()?);
        if !self.is_strange {
            return Ok(commit);
        }
        // Not what the program says of itself: whoever logs in chooses that, and it would stand in a mail of ours.
        let address = self.session.ip_address.as_deref().unwrap_or("an unknown address");
        let letter = Letter::NewDevice {
            name: self.user.name.as_str().into(),
            address: address.into(),
            changed_at: self.session.created_at,
            link: desk.page(FORGOT_PAGE).into(),
        };
        telling(commit, desk, self.session.created_at, &self.user, letter)
    }

    /// Its tokens, once it is open; and a line of the log, with what was proved besides a password.
    pub(crate) fn done(self, app: &App, issuer: &Issuer, factor: Option<Method>) -> Result<SignedIn> {
        let Self { user, session, .. } = self;
        let access = issuer.issue(app.now(), user.id, session.id)?;
        tracing::info!(
            user.id = %user.id,
            user.address_sha256 = address_hash(&user.email),
            session.id = %session.id,
            client.address = session.ip_address,
            factor = factor.map(Method::name),
            "a person logged in"
        );
        let refresh = self.refresh;
        Ok(SignedIn::of(user, Tokens { access, refresh }))
    }
}

fn bad_credentials() -> Error {
    Error::Unauthenticated {
        code: "bad_credentials",
        detail: "the address or the password is wrong",
    }
}

/// Makes the first manager, unless another request has just done so.
async fn make_manager(app: &App, email: &str, password: &str) -> Result<()> {
    let user = User::new(app.now(), email, "Platform manager", PlatformRole::Manager);
    let hash = password::hash(password).await?;
    let commit = Commit::of(app, &Origin::default()).write("made", Write::create(&Made::of(email))?);
    match enter(commit, &user, hash, "user.bootstrapped").await {
        Err(Error::Refused { .. }) => Ok(()),
        done => done,
    }
}

/// Spends a refresh token for new tokens.
pub async fn refresh(app: &App, issuer: &Issuer, text: &str) -> Result<SignedIn> {
    let now = app.now();
    let token = RefreshToken::parse(text).ok_or_else(bad_refresh_token)?;
    let user = User::find(&app.table, token.user)
        .await?
        .ok_or_else(bad_refresh_token)?;
    if !user.is_active() {
        // Only who has a good token learns that the account is deactivated.
        session::must_be_current(&app.table, now, &user, &token).await?;
    }
    user.must_be_active()?;
    let refresh = session::rotate(app, &user, &token).await?;
    let access = issuer.issue(now, user.id, refresh.session)?;
    Ok(SignedIn::of(user, Tokens { access, refresh }))
}

/// Ends the session of a refresh token; one that has ended stays so.
pub async fn log_out(app: &App, text: &str) -> Result<()> {
    let token = RefreshToken::parse(text).ok_or_else(bad_refresh_token)?;
    session::end_by_token(app, &token).await
}
