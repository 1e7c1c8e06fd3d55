//! Functions: their settings, what calls them and what they may do.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::intrinsics::{function_arn, text_of};
use super::{Expression, Route};

/// One function: one folder, one binary, one process at a time per invocation.
#[derive(Debug, Clone)]
pub struct Function {
    /// Logical id in the template, `EventWriter`.
    pub id: String,
    /// Name of its binary and folder, `event-writer`.
    pub binary: String,
    /// Folder of its code, `functions/event-writer`.
    pub code_uri: String,
    /// Environment, those of `Globals` included.
    pub environment: BTreeMap<String, String>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Time an invocation may take, in seconds.
    pub timeout_s: u32,
    /// How many invocations may run at once, where the template limits it.
    pub reserved_concurrency: Option<u32>,
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

/// Whether a statement grants or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Grants.
    Allow,
    /// Forbids, whatever another statement grants.
    Deny,
}

/// One statement of a function's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whether it grants or forbids.
    pub effect: Effect,
    /// Actions as `service:Name`; `*` and `?` match any text and any character.
    pub actions: Vec<String>,
    /// ARNs, with the same wildcards.
    pub resources: Vec<String>,
    /// Partition keys of items it is bounded to, with the same wildcards; any if there are none.
    pub leading_keys: Vec<String>,
}

pub(super) fn read(id: &str, resource: &Value, properties: Value, globals: &Value) -> Result<(Function, Vec<Route>)> {
    let properties = merge(globals.clone(), properties);
    let binary = resource
        .pointer("/Metadata/BuildProperties/Binary")
        .and_then(Value::as_str)
        .context("Metadata.BuildProperties.Binary names no binary")?;
    let mut function = Function {
        id: id.to_owned(),
        binary: binary.to_owned(),
        code_uri: properties["CodeUri"].as_str().unwrap_or_default().to_owned(),
        environment: environment(&properties),
        memory_mib: number(&properties, "MemorySize")?.unwrap_or(128),
        timeout_s: number(&properties, "Timeout")?.unwrap_or(3),
        reserved_concurrency: number(&properties, "ReservedConcurrentExecutions")?,
        queues: Vec::new(),
        schedules: Vec::new(),
        policy: policy(&properties)?,
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

fn environment(properties: &Value) -> BTreeMap<String, String> {
    let variables = properties.pointer("/Environment/Variables").and_then(Value::as_object);
    variables
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), text_of(value)))
        .collect()
}

fn number(properties: &Value, name: &str) -> Result<Option<u32>> {
    let Some(value) = properties.get(name) else {
        return Ok(None);
    };
    Ok(Some(
        text_of(value)
            .parse()
            .with_context(|| format!("{name} is not a number"))?,
    ))
}

fn policy(properties: &Value) -> Result<Vec<Statement>> {
    let policies = match properties.get("Policies") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let mut statements = Vec::new();
    for policy in policies {
        let Some(list) = policy.get("Statement") else {
            bail!("policies must be written as Statement; the local stack does not know {policy}");
        };
        for statement in list_of(list) {
            statements.push(read_statement(&statement)?);
        }
    }

    Ok(statements)
}

pub(super) fn read_statement(statement: &Value) -> Result<Statement> {
    let map = statement.as_object().context("a statement must be a map")?;
    for key in map.keys() {
        if !["Sid", "Effect", "Action", "Resource", "Condition"].contains(&key.as_str()) {
            bail!("{key} of a policy statement is not checked locally");
        }
    }
    let effect = match statement["Effect"].as_str() {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => bail!("Effect must be Allow or Deny"),
    };
    let texts = |name: &str| -> Vec<String> { list_of(&statement[name]).iter().map(text_of).collect() };

    Ok(Statement {
        effect,
        actions: texts("Action"),
        resources: texts("Resource"),
        leading_keys: leading_keys(statement)?,
    })
}

/// Reads the one kind of condition that is checked here: which partition keys a statement grants something for.
/// `ForAllValues` also holds for a request without keys, so it counts only together with `Null`.
fn leading_keys(statement: &Value) -> Result<Vec<String>> {
    let Some(condition) = statement.get("Condition") else {
        return Ok(Vec::new());
    };
    for (operator, wildcards) in [("ForAllValues:StringLike", true), ("ForAllValues:StringEquals", false)] {
        let keys = list_of(&condition[operator]["dynamodb:LeadingKeys"]);
        let keys: Vec<String> = keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect();
        let known = json!({
            operator: {"dynamodb:LeadingKeys": keys},
            "Null": {"dynamodb:LeadingKeys": "false"},
        });
        let literal = wildcards || !keys.iter().any(|key| key.contains(['*', '?']));
        if !keys.is_empty() && literal && *condition == known && statement["Effect"] == "Allow" {
            return Ok(keys);
        }
    }
    bail!(
        "of a Condition only an Allow for a list of dynamodb:LeadingKeys is checked locally: ForAllValues:StringLike or \
         ForAllValues:StringEquals, and Null: \"false\" for the same key"
    );
}

pub(super) fn list_of(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.clone(),
        other => vec![other.clone()],
    }
}

fn add_event(function: &mut Function, routes: &mut Vec<Route>, name: &str, event: &Value) -> Result<()> {
    let empty = Value::Object(Map::new());
    let properties = event.get("Properties").unwrap_or(&empty);
    match event["Type"].as_str() {
        Some("HttpApi") => routes.push(Route {
            method: properties["Method"].as_str().unwrap_or("ANY").to_uppercase(),
            path: properties["Path"].as_str().unwrap_or("$default").to_owned(),
            function: function.id.clone(),
        }),
        Some("SQS") => function.queues.push(queue_source(properties)?),
        Some("Schedule" | "ScheduleV2") => {
            let disabled = properties["Enabled"] == false || properties["State"] == "DISABLED";
            if !disabled {
                function
                    .schedules
                    .push(schedule_source(&function.id, name, properties)?);
            }
        }
        other => bail!(
            "the local stack does not serve events of type {}",
            other.unwrap_or("(none)")
        ),
    }

    Ok(())
}

fn queue_source(properties: &Value) -> Result<QueueSource> {
    let arn = properties["Queue"].as_str().context("no Queue")?;
    if properties.get("FilterCriteria").is_some() {
        bail!("FilterCriteria is not served locally");
    }
    let reports = list_of(&properties["FunctionResponseTypes"])
        .iter()
        .any(|kind| kind == "ReportBatchItemFailures");

    Ok(QueueSource {
        queue: arn.rsplit(':').next().unwrap_or(arn).to_owned(),
        batch_size: number(properties, "BatchSize")?.unwrap_or(10) as usize,
        batching_window_s: number(properties, "MaximumBatchingWindowInSeconds")?.unwrap_or(0),
        reports_failures: reports,
        max_concurrency: properties
            .pointer("/ScalingConfig/MaximumConcurrency")
            .map(|most| text_of(most).parse().context("MaximumConcurrency is not a number"))
            .transpose()?,
    })
}

fn schedule_source(function: &str, name: &str, properties: &Value) -> Result<ScheduleSource> {
    let expression = properties
        .get("Schedule")
        .or_else(|| properties.get("ScheduleExpression"));
    let expression = expression.and_then(Value::as_str).context("no schedule expression")?;
    if let Some(zone) = properties.get("ScheduleExpressionTimezone")
        && zone != "UTC"
    {
        bail!("schedules run in UTC locally, not in {zone}");
    }
    let input = properties.get("Input").and_then(Value::as_str);

    Ok(ScheduleSource {
        name: format!("{function}{name}"),
        expression: expression.parse().with_context(|| format!("in {expression:?}"))?,
        input: input
            .map(serde_json::from_str)
            .transpose()
            .context("Input is not JSON")?,
    })
}
