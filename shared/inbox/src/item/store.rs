//! Where items lie.
//!
//! One item, and a person's:   pk ORG#<org>#READER#<user>   sk ITEM#<ntf>
//! Not read:                   gsi1pk ORG#<org>#UNREAD#<user>   gsi1sk <ntf>

use app::App;
use kernel::policy::{LeaveOrg, ManageNotifications, ReadNotifications};
use kernel::{Error, NotificationId, OrgId, Result, Scope, Time, UserId};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};

use super::{Item, KEPT};

/// What the places of items begin with.
const PLACE: &str = "ITEM#";

impl Record for Item {
    const KIND: &'static str = "notification";
    const TABLE: TableName = TableName::Engagement;

    fn key(&self) -> Key {
        key(self.org, self.user, self.id)
    }

    fn index1(&self) -> Option<Key> {
        let unread = self.read_at.is_none();
        unread.then(|| Key::of(unread_of(self.org, self.user), self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.id.time().plus_millis(KEPT))
    }
}

/// The partition of all that is stored of one person's notifications in one organization.
pub(crate) fn of_reader(org: OrgId, user: UserId) -> String {
    format!("ORG#{org}#READER#{user}")
}

fn unread_of(org: OrgId, user: UserId) -> String {
    format!("ORG#{org}#UNREAD#{user}")
}

fn key(org: OrgId, user: UserId, id: NotificationId) -> Key {
    Key::of(of_reader(org, user), format!("{PLACE}{id}"))
}

/// The least id of a moment.
fn first_at(moment: Time) -> NotificationId {
    NotificationId::from_bits(u128::try_from(moment.millis()).unwrap_or(0) << 80)
}

impl Item {
    /// Reads one page of what the caller was told, newest first: all of it, or what they have not read.
    pub async fn list(app: &App, scope: &Scope<ReadNotifications>, unread: bool, slice: Slice) -> Result<Page<Self>> {
        let (org, user) = (scope.org(), scope.user()?);
        // What is over may still lie there, and what comes with a digest lies there before it.
        let (oldest, end) = (
            first_at(app.now().plus_millis(1 - KEPT)),
            first_at(app.now().plus_millis(1)),
        );
        let query = if unread {
            let (first, last) = (oldest.to_string(), end.to_string());
            Query::slice(unread_of(org, user), slice).index1().between(first, last)
        } else {
            let (first, last) = (format!("{PLACE}{oldest}"), format!("{PLACE}{end}"));
            Query::slice(of_reader(org, user), slice)
                .between(first, last)
                .consistent()
        };
        app.table.query(query.descending()).await
    }

    /// Notes that the caller has read it; nothing happens if they had. 404 if they were told no such thing.
    pub async fn read(app: &App, scope: &Scope<ManageNotifications>, id: NotificationId) -> Result<Self> {
        let key = key(scope.org(), scope.user()?, id);
        let item: Option<Self> = app.table.get(&key).await?;
        let mut item = item
            .filter(|item| item.is_seen(app.now()))
            .ok_or(Error::NotFound("notification"))?;
        if item.read_at.is_none() {
            item.read_at = Some(app.now());
            // Who meets another writer finds it read: nothing else is ever changed.
            match app.table.write([Write::replace(&item)?]).await {
                Err(error) if !error.failed(0) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(item)
    }

    fn is_seen(&self, now: Time) -> bool {
        let since = self.id.time();
        since <= now && now < since.plus_millis(KEPT)
    }
}

/// Forgets all that one person was told in an organization, and how they wanted to be told.
pub async fn forget(table: &Table, scope: &Scope<LeaveOrg>, user: UserId) -> Result<()> {
    table
        .clear(TableName::Engagement, &of_reader(scope.org(), user), &[])
        .await
}
