//! An organization:   pk ORG#<org>   sk ORG   gsi1pk ORGS   gsi1sk <id>   (the index until it is deleted; its members, projects and everything else begin with ORG#<org> too)

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::{CreateOrg, DeleteOrg, ListOwnOrgs, ReadStats, UpdateOrg};
use kernel::{Anchor, Error, OrgId, OrgRole, OrgWide, Result, Scope, Zone};
use serde_json::{Value, json};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Tally, Write};
use trail::{Chain, Change, Noted, Subject};

use super::billing::store as billing;
use super::{BillingPatch, BillingSettings, Org, OrgView, factor_required};
use crate::member::Member;
use crate::quota::Made;
use crate::user::User;

impl Record for Org {
    const KIND: &'static str = "org";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.id)
    }

    fn index1(&self) -> Option<Key> {
        self.is_live().then(|| Key::of("ORGS", self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// The audit trail says so many characters of a logo.
const LONGEST_NOTED_LOGO: usize = 200;

/// What an organization is called where it is absent.
pub const NAME: &str = "organization";

pub(crate) fn key(org: OrgId) -> Key {
    Key::of(format!("ORG#{org}"), "ORG")
}

/// What changes an organization; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct OrgChange {
    /// What it is called.
    pub name: Option<String>,
    /// The zone of its days and months.
    pub time_zone: Option<Zone>,
    /// Whether members need a factor.
    pub require_factor: Option<bool>,
    /// What its invoices need to know of it.
    pub billing: BillingPatch,
}

/// What the audit trail may say of it: a logo only by its beginning, for it may be a picture.
fn noted(org: &Org, billing: &BillingSettings) -> Value {
    let logo = billing.logo.as_ref();
    json!({
        "name": org.name,
        "timeZone": org.time_zone,
        "requireFactor": org.require_factor,
        "address": billing.address,
        "taxRate": billing.tax_rate,
        "taxId": billing.tax_id,
        "logo": logo.map(|logo| logo.chars().take(LONGEST_NOTED_LOGO).collect::<String>()),
        "color": billing.color,
        "dueInDays": billing.due_in_days,
        "usageGraceHours": billing.usage_grace_hours,
        "reminderDays": billing.reminder_days,
        "suspendAfterDays": billing.suspend_after_days,
    })
}

/// What the audit trail says of an organization: what its letterhead does, beside it, for it may be one person.
fn about(org: OrgId, value: Value) -> Noted {
    Noted::about(Subject::of(org), value, &["name", "address", "taxId", "logo"])
}

/// Fails unless the caller may say whether members need a factor: 403.
async fn may_demand(app: &App, scope: &Scope<UpdateOrg>, required: bool) -> Result<()> {
    if scope.role() != Some(OrgRole::Owner) {
        return Err(Error::Denied);
    }
    let user = User::find(&app.table, scope.user()?).await?;
    if required && !user.is_some_and(|user| user.has_factor) {
        return Err(factor_required());
    }
    Ok(())
}

/// Reads organizations and what they have said of their invoices, in no order.
async fn with_settings(table: &Table, ids: &[OrgId]) -> Result<(Vec<Org>, Vec<BillingSettings>)> {
    let keys: Vec<Key> = ids.iter().copied().map(key).collect();
    tokio::try_join!(table.get_many(&keys, false), billing::of_many(table, ids))
}

/// What differs, as it was and as it is.
fn differing(mut before: Value, mut after: Value) -> (Value, Value) {
    if let (Some(before), Some(after)) = (before.as_object_mut(), after.as_object_mut()) {
        let same: Vec<String> = before
            .iter()
            .filter(|(name, value)| after.get(*name) == Some(value))
            .map(|(name, _)| name.clone())
            .collect();
        for name in same {
            before.shift_remove(&name);
            after.shift_remove(&name);
        }
    }
    (before, after)
}

/// Counting reads so many at a time, and so many times at most.
pub(crate) const COUNTED: Slice = Slice {
    limit: 1_000,
    after: None,
};
pub(crate) const MOST_PAGES: u32 = 20;

impl Org {
    /// Counts the organizations that were not deleted.
    pub async fn count(table: &Table, _: &Scope<ReadStats>) -> Result<Tally> {
        let all = Query::slice("ORGS", COUNTED).index1();
        table.tally::<Self>(&all, "kind", MOST_PAGES).await
    }

    /// Holds until it is deleted.
    pub(crate) fn not_deleted(&self) -> Anchor {
        table::without(self, "deletedAt", NAME)
    }

    /// Makes an organization, owned by the caller, and notes it, with what else is to be written of a new one. 409
    /// `quota_reached` when the caller has made as many as a person may.
    pub async fn create(
        app: &App,
        scope: &Scope<CreateOrg>,
        name: &str,
        time_zone: Zone,
        besides: impl FnOnce(OrgId) -> Result<Write>,
    ) -> Result<OrgView> {
        let (now, user) = (app.now(), scope.user()?);
        let org = Self::new(now, user, name, time_zone);
        let owner = Member::new(now, org.id, user, OrgRole::Owner);
        let change = Change::by(scope.actor(), "org.created", "org", org.id).to(about(org.id, json!({"name": name})));
        let view = OrgView::of(org.clone(), BillingSettings::new(org.id), OrgRole::Owner);
        let besides = besides(org.id)?;
        again(|| async {
            Commit::by(app, scope)
                .write("org", Write::create(&org)?)
                .write("owner", Write::create(&owner)?)
                .write("quota", Made::one_more(&app.table, user, org.id).await?)
                .write("besides", besides.clone())
                .note(Chain::Org(org.id), change.clone())
                .reply(Reply::created(&view)?)
                .await
        })
        .await?;
        Ok(view)
    }

    /// Reads the scope's organization; 404 once it was deleted.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>) -> Result<Self> {
        let org = table.get::<Self>(&key(scope.org())).await?;
        org.filter(Self::is_live).ok_or(Error::NotFound(NAME))
    }

    /// Reads who made it.
    pub async fn maker(&self, table: &Table) -> Result<User> {
        User::find(table, self.created_by)
            .await?
            .ok_or(Error::NotFound("person"))
    }

    /// Reads one page of the caller's organizations with their role in each, in the order they were made. A page may
    /// be short: deleted ones are left out.
    pub async fn list(table: &Table, scope: &Scope<ListOwnOrgs>, slice: Slice) -> Result<Page<OrgView>> {
        let Page { records: members, next } = Member::of_user(table, scope.user()?, slice).await?;
        let ids: Vec<OrgId> = members.iter().map(|member| member.org).collect();
        let (orgs, settings) = with_settings(table, &ids).await?;
        let shown = |member: Member| {
            let org = orgs.iter().find(|org| org.id == member.org && org.is_live())?;
            let said = settings.iter().find(|settings| settings.org == org.id).cloned();
            let billing = said.unwrap_or_else(|| BillingSettings::new(org.id));
            Some(OrgView::of(org.clone(), billing, member.role))
        };
        Ok(Page {
            records: members.into_iter().filter_map(shown).collect(),
            next,
        })
    }

    /// Changes it and its billing settings, and notes it, with what else is to be written then; nothing happens if they are so
    /// already. Whether members need a factor is an owner's to say, who has one: 403.
    pub async fn update(
        mut self,
        app: &App,
        scope: &Scope<UpdateOrg>,
        change: OrgChange,
        besides: Write,
    ) -> Result<(Self, BillingSettings)> {
        let old = BillingSettings::load(&app.table, scope).await?;
        let (was, before) = (self.clone(), noted(&self, &old));
        self.name = change.name.unwrap_or(self.name);
        self.time_zone = change.time_zone.unwrap_or(self.time_zone);
        self.require_factor = change.require_factor.unwrap_or(self.require_factor);
        if self.require_factor != was.require_factor {
            may_demand(app, scope, self.require_factor).await?;
        }
        let settings = old.clone().changed(change.billing)?;
        let mut commit = Commit::by(app, scope);
        if settings != old {
            let past = old.replaced_logo(&settings).as_ref().map(Write::put).transpose()?;
            commit = commit
                .write("billing settings", Write::save(&settings)?)
                .write_all("past logo", past);
        } else if (&self.name, &self.time_zone, self.require_factor) == (&was.name, &was.time_zone, was.require_factor)
        {
            return Ok((self, settings));
        }
        self.updated_at = app.now();
        let action = if self.name == was.name {
            "org.updated"
        } else {
            "org.renamed"
        };
        let (from, to) = differing(before, noted(&self, &settings));
        let change = Change::by(scope.actor(), action, "org", self.id);
        let change = change.from(about(self.id, from)).to(about(self.id, to));
        commit
            .write("org", Write::replace(&self)?)
            .write("besides", besides)
            .note(Chain::Org(self.id), change)
            .await?;
        Ok((self, settings))
    }

    /// Deletes it and notes it, with what else is to be written then: from then on nobody is a member, and its keys are no good.
    /// Its data stay. 409 `platform_org` for the platform's own.
    pub async fn delete(mut self, app: &App, scope: &Scope<DeleteOrg>, besides: Write) -> Result<()> {
        if self.id == OrgId::PLATFORM {
            let detail = "the platform's own organization sells to all others; it cannot be deleted";
            return Err(Error::refused("platform_org", detail));
        }
        let now = app.now();
        self.deleted_at = Some(now);
        self.updated_at = now;
        let change = Change::by(scope.actor(), "org.deleted", "org", self.id);
        let change = change.from(about(self.id, json!({"name": self.name})));
        Commit::by(app, scope)
            .write("org", Write::replace(&self)?)
            .write("besides", besides)
            .note(Chain::Org(self.id), change)
            .await?;
        Ok(())
    }
}
