//! Conditional writes and transactions.

use std::time::Duration;

use anyhow::{Context, anyhow};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update as UpdateItem,
};
use kernel::origin::Still;
use kernel::{Anchor, Error, Problem, Result, Time};

use crate::record::{self, Index, Record, TableName, number, text};
use crate::{Item, Key, Table, size};

/// DynamoDB takes this many writes in one transaction.
pub const TRANSACTION: usize = 100;
/// So many attempts of a transaction may stay unanswered: a third is the caller's to make.
const UNANSWERED: u32 = 2;
/// The number of a write has this many random bytes.
const WRITE_NUMBER: usize = 8;
/// A transaction that met another one on the same item is tried this often.
pub(crate) const ATTEMPTS: u32 = 8;

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

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        Error::from(error).into()
    }
}

/// One write, with the condition under which it happens.
#[derive(Clone, Debug)]
pub struct Write {
    table: TableName,
    action: Action,
    /// The version that the record must have, if that is wanted.
    version: Option<u64>,
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
            version: None,
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

    /// Stores a record whose key is free, or holds one whose attribute `name` is one of these texts.
    pub fn create_over<R: Record>(record: &R, name: &str, texts: &[&str]) -> Result<Self> {
        let mut write = Self::put(record)?;
        let mut holders = Vec::new();
        let place = format!("#n{}", write.names.len());
        write.names.push((place.clone(), name.to_owned()));
        for text in texts {
            let holder = format!(":v{}", write.values.len());
            write.values.push((holder.clone(), record::text(text)));
            holders.push(holder);
        }
        write.condition = Some(format!(
            "attribute_not_exists(pk) OR {place} IN ({})",
            holders.join(", ")
        ));
        Ok(write)
    }

    /// Stores a record that must be as it was read: its version in the table is still its own.
    pub fn replace<R: Record>(record: &R) -> Result<Self> {
        let mut write = Self::put(record)?;
        write.if_version(record.version());
        Ok(write)
    }

    /// Stores a record that was never stored, or one that must be as it was read: [`Write::create`] or
    /// [`Write::replace`], as its version says.
    pub fn save<R: Record>(record: &R) -> Result<Self> {
        match record.version() {
            0 => Self::create(record),
            _ => Self::replace(record),
        }
    }

    /// Stores a record whatever was there.
    pub fn put<R: Record>(record: &R) -> Result<Self> {
        Ok(Self::put_item(R::TABLE, record::to_item(record)?))
    }

    pub(crate) fn put_item(table: TableName, item: Item) -> Self {
        Self::new(table, Action::Put(item))
    }

    /// Deletes a record that must be as it was read.
    pub fn delete<R: Record>(record: &R) -> Self {
        let mut write = Self::new(R::TABLE, Action::Delete(record.key().item()));
        write.if_version(record.version());
        write
    }

    /// Deletes a record whatever it is, and if it is there.
    pub fn remove<R: Record>(record: &R) -> Self {
        Self::new(R::TABLE, Action::Delete(record.key().item()))
    }

    pub(crate) fn delete_item(table: TableName, key: Item) -> Self {
        Self::new(table, Action::Delete(key))
    }

    /// Changes nothing, but wants a record to be as it was read; only in a transaction.
    pub fn check<R: Record>(record: &R) -> Self {
        let mut write = Self::new(R::TABLE, Action::Check(record.key().item()));
        write.if_version(record.version());
        write
    }

    /// Changes nothing, but wants an anchor to hold; only in a transaction. A transaction takes one write an item, so
    /// where another one touches that of the anchor it takes the condition over: [`Write::holding`].
    pub fn anchor(anchor: &Anchor) -> Result<Self> {
        let table = TableName::ALL.iter().find(|table| table.variable() == anchor.table);
        let table = table.with_context(|| format!("there is no table {}", anchor.table))?;
        let key = Key::of(&anchor.pk, &anchor.sk);
        let mut write = Self::new(*table, Action::Check(key.item()));
        write.hold(anchor.still);
        Ok(write)
    }

    /// The same write, which happens only if an anchor holds that lies in its item. Nothing if that is known not to be
    /// so: what is written was read when the anchor did not hold any more.
    #[must_use]
    pub fn holding(mut self, anchor: &Anchor) -> Option<Self> {
        match (anchor.still, self.version) {
            (Still::Version(wanted), Some(version)) => (wanted == version).then_some(self),
            (still, _) => {
                self.hold(still);
                Some(self)
            }
        }
    }

    fn hold(&mut self, still: Still) {
        match still {
            Still::Version(version) => self.if_version(version),
            Still::Without { attribute, .. } => {
                let name = self.name(attribute);
                self.and(&format!("attribute_exists(pk) AND attribute_not_exists({name})"));
            }
        }
    }

    /// Whether it touches the item in which an anchor lies.
    pub fn touches(&self, anchor: &Anchor) -> bool {
        let at = (text(&anchor.pk), text(&anchor.sk));
        self.table.variable() == anchor.table && self.place() == (Some(&at.0), Some(&at.1))
    }

    /// Whether it touches the same item as another write, which no transaction takes.
    pub fn meets(&self, other: &Self) -> bool {
        self.table == other.table && self.place() == other.place()
    }

    fn place(&self) -> (Option<&AttributeValue>, Option<&AttributeValue>) {
        let (Action::Put(item) | Action::Delete(item) | Action::Check(item) | Action::Update(item, _)) = &self.action;
        (item.get("pk"), item.get("sk"))
    }

    /// How many bytes the item has that it stores, as DynamoDB counts them; of one that stores no whole item, how many it
    /// sends.
    pub fn bytes(&self) -> usize {
        let (Action::Put(item) | Action::Delete(item) | Action::Check(item) | Action::Update(item, _)) = &self.action;
        let values = self.values.iter().map(|(_, value)| size::of_value(value));
        size::of_item(item) + values.sum::<usize>()
    }

    fn if_version(&mut self, version: u64) {
        self.version = Some(version);
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
        let holder = format!(":v{}", self.values.len());
        self.values.push((holder.clone(), value));
        (self.name(name), holder)
    }

    fn name(&mut self, name: &str) -> String {
        let place = format!("#n{}", self.names.len());
        self.names.push((place.clone(), name.to_owned()));
        place
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
    remove: Vec<String>,
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
            remove: Vec::new(),
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

    /// Puts the record into the first index, at this place.
    #[must_use]
    pub fn into_index1(self, place: &Key) -> Self {
        let (pk, sk) = Index::First.attributes();
        self.set(pk, record::text(&place.pk)).set(sk, record::text(&place.sk))
    }

    /// Takes the record out of the first index.
    #[must_use]
    pub fn out_of_index1(mut self) -> Self {
        let (pk, sk) = Index::First.attributes();
        for name in [pk, sk] {
            let name = self.write.name(name);
            self.remove.push(name);
        }
        self
    }

    /// Says when DynamoDB may forget the record.
    #[must_use]
    pub fn expires_at(self, time: Time) -> Self {
        self.set_number("expiresAt", time.seconds())
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

    /// Happens only if an attribute is not there.
    #[must_use]
    pub fn if_absent(mut self, name: &str) -> Self {
        let name = self.write.name(name);
        self.write.and(&format!("attribute_not_exists({name})"));
        self
    }

    /// Happens only if a number is `value`; one that is absent is 0.
    #[must_use]
    pub fn if_number(self, name: &str, value: i64) -> Self {
        match value {
            0 => self.only_if(name, value, |name, value| {
                format!("(attribute_not_exists({name}) OR {name} = {value})")
            }),
            _ => self.only_if(name, value, |name, value| format!("{name} = {value}")),
        }
    }

    /// Happens only if an attribute is there and at most `value`.
    #[must_use]
    pub fn if_at_most(self, name: &str, value: i64) -> Self {
        self.only_if(name, value, |name, value| format!("{name} <= {value}"))
    }

    /// Happens only if an attribute is there and more than `value`.
    #[must_use]
    pub fn if_more_than(self, name: &str, value: i64) -> Self {
        self.only_if(name, value, |name, value| format!("{name} > {value}"))
    }

    /// Happens only if an attribute is absent or at most `value`.
    #[must_use]
    pub fn if_absent_or_at_most(self, name: &str, value: i64) -> Self {
        self.only_if(name, value, |name, value| {
            format!("(attribute_not_exists({name}) OR {name} <= {value})")
        })
    }

    fn only_if(mut self, name: &str, value: i64, condition: impl FnOnce(&str, &str) -> String) -> Self {
        let (name, value) = self.write.bind(name, number(value));
        self.write.and(&condition(&name, &value));
        self
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
        let clauses = [
            ("SET", update.set),
            ("REMOVE", update.remove),
            ("ADD", update.add),
            ("DELETE", update.delete),
        ];
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

pub(crate) async fn run(table: &Table, mut writes: Vec<Write>) -> Result<(), WriteError> {
    match writes.as_slice() {
        [] => Ok(()),
        // Alone a put is half the price, and can say itself whether it was done. What cannot goes as a transaction,
        // whose token says so.
        [write] if matches!(write.action, Action::Put(_)) => put(table, writes.swap_remove(0)).await,
        _ => transaction(table, writes).await,
    }
}

/// Puts one item. Its reply may be lost, and the SDK sends it again: then the condition does not hold, because the put
/// was done. So an item with a condition carries the number of its write, and a refusal shows the item that is there.
pub(crate) async fn put(table: &Table, write: Write) -> Result<(), WriteError> {
    let Action::Put(mut item) = write.action else {
        return Err(Error::from(anyhow!("this is no put")).into());
    };
    let number = AttributeValue::B(kernel::id::random::<WRITE_NUMBER>().to_vec().into());
    if write.condition.is_some() {
        item.insert(record::WRITE_NUMBER.to_owned(), number.clone());
    }
    let request = table
        .client
        .put_item()
        .table_name(table.name(write.table)?)
        .set_item(Some(item))
        .set_condition_expression(write.condition)
        .set_expression_attribute_names((!write.names.is_empty()).then(|| write.names.into_iter().collect()))
        .set_expression_attribute_values((!write.values.is_empty()).then(|| write.values.into_iter().collect()))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    for attempt in 0..ATTEMPTS {
        let Err(error) = request.clone().send().await else {
            return Ok(());
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let there = failed.item().and_then(|item| item.get(record::WRITE_NUMBER));
                return if there == Some(&number) {
                    Ok(())
                } else {
                    Err(WriteError::Condition(vec![0]))
                };
            }
            Some(PutItemError::TransactionConflictException(_)) => pause(attempt).await,
            _ => return Err(failed(error, "writing a record").into()),
        }
    }
    Err(Error::Busy.into())
}

/// What became of an update with a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated<R> {
    /// It happened; the record as it is now.
    Done(R),
    /// Its condition does not hold, so nothing happened; the record as it is, if there is one.
    Refused(Option<R>),
}

/// What became of an update that tells little: nothing, if it happened; or the record as it is, if there is one, because its
/// condition does not hold.
pub type Changed<R> = Result<(), Option<R>>;

/// Does one update and tells what the record is then, whether it happened or not: one request, no read.
pub(crate) async fn update<R: Record>(table: &Table, update: Update) -> Result<Updated<R>> {
    Ok(match send(table, update, ReturnValue::AllNew).await? {
        Ok(item) => Updated::Done(record::from_item(item.context("an update tells what it left")?)?),
        Err(item) => Updated::Refused(item.map(record::from_item).transpose()?),
    })
}

/// Does one update and tells what the record is if it did not happen. What is not said is neither sent nor read.
pub(crate) async fn change<R: Record>(table: &Table, update: Update) -> Result<Changed<R>> {
    Ok(match send(table, update, ReturnValue::None).await? {
        Ok(_) => Ok(()),
        Err(item) => Err(item.map(record::from_item).transpose()?),
    })
}

/// Sends one update: the item that it tells of, or as an error the one that is there instead.
async fn send(table: &Table, update: Update, tells: ReturnValue) -> Result<Result<Option<Item>, Option<Item>>> {
    let write = Write::from(update);
    let Action::Update(key, expression) = write.action else {
        return Err(anyhow!("an update is an update").into());
    };
    let sent = table
        .client
        .update_item()
        .table_name(table.name(write.table)?)
        .set_key(Some(key))
        .update_expression(expression)
        .set_condition_expression(write.condition)
        .set_expression_attribute_names(Some(write.names.into_iter().collect()))
        .set_expression_attribute_values(Some(write.values.into_iter().collect()))
        .return_values(tells)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    match sent {
        Ok(reply) => Ok(Ok(reply.attributes)),
        Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
            let UpdateItemError::ConditionalCheckFailedException(refused) = error.into_err() else {
                return Err(anyhow!("a refusal is a refusal").into());
            };
            Ok(Err(refused.item))
        }
        Err(error) => Err(failed(error, "updating a record")),
    }
}

/// What to tell of a call that failed: `Busy` if it may succeed later. A write may have been done even so.
pub(crate) fn failed<E>(error: SdkError<E>, doing: impl std::fmt::Display) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let is_away = is_away(&error);
    let error = anyhow::Error::new(error).context(doing.to_string());
    if !is_away {
        return Error::Internal(error);
    }
    tracing::warn!(error = format!("{error:#}"), "a table is overloaded or away");
    Error::Busy
}

/// Whether DynamoDB had no time for a call, or no answer came.
fn is_away<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ServiceError(refused) => {
            refused.raw().status().is_server_error() || refused.err().code().is_some_and(|code| BUSY.contains(&code))
        }
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        _ => false,
    }
}

/// The codes with which DynamoDB refuses what comes too fast, or meets a transaction.
const BUSY: [&str; 4] = [
    "TransactionConflictException",
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
];

/// Does a transaction, again where it met another one or its reply was lost. DynamoDB does one with the same token
/// once, so the token stays the same for as long as an attempt with it may have been done.
async fn transaction(table: &Table, writes: Vec<Write>) -> Result<(), WriteError> {
    if writes.len() > TRANSACTION {
        return Err(Error::from(anyhow!("{} writes do not fit a transaction", writes.len())).into());
    }
    let items = writes
        .into_iter()
        .map(|write| write.transact(table))
        .collect::<Result<Vec<_>>>()?;
    let (mut token, mut unanswered) = (new_token(), 0);
    for attempt in 0..ATTEMPTS {
        let request = table
            .client
            .transact_write_items()
            .client_request_token(&token)
            .set_transact_items(Some(items.clone()));
        // The SDK's own attempts would not tell whether one of them was unanswered.
        let once = aws_sdk_dynamodb::config::Builder::new().retry_config(RetryConfig::disabled());
        let Err(error) = request.customize().config_override(once).send().await else {
            return Ok(());
        };
        match Outcome::of(&error) {
            Outcome::Conditions(places) => return Err(WriteError::Condition(places)),
            Outcome::NotDone if unanswered == 0 => token = new_token(),
            Outcome::NotDone | Outcome::InProgress => {}
            Outcome::Unknown if unanswered < UNANSWERED => unanswered += 1,
            Outcome::Unknown | Outcome::Impossible => return Err(failed(error, "writing a transaction").into()),
        }
        pause(attempt).await;
    }
    Err(Error::Busy.into())
}

/// DynamoDB takes a transaction with the same token once, for ten minutes.
fn new_token() -> String {
    format!("{:032x}", u128::from_be_bytes(kernel::id::random()))
}

/// What became of an attempt that failed.
enum Outcome {
    /// Nothing was done: the conditions at these places do not hold.
    Conditions(Vec<usize>),
    /// Nothing was done: it met another transaction, or came too fast.
    NotDone,
    /// The same transaction is still being done.
    InProgress,
    /// It may have been done.
    Unknown,
    /// Nothing was done, and nothing ever will be.
    Impossible,
}

impl Outcome {
    fn of(error: &SdkError<TransactWriteItemsError>) -> Self {
        let SdkError::ServiceError(refused) = error else {
            return if is_away(error) {
                Self::Unknown
            } else {
                Self::Impossible
            };
        };
        match refused.err() {
            TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                let mut failed = Vec::new();
                let mut collided = false;
                for (place, reason) in cancelled.cancellation_reasons().iter().enumerate() {
                    match reason.code() {
                        Some("ConditionalCheckFailed") => failed.push(place),
                        Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => {
                            collided = true;
                        }
                        _ => {}
                    }
                }
                match (failed.is_empty(), collided) {
                    (false, _) => Self::Conditions(failed),
                    (true, true) => Self::NotDone,
                    (true, false) => Self::Impossible,
                }
            }
            TransactWriteItemsError::TransactionInProgressException(_) => Self::InProgress,
            _ if refused.raw().status().is_server_error() => Self::Unknown,
            _ if is_away(error) => Self::NotDone,
            _ => Self::Impossible,
        }
    }
}

/// Waits 5 to 10 ms, doubled with each attempt, so that the transactions that met do not meet again.
pub async fn pause(attempt: u32) {
    let [jitter] = kernel::id::random::<1>();
    let millis = (5 + u64::from(jitter) * 5 / 255) << attempt.min(6);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize)]
    struct Thing {
        name: String,
        version: u64,
    }

    impl Record for Thing {
        const KIND: &'static str = "thing";
        const TABLE: TableName = TableName::Identity;

        fn key(&self) -> Key {
            Key::of("THING", &self.name)
        }

        fn version(&self) -> u64 {
            self.version
        }
    }

    fn thing(version: u64) -> Thing {
        Thing {
            name: "a".to_owned(),
            version,
        }
    }

    fn condition(write: &Write) -> String {
        let mut condition = write.condition.clone().unwrap_or_default();
        let named = write.names.iter().map(|(place, name)| (place, name.clone()));
        let valued = write.values.iter().map(|(place, value)| (place, format!("{value:?}")));
        for (place, text) in named.chain(valued) {
            condition = condition.replace(place.as_str(), &text);
        }
        condition
    }

    #[test]
    fn what_was_never_stored_is_created_and_anything_else_replaced() {
        assert_eq!(condition(&Write::save(&thing(0)).unwrap()), "attribute_not_exists(pk)");
        assert_eq!(condition(&Write::save(&thing(3)).unwrap()), r#"version = N("3")"#);
    }

    #[test]
    fn a_write_takes_over_an_anchor_of_its_item() {
        let same = crate::unchanged(&thing(3));
        let live = crate::without(&thing(3), "deletedAt", "thing");
        let write = || Write::delete(&thing(3));
        assert!(write().touches(&same) && write().meets(&Write::anchor(&live).unwrap()));
        // The version is looked at once, and one that is known to be another is not sent at all.
        assert_eq!(condition(&write().holding(&same).unwrap()), r#"version = N("3")"#);
        assert!(Write::delete(&thing(4)).holding(&same).is_none());
        assert_eq!(
            condition(&write().holding(&live).unwrap()),
            r#"version = N("3") AND attribute_exists(pk) AND attribute_not_exists(deletedAt)"#
        );
        assert_eq!(condition(&Write::anchor(&same).unwrap()), r#"version = N("3")"#);
        assert_eq!(
            condition(&Write::put(&thing(9)).unwrap().holding(&same).unwrap()),
            r#"version = N("3")"#
        );
        let other = Thing {
            name: "b".to_owned(),
            version: 3,
        };
        assert!(!Write::delete(&other).touches(&same) && !Write::delete(&other).meets(&write()));
    }

    #[test]
    fn bytes_are_those_of_the_stored_item() {
        let mut large = thing(0);
        let small = Write::create(&large).unwrap().bytes();
        large.name = "a".repeat(1_001);
        // The name is stored as an attribute, and in the key.
        assert_eq!(Write::create(&large).unwrap().bytes(), small + 2_000);
        assert!(Write::delete(&large).bytes() > 1_000);
    }
}
