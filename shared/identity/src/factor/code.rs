//! Recovery codes: 80 random bits as four groups of hexadecimal digits. Nobody guesses one, so a fast hash is enough. Pure.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use kernel::UserId;

/// So many are made at once.
pub(super) const MANY: usize = 10;
/// Digits in a group.
const GROUP: usize = 5;

/// A new code: `1f3a9-0c2d4-77b0e-9a1c5`.
pub(super) fn new() -> String {
    let digits = hex::encode(kernel::id::random::<10>());
    let groups: Vec<&str> = (0..digits.len())
        .step_by(GROUP)
        .map(|at| &digits[at..at + GROUP])
        .collect();
    groups.join("-")
}

/// What is stored of a code, however it is typed.
pub(super) fn hash(user: UserId, code: &str) -> String {
    let typed = code.chars().filter(char::is_ascii_alphanumeric);
    let digits = typed.collect::<String>().to_ascii_lowercase();
    hex::encode(digest(&SHA256, format!("{user}\n{digits}").as_bytes()))
}

/// Whether two hashes are the same.
pub(super) fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}
