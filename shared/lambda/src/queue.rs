//! One function as the consumer of a queue: each message is handled or reported as failed; a batch is never all or
//! nothing, whatever one of its messages does to the code that reads it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use app::survive;
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage, SqsMessageAttribute};
use futures::future::join_all;
use kernel::Time;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::App;
use crate::measure::{self, TARGET, Watch, write_rest};

/// A message as a consumer sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// SQS's id of it, the same on every delivery.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// How often it was delivered, with this time.
    pub receives: u32,
    /// When it was sent.
    pub sent_at: Option<Time>,
    /// What was sent beside the body, where it is a text.
    pub attributes: BTreeMap<String, String>,
}

impl Message {
    /// A message that is delivered for the first time.
    pub fn of(id: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            body: body.into(),
            receives: 1,
            ..Self::default()
        }
    }
}

impl From<SqsMessage> for Message {
    fn from(message: SqsMessage) -> Self {
        let number = |name: &str| message.attributes.get(name)?.parse::<i64>().ok();
        let receives = number("ApproximateReceiveCount").and_then(|count| u32::try_from(count).ok());
        let sent_at = number("SentTimestamp").map(Time::from_millis);
        let text = |(name, attribute): (String, SqsMessageAttribute)| Some((name, attribute.string_value?));
        Self {
            receives: receives.unwrap_or(1),
            sent_at,
            id: message.message_id.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            attributes: message.message_attributes.into_iter().filter_map(text).collect(),
        }
    }
}

/// What takes a queue's messages.
pub trait Consumer: Send + Sync + 'static {
    /// Takes a batch. Returns the ids of the messages it could not handle: those come again, and after too many times
    /// go to the dead-letter queue. One that panics is given each of the messages again, alone.
    fn consume(&self, app: &App, messages: Vec<Message>) -> impl Future<Output = Vec<String>> + Send;
}

/// Handles messages all at once, each for itself: what `handle` cannot do, or panics at, fails and is logged. Returns
/// the ids of those that failed.
pub async fn each<F>(messages: Vec<Message>, handle: impl Fn(Message) -> F) -> Vec<String>
where
    F: Future<Output = kernel::Result<()>> + Send,
{
    let many = messages.len();
    let one = |message: Message| {
        let (id, receives) = (message.id.clone(), message.receives);
        // One alone is timed as its batch.
        let span = if many > 1 { span(&message) } else { Span::none() };
        let handled = survive(handle(message)).instrument(span.clone());
        async move {
            let error = match handled.await {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => format!("{:#}", anyhow!(error)),
                Err(panic) => format!("it panicked: {panic}"),
            };
            span.record("error", true);
            // The body may hold what belongs to a person, so it is not logged.
            tracing::error!(
                message.id = id,
                message.receives = receives,
                error,
                "a message was not handled"
            );
            Some(id)
        }
    };
    let failed = join_all(messages.into_iter().map(one)).await;
    failed.into_iter().flatten().collect()
}

/// What a message takes, as OpenTelemetry's conventions for messaging describe it.
fn span(message: &Message) -> Span {
    tracing::info_span!(
        target: spans::TARGET,
        "message",
        otel.kind = "consumer",
        otel.name = "process",
        otel.parent = message.attributes.get(spans::ATTRIBUTE).map(String::as_str),
        messaging.system = "aws_sqs",
        messaging.operation.r#type = "process",
        messaging.message.id = message.id,
        error = Empty,
    )
}

/// What a batch of several takes, each of which is of a trace of its own.
fn batch(many: usize) -> Span {
    tracing::info_span!(
        target: spans::TARGET,
        "batch",
        otel.kind = "consumer",
        otel.name = "receive",
        messaging.system = "aws_sqs",
        messaging.operation.r#type = "receive",
        messaging.batch.message_count = many,
    )
}

/// Gives a batch to its consumer, and where that panics each message alone, so that only what it panics at comes again. A
/// process that is to end takes none.
pub async fn deliver<C: Consumer>(consumer: &C, app: &App, messages: Vec<Message>) -> Vec<String> {
    let ids = |messages: &[Message]| messages.iter().map(|message| message.id.clone()).collect();
    if app.shutdown.is_begun() {
        return ids(&messages);
    }
    let _busy = app.shutdown.busy();
    let span = match messages.as_slice() {
        [one] => span(one),
        many => batch(many.len()),
    };
    match survive(consumer.consume(app, messages.clone())).instrument(span).await {
        Ok(failed) => return failed,
        Err(panic) => tracing::error!(error = panic, messages = messages.len(), "a consumer panicked"),
    }
    if messages.len() == 1 {
        return ids(&messages);
    }
    let mut failed = Vec::new();
    for message in messages {
        let id = message.id.clone();
        match survive(consumer.consume(app, vec![message])).await {
            Ok(more) => failed.extend(more),
            Err(panic) => {
                tracing::error!(message.id = id, error = panic, "a consumer panicked at a message");
                failed.push(id);
            }
        }
    }
    failed
}

/// A consumer that has started, whichever it is.
pub trait Queue: Send + Sync {
    /// Takes a batch, as [`deliver`].
    fn consume(&self, messages: Vec<Message>) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>>;
}

/// A consumer, and the app that it works with.
pub(crate) struct Consuming<C> {
    pub(crate) app: App,
    pub(crate) consumer: C,
}

impl<C: Consumer> Queue for Consuming<C> {
    fn consume(&self, messages: Vec<Message>) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        Box::pin(deliver(&self.consumer, &self.app, messages))
    }
}

/// A consumer whose batches are measured, with a line of the log at the end of each.
pub(crate) struct Watched {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) watch: Watch,
}

impl Queue for Watched {
    fn consume(&self, messages: Vec<Message>) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        Box::pin(async move {
            let (started, count) = (Instant::now(), messages.len());
            let span = self.watch.invocation(None, None);
            let failed = self.queue.consume(messages).instrument(span.clone()).await;
            let _within = span.entered();
            self.watch.time("messaging.batch.duration", started.elapsed());
            let (emf, rest) = self.watch.ended();
            tracing::info!(
                target: TARGET,
                {
                batch.message_count = count,
                batch.failed_count = failed.len(),
                duration_ms = started.elapsed().as_secs_f64() * 1_000.0,
                emf,
                },
                "took a batch"
            );
            write_rest(rest);
            failed
        })
    }
}

/// Serves a queue for as long as Lambda sends batches.
pub(crate) async fn serve(queue: &dyn Queue) -> Result<(), Error> {
    let serve = service_fn(async |event: LambdaEvent<SqsEvent>| {
        spans::begin(event.context.xray_trace_id.as_deref());
        let messages = event.payload.records.into_iter().map(Message::from);
        let span = measure::lambda(&event.context);
        let failed = queue.consume(messages.collect()).instrument(span).await;
        spans::flush();
        Ok::<_, Error>(response(failed))
    });
    lambda_runtime::run(serve).await
}

fn response(failed: Vec<String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failed
        .into_iter()
        .map(|id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        })
        .collect();
    response
}
