//! What people are mailed of payments: owners, admins and accountants that money came which fits nothing, and that a night's
//! comparison found what is booked otherwise. Once for each fact, however often it is told.

use anyhow::Context;
use app::{App, Env};
use identity::Org;
use identity::member::MemberView;
use kernel::{Currency, Minor, Money, OrgRole, Result};
use metering::mails::tell;
use notifications::{Desk, Letter, Topic};
use outbox::{Fact, Heard, Listener, Told};
use providers::Provider;
use serde::Deserialize;
use serde::de::DeserializeOwned;

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

enum Said {
    Unapplied(Unapplied),
    Drifted(Drifted),
}

impl Mails {
    /// Mails that go out by the desk of the environment.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        Ok(Self(Desk::of(env, app)?))
    }

    async fn mail(&self, app: &App, fact: &Told) -> Result<()> {
        let said = match fact.fact.as_str() {
            PaymentUnapplied::TYPE => Said::Unapplied(read(fact)?),
            ReconciliationDrifted::TYPE => Said::Drifted(read(fact)?),
            _ => return Ok(()),
        };
        let letter = |org: &Org, member: &MemberView| self.letter(fact, &said, org, member);
        tell(app, &self.0, fact, (Topic::Payments, &WHO), letter).await
    }

    fn letter(&self, fact: &Told, said: &Said, org: &Org, member: &MemberView) -> Letter {
        let (name, organization) = (member.name.as_str().into(), org.name.as_str().into());
        match said {
            Said::Drifted(said) => Letter::PaymentsDrifted {
                name,
                organization,
                provider: said.provider.title().into(),
                payments: said.drifted,
                link: self.0.page("/payments/comparisons").into(),
            },
            Said::Unapplied(said) => {
                // The last that happened to it is why it fits nothing.
                let why = said.history.last().map_or("", |entry| entry.text.as_str());
                Letter::PaymentUnapplied {
                    name,
                    organization,
                    amount: say(Money::new(said.amount_received, said.received_currency)).into(),
                    provider: said.provider.title().into(),
                    reason: why.strip_prefix(KEPT).unwrap_or(why).into(),
                    link: self.0.page(&format!("/payments/{}", fact.about)).into(),
                }
            }
        }
    }
}

fn read<T: DeserializeOwned>(fact: &Told) -> Result<T> {
    Ok(serde_json::from_str(&fact.data).context("what a fact says of payments")?)
}

impl Listener for Mails {
    fn name(&self) -> &'static str {
        "mails of payments"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(self.mail(app, fact))
    }
}
