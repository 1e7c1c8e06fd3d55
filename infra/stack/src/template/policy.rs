//! What a function may do: the statements of its policies, and the conditions on them.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::property::{list_of, only, texts};

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
    /// When it holds: where all of them do.
    pub conditions: Vec<Condition>,
}

/// A condition on a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// How values are compared.
    pub test: Test,
    /// Of a key with several values, how many must stand the comparison.
    pub quantifier: Quantifier,
    /// What is compared: `dynamodb:LeadingKeys`.
    pub key: String,
    /// With what; one of them is enough.
    pub values: Vec<String>,
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Equal, or with `*` and `?` for any text and any character; of `StringEquals` they stand for themselves.
    Like {
        /// Whether `*` and `?` mean anything.
        wildcards: bool,
        /// Whether it holds where the values differ.
        negated: bool,
    },
    /// Whether the request has no such key.
    Null,
}

/// How many values of a key must stand a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// No word of it: the key has one value, or none.
    One,
    /// At least one.
    Any,
    /// Each; so it holds as well where the key is not there at all.
    All,
}

/// The keys that the services here tell. A condition on another one would never be met, or always.
const KEYS: [&str; 2] = ["dynamodb:LeadingKeys", "s3:prefix"];

/// Reads a function's `Policies`.
pub(super) fn statements(policies: &Value) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for policy in list_of(policies) {
        let Some(list) = policy.get("Statement") else {
            bail!("policies must be written as Statement; the local stack does not know {policy}");
        };
        only("a policy", &policy, &[&["Statement", "Version"]])?;
        for statement in list_of(list) {
            statements.push(read(&statement)?);
        }
    }

    Ok(statements)
}

fn read(statement: &Value) -> Result<Statement> {
    only(
        "a policy statement",
        statement,
        &[&["Sid", "Effect", "Action", "Resource", "Condition"]],
    )?;
    let effect = match statement["Effect"].as_str() {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => bail!("Effect must be Allow or Deny"),
    };

    let conditions = match statement.get("Condition") {
        Some(given) => conditions(given)?,
        None => Vec::new(),
    };
    check_traps(effect, &conditions)?;

    Ok(Statement {
        effect,
        actions: texts(&statement["Action"]),
        resources: texts(&statement["Resource"]),
        conditions,
    })
}

/// Refuses conditions that IAM takes and that do not say what they seem to.
fn check_traps(effect: Effect, conditions: &[Condition]) -> Result<()> {
    for condition in conditions {
        let key = &condition.key;
        let asks_presence = conditions
            .iter()
            .any(|other| other.test == Test::Null && other.key == *key && other.values == ["false"]);
        match (effect, condition.quantifier) {
            (Effect::Allow, Quantifier::All) if !asks_presence => {
                bail!("ForAllValues on {key} also allows requests without that key; add Null: {{{key}: \"false\"}}")
            }
            (Effect::Deny, Quantifier::All) => {
                bail!("ForAllValues on {key} lets pass what has one other value beside; use ForAnyValue to deny")
            }
            _ => {}
        }
        let is_literal = matches!(condition.test, Test::Like { wildcards: false, .. });
        if is_literal && condition.values.iter().any(|value| value.contains(['*', '?'])) {
            bail!("of a text that {key} must equal, * and ? stand for themselves; use StringLike");
        }
    }
    Ok(())
}

/// Reads a table's own policy. Here it may only forbid, and only everybody: what a function may do stands with it.
pub(super) fn denials(properties: &Value, arn: &str) -> Result<Vec<Statement>> {
    let Some(policy) = properties.get("ResourcePolicy") else {
        return Ok(Vec::new());
    };
    only("ResourcePolicy", policy, &[&["PolicyDocument"]])?;
    only(
        "PolicyDocument",
        &policy["PolicyDocument"],
        &[&["Statement", "Version"]],
    )?;
    let statements = list_of(&policy["PolicyDocument"]["Statement"]).into_iter();
    let denials = statements.map(|mut statement| {
        let principal = statement.as_object_mut().and_then(|map| map.remove("Principal"));
        let mut denial = read(&statement)?;
        if principal != Some("*".into()) || denial.effect != Effect::Deny || denial.resources != ["*"] {
            bail!("only a Deny of everybody (Principal \"*\", Resource \"*\") is checked locally");
        }
        denial.resources = vec![arn.to_owned(), format!("{arn}/index/*")];
        Ok(denial)
    });
    denials.collect()
}

fn conditions(given: &Value) -> Result<Vec<Condition>> {
    let mut conditions = Vec::new();
    for (operator, keys) in given.as_object().context("a Condition must be a map")? {
        let (quantifier, name) = match operator.split_once(':') {
            None => (Quantifier::One, operator.as_str()),
            Some(("ForAnyValue", name)) => (Quantifier::Any, name),
            Some(("ForAllValues", name)) => (Quantifier::All, name),
            Some((other, _)) => bail!("there is no condition {other}:…"),
        };
        let like = |wildcards, negated| Test::Like { wildcards, negated };
        let test = match name {
            "StringLike" => like(true, false),
            "StringNotLike" => like(true, true),
            "StringEquals" => like(false, false),
            "StringNotEquals" => like(false, true),
            "Null" => Test::Null,
            other => bail!("the condition {other} is not checked locally"),
        };
        for (key, values) in keys.as_object().context("a condition must be a map of keys")? {
            if !KEYS.contains(&key.as_str()) {
                bail!("conditions on {key} are not checked locally");
            }
            let values = texts(values);
            if values.is_empty() || (test == Test::Null && !matches!(values[0].as_str(), "true" | "false")) {
                bail!("the condition {operator} on {key} has no value that it could compare with");
            }
            conditions.push(Condition {
                test,
                quantifier,
                key: key.clone(),
                values,
            });
        }
    }
    if conditions.is_empty() {
        bail!("a Condition without conditions");
    }
    Ok(conditions)
}
