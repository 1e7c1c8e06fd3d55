//! Receipts: what was sold of a lease, by kind, in all. Whoever makes durable what a receipt pays for stores it in the same
//! request, under a key of its own, so nothing overwrites a larger one and nothing is asked of the lease. Who gives the lease
//! up reads them, and takes the largest of each kind. Pure: time is passed in.
//!
//! That is right only if none is stored after they were read. So a receipt is stored while its lease is young, and reported
//! to the lease itself when it comes later than that.

mod store;

use kernel::{LeaseId, OrgId, Time};
use serde::{Deserialize, Serialize};

use crate::lease::Tally;

pub use store::puts;
pub(crate) use store::{largest, largest_of};

/// So long after its lease was made a receipt is stored. No lease is given up until [`crate::recovery::GRACE`] after its end,
/// which is four minutes after it was made or later; between the two a writer that decided to store one ends (20 s), and
/// clocks may be apart.
pub const YOUNG: i64 = 2 * Time::MINUTE;

/// What a sale was booked on: it says how much was sold of its kind in all, so that the largest of them says it all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Whose wallet pays.
    pub org: OrgId,
    /// Of which lease.
    pub lease: LeaseId,
    /// What was sold.
    pub tally: Tally,
    /// Credits for each.
    pub price: u64,
    /// Credits of this kind in all, with these.
    pub total: u64,
}

impl Receipt {
    /// Whether it may be stored, for its lease is far from being given up.
    pub fn is_early(&self, now: Time) -> bool {
        now < self.lease.time().plus_millis(YOUNG)
    }
}
