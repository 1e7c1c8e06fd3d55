//! The platform sells to its organizations by the same code: they are clients of [`OrgId::PLATFORM`], each with a contract and a
//! subscription of one of three plans, which are made once and may be changed as any other.
//!
//! A new organization leaves a mark, and the billing run enrols it. Its client, contract and subscription have the bits of its
//! own id, so that it is done once. What its subscription's plan grants is written where metering looks, in the transaction
//! that changes the subscription.

use app::App;
use commit::{Commit, NotDone, again};
use identity::org::BillingSettings;
use identity::{Org, User};
use kernel::policy::ManageBilling;
use kernel::{ClientId, ContractId, Error, Minor, OrgId, Origin, PlanId, Result, Scope, SubscriptionId, Time};
use metering::plan::{self as grants, ENTERPRISE, FREE, PRO};
use table::Write;
use trail::{Chain, Change};

use crate::client::{self, Client, ClientPatch, NewClient};
use crate::contract::{self, Agreement, Contract, NewContract, Reason};
use crate::due::{Mark, Subject};
use crate::number::Quantity;
use crate::plan::{self, NewPlan, Plan};
use crate::price::{NewPrice, Price};
use crate::schedule::Interval;
use crate::subscription::{self, NewSubscription, Subscription};
use crate::tax::TaxExempt;

/// What the platform sells for a month, in US cents.
const PLANS: [(PlanId, &grants::Plan, i64); 3] = [
    (PlanId::from_bits(1), &FREE, 0),
    (PlanId::from_bits(2), &PRO, 4_900),
    (PlanId::from_bits(3), &ENTERPRISE, 49_900),
];
const CURRENCY: &str = "USD";

/// Marks an organization as one that is to be enrolled, because it is new, to be called otherwise, because it was changed, or to be let
/// go of, because it was deleted.
pub fn enrolment(now: Time, org: OrgId) -> Result<Write> {
    Write::put(&Mark {
        org,
        subject: Subject::Enrolment(org),
        at: now,
    })
}

/// Makes an organization a client of the platform, with the free plan; one that is it already is called as it calls itself now. The
/// contract with one that was deleted ends, and what it has paid for and not used is credited.
pub(crate) async fn enroll(app: &App, id: OrgId) -> Result<()> {
    if id == OrgId::PLATFORM {
        // It sells to all others, and not to itself.
        return Ok(());
    }
    let (table, scope) = (&app.table, Scope::<ManageBilling>::system(OrgId::PLATFORM));
    let org = match Org::load(table, &Scope::<ManageBilling>::system(id)).await {
        Err(Error::NotFound(_)) => return let_go(app, &scope, id).await,
        org => org?,
    };
    let maker = org.maker(table).await?;
    let own = BillingSettings::load(table, &Scope::<ManageBilling>::system(id)).await?;
    let platform = Org::platform(app).await?;
    let plans = plans(app).await?;
    again(|| async {
        let now = app.now();
        match Client::load_even_deleted(table, &scope, ClientId::from_bits(id.bits())).await {
            Err(Error::NotFound(_)) => {}
            known => return follow(app, &scope, known?, &org, &own, &maker).await,
        }
        let client = client(now, &org, &own, &maker)?;
        let new = NewContract {
            client_id: client.id,
            name: None,
            ends_at: None,
        };
        let mut contract = Contract::new(now, platform.id, &new)?;
        contract.id = ContractId::from_bits(id.bits());
        contract.activate(now, true).map_err(Error::from)?;
        let new = NewSubscription {
            org: platform.id,
            contract: contract.id,
            client: client.id,
            terms: plans[0].terms.clone(),
            quantity: Quantity::whole(1),
            zone: client.zone(&platform.time_zone).clone(),
            start_at: None,
            may_try: false,
            discount: None,
            contract_ends_at: None,
        };
        let mut subscription = Subscription::new(now, new, true);
        subscription.id = SubscriptionId::from_bits(id.bits());
        let mut agreement = Agreement {
            contract,
            subscriptions: Vec::new(),
        };
        agreement.add(now, subscription.id)?;
        let settings = BillingSettings::load(table, &scope).await?;
        let conditions = client.conditions(&settings);
        let commit = client.create_with(Commit::of(app, &Origin::default()))?;
        let commit = commit.write(contract::NAME, Write::create(&agreement.contract)?);
        subscription::book(now, [(None, subscription)], &conditions, commit)?.await?;
        Ok::<_, NotDone>(())
    })
    .await
}

async fn let_go(app: &App, scope: &Scope<ManageBilling>, id: OrgId) -> Result<()> {
    match Contract::end(app, scope, ContractId::from_bits(id.bits()), Reason::AdminDecision).await {
        // It was never enrolled, or let go of before.
        Err(Error::NotFound(_) | Error::Refused { .. }) => Ok(()),
        done => done.map(|_| ()),
    }
}

/// Calls a client as its organization calls itself, and notes it; nothing happens if it does so already.
async fn follow(
    app: &App,
    scope: &Scope<ManageBilling>,
    old: Client,
    org: &Org,
    own: &BillingSettings,
    maker: &User,
) -> Result<(), NotDone> {
    let profile = said(org, own, maker).on(old.profile.clone())?;
    if old.deleted_at.is_some() || profile == old.profile {
        return Ok(());
    }
    let mut client = old.clone();
    client.change(app.now(), profile);
    let change = Change::by(scope.actor(), "client.updated", client::NAME, client.id);
    let change = change.from(old.noted()).to(client.noted());
    Commit::of(app, &Origin::default())
        .write(client::NAME, client.save()?)
        .note(Chain::Org(OrgId::PLATFORM), change)
        .await
}

/// What an organization says of itself that its client has too. What it says nothing of stays as somebody wrote it there.
fn said(org: &Org, own: &BillingSettings, maker: &User) -> ClientPatch {
    ClientPatch {
        name: Some(org.name.clone()),
        email: (!maker.is_erased()).then(|| maker.email.clone()),
        time_zone: Some(Some(org.time_zone.to_string())),
        address: own.address.clone().map(Some),
        tax_id: own.tax_id.clone().map(Some),
        ..ClientPatch::default()
    }
}

fn client(now: Time, org: &Org, own: &BillingSettings, maker: &User) -> Result<Client> {
    let new = NewClient {
        name: org.name.clone(),
        email: maker.email.clone(),
        currency: CURRENCY.to_owned(),
        phone: None,
        address: own.address.clone(),
        language: None,
        time_zone: Some(org.time_zone.to_string()),
        tax_rate: None,
        tax_id: own.tax_id.clone(),
        tax_exempt: TaxExempt::None,
        external_id: Some(org.id.to_string()),
    };
    let mut client = Client::new(now, OrgId::PLATFORM, new.profile()?);
    client.id = ClientId::from_bits(org.id.bits());
    client.open_contracts = 1;
    Ok(client)
}

/// The plans of the platform, free first; those that are not there are made. One that was deleted is sold to nobody new: then the
/// first that is there takes its place.
async fn plans(app: &App) -> Result<Vec<Plan>> {
    let (now, scope) = (app.now(), Scope::<ManageBilling>::system(OrgId::PLATFORM));
    let ids = PLANS.map(|(id, ..)| id);
    let mut known = Plan::load_many_even_deleted(&app.table, &scope, &ids).await?;
    for (id, grants, amount) in PLANS {
        if known.iter().all(|plan| plan.id != id) {
            let plan = made(now, id, grants, Minor::new(amount))?;
            let commit = Commit::of(app, &Origin::default()).write(plan::NAME, Write::create(&plan)?);
            match commit.await {
                // Somebody else makes them just now.
                Ok(()) | Err(NotDone::Conditions(_)) => known.push(plan),
                Err(error) => return Err(error.into()),
            }
        }
    }
    known.sort_by_key(|plan| plan.id);
    Ok(known)
}

fn made(now: Time, id: PlanId, grants: &grants::Plan, amount: Minor) -> Result<Plan> {
    let new = NewPlan {
        name: grants.name.to_owned(),
        interval: Interval::Monthly,
        currency: CURRENCY.to_owned(),
        prices: vec![NewPrice::from(&Price::Flat { amount })],
        trial_days: None,
        trial_usage_billed: false,
        included_credits: Some(grants.included_credits),
        entitlements: std::collections::BTreeMap::new(),
    };
    let mut plan = Plan::new(now, OrgId::PLATFORM, &new)?;
    plan.id = id;
    plan.terms.plan = id;
    Ok(plan)
}

/// What gives an organization the plan of its subscription with the platform; nothing of a subscription with anybody else.
pub(crate) fn given(now: Time, subscription: &Subscription) -> Result<Option<Write>> {
    let own = |(id, ..): &&(PlanId, _, _)| *id == subscription.terms.plan;
    let is_enrolled = subscription.id.bits() == subscription.client.bits();
    if subscription.org != OrgId::PLATFORM || !is_enrolled {
        return Ok(None);
    }
    let plan = PLANS.iter().find(own).filter(|_| !subscription.is_over(now));
    let plan = plan.map_or(&FREE, |(_, grants, _)| grants);
    let org = OrgId::from_bits(subscription.client.bits());
    plan.give(org).map(Some)
}
