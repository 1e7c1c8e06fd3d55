//! The archive of documents: what was sent, as files in a bucket. Whoever asks for one first, or the work that follows a
//! sending, has it made; it lies there as it was made, whatever is paid or called otherwise since.
//!
//! What does not count (a draft, what was cancelled) is made each time that it is asked for, and kept for a day.
//!
//! Only functions that have a typesetter in them use this; the texts of a document are data to it, and it calls nobody.

mod source;
mod statement;

use std::time::Duration;

use app::{App, Env};
use billing::file;
use documents::{Document, pdf};
use kernel::link::Links;
use kernel::policy::ReadBilling;
use kernel::{ClientId, CreditNoteId, Currency, Error, InvoiceId, OrgId, Result, Scope};
use objects::{Bucket, Link};

pub use statement::{Account, Period, account};

/// Names the bucket.
const BUCKET: &str = "DOCUMENT_BUCKET";
const PDF: &str = "application/pdf";
/// How long a link is good: long enough to be followed, too short to be passed on.
const LINK_LASTS: Duration = Duration::from_mins(5);

/// The archive. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    bucket: Bucket,
    links: Links,
}

impl Archive {
    /// The archive in `DOCUMENT_BUCKET`, whose invoices are paid at `PUBLIC_URL`.
    pub fn of(env: &Env) -> anyhow::Result<Self> {
        Ok(Self {
            bucket: Bucket::of(env, BUCKET)?,
            links: Links::to(env.variable("PUBLIC_URL")?),
        })
    }

    /// What an invoice of the scope's organization says.
    pub async fn invoice(&self, app: &App, scope: &Scope<ReadBilling>, id: InvoiceId) -> Result<Document> {
        source::invoice(app, &self.links, scope, id).await
    }

    /// What a credit note of the scope's organization says.
    pub async fn credit_note(&self, app: &App, scope: &Scope<ReadBilling>, id: CreditNoteId) -> Result<Document> {
        source::credit_note(app, scope, id).await
    }

    /// Signs a link to the statement of a client of the scope's organization over some days; the last 90 unless it says which.
    pub async fn statement(
        &self,
        app: &App,
        scope: &Scope<ReadBilling>,
        client: ClientId,
        period: Option<Period>,
        currency: Option<Currency>,
    ) -> Result<String> {
        let account = statement::account(app, scope, client, period, currency).await?;
        let Period { from, to } = account.period;
        let key = format!("MARKED/{}/{client}-{}-{from}-{to}.pdf", scope.org(), account.currency);
        let document = account.stated(app, scope).await?;
        self.bucket.put(&key, PDF, render(&document)?).await?;
        self.sign(&key, &format!("statement-{from}-{to}.pdf")).await
    }

    /// Has the file of a document that counts made, unless it is there.
    pub async fn keep(&self, org: OrgId, id: &str, document: &Document) -> Result<()> {
        let key = file::place(org, id);
        if self.bucket.has(&key).await? {
            return Ok(());
        }
        self.bucket.put(&key, PDF, render(document)?).await
    }

    /// Signs a link to the file of a document, which is made if it has to be.
    pub async fn link(&self, org: OrgId, id: &str, document: &Document) -> Result<String> {
        let key = if document.mark.is_none() {
            self.keep(org, id, document).await?;
            file::place(org, id)
        } else {
            let key = format!("MARKED/{org}/{id}.pdf");
            self.bucket.put(&key, PDF, render(document)?).await?;
            key
        };
        let number = document.number;
        let name = number.map_or_else(|| "draft".to_owned(), |number| number.to_string());
        self.sign(&key, &format!("{name}.pdf")).await
    }

    async fn sign(&self, key: &str, file_name: &str) -> Result<String> {
        let lasts = LINK_LASTS;
        self.bucket.link(key, Link { file_name, lasts }).await
    }
}

fn render(document: &Document) -> Result<Vec<u8>> {
    pdf::render(document).map_err(|problem| Error::from(anyhow::Error::new(problem)))
}
