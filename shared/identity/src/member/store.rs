//! A member:                      pk ORG#<org>            sk MEMBER#<user>
//! A person's, by organization:   gsi1pk USER#<user>#ORGS gsi1sk <org>

use app::App;
use commit::{Commit, again};
use kernel::policy::{LeaveOrg, ManageMembers, ReadMembers};
use kernel::{Error, OrgId, OrgRole, OrgWide, Result, Scope, UserId};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{Member, MemberView, may_change};
use crate::grant;
use crate::org::Org;
use crate::user::{Address, User};

/// Members are read in pages of this many.
const PAGE: u16 = 100;

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

/// Who has an address, as an organization sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// A member.
    Member(UserId),
    /// Somebody who is registered, and no member.
    Other(UserId),
    /// Nobody.
    Nobody,
}

impl Member {
    /// Reads one page of a person's memberships, by organization.
    pub(crate) async fn of_user(table: &Table, user: UserId, slice: Slice) -> Result<Page<Self>> {
        table.query(Query::slice(of_user(user), slice).index1()).await
    }

    /// Reads a member of the scope's organization; 404 if they are none.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>, user: UserId) -> Result<Self> {
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

    /// Reads all members of the organization who have one of these roles.
    pub async fn in_roles(table: &Table, scope: &Scope<ReadMembers>, roles: &[OrgRole]) -> Result<Vec<MemberView>> {
        let mut members = table::whole(PAGE, |slice| Self::list(table, scope, slice)).await?;
        members.retain(|member| roles.contains(&member.role));
        Ok(members)
    }

    /// Who has this address. Whoever logs in by a provider alone is found among the members only, which are read for that.
    pub async fn with_address(table: &Table, scope: &Scope<ReadMembers>, address: &str) -> Result<Addressee> {
        let known = Address::find(table, &address.to_lowercase())
            .await?
            .map(|known| known.user);
        if let Some(user) = known {
            let member: Option<Self> = table.get(&key(scope.org(), user)).await?;
            if member.is_some() {
                return Ok(Addressee::Member(user));
            }
        }
        let members = table::whole(PAGE, |slice| Self::list(table, scope, slice)).await?;
        let has = |member: &&MemberView| member.email.eq_ignore_ascii_case(address);
        Ok(match (members.iter().find(has), known) {
            (Some(member), _) => Addressee::Member(member.user_id),
            (None, Some(user)) => Addressee::Other(user),
            (None, None) => Addressee::Nobody,
        })
    }

    /// Whether somebody is a member of the organization and may log in.
    pub async fn is_active(table: &Table, scope: &Scope<ReadMembers>, user: UserId) -> Result<bool> {
        let key = key(scope.org(), user);
        let (member, user) = tokio::try_join!(table.get::<Self>(&key), User::find(table, user))?;
        Ok(member.is_some() && user.is_some_and(|user| user.is_active()))
    }

    /// Shows this member.
    pub async fn view(&self, table: &Table) -> Result<MemberView> {
        let user = User::find(table, self.user).await?.ok_or(Error::NotFound("member"))?;
        Ok(MemberView::of(self, user))
    }

    /// Gives a member another role and notes it; nothing happens if they have it already. 409 `last_owner`.
    pub async fn set_role(app: &App, scope: &Scope<ManageMembers>, user: UserId, role: OrgRole) -> Result<Self> {
        again(|| async {
            let mut member = Self::load(&app.table, scope, user).await?;
            may_change(scope.role().ok_or(Error::Denied)?, Some(member.role), Some(role))?;
            let old = std::mem::replace(&mut member.role, role);
            if old == role {
                return Ok(member);
            }
            let change = Change::by(scope.actor(), "member.role_changed", "member", user);
            let change = change.from(json!({"role": old})).to(json!({"role": role}));
            Commit::by(app, scope)
                .write("member", Write::replace(&member)?)
                .write_all("org", recounted(app, scope, Some(old), Some(role)).await?)
                .note(Chain::Org(member.org), change)
                .await?;
            Ok(member)
        })
        .await
    }

    /// Takes somebody else out and notes it. 409 `last_owner`.
    pub async fn remove(app: &App, scope: &Scope<ManageMembers>, user: UserId) -> Result<()> {
        let by = scope.role().ok_or(Error::Denied)?;
        end(app, scope, user, "member.removed", |role| {
            may_change(by, Some(role), None)
        })
        .await
    }

    /// Takes somebody out for what happens to their account, and notes it. 409 `last_owner`.
    pub(crate) async fn take_out(app: &App, scope: &Scope<LeaveOrg>, user: UserId) -> Result<()> {
        end(app, scope, user, "member.left", |_| Ok(())).await
    }

    /// Whether nobody else is a member of the organization.
    pub(crate) async fn is_alone(&self, table: &Table) -> Result<bool> {
        let query = Query::of(self.key().pk, 2).prefix("MEMBER#").consistent();
        let page = table.query::<Self>(query).await?;
        Ok(page.records.iter().all(|member| member.user == self.user))
    }

    /// Takes the caller out and notes it. 409 `last_owner`.
    pub async fn leave(app: &App, scope: &Scope<LeaveOrg>) -> Result<()> {
        end(app, scope, scope.user()?, "member.left", |_| Ok(())).await
    }
}

/// Ends a membership, and with it its grants. 409 `last_owner`.
pub(crate) async fn end<P: OrgWide>(
    app: &App,
    scope: &Scope<P>,
    user: UserId,
    action: &'static str,
    may_end: impl Fn(OrgRole) -> Result<()>,
) -> Result<()> {
    again(|| async {
        let member = Member::load(&app.table, scope, user).await?;
        may_end(member.role)?;
        let grants = grant::of_member(&app.table, &member).await?;
        let ids: Vec<_> = grants.iter().map(|grant| grant.id).collect();
        let mut old = json!({"role": member.role});
        if !ids.is_empty() {
            old["grants"] = json!(ids);
        }
        Commit::by(app, scope)
            .write("member", Write::delete(&member))
            .write_all("grant", grants.iter().map(Write::delete))
            .write_all("org", recounted(app, scope, Some(member.role), None).await?)
            .note(
                Chain::Org(member.org),
                Change::by(scope.actor(), action, "member", user).from(old),
            )
            .await
    })
    .await
}

/// What counts the owners in the organization when a membership goes from `old` to `new`, if their number changes.
async fn recounted<P: OrgWide>(
    app: &App,
    scope: &Scope<P>,
    old: Option<OrgRole>,
    new: Option<OrgRole>,
) -> Result<Option<Write>> {
    let mut org = Org::load(&app.table, scope).await?;
    let changed = org.count_owner(old, new)?;
    changed.then(|| Write::replace(&org)).transpose()
}
