//! The comparison at night: what a provider lists of an account beside what is booked here. What differs is looked at, which
//! books it; what differs still is drift, which is reported.
//!
//! It is one job for each account at each provider, which is never done: it waits for the next night. Whoever begins a
//! payment sees to it that it is there.

use std::time::Duration;

use app::App;
use commit::Commit;
use jobs::{Job, JobKey, Later, Outcome, Owner, Place, Queue, Running, queue};
use kernel::policy::ReadBilling;
use kernel::{Currency, Error, MessageId, Minor, Money, OrgId, Origin, PaymentId, Result, Scope, Time};
use outbox::Shown;
use providers::{Charge, ChargeState, Provider};
use serde::{Deserialize, Serialize};
use table::{Page, Slice, Table, Write};

use crate::payment::Payment;
use crate::payment::store::{Pointer, reports};
use crate::sync::{self, Hint};
use crate::till::{Till, Undone};
use crate::work::outcome_of;

/// A night looks at so much of what was: what came late in the night before is among it.
const SPAN: i64 = 2 * Time::DAY;
/// What is this young may be on its way to us.
const YOUNG: i64 = 10 * Time::MINUTE;
/// At night, UTC: so many hours after midnight.
const HOUR_OF_NIGHT: i64 = 2;
/// So many pages of a provider's list are read; a hundred charges each.
const MOST_PAGES: usize = 200;
/// A report names so many differences at most, and counts the rest.
const MOST_NAMED: usize = 100;

/// Compares an account with what is booked, each night.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconcile {
    account: OrgId,
    provider: Provider,
}

impl Job for Reconcile {
    const KIND: &'static str = "payment-reconcile";
    const QUEUE: &'static Queue = &queue::PAYMENTS;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.account), self.provider)
    }

    fn label(&self) -> Option<String> {
        Some(self.provider.to_string())
    }

    fn key(&self) -> Option<JobKey> {
        Some(JobKey::of(self.provider.to_string(), self.account.time()))
    }
}

/// Something that a provider lists and that is booked otherwise here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Drift)]
pub struct Drift {
    /// Which payment of ours; null where the provider names one that is not known here.
    #[schema(required)]
    pub payment_id: Option<PaymentId>,
    /// What the provider calls the money.
    pub charge: String,
    /// What the provider lists, in minor units.
    #[schema(value_type = i64)]
    pub amount: Minor,
    /// Of this currency.
    pub currency: Currency,
    /// What differs, in words.
    pub text: String,
}

/// What a night's comparison found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Reconciliation)]
pub struct Report {
    /// Its id.
    pub id: MessageId,
    #[serde(rename = "org")]
    #[schema(ignore)]
    pub(crate) org: OrgId,
    /// By which provider.
    pub provider: Provider,
    /// From when on charges were compared.
    pub from: Time,
    /// And until when.
    pub until: Time,
    /// How many charges the provider lists.
    pub compared: u32,
    /// How many of them were booked by this: nothing had told of them.
    pub repaired: u32,
    /// How many differ all the same.
    pub drifted: u32,
    /// Those: a hundred at most.
    pub drift: Vec<Drift>,
}

outbox::facts! {
    /// A provider lists what is booked otherwise here.
    pub ReconciliationDrifted(Shown<Report>) "reconciliation.drifted";
}

impl Report {
    /// Reads one page of an organization's, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadBilling>, slice: Slice) -> Result<Page<Self>> {
        reports(table, scope, slice).await
    }
}

/// Sees to it that an account is compared from the next night on.
pub(crate) async fn ensure(app: &App, account: OrgId, provider: Provider) -> Result<()> {
    let job = Reconcile { account, provider };
    let now = app.now();
    let first = now.plus_millis(until_night(now));
    Later::of(now, &job, first)?.store(app).await?;
    Ok(())
}

/// How long it is until the next night.
fn until_night(now: Time) -> i64 {
    let into_day = now
        .plus_millis(-HOUR_OF_NIGHT * Time::HOUR)
        .millis()
        .rem_euclid(Time::DAY);
    Time::DAY - into_day
}

impl Reconcile {
    /// Compares, and waits for the next night.
    pub(crate) async fn work(app: &App, till: &Till, running: &Running<'_, Self>) -> Outcome {
        let Self { account, provider } = running.job;
        match Box::pin(compare(app, till, account, provider)).await {
            Ok(()) | Err(Error::Refused { .. }) => {
                let wait = u64::try_from(until_night(app.now())).unwrap_or(0);
                Outcome::NotNow {
                    after: Duration::from_millis(wait),
                }
            }
            Err(error) => outcome_of(&error),
        }
    }
}

async fn compare(app: &App, till: &Till, org: OrgId, provider: Provider) -> Result<()> {
    let now = app.now();
    let (from, until) = (now.plus_millis(-SPAN), now.plus_millis(-YOUNG));
    let mut report = Report {
        id: MessageId::new(now),
        org,
        provider,
        from,
        until,
        compared: 0,
        repaired: 0,
        drifted: 0,
        drift: Vec::new(),
    };
    let opened = till.account(app, org, provider).await?;
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let page = till.ask(app, &opened, |providers, credentials| {
            providers.list(credentials, from, until, after.as_deref())
        });
        let page = page.await.map_err(|undone| match undone {
            Undone::Refused(why) => Error::refused("provider_refused", why),
            Undone::Unknown(why) => Error::Away(why),
        })?;
        for (payment, charge, _) in page.charges {
            // What names none of ours is somebody else's, by the same account.
            if let Some(payment) = payment {
                report.compared += 1;
                check(app, till, &mut report, payment, &charge).await?;
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    store(app, report).await
}

/// Compares one charge with its payment, which is looked at if they differ.
async fn check(app: &App, till: &Till, report: &mut Report, id: PaymentId, charge: &Charge) -> Result<()> {
    let scope = Scope::<ReadBilling>::system(report.org);
    let pointer = Pointer::find(&app.table, &scope, report.provider, &[id.to_string()]).await?;
    let Some(pointer) = pointer else {
        report.drifts(
            None,
            charge,
            format!("the provider names the payment {id}, which is not known here"),
        );
        return Ok(());
    };
    let scope = Scope::<ReadBilling>::system(pointer.org);
    let payment = Payment::load(&app.table, &scope, pointer.payment).await?;
    if difference(&payment, charge).is_none() {
        return Ok(());
    }
    let hint = Hint {
        charge: Some(charge.id.clone()),
        dispute: None,
    };
    let payment = sync::look(app, till, pointer.org, pointer.payment, &hint).await?;
    match difference(&payment, charge) {
        None => report.repaired += 1,
        Some(why) => report.drifts(Some(payment.id), charge, why),
    }
    Ok(())
}

/// In what a charge differs from what is booked of it, if it does. A second charge of a session is another payment's.
fn difference(payment: &Payment, charge: &Charge) -> Option<String> {
    let online = payment.online.as_ref()?;
    if charge.state != ChargeState::Succeeded || online.charge.as_ref().is_some_and(|known| *known != charge.id) {
        return None;
    }
    match online.received {
        None => Some("the provider has the money, and it is not booked here".to_owned()),
        Some(money) if money != charge.money => Some(format!(
            "the provider has {} {}, and {} {} is booked here",
            charge.money.currency.code(),
            charge.money.plain(),
            money.currency.code(),
            money.plain()
        )),
        Some(_) => None,
    }
}

impl Report {
    fn drifts(&mut self, payment_id: Option<PaymentId>, charge: &Charge, text: String) {
        let Money { minor, currency } = charge.money;
        self.drifted += 1;
        if self.drift.len() < MOST_NAMED {
            self.drift.push(Drift {
                payment_id,
                charge: charge.id.clone(),
                amount: minor,
                currency,
                text,
            });
        }
    }
}

/// Stores a report that says something, and tells of drift.
async fn store(app: &App, report: Report) -> Result<()> {
    tracing::info!(
        payment.provider = %report.provider,
        compared = report.compared,
        repaired = report.repaired,
        drifted = report.drifted,
        "an account was compared"
    );
    if report.repaired == 0 && report.drifted == 0 {
        return Ok(());
    }
    let mut commit = Commit::of(app, &Origin::default()).write("report", Write::create(&report)?);
    if report.drifted > 0 {
        let told = Shown::of(report.org, &report.id, 1, report.clone());
        commit = commit.tell(&ReconciliationDrifted(told))?;
    }
    Ok(commit.await?)
}
