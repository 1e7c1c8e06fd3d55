//! Codes of an authenticator app (RFC 6238): SHA-1, six digits, half a minute, and one step before and after for clocks that
//! differ, as all apps know it. The secret is stored sealed. Pure.

use anyhow::{Context, anyhow};
use app::Sealing;
use kernel::{FactorId, Result, Time};
use serde::{Deserialize, Serialize};
use totp_rs::Builder;

/// RFC 4226 recommends 160 bits.
const SECRET_BYTES: usize = 20;

/// What codes are made of, for the one reply that shows it.
pub(crate) struct Secret(totp_rs::Secret);

impl Secret {
    /// In base32, for people who type it.
    pub(crate) fn text(&self) -> String {
        self.0.to_base32()
    }

    /// As an address of the scheme `otpauth`, for a QR code. Neither part may have a colon there.
    pub(crate) fn uri(&self, product: &str, account: &str) -> Result<String> {
        let plain = |text: &str| text.replace(':', " ");
        let totp = Builder::new()
            .with_secret(self.0.clone())
            .with_issuer(Some(plain(product)))
            .with_account_name(plain(account));
        let totp = totp.build().map_err(|error| anyhow!("an app's secret: {error}"))?;
        Ok(totp.to_url().map_err(|error| anyhow!("an app's address: {error}"))?)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An app, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Totp {
    #[serde(with = "serde_bytes")]
    sealed: Vec<u8>,
    /// The step of the last code that was accepted: neither it nor an earlier one is accepted again.
    last_step: Option<u64>,
}

fn context(id: FactorId) -> String {
    format!("totp\n{id}")
}

impl Totp {
    /// A new app.
    pub(super) fn new(sealing: &Sealing, id: FactorId) -> Result<(Self, Secret)> {
        let bytes = kernel::id::random::<SECRET_BYTES>();
        Ok((Self::sealed(sealing, id, &bytes)?, Secret(bytes.into())))
    }

    pub(super) fn sealed(sealing: &Sealing, id: FactorId, secret: &[u8]) -> Result<Self> {
        Ok(Self {
            sealed: sealing.seal(&context(id), secret)?,
            last_step: None,
        })
    }

    /// Spends a code; says whether it is good. What an older key has sealed is then sealed anew.
    pub(super) fn accepts(&mut self, sealing: &Sealing, id: FactorId, code: &str, now: Time) -> Result<bool> {
        let typed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let secret = sealing.open(&context(id), &self.sealed)?;
        let secret = secret.with_context(|| format!("the secret of {id} was sealed with a key that is gone"))?;
        let totp = Builder::new().with_secret(secret.clone()).build();
        let totp = totp.map_err(|error| anyhow!("the secret of {id}: {error}"))?;
        let matched = totp.check(&typed, now.seconds().unsigned_abs());
        let Some(step) = matched.filter(|step| self.last_step.is_none_or(|last| *step > last)) else {
            return Ok(false);
        };
        self.last_step = Some(step);
        if sealing.is_old(&self.sealed)? {
            self.sealed = sealing.seal(&context(id), &secret)?;
        }
        Ok(true)
    }
}
