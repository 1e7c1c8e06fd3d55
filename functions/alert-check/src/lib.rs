//! The schedule of alerts, each minute: puts every enabled alert on the evaluator's queue, and looks at none of them.

use alerting::{AlertQueue, due};
use lambda::{App, Schedule};

/// Finds which alerts are to be looked at.
#[derive(Debug)]
pub struct AlertCheck(AlertQueue);

impl AlertCheck {
    /// Puts them on this queue.
    pub fn new(queue: AlertQueue) -> Self {
        Self(queue)
    }

    /// Puts them on the queue of `ALERT_QUEUE_URL`.
    pub fn from_env() -> anyhow::Result<Self> {
        let mut config = aws_sdk_sqs::config::Builder::from(&lambda::aws_config()?);
        config.set_endpoint_url(std::env::var("AWS_ENDPOINT_URL_SQS").ok());
        let client = aws_sdk_sqs::Client::from_conf(config.build());
        Ok(Self::new(AlertQueue::new(client, lambda::variable("ALERT_QUEUE_URL")?)))
    }
}

impl Schedule for AlertCheck {
    async fn fire(&self, app: &App) -> kernel::Result<()> {
        let alerts = due::queue_all(&app.table, &self.0).await?;
        tracing::info!(alerts, "alerts are to be looked at");
        Ok(())
    }
}
