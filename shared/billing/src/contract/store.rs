//! A contract:           pk ORG#<org>#CONTRACT                          sk <contract>
//! Those of a client:    gsi1pk ORG#<org>#CLIENT#<client>#CONTRACTS     gsi1sk <contract>

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ClientId, ContractId, Error, OrgId, OrgWide, Result, Scope, Time};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{Agreement, Contract, ContractView, NewContract, facts};
use crate::client::{self, Client};
use crate::due::{self, Subject};
use crate::subscription::{self, Conditions, Subscription};

/// What a contract is called where it is absent, and what the write of one is called.
pub const NAME: &str = "contract";

impl Record for Contract {
    const KIND: &'static str = "contract";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn index1(&self) -> Option<Key> {
        Some(Key::of(of_client(self.org, self.client), self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#CONTRACT")
}

fn key(org: OrgId, id: ContractId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn of_client(org: OrgId, client: ClientId) -> String {
    format!("ORG#{org}#CLIENT#{client}#CONTRACTS")
}

impl Contract {
    /// Makes a draft of a contract with a client, which counts it, and notes it.
    pub async fn create(app: &App, scope: &Scope<ManageBilling>, new: &NewContract) -> Result<ContractView> {
        let contract = Self::new(app.now(), scope.org(), new)?;
        let view = ContractView::from(&contract);
        let change = Change::by(scope.actor(), "contract.created", NAME, contract.id).to(json!(view));
        again(|| async {
            let mut client = Client::load(&app.table, scope, contract.client).await?;
            client.open_contracts = client.open_contracts.saturating_add(1);
            Commit::by(app, scope)
                .write(NAME, Write::create(&contract)?)
                .write(client::NAME, client.save()?)
                .note(Chain::Org(contract.org), change.clone())
                .reply(Reply::created(&view)?)
                .await
        })
        .await?;
        Ok(view)
    }

    /// Reads a contract of the organization; 404 if it has none with this id.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>, id: ContractId) -> Result<Self> {
        table.get(&key(scope.org(), id)).await?.ok_or(Error::NotFound(NAME))
    }

    /// Reads one page of the organization's contracts, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadBilling>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).descending();
        table.query(query.consistent()).await
    }

    /// Reads one page of the contracts with a client, newest first; what was changed a moment ago may be missing.
    pub async fn list_of(
        table: &Table,
        scope: &Scope<ReadBilling>,
        client: ClientId,
        slice: Slice,
    ) -> Result<Page<Self>> {
        let query = Query::slice(of_client(scope.org(), client), slice).index1();
        table.query(query.descending()).await
    }

    /// What wants it to be as it was read, in a commit that does not change it.
    pub(crate) fn unchanged(&self) -> Write {
        Write::check(self)
    }
}

impl Agreement {
    /// Reads a contract of the organization with its subscriptions; 404 if it has none with this id.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>, id: ContractId) -> Result<Self> {
        let contract = Contract::load(table, scope, id).await?;
        let subscriptions = Subscription::load_many(table, scope, &contract.subscriptions).await?;
        Ok(Self {
            contract,
            subscriptions,
        })
    }

    /// Adds to a commit what stores and tells what was changed of it since it was read.
    pub(crate) fn book<'a>(
        self,
        before: &Self,
        now: Time,
        conditions: &Conditions,
        commit: Commit<'a>,
    ) -> Result<Commit<'a>> {
        let Self {
            contract,
            subscriptions,
        } = self;
        let was = |one: &Subscription| before.subscriptions.iter().find(|before| before.id == one.id).cloned();
        let changes = subscriptions.into_iter().map(|after| (was(&after), after));
        let commit = subscription::book(now, changes, conditions, commit)?;
        contract.book(&before.contract, commit)
    }
}

impl Contract {
    /// Adds to a commit what stores and tells what was changed of it since it was read.
    pub(super) fn book<'a>(mut self, before: &Self, commit: Commit<'a>) -> Result<Commit<'a>> {
        if self == *before {
            return Ok(commit);
        }
        let marks = due::moved(self.org, Subject::Contract(self.id), before.due_at(), self.due_at())?;
        let commit = facts::tell(commit, before.status, &mut self)?;
        Ok(commit.write(NAME, Write::replace(&self)?).write_all("due mark", marks))
    }
}
