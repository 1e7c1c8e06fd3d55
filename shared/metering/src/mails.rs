//! What people are mailed of their organization's wallet: owners that most, or all, of what its month includes was spent; owners
//! and admins that buying credits has failed.

use anyhow::Context;
use app::{App, Env};
use identity::member::MemberView;
use identity::{Member, Org};
use kernel::policy::{ReadMembers, ReadOrg};
use kernel::{Error, OrgRole, Result, Scope};
use notifications::{Desk, Job, Letter, Mail, Owner, Topic};
use outbox::{Fact, Heard, Listener, Told};
use serde::Deserialize;

use crate::facts::{WalletExhausted, WalletLow};
use crate::topup::Topup;

/// So many people are told of a failed top-up, in its transaction.
const MOST_TOLD: usize = 50;

/// Hears of wallets and mails their owners, once for each fact.
#[derive(Debug)]
pub struct Mails(Desk);

/// What a fact says of a wallet that a mail says too.
#[derive(Deserialize)]
struct Said {
    included: u64,
    balance: u64,
    leased: u64,
}

impl Mails {
    /// Mails that go out by the desk of the environment.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        Ok(Self(Desk::of(env, app)?))
    }

    async fn mail(&self, app: &App, fact: &Told) -> Result<()> {
        if ![WalletLow::TYPE, WalletExhausted::TYPE].contains(&fact.fact.as_str()) {
            return Ok(());
        }
        let said: Said = serde_json::from_str(&fact.data).context("what a fact says of a wallet")?;
        let letter = |org: &Org, owner: &MemberView| self.letter(fact, &said, org, owner);
        tell(app, &self.0, fact, (Topic::Billing, &[OrgRole::Owner]), letter).await
    }

    fn letter(&self, fact: &Told, said: &Said, org: &Org, owner: &MemberView) -> Letter {
        let (name, organization) = (owner.name.as_str().into(), org.name.as_str().into());
        let (included, left) = (said.included, said.balance + said.leased);
        let link = self.0.page("/wallet").into();
        if fact.fact == WalletLow::TYPE {
            Letter::WalletLow {
                name,
                organization,
                included,
                left,
                link,
            }
        } else {
            Letter::WalletExhausted {
                name,
                organization,
                included,
                left,
                link,
            }
        }
    }
}

/// Mails the members of a fact's organization who have one of these roles about a topic, each of them once, however often it is
/// told. Nobody of an organization that was deleted meanwhile.
pub async fn tell(
    app: &App,
    desk: &Desk,
    fact: &Told,
    (topic, roles): (Topic, &[OrgRole]),
    letter: impl Fn(&Org, &MemberView) -> Letter,
) -> Result<()> {
    let org = match Org::load(&app.table, &Scope::<ReadOrg>::system(fact.org)).await {
        Ok(org) => org,
        Err(Error::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let members = Scope::<ReadMembers>::system(fact.org);
    for member in Member::in_roles(&app.table, &members, roles).await? {
        let mail = Mail::to(&member.email, letter(&org, &member));
        let mail = mail.about(topic).for_member(member.user_id);
        let (owner, cause) = (Owner::Org(fact.org), fact.id.to_string());
        let job = desk.mail_once(app.now(), owner, &cause, fact.at, mail)?;
        job.later().clone().because_of(&fact.origin).store(app).await?;
    }
    Ok(())
}

/// The mails that say that a top-up has failed, to be stored with that.
pub(crate) async fn of_failed_topup(app: &App, desk: &Desk, topup: &Topup) -> Result<Vec<Job>> {
    let org = match Org::load(&app.table, &Scope::<ReadOrg>::system(topup.org)).await {
        Ok(org) => org,
        Err(Error::NotFound(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let members = Scope::<ReadMembers>::system(topup.org);
    let told = Member::in_roles(&app.table, &members, &[OrgRole::Owner, OrgRole::Admin]).await?;
    let jobs = told.iter().take(MOST_TOLD).map(|member| {
        let letter = Letter::TopupFailed {
            name: member.name.as_str().into(),
            organization: org.name.as_str().into(),
            credits: topup.credits,
            amount: format!("{} {}", topup.price.currency, topup.price.plain()).into(),
            link: desk.page("/wallet").into(),
        };
        let mail = Mail::to(&member.email, letter);
        let mail = mail.about(Topic::Billing).for_member(member.user_id);
        desk.mail(app.now(), Owner::Org(topup.org), &topup.id.to_string(), mail)
    });
    jobs.collect()
}

impl Listener for Mails {
    fn name(&self) -> &'static str {
        "mails of wallets"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(self.mail(app, fact))
    }
}
