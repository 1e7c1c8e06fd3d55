//! In the table of logins:
//!
//! A person's factors:   pk FACTORS#<user>               sk FACTORS
//! A challenge:          pk CHALLENGE#<hash of it>       sk CHALLENGE   (gone when it was met, or five minutes later)

use kernel::{Result, Time, UserId};
use table::{Key, Record, Table, TableName};

use super::Factors;
use super::challenge::{Challenge, ChallengeToken};

impl Record for Factors {
    const KIND: &'static str = "factors";
    const TABLE: TableName = TableName::Logins;

    fn key(&self) -> Key {
        key(self.user)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(user: UserId) -> Key {
    Key::of(format!("FACTORS#{user}"), "FACTORS")
}

impl Factors {
    /// This person's, as they are now.
    pub(crate) async fn of(table: &Table, user: UserId) -> Result<Self> {
        let found = table.get(&key(user)).await?;
        Ok(found.unwrap_or_else(|| Self::none(user)))
    }
}

impl Record for Challenge {
    const KIND: &'static str = "loginChallenge";
    const TABLE: TableName = TableName::Logins;

    fn key(&self) -> Key {
        challenge_key(&self.hash)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.until)
    }
}

fn challenge_key(hash: &str) -> Key {
    Key::of(format!("CHALLENGE#{hash}"), "CHALLENGE")
}

impl Challenge {
    /// The challenge with this text.
    pub(super) async fn find(table: &Table, token: &ChallengeToken) -> Result<Option<Self>> {
        table.get(&challenge_key(&token.hash())).await
    }
}
