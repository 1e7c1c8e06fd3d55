//! In the table of logins:
//!
//! An attempt:      pk ATTEMPT#<hash of the state>   sk ATTEMPT    (gone when it is finished)
//! Whose it is:     pk LOGIN#google#<email>          sk LOGIN      (one person per provider and address)

use kernel::{Result, Time, UserId};
use serde::{Deserialize, Serialize};
use table::{Key, Record, Table, TableName, Write};

use super::attempt::{Attempt, Secrets};
use super::provider::Account;
use crate::user::User;

/// What logins by this way are called, whichever issuer is configured.
pub(super) const PROVIDER: &str = "google";

impl Record for Attempt {
    const KIND: &'static str = "loginAttempt";
    const TABLE: TableName = TableName::Logins;

    fn key(&self) -> Key {
        attempt_key(&self.state)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.until)
    }
}

fn attempt_key(state_hash: &str) -> Key {
    Key::of(format!("ATTEMPT#{state_hash}"), "ATTEMPT")
}

/// The attempt with this state, whoever began it.
pub(super) async fn find(table: &Table, secrets: &Secrets) -> Result<Option<Attempt>> {
    table.get(&attempt_key(&secrets.state_hash())).await
}

/// Whose an account of the provider is. Its key makes an address unique.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GoogleLogin {
    email: String,
    pub(super) user: UserId,
    issuer: String,
    subject: String,
    #[serde(default)]
    version: u64,
}

impl GoogleLogin {
    pub(super) fn new(user: &User, account: &Account) -> Self {
        Self {
            email: user.email.clone(),
            user: user.id,
            issuer: account.issuer.clone(),
            subject: account.subject.clone(),
            version: 0,
        }
    }

    /// Whether it is this very account, and not one that was given the same address later.
    pub(super) fn is_of(&self, account: &Account) -> bool {
        (&self.issuer, &self.subject) == (&account.issuer, &account.subject)
    }

    /// The login with this address, in lower case.
    pub(super) async fn find(table: &Table, email: &str) -> Result<Option<Self>> {
        table.get(&login_key(email)).await
    }
}

impl Record for GoogleLogin {
    const KIND: &'static str = "googleLogin";
    const TABLE: TableName = TableName::Logins;

    fn key(&self) -> Key {
        login_key(&self.email)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// How a person logs in by the provider, if they do.
async fn of(table: &Table, user: &User) -> Result<Option<GoogleLogin>> {
    let login = GoogleLogin::find(table, &user.email).await?;
    Ok(login.filter(|login| login.user == user.id))
}

/// Whether a person logs in by the provider.
pub(crate) async fn logs_in(table: &Table, user: &User) -> Result<bool> {
    Ok(of(table, user).await?.is_some())
}

/// Erases how a person logs in by the provider, if they do.
pub(crate) async fn forget(table: &Table, user: &User) -> Result<()> {
    if let Some(login) = of(table, user).await? {
        table.write([Write::remove(&login)]).await?;
    }
    Ok(())
}

fn login_key(email: &str) -> Key {
    Key::of(format!("LOGIN#{PROVIDER}#{email}"), "LOGIN")
}
