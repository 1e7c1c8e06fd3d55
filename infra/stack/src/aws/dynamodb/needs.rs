//! What a request to `DynamoDB` needs to be allowed: an action on each table or index that it names, about the partition
//! keys that it names.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::aws::iam::Need;
use crate::template::{Table, table_arn};

/// The partition keys that a request is about, as conditions call them.
const LEADING_KEYS: &str = "dynamodb:LeadingKeys";

/// An item, or its key: values by attribute, which are read only where they are wanted.
type Item<'a> = HashMap<String, &'a RawValue>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    #[serde(borrow)]
    table_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    index_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Item<'a>>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
    #[serde(borrow)]
    key_condition_expression: Option<Cow<'a, str>>,
    #[serde(default)]
    expression_attribute_names: HashMap<String, String>,
    #[serde(borrow, default)]
    expression_attribute_values: Item<'a>,
    #[serde(borrow, default)]
    #[serde(rename = "RequestItems")]
    batches: HashMap<String, &'a RawValue>,
    #[serde(borrow, default)]
    transact_items: Vec<HashMap<String, TableItem<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableItem<'a> {
    #[serde(borrow)]
    table_name: Cow<'a, str>,
    #[serde(borrow)]
    key: Option<Item<'a>>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
}

/// What a batch gets of one table.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Gets<'a> {
    #[serde(borrow, default)]
    keys: Vec<Item<'a>>,
}

/// What a batch writes: an item to put, or the key of one to delete.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    #[serde(borrow)]
    key: Option<Item<'a>>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
}

/// A value that can be a partition key.
#[derive(Deserialize)]
enum KeyValue<'a> {
    #[serde(borrow)]
    S(Cow<'a, str>),
    #[serde(borrow)]
    N(Cow<'a, str>),
    #[serde(borrow)]
    B(Cow<'a, str>),
}

/// The tables of a stack, asked for what their partition keys are called.
#[derive(Clone, Copy)]
struct Schema<'t>(&'t [Table]);

impl Schema<'_> {
    /// Finds the partition keys of items, as texts.
    fn leading_keys<'a>(self, table: &str, items: impl IntoIterator<Item = &'a Item<'a>>) -> Vec<String> {
        let Some(name) = self.partition_key(table, None) else {
            return Vec::new();
        };
        items.into_iter().filter_map(|item| text(item.get(name)?)).collect()
    }

    fn partition_key(&self, table: &str, index: Option<&str>) -> Option<&str> {
        let named = |known: &&Table| known.name == table || known.arn() == table;
        self.0.iter().find(named)?.partition_key(index)
    }
}

fn text(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()).ok()? {
        KeyValue::S(text) | KeyValue::N(text) | KeyValue::B(text) => Some(text.into_owned()),
    }
}

/// A table may be named by its ARN as well.
fn arn_of_table(name: &str) -> String {
    if name.starts_with("arn:") {
        name.to_owned()
    } else {
        table_arn(name)
    }
}

/// Lists what a request needs; a transaction needs the right of each of its items.
pub(super) fn needs(tables: &[Table], operation: &str, body: &[u8]) -> Result<Vec<Need>, String> {
    let request: Request = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let action = format!("dynamodb:{operation}");
    let schema = Schema(tables);
    match operation {
        "BatchGetItem" | "BatchWriteItem" => {
            let batches = request.batches.iter();
            batches
                .map(|(table, batch)| {
                    let keys = batched(schema, operation, table, batch).map_err(|error| error.to_string())?;
                    Ok(Need::of(&action, arn_of_table(table)).with(LEADING_KEYS, keys))
                })
                .collect()
        }
        "TransactGetItems" | "TransactWriteItems" => {
            let items = request.transact_items.iter().flatten();
            items
                .map(|(kind, one)| {
                    let keys = schema.leading_keys(&one.table_name, one.key.iter().chain(&one.item));
                    Ok(Need::of(item_action(kind)?, arn_of_table(&one.table_name)).with(LEADING_KEYS, keys))
                })
                .collect()
        }
        "ListTables" => Ok(vec![Need::of(action, "*")]),
        _ => {
            let table = request.table_name.as_deref().ok_or("the request names no table")?;
            let arn = arn_of_table(table);
            let resource = match &request.index_name {
                Some(index) => format!("{arn}/index/{index}"),
                None => arn,
            };
            let mut keys = schema.leading_keys(table, request.key.iter().chain(&request.item));
            keys.extend(queried(schema, table, &request));
            Ok(vec![Need::of(action, resource).with(LEADING_KEYS, keys)])
        }
    }
}

fn batched(schema: Schema, operation: &str, table: &str, batch: &RawValue) -> serde_json::Result<Vec<String>> {
    if operation == "BatchGetItem" {
        let gets: Gets = serde_json::from_str(batch.get())?;
        return Ok(schema.leading_keys(table, &gets.keys));
    }
    let writes: Vec<HashMap<String, Written>> = serde_json::from_str(batch.get())?;
    let writes = writes.iter().flat_map(HashMap::values);
    Ok(schema.leading_keys(table, writes.flat_map(|write| write.key.iter().chain(&write.item))))
}

/// Finds the partition key that a query asks for: what its condition says is equal to it.
fn queried(schema: Schema, table: &str, request: &Request) -> Option<String> {
    let name = schema.partition_key(table, request.index_name.as_deref())?;
    let expression = request.key_condition_expression.as_deref()?;
    let is_key = |token: &str| {
        let meant = request.expression_attribute_names.get(token);
        meant.map_or(token, String::as_str) == name
    };
    let (_, value) = equations(expression).find(|(left, _)| is_key(left))?;
    text(request.expression_attribute_values.get(value)?)
}

/// Lists what stands on both sides of each `=` of an expression.
fn equations(expression: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_gap = |c: char| c.is_whitespace() || matches!(c, '(' | ')');
    expression.match_indices('=').filter_map(move |(place, _)| {
        let (left, right) = (&expression[..place], &expression[place + 1..]);
        let left = left.trim_end_matches(is_gap).rsplit(is_gap).next()?;
        let right = right.trim_start_matches(is_gap).split(is_gap).next()?;
        (!left.ends_with(['<', '>'])).then_some((left, right))
    })
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
    use serde_json::json;

    use super::*;

    /// A table with the partition key `pk`, and `gsi1pk` in its index.
    fn tables() -> Vec<Table> {
        let key = |name: &str| json!([{"AttributeName": "sk", "KeyType": "RANGE"}, {"AttributeName": name, "KeyType": "HASH"}]);
        let create = json!({"KeySchema": key("pk"), "GlobalSecondaryIndexes": [{"IndexName": "gsi1", "KeySchema": key("gsi1pk")}]});
        vec![Table {
            id: "A".into(),
            name: "A".into(),
            create,
            ttl_attribute: None,
            denials: Vec::new(),
        }]
    }

    fn check_keys(operation: &str, body: &serde_json::Value, expected: &[&[&str]]) {
        let needs = needs(&tables(), operation, body.to_string().as_bytes()).unwrap();
        let mut found: Vec<Vec<String>> = needs
            .iter()
            .map(|need| need.context.iter().flat_map(|(_, values)| values.clone()).collect())
            .collect();
        found.sort();
        assert_eq!(found, expected, "{operation} {body}");
    }

    #[test]
    fn requests_name_their_partition_keys_in_many_places() {
        let item = |pk: &str| json!({"pk": {"S": pk}, "sk": {"S": "x"}, "other": {"M": {"pk": {"S": "no"}}}});
        check_keys("GetItem", &json!({"TableName": "A", "Key": item("a")}), &[&["a"]]);
        check_keys(
            "PutItem",
            &json!({"TableName": "A", "Item": {"pk": {"N": "7"}}}),
            &[&["7"]],
        );
        check_keys(
            "PutItem",
            &json!({"TableName": table_arn("A"), "Item": item("a")}),
            &[&["a"]],
        );
        check_keys("Scan", &json!({"TableName": "A"}), &[&[]]);
        check_keys("GetItem", &json!({"TableName": "Unknown", "Key": item("a")}), &[&[]]);
        let writes = json!([{"PutRequest": {"Item": item("a")}}, {"DeleteRequest": {"Key": item("b")}}]);
        check_keys(
            "BatchWriteItem",
            &json!({"RequestItems": {"A": writes}}),
            &[&["a", "b"]],
        );
        let gets = json!({"Keys": [item("a"), item("b")], "ConsistentRead": true});
        check_keys("BatchGetItem", &json!({"RequestItems": {"A": gets}}), &[&["a", "b"]]);
        let items = json!([
            {"Put": {"TableName": "A", "Item": item("a")}},
            {"Update": {"TableName": "A", "Key": item("b")}},
        ]);
        check_keys(
            "TransactWriteItems",
            &json!({"TransactItems": items}),
            &[&["a"], &["b"]],
        );
    }

    fn check_query(index: Option<&str>, condition: &str, expected: &[&str]) {
        let query = json!({
            "TableName": "A",
            "IndexName": index,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": {"#p": "pk", "#s": "sk"},
            "ExpressionAttributeValues": {":p": {"S": "the key"}, ":s": {"S": "x"}},
        });
        check_keys("Query", &query, &[expected]);
    }

    #[test]
    fn a_query_names_its_partition_key_in_an_expression() {
        check_query(None, "pk = :p", &["the key"]);
        check_query(None, "#p=:p", &["the key"]);
        check_query(None, "(#s >= :s) AND (#p = :p)", &["the key"]);
        check_query(None, "#s = :s AND #p=:p", &["the key"]);
        check_query(None, "#p = :p AND begins_with(#s, :s)", &["the key"]);
        check_query(Some("gsi1"), "gsi1pk = :p", &["the key"]);
        check_query(Some("gsi1"), "pk = :p", &[]);
        check_query(None, "#p <= :p", &[]);
        check_query(None, "#p = :missing", &[]);
    }

    fn check_needs(operation: &str, body: &str, expected: &[(&str, &str)]) {
        let mut found: Vec<(String, String)> = needs(&[], operation, body.as_bytes())
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
