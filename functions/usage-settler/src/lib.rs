//! The usage queue's consumer: books what calls cost that left nothing else durable, and settles the leases of processes
//! that are heard of no more.

use lambda::{App, Consumer, Env, Function, Message, Start, each};

/// The function.
pub const FUNCTION: Function = Function::queue::<UsageSettler>("usage-settler");

/// Settles usage.
struct UsageSettler;

impl Start for UsageSettler {
    async fn start(_: &Env, _: App) -> anyhow::Result<Self> {
        Ok(Self)
    }
}

impl Consumer for UsageSettler {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(messages, |message| async move {
            metering::queue::settle(app, &message.body).await
        })
        .await
    }
}
