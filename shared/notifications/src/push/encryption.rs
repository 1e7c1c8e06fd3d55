//! What a browser can read and nobody on the way: one record of `aes128gcm` (RFC 8188) under keys that are agreed on with
//! the browser's (RFC 8291). Pure but for chance.

use anyhow::anyhow;
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use kernel::Result;
use serde::{Deserialize, Serialize};

/// A push service takes no longer body (RFC 8291, 4), …
const MOST_BYTES: usize = 4_096;
/// … and this is the record's size: more than the one record has, as it must be.
const RECORD_BYTES: u32 = 4_096;
const SALT_LEN: usize = 16;
/// An uncompressed point of P-256.
const POINT_LEN: usize = 65;
/// The salt, the record's size, the length of our public key, and that.
const HEADER_LEN: usize = SALT_LEN + 4 + 1 + POINT_LEN;
const TAG_LEN: usize = 16;
const AUTH_LEN: usize = 16;
const KEY_LEN: usize = 16;
/// What stands behind the text of the last record.
const LAST: u8 = 2;

/// The longest text: 3,993 bytes.
pub const MOST_PLAIN: usize = MOST_BYTES - HEADER_LEN - 1 - TAG_LEN;

/// Base64 for URLs, which browsers write without padding and some libraries with it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys of a browser, as it gives them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PushKeys)]
pub struct BrowserKeys {
    /// Its public key: an uncompressed point of P-256 in base64url.
    #[schema(
        pattern = "^[A-Za-z0-9_-]{87}=?$",
        example = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    )]
    pub p256dh: String,
    /// Its secret: 16 bytes in base64url.
    #[schema(pattern = "^[A-Za-z0-9_-]{22}(==)?$", example = "BTBZMqHH6r4Tts7J_aSIgg")]
    pub auth: String,
}

impl std::fmt::Debug for BrowserKeys {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrowserKeys")
            .field("p256dh", &self.p256dh)
            .finish_non_exhaustive()
    }
}

impl BrowserKeys {
    /// The public key, if it is a point of the curve.
    pub(super) fn point(&self) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(&self.p256dh).ok()?;
        if bytes.len() != POINT_LEN {
            return None;
        }
        // Agreeing on something is what tells whether a point lies on the curve.
        let own = PrivateKey::generate(&ECDH_P256).ok()?;
        let on_curve = agreement::agree(&own, UnparsedPublicKey::new(&ECDH_P256, &bytes), (), |_| Ok(()));
        on_curve.is_ok().then_some(bytes)
    }

    /// The secret, if it is as long as it must be.
    pub(super) fn secret(&self) -> Option<Vec<u8>> {
        BASE64.decode(&self.auth).ok().filter(|bytes| bytes.len() == AUTH_LEN)
    }

    /// Encrypts a text of at most [`MOST_PLAIN`] bytes: the body that the push service is sent.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let own = PrivateKey::generate(&ECDH_P256).map_err(|_| anyhow!("no key could be made"))?;
        self.encrypt_with(&own, kernel::id::random(), plain)
    }

    fn encrypt_with(&self, own: &PrivateKey, salt: [u8; SALT_LEN], plain: &[u8]) -> Result<Vec<u8>> {
        if plain.len() > MOST_PLAIN {
            return Err(anyhow!("a text of {} bytes is too long for web push", plain.len()).into());
        }
        let failed = || anyhow!("a message could not be encrypted");
        let (Some(theirs), Some(auth)) = (self.point(), self.secret()) else {
            return Err(anyhow!("a browser's keys cannot be read").into());
        };
        let public = own.compute_public_key().map_err(|_| failed())?;
        let info = [b"WebPush: info\0".as_slice(), &theirs, public.as_ref()].concat();
        let peer = UnparsedPublicKey::new(&ECDH_P256, &theirs);
        let shared = agreement::agree(own, peer, failed(), |secret| {
            Ok(Salt::new(HKDF_SHA256, &auth).extract(secret))
        })?;
        let input: [u8; 32] = expand(&shared, &info).ok_or_else(failed)?;
        let prk = Salt::new(HKDF_SHA256, &salt).extract(&input);
        let key: [u8; KEY_LEN] = expand(&prk, b"Content-Encoding: aes128gcm\0").ok_or_else(failed)?;
        let nonce: [u8; NONCE_LEN] = expand(&prk, b"Content-Encoding: nonce\0").ok_or_else(failed)?;

        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(|_| failed())?);
        let mut record = [plain, &[LAST]].concat();
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
            .map_err(|_| failed())?;
        let length = u8::try_from(POINT_LEN).unwrap_or(u8::MAX);
        let size = RECORD_BYTES.to_be_bytes();
        Ok([salt.as_slice(), &size, &[length], public.as_ref(), &record].concat())
    }
}

/// How much is derived.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(prk: &Prk, info: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    prk.expand(&[info], Bytes(N)).ok()?.fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // RFC 8291, Appendix A.
    const PLAIN: &[u8] = b"When I grow up, I want to be a watermelon";
    const OWN: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const THEIRS: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
    const SALT: &str = "DGv6ra1nlYgDCS1FRnbzlw";
    // RFC 8291, 5.
    const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w\
        EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";

    fn browser() -> BrowserKeys {
        BrowserKeys {
            p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
                .to_owned(),
            auth: "BTBZMqHH6r4Tts7J_aSIgg".to_owned(),
        }
    }

    fn private(text: &str) -> PrivateKey {
        PrivateKey::from_private_key(&ECDH_P256, &BASE64.decode(text).unwrap()).unwrap()
    }

    /// Reads a body as the browser of the appendix does.
    fn read(body: &[u8]) -> Vec<u8> {
        let (header, record) = body.split_at(HEADER_LEN);
        let theirs = &header[HEADER_LEN - POINT_LEN..];
        let own = private(THEIRS);
        let auth = browser().secret().unwrap();
        let info = [b"WebPush: info\0".as_slice(), &browser().point().unwrap(), theirs].concat();
        let shared = agreement::agree(&own, UnparsedPublicKey::new(&ECDH_P256, theirs), (), |secret| {
            Ok(Salt::new(HKDF_SHA256, &auth).extract(secret))
        });
        let input: [u8; 32] = expand(&shared.unwrap(), &info).unwrap();
        let prk = Salt::new(HKDF_SHA256, &header[..SALT_LEN]).extract(&input);
        let key: [u8; KEY_LEN] = expand(&prk, b"Content-Encoding: aes128gcm\0").unwrap();
        let nonce: [u8; NONCE_LEN] = expand(&prk, b"Content-Encoding: nonce\0").unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let mut bytes = record.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = key.open_in_place(nonce, Aad::empty(), &mut bytes).unwrap();
        let (last, plain) = plain.split_last().unwrap();
        assert_eq!(*last, LAST);
        plain.to_vec()
    }

    #[test]
    fn encrypts_as_the_appendix_does() {
        let salt = BASE64.decode(SALT).unwrap().try_into().unwrap();
        let body = browser().encrypt_with(&private(OWN), salt, PLAIN).unwrap();
        assert_eq!(BASE64.encode(&body), BODY);
        assert_eq!(read(&BASE64.decode(BODY).unwrap()), PLAIN);
    }

    #[test]
    fn the_longest_text_fills_a_body_and_not_the_record() {
        assert_eq!(MOST_PLAIN, 3_993);
        let body = browser().encrypt(&[b'a'; MOST_PLAIN]).unwrap();
        assert_eq!(body.len(), MOST_BYTES);
        let size = u32::from_be_bytes(body[SALT_LEN..SALT_LEN + 4].try_into().unwrap());
        assert!(usize::try_from(size).unwrap() > MOST_PLAIN + 1 + TAG_LEN);
        assert!(browser().encrypt(&[b'a'; MOST_PLAIN + 1]).is_err());
    }

    #[test]
    fn no_two_bodies_are_alike() {
        assert_ne!(browser().encrypt(PLAIN).unwrap(), browser().encrypt(PLAIN).unwrap());
    }

    #[test]
    fn only_points_of_the_curve_are_keys() {
        let mut off_curve = BASE64.decode(browser().p256dh).unwrap();
        off_curve[64] ^= 1;
        let bad = [
            String::new(),
            "AAAA".to_owned(),
            BASE64.encode([4; 65]),
            BASE64.encode(&off_curve),
        ];
        for p256dh in bad {
            let keys = BrowserKeys { p256dh, ..browser() };
            assert!(
                keys.point().is_none() && keys.encrypt(PLAIN).is_err(),
                "{}",
                keys.p256dh
            );
        }
        let padded = BrowserKeys {
            p256dh: format!("{}=", browser().p256dh),
            auth: format!("{}==", browser().auth),
        };
        assert!(padded.point().is_some() && padded.secret().is_some());
        let short = BrowserKeys {
            auth: "AAAA".to_owned(),
            ..browser()
        };
        assert!(short.secret().is_none());
    }

    proptest! {
        #[test]
        fn what_is_encrypted_is_read_again(plain in prop::collection::vec(any::<u8>(), 0..=MOST_PLAIN)) {
            prop_assert_eq!(read(&browser().encrypt(&plain).unwrap()), plain);
        }

        #[test]
        fn no_keys_make_it_panic(p256dh in "[ -~]{0,100}", auth in "[ -~]{0,40}") {
            let _ = BrowserKeys { p256dh, auth }.encrypt(PLAIN);
        }
    }
}
