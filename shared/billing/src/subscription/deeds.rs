//! What people do with subscriptions: each deed, what is booked for it, its facts, its audit entry and its reply are one
//! transaction.

use app::App;
use commit::{Commit, NotDone, Reply, again_patiently};
use identity::Org;
use identity::org::BillingSettings;
use kernel::policy::ManageBilling;
use kernel::{ClientId, Error, PlanId, Result, Scope, SubscriptionId, Time};
use serde_json::json;
use trail::{Chain, Change};

use super::{
    ChangePreview, ChangeReply, ChangeRequest, ChangedView, Conditions, Credit, NAME, NewSubscription, PausedBy,
    Subscription, SubscriptionRequest, SubscriptionView, When, book,
};
use crate::books::Books;
use crate::client::Client;
use crate::contract::{self, Agreement, Contract};
use crate::coupon;
use crate::invoice::{Content, CreditNoteView, InvoiceView};
use crate::plan::Plan;

/// What a credit note says about a change of plan, and about a cancellation.
const CHANGED: &str = "Change of plan";
const CANCELLED: &str = "Subscription cancelled";

impl Subscription {
    /// Makes a subscription under a contract that has not ended, and notes it: active if the contract is. A client tries a
    /// plan once. 404 without the contract, the plan or the coupon; 409 `contract_ended`, `too_many_subscriptions`, or what
    /// the coupon says.
    pub async fn create(
        app: &App,
        scope: &Scope<ManageBilling>,
        request: &SubscriptionRequest,
    ) -> Result<SubscriptionView> {
        let quantity = request.quantity(app.now())?;
        again_patiently(|| async {
            let (now, table) = (app.now(), &app.table);
            let before = Agreement::load(table, scope, request.contract_id).await?;
            let (plan, client, settings, org) = parties(app, scope, request.plan_id, before.contract.client).await?;
            let may_try = plan.terms.trial_days > 0 && Self::may_try(table, scope, client.id, plan.id).await?;
            let redeemed = match &request.coupon_code {
                Some(code) => Some(coupon::redeem(table, now, scope, code, plan.terms.currency).await?),
                None => None,
            };
            let (discount, coupon) = redeemed.unzip();
            let new = NewSubscription {
                org: org.id,
                contract: before.contract.id,
                client: client.id,
                terms: plan.terms,
                quantity,
                zone: client.zone(&org.time_zone).clone(),
                start_at: request.start_at,
                may_try,
                discount,
                contract_ends_at: before.contract.ends_at,
            };
            let subscription = Self::new(now, new, before.contract.status == contract::Status::Active);
            let mut after = before.clone();
            after.add(now, subscription.id)?;
            let view = SubscriptionView::from(&subscription);
            let change = Change::by(scope.actor(), "subscription.created", NAME, subscription.id).to(json!(view));
            let conditions = client.conditions(&settings);
            let commit = Commit::by(app, scope)
                .write_all(coupon::NAME, coupon)
                .write_all("trial", subscription.takes_trial()?)
                .note(Chain::Org(org.id), change)
                .reply(Reply::created(&view)?);
            let commit = after.book(&before, now, &conditions, commit)?;
            book(now, [(None, subscription)], &conditions, commit)?.await?;
            Ok(view)
        })
        .await
    }

    /// Pauses it and notes it: no period begins, and nothing that was billed is given back.
    pub async fn rest(app: &App, scope: &Scope<ManageBilling>, id: SubscriptionId) -> Result<SubscriptionView> {
        let done = deed(app, scope, id, "subscription.paused", |one, now, _| {
            one.pause(now, PausedBy::Person)?;
            Ok(Outcome::default())
        });
        Ok(done.await?.subscription)
    }

    /// Lets it go on under a contract that is active, and notes it.
    pub async fn go_on(app: &App, scope: &Scope<ManageBilling>, id: SubscriptionId) -> Result<SubscriptionView> {
        again_patiently(|| async {
            let now = app.now();
            let before = Self::load(&app.table, scope, id).await?;
            let contract = Contract::load(&app.table, scope, before.contract).await?;
            let books = Books::open(app, scope.org(), before.client).await?;
            let mut after = before.clone();
            after
                .resume(now, contract.status == contract::Status::Active)
                .map_err(Error::from)?;
            let view = SubscriptionView::from(&after);
            let commit = Commit::by(app, scope)
                // Not while it is suspended at the same moment.
                .write(contract::NAME, contract.unchanged())
                .note(
                    Chain::Org(scope.org()),
                    noted(scope, "subscription.resumed", &before, &view),
                )
                .reply(Reply::ok(&view)?);
            let conditions = books.client().conditions(books.settings());
            book(now, [(Some(before), after)], &conditions, commit)?.await?;
            Ok::<_, NotDone>(view)
        })
        .await
    }

    /// Cancels it, or takes that back, and notes it. What is not used is given back where it ends now.
    pub async fn end(
        app: &App,
        scope: &Scope<ManageBilling>,
        id: SubscriptionId,
        when: Option<When>,
    ) -> Result<ChangedView> {
        let Some(when) = when else {
            return deed(app, scope, id, "subscription.uncanceled", |one, now, _| {
                one.uncancel(now)?;
                Ok(Outcome::default())
            })
            .await;
        };
        deed(app, scope, id, "subscription.canceled", move |one, now, conditions| {
            let credit = one.cancel(now, when, conditions.taxation)?.credit;
            Ok(Outcome {
                credit: credit.map(|credit| (credit, CANCELLED)),
                ..Outcome::default()
            })
        })
        .await
    }

    /// Changes its plan and notes it, with the invoice or the credit note that it makes; or shows these, which are made by
    /// the same function on a copy.
    pub async fn switch(
        app: &App,
        scope: &Scope<ManageBilling>,
        id: SubscriptionId,
        request: &ChangeRequest,
    ) -> Result<ChangeReply> {
        let terms = Plan::load(&app.table, scope, request.plan_id).await?.terms;
        let when = request.when();
        if request.preview {
            let mut copy = Self::load(&app.table, scope, id).await?;
            let books = Books::open(app, scope.org(), copy.client).await?;
            let conditions = books.client().conditions(books.settings());
            let changed = copy.change_plan(app.now(), &terms, when, &conditions)?;
            return ChangePreview::of(&changed).map(ChangeReply::Preview);
        }
        let done = deed(app, scope, id, "subscription.changed", |one, now, conditions| {
            let changed = one.change_plan(now, &terms, when, conditions)?;
            Ok(Outcome {
                invoice: changed.invoice,
                credit: changed.credit.map(|credit| (credit, CHANGED)),
            })
        });
        done.await.map(Box::new).map(ChangeReply::Done)
    }
}

/// What is sold, to whom, and by whom.
async fn parties(
    app: &App,
    scope: &Scope<ManageBilling>,
    plan: PlanId,
    client: ClientId,
) -> Result<(Plan, Client, BillingSettings, Org)> {
    let table = &app.table;
    let read = async {
        futures::try_join!(
            Plan::load(table, scope, plan),
            Client::load(table, scope, client),
            BillingSettings::load(table, scope),
            Org::load(table, scope),
        )
    };
    // Four reads at once are large.
    Box::pin(read).await
}

/// What has to be booked for a deed.
#[derive(Debug, Default)]
struct Outcome {
    invoice: Option<Content>,
    /// What is given back, and why.
    credit: Option<(Credit, &'static str)>,
}

async fn deed(
    app: &App,
    scope: &Scope<ManageBilling>,
    id: SubscriptionId,
    action: &'static str,
    act: impl Fn(&mut Subscription, Time, &Conditions) -> Result<Outcome> + Send + Sync,
) -> Result<ChangedView> {
    again_patiently(|| async {
        let now = app.now();
        let before = Subscription::load(&app.table, scope, id).await?;
        let mut books = Books::open(app, scope.org(), before.client).await?;
        let conditions = books.client().conditions(books.settings());
        let mut after = before.clone();
        let outcome = act(&mut after, now, &conditions)?;
        let invoice = match outcome.invoice {
            Some(content) => Some(books.issue(after.source_of_change(), content).await?),
            None => None,
        };
        let credit_note = match outcome.credit {
            Some((credit, reason)) => Some(books.give_back(credit, &after, reason).await?),
            None => None,
        };
        let view = ChangedView {
            subscription: SubscriptionView::from(&after),
            invoice: invoice.map(InvoiceView::from),
            credit_note: credit_note.map(CreditNoteView::from),
        };
        let commit = Commit::by(app, scope)
            .note(
                Chain::Org(scope.org()),
                noted(scope, action, &before, &view.subscription),
            )
            .reply(Reply::ok(&view)?);
        let commit = books.close(commit)?;
        book(now, [(Some(before), after)], &conditions, commit)?.await?;
        Ok::<_, NotDone>(view)
    })
    .await
}

fn noted(
    scope: &Scope<ManageBilling>,
    action: &'static str,
    before: &Subscription,
    after: &SubscriptionView,
) -> Change {
    let change = Change::by(scope.actor(), action, NAME, before.id);
    change.from(json!(SubscriptionView::from(before))).to(json!(after))
}
