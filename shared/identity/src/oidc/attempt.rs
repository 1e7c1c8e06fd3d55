//! An attempt to log in: begun in one browser, finished there once, within 10 minutes. Pure.
//!
//! Two secrets belong to it: the state, which goes to the provider and back in addresses, and the browser's, which never
//! leaves its cookie. PKCE's verifier and the nonce are derived from both, so what is stored (two hashes) finishes
//! nothing, nor does an address that somebody else saw.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Time;
use serde::{Deserialize, Serialize};

/// How long an attempt may take.
pub const LIFETIME_SECONDS: i64 = 10 * 60;
/// 32 random bytes in base64url.
const LENGTH: usize = 43;

/// An attempt that is not finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attempt {
    /// The hash of its state.
    pub(super) state: String,
    /// The hash of its browser's secret.
    browser: String,
    pub(super) until: Time,
    #[serde(default)]
    pub(super) version: u64,
}

/// The secrets of an attempt.
#[derive(Clone)]
pub(super) struct Secrets {
    pub(super) state: String,
    pub(super) browser: String,
}

impl Attempt {
    pub(super) fn begin(now: Time) -> (Self, Secrets) {
        let secret = || URL_SAFE_NO_PAD.encode(kernel::id::random::<32>());
        let secrets = Secrets {
            state: secret(),
            browser: secret(),
        };
        let attempt = Self {
            state: secrets.state_hash(),
            browser: hash(&secrets.browser),
            until: now.plus_seconds(LIFETIME_SECONDS),
            version: 0,
        };
        (attempt, secrets)
    }

    /// Whether it may still be finished, by the browser that has these secrets.
    pub(super) fn is_open(&self, secrets: &Secrets, now: Time) -> bool {
        let same = |one: &str, other: &str| verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok();
        now < self.until && same(&self.state, &secrets.state_hash()) && same(&self.browser, &hash(&secrets.browser))
    }
}

impl Secrets {
    /// Reads what a browser came back with; nothing if it was not made here.
    pub(super) fn parse(state: &str, browser: &str) -> Option<Self> {
        let ours = |text: &str| text.len() == LENGTH && URL_SAFE_NO_PAD.decode(text).is_ok();
        (ours(state) && ours(browser)).then(|| Self {
            state: state.to_owned(),
            browser: browser.to_owned(),
        })
    }

    /// What is stored of the state.
    pub(super) fn state_hash(&self) -> String {
        hash(&self.state)
    }

    /// What the provider's token must hold, so that it was made for this attempt.
    pub(super) fn nonce(&self) -> String {
        self.derive("nonce")
    }

    /// What proves to the provider that the code is for us (RFC 7636).
    pub(super) fn verifier(&self) -> String {
        self.derive("verifier")
    }

    /// What the provider is told of the verifier.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier().as_bytes()))
    }

    fn derive(&self, purpose: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.browser.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, format!("{purpose}\n{}", self.state).as_bytes()))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

fn hash(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    #[test]
    fn only_the_browser_that_began_it_finishes_an_attempt_in_time() {
        let (attempt, secrets) = Attempt::begin(NOW);
        let (_, other) = Attempt::begin(NOW);
        assert!(attempt.is_open(&secrets, NOW.plus_seconds(599)));
        assert!(!attempt.is_open(&secrets, NOW.plus_seconds(600)));
        let mixed = |state: &Secrets, browser: &Secrets| Secrets::parse(&state.state, &browser.browser).unwrap();
        for wrong in [&other, &mixed(&secrets, &other), &mixed(&other, &secrets)] {
            assert!(!attempt.is_open(wrong, NOW));
        }
    }

    #[test]
    fn what_is_stored_or_seen_on_the_way_finishes_nothing() {
        let (attempt, secrets) = Attempt::begin(NOW);
        let stored = serde_json::to_string(&attempt).unwrap();
        let texts = [&secrets.state, &secrets.browser, &secrets.verifier(), &secrets.nonce()];
        assert!(texts.iter().all(|text| !stored.contains(text.as_str())), "{stored}");
        assert_ne!(secrets.verifier(), secrets.nonce());
        // The same browser at another attempt, and another browser with the same state.
        let (_, other) = Attempt::begin(NOW);
        for wrong in [
            Secrets::parse(&other.state, &secrets.browser).unwrap(),
            Secrets::parse(&secrets.state, &other.browser).unwrap(),
        ] {
            assert_ne!(wrong.verifier(), secrets.verifier());
            assert_ne!(wrong.nonce(), secrets.nonce());
        }
        assert_eq!(secrets.verifier().len(), 43);
    }

    #[test]
    fn what_was_not_made_here_is_no_secret() {
        let (_, secrets) = Attempt::begin(NOW);
        assert!(Secrets::parse(&secrets.state, &secrets.browser).is_some());
        for bad in ["", "x", &"a".repeat(44), &"ä".repeat(22), &"=".repeat(43)] {
            assert!(Secrets::parse(bad, &secrets.browser).is_none(), "{bad}");
            assert!(Secrets::parse(&secrets.state, bad).is_none(), "{bad}");
        }
    }
}
