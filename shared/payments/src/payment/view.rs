//! A payment as replies show it.

use billing::invoice::Method;
use kernel::{ClientId, Currency, InvoiceId, Minor, PaymentId, RefundId, Time};
use providers::{Provider, RefundState};
use serde::Serialize;

use super::{HistoryEntry, Payment, Refund};

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nobody has paid yet.
    Pending,
    /// Somebody has; the money is on its way.
    Processing,
    /// The money is there.
    Succeeded,
    /// Nobody paid.
    Failed,
    /// A part of the money went back.
    PartiallyRefunded,
    /// All of it did.
    Refunded,
    /// Its payer contests it.
    Disputed,
    /// Its payer got it back.
    ChargedBack,
    /// The money is there and fits nothing; it can be given back.
    Unapplied,
}

impl PaymentStatus {
    /// As it is written in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
            Self::Disputed => "disputed",
            Self::ChargedBack => "charged_back",
            Self::Unapplied => "unapplied",
        }
    }
}

/// A payment as replies show it. Amounts are in minor units of its currency.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Payment)]
pub struct PaymentView {
    /// Its id.
    pub id: PaymentId,
    /// What is paid; null for credits.
    #[schema(required)]
    pub invoice_id: Option<InvoiceId>,
    /// Who pays; null for credits.
    #[schema(required)]
    pub client_id: Option<ClientId>,
    /// How far it is.
    pub status: PaymentStatus,
    /// By which provider it comes; null if a person recorded it.
    #[schema(required)]
    pub provider: Option<Provider>,
    /// How it came, if a person recorded it.
    #[schema(required)]
    pub method: Option<Method>,
    /// What its amounts are.
    pub currency: Currency,
    /// How much came, or is to come.
    #[schema(value_type = i64)]
    pub amount: Minor,
    /// What came, in `receivedCurrency`: another amount than was asked for is kept `unapplied`.
    #[schema(value_type = i64)]
    pub amount_received: Minor,
    /// The currency that the money came in; null before it came.
    #[schema(required)]
    pub received_currency: Option<Currency>,
    /// What of it counts for what is paid.
    #[schema(value_type = i64)]
    pub amount_applied: Minor,
    /// What went back.
    #[schema(value_type = i64)]
    pub amount_refunded: Minor,
    /// What lost disputes took.
    #[schema(value_type = i64)]
    pub amount_charged_back: Minor,
    /// Of one by hand: what was more than was due, and went to the client's balance.
    #[schema(value_type = i64)]
    pub amount_to_balance: Minor,
    /// What it can be found by: as a person recorded it, or the provider's id of the money.
    #[schema(required)]
    pub reference: Option<String>,
    /// What goes, or went, back, oldest first.
    pub refunds: Vec<RefundView>,
    /// What happened, oldest first.
    pub history: Vec<HistoryEntry>,
    /// When it came.
    #[schema(required)]
    pub paid_at: Option<Time>,
    /// When it was recorded, or begun.
    pub created_at: Time,
}

/// A refund as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Refund)]
pub struct RefundView {
    /// Its id.
    pub id: RefundId,
    /// How far it is.
    pub status: RefundState,
    /// How much, in minor units of what came.
    #[schema(value_type = i64)]
    pub amount: Minor,
    /// Why, in the words of who asked for it.
    #[schema(required)]
    pub reason: Option<String>,
    /// Why it failed, in the provider's words.
    #[schema(required)]
    pub failure: Option<String>,
    /// When it was asked for.
    pub created_at: Time,
}

impl From<&Refund> for RefundView {
    fn from(refund: &Refund) -> Self {
        Self {
            id: refund.id,
            status: refund.state,
            amount: refund.amount,
            reason: refund.reason.clone(),
            failure: refund.failure.clone(),
            created_at: refund.created_at,
        }
    }
}

impl Payment {
    /// How far it is.
    pub fn status(&self) -> PaymentStatus {
        self.online
            .as_ref()
            .map_or(PaymentStatus::Succeeded, super::Online::status)
    }
}

impl From<&Payment> for PaymentView {
    fn from(payment: &Payment) -> Self {
        let online = payment.online.as_ref();
        let received = online.and_then(|online| online.received);
        let by_hand = online.is_none();
        let of = |amount: fn(&super::Online) -> Minor| online.map_or(Minor::ZERO, amount);
        Self {
            id: payment.id,
            invoice_id: payment.invoice,
            client_id: payment.client,
            status: payment.status(),
            provider: online.map(|online| online.provider),
            method: payment.method,
            currency: payment.currency,
            amount: payment.amount,
            amount_received: if by_hand {
                payment.amount
            } else {
                received.map_or(Minor::ZERO, |money| money.minor)
            },
            received_currency: if by_hand {
                Some(payment.currency)
            } else {
                received.map(|money| money.currency)
            },
            amount_applied: if by_hand {
                payment.amount - payment.to_balance
            } else {
                of(|online| online.applied - online.taken_back)
            },
            amount_refunded: of(super::Online::refunded),
            amount_charged_back: of(super::Online::lost),
            amount_to_balance: payment.to_balance,
            reference: payment.reference.clone(),
            refunds: online
                .map(|online| online.refunds.iter().map(RefundView::from).collect())
                .unwrap_or_default(),
            history: online.map_or_else(|| payment.history_by_hand(), |online| online.history.clone()),
            paid_at: payment.paid_at,
            created_at: payment.created_at,
        }
    }
}

impl From<Payment> for PaymentView {
    fn from(payment: Payment) -> Self {
        Self::from(&payment)
    }
}
