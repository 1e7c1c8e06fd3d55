//! A top-up: credits that an organization wants to buy, by hand or by itself when few are left. It is `pending` until it is
//! paid, or until somebody of the platform grants credits in its place. Pure: time is passed in.

mod store;

use kernel::{OrgId, PaymentId, Time};
use serde::{Deserialize, Serialize};

pub use store::{create, list};
pub(crate) use store::{fulfil, open};

/// So many credits can be bought at once.
pub const MOST: i64 = 1_000_000_000_000;

/// How a wallet is topped up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoTopup {
    /// When the balance falls below this, credits are bought.
    #[schema(minimum = 1, example = 1_000)]
    pub threshold: u64,
    /// They are bought in whole steps of this, as few as reach the threshold.
    #[schema(minimum = 1, example = 500)]
    pub step: u64,
}

impl AutoTopup {
    /// How many credits to buy at this balance; nothing if there are enough.
    pub(crate) fn wanted(self, balance: u64) -> Option<u64> {
        let gap = self.threshold.checked_sub(balance).filter(|gap| *gap > 0)?;
        Some(gap.div_ceil(self.step).saturating_mul(self.step))
    }
}

/// How far a top-up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TopupStatus {
    /// Nobody has paid it.
    Pending,
    /// Its credits are in the wallet.
    Succeeded,
}

/// Credits that are to be bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topup {
    /// The payment of it.
    pub id: PaymentId,
    /// By whom.
    pub org: OrgId,
    /// How many.
    pub credits: u64,
    /// Whether the wallet asked for it by itself.
    pub automatic: bool,
    /// How far it is.
    pub status: TopupStatus,
    /// When it was asked for.
    pub created_at: Time,
    #[serde(default)]
    version: u64,
}

impl Topup {
    /// One that somebody asks for.
    pub fn by_hand(now: Time, org: OrgId, credits: u64) -> Self {
        Self {
            id: PaymentId::new(now),
            org,
            credits,
            automatic: false,
            status: TopupStatus::Pending,
            created_at: now,
            version: 0,
        }
    }

    pub(crate) fn by_itself(now: Time, org: OrgId, credits: u64) -> Self {
        Self {
            automatic: true,
            ..Self::by_hand(now, org, credits)
        }
    }
}

/// A top-up as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopupView {
    /// The id of the payment.
    pub id: PaymentId,
    /// How many credits it buys.
    pub credits: u64,
    /// Whether the wallet asked for it by itself.
    pub automatic: bool,
    /// `pending` until it is paid, or somebody of the platform grants credits in its place.
    pub status: TopupStatus,
    /// When it was asked for.
    pub created_at: Time,
}

impl From<Topup> for TopupView {
    fn from(topup: Topup) -> Self {
        Self {
            id: topup.id,
            credits: topup.credits,
            automatic: topup.automatic,
            status: topup.status,
            created_at: topup.created_at,
        }
    }
}

/// What answers whoever asks for a top-up.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedTopup {
    /// The payment of it.
    pub payment: TopupView,
    /// Where it is paid; null as long as nothing is to be paid there: then somebody of the platform grants the credits.
    #[schema(required)]
    pub payment_url: Option<String>,
}

impl From<Topup> for StartedTopup {
    fn from(topup: Topup) -> Self {
        Self {
            payment: topup.into(),
            payment_url: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(threshold: u64, step: u64, balance: u64, expected: Option<u64>) {
        assert_eq!(AutoTopup { threshold, step }.wanted(balance), expected);
    }

    #[test]
    fn the_gap_is_filled_in_whole_steps() {
        check(1_000, 500, 1_000, None);
        check(1_000, 500, 980, Some(500));
        check(1_000, 500, 0, Some(1_000));
        check(1_000, 300, 0, Some(1_200));
        check(1, 1, 0, Some(1));
    }
}
