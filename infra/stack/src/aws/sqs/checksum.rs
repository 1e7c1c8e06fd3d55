//! The MD5 sums by which the SDK checks what SQS stored.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Sums a message's body.
pub(super) fn of_body(body: &str) -> String {
    format!("{:x}", md5::compute(body))
}

/// Sums message attributes: by name, each as length-prefixed name, type and value; none if one is malformed.
pub(super) fn of_attributes(attributes: &Map<String, Value>) -> Option<String> {
    let mut names: Vec<&String> = attributes.keys().collect();
    names.sort_unstable();
    let mut bytes = Vec::new();
    for name in names {
        let attribute = &attributes[name];
        let kind = attribute["DataType"].as_str()?;
        push(&mut bytes, name.as_bytes())?;
        push(&mut bytes, kind.as_bytes())?;
        if kind.starts_with("Binary") {
            bytes.push(2);
            push(&mut bytes, &STANDARD.decode(attribute["BinaryValue"].as_str()?).ok()?)?;
        } else {
            bytes.push(1);
            push(&mut bytes, attribute["StringValue"].as_str()?.as_bytes())?;
        }
    }

    Some(format!("{:x}", md5::compute(bytes)))
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    bytes.extend(u32::try_from(part.len()).ok()?.to_be_bytes());
    bytes.extend(part);
    Some(())
}
