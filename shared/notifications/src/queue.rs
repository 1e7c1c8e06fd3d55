//! The notifier's queue. What it carries only names jobs, so nothing is lost with a message.

use anyhow::anyhow;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use kernel::Time;

use crate::job::JobRef;

/// SQS takes this many messages at once.
const BATCH: usize = 10;
/// SQS delays a message no longer.
const LONGEST_DELAY_SECONDS: i64 = 900;

/// Tells the notifier of jobs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NoticeQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl NoticeQueue {
    /// Opens the queue at `url`.
    pub fn new(client: aws_sdk_sqs::Client, url: impl Into<String>) -> Self {
        Self {
            client,
            url: url.into(),
        }
    }

    /// Opens the queue of `NOTIFICATION_QUEUE_URL`.
    pub fn from_env() -> anyhow::Result<Self> {
        let mut config = aws_sdk_sqs::config::Builder::from(&lambda::aws_config()?);
        config.set_endpoint_url(std::env::var("AWS_ENDPOINT_URL_SQS").ok());
        let client = aws_sdk_sqs::Client::from_conf(config.build());
        Ok(Self::new(client, lambda::variable("NOTIFICATION_QUEUE_URL")?))
    }

    /// A queue that takes nothing, for routes that are only described.
    pub fn nowhere() -> Self {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .build();
        Self::new(aws_sdk_sqs::Client::from_conf(config), "")
    }

    /// Tells the notifier of jobs. Best effort: the sweeper finds those it does not learn of.
    pub async fn nudge(&self, jobs: &[JobRef]) {
        for jobs in jobs.chunks(BATCH) {
            self.send(jobs, 0).await;
        }
    }

    /// Tells the notifier of a job once it is due. Best effort as well.
    pub async fn nudge_at(&self, now: Time, due: Time, job: &JobRef) {
        // Rounded up, and a second more for clocks that differ: a message that comes early finds nothing to do.
        let seconds = (due.millis() - now.millis() + Time::SECOND - 1) / Time::SECOND + 1;
        let delay = seconds.clamp(0, LONGEST_DELAY_SECONDS);
        self.send(std::slice::from_ref(job), i32::try_from(delay).unwrap_or(0))
            .await;
    }

    async fn send(&self, jobs: &[JobRef], delay_seconds: i32) {
        if let Err(error) = self.try_send(jobs, delay_seconds).await {
            let error = format!("{error:#}");
            tracing::warn!(error, jobs = jobs.len(), "the notifier was not told; the sweeper will");
        }
    }

    async fn try_send(&self, jobs: &[JobRef], delay_seconds: i32) -> anyhow::Result<()> {
        let mut batch = self.client.send_message_batch().queue_url(&self.url);
        for (place, job) in jobs.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .message_body(serde_json::to_string(job)?)
                .delay_seconds(delay_seconds)
                .build()?;
            batch = batch.entries(entry);
        }
        let failed = batch.send().await?.failed;
        match failed.first() {
            None => Ok(()),
            Some(first) => Err(anyhow!("{} of {} messages: {}", failed.len(), jobs.len(), first.code)),
        }
    }
}
