//! SQS over AWS JSON 1.0, as the SDK speaks it.

use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::checksum;
use super::queue::{Message, Refusal, Send, Sqs};
use crate::template::{queue_arn, queue_name};

/// The largest batch, in entries.
const BATCH_ENTRIES: usize = 10;
/// The largest batch, in bytes, as for one message.
const BATCH_BYTES: usize = 1_048_576;

type Reply = Result<Value, Refusal>;

/// Answers one request.
pub(super) async fn answer(sqs: &Sqs, operation: &str, body: &[u8]) -> Reply {
    match operation {
        "SendMessage" => send(sqs, read(body)?),
        "SendMessageBatch" => send_batch(sqs, read(body)?),
        "ReceiveMessage" => receive(sqs, read(body)?).await,
        "DeleteMessage" => {
            let input: DeleteInput = read(body)?;
            only(sqs.delete(name(&input.queue_url)?, &[&input.receipt_handle])?)
        }
        "DeleteMessageBatch" => {
            let input: Batch<DeleteEntry> = read(body)?;
            check_batch(input.entries.iter().map(|entry| entry.id.as_str()))?;
            let receipts: Vec<&str> = input
                .entries
                .iter()
                .map(|entry| entry.receipt_handle.as_str())
                .collect();
            let done = sqs.delete(name(&input.queue_url)?, &receipts)?;
            Ok(batch_reply(
                input.entries.iter().map(|entry| entry.id.as_str()).zip(done),
            ))
        }
        "ChangeMessageVisibility" => {
            let input: VisibilityInput = read(body)?;
            let seconds = visibility(input.visibility_timeout)?;
            only(sqs.change_visibility(name(&input.queue_url)?, &[(&input.receipt_handle, seconds)])?)
        }
        "ChangeMessageVisibilityBatch" => change_visibility_batch(sqs, &read(body)?),
        "GetQueueAttributes" => attributes(sqs, &read(body)?),
        "GetQueueUrl" => {
            let input: QueueName = read(body)?;
            Ok(json!({"QueueUrl": sqs.queue(&input.queue_name)?.url()}))
        }
        "ListQueues" => {
            let input: ListInput = read(body)?;
            let prefix = input.queue_name_prefix.unwrap_or_default();
            let names = sqs.names().filter(|name| name.starts_with(&prefix));
            let urls: Vec<String> = names.filter_map(|name| Some(sqs.queue(name).ok()?.url())).collect();
            Ok(json!({"QueueUrls": urls}))
        }
        "PurgeQueue" => {
            let input: QueueUrl = read(body)?;
            sqs.purge(name(&input.queue_url)?)?;
            Ok(json!({}))
        }
        "StartMessageMoveTask" => {
            let input: MoveInput = read(body)?;
            sqs.redrive(last(&input.source_arn), input.destination_arn.as_deref().map(last))?;
            Ok(json!({"TaskHandle": uuid::Uuid::new_v4().to_string()}))
        }
        "ListMessageMoveTasks" => moves(sqs, &read(body)?),
        other => Err(Refusal::new(
            "UnknownOperationException",
            format!("the local stack does not serve SQS {other}"),
        )),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::new("InvalidParameterValue", error.to_string()))
}

fn name(url: &str) -> Result<&str, Refusal> {
    queue_name(url).ok_or_else(|| Refusal::new("InvalidAddress", format!("{url:?} is not the URL of a queue")))
}

fn only(done: Vec<Result<(), Refusal>>) -> Reply {
    done.into_iter()
        .collect::<Result<Vec<()>, Refusal>>()
        .map(|_| json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendInput {
    queue_url: String,
    message_body: String,
    delay_seconds: Option<u32>,
    message_group_id: Option<String>,
    #[serde(default)]
    message_attributes: Map<String, Value>,
    #[serde(default)]
    message_system_attributes: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendEntry {
    id: String,
    message_body: String,
    delay_seconds: Option<u32>,
    message_group_id: Option<String>,
    #[serde(default)]
    message_attributes: Map<String, Value>,
    #[serde(default)]
    message_system_attributes: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Batch<T> {
    queue_url: String,
    entries: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteEntry {
    id: String,
    receipt_handle: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct VisibilityEntry {
    id: String,
    receipt_handle: String,
    visibility_timeout: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteInput {
    queue_url: String,
    receipt_handle: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct VisibilityInput {
    queue_url: String,
    receipt_handle: String,
    visibility_timeout: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ReceiveInput {
    queue_url: String,
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u32>,
    wait_time_seconds: Option<u32>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AttributesInput {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct QueueUrl {
    queue_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueName {
    queue_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListInput {
    queue_name_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MoveInput {
    source_arn: String,
    destination_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MovesInput {
    source_arn: String,
    max_results: Option<usize>,
}

/// Yields the name of a queue from its ARN.
fn last(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

/// Lists moves of dead letters; each was done when its request was answered.
fn moves(sqs: &Sqs, input: &MovesInput) -> Reply {
    let most = input.max_results.unwrap_or(1);
    if !(1..=10).contains(&most) {
        return Err(Refusal::new(
            "InvalidParameterValue",
            "MaxResults must be between 1 and 10.",
        ));
    }
    let moves = sqs.moves(last(&input.source_arn))?.into_iter().take(most);
    let results: Vec<Value> = moves
        .map(|moved| {
            json!({
                "Status": "COMPLETED",
                "SourceArn": input.source_arn,
                "DestinationArn": moved.target.map(|name| queue_arn(&name)),
                "ApproximateNumberOfMessagesMoved": moved.count,
                "ApproximateNumberOfMessagesToMove": moved.count,
                "StartedTimestamp": moved.at_ms,
            })
        })
        .collect();
    Ok(json!({"Results": results}))
}

/// Checks one message as SQS does; yields its size in bytes.
fn check(message: &Send, most: usize) -> Result<usize, Refusal> {
    let invalid = |text: String| Err(Refusal::new("InvalidParameterValue", text));
    if message.body.is_empty() {
        return Err(Refusal::new(
            "MissingParameter",
            "The request must contain the parameter MessageBody.",
        ));
    }
    let forbidden = |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}');
    if message.body.contains(forbidden) {
        return Err(Refusal::new(
            "InvalidMessageContents",
            "Message body contains characters that are not allowed.",
        ));
    }
    if message.delay_s.is_some_and(|delay| delay > 900) {
        return invalid("DelaySeconds must be between 0 and 900.".to_owned());
    }
    let is_name = |group: &String| (1..=128).contains(&group.len()) && group.chars().all(|c| c.is_ascii_graphic());
    if message.group.as_ref().is_some_and(|group| !is_name(group)) {
        return invalid("MessageGroupId must be 1 to 128 letters, digits and punctuation.".to_owned());
    }
    if message.attributes.len() > 10 {
        return invalid("A message has at most 10 attributes.".to_owned());
    }
    if !message.attributes.is_empty() && checksum::of_attributes(&message.attributes).is_none() {
        return invalid("A message attribute is malformed.".to_owned());
    }
    let attributes: usize = message
        .attributes
        .iter()
        .map(|(name, value)| name.len() + value.as_object().map_or(0, |map| map.values().map(text_bytes).sum()))
        .sum();
    let size = message.body.len() + attributes;
    if size > most {
        return invalid(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
        ));
    }

    Ok(size)
}

fn text_bytes(value: &Value) -> usize {
    value.as_str().map_or(0, str::len)
}

fn sent(message: &Send, id: &str) -> Value {
    let mut reply = json!({"MessageId": id, "MD5OfMessageBody": checksum::of_body(&message.body)});
    for (field, attributes) in [
        ("MD5OfMessageAttributes", &message.attributes),
        ("MD5OfMessageSystemAttributes", &message.system_attributes),
    ] {
        if !attributes.is_empty() {
            reply[field] = checksum::of_attributes(attributes).into();
        }
    }
    reply
}

fn send(sqs: &Sqs, input: SendInput) -> Reply {
    let queue = sqs.queue(name(&input.queue_url)?)?;
    let message = [Send {
        body: input.message_body,
        delay_s: input.delay_seconds,
        attributes: input.message_attributes,
        system_attributes: input.message_system_attributes,
        group: input.message_group_id,
    }];
    check(&message[0], queue.max_message_bytes)?;
    let ids = sqs.send(&queue.name, &message)?;

    Ok(sent(&message[0], &ids[0]))
}

fn send_batch(sqs: &Sqs, input: Batch<SendEntry>) -> Reply {
    let queue = sqs.queue(name(&input.queue_url)?)?;
    check_batch(input.entries.iter().map(|entry| entry.id.as_str()))?;
    let mut size = 0;
    let (mut ids, mut good, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for entry in input.entries {
        let message = Send {
            body: entry.message_body,
            delay_s: entry.delay_seconds,
            attributes: entry.message_attributes,
            system_attributes: entry.message_system_attributes,
            group: entry.message_group_id,
        };
        size += message.body.len();
        match check(&message, queue.max_message_bytes) {
            Ok(_) => {
                ids.push(entry.id);
                good.push(message);
            }
            Err(refusal) => failed.push(failure(&entry.id, &refusal)),
        }
    }
    if size > BATCH_BYTES {
        return Err(Refusal::new(
            "BatchRequestTooLong",
            format!("A batch has at most {BATCH_BYTES} bytes."),
        ));
    }
    let sent_ids = sqs.send(&queue.name, &good)?;
    let successful: Vec<Value> = ids
        .iter()
        .zip(good.iter().zip(&sent_ids))
        .map(|(entry, (message, id))| {
            let mut reply = sent(message, id);
            reply["Id"] = entry.clone().into();
            reply
        })
        .collect();

    Ok(json!({"Successful": successful, "Failed": failed}))
}

fn check_batch<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    let mut count = 0;
    for id in ids {
        count += 1;
        if !seen.insert(id) {
            return Err(Refusal::new("BatchEntryIdsNotDistinct", format!("Id {id} repeated.")));
        }
    }
    match count {
        0 => Err(Refusal::new(
            "EmptyBatchRequest",
            "There should be at least one entry in the request.",
        )),
        1..=BATCH_ENTRIES => Ok(()),
        _ => Err(Refusal::new(
            "TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10.",
        )),
    }
}

fn failure(id: &str, refusal: &Refusal) -> Value {
    json!({"Id": id, "Code": refusal.code, "Message": refusal.message, "SenderFault": true})
}

fn batch_reply<'a>(done: impl Iterator<Item = (&'a str, Result<(), Refusal>)>) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, outcome) in done {
        match outcome {
            Ok(()) => successful.push(json!({"Id": id})),
            Err(refusal) => failed.push(failure(id, &refusal)),
        }
    }
    json!({"Successful": successful, "Failed": failed})
}

fn visibility(seconds: u32) -> Result<u32, Refusal> {
    if seconds > 43_200 {
        return Err(Refusal::new(
            "InvalidParameterValue",
            "VisibilityTimeout must be between 0 and 43200.",
        ));
    }
    Ok(seconds)
}

fn change_visibility_batch(sqs: &Sqs, input: &Batch<VisibilityEntry>) -> Reply {
    check_batch(input.entries.iter().map(|entry| entry.id.as_str()))?;
    for entry in &input.entries {
        visibility(entry.visibility_timeout)?;
    }
    let changes: Vec<(&str, u32)> = input
        .entries
        .iter()
        .map(|entry| (entry.receipt_handle.as_str(), entry.visibility_timeout))
        .collect();
    let done = sqs.change_visibility(name(&input.queue_url)?, &changes)?;

    Ok(batch_reply(
        input.entries.iter().map(|entry| entry.id.as_str()).zip(done),
    ))
}

async fn receive(sqs: &Sqs, input: ReceiveInput) -> Reply {
    let queue = sqs.queue(name(&input.queue_url)?)?;
    let most = input.max_number_of_messages.unwrap_or(1);
    let wait = input.wait_time_seconds.unwrap_or(queue.receive_wait_s);
    if !(1..=10).contains(&most) || wait > 20 {
        let text = "MaxNumberOfMessages must be between 1 and 10, WaitTimeSeconds between 0 and 20.";
        return Err(Refusal::new("InvalidParameterValue", text));
    }
    let hidden = visibility(input.visibility_timeout.unwrap_or(queue.visibility_timeout_s))?;
    let messages = sqs
        .receive(&queue.name, most, hidden, Duration::from_secs(wait.into()))
        .await?;
    let asked: Vec<&str> = input
        .attribute_names
        .iter()
        .chain(&input.message_system_attribute_names)
        .map(String::as_str)
        .collect();
    let messages: Vec<Value> = messages
        .iter()
        .map(|message| received(message, &asked, &input.message_attribute_names))
        .collect();

    Ok(if messages.is_empty() {
        json!({})
    } else {
        json!({"Messages": messages})
    })
}

fn received(message: &Message, asked: &[&str], attributes: &[String]) -> Value {
    let mut reply = json!({
        "MessageId": message.id,
        "ReceiptHandle": message.receipt,
        "MD5OfBody": message.md5,
        "Body": message.body,
    });
    let wanted = |name: &str| asked.contains(&"All") || asked.contains(&name);
    let system: Map<String, Value> = message
        .system
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
        .collect();
    if !system.is_empty() {
        reply["Attributes"] = system.into();
    }
    let wanted = |name: &str| {
        attributes.iter().any(|asked| {
            asked == "All"
                || asked == ".*"
                || asked == name
                || asked.strip_suffix(".*").is_some_and(|prefix| name.starts_with(prefix))
        })
    };
    let own: Map<String, Value> = message
        .attributes
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !own.is_empty() {
        reply["MD5OfMessageAttributes"] = checksum::of_attributes(&own).into();
        reply["MessageAttributes"] = own.into();
    }

    reply
}

fn attributes(sqs: &Sqs, input: &AttributesInput) -> Reply {
    let queue = sqs.queue(name(&input.queue_url)?)?;
    let depth = sqs.depth(&queue.name)?;
    let mut all = Map::new();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value.into());
    set("QueueArn", queue.arn());
    set("ApproximateNumberOfMessages", depth.visible.to_string());
    set("ApproximateNumberOfMessagesNotVisible", depth.in_flight.to_string());
    set("ApproximateNumberOfMessagesDelayed", depth.delayed.to_string());
    set("VisibilityTimeout", queue.visibility_timeout_s.to_string());
    set("DelaySeconds", queue.delay_s.to_string());
    set("MessageRetentionPeriod", queue.retention_s.to_string());
    set("MaximumMessageSize", queue.max_message_bytes.to_string());
    set("ReceiveMessageWaitTimeSeconds", queue.receive_wait_s.to_string());
    if let Some(redrive) = &queue.redrive {
        let target = sqs.queue(&redrive.dead_letter_queue)?.arn();
        let policy = json!({"deadLetterTargetArn": target, "maxReceiveCount": redrive.max_receive_count});
        set("RedrivePolicy", policy.to_string());
    }
    let wanted = |name: &str| {
        input
            .attribute_names
            .iter()
            .any(|asked| asked == "All" || asked == name)
    };
    all.retain(|name, _| wanted(name));

    Ok(if all.is_empty() {
        json!({})
    } else {
        json!({"Attributes": all})
    })
}
