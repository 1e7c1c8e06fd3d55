//! Mails to those who look after an organization: that an endpoint was disabled.

use anyhow::Context;
use app::{App, Env};
use identity::Org;
use identity::member::MemberView;
use kernel::{OrgRole, Result};
use notifications::{Desk, Letter, Topic};
use outbox::{Fact, Heard, Listener, Told};
use serde::Deserialize;

use crate::facts::EndpointDisabled;

/// Hears that endpoints were disabled, and mails owners and admins, once.
#[derive(Debug)]
pub struct Mails(Desk);

/// What a fact says of an endpoint that a mail says too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    url: String,
    disabled_reason: String,
}

impl Mails {
    /// Mails that go out by the desk of the environment.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        Ok(Self(Desk::of(env, app)?))
    }

    async fn mail(&self, app: &App, fact: &Told) -> Result<()> {
        if fact.fact != EndpointDisabled::TYPE {
            return Ok(());
        }
        let said: Said = serde_json::from_str(&fact.data).context("what a fact says of an endpoint")?;
        // Its path may be a secret.
        let server =
            outbound::Url::parse(&said.url).map_or_else(|_| said.url.clone(), |url| url.origin().ascii_serialization());
        let letter = |org: &Org, member: &MemberView| Letter::WebhookDisabled {
            name: member.name.as_str().into(),
            organization: org.name.as_str().into(),
            server: server.as_str().into(),
            gone: said.disabled_reason == "gone",
            link: self.0.page("/webhooks").into(),
        };
        let who = [OrgRole::Owner, OrgRole::Admin];
        metering::mails::tell(app, &self.0, fact, (Topic::Webhooks, &who), letter).await
    }
}

impl Listener for Mails {
    fn name(&self) -> &'static str {
        "mails of webhooks"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(self.mail(app, fact))
    }
}
