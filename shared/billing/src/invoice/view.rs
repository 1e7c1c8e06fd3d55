//! An invoice as replies show it.

use kernel::{ClientId, Currency, Day, InvoiceId, Minor, RecurringInvoiceId, SubscriptionId, Time};
use serde::Serialize;

use super::{Invoice, Source, Status};
use crate::line::{Line, LineKind};
use crate::tax::{Tax, TaxExempt};

/// A line as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Line)]
pub struct LineView {
    /// What it is.
    pub kind: LineKind,
    /// What it is for.
    pub description: String,
    /// How many: a decimal.
    #[schema(example = "1.5")]
    pub quantity: String,
    /// What one costs in minor units, a decimal; null where that is not one number.
    #[schema(required, example = "9900")]
    pub unit_price: Option<String>,
    /// What it comes to, net of tax.
    #[schema(value_type = i64)]
    pub amount: Minor,
    /// The rate that it is taxed at, in percent: a decimal.
    #[schema(example = "19")]
    pub tax_rate: String,
    /// The days that it is for, if it is for days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<DaysView>,
}

/// Days: the first one, and the one after the last.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Days)]
pub struct DaysView {
    /// The first one.
    pub first: Day,
    /// The one after the last.
    pub end: Day,
}

impl From<&Line> for LineView {
    fn from(line: &Line) -> Self {
        Self {
            kind: line.kind,
            description: line.description.clone(),
            quantity: line.quantity.to_string(),
            unit_price: line.unit_price.map(|price| price.to_string()),
            amount: line.amount,
            tax_rate: line.tax_rate.to_string(),
            period: line.period.map(|period| DaysView {
                first: period.first,
                end: period.end,
            }),
        }
    }
}

/// The tax at one rate, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Tax)]
pub struct TaxView {
    /// The rate, in percent: a decimal.
    #[schema(example = "19")]
    pub rate: String,
    /// The sum of the lines that have it.
    #[schema(value_type = i64)]
    pub base: Minor,
    /// The tax on it, rounded once.
    #[schema(value_type = i64)]
    pub amount: Minor,
}

impl From<&Tax> for TaxView {
    fn from(tax: &Tax) -> Self {
        Self {
            rate: tax.rate.to_string(),
            base: tax.base,
            amount: tax.amount,
        }
    }
}

/// An invoice as replies show it. Amounts are in minor units of its currency.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Invoice)]
pub struct InvoiceView {
    /// Its id.
    pub id: InvoiceId,
    /// Its number; null until it is sent.
    #[schema(required, example = "INV-2027-0001")]
    pub number: Option<String>,
    /// Its state.
    pub status: Status,
    /// Who owes it.
    pub client_id: ClientId,
    /// What its amounts are.
    pub currency: Currency,
    /// Its lines, those of a discount among them.
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
    /// What was paid, from the client's balance and otherwise.
    #[schema(value_type = i64)]
    pub amount_paid: Minor,
    /// What is still to be paid.
    #[schema(value_type = i64)]
    pub amount_due: Minor,
    /// What was credited, with tax.
    #[schema(value_type = i64)]
    pub amount_credited: Minor,
    /// What payment providers gave back of what was paid: it stays paid.
    #[schema(value_type = i64)]
    pub amount_refunded: Minor,
    /// Whether the client is taxed.
    pub tax_exempt: TaxExempt,
    /// What the invoice has to say about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_note: Option<&'static str>,
    /// The coupon whose discount is on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coupon_code: Option<String>,
    /// What a person added.
    #[schema(required)]
    pub notes: Option<String>,
    /// The day that it is dated; null until it is sent.
    #[schema(required)]
    pub issued_on: Option<Day>,
    /// The last day on which it is not overdue.
    pub due_date: Day,
    /// There is one invoice for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_key: Option<String>,
    /// The subscription that it bills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_id: Option<SubscriptionId>,
    /// The recurring invoice that it is an occurrence of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurring_invoice_id: Option<RecurringInvoiceId>,
    /// How many reminders were sent.
    pub reminders: u32,
    /// When it was made.
    pub created_at: Time,
    /// When it was sent.
    #[schema(required)]
    pub sent_at: Option<Time>,
    /// When its client first looked at it.
    #[schema(required)]
    pub viewed_at: Option<Time>,
    /// When nothing was due any more.
    #[schema(required)]
    pub paid_at: Option<Time>,
    /// When it first fell overdue.
    #[schema(required)]
    pub overdue_at: Option<Time>,
    /// When it was cancelled.
    #[schema(required)]
    pub cancelled_at: Option<Time>,
}

impl InvoiceView {
    /// Shows an invoice.
    pub fn of(invoice: &Invoice) -> Self {
        let (subscription_id, recurring_invoice_id) = match &invoice.source {
            Source::Person => (None, None),
            Source::Subscription { subscription, .. } => (Some(*subscription), None),
            Source::Recurring { recurring, .. } => (None, Some(*recurring)),
        };
        Self {
            id: invoice.id,
            number: invoice.number.map(|number| number.to_string()),
            status: invoice.status,
            client_id: invoice.client,
            currency: invoice.currency,
            lines: invoice.lines.iter().map(LineView::from).collect(),
            subtotal: invoice.totals.subtotal,
            taxes: invoice.totals.taxes.iter().map(TaxView::from).collect(),
            tax_amount: invoice.totals.tax_amount,
            total: invoice.totals.total,
            amount_paid: invoice.paid.sum(),
            amount_due: invoice.amount_due(),
            amount_credited: invoice.amount_credited,
            amount_refunded: invoice.refunded,
            tax_exempt: invoice.exempt,
            tax_note: invoice.exempt.wording(),
            coupon_code: invoice.discount.as_ref().map(|discount| discount.code.clone()),
            notes: invoice.notes.clone(),
            issued_on: invoice.issued_on,
            due_date: invoice.due_date,
            billing_key: invoice.billing_key(),
            subscription_id,
            recurring_invoice_id,
            reminders: invoice.reminders,
            created_at: invoice.created_at,
            sent_at: invoice.sent_at,
            viewed_at: invoice.viewed_at,
            paid_at: invoice.paid_at,
            overdue_at: invoice.overdue_at,
            cancelled_at: invoice.cancelled_at,
        }
    }
}

impl From<Invoice> for InvoiceView {
    fn from(invoice: Invoice) -> Self {
        Self::of(&invoice)
    }
}
