//! /v1/invoices, /v1/credit-notes, /v1/payments, /v1/recurring-invoices and /v1/analytics: what clients owe, what they
//! paid, and what that comes to.

mod analytics;
mod credit_notes;
mod invoices;
mod moment;
mod payments;
mod recurring;

use gate::{Guarded, Routes, Serve};
use lambda::Function;

/// The function.
pub const FUNCTION: Function = gate::function::<Invoices>("invoices");

struct Invoices;

impl Serve for Invoices {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new()
            .members(invoices::routes())
            .members(credit_notes::routes())
            .members(payments::routes())
            .members(recurring::routes())
            .members(analytics::routes())
    }
}
