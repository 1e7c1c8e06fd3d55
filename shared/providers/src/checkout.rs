//! What we ask of a provider.

use kernel::{Money, PaymentId, RefundId, Time};
use serde::{Deserialize, Serialize};

use crate::seen::Dispute;

/// What is to be paid, by whom. Stored as it is, so that asking again sends the same bytes under the same key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// Ours: the provider's idempotency key and reference.
    pub payment: PaymentId,
    /// How much.
    pub money: Money,
    /// What for, as the person who pays reads it.
    pub description: String,
    /// Who pays.
    pub customer: Customer,
    /// Where they come back to, paid or not.
    pub return_url: String,
    /// Until when they can pay; some providers round it, or have bounds.
    pub expires_at: Time,
}

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    /// Our id of them: letters, digits and `_`.
    pub id: String,
    /// Their name.
    pub name: String,
    /// Their address for mails.
    pub email: String,
    /// E.164; Cashfree wants one.
    pub phone: Option<String>,
}

/// A page at a provider where a person pays, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The provider's id of it: `cs_…`, `plink_…`, our own at Cashfree.
    pub id: String,
    /// The page.
    pub url: String,
    /// Until when it can be paid.
    pub expires_at: Time,
}

/// What became of closing a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nobody can pay there any more; nobody has.
    Unpaid,
    /// It is too late: somebody has paid, or is paying. Look.
    Used,
}

/// What is looked for: by the provider's id where it is known, else by ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// Ours.
    pub payment: PaymentId,
    /// The provider's.
    pub session: String,
    /// A charge that an event named, if any: Razorpay lists those alone that were captured.
    pub charge: Option<String>,
    /// A dispute that an event showed, if any: not all providers list those of a charge. Where one cannot be asked for it
    /// either, it stands as the event showed it.
    pub dispute: Option<Dispute>,
}

/// Money to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refunding {
    /// Ours: the idempotency key, and the provider's id where it may be.
    pub refund: RefundId,
    /// Of which payment.
    pub payment: PaymentId,
    /// In which session.
    pub session: String,
    /// Which charge of it, as the provider names it.
    pub charge: String,
    /// How much.
    pub money: Money,
}
