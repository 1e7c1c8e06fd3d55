//! Which events there are to subscribe to, and what each looks like. Pure.

use std::collections::BTreeMap;

use kernel::MessageId;
use outbox::{Kind, Told};
use serde_json::{Value, json};

use crate::facts;

/// What an endpoint subscribes to that wants everything.
pub const ALL: &str = "*";

/// Nested schemas are followed so far.
const DEEPEST: u32 = 12;

/// Every event that is told outside, in the order of the documentation.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    [
        billing::invoice::facts::KINDS,
        payments::payment::facts::KINDS,
        billing::subscription::facts::KINDS,
        billing::contract::facts::KINDS,
        alerting::facts::KINDS,
        metering::facts::KINDS,
        facts::KINDS,
    ]
    .into_iter()
    .flatten()
}

/// The event with this name.
pub fn named(name: &str) -> Option<&'static Kind> {
    kinds().find(|kind| kind.name == name)
}

/// Whether an event is about endpoints themselves: what becomes of telling it is told to nobody.
pub(crate) fn is_operational(name: &str) -> bool {
    facts::KINDS.iter().any(|kind| kind.name == name)
}

/// What is sent of a fact, byte for byte the same each time.
pub(crate) fn body(fact: &Told) -> String {
    // The data are JSON already, and stay as they were stored.
    format!(
        r#"{{"type":{},"timestamp":{},"data":{}}}"#,
        json!(fact.fact),
        json!(fact.at),
        fact.data
    )
}

/// The schema of what an event shows, and those that it refers to, by name.
pub fn schemas(kind: &Kind) -> BTreeMap<String, Value> {
    let mut found = Vec::new();
    (kind.schemas)(&mut found);
    found.into_iter().map(|(name, schema)| (name, json!(schema))).collect()
}

/// The schema of an event: `{type, timestamp, data}`.
pub fn schema(kind: &Kind) -> Value {
    let view = json!({"$ref": format!("#/components/schemas/{}", (kind.view)())});
    let sequence = json!({"type": "object", "required": ["sequence"], "properties": {"sequence": {
        "type": "integer", "format": "int64", "minimum": 0,
        "description": "Grows with each event about the same resource: what has a smaller one is older."}}});
    json!({
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "const": kind.name},
            "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
            "data": {"allOf": [view, sequence], "description": "The resource as its GET showed it then."}
        }
    })
}

/// An event as it might be, made of the examples of its schema.
pub fn example(kind: &Kind) -> Value {
    let schemas = schemas(kind);
    let view = json!({"$ref": format!("#/components/schemas/{}", (kind.view)())});
    let mut data = example_of(&view, &schemas, DEEPEST);
    if let Some(data) = data.as_object_mut() {
        data.insert("sequence".to_owned(), json!(1));
    }
    json!({"type": kind.name, "timestamp": "2026-11-28T09:30:00.000Z", "data": data})
}

/// An event to try an endpoint with.
pub(crate) fn trial(kind: &Kind, at: kernel::Time) -> (MessageId, String) {
    let mut event = example(kind);
    event["timestamp"] = json!(at);
    (MessageId::new(at), event.to_string())
}

/// A value that a schema allows: its own example, or else one made of its parts.
fn example_of(schema: &Value, schemas: &BTreeMap<String, Value>, deeper: u32) -> Value {
    if let Some(known) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return known.clone();
    }
    if deeper == 0 {
        return Value::Null;
    }
    let again = |schema: &Value| example_of(schema, schemas, deeper - 1);
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return schemas.get(name).map_or(Value::Null, again);
    }
    for one in ["enum", "oneOf", "anyOf"] {
        let Some(first) = schema[one]
            .as_array()
            .and_then(|all| all.iter().find(|it| it["type"] != "null"))
        else {
            continue;
        };
        return if one == "enum" { first.clone() } else { again(first) };
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = serde_json::Map::new();
        for part in parts {
            if let Value::Object(members) = again(part) {
                whole.extend(members);
            }
        }
        return whole.into();
    }
    if let Some(members) = schema["properties"].as_object() {
        return members
            .iter()
            .map(|(name, member)| (name.clone(), again(member)))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    plain(schema)
}

/// A value of a type that has no parts.
fn plain(schema: &Value) -> Value {
    let named =
        |kind: &str| schema["type"] == kind || schema["type"].as_array().is_some_and(|all| all.contains(&json!(kind)));
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if named("array") {
        return json!([]);
    }
    if named("object") {
        return json!({});
    }
    if named("string") {
        return json!(match schema["format"].as_str() {
            Some("date-time") => "2026-11-28T09:30:00.000Z",
            Some("date") => "2026-11-28",
            _ => "text",
        });
    }
    if named("boolean") {
        return json!(false);
    }
    if named("integer") || named("number") {
        return schema.get("minimum").cloned().unwrap_or(json!(0));
    }
    Value::Null
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_events_have_one_name() {
        let names: Vec<&str> = kinds().map(|kind| kind.name).collect();
        let different: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), different.len());
        assert!(names.len() >= 25, "{names:?}");
        assert!(named("invoice.sent").is_some() && named("reconciliation.drifted").is_none());
    }

    #[test]
    fn every_event_has_an_example_with_what_its_schema_requires() {
        for kind in kinds() {
            let event = example(kind);
            let view = &schemas(kind)[(kind.view)().as_ref()];
            for name in view["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                assert!(event["data"].get(name).is_some(), "{} lacks {name}", kind.name);
            }
            assert_eq!(event["type"], kind.name);
        }
    }
}
