//! Queues that feed functions, as Lambda's event source mapping does it.
//!
//! Messages of a batch that succeeded are deleted; the others come back when their visibility timeout ends. Where a
//! process died, they come back sooner: AWS would wait, but nobody learns anything from that.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::aws::sqs::{Message, Refusal, Sqs};
use crate::runtime::{Outcome, Pool};
use crate::template::{QueueSource, REGION};

/// How many batches of one queue run at once where the template does not say; as AWS begins.
const BATCHES_AT_ONCE: usize = 5;
/// How long one wait for messages takes; a sign to stop interrupts it.
const WAIT: Duration = Duration::from_secs(20);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    message_id: &'a str,
    receipt_handle: &'a str,
    body: &'a str,
    attributes: &'a BTreeMap<&'static str, String>,
    message_attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5_of_message_attributes: Option<&'a str>,
    md5_of_body: &'a str,
    event_source: &'static str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
    aws_region: &'static str,
}

/// Writes the event for a batch of messages, as JSON; `arn` is the queue's.
pub fn event(messages: &[Message], arn: &str) -> Bytes {
    let records: Vec<Record> = messages
        .iter()
        .map(|message| Record {
            message_id: &message.id,
            receipt_handle: &message.receipt,
            body: &message.body,
            attributes: &message.system,
            message_attributes: message
                .attributes
                .iter()
                .map(|(name, it)| (name.clone(), attribute(it)))
                .collect(),
            md5_of_message_attributes: message.md5_of_attributes.as_deref(),
            md5_of_body: &message.md5,
            event_source: "aws:sqs",
            event_source_arn: arn,
            aws_region: REGION,
        })
        .collect();
    let event = BTreeMap::from([("Records", records)]);
    serde_json::to_vec(&event)
        .expect("texts and maps with text keys are always JSON")
        .into()
}

/// An attribute in the form that functions get: the same, with other capitals.
fn attribute(wire: &Value) -> Value {
    let mut own = json!({"stringListValues": [], "binaryListValues": [], "dataType": wire["DataType"]});
    for (from, to) in [("StringValue", "stringValue"), ("BinaryValue", "binaryValue")] {
        if let Some(value) = wire.get(from) {
            own[to] = value.clone();
        }
    }
    own
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    batch_item_failures: Option<Vec<Failure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: Option<String>,
}

/// Reads which messages of a batch a function's reply names as failed. A reply that names none, or none at all, means
/// success; one that names an unknown message means that all failed.
pub fn failures(reply: &[u8], messages: &[Message]) -> Result<HashSet<String>> {
    if reply.is_empty() || reply == b"null" || reply == b"{}" {
        return Ok(HashSet::new());
    }
    let report: Report = serde_json::from_slice(reply).context("the reply is no report of failures")?;
    let known: HashSet<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    let mut failed = HashSet::new();
    for failure in report.batch_item_failures.unwrap_or_default() {
        match failure.item_identifier {
            Some(id) if known.contains(id.as_str()) => failed.insert(id),
            other => bail!(
                "the reply names the message {}, which is not in the batch",
                other.unwrap_or_default()
            ),
        };
    }
    Ok(failed)
}

/// Feeds a function from a queue until told to stop.
pub async fn run(sqs: Sqs, source: QueueSource, pool: Arc<Pool>, mut stop: watch::Receiver<bool>) {
    let most = source.max_concurrency.unwrap_or(BATCHES_AT_ONCE).min(pool.limit());
    let permits = Arc::new(Semaphore::new(most));
    let source = Arc::new(source);
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let batch = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            batch = collect(&sqs, &source) => batch,
        };
        match batch {
            Ok(batch) if batch.is_empty() => {}
            Ok(batch) => {
                let (sqs, source, pool) = (sqs.clone(), Arc::clone(&source), Arc::clone(&pool));
                tokio::spawn(async move {
                    if let Err(refusal) = deliver(&sqs, &source, &pool, batch).await {
                        tracing::error!("queue {}: {}", source.queue, refusal.message);
                    }
                    drop(permit);
                });
            }
            Err(refusal) => {
                tracing::error!("queue {}: {}", source.queue, refusal.message);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn collect(sqs: &Sqs, source: &QueueSource) -> Result<Vec<Message>, Refusal> {
    let visibility = sqs.queue(&source.queue)?.visibility_timeout_s;
    let mut batch = sqs.receive(&source.queue, source.batch_size, visibility, WAIT).await?;
    let until = Instant::now() + Duration::from_secs(source.batching_window_s.into());
    while !batch.is_empty() && batch.len() < source.batch_size && Instant::now() < until {
        let rest = source.batch_size - batch.len();
        batch.extend(
            sqs.receive(&source.queue, rest, visibility, until - Instant::now())
                .await?,
        );
    }
    Ok(batch)
}

/// How long a message stays away after its process died, in seconds: not at all the first time, then twice as long
/// each time, so that a function killed over and over does not use up a good message's receives at once.
fn pause_s(message: &Message) -> u32 {
    let receives = message
        .system
        .get("ApproximateReceiveCount")
        .and_then(|count| count.parse().ok());
    match receives.unwrap_or(1_u32) {
        0 | 1 => 0,
        more => 1 << (more - 2).min(15),
    }
}

async fn deliver(sqs: &Sqs, source: &QueueSource, pool: &Arc<Pool>, batch: Vec<Message>) -> Result<(), Refusal> {
    let name = &pool.function().binary;
    let arn = sqs.queue(&source.queue)?.arn();
    let failed = match pool.invoke(event(&batch, &arn)).await {
        Outcome::Reply(reply) if source.reports_failures => failures(&reply, &batch).unwrap_or_else(|error| {
            tracing::error!("{name}: {error:#}; the whole batch counts as failed");
            batch.iter().map(|message| message.id.clone()).collect()
        }),
        Outcome::Reply(_) => HashSet::new(),
        Outcome::Crashed(why) => {
            tracing::error!("{name} crashed over {} messages, which return soon: {why}", batch.len());
            let hidden = sqs.queue(&source.queue)?.visibility_timeout_s;
            let back: Vec<(&str, u32)> = batch
                .iter()
                .map(|message| (message.receipt.as_str(), pause_s(message).min(hidden)))
                .collect();
            return sqs.change_visibility(&source.queue, &back).map(|_| ());
        }
        Outcome::Error(error) => {
            tracing::error!(
                "{name} failed over {} messages: {}",
                batch.len(),
                String::from_utf8_lossy(&error)
            );
            return Ok(());
        }
        outcome @ (Outcome::TimedOut | Outcome::NotStarted(_) | Outcome::Busy) => {
            tracing::error!("{name} took no {} messages: {outcome:?}", batch.len());
            return Ok(());
        }
    };
    let done: Vec<&str> = batch
        .iter()
        .filter(|message| !failed.contains(&message.id))
        .map(|message| message.receipt.as_str())
        .collect();
    sqs.delete(&source.queue, &done).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::sqs::Send;
    use crate::aws::store::Store;
    use crate::chaos::Chaos;
    use crate::clock::Clock;
    use crate::template::Queue;

    #[tokio::test]
    async fn a_function_sees_what_sqs_knows_of_a_message() {
        let store = Store::memory().unwrap();
        let sqs = Sqs::new(store, Clock::system(), &[Queue::named("Work")], Chaos::default()).unwrap();
        let message = Send {
            body: "hi".into(),
            group: Some("org_1".into()),
            ..Send::default()
        };
        sqs.send("Work", &[message]).unwrap();
        let messages = sqs.receive("Work", 10, 30, Duration::ZERO).await.unwrap();
        let event: Value = serde_json::from_slice(&event(&messages, "arn:work")).unwrap();
        let record = &event["Records"][0];
        assert_eq!(
            (&record["body"], &record["eventSourceARN"]),
            (&json!("hi"), &json!("arn:work"))
        );
        let attributes = record["attributes"].as_object().unwrap();
        assert_eq!(attributes["MessageGroupId"], "org_1");
        assert_eq!(attributes["ApproximateReceiveCount"], "1");
        for name in ["SentTimestamp", "ApproximateFirstReceiveTimestamp", "SenderId"] {
            assert!(attributes[name].is_string(), "{name}");
        }
    }
}
