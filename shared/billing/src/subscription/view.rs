//! A subscription as replies show it, and what a change of its plan brings.

use kernel::{ClientId, ContractId, Currency, Day, Minor, PlanId, SubscriptionId, Time, Zone};
use serde::Serialize;

use super::{Changed, Credit, Status, Subscription};
use crate::coupon::DiscountView;
use crate::invoice::{Content, CreditNoteView, InvoiceView, LineView, TaxView};
use crate::line::Line;
use crate::number::Quantity;
use crate::tax::Totals;

/// A change of plan that waits for its day, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ScheduledChange)]
pub struct ScheduledView {
    /// The new plan.
    pub plan_id: PlanId,
    /// When it takes effect.
    pub at: Time,
}

/// A subscription as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Subscription)]
pub struct SubscriptionView {
    /// Its id.
    pub id: SubscriptionId,
    /// Under which contract.
    pub contract_id: ContractId,
    /// Who has it.
    pub client_id: ClientId,
    /// What is sold.
    pub plan_id: PlanId,
    /// What the plan was called when it was sold.
    pub plan_name: String,
    /// What its invoices are in.
    pub currency: Currency,
    /// Its state.
    pub status: Status,
    /// How many of the flat prices.
    pub quantity: Quantity,
    /// Where its days begin: the client's zone when it was made.
    pub time_zone: Zone,
    /// When it began, or should; null: with its contract.
    #[schema(required)]
    pub start_at: Option<Time>,
    /// When its trial ends or ended.
    #[schema(required)]
    pub trial_ends_at: Option<Time>,
    /// When the next period begins; null while it is paused, or once none will.
    #[schema(required)]
    pub next_billing_at: Option<Time>,
    /// The start of what was billed last.
    #[schema(required)]
    pub last_billed_at: Option<Time>,
    /// Since when it is paused.
    #[schema(required)]
    pub paused_at: Option<Time>,
    /// When it ends because it was cancelled for its period's end.
    #[schema(required)]
    pub cancel_at: Option<Time>,
    /// When it ended.
    #[schema(required)]
    pub ended_at: Option<Time>,
    /// A change of plan that waits.
    #[schema(required)]
    pub scheduled_change: Option<ScheduledView>,
    /// A discount on its invoices.
    #[schema(required)]
    pub discount: Option<DiscountView>,
    /// When it was made.
    pub created_at: Time,
}

impl From<&Subscription> for SubscriptionView {
    fn from(one: &Subscription) -> Self {
        let start_of = |day| one.zone.start_of(day);
        Self {
            id: one.id,
            contract_id: one.contract,
            client_id: one.client,
            plan_id: one.terms.plan,
            plan_name: one.terms.name.clone(),
            currency: one.terms.currency,
            status: one.status,
            quantity: one.quantity,
            time_zone: one.zone.clone(),
            start_at: one.begun.map(|begun| begun.at).or(one.start_at),
            trial_ends_at: one.begun.and_then(|begun| begun.trial_ends_at),
            next_billing_at: one.next_billing_at(),
            last_billed_at: one.last_billed_at,
            paused_at: one.pause.map(|pause| pause.at),
            cancel_at: one.cancel_on.map(start_of),
            ended_at: one.end.map(|end| end.at),
            scheduled_change: one.scheduled.as_ref().map(|change| ScheduledView {
                plan_id: change.terms.plan,
                at: start_of(change.on),
            }),
            discount: one.discount.clone().map(DiscountView::from),
            created_at: one.created_at,
        }
    }
}

/// An invoice or a credit note as it would be booked. Amounts are in minor units of its currency.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentPreview)]
pub struct PreviewView {
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
    /// The day that it would be dated.
    #[schema(required)]
    pub issued_on: Option<Day>,
    /// Of an invoice: the last day on which it would not be overdue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_date: Option<Day>,
}

impl PreviewView {
    fn of(currency: Currency, lines: &[Line], totals: &Totals) -> Self {
        Self {
            currency,
            lines: lines.iter().map(LineView::from).collect(),
            subtotal: totals.subtotal,
            taxes: totals.taxes.iter().map(TaxView::from).collect(),
            tax_amount: totals.tax_amount,
            total: totals.total,
            issued_on: None,
            due_date: None,
        }
    }

    fn of_invoice(content: &Content) -> kernel::Result<Self> {
        let computed = content.computed();
        let (lines, totals) = computed.map_err(|problem| kernel::Error::invalid("planId", problem.to_string()))?;
        Ok(Self {
            issued_on: content.issued_on,
            due_date: Some(content.due_date),
            ..Self::of(content.currency, &lines, &totals)
        })
    }

    fn of_credit(credit: &Credit) -> Self {
        Self {
            issued_on: Some(credit.issued_on),
            ..Self::of(credit.currency, &credit.lines, &credit.totals)
        }
    }
}

/// What a change of plan would bring: an invoice, a credit note to the client's balance, or neither.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangePreview {
    /// What would be owed: at once, or on the first invoice of the new plan, before usage, where the change waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice: Option<PreviewView>,
    /// What would be given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_note: Option<PreviewView>,
}

impl ChangePreview {
    /// Shows what a change brings.
    pub fn of(changed: &Changed) -> kernel::Result<Self> {
        let invoice = changed.invoice.as_ref().or(changed.upcoming.as_ref());
        Ok(Self {
            invoice: invoice.map(PreviewView::of_invoice).transpose()?,
            credit_note: changed.credit.as_ref().map(PreviewView::of_credit),
        })
    }
}

/// A subscription after a deed, with what was booked for it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChangedSubscription)]
pub struct ChangedView {
    /// As it is now.
    #[serde(flatten)]
    pub subscription: SubscriptionView,
    /// What is owed for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceView>,
    /// What was given back to the client's balance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_note: Option<CreditNoteView>,
}

/// What a change of plan is answered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum ChangeReply {
    /// It was done.
    Done(Box<ChangedView>),
    /// It was only looked at.
    Preview(ChangePreview),
}
