//! Billing: from a plan to an invoice. Clients, plans, coupons, contracts, subscriptions, invoices, credit notes and
//! recurring invoices, as pure state machines: time is passed in, nothing waits, nothing is stored here yet.
//!
//! | module | what it is |
//! |---|---|
//! | [`number`] | quantities, rates and unit prices: exact decimals, read without floats |
//! | [`schedule`] | periods from an anchor day in a zone; shares of a period by days |
//! | [`price`] | price models over usage, and the metrics that they charge for |
//! | [`line`], [`tax`] | lines, and what they sum to: the one computation of a document's totals |

pub mod coupon;
pub mod line;
pub mod number;
pub mod price;
pub mod refusal;
pub mod schedule;
pub mod tax;

pub use coupon::{Coupon, Discount};
pub use line::{Line, LineKind};
pub use number::{Given, Quantity, Rate, UnitPrice};
pub use price::{Metric, Price};
pub use schedule::{Interval, Period, Schedule};
pub use tax::{TaxExempt, Taxation, Totals};
