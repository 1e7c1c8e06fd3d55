//! What was mailed to a person:   pk USER#<user>   sk MAILED   (gone an hour after the last mail)

use kernel::{Result, Time, UserId};
use table::{Key, Record, Table, TableName};

use super::{LIFETIME, Mailed};

impl Record for Mailed {
    const KIND: &'static str = "mailed";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.user)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.mails.last()?.at.plus_millis(LIFETIME))
    }
}

fn key(user: UserId) -> Key {
    Key::of(format!("USER#{user}"), "MAILED")
}

impl Mailed {
    /// What was mailed to this person, as it is now.
    pub(crate) async fn to(table: &Table, user: UserId) -> Result<Self> {
        let found = table.get(&key(user)).await?;
        Ok(found.unwrap_or_else(|| Self::nothing(user)))
    }
}
