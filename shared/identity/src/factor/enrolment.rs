//! Adding and removing factors, and making recovery codes. Each change is noted in the person's trail and told to them by
//! mail.

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::{ManageOwnAccount, ResetFactors};
use kernel::{Error, FactorId, Result, Scope, Time};
use notifications::{Desk, Letter};
use serde::Serialize;
use serde_json::{Value, json};
use table::{Table, Write};
use trail::{Chain, Change, Noted, Subject};

use super::{Factor, FactorView, Factors, FactorsView, Passkeys, Proof};
use crate::recovery::{FORGOT_PAGE, telling};
use crate::session;
use crate::user::User;

/// An app that waits for its first code.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewTotp {
    /// Its id.
    pub factor_id: FactorId,
    /// What codes are made of, in base32; shown this once.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    pub secret: String,
    /// The same, for a QR code.
    #[schema(
        example = "otpauth://totp/Countinghouse:ada%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Countinghouse"
    )]
    pub uri: String,
}

/// A passkey that waits for being made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewPasskey {
    /// Its id.
    pub factor_id: FactorId,
    /// For `navigator.credentials.create`: WebAuthn's `PublicKeyCredentialCreationOptionsJSON`.
    #[schema(value_type = Object)]
    pub public_key: Value,
}

/// Codes with which a person gets in who has lost their factors.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryCodes {
    /// Each is good once. Shown this once.
    #[schema(example = json!(["1f3a9-0c2d4-77b0e-9a1c5"]))]
    pub recovery_codes: Vec<String>,
}

/// A factor that counts from now on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Confirmed {
    /// The factor.
    pub factor: FactorView,
    /// Recovery codes, with the first factor. Shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub recovery_codes: Option<Vec<String>>,
}

/// Reads the caller's factors.
pub async fn list(table: &Table, scope: &Scope<ManageOwnAccount>) -> Result<FactorsView> {
    let factors = Factors::of(table, scope.user()?).await?;
    Ok(FactorsView::of(&factors))
}

/// Makes an app's secret. `product` is what the app calls us. 409 `too_many_factors`.
pub async fn add_totp(app: &App, scope: &Scope<ManageOwnAccount>, product: &str, name: &str) -> Result<NewTotp> {
    again(|| async {
        let user = User::me(&app.table, scope).await?;
        let mut factors = Factors::of(&app.table, user.id).await?;
        let (factor_id, secret) = factors.add_totp(&app.sealing, name, app.now())?;
        let added = NewTotp {
            factor_id,
            secret: secret.text(),
            uri: secret.uri(product, &user.email)?,
        };
        Commit::by(app, scope)
            .write("factors", Write::save(&factors)?)
            .reply(Reply::created(&added)?)
            .await?;
        Ok(added)
    })
    .await
}

/// Says how a passkey is to be made. 409 `too_many_factors`.
pub async fn add_passkey(
    app: &App,
    passkeys: &Passkeys,
    scope: &Scope<ManageOwnAccount>,
    name: &str,
) -> Result<NewPasskey> {
    again(|| async {
        let user = User::me(&app.table, scope).await?;
        let mut factors = Factors::of(&app.table, user.id).await?;
        let (factor_id, public_key) = factors.add_passkey(passkeys, &user, name, app.now())?;
        let added = NewPasskey { factor_id, public_key };
        Commit::by(app, scope)
            .write("factors", Write::save(&factors)?)
            .reply(Reply::created(&added)?)
            .await?;
        Ok(added)
    })
    .await
}

/// Lets a factor count, for who sends its code of now or the passkey that was made. The first factor comes with recovery codes, and ends the caller's other
/// sessions, which were opened without one. 404, 422 `code` or `credential`.
pub async fn confirm(
    app: &App,
    desk: &Desk,
    scope: &Scope<ManageOwnAccount>,
    id: FactorId,
    proof: Proof<'_>,
) -> Result<Confirmed> {
    again(|| async {
        let (now, table) = (app.now(), &app.table);
        let mut user = User::me(table, scope).await?;
        let mut factors = Factors::of(table, user.id).await?;
        let is_first = !factors.any();
        let factor = factors.confirm(&app.sealing, id, proof, now)?;
        let recovery_codes = is_first.then(|| factors.make_codes());
        let new = json!({"type": factor.method(), "name": factor.name, "recoveryCodesMade": is_first});
        let new = Noted::about(Subject::of(user.id), new, &["name"]);
        let mut commit = Commit::by(app, scope)
            .write("factors", Write::save(&factors)?)
            .note(Chain::User(user.id), noted(scope, "factor.added", id).to(new));
        commit = telling(commit, desk, now, &user, added(desk, now, &user, &factor))?;
        if is_first {
            let mut kept = session::own(table, now, scope, &user).await?;
            user.has_factor = true;
            user.end_sessions();
            kept.keep(&user);
            commit = commit
                .write("user", Write::replace(&user)?)
                .write("session", Write::replace(&kept)?);
        }
        let factor = FactorView::of(&factor).ok_or(Error::NotFound("factor"))?;
        let confirmed = Confirmed { factor, recovery_codes };
        commit.reply(Reply::json(200, &confirmed)?).await?;
        Ok(confirmed)
    })
    .await
}

/// Removes one of the caller's factors; with the last one their recovery codes go. 404.
pub async fn remove(app: &App, desk: &Desk, scope: &Scope<ManageOwnAccount>, id: FactorId) -> Result<()> {
    again(|| async {
        let (now, table) = (app.now(), &app.table);
        let mut user = User::me(table, scope).await?;
        let mut factors = Factors::of(table, user.id).await?;
        let removed = factors.remove(id)?;
        let mut commit = Commit::by(app, scope).write("factors", Write::save(&factors)?);
        if removed.is_confirmed() {
            let old = json!({"type": removed.method(), "name": removed.name});
            let old = Noted::about(Subject::of(user.id), old, &["name"]);
            commit = commit.note(Chain::User(user.id), noted(scope, "factor.removed", id).from(old));
            commit = telling(commit, desk, now, &user, removal(desk, now, &user, &removed.name))?;
        }
        if user.has_factor && !factors.any() {
            user.has_factor = false;
            commit = commit.write("user", Write::replace(&user)?);
        }
        commit.await
    })
    .await
}

/// Makes new recovery codes for the caller; those before are void. 409 `no_factor`.
pub async fn make_codes(app: &App, scope: &Scope<ManageOwnAccount>) -> Result<RecoveryCodes> {
    again(|| async {
        let user = scope.user()?;
        let mut factors = Factors::of(&app.table, user).await?;
        if !factors.any() {
            let detail = "recovery codes are for who has a factor; add one first";
            return Err(Error::refused("no_factor", detail).into());
        }
        let made = RecoveryCodes {
            recovery_codes: factors.make_codes(),
        };
        let change = Change::by(scope.actor(), "recovery_codes.made", "user", user);
        Commit::by(app, scope)
            .write("factors", Write::save(&factors)?)
            .note(Chain::User(user), change.to(json!({"many": made.recovery_codes.len()})))
            .reply(Reply::created(&made)?)
            .await?;
        Ok(made)
    })
    .await
}

/// Removes all factors of somebody who has lost them, ends their sessions, and tells them; nothing happens if they have none.
pub async fn reset(app: &App, desk: &Desk, by: &Scope<ResetFactors>, id: kernel::UserId) -> Result<()> {
    again(|| async {
        let user = User::find(&app.table, id).await?;
        let mut user = user.ok_or(Error::NotFound("user"))?;
        user.must_be_another(by.user()?)?;
        let factors = Factors::of(&app.table, id).await?;
        let names: Vec<&str> = factors.confirmed().map(|factor| factor.name.as_str()).collect();
        if !user.has_factor {
            return Ok(());
        }
        user.has_factor = false;
        user.end_sessions();
        let letter = removal(desk, app.now(), &user, &names.join(", "));
        let old = Noted::about(Subject::of(id), json!({"names": names}), &["names"]);
        let change = Change::by(by.actor(), "factor.removed", "user", id).from(old);
        let commit = user.saved(app, by, change).await?;
        let stored = factors.any().then(|| Write::delete(&factors));
        let commit = commit.write_all("factors", stored);
        telling(commit, desk, app.now(), &user, letter)?.await
    })
    .await
}

fn noted(scope: &Scope<ManageOwnAccount>, action: &'static str, id: FactorId) -> Change {
    Change::by(scope.actor(), action, "factor", id)
}

fn added(desk: &Desk, now: Time, user: &User, factor: &Factor) -> Letter {
    Letter::FactorAdded {
        name: user.name.as_str().into(),
        factor: factor.name.as_str().into(),
        changed_at: now,
        link: desk.page(FORGOT_PAGE).into(),
    }
}

fn removal(desk: &Desk, now: Time, user: &User, names: &str) -> Letter {
    Letter::FactorRemoved {
        name: user.name.as_str().into(),
        factor: names.into(),
        changed_at: now,
        link: desk.page(FORGOT_PAGE).into(),
    }
}
