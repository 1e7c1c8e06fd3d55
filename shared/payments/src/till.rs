//! The till: where payments are taken. It opens the account that money comes to, and calls its provider through that
//! account's breaker; no other code calls a provider.

use std::future::Future;
use std::time::Instant;

use app::{App, Env};
use breaker::{Breaker, Rule};
use kernel::link::Links;
use kernel::{Error, OrgId, PaymentId, Result};
use notifications::Desk;
use outbound::{AllowList, Client};
use providers::{About, Bases, Credentials, Failure, Provider, Providers};

use crate::account::{Accounts, Defaults, Opened};

/// Takes payments. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Till {
    providers: Providers,
    pub(crate) accounts: Accounts,
    pub(crate) links: Links,
    /// Where mails go out.
    pub(crate) desk: Desk,
}

/// Why a provider did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undone {
    /// It will not, whenever it is asked.
    #[error("{0}")]
    Refused(String),
    /// Nobody knows whether it did: ask again.
    #[error("{0}")]
    Unknown(String),
}

impl From<Failure> for Undone {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { .. } | Failure::Unknown(_) => Self::Refused(failure.to_string()),
            Failure::Unanswered(why) => Self::Unknown(why),
        }
    }
}

impl Till {
    /// The till of an environment: the providers' addresses, the platform's accounts, where browsers reach us.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        let allow = AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default());
        let base = |name| env.variable(name).map(|base| base.trim_end_matches('/').to_owned());
        let bases = Bases {
            stripe: base("STRIPE_BASE_URL")?,
            razorpay: base("RAZORPAY_BASE_URL")?,
            cashfree: base("CASHFREE_BASE_URL")?,
        };
        Ok(Self {
            providers: Providers::new(Client::new(allow), bases),
            accounts: Accounts {
                defaults: Defaults::of(env),
            },
            desk: Desk::of(env, app)?,
            links: Links::to(env.variable("PUBLIC_URL")?),
        })
    }

    /// Where a provider sends the events of an organization's account.
    pub(crate) fn webhook_url(&self, org: OrgId, provider: Provider) -> String {
        self.links.path(&format!("/v1/provider-webhooks/{provider}/{org}"))
    }

    /// The account by which an organization is paid at a provider. 409 `provider_not_configured` without one.
    pub(crate) async fn account(&self, app: &App, org: OrgId, provider: Provider) -> Result<Opened> {
        let opened = self.accounts.open(app, org, provider).await?;
        opened.ok_or_else(|| {
            let title = provider.title();
            Error::refused(
                "provider_not_configured",
                format!("this organization has no account at {title} that it could be paid by"),
            )
        })
    }

    /// Asks a provider which payment of ours something is about, by an account of an organization.
    pub(crate) async fn whose(
        &self,
        app: &App,
        org: OrgId,
        provider: Provider,
        about: &About,
    ) -> Result<Option<PaymentId>> {
        let account = self.account(app, org, provider).await?;
        let asked = self.ask(app, &account, |providers, credentials| {
            providers.whose(credentials, about)
        });
        match asked.await {
            Ok(payment) => Ok(payment),
            // It knows no such thing.
            Err(Undone::Refused(_)) => Ok(None),
            Err(Undone::Unknown(why)) => Err(Error::Away(why)),
        }
    }

    /// Asks a provider for something, by an account, unless it has failed too often.
    pub(crate) async fn ask<'a, T, F>(
        &'a self,
        app: &App,
        account: &'a Opened,
        call: impl FnOnce(&'a Providers, &'a Credentials) -> F,
    ) -> Result<T, Undone>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let credentials = &account.credentials;
        let name = credentials.provider().name();
        let breaker = Breaker::of(account.owner, name, Rule::PROVIDER);
        let unanswered = |answer: &Result<T, Failure>| matches!(answer, Err(Failure::Unanswered(_)));
        let started = Instant::now();
        let called = breaker
            .call(app, || call(&self.providers, credentials), unanswered)
            .await;
        let outcome = match &called {
            Ok(Ok(_)) => "answered",
            Ok(Err(Failure::Unanswered(_))) => "unanswered",
            Ok(Err(_)) => "refused",
            Err(_) => "not_called",
        };
        let labels = [("provider", name), ("outcome", outcome)];
        app.measures.time("provider.call.duration", &labels, started.elapsed());
        match called {
            Ok(answer) => Ok(answer?),
            Err(open) => Err(Undone::Unknown(open.to_string())),
        }
    }
}
