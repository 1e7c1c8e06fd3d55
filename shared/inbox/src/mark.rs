//! That a person was told of a cause.

use kernel::{NotificationId, OrgId, Result, Time, UserId};
use serde::{Deserialize, Serialize};
use table::{Key, Record, Table, TableName};

use crate::item::store::of_reader;

/// For so long: a fact may be told again for 30 days, and a job be done again for as long.
const KEPT: i64 = 35 * Time::DAY;

/// That a person was told of a cause, so that they are not told again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    org: OrgId,
    user: UserId,
    cause: String,
    at: Time,
}

impl Mark {
    pub(crate) fn of(org: OrgId, user: UserId, cause: &impl ToString, at: Time) -> Self {
        let cause = cause.to_string();
        Self { org, user, cause, at }
    }

    /// Whether they were told.
    pub(crate) async fn is_there(&self, table: &Table) -> Result<bool> {
        let found: Option<Self> = table.get(&self.key()).await?;
        Ok(found.is_some())
    }
}

impl Record for Mark {
    const KIND: &'static str = "notificationMark";
    const TABLE: TableName = TableName::Engagement;

    fn key(&self) -> Key {
        Key::of(of_reader(self.org, self.user), format!("TOLD#{}", self.cause))
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.at.plus_millis(KEPT))
    }
}

/// The id that follows from a cause and who is told of it: 48 bits of time, as every id has, and 80 bits of a hash.
pub(crate) fn id_of(cause: &str, org: OrgId, user: UserId, at: Time) -> NotificationId {
    let text = format!("notification\0{cause}\0{org}\0{user}");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let random = hash
        .as_ref()
        .iter()
        .take(10)
        .fold(0, |bits, byte| bits << 8 | u128::from(*byte));
    let millis = u128::try_from(at.millis()).unwrap_or(0) & ((1 << 48) - 1);
    NotificationId::from_bits(millis << 80 | random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_one_id_for_each_who_is_told() {
        let (org, at) = (OrgId::from_bits(1), Time::from_millis(1_800_000_000_000));
        let id = |cause: &str, org, user| id_of(cause, org, UserId::from_bits(user), at);
        assert_eq!(id("a", org, 1), id("a", org, 1));
        assert_eq!(id("a", org, 1).time(), at);
        for other in [id("b", org, 1), id("a", OrgId::from_bits(2), 1), id("a", org, 2)] {
            assert_ne!(other, id("a", org, 1));
        }
    }
}
