//! The consumer of facts: hands each to everybody who listens.
//!
//! A message only names a fact; the fact's record says whether it was relayed. So messages may be lost, come twice or in
//! any order.

use lambda::{App, Consumer, Env, Function, Message, Start, each};
use outbox::Listener;

/// The function.
pub const FUNCTION: Function = Function::queue::<OutboxRelay>("outbox-relay");

/// Everybody who listens: a new one is a line here. None does yet; facts are relayed to nobody, and kept.
const LISTENERS: &[&dyn Listener] = &[];

/// Relays facts.
struct OutboxRelay;

impl Start for OutboxRelay {
    async fn start(_: &Env, _: App) -> anyhow::Result<Self> {
        Ok(Self)
    }
}

impl Consumer for OutboxRelay {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(messages, |message| async move {
            outbox::relay(app, LISTENERS, &message.body).await
        })
        .await
    }
}
