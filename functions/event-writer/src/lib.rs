//! The event queue's consumer: makes events durable, counted and searchable, exactly once.

use lambda::{App, Consumer, Env, Function, Message, Start};
use telemetry::writer::{Delivery, Writer};
use tokio::sync::Mutex;

/// The function.
pub const FUNCTION: Function = Function::queue::<EventWriter>("event-writer");

/// Writes batches of messages; remembers the ids it has seen between them.
struct EventWriter(Mutex<Writer>);

impl Start for EventWriter {
    async fn start(_: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(Writer::new(app.table))))
    }
}

impl Consumer for EventWriter {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        let delivery = |message: Message| Delivery {
            id: message.id,
            text: message.body,
        };
        let deliveries = messages.into_iter().map(delivery).collect();
        self.0.lock().await.write(deliveries, app.now()).await
    }
}
