//! Tokens that were signed here, rightly and wrongly.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: Time = Time::from_millis(1_700_000_000_000);
const ISSUER: &str = "https://accounts.example";

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of the provider.
enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                let parts: PublicKeyComponents<Vec<u8>> = key.public_key().into();
                json!({"kty": "RSA", "kid": kid, "use": "sig", "n": base64(parts.n), "e": base64(parts.e)})
            }
            Self::Ec(key) => {
                // 4, then both coordinates.
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": base64(x), "y": base64(y)})
            }
            Self::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64(key.public_key())}),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let message = message.as_bytes();
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(key) => key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", base64(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": "one"}), claims)
    }
}

fn claims() -> Value {
    let now = NOW.seconds();
    json!({
        "iss": ISSUER, "sub": "1234", "aud": "app", "nonce": "n", "iat": now, "exp": now + 300,
        "email": "Ada@example.com", "email_verified": true, "name": "Ada"
    })
}

fn keys(signers: &[&Signer]) -> Keys {
    let names = ["one", "two", "three"];
    let keys: Vec<Value> = signers.iter().zip(names).map(|(signer, kid)| signer.jwk(kid)).collect();
    Keys::parse(&json!({ "keys": keys }))
}

fn verified(token: &str, keys: &Keys) -> Result<Claims, Bad> {
    let expected = Expected {
        issuer: ISSUER,
        client_id: "app",
        nonce: "n",
        now: NOW,
    };
    verify(token, keys, &expected)
}

#[track_caller]
fn check(token: &str, keys: &Keys, bad: Bad) {
    assert_eq!(verified(token, keys).map(|claims| claims.sub), Err(bad), "{token}");
}

#[test]
fn each_algorithm_verifies_with_a_key_of_its_own_kind() {
    for signer in [Signer::rsa(), Signer::ec(), Signer::ed()] {
        let claims = verified(&signer.token(&claims()), &keys(&[&signer])).unwrap();
        assert_eq!(claims.sub, "1234");
        assert_eq!(claims.person.email.as_deref(), Some("Ada@example.com"));
        assert!(claims.person.is_verified());
        let stranger = match signer {
            Signer::Rsa(_) => Signer::rsa(),
            Signer::Ec(_) => Signer::ec(),
            Signer::Ed(_) => Signer::ed(),
        };
        check(&stranger.token(&self::claims()), &keys(&[&signer]), Bad::Signature);
    }
}

#[test]
fn a_token_does_not_choose_its_algorithm() {
    let (rsa, ed) = (Signer::rsa(), Signer::ed());
    let keys = keys(&[&rsa, &ed]);
    // The classic: HMAC with the public key as the secret.
    for key in [&rsa, &ed] {
        let jwk = key.jwk("one");
        let public = match key {
            Signer::Rsa(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            _ => URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap(),
        };
        let kid = if jwk["kty"] == "RSA" { "one" } else { "two" };
        let header = base64(json!({"alg": "HS256", "kid": kid}).to_string());
        let message = format!("{header}.{}", base64(claims().to_string()));
        let mac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &public);
        let tag = aws_lc_rs::hmac::sign(&mac, message.as_bytes());
        check(&format!("{message}.{}", base64(tag)), &keys, Bad::Signature);
    }
    // Signed by one key, named as another; another algorithm named than the key is for.
    check(&ed.token(&claims()), &keys, Bad::Signature);
    for algorithm in ["RS384", "PS256", "ES256", "EdDSA", "HS256"] {
        let token = rsa.sign(&json!({"alg": algorithm, "kid": "one"}), &claims());
        check(&token, &keys, Bad::Signature);
    }
    for algorithm in [json!("none"), json!("NONE"), json!(""), json!("rs256"), Value::Null] {
        let unsigned = format!(
            "{}.{}.",
            base64(json!({"alg": algorithm, "kid": "one"}).to_string()),
            base64(claims().to_string())
        );
        check(&unsigned, &keys, Bad::Malformed);
    }
}

#[test]
fn keys_for_other_uses_and_of_other_kinds_verify_nothing() {
    let rsa = Signer::rsa();
    let token = rsa.token(&claims());
    let with = |change: &dyn Fn(&mut Value)| {
        let mut jwk = rsa.jwk("one");
        change(&mut jwk);
        Keys::parse(&json!({ "keys": [{"kty": "?"}, 5, jwk] }))
    };
    assert!(verified(&token, &with(&|_| {})).is_ok());
    check(&token, &with(&|jwk| jwk["use"] = json!("enc")), Bad::UnknownKey);
    check(&token, &with(&|jwk| jwk["alg"] = json!("RS512")), Bad::UnknownKey);
    check(&token, &with(&|jwk| jwk["kty"] = json!("oct")), Bad::UnknownKey);
    check(&token, &with(&|jwk| jwk["kid"] = json!("two")), Bad::UnknownKey);
    for nothing in [json!({}), json!({"keys": []}), json!([]), json!({"keys": "x"})] {
        check(&token, &Keys::parse(&nothing), Bad::UnknownKey);
    }
}

#[test]
fn a_token_that_names_no_key_is_verified_by_the_only_one() {
    let (ed, other) = (Signer::ed(), Signer::ed());
    let token = ed.sign(&json!({"alg": "EdDSA"}), &claims());
    assert!(verified(&token, &keys(&[&ed])).is_ok());
    check(&token, &keys(&[&ed, &other]), Bad::UnknownKey);
    let critical = ed.sign(&json!({"alg": "EdDSA", "crit": ["b64"], "b64": false}), &claims());
    check(&critical, &keys(&[&ed]), Bad::Critical);
}

#[test]
fn what_a_token_says_must_be_for_us_and_now() {
    let ed = Signer::ed();
    let keys = keys(&[&ed]);
    let now = NOW.seconds();
    let with = |field: &str, value: Value| {
        let mut claims = claims();
        claims[field] = value;
        ed.token(&claims)
    };
    let without = |field: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().shift_remove(field);
        ed.token(&claims)
    };
    for (field, value, bad) in [
        ("iss", json!("https://accounts.example/"), Bad::Issuer),
        ("iss", json!("https://evil.example"), Bad::Issuer),
        ("iss", json!([ISSUER]), Bad::Malformed),
        ("aud", json!("other"), Bad::Audience),
        ("aud", json!([]), Bad::Audience),
        ("aud", json!(["other"]), Bad::Audience),
        ("aud", json!(["app", "other"]), Bad::Audience),
        ("azp", json!("other"), Bad::Audience),
        ("nonce", json!("m"), Bad::Nonce),
        ("nonce", json!(""), Bad::Nonce),
        ("exp", json!(now - 60), Bad::Time),
        ("exp", json!(i64::MIN), Bad::Time),
        ("iat", json!(now + 61), Bad::Time),
        ("nbf", json!(now + 61), Bad::Time),
        ("exp", json!("tomorrow"), Bad::Malformed),
        ("sub", json!(""), Bad::Subject),
        ("sub", json!("x".repeat(256)), Bad::Subject),
        ("sub", json!(5), Bad::Malformed),
    ] {
        check(&with(field, value), &keys, bad);
    }
    for field in ["iss", "sub", "aud", "exp", "iat"] {
        check(&without(field), &keys, Bad::Malformed);
    }
    check(&without("nonce"), &keys, Bad::Nonce);

    for (field, value) in [
        ("aud", json!(["app"])),
        ("azp", json!("app")),
        ("exp", json!(now - 59)),
        ("iat", json!(now + 60)),
        ("nbf", json!(now + 60)),
    ] {
        assert!(verified(&with(field, value.clone()), &keys).is_ok(), "{field} {value}");
    }
    let mut many = claims();
    (many["aud"], many["azp"]) = (json!(["app", "other"]), json!("app"));
    assert!(verified(&ed.token(&many), &keys).is_ok());
}

#[test]
fn an_address_counts_as_verified_only_if_the_token_says_so() {
    let ed = Signer::ed();
    let keys = keys(&[&ed]);
    for (said, verified_address) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!(1), false),
        (Value::Null, false),
    ] {
        let mut claims = claims();
        claims["email_verified"] = said.clone();
        let person = verified(&ed.token(&claims), &keys).unwrap().person;
        assert_eq!(person.is_verified(), verified_address, "{said}");
    }
    assert!(!Person::default().is_verified());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_changed_token_is_refused(place: prop::sample::Index, letter in "[a-zA-Z0-9_.-]") {
        let ed = Signer::ed();
        let token = ed.token(&claims());
        let place = place.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(place..=place, &letter);
        prop_assume!(changed != token);
        prop_assert!(verified(&changed, &keys(&[&ed])).is_err());
    }

    #[test]
    fn no_text_is_a_token(text in "\\PC{0,100}|[a-zA-Z0-9_-]{0,40}\\.[a-zA-Z0-9_-]{0,40}\\.[a-zA-Z0-9_-]{0,40}") {
        prop_assert!(verified(&text, &keys(&[&Signer::ed()])).is_err());
    }
}
