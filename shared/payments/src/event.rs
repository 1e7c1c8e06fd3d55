//! What a provider tells us: stored as a job as soon as it is verified, and done by looking at the payment that it is about.

use app::App;
use commit::Commit;
use jobs::{Job, Outcome, Owner, Place, Queue, Running, queue};
use kernel::policy::ReadBilling;
use kernel::{Error, OrgId, Origin, Result, Scope};
use outbound::header::HeaderMap;
use providers::{Event, Provider, Providers};
use serde::{Deserialize, Serialize};

use crate::payment::store::Pointer;
use crate::sync::{self, Hint};
use crate::till::Till;
use crate::work::outcome_of;

/// An event about what we do not know yet may be about what is just being stored; after so many attempts it is about what
/// somebody else does with the same account.
const TRIES: u32 = 3;

/// An event of a provider, verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderEvent {
    /// Whose account it is about.
    account: OrgId,
    provider: Provider,
    event: Event,
}

impl Job for ProviderEvent {
    const KIND: &'static str = "payment-event";
    const QUEUE: &'static Queue = &queue::PAYMENTS;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.account), self.provider)
    }

    fn label(&self) -> Option<String> {
        let id = self.event.id.as_deref().unwrap_or("without an id");
        Some(format!("{} {id}", self.event.kind))
    }
}

/// Verifies what came for an organization's account and stores it. 400 for what no secret of that account signed; 404 where
/// there is no account.
pub async fn take(
    app: &App,
    till: &Till,
    origin: &Origin,
    (provider, org): (Provider, OrgId),
    headers: &HeaderMap,
    body: &[u8],
) -> Result<()> {
    let account = till.accounts.open(app, org, provider).await?;
    let account = account.ok_or(Error::NotFound("account at this provider"))?;
    let owner = account.owner;
    let event = Providers::verify(&account.verifying(), headers, body, app.now())
        .map_err(|why| Error::malformed(why.code(), why.to_string()))?;
    tracing::info!(payment.provider = %provider, payment.event = event.kind, "a provider told something");
    let job = ProviderEvent {
        account: owner,
        provider,
        event,
    };
    Ok(Commit::of(app, origin).later(&job, app.now())?.await?)
}

impl ProviderEvent {
    /// Looks at what it is about.
    pub(crate) async fn work(app: &App, till: &Till, running: &Running<'_, Self>) -> Outcome {
        match running.job.act(app, till).await {
            Ok(true) => Outcome::Done,
            Ok(false) if running.attempt() < TRIES => Outcome::again("nothing of ours is known that it is about"),
            Ok(false) => {
                let kind = &running.job.event.kind;
                tracing::info!(payment.event = kind, "an event is about nothing of ours");
                Outcome::Done
            }
            Err(error) => outcome_of(&error),
        }
    }

    /// Whether it is about something that we know, or about nothing.
    async fn act(&self, app: &App, till: &Till) -> Result<bool> {
        let about = &self.event.about;
        let names = [
            // First: money that came besides is a payment of its own.
            about.charge.clone(),
            about.payment.map(|payment| payment.to_string()),
            about.session.clone(),
            about.order.clone(),
        ];
        let names: Vec<String> = names.into_iter().flatten().collect();
        if names.is_empty() {
            return Ok(true);
        }
        let scope = Scope::<ReadBilling>::system(self.account);
        let mut found = Pointer::find(&app.table, &scope, self.provider, &names).await?;
        if found.is_none()
            && let Some(payment) = till.whose(app, self.account, self.provider, about).await?
        {
            found = Pointer::find(&app.table, &scope, self.provider, &[payment.to_string()]).await?;
        }
        let Some(found) = found else {
            return Ok(false);
        };
        let hint = Hint {
            charge: about.charge.clone(),
            dispute: self.event.dispute.clone(),
        };
        sync::look(app, till, found.org, found.payment, &hint).await?;
        Ok(true)
    }
}
