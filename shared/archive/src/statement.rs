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
use kernel::{ClientId, Currency, Day, Error, InvoiceId, Minor, Money, Result, Scope, Zone};
use payments::{Payment, PaymentStatus};
use table::Slice;

use crate::source;

/// So many invoices and credit notes of a client are read for a statement: what it owed before is the sum of all that was before.
const MOST: usize = 50_000;
/// So many lines a statement has.
const MOST_ENTRIES: usize = 5_000;
const PAGE: u16 = 250;
/// The payments of so many invoices are asked for at once.
const AT_ONCE: usize = 32;

/// Which statement is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
}

/// What happened on a client's account: what was before a period comes to one sum, what was in it is kept, in order.
#[derive(Debug)]
pub struct Account {
    client: Client,
    org: Org,
    /// Which days.
    pub period: Period,
    /// What its amounts are.
    pub currency: Currency,
    /// What was owed before.
    pub opening: Minor,
    /// What happened.
    pub entries: Vec<Entry>,
}

impl Account {
    /// What is owed after it.
    pub fn closing(&self) -> Minor {
        self.opening + self.entries.iter().map(|entry| entry.amount).sum()
    }

    /// The page that states it.
    pub(crate) async fn stated(self, app: &App, scope: &Scope<ReadBilling>) -> Result<Document> {
        let seller = source::seller_of(app, scope, self.org).await?;
        let opening = Money::new(self.opening, self.currency);
        Ok(Document::of_account(
            self.period.to,
            opening,
            self.entries,
            &self.client,
            &seller,
        ))
    }

    /// Puts what happened in order. Of one day: what is owed, what is credited, what was paid.
    fn sort(&mut self) {
        let rank = |what| match what {
            Entered::Invoice => 0,
            Entered::CreditNote => 1,
            Entered::Payment => 2,
        };
        self.entries.sort_by(|one, other| {
            let key = |entry: &Entry| (entry.day, rank(entry.what));
            key(one)
                .cmp(&key(other))
                .then_with(|| one.reference.cmp(&other.reference))
        });
    }

    /// Adds what happened. 409 `statement_too_long` where more did in the period than one can read.
    fn add(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<()> {
        for entry in entries {
            if entry.day < self.period.from {
                self.opening += entry.amount;
            } else if entry.day <= self.period.to {
                self.entries.push(entry);
            }
        }
        if self.entries.len() > MOST_ENTRIES {
            return Err(too_long(
                "more than 5,000 things happened in these days; ask for fewer days",
            ));
        }
        Ok(())
    }
}

fn too_long(detail: &'static str) -> Error {
    Error::refused("statement_too_long", detail)
}

/// The account of a client of the scope's organization. 409 `statement_too_long` for one of more than 5,000 lines, and for a
/// client with more than 50,000 invoices or credit notes.
pub async fn account(
    app: &App,
    scope: &Scope<ReadBilling>,
    client: ClientId,
    period: Option<Period>,
    currency: Option<Currency>,
) -> Result<Account> {
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
    let mut account = Account {
        period,
        currency: currency.unwrap_or(client.profile.currency),
        opening: Minor::ZERO,
        entries: Vec::new(),
        client,
        org,
    };
    add_invoices(app, scope, &zone, &mut account).await?;
    add_credited(app, scope, &mut account).await?;
    account.sort();
    Ok(account)
}

/// Adds each invoice that was ever sent to a client, and what was paid of it, page by page.
async fn add_invoices(app: &App, scope: &Scope<ReadBilling>, zone: &Zone, account: &mut Account) -> Result<()> {
    let listed = Listed {
        client: Some(account.client.id),
        ..Listed::default()
    };
    let (mut read, mut after) = (0, None);
    loop {
        let page = Invoice::list(&app.table, scope, listed, Slice { limit: PAGE, after }).await?;
        read += page.records.len();
        let currency = account.currency;
        let invoices = page.records.iter().filter(|invoice| invoice.currency == currency);
        let is_paid = |invoice: &Invoice| {
            invoice.paid.hand + invoice.paid.provider > Minor::ZERO || invoice.status == Status::Cancelled
        };
        let paid: Vec<InvoiceId> = invoices.clone().filter(|one| is_paid(one)).map(|one| one.id).collect();
        account.add(invoices.filter_map(of_invoice))?;
        let payments = stream::iter(paid).map(|invoice| paid_of(app, scope, invoice));
        let payments: Vec<Vec<Payment>> = payments.buffer_unordered(AT_ONCE).try_collect().await?;
        let entries = payments
            .iter()
            .flatten()
            .filter_map(|payment| of_payment(payment, currency, zone));
        account.add(entries.flatten())?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
        if read >= MOST {
            return Err(too_long("this client has too many invoices for a statement"));
        }
    }
}

/// Every payment of an invoice.
async fn paid_of(app: &App, scope: &Scope<ReadBilling>, invoice: InvoiceId) -> Result<Vec<Payment>> {
    table::whole(PAGE, |slice| Payment::list_of(&app.table, scope, invoice, slice)).await
}

/// Adds each credit note of a client, page by page.
async fn add_credited(app: &App, scope: &Scope<ReadBilling>, account: &mut Account) -> Result<()> {
    let (mut read, mut after) = (0, None);
    loop {
        let page = CreditNote::list_for(&app.table, scope, account.client.id, Slice { limit: PAGE, after }).await?;
        read += page.records.len();
        let currency = account.currency;
        let notes = page.records.into_iter().filter(|note| note.currency == currency);
        account.add(notes.map(|note| Entry {
            day: note.issued_on,
            what: Entered::CreditNote,
            reference: note.number.to_string(),
            // What goes back by payments is no part of the account, as refunds are none.
            amount: -(note.totals.total - note.given_back),
        }))?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
        if read >= MOST {
            return Err(too_long("this client has too many credit notes for a statement"));
        }
    }
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
