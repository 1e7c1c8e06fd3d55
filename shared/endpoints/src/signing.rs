//! What the calls of an endpoint are signed with, by both schemes of the Standard Webhooks: `v1` (HMAC-SHA256 with a secret that
//! both sides have) and `v1a` (Ed25519, whose public key anybody may have).

use std::fmt;

use anyhow::anyhow;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::{Result, Time};
use notifications::webhook;
use serde::{Deserialize, Serialize};

/// What every public key begins with.
const PUBLIC: &str = "whpk_";

/// A secret and a private key. Stored sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    secret: String,
    /// The seed of the Ed25519 key, in base64.
    seed: String,
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            secret: webhook::new_secret(),
            seed: STANDARD.encode(kernel::id::random::<32>()),
        }
    }

    /// The secret's text, for the one reply that shows it.
    pub(crate) fn reveal(&self) -> String {
        self.secret.clone()
    }

    /// `whpk_` and the public key in base64.
    pub(crate) fn public_key(&self) -> Result<String> {
        Ok(format!(
            "{PUBLIC}{}",
            STANDARD.encode(self.pair()?.public_key().as_ref())
        ))
    }

    /// The signatures of a message by both schemes, in the form of the header `webhook-signature`.
    pub(crate) fn sign(&self, id: &str, sent_at: Time, body: &str) -> Result<String> {
        let symmetric = webhook::sign(&self.secret, id, sent_at, body)?;
        let signed = format!("{id}.{}.{body}", sent_at.seconds());
        let asymmetric = STANDARD.encode(self.pair()?.sign(signed.as_bytes()));
        Ok(format!("{symmetric} v1a,{asymmetric}"))
    }

    fn pair(&self) -> Result<Ed25519KeyPair> {
        let seed = STANDARD.decode(&self.seed).ok();
        let pair = seed.and_then(|seed| Ed25519KeyPair::from_seed_unchecked(&seed).ok());
        Ok(pair.ok_or_else(|| anyhow!("an endpoint's private key is none"))?)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(whsec_…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of the specification's reference libraries, and the key of RFC 8032, section 7.1, test 1.
    fn known() -> Keys {
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        Keys {
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            seed: STANDARD.encode(seed),
        }
    }

    #[test]
    fn both_schemes_sign_as_the_specification_does() {
        let at = Time::from_millis(1_614_265_330_000);
        let signed = known().sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, r#"{"test": 2432232314}"#);
        assert_eq!(
            signed.unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= \
             v1a,fldxM4gAKugP6nnt1hdz3sgGfZ6d99nzrMFnZOELIxbzEHoVmAb2ADpkJK7zgPePmPsle0zV9jSeGlHFG2NVAw=="
        );
        let public = known().public_key().unwrap();
        assert_eq!(public, "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    }

    #[test]
    fn no_two_endpoints_share_keys_and_none_shows_itself() {
        let (one, other) = (Keys::new(), Keys::new());
        assert_ne!(one.reveal(), other.reveal());
        assert_ne!(one.public_key().unwrap(), other.public_key().unwrap());
        assert_eq!(format!("{one:?}"), "Keys(whsec_…)");
    }

    #[test]
    fn a_damaged_key_is_an_error_and_no_panic() {
        for seed in ["", "AAAA", "!"] {
            let keys = Keys {
                seed: seed.to_owned(),
                ..known()
            };
            assert!(keys.sign("msg", Time::from_millis(0), "{}").is_err(), "{seed:?}");
        }
    }
}
