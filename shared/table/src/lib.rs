//! DynamoDB as the capabilities use it: records with composite keys, bounded queries, conditional writes and
//! transactions, signed cursors. Knows no entity.
//!
//! The rules it keeps for everyone: a record that is replaced must be unchanged since it was read (its `version`);
//! several writes happen together or not at all; no read is without a bound.

mod anchor;
mod batch;
mod clear;
mod cursor;
mod query;
mod record;
mod size;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use kernel::Result;

pub use anchor::{unchanged, without};
pub use batch::Put;
pub use cursor::Cursors;
pub use query::{Page, Position, Query, Slice, Tally, whole};
pub use record::{Key, Record, TableName};
pub use size::{ITEM_BYTES, TRANSACTION_BYTES};
pub use write::{Changed, TRANSACTION, Update, Updated, Write, WriteError, pause};

/// A stored item as the SDK gives it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// DynamoDB takes this many keys in one `BatchGetItem`.
const BATCH_GET: usize = 100;
/// So many rounds of a batch may be throttled in a row, with longer and longer pauses: together about 3 seconds.
const IDLE_ROUNDS: u32 = 10;

/// The tables of one deployment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Table {
    client: aws_sdk_dynamodb::Client,
    names: Arc<HashMap<TableName, String>>,
}

impl Table {
    /// Opens the tables with these names; using one that has no name is an error at that time.
    pub fn new(client: aws_sdk_dynamodb::Client, names: HashMap<TableName, String>) -> Self {
        Self {
            client,
            names: Arc::new(names),
        }
    }

    fn name(&self, table: TableName) -> Result<&str> {
        let name = self
            .names
            .get(&table)
            .ok_or_else(|| anyhow!("{} is not set", table.variable()))?;
        Ok(name)
    }

    /// Looks whether a table answers at all, by the cheapest read there is.
    pub async fn answers(&self, table: TableName) -> Result<()> {
        let nothing = Key::of("PROBE", "PROBE").item();
        let read = self
            .client
            .get_item()
            .table_name(self.name(table)?)
            .set_key(Some(nothing));
        read.send()
            .await
            .map_err(|error| write::failed(error, format!("reading {}", table.variable())))?;
        Ok(())
    }

    /// Reads one record as it is now.
    pub async fn get<R: Record>(&self, key: &Key) -> Result<Option<R>> {
        self.read(key, true).await
    }

    /// Reads one record as it was a moment ago, for half the price.
    pub async fn peek<R: Record>(&self, key: &Key) -> Result<Option<R>> {
        self.read(key, false).await
    }

    async fn read<R: Record>(&self, key: &Key, consistent: bool) -> Result<Option<R>> {
        let reply = self
            .client
            .get_item()
            .table_name(self.name(R::TABLE)?)
            .set_key(Some(key.item()))
            .consistent_read(consistent)
            .send()
            .await
            .map_err(|error| write::failed(error, format!("reading a {}", R::KIND)))?;
        reply.item.map(record::from_item).transpose()
    }

    /// Reads many records of one kind, in no order; absent ones are left out. Eventually consistent unless `consistent`.
    pub async fn get_many<R: Record>(&self, keys: &[Key], consistent: bool) -> Result<Vec<R>> {
        let mut records = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH_GET) {
            let mut wanted: Vec<Item> = keys.iter().map(Key::item).collect();
            // A round answers 1 MiB of a partition at most; only rounds that answer nothing are counted.
            let mut idle = 0;
            while !wanted.is_empty() && idle < IDLE_ROUNDS {
                let before = wanted.len();
                let request = KeysAndAttributes::builder()
                    .set_keys(Some(std::mem::take(&mut wanted)))
                    .consistent_read(consistent)
                    .build()
                    .context("keys are set")?;
                let table = self.name(R::TABLE)?;
                let reply = self
                    .client
                    .batch_get_item()
                    .request_items(table, request)
                    .send()
                    .await
                    .map_err(|error| write::failed(error, format!("reading many {}s", R::KIND)))?;
                for item in reply.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                    records.push(record::from_item(item)?);
                }
                wanted = reply
                    .unprocessed_keys
                    .into_iter()
                    .flatten()
                    .flat_map(|(_, rest)| rest.keys)
                    .collect();
                if wanted.len() == before {
                    write::pause(idle).await;
                    idle += 1;
                }
            }
            if !wanted.is_empty() {
                return Err(kernel::Error::Busy);
            }
        }
        Ok(records)
    }

    /// Reads one page of the records that `query` names.
    pub async fn query<R: Record>(&self, query: Query) -> Result<Page<R>> {
        query::run(self, self.name(R::TABLE)?, query).await
    }

    /// Reads one page of where those records lie, and nothing of them: for an index that holds keys alone.
    pub async fn keys<R: Record>(&self, query: Query) -> Result<Page<Key>> {
        query::keys::<R>(self, self.name(R::TABLE)?, query).await
    }

    /// Counts the records that `query` names, by what a text attribute of theirs says; of more than `pages` pages those of
    /// the first.
    pub async fn tally<R: Record>(&self, query: &Query, attribute: &'static str, pages: u32) -> Result<Tally> {
        query::tally::<R>(self, self.name(R::TABLE)?, query, attribute, pages).await
    }

    /// Does these writes together or not at all; one alone costs half of what a transaction does.
    pub async fn write(&self, writes: impl IntoIterator<Item = Write>) -> Result<(), WriteError> {
        write::run(self, writes.into_iter().collect()).await
    }

    /// Does one update of a record of kind `R`, and tells what the record is then, whether its condition held or not.
    /// `Busy` when the table is overloaded or away.
    pub async fn update<R: Record>(&self, update: Update) -> Result<Updated<R>> {
        write::update(self, update).await
    }

    /// Does one update of a record of kind `R` whose outcome nobody needs to read; what the record is instead, if its condition
    /// does not hold. `Busy` when the table is overloaded or away.
    pub async fn change<R: Record>(&self, update: Update) -> Result<Changed<R>> {
        write::change(self, update).await
    }

    /// Puts records that need no condition, 25 to a request. Each is put or the whole call fails; a repeat changes nothing.
    pub async fn put_all<R: Record>(&self, records: &[R]) -> Result<()> {
        self.put_together(records.iter().map(Put::of).collect::<Result<_>>()?)
            .await
    }

    /// Deletes all that lies in a partition but in these places, whatever it is, a page at a time; a repeat goes on with it.
    pub async fn clear(&self, table: TableName, pk: &str, kept: &[&str]) -> Result<()> {
        clear::clear(self, table, pk, kept).await
    }

    /// As [`Table::put_all`], of records of several kinds and tables.
    pub async fn put_together(&self, puts: Vec<Put>) -> Result<()> {
        batch::put_all(self, puts).await
    }
}
