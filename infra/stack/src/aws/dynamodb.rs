//! `DynamoDB`: dynoxide embedded, its operations called directly rather than through a second HTTP server.

mod needs;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::response::Response;
use dynoxide::Database;
use dynoxide::errors::DynoxideError;
use dynoxide::types::ConsumedCapacity;
use futures::future::BoxFuture;
use http::StatusCode;
use http::request::Parts;
use serde_json::{Map, Value, json};

use super::iam::Need;
use super::service::{Answer, Call, Service, ServiceError, THROTTLED, json_reply, targets};
use super::usage::Used;
use crate::chaos::Draw;
use crate::clock::Clock;
use crate::template::Table;

/// The tables of one stack.
#[derive(Clone)]
pub struct DynamoDb {
    database: Database,
    clock: Clock,
    /// Whether the database itself goes by the test clock; only one in memory can be told to.
    follows_clock: bool,
    /// The tables of the template.
    tables: Arc<Vec<Table>>,
}

impl fmt::Debug for DynamoDb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DynamoDb")
    }
}

/// Runs an operation: the request from its JSON, the reply to its JSON.
macro_rules! run {
    ($database:expr, $body:expr, $method:ident) => {{
        let request = serde_json::from_slice($body).map_err(|error| malformed(&error))?;
        let reply = $database.$method(request);
        reply.map(|reply| (serde_json::to_string(&reply), 0.0))
    }};
}

/// Runs an operation that is billed by capacity units, and yields them too; the caller learns them only if it asks.
macro_rules! run_billed {
    ($database:expr, $body:expr, $method:ident, $request:ident) => {{
        let request = serde_json::from_slice($body).map_err(|error| malformed(&error))?;
        let mut request: dynoxide::actions::$method::$request = request;
        let asked = request.return_consumed_capacity.is_some();
        request
            .return_consumed_capacity
            .get_or_insert_with(|| "TOTAL".to_owned());
        $database.$method(request).map(|mut reply| {
            let units = reply.consumed_capacity.as_ref().map_or(0.0, Billed::units);
            if !asked {
                reply.consumed_capacity = None;
            }
            (serde_json::to_string(&reply), units)
        })
    }};
}

/// What a reply tells about capacity: of one table or of several.
trait Billed {
    fn units(&self) -> f64;
}

impl Billed for ConsumedCapacity {
    fn units(&self) -> f64 {
        self.capacity_units
    }
}

impl Billed for Vec<ConsumedCapacity> {
    fn units(&self) -> f64 {
        self.iter().map(Billed::units).sum()
    }
}

impl DynamoDb {
    pub(super) fn memory(clock: &Clock, tables: &[Table]) -> Result<Self> {
        let database = Database::memory_with_clock(Arc::new(clock.clone())).context("start DynamoDB")?;
        Self::with_tables(database, clock, tables, true)
    }

    pub(super) fn open(file: &Path, clock: &Clock, tables: &[Table]) -> Result<Self> {
        let path = file.to_str().context("the data folder's path is not UTF-8")?;
        let database = Database::new(path).with_context(|| format!("open {path}"))?;
        Self::with_tables(database, clock, tables, false)
    }

    fn with_tables(database: Database, clock: &Clock, tables: &[Table], follows_clock: bool) -> Result<Self> {
        let this = Self {
            database,
            clock: clock.clone(),
            follows_clock,
            tables: Arc::new(tables.to_vec()),
        };
        for table in tables {
            this.create(table)
                .with_context(|| format!("create the table {}", table.name))?;
        }
        Ok(this)
    }

    /// Yields the database, for tests that look behind the API.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Creates a table as the template describes it, or gives one that exists the indexes that came later.
    fn create(&self, table: &Table) -> Result<()> {
        let known = self.database.list_tables(serde_json::from_value(json!({}))?)?;
        let known = serde_json::to_value(known)?;
        let exists = known["TableNames"]
            .as_array()
            .is_some_and(|names| names.iter().any(|name| *name == table.name));
        if exists {
            return self.add_indexes(table);
        }
        self.database
            .create_table(serde_json::from_value(table.create.clone())?)?;
        if let Some(attribute) = &table.ttl_attribute {
            let request = json!({
                "TableName": table.name,
                "TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": true},
            });
            self.database.update_time_to_live(serde_json::from_value(request)?)?;
        }
        Ok(())
    }

    fn add_indexes(&self, table: &Table) -> Result<()> {
        let known = json!({"TableName": table.name});
        let known = serde_json::to_value(self.database.describe_table(serde_json::from_value(known)?)?)?;
        let known = known["Table"]["GlobalSecondaryIndexes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let wanted = table.create["GlobalSecondaryIndexes"].as_array().into_iter().flatten();
        // One at a time, as DynamoDB has it.
        for index in wanted.filter(|index| !known.iter().any(|other| other["IndexName"] == index["IndexName"])) {
            let request = json!({
                "TableName": table.name,
                "AttributeDefinitions": table.create["AttributeDefinitions"],
                "GlobalSecondaryIndexUpdates": [{"Create": index}],
            });
            self.database.update_table(serde_json::from_value(request)?)?;
        }
        Ok(())
    }

    /// Deletes the items whose time to live is over by the test clock. A database in a file knows only the machine's
    /// time; once the test clock was moved, its tables are read for what else has expired.
    pub(super) fn sweep(&self) -> Result<()> {
        self.database.sweep_ttl()?;
        if !self.follows_clock && self.clock.offset_ms() > 0 {
            for table in self.tables.iter().filter(|table| table.ttl_attribute.is_some()) {
                self.sweep_table(table)
                    .with_context(|| format!("sweep {}", table.name))?;
            }
        }
        Ok(())
    }

    fn sweep_table(&self, table: &Table) -> Result<()> {
        let keys: Vec<&str> = table.create["KeySchema"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|key| key["AttributeName"].as_str())
            .collect();
        // `#ttl < :now` is false where the attribute is missing or no number.
        let mut scan = json!({
            "TableName": table.name,
            "FilterExpression": "#ttl < :now",
            "ExpressionAttributeNames": {"#ttl": table.ttl_attribute},
            "ExpressionAttributeValues": {":now": {"N": (self.clock.now_ms() / 1000).to_string()}},
        });
        loop {
            let page = serde_json::to_value(self.database.scan(serde_json::from_value(scan.clone())?)?)?;
            for item in page["Items"].as_array().into_iter().flatten() {
                let key: Map<String, Value> = keys
                    .iter()
                    .map(|name| ((*name).to_owned(), item[*name].clone()))
                    .collect();
                let delete = json!({
                    "TableName": table.name,
                    "Key": key,
                    "ConditionExpression": scan["FilterExpression"],
                    "ExpressionAttributeNames": scan["ExpressionAttributeNames"],
                    "ExpressionAttributeValues": scan["ExpressionAttributeValues"],
                });
                match self.database.delete_item(serde_json::from_value(delete)?) {
                    // Somebody was faster, and gave it more time.
                    Ok(_) | Err(DynoxideError::ConditionalCheckFailedException(..)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match page.get("LastEvaluatedKey") {
                Some(last) if last.is_object() => scan["ExclusiveStartKey"] = last.clone(),
                _ => return Ok(()),
            }
        }
    }

    /// Answers one request with a status and JSON, and tells how many capacity units it took.
    fn run(&self, operation: &str, body: &[u8]) -> Result<(StatusCode, String, f64), ServiceError> {
        let database = &self.database;
        let done = match operation {
            "GetItem" => run_billed!(database, body, get_item, GetItemRequest),
            "PutItem" => run_billed!(database, body, put_item, PutItemRequest),
            "UpdateItem" => run_billed!(database, body, update_item, UpdateItemRequest),
            "DeleteItem" => run_billed!(database, body, delete_item, DeleteItemRequest),
            "Query" => run_billed!(database, body, query, QueryRequest),
            "Scan" => run_billed!(database, body, scan, ScanRequest),
            "BatchGetItem" => run_billed!(database, body, batch_get_item, BatchGetItemRequest),
            "BatchWriteItem" => run_billed!(database, body, batch_write_item, BatchWriteItemRequest),
            "TransactGetItems" => run_billed!(database, body, transact_get_items, TransactGetItemsRequest),
            "TransactWriteItems" => run_billed!(database, body, transact_write_items, TransactWriteItemsRequest),
            "CreateTable" => run!(database, body, create_table),
            "DeleteTable" => run!(database, body, delete_table),
            "DescribeTable" => run!(database, body, describe_table),
            "ListTables" => run!(database, body, list_tables),
            "DescribeTimeToLive" => run!(database, body, describe_time_to_live),
            "UpdateTimeToLive" => run!(database, body, update_time_to_live),
            other => return Err(ServiceError::not_served(format_args!("DynamoDB {other}"))),
        };
        match done {
            Ok((Ok(reply), units)) => Ok((StatusCode::OK, reply, units)),
            Ok((Err(error), _)) => Err(malformed(&error)),
            Err(error) => {
                let error = worded(operation, error);
                let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
                Ok((status, error.to_json(), 0.0))
            }
        }
    }
}

impl Service for DynamoDb {
    fn names(&self) -> &'static [&'static str] {
        &["DYNAMODB"]
    }

    fn takes(&self, parts: &Parts) -> bool {
        targets(parts, "DynamoDB_20120810.")
    }

    fn needs(&self, call: &Call) -> Result<Vec<Need>, String> {
        needs::needs(&self.tables, &call.operation, &call.body)
    }

    fn answer(&self, call: Call) -> BoxFuture<'_, Result<Answer, ServiceError>> {
        Box::pin(async move {
            let (status, reply, units) = self.run(&call.operation, &call.body)?;
            let used = match call.operation.as_str() {
                "GetItem" | "Query" | "Scan" | "BatchGetItem" | "TransactGetItems" => Used::ReadUnits(units),
                _ => Used::WriteUnits(units),
            };
            Ok(Answer {
                response: json_reply(status, reply),
                used,
            })
        })
    }

    fn throttle(&self, call: &Call, draw: Draw) -> Response {
        let code = match call.operation.as_str() {
            "TransactWriteItems" => return cancelled(&call.body, draw),
            "BatchGetItem" if draw.below(2) == 0 => return unprocessed(&call.body, "UnprocessedKeys"),
            "BatchWriteItem" if draw.below(2) == 0 => return unprocessed(&call.body, "UnprocessedItems"),
            "PutItem" | "UpdateItem" | "DeleteItem" if draw.below(2) == 0 => "TransactionConflictException",
            "GetItem" | "Query" | "BatchGetItem" | "BatchWriteItem" | "PutItem" | "UpdateItem" | "DeleteItem" => {
                "ProvisionedThroughputExceededException"
            }
            _ => "ThrottlingException",
        };
        self.refuse(&ServiceError::refused(code, THROTTLED))
    }
}

/// Cancels a transaction at one of its items.
fn cancelled(body: &[u8], draw: Draw) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let items = request["TransactItems"].as_array().map_or(1, Vec::len);
    let place = draw.below(items as u64);
    let code = [
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    ][usize::try_from(draw.below(3 * items as u64) % 3).unwrap_or_default()];
    let reason = |at: u64| json!({"Code": if at == place { code } else { "None" }});
    let reasons: Vec<Value> = (0..items as u64).map(reason).collect();
    let error = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{code}]"),
        "CancellationReasons": reasons,
    });
    json_reply(StatusCode::BAD_REQUEST, error.to_string())
}

/// Does nothing of a batch and says so.
fn unprocessed(body: &[u8], field: &str) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let reply = json!({"Responses": {}, field: request["RequestItems"]});
    json_reply(StatusCode::OK, reply.to_string())
}

/// Puts the envelope around refusals of values where `DynamoDB` has one.
fn worded(operation: &str, error: DynoxideError) -> DynoxideError {
    match error {
        DynoxideError::EnvelopedValidation(text) if matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem") => {
            DynoxideError::ValidationException(format!("1 validation error detected: {text}"))
        }
        DynoxideError::EnvelopedValidation(text) => DynoxideError::ValidationException(text),
        other => other,
    }
}

/// Words a request that could not be read. The library marks its own refusals with a prefix and leaves the
/// position that `serde_json` adds; neither belongs on the wire.
fn malformed(error: &serde_json::Error) -> ServiceError {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    for (mark, envelope) in [
        ("VALIDATION_REQUEST:", "1 validation error detected: "),
        ("VALIDATION_AS_READ:", ""),
        ("VALIDATION:", ""),
    ] {
        if let Some(validation) = text.strip_prefix(mark) {
            return ServiceError::refused("ValidationException", format!("{envelope}{validation}"));
        }
    }
    let missing = [
        "missing field",
        "unknown variant",
        "invalid type: null",
        "AttributeValue",
    ];
    let is_validation = missing.iter().any(|sign| text.contains(sign));
    let text = text
        .trim_start_matches("SERIALIZATION:")
        .trim_start_matches("SERIALIZATION_AS_READ:");

    ServiceError::refused(
        if is_validation {
            "ValidationException"
        } else {
            "SerializationException"
        },
        text,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(indexes: &[&str]) -> Table {
        let key = |pk: &str, sk: &str| json!([{"AttributeName": pk, "KeyType": "HASH"}, {"AttributeName": sk, "KeyType": "RANGE"}]);
        let index = |name: &&str| {
            json!({"IndexName": name, "KeySchema": key(&format!("{name}pk"), &format!("{name}sk")),
                "Projection": {"ProjectionType": "ALL"}})
        };
        let attributes = [String::new()]
            .into_iter()
            .chain(indexes.iter().map(|name| (*name).to_owned()));
        let attributes = attributes.flat_map(|name| [format!("{name}pk"), format!("{name}sk")]);
        let attributes: Vec<Value> = attributes
            .map(|name| json!({"AttributeName": name, "AttributeType": "S"}))
            .collect();
        Table {
            id: "Things".into(),
            name: "Things".into(),
            create: json!({
                "TableName": "Things",
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": attributes,
                "KeySchema": key("pk", "sk"),
                "GlobalSecondaryIndexes": indexes.iter().map(index).collect::<Vec<_>>(),
            }),
            ttl_attribute: None,
            denials: Vec::new(),
        }
    }

    fn answer(database: &DynamoDb, operation: &str, body: &Value) -> Value {
        let (status, reply, _) = database.run(operation, body.to_string().as_bytes()).unwrap();
        assert_eq!(status, StatusCode::OK, "{reply}");
        serde_json::from_str(&reply).unwrap()
    }

    #[test]
    fn a_table_of_an_older_template_gets_the_index_that_came_later() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dynamodb.sqlite");
        let open = |indexes: &[&str]| DynamoDb::open(&file, &Clock::system(), &[table(indexes)]).unwrap();
        let text = |value: &str| json!({"S": value});
        let item = json!({"pk": text("a"), "sk": text("b"), "gsi2pk": text("c"), "gsi2sk": text("d")});
        answer(
            &open(&["gsi1"]),
            "PutItem",
            &json!({"TableName": "Things", "Item": item}),
        );
        for _ in 0..2 {
            let query = json!({"TableName": "Things", "IndexName": "gsi2", "KeyConditionExpression": "gsi2pk = :pk",
                "ExpressionAttributeValues": {":pk": text("c")}});
            let found = answer(&open(&["gsi1", "gsi2"]), "Query", &query);
            assert_eq!(found["Items"], json!([item]));
        }
    }
}
