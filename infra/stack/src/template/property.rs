//! Properties that are read, and those that mean nothing on one machine. Any other is an error that names it: what is
//! skipped in silence works here and fails on AWS, or the other way round.

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use super::intrinsics::text_of;

/// Refuses what stands in a map beside the properties in `known`; `what` is named in the error.
pub(super) fn only<'a>(what: &str, map: &'a Value, known: &[&[&str]]) -> Result<&'a Map<String, Value>> {
    let map = map.as_object().with_context(|| format!("{what} must be a map"))?;
    match map
        .keys()
        .find(|key| !known.iter().any(|list| list.contains(&key.as_str())))
    {
        Some(key) => bail!("the local stack does not serve the property {key} of {what}"),
        None => Ok(map),
    }
}

/// Refuses a property whose value is not the one that is served.
pub(super) fn is(what: &str, map: &Value, name: &str, served: &[&str]) -> Result<()> {
    match map.get(name) {
        None => Ok(()),
        Some(value) if served.contains(&text_of(value).as_str()) => Ok(()),
        Some(value) => bail!(
            "the local stack serves the property {name} of {what} as {} only, not as {}",
            served.join(" or "),
            text_of(value)
        ),
    }
}

/// Reads a whole number.
pub(super) fn number<T: std::str::FromStr<Err = std::num::ParseIntError>>(
    map: &Value,
    name: &str,
) -> Result<Option<T>> {
    let Some(value) = map.get(name) else {
        return Ok(None);
    };
    Ok(Some(
        text_of(value)
            .parse()
            .with_context(|| format!("{name} is not a number"))?,
    ))
}

/// Reads `true` or `false`, also as a text.
pub(super) fn flag(map: &Value, name: &str) -> Result<Option<bool>> {
    match map.get(name).map(text_of).as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => bail!("{name} must be true or false, not {other}"),
    }
}

/// Reads a list of texts; one text is a list of one.
pub(super) fn texts(value: &Value) -> Vec<String> {
    list_of(value).iter().map(text_of).collect()
}

/// Reads a list; what is none is a list of one.
pub(super) fn list_of(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.clone(),
        Value::Null => Vec::new(),
        other => vec![other.clone()],
    }
}
