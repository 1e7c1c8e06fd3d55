//! An organization's account at a provider:   pk ORG#<org>#PROVIDER   sk <provider>

use app::{App, Sealing};
use commit::{Commit, Reply, again};
use kernel::policy::{ManageProviders, ReadBilling};
use kernel::{Error, OrgId, Result, Scope, Time};
use providers::{Credentials, Provider};
use serde_json::json;
use table::{Key, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{Account, AccountView, Defaults, OLD_LIVES};
use crate::Till;

const NAME: &str = "payment provider account";

impl Record for Account {
    const KIND: &'static str = "provider-account";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.provider)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#PROVIDER")
}

fn key(org: OrgId, provider: Provider) -> Key {
    Key::of(partition(org), provider.name())
}

/// What the credentials of an account are sealed for.
fn context(org: OrgId, provider: Provider) -> String {
    format!("PROVIDER#{org}#{provider}")
}

/// Sets an organization's credentials at a provider and notes it, without them. Those before still verify events for four
/// days.
pub async fn set(
    app: &App,
    scope: &Scope<ManageProviders>,
    till: &Till,
    credentials: Credentials,
) -> Result<AccountView> {
    let (org, provider) = (scope.org(), credentials.provider());
    let plain = serde_json::to_vec(&credentials).map_err(anyhow::Error::from)?;
    again(|| async {
        let now = app.now();
        let before: Option<Account> = app.table.get(&key(org, provider)).await?;
        let (previous, version) = match before {
            Some(before) => (Some(before.sealed), before.version),
            None => (None, 0),
        };
        let account = Account {
            org,
            provider,
            sealed: app.sealing.seal(&context(org, provider), &plain)?,
            previous_until: previous.is_some().then(|| now.plus_millis(OLD_LIVES)),
            previous,
            set_at: now,
            version,
        };
        let view = till.show(org, provider, Some(&account));
        let change =
            Change::by(scope.actor(), "payment_provider.set", NAME, provider).to(json!({"provider": provider}));
        Commit::by(app, scope)
            .write(NAME, Write::save(&account)?)
            .note(Chain::Org(org), change)
            .reply(Reply::ok(&view)?)
            .await?;
        Ok(view)
    })
    .await
}

/// Forgets an organization's credentials at a provider and notes it: it is not paid there any more.
pub async fn forget(app: &App, scope: &Scope<ManageProviders>, provider: Provider) -> Result<()> {
    let org = scope.org();
    again(|| async {
        let account: Option<Account> = app.table.get(&key(org, provider)).await?;
        let account = account.ok_or(Error::NotFound(NAME))?;
        let change = Change::by(scope.actor(), "payment_provider.removed", NAME, provider);
        Commit::by(app, scope)
            .write(NAME, Write::delete(&account))
            .note(Chain::Org(org), change)
            .reply(Reply::no_content())
            .await
    })
    .await
}

/// Shows where an organization can be paid.
pub async fn list(table: &Table, scope: &Scope<ReadBilling>, till: &Till) -> Result<Vec<AccountView>> {
    let own = own(table, scope).await?;
    let show = |provider| {
        let account = own.iter().find(|account| account.provider == provider);
        till.show(scope.org(), provider, account)
    };
    Ok(Provider::ALL.into_iter().map(show).collect())
}

/// Where an organization can be paid, in the order of [`Provider::ALL`].
pub async fn configured(table: &Table, scope: &Scope<ReadBilling>, till: &Till) -> Result<Vec<Provider>> {
    let accounts = list(table, scope, till).await?;
    let configured = accounts.into_iter().filter(|account| account.configured);
    Ok(configured.map(|account| account.provider).collect())
}

async fn own(table: &Table, scope: &Scope<ReadBilling>) -> Result<Vec<Account>> {
    let slice = Slice { limit: 10, after: None };
    let page = table
        .query(Query::slice(partition(scope.org()), slice).consistent())
        .await?;
    Ok(page.records)
}

/// An account that was opened: whose it is, and what opens it.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) owner: OrgId,
    pub(crate) credentials: Credentials,
    /// What still verifies events besides.
    previous: Option<Credentials>,
}

impl Opened {
    /// What verifies events.
    pub(crate) fn verifying(self) -> Vec<Credentials> {
        [Some(self.credentials), self.previous].into_iter().flatten().collect()
    }
}

/// Opens accounts.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    pub(crate) defaults: Defaults,
}

impl Accounts {
    /// That by which an organization is paid at a provider: its own, else the platform's where it may use that.
    pub(crate) async fn open(&self, app: &App, org: OrgId, provider: Provider) -> Result<Option<Opened>> {
        let account: Option<Account> = app.table.get(&key(org, provider)).await?;
        let Some(account) = account else {
            let shared = self.defaults.at(org, provider);
            return Ok(shared.map(|credentials| Opened {
                owner: OrgId::PLATFORM,
                credentials: credentials.clone(),
                previous: None,
            }));
        };
        let open = |sealed: &[u8]| unseal(&app.sealing, org, provider, sealed);
        let now = app.now();
        let lives = account.previous_until.is_some_and(|until: Time| now < until);
        let previous = account.previous.as_deref().filter(|_| lives);
        Ok(Some(Opened {
            owner: org,
            credentials: open(&account.sealed)?,
            previous: previous.map(open).transpose()?,
        }))
    }
}

fn unseal(sealing: &Sealing, org: OrgId, provider: Provider, sealed: &[u8]) -> Result<Credentials> {
    let plain = sealing.open(&context(org, provider), sealed)?;
    let plain = plain.ok_or_else(|| anyhow::anyhow!("credentials of {org} at {provider} cannot be opened"))?;
    // The text of a failure may quote what was read.
    serde_json::from_slice(&plain)
        .map_err(|_| anyhow::anyhow!("credentials of {org} at {provider} cannot be read").into())
}

impl Till {
    fn show(&self, org: OrgId, provider: Provider, account: Option<&Account>) -> AccountView {
        AccountView {
            provider,
            configured: account.is_some() || self.accounts.defaults.at(org, provider).is_some(),
            set_at: account.map(|account| account.set_at),
            previous_expires_at: account.and_then(|account| account.previous_until),
            webhook_url: self.webhook_url(org, provider),
        }
    }
}
