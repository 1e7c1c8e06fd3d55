//! Giving money back: stored first, then asked for by a job under the refund's own id, so that whatever dies in between
//! and however often it is asked, the money goes back once.

use app::App;
use billing::invoice::{CreditNoteView, NewCreditNote};
use billing::{CreditNote, Invoice};
use commit::{Commit, Reply, again_patiently};
use jobs::{Job, JobKey, Outcome, Owner, Place, Queue, Running, queue};
use kernel::check::{Check, Input};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{Error, InvoiceId, Minor, Money, OrgId, PaymentId, RefundId, Result, Scope, Time};
use providers::{Providers, RefundState, Refunding, SeenRefund};
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::{Slice, Write};
use trail::{Chain, Change};

use crate::checkout::not_chargeable;
use crate::payment::store::NAME;
use crate::payment::{Online, Payment, Refund, RefundView, say};
use crate::refusal::{CannotGiveBack, CannotRefund};
use crate::sync;
use crate::till::{Till, Undone};
use crate::watch::Watch;
use crate::work::outcome_of;

/// So many refunds are one payment's at most.
const MOST: usize = 100;
/// A credit note gives back of so many payments at most, which are written in its transaction.
const MOST_PAYMENTS: usize = 10;
/// So many pages of an invoice's payments are read for that.
const MOST_PAGES: usize = 10;
/// A refund that nobody answers for is looked at and asked for again after this.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(15);
/// The watch of a refund looks after this.
const WATCHED: i64 = 2 * Time::MINUTE;

/// All that is left is to go back.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRefund {
    /// Why, at most 500 characters.
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// A part is to go back.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPartialRefund {
    /// Minor units of what came, above zero.
    #[schema(value_type = i64, minimum = 1)]
    pub amount: Minor,
    /// Why, at most 500 characters.
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

impl Input for NewRefund {
    fn check(&self, check: &mut Check) {
        if let Some(reason) = &self.reason {
            check.text("reason", reason, 1..=500);
        }
    }
}

impl Input for NewPartialRefund {
    fn check(&self, check: &mut Check) {
        check.that(
            self.amount > Minor::ZERO && self.amount.within().is_ok(),
            "amount",
            "must be above 0 and below 10^15",
        );
        if let Some(reason) = &self.reason {
            check.text("reason", reason, 1..=500);
        }
    }
}

/// A refund that was begun, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RefundedView {
    /// The refund.
    pub refund: RefundView,
}

/// Begins to give back so much of a payment, or all that is left, and notes it. 409 for more than is left, and where nothing
/// can go back; 422 for what the provider cannot express.
pub async fn refund(
    app: &App,
    scope: &Scope<ManageBilling>,
    id: PaymentId,
    amount: Option<Minor>,
    reason: Option<String>,
) -> Result<RefundedView> {
    let read: Scope<ReadBilling> = scope.narrow()?;
    again_patiently(|| async {
        let mut payment = Payment::load(&app.table, &read, id).await?;
        let refund = ask(&mut payment, app.now(), amount, reason.clone(), "a member asked for")?;
        let view = RefundedView {
            refund: RefundView::from(&refund),
        };
        let change = Change::by(scope.actor(), "payment.refund_started", NAME, id);
        let change = change.to(json!({"refund": refund.id, "amount": refund.amount, "reason": reason}));
        let commit = Commit::by(app, scope)
            .note(Chain::Org(payment.org), change)
            .reply(Reply::created(&view)?);
        begin(commit, app.now(), &payment, &refund)?.await?;
        Ok(view)
    })
    .await
}

/// Adds a refund of so much to a payment, or of all that is left; says in its history who asked.
fn ask(
    payment: &mut Payment,
    now: Time,
    amount: Option<Minor>,
    reason: Option<String>,
    who_asked: &str,
) -> Result<Refund> {
    let online = payment.online.as_mut().ok_or(CannotRefund::ByHand)?;
    let amount = allowed(online, amount)?;
    let refund = Refund {
        id: RefundId::new(now),
        amount: amount.minor,
        state: RefundState::Pending,
        reason,
        failure: None,
        provider_id: None,
        created_at: now,
    };
    online.note(now, format!("{who_asked} a refund of {}", say(amount)));
    online.refunds.push(refund.clone());
    Ok(refund)
}

/// Stores a payment with a refund that was added to it, and the jobs that ask for it and watch it.
fn begin<'a>(commit: Commit<'a>, now: Time, payment: &Payment, refund: &Refund) -> Result<Commit<'a>> {
    let job = GiveBack {
        org: payment.org,
        payment: payment.id,
        refund: refund.id,
    };
    commit
        .write(NAME, Write::replace(payment)?)
        .later(&job, now)?
        .later(&Watch::of_refund(payment, refund), now.plus_millis(WATCHED))
}

/// Credits some of an invoice. If it says so, what was paid goes back by the payments that paid it, all in one transaction:
/// of the newest first, of each at most what it paid. 409 `not_refundable` where no provider can give anything back, and
/// `refund_too_large` where that is less than is to go back.
pub async fn credit(
    app: &App,
    scope: &Scope<ManageBilling>,
    id: InvoiceId,
    new: &NewCreditNote,
) -> Result<CreditNoteView> {
    let read: &Scope<ReadBilling> = &scope.narrow()?;
    Invoice::credit_now(app, scope, id, new, |commit, note| async move {
        let mut payments = Vec::new();
        for listed in paid_by(app, read, id).await? {
            // As it is now: the list may be a moment behind.
            payments.push(Payment::load(&app.table, read, listed).await?);
        }
        give_back_of(commit, app.now(), payments, &note)
    })
    .await
}

/// The payments by providers that paid something of an invoice, the newest first.
async fn paid_by(app: &App, scope: &Scope<ReadBilling>, invoice: InvoiceId) -> Result<Vec<PaymentId>> {
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let page = Payment::list_of(&app.table, scope, invoice, Slice { limit: 100, after }).await?;
        let paid = page.records.iter().filter(|payment| payment.left() > Minor::ZERO);
        found.extend(paid.map(|payment| payment.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.truncate(MOST_PAYMENTS);
    Ok(found)
}

/// Begins what gives back as much as a credit note says.
fn give_back_of<'a>(
    mut commit: Commit<'a>,
    now: Time,
    payments: Vec<Payment>,
    note: &CreditNote,
) -> Result<Commit<'a>> {
    let mut rest = note.given_back;
    let who = format!("the credit note {} asks for", note.number);
    let mut payments = payments
        .into_iter()
        .filter(|payment| payment.left() > Minor::ZERO)
        .peekable();
    if payments.peek().is_none() {
        return Err(CannotGiveBack::NotByProvider.into());
    }
    for mut payment in payments {
        let part = payment.left().min(rest);
        if part == Minor::ZERO {
            break;
        }
        let refund = ask(&mut payment, now, Some(part), Some(note.reason.clone()), &who)?;
        commit = begin(commit, now, &payment, &refund)?;
        rest -= part;
    }
    if rest > Minor::ZERO {
        return Err(CannotGiveBack::TooMuch.into());
    }
    Ok(commit)
}

impl Payment {
    /// What of it was paid for its invoice and can go back: nothing of one that is contested, or was refunded too often.
    fn left(&self) -> Minor {
        let Some(online) = self.online.as_ref().filter(|online| allowed(online, None).is_ok()) else {
            return Minor::ZERO;
        };
        online.refundable().min(online.applied - online.taken_back)
    }
}

/// What may go back of a payment: so much, or all that is left.
fn allowed(online: &Online, amount: Option<Minor>) -> Result<Money> {
    let received = online.received.ok_or(CannotRefund::NotPaid)?;
    if online.is_disputed() {
        return Err(CannotRefund::Disputed.into());
    }
    if online.refunds.len() >= MOST {
        return Err(CannotRefund::TooMany.into());
    }
    let left = online.refundable();
    if left == Minor::ZERO {
        return Err(CannotRefund::NothingLeft.into());
    }
    let amount = amount.unwrap_or(left);
    if amount > left {
        return Err(CannotRefund::TooMuch.into());
    }
    let money = Money::new(amount, received.currency);
    Providers::refundable(online.provider, money).map_err(not_chargeable)?;
    Ok(money)
}

/// Asks a provider to give money back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveBack {
    org: OrgId,
    payment: PaymentId,
    refund: RefundId,
}

impl Job for GiveBack {
    const KIND: &'static str = "payment-refund";
    const QUEUE: &'static Queue = &queue::PAYMENTS;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.org), self.payment)
    }

    fn label(&self) -> Option<String> {
        Some(self.refund.to_string())
    }

    fn key(&self) -> Option<JobKey> {
        Some(JobKey::of(self.refund.to_string(), self.refund.time()))
    }
}

impl GiveBack {
    /// Asks. A provider that does not answer is asked until it does, with the same key.
    pub(crate) async fn work(app: &App, till: &Till, running: &Running<'_, Self>) -> Outcome {
        let Self { org, payment, refund } = running.job;
        match give_back(app, till, org, payment, refund).await {
            Ok(()) => Outcome::Done,
            Err(Error::Away(_)) => Outcome::NotNow { after: AGAIN },
            Err(error) => outcome_of(&error),
        }
    }
}

async fn give_back(app: &App, till: &Till, org: OrgId, id: PaymentId, refund: RefundId) -> Result<()> {
    let payment = Payment::load(&app.table, &Scope::<ReadBilling>::system(org), id).await?;
    let Some(online) = &payment.online else {
        return Ok(());
    };
    let Some(asked) = online.refunds.iter().find(|known| known.id == refund) else {
        return Ok(());
    };
    if asked.state != RefundState::Pending || asked.provider_id.is_some() {
        return Ok(());
    }
    let money = Money::new(
        asked.amount,
        online.received.map_or(payment.currency, |money| money.currency),
    );
    let refunding = Refunding {
        refund,
        payment: online.checkout.payment,
        session: online
            .session
            .as_ref()
            .map(|session| session.id.clone())
            .unwrap_or_default(),
        charge: online.charge.clone().unwrap_or_default(),
        money,
    };
    let account = till.account(app, online.account, online.provider).await;
    let asked = match &account {
        Ok(account) => {
            till.ask(app, account, |providers, credentials| {
                providers.refund(credentials, &refunding)
            })
            .await
        }
        // The account is gone: nobody can be asked.
        Err(Error::Refused { detail, .. }) => Err(Undone::Refused(detail.clone())),
        Err(error) => Err(Undone::Unknown(error.to_string())),
    };
    let seen = match asked {
        Ok(seen) => seen,
        Err(Undone::Unknown(why)) => return Err(Error::Away(why)),
        Err(Undone::Refused(why)) => SeenRefund {
            id: String::new(),
            ours: Some(refund),
            state: RefundState::Failed,
            money,
            why: Some(why),
        },
    };
    again_patiently(|| async {
        let before = Payment::load(&app.table, &Scope::<ReadBilling>::system(org), id).await?;
        let mut after = before.clone();
        if let Some(online) = &mut after.online {
            let known = online.refunds.iter().find(|known| known.id == refund);
            // A look has seen more of it meanwhile.
            if known.is_none_or(|known| known.provider_id.is_some()) {
                return Ok(());
            }
            online.fold_refund(app.now(), &seen);
        }
        sync::store(app, till, before, after, Vec::new()).await?;
        Ok(())
    })
    .await
}
