//! What is told of wallets.

use kernel::OrgId;
use outbox::Fact;
use serde::Serialize;

use crate::wallet::WalletView;

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident $type:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize)]
        pub struct $name(pub(crate) Told);

        impl Fact for $name {
            const TYPE: &'static str = $type;

            fn org(&self) -> OrgId {
                self.0.org
            }

            fn about(&self) -> String {
                self.0.org.to_string()
            }

            fn sequence(&self) -> u64 {
                self.0.sequence
            }
        }
    )*};
}

/// The wallet as its GET shows it, when it happened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(crate) org: OrgId,
    pub(crate) sequence: u64,
    /// What the month includes.
    pub(crate) included: u64,
    #[serde(flatten)]
    pub(crate) wallet: WalletView,
}

facts! {
    /// 80 % of what the month includes was spent.
    WalletLow "wallet.low";
    /// All of what the month includes was spent.
    WalletExhausted "wallet.exhausted";
    /// Credits that were asked for are there.
    WalletToppedUp "wallet.topped_up";
}
