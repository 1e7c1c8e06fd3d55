//! An invoice by its client's link.

use app::App;
use commit::{Commit, again};
use identity::Org;
use identity::org::BillingSettings;
use kernel::link::Token;
use kernel::policy::ReadBilling;
use kernel::{Error, InvoiceId, OrgId, Origin, Result, Scope};
use table::{Table, Write};

use super::deeds::NAME;
use super::{Invoice, NotOpen};
use crate::books::Books;
use crate::client::Client;

impl Invoice {
    /// Reads the invoice that a link leads to, whoever has it. 404 if there is none any more, or the token is another one.
    pub async fn by_token(table: &Table, token: &Token) -> Result<Self> {
        let Token::Invoice { org, invoice, .. } = token else {
            return Err(Error::NotFound(NAME));
        };
        let invoice = Self::find(table, *org, *invoice).await?;
        match invoice.token() {
            Some(right) if right == *token => Ok(invoice),
            _ => Err(Error::NotFound(NAME)),
        }
    }

    /// The token of an invoice's link. One that was sent before there were links gets it now; 409 `invoice_not_sent` for a draft.
    pub async fn token_of(app: &App, org: OrgId, id: InvoiceId) -> Result<Token> {
        again(|| async {
            let before = Self::find(&app.table, org, id).await?;
            let mut invoice = before.clone();
            let token = invoice.ensure_link().ok_or_else(|| Error::from(NotOpen::Draft))?;
            if invoice == before {
                return Ok(token);
            }
            let commit = Commit::of(app, &Origin::default());
            commit.write("invoice", Write::replace(&invoice)?).await?;
            Ok(token)
        })
        .await
    }
}

/// An invoice, and what its page says of the two sides: what whoever has its link may see.
#[derive(Debug)]
pub struct Shared {
    /// The invoice.
    pub invoice: Invoice,
    /// Who owes it.
    pub client: Client,
    /// Whose it is.
    pub org: Org,
    /// What that says about its invoices.
    pub settings: BillingSettings,
}

impl Shared {
    /// Reads what a link leads to. 404 if there is no such invoice, or its organization is gone.
    pub async fn by_token(table: &Table, token: &Token) -> Result<Self> {
        let invoice = Invoice::by_token(table, token).await?;
        let scope = Scope::<ReadBilling>::system(invoice.org);
        // On the heap, for three reads at once are a large future.
        let read = Box::pin(async {
            futures::try_join!(
                Client::load_even_deleted(table, &scope, invoice.client),
                Org::load(table, &scope),
                BillingSettings::load(table, &scope),
            )
        });
        let (client, org, settings) = read.await?;
        Ok(Self {
            invoice,
            client,
            org,
            settings,
        })
    }

    /// Notes that the client has looked at it; nothing happens if that is known, or it counts no more.
    pub async fn seen(&mut self, app: &App, origin: &Origin) -> Result<()> {
        let id = self.invoice.id;
        let invoice = again(|| async {
            let before = Invoice::find(&app.table, self.invoice.org, id).await?;
            let mut invoice = before.clone();
            if invoice.view(app.now()).is_err() || invoice == before {
                return Ok(before);
            }
            let mut books = Books::open(app, before.org, before.client).await?;
            books.book(Some(before), invoice.clone());
            books.close(Commit::of(app, origin))?.await?;
            Ok(invoice)
        });
        self.invoice = invoice.await?;
        Ok(())
    }
}
