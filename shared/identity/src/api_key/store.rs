//! A key:                      pk PRJ#<project>   sk KEY#<key>
//! Where a secret leads to:    pk KEY#<sha256>    sk KEY          (never changed; the key says whether it works)

use std::collections::BTreeSet;

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::kind::WithinOrg;
use kernel::policy::{ManageApiKeys, ReadApiKeys};
use kernel::{ApiKeyId, Error, OrgId, Permission, ProjectId, Result, Scope, Time, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{ApiKey, ApiKeyPatch, NewApiKey, NewApiKeyView, Rotation, Secret};
use crate::member::{self, Member};
use crate::org::{self, Org};
use crate::project::{self, Project};
use crate::quota::{Quota, Quotas};

/// Keys are read in pages of this many.
const PAGE: u16 = 100;

impl Record for ApiKey {
    const KIND: &'static str = "apiKey";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.project, self.id)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(project: ProjectId, id: ApiKeyId) -> Key {
    Key::of(partition(project), format!("KEY#{id}"))
}

fn partition(project: ProjectId) -> String {
    format!("PRJ#{project}")
}

/// Which key has this hash.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pointer {
    hash: String,
    org: OrgId,
    project: ProjectId,
    key: ApiKeyId,
}

impl Pointer {
    fn to(key: &ApiKey, secret: &Secret) -> Self {
        Self {
            hash: secret.hash(),
            org: key.org,
            project: key.project,
            key: key.id,
        }
    }
}

impl Record for Pointer {
    const KIND: &'static str = "apiKeyHash";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        pointer_key(&self.hash)
    }
}

fn pointer_key(hash: &str) -> Key {
    Key::of(format!("KEY#{hash}"), "KEY")
}

/// The key that a secret opens, as long as its project and organization exist; for authentication, before there is a
/// scope.
pub(crate) async fn open(table: &Table, secret: &Secret) -> Result<Option<ApiKey>> {
    let Some(to) = table.get::<Pointer>(&pointer_key(&secret.hash())).await? else {
        return Ok(None);
    };
    let (key, project, org) = (
        key(to.project, to.key),
        project::key(to.org, to.project),
        org::key(to.org),
    );
    let (key, project, org) = tokio::try_join!(
        table.get::<ApiKey>(&key),
        table.get::<Project>(&project),
        table.get::<Org>(&org)
    )?;
    let org = org.filter(|org| project.is_some() && org.is_live());
    Ok(key.zip(org).map(|(key, org)| key.within(&org)))
}

/// What is to be written with one more key of a project. 409 `quota_reached`.
async fn one_more(table: &Table, new: &ApiKey) -> Result<Write> {
    let (quotas, org) = tokio::try_join!(Quotas::of(table, new.org), org_of(table, new.org))?;
    let page = |slice| table.query::<ApiKey>(Query::slice(partition(new.project), slice).prefix("KEY#").consistent());
    let keys = table::whole(PAGE, page).await?.into_iter().map(|key| key.within(&org));
    let there = keys.filter(|key| key.counts(new.created_at)).count();
    quotas.one_more(Quota::KeysPerProject, there)
}

/// The organization that keys are within.
async fn org_of(table: &Table, id: OrgId) -> Result<Org> {
    table.get(&org::key(id)).await?.ok_or(Error::NotFound(org::NAME))
}

/// What the audit trail says of a key.
fn noted(key: &ApiKey, now: Time) -> Value {
    json!({
        "label": key.label,
        "prefix": key.prefix,
        "project": key.project,
        "status": key.status(now),
        "scopes": key.scopes,
        "rateLimitPerMinute": key.rate_limit_per_minute,
        "expiresAt": key.until,
    })
}

impl ApiKey {
    /// Makes a key for a project and notes it. The secret is shown this once; it is stored nowhere but in the reply that is
    /// kept for who sends the same request again. 409 `quota_reached` when the project has as many as it may.
    pub async fn create(
        app: &App,
        scope: &Scope<ManageApiKeys>,
        project: &Project,
        new: NewApiKey,
    ) -> Result<NewApiKeyView> {
        let now = app.now();
        let (key, secret) = Self::new(now, project, scope.user()?, new)?;
        let change = Change::by(scope.actor(), "api_key.created", "api_key", key.id).to(noted(&key, now));
        let view = NewApiKeyView::of(key.clone(), &secret, now);
        let pointer = Pointer::to(&key, &secret);
        again(|| async {
            Commit::by(app, scope)
                .write("key", Write::create(&key)?)
                .write("hash of the key", Write::create(&pointer)?)
                .write("quotas", one_more(&app.table, &key).await?)
                .note(key.chain(scope)?, change.clone())
                .reply(Reply::created(&view)?)
                .await
        })
        .await?;
        Ok(view)
    }

    /// Reads a key of a project; 404 if it has none with this id. The project proves that it is the tenant's.
    pub async fn load<P>(table: &Table, scope: &Scope<P>, project: &Project, id: ApiKeyId) -> Result<Self>
    where
        P: Permission<Kind: WithinOrg>,
    {
        let org = scope.org_of(project.id)?;
        let found = table.get::<Self>(&key(project.id, id)).await?;
        let found = found.filter(|key| key.org == org).ok_or(Error::NotFound("API key"))?;
        Ok(found.within(&org_of(table, org).await?))
    }

    /// Where changes of it are noted; `Denied` if the caller's permission does not reach its project.
    fn chain(&self, scope: &Scope<ManageApiKeys>) -> Result<Chain> {
        Ok(Chain::Org(scope.org_of(self.project)?))
    }

    /// Reads one page of a project's keys, newest first.
    pub async fn list(
        table: &Table,
        scope: &Scope<ReadApiKeys>,
        project: &Project,
        slice: Slice,
    ) -> Result<Page<Self>> {
        let org = org_of(table, scope.org_of(project.id)?).await?;
        let query = Query::slice(partition(project.id), slice).prefix("KEY#").descending();
        let Page { records, next } = table.query::<Self>(query.consistent()).await?;
        let records = records.into_iter().map(|key| key.within(&org)).collect();
        Ok(Page { records, next })
    }

    /// Reads which of those who made these keys of a project are members still.
    pub async fn makers<P>(table: &Table, scope: &Scope<P>, project: &Project, keys: &[Self]) -> Result<Vec<UserId>>
    where
        P: Permission<Kind: WithinOrg>,
    {
        let org = scope.org_of(project.id)?;
        let makers: BTreeSet<UserId> = keys.iter().map(|key| key.created_by).collect();
        let makers: Vec<Key> = makers.into_iter().map(|user| member::key(org, user)).collect();
        let members = table.get_many::<Member>(&makers, false).await?;
        Ok(members.into_iter().map(|member| member.user).collect())
    }

    /// Changes it and notes it; nothing happens if it is so already.
    pub async fn save(mut self, app: &App, scope: &Scope<ManageApiKeys>, patch: ApiKeyPatch) -> Result<Self> {
        let now = app.now();
        let old = noted(&self, now);
        if self.apply(now, patch)? {
            self.store(app, scope, "api_key.updated", old).await?;
        }
        Ok(self)
    }

    /// Stores what became of it, and notes it.
    async fn store(&self, app: &App, scope: &Scope<ManageApiKeys>, action: &'static str, old: Value) -> Result<()> {
        let change = Change::by(scope.actor(), action, "api_key", self.id);
        Commit::by(app, scope)
            .write("key", Write::replace(self)?)
            .note(self.chain(scope)?, change.from(old).to(noted(self, app.now())))
            .await?;
        Ok(())
    }

    /// Ends it for ever and notes it; nothing happens if it was ended before.
    pub async fn end(mut self, app: &App, scope: &Scope<ManageApiKeys>) -> Result<()> {
        let now = app.now();
        let old = noted(&self, now);
        if self.revoke(now) {
            self.store(app, scope, "api_key.revoked", old).await?;
        }
        Ok(())
    }

    /// Makes the key that takes its place and notes it; this one works for the grace only. 409 `quota_reached` when the project
    /// has as many as it may.
    pub async fn replace(
        mut self,
        app: &App,
        scope: &Scope<ManageApiKeys>,
        project: &Project,
        rotation: &Rotation,
    ) -> Result<NewApiKeyView> {
        let now = app.now();
        let old = noted(&self, now);
        let (key, secret) = self.rotate(now, project, scope.user()?, rotation)?;
        let new = json!({"expiresAt": self.until, "successor": key.id});
        let change = Change::by(scope.actor(), "api_key.rotated", "api_key", self.id);
        let view = NewApiKeyView::of(key.clone(), &secret, now);
        let (change, pointer) = (change.from(old).to(new), Pointer::to(&key, &secret));
        again(|| async {
            let done = Commit::by(app, scope)
                .write("old key", Write::replace(&self)?)
                .write("key", Write::create(&key)?)
                .write("hash of the key", Write::create(&pointer)?)
                .write("quotas", one_more(&app.table, &key).await?)
                .note(key.chain(scope)?, change.clone())
                .reply(Reply::created(&view)?)
                .await;
            // What is to be replaced is what the caller has seen.
            done.map_err(|failed| failed.if_failed("old key", || Error::Stale))
        })
        .await?;
        Ok(view)
    }
}
