//! What is told of invoices and credit notes.

use kernel::OrgId;
use outbox::Fact;
use serde::Serialize;

use super::credit::CreditNoteView;
use super::{Invoice, InvoiceView};

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident($told:ident) $type:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize)]
        pub struct $name(pub(crate) $told);

        impl Fact for $name {
            const TYPE: &'static str = $type;

            fn org(&self) -> OrgId {
                self.0.org
            }

            fn about(&self) -> String {
                self.0.about()
            }

            fn sequence(&self) -> u64 {
                self.0.sequence
            }
        }
    )*};
}

/// An invoice as its GET shows it, when it happened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ToldInvoice {
    #[serde(skip)]
    org: OrgId,
    sequence: u64,
    #[serde(flatten)]
    invoice: InvoiceView,
}

impl ToldInvoice {
    /// Counts something that is told of an invoice.
    pub(crate) fn next(invoice: &mut Invoice) -> Self {
        invoice.told += 1;
        Self {
            org: invoice.org,
            sequence: invoice.told,
            invoice: InvoiceView::of(invoice),
        }
    }

    fn about(&self) -> String {
        self.invoice.id.to_string()
    }
}

/// A credit note as its GET shows it; it never changes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ToldNote {
    #[serde(skip)]
    pub(crate) org: OrgId,
    pub(crate) sequence: u64,
    #[serde(flatten)]
    pub(crate) note: CreditNoteView,
}

impl ToldNote {
    fn about(&self) -> String {
        self.note.id.to_string()
    }
}

facts! {
    /// An invoice was drafted.
    InvoiceCreated(ToldInvoice) "invoice.created";
    /// An invoice was sent.
    InvoiceSent(ToldInvoice) "invoice.sent";
    /// A client looked at an invoice for the first time.
    InvoiceViewed(ToldInvoice) "invoice.viewed";
    /// A part of an invoice was paid.
    InvoicePartiallyPaid(ToldInvoice) "invoice.partially_paid";
    /// Nothing is due on an invoice any more.
    InvoicePaid(ToldInvoice) "invoice.paid";
    /// An invoice fell overdue.
    InvoiceOverdue(ToldInvoice) "invoice.overdue";
    /// An invoice was cancelled.
    InvoiceCancelled(ToldInvoice) "invoice.cancelled";
    /// Something was credited.
    CreditNoteCreated(ToldNote) "credit_note.created";
}
