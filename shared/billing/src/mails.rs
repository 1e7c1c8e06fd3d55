//! What clients are mailed of their invoices: that one was sent, with its file, that one is overdue, and that their contract rests
//! because of it or goes on; the last two are told to those who sell, too.

use anyhow::Context;
use app::{App, Env};
use identity::{Member, Org};
use jobs::Later;
use kernel::link::Links;
use kernel::policy::{ReadBilling, ReadMembers};
use kernel::{ClientId, Currency, Day, Error, InvoiceId, Minor, Money, OrgRole, Result, Scope, Time};
use notifications::{Attachment, Desk, Job, Letter, Line, Mail, Owner, Topic};
use outbox::{Fact, Heard, Listener, Told};
use serde::Deserialize;

use crate::books::Books;
use crate::client::Client;
use crate::file::{self, InvoiceFile};
use crate::invoice::Invoice;
use crate::invoice::facts::InvoiceSent;

/// A mail waits so long for its file, and then goes without.
const FILE_TAKES: i64 = 5 * Time::MINUTE;

/// So many of those who sell are mailed in one transaction, which has 100 writes: letting a contract rest takes 4 for each of its 10
/// subscriptions, 2 for each of their currencies, and about 15 for the rest.
const MOST_TOLD: usize = 15;

/// Where mails to clients go out, and where their links lead.
#[derive(Debug)]
pub struct Post {
    desk: Desk,
    links: Links,
}

impl Post {
    /// That of the environment.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        Ok(Self {
            desk: Desk::of(env, app)?,
            links: Links::to(env.variable("PUBLIC_URL")?),
        })
    }
}

/// Hears of invoices that were sent, has their files made and mails their clients, once for each.
#[derive(Debug)]
pub struct Mails(Post);

/// What a fact says of an invoice that a mail says too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    id: InvoiceId,
    client_id: ClientId,
    number: String,
    currency: Currency,
    total: Minor,
    amount_due: Minor,
    due_date: Day,
}

impl Mails {
    /// Mails that go out by the post of the environment.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        Ok(Self(Post::of(env, app)?))
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
        let token = Invoice::token_of(app, fact.org, said.id).await?;
        let letter = Letter::InvoiceSent {
            name: client.profile.name.as_str().into(),
            organization: org.name.as_str().into(),
            number: said.number.as_str().into(),
            total: amount(said.total, said.currency),
            due: amount(said.amount_due, said.currency),
            due_date: said.due_date.to_string().into(),
            is_paid: said.amount_due == Minor::ZERO,
            link: Some(self.0.links.page(&token).into()),
        };
        let attachment = Attachment {
            key: file::place(fact.org, said.id),
            file_name: format!("{}.pdf", said.number),
            waits_until: fact.at.plus_millis(FILE_TAKES),
        };
        let mail = Mail::to(&client.profile.email, letter).with(attachment);
        let cause = fact.id.to_string();
        let owner = Owner::Org(fact.org);
        let job = self.0.desk.mail_once(app.now(), owner, &cause, fact.at, mail)?;
        let file = InvoiceFile {
            org: fact.org,
            invoice: said.id,
            sent_at: fact.at,
        };
        let file = Later::of(app.now(), &file, app.now())?;
        file.because_of(&fact.origin).store(app).await?;
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
pub(crate) fn reminder(now: Time, post: &Post, books: &Books<'_>, invoice: &Invoice) -> Result<Job> {
    let (client, org) = (&books.client().profile, books.org());
    let number = invoice.number.map(|number| number.to_string()).unwrap_or_default();
    let letter = Letter::InvoiceReminder {
        name: client.name.as_str().into(),
        organization: org.name.as_str().into(),
        number: number.into(),
        due: amount(invoice.amount_due(), invoice.currency),
        due_date: invoice.due_date.to_string().into(),
        link: invoice.token().map(|token| post.links.page(&token).into()),
    };
    let mail = Mail::to(&client.email, letter);
    post.desk
        .mail(now, Owner::Org(invoice.org), &invoice.id.to_string(), mail)
}

/// The mails that say that a contract rests, or goes on, because of an invoice: to its client, and to those who manage the
/// organization that sells.
pub(crate) async fn of_dunning(
    app: &App,
    post: &Post,
    books: &Books<'_>,
    invoice: &Invoice,
    rests: bool,
) -> Result<Vec<Job>> {
    let org = books.org();
    let said = Dunned::of(post, books, invoice);
    let reads = Scope::<ReadMembers>::system(org.id);
    let managers = Member::in_roles(&app.table, &reads, &[OrgRole::Owner, OrgRole::Admin]).await?;
    let mut mails = vec![Mail::to(&books.client().profile.email, said.to_client(rests))];
    mails.extend(managers.iter().take(MOST_TOLD).map(|manager| {
        let name = manager.name.as_str().into();
        let mail = Mail::to(&manager.email, said.to_manager(name, rests));
        mail.about(Topic::Billing).for_member(manager.user_id)
    }));
    let (now, cause) = (app.now(), invoice.id.to_string());
    let job = |mail| post.desk.mail(now, Owner::Org(org.id), &cause, mail);
    mails.into_iter().map(job).collect()
}

/// What mails say of an invoice that a contract rests for.
struct Dunned {
    client: Line,
    organization: Line,
    number: Line,
    due: Line,
    due_date: Line,
    /// Where it is paid.
    page: Option<Line>,
    /// Where those who sell look at it.
    console: Line,
}

impl Dunned {
    fn of(post: &Post, books: &Books<'_>, invoice: &Invoice) -> Self {
        let number = invoice.number.map(|number| number.to_string()).unwrap_or_default();
        Self {
            client: books.client().profile.name.as_str().into(),
            organization: books.org().name.as_str().into(),
            number: number.into(),
            due: amount(invoice.amount_due(), invoice.currency),
            due_date: invoice.due_date.to_string().into(),
            page: invoice.token().map(|token| post.links.page(&token).into()),
            console: post.desk.page(&format!("/invoices/{}", invoice.id)).into(),
        }
    }

    fn to_client(&self, rests: bool) -> Letter {
        let (name, organization, number) = (self.client.clone(), self.organization.clone(), self.number.clone());
        if rests {
            Letter::ContractSuspended {
                name,
                organization,
                number,
                due: self.due.clone(),
                due_date: self.due_date.clone(),
                link: self.page.clone(),
            }
        } else {
            Letter::ContractResumed {
                name,
                organization,
                number,
            }
        }
    }

    fn to_manager(&self, name: Line, rests: bool) -> Letter {
        let (organization, client, number) = (self.organization.clone(), self.client.clone(), self.number.clone());
        let link = self.console.clone();
        if rests {
            Letter::ClientSuspended {
                name,
                organization,
                client,
                number,
                due: self.due.clone(),
                due_date: self.due_date.clone(),
                link,
            }
        } else {
            Letter::ClientResumed {
                name,
                organization,
                client,
                number,
                link,
            }
        }
    }
}

/// An amount as mails say it: `EUR 119.00`.
fn amount(minor: Minor, currency: Currency) -> Line {
    format!("{} {}", currency.code(), Money::new(minor, currency).plain()).into()
}
