//! What owners are mailed of their organization's wallet: that most, or all, of what its month includes was spent.

use anyhow::Context;
use app::{App, Env};
use identity::member::MemberView;
use identity::{Member, Org};
use kernel::policy::{ReadMembers, ReadOrg};
use kernel::{Error, OrgId, OrgRole, Result, Scope};
use notifications::{Desk, Letter, Mail, Owner};
use outbox::{Fact, Heard, Listener, Told};
use serde::Deserialize;
use table::{Slice, Table};

use crate::facts::{WalletExhausted, WalletLow};

/// Members are read in pages of this many.
const PAGE: u16 = 100;

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
        let org = match Org::load(&app.table, &Scope::<ReadOrg>::system(fact.org)).await {
            Ok(org) => org,
            // Deleted meanwhile: nobody is to be told.
            Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        for owner in owners(&app.table, fact.org).await? {
            let mail = Mail::to(&owner.email, self.letter(fact, &said, &org, &owner));
            let cause = fact.id.to_string();
            let job = self
                .0
                .mail_once(app.now(), Owner::Org(fact.org), &cause, fact.at, mail)?;
            job.later().clone().because_of(&fact.origin).store(app).await?;
        }
        Ok(())
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

async fn owners(table: &Table, org: OrgId) -> Result<Vec<MemberView>> {
    let scope = Scope::<ReadMembers>::system(org);
    let (mut owners, mut after) = (Vec::new(), None);
    loop {
        let page = Member::list(table, &scope, Slice { limit: PAGE, after }).await?;
        owners.extend(page.records.into_iter().filter(|member| member.role == OrgRole::Owner));
        after = page.next;
        if after.is_none() {
            return Ok(owners);
        }
    }
}

impl Listener for Mails {
    fn name(&self) -> &'static str {
        "mails of wallets"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(self.mail(app, fact))
    }
}
