//! Closing a session that nobody needs any more: its invoice was cancelled, paid otherwise, or less of it is due.

use app::App;
use billing::Invoice;
use billing::invoice::facts::{CreditNoteCreated, InvoiceCancelled, InvoicePaid, InvoicePartiallyPaid};
use jobs::{Job, JobKey, Later, Outcome, Owner, Place, Queue, Running, queue};
use kernel::policy::ReadBilling;
use kernel::{Error, InvoiceId, MessageId, OrgId, Result, Scope};
use outbox::{Fact, Heard, Listener, Told};
use serde::{Deserialize, Serialize};

use crate::checkout;
use crate::payment::Payment;
use crate::payment::store::Slot;
use crate::till::Till;
use crate::work::outcome_of;

/// Hears of invoices of which less is due, and has their sessions closed.
#[derive(Clone, Copy, Debug)]
pub struct Sessions;

/// Closes the session of an invoice, unless it is still right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    org: OrgId,
    invoice: InvoiceId,
    because: MessageId,
}

impl Job for Close {
    const KIND: &'static str = "payment-close";
    const QUEUE: &'static Queue = &queue::PAYMENTS;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.org), self.invoice)
    }

    fn key(&self) -> Option<JobKey> {
        Some(JobKey::of(self.because.to_string(), self.because.time()))
    }
}

/// What a fact says: an invoice's own id, or that of what a credit note credits.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    invoice_id: Option<InvoiceId>,
}

impl Sessions {
    async fn close(app: &App, fact: &Told) -> Result<()> {
        const CHANGING: [&str; 4] = [
            InvoiceCancelled::TYPE,
            InvoicePaid::TYPE,
            InvoicePartiallyPaid::TYPE,
            CreditNoteCreated::TYPE,
        ];
        if !CHANGING.contains(&fact.fact.as_str()) {
            return Ok(());
        }
        let said: Said = serde_json::from_str(&fact.data).map_err(anyhow::Error::from)?;
        let Some(invoice) = said.invoice_id.or_else(|| fact.about.parse().ok()) else {
            return Ok(());
        };
        let slot = Slot::load(
            &app.table,
            &Scope::<ReadBilling>::system(fact.org),
            &invoice.to_string(),
        )
        .await?;
        if slot.payment.is_none() {
            return Ok(());
        }
        let job = Close {
            org: fact.org,
            invoice,
            because: fact.id,
        };
        let later = Later::of(app.now(), &job, app.now())?;
        later.because_of(&fact.origin).store(app).await?;
        Ok(())
    }
}

impl Listener for Sessions {
    fn name(&self) -> &'static str {
        "sessions of payments"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(Self::close(app, fact))
    }
}

impl Close {
    /// Closes it.
    pub(crate) async fn work(app: &App, till: &Till, running: &Running<'_, Self>) -> Outcome {
        match Box::pin(running.job.close(app, till)).await {
            // Somebody has paid: what comes of that is looked at by its watch.
            Ok(()) | Err(Error::Refused { .. }) => Outcome::Done,
            Err(error) => outcome_of(&error),
        }
    }

    async fn close(&self, app: &App, till: &Till) -> Result<()> {
        let scope = Scope::<ReadBilling>::system(self.org);
        let slot = Slot::load(&app.table, &scope, &self.invoice.to_string()).await?;
        let Some(open) = slot.payment else {
            return Ok(());
        };
        let payment = Payment::load(&app.table, &scope, open).await?;
        let invoice = Invoice::load(&app.table, &scope, self.invoice).await?;
        if invoice.open().is_ok() && payment.amount <= invoice.amount_due() {
            return Ok(());
        }
        checkout::give_way(app, till, &payment).await
    }
}
