//! Where digests wait.
//!
//! One about a topic, and a person's:   pk ORG#<org>#READER#<user>   sk DIGEST#<topic>

use kernel::{OrgId, Result, UserId};
use notifications::Topic;
use table::{Key, Query, Record, Table, TableName};

use super::Waiting;
use crate::item::store::of_reader;

/// What the places of digests begin with.
const PLACE: &str = "DIGEST#";
/// More than there are topics.
const ALL: u16 = 20;

impl Record for Waiting {
    const KIND: &'static str = "digest";
    const TABLE: TableName = TableName::Engagement;

    fn key(&self) -> Key {
        key(self.org, self.user, self.topic)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(org: OrgId, user: UserId, topic: Topic) -> Key {
    Key::of(of_reader(org, user), format!("{PLACE}{topic}"))
}

impl Waiting {
    /// What waits about a topic.
    pub(crate) async fn find(table: &Table, org: OrgId, user: UserId, topic: Topic) -> Result<Self> {
        let found = table.get(&key(org, user, topic)).await?;
        Ok(found.unwrap_or_else(|| Self::of(org, user, topic)))
    }

    /// All that waits for a person.
    pub(crate) async fn all_of(table: &Table, org: OrgId, user: UserId) -> Result<Vec<Self>> {
        let query = Query::of(of_reader(org, user), ALL).prefix(PLACE).consistent();
        Ok(table.query(query).await?.records)
    }
}
