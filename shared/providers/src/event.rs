//! What a provider tells us: verified by its signature over the raw bytes, and read only for where to look.

use kernel::PaymentId;
use serde::{Deserialize, Serialize};

use crate::seen::Dispute;

/// An event whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The provider's id of it, if it has one: a hint, never what makes it once.
    pub id: Option<String>,
    /// As the provider calls it: `checkout.session.completed`.
    pub kind: String,
    /// What it is about.
    pub about: About,
    /// The dispute as the event shows it, for providers that cannot be asked for one.
    pub dispute: Option<Dispute>,
}

/// What an event is about, by the best name it gives: all names that it gives are tried in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Ours: the reference, the metadata.
    pub payment: Option<PaymentId>,
    /// The session.
    pub session: Option<String>,
    /// The charge.
    pub charge: Option<String>,
    /// What the provider calls the order: Razorpay and Cashfree have one for each session or attempt.
    pub order: Option<String>,
}

/// Why an event is not taken: nothing of it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A header is missing or malformed.
    #[error("the header {0} is missing or malformed")]
    Header(&'static str),
    /// No secret of the account made this signature over these bytes.
    #[error("the signature does not match")]
    Signature,
    /// It was signed too long ago.
    #[error("the timestamp is too old")]
    Old,
    /// The bytes are no event of this provider.
    #[error("the body is no event: {0}")]
    Body(&'static str),
}

impl Rejected {
    /// A stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Header(_) => "bad_signature_header",
            Self::Signature => "bad_signature",
            Self::Old => "old_signature",
            Self::Body(_) => "bad_event",
        }
    }
}
