//! A project:            pk ORG#<org>   sk PROJECT#<project>   gsi1pk PROJECTS   gsi1sk <project>
//! One that is deleted:  pk ORG#<org>   sk DELETED#PROJECT#<project>   (kept, and in no list)

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::kind::WithinOrg;
use kernel::policy::{CreateProjects, DeleteProjects, ReadProjects, ReadStats, WriteProjects, kind};
use kernel::{Error, OrgId, Permission, ProjectId, Result, Scope};
use serde_json::{Value, json};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Tally, Write};
use trail::{Chain, Change, Noted, Subject};

use super::{NewProject, Project, ProjectPatch, ProjectView};
use crate::org::{COUNTED, MOST_PAGES};
use crate::quota::{Quota, Quotas};

/// So many are read at once.
const PAGE: u16 = 100;
/// What the keys of those begin with that were not deleted.
const LIVE: &str = "PROJECT#";
/// Those of all organizations.
const EVERYWHERE: &str = "PROJECTS";

impl Record for Project {
    const KIND: &'static str = "project";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        match self.deleted_at {
            None => key(self.org, self.id),
            Some(_) => Key::of(partition(self.org), format!("DELETED#PROJECT#{}", self.id)),
        }
    }

    fn index1(&self) -> Option<Key> {
        let live = self.deleted_at.is_none();
        live.then(|| Key::of(EVERYWHERE, self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

pub(crate) fn key(org: OrgId, project: ProjectId) -> Key {
    Key::of(partition(org), format!("PROJECT#{project}"))
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}")
}

/// What the audit trail says of a project's settings: the address that its alerts are sent to, beside it.
fn noted(settings: Value) -> Noted {
    match settings["alertDefaults"]["target"]
        .as_str()
        .filter(|target| target.contains('@'))
    {
        Some(target) => Noted::about(Subject::address(target), settings.clone(), &["alertDefaults"]),
        None => settings.into(),
    }
}

/// Reads the ids of all projects of an organization whose keys begin so.
async fn ids(table: &Table, org: OrgId, prefix: &str) -> Result<Vec<ProjectId>> {
    let page = |slice| table.query::<Project>(Query::slice(partition(org), slice).prefix(prefix).consistent());
    let projects = table::whole(PAGE, page).await?;
    Ok(projects.into_iter().map(|project| project.id).collect())
}

impl Project {
    /// Makes a project and notes it. 409 `quota_reached` when the organization has as many as it may.
    pub async fn create(app: &App, scope: &Scope<CreateProjects>, new: NewProject) -> Result<Self> {
        let project = Self::new(app.now(), scope.org(), scope.user()?, new);
        let change = Change::by(scope.actor(), "project.created", "project", project.id);
        let change = change.to(noted(json!(project.noted())));
        again(|| async {
            let quotas = Quotas::of(&app.table, project.org).await?;
            let there = ids(&app.table, project.org, LIVE).await?.len();
            Commit::by(app, scope)
                .write("project", Write::create(&project)?)
                .write("quotas", quotas.one_more(Quota::Projects, there)?)
                .note(Chain::Org(project.org), change.clone())
                .reply(Reply::created(&ProjectView::from(project.clone()))?)
                .await
        })
        .await?;
        Ok(project)
    }

    /// Reads a project of the scope's organization; 404 if it has none with this id. Whatever belongs to a project asks
    /// this first: it is the proof that the project is the tenant's, and that the caller's permission reaches it.
    pub async fn load<P>(table: &Table, scope: &Scope<P>, id: ProjectId) -> Result<Self>
    where
        P: Permission<Kind: WithinOrg>,
    {
        let found = table.get(&key(scope.org_of(id)?, id)).await?;
        found.ok_or(Error::NotFound("project"))
    }

    /// Reads one page of the organization's projects, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadProjects>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).prefix(LIVE).descending();
        table.query(query.consistent()).await
    }

    /// Counts the projects of all organizations.
    pub async fn count(table: &Table, _: &Scope<ReadStats>) -> Result<Tally> {
        let all = Query::slice(EVERYWHERE, COUNTED).index1();
        table.tally::<Self>(&all, "kind", MOST_PAGES).await
    }

    /// Reads one page of the projects of all organizations, or of one, newest first: those up to `last`.
    pub async fn everywhere<P: Permission<Kind = kind::Platform>>(
        table: &Table,
        _: &Scope<P>,
        org: Option<OrgId>,
        last: ProjectId,
        limit: u16,
    ) -> Result<Page<Self>> {
        let first = ProjectId::from_bits(0);
        let slice = Slice { limit, after: None };
        let query = match org {
            Some(org) => Query::slice(partition(org), slice).between(format!("{LIVE}{first}"), format!("{LIVE}{last}")),
            None => Query::slice(EVERYWHERE, slice)
                .index1()
                .between(first.to_string(), last.to_string()),
        };
        table.query(query.descending()).await
    }

    /// Reads a project of whatever organization; 404 if there is none with this id.
    pub async fn load_anywhere<P: Permission<Kind = kind::Platform>>(
        table: &Table,
        scope: &Scope<P>,
        id: ProjectId,
    ) -> Result<Self> {
        let page = Self::everywhere(table, scope, None, id, 1).await?;
        let found = page.records.into_iter().find(|project| project.id == id);
        found.ok_or(Error::NotFound("project"))
    }

    /// Reads the ids of all projects that an organization ever had: what happened in one counts after it was deleted too.
    pub async fn ever(table: &Table, org: OrgId) -> Result<Vec<ProjectId>> {
        Ok([ids(table, org, LIVE).await?, ids(table, org, "DELETED#PROJECT#").await?].concat())
    }

    /// Changes it and notes it; nothing happens if it is so already. 412 when someone else changed it meanwhile.
    pub async fn save(mut self, app: &App, scope: &Scope<WriteProjects>, patch: ProjectPatch) -> Result<Self> {
        let (before, old) = (json!(self.settings()), json!(self.noted()));
        self.apply(patch);
        if before == json!(self.settings()) {
            return Ok(self);
        }
        self.updated_at = app.now();
        let change = Change::by(scope.actor(), "project.updated", "project", self.id);
        Commit::by(app, scope)
            .write("project", Write::replace(&self)?)
            .note(
                Chain::Org(scope.org_of(self.id)?),
                change.from(noted(old)).to(noted(json!(self.noted()))),
            )
            .await?;
        Ok(self)
    }

    /// Deletes it and notes it: it is in no list, and its keys are no good. Its data stay.
    pub async fn delete(self, app: &App, scope: &Scope<DeleteProjects>) -> Result<()> {
        let now = app.now();
        let change = Change::by(scope.actor(), "project.deleted", "project", self.id);
        let deleted = Self {
            deleted_at: Some(now),
            updated_at: now,
            ..self.clone()
        };
        Commit::by(app, scope)
            .write("project", Write::delete(&self))
            .write("deleted project", Write::create(&deleted)?)
            .note(
                Chain::Org(scope.org_of(self.id)?),
                change.from(noted(json!(self.noted()))),
            )
            .await?;
        Ok(())
    }
}
