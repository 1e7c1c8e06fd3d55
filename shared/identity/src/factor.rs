//! What a person proves with, besides a password or without one, that it is them: authenticator apps, passkeys, and recovery
//! codes for the day on which those are lost. Pure.
//!
//! All of a person's are one record, so that what is accepted is spent in the transaction of what it opens. A factor counts
//! from when it was confirmed; until then it waits for ten minutes. With the last one its recovery codes go.

mod challenge;
mod code;
pub mod enrolment;
mod passkey;
pub mod second_step;
pub mod step_up;
mod store;
mod totp;

use app::Sealing;
use kernel::{Error, FactorId, Result, Time, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use webauthn_rs::prelude::CredentialID;

use crate::user::User;
pub(crate) use passkey::Asked;
use passkey::Passkey;
pub use passkey::{Passkeys, Signed};
use totp::Totp;

/// A person has so many at most, with one that waits.
const MOST: usize = 10;
/// So long one that was not confirmed waits for that.
const WAITS: i64 = 10 * Time::MINUTE;

/// By what somebody proves that it is them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A code that an app shows for half a minute (RFC 6238).
    Totp,
    /// What a passkey signs (WebAuthn).
    Passkey,
    /// One of the codes that were shown with the first factor.
    RecoveryCode,
}

impl Method {
    /// As it is written in JSON and in the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Passkey => "passkey",
            Self::RecoveryCode => "recovery_code",
        }
    }
}

/// What somebody sends to prove that it is them.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// The code that their app shows.
    Code(&'a str),
    /// What their passkey has signed.
    Passkey(Signed<'a>),
    /// A recovery code.
    RecoveryCode(&'a str),
}

impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.method().name())
    }
}

impl Proof<'_> {
    /// What kind of proof it is.
    pub(crate) fn method(&self) -> Method {
        match self {
            Self::Code(_) => Method::Totp,
            Self::Passkey(_) => Method::Passkey,
            Self::RecoveryCode(_) => Method::RecoveryCode,
        }
    }
}

/// A person's factors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Factors {
    user: UserId,
    all: Vec<Factor>,
    /// The hashes of the recovery codes that were not used.
    codes: Vec<String>,
    #[serde(default)]
    version: u64,
}

/// A factor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Factor {
    pub(crate) id: FactorId,
    pub(crate) name: String,
    created_at: Time,
    confirmed_at: Option<Time>,
    last_used_at: Option<Time>,
    what: What,
}

/// What a factor is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum What {
    Totp(Totp),
    Passkey(Passkey),
}

impl Factor {
    fn is_confirmed(&self) -> bool {
        self.confirmed_at.is_some()
    }

    fn waits(&self, now: Time) -> bool {
        !self.is_confirmed() && now < self.created_at.plus_millis(WAITS)
    }

    pub(crate) fn method(&self) -> Method {
        match self.what {
            What::Totp(_) => Method::Totp,
            What::Passkey(_) => Method::Passkey,
        }
    }
}

impl Factors {
    /// None yet.
    pub(crate) fn none(user: UserId) -> Self {
        Self {
            user,
            all: Vec::new(),
            codes: Vec::new(),
            version: 0,
        }
    }

    /// Those that count.
    pub(crate) fn confirmed(&self) -> impl Iterator<Item = &Factor> {
        self.all.iter().filter(|factor| factor.is_confirmed())
    }

    /// Those that count, as replies show them, the oldest first.
    pub(crate) fn views(&self) -> Vec<FactorView> {
        self.confirmed().filter_map(FactorView::of).collect()
    }

    /// Whether one counts.
    pub(crate) fn any(&self) -> bool {
        self.confirmed().next().is_some()
    }

    /// Whether one was added before its person had proved their address: perhaps by somebody else.
    pub(crate) fn is_prepared(&self, address_proved_at: Option<Time>) -> bool {
        let before = |factor: &Factor| address_proved_at.is_none_or(|proved| factor.confirmed_at < Some(proved));
        self.confirmed().any(before)
    }

    /// How many recovery codes are left.
    pub(crate) fn codes_left(&self) -> usize {
        self.codes.len()
    }

    /// By what their person may prove that it is them.
    pub(crate) fn methods(&self) -> Vec<Method> {
        let known = |method| self.confirmed().any(|factor| factor.method() == method);
        let mut methods = vec![Method::Passkey, Method::Totp];
        methods.retain(|method| known(*method));
        if !self.codes.is_empty() {
            methods.push(Method::RecoveryCode);
        }
        methods
    }

    /// What browsers know the passkeys by that count.
    fn passkeys(&self) -> impl Iterator<Item = &CredentialID> {
        self.confirmed().filter_map(|factor| match &factor.what {
            What::Passkey(key) => key.id(),
            What::Totp(_) => None,
        })
    }

    /// What one of the passkeys is to sign, if there are any.
    fn to_be_signed(&self, passkeys: &Passkeys) -> Result<Option<(Value, Asked)>> {
        let mut keys = self.passkeys().peekable();
        keys.peek().is_some().then(|| passkeys.to_be_signed(keys)).transpose()
    }

    /// Adds an app, which waits for its first code in the place of a factor that waited before; returns its id and secret. 409
    /// `too_many_factors`.
    pub(crate) fn add_totp(&mut self, sealing: &Sealing, name: &str, now: Time) -> Result<(FactorId, totp::Secret)> {
        let id = FactorId::new(now);
        let (totp, secret) = Totp::new(sealing, id)?;
        self.add(id, name, What::Totp(totp), now)?;
        Ok((id, secret))
    }

    /// Adds a passkey, which waits for being made in the place of a factor that waited before; returns its id and how it is to be
    /// made. 409 `too_many_factors`.
    pub(crate) fn add_passkey(
        &mut self,
        passkeys: &Passkeys,
        user: &User,
        name: &str,
        now: Time,
    ) -> Result<(FactorId, Value)> {
        let id = FactorId::new(now);
        let (options, passkey) = passkeys.to_be_made(user, self.passkeys().cloned().collect())?;
        self.add(id, name, What::Passkey(passkey), now)?;
        Ok((id, options))
    }

    fn add(&mut self, id: FactorId, name: &str, what: What, now: Time) -> Result<()> {
        self.all.retain(Factor::is_confirmed);
        if self.all.len() >= MOST {
            let detail = format!("a person has at most {MOST} factors; remove one first");
            return Err(Error::refused("too_many_factors", detail));
        }
        self.all.push(Factor {
            id,
            name: name.to_owned(),
            created_at: now,
            confirmed_at: None,
            last_used_at: None,
            what,
        });
        Ok(())
    }

    /// Lets a factor that waits count, for who has its code of now, or the passkey that was to be made; returns it. 404 if none
    /// waits by this id, 422 `code` or `credential`.
    pub(crate) fn confirm(&mut self, sealing: &Sealing, id: FactorId, proof: Proof<'_>, now: Time) -> Result<Factor> {
        let mut waiting = self.all.iter_mut().filter(|factor| factor.waits(now));
        let factor = waiting.find(|factor| factor.id == id);
        let factor = factor.ok_or(Error::NotFound("factor that waits for its proof"))?;
        match (&mut factor.what, proof) {
            (What::Totp(totp), Proof::Code(code)) => {
                if !totp.accepts(sealing, id, code, now)? {
                    return Err(Error::invalid("code", "is not the code that the app shows now"));
                }
            }
            (What::Passkey(key), Proof::Passkey(made)) => key.made(made)?,
            (What::Totp(_), _) => return Err(Error::invalid("code", "must be given for an authenticator app")),
            (What::Passkey(_), _) => return Err(Error::invalid("credential", "must be given for a passkey")),
        }
        factor.confirmed_at = Some(now);
        Ok(factor.clone())
    }

    /// Takes a factor away, and with the last one that counts the recovery codes; returns it. 404 if there is none.
    pub(crate) fn remove(&mut self, id: FactorId) -> Result<Factor> {
        let place = self.all.iter().position(|factor| factor.id == id);
        let removed = self.all.remove(place.ok_or(Error::NotFound("factor"))?);
        if !self.any() {
            self.codes.clear();
        }
        Ok(removed)
    }

    /// Makes recovery codes; those before are void.
    pub(crate) fn make_codes(&mut self) -> Vec<String> {
        let codes: Vec<String> = std::iter::repeat_with(code::new).take(code::MANY).collect();
        self.codes = codes.iter().map(|text| code::hash(self.user, text)).collect();
        codes
    }

    /// Spends a proof; says whether it is good. What was accepted once is not accepted again: a passkey's proof is as good as
    /// what it was asked to sign.
    pub(crate) fn accept(
        &mut self,
        sealing: &Sealing,
        proof: Proof<'_>,
        asked: Option<&Asked>,
        now: Time,
    ) -> Result<bool> {
        match proof {
            Proof::Code(code) => self.accept_code(sealing, code, now),
            Proof::Passkey(signed) => asked.map_or(Ok(false), |asked| self.accept_passkey(asked, signed, now)),
            Proof::RecoveryCode(text) => {
                let hash = code::hash(self.user, text);
                let before = self.codes.len();
                self.codes.retain(|known| !code::same(known, &hash));
                Ok(self.codes.len() < before)
            }
        }
    }

    fn accept_passkey(&mut self, asked: &Asked, signed: Signed<'_>, now: Time) -> Result<bool> {
        let credential = signed.credential()?;
        // A key that says whose it is says the truth.
        if signed.person()?.is_some_and(|person| person != self.user) {
            return Ok(false);
        }
        for factor in self.all.iter_mut().filter(|factor| factor.is_confirmed()) {
            if let What::Passkey(key) = &mut factor.what
                && key.has_signed(asked, signed, &credential)
            {
                factor.last_used_at = Some(now);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn accept_code(&mut self, sealing: &Sealing, code: &str, now: Time) -> Result<bool> {
        let mut failure = None;
        for factor in self.all.iter_mut().filter(|factor| factor.is_confirmed()) {
            let What::Totp(totp) = &mut factor.what else { continue };
            match totp.accepts(sealing, factor.id, code, now) {
                Ok(true) => {
                    factor.last_used_at = Some(now);
                    return Ok(true);
                }
                Ok(false) => {}
                // One whose key is gone keeps the others from nothing.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(false), Err)
    }
}

/// A factor, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FactorView {
    /// Its id.
    pub id: FactorId,
    /// What it is.
    #[serde(rename = "type")]
    pub method: Method,
    /// What its person calls it.
    #[schema(example = "Phone")]
    pub name: String,
    /// When it began to count.
    pub added_at: Time,
    /// When it was used last.
    #[schema(required)]
    pub last_used_at: Option<Time>,
}

impl FactorView {
    /// Shows a factor; nothing if it does not count yet.
    fn of(factor: &Factor) -> Option<Self> {
        Some(Self {
            id: factor.id,
            method: factor.method(),
            name: factor.name.clone(),
            added_at: factor.confirmed_at?,
            last_used_at: factor.last_used_at,
        })
    }
}

/// A person's factors, as replies show them.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FactorsView {
    /// Those that count, the oldest first.
    pub factors: Vec<FactorView>,
    /// How many recovery codes were not used.
    #[schema(example = 10)]
    pub recovery_codes_left: usize,
}

impl FactorsView {
    pub(crate) fn of(factors: &Factors) -> Self {
        Self {
            factors: factors.views(),
            recovery_codes_left: factors.codes_left(),
        }
    }
}

#[cfg(test)]
mod tests;
