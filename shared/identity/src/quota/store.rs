//! An organization's quotas:             pk ORG#<org>#QUOTAS   sk QUOTAS   (written with each project and key, so that two meet)
//! What organizations a person made:     pk USER#<user>        sk MADE     (their ids; bounds them)

use app::App;
use commit::{Commit, again};
use kernel::policy::kind::WithinOrg;
use kernel::policy::{ManageQuotas, ReadOrg};
use kernel::{OrgId, Permission, ProjectId, Result, Scope, UserId};
use serde_json::json;
use table::{Key, Record, Table, TableName, Write};
use trail::{Chain, Change};

use super::{Made, Quota, QuotaChange, Quotas, QuotasView};
use crate::org::{self, Org};

impl Record for Quotas {
    const KIND: &'static str = "quotas";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.org)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(org: OrgId) -> Key {
    Key::of(format!("ORG#{org}#QUOTAS"), "QUOTAS")
}

impl Record for Made {
    const KIND: &'static str = "madeOrgs";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        made_key(self.user)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn made_key(user: UserId) -> Key {
    Key::of(format!("USER#{user}"), "MADE")
}

impl Quotas {
    /// Reads the quotas of an organization.
    pub(crate) async fn of(table: &Table, org: OrgId) -> Result<Self> {
        Ok(table.get(&key(org)).await?.unwrap_or_else(|| Self::new(org)))
    }

    /// Fails if the organization of a project has as many of a kind already: 409 `quota_reached`.
    pub async fn admit<P>(table: &Table, scope: &Scope<P>, project: ProjectId, quota: Quota, there: usize) -> Result<()>
    where
        P: Permission<Kind: WithinOrg>,
    {
        Self::of(table, scope.org_of(project)?).await?.check(quota, there)
    }

    /// What is to be written with one more of a kind, of which there are `there`: of two that are made at once one looks
    /// again. 409 `quota_reached`.
    pub(crate) fn one_more(&self, quota: Quota, there: usize) -> Result<Write> {
        self.check(quota, there)?;
        Write::save(self)
    }

    /// Shows the quotas of an organization; 404 if there is none with this id.
    pub async fn show(table: &Table, _: &Scope<ManageQuotas>, org: OrgId) -> Result<QuotasView> {
        Org::load(table, &Scope::<ReadOrg>::system(org)).await?;
        Ok((&Self::of(table, org).await?).into())
    }

    /// Sets quotas of an organization and notes it; nothing happens if they are so already. 404 if there is none with this id.
    pub async fn set(app: &App, scope: &Scope<ManageQuotas>, org: OrgId, new: &QuotaChange) -> Result<QuotasView> {
        Org::load(&app.table, &Scope::<ReadOrg>::system(org)).await?;
        again(|| async {
            let mut quotas = Self::of(&app.table, org).await?;
            let before = QuotasView::from(&quotas);
            quotas.change(new);
            let after = QuotasView::from(&quotas);
            if before != after {
                let change = Change::by(scope.actor(), "org.quotas_changed", "org", org);
                Commit::by(app, scope)
                    .write("quotas", Write::save(&quotas)?)
                    .note(Chain::Org(org), change.from(json!(before)).to(json!(after)))
                    .await?;
            }
            Ok(after)
        })
        .await
    }
}

impl Made {
    /// What counts one more organization that a person makes. Those that were deleted count no more. 409 `quota_reached`.
    pub(crate) async fn one_more(table: &Table, user: UserId, org: OrgId) -> Result<Write> {
        let found = table.get::<Self>(&made_key(user)).await?;
        let mut made = found.unwrap_or_else(|| Self::nothing(user));
        if made.is_full() {
            let keys: Vec<Key> = made.orgs.iter().copied().map(org::key).collect();
            let orgs = table.get_many::<Org>(&keys, true).await?;
            made.orgs = orgs.into_iter().filter(Org::is_live).map(|org| org.id).collect();
        }
        made.add(org)?;
        Write::save(&made)
    }
}
