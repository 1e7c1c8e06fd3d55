//! The billing queue's consumer: bills the periods of subscriptions, makes recurring invoices, lets invoices fall overdue and
//! reminds of them, and ends contracts, each when its time has come.

use lambda::{App, Consumer, Env, Function, Message, Start, each};
use notifications::Desk;

/// The function.
pub const FUNCTION: Function = Function::queue::<BillingWorker>("billing-worker");

/// Bills.
struct BillingWorker {
    /// Where reminders go out.
    desk: Desk,
}

impl Start for BillingWorker {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            desk: Desk::of(env, &app)?,
        })
    }
}

impl Consumer for BillingWorker {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(messages, |message| async move {
            billing::run::work(app, &self.desk, &message.body).await
        })
        .await
    }
}
