//! A payment: money that came from outside and was recorded by a person, or that comes by a payment provider. Pure: time
//! is passed in.
//!
//! ```text
//! pending ──► processing ──► succeeded ──► partially_refunded ──► refunded
//!    │            │              └──► disputed ──► charged_back (lost), or as before (won)
//!    └──► failed ◄┘   and from there to where the money says, if it comes all the same
//! unapplied: it came, and fits nothing; it can be given back
//! ```
//!
//! One by a provider has one session there, in which it is paid once. What is stored of it is what the provider said when
//! it was last looked at ([`Online::fold`]); its status follows from that.

pub mod facts;
mod fold;
mod online;
pub(crate) mod store;
mod view;

use billing::invoice::Method;
use kernel::{ClientId, Currency, InvoiceId, Minor, OrgId, PaymentId, Time};
use serde::{Deserialize, Serialize};

pub use online::{HistoryEntry, Online, Purpose, Refund, Stage};
pub(crate) use online::{KEPT, say};
pub use view::{PaymentStatus, PaymentView, RefundView};

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Whose it is: who gets the money.
    pub org: OrgId,
    /// Who pays; nothing for credits that an organization buys of the platform.
    #[serde(default)]
    pub client: Option<ClientId>,
    /// What is paid; nothing for credits.
    #[serde(default)]
    pub invoice: Option<InvoiceId>,
    /// What its amounts are.
    pub currency: Currency,
    /// How much came, or is to come.
    pub amount: Minor,
    /// Of one by hand: what was more than was due, and went to the client's balance.
    #[serde(default)]
    pub to_balance: Minor,
    /// How it came, if a person recorded it.
    #[serde(default)]
    pub method: Option<Method>,
    /// When it came.
    #[serde(default)]
    pub paid_at: Option<Time>,
    /// What it can be found by.
    #[serde(default)]
    pub reference: Option<String>,
    /// When it was recorded, or begun.
    pub created_at: Time,
    /// Of one by a provider: all of it.
    #[serde(default)]
    pub online: Option<Online>,
    #[serde(default)]
    pub(crate) version: u64,
}
