//! A member:                      pk ORG#<org>            sk MEMBER#<user>
//! A person's, by organization:   gsi1pk USER#<user>#ORGS gsi1sk <org>

use kernel::policy::{LeaveOrg, ManageMembers, ReadMembers};
use kernel::{Error, OrgId, OrgRole, Permission, Result, Scope, Time, UserId};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{Member, MemberView, may_change};
use crate::org::Org;
use crate::user::{Login, User};

impl Record for Member {
    const KIND: &'static str = "member";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.org, self.user)
    }

    fn index1(&self) -> Option<Key> {
        Some(Key::of(of_user(self.user), self.org.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

pub(crate) fn key(org: OrgId, user: UserId) -> Key {
    Key::of(format!("ORG#{org}"), format!("MEMBER#{user}"))
}

fn of_user(user: UserId) -> String {
    format!("USER#{user}#ORGS")
}

/// The writes of a membership that goes from `old` to `new`: the member's, and the organization's if its number of
/// owners changes.
fn counted(mut org: Org, write: Write, old: Option<OrgRole>, new: Option<OrgRole>) -> Result<Vec<Write>> {
    let mut writes = vec![write];
    if org.count_owner(old, new)? {
        writes.push(Write::replace(&org)?);
    }
    Ok(writes)
}

impl Member {
    /// Reads one page of a person's memberships, by organization.
    pub(crate) async fn of_user(table: &Table, user: UserId, slice: Slice) -> Result<Page<Self>> {
        table.query(Query::slice(of_user(user), slice).index1()).await
    }

    /// Reads a member of the scope's organization; 404 if they are none.
    pub async fn load<P: Permission>(table: &Table, scope: &Scope<P>, user: UserId) -> Result<Self> {
        table
            .get(&key(scope.org(), user))
            .await?
            .ok_or(Error::NotFound("member"))
    }

    /// Reads one page of the organization's members, by when they registered.
    pub async fn list(table: &Table, scope: &Scope<ReadMembers>, slice: Slice) -> Result<Page<MemberView>> {
        let partition = key(scope.org(), UserId::from_bits(0)).pk;
        let page = table
            .query::<Self>(Query::slice(partition, slice).prefix("MEMBER#").consistent())
            .await?;
        let users = User::many(table, page.records.iter().map(|member| member.user)).await?;
        let view = |member: &Self| {
            let user = users.iter().find(|user| user.id == member.user)?;
            Some(MemberView::of(member, user.clone()))
        };
        Ok(Page {
            records: page.records.iter().filter_map(view).collect(),
            next: page.next,
        })
    }

    /// Shows this member.
    pub async fn view(&self, table: &Table) -> Result<MemberView> {
        let user = User::find(table, self.user).await?.ok_or(Error::NotFound("member"))?;
        Ok(MemberView::of(self, user))
    }

    /// Adds the registered person with this address, and notes it. 422 if there is none; 409 `already_member`.
    pub async fn add(
        table: &Table,
        now: Time,
        scope: &Scope<ManageMembers>,
        email: &str,
        role: OrgRole,
    ) -> Result<MemberView> {
        may_change(scope.role().ok_or(Error::Denied)?, None, Some(role))?;
        let user = registered(table, &email.to_lowercase()).await?;
        let member = Self::new(now, scope.org(), user.id, role);
        let change = Change::new(scope.user()?, "member.added", "member", user.id).to(json!({"role": role}));
        let writes = counted(
            Org::load(table, scope).await?,
            Write::create(&member)?,
            None,
            Some(role),
        )?;
        match trail::commit(table, now, Chain::Org(member.org), change, writes).await {
            Err(error) if error.failed(0) => Err(already_member()),
            done => {
                done?;
                Ok(MemberView::of(&member, user))
            }
        }
    }

    /// Gives the member another role and notes it; nothing happens if they have it already. 409 `last_owner`.
    pub async fn save_role(
        mut self,
        table: &Table,
        now: Time,
        scope: &Scope<ManageMembers>,
        role: OrgRole,
    ) -> Result<Self> {
        may_change(scope.role().ok_or(Error::Denied)?, Some(self.role), Some(role))?;
        let old = std::mem::replace(&mut self.role, role);
        if old == role {
            return Ok(self);
        }
        let change = Change::new(scope.user()?, "member.role_changed", "member", self.user);
        let change = change.from(json!({"role": old})).to(json!({"role": role}));
        let writes = counted(
            Org::load(table, scope).await?,
            Write::replace(&self)?,
            Some(old),
            Some(role),
        )?;
        trail::commit(table, now, Chain::Org(self.org), change, writes).await?;
        Ok(self)
    }

    /// Takes somebody else out and notes it. 409 `last_owner`.
    pub async fn remove(self, table: &Table, now: Time, scope: &Scope<ManageMembers>) -> Result<()> {
        may_change(scope.role().ok_or(Error::Denied)?, Some(self.role), None)?;
        self.end(table, now, scope, "member.removed").await
    }

    /// Takes the caller out and notes it. 409 `last_owner`.
    pub async fn leave(table: &Table, now: Time, scope: &Scope<LeaveOrg>) -> Result<()> {
        let member = Self::load(table, scope, scope.user()?).await?;
        member.end(table, now, scope, "member.left").await
    }

    async fn end<P: Permission>(self, table: &Table, now: Time, scope: &Scope<P>, action: &'static str) -> Result<()> {
        let change = Change::new(scope.user()?, action, "member", self.user).from(json!({"role": self.role}));
        let writes = counted(
            Org::load(table, scope).await?,
            Write::delete(&self),
            Some(self.role),
            None,
        )?;
        Ok(trail::commit(table, now, Chain::Org(self.org), change, writes).await?)
    }
}

/// The active person who is registered with this address.
async fn registered(table: &Table, email: &str) -> Result<User> {
    let nobody = || Error::invalid("email", "belongs to no registered user; ask them to register first");
    let login = Login::find(table, email).await?.ok_or_else(nobody)?;
    let user = User::find(table, login.user).await?;
    user.filter(User::is_active).ok_or_else(nobody)
}

fn already_member() -> Error {
    Error::refused("already_member", "this person is a member already")
}
