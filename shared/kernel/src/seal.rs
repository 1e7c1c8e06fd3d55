//! Bytes that only we can read and nobody can change: AES-256-GCM under a key derived from a secret, bound to a context.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};

/// Seals and opens under one secret. Nonces are random, so one secret is good for some 2^32 seals (NIST SP 800-38D).
#[derive(Debug)]
pub struct Seal(RandomizedNonceKey);

impl Seal {
    /// Derives the key from a secret of any length.
    pub fn new(secret: &[u8]) -> Self {
        let key = digest(&SHA256, secret);
        Self(RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).expect("a SHA-256 is as long as the key"))
    }

    /// Seals bytes for a context: the nonce, then the sealed bytes.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(context), &mut sealed);
        let nonce = nonce.expect("what is sealed fits memory, so it fits AES-GCM");
        [nonce.as_ref().as_slice(), &sealed].concat()
    }

    /// Opens what was sealed for the same context; nothing if it was not, or was changed.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = sealed.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(context), &mut bytes).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_the_same_secret_and_context_open(plain: Vec<u8>, context in "\\PC{0,20}", other in "\\PC{0,20}") {
            let seal = Seal::new(b"secret");
            let sealed = seal.seal(&context, &plain);
            prop_assert_eq!(seal.open(&context, &sealed), Some(plain));
            prop_assert!(context == other || seal.open(&other, &sealed).is_none());
            prop_assert!(Seal::new(b"other").open(&context, &sealed).is_none());
        }

        #[test]
        fn what_was_changed_does_not_open(place: prop::sample::Index, flip in 1_u8..) {
            let seal = Seal::new(b"secret");
            let mut sealed = seal.seal("here", b"plain");
            let place = place.index(sealed.len());
            sealed[place] ^= flip;
            prop_assert!(seal.open("here", &sealed).is_none());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            prop_assert!(Seal::new(b"secret").open("here", &bytes).is_none());
        }
    }
}
