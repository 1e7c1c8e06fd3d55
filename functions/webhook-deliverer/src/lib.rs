//! The consumer of calls that are to be made to servers of others: webhooks, and messages to browsers.
//!
//! A message only names a job; the job's record says whether there is anything to do. A worker that dies between calling
//! and noting it leaves a job that is done again when its lease is over, with the same id, by which the receiver knows it.

mod call;
mod push;

use anyhow::Result;
use endpoints::{Deliverer, Delivery, Replay};
use jobs::{Job, JobRef, Outcome, Running, Work};
use kernel::Error;
use lambda::{App, Consumer, Env, Function, Message, Start, each};
use notifications::WebhookNotice;
use notifications::push::PushNotice;
use outbound::{AllowList, Client};

use push::Pusher;

/// The function.
pub const FUNCTION: Function = Function::queue::<WebhookDeliverer>("webhook-deliverer");

/// Calls the webhooks of alerts, the endpoints that subscribe to events, and push services.
struct WebhookDeliverer {
    client: Client,
    endpoints: Deliverer,
    pusher: Pusher,
}

impl Start for WebhookDeliverer {
    async fn start(env: &Env, _: App) -> Result<Self> {
        let allow = AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default());
        let client = Client::new(allow);
        Ok(Self {
            endpoints: Deliverer::by(client.clone()),
            pusher: Pusher::of(env, client.clone()).await?,
            client,
        })
    }
}

impl Work<WebhookNotice> for WebhookDeliverer {
    async fn work(&self, app: &App, running: &Running<'_, WebhookNotice>) -> Outcome {
        call::make(&self.client, app.now(), running).await
    }
}

impl WebhookDeliverer {
    async fn work_on(&self, app: &App, message: &str) -> kernel::Result<()> {
        match JobRef::parse(message)?.kind.as_str() {
            WebhookNotice::KIND => jobs::work::<WebhookNotice>(app, self, message).await,
            Delivery::KIND => jobs::work::<Delivery>(app, &self.endpoints, message).await,
            Replay::KIND => jobs::work::<Replay>(app, &self.endpoints, message).await,
            PushNotice::KIND => jobs::work::<PushNotice>(app, &self.pusher, message).await,
            kind => Err(Error::Internal(anyhow::anyhow!(
                "nobody who calls webhooks does jobs {kind}"
            ))),
        }
    }
}

impl Consumer for WebhookDeliverer {
    /// All at once: a target that does not answer holds up nobody else's call.
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(
            messages,
            |message| async move { self.work_on(app, &message.body).await },
        )
        .await
    }
}
