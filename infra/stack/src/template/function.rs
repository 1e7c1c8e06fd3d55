//! Functions: their settings, what calls them and what they may do.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::intrinsics::{function_arn, text_of};
use super::policy::{Statement, statements};
use super::property::{flag, is, list_of, number, only};
use super::{Expression, Route};

const KIND: &str = "AWS::Serverless::Function";
/// Properties that are read.
const READ: [&str; 12] = [
    "Architectures",
    "CodeUri",
    "Environment",
    "Events",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "Policies",
    "ReservedConcurrentExecutions",
    "Runtime",
    "Timeout",
    "Tracing",
];
/// Properties that mean nothing on one machine: what the code is called on AWS, and what people read.
const ELSEWHERE: [&str; 3] = ["Description", "Handler", "Tags"];

/// One function: one folder, one binary, one process at a time per invocation.
#[derive(Debug, Clone)]
pub struct Function {
    /// Logical id in the template, `EventWriter`.
    pub id: String,
    /// Name of its binary and folder, `event-writer`.
    pub binary: String,
    /// Folder that it is built in.
    pub code_uri: String,
    /// Environment, those of `Globals` included.
    pub environment: BTreeMap<String, String>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Time an invocation may take, in seconds.
    pub timeout_s: u32,
    /// How many invocations may run at once, where the template limits it.
    pub reserved_concurrency: Option<u32>,
    /// Whether its invocations are traced.
    pub traced: bool,
    /// Name of its log group.
    pub log_group: String,
    /// Queues that feed it.
    pub queues: Vec<QueueSource>,
    /// Schedules that fire it.
    pub schedules: Vec<ScheduleSource>,
    /// What it may do with other resources.
    pub policy: Vec<Statement>,
}

impl Function {
    /// Yields the function's ARN.
    pub fn arn(&self) -> String {
        function_arn(&self.id)
    }
}

/// A queue that feeds a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSource {
    /// Name of the queue.
    pub queue: String,
    /// How many messages one invocation takes at most.
    pub batch_size: usize,
    /// How long to wait for a batch to fill, in seconds.
    pub batching_window_s: u32,
    /// Whether the reply names the messages that failed.
    pub reports_failures: bool,
    /// How many batches run at once at most, where the template limits it.
    pub max_concurrency: Option<usize>,
}

/// A schedule that fires a function.
#[derive(Debug, Clone)]
pub struct ScheduleSource {
    /// Name of the schedule: logical id of the function, then of the event.
    pub name: String,
    /// When it fires.
    pub expression: Expression,
    /// What the function gets instead of the usual event.
    pub input: Option<Value>,
}

pub(super) fn read(id: &str, resource: &Value, properties: Value, globals: &Value) -> Result<(Function, Vec<Route>)> {
    let properties = merge(globals.clone(), properties);
    let binary = resource
        .pointer("/Metadata/BuildProperties/Binary")
        .and_then(Value::as_str)
        .context("Metadata.BuildProperties.Binary names no binary")?;
    only(KIND, &properties, &[&READ, &ELSEWHERE])?;
    is(KIND, &properties, "PackageType", &["Zip"])?;
    is(KIND, &properties, "Runtime", &["provided.al2023", "provided.al2"])?;
    is(KIND, &properties, "Tracing", &["Active", "PassThrough", "Disabled"])?;
    is(KIND, &properties, "Architectures", &["arm64", "x86_64"])?;
    let reserved_concurrency = number(&properties, "ReservedConcurrentExecutions")?;
    if reserved_concurrency == Some(0) {
        bail!("a function with no ReservedConcurrentExecutions would never run");
    }
    let log_group = log_group(&properties)?;
    let mut function = Function {
        id: id.to_owned(),
        binary: binary.to_owned(),
        code_uri: properties["CodeUri"].as_str().unwrap_or_default().to_owned(),
        environment: environment(&properties)?,
        memory_mib: number(&properties, "MemorySize")?.unwrap_or(128),
        timeout_s: number(&properties, "Timeout")?.unwrap_or(3),
        reserved_concurrency,
        traced: properties["Tracing"] == "Active",
        log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{id}")),
        queues: Vec::new(),
        schedules: Vec::new(),
        policy: statements(&properties["Policies"])?,
    };
    let mut routes = Vec::new();
    let events = properties
        .get("Events")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for (name, event) in events {
        add_event(&mut function, &mut routes, &name, &event).with_context(|| format!("in event {name}"))?;
    }

    Ok((function, routes))
}

/// Merges as SAM merges Globals: maps by key, lists appended, everything else replaced.
fn merge(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, value) in over {
                let merged = match base.remove(&key) {
                    Some(old) => merge(old, value),
                    None => value,
                };
                base.insert(key, merged);
            }
            base.into()
        }
        (Value::Array(mut base), Value::Array(over)) => {
            base.extend(over);
            base.into()
        }
        (_, over) => over,
    }
}

fn environment(properties: &Value) -> Result<BTreeMap<String, String>> {
    let Some(environment) = properties.get("Environment") else {
        return Ok(BTreeMap::new());
    };
    only("Environment", environment, &[&["Variables"]])?;
    let variables = environment["Variables"].as_object();
    let variables = variables.into_iter().flatten();
    Ok(variables.map(|(name, value)| (name.clone(), text_of(value))).collect())
}

/// Reads the name of the log group, where the template gives one. Functions write as they do: the format is text.
fn log_group(properties: &Value) -> Result<Option<String>> {
    let Some(config) = properties.get("LoggingConfig") else {
        return Ok(None);
    };
    only("LoggingConfig", config, &[&["LogFormat", "LogGroup"]])?;
    is("LoggingConfig", config, "LogFormat", &["Text"])?;
    Ok(config.get("LogGroup").map(text_of))
}

fn add_event(function: &mut Function, routes: &mut Vec<Route>, name: &str, event: &Value) -> Result<()> {
    only("an event", event, &[&["Properties", "Type"]])?;
    let empty = Value::Object(Map::new());
    let properties = event.get("Properties").unwrap_or(&empty);
    match event["Type"].as_str() {
        Some("HttpApi") => routes.push(route(function, properties)?),
        Some("SQS") => function.queues.extend(queue_source(properties)?),
        Some("Schedule" | "ScheduleV2") => {
            let source = schedule_source(&function.id, name, properties)?;
            function.schedules.extend(source);
        }
        other => bail!(
            "the local stack does not serve events of type {}",
            other.unwrap_or("(none)")
        ),
    }

    Ok(())
}

fn route(function: &Function, properties: &Value) -> Result<Route> {
    let known = ["ApiId", "Method", "Path", "PayloadFormatVersion"];
    only("an HttpApi event", properties, &[&known])?;
    is("an HttpApi event", properties, "PayloadFormatVersion", &["2.0"])?;
    Ok(Route {
        method: properties["Method"].as_str().unwrap_or("ANY").to_uppercase(),
        path: properties["Path"].as_str().unwrap_or("$default").to_owned(),
        function: function.id.clone(),
    })
}

/// Reads a queue that feeds the function; none if it is switched off.
fn queue_source(properties: &Value) -> Result<Option<QueueSource>> {
    let known = [
        "BatchSize",
        "Enabled",
        "FunctionResponseTypes",
        "MaximumBatchingWindowInSeconds",
        "Queue",
        "ScalingConfig",
    ];
    only("an SQS event", properties, &[&known])?;
    let arn = properties["Queue"].as_str().context("no Queue")?;
    let kinds = list_of(&properties["FunctionResponseTypes"]);
    if let Some(other) = kinds.iter().find(|kind| *kind != "ReportBatchItemFailures") {
        bail!("there is no response type {other}");
    }
    let max_concurrency = match properties.get("ScalingConfig") {
        Some(scaling) => {
            only("ScalingConfig", scaling, &[&["MaximumConcurrency"]])?;
            number(scaling, "MaximumConcurrency")?
        }
        None => None,
    };
    let source = QueueSource {
        queue: arn.rsplit(':').next().unwrap_or(arn).to_owned(),
        batch_size: number(properties, "BatchSize")?.unwrap_or(10),
        batching_window_s: number(properties, "MaximumBatchingWindowInSeconds")?.unwrap_or(0),
        reports_failures: !kinds.is_empty(),
        max_concurrency,
    };
    Ok(flag(properties, "Enabled")?.unwrap_or(true).then_some(source))
}

/// Reads a schedule that fires the function; none if it is switched off.
fn schedule_source(function: &str, name: &str, properties: &Value) -> Result<Option<ScheduleSource>> {
    const WHAT: &str = "a schedule";
    let known = [
        "Enabled",
        "FlexibleTimeWindow",
        "Input",
        "Schedule",
        "ScheduleExpression",
        "ScheduleExpressionTimezone",
        "State",
    ];
    only(WHAT, properties, &[&known, &["Description", "Name"]])?;
    is(WHAT, properties, "ScheduleExpressionTimezone", &["UTC"])?;
    is(WHAT, properties, "State", &["ENABLED", "DISABLED"])?;
    if let Some(window) = properties.get("FlexibleTimeWindow") {
        only("FlexibleTimeWindow", window, &[&["Mode"]])?;
        is("FlexibleTimeWindow", window, "Mode", &["OFF"])?;
    }
    let expression = properties
        .get("Schedule")
        .or_else(|| properties.get("ScheduleExpression"));
    let expression = expression.and_then(Value::as_str).context("no schedule expression")?;
    let input = properties.get("Input").and_then(Value::as_str);
    let source = ScheduleSource {
        name: format!("{function}{name}"),
        expression: expression.parse().with_context(|| format!("in {expression:?}"))?,
        input: input
            .map(serde_json::from_str)
            .transpose()
            .context("Input is not JSON")?,
    };
    let is_on = flag(properties, "Enabled")?.unwrap_or(true) && properties["State"] != "DISABLED";
    Ok(is_on.then_some(source))
}
