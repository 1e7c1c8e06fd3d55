//! Metering: what calls cost, who pays, and what was used.
//!
//! | entity | key | what it is |
//! |---|---|---|
//! | wallet | `ORG#<org>#WALLET` / `WALLET` | an organization's credits, by the grants they come from |
//! | lease | `ORG#<org>#WALLET` / `LEASE#<id>` | a block of them that one process spends, and what was sold of it |
//! | receipt | `ORG#<org>#RECEIPTS#<lease>` / `<tally>#<total>` | what was sold of a lease of one kind, in all |
//! | credit grant | `ORG#<org>#WALLET` / `GRANT#<id>` | credits with a priority and an end |
//! | ledger entry | `ORG#<org>#WALLET` / `ENTRY#<id>` | credits that moved, in lines that sum to zero |
//! | top-up | `ORG#<org>#WALLET` / `TOPUP#<payment>` | credits that are to be bought |
//! | usage | `ORG#<org>#USAGE` / `<day>#<project>` | credits by key and endpoint |
//! | price list | `PRICES` / `PRICES` | what operations cost |
//!
//! Invariants:
//! - `balance + leased + spent + expired = granted`, after every step; nothing is below zero.
//! - A credit is spent once: by the process that leased it, before the lease's end, for a call that it then acknowledges.
//!   No lease outlives the grants it comes from.
//! - Whatever is acknowledged is reported: the receipt rides in the message or the transaction of what it pays for. What a
//!   process held when it died, and did not report, comes back. No receipt is stored once its lease can be given up.
//! - The wallet, the lease, the ledger's entries and the usage change in one transaction.
//!
//! # Known bounds
//!
//! - All of an organization's leases pass through one item, the wallet; a block covers seconds of calls, so it is written a
//!   few times a second at most.
//! - Who has few credits left leases one by one: from 200 down each call costs a transaction.
//! - On Lambda a process stands still between calls. What it holds of a lease that is over comes back with its next call or
//!   its end, or after four minutes and a sweep.
//! - Usage of a day stays where it was counted when the organization's zone changes. A new zone counts for calls once
//!   somebody has looked at the wallet or its usage, or else from the next month on; a month that has begun ends when it did.
//! - 250 grants of a wallet may have credits left: they lie in the wallet's item, 30 KB that each lease writes.

pub mod credit_grant;
pub mod facts;
pub mod grants;
pub mod lease;
pub mod ledger;
pub mod mails;
pub mod meter;
pub mod month;
pub mod plan;
pub mod price;
pub mod queue;
pub mod receipt;
pub mod recovery;
mod report;
mod reservation;
pub mod topup;
pub mod usage;
pub mod wallet;

pub use self::wallet::Wallet;
pub use meter::{Admission, Buyer, Charge, Meter};
pub use price::Operation;
pub use receipt::Receipt;
pub use report::{Refunds, report};
pub use reservation::Reservation;
