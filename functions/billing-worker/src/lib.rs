//! The billing queue's consumer: bills the periods of subscriptions, makes recurring invoices, lets invoices fall overdue and
//! reminds of them, and ends contracts, each when its time has come.

use billing::mails::Post;
use lambda::{App, Consumer, Env, Function, Message, Start, each};

/// The function.
pub const FUNCTION: Function = Function::queue::<BillingWorker>("billing-worker");

/// Bills.
struct BillingWorker {
    /// Where reminders go out.
    post: Post,
}

impl Start for BillingWorker {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            post: Post::of(env, &app)?,
        })
    }
}

impl Consumer for BillingWorker {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(messages, |message| async move {
            billing::run::work(app, &self.post, &message.body).await
        })
        .await
    }
}
