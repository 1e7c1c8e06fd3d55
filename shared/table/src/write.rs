//! Conditional writes and transactions.

use std::time::Duration;

use anyhow::{Context, anyhow};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, PutRequest, TransactWriteItem, Update as UpdateItem, WriteRequest,
};
use kernel::{Error, Result};

use crate::meter;
use crate::record::{self, Record, TableName, number};
use crate::{Item, Key, Table};

/// DynamoDB takes this many writes in one transaction.
const TRANSACTION: usize = 100;
/// DynamoDB takes this many puts in one `BatchWriteItem`.
const BATCH_PUT: usize = 25;
/// A transaction that met another one on the same item is tried this often.
const ATTEMPTS: u32 = 8;

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The conditions of the writes at these places did not hold.
    #[error("the conditions of writes {0:?} do not hold")]
    Condition(Vec<usize>),
    /// Something else.
    #[error(transparent)]
    Other(#[from] Error),
}

impl WriteError {
    /// Whether the condition of the write at `place` did not hold.
    pub fn failed(&self, place: usize) -> bool {
        matches!(self, Self::Condition(places) if places.contains(&place))
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Condition(_) => Error::Stale,
            WriteError::Other(error) => error,
        }
    }
}

/// One write, with the condition under which it happens.
#[derive(Clone, Debug)]
pub struct Write {
    table: TableName,
    action: Action,
    condition: Option<String>,
    names: Vec<(String, String)>,
    values: Vec<(String, AttributeValue)>,
}

#[derive(Clone, Debug)]
enum Action {
    Put(Item),
    Delete(Item),
    Check(Item),
    /// A key and an update expression.
    Update(Item, String),
}

impl Write {
    fn new(table: TableName, action: Action) -> Self {
        Self {
            table,
            action,
            condition: None,
            names: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Stores a record whose key must be free.
    pub fn create<R: Record>(record: &R) -> Result<Self> {
        let mut write = Self::put(record)?;
        write.condition = Some("attribute_not_exists(pk)".to_owned());
        Ok(write)
    }

    /// Stores a record that must be as it was read: its version in the table is still its own.
    pub fn replace<R: Record>(record: &R) -> Result<Self> {
        let mut write = Self::put(record)?;
        write.if_version(record.version());
        Ok(write)
    }

    /// Stores a record whatever was there.
    pub fn put<R: Record>(record: &R) -> Result<Self> {
        Ok(Self::new(R::TABLE, Action::Put(record::to_item(record)?)))
    }

    /// Deletes a record that must be as it was read.
    pub fn delete<R: Record>(record: &R) -> Self {
        let mut write = Self::new(R::TABLE, Action::Delete(record.key().item()));
        write.if_version(record.version());
        write
    }

    /// Changes nothing, but wants a record to be as it was read; only in a transaction.
    pub fn check<R: Record>(record: &R) -> Self {
        let mut write = Self::new(R::TABLE, Action::Check(record.key().item()));
        write.if_version(record.version());
        write
    }

    fn if_version(&mut self, version: u64) {
        let (name, value) = self.bind("version", number(version));
        self.and(&format!("{name} = {value}"));
    }

    fn and(&mut self, condition: &str) {
        self.condition = Some(match self.condition.take() {
            Some(before) => format!("{before} AND {condition}"),
            None => condition.to_owned(),
        });
    }

    fn bind(&mut self, name: &str, value: AttributeValue) -> (String, String) {
        let (place, holder) = (format!("#n{}", self.names.len()), format!(":v{}", self.values.len()));
        self.names.push((place.clone(), name.to_owned()));
        self.values.push((holder.clone(), value));
        (place, holder)
    }

    fn transact(self, table: &Table) -> Result<TransactWriteItem> {
        let name = table.name(self.table)?;
        let names = (!self.names.is_empty()).then(|| self.names.into_iter().collect());
        let values = (!self.values.is_empty()).then(|| self.values.into_iter().collect());
        let item = TransactWriteItem::builder();
        let item = match self.action {
            Action::Put(record) => item.put(
                Put::builder()
                    .table_name(name)
                    .set_item(Some(record))
                    .set_condition_expression(self.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()
                    .context("a put")?,
            ),
            Action::Delete(key) => item.delete(
                Delete::builder()
                    .table_name(name)
                    .set_key(Some(key))
                    .set_condition_expression(self.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()
                    .context("a delete")?,
            ),
            Action::Check(key) => item.condition_check(
                ConditionCheck::builder()
                    .table_name(name)
                    .set_key(Some(key))
                    .set_condition_expression(self.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()
                    .context("a check")?,
            ),
            Action::Update(key, expression) => item.update(
                UpdateItem::builder()
                    .table_name(name)
                    .set_key(Some(key))
                    .update_expression(expression)
                    .set_condition_expression(self.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()
                    .context("an update")?,
            ),
        };
        Ok(item.build())
    }
}

/// A write that changes counters, sets or single attributes of a record, which is made if absent.
#[derive(Clone, Debug)]
pub struct Update {
    write: Write,
    /// Clauses by their keyword.
    set: Vec<String>,
    add: Vec<String>,
    delete: Vec<String>,
}

impl Update {
    /// Begins an update of the record of kind `R` under `key`.
    pub fn of<R: Record>(key: &Key) -> Self {
        let write = Write::new(R::TABLE, Action::Update(key.item(), String::new()));
        let update = Self {
            write,
            set: Vec::new(),
            add: Vec::new(),
            delete: Vec::new(),
        };
        update.set("kind", record::text(R::KIND))
    }

    /// Sets an attribute to a number.
    #[must_use]
    pub fn set_number(self, name: &str, value: i64) -> Self {
        self.set(name, number(value))
    }

    /// Adds to a number, which starts at 0.
    #[must_use]
    pub fn add_number(self, name: &str, delta: i64) -> Self {
        self.add(name, number(delta))
    }

    /// Adds members to a set of texts.
    #[must_use]
    pub fn add_to_set(self, name: &str, members: Vec<String>) -> Self {
        self.add(name, AttributeValue::Ss(members))
    }

    /// Removes members from a set of texts.
    #[must_use]
    pub fn remove_from_set(mut self, name: &str, members: Vec<String>) -> Self {
        let (name, value) = self.write.bind(name, AttributeValue::Ss(members));
        self.delete.push(format!("{name} {value}"));
        self
    }

    fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let (name, value) = self.write.bind(name, value);
        self.set.push(format!("{name} = {value}"));
        self
    }

    fn add(mut self, name: &str, value: AttributeValue) -> Self {
        let (name, value) = self.write.bind(name, value);
        self.add.push(format!("{name} {value}"));
        self
    }
}

impl From<Update> for Write {
    fn from(update: Update) -> Self {
        let clauses = [("SET", update.set), ("ADD", update.add), ("DELETE", update.delete)];
        let clauses = clauses.iter().filter(|(_, clauses)| !clauses.is_empty());
        let expression = clauses.map(|(word, clauses)| format!("{word} {}", clauses.join(", ")));
        let expression = expression.collect::<Vec<_>>().join(" ");
        let mut write = update.write;
        if let Action::Update(_, empty) = &mut write.action {
            *empty = expression;
        }
        write
    }
}

pub(crate) async fn run(table: &Table, writes: Vec<Write>) -> Result<(), WriteError> {
    match <[Write; 1]>::try_from(writes) {
        Ok([write]) => single(table, write).await,
        Err(writes) if writes.is_empty() => Ok(()),
        Err(writes) => transaction(table, writes).await,
    }
}

async fn single(table: &Table, write: Write) -> Result<(), WriteError> {
    let name = table.name(write.table)?;
    let names = (!write.names.is_empty()).then(|| write.names.into_iter().collect());
    let values = (!write.values.is_empty()).then(|| write.values.into_iter().collect());
    let wanted = meter::wanted(table.meter());
    let sent = match write.action {
        Action::Put(item) => table
            .client
            .put_item()
            .table_name(name)
            .set_item(Some(item))
            .set_condition_expression(write.condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .set_return_consumed_capacity(wanted)
            .send()
            .await
            .map(|reply| reply.consumed_capacity)
            .map_err(|error| refusal(error, PutItemError::is_conditional_check_failed_exception)),
        Action::Delete(key) => table
            .client
            .delete_item()
            .table_name(name)
            .set_key(Some(key))
            .set_condition_expression(write.condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .set_return_consumed_capacity(wanted)
            .send()
            .await
            .map(|reply| reply.consumed_capacity)
            .map_err(|error| refusal(error, DeleteItemError::is_conditional_check_failed_exception)),
        Action::Check(_) => return Err(Error::from(anyhow!("a check belongs in a transaction")).into()),
        Action::Update(key, expression) => table
            .client
            .update_item()
            .table_name(name)
            .set_key(Some(key))
            .update_expression(expression)
            .set_condition_expression(write.condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .set_return_consumed_capacity(wanted)
            .send()
            .await
            .map(|reply| reply.consumed_capacity)
            .map_err(|error| refusal(error, UpdateItemError::is_conditional_check_failed_exception)),
    };
    meter::note(table.meter(), &sent?);
    Ok(())
}

fn refusal<E: std::error::Error + Send + Sync + 'static>(
    error: SdkError<E>,
    conditional: fn(&E) -> bool,
) -> WriteError {
    if error.as_service_error().is_some_and(conditional) {
        return WriteError::Condition(vec![0]);
    }
    WriteError::Other(Error::Internal(anyhow::Error::new(error).context("writing a record")))
}

async fn transaction(table: &Table, writes: Vec<Write>) -> Result<(), WriteError> {
    if writes.len() > TRANSACTION {
        return Err(Error::from(anyhow!("{} writes do not fit a transaction", writes.len())).into());
    }
    let items = writes
        .into_iter()
        .map(|write| write.transact(table))
        .collect::<Result<Vec<_>>>()?;
    let mut token = new_token();
    for attempt in 0..ATTEMPTS {
        let reply = table
            .client
            .transact_write_items()
            .client_request_token(&token)
            .set_transact_items(Some(items.clone()))
            .set_return_consumed_capacity(meter::wanted(table.meter()))
            .send()
            .await;
        let error = match reply {
            Ok(reply) => {
                meter::note(table.meter(), reply.consumed_capacity());
                return Ok(());
            }
            Err(error) => error,
        };
        match cancellation(&error) {
            Some(Cancelled::Conditions(places)) => return Err(WriteError::Condition(places)),
            Some(Cancelled::Conflict) => {
                token = new_token();
                pause(attempt).await;
            }
            // The same token, so that we learn what became of our own transaction.
            Some(Cancelled::InProgress) => pause(attempt).await,
            None => {
                return Err(Error::from(anyhow::Error::new(error).context("writing a transaction")).into());
            }
        }
    }
    Err(Error::Busy.into())
}

/// DynamoDB takes a transaction with the same token once.
fn new_token() -> String {
    format!("{:032x}", u128::from_be_bytes(kernel::id::random()))
}

enum Cancelled {
    Conditions(Vec<usize>),
    /// Nothing was done.
    Conflict,
    /// The same transaction is still being done.
    InProgress,
}

fn cancellation(error: &SdkError<TransactWriteItemsError>) -> Option<Cancelled> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            let code = |wanted: &str| {
                let reasons = cancelled.cancellation_reasons().iter().enumerate();
                reasons
                    .filter(|(_, reason)| reason.code() == Some(wanted))
                    .map(|(place, _)| place)
                    .collect::<Vec<_>>()
            };
            let failed = code("ConditionalCheckFailed");
            if !failed.is_empty() {
                return Some(Cancelled::Conditions(failed));
            }
            let again = [
                "TransactionConflict",
                "ThrottlingError",
                "ProvisionedThroughputExceeded",
            ];
            again
                .iter()
                .any(|wanted| !code(wanted).is_empty())
                .then_some(Cancelled::Conflict)
        }
        TransactWriteItemsError::TransactionInProgressException(_) => Some(Cancelled::InProgress),
        _ => None,
    }
}

/// Waits 5 to 10 ms, doubled with each attempt, so that the transactions that met do not meet again.
pub async fn pause(attempt: u32) {
    let [jitter] = kernel::id::random::<1>();
    let millis = (5 + u64::from(jitter) * 5 / 255) << attempt.min(6);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

pub(crate) async fn put_all<R: Record>(table: &Table, records: &[R]) -> Result<()> {
    let name = table.name(R::TABLE)?;
    for records in records.chunks(BATCH_PUT) {
        if let [record] = records {
            single(table, Write::put(record)?).await?;
            continue;
        }
        let mut requests = records.iter().map(put_request).collect::<Result<Vec<_>>>()?;
        for attempt in 0..ATTEMPTS {
            let reply = table
                .client
                .batch_write_item()
                .request_items(name, std::mem::take(&mut requests))
                .set_return_consumed_capacity(meter::wanted(table.meter()))
                .send()
                .await
                .with_context(|| format!("putting {}s", R::KIND))?;
            meter::note(table.meter(), reply.consumed_capacity());
            requests = reply
                .unprocessed_items
                .into_iter()
                .flatten()
                .flat_map(|(_, rest)| rest)
                .collect();
            if requests.is_empty() {
                break;
            }
            pause(attempt).await;
        }
        if !requests.is_empty() {
            return Err(Error::Busy);
        }
    }
    Ok(())
}

fn put_request<R: Record>(record: &R) -> Result<WriteRequest> {
    let put = PutRequest::builder()
        .set_item(Some(record::to_item(record)?))
        .build()
        .context("a put")?;
    Ok(WriteRequest::builder().put_request(put).build())
}
