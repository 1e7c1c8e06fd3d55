//! What a document is made of: what was booked, its client, and what its organization says of itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use billing::{Client, CreditNote, Invoice};
use documents::document::Color;
use documents::logo::Logo;
use documents::{Document, Seller};
use identity::Org;
use identity::org::BillingSettings;
use kernel::policy::ReadBilling;
use kernel::{ClientId, CreditNoteId, InvoiceId, Result, Scope};
use lambda::App;

/// An invoice of the scope's organization.
pub(crate) async fn invoice(app: &App, scope: &Scope<ReadBilling>, id: InvoiceId) -> Result<Document> {
    let invoice = Invoice::load(&app.table, scope, id).await?;
    let (client, seller) = parties(app, scope, invoice.client).await?;
    Ok(Document::of_invoice(&invoice, &client, &seller))
}

/// A credit note of the scope's organization.
pub(crate) async fn credit_note(app: &App, scope: &Scope<ReadBilling>, id: CreditNoteId) -> Result<Document> {
    let note = CreditNote::load(&app.table, scope, id).await?;
    let credited = async {
        match note.invoice {
            Some(id) => Invoice::load(&app.table, scope, id).await.map(Some),
            None => Ok(None),
        }
    };
    let (invoice, (client, seller)) = tokio::try_join!(Box::pin(credited), parties(app, scope, note.client))?;
    Ok(Document::of_credit_note(&note, invoice.as_ref(), &client, &seller))
}

async fn parties(app: &App, scope: &Scope<ReadBilling>, client: ClientId) -> Result<(Client, Seller)> {
    // On the heap, for three reads at once are a large future.
    let read = Box::pin(async move {
        tokio::try_join!(
            Client::load_even_deleted(&app.table, scope, client),
            Org::load(&app.table, scope),
            BillingSettings::load(&app.table, scope),
        )
    });
    let (client, org, settings) = read.await?;
    Ok((client, seller(org, settings)))
}

fn seller(org: Org, settings: BillingSettings) -> Seller {
    Seller {
        name: org.name,
        address: settings.address,
        tax_id: settings.tax_id,
        logo: settings.logo.as_deref().and_then(picture),
        color: settings.color.as_deref().and_then(Color::parse),
    }
}

/// The picture in a `data:` URL. One that lies elsewhere is left out: this function calls nobody.
fn picture(logo: &str) -> Option<Logo> {
    let (_, data) = logo.strip_prefix("data:")?.split_once(";base64,")?;
    Logo::new(STANDARD.decode(data).ok()?).ok()
}
