//! A person's subscriptions:   pk USER#<user>#PUSH   sk PUSH

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::ManageOwnAccount;
use kernel::seal::KeyId;
use kernel::{Error, Origin, PushSubscriptionId, Result, Scope, UserId};
use outbound::AllowList;
use serde_json::json;
use table::{Key, Record, Table, TableName, Write};
use trail::{Chain, Change};

use super::{NewSubscription, SubscriptionView, Subscriptions};

const NAME: &str = "push subscription";

impl Record for Subscriptions {
    const KIND: &'static str = "pushSubscriptions";
    const TABLE: TableName = TableName::Engagement;

    fn key(&self) -> Key {
        key(self.user)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(user: UserId) -> Key {
    Key::of(format!("USER#{user}#PUSH"), "PUSH")
}

impl Subscriptions {
    /// Reads those of a person, for what is sent to them.
    pub async fn of(table: &Table, user: UserId) -> Result<Self> {
        let found = table.get(&key(user)).await?;
        Ok(found.unwrap_or_else(|| Self::none(user)))
    }

    /// Shows the caller's that count with this number of their sessions, oldest first.
    pub async fn list(table: &Table, scope: &Scope<ManageOwnAccount>, epoch: u32) -> Result<Vec<SubscriptionView>> {
        let all = Self::of(table, scope.user()?).await?;
        Ok(all.of_epoch(epoch).map(SubscriptionView::from).collect())
    }

    /// Adds one to the caller's, signed for by this key of ours, and notes it; the same address twice is one. It counts as long as
    /// the number of their sessions is this. 422 for an address that may not be called; 409 `too_many_push_subscriptions`.
    pub async fn subscribe(
        app: &App,
        scope: &Scope<ManageOwnAccount>,
        new: &NewSubscription,
        (signed_by, epoch): (KeyId, u32),
        allow: &AllowList,
    ) -> Result<SubscriptionView> {
        new.must_be_callable(allow)?;
        let user = scope.user()?;
        again(|| async {
            let mut all = Self::of(&app.table, user).await?;
            let view = SubscriptionView::from(all.add(app.now(), new, signed_by, epoch)?);
            let change = Change::by(scope.actor(), "push_subscription.created", "push_subscription", view.id);
            Commit::by(app, scope)
                .write("push subscriptions", Write::save(&all)?)
                .note(Chain::User(user), change.to(json!({"server": view.server})))
                .reply(Reply::created(&view)?)
                .await?;
            Ok(view)
        })
        .await
    }

    /// Deletes one of the caller's and notes it; 404 if they have none with this id.
    pub async fn unsubscribe(app: &App, scope: &Scope<ManageOwnAccount>, id: PushSubscriptionId) -> Result<()> {
        let user = scope.user()?;
        again(|| async {
            let mut all = Self::of(&app.table, user).await?;
            if !all.take_out(id) {
                return Err(Error::NotFound(NAME).into());
            }
            let change = Change::by(scope.actor(), "push_subscription.deleted", "push_subscription", id);
            Commit::by(app, scope)
                .write("push subscriptions", Write::save(&all)?)
                .note(Chain::User(user), change)
                .reply(Reply::no_content())
                .await
        })
        .await
    }

    /// Forgets one whose push service says that it is no more; nothing happens if it was forgotten.
    pub async fn forget(app: &App, origin: &Origin, user: UserId, id: PushSubscriptionId) -> Result<()> {
        again(|| async {
            let mut all = Self::of(&app.table, user).await?;
            if !all.take_out(id) {
                return Ok(());
            }
            Commit::of(app, origin)
                .write("push subscriptions", Write::save(&all)?)
                .await
        })
        .await
    }

    /// Forgets all of somebody who is erased.
    pub async fn erase(table: &Table, user: UserId) -> Result<()> {
        Ok(table.write([Write::remove(&Self::none(user))]).await?)
    }
}
