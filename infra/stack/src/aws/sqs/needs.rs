//! What a request to SQS needs to be allowed.

use serde::Deserialize;

use crate::aws::iam::Need;
use crate::template::{queue_arn, queue_name};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueRequest {
    queue_url: Option<String>,
    queue_name: Option<String>,
    source_arn: Option<String>,
    destination_arn: Option<String>,
}

/// Lists what an SQS request needs; batches need the right of the single operation.
pub(super) fn needs(operation: &str, body: &[u8]) -> Result<Vec<Need>, String> {
    let request: QueueRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let named = request
        .queue_url
        .as_deref()
        .and_then(queue_name)
        .or(request.queue_name.as_deref());
    let resource = match (named, request.source_arn) {
        (Some(name), _) => queue_arn(name),
        (None, Some(arn)) => arn,
        (None, None) => "*".to_owned(),
    };
    let action = operation.trim_end_matches("Batch");
    // Who moves messages does so in the caller's name.
    let implied: &[&str] = match action {
        "StartMessageMoveTask" => &["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"],
        _ => &[],
    };
    let needed = implied.iter().chain([&action]);
    let mut needs: Vec<Need> = needed
        .map(|action| Need::of(format!("sqs:{action}"), resource.as_str()))
        .collect();
    needs.extend(request.destination_arn.map(|arn| Need::of("sqs:SendMessage", arn)));
    Ok(needs)
}
