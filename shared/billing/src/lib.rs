//! Billing: from a plan to an invoice. Rules and states are pure: time is passed in, and what is due, owed and given back is
//! decided without waiting. Stores and deeds lie below them (`store.rs`, `deeds.rs`, `clock.rs`) and add keys, numbers, facts
//! and audit entries.
//!
//! | module | what it is |
//! |---|---|
//! | [`schedule`] | periods from an anchor day; shares of a period by days |
//! | [`price`] | price models over usage, and the metrics that they charge for |
//! | [`line`](mod@line), [`tax`] | lines, and what they sum to: the one computation of a document's totals |
//! | [`coupon`] | coupons, and the discounts that they become |
//! | [`client`], [`plan`], [`contract`] | whom an organization sells to, what, and under which agreement |
//! | [`subscription`] | what a client has: trials, pauses, changes of plan, usage; what is billed next |
//! | [`recurring`] | invoices that recur on the days of a schedule |
//! | [`invoice`] | drafts, sending, paying, overdue, cancelling; credit notes |
//! | [`parties`], [`file`](mod@file) | who sold and bought when a document was sent, and the file of it |
//! | [`numbering`] | numbers of documents |
//! | [`books`] | what is booked for a client in one transaction: whoever makes invoices does it by this |
//! | [`analytics`] | what invoices and subscriptions come to: sums that move with what they sum |
//! | [`mails`] | what clients are mailed |
//! | [`revenue`] | what subscriptions bring each month |
//!
//! Invariants, each held by tests over random inputs:
//! - Lines and tax are the total, in every currency; what is taken back mirrors what was given, to the unit.
//! - Credit notes in whatever parts come to at most their invoice, with the tax of what they credit.
//! - No day of a subscription is billed twice, and none is given back that was not billed; how late the work is done
//!   changes neither what it comes to nor the day that it is dated.
//! - All usage is charged once, at the price of its day, also what becomes known late.
//! - What a preview shows is what is booked: it is the same function on a copy.
//!
//! # Known bounds
//!
//! - Usage that becomes known after a subscription's closing invoice is not billed: there is no next one.
//! - Usage is corrected for 400 days, and for the last 40 spans of it.
//! - Whoever is billed first of a day's usage reads all of its events of the metric's name, in the minute that `billing-worker` has:
//!   some millions a project and day in batches of 100, about a million that came singly. What is more does not fit.
//! - The end of a contract that is set after its last period was billed gives nothing back.
//! - A change of plan gives back tax at the client's rate of that day.
//! - All documents of an organization are numbered by one counter: some 20 sends a second by different processes on AWS.
//! - A month of revenue is what was done in it: what is credited later lowers the month in which it is.

pub mod analytics;
pub mod books;
pub mod client;
pub mod contract;
pub mod coupon;
pub mod due;
pub mod file;
pub mod invoice;
pub mod line;
pub mod mails;
mod measure;
pub mod numbering;
pub mod parties;
pub mod plan;
pub mod platform;
pub mod price;
pub mod recurring;
pub mod revenue;
pub mod run;
pub mod schedule;
pub mod subscription;
pub mod tax;

pub use books::Books;
pub use client::Client;
pub use contract::Contract;
pub use coupon::{Coupon, Discount};
pub use invoice::{CreditNote, Invoice};
pub use kernel::number::{self, Given, Quantity, Rate, UnitPrice};
pub use line::{Line, LineKind};
pub use numbering::{DocumentNumber, Series};
pub use plan::{Plan, Terms};
pub use price::{Metric, Price};
pub use recurring::Recurring;
pub use schedule::{Interval, Period, Schedule};
pub use subscription::Subscription;
pub use tax::{TaxExempt, Taxation, Totals};
