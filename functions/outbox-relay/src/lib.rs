//! The consumer of facts: hands each to everybody who listens.
//!
//! A message only names a fact; the fact's record says whether it was relayed. So messages may be lost, come twice or in
//! any order.

use lambda::{App, Consumer, Env, Function, Message, Start, each};
use outbox::Listener;

/// The function.
pub const FUNCTION: Function = Function::queue::<OutboxRelay>("outbox-relay");

/// Relays facts to those who mail about these, to the endpoints that subscribe to them, and to the inboxes of members.
struct OutboxRelay {
    wallets: metering::mails::Mails,
    invoices: billing::mails::Mails,
    payments: payments::mails::Mails,
    endpoints: endpoints::Mails,
}

impl OutboxRelay {
    /// Everybody who listens: a new one is a line here, and in the struct.
    fn listeners(&self) -> [&dyn Listener; 7] {
        [
            &self.wallets,
            &self.invoices,
            &self.payments,
            &self.endpoints,
            &payments::close::Sessions,
            &endpoints::Fanout,
            &inbox::Listener,
        ]
    }
}

impl Start for OutboxRelay {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            wallets: metering::mails::Mails::of(env, &app)?,
            invoices: billing::mails::Mails::of(env, &app)?,
            payments: payments::mails::Mails::of(env, &app)?,
            endpoints: endpoints::Mails::of(env, &app)?,
        })
    }
}

impl Consumer for OutboxRelay {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        let listeners = self.listeners();
        let listeners = &listeners;
        each(messages, |message| async move {
            outbox::relay(app, listeners, &message.body).await
        })
        .await
    }
}
