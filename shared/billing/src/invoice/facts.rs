//! What is told of invoices and credit notes.

use outbox::{Shown, facts};

use super::credit::CreditNoteView;
use super::{Invoice, InvoiceView};

/// Counts something that is told of an invoice: the invoice as its GET shows it then.
pub(crate) fn next(invoice: &mut Invoice) -> Shown<InvoiceView> {
    invoice.told += 1;
    Shown::of(invoice.org, &invoice.id, invoice.told, InvoiceView::of(invoice))
}

facts! {
    /// An invoice was drafted.
    pub InvoiceCreated(Shown<InvoiceView>) "invoice.created";
    /// An invoice was sent.
    pub InvoiceSent(Shown<InvoiceView>) "invoice.sent";
    /// A client looked at an invoice for the first time.
    pub InvoiceViewed(Shown<InvoiceView>) "invoice.viewed";
    /// A part of an invoice was paid.
    pub InvoicePartiallyPaid(Shown<InvoiceView>) "invoice.partially_paid";
    /// Nothing is due on an invoice any more.
    pub InvoicePaid(Shown<InvoiceView>) "invoice.paid";
    /// An invoice fell overdue.
    pub InvoiceOverdue(Shown<InvoiceView>) "invoice.overdue";
    /// An invoice was cancelled.
    pub InvoiceCancelled(Shown<InvoiceView>) "invoice.cancelled";
    /// Something was credited.
    pub CreditNoteCreated(Shown<CreditNoteView>) "credit_note.created";
}
