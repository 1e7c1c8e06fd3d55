//! Access tokens: EdDSA (Ed25519) JWTs of 15 minutes, in the form of RFC 9068: their type is `at+jwt`, and issuer and audience
//! are the deployment, by the URL where browsers reach it. Verifying needs only public keys, which the environment carries;
//! only `auth` has a signing key.

use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kernel::{Error, SessionId, Time, UserId};
use serde::{Deserialize, Serialize};

/// How long an access token is good.
pub const LIFETIME_SECONDS: i64 = 15 * 60;
/// How far the clocks of two machines may be apart: a token may come from that far ahead.
const SKEW_SECONDS: i64 = 30;
/// What tells an access token from whatever else is signed with the same key.
const TYPE: &str = "at+jwt";
/// Ours have about 400 characters.
const LONGEST: usize = 2_048;

/// What a token proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claims {
    /// Who logged in.
    pub user: UserId,
    /// In which session.
    pub session: SessionId,
}

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    iat: i64,
    exp: i64,
}

/// One key of a JSON Web Key Set (RFC 7517, RFC 8037). Nothing private can stand in it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwk {
    /// `OKP`.
    kty: String,
    /// `Ed25519`.
    crv: String,
    /// The public key, base64url.
    x: String,
    /// Names the key in a token's header.
    kid: String,
    /// `EdDSA`.
    #[serde(default = "eddsa")]
    alg: String,
    /// `sig`.
    #[serde(default = "sig", rename = "use")]
    usage: String,
}

fn eddsa() -> String {
    "EdDSA".to_owned()
}

fn sig() -> String {
    "sig".to_owned()
}

/// A JSON Web Key Set.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwks {
    /// The keys; two during a rotation.
    keys: Vec<Jwk>,
}

/// The keys that access tokens may be signed with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PublicKeys(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    published: Jwks,
    verifying: Vec<(String, DecodingKey)>,
    deployment: String,
    rules: Validation,
}

impl PublicKeys {
    /// Reads a JSON Web Key Set of Ed25519 keys, which verify tokens of and for the deployment with this URL; any other kind
    /// of key is an error.
    pub fn parse(jwks: &str, deployment: &str) -> anyhow::Result<Self> {
        let published: Jwks = serde_json::from_str(jwks).context("JWT_PUBLIC_KEYS is no JSON Web Key Set")?;
        ensure!(!published.keys.is_empty(), "JWT_PUBLIC_KEYS holds no key");
        let verifying = published.keys.iter().map(|key| {
            let known = key.kty == "OKP" && key.crv == "Ed25519" && key.alg == "EdDSA" && key.usage == "sig";
            ensure!(
                known,
                "JWT_PUBLIC_KEYS: the key {} is not for Ed25519 signatures",
                key.kid
            );
            let public = URL_SAFE_NO_PAD
                .decode(&key.x)
                .with_context(|| format!("the key {}", key.kid))?;
            ensure!(
                public.len() == 32,
                "JWT_PUBLIC_KEYS: the key {} has not 32 bytes",
                key.kid
            );
            Ok((key.kid.clone(), DecodingKey::from_ed_der(&public)))
        });
        let verifying = verifying.collect::<anyhow::Result<_>>()?;
        Ok(Self(Arc::new(Keys {
            verifying,
            published,
            rules: rules(deployment),
            deployment: deployment.to_owned(),
        })))
    }

    /// The keys, as `/.well-known/jwks.json` shows them.
    pub fn published(&self) -> &Jwks {
        &self.0.published
    }

    /// What `token` proves at `now`: 401 `token_expired` after its time, 401 `not_authenticated` for anything that was
    /// not signed here.
    pub fn verify(&self, now: Time, token: &str) -> kernel::Result<Claims> {
        let payload = self.signed(token).ok_or_else(not_authenticated)?;
        if payload.iat > now.seconds() + SKEW_SECONDS {
            return Err(not_authenticated());
        }
        if payload.exp <= now.seconds() {
            return Err(Error::Unauthenticated {
                code: "token_expired",
                detail: "the access token has expired",
            });
        }
        Ok(Claims {
            user: payload.sub,
            session: payload.sid,
        })
    }

    fn signed(&self, token: &str) -> Option<Payload> {
        if token.len() > LONGEST {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        header.typ.as_deref().filter(|typ| *typ == TYPE)?;
        let (_, key) = self
            .0
            .verifying
            .iter()
            .find(|(kid, _)| header.kid.as_ref() == Some(kid))?;
        Some(jsonwebtoken::decode(token, key, &self.0.rules).ok()?.claims)
    }
}

/// One algorithm, one deployment; the times are compared with our own clock, not with the system's.
fn rules(deployment: &str) -> Validation {
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.algorithms = vec![Algorithm::EdDSA];
    rules.validate_exp = false;
    rules.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    rules.set_issuer(&[deployment]);
    rules.set_audience(&[deployment]);
    rules
}

/// The answer to credentials that prove nothing.
pub fn not_authenticated() -> Error {
    Error::Unauthenticated {
        code: "not_authenticated",
        detail: "send a valid access token as `Authorization: Bearer`",
    }
}

/// Signs access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Issuer {
    key: EncodingKey,
    kid: String,
    public: PublicKeys,
}

impl Issuer {
    /// Takes the private key (PKCS#8), whose public half must be among `public`.
    pub fn new(pkcs8: &[u8], public: PublicKeys) -> anyhow::Result<Self> {
        let pair =
            Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| anyhow!("the signing key is no Ed25519 key in PKCS#8"))?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let kid = public
            .published()
            .keys
            .iter()
            .find(|key| key.x == x)
            .map(|key| key.kid.clone());
        let kid = kid.context("JWT_PUBLIC_KEYS does not hold the public half of the signing key")?;
        Ok(Self {
            key: EncodingKey::from_ed_der(pkcs8),
            kid,
            public,
        })
    }

    /// An issuer with a key of its own that nobody else knows, for this deployment: for tests.
    pub fn of_new_key(deployment: &str) -> anyhow::Result<Self> {
        let (pkcs8, jwks) = new_key()?;
        Self::new(&pkcs8, PublicKeys::parse(&jwks, deployment)?)
    }

    /// The keys that verify what this issuer signs.
    pub fn public_keys(&self) -> &PublicKeys {
        &self.public
    }

    /// Signs a token for a session, good for 15 minutes from `now`.
    pub fn issue(&self, now: Time, user: UserId, session: SessionId) -> kernel::Result<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        let deployment = &self.public.0.deployment;
        let iat = now.seconds();
        let payload = Payload {
            iss: deployment.clone(),
            aud: deployment.clone(),
            sub: user,
            sid: session,
            iat,
            exp: iat + LIFETIME_SECONDS,
        };
        let token = jsonwebtoken::encode(&header, &payload, &self.key);
        Ok(token.context("signing a token")?)
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Makes a signing key: the private key in PKCS#8, and the key set that verifies it. The key's id is the start of its
/// SHA-256.
pub fn new_key() -> anyhow::Result<(Vec<u8>, String)> {
    let pair = Ed25519KeyPair::generate().map_err(|_| anyhow!("no Ed25519 key could be made"))?;
    let pkcs8 = pair
        .to_pkcs8()
        .map_err(|_| anyhow!("an Ed25519 key could not be encoded"))?;
    let public = pair.public_key().as_ref();
    let key = Jwk {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        x: URL_SAFE_NO_PAD.encode(public),
        kid: hex::encode(&digest(&SHA256, public).as_ref()[..8]),
        alg: eddsa(),
        usage: sig(),
    };
    Ok((
        pkcs8.as_ref().to_vec(),
        serde_json::to_string(&Jwks { keys: vec![key] })?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: Time = Time::from_millis(1_700_000_000_000);
    const HERE: &str = "https://api.example.com";

    fn code(result: kernel::Result<Claims>) -> &'static str {
        match result {
            Ok(_) => "ok",
            Err(Error::Unauthenticated { code, .. }) => code,
            Err(other) => panic!("{other:?}"),
        }
    }

    fn issued(issuer: &Issuer) -> String {
        issuer.issue(NOW, UserId::new(NOW), SessionId::new(NOW)).unwrap()
    }

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[test]
    fn a_token_is_good_for_15_minutes() {
        let issuer = Issuer::of_new_key(HERE).unwrap();
        let (user, session) = (UserId::new(NOW), SessionId::new(NOW));
        let token = issuer.issue(NOW, user, session).unwrap();
        let verify = |seconds| issuer.public_keys().verify(NOW.plus_seconds(seconds), &token);
        assert_eq!(verify(0).unwrap(), Claims { user, session });
        assert_eq!(code(verify(899)), "ok");
        assert_eq!(code(verify(900)), "token_expired");
        assert_eq!(code(verify(-30)), "ok");
        assert_eq!(code(verify(-31)), "not_authenticated");
    }

    #[test]
    fn another_key_and_another_algorithm_are_refused() {
        let issuer = Issuer::of_new_key(HERE).unwrap();
        let token = issued(&issuer);
        let [_, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
        let stranger = issued(&Issuer {
            kid: issuer.kid.clone(),
            ..Issuer::of_new_key(HERE).unwrap()
        });

        let hs256 = part(&json!({"alg": "HS256", "typ": TYPE, "kid": issuer.kid}));
        let public = URL_SAFE_NO_PAD.decode(&issuer.public.published().keys[0].x).unwrap();
        let message = format!("{hs256}.{payload}");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
        let mac = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));

        let none = part(&json!({"alg": "none", "typ": TYPE, "kid": issuer.kid}));
        let unnamed = part(&json!({"alg": "EdDSA", "typ": TYPE}));
        for forged in [
            stranger,
            format!("{message}.{mac}"),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            format!("{unnamed}.{payload}.{signature}"),
            format!("{token}x"),
            "a".repeat(5_000),
        ] {
            assert_eq!(
                code(issuer.public.verify(NOW, &forged)),
                "not_authenticated",
                "{forged}"
            );
        }
    }

    /// What a token is worth that says this and is signed by us.
    fn check_signed(typ: &Value, claims: &Value, expected: &str) {
        let issuer = Issuer::of_new_key(HERE).unwrap();
        let mut header: Header = serde_json::from_value(json!({"alg": "EdDSA", "typ": typ})).unwrap();
        header.kid = Some(issuer.kid.clone());
        let mut said = json!({"iss": HERE, "aud": HERE, "sub": UserId::new(NOW), "sid": SessionId::new(NOW), "iat": 0,
            "exp": NOW.seconds() + 60});
        for (name, value) in claims.as_object().unwrap() {
            said[name] = value.clone();
        }
        said.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let token = jsonwebtoken::encode(&header, &said, &issuer.key).unwrap();
        assert_eq!(code(issuer.public.verify(NOW, &token)), expected, "{typ} {claims}");
    }

    #[test]
    fn only_an_access_token_of_and_for_this_deployment_is_one() {
        let good = json!("at+jwt");
        check_signed(&good, &json!({}), "ok");
        for typ in [json!(null), json!("JWT"), json!("webhook+jwt")] {
            check_signed(&typ, &json!({}), "not_authenticated");
        }
        for claims in [
            json!({"iss": "https://other.example"}),
            json!({"iss": null}),
            json!({"aud": "https://other.example"}),
            json!({"aud": []}),
            json!({"aud": null}),
            // As tokens were before they had an audience.
            json!({"iss": "countinghouse", "aud": null}),
        ] {
            check_signed(&good, &claims, "not_authenticated");
        }
    }

    #[test]
    fn keys_that_are_not_ed25519_are_no_keys() {
        for bad in [
            "",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"oct","crv":"Ed25519","kid":"a","x":"AAAA"}]}"#,
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}]}"#,
        ] {
            assert!(PublicKeys::parse(bad, HERE).is_err(), "{bad}");
        }
        let (pkcs8, _) = new_key().unwrap();
        let (_, other) = new_key().unwrap();
        assert!(Issuer::new(&pkcs8, PublicKeys::parse(&other, HERE).unwrap()).is_err());
    }

    proptest! {
        // Making a key takes a while.
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(4), ..ProptestConfig::default() })]
        #[test]
        fn a_changed_token_is_refused(place: prop::sample::Index, letter in "[a-zA-Z0-9_.-]") {
            let issuer = Issuer::of_new_key(HERE).unwrap();
            let token = issued(&issuer);
            let mut changed = token.clone();
            let place = place.index(token.len());
            changed.replace_range(place..=place, &letter);
            prop_assume!(changed != token);
            prop_assert_eq!(code(issuer.public.verify(NOW, &changed)), "not_authenticated");
        }

        #[test]
        fn no_text_is_a_token(
            text in "\\PC{0,200}|[a-zA-Z0-9_-]{0,80}\\.[a-zA-Z0-9_-]{0,80}\\.[a-zA-Z0-9_-]{0,90}",
            header in "\\{\"alg\":\"(EdDSA|none|HS256|RS256|[a-z]{0,5})\"(,\"(kid|typ|jku|crit|b64)\":(\"[a-z]{0,5}\"|null|7|\\[\\]))?\\}",
            payload in "\\{(\"(exp|iat|sub|sid|iss)\":(\"[a-z_0-9]{0,30}\"|-?[0-9]{1,20}|null))?\\}", signature: Vec<u8>,
        ) {
            let issuer = Issuer::of_new_key(HERE).unwrap();
            let [header, payload] = [header, payload].map(|text| URL_SAFE_NO_PAD.encode(text));
            let made = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(signature));
            for text in [text, made] {
                prop_assert_eq!(code(issuer.public.verify(NOW, &text)), "not_authenticated");
            }
        }
    }
}
