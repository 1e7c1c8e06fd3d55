//! A recurring invoice as replies show it.

use kernel::{ClientId, Currency, RecurringInvoiceId, Time};
use serde::Serialize;

use super::{Recurrence, Recurring, Status};

/// A recurring invoice as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RecurringInvoice)]
pub struct RecurringView {
    /// Its id.
    pub id: RecurringInvoiceId,
    /// Its state.
    pub status: Status,
    /// Who owes it.
    pub client_id: ClientId,
    /// Its lines.
    pub line_items: Vec<ItemView>,
    /// In percent; null: the client's, else the organization's, on the day.
    #[schema(required)]
    pub tax_rate: Option<String>,
    /// What its amounts are.
    pub currency: Currency,
    /// How often.
    pub interval: Recurrence,
    /// When its first day begins.
    pub start_at: Time,
    /// When the last day begins on which it may recur.
    #[schema(required)]
    pub end_at: Option<Time>,
    /// When it recurs next; null while it rests, and once it is over.
    #[schema(required)]
    pub next_at: Option<Time>,
    /// How many days after its date it is due.
    pub due_in_days: u16,
    /// Whether each is sent by itself.
    pub auto_send: bool,
    /// What its client should read, too.
    #[schema(required)]
    pub notes: Option<String>,
    /// When it was made.
    pub created_at: Time,
}

/// A line of a recurring invoice.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RecurringLine)]
pub struct ItemView {
    /// What it is for.
    pub description: String,
    /// How many: a decimal.
    #[schema(example = "1.5")]
    pub quantity: String,
    /// What one costs in minor units: a decimal.
    #[schema(required, example = "9900")]
    pub unit_price: Option<String>,
    /// In percent; null: the invoice's.
    #[schema(required)]
    pub tax_rate: Option<String>,
}

impl RecurringView {
    /// Shows a recurring invoice.
    pub fn of(recurring: &Recurring) -> Self {
        let items = recurring.items.iter().map(|item| ItemView {
            description: item.line.description.clone(),
            quantity: item.line.quantity.to_string(),
            unit_price: item.line.unit_price.map(|price| price.to_string()),
            tax_rate: item.tax_rate.map(|rate| rate.to_string()),
        });
        Self {
            id: recurring.id,
            status: recurring.status,
            client_id: recurring.client,
            line_items: items.collect(),
            tax_rate: recurring.tax_rate.map(|rate| rate.to_string()),
            currency: recurring.currency,
            interval: recurring.interval,
            start_at: recurring.zone.start_of(recurring.anchor),
            end_at: recurring.last.map(|last| recurring.zone.start_of(last)),
            next_at: recurring.next_at(),
            due_in_days: recurring.due_in_days,
            auto_send: recurring.auto_send,
            notes: recurring.notes.clone(),
            created_at: recurring.created_at,
        }
    }
}

impl From<Recurring> for RecurringView {
    fn from(recurring: Recurring) -> Self {
        Self::of(&recurring)
    }
}
