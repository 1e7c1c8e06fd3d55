//! The event queue's consumer: makes events durable, counted and searchable, exactly once.

use lambda::{App, Consumer, Message};
use telemetry::writer::{Delivery, Writer};
use tokio::sync::Mutex;

/// Writes batches of messages; remembers the ids it has seen between them.
#[derive(Debug)]
pub struct EventWriter(Mutex<Writer>);

impl EventWriter {
    /// A writer to the app's tables.
    pub fn start(app: &App) -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(Writer::new(app.table.clone()))))
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
