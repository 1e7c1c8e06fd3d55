//! Proving again, within a session, that it is still its person: by their factor if they have one, else by their password.

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::ManageOwnAccount;
use kernel::{Error, Result, Scope};
use table::Write;

use super::challenge::{Challenge, ChallengeToken, bad_challenge};
use super::second_step::{self, FactorChallenge};
use super::{Factors, Method, Passkeys, Proof, Signed};
use crate::account::prove_password;
use crate::devices::Devices;
use crate::failures::{Guess, Subject};
use crate::session::{self, Device};
use crate::user::User;

/// What is sent as a proof.
#[derive(Clone, Copy)]
pub enum Again<'a> {
    /// The password, of who has no factor.
    Password(&'a str),
    /// The code of an app.
    Code(&'a str),
    /// What a passkey has signed, and the challenge that it met.
    Passkey(&'a str, Signed<'a>),
}

impl std::fmt::Debug for Again<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "password",
            Self::Code(_) => "code",
            Self::Passkey(..) => "passkey",
        })
    }
}

/// Asks the caller for one of their passkeys. 409 `no_passkey`.
pub async fn ask(app: &App, passkeys: &Passkeys, scope: &Scope<ManageOwnAccount>) -> Result<FactorChallenge> {
    let user = User::me(&app.table, scope).await?;
    let factors = Factors::of(&app.table, user.id).await?;
    let no_passkey = || Error::refused("no_passkey", "you have no passkey; send a code or your password");
    let (options, asked) = factors.to_be_signed(passkeys)?.ok_or_else(no_passkey)?;
    let session = scope.session().ok_or_else(no_passkey)?;
    let made = Challenge::again(&user, session, asked, app.now());
    second_step::stored(app, made, vec![Method::Passkey], Some(options)).await
}

/// Notes in the caller's session that they proved now that it is them. 422 `password`, `code` or `credential`, 401
/// `bad_challenge`, 409 `no_password`, 429 `too_many_failures`.
pub async fn prove(app: &App, scope: &Scope<ManageOwnAccount>, given: Again<'_>, device: &Device) -> Result<()> {
    let user = User::me(&app.table, scope).await?;
    match given {
        Again::Password(_) if user.has_factor => Err(Error::invalid(
            "password",
            "is not enough for who has a factor; send its code",
        )),
        Again::Code(_) if !user.has_factor => {
            Err(Error::invalid("code", "is of no factor of yours; send your password"))
        }
        Again::Password(password) => by_password(app, scope, &user, password).await,
        Again::Code(code) => by_code(app, scope, &user, code, device).await,
        Again::Passkey(challenge, signed) => by_passkey(app, scope, &user, challenge, signed).await,
    }
}

async fn by_password(app: &App, scope: &Scope<ManageOwnAccount>, user: &User, password: &str) -> Result<()> {
    let without = "you log in without a password; log in again instead";
    let (_, guess) = prove_password(app, user, ("password", password), without).await?;
    again(|| async { proved(app, scope, user, Some(&guess)).await?.await }).await
}

async fn by_code(app: &App, scope: &Scope<ManageOwnAccount>, user: &User, code: &str, device: &Device) -> Result<()> {
    let from = Devices::of(&app.table, user.id).await?.known_network(device);
    let guess = Guess::begin(app, Subject::Code { user: user.id, from }).await?;
    again(|| async {
        let mut factors = Factors::of(&app.table, user.id).await?;
        if !factors.accept(&app.sealing, Proof::Code(code), None, app.now())? {
            return Err(Error::invalid("code", "is wrong, or was used before; wait for the next one").into());
        }
        let commit = proved(app, scope, user, Some(&guess)).await?;
        commit.write("factors", Write::replace(&factors)?).await
    })
    .await
}

async fn by_passkey(
    app: &App,
    scope: &Scope<ManageOwnAccount>,
    user: &User,
    challenge: &str,
    signed: Signed<'_>,
) -> Result<()> {
    let token = ChallengeToken::parse(challenge).ok_or_else(bad_challenge)?;
    let proof = Proof::Passkey(signed);
    again(|| async {
        let (challenge, asked) = second_step::open(app, &token, proof).await?;
        if asked.id != user.id || challenge.within.is_none() || challenge.within != scope.session() {
            return Err(bad_challenge().into());
        }
        let mut factors = Factors::of(&app.table, user.id).await?;
        if !factors.accept(&app.sealing, proof, challenge.asked.as_ref(), app.now())? {
            return Err(Error::invalid("credential", "is not what one of your passkeys was asked to sign").into());
        }
        let commit = proved(app, scope, user, None).await?;
        commit
            .write("factors", Write::replace(&factors)?)
            .write("challenge", Write::delete(&challenge))
            .await
    })
    .await
}

/// What notes the proof in the caller's session.
async fn proved<'a>(
    app: &'a App,
    scope: &Scope<ManageOwnAccount>,
    user: &User,
    guess: Option<&Guess>,
) -> Result<Commit<'a>> {
    let mut session = session::own(&app.table, app.now(), scope, user).await?;
    session.prove(app.now());
    Ok(Commit::by(app, scope)
        .write("session", Write::replace(&session)?)
        .write_all("failures", guess.map(Guess::forgotten))
        .reply(Reply::no_content()))
}
