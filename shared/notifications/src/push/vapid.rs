//! Who sends: a token that our key signs, by which a push service knows the one that a subscription was made for (RFC 8292).

use std::sync::Arc;

use anyhow::{Context, anyhow};
use app::Env;
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::seal::{KeyId, Keyring, Purpose};
use kernel::{Result, Time};
use serde_json::json;

use super::PUSH_KEYS;

/// What is derived of the ring's keys.
const SIGNS: Purpose = Purpose::named("web push");
/// A token is good for so long; a day is the most that may be.
const GOOD_FOR: i64 = 12 * Time::HOUR;
/// Of 2^32 scalars one is none of the curve's.
const TRIES: u8 = 4;
/// RFC 8292's own header, in its own order.
const HEADER: &str = r#"{"typ":"JWT","alg":"ES256"}"#;

/// The key pairs that sign, derived of a ring: the newest one signs for new subscriptions, each older one for those that were
/// made for it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PushKeys(Arc<Keyring>);

/// One key pair, and whom push services turn to.
#[derive(Debug)]
pub struct Signer {
    pair: EcdsaKeyPair,
    /// An uncompressed point, in base64url.
    public: String,
}

impl PushKeys {
    /// The keys of `PUSH_KEYS_PARAMETER`.
    pub async fn of(env: &Env) -> anyhow::Result<Self> {
        let ring = env.keyring(PUSH_KEYS).await?;
        Ok(Self(ring.with_context(|| format!("{PUSH_KEYS} is not set"))?))
    }

    /// The key that new subscriptions are made for.
    pub fn newest(&self) -> KeyId {
        self.0.newest()
    }

    /// The key pair of a key; nothing if the ring does not have it any more.
    pub fn signer(&self, key: KeyId) -> Result<Option<Signer>> {
        for number in 0..TRIES {
            let Some(scalar) = self.0.derive(key, SIGNS, &number.to_string()) else {
                return Ok(None);
            };
            if let Ok(private) = PrivateKey::from_private_key(&ECDH_P256, &scalar) {
                return Signer::of(&private, &scalar).map(Some);
            }
        }
        Err(anyhow!("a key of the ring for web push gives no key pair").into())
    }
}

impl Signer {
    fn of(private: &PrivateKey, scalar: &[u8]) -> Result<Self> {
        let public = private.compute_public_key().map_err(|_| anyhow!("no public key"))?;
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, scalar, public.as_ref());
        Ok(Self {
            pair: pair.map_err(|_| anyhow!("no key pair"))?,
            public: URL_SAFE_NO_PAD.encode(public.as_ref()),
        })
    }

    /// The public key as browsers want it: an uncompressed point in base64url.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The value of the header `Authorization` for a call of this origin, such as `https://push.example.net:8443`. `contact` is a
    /// `mailto:` or `https:` URL of ours.
    pub fn authorization(&self, now: Time, origin: &str, contact: &str) -> Result<String> {
        let until = now.plus_millis(GOOD_FOR);
        let token = self.token(origin, until, contact)?;
        Ok(format!("vapid t={token}, k={}", self.public))
    }

    fn token(&self, origin: &str, until: Time, contact: &str) -> Result<String> {
        let signed = signed_part(origin, until, contact);
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| anyhow!("a token could not be signed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

fn signed_part(origin: &str, until: Time, contact: &str) -> String {
    let claims = json!({"aud": origin, "exp": until.seconds(), "sub": contact});
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}", part(HEADER), part(&claims.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    // RFC 8292, 2.4.
    const TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3\
        NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9\
        OkSSHzvoD1oA";
    const KEY: &str = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs";

    fn ring(ids: &[u8]) -> PushKeys {
        let keys: Vec<String> = ids.iter().map(|id| format!("{id}:{id:064x}")).collect();
        PushKeys(Arc::new(keys.join(",").parse().unwrap()))
    }

    fn verify(token: &str, key: &str) -> bool {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = URL_SAFE_NO_PAD.decode(key).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
        key.verify(signed.as_bytes(), &signature).is_ok()
    }

    #[test]
    fn a_token_is_written_as_the_rfc_does() {
        let until = Time::from_millis(1_453_523_768_000);
        let signed = signed_part("https://push.example.net", until, "mailto:push@example.com");
        let (expected, _) = TOKEN.rsplit_once('.').unwrap();
        assert_eq!(signed, expected);
        assert!(verify(TOKEN, KEY), "what verifies here is what the RFC signs");
    }

    #[test]
    fn a_token_is_signed_by_the_key_that_is_named() {
        let now = Time::from_millis(1_800_000_000_000);
        let signer = ring(&[1]).signer(KeyId(1)).unwrap().unwrap();
        let value = signer
            .authorization(now, "https://push.example.net:8443", "https://example.com")
            .unwrap();
        let (token, key) = value.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        assert_eq!(key, signer.public());
        assert!(verify(token, key));
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], "https://push.example.net:8443");
        assert_eq!(claims["exp"].as_i64().unwrap(), now.seconds() + 12 * 3_600);
    }

    #[test]
    fn an_older_key_signs_as_it_did() {
        let before = ring(&[1]).signer(KeyId(1)).unwrap().unwrap();
        let rotated = ring(&[2, 1]);
        assert_eq!(rotated.newest(), KeyId(2));
        assert_eq!(rotated.signer(KeyId(1)).unwrap().unwrap().public(), before.public());
        assert_ne!(rotated.signer(KeyId(2)).unwrap().unwrap().public(), before.public());
        assert!(ring(&[2]).signer(KeyId(1)).unwrap().is_none());
    }
}
