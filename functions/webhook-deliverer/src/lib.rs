//! The consumer of webhook calls that are to be made.
//!
//! A message only names a job; the job's record says whether there is anything to do. A worker that dies between calling
//! and noting it leaves a job that is done again when its lease is over, with the same id, by which the receiver knows it.

mod call;

use anyhow::Result;
use jobs::{Outcome, Running, Work};
use lambda::{App, Consumer, Env, Function, Message, Start, each};
use notifications::WebhookNotice;
use outbound::{AllowList, Client};

/// The function.
pub const FUNCTION: Function = Function::queue::<WebhookDeliverer>("webhook-deliverer");

/// Calls webhooks.
struct WebhookDeliverer(Client);

impl Start for WebhookDeliverer {
    async fn start(env: &Env, _: App) -> Result<Self> {
        let allow = AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default());
        Ok(Self(Client::new(allow)))
    }
}

impl Work<WebhookNotice> for WebhookDeliverer {
    async fn work(&self, app: &App, running: &Running<'_, WebhookNotice>) -> Outcome {
        call::make(&self.0, app.now(), running).await
    }
}

impl Consumer for WebhookDeliverer {
    /// All at once: a target that does not answer holds up nobody else's call.
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(
            messages,
            |message| async move { jobs::work(app, self, &message.body).await },
        )
        .await
    }
}
