//! Passkeys (WebAuthn level 3): a key pair on a person's device or in their password manager. It signs for our console alone,
//! and only after it has made sure of its person, so who has one needs neither name nor password. What is sent is judged by
//! `webauthn-rs`. Knows no table.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Error, Result, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use webauthn_rs::Webauthn;
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, Passkey as Key, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, WebauthnBuilder, WebauthnError,
};

use crate::user::User;

/// The relying party: for whose pages keys are made. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Passkeys(Arc<Webauthn>);

/// What is asked of a key: to sign this once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked(DiscoverableAuthentication);

/// A passkey, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Passkey {
    /// It is still to be made.
    Awaited(Box<PasskeyRegistration>),
    /// Its public half, and how often it signed if it counts that.
    Made(Box<Key>),
}

/// What a key has signed, as a browser's `PublicKeyCredential` writes it as JSON, and who judges it.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// For whom it was to sign.
    pub passkeys: &'a Passkeys,
    /// What `navigator.credentials` gave.
    pub credential: &'a Value,
}

impl Passkeys {
    /// For the console at an address, such as `https://console.example.com`. Keys are bound to its host: with another one all
    /// are lost. `product` is what browsers call us. Fails for an address without the name of a host, for which browsers make
    /// no keys.
    pub fn of(console: &str, product: &str) -> anyhow::Result<Self> {
        let origin = Url::parse(console).with_context(|| format!("{console} is no address"))?;
        let Some(host) = origin.domain() else {
            bail!("passkeys want a console whose host has a name; {console} has none");
        };
        let builder =
            WebauthnBuilder::new(host, &origin).map_err(|error| anyhow!("passkeys for {console}: {error}"))?;
        // On one's own machine the console may be at another port than the template says.
        let builder = builder.rp_name(product).allow_any_port(host == "localhost");
        let party = builder
            .build()
            .map_err(|error| anyhow!("passkeys for {console}: {error}"))?;
        Ok(Self(Arc::new(party)))
    }

    /// What a browser is to make for a person besides the keys that they have (`PublicKeyCredentialCreationOptionsJSON`), and the
    /// key that is awaited.
    pub(super) fn to_be_made(&self, user: &User, others: Vec<CredentialID>) -> Result<(Value, Passkey)> {
        let (asked, awaited) = self
            .0
            .start_passkey_registration(handle(user.id), &user.email, &user.name, Some(others))
            .map_err(|error| anyhow!("a passkey to be made: {error}"))?;
        let mut options = json!(asked.public_key);
        // So that it can be found by who says nothing of themself; keys of hardware may have no room for that.
        options["authenticatorSelection"]["residentKey"] = "preferred".into();
        Ok((options, Passkey::Awaited(Box::new(awaited))))
    }

    /// What a browser is to have signed (`PublicKeyCredentialRequestOptionsJSON`) by one of these keys, or by whichever its person
    /// chooses.
    pub(super) fn to_be_signed<'a>(&self, by: impl Iterator<Item = &'a CredentialID>) -> Result<(Value, Asked)> {
        let (asked, state) = self
            .0
            .start_discoverable_authentication()
            .map_err(|error| anyhow!("something to be signed: {error}"))?;
        let mut options = json!(asked.public_key);
        let id = |id: &CredentialID| URL_SAFE_NO_PAD.encode(id.as_slice());
        let allowed = by.map(|known| json!({"type": "public-key", "id": id(known)})).collect();
        options["allowCredentials"] = Value::Array(allowed);
        Ok((options, Asked(state)))
    }
}

/// How keys know a person.
fn handle(user: UserId) -> Uuid {
    Uuid::from_u128(user.bits())
}

impl Passkey {
    /// What browsers know it by, once it is made.
    pub(super) fn id(&self) -> Option<&CredentialID> {
        match self {
            Self::Awaited(_) => None,
            Self::Made(key) => Some(key.cred_id()),
        }
    }

    /// Takes the public half of the key that was to be made. 422 `credential`.
    pub(super) fn made(&mut self, made: Signed<'_>) -> Result<()> {
        let Self::Awaited(awaited) = self else {
            return Err(Error::NotFound("passkey that is to be made"));
        };
        let credential: RegisterPublicKeyCredential = read(made.credential)?;
        let key = made.passkeys.0.finish_passkey_registration(&credential, awaited);
        let key = key.map_err(|error| {
            tracing::info!(%error, "a passkey was not made as it was asked for");
            Error::invalid("credential", "is not what was to be made; begin again")
        })?;
        *self = Self::Made(Box::new(key));
        Ok(())
    }

    /// Whether it signed what it was asked to; if it counts that, more often than ever before.
    pub(super) fn has_signed(&mut self, asked: &Asked, signed: Signed<'_>, credential: &PublicKeyCredential) -> bool {
        let Self::Made(key) = self else { return false };
        let party = &signed.passkeys.0;
        let judged = party.finish_discoverable_authentication_v2(credential, asked.0.clone(), &**key);
        match judged {
            Ok(result) => key.update_credential(&result).is_some(),
            // Another of the person's keys may be meant.
            Err(WebauthnError::CredentialNotFound) => false,
            Err(error) => {
                tracing::info!(%error, "a passkey has not signed what it was asked to");
                false
            }
        }
    }
}

impl Signed<'_> {
    /// Whom the key says it belongs to, if it says so. 422 `credential`.
    pub(super) fn person(&self) -> Result<Option<UserId>> {
        let credential = self.credential()?;
        let handle = credential.get_user_unique_id();
        let handle = handle.and_then(|bytes| Uuid::from_slice(bytes).ok());
        Ok(handle.map(|handle| UserId::from_bits(handle.as_u128())))
    }

    /// What was signed. 422 `credential`.
    pub(super) fn credential(&self) -> Result<PublicKeyCredential> {
        read(self.credential)
    }
}

fn read<T: for<'de> Deserialize<'de>>(credential: &Value) -> Result<T> {
    let problem = "must be what `toJSON` of the browser's PublicKeyCredential gives";
    T::deserialize(credential).map_err(|_| Error::invalid("credential", problem))
}
