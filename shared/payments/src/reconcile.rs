//! The comparison at night: what a provider lists of an account beside what is booked here. What differs is looked at, which
//! books it; what differs still is drift, which is reported.
//!
//! It is one job for each account at each provider, which is never done: it waits for the next night. Whoever begins a
//! payment sees to it that it is there.

use std::collections::BTreeSet;
use std::time::Duration;

use app::App;
use commit::{Commit, again};
use jobs::{Job, JobKey, Later, Outcome, Owner, Place, Queue, Running, queue};
use kernel::policy::ReadBilling;
use kernel::{Currency, Error, MessageId, Minor, Money, OrgId, Origin, PaymentId, Result, Scope, Time};
use outbox::Shown;
use providers::{Charge, ChargeState, Provider};
use serde::{Deserialize, Serialize};
use table::{Page, Slice, Table, Write};

use crate::account::Opened;
use crate::event;
use crate::payment::Payment;
use crate::payment::store::{Pointer, reports};
use crate::sync::{self, Hint};
use crate::till::{Till, Undone};
use crate::work::outcome_of;

/// A night looks at so much of what was: what came late in the night before is among it.
const SPAN: i64 = 2 * Time::DAY;
/// What is this young may be on its way to us.
const YOUNG: i64 = 10 * Time::MINUTE;
/// What a provider could not deliver in so much time is looked at: Stripe tries for three days.
const UNDELIVERED: i64 = 5 * Time::DAY;
/// At night, UTC: so many hours after midnight.
const HOUR_OF_NIGHT: i64 = 2;
/// So many pages of a provider's list are read; a hundred charges each.
const MOST_PAGES: usize = 200;
/// A report names so many differences at most, and counts the rest.
const MOST_NAMED: usize = 100;
/// So many reports are looked at for what was told before: those of a week, and more.
const LATEST: u16 = 21;

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
    #[serde(default, skip_serializing)]
    #[schema(ignore)]
    pub(crate) version: u64,
}

outbox::facts! {
    /// A provider lists what is booked otherwise here, and did not the night before.
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
        id: id_of(now.plus_millis(until_night(now) - Time::DAY), provider),
        org,
        provider,
        from,
        until,
        compared: 0,
        repaired: 0,
        drifted: 0,
        drift: Vec::new(),
        version: 0,
    };
    let opened = till.account(app, org, provider).await?;
    let mut after: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let page = till.ask(app, &opened, |providers, credentials| {
            providers.list(credentials, from, until, after.as_deref())
        });
        let page = page.await.map_err(refused)?;
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
    look_at_undelivered(app, till, &opened, &mut report).await?;
    store(app, report).await
}

/// Looks at whatever an event is about that the provider could not deliver: a refund that was made there, or a dispute, is
/// on no list of charges. Each payment once, however many events are about it.
async fn look_at_undelivered(app: &App, till: &Till, opened: &Opened, report: &mut Report) -> Result<()> {
    let from = app.now().plus_millis(-UNDELIVERED);
    let (mut looked, mut after) = (BTreeSet::new(), None::<String>);
    for _ in 0..MOST_PAGES {
        let page = till.ask(app, opened, |providers, credentials| {
            providers.undelivered(credentials, from, after.as_deref())
        });
        let page = page.await.map_err(refused)?;
        for event in page.events {
            let found = event::find(app, till, report.org, report.provider, &event).await?;
            let Some(found) = found.filter(|found| looked.insert(found.payment)) else {
                continue;
            };
            let scope = Scope::<ReadBilling>::system(found.org);
            let before = Payment::load(&app.table, &scope, found.payment).await?;
            let hint = event::hint(&event);
            match sync::look(app, till, found.org, found.payment, &hint).await {
                Ok(payment) => report.repaired += u32::from(payment.online != before.online),
                // The provider does not show it: the others are looked at all the same.
                Err(Error::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(())
}

/// What a provider's not doing it is to the night.
fn refused(undone: Undone) -> Error {
    match undone {
        Undone::Refused(why) => Error::refused("provider_refused", why),
        Undone::Unknown(why) => Error::Away(why),
    }
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

/// The id of a night's report: the night's time, and which provider.
fn id_of(night: Time, provider: Provider) -> MessageId {
    let place = Provider::ALL.iter().position(|known| *known == provider);
    let of_night = MessageId::new(night).bits() >> 80 << 80;
    MessageId::from_bits(of_night | u128::try_from(place.unwrap_or_default()).unwrap_or_default())
}

impl Report {
    /// Whether something differs that the latest reports did not name.
    fn has_news(&self, latest: &[Self]) -> bool {
        let known = latest.iter().filter(|known| known.provider == self.provider);
        let known: BTreeSet<&str> = known
            .flat_map(|report| &report.drift)
            .map(|drift| drift.charge.as_str())
            .collect();
        self.drift.iter().any(|drift| !known.contains(drift.charge.as_str()))
    }

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

/// Stores a report that says something, and tells of drift that was not told of. A process that dies after that compares the
/// same night again: there is one report of it all the same.
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
    let scope = Scope::<ReadBilling>::system(report.org);
    again(|| async {
        let slice = Slice {
            limit: LATEST,
            after: None,
        };
        let latest = reports(&app.table, &scope, slice).await?.records;
        let mut report = report.clone();
        if let Some(before) = latest.iter().find(|known| known.id == report.id) {
            report.repaired += before.repaired;
            report.version = before.version;
        }
        let mut commit = Commit::of(app, &Origin::default()).write("report", Write::save(&report)?);
        if report.has_news(&latest) {
            let told = Shown::of(report.org, &report.id, report.version + 1, report.clone());
            commit = commit.tell(&ReconciliationDrifted(told))?;
        }
        commit.await
    })
    .await
}
