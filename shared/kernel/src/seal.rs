//! Secrets with a life cycle: a ring of keys, what is derived from them, and bytes that only we can read or have made.
//!
//! A [`Keyring`] is a short list of keys, the newest first. The first one seals and signs, every one opens and verifies,
//! and a byte in front of what was made tells which. So a new key is put in front, and an old one leaves when nothing
//! that it sealed is of use any more. Nothing is ever made with a key itself: HKDF (RFC 5869) derives another for each
//! purpose and context, so what was made for one says nothing to another.

use std::str::FromStr;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{constant_time, hkdf, hmac};

/// How many bytes a key has, and how many are derived.
const KEY_LEN: usize = 32;
/// So many keys a ring may hold: one that seals, one on its way in, some on their way out.
const MOST_KEYS: usize = 8;

/// What something is made for. Each purpose has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose(&'static str);

impl Purpose {
    /// A purpose by its name, which is part of what is derived and never changes.
    pub const fn named(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        let mut place = 0;
        while place < bytes.len() {
            assert!(bytes[place] != 0, "a purpose is a word");
            place += 1;
        }
        Self(name)
    }
}

/// Which key of a ring: the byte in front of what was made with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub u8);

/// Keys, the newest first. Read from text: `<id>:<64 hexadecimal digits>` for each, separated by commas or white space.
#[derive(Debug)]
pub struct Keyring(Vec<(KeyId, hkdf::Prk)>);

/// Why a text is no keyring. Never shows what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyring {
    /// There is none in it.
    #[error("a keyring needs a key")]
    Empty,
    /// There are too many in it.
    #[error("a keyring has at most {MOST_KEYS} keys")]
    TooMany,
    /// One is not written as a key.
    #[error("key {0} of the keyring is not `<id>:<64 hexadecimal digits>`, with an id from 1 to 255")]
    Unreadable(usize),
    /// Two have one id.
    #[error("two keys of the keyring have the id {0}")]
    Twice(u8),
}

impl FromStr for Keyring {
    type Err = BadKeyring;

    fn from_str(text: &str) -> Result<Self, BadKeyring> {
        let mut keys: Vec<(KeyId, hkdf::Prk)> = Vec::new();
        let parts = text.split(|c: char| c == ',' || c.is_ascii_whitespace());
        for (place, part) in parts.filter(|part| !part.is_empty()).enumerate() {
            let (id, secret) = key(part).ok_or(BadKeyring::Unreadable(place + 1))?;
            if keys.iter().any(|(other, _)| *other == id) {
                return Err(BadKeyring::Twice(id.0));
            }
            if keys.len() == MOST_KEYS {
                return Err(BadKeyring::TooMany);
            }
            keys.push((id, hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(&secret)));
        }
        if keys.is_empty() {
            return Err(BadKeyring::Empty);
        }
        Ok(Self(keys))
    }
}

fn key(text: &str) -> Option<(KeyId, [u8; KEY_LEN])> {
    let (id, secret) = text.split_once(':')?;
    let id: u8 = id.parse().ok().filter(|id| *id > 0)?;
    let mut bytes = [0; KEY_LEN];
    hex::decode_to_slice(secret, &mut bytes).ok()?;
    Some((KeyId(id), bytes))
}

/// What a derived key is used for, so that no key serves two algorithms.
#[derive(Clone, Copy)]
enum Use {
    Seal,
    Mac,
    Derive,
}

impl Use {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Seal => b"seal",
            Self::Mac => b"mac",
            Self::Derive => b"derive",
        }
    }
}

impl Keyring {
    /// The key that seals and signs.
    pub fn newest(&self) -> KeyId {
        self.0[0].0
    }

    /// Whether it has the key that something was made with.
    pub fn knows(&self, made: &[u8]) -> bool {
        made.first().is_some_and(|id| self.prk(KeyId(*id)).is_some())
    }

    /// Seals bytes for a purpose and a context by AES-256-GCM: the key's id, the nonce, the sealed bytes. Nonces are
    /// random, and every context has a key of its own, so one context is good for some 2^32 seals (NIST SP 800-38D).
    pub fn seal(&self, purpose: Purpose, context: &str, plain: &[u8]) -> Vec<u8> {
        let (id, prk) = &self.0[0];
        let mut sealed = plain.to_vec();
        let nonce = sealing(prk, purpose, context).seal_in_place_append_tag(Aad::empty(), &mut sealed);
        let nonce = nonce.expect("what is sealed fits memory, so it fits AES-GCM");
        [&[id.0], nonce.as_ref().as_slice(), &sealed].concat()
    }

    /// Opens what was sealed for the same purpose and context with a key of this ring; nothing if it was not, or was
    /// changed.
    pub fn open(&self, purpose: Purpose, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, sealed) = sealed.split_first()?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let key = sealing(self.prk(KeyId(*id))?, purpose, context);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = sealed.to_vec();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
        Some(plain.to_vec())
    }

    /// Signs bytes for a purpose and a context by HMAC-SHA256: the key's id and 32 bytes. Who reads the bytes can read
    /// them still; nobody else can make the signature.
    pub fn mac(&self, purpose: Purpose, context: &str, bytes: &[u8]) -> [u8; Self::MAC_LEN] {
        let (id, prk) = &self.0[0];
        let mut mac = [id.0; Self::MAC_LEN];
        mac[1..].copy_from_slice(sign(prk, purpose, context, bytes).as_ref());
        mac
    }

    /// How long what [`Keyring::mac`] makes is.
    pub const MAC_LEN: usize = 1 + KEY_LEN;

    /// Whether a key of this ring made this signature of these bytes, for the same purpose and context. Takes as long
    /// for a wrong one as for the right one.
    pub fn verify(&self, purpose: Purpose, context: &str, bytes: &[u8], mac: &[u8]) -> bool {
        let Some((id, tag)) = mac.split_first() else {
            return false;
        };
        let Some(prk) = self.prk(KeyId(*id)) else { return false };
        let right = sign(prk, purpose, context, bytes);
        constant_time::verify_slices_are_equal(right.as_ref(), tag).is_ok()
    }

    /// Derives 32 bytes for a purpose and a context from one key, which must be noted beside what they are used for: a
    /// newer key gives others. Nothing if the ring does not have it.
    pub fn derive(&self, key: KeyId, purpose: Purpose, context: &str) -> Option<[u8; KEY_LEN]> {
        Some(derive(self.prk(key)?, Use::Derive, purpose, context))
    }

    fn prk(&self, wanted: KeyId) -> Option<&hkdf::Prk> {
        self.0.iter().find(|(id, _)| *id == wanted).map(|(_, prk)| prk)
    }
}

fn derive(prk: &hkdf::Prk, of: Use, purpose: Purpose, context: &str) -> [u8; KEY_LEN] {
    // Names of uses and purposes hold no zero byte, so no two triples are written alike.
    let info = [of.name(), b"\0", purpose.0.as_bytes(), b"\0", context.as_bytes()];
    let mut bytes = [0; KEY_LEN];
    let derived = prk.expand(&info, hkdf::HKDF_SHA256);
    let filled = derived.and_then(|derived| derived.fill(&mut bytes));
    filled.expect("32 bytes are as many as SHA-256 has");
    bytes
}

fn sealing(prk: &hkdf::Prk, purpose: Purpose, context: &str) -> RandomizedNonceKey {
    let key = derive(prk, Use::Seal, purpose, context);
    RandomizedNonceKey::new(&AES_256_GCM, &key).expect("32 bytes are as long as the key")
}

fn sign(prk: &hkdf::Prk, purpose: Purpose, context: &str, bytes: &[u8]) -> hmac::Tag {
    let key = derive(prk, Use::Mac, purpose, context);
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: Purpose = Purpose::named("here");
    const THERE: Purpose = Purpose::named("there");

    /// A key of a ring by its id: 31 bytes of zeroes and the id.
    fn key(id: u8) -> String {
        format!("{id}:{id:064x}")
    }

    fn ring(ids: &[u8]) -> Keyring {
        ids.iter()
            .map(|id| key(*id))
            .collect::<Vec<_>>()
            .join(",")
            .parse()
            .unwrap()
    }

    fn check_text(text: &str, expected: Result<u8, BadKeyring>) {
        let read = text.parse::<Keyring>().map(|ring| ring.newest().0);
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn a_ring_is_read_from_text() {
        let [one, two] = [key(1), key(2)];
        check_text(&one, Ok(1));
        check_text(&format!("{two},{one}"), Ok(2));
        check_text(&format!("\n{two}\n{one}\n"), Ok(2));
        check_text("", Err(BadKeyring::Empty));
        check_text(" , ", Err(BadKeyring::Empty));
        check_text(&format!("{two},{two}"), Err(BadKeyring::Twice(2)));
        check_text("a secret", Err(BadKeyring::Unreadable(1)));
        check_text(&format!("{one},0:{:064x}", 1), Err(BadKeyring::Unreadable(2)));
        check_text(&format!("256:{:064x}", 1), Err(BadKeyring::Unreadable(1)));
        check_text(&format!("1:{:063x}", 1), Err(BadKeyring::Unreadable(1)));
        let nine: Vec<String> = (1..=9).map(key).collect();
        check_text(&nine[..8].join(","), Ok(1));
        check_text(&nine.join(","), Err(BadKeyring::TooMany));
    }

    #[test]
    fn nothing_tells_what_is_in_a_ring() {
        let secret = "a5".repeat(32);
        let ring: Keyring = format!("1:{secret}").parse().unwrap();
        assert!(!format!("{ring:?}").to_lowercase().contains("a5a5"));
        let bad = format!("1:{secret},2:{secret}0").parse::<Keyring>().unwrap_err();
        assert!(!format!("{bad:?} {bad}").contains("a5"));
    }

    /// Known answers, made with Python's `hmac` and `hashlib` by the text of RFC 5869.
    #[test]
    fn keys_are_derived_by_the_standard() {
        let secret = hex::encode((0..32).collect::<Vec<u8>>());
        let ring: Keyring = format!("7:{secret}").parse().unwrap();
        let (cursors, context) = (Purpose::named("cursors"), "org_1 /v1/orgs");
        assert_eq!(
            hex::encode(ring.derive(KeyId(7), cursors, context).unwrap()),
            "07db21d05dfd9beed40c67945daffa9de53a8c345c7e6da8e4273bde822b1af4"
        );
        assert_eq!(
            hex::encode(ring.mac(cursors, context, b"position")),
            "07e5a3fc813f9b8f8c97bb28f655a2ead864c79d4f4c64b1a9356b5b016fde5dc2"
        );
        assert_eq!(ring.derive(KeyId(8), cursors, context), None);
    }

    #[test]
    fn a_new_key_seals_and_the_old_ones_still_open() {
        let (before, during, after) = (ring(&[1]), ring(&[2, 1]), ring(&[2]));
        let old = before.seal(HERE, "a", b"plain");
        let new = during.seal(HERE, "a", b"plain");
        assert_eq!((old[0], new[0]), (1, 2));
        for (ring, opens_old, opens_new) in [(&before, true, false), (&during, true, true), (&after, false, true)] {
            assert_eq!(ring.open(HERE, "a", &old).is_some(), opens_old);
            assert_eq!(ring.open(HERE, "a", &new).is_some(), opens_new);
            assert_eq!((ring.knows(&old), ring.knows(&new)), (opens_old, opens_new));
        }
        let [old, new] = [&before, &during].map(|ring| ring.mac(HERE, "a", b"bytes"));
        assert!(during.verify(HERE, "a", b"bytes", &old) && during.verify(HERE, "a", b"bytes", &new));
        assert!(!after.verify(HERE, "a", b"bytes", &old) && !before.verify(HERE, "a", b"bytes", &new));
    }

    #[test]
    fn a_key_under_a_wrong_id_opens_nothing() {
        let mut sealed = ring(&[1, 2]).seal(HERE, "a", b"plain");
        sealed[0] = 2;
        assert!(ring(&[1, 2]).open(HERE, "a", &sealed).is_none());
        let mut mac = ring(&[1, 2]).mac(HERE, "a", b"bytes");
        mac[0] = 2;
        assert!(!ring(&[1, 2]).verify(HERE, "a", b"bytes", &mac));
    }

    proptest! {
        #[test]
        fn only_the_same_purpose_and_context_open(plain: Vec<u8>, context in "\\PC{0,20}", other in "\\PC{0,20}") {
            let ring = ring(&[1]);
            let sealed = ring.seal(HERE, &context, &plain);
            let mac = ring.mac(HERE, &context, &plain);
            prop_assert_eq!(ring.open(HERE, &context, &sealed), Some(plain.clone()));
            prop_assert!(ring.verify(HERE, &context, &plain, &mac));
            prop_assert!(ring.open(THERE, &context, &sealed).is_none());
            prop_assert!(!ring.verify(THERE, &context, &plain, &mac));
            prop_assert_eq!(context == other, ring.open(HERE, &other, &sealed).is_some());
            prop_assert_eq!(context == other, ring.verify(HERE, &other, &plain, &mac));
        }

        #[test]
        fn what_was_changed_does_not_open(place: prop::sample::Index, flip in 1_u8..) {
            let ring = ring(&[1, 2]);
            let mut sealed = ring.seal(HERE, "a", b"plain");
            let mut mac = ring.mac(HERE, "a", b"bytes");
            let (in_sealed, in_mac) = (place.index(sealed.len()), place.index(mac.len()));
            sealed[in_sealed] ^= flip;
            mac[in_mac] ^= flip;
            prop_assert!(ring.open(HERE, "a", &sealed).is_none());
            prop_assert!(!ring.verify(HERE, "a", b"bytes", &mac));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            prop_assert!(ring(&[1]).open(HERE, "a", &bytes).is_none());
            prop_assert!(!ring(&[1]).verify(HERE, "a", b"bytes", &bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-f:, ]{0,140}") {
            let _ = text.parse::<Keyring>();
        }
    }
}
