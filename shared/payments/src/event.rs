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
        if names(&self.event).is_empty() {
            return Ok(true);
        }
        let Some(found) = find(app, till, self.account, self.provider, &self.event).await? else {
            return Ok(false);
        };
        sync::look(app, till, found.org, found.payment, &hint(&self.event)).await?;
        Ok(true)
    }
}

/// All names that an event gives of what it is about, the best first.
fn names(event: &Event) -> Vec<String> {
    let about = &event.about;
    let names = [
        // First: money that came besides is a payment of its own.
        about.charge.clone(),
        about.payment.map(|payment| payment.to_string()),
        about.session.clone(),
        about.order.clone(),
    ];
    names.into_iter().flatten().collect()
}

/// What an event of an account is about, if it is known here; its provider is asked where it names nothing of ours.
pub(crate) async fn find(
    app: &App,
    till: &Till,
    account: OrgId,
    provider: Provider,
    event: &Event,
) -> Result<Option<Pointer>> {
    let names = names(event);
    if names.is_empty() {
        return Ok(None);
    }
    let scope = Scope::<ReadBilling>::system(account);
    if let Some(found) = Pointer::find(&app.table, &scope, provider, &names).await? {
        return Ok(Some(found));
    }
    match till.whose(app, account, provider, &event.about).await? {
        Some(payment) => Pointer::find(&app.table, &scope, provider, &[payment.to_string()]).await,
        None => Ok(None),
    }
}

/// What an event says that a look may need.
pub(crate) fn hint(event: &Event) -> Hint {
    Hint {
        charge: event.about.charge.clone(),
        dispute: event.dispute.clone(),
    }
}
