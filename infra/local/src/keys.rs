//! The key pair that signs access tokens: Ed25519, the private half for SSM, the public half for the template.

use anyhow::{Result, anyhow};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

/// A new key pair.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// Base64 of the private key's PKCS#8: the value of the SSM parameter.
    pub private: String,
    /// JSON Web Key Set of the public key: the parameter `JwtPublicKeys`.
    pub public: String,
}

impl KeyPair {
    /// Makes a key pair. Its `kid` is the thumbprint of RFC 7638.
    pub fn generate() -> Result<Self> {
        let pair = Ed25519KeyPair::generate().map_err(|_| anyhow!("no key pair could be made"))?;
        let pkcs8 = pair
            .to_pkcs8v1()
            .map_err(|_| anyhow!("the key pair could not be written"))?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        // The members that the thumbprint covers, in the order that RFC 7638 gives them.
        let covered = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, covered.as_bytes()));
        let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x});

        Ok(Self {
            private: STANDARD.encode(pkcs8.as_ref()),
            public: json!({"keys": [key]}).to_string(),
        })
    }
}

/// Makes a secret text of 32 random bytes, as 43 characters of base64url.
pub fn random_secret() -> Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Makes a ring of one key, as docs/secrets.md has it.
pub fn new_ring() -> Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("no random bytes"))?;
    Ok(format!("1:{}", hex::encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_belong_together() {
        let pair = KeyPair::generate().unwrap();
        let private = Ed25519KeyPair::from_pkcs8(&STANDARD.decode(&pair.private).unwrap()).unwrap();
        let public: serde_json::Value = serde_json::from_str(&pair.public).unwrap();
        let x = URL_SAFE_NO_PAD
            .decode(public["keys"][0]["x"].as_str().unwrap())
            .unwrap();
        assert_eq!(private.public_key().as_ref(), x);
        assert_eq!(public["keys"][0]["kid"].as_str().unwrap().len(), 43);
    }
}
