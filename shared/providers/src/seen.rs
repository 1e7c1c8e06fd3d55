//! What a provider says of a session when it is looked at.

use kernel::{Money, PaymentId, RefundId, Time};
use serde::{Deserialize, Serialize};

use crate::Event;

/// All that there is about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How far it is.
    pub state: SessionState,
    /// Every attempt to pay that the provider lists, oldest first.
    pub charges: Vec<Charge>,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It can be paid.
    Open,
    /// It was used: its charges say how.
    Used,
    /// It ended unused: expired, cancelled.
    Ended,
}

/// One attempt to pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The provider's id, by which it is refunded: `pi_…`, `pay_…`, `cf_payment_id`.
    pub id: String,
    /// How far it is.
    pub state: ChargeState,
    /// How much, in the currency that it was asked for.
    pub money: Money,
    /// Why it failed, in the provider's words.
    pub why: Option<String>,
    /// What was given back of it, oldest first, also by others than us.
    pub refunds: Vec<SeenRefund>,
    /// What is, or was, contested about it.
    pub disputes: Vec<Dispute>,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeState {
    /// The money is on its way, or only authorized.
    Processing,
    /// The money is there.
    Succeeded,
    /// It did not come; at some providers it may come all the same, later.
    Failed,
}

/// Money that went back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRefund {
    /// The provider's id.
    pub id: String,
    /// Ours, if we asked for it.
    pub ours: Option<RefundId>,
    /// How far it is.
    pub state: RefundState,
    /// How much.
    pub money: Money,
    /// Why it failed, in the provider's words.
    pub why: Option<String>,
}

/// How far a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RefundStatus)]
pub enum RefundState {
    /// It is on its way.
    Pending,
    /// The money went back.
    Succeeded,
    /// It did not, also after it had seemed so.
    Failed,
    /// It was called off.
    Cancelled,
}

/// A charge that its payer contests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dispute {
    /// The provider's id.
    pub id: String,
    /// How far it is.
    pub state: DisputeState,
    /// How much is contested.
    pub money: Money,
}

/// How far a dispute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DisputeState {
    /// It is not decided.
    Open,
    /// The money stays.
    Won,
    /// The money is gone.
    Lost,
    /// It came to nothing: an inquiry that was closed, say.
    Closed,
}

/// A page of events that a provider could not deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Those, the newest first.
    pub events: Vec<Event>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// A page of what a provider knows, for the comparison at night.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which of our payments, with the charge that the provider lists; nothing where it names none of ours.
    pub charges: Vec<(Option<PaymentId>, Charge, Time)>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}
