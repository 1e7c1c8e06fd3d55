//! A person's devices:   pk USER#<user>   sk DEVICES

use kernel::{Result, UserId};
use table::{Key, Record, Table, TableName};

use super::Devices;

impl Record for Devices {
    const KIND: &'static str = "devices";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.user)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(user: UserId) -> Key {
    Key::of(format!("USER#{user}"), "DEVICES")
}

impl Devices {
    /// What is known of this person's devices.
    pub(crate) async fn of(table: &Table, user: UserId) -> Result<Self> {
        let found = table.get(&key(user)).await?;
        Ok(found.unwrap_or_else(|| Self::none(user)))
    }
}
