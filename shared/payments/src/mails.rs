//! What people are mailed of payments: owners, admins and accountants that money came which fits nothing, and that a night's
//! comparison found what is booked otherwise. Once for each fact, however often it is told.

use anyhow::Context;
use app::{App, Env};
use identity::Org;
use kernel::policy::ReadOrg;
use kernel::{Currency, Error, Minor, Money, OrgRole, Result, Scope};
use notifications::{Desk, Letter, Mail, Owner};
use outbox::{Fact, Heard, Listener, Told};
use providers::Provider;
use serde::Deserialize;

use crate::payment::facts::PaymentUnapplied;
use crate::payment::{HistoryEntry, KEPT, say};
use crate::reconcile::ReconciliationDrifted;

/// Who looks after an organization's money.
const WHO: [OrgRole; 3] = [OrgRole::Owner, OrgRole::Admin, OrgRole::Accountant];

/// Hears of payments and mails those who look after them.
#[derive(Debug)]
pub struct Mails(Desk);

/// What a fact says of money that fits nothing, and a mail says too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unapplied {
    provider: Provider,
    amount_received: Minor,
    received_currency: Currency,
    history: Vec<HistoryEntry>,
}

/// What a fact says of a comparison, and a mail says too.
#[derive(Deserialize)]
struct Drifted {
    provider: Provider,
    drifted: u64,
}

impl Mails {
    /// Mails that go out by the desk of the environment.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        Ok(Self(Desk::of(env, app)?))
    }

    async fn mail(&self, app: &App, fact: &Told) -> Result<()> {
        if ![PaymentUnapplied::TYPE, ReconciliationDrifted::TYPE].contains(&fact.fact.as_str()) {
            return Ok(());
        }
        let org = match Org::load(&app.table, &Scope::<ReadOrg>::system(fact.org)).await {
            Ok(org) => org,
            // Deleted meanwhile: nobody is to be told.
            Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        for member in metering::mails::members(&app.table, fact.org, &WHO).await? {
            let mail = Mail::to(&member.email, self.letter(fact, &org.name, &member.name)?);
            let (owner, cause) = (Owner::Org(fact.org), fact.id.to_string());
            let job = self.0.mail_once(app.now(), owner, &cause, fact.at, mail)?;
            job.later().clone().because_of(&fact.origin).store(app).await?;
        }
        Ok(())
    }

    fn letter(&self, fact: &Told, organization: &str, name: &str) -> Result<Letter> {
        let (name, organization) = (name.into(), organization.into());
        if fact.fact == ReconciliationDrifted::TYPE {
            let said: Drifted = serde_json::from_str(&fact.data).context("what a fact says of a comparison")?;
            return Ok(Letter::PaymentsDrifted {
                name,
                organization,
                provider: said.provider.title().into(),
                payments: said.drifted,
                link: self.0.page("/payments/comparisons").into(),
            });
        }
        let said: Unapplied = serde_json::from_str(&fact.data).context("what a fact says of a payment")?;
        // The last that happened to it is why it fits nothing.
        let why = said.history.last().map_or("", |entry| entry.text.as_str());
        Ok(Letter::PaymentUnapplied {
            name,
            organization,
            amount: say(Money::new(said.amount_received, said.received_currency)).into(),
            provider: said.provider.title().into(),
            reason: why.strip_prefix(KEPT).unwrap_or(why).into(),
            link: self.0.page(&format!("/payments/{}", fact.about)).into(),
        })
    }
}

impl Listener for Mails {
    fn name(&self) -> &'static str {
        "mails of payments"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(self.mail(app, fact))
    }
}
