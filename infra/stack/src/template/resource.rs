//! Tables, queues and the CORS configuration of the HTTP API.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::intrinsics::{queue_arn, table_arn, text_of};
use super::policy::{Statement, denials};
use super::property::{flag, is, list_of, number, only};

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

    /// Names the partition key of the table, or of one of its indexes.
    pub fn partition_key(&self, index: Option<&str>) -> Option<&str> {
        let schema = match index {
            None => &self.create["KeySchema"],
            Some(index) => {
                let lists = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"];
                let mut all = lists.iter().filter_map(|list| self.create[*list].as_array()).flatten();
                &all.find(|known| known["IndexName"] == index)?["KeySchema"]
            }
        };
        let hash = schema.as_array()?.iter().find(|key| key["KeyType"] == "HASH")?;
        hash["AttributeName"].as_str()
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

/// How many requests the HTTP API lets through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttle {
    /// Requests a second, on average.
    pub rate: f64,
    /// Requests at once above that.
    pub burst: u32,
}

/// Reads what an HTTP API answers browsers of other origins, and how much it lets through.
pub(super) fn api(properties: &Value) -> Result<(Option<Cors>, Option<Throttle>)> {
    const KIND: &str = "AWS::Serverless::HttpApi";
    let elsewhere = ["AccessLogSettings", "Description", "FailOnWarnings", "Tags"];
    only(
        KIND,
        properties,
        &[&["CorsConfiguration", "DefaultRouteSettings"], &elsewhere],
    )?;
    let cors = match properties.get("CorsConfiguration") {
        None | Some(Value::Bool(false)) => None,
        Some(map @ Value::Object(_)) => Some(serde_json::from_value(map.clone()).context("in CorsConfiguration")?),
        Some(other) => bail!("CorsConfiguration must be written out, not {other}"),
    };
    let throttle = properties.get("DefaultRouteSettings").map(throttle).transpose()?;
    Ok((cors, throttle))
}

fn throttle(settings: &Value) -> Result<Throttle> {
    let known = ["DetailedMetricsEnabled", "ThrottlingBurstLimit", "ThrottlingRateLimit"];
    only("DefaultRouteSettings", settings, &[&known])?;
    let rate = settings.get("ThrottlingRateLimit").map(text_of);
    let rate: f64 = rate
        .context("no ThrottlingRateLimit")?
        .parse()
        .context("ThrottlingRateLimit is not a number")?;
    let burst = number(settings, "ThrottlingBurstLimit")?.context("no ThrottlingBurstLimit")?;
    Ok(Throttle { rate, burst })
}

/// Properties of a table that `CreateTable` takes under the same name.
const CREATE_TABLE: [&str; 6] = [
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "BillingMode",
    "DeletionProtectionEnabled",
];
/// Properties of a table that mean nothing on one machine: copies, keys of AWS's own encryption, prices.
const TABLE_ELSEWHERE: [&str; 5] = [
    "ContributorInsightsSpecification",
    "PointInTimeRecoverySpecification",
    "SSESpecification",
    "TableClass",
    "Tags",
];

pub(super) fn table(id: &str, properties: &Value) -> Result<Table> {
    const KIND: &str = "AWS::DynamoDB::Table";
    let read = ["ResourcePolicy", "TableName", "TimeToLiveSpecification"];
    let map = only(KIND, properties, &[&CREATE_TABLE, &read, &TABLE_ELSEWHERE])?;
    is(KIND, properties, "BillingMode", &["PAY_PER_REQUEST"])?;
    let name = map.get("TableName").and_then(Value::as_str).unwrap_or(id).to_owned();
    let mut create = serde_json::Map::new();
    create.insert("TableName".into(), name.clone().into());
    for property in CREATE_TABLE {
        if let Some(value) = map.get(property) {
            create.insert(property.into(), value.clone());
        }
    }
    if let Some(protected) = flag(properties, "DeletionProtectionEnabled")? {
        create.insert("DeletionProtectionEnabled".into(), protected.into());
    }
    for list in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        for index in list_of(&properties[list]) {
            only("an index", &index, &[&["IndexName", "KeySchema", "Projection"]])?;
        }
    }

    Ok(Table {
        id: id.to_owned(),
        denials: denials(properties, &table_arn(&name)).context("in ResourcePolicy")?,
        name,
        create: create.into(),
        ttl_attribute: ttl_attribute(&properties["TimeToLiveSpecification"])?,
    })
}

fn ttl_attribute(ttl: &Value) -> Result<Option<String>> {
    if ttl.is_null() {
        return Ok(None);
    }
    only("TimeToLiveSpecification", ttl, &[&["AttributeName", "Enabled"]])?;
    let attribute = ttl["AttributeName"].as_str().map(str::to_owned);
    Ok(attribute.filter(|_| ttl["Enabled"] == true))
}

/// Properties of a queue that are read.
const QUEUE: [&str; 8] = [
    "DelaySeconds",
    "FifoQueue",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "QueueName",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "VisibilityTimeout",
];
/// Properties of a queue that mean nothing on one machine.
const QUEUE_ELSEWHERE: [&str; 2] = ["SqsManagedSseEnabled", "Tags"];

pub(super) fn queue(id: &str, properties: &Value) -> Result<Queue> {
    const KIND: &str = "AWS::SQS::Queue";
    if properties["FifoQueue"] == true {
        bail!("FIFO queues are not served locally");
    }
    only(KIND, properties, &[&QUEUE, &QUEUE_ELSEWHERE])?;
    let name = properties["QueueName"].as_str().unwrap_or(id);
    let mut queue = Queue::named(name);
    id.clone_into(&mut queue.id);
    let seconds =
        |property: &str, default: u32| Ok::<_, anyhow::Error>(number(properties, property)?.unwrap_or(default));
    queue.visibility_timeout_s = seconds("VisibilityTimeout", queue.visibility_timeout_s)?;
    queue.delay_s = seconds("DelaySeconds", queue.delay_s)?;
    queue.retention_s = seconds("MessageRetentionPeriod", queue.retention_s)?;
    queue.receive_wait_s = seconds("ReceiveMessageWaitTimeSeconds", queue.receive_wait_s)?;
    queue.max_message_bytes = number(properties, "MaximumMessageSize")?.unwrap_or(queue.max_message_bytes);
    if let Some(policy) = properties.get("RedrivePolicy") {
        only("RedrivePolicy", policy, &[&["deadLetterTargetArn", "maxReceiveCount"]])?;
        let target = policy["deadLetterTargetArn"]
            .as_str()
            .context("RedrivePolicy has no deadLetterTargetArn")?;
        queue.redrive = Some(Redrive {
            dead_letter_queue: target.rsplit(':').next().unwrap_or(target).to_owned(),
            max_receive_count: number(policy, "maxReceiveCount")?.context("RedrivePolicy has no maxReceiveCount")?,
        });
    }

    Ok(queue)
}

/// Checks a log group: what functions print goes where the stack's log goes, and is kept as that is.
pub(super) fn log_group(properties: &Value) -> Result<()> {
    let elsewhere = [
        "DeletionProtectionEnabled",
        "LogGroupClass",
        "LogGroupName",
        "RetentionInDays",
        "Tags",
    ];
    only("AWS::Logs::LogGroup", properties, &[&elsewhere])?;
    let _: Option<u32> = number(properties, "RetentionInDays")?;
    Ok(())
}
