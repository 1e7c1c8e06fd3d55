//! What clients are mailed of their invoices: that one was sent, and that one is overdue.

use anyhow::Context;
use app::{App, Env};
use identity::Org;
use kernel::policy::ReadBilling;
use kernel::{ClientId, Currency, Day, Error, Minor, Money, Result, Scope, Time};
use notifications::{Desk, Job, Letter, Line, Mail, Owner};
use outbox::{Fact, Heard, Listener, Told};
use serde::Deserialize;

use crate::books::Books;
use crate::client::Client;
use crate::invoice::Invoice;
use crate::invoice::facts::InvoiceSent;

/// Hears of invoices that were sent and mails their clients, once for each.
#[derive(Debug)]
pub struct Mails(Desk);

/// What a fact says of an invoice that a mail says too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    client_id: ClientId,
    number: String,
    currency: Currency,
    total: Minor,
    amount_due: Minor,
    due_date: Day,
}

impl Mails {
    /// Mails that go out by the desk of the environment.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        Ok(Self(Desk::of(env, app)?))
    }

    async fn mail(&self, app: &App, fact: &Told) -> Result<()> {
        if fact.fact != InvoiceSent::TYPE {
            return Ok(());
        }
        let said: Said = serde_json::from_str(&fact.data).context("what a fact says of an invoice")?;
        let scope = Scope::<ReadBilling>::system(fact.org);
        let org = match Org::load(&app.table, &scope).await {
            Ok(org) => org,
            // Deleted meanwhile: it sends nothing any more.
            Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let client = Client::load_even_deleted(&app.table, &scope, said.client_id).await?;
        let letter = Letter::InvoiceSent {
            name: client.profile.name.as_str().into(),
            organization: org.name.as_str().into(),
            number: said.number.into(),
            total: amount(said.total, said.currency),
            due: amount(said.amount_due, said.currency),
            due_date: said.due_date.to_string().into(),
            is_paid: said.amount_due == Minor::ZERO,
        };
        let mail = Mail::to(&client.profile.email, letter);
        let cause = fact.id.to_string();
        let job = self
            .0
            .mail_once(app.now(), Owner::Org(fact.org), &cause, fact.at, mail)?;
        job.later().clone().because_of(&fact.origin).store(app).await?;
        Ok(())
    }
}

impl Listener for Mails {
    fn name(&self) -> &'static str {
        "mails of invoices"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(self.mail(app, fact))
    }
}

/// The mail that reminds a client of an invoice.
pub(crate) fn reminder(now: Time, desk: &Desk, books: &Books<'_>, invoice: &Invoice) -> Result<Job> {
    let (client, org) = (&books.client().profile, books.org());
    let number = invoice.number.map(|number| number.to_string()).unwrap_or_default();
    let letter = Letter::InvoiceReminder {
        name: client.name.as_str().into(),
        organization: org.name.as_str().into(),
        number: number.into(),
        due: amount(invoice.amount_due(), invoice.currency),
        due_date: invoice.due_date.to_string().into(),
    };
    let mail = Mail::to(&client.email, letter);
    desk.mail(now, Owner::Org(invoice.org), &invoice.id.to_string(), mail)
}

/// An amount as mails say it: `EUR 119.00`.
fn amount(minor: Minor, currency: Currency) -> Line {
    format!("{} {}", currency.code(), Money::new(minor, currency).plain()).into()
}
