//! The second step of a login: who has a factor and gave their password, or came from a provider, proves that too.

use app::App;
use commit::{Commit, again};
use kernel::{Error, Network, Origin, Result, Time};
use notifications::{Desk, Letter};
use serde::Serialize;
use serde_json::{Value, json};
use table::Write;
use trail::{Chain, Change};

use super::challenge::{Challenge, ChallengeToken, bad_challenge};
use super::{Factors, Method, Passkeys, Proof};
use crate::account::{Door, Opening, SignedIn, log_failure};
use crate::devices::Devices;
use crate::failures::{Guess, Subject};
use crate::recovery::{FORGOT_PAGE, telling};
use crate::session::Device;
use crate::user::User;

/// What is still to be proved before there are tokens.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FactorChallenge {
    /// To be sent to `/v1/auth/login/factor` with a proof. Good once.
    pub challenge: String,
    /// It is good until then.
    pub expires_at: Time,
    /// By what it may be met.
    pub methods: Vec<Method>,
    /// For `navigator.credentials.get`, if it may be met by a passkey: WebAuthn's `PublicKeyCredentialRequestOptionsJSON`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, nullable = false)]
    pub public_key: Option<Value>,
}

/// What logging in gives: the tokens of a session, or a challenge for who has a factor.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum LoggedIn {
    /// Whoever has no factor is in.
    SignedIn(Box<SignedIn>),
    /// Who has one proves it first.
    Challenged(FactorChallenge),
}

/// Asks a person for their factor.
pub(crate) async fn challenge(app: &App, passkeys: &Passkeys, user: &User) -> Result<FactorChallenge> {
    let factors = Factors::of(&app.table, user.id).await?;
    let (options, asked) = factors.to_be_signed(passkeys)?.unzip();
    let made = Challenge::new(user, asked, app.now());
    stored(app, made, factors.methods(), options).await
}

/// Asks whoever it is for a passkey, with which they log in without a password.
pub async fn ask_anybody(app: &App, passkeys: &Passkeys) -> Result<FactorChallenge> {
    let (options, asked) = passkeys.to_be_signed(std::iter::empty())?;
    let made = Challenge::of_anybody(asked, app.now());
    stored(app, made, vec![Method::Passkey], Some(options)).await
}

pub(super) async fn stored(
    app: &App,
    (challenge, token): (Challenge, ChallengeToken),
    methods: Vec<Method>,
    public_key: Option<Value>,
) -> Result<FactorChallenge> {
    Commit::of(app, &Origin::default())
        .write("challenge", Write::create(&challenge)?)
        .await?;
    Ok(FactorChallenge {
        challenge: token.reveal(),
        expires_at: challenge.until,
        methods,
        public_key,
    })
}

/// Logs in who meets a challenge. The challenge and the proof are spent with the session that they open: 401
/// `bad_challenge`, 401 `wrong_code` or `wrong_passkey`; after some wrong codes 429 `too_many_failures`. Who used a recovery
/// code is told by mail.
pub async fn meet(
    app: &App,
    door: &Door,
    origin: &Origin,
    challenge: &str,
    proof: Proof<'_>,
    device: Device,
) -> Result<SignedIn> {
    let token = ChallengeToken::parse(challenge).ok_or_else(bad_challenge)?;
    let (_, user) = begun(app, &token, proof).await?;
    let entered = entered(app, door, origin, (&user, &token), proof, &device).await;
    if let Err(error) = &entered {
        log_failure(&user.email, Some(user.id), device.ip_address, error);
    }
    entered
}

/// A challenge of a login and whom it asks, if it is still good.
async fn begun(app: &App, token: &ChallengeToken, proof: Proof<'_>) -> Result<(Challenge, User)> {
    let (challenge, user) = open(app, token, proof).await?;
    if challenge.within.is_some() {
        return Err(bad_challenge());
    }
    Ok((challenge, user))
}

/// A challenge and whom it asks, if it is still good; one that asks nobody by name asks whom the passkey says it belongs to.
pub(super) async fn open(app: &App, token: &ChallengeToken, proof: Proof<'_>) -> Result<(Challenge, User)> {
    let challenge = Challenge::find(&app.table, token).await?.ok_or_else(bad_challenge)?;
    let (whom, unknown) = match (challenge.user, proof) {
        (None, Proof::Passkey(signed)) => (signed.person()?, wrong(proof)),
        (named, _) => (named, bad_challenge()),
    };
    let Some(user) = User::find(&app.table, whom.ok_or_else(bad_challenge)?).await? else {
        return Err(unknown);
    };
    if !challenge.is_open(&user, app.now()) {
        return Err(bad_challenge());
    }
    // Who is deactivated hears it once they have proved who they are.
    if challenge.user.is_some() {
        user.must_be_active()?;
    }
    Ok((challenge, user))
}

async fn entered(
    app: &App,
    door: &Door,
    origin: &Origin,
    (asked, token): (&User, &ChallengeToken),
    proof: Proof<'_>,
    device: &Device,
) -> Result<SignedIn> {
    let desk = &door.desk;
    let from = Devices::of(&app.table, asked.id).await?.known_network(device);
    let guess = match subject(asked, proof, from) {
        Some(subject) => Some(Guess::begin(app, subject).await?),
        None => None,
    };
    again(|| async {
        let (challenge, user) = begun(app, token, proof).await?;
        let mut factors = Factors::of(&app.table, user.id).await?;
        if !factors.accept(&app.sealing, proof, challenge.asked.as_ref(), app.now())? {
            return Err(wrong(proof).into());
        }
        user.must_be_active()?;
        let opening = Opening::of(app, user, device).await?;
        let mut commit = opening
            .commit(app, desk, origin)?
            .write("factors", Write::replace(&factors)?)
            .write("challenge", Write::delete(&challenge))
            .write_all("failures", guess.as_ref().map(Guess::forgotten));
        if proof.method() == Method::RecoveryCode {
            let left = factors.codes_left();
            let change = Change::by(asked.id, "recovery_code.used", "user", asked.id);
            commit = commit.note(Chain::User(asked.id), change.to(json!({"left": left})));
            commit = telling(commit, desk, app.now(), asked, used(desk, app.now(), asked, left))?;
        }
        commit.await?;
        Ok(opening.done(app, &door.issuer, Some(proof.method()))?)
    })
    .await
}

/// Whose guesses these are; who comes from a network that the person is known to use is counted apart. What a passkey signs
/// is not guessed.
fn subject<'a>(user: &User, proof: Proof<'_>, from: Option<Network>) -> Option<Subject<'a>> {
    match proof {
        Proof::Code(_) => Some(Subject::Code { user: user.id, from }),
        Proof::RecoveryCode(_) => Some(Subject::RecoveryCode { user: user.id, from }),
        Proof::Passkey(_) => None,
    }
}

fn used(desk: &Desk, now: Time, user: &User, left: usize) -> Letter {
    Letter::RecoveryCodeUsed {
        name: user.name.as_str().into(),
        left: left as u64,
        changed_at: now,
        link: desk.page(FORGOT_PAGE).into(),
    }
}

fn wrong(proof: Proof<'_>) -> Error {
    let (code, detail) = match proof {
        Proof::Passkey(_) => (
            "wrong_passkey",
            "this passkey is unknown, or has not signed what it was asked to",
        ),
        _ => (
            "wrong_code",
            "this code is wrong, or was used before; wait for the next one",
        ),
    };
    Error::Unauthenticated { code, detail }
}
