//! What happened on a client's account over some days, in one currency: what it owed before, each invoice, credit note and
//! payment, and what it owes then. What was cancelled is none of it; what a client has on its balance counts as paid.

use app::App;
use billing::invoice::{Listed, Status};
use billing::{Client, CreditNote, Invoice};
use documents::Document;
use documents::document::{Entered, Entry};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use identity::Org;
use kernel::policy::ReadBilling;
use kernel::{ClientId, Currency, Day, Error, Minor, Money, Result, Scope, Zone};
use payments::{Payment, PaymentStatus};
use table::Slice;

use crate::source;

/// So many documents of each kind are read for a statement, and so many payments of an invoice.
const MOST: usize = 2_000;
const PAGE: u16 = 250;
const MOST_PAYMENTS: u16 = 100;
/// The payments of so many invoices are asked for at once.
const AT_ONCE: usize = 8;

/// Which statement is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
}

/// The statement of a client of the scope's organization. 409 `statement_too_long` for one with more than 2,000 invoices.
pub async fn account(
    app: &App,
    scope: &Scope<ReadBilling>,
    client: ClientId,
    period: Option<Period>,
    currency: Option<Currency>,
) -> Result<(Period, Document)> {
    let client = Client::load_even_deleted(&app.table, scope, client).await?;
    let org = Org::load(&app.table, scope).await?;
    let zone = client.zone(&org.time_zone).clone();
    let period = period.unwrap_or_else(|| {
        let to = zone.day_of(app.now());
        Period {
            from: to.plus_days(-90),
            to,
        }
    });
    let currency = currency.unwrap_or(client.profile.currency);
    let mut entries = booked(app, scope, &client, currency, &zone).await?;
    // Of one day: what is owed, what is credited, what was paid.
    let rank = |what| match what {
        Entered::Invoice => 0,
        Entered::CreditNote => 1,
        Entered::Payment => 2,
    };
    entries.sort_by_key(|entry| (entry.day, rank(entry.what)));
    let before: Minor = entries
        .iter()
        .filter(|entry| entry.day < period.from)
        .map(|entry| entry.amount)
        .sum();
    entries.retain(|entry| period.from <= entry.day && entry.day <= period.to);
    let seller = source::seller_of(app, scope, org).await?;
    let opening = Money::new(before, currency);
    Ok((
        period,
        Document::of_account(period.to, opening, entries, &client, &seller),
    ))
}

/// Everything that was ever booked for a client in a currency.
async fn booked(
    app: &App,
    scope: &Scope<ReadBilling>,
    client: &Client,
    currency: Currency,
    zone: &Zone,
) -> Result<Vec<Entry>> {
    let listed = Listed {
        client: Some(client.id),
        ..Listed::default()
    };
    let mut entries = Vec::new();
    let mut paid = Vec::new();
    let mut after = None;
    let mut read = 0;
    loop {
        let page = Invoice::list(&app.table, scope, listed, Slice { limit: PAGE, after }).await?;
        read += page.records.len();
        for invoice in page.records.iter().filter(|invoice| invoice.currency == currency) {
            entries.extend(of_invoice(invoice));
            if invoice.paid.hand + invoice.paid.provider > Minor::ZERO || invoice.status == Status::Cancelled {
                paid.push(invoice.id);
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
        if read >= MOST {
            return Err(Error::refused(
                "statement_too_long",
                "this client has too many invoices for a statement",
            ));
        }
    }
    entries.extend(credited(app, scope, client, currency).await?);
    let payments = stream::iter(paid).map(|invoice| async move {
        let slice = Slice {
            limit: MOST_PAYMENTS,
            after: None,
        };
        Payment::list_of(&app.table, scope, invoice, slice).await
    });
    let payments: Vec<_> = payments.buffer_unordered(AT_ONCE).try_collect().await?;
    let payments = payments.into_iter().flat_map(|page| page.records);
    entries.extend(
        payments
            .filter_map(|payment| of_payment(&payment, currency, zone))
            .flatten(),
    );
    Ok(entries)
}

async fn credited(app: &App, scope: &Scope<ReadBilling>, client: &Client, currency: Currency) -> Result<Vec<Entry>> {
    let slice = Slice {
        limit: 1_000,
        after: None,
    };
    let page = CreditNote::list_for(&app.table, scope, client.id, slice).await?;
    if page.next.is_some() {
        return Err(Error::refused(
            "statement_too_long",
            "this client has too many credit notes for a statement",
        ));
    }
    let notes = page.records.into_iter().filter(|note| note.currency == currency);
    let entry = |note: CreditNote| Entry {
        day: note.issued_on,
        what: Entered::CreditNote,
        reference: note.number.to_string(),
        // What goes back by payments is no part of the account, as refunds are none.
        amount: -(note.totals.total - note.given_back),
    };
    Ok(notes.map(entry).collect())
}

fn of_invoice(invoice: &Invoice) -> Option<Entry> {
    let (day, number) = invoice.issued_on.zip(invoice.number)?;
    (invoice.status != Status::Cancelled).then(|| Entry {
        day,
        what: Entered::Invoice,
        reference: number.to_string(),
        amount: invoice.totals.total,
    })
}

/// What came by a payment, and what went back of it. What fits nothing is no part of the account.
fn of_payment(payment: &Payment, currency: Currency, zone: &Zone) -> Option<Vec<Entry>> {
    let at = payment.paid_at.filter(|_| payment.currency == currency)?;
    if payment.status() == PaymentStatus::Unapplied {
        return None;
    }
    let (provider, amount, back) = match &payment.online {
        Some(online) => (Some(online.provider.title()), online.applied, online.taken_back),
        None => (None, payment.amount, Minor::ZERO),
    };
    let reference = payment
        .reference
        .clone()
        .or_else(|| provider.map(str::to_owned))
        .unwrap_or_default();
    let entry = |amount: Minor| Entry {
        day: zone.day_of(at),
        what: Entered::Payment,
        reference: reference.clone(),
        amount,
    };
    let moved = [-amount, back].into_iter().filter(|amount| *amount != Minor::ZERO);
    Some(moved.map(entry).collect())
}
