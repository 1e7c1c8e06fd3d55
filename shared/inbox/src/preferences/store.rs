//! Where preferences lie.
//!
//! One person's:   pk ORG#<org>#READER#<user>   sk PREFERENCES

use app::App;
use commit::{Commit, NotDone, again};
use kernel::policy::{ManageNotifications, ReadNotifications};
use kernel::{Actor, OrgId, Origin, Result, Scope, UserId};
use notifications::Topic;
use serde_json::{Value, json};
use table::{Key, Record, Table, TableName, Write};
use trail::{Chain, Change};

use super::{Preferences, PreferencesInput, PreferencesView, Way, When};
use crate::digest::{Digest, Waiting};
use crate::item::store::of_reader;

impl Record for Preferences {
    const KIND: &'static str = "notificationPreferences";
    const TABLE: TableName = TableName::Engagement;

    fn key(&self) -> Key {
        key(self.org, self.user)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(org: OrgId, user: UserId) -> Key {
    Key::of(of_reader(org, user), "PREFERENCES")
}

impl Preferences {
    /// Somebody's, as they are now.
    pub(crate) async fn find(table: &Table, org: OrgId, user: UserId) -> Result<Self> {
        let found = table.get(&key(org, user)).await?;
        Ok(found.unwrap_or_else(|| Self::of_nobody(org, user)))
    }

    /// Whether somebody has ever set any.
    pub(crate) async fn are_set(table: &Table, org: OrgId, user: UserId) -> Result<bool> {
        let found: Option<Self> = table.get(&key(org, user)).await?;
        Ok(found.is_some())
    }

    /// Those of these people, in their order.
    pub(crate) async fn many(table: &Table, org: OrgId, users: &[UserId]) -> Result<Vec<Self>> {
        let keys: Vec<Key> = users.iter().map(|user| key(org, *user)).collect();
        let found: Vec<Self> = table.get_many(&keys, true).await?;
        let of = |user: &UserId| {
            let set = found.iter().find(|preferences| preferences.user == *user);
            set.cloned().unwrap_or_else(|| Self::of_nobody(org, *user))
        };
        Ok(users.iter().map(of).collect())
    }

    /// Reads the caller's.
    pub async fn own(table: &Table, scope: &Scope<ReadNotifications>) -> Result<Self> {
        Self::find(table, scope.org(), scope.user()?).await
    }

    /// Sets the caller's and notes it; nothing happens if they are so already. What waits for a digest waits for one that is due
    /// as they say now.
    pub async fn set(app: &App, scope: &Scope<ManageNotifications>, input: &PreferencesInput) -> Result<Self> {
        let (org, user) = (scope.org(), scope.user()?);
        again(|| async {
            let old = Self::find(&app.table, org, user).await?;
            let mut new = old.clone();
            input.apply(&mut new)?;
            if new == old {
                return Ok(new);
            }
            let change = Change::by(scope.actor(), "notification_preferences.updated", "member", user);
            let change = change.from(shown(&old)).to(shown(&new));
            let commit = Commit::by(app, scope).note(Chain::Org(org), change);
            new.saved(app, commit).await
        })
        .await
    }

    /// Turns mail about a topic off for somebody who says so by a link, and notes it; nothing happens if it is.
    pub(crate) async fn unsubscribe(app: &App, origin: &Origin, org: OrgId, user: UserId, topic: Topic) -> Result<()> {
        again(|| async {
            let mut preferences = Self::find(&app.table, org, user).await?;
            if !preferences.turn_off_mail(topic) {
                return Ok(());
            }
            let change = Change::by(
                Actor::User(user),
                "notification_preferences.unsubscribed",
                "member",
                user,
            );
            let commit = Commit::of(app, origin).note(Chain::Org(org), change.to(json!({"topic": topic})));
            preferences.saved(app, commit).await.map(|_| ())
        })
        .await
    }

    /// Stores them, and moves what waits to when it is due now.
    async fn saved(self, app: &App, mut commit: Commit<'_>) -> Result<Self, NotDone> {
        let now = app.now();
        for mut waiting in Waiting::all_of(&app.table, self.org, self.user).await? {
            let due = match self.when(waiting.topic, Way::Email, now) {
                When::Digest(due) | When::After(due) => due,
                // Whoever turns it off is mailed nothing: that is found out when it is due.
                When::Now | When::Never => now,
            };
            // What is overdue is mailed as it was: its job is on its way.
            let is_overdue = waiting.due_at.is_some_and(|old| old <= now);
            if !is_overdue && waiting.wait_until(due) {
                commit = commit
                    .write("digest", Write::save(&waiting)?)
                    .later(&Digest::of(&waiting, due), due)?;
            }
        }
        commit.write("preferences", Write::save(&self)?).await?;
        Ok(self)
    }
}

/// What the audit trail says of them.
fn shown(preferences: &Preferences) -> Value {
    json!(PreferencesView::from(preferences.clone()))
}
