//! What a request to `DynamoDB` needs to be allowed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::aws::iam::Need;
use crate::template::table_arn;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableRequest<'a> {
    #[serde(borrow)]
    table_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    index_name: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "keys")]
    request_items: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    transact_items: Vec<HashMap<Cow<'a, str>, TableItem<'a>>>,
    #[serde(borrow)]
    key: Option<ItemKey<'a>>,
}

/// The key of one item; of it, what policies can be bounded to.
#[derive(Deserialize)]
struct ItemKey<'a> {
    #[serde(borrow)]
    pk: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(rename = "S", borrow)]
    text: Option<Cow<'a, str>>,
}

/// Reads the keys of a map and skips its values.
fn keys<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Cow<'a, str>>, D::Error> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<Cow<'de, str>>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("a map")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut keys = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    deserializer.deserialize_map(Keys)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableItem<'a> {
    #[serde(borrow)]
    table_name: Cow<'a, str>,
}

/// A table may be named by its ARN as well.
fn arn_of_table(name: &str) -> String {
    if name.starts_with("arn:") {
        name.to_owned()
    } else {
        table_arn(name)
    }
}

/// Lists what a `DynamoDB` request needs; a transaction needs the right of each of its items.
pub(in crate::aws) fn needs(operation: &str, body: &[u8]) -> Result<Vec<Need>, String> {
    let request: TableRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let action = format!("dynamodb:{operation}");
    match operation {
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = request.request_items.iter();
            Ok(tables
                .map(|table| Need::of(action.clone(), arn_of_table(table)))
                .collect())
        }
        "TransactGetItems" | "TransactWriteItems" => {
            let items = request.transact_items.iter().flatten();
            items
                .map(|(kind, item)| Ok(Need::of(item_action(kind)?, arn_of_table(&item.table_name))))
                .collect()
        }
        "ListTables" => Ok(vec![Need::of(action, "*")]),
        _ => {
            let table = arn_of_table(&request.table_name.ok_or("the request names no table")?);
            let resource = match request.index_name {
                Some(index) => format!("{table}/index/{index}"),
                None => table,
            };
            let pk = request.key.and_then(|key| key.pk?.text);
            Ok(vec![Need {
                leading_key: pk.map(Cow::into_owned),
                ..Need::of(action, resource)
            }])
        }
    }
}

fn item_action(kind: &str) -> Result<&'static str, String> {
    Ok(match kind {
        "Get" => "dynamodb:GetItem",
        "Put" => "dynamodb:PutItem",
        "Update" => "dynamodb:UpdateItem",
        "Delete" => "dynamodb:DeleteItem",
        "ConditionCheck" => "dynamodb:ConditionCheckItem",
        other => return Err(format!("a transaction has no {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_needs(operation: &str, body: &str, expected: &[(&str, &str)]) {
        let mut found: Vec<(String, String)> = needs(operation, body.as_bytes())
            .unwrap()
            .into_iter()
            .map(|need| (need.action, need.resources[0].rsplit(':').next().unwrap().to_owned()))
            .collect();
        found.sort();
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(action, table)| (format!("dynamodb:{action}"), format!("table/{table}")))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn requests_name_their_tables_in_many_places() {
        check_needs("GetItem", r#"{"Key":{},"TableName":"A"}"#, &[("GetItem", "A")]);
        check_needs(
            "Query",
            r#"{"TableName":"A","IndexName":"gsi1"}"#,
            &[("Query", "A/index/gsi1")],
        );
        check_needs(
            "BatchWriteItem",
            r#"{"RequestItems":{"A":[{"PutRequest":{}},{}]}}"#,
            &[("BatchWriteItem", "A")],
        );
        check_needs(
            "BatchGetItem",
            r#"{"RequestItems":{"A":{},"B":{}}}"#,
            &[("BatchGetItem", "A"), ("BatchGetItem", "B")],
        );
        let items = r#"{"TransactItems":[{"Put":{"TableName":"A"}},{"ConditionCheck":{"TableName":"B","Key":{}}}]}"#;
        check_needs(
            "TransactWriteItems",
            items,
            &[("ConditionCheckItem", "B"), ("PutItem", "A")],
        );
    }
}
