//! What people do with invoices: each deed, its facts, its audit entry and its reply are one transaction.

use app::App;
use commit::{Commit, NotDone, Reply, again, again_patiently};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ClientId, Currency, Error, InvoiceId, Minor, Result, Scope};
use serde_json::json;
use table::Write;
use trail::{Chain, Change};

use super::{
    Content, CreditNote, CreditNoteView, Invoice, InvoicePatch, InvoiceView, NewCreditNote, NewInvoice, Source, Status,
};
use crate::books::Books;
use crate::client;
use crate::coupon;
use crate::numbering::turn;

/// What an invoice is called in the audit trail, and where it is absent.
pub(super) const NAME: &str = "invoice";

/// The write by which a draft gives its coupon back.
const GIVEN_BACK: &str = "coupon given back";

/// A coupon that is applied with a draft: its write, if it counts.
type Redeemed = Option<Write>;

impl Invoice {
    /// Drafts an invoice for a client and notes it. 404 without the client, or a coupon of that code; 409 if the coupon does
    /// not apply.
    pub async fn create(app: &App, scope: &Scope<ManageBilling>, new: &NewInvoice) -> Result<InvoiceView> {
        again(|| async {
            let mut books = open_live(app, scope, new.client_id).await?;
            let (exempt, rates, zone) = books.terms();
            let mut content = new.content(exempt, rates, zone)?;
            let code = new.coupon_code.as_deref();
            let coupon = apply(app, scope, code, &mut content).await?;
            let mut invoice = books.draft(Source::Person, content)?;
            invoice.rates = Some(new.rates());
            let view = InvoiceView::of(&invoice);
            let change = Change::by(scope.actor(), "invoice.created", NAME, invoice.id).to(noted(&view));
            let commit = Commit::by(app, scope)
                .write_all(coupon::NAME, coupon)
                .note(Chain::Org(invoice.org), change)
                .reply(Reply::created(&view)?);
            books.book(None, invoice);
            books.close(commit)?.await?;
            Ok(view)
        })
        .await
    }

    /// Changes a draft and notes it. 409 `invoice_not_draft` once it was sent.
    pub async fn patch(
        app: &App,
        scope: &Scope<ManageBilling>,
        id: InvoiceId,
        patch: &InvoicePatch,
    ) -> Result<InvoiceView> {
        again(|| async {
            let before = Self::find(&app.table, scope.org(), id).await?;
            before.changeable().map_err(Error::from)?;
            let mut books = match patch.client_id {
                Some(client) if client != before.client => open_live(app, scope, client).await?,
                _ => Books::open(app, scope.org(), before.client).await?,
            };
            let (exempt, rates, zone) = books.terms();
            let (mut content, rates) = patch.content(&before, exempt, rates, zone)?;
            let coupon = match &patch.coupon_code {
                Some(None) => {
                    content.discount = None;
                    None
                }
                Some(Some(code)) if !before.has_coupon(code) => apply(app, scope, Some(code), &mut content).await?,
                _ => {
                    before.keeps_discount_in(content.currency)?;
                    None
                }
            };
            let mut invoice = before.clone();
            invoice.client = books.client().id;
            invoice.change(content)?;
            invoice.rates = Some(rates);
            let given_back = give_back(app, scope, &before, Some(&invoice)).await?;
            let view = InvoiceView::of(&invoice);
            let change = Change::by(scope.actor(), "invoice.updated", NAME, id);
            let change = change.from(noted(&InvoiceView::of(&before))).to(noted(&view));
            let commit = Commit::by(app, scope)
                .write_all(coupon::NAME, coupon)
                .write_all(GIVEN_BACK, given_back)
                .note(Chain::Org(invoice.org), change)
                .reply(Reply::ok(&view)?);
            books.book(Some(before), invoice);
            books.close(commit)?.await?;
            Ok(view)
        })
        .await
    }

    /// Deletes a draft and notes it; no number was taken. 409 `invoice_not_draft` once it was sent.
    pub async fn remove(app: &App, scope: &Scope<ManageBilling>, id: InvoiceId) -> Result<()> {
        again(|| async {
            let before = Self::find(&app.table, scope.org(), id).await?;
            before.changeable().map_err(Error::from)?;
            let mut books = Books::open(app, scope.org(), before.client).await?;
            let change = Change::by(scope.actor(), "invoice.deleted", NAME, id).from(noted(&InvoiceView::of(&before)));
            let commit = Commit::by(app, scope)
                .write_all(GIVEN_BACK, give_back(app, scope, &before, None).await?)
                .note(Chain::Org(before.org), change)
                .reply(Reply::no_content());
            books.delete(before);
            books.close(commit)?.await
        })
        .await
    }

    /// Sends an invoice under the next number, pays of it what the client's balance has, and notes it.
    pub async fn send_now(app: &App, scope: &Scope<ManageBilling>, id: InvoiceId) -> Result<InvoiceView> {
        let _turn = turn(app, scope.org()).await;
        again_patiently(|| async {
            let before = Self::find(&app.table, scope.org(), id).await?;
            let mut books = Books::open(app, scope.org(), before.client).await?;
            let mut invoice = before.clone();
            books.send(&mut invoice).await?;
            done(app, scope, books, before, invoice, "invoice.sent").await
        })
        .await
    }

    /// Cancels an invoice that is not paid and notes it: what was paid of it goes to the client's balance.
    pub async fn cancel_now(app: &App, scope: &Scope<ManageBilling>, id: InvoiceId) -> Result<InvoiceView> {
        again(|| async {
            let before = Self::find(&app.table, scope.org(), id).await?;
            let mut books = Books::open(app, scope.org(), before.client).await?;
            let mut invoice = before.clone();
            books.cancel(&mut invoice)?;
            done(app, scope, books, before, invoice, "invoice.cancelled").await
        })
        .await
    }

    /// Notes that its client has looked at it; nothing happens if that is known.
    pub async fn view_now(app: &App, scope: &Scope<ManageBilling>, id: InvoiceId) -> Result<InvoiceView> {
        again(|| async {
            let before = Self::find(&app.table, scope.org(), id).await?;
            let mut invoice = before.clone();
            invoice.view(app.now()).map_err(Error::from)?;
            if invoice == before {
                return Ok(InvoiceView::of(&invoice));
            }
            let books = Books::open(app, scope.org(), before.client).await?;
            done(app, scope, books, before, invoice, "invoice.viewed").await
        })
        .await
    }

    /// Credits some of an invoice and notes it. 409 for a draft and what was cancelled. What is not due any more goes to the
    /// client's balance; if it is to go back by the way it was paid, `refunds` adds what gives it back to the same commit.
    pub async fn credit_now<'a, R>(
        app: &'a App,
        scope: &'a Scope<ManageBilling>,
        id: InvoiceId,
        new: &NewCreditNote,
        refunds: impl Fn(Commit<'a>, CreditNote) -> R,
    ) -> Result<CreditNoteView>
    where
        R: Future<Output = Result<Commit<'a>>>,
    {
        let _turn = turn(app, scope.org()).await;
        again_patiently(|| async {
            let before = Self::find(&app.table, scope.org(), id).await?;
            let mut books = Books::open(app, scope.org(), before.client).await?;
            let mut invoice = before.clone();
            let note: CreditNote = books.credit(&mut invoice, new).await?;
            let view = CreditNoteView::of(&note);
            let change = Change::by(scope.actor(), "credit_note.created", "credit note", note.id);
            let change = change.to(json!({
                "invoice": id, "number": view.number, "total": view.total, "currency": view.currency, "reason": view.reason,
                "refund": view.amount_to_refund,
            }));
            let mut commit = Commit::by(app, scope)
                .note(Chain::Org(before.org), change)
                .reply(Reply::created(&view)?);
            if note.given_back > Minor::ZERO {
                commit = refunds(commit, note).await?;
            }
            books.book(Some(before), invoice);
            books.close(commit)?.await?;
            Ok(view)
        })
        .await
    }

    /// Whether a coupon's discount is on it.
    fn has_coupon(&self, code: &str) -> bool {
        let discount = self.discount.as_ref();
        discount.is_some_and(|discount| discount.code.eq_ignore_ascii_case(code))
    }

    /// Refuses another currency than that of an amount that is taken off.
    fn keeps_discount_in(&self, currency: Currency) -> Result<()> {
        let other = |discount: &coupon::Discount| match discount.off {
            coupon::Off::Amount(money) => money.currency != currency,
            coupon::Off::Percent(_) => false,
        };
        if self.discount.as_ref().is_some_and(other) {
            return Err(coupon::CannotRedeem::OtherCurrency.into());
        }
        Ok(())
    }
}

/// Books what was done with an invoice, and answers with it.
async fn done<'a>(
    app: &'a App,
    scope: &Scope<ManageBilling>,
    mut books: Books<'a>,
    before: Invoice,
    invoice: Invoice,
    action: &'static str,
) -> Result<InvoiceView, NotDone> {
    let view = InvoiceView::of(&invoice);
    let change = Change::by(scope.actor(), action, NAME, invoice.id);
    let change = change.from(noted(&InvoiceView::of(&before))).to(noted(&view));
    let commit = Commit::by(app, scope)
        .write_all(GIVEN_BACK, give_back(app, scope, &before, Some(&invoice)).await?)
        .note(Chain::Org(invoice.org), change)
        .reply(Reply::ok(&view)?);
    books.book(Some(before), invoice);
    books.close(commit)?.await?;
    Ok(view)
}

/// Opens the books of a client that was not deleted.
async fn open_live<'a>(app: &'a App, scope: &Scope<ManageBilling>, client: ClientId) -> Result<Books<'a>> {
    let books = Books::open(app, scope.org(), client).await?;
    match books.client().deleted_at {
        None => Ok(books),
        Some(_) => Err(Error::NotFound(client::NAME)),
    }
}

/// Puts the discount of a coupon on what an invoice is made of, if there is one.
async fn apply(app: &App, scope: &Scope<ManageBilling>, code: Option<&str>, content: &mut Content) -> Result<Redeemed> {
    let Some(code) = code else {
        return Ok(None);
    };
    let scope: Scope<ReadBilling> = scope.narrow()?;
    let (discount, write) = coupon::redeem(&app.table, app.now(), &scope, code, content.currency).await?;
    content.discount = Some(discount);
    Ok(Some(write))
}

/// Gives back the coupon of a draft that has it no more: the draft is deleted or cancelled, or has another one or none.
async fn give_back(
    app: &App,
    scope: &Scope<ManageBilling>,
    before: &Invoice,
    after: Option<&Invoice>,
) -> Result<Redeemed> {
    let of = |invoice: &Invoice| invoice.discount.as_ref().map(|discount| discount.coupon);
    let had = of(before).filter(|_| before.status == Status::Draft);
    let has = after.filter(|after| after.status != Status::Cancelled).and_then(of);
    match had.filter(|coupon| has != Some(*coupon)) {
        Some(coupon) => coupon::give_back(&app.table, scope, coupon).await,
        None => Ok(None),
    }
}

/// What the audit trail says of an invoice.
fn noted(view: &InvoiceView) -> serde_json::Value {
    json!({
        "number": view.number,
        "status": view.status,
        "client": view.client_id,
        "currency": view.currency,
        "total": view.total,
        "amountDue": view.amount_due,
        "dueDate": view.due_date,
    })
}
