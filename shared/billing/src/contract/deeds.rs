//! What is done to contracts: each deed, what it does to their subscriptions, what these give back, its facts, its audit
//! entry and its reply are one transaction.

use app::App;
use commit::{Commit, NotDone, Reply, again_patiently};
use kernel::policy::ManageBilling;
use kernel::{ContractId, OrgId, Origin, Result, Scope, Time};
use serde_json::json;
use trail::{Chain, Change};

use super::agreement::Credits;
use super::{Agreement, Contract, ContractPatch, ContractView, NAME, Reason};
use crate::books::Books;
use crate::tax::Taxation;

/// What a credit note says about a subscription that ended with its contract.
const ENDED: &str = "Contract terminated";

impl Contract {
    /// Lets it begin with its subscriptions, and notes it.
    pub async fn begin(app: &App, scope: &Scope<ManageBilling>, id: ContractId) -> Result<ContractView> {
        deed(app, scope, id, "contract.activated", |agreement, now, _| {
            agreement.activate(now).map(|()| Vec::new())
        })
        .await
    }

    /// Lets it rest with its subscriptions, and notes it.
    pub async fn rest(app: &App, scope: &Scope<ManageBilling>, id: ContractId) -> Result<ContractView> {
        deed(app, scope, id, "contract.suspended", |agreement, now, _| {
            agreement.suspend(now).map(|()| Vec::new())
        })
        .await
    }

    /// Lets it go on with the subscriptions that it paused, and notes it.
    pub async fn go_on(app: &App, scope: &Scope<ManageBilling>, id: ContractId) -> Result<ContractView> {
        deed(app, scope, id, "contract.resumed", |agreement, now, _| {
            agreement.resume(now).map(|()| Vec::new())
        })
        .await
    }

    /// Ends it with its subscriptions, gives back what they have not used, and notes it.
    pub async fn end(app: &App, scope: &Scope<ManageBilling>, id: ContractId, reason: Reason) -> Result<ContractView> {
        deed(
            app,
            scope,
            id,
            "contract.terminated",
            move |agreement, now, taxation| agreement.terminate(now, reason, taxation),
        )
        .await
    }

    /// Gives it another name or end, and notes it; nothing happens if they are so already.
    pub async fn patch(
        app: &App,
        scope: &Scope<ManageBilling>,
        id: ContractId,
        patch: &ContractPatch,
    ) -> Result<ContractView> {
        deed(app, scope, id, "contract.updated", |agreement, now, _| {
            agreement.change(now, patch.clone()).map(|()| Vec::new())
        })
        .await
    }
}

async fn deed(
    app: &App,
    scope: &Scope<ManageBilling>,
    id: ContractId,
    action: &'static str,
    act: impl Fn(&mut Agreement, Time, Taxation) -> Result<Credits> + Send + Sync,
) -> Result<ContractView> {
    again_patiently(|| async {
        let before = Agreement::load(&app.table, scope, id).await?;
        let mut books = Books::open(app, scope.org(), before.contract.client).await?;
        let conditions = books.client().conditions(books.settings());
        let mut after = before.clone();
        let credits = act(&mut after, app.now(), conditions.taxation)?;
        let view = ContractView::from(&after.contract);
        if after == before {
            return Ok(view);
        }
        for (place, credit) in credits {
            books.give_back(credit, &after.subscriptions[place], ENDED).await?;
        }
        if after.contract.status.is_over() {
            books.end_contract();
        }
        let change = Change::by(scope.actor(), action, NAME, id);
        let change = change.from(json!(ContractView::from(&before.contract))).to(json!(view));
        let commit = Commit::by(app, scope)
            .note(Chain::Org(scope.org()), change)
            .reply(Reply::ok(&view)?);
        let commit = books.close(commit)?;
        after.book(&before, app.now(), &conditions, commit)?.await?;
        Ok(view)
    })
    .await
}

/// Ends a contract whose time is over; whether it was. Its subscriptions end at the same instant by themselves: each closes
/// when it is billed for the last time.
pub async fn expire(app: &App, org: OrgId, id: ContractId) -> Result<bool> {
    let scope = Scope::<ManageBilling>::system(org);
    again_patiently(|| async {
        let before = Contract::load(&app.table, &scope, id).await?;
        let mut after = before.clone();
        if !after.expire(app.now()) {
            return Ok(false);
        }
        let mut books = Books::open(app, org, before.client).await?;
        books.end_contract();
        let commit = books.close(Commit::of(app, &Origin::default()))?;
        after.book(&before, commit)?.await?;
        Ok::<_, NotDone>(true)
    })
    .await
}
