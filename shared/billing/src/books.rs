//! What is booked for one client in one transaction: invoices that are drafted, sent, paid, credited or cancelled, with their
//! numbers, the client's balance, what is told of them, the sums that they are in, and when they are due.
//!
//! A deed opens the books of a client, does with its invoices what is to be done, and closes them: that adds every write to
//! its [`Commit`], which may have others. So an invoice of a subscription and that subscription are one transaction, and
//! numbers have no gaps. The conditions of these writes are named `invoice`, `number`, `client` and `billing key`; whoever
//! books tries again when one does not hold ([`commit::again_patiently`], for all sends of an organization meet at one
//! counter; what one process does at once should take turns there).
//!
//! ```ignore
//! again_patiently(|| async {
//!     let mut books = Books::open(&app, org, client).await?;
//!     let invoice = books.issue(source.clone(), content.clone()).await?;
//!     books.close(Commit::of(app, &Origin::default()))?.await
//! })
//! ```

use std::collections::BTreeMap;

use app::App;
use commit::Commit;
use identity::Org;
use identity::org::BillingSettings;
use kernel::policy::ReadBilling;
use kernel::{ClientId, Error, Minor, Money, OrgId, Rate, Result, Scope, Time, Zone};
use outbox::Shown;
use table::Write;

use crate::analytics::Sums;
use crate::client::Client;
use crate::due::{self, Subject};
use crate::invoice::facts::{
    self, CreditNoteCreated, InvoiceCancelled, InvoiceCreated, InvoiceOverdue, InvoicePaid, InvoicePartiallyPaid,
    InvoiceSent, InvoiceViewed,
};
use crate::invoice::{
    BillingKey, Chasing, Content, CreditNote, CreditNoteView, Invoice, InvoiceView, NewCreditNote, NewPayment, News,
    PaidBy, Source, news,
};
use crate::numbering::{Counter, DocumentNumber, Series};
use crate::parties::Parties;
use crate::subscription::{Credit, Subscription};
use crate::tax::TaxExempt;

/// What is booked for a client.
#[derive(Debug)]
pub struct Books<'a> {
    app: &'a App,
    now: Time,
    org: Org,
    settings: BillingSettings,
    client: Client,
    /// Whether the client's balance has moved.
    has_moved: bool,
    counters: BTreeMap<Series, Counter>,
    invoices: Vec<Booked>,
    deleted: Vec<Invoice>,
    notes: Vec<CreditNote>,
    sums: Sums,
}

/// An invoice as it was read, and as it is to be stored.
#[derive(Debug)]
struct Booked {
    before: Option<Invoice>,
    after: Invoice,
}

impl<'a> Books<'a> {
    /// Opens the books of an organization's client, deleted or not.
    pub async fn open(app: &'a App, org: OrgId, client: ClientId) -> Result<Self> {
        // On the heap, for three reads at once are a large future, and it is a part of every deed's.
        let read = Box::pin(async move {
            let scope = Scope::<ReadBilling>::system(org);
            futures::try_join!(
                Org::load(&app.table, &scope),
                BillingSettings::load(&app.table, &scope),
                Client::load_even_deleted(&app.table, &scope, client),
            )
        });
        let (org, settings, client) = read.await?;
        Ok(Self {
            app,
            now: app.now(),
            org,
            settings,
            client,
            has_moved: false,
            counters: BTreeMap::new(),
            invoices: Vec::new(),
            deleted: Vec::new(),
            notes: Vec::new(),
            sums: Sums::default(),
        })
    }

    /// The client, with the balance that is left.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The organization.
    pub fn org(&self) -> &Org {
        &self.org
    }

    /// What the organization says about its invoices.
    pub fn settings(&self) -> &BillingSettings {
        &self.settings
    }

    /// How a document of the client is taxed, by its own rate and the organization's, and where its days begin.
    pub fn terms(&self) -> (TaxExempt, [Option<Rate>; 2], Zone) {
        let profile = &self.client.profile;
        let zone = self.client.zone(&self.org.time_zone).clone();
        (profile.tax_exempt, [profile.tax_rate, self.settings.tax_rate], zone)
    }

    /// Drafts an invoice. It is stored once it is booked: by [`Books::book`].
    pub fn draft(&self, source: Source, content: Content) -> Result<Invoice> {
        let drafted = Invoice::draft(self.now, self.org.id, self.client.id, source, content);
        drafted.map_err(|problem| Error::invalid("lineItems", problem.to_string()))
    }

    /// Drafts an invoice, sends and books it.
    pub async fn issue(&mut self, source: Source, content: Content) -> Result<Invoice> {
        let mut invoice = self.draft(source, content)?;
        self.send(&mut invoice).await?;
        self.book(None, invoice.clone());
        Ok(invoice)
    }

    /// Sends an invoice under the next number, and pays of it what the client's balance has.
    pub async fn send(&mut self, invoice: &mut Invoice) -> Result<()> {
        let number = self.number(Series::Invoices).await?;
        let balance = self.client.balance_in(invoice.currency);
        let taken = invoice.send(self.now, &self.org.time_zone, number, balance)?;
        self.client.spend(Money::new(taken, invoice.currency));
        self.has_moved |= taken != Minor::ZERO;
        Ok(())
    }

    /// Credits some of an invoice under the next number: lowers what is due first, the rest goes to the client's balance.
    pub async fn credit(&mut self, invoice: &mut Invoice, new: &NewCreditNote) -> Result<CreditNote> {
        let number = self.number(Series::CreditNotes).await?;
        let note = invoice.credit(self.now, &self.org.time_zone, number, new)?;
        self.give(Money::new(note.to_balance(), note.currency));
        self.notes.push(note.clone());
        Ok(note)
    }

    /// Gives back, under the next number and to the client's balance, what a subscription does.
    pub async fn give_back(&mut self, credit: Credit, subscription: &Subscription, reason: &str) -> Result<CreditNote> {
        let number = self.number(Series::CreditNotes).await?;
        let note = credit.numbered(self.now, subscription, number, reason);
        self.give(Money::new(note.rest(), note.currency));
        self.sums.add_note(&note);
        self.notes.push(note.clone());
        Ok(note)
    }

    /// Takes money from outside for an invoice; what of it went to the client's balance.
    pub fn record(&mut self, invoice: &mut Invoice, payment: &NewPayment) -> Result<Minor> {
        let rest = invoice.record(self.now, payment)?;
        self.give(Money::new(rest, invoice.currency));
        self.sums.receive(invoice.currency, rest);
        Ok(rest)
    }

    /// Takes money that a provider received for an invoice; what of it is more than is due, and belongs to nobody yet.
    pub fn receive(&mut self, invoice: &mut Invoice, amount: Minor) -> Result<Minor> {
        Ok(invoice.pay(self.now, amount, PaidBy::Provider)?)
    }

    /// Takes back from an invoice what a provider had received for it and lost to a dispute.
    pub fn lose(&mut self, invoice: &mut Invoice, amount: Minor) {
        invoice.lose_dispute(self.now, amount);
    }

    /// Cancels an invoice; what was paid of it goes to the client's balance, except what a provider can give back.
    pub fn cancel(&mut self, invoice: &mut Invoice) -> Result<()> {
        let back = invoice.cancel(self.now)?;
        self.give(Money::new(back, invoice.currency));
        Ok(())
    }

    /// Books an invoice that was so when it was read, if it was, and is so now. Once for each.
    pub fn book(&mut self, before: Option<Invoice>, after: Invoice) {
        self.sums.move_invoice(before.as_ref(), Some(&after));
        self.invoices.push(Booked { before, after });
    }

    /// Notes that a contract with the client has ended.
    pub(crate) fn end_contract(&mut self) {
        self.client.open_contracts = self.client.open_contracts.saturating_sub(1);
        self.has_moved = true;
    }

    /// Books that a draft is deleted.
    pub(crate) fn delete(&mut self, before: Invoice) {
        self.sums.move_invoice(Some(&before), None);
        self.deleted.push(before);
    }

    /// Adds to a commit what stores and tells all of it.
    pub fn close(self, mut commit: Commit<'a>) -> Result<Commit<'a>> {
        let (org, chasing) = (self.org.id, Chasing::from(&self.settings));
        for booked in self.invoices {
            if booked.is_sent_now() {
                let parties = Parties::of(booked.after.id, &self.org, &self.settings, &self.client);
                commit = commit.write("parties", Write::create(&parties)?);
            }
            if booked.before.as_ref().map(|before| before.status) != Some(booked.after.status) {
                commit = commit.counts("invoices", "status", booked.after.status.name());
            }
            commit = booked.add(commit, &chasing)?;
        }
        for gone in self.deleted {
            let marks = due::moved(org, Subject::Invoice(gone.id), gone.marked_at, None)?;
            commit = commit
                .write("invoice", Write::delete(&gone))
                .write_all("due mark", marks);
        }
        for note in self.notes {
            let parties = Parties::of(note.id, &self.org, &self.settings, &self.client);
            commit = commit.write("parties", Write::create(&parties)?);
            commit = commit.write("credit note", Write::create(&note)?);
            // It never changes.
            let told = Shown::of(org, &note.id, 1, CreditNoteView::of(&note));
            commit = commit.tell(&CreditNoteCreated(told))?;
        }
        for counter in self.counters.into_values() {
            commit = commit.write("number", counter.write()?);
        }
        if self.has_moved {
            commit = commit.write("client", self.client.save()?);
        }
        let today = self.org.time_zone.day_of(self.now);
        Ok(commit.write_all("sums", self.sums.writes(org, today)))
    }

    /// Gives credit to the client.
    fn give(&mut self, money: Money) {
        if money.minor != Minor::ZERO {
            self.client.credit(money);
            self.has_moved = true;
        }
    }

    async fn number(&mut self, series: Series) -> Result<DocumentNumber> {
        if let Some(counter) = self.counters.get_mut(&series) {
            return Ok(counter.take());
        }
        let year = DocumentNumber::year_at(self.now, &self.org.time_zone);
        let mut counter = Counter::load(&self.app.table, self.org.id, series, year).await?;
        let number = counter.take();
        self.counters.insert(series, counter);
        Ok(number)
    }
}

impl Booked {
    fn is_sent_now(&self) -> bool {
        let was_sent = self.before.as_ref().is_some_and(|before| before.sent_at.is_some());
        self.after.sent_at.is_some() && !was_sent
    }

    fn add<'a>(self, mut commit: Commit<'a>, chasing: &Chasing) -> Result<Commit<'a>> {
        let Self { before, mut after } = self;
        let happened = news(before.as_ref(), &after);
        let due_at = after.due_at(chasing);
        let moved = due::moved(after.org, Subject::Invoice(after.id), after.marked_at, due_at)?;
        after.marked_at = due_at;
        if before.is_none()
            && let Some(text) = after.billing_key()
        {
            let key = BillingKey {
                org: after.org,
                text,
                invoice: after.id,
            };
            commit = commit.write("billing key", Write::create(&key)?);
        }
        for news in happened {
            commit = tell(commit, news, facts::next(&mut after))?;
        }
        let write = match before {
            None => Write::create(&after)?,
            Some(_) => Write::replace(&after)?,
        };
        Ok(commit.write("invoice", write).write_all("due mark", moved))
    }
}

fn tell(commit: Commit<'_>, news: News, told: Shown<InvoiceView>) -> Result<Commit<'_>> {
    match news {
        News::Created => commit.tell(&InvoiceCreated(told)),
        News::Sent => commit.tell(&InvoiceSent(told)),
        News::Viewed => commit.tell(&InvoiceViewed(told)),
        News::PartiallyPaid => commit.tell(&InvoicePartiallyPaid(told)),
        News::Paid => commit.tell(&InvoicePaid(told)),
        News::Overdue => commit.tell(&InvoiceOverdue(told)),
        News::Cancelled => commit.tell(&InvoiceCancelled(told)),
    }
}
