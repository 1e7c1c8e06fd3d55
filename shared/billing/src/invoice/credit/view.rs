//! A credit note as replies show it.

use kernel::{ClientId, CreditNoteId, Currency, Day, InvoiceId, Minor, SubscriptionId, Time};
use serde::Serialize;

use super::CreditNote;
use crate::invoice::view::{LineView, TaxView};

/// A credit note as replies show it. Amounts are in minor units of its currency, above zero where something is credited.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreditNote)]
pub struct CreditNoteView {
    /// Its id.
    pub id: CreditNoteId,
    /// Its number.
    #[schema(example = "CN-2027-0001")]
    pub number: String,
    /// Who gets it.
    pub client_id: ClientId,
    /// What it credits; null where a subscription's unused days are given back.
    #[schema(required)]
    pub invoice_id: Option<InvoiceId>,
    /// The subscription whose change or end made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<SubscriptionId>,
    /// What its amounts are.
    pub currency: Currency,
    /// What is credited.
    pub lines: Vec<LineView>,
    /// The sum of the lines.
    #[schema(value_type = i64)]
    pub subtotal: Minor,
    /// The tax, by rate, ascending.
    pub taxes: Vec<TaxView>,
    /// Its sum.
    #[schema(value_type = i64)]
    pub tax_amount: Minor,
    /// Lines and tax.
    #[schema(value_type = i64)]
    pub total: Minor,
    /// What of it lowered what was due on the invoice.
    #[schema(value_type = i64)]
    pub amount_due_lowered: Minor,
    /// What of it went to the client's balance.
    #[schema(value_type = i64)]
    pub amount_to_balance: Minor,
    /// What of it goes back by the payments of the invoice: each shows how far that is.
    #[schema(value_type = i64)]
    pub amount_to_refund: Minor,
    /// Why.
    pub reason: String,
    /// The day that it is dated.
    pub issued_on: Day,
    /// When it was made.
    pub created_at: Time,
}

impl CreditNoteView {
    /// Shows a credit note.
    pub fn of(note: &CreditNote) -> Self {
        Self {
            id: note.id,
            number: note.number.to_string(),
            client_id: note.client,
            invoice_id: note.invoice,
            subscription_id: note.subscription,
            currency: note.currency,
            lines: note.lines.iter().map(LineView::from).collect(),
            subtotal: note.totals.subtotal,
            taxes: note.totals.taxes.iter().map(TaxView::from).collect(),
            tax_amount: note.totals.tax_amount,
            total: note.totals.total,
            amount_due_lowered: note.lowered_due,
            amount_to_balance: note.to_balance(),
            amount_to_refund: note.given_back,
            reason: note.reason.clone(),
            issued_on: note.issued_on,
            created_at: note.created_at,
        }
    }
}

impl From<CreditNote> for CreditNoteView {
    fn from(note: CreditNote) -> Self {
        Self::of(&note)
    }
}
