//! Tables, queues and the CORS configuration of the HTTP API.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::function::{Effect, Statement, list_of, read_statement};
use super::intrinsics::{queue_arn, table_arn};

/// A DynamoDB table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Logical id in the template.
    pub id: String,
    /// Name of the table: the logical id, unless the template names it.
    pub name: String,
    /// The body of `CreateTable` for it.
    pub create: Value,
    /// The attribute that holds the time to live, in seconds since 1970.
    pub ttl_attribute: Option<String>,
    /// What its own policy forbids every function, whatever the function's grants.
    pub denials: Vec<Statement>,
}

impl Table {
    /// Yields the table's ARN.
    pub fn arn(&self) -> String {
        table_arn(&self.name)
    }
}

/// An SQS queue (standard; FIFO is not served).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Logical id in the template.
    pub id: String,
    /// Name of the queue: the logical id, unless the template names it.
    pub name: String,
    /// How long a received message stays hidden, in seconds.
    pub visibility_timeout_s: u32,
    /// How long a new message stays hidden, in seconds.
    pub delay_s: u32,
    /// How long a message is kept, in seconds.
    pub retention_s: u32,
    /// How long a receive waits by default, in seconds.
    pub receive_wait_s: u32,
    /// The largest message, in bytes.
    pub max_message_bytes: usize,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
}

impl Queue {
    /// Describes a queue with the defaults of SQS.
    pub fn named(name: &str) -> Self {
        Self {
            id: name.to_owned(),
            name: name.to_owned(),
            visibility_timeout_s: 30,
            delay_s: 0,
            retention_s: 345_600,
            receive_wait_s: 0,
            max_message_bytes: 1_048_576,
            redrive: None,
        }
    }

    /// Yields the queue's ARN.
    pub fn arn(&self) -> String {
        queue_arn(&self.name)
    }

    /// Yields the queue's URL, as functions get it in their environment.
    pub fn url(&self) -> String {
        super::intrinsics::queue_url(&self.name)
    }
}

/// A redrive policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// Name of the dead-letter queue.
    pub dead_letter_queue: String,
    /// How often a message may be received before it moves there.
    pub max_receive_count: u32,
}

/// What the HTTP API answers browsers of other origins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Cors {
    /// Origins that may call; `*` allows all.
    #[serde(default)]
    pub allow_origins: Vec<String>,
    /// Methods they may use.
    #[serde(default)]
    pub allow_methods: Vec<String>,
    /// Request headers they may send.
    #[serde(default)]
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    #[serde(default)]
    pub expose_headers: Vec<String>,
    /// How long a browser may remember the answer, in seconds.
    pub max_age: Option<u32>,
    /// Whether cookies may be sent.
    #[serde(default)]
    pub allow_credentials: bool,
}

pub(super) fn cors(properties: &Value) -> Result<Option<Cors>> {
    match properties.get("CorsConfiguration") {
        None | Some(Value::Bool(false)) => Ok(None),
        Some(map @ Value::Object(_)) => Ok(Some(
            serde_json::from_value(map.clone()).context("in CorsConfiguration")?,
        )),
        Some(other) => bail!("CorsConfiguration must be written out, not {other}"),
    }
}

/// Properties of a table that `CreateTable` takes under the same name.
const CREATE_TABLE: [&str; 5] = [
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "BillingMode",
];

pub(super) fn table(id: &str, properties: &Value) -> Result<Table> {
    let map = properties.as_object().context("no Properties")?;
    if map.contains_key("StreamSpecification") {
        bail!("streams are not served locally");
    }
    let name = map.get("TableName").and_then(Value::as_str).unwrap_or(id).to_owned();
    let mut create = serde_json::Map::new();
    create.insert("TableName".into(), name.clone().into());
    for property in CREATE_TABLE {
        if let Some(value) = map.get(property) {
            create.insert(property.into(), value.clone());
        }
    }
    let ttl = &properties["TimeToLiveSpecification"];
    let ttl_attribute = (ttl["Enabled"] == true)
        .then(|| ttl["AttributeName"].as_str().map(str::to_owned))
        .flatten();

    Ok(Table {
        id: id.to_owned(),
        denials: denials(properties, &table_arn(&name)).context("in ResourcePolicy")?,
        name,
        create: create.into(),
        ttl_attribute,
    })
}

/// Reads a table's own policy. Here it may only forbid, and only everybody: what a function may do stands with it.
fn denials(properties: &Value, arn: &str) -> Result<Vec<Statement>> {
    let Some(policy) = properties.get("ResourcePolicy") else {
        return Ok(Vec::new());
    };
    let statements = list_of(&policy["PolicyDocument"]["Statement"]).into_iter();
    let denials = statements.map(|mut statement| {
        let principal = statement.as_object_mut().and_then(|map| map.remove("Principal"));
        let mut denial = read_statement(&statement)?;
        if principal != Some("*".into()) || denial.effect != Effect::Deny || denial.resources != ["*"] {
            bail!("only a Deny of everybody (Principal \"*\", Resource \"*\") is checked locally");
        }
        denial.resources = vec![arn.to_owned(), format!("{arn}/index/*")];
        Ok(denial)
    });
    denials.collect()
}

pub(super) fn queue(id: &str, properties: &Value) -> Result<Queue> {
    if properties["FifoQueue"] == true {
        bail!("FIFO queues are not served locally");
    }
    let name = properties["QueueName"].as_str().unwrap_or(id);
    let mut queue = Queue::named(name);
    id.clone_into(&mut queue.id);
    let number = |property: &str, default: u32| match properties.get(property) {
        None => Ok(default),
        Some(value) => super::intrinsics::text_of(value)
            .parse()
            .with_context(|| format!("{property} is not a number")),
    };
    queue.visibility_timeout_s = number("VisibilityTimeout", queue.visibility_timeout_s)?;
    queue.delay_s = number("DelaySeconds", queue.delay_s)?;
    queue.retention_s = number("MessageRetentionPeriod", queue.retention_s)?;
    queue.receive_wait_s = number("ReceiveMessageWaitTimeSeconds", queue.receive_wait_s)?;
    queue.max_message_bytes = number("MaximumMessageSize", 1_048_576)? as usize;
    if let Some(policy) = properties.get("RedrivePolicy") {
        let target = policy["deadLetterTargetArn"]
            .as_str()
            .context("RedrivePolicy has no deadLetterTargetArn")?;
        let count = super::intrinsics::text_of(&policy["maxReceiveCount"]);
        queue.redrive = Some(Redrive {
            dead_letter_queue: target.rsplit(':').next().unwrap_or(target).to_owned(),
            max_receive_count: count.parse().context("maxReceiveCount is not a number")?,
        });
    }

    Ok(queue)
}
