//! Getting an account back, and proving its address: what mails with tokens are for. Whoever holds such a token is not
//! known otherwise. Opens no tenant's data.
//!
//! Who asks for a new password learns nothing: the answer is given before anybody looks whether the address is known.
//! The request goes onto a queue, and whoever takes it from there mails the token.

use anyhow::{Context, anyhow};
use app::{App, Outgoing, Queue};
use commit::{Commit, Reply, again};
use kernel::policy::ManageOwnAccount;
use kernel::{Origin, PlatformRole, Result, Scope, Time};
use notifications::{Desk, Job, Letter, Mail, Owner};
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::Write;
use trail::{Chain, Change};

use crate::accepted::Accepted;
use crate::account::prove_password;
use crate::anew;
use crate::factor::Factors;
use crate::mailed::{MailToken, Mailed, Purpose};
use crate::password;
use crate::session;
use crate::ticket::bad_token;
use crate::user::{Login, User};

/// Where requests for a new password wait.
const RESETS: Queue = Queue("RESET_QUEUE_URL");
/// Pages of the console that mails lead to.
const VERIFY_PAGE: &str = "/verify-email";
const RESET_PAGE: &str = "/reset-password";
pub(crate) const FORGOT_PAGE: &str = "/forgot-password";

/// Somebody, who may be anybody, asks for a new password for this address.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResetRequest {
    email: String,
    /// The same on every delivery.
    request_id: String,
    #[serde(default)]
    origin: Origin,
}

/// Takes a request for a new password, whether or not anybody has this address.
pub async fn ask(app: &App, origin: &Origin, email: &str) -> Result<()> {
    let request = ResetRequest {
        email: email.to_lowercase(),
        request_id: hex::encode(kernel::id::random::<16>()),
        origin: origin.for_later(),
    };
    let body = serde_json::to_string(&request).context("a reset request")?;
    app.queues.send(RESETS, Outgoing::now(body)).await
}

/// Mails a token to whoever has the address of a request, if they may log in by password. A request that comes again
/// gets no second mail.
pub async fn mail_reset(app: &App, desk: &Desk, message: &str) -> Result<()> {
    // What serde says may quote an address.
    let request: ResetRequest = serde_json::from_str(message).map_err(|_| anyhow!("a message that is none of ours"))?;
    again(|| async {
        let (now, table) = (app.now(), &app.table);
        let Some(login) = Login::find(table, &request.email).await? else {
            return Ok(());
        };
        let Some(user) = User::find(table, login.user).await?.filter(User::is_active) else {
            return Ok(());
        };
        let mut mailed = Mailed::to(table, user.id).await?;
        let Some(token) = mailed.issue(now, Purpose::ResetPassword, &request.request_id) else {
            return Ok(());
        };
        let letter = Letter::ResetPassword {
            name: user.name.as_str().into(),
            link: desk.link(RESET_PAGE, &token.reveal()).into(),
        };
        let job = mail(desk, now, &user, letter)?;
        // Nobody is known to have asked; the person is the only one it can be noted for.
        let change = Change::by(user.id, "user.password_reset_requested", "user", user.id);
        Commit::of(app, &request.origin)
            .write("mailed", Write::save(&mailed)?)
            .due(job.later())?
            .note(Chain::User(user.id), change.to(json!({"authenticated": false})))
            .await
    })
    .await
}

/// Sets a new password with a token from a mail: ends every session, makes other such tokens worthless, proves the
/// address, and says so by mail. If it was not proved before, what the account made begins anew. 400 `bad_token`, 422 `common_password` and `personal_password`.
pub async fn reset(app: &App, desk: &Desk, origin: &Origin, token: &str, password: &str) -> Result<()> {
    let token = MailToken::parse(token)?;
    again(|| async {
        let (now, table) = (app.now(), &app.table);
        let mut mailed = Mailed::to(table, token.user()).await?;
        mailed.spend(now, Purpose::ResetPassword, &token)?;
        let user = User::find(table, token.user()).await?.filter(User::is_active);
        let mut user = user.ok_or_else(bad_token)?;
        password::must_be_hard_to_guess("password", password, &user.email, &user.name)?;
        let login = Login::find(table, &user.email).await?;
        let mut login = login.filter(|login| login.user == user.id).ok_or_else(bad_token)?;
        login.password_hash = password::hash(password).await?;
        let is_first_proof = user.email_verified_at.is_none();
        if is_first_proof {
            anew::begin(app, &user).await?;
        }
        // A factor that somebody else prepared would keep the address's owner out, or let that one in. A role on the platform is
        // not had by a mailbox.
        let prepared = if user.role == PlatformRole::User && user.has_factor {
            let factors = Factors::of(table, user.id).await?;
            factors.is_prepared(user.email_verified_at).then_some(factors)
        } else {
            None
        };
        user.has_factor &= prepared.is_none();
        user.end_sessions();
        user.prove_email(now);
        let job = password_changed(desk, now, &user)?;
        let change = noted(&user, "user.password_reset");
        Commit::of(app, origin)
            .write("mailed", Write::save(&mailed)?)
            .write("login", Write::replace(&login)?)
            .write("user", Write::replace(&user)?)
            .write_all("factors", prepared.as_ref().map(Write::delete))
            .due(job.later())?
            .note(
                Chain::User(user.id),
                if prepared.is_some() {
                    change.to(json!({"factorsRemoved": true}))
                } else {
                    change
                },
            )
            .await
    })
    .await
}

/// Sets a new password for who knows the old one: ends the caller's other sessions, makes reset tokens worthless, and says
/// so by mail. 422 when `current` is not the password, 409 `no_password` for who logs in otherwise.
pub async fn change(
    app: &App,
    desk: &Desk,
    scope: &Scope<ManageOwnAccount>,
    current: &str,
    password: &str,
) -> Result<()> {
    again(|| async {
        let (now, table) = (app.now(), &app.table);
        let mut user = User::me(table, scope).await?;
        let given = ("currentPassword", current);
        let (mut login, guess) = prove_password(app, &user, given, "you log in without a password").await?;
        guess.was_right(app).await?;
        password::must_be_hard_to_guess("newPassword", password, &user.email, &user.name)?;
        login.password_hash = password::hash(password).await?;
        let mut kept = session::own(table, now, scope, &user).await?;
        user.end_sessions();
        kept.keep(&user);
        let mut mailed = Mailed::to(table, user.id).await?;
        let withdrawn = mailed.withdraw(Purpose::ResetPassword);
        let job = password_changed(desk, now, &user)?;
        Commit::by(app, scope)
            .write("login", Write::replace(&login)?)
            .write("user", Write::replace(&user)?)
            .write("session", Write::replace(&kept)?)
            .write_all("mailed", withdrawn.then(|| Write::save(&mailed)).transpose()?)
            .due(job.later())?
            .note(Chain::User(user.id), noted(&user, "user.password_changed"))
            .reply(Reply::no_content())
            .await
    })
    .await
}

/// Notes that a person reads the mail of their address, by the token that went there. 400 `bad_token`.
pub async fn verify_email(app: &App, origin: &Origin, token: &str) -> Result<()> {
    let token = MailToken::parse(token)?;
    again(|| async {
        let (now, table) = (app.now(), &app.table);
        let mut mailed = Mailed::to(table, token.user()).await?;
        mailed.spend(now, Purpose::VerifyEmail, &token)?;
        let user = User::find(table, token.user()).await?.filter(User::is_active);
        let mut user = user.ok_or_else(bad_token)?;
        user.prove_email(now);
        let change = noted(&user, "user.email_verified").to(user.noted(json!({"email": user.email})));
        Commit::of(app, origin)
            .write("mailed", Write::save(&mailed)?)
            .write("user", Write::replace(&user)?)
            .note(Chain::User(user.id), change)
            .await
    })
    .await
}

/// Mails the caller another token that proves their address, unless it is proved or they had enough of them.
pub async fn resend(app: &App, desk: &Desk, scope: &Scope<ManageOwnAccount>) -> Result<Accepted> {
    let request = hex::encode(kernel::id::random::<16>());
    again(|| async {
        let user = User::me(&app.table, scope).await?;
        let mut mailed = Mailed::to(&app.table, user.id).await?;
        if user.email_verified_at.is_some() {
            return Ok(());
        }
        let Some(job) = verification(desk, app.now(), &user, &mut mailed, &request)? else {
            return Ok(());
        };
        Commit::by(app, scope)
            .write("mailed", Write::save(&mailed)?)
            .due(job.later())?
            .note(Chain::User(user.id), noted(&user, "user.verification_requested"))
            .reply(Reply::json(Accepted::STATUS, &Accepted::taken())?)
            .await
    })
    .await?;
    Ok(Accepted::taken())
}

/// What a person did to their own account.
fn noted(user: &User, action: &'static str) -> Change {
    Change::by(user.id, action, "user", user.id)
}

/// The mail with the token that proves a person's address; nothing if they had enough of them.
pub(crate) fn verification(
    desk: &Desk,
    now: Time,
    user: &User,
    mailed: &mut Mailed,
    request: &str,
) -> Result<Option<Job>> {
    let Some(token) = mailed.issue(now, Purpose::VerifyEmail, request) else {
        return Ok(None);
    };
    let letter = Letter::VerifyEmail {
        name: user.name.as_str().into(),
        link: desk.link(VERIFY_PAGE, &token.reveal()).into(),
    };
    mail(desk, now, user, letter).map(Some)
}

fn password_changed(desk: &Desk, now: Time, user: &User) -> Result<Job> {
    let letter = Letter::PasswordChanged {
        name: user.name.as_str().into(),
        changed_at: now,
        link: desk.page(FORGOT_PAGE).into(),
    };
    mail(desk, now, user, letter)
}

/// Adds a mail that tells a person what became of their account. Who has not proved their address gets none: anybody could have
/// such mails sent to a stranger, by registering with their address.
pub(crate) fn telling<'a>(
    commit: Commit<'a>,
    desk: &Desk,
    now: Time,
    user: &User,
    letter: Letter,
) -> Result<Commit<'a>> {
    if user.email_verified_at.is_none() {
        return Ok(commit);
    }
    commit.due(mail(desk, now, user, letter)?.later())
}

/// A mail to a person about their account.
fn mail(desk: &Desk, now: Time, user: &User, letter: Letter) -> Result<Job> {
    desk.mail(now, Owner::User(user.id), "account", Mail::to(&user.email, letter))
}
