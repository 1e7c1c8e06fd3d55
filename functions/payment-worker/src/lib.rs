//! The consumer of the jobs of payments: looks at them at their providers, gives money back, closes pages that nobody needs.
//!
//! A message only names a job; the job's record says whether there is anything to do.

use anyhow::Result;
use lambda::{App, Consumer, Env, Function, Message, Start, each};
use payments::Till;

/// The function.
pub const FUNCTION: Function = Function::queue::<PaymentWorker>("payment-worker");

/// Works at this till.
struct PaymentWorker(Till);

impl Start for PaymentWorker {
    async fn start(env: &Env, app: App) -> Result<Self> {
        Ok(Self(Till::of(env, &app)?))
    }
}

impl Consumer for PaymentWorker {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(messages, |message| async move {
            payments::work(app, &self.0, &message.body).await
        })
        .await
    }
}
