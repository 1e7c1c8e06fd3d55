//! An organization:   pk ORG#<org>   sk ORG   (its members, projects and everything else begin with ORG#<org> too)

use app::App;
use commit::{Commit, Reply};
use kernel::policy::{CreateOrg, DeleteOrg, ListOwnOrgs, UpdateOrg};
use kernel::{Anchor, Error, OrgId, OrgRole, OrgWide, Result, Scope};
use serde_json::json;
use table::{Key, Page, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{Org, OrgView};
use crate::member::Member;

impl Record for Org {
    const KIND: &'static str = "org";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.id)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// What an organization is called where it is absent.
pub const NAME: &str = "organization";

pub(crate) fn key(org: OrgId) -> Key {
    Key::of(format!("ORG#{org}"), "ORG")
}

impl Org {
    /// Holds until it is deleted.
    pub(crate) fn not_deleted(&self) -> Anchor {
        table::without(self, "deletedAt", NAME)
    }

    /// Makes an organization, owned by the caller, and notes it.
    pub async fn create(app: &App, scope: &Scope<CreateOrg>, name: &str) -> Result<OrgView> {
        let (now, user) = (app.now(), scope.user()?);
        let org = Self::new(now, user, name);
        let owner = Member::new(now, org.id, user, OrgRole::Owner);
        let change = Change::by(scope.actor(), "org.created", "org", org.id).to(json!({"name": name}));
        let view = OrgView::of(org.clone(), OrgRole::Owner);
        Commit::by(app, scope)
            .write("org", Write::create(&org)?)
            .write("owner", Write::create(&owner)?)
            .note(Chain::Org(org.id), change)
            .reply(Reply::created(&view)?)
            .await?;
        Ok(view)
    }

    /// Reads the scope's organization; 404 once it was deleted.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>) -> Result<Self> {
        let org = table.get::<Self>(&key(scope.org())).await?;
        org.filter(Self::is_live).ok_or(Error::NotFound(NAME))
    }

    /// Reads one page of the caller's organizations with their role in each, in the order they were made. A page may
    /// be short: deleted ones are left out.
    pub async fn list(table: &Table, scope: &Scope<ListOwnOrgs>, slice: Slice) -> Result<Page<(Self, OrgRole)>> {
        let Page { records: members, next } = Member::of_user(table, scope.user()?, slice).await?;
        let keys: Vec<Key> = members.iter().map(|member| key(member.org)).collect();
        let orgs = table.get_many::<Self>(&keys, false).await?;
        let with_role = |member: Member| {
            let org = orgs.iter().find(|org| org.id == member.org && org.is_live())?;
            Some((org.clone(), member.role))
        };
        Ok(Page {
            records: members.into_iter().filter_map(with_role).collect(),
            next,
        })
    }

    /// Renames it and notes it; nothing happens if it is called so already.
    pub async fn rename(mut self, app: &App, scope: &Scope<UpdateOrg>, name: &str) -> Result<Self> {
        if self.name == name {
            return Ok(self);
        }
        let old = std::mem::replace(&mut self.name, name.to_owned());
        self.updated_at = app.now();
        let change = Change::by(scope.actor(), "org.renamed", "org", self.id);
        let change = change.from(json!({"name": old})).to(json!({"name": name}));
        Commit::by(app, scope)
            .write("org", Write::replace(&self)?)
            .note(Chain::Org(self.id), change)
            .await?;
        Ok(self)
    }

    /// Deletes it and notes it: from then on nobody is a member, and its keys are no good. Its data stay.
    pub async fn delete(mut self, app: &App, scope: &Scope<DeleteOrg>) -> Result<()> {
        let now = app.now();
        self.deleted_at = Some(now);
        self.updated_at = now;
        let change = Change::by(scope.actor(), "org.deleted", "org", self.id).from(json!({"name": self.name}));
        Commit::by(app, scope)
            .write("org", Write::replace(&self)?)
            .note(Chain::Org(self.id), change)
            .await?;
        Ok(())
    }
}
