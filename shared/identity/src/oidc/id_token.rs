//! The provider's proof of who somebody is: a signed token (OpenID Connect Core, 3.1.3.7). Pure.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kernel::Time;
use serde::Deserialize;
use serde_json::Value;

/// How far the provider's clock may be from ours.
const SKEW_SECONDS: i64 = 60;
/// Providers' tokens have some thousand characters.
const LONGEST: usize = 16_384;

/// The keys that a provider signs with.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    /// The one algorithm that this key verifies, whatever a token says of itself.
    algorithm: Algorithm,
    verifies: DecodingKey,
}

/// A key as a JSON Web Key Set has it.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Reads a JSON Web Key Set. Keys of other kinds, and for other uses, are left out.
    pub(super) fn parse(jwks: &Value) -> Self {
        let keys = jwks["keys"].as_array().into_iter().flatten();
        Self(keys.filter_map(Key::parse).collect())
    }

    /// The key that a token names; if it names none, the only one there is.
    fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, self.0.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl Key {
    fn parse(jwk: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
        if jwk.usage.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (algorithm, name, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let key = DecodingKey::from_rsa_components(&jwk.n?, &jwk.e?).ok()?;
                (Algorithm::RS256, "RS256", key)
            }
            ("EC", Some("P-256")) => {
                let key = DecodingKey::from_ec_components(&jwk.x?, &jwk.y?).ok()?;
                (Algorithm::ES256, "ES256", key)
            }
            ("OKP", Some("Ed25519")) => {
                let key = DecodingKey::from_ed_components(&jwk.x?).ok()?;
                (Algorithm::EdDSA, "EdDSA", key)
            }
            _ => return None,
        };
        let fits = jwk.alg.is_none_or(|alg| alg == name);
        let kid = jwk.kid;
        fits.then_some(Self {
            kid,
            algorithm,
            verifies: key,
        })
    }
}

/// What a token must be for.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: Time,
}

/// Why a token proves nothing. For the log: nobody else is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    #[error("it is no token")]
    Malformed,
    #[error("it wants something that is not understood")]
    Critical,
    #[error("it is signed with a key that the provider does not have")]
    UnknownKey,
    #[error("its signature is wrong, or made by another algorithm than its key is for")]
    Signature,
    #[error("it is from another issuer")]
    Issuer,
    #[error("it is for another client")]
    Audience,
    #[error("it is for another attempt")]
    Nonce,
    #[error("it has expired, or is not good yet")]
    Time,
    #[error("it says about nobody")]
    Subject,
}

/// What a token says.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    pub(super) sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
    #[serde(flatten)]
    pub(super) person: Person,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What is said about a person, in a token or by the provider's userinfo endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Person {
    pub(super) email: Option<String>,
    /// A boolean; some providers write it as a text.
    email_verified: Option<Value>,
    pub(super) name: Option<String>,
}

impl Person {
    pub(super) fn is_verified(&self) -> bool {
        matches!(&self.email_verified, Some(Value::Bool(true)))
            || self.email_verified.as_ref().and_then(Value::as_str) == Some("true")
    }
}

/// Verifies a token: signed by one of `keys` with that key's own algorithm, for us, for this attempt, and in time.
pub(super) fn verify(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Claims, Bad> {
    if token.len() > LONGEST {
        return Err(Bad::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Bad::Malformed)?;
    if header.crit.is_some() {
        return Err(Bad::Critical);
    }
    let key = keys.find(header.kid.as_deref()).ok_or(Bad::UnknownKey)?;
    let mut rules = Validation::new(key.algorithm);
    // These are compared below: by our own clock, and with an error for each.
    (rules.validate_exp, rules.validate_aud) = (false, false);
    rules.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Claims>(token, &key.verifies, &rules);
    let claims = claims.map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::Json(_) => Bad::Malformed,
        _ => Bad::Signature,
    })?;
    claims.claims.check(expected)?;
    Ok(claims.claims)
}

impl Claims {
    fn check(&self, expected: &Expected<'_>) -> Result<(), Bad> {
        if self.iss != expected.issuer {
            return Err(Bad::Issuer);
        }
        let ours = |audience: &String| audience == expected.client_id;
        let (for_us, alone) = match &self.aud {
            Audience::One(one) => (ours(one), true),
            Audience::Many(many) => (many.iter().any(ours), many.len() == 1),
        };
        let party = self.azp.as_ref().map_or(alone, ours);
        if !for_us || !party {
            return Err(Bad::Audience);
        }
        if self.nonce.as_deref() != Some(expected.nonce) {
            return Err(Bad::Nonce);
        }
        let now = expected.now.seconds();
        let begins = self.iat.max(self.nbf.unwrap_or(i64::MIN));
        if self.exp.saturating_add(SKEW_SECONDS) <= now || begins > now + SKEW_SECONDS {
            return Err(Bad::Time);
        }
        if self.sub.is_empty() || self.sub.len() > 255 {
            return Err(Bad::Subject);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
