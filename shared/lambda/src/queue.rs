//! One function as the consumer of a queue: each message is handled or reported as failed; a batch is never all or
//! nothing.

use std::pin::Pin;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, service_fn};

use crate::App;

/// A message as a consumer sees it.
#[derive(Clone, Debug)]
pub struct Message {
    /// SQS's id of it, the same on every delivery.
    pub id: String,
    /// What was sent.
    pub body: String,
}

/// What takes a queue's messages.
pub trait Consumer: Send + Sync + 'static {
    /// Takes a batch. Returns the ids of the messages it could not handle: those come again, and after too many times
    /// go to the dead-letter queue.
    fn consume(&self, app: &App, messages: Vec<Message>) -> impl Future<Output = Vec<String>> + Send;
}

/// A consumer that has started, whichever it is.
pub trait Queue: Send + Sync {
    /// Takes a batch, as [`Consumer::consume`].
    fn consume(&self, messages: Vec<Message>) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>>;
}

/// A consumer, and the app that it works with.
pub(crate) struct Consuming<C> {
    pub(crate) app: App,
    pub(crate) consumer: C,
}

impl<C: Consumer> Queue for Consuming<C> {
    fn consume(&self, messages: Vec<Message>) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        Box::pin(self.consumer.consume(&self.app, messages))
    }
}

/// Serves a queue for as long as Lambda sends batches.
pub(crate) async fn serve(queue: &dyn Queue) -> Result<(), Error> {
    let serve = service_fn(async |event: LambdaEvent<SqsEvent>| {
        let failed = queue.consume(messages(event.payload)).await;
        Ok::<_, Error>(response(failed))
    });
    lambda_runtime::run(serve).await
}

/// The messages of an SQS event.
fn messages(event: SqsEvent) -> Vec<Message> {
    let message = |record: aws_lambda_events::event::sqs::SqsMessage| Message {
        id: record.message_id.unwrap_or_default(),
        body: record.body.unwrap_or_default(),
    };
    event.records.into_iter().map(message).collect()
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
