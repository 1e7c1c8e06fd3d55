//! The first manager of a platform: whoever logs in with the address and the password that the deployment names, as
//! long as nobody has that address yet.

use aws_lc_rs::digest::{SHA256, digest};
use kernel::{Check, Result};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use table::{Key, Record, Table, TableName};

use crate::password;

/// Who may become the first manager.
#[derive(Clone)]
pub struct Bootstrap {
    email: String,
    password: String,
}

impl Bootstrap {
    /// Nobody may.
    pub fn nobody() -> Self {
        Self::known("", "")
    }

    /// Whoever knows this password; nobody, if it or the address is empty, or if it is one that others would try: a first
    /// manager has every power.
    pub fn known(email: &str, password: &str) -> Self {
        if !password.is_empty() && !is_good(email, password) {
            tracing::error!(
                "the first manager's password is too short, common, or made of their address: it lets nobody in"
            );
            return Self::known(email, "");
        }
        Self {
            email: email.to_lowercase(),
            password: password::normal(password),
        }
    }

    /// Whether this is the first manager's address, in lower case.
    pub(crate) fn is(&self, email: &str) -> bool {
        !self.email.is_empty() && self.email == email
    }

    /// Whether this is the first manager's password. Takes the same time for any wrong one of its length.
    pub(crate) fn accepts(&self, password: &str) -> bool {
        let given = password::normal(password);
        !self.password.is_empty() && bool::from(self.password.as_bytes().ct_eq(given.as_bytes()))
    }
}

/// Whether a password keeps the rules of every new one.
fn is_good(email: &str, password: &str) -> bool {
    let mut check = Check::default();
    password::check(&mut check, "password", password);
    check.done().is_ok() && password::must_be_hard_to_guess("password", password, email, "").is_ok()
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap").finish_non_exhaustive()
    }
}

/// That the first manager of an address was made: that happens once, also if they are erased. Known by the hash of the address.
///
/// In the table of logins: pk `BOOTSTRAP#<hash>`, sk `MADE`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    address: String,
}

impl Record for Made {
    const KIND: &'static str = "firstManager";
    const TABLE: TableName = TableName::Logins;

    fn key(&self) -> Key {
        Key::of(format!("BOOTSTRAP#{}", self.address), "MADE")
    }

    fn version(&self) -> u64 {
        0
    }
}

impl Made {
    pub(crate) fn of(email: &str) -> Self {
        Self {
            address: hex::encode(digest(&SHA256, email.as_bytes())),
        }
    }

    pub(crate) async fn there(table: &Table, email: &str) -> Result<bool> {
        Ok(table.get::<Self>(&Self::of(email).key()).await?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_person_is_the_first_manager() {
        let bootstrap = Bootstrap::known("Boss@Example.com", "a long password");
        assert!(bootstrap.is("boss@example.com") && !bootstrap.is("other@example.com"));
        assert!(bootstrap.accepts("a long password"));
        for bad in ["password", "short", "boss@example.com", "aaaaaaaaaaaa"] {
            assert!(!Bootstrap::known("Boss@Example.com", bad).accepts(bad), "{bad}");
        }
        assert!(!bootstrap.accepts("a long passwore"));
        assert!(Bootstrap::known("a@b.co", "e\u{301}te\u{301} 2026").accepts("\u{E9}t\u{E9} 2026"));
        assert!(!Bootstrap::nobody().is("") && !Bootstrap::nobody().accepts(""));
        assert!(!Bootstrap::known("a@b.co", "").accepts(""));
    }
}
