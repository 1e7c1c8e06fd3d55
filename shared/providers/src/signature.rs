//! What all three sign with: HMAC-SHA256, compared in constant time.

use aws_lc_rs::{constant_time, hmac};
use outbound::header::HeaderMap;

use crate::Rejected;

/// The signature of some bytes by a secret.
pub(crate) fn of(secret: &[u8], bytes: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), bytes)
        .as_ref()
        .to_vec()
}

/// Whether two signatures are one, in a time that does not tell where they differ.
pub(crate) fn is(good: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(good, other).is_ok()
}

/// A header that an event must have.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Rejected> {
    optional(headers, name).ok_or(Rejected::Header(name))
}

/// A header that an event may have.
pub(crate) fn optional<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
