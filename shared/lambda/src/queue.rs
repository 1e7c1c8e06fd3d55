//! One function as the consumer of a queue: each message is handled or reported as failed; a batch is never all or
//! nothing.

use anyhow::Result;
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use lambda_runtime::{LambdaEvent, service_fn};

use crate::http::{run, start_log};
use crate::{App, Env};

/// A message as a consumer sees it.
#[derive(Clone, Debug)]
pub struct Message {
    /// SQS's id of it, the same on every delivery.
    pub id: String,
    /// What was sent.
    pub body: String,
}

/// What takes a queue's messages.
pub trait Consumer {
    /// Takes a batch. Returns the ids of the messages it could not handle: those come again, and after too many times
    /// go to the dead-letter queue.
    fn consume(&self, app: &App, messages: Vec<Message>) -> impl Future<Output = Vec<String>>;
}

/// Serves a queue with the consumer that `start` builds, for as long as Lambda sends batches.
pub fn serve_queue<C: Consumer>(start: impl FnOnce(&App) -> Result<C>) -> Result<()> {
    start_log();
    run(async {
        let app = Env::of_process().app()?;
        let consumer = start(&app)?;
        let (app, consumer) = (&app, &consumer);
        let serve = service_fn(async |event: LambdaEvent<SqsEvent>| {
            // Boxed: the compiler bounds how deep futures may lie in one another.
            let failed = Box::pin(consumer.consume(app, messages(event.payload))).await;
            Ok::<_, lambda_runtime::Error>(response(failed))
        });
        lambda_runtime::run(serve).await.map_err(|error| anyhow::anyhow!(error))
    })
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
