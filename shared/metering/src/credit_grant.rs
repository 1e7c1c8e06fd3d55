//! A credit grant: credits with a priority and an end. Pure: time is passed in.

mod store;

use kernel::{CreditGrantId, OrgId, PaymentId, Time};
use serde::{Deserialize, Serialize};

use crate::wallet::Wallet;

pub(crate) use store::expired;
pub use store::list;

/// Where credits come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "payment")]
pub enum Source {
    /// What a plan includes for a month.
    Monthly,
    /// Somebody of the platform.
    Manual,
    /// A top-up.
    Topup(PaymentId),
}

/// Credits as they were granted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreditGrant {
    /// Its id.
    pub id: CreditGrantId,
    /// To whom.
    pub org: OrgId,
    /// How many.
    pub credits: u64,
    /// Why, in words.
    pub reason: String,
    /// Those with a lower number are used first.
    pub priority: u8,
    /// From then on nothing of it can be spent. Stored under another name than the item's own end.
    #[serde(rename = "endsAt")]
    pub expires_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// Where it comes from.
    pub source: Source,
    /// How many of its credits ended unspent.
    #[serde(default)]
    pub expired: u64,
}

impl CreditGrant {
    /// What priority a grant has that says none.
    pub const PRIORITY: u8 = 50;
    /// The priorities.
    pub const PRIORITIES: std::ops::RangeInclusive<u8> = 1..=100;

    fn new(now: Time, org: OrgId, credits: u64, reason: &str, source: Source) -> Self {
        Self {
            id: CreditGrantId::new(now),
            org,
            credits,
            reason: reason.to_owned(),
            priority: Self::PRIORITY,
            expires_at: None,
            created_at: now,
            source,
            expired: 0,
        }
    }

    pub(crate) fn monthly(now: Time, org: OrgId, credits: u64, ends_at: Time) -> Self {
        Self {
            expires_at: Some(ends_at),
            ..Self::new(now, org, credits, "included in the plan", Source::Monthly)
        }
    }

    /// One that somebody of the platform makes.
    pub fn manual(now: Time, org: OrgId, credits: u64, reason: &str, priority: u8, expires_at: Option<Time>) -> Self {
        Self {
            priority,
            expires_at,
            ..Self::new(now, org, credits, reason, Source::Manual)
        }
    }

    pub(crate) fn bought(now: Time, org: OrgId, credits: u64, payment: PaymentId) -> Self {
        Self::new(now, org, credits, "top-up", Source::Topup(payment))
    }

    /// Credits that were taken back for a refund that did not happen.
    pub(crate) fn given_again(now: Time, org: OrgId, credits: u64) -> Self {
        Self::new(now, org, credits, "top-up, given again", Source::Manual)
    }

    /// The same credits, as those of a top-up that they fulfil.
    #[must_use]
    pub fn fulfilling(mut self, payment: PaymentId) -> Self {
        self.source = Source::Topup(payment);
        self
    }
}

/// A credit grant as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditGrantView {
    /// Its id.
    pub id: CreditGrantId,
    /// How many credits it gave.
    #[schema(example = 100_000)]
    pub credits: u64,
    /// How many of them are left, those that calls hold right now included.
    pub remaining: u64,
    /// How many of them ended unspent.
    pub expired: u64,
    /// Why it was made.
    #[schema(example = "included in the plan")]
    pub reason: String,
    /// Grants with a lower number are used first; then those that end sooner, then older ones.
    pub priority: u8,
    /// When it ends; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
}

impl CreditGrantView {
    /// Shows a grant with what the wallet still has of it.
    pub fn of(grant: CreditGrant, wallet: &Wallet) -> Self {
        Self {
            remaining: wallet.left_of(grant.id),
            id: grant.id,
            credits: grant.credits,
            expired: grant.expired + wallet.ended_of(grant.id),
            reason: grant.reason,
            priority: grant.priority,
            expires_at: grant.expires_at,
            created_at: grant.created_at,
        }
    }
}
