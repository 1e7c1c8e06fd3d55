//! Sending to queues: the one sender of the system.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, anyhow};
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry};
use aws_types::SdkConfig;
use kernel::Result;

use crate::Env;

/// SQS takes this many messages at once, …
const BATCH: usize = 10;
/// … of together so many bytes, which is also the longest message.
const BATCH_BYTES: usize = 256 * 1024;
/// What SQS says where a dead-letter queue is being emptied already.
const MOVES_ALREADY: &str = "already a task running";
/// SQS delays a message no longer.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// A queue, by the environment variable that holds its URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue(pub &'static str);

/// A message to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// What it says.
    pub body: String,
    /// How long it stays unseen; at most 15 minutes, longer is cut.
    pub delay: Duration,
    /// Whose it is: those of one group do not hold up those of another (`MessageGroupId`).
    pub group: Option<String>,
}

impl Outgoing {
    /// A message that is seen at once.
    pub fn now(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    fn delay_seconds(&self) -> i32 {
        let whole = self.delay.min(LONGEST_DELAY).as_millis().div_ceil(1_000);
        i32::try_from(whole).unwrap_or(0)
    }
}

/// Tells a queue of something that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nudge {
    /// Which queue.
    pub queue: Queue,
    /// What it is told.
    pub message: Outgoing,
}

/// The queues that a function may send to. Cheap to clone; the client is made when it is first used.
#[derive(Clone)]
pub struct Queues(Arc<Inner>);

struct Inner {
    env: Env,
    config: SdkConfig,
    client: OnceLock<aws_sdk_sqs::Client>,
}

impl Queues {
    pub(crate) fn new(env: &Env, config: SdkConfig) -> Self {
        Self(Arc::new(Inner {
            env: env.clone(),
            config,
            client: OnceLock::new(),
        }))
    }

    fn client(&self) -> &aws_sdk_sqs::Client {
        self.0.client.get_or_init(|| {
            let mut config = aws_sdk_sqs::config::Builder::from(&self.0.config);
            config.set_endpoint_url(self.0.env.aws_endpoint("SQS"));
            aws_sdk_sqs::Client::from_conf(config.build())
        })
    }

    fn url(&self, queue: Queue) -> anyhow::Result<&str> {
        self.0.env.variable(queue.0)
    }

    /// Sends a message, which is in the queue once this returns.
    pub async fn send(&self, queue: Queue, message: Outgoing) -> Result<()> {
        let delay = message.delay_seconds();
        let request = self
            .client()
            .send_message()
            .queue_url(self.url(queue)?)
            .message_body(message.body)
            .set_message_group_id(message.group)
            .set_message_attributes(attributes()?)
            .set_delay_seconds((delay > 0).then_some(delay));
        request
            .send()
            .await
            .with_context(|| format!("sending to {}", queue.0))?;
        Ok(())
    }

    /// Sends messages, ten to a request. An error if any of them was not taken; others may have been.
    pub async fn send_all(&self, queue: Queue, messages: &[Outgoing]) -> Result<()> {
        for batch in batches(messages) {
            self.send_batch(queue, batch).await?;
        }
        Ok(())
    }

    /// Sends messages that name what is stored anyway: best effort, for whoever sweeps finds what nobody was told of.
    pub async fn nudge(&self, queue: Queue, messages: &[Outgoing]) {
        for batch in batches(messages) {
            if let Err(error) = self.send_batch(queue, batch).await {
                let error = format!("{:#}", anyhow!(error));
                tracing::warn!(
                    error,
                    queue = queue.0,
                    messages = batch.len(),
                    "a queue was not told; the sweeper will"
                );
            }
        }
    }

    /// Sends what tells queues of what was stored, queue by queue: best effort, as [`Queues::nudge`].
    pub async fn nudge_each(&self, nudges: impl IntoIterator<Item = Nudge>) {
        let mut queues: BTreeMap<Queue, Vec<Outgoing>> = BTreeMap::new();
        for nudge in nudges {
            queues.entry(nudge.queue).or_default().push(nudge.message);
        }
        for (queue, messages) in queues {
            self.nudge(queue, &messages).await;
        }
    }

    async fn send_batch(&self, queue: Queue, messages: &[Outgoing]) -> Result<()> {
        let mut request = self.client().send_message_batch().queue_url(self.url(queue)?);
        let attributes = attributes()?;
        for (place, message) in messages.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .message_body(&message.body)
                .set_message_group_id(message.group.clone())
                .set_message_attributes(attributes.clone())
                .delay_seconds(message.delay_seconds());
            request = request.entries(entry.build().context("a message")?);
        }
        let reply = request
            .send()
            .await
            .with_context(|| format!("sending to {}", queue.0))?;
        match reply.failed.first() {
            None => Ok(()),
            Some(first) => Err(anyhow!("{} of {} messages: {}", reply.failed.len(), messages.len(), first.code).into()),
        }
    }

    /// Has SQS move what lies in a dead-letter queue, by its ARN, back to where it comes from. It does so by and by; one move
    /// at a time, so a second one asked for meanwhile is no error.
    pub async fn move_back(&self, dead_letter_arn: &str) -> Result<()> {
        let moved = self.client().start_message_move_task().source_arn(dead_letter_arn);
        match moved.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.meta().message().is_some_and(|text| text.contains(MOVES_ALREADY)) => Ok(()),
            Err(error) => {
                let error = anyhow!(error).context(format!("moving back what is in {dead_letter_arn}"));
                Err(error.into())
            }
        }
    }

    /// How many messages wait in a queue or are with those who take them, as SQS estimates it; not those that are
    /// delayed.
    pub async fn depth(&self, queue: Queue) -> Result<u64> {
        let wanted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.client().get_queue_attributes().queue_url(self.url(queue)?);
        let reply = request.set_attribute_names(Some(wanted.to_vec())).send().await;
        let attributes = reply.with_context(|| format!("looking at {}", queue.0))?.attributes;
        let mut depth = 0;
        for name in wanted {
            let count = attributes.as_ref().and_then(|found| found.get(&name));
            let count = count.with_context(|| format!("{} does not tell {name}", queue.0))?;
            let count: u64 = count
                .parse()
                .with_context(|| format!("{name} of {} is {count:?}", queue.0))?;
            depth += count;
        }
        Ok(depth)
    }
}

/// What goes beside each message: the span that sends it, if there is one.
fn attributes() -> anyhow::Result<Option<HashMap<String, MessageAttributeValue>>> {
    let Some(trace) = spans::current() else { return Ok(None) };
    let value = MessageAttributeValue::builder().data_type("String").string_value(trace);
    let value = value.build().context("an attribute of a message")?;
    Ok(Some(HashMap::from([(spans::ATTRIBUTE.to_owned(), value)])))
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

/// Cuts messages into batches that SQS takes.
fn batches(messages: &[Outgoing]) -> impl Iterator<Item = &[Outgoing]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(BATCH).take_while(|message| {
            bytes += message.body.len();
            bytes <= BATCH_BYTES
        });
        // A message that is too long alone is SQS's to refuse.
        let (batch, after) = rest.split_at(fits.count().max(1).min(rest.len()));
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_are_whole_seconds_up_to_what_sqs_takes() {
        let delayed = |delay| {
            Outgoing {
                delay,
                ..Outgoing::now("x")
            }
            .delay_seconds()
        };
        assert_eq!(delayed(Duration::ZERO), 0);
        assert_eq!(delayed(Duration::from_millis(1_001)), 2);
        assert_eq!(delayed(Duration::from_secs(5_000)), 900);
    }

    proptest! {
        #[test]
        fn batches_lose_nothing_and_fit(lengths in prop::collection::vec(0_usize..300_000, 0..40)) {
            let messages: Vec<_> = lengths.iter().map(|length| Outgoing::now("x".repeat(*length))).collect();
            let cut: Vec<&[Outgoing]> = batches(&messages).collect();
            prop_assert_eq!(&cut.concat(), &messages);
            for batch in cut {
                let bytes: usize = batch.iter().map(|message| message.body.len()).sum();
                prop_assert!(!batch.is_empty() && batch.len() <= BATCH && (bytes <= BATCH_BYTES || batch.len() == 1));
            }
        }
    }
}
