//! What a payment by a provider has more than one by hand: its session, what came in it, what went back, and its history.

use kernel::{Minor, Money, OrgId, PaymentId, RefundId, Time};
use outbox::Shown;
use providers::{Charge, Checkout, Dispute, DisputeState, Provider, RefundState, Session};
use serde::{Deserialize, Serialize};

use super::{Payment, PaymentStatus, PaymentView};

/// So much of its history is kept: more than refunds and disputes make.
const MOST_HISTORY: usize = 200;

/// What the history of money begins with that fits nothing; why follows.
pub(crate) const KEPT: &str = "kept, not applied: ";

/// A payment by a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Online {
    /// By which.
    pub provider: Provider,
    /// Whose account there: the organization's own, or the platform's.
    pub account: OrgId,
    /// What is paid.
    pub purpose: Purpose,
    /// What the provider is asked for; the same each time it is asked.
    pub checkout: Checkout,
    /// The provider's page; nothing before it is open.
    pub session: Option<Session>,
    /// How far it is.
    pub stage: Stage,
    /// What the provider calls the money, once it came.
    pub charge: Option<String>,
    /// What came.
    pub received: Option<Money>,
    /// What of it counts for what is paid.
    pub applied: Minor,
    /// What of that a lost dispute took back.
    pub taken_back: Minor,
    /// What goes, or went, back.
    pub refunds: Vec<Refund>,
    /// What is, or was, contested.
    pub disputes: Vec<Dispute>,
    /// What happened, oldest first.
    pub history: Vec<HistoryEntry>,
    /// Whether it failed by our own doing: it gave way to another one, or was never opened.
    #[serde(default)]
    pub(crate) ended_by_us: bool,
    /// Whether somebody tried to pay in vain.
    #[serde(default)]
    pub(crate) tried: bool,
    /// Whether it failed though nobody's money failed to come: its page gave way to another one, was closed, or ran out.
    #[serde(default)]
    pub(crate) lapsed: bool,
    /// How many facts were told of it.
    #[serde(default)]
    pub(crate) told: u64,
}

/// What is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "for")]
pub enum Purpose {
    /// An invoice.
    Invoice,
    /// Credits for a wallet.
    Topup {
        /// Whose wallet.
        org: OrgId,
        /// Which top-up of it.
        topup: PaymentId,
    },
}

/// How far a payment by a provider is, apart from what becomes of the money later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The provider is being asked for a session.
    Opening,
    /// Somebody can pay.
    Open,
    /// Somebody has paid; the money is on its way.
    Processing,
    /// Nobody paid, and nobody can any more.
    Failed,
    /// The money came.
    Received,
}

/// Money that goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    /// Its id: the provider's idempotency key.
    pub id: RefundId,
    /// How much.
    pub amount: Minor,
    /// How far it is.
    pub state: RefundState,
    /// Why, in the words of who asked for it.
    pub reason: Option<String>,
    /// Why it failed, in the provider's words.
    pub failure: Option<String>,
    /// The provider's id, once it has it.
    pub provider_id: Option<String>,
    /// When it was asked for.
    pub created_at: Time,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HistoryEntry {
    /// When.
    pub at: Time,
    /// What, as a person reads it.
    pub text: String,
}

impl Refund {
    /// Whether the money is gone, or about to be.
    fn counts(&self) -> bool {
        matches!(self.state, RefundState::Pending | RefundState::Succeeded)
    }
}

impl Online {
    /// One whose page is to be asked for.
    pub(crate) fn new(provider: Provider, account: OrgId, purpose: Purpose, checkout: Checkout) -> Self {
        Self {
            provider,
            account,
            purpose,
            checkout,
            session: None,
            stage: Stage::Opening,
            charge: None,
            received: None,
            applied: Minor::ZERO,
            taken_back: Minor::ZERO,
            refunds: Vec::new(),
            disputes: Vec::new(),
            history: Vec::new(),
            ended_by_us: false,
            tried: false,
            lapsed: false,
            told: 0,
        }
    }

    /// What went back.
    pub fn refunded(&self) -> Minor {
        let done = self
            .refunds
            .iter()
            .filter(|refund| refund.state == RefundState::Succeeded);
        done.map(|refund| refund.amount).sum()
    }

    /// What lost disputes took: never more than is left after refunds.
    pub fn lost(&self) -> Minor {
        let received = self.received.map_or(Minor::ZERO, |money| money.minor);
        let lost = self
            .disputes
            .iter()
            .filter(|dispute| dispute.state == DisputeState::Lost);
        let lost: Minor = lost.map(|dispute| dispute.money.minor).sum();
        lost.min(received - self.refunded()).max(Minor::ZERO)
    }

    /// What can still be given back.
    pub fn refundable(&self) -> Minor {
        let received = self.received.map_or(Minor::ZERO, |money| money.minor);
        let reserved: Minor = self
            .refunds
            .iter()
            .filter(|refund| refund.counts())
            .map(|refund| refund.amount)
            .sum();
        (received - reserved - self.lost()).max(Minor::ZERO)
    }

    /// Whether its payer contests it and nothing is decided.
    pub fn is_disputed(&self) -> bool {
        self.disputes.iter().any(|dispute| dispute.state == DisputeState::Open)
    }

    /// Whether a refund is under way.
    pub fn is_refunding(&self) -> bool {
        self.refunds.iter().any(|refund| refund.state == RefundState::Pending)
    }

    /// Its status.
    pub fn status(&self) -> PaymentStatus {
        match self.stage {
            Stage::Opening | Stage::Open => return PaymentStatus::Pending,
            Stage::Processing => return PaymentStatus::Processing,
            Stage::Failed => return PaymentStatus::Failed,
            Stage::Received => {}
        }
        let (received, refunded) = (self.received.map_or(Minor::ZERO, |money| money.minor), self.refunded());
        if self.lost() > Minor::ZERO {
            PaymentStatus::ChargedBack
        } else if self.is_disputed() {
            PaymentStatus::Disputed
        } else if refunded >= received {
            PaymentStatus::Refunded
        } else if refunded > Minor::ZERO {
            PaymentStatus::PartiallyRefunded
        } else if self.applied == Minor::ZERO {
            PaymentStatus::Unapplied
        } else {
            PaymentStatus::Succeeded
        }
    }

    /// Notes what happened.
    pub(crate) fn note(&mut self, at: Time, text: impl Into<String>) {
        if self.history.len() < MOST_HISTORY {
            let text = text.into();
            self.history.push(HistoryEntry { at, text });
        }
    }

    /// Notes what is seen again at each look, once.
    pub(super) fn note_once(&mut self, at: Time, text: String) {
        if self.history.iter().all(|entry| entry.text != text) {
            self.note(at, text);
        }
    }
}

impl Payment {
    /// One that is begun: a session is to be opened for it.
    pub(crate) fn begun(now: Time, org: OrgId, online: Online) -> Self {
        let money = online.checkout.money;
        Self {
            id: online.checkout.payment,
            org,
            client: None,
            invoice: None,
            currency: money.currency,
            amount: money.minor,
            to_balance: Minor::ZERO,
            method: None,
            paid_at: None,
            reference: None,
            created_at: now,
            online: Some(online),
            version: 0,
        }
    }
}

impl Payment {
    /// Whether its money came.
    pub(crate) fn is_received(&self) -> bool {
        self.online
            .as_ref()
            .is_some_and(|online| online.stage == Stage::Received)
    }

    /// Whether it is for money that came in another one's session besides.
    pub(crate) fn came_besides(&self) -> bool {
        let online = self.online.as_ref();
        online.is_some_and(|online| online.checkout.payment != self.id)
    }

    /// What its provider calls its money.
    pub(crate) fn charge(&self) -> Option<&str> {
        self.online.as_ref()?.charge.as_deref()
    }

    /// What is open at the provider, where somebody may pay or have paid.
    pub(crate) fn open_session(&self) -> Option<(&Online, &Session)> {
        let online = self.online.as_ref()?;
        let is_open = matches!(online.stage, Stage::Open | Stage::Processing);
        online
            .session
            .as_ref()
            .filter(|_| is_open)
            .map(|session| (online, session))
    }

    /// A payment of its own for money that came in this one's session besides: it fits nothing, and can be given back.
    /// Its id follows from the provider's, so that there is one however often it is seen.
    pub(crate) fn besides(&self, now: Time, charge: &Charge) -> Option<Self> {
        let online = self.online.as_ref()?;
        let mut other = Online {
            session: online.session.clone(),
            stage: Stage::Received,
            charge: Some(charge.id.clone()),
            received: Some(charge.money),
            ..Online::new(online.provider, online.account, online.purpose, online.checkout.clone())
        };
        let (title, amount) = (online.provider.title(), say(charge.money));
        other.note(
            now,
            format!("{title} received {amount} a second time on the page of {}", self.id),
        );
        other.note(now, format!("{KEPT}it was paid already"));
        Some(Self {
            id: id_of(self.id, &charge.id),
            amount: charge.money.minor,
            currency: charge.money.currency,
            paid_at: Some(now),
            created_at: now,
            online: Some(other),
            version: 0,
            ..self.clone()
        })
    }

    /// Counts something that is told of it: the payment as its GET shows it then.
    pub(crate) fn next_fact(&mut self) -> Shown<PaymentView> {
        let told = self.online.as_mut().map_or(1, |online| {
            online.told += 1;
            online.told
        });
        Shown::of(self.org, &self.id, told, PaymentView::from(&*self))
    }
}

/// The time of a payment, and 80 bits of a hash of what a provider calls its money.
fn id_of(payment: PaymentId, charge: &str) -> PaymentId {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{payment}\0{charge}").as_bytes());
    let bits = hash.as_ref().iter().take(10);
    let bits = bits.fold(0, |bits, byte| bits << 8 | u128::from(*byte));
    PaymentId::from_bits((payment.bits() >> 80) << 80 | bits)
}

/// An amount as histories say it: `EUR 119.00`.
pub(crate) fn say(money: Money) -> String {
    format!("{} {}", money.currency.code(), money.plain())
}
