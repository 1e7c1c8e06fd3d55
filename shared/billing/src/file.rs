//! The file of an invoice that was sent, as work that is due: whoever has a typesetter makes it, puts it into the bucket of
//! documents, and what mails it finds it there.

use jobs::{Job, JobKey, Owner, Place, Queue};
use kernel::{InvoiceId, OrgId, Time};
use serde::{Deserialize, Serialize};

/// An invoice that was sent and whose file is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvoiceFile {
    /// Whose it is.
    pub org: OrgId,
    /// Which.
    pub invoice: InvoiceId,
    /// When it was sent: however often that is told, it is made once.
    pub sent_at: Time,
}

impl Job for InvoiceFile {
    const KIND: &'static str = "invoice-file";
    const QUEUE: &'static Queue = &jobs::queue::DOCUMENTS;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.org), self.invoice)
    }

    fn label(&self) -> Option<String> {
        Some(self.invoice.to_string())
    }

    fn key(&self) -> Option<JobKey> {
        Some(JobKey::of(self.invoice.to_string(), self.sent_at))
    }
}

/// Where a document of an organization lies in the bucket of documents, by its id.
pub fn place(org: OrgId, document: impl std::fmt::Display) -> String {
    format!("ORG/{org}/{document}.pdf")
}
