//! A person:            pk USER#<id>                    sk USER      gsi1pk USERS   gsi1sk <id>
//! Whose an address is: pk ADDRESS#password#<email>     sk ADDRESS   (who logs in with it by password)
//! In the table of logins:
//! A password:          pk LOGIN#password#<email>       sk LOGIN     (one person per way to log in and address)

use app::App;
use commit::Commit;
use kernel::policy::{EndSessions, ManageOwnAccount, ManageUsers, ReadStats};
use kernel::{Error, Permission, PlatformRole, Result, Scope, UserId};
use notifications::{Desk, Letter};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Tally, Write};
use trail::{Chain, Change, Noted, Subject};

use super::{User, UserStatus};
use crate::org::{COUNTED, MOST_PAGES};
use crate::recovery::{FORGOT_PAGE, telling};

impl Record for User {
    const KIND: &'static str = "user";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.id)
    }

    fn index1(&self) -> Option<Key> {
        Some(Key::of("USERS", self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

pub(crate) fn key(user: UserId) -> Key {
    Key::of(format!("USER#{user}"), "USER")
}

/// A password and whose it is. Its key makes an address unique.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    pub(crate) email: String,
    pub(crate) user: UserId,
    pub(crate) password_hash: String,
    #[serde(default)]
    version: u64,
}

impl Login {
    pub(crate) fn new(user: &User, password_hash: String) -> Self {
        Self {
            email: user.email.clone(),
            user: user.id,
            password_hash,
            version: 0,
        }
    }

    /// The login with this address, in lower case.
    pub(crate) async fn find(table: &Table, email: &str) -> Result<Option<Self>> {
        table.get(&login_key(email)).await
    }

    /// How a person logs in by password, if they do.
    pub(crate) async fn of(table: &Table, user: &User) -> Result<Option<Self>> {
        let login = Self::find(table, &user.email).await?;
        Ok(login.filter(|login| login.user == user.id))
    }
}

impl Record for Login {
    const KIND: &'static str = "login";
    const TABLE: TableName = TableName::Logins;

    fn key(&self) -> Key {
        login_key(&self.email)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn login_key(email: &str) -> Key {
    Key::of(format!("LOGIN#password#{email}"), "LOGIN")
}

/// Whose an address is, for those who may not read how they log in. Made with the login, never changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Address {
    email: String,
    pub(crate) user: UserId,
}

impl Address {
    pub(crate) fn of(user: &User) -> Self {
        Self {
            email: user.email.clone(),
            user: user.id,
        }
    }

    /// Who logs in by password with this address, in lower case.
    pub(crate) async fn find(table: &Table, email: &str) -> Result<Option<Self>> {
        table.get(&address_key(email)).await
    }
}

impl Record for Address {
    const KIND: &'static str = "address";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        address_key(&self.email)
    }
}

fn address_key(email: &str) -> Key {
    Key::of(format!("ADDRESS#password#{email}"), "ADDRESS")
}

/// Erases how a person logs in, and all that is kept of them alone but their record.
pub(crate) async fn forget(table: &Table, user: &User) -> Result<()> {
    if let Some(login) = Login::of(table, user).await? {
        table.write([Write::remove(&login)]).await?;
    }
    let address = Address::find(table, &user.email).await?;
    if let Some(address) = address.filter(|address| address.user == user.id) {
        table.write([Write::remove(&address)]).await?;
    }
    let Key { pk, sk } = user.key();
    table.clear(TableName::Identity, &pk, &[&sk]).await
}

impl User {
    /// Whoever has this id, for what happens before anybody is logged in.
    pub(crate) async fn find(table: &Table, id: UserId) -> Result<Option<Self>> {
        table.get(&key(id)).await
    }

    /// Reads the caller.
    pub async fn me(table: &Table, scope: &Scope<ManageOwnAccount>) -> Result<Self> {
        Self::find(table, scope.user()?).await?.ok_or(Error::NotFound("user"))
    }

    /// Whoever a job is for, if they may log in.
    pub async fn active(table: &Table, id: UserId) -> Result<Option<Self>> {
        Ok(Self::find(table, id).await?.filter(Self::is_active))
    }

    /// Reads one person; 404 if there is none.
    pub async fn load(table: &Table, _: &Scope<ManageUsers>, id: UserId) -> Result<Self> {
        Self::find(table, id).await?.ok_or(Error::NotFound("user"))
    }

    /// Reads one page of all people, in the order they registered.
    pub async fn list(table: &Table, _: &Scope<ManageUsers>, slice: Slice) -> Result<Page<Self>> {
        table.query(Query::slice("USERS", slice).index1()).await
    }

    /// Counts all people, by whether they may log in.
    pub async fn count(table: &Table, _: &Scope<ReadStats>) -> Result<Tally> {
        let all = Query::slice("USERS", COUNTED).index1();
        table.tally::<Self>(&all, "status", MOST_PAGES).await
    }

    /// Reads these people, in no order.
    pub(crate) async fn many(table: &Table, ids: impl Iterator<Item = UserId>) -> Result<Vec<Self>> {
        table.get_many(&ids.map(key).collect::<Vec<_>>(), false).await
    }

    /// Changes their role, notes it and tells them by mail; nothing happens if they have it already.
    pub async fn save_role(
        mut self,
        app: &App,
        desk: &Desk,
        by: &Scope<ManageUsers>,
        role: PlatformRole,
    ) -> Result<Self> {
        let (old, before) = (json!({"role": self.role}), self.clone());
        if self.set_role(by, role)? {
            if desk.needs_proof() {
                before.must_be_proved_for(role)?;
            }
            let change = self.changed_by(by, "user.role_changed");
            let commit = self.saved(app, by, change.from(old).to(json!({"role": role}))).await?;
            let letter = Letter::PlatformRoleChanged {
                name: self.name.as_str().into(),
                role: role.name().into(),
                changed_at: app.now(),
                link: desk.page(FORGOT_PAGE).into(),
            };
            telling(commit, desk, app.now(), &self, letter)?.await?;
        }
        Ok(self)
    }

    /// Lets them in or keeps them out and notes it; nothing happens if that is so already.
    pub async fn save_status(mut self, app: &App, by: &Scope<ManageUsers>, status: UserStatus) -> Result<Self> {
        let old = json!({"status": self.status});
        if self.set_status(by, status)? {
            let action = match status {
                UserStatus::Active => "user.reactivated",
                UserStatus::Deactivated => "user.deactivated",
            };
            let change = self.changed_by(by, action);
            self.save(app, by, change.from(old).to(json!({"status": status})))
                .await?;
        }
        Ok(self)
    }

    /// Ends all sessions of a person and notes it, each time; 404 if there is nobody with this id.
    pub async fn end_all_sessions(app: &App, by: &Scope<EndSessions>, id: UserId) -> Result<()> {
        let user = Self::find(&app.table, id).await?;
        let mut user = user.ok_or(Error::NotFound("user"))?;
        user.end_sessions();
        user.save(app, by, user.changed_by(by, "user.sessions_ended")).await
    }

    /// What the audit trail says of them: who they are, beside it.
    pub(crate) fn noted(&self, value: Value) -> Noted {
        Noted::about(Subject::of(self.id), value, &["email", "name"])
    }

    pub(crate) fn changed_by<P: Permission>(&self, by: &Scope<P>, action: &'static str) -> Change {
        Change::by(by.actor(), action, "user", self.id)
    }

    async fn save<P: Permission>(&self, app: &App, by: &Scope<P>, change: Change) -> Result<()> {
        Ok(self.saved(app, by, change).await?.await?)
    }

    /// What stores a change of a person by another, and notes it.
    pub(crate) async fn saved<'a, P: Permission>(
        &self,
        app: &'a App,
        by: &Scope<P>,
        change: Change,
    ) -> Result<Commit<'a>> {
        Ok(self.replaced_by(app, by).await?.note(Chain::User(self.id), change))
    }

    /// A commit that stores them, by somebody who is still who they were.
    pub(crate) async fn replaced_by<'a, P: Permission>(&self, app: &'a App, by: &Scope<P>) -> Result<Commit<'a>> {
        // Who acts must still be who they were when they asked: of two managers who demote each other, one is too late.
        let actor = Self::find(&app.table, by.user()?).await?.ok_or(Error::Denied)?;
        if actor.role != by.platform_role() || actor.status != UserStatus::Active {
            return Err(Error::Denied);
        }
        // Of who changes himself the write itself checks that.
        let another = (actor.id != self.id).then(|| Write::check(&actor));
        Ok(Commit::by(app, by)
            .write("user", Write::replace(self)?)
            .write_all("actor", another))
    }
}
