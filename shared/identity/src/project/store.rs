//! A project:            pk ORG#<org>   sk PROJECT#<project>
//! One that is deleted:  pk ORG#<org>   sk DELETED#PROJECT#<project>   (kept, and in no list)

use kernel::policy::kind::WithinOrg;
use kernel::policy::{CreateProjects, DeleteProjects, ReadProjects, WriteProjects};
use kernel::{Error, OrgId, Permission, ProjectId, Result, Scope, Time};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{NewProject, Project, ProjectPatch};

impl Record for Project {
    const KIND: &'static str = "project";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        match self.deleted_at {
            None => key(self.org, self.id),
            Some(_) => Key::of(partition(self.org), format!("DELETED#PROJECT#{}", self.id)),
        }
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

impl Project {
    /// Makes a project and notes it.
    pub async fn create(table: &Table, now: Time, scope: &Scope<CreateProjects>, new: NewProject) -> Result<Self> {
        let user = scope.user()?;
        let project = Self::new(now, scope.org(), user, new);
        let change = Change::new(user, "project.created", "project", project.id).to(json!(project.settings()));
        trail::commit(
            table,
            now,
            Chain::Org(project.org),
            change,
            vec![Write::create(&project)?],
        )
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
        let query = Query::slice(partition(scope.org()), slice)
            .prefix("PROJECT#")
            .descending();
        table.query(query.consistent()).await
    }

    /// Changes it and notes it; nothing happens if it is so already. 412 when someone else changed it meanwhile.
    pub async fn save(
        mut self,
        table: &Table,
        now: Time,
        scope: &Scope<WriteProjects>,
        patch: ProjectPatch,
    ) -> Result<Self> {
        let old = json!(self.settings());
        self.apply(patch);
        let new = json!(self.settings());
        if old == new {
            return Ok(self);
        }
        self.updated_at = now;
        let change = Change::new(scope.user()?, "project.updated", "project", self.id)
            .from(old)
            .to(new);
        let chain = Chain::Org(scope.org_of(self.id)?);
        trail::commit(table, now, chain, change, vec![Write::replace(&self)?]).await?;
        Ok(self)
    }

    /// Deletes it and notes it: it is in no list, and its keys are no good. Its data stay.
    pub async fn delete(self, table: &Table, now: Time, scope: &Scope<DeleteProjects>) -> Result<()> {
        let change = Change::new(scope.user()?, "project.deleted", "project", self.id).from(json!(self.settings()));
        let chain = Chain::Org(scope.org_of(self.id)?);
        let deleted = Self {
            deleted_at: Some(now),
            updated_at: now,
            ..self.clone()
        };
        let writes = vec![Write::delete(&self), Write::create(&deleted)?];
        Ok(trail::commit(table, now, chain, change, writes).await?)
    }
}
