//! Puts that need no condition, many in one request.

use std::collections::HashMap;

use anyhow::Context;
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use kernel::{Error, Result};

use crate::record::{self, Record, TableName};
use crate::write::{self, ATTEMPTS, Write, pause};
use crate::{Item, Table};

/// DynamoDB takes this many puts in one `BatchWriteItem`.
const BATCH: usize = 25;

/// A record that is stored whatever was there, together with others, of whatever tables.
#[derive(Clone, Debug)]
pub struct Put {
    table: TableName,
    item: Item,
}

impl Put {
    /// Stores this one.
    pub fn of<R: Record>(record: &R) -> Result<Self> {
        let item = record::to_item(record)?;
        Ok(Self { table: R::TABLE, item })
    }
}

pub(crate) async fn put_all(table: &Table, mut puts: Vec<Put>) -> Result<()> {
    let mut batches = Vec::new();
    while !puts.is_empty() {
        let rest = puts.split_off(puts.len().min(BATCH));
        batches.push(std::mem::replace(&mut puts, rest));
    }
    for batch in batches {
        match <[Put; 1]>::try_from(batch) {
            Ok([alone]) => write::put(table, Write::put_item(alone.table, alone.item)).await?,
            Err(several) => put_batch(table, several).await?,
        }
    }
    Ok(())
}

async fn put_batch(table: &Table, batch: Vec<Put>) -> Result<()> {
    let mut requests: HashMap<String, Vec<WriteRequest>> = HashMap::new();
    for put in batch {
        let name = table.name(put.table)?.to_owned();
        let put = PutRequest::builder().set_item(Some(put.item)).build();
        let put = put.context("a put")?;
        let request = WriteRequest::builder().put_request(put).build();
        requests.entry(name).or_default().push(request);
    }
    for attempt in 0..ATTEMPTS {
        let reply = table
            .client
            .batch_write_item()
            .set_request_items(Some(std::mem::take(&mut requests)))
            .send()
            .await
            .map_err(|error| write::failed(error, "putting a batch"))?;
        requests = reply.unprocessed_items.unwrap_or_default();
        requests.retain(|_, rest| !rest.is_empty());
        if requests.is_empty() {
            return Ok(());
        }
        pause(attempt).await;
    }
    Err(Error::Busy)
}
