//! A plan:                 pk ORG#<org>#PLAN           sk <plan>
//! One that was deleted:   pk ORG#<org>#DELETEDPLAN    sk <plan>     (who has it keeps it)

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{Error, OrgId, OrgWide, PlanId, Result, Scope};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{NewPlan, Plan, PlanPatch, PlanView};

/// What a plan is called where it is absent.
pub const NAME: &str = "plan";

impl Record for Plan {
    const KIND: &'static str = "plan";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        if self.deleted_at.is_some() {
            deleted_key(self.org, self.id)
        } else {
            key(self.org, self.id)
        }
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#PLAN")
}

fn key(org: OrgId, id: PlanId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn deleted_key(org: OrgId, id: PlanId) -> Key {
    Key::of(format!("ORG#{org}#DELETEDPLAN"), id.to_string())
}

impl Plan {
    /// Makes a plan and notes it.
    pub async fn create(app: &App, scope: &Scope<ManageBilling>, new: &NewPlan) -> Result<PlanView> {
        let plan = Self::new(app.now(), scope.org(), new)?;
        let view = PlanView::from(plan.clone());
        let change = Change::by(scope.actor(), "plan.created", NAME, plan.id).to(json!(view));
        Commit::by(app, scope)
            .write(NAME, Write::create(&plan)?)
            .note(Chain::Org(plan.org), change)
            .reply(Reply::created(&view)?)
            .await?;
        Ok(view)
    }

    /// Reads a plan of the organization; 404 if it has none with this id, or has deleted it.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>, id: PlanId) -> Result<Self> {
        table.get(&key(scope.org(), id)).await?.ok_or(Error::NotFound(NAME))
    }

    /// Reads some plans of the organization, even those that it has deleted, in no order.
    pub async fn load_many_even_deleted<P: OrgWide>(
        table: &Table,
        scope: &Scope<P>,
        ids: &[PlanId],
    ) -> Result<Vec<Self>> {
        let places = ids
            .iter()
            .flat_map(|id| [key(scope.org(), *id), deleted_key(scope.org(), *id)]);
        table.get_many(&places.collect::<Vec<_>>(), false).await
    }

    /// Reads one page of the organization's plans, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadBilling>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).descending();
        table.query(query.consistent()).await
    }

    /// Changes what is sold from now on and notes it; nothing happens if it is so already.
    pub async fn patch(app: &App, scope: &Scope<ManageBilling>, id: PlanId, patch: &PlanPatch) -> Result<Self> {
        again(|| async {
            let old = Self::load(&app.table, scope, id).await?;
            let plan = old.patched(patch)?;
            if plan == old {
                return Ok(plan);
            }
            let shown = |plan: &Self| json!(PlanView::from(plan.clone()));
            let change = Change::by(scope.actor(), "plan.updated", NAME, id);
            Commit::by(app, scope)
                .write(NAME, Write::replace(&plan)?)
                .note(Chain::Org(plan.org), change.from(shown(&old)).to(shown(&plan)))
                .await?;
            Ok(plan)
        })
        .await
    }

    /// Deletes it and notes it: nobody gets it any more, and who has it keeps it.
    pub async fn remove(app: &App, scope: &Scope<ManageBilling>, id: PlanId) -> Result<()> {
        again(|| async {
            let plan = Self::load(&app.table, scope, id).await?;
            let mut deleted = plan.clone();
            deleted.delete(app.now());
            deleted.version = 0;
            let change = Change::by(scope.actor(), "plan.deleted", NAME, id);
            Commit::by(app, scope)
                .write(NAME, Write::delete(&plan))
                .write("deleted plan", Write::create(&deleted)?)
                .note(Chain::Org(plan.org), change.from(json!(PlanView::from(plan.clone()))))
                .await
        })
        .await
    }
}
