//! What is told of wallets.

use kernel::OrgId;
use outbox::{About, facts};
use serde::Serialize;

use crate::wallet::WalletView;

/// The wallet as its GET shows it, when it happened.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WalletTold)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    /// Whose it is.
    pub(crate) org: OrgId,
    /// Grows with each fact about the wallet.
    pub(crate) sequence: u64,
    /// What the month includes.
    pub(crate) included: u64,
    #[serde(flatten)]
    pub(crate) wallet: WalletView,
}

impl About for Told {
    type View = Self;

    fn org(&self) -> OrgId {
        self.org
    }

    fn about(&self) -> String {
        self.org.to_string()
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

facts! {
    /// 80 % of what the month includes was spent.
    pub WalletLow(Told) "wallet.low";
    /// All of what the month includes was spent.
    pub WalletExhausted(Told) "wallet.exhausted";
    /// Credits that were asked for are there.
    pub WalletToppedUp(Told) "wallet.topped_up";
}
