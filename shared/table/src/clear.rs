//! Deleting a partition, whatever lies in it.

use anyhow::Context;
use kernel::Result;

use crate::record::{TableName, text};
use crate::{Item, Table, write};

/// So many keys are read at once.
const PAGE: i32 = 200;
/// So many items are deleted in one transaction.
const AT_ONCE: usize = 50;

/// Keys of a partition, and where to go on.
struct Keys {
    keys: Vec<Item>,
    next: Option<Item>,
}

pub(crate) async fn clear(handle: &Table, table: TableName, pk: &str, kept: &[&str]) -> Result<()> {
    let is_kept = |key: &Item| {
        let place = key.get("sk").and_then(|place| place.as_s().ok());
        place.is_some_and(|place| kept.contains(&place.as_str()))
    };
    let mut start = None;
    loop {
        let mut page = keys(handle, table, pk, start).await?;
        page.keys.retain(|key| !is_kept(key));
        for keys in page.keys.chunks(AT_ONCE) {
            let deletes = keys.iter().map(|key| write::Write::delete_item(table, key.clone()));
            let done = write::run(handle, deletes.collect()).await;
            done.context("deleting a partition")?;
        }
        start = page.next;
        if start.is_none() {
            return Ok(());
        }
    }
}

async fn keys(handle: &Table, table: TableName, pk: &str, start: Option<Item>) -> Result<Keys> {
    let request = handle
        .client
        .query()
        .table_name(handle.name(table)?)
        .key_condition_expression("pk = :pk")
        .expression_attribute_values(":pk", text(pk))
        .projection_expression("pk, sk")
        .consistent_read(true)
        .limit(PAGE)
        .set_exclusive_start_key(start);
    let page = request.send().await;
    let page = page.map_err(|error| write::failed(error, "reading keys"))?;
    Ok(Keys {
        keys: page.items.unwrap_or_default(),
        next: page.last_evaluated_key,
    })
}
