//! What a document is made of: what was booked, and what both sides were called when it was sent. What was sent before that
//! was kept, and a draft, says what they are called now.

use app::App;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use billing::parties::{LogoThen, Parties};
use billing::{Client, CreditNote, Invoice};
use documents::logo::Logo;
use documents::{Document, Seller};
use identity::Org;
use identity::org::BillingSettings;
use kernel::link::Links;
use kernel::policy::ReadBilling;
use kernel::{ClientId, Color, CreditNoteId, InvoiceId, Result, Scope};

/// An invoice of the scope's organization, with the link by which it is paid.
pub(crate) async fn invoice(app: &App, links: &Links, scope: &Scope<ReadBilling>, id: InvoiceId) -> Result<Document> {
    let invoice = Invoice::load(&app.table, scope, id).await?;
    let (client, seller) = parties(app, scope, invoice.client, &id.to_string()).await?;
    let document = Document::of_invoice(&invoice, &client, &seller);
    Ok(match invoice.token() {
        Some(token) => document.payable_at(links.page(&token)),
        None => document,
    })
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
    let id = id.to_string();
    let parties = parties(app, scope, note.client, &id);
    let (invoice, (client, seller)) = futures::try_join!(Box::pin(credited), parties)?;
    Ok(Document::of_credit_note(&note, invoice.as_ref(), &client, &seller))
}

async fn parties(app: &App, scope: &Scope<ReadBilling>, client: ClientId, document: &str) -> Result<(Client, Seller)> {
    // On the heap, for four reads at once are a large future.
    let read = Box::pin(async move {
        futures::try_join!(
            Client::load_even_deleted(&app.table, scope, client),
            Org::load(&app.table, scope),
            BillingSettings::load(&app.table, scope),
            Parties::find(&app.table, scope, document),
        )
    });
    let (mut client, org, settings, then) = read.await?;
    let mut seller = seller(org, &settings);
    if let Some(then) = then {
        seller.logo = match &then.logo {
            Some(LogoThen::Picture(print)) => settings
                .logo_of(&app.table, scope, print)
                .await?
                .as_deref()
                .and_then(picture),
            Some(LogoThen::Nothing) => None,
            None => seller.logo,
        };
        seller.name = then.seller.name;
        seller.address = then.seller.address;
        seller.tax_id = then.seller.tax_id;
        seller.color = then.color.as_deref().and_then(Color::parse);
        let profile = &mut client.profile;
        profile.name = then.buyer.name;
        profile.address = then.buyer.address;
        profile.tax_id = then.buyer.tax_id;
        profile.email = then.email;
        profile.language = then.language;
    }
    Ok((client, seller))
}

/// Who sells, as it is called now.
pub(crate) async fn seller_of(app: &App, scope: &Scope<ReadBilling>, org: Org) -> Result<Seller> {
    Ok(seller(org, &BillingSettings::load(&app.table, scope).await?))
}

fn seller(org: Org, settings: &BillingSettings) -> Seller {
    Seller {
        name: org.name,
        address: settings.address.clone(),
        tax_id: settings.tax_id.clone(),
        logo: settings.logo.as_deref().and_then(picture),
        color: settings.color.as_deref().and_then(Color::parse),
    }
}

/// The picture in a `data:` URL. One that lies elsewhere is left out: this function calls nobody.
fn picture(logo: &str) -> Option<Logo> {
    let (_, data) = logo.strip_prefix("data:")?.split_once(";base64,")?;
    Logo::new(STANDARD.decode(data).ok()?).ok()
}
