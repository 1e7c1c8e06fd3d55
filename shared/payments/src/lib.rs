//! Payments: money for invoices and credits, by payment providers or recorded by hand.
//!
//! | module | what it is |
//! |---|---|
//! | [`payment`] | a payment: its session, what came, what went back, what is contested, its history; pure |
//! | [`account`] | an organization's accounts at providers, sealed |
//! | `till` | the one place that calls providers, each account through its breaker |
//! | [`checkout`] | beginning a payment: a saga; at most one open session for what is paid |
//! | [`sync`](mod@sync) | looking at a payment and booking what came of it: the one way in which money counts |
//! | [`refund`] | giving money back |
//! | [`event`] | what providers tell: only where to look |
//! | [`watch`] | a job for each payment that looks until nothing can become of it |
//! | [`close`] | closing sessions of what is not to be paid any more |
//! | [`reconcile`] | the comparison at night, and its report |
//! | [`mails`] | what people are mailed of payments |
//! | `by_hand` | money that a person recorded |
//!
//! Invariants:
//! - Money counts once: what came is applied in the transaction that stores it, by the version of the payment that was read
//!   before the provider was asked.
//! - Whatever is said in whatever order, and however often, ends the same: a failure is not final, and what was received
//!   stays so. What fits nothing is kept `unapplied`.
//! - A session and a refund are asked for under ids of ours that are stored before, with the same content each time.
//!
//! # Known bounds
//!
//! - A provider shows what it lists of one session in one page: 100 refunds of a payment.
//! - A dispute at Razorpay that is not named by an event is not seen.

pub mod account;
mod by_hand;
pub mod checkout;
pub mod close;
pub mod event;
pub mod mails;
pub mod payment;
pub mod reconcile;
pub mod refund;
mod refusal;
pub mod sync;
mod till;
pub mod watch;
mod work;

pub use checkout::{Asked, By, Started, StartedView, What, pay};
pub use payment::{Payment, PaymentStatus, PaymentView};
pub use till::Till;
pub use work::work;
