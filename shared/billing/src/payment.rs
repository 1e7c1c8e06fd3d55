//! Payments by hand: money from outside that a person recorded on an invoice. They are never changed.

mod store;

use kernel::{ClientId, Currency, InvoiceId, Minor, OrgId, PaymentId, Time};
use serde::{Deserialize, Serialize};

use crate::invoice::{Invoice, Method, NewPayment};

/// Money may have come so long after now: where it came it may be tomorrow already.
pub(crate) const AHEAD: i64 = Time::DAY;

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Whose it is.
    pub org: OrgId,
    /// Who paid.
    pub client: ClientId,
    /// What was paid.
    pub invoice: InvoiceId,
    /// What its amounts are.
    pub currency: Currency,
    /// How much came.
    pub amount: Minor,
    /// What of it was more than was due, and went to the client's balance.
    pub to_balance: Minor,
    /// How it came.
    pub method: Method,
    /// When it came.
    pub paid_at: Time,
    /// What it can be found by.
    pub reference: Option<String>,
    /// When it was recorded.
    pub created_at: Time,
}

impl Payment {
    /// The payment that a person recorded, of which so much was more than was due.
    pub(crate) fn of(now: Time, invoice: &Invoice, new: &NewPayment, to_balance: Minor) -> Self {
        Self {
            id: PaymentId::new(now),
            org: invoice.org,
            client: invoice.client,
            invoice: invoice.id,
            currency: invoice.currency,
            amount: new.amount,
            to_balance,
            method: new.method,
            paid_at: new.paid_at,
            reference: new.reference.clone(),
            created_at: now,
        }
    }
}

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The money is there.
    Succeeded,
}

/// A payment as replies show it. Amounts are in minor units of its currency.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Payment)]
pub struct PaymentView {
    /// Its id.
    pub id: PaymentId,
    /// What was paid.
    pub invoice_id: InvoiceId,
    /// Who paid.
    pub client_id: ClientId,
    /// How far it is.
    pub status: PaymentStatus,
    /// What its amounts are.
    pub currency: Currency,
    /// How much came.
    #[schema(value_type = i64)]
    pub amount: Minor,
    /// What of it was more than was due, and went to the client's balance.
    #[schema(value_type = i64)]
    pub amount_to_balance: Minor,
    /// How it came.
    pub method: Method,
    /// What it can be found by.
    #[schema(required)]
    pub reference: Option<String>,
    /// When it came.
    pub paid_at: Time,
    /// When it was recorded.
    pub created_at: Time,
}

impl From<Payment> for PaymentView {
    fn from(payment: Payment) -> Self {
        Self {
            id: payment.id,
            invoice_id: payment.invoice,
            client_id: payment.client,
            status: PaymentStatus::Succeeded,
            currency: payment.currency,
            amount: payment.amount,
            amount_to_balance: payment.to_balance,
            method: payment.method,
            reference: payment.reference,
            paid_at: payment.paid_at,
            created_at: payment.created_at,
        }
    }
}
