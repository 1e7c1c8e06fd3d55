//! Registering, logging in and out, refreshing: what happens before anybody is known. Opens no tenant's data.

use app::App;
use kernel::{Error, PlatformRole, Result, Time};
use notifications::Desk;
use serde_json::json;
use table::{Table, Write, WriteError};
use trail::{Chain, Change};

use crate::bootstrap::Bootstrap;
use crate::mailed::Mailed;
use crate::recovery;
use crate::session::{self, Device, RefreshToken, Session, bad_refresh_token};
use crate::user::{Address, Login, User};
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
}

/// The tokens of a session.
#[derive(Debug)]
pub struct Tokens {
    /// Opens the API for 15 minutes.
    pub access: String,
    /// Good once, for the next two tokens.
    pub refresh: RefreshToken,
}

/// Registers a person, logs them in and mails them a token that proves their address; 409 `email_taken`.
pub async fn register(
    app: &App,
    desk: &Desk,
    issuer: &Issuer,
    bootstrap: &Bootstrap,
    new: NewUser<'_>,
    device: Device,
) -> Result<(User, Tokens)> {
    let now = app.now();
    let user = User::new(now, new.email, new.name, PlatformRole::User);
    let hash = password::hash(new.password).await?;
    if bootstrap.is(&user.email) {
        return Err(email_taken());
    }
    let (session, refresh) = Session::open(now, &user, device);
    let mut mailed = Mailed::nothing(user.id);
    let mail = recovery::verification(desk, now, &user, &mut mailed, "registration")?;
    let mut writes = vec![session::create(&session)?, mailed.write()?];
    if let Some(job) = &mail {
        writes.push(job.write()?);
    }
    enter(&app.table, now, &user, hash, "user.registered", writes).await?;
    desk.nudge(&mail.iter().map(notifications::Job::reference).collect::<Vec<_>>())
        .await;
    let tokens = Tokens {
        access: issuer.issue(now, user.id, session.id)?,
        refresh,
    };
    Ok((user, tokens))
}

fn email_taken() -> Error {
    Error::refused("email_taken", "somebody is registered with this address already")
}

/// Stores a new person and their login, and notes it.
async fn enter(
    table: &Table,
    now: Time,
    user: &User,
    password_hash: String,
    action: &'static str,
    mut writes: Vec<Write>,
) -> Result<()> {
    let new = json!({"email": user.email, "name": user.name, "role": user.role});
    let change = Change::new(user.id, action, "user", user.id).to(new);
    writes.extend([
        Write::create(user)?,
        Write::create(&Login::new(user, password_hash))?,
        Write::create(&Address::of(user))?,
    ]);
    match trail::commit(table, now, Chain::User(user.id), change, writes).await {
        Err(WriteError::Condition(_)) => Err(email_taken()),
        done => Ok(done?),
    }
}

/// Logs a person in. A wrong address and a wrong password are one answer, after the same time: 401 `bad_credentials`;
/// whoever has the right password of a deactivated account is told so.
pub async fn log_in(
    app: &App,
    issuer: &Issuer,
    bootstrap: &Bootstrap,
    email: &str,
    password: &str,
    device: Device,
) -> Result<(User, Tokens)> {
    let now = app.now();
    let email = email.to_lowercase();
    let mut login = Login::find(&app.table, &email).await?;
    if login.is_none() && bootstrap.is(&email) && bootstrap.accepts(password) {
        make_manager(&app.table, now, &email, password).await?;
        login = Login::find(&app.table, &email).await?;
    }
    let right = password::verify(password, login.as_ref().map(|login| login.password_hash.as_str())).await?;
    let Some(login) = login.filter(|_| right) else {
        return Err(bad_credentials());
    };
    let user = User::find(&app.table, login.user).await?.ok_or_else(bad_credentials)?;
    user.must_be_active()?;

    let (session, refresh) = Session::open(now, &user, device);
    app.table.write([session::create(&session)?]).await?;
    let tokens = Tokens {
        access: issuer.issue(now, user.id, session.id)?,
        refresh,
    };
    Ok((user, tokens))
}

fn bad_credentials() -> Error {
    Error::Unauthenticated {
        code: "bad_credentials",
        detail: "the address or the password is wrong",
    }
}

/// Makes the first manager, unless another request has just done so.
async fn make_manager(table: &Table, now: Time, email: &str, password: &str) -> Result<()> {
    let user = User::new(now, email, "Platform manager", PlatformRole::Manager);
    let hash = password::hash(password).await?;
    match enter(table, now, &user, hash, "user.bootstrapped", Vec::new()).await {
        Err(Error::Refused { .. }) => Ok(()),
        done => done,
    }
}

/// Spends a refresh token for new tokens.
pub async fn refresh(app: &App, issuer: &Issuer, text: &str) -> Result<(User, Tokens)> {
    let now = app.now();
    let token = RefreshToken::parse(text).ok_or_else(bad_refresh_token)?;
    let user = User::find(&app.table, token.user)
        .await?
        .ok_or_else(bad_refresh_token)?;
    if !user.is_active() {
        // A refused request spends nothing: the token is good again when the person is.
        session::must_be_current(&app.table, now, &user, &token).await?;
    }
    user.must_be_active()?;
    let refresh = session::rotate(&app.table, now, &user, &token).await?;
    let access = issuer.issue(now, user.id, refresh.session)?;
    Ok((user, Tokens { access, refresh }))
}

/// Ends the session of a refresh token; one that has ended stays so.
pub async fn log_out(app: &App, text: &str) -> Result<()> {
    let token = RefreshToken::parse(text).ok_or_else(bad_refresh_token)?;
    session::end_by_token(&app.table, app.now(), &token).await
}
