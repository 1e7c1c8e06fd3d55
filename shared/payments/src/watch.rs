//! The watch: a job for each payment that looks at it until nothing can become of it any more. So a crash between two
//! steps, an event that never came and a page that nobody closed are all found, without anybody's doing.

use std::time::Duration;

use app::App;
use jobs::{Job, JobKey, Outcome, Owner, Place, Queue, Running, queue};
use kernel::policy::ReadBilling;
use kernel::{OrgId, PaymentId, RefundId, Scope, Time};
use providers::Provider;
use serde::{Deserialize, Serialize};

use crate::checkout;
use crate::payment::{Online, Payment, Refund, Stage};
use crate::sync::{self, Hint};
use crate::till::Till;
use crate::work::outcome_of;

/// A payment without a session is gone on with after this: whoever began it has finished, or died.
const FIRST: i64 = Time::MINUTE;
/// A session ends at its provider's time; it is looked at a little later.
const AFTER_ITS_END: i64 = 2 * Time::MINUTE;
/// A failure may turn out to be none for so long: Razorpay's late authorizations take up to five days.
const FAILURES_CHANGE: i64 = 6 * Time::DAY;
/// A refund may fail for so long after it succeeded.
const REFUNDS_CHANGE: i64 = 14 * Time::DAY;

/// Looks at a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    org: OrgId,
    payment: PaymentId,
    /// Because of which refund, if because of one.
    refund: Option<RefundId>,
}

impl Job for Watch {
    const KIND: &'static str = "payment-watch";
    const QUEUE: &'static Queue = &queue::PAYMENTS;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.org), self.payment)
    }

    fn label(&self) -> Option<String> {
        Some(self.payment.to_string())
    }

    fn key(&self) -> Option<JobKey> {
        Some(match self.refund {
            Some(refund) => JobKey::of(refund.to_string(), refund.time()),
            None => JobKey::of(self.payment.to_string(), self.payment.time()),
        })
    }
}

impl Watch {
    /// The one that a payment has from its beginning.
    pub(crate) fn of(payment: &Payment) -> Self {
        Self {
            org: payment.org,
            payment: payment.id,
            refund: None,
        }
    }

    /// The one that a refund has, for its payment's own may have ended.
    pub(crate) fn of_refund(payment: &Payment, refund: &Refund) -> Self {
        Self {
            refund: Some(refund.id),
            ..Self::of(payment)
        }
    }

    /// When it looks for the first time.
    pub(crate) fn first(payment: &Payment) -> Time {
        payment.created_at.plus_millis(FIRST)
    }

    /// Looks.
    pub(crate) async fn work(app: &App, till: &Till, running: &Running<'_, Self>) -> Outcome {
        let Self { org, payment, .. } = running.job;
        match look(app, till, org, payment).await {
            Ok(payment) => match next(app.now(), &payment) {
                Some(after) => Outcome::NotNow { after },
                None => Outcome::Done,
            },
            Err(error) => outcome_of(&error),
        }
    }
}

async fn look(app: &App, till: &Till, org: OrgId, id: PaymentId) -> kernel::Result<Payment> {
    let scope = Scope::<ReadBilling>::system(org);
    let payment = Payment::load(&app.table, &scope, id).await?;
    if payment
        .online
        .as_ref()
        .is_some_and(|online| online.stage == Stage::Opening)
    {
        checkout::resume(app, till, payment).await?;
        return Payment::load(&app.table, &scope, id).await;
    }
    sync::look(app, till, org, id, &Hint::default()).await
}

/// When a payment is to be looked at again; nothing if nothing can become of it.
fn next(now: Time, payment: &Payment) -> Option<Duration> {
    let online = payment.online.as_ref()?;
    let age = now.millis() - payment.created_at.millis();
    let wait = match online.stage {
        Stage::Opening => FIRST,
        Stage::Open => {
            let end = online.session.as_ref().map_or(now, |session| session.expires_at);
            let end = end.plus_millis(AFTER_ITS_END).millis() - now.millis();
            by_age(age).min(end.max(FIRST))
        }
        Stage::Processing => by_age(age),
        Stage::Failed if can_turn(online.provider) && age < FAILURES_CHANGE => 12 * Time::HOUR,
        Stage::Failed => return None,
        Stage::Received => money(now, online)?,
    };
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

/// What is young changes soon.
fn by_age(age: i64) -> i64 {
    if age < 10 * Time::MINUTE {
        2 * Time::MINUTE
    } else if age < 2 * Time::HOUR {
        15 * Time::MINUTE
    } else {
        3 * Time::HOUR
    }
}

/// Whether a failure at a provider may turn out to be none.
fn can_turn(provider: Provider) -> bool {
    matches!(provider, Provider::Razorpay | Provider::Cashfree)
}

/// When money that came is to be looked at again, if anything moves.
fn money(now: Time, online: &Online) -> Option<i64> {
    let youngest = online.refunds.iter().map(|refund| refund.created_at).max();
    let age = youngest.map(|at| now.millis() - at.millis());
    if online.is_refunding() {
        return Some(age.map_or(Time::HOUR, by_age));
    }
    let may_change = online.is_disputed() || age.is_some_and(|age| age < REFUNDS_CHANGE);
    may_change.then_some(12 * Time::HOUR)
}
