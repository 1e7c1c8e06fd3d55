//! A subscription:           pk ORG#<org>#SUBSCRIPTION                          sk <subscription>
//! Those of a contract:      gsi1pk ORG#<org>#CONTRACT#<contract>#SUBSCRIPTIONS   gsi1sk <subscription>
//! That a client has tried:  pk ORG#<org>#TRIAL                                 sk <client>#<plan>    (makes one trial)

use commit::Commit;
use kernel::policy::ReadBilling;
use kernel::{ClientId, ContractId, Error, OrgId, OrgWide, PlanId, Result, Scope, SubscriptionId, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};

use super::{Conditions, Subscription, facts};
use crate::analytics;
use crate::due::{self, Subject};
use crate::platform;

/// What a subscription is called where it is absent, and what the write of one is called.
pub const NAME: &str = "subscription";

impl Record for Subscription {
    const KIND: &'static str = "subscription";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn index1(&self) -> Option<Key> {
        Some(Key::of(of_contract(self.org, self.contract), self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#SUBSCRIPTION")
}

fn key(org: OrgId, id: SubscriptionId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn of_contract(org: OrgId, contract: ContractId) -> String {
    format!("ORG#{org}#CONTRACT#{contract}#SUBSCRIPTIONS")
}

/// Says that a client has tried a plan, or is about to.
#[derive(Debug, Serialize, Deserialize)]
struct Trial {
    org: OrgId,
    client: ClientId,
    plan: PlanId,
    subscription: SubscriptionId,
}

impl Record for Trial {
    const KIND: &'static str = "trial";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        trial_key(self.org, self.client, self.plan)
    }
}

fn trial_key(org: OrgId, client: ClientId, plan: PlanId) -> Key {
    Key::of(format!("ORG#{org}#TRIAL"), format!("{client}#{plan}"))
}

impl Subscription {
    /// Reads a subscription of the organization; 404 if it has none with this id.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>, id: SubscriptionId) -> Result<Self> {
        table.get(&key(scope.org(), id)).await?.ok_or(Error::NotFound(NAME))
    }

    /// Reads some subscriptions of the organization as they are now, in the order of their making; absent ones are left
    /// out.
    pub async fn load_many<P: OrgWide>(table: &Table, scope: &Scope<P>, ids: &[SubscriptionId]) -> Result<Vec<Self>> {
        let keys: Vec<Key> = ids.iter().map(|id| key(scope.org(), *id)).collect();
        let mut found: Vec<Self> = table.get_many(&keys, true).await?;
        found.sort_by_key(|one| one.id);
        Ok(found)
    }

    /// Reads one page of the organization's subscriptions, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadBilling>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).descending();
        table.query(query.consistent()).await
    }

    /// Reads one page of a contract's subscriptions, newest first; what was changed a moment ago may be missing.
    pub async fn list_of(
        table: &Table,
        scope: &Scope<ReadBilling>,
        contract: ContractId,
        slice: Slice,
    ) -> Result<Page<Self>> {
        let query = Query::slice(of_contract(scope.org(), contract), slice).index1();
        table.query(query.descending()).await
    }

    /// Whether a client may try a plan: nobody does twice.
    pub(super) async fn may_try<P: OrgWide>(
        table: &Table,
        scope: &Scope<P>,
        client: ClientId,
        plan: PlanId,
    ) -> Result<bool> {
        let tried: Option<Trial> = table.get(&trial_key(scope.org(), client, plan)).await?;
        Ok(tried.is_none())
    }

    /// What makes its trial the one that its client has of its plan; nothing if it has none.
    pub(super) fn takes_trial(&self) -> Result<Option<Write>> {
        if !self.may_try || self.terms.trial_days == 0 {
            return Ok(None);
        }
        let trial = Trial {
            org: self.org,
            client: self.client,
            plan: self.terms.plan,
            subscription: self.id,
        };
        Write::create(&trial).map(Some)
    }
}

/// Adds to a commit what stores subscriptions of one client that were so when they were read, if they were, and are so now:
/// with what is told of that, what they bring a month, and when they are due. What did not change is left out. Whoever
/// changes a subscription stores it by this alone.
pub fn book<'a>(
    now: Time,
    changes: impl IntoIterator<Item = (Option<Subscription>, Subscription)>,
    conditions: &Conditions,
    mut commit: Commit<'a>,
) -> Result<Commit<'a>> {
    let mut brought = Vec::new();
    let mut owner = None;
    for (before, mut after) in changes {
        let due = after.work(conditions).map(|work| work.ready_at);
        if before.as_ref() == Some(&after) && due == after.marked_at {
            continue;
        }
        let marks = due::moved(after.org, Subject::Subscription(after.id), after.marked_at, due)?;
        after.marked_at = due;
        let brings = after.monthly_revenue(now);
        brought.push((after.counted, brings));
        after.counted = brings;
        owner = Some(after.org);
        commit = commit.write_all("plan", platform::given(now, &after)?);
        commit = facts::tell(commit, before.as_ref(), &mut after)?;
        commit = commit.write(NAME, Write::save(&after)?).write_all("due mark", marks);
    }
    let sums = owner.map(|org| analytics::moved_mrr(org, brought));
    Ok(commit.write_all("sums", sums.into_iter().flatten()))
}
