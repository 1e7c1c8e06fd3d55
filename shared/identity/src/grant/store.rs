//! A grant:              pk ORG#<org>                              sk GRANT#<id>
//! Those of a project:   gsi1pk ORG#<org>#PROJECT#<project>#GRANTS gsi1sk <id>   (a resource of another kind by its name)
//!
//! The member's record says of each grant what the guard needs; both change in one transaction, and end together.

use std::cmp::Reverse;

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::ManageGrants;
use kernel::{Error, GrantId, OrgId, Resource, Result, Scope, UserId};
use serde_json::{Value, json};
use table::{Key, Page, Position, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{Grant, GrantView, NewGrant, Wanted};
use crate::member::Member;
use crate::project::Project;

impl Record for Grant {
    const KIND: &'static str = "grant";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn index1(&self) -> Option<Key> {
        Some(Key::of(of_resource(self.org, self.resource), self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(org: OrgId, grant: GrantId) -> Key {
    Key::of(format!("ORG#{org}"), format!("GRANT#{grant}"))
}

fn of_resource(org: OrgId, resource: Resource) -> String {
    let kind = match resource {
        Resource::Project(_) => "PROJECT",
    };
    format!("ORG#{org}#{kind}#{resource}#GRANTS")
}

/// Reads all grants of a member, newest first; bounded by how many one may have.
pub(crate) async fn of_member(table: &Table, member: &Member) -> Result<Vec<Grant>> {
    let keys: Vec<Key> = member.grants.iter().map(|held| key(member.org, held.id)).collect();
    let mut grants = table.get_many::<Grant>(&keys, true).await?;
    grants.sort_by_key(|grant| Reverse(grant.id));
    Ok(grants)
}

/// What the audit trail says of a grant.
fn noted(grant: &Grant) -> Value {
    json!({
        "userId": grant.user,
        "resourceType": grant.resource.kind(),
        "resourceId": grant.resource,
        "role": grant.role,
    })
}

impl Grant {
    /// Gives a member a role in a resource and notes it. 404 if the organization has no such member or resource; 403 for
    /// a role above the caller's own; 409 `already_granted` or `too_many_grants`.
    pub async fn create(app: &App, scope: &Scope<ManageGrants>, new: &NewGrant) -> Result<GrantView> {
        may_manage(scope, new.role)?;
        match new.resource() {
            Resource::Project(project) => Project::load(&app.table, scope, project).await?,
        };
        again(|| async {
            let mut member = Member::load(&app.table, scope, new.user_id).await?;
            let grant = Self::new(app.now(), scope.user()?, &mut member, new)?;
            let change = Change::by(scope.actor(), "grant.created", "grant", grant.id).to(noted(&grant));
            let view = GrantView::from(grant.clone());
            Commit::by(app, scope)
                .write("member", Write::replace(&member)?)
                .write("grant", Write::create(&grant)?)
                .note(Chain::Org(grant.org), change)
                .reply(Reply::created(&view)?)
                .await?;
            Ok(view)
        })
        .await
    }

    /// Takes a grant away and notes it; 404 if there is none with this id, 403 if its role is above the caller's own.
    pub async fn revoke(app: &App, scope: &Scope<ManageGrants>, id: GrantId) -> Result<()> {
        again(|| async {
            let grant = app.table.get::<Self>(&key(scope.org(), id)).await?;
            let grant = grant.ok_or(Error::NotFound("grant"))?;
            may_manage(scope, grant.role)?;
            let mut member = Member::load(&app.table, scope, grant.user).await?;
            member.grants.retain(|held| held.id != id);
            let change = Change::by(scope.actor(), "grant.revoked", "grant", id).from(noted(&grant));
            Commit::by(app, scope)
                .write("member", Write::replace(&member)?)
                .write("grant", Write::delete(&grant))
                .note(Chain::Org(grant.org), change)
                .await
        })
        .await
    }

    /// Reads one page of the organization's grants, newest first.
    pub async fn list(table: &Table, scope: &Scope<ManageGrants>, wanted: Wanted, slice: Slice) -> Result<Page<Self>> {
        let org = scope.org();
        match (wanted.user, wanted.resource) {
            (Some(user), resource) => of_user(table, scope, user, resource, slice).await,
            (None, Some(resource)) => {
                let query = Query::slice(of_resource(org, resource), slice).index1();
                table.query(query.descending()).await
            }
            (None, None) => {
                let query = Query::slice(format!("ORG#{org}"), slice).prefix("GRANT#");
                table.query(query.descending().consistent()).await
            }
        }
    }
}

/// One page of what one person was granted; empty if they are no member.
async fn of_user(
    table: &Table,
    scope: &Scope<ManageGrants>,
    user: UserId,
    resource: Option<Resource>,
    slice: Slice,
) -> Result<Page<Grant>> {
    let mut records = match Member::load(table, scope, user).await {
        Ok(member) => of_member(table, &member).await?,
        Err(Error::NotFound(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    records.retain(|grant| resource.is_none_or(|resource| grant.resource == resource));
    if let Some(after) = slice.after.as_ref().and_then(|position| position.get("id")) {
        records.retain(|grant| grant.id.to_string() < *after);
    }
    let more = records.len() > usize::from(slice.limit);
    records.truncate(usize::from(slice.limit));
    let position = |last: &Grant| Position::from([("id".to_owned(), last.id.to_string())]);
    let next = records.last().filter(|_| more).map(position);
    Ok(Page { records, next })
}

/// Fails unless the caller may give and take away this role.
fn may_manage(scope: &Scope<ManageGrants>, role: kernel::OrgRole) -> Result<()> {
    let by = scope.role().ok_or(Error::Denied)?;
    if by.may_manage(role) {
        Ok(())
    } else {
        Err(Error::Denied)
    }
}
