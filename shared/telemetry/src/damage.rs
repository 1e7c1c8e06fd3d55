//! Damages valid input, for tests of what reads it: most of it stays as it was, so that the damage is met deep inside.

use proptest::prelude::*;
use proptest::sample::Index;

/// One place, and what to do there with which byte.
pub(crate) type Edit = (Index, u8, u8);

/// A few edits.
pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(any::<Edit>(), 1..5)
}

/// The bytes with these edits made to them: changed, taken out, put in, cut off, repeated.
pub(crate) fn damaged(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, kind, byte) in edits {
        if bytes.is_empty() {
            break;
        }
        let place = place.index(bytes.len());
        match kind % 8 {
            0..=2 => bytes[place] = *byte,
            3 => bytes[place] ^= 1 << (byte % 8),
            4 => drop(bytes.remove(place)),
            5 => bytes.insert(place, *byte),
            6 => bytes.extend_from_within(place..),
            _ => bytes.truncate(place),
        }
    }
    bytes
}
