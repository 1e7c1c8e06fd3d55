//! Passwords: argon2id with the parameters that OWASP recommends, as PHC strings. Never kept in plain. New ones are neither
//! common nor made of what everybody knows of their person.

#[doc(hidden)]
pub mod common;

use std::collections::BTreeSet;

use anyhow::anyhow;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use kernel::{Check, Error, Result};
use unicode_normalization::UnicodeNormalization;

/// 19 MiB of memory, 2 passes, 1 lane: OWASP's Password Storage Cheat Sheet.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The hash of nobody's password: checking against it takes as long as against a real one.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdCEhIQ$dGhpcyBpcyB0aGUgaGFzaCBvZiBub2JvZHkncyBwdy4";

/// A password as it is hashed and counted (RFC 8265, section 4.2: `OpaqueString`): keyboards write an `é` as one character or as
/// two, and blanks of many kinds.
pub(crate) fn normal(password: &str) -> String {
    let blank = |c: char| if c.is_whitespace() && !c.is_ascii() { ' ' } else { c };
    password.chars().map(blank).nfc().collect()
}

/// A password as it is compared with others: `Passwort` is as easy to guess as `passwort`.
#[doc(hidden)]
pub fn folded(password: &str) -> String {
    normal(password).to_lowercase()
}

/// A password has so many characters at least.
pub const SHORTEST: usize = 8;
/// So many at most.
const LONGEST: usize = 128;
/// So many different ones at least: fewer make `aaaaaaaa`, `abababab` and eight blanks.
const DIFFERENT: usize = 4;
/// Shorter words of a name or an address may stand in a password.
const SHORTEST_WORD: usize = 4;
/// What stands in passwords because it stands on the page.
const PRODUCT: &str = "countinghouse";

/// Notes the rules that a new password breaks: 8 to 128 characters, whatever they are.
pub fn check(check: &mut Check, field: &str, password: &str) {
    check.that(
        (SHORTEST..=LONGEST).contains(&normal(password).chars().count()),
        field,
        "must have 8 to 128 characters",
    );
}

/// Refuses a new password that others would try: 422 `common_password` for one of those that are tried first, 422
/// `personal_password` for one that is made of its person's name or address.
pub(crate) fn must_be_hard_to_guess(field: &'static str, password: &str, email: &str, name: &str) -> Result<()> {
    let password = folded(password);
    let different: BTreeSet<char> = password.chars().collect();
    if different.len() < DIFFERENT || common::is_common(&password) {
        return Err(Error::InvalidAs {
            code: "common_password",
            field,
            problem: "is a common password, one of those that are tried first; choose another one".to_owned(),
        });
    }
    if is_made_of(&password, &words(email, name)) {
        return Err(Error::InvalidAs {
            code: "personal_password",
            field,
            problem: "is made of your name or address; choose another one".to_owned(),
        });
    }
    Ok(())
}

/// What everybody knows of a person, the longest first.
fn words(email: &str, name: &str) -> Vec<String> {
    let (email, name) = (folded(email), folded(name));
    let parts = |text: &str| -> Vec<String> { text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect() };
    let mut words: Vec<String> = parts(&email).into_iter().chain(parts(&name)).collect();
    words.extend(email.split('@').map(str::to_owned));
    words.extend([email, name, PRODUCT.to_owned()]);
    words.retain(|word| word.chars().count() >= SHORTEST_WORD);
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
}

/// Whether a password has some of these words, and too little besides.
fn is_made_of(password: &str, words: &[String]) -> bool {
    let rest = words
        .iter()
        .fold(password.to_owned(), |rest, word| rest.replace(word.as_str(), ""));
    let own = rest.chars().filter(|c| c.is_alphanumeric()).count();
    rest.len() < password.len() && own < SHORTEST
}

/// What every hash begins with that is made now.
fn made_now() -> String {
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")
}

/// Whether a stored hash was made with other parameters than those of now.
pub(crate) fn is_outdated(hash: &str) -> bool {
    !hash.starts_with(&made_now())
}

fn hasher() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| anyhow!("argon2: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes a password with a salt of its own.
pub(crate) async fn hash(password: &str) -> Result<String> {
    let password = normal(password);
    work(move || {
        let hash = hasher()?
            .hash_password(password.as_bytes())
            .map_err(|error| anyhow!("argon2: {error}"))?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether `password` is the one that was hashed, in its normal form or, as hashes of before have it, as it was typed. Takes as
/// long when there is no hash, and is never true then.
pub(crate) async fn verify(password: &str, hash: Option<&str>) -> Result<bool> {
    let (password, known) = (password.to_owned(), hash.is_some());
    let hash = hash.unwrap_or(NOBODY).to_owned();
    work(move || {
        let parsed = PasswordHash::new(&hash).map_err(|error| anyhow!("a stored password hash: {error}"))?;
        let (hasher, normal) = (hasher()?, normal(&password));
        let is = |password: &str| hasher.verify_password(password.as_bytes(), &parsed).is_ok();
        Ok((is(&normal) || normal != password && is(&password)) && known)
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
        assert!(!is_outdated(&stored) && !is_outdated(NOBODY));
        for old in [
            "$argon2id$v=19$m=19456,t=1,p=1$c2FsdA$aGFzaA",
            "$argon2i$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
        ] {
            assert!(is_outdated(old), "{old}");
        }
        assert!(verify("correct horse", Some(&stored)).await.unwrap());
        assert!(!verify("correct horsf", Some(&stored)).await.unwrap());
        assert!(!verify("correct horse", None).await.unwrap());
        assert_ne!(stored, hash("correct horse").await.unwrap());
    }

    #[tokio::test]
    async fn however_a_keyboard_writes_it_it_is_the_same_password() {
        let (composed, decomposed) = ("Passw\u{F6}rt \u{E9}t\u{E9}", "Passwo\u{308}rt\u{A0}e\u{301}te\u{301}");
        for (set, typed) in [(composed, decomposed), (decomposed, composed)] {
            let stored = hash(set).await.unwrap();
            assert!(verify(typed, Some(&stored)).await.unwrap(), "{set} {typed}");
        }
        // What was hashed before passwords were made normal.
        let raw = hasher()
            .unwrap()
            .hash_password(decomposed.as_bytes())
            .unwrap()
            .to_string();
        assert!(verify(decomposed, Some(&raw)).await.unwrap());
        assert!(!verify(composed, Some(&raw)).await.unwrap());
    }

    fn check_guess(password: &str, expected: &str) {
        let code = match must_be_hard_to_guess("password", password, "ada.lovelace@engines.example", "Ada Lovelace") {
            Ok(()) => "ok",
            Err(Error::InvalidAs { code, .. }) => code,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(code, expected, "{password:?}");
    }

    #[test]
    fn what_others_would_try_is_no_password() {
        for common in [
            "password",
            "PassWord",
            "12345678",
            "        ",
            "\u{A0}\u{A0}  \u{A0}\u{A0}  ",
            "abababab",
            "qwertyui",
        ] {
            check_guess(common, "common_password");
        }
        for personal in [
            "ada.lovelace@engines.example",
            "Ada Lovelace",
            "lovelace-1815",
            "ADALOVELACE!!",
            "engines.example",
            "lovelacelovelace",
            "Countinghouse 1",
        ] {
            check_guess(personal, "personal_password");
        }
        for good in [
            "correct horse battery staple",
            "lovelace walks on the moon",
            "x7#kQ!pz",
            "\u{E4}\u{F6}\u{FC}\u{DF}\u{E9}\u{E8}\u{EA}\u{EB}",
        ] {
            check_guess(good, "ok");
        }
    }

    #[test]
    fn its_length_is_that_of_the_normal_form() {
        let breaks = |password: &str| {
            let mut found = Check::default();
            check(&mut found, "password", password);
            found.done().is_err()
        };
        assert!(breaks(&"e\u{301}".repeat(7)) && !breaks(&"e\u{301}".repeat(128)));
    }
}
