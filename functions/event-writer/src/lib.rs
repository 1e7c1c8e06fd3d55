//! The event queue's consumer: makes events durable, counted and searchable, exactly once.

use lambda::{App, Consumer, Env, Function, Message, Start};
use telemetry::writer::{Delivery, Writer};
use tokio::sync::Mutex;

/// The function.
pub const FUNCTION: Function = Function::queue::<EventWriter>("event-writer");

/// Writes batches of messages; remembers the ids it has seen between them. A writer that panics is not used again, for it
/// may remember what it has not written.
struct EventWriter(Mutex<Option<Writer>>);

impl Start for EventWriter {
    async fn start(_: &Env, _: App) -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(None)))
    }
}

impl Consumer for EventWriter {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        let delivery = |message: Message| Delivery {
            id: message.id,
            text: message.body,
        };
        let deliveries = messages.into_iter().map(delivery).collect();
        let mut free = self.0.lock().await;
        let mut writer = free.take().unwrap_or_else(|| Writer::new(app.clone()));
        let failed = writer.write(deliveries, app.now()).await;
        *free = Some(writer);
        failed
    }
}
