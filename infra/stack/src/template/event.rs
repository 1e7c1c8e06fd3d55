//! Rules of EventBridge, and how SES tells of mails: by a configuration set's event destination. The default bus only, and
//! patterns that name values, for those are what is in use.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::property::{flag, is, list_of, only, texts};

/// A rule: which events go to which queues.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Logical id in the template.
    pub id: String,
    /// What an event must be like.
    pub pattern: Value,
    /// Names of the queues that get it.
    pub queues: Vec<String>,
}

impl Rule {
    /// Tells whether an event is one of those that the rule wants.
    pub fn matches(&self, event: &Value) -> bool {
        fits(&self.pattern, event)
    }
}

/// Whether a value is like a pattern: an object has all its members, a list names what the value, or one of its
/// elements, must be.
fn fits(pattern: &Value, value: &Value) -> bool {
    match pattern {
        Value::Object(members) => members
            .iter()
            .all(|(name, pattern)| value.get(name).is_some_and(|value| fits(pattern, value))),
        Value::Array(wanted) => match value {
            Value::Array(values) => values.iter().any(|value| wanted.contains(value)),
            value => wanted.contains(value),
        },
        _ => false,
    }
}

/// Reads a rule; none if it is switched off.
pub(super) fn rule(id: &str, properties: &Value) -> Result<Option<Rule>> {
    const KIND: &str = "AWS::Events::Rule";
    let known = ["EventBusName", "EventPattern", "State", "Targets"];
    only(KIND, properties, &[&known, &["Description", "Name", "Tags"]])?;
    is(KIND, properties, "EventBusName", &["default"])?;
    is(KIND, properties, "State", &["ENABLED", "DISABLED"])?;
    let pattern = properties.get("EventPattern").context("no EventPattern")?;
    check(pattern)?;
    let mut queues = Vec::new();
    for target in list_of(&properties["Targets"]) {
        only(
            "a target",
            &target,
            &[&["Arn", "Id"], &["DeadLetterConfig", "RetryPolicy"]],
        )?;
        let arn = target["Arn"].as_str().context("a target without Arn")?;
        let Some(queue) = arn
            .strip_prefix("arn:aws:sqs:")
            .and_then(|rest| rest.rsplit(':').next())
        else {
            bail!("the local stack sends events to queues only, not to {arn}");
        };
        queues.push(queue.to_owned());
    }
    let rule = Rule {
        id: id.to_owned(),
        pattern: pattern.clone(),
        queues,
    };
    Ok((properties["State"] != "DISABLED").then_some(rule))
}

fn check(pattern: &Value) -> Result<()> {
    match pattern {
        Value::Object(members) => members.values().try_for_each(check),
        Value::Array(wanted) if wanted.iter().all(|one| !one.is_object() && !one.is_array()) => Ok(()),
        other => bail!("the local stack serves patterns that list values, not {other}"),
    }
}

/// A configuration set of SES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationSet {
    /// What mails name it by.
    pub name: String,
    /// Which events of its mails EventBridge is told of, such as `BOUNCE`.
    pub told: Vec<String>,
}

pub(super) fn configuration_set(id: &str, properties: &Value) -> Result<ConfigurationSet> {
    let elsewhere = [
        "DeliveryOptions",
        "Name",
        "ReputationOptions",
        "SendingOptions",
        "SuppressionOptions",
        "Tags",
    ];
    only("AWS::SES::ConfigurationSet", properties, &[&elsewhere])?;
    Ok(ConfigurationSet {
        name: properties["Name"].as_str().unwrap_or(id).to_owned(),
        told: Vec::new(),
    })
}

/// Reads an event destination: the configuration set's name, and what EventBridge is told of.
pub(super) fn destination(properties: &Value) -> Result<(String, Vec<String>)> {
    const KIND: &str = "AWS::SES::ConfigurationSetEventDestination";
    only(KIND, properties, &[&["ConfigurationSetName", "EventDestination"]])?;
    let set = properties["ConfigurationSetName"]
        .as_str()
        .context("no ConfigurationSetName")?;
    let destination = &properties["EventDestination"];
    let known = ["Enabled", "EventBridgeDestination", "MatchingEventTypes", "Name"];
    only("an EventDestination", destination, &[&known])?;
    let bus = &destination["EventBridgeDestination"]["EventBusArn"];
    if !bus.as_str().is_some_and(|arn| arn.ends_with(":event-bus/default")) {
        bail!("SES tells the default bus only");
    }
    let types = texts(&destination["MatchingEventTypes"]);
    let known = [
        "SEND",
        "REJECT",
        "BOUNCE",
        "COMPLAINT",
        "DELIVERY",
        "OPEN",
        "CLICK",
        "RENDERING_FAILURE",
        "DELIVERY_DELAY",
        "SUBSCRIPTION",
    ];
    if let Some(other) = types.iter().find(|kind| !known.contains(&kind.as_str())) {
        bail!("SES has no events {other}");
    }
    let is_on = flag(destination, "Enabled")?.unwrap_or(true);
    Ok((set.to_owned(), if is_on { types } else { Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pattern_names_values() {
        let rule = |pattern: Value| {
            let properties = json!({"EventPattern": pattern, "Targets": []});
            rule("Rule", &properties).map(Option::unwrap)
        };
        let bounces = rule(json!({"source": ["aws.ses"], "detail": {"tags": {"set": ["ours", "theirs"]}}})).unwrap();
        assert!(bounces.matches(&json!({"source": "aws.ses", "detail": {"tags": {"set": ["ours"]}, "more": 1}})));
        assert!(!bounces.matches(&json!({"source": "aws.ses", "detail": {"tags": {"set": ["others"]}}})));
        assert!(!bounces.matches(&json!({"source": "aws.s3", "detail": {"tags": {"set": ["ours"]}}})));
        assert!(!bounces.matches(&json!({"source": "aws.ses"})));
        assert!(
            rule(json!({"source": [{"prefix": "aws."}]})).is_err(),
            "which is not served"
        );
    }

    #[test]
    fn only_queues_are_told() {
        let properties = json!({
            "EventPattern": {"source": ["aws.ses"]},
            "Targets": [{"Id": "X", "Arn": "arn:aws:lambda:us-east-1:000000000000:function:X"}],
        });
        assert!(rule("Rule", &properties).is_err());
    }
}
