//! Passwords: argon2id with the parameters that OWASP recommends, as PHC strings. Never kept in plain.

use anyhow::anyhow;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use kernel::{Check, Result};

/// 19 MiB of memory, 2 passes, 1 lane: OWASP's Password Storage Cheat Sheet.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The hash of nobody's password: checking against it takes as long as against a real one.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdCEhIQ$dGhpcyBpcyB0aGUgaGFzaCBvZiBub2JvZHkncyBwdy4";

/// Notes the rules that a new password breaks: 8 to 128 characters, whatever they are.
pub fn check(check: &mut Check, field: &str, password: &str) {
    check.that(
        (8..=128).contains(&password.chars().count()),
        field,
        "must have 8 to 128 characters",
    );
}

fn hasher() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| anyhow!("argon2: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes a password with a salt of its own.
pub(crate) async fn hash(password: &str) -> Result<String> {
    let password = password.to_owned();
    work(move || {
        let hash = hasher()?
            .hash_password(password.as_bytes())
            .map_err(|error| anyhow!("argon2: {error}"))?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether `password` is the one that was hashed. Takes as long when there is no hash, and is never true then.
pub(crate) async fn verify(password: &str, hash: Option<&str>) -> Result<bool> {
    let (password, known) = (password.to_owned(), hash.is_some());
    let hash = hash.unwrap_or(NOBODY).to_owned();
    work(move || {
        let parsed = PasswordHash::new(&hash).map_err(|error| anyhow!("a stored password hash: {error}"))?;
        Ok(hasher()?.verify_password(password.as_bytes(), &parsed).is_ok() && known)
    })
    .await
}

/// Away from the thread that serves others.
async fn work<T: Send + 'static>(job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(job).await.map_err(anyhow::Error::new)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_is_right() {
        let stored = hash("correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("correct horse", Some(&stored)).await.unwrap());
        assert!(!verify("correct horsf", Some(&stored)).await.unwrap());
        assert!(!verify("correct horse", None).await.unwrap());
        assert_ne!(stored, hash("correct horse").await.unwrap());
    }
}
