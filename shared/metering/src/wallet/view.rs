//! A wallet as replies show it.

use serde::Serialize;

use super::Wallet;
use crate::lease::Lease;

/// An organization's credits: `balance + leased + spent + expired = granted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WalletView {
    /// Credits that can be spent, but for those that are leased.
    #[schema(example = 99_000)]
    pub balance: u64,
    /// Credits that our servers hold for calls to come; what they do not need comes back within seconds to minutes.
    #[schema(example = 900)]
    pub leased: u64,
    /// Credits that were spent.
    #[schema(example = 100)]
    pub spent: u64,
    /// Credits that ended unspent.
    #[schema(example = 0)]
    pub expired: u64,
    /// All that were granted.
    #[schema(example = 100_000)]
    pub granted: u64,
    /// Credits that were used without being there, or that are to be taken back after a refund and are not there; the next
    /// grant pays them.
    #[schema(example = 0)]
    pub debt: u64,
}

impl WalletView {
    /// Shows a wallet, with what was sold of its open leases so far.
    pub fn of(wallet: &Wallet, open: &[Lease]) -> Self {
        let sold: u64 = open
            .iter()
            .filter(|lease| lease.is_open())
            .map(|lease| lease.due().min(lease.units))
            .sum();
        // Never more than is leased, whatever has come since the wallet was read.
        let sold = sold.min(wallet.leased);
        Self {
            balance: wallet.balance,
            leased: wallet.leased - sold,
            spent: wallet.spent + sold,
            expired: wallet.expired,
            granted: wallet.granted,
            debt: wallet.owed(),
        }
    }
}
