//! Bounded reads of a partition, of the table or of its index.

use std::collections::BTreeMap;

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue;
use kernel::Result;

use crate::record::{self, Record, text};

/// Where a page ended: the key attributes of its last item.
pub type Position = BTreeMap<String, String>;

/// One page of records, and where the next one begins.
#[derive(Debug)]
pub struct Page<R> {
    /// The records, in the order asked for.
    pub records: Vec<R>,
    /// Where to go on; nothing when this was the last page.
    pub next: Option<Position>,
}

/// Which page of a list is asked for.
#[derive(Clone, Debug)]
pub struct Slice {
    /// How many records at most.
    pub limit: u16,
    /// Where the page before ended; nothing for the first.
    pub after: Option<Position>,
}

/// Which records to read: a partition, a range of it, a direction, a bound.
#[derive(Clone, Debug)]
pub struct Query {
    pk: String,
    range: Range,
    index: bool,
    limit: i32,
    ascending: bool,
    consistent: bool,
    start: Option<Position>,
}

#[derive(Clone, Debug)]
enum Range {
    All,
    Prefix(String),
    Between(String, String),
}

impl Query {
    /// Reads at most `limit` records of a partition, in ascending order.
    pub fn of(pk: impl Into<String>, limit: u16) -> Self {
        Self {
            pk: pk.into(),
            range: Range::All,
            index: false,
            limit: i32::from(limit),
            ascending: true,
            consistent: false,
            start: None,
        }
    }

    /// Reads one page of a partition, in ascending order.
    pub fn slice(pk: impl Into<String>, slice: Slice) -> Self {
        Self::of(pk, slice.limit).after(slice.after)
    }

    /// Only keys that begin so.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.range = Range::Prefix(prefix.into());
        self
    }

    /// Only keys from `first` to `last`, both included.
    #[must_use]
    pub fn between(mut self, first: impl Into<String>, last: impl Into<String>) -> Self {
        self.range = Range::Between(first.into(), last.into());
        self
    }

    /// Reads the index instead of the table.
    #[must_use]
    pub fn index1(mut self) -> Self {
        self.index = true;
        self
    }

    /// Last first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.ascending = false;
        self
    }

    /// As it is now, for twice the price; not for the index.
    #[must_use]
    pub fn consistent(mut self) -> Self {
        self.consistent = true;
        self
    }

    /// Goes on where a page ended.
    #[must_use]
    pub fn after(mut self, position: Option<Position>) -> Self {
        self.start = position;
        self
    }
}

pub(crate) async fn run<R: Record>(client: &aws_sdk_dynamodb::Client, table: &str, query: Query) -> Result<Page<R>> {
    let (pk, sk) = if query.index {
        ("gsi1pk", "gsi1sk")
    } else {
        ("pk", "sk")
    };
    let mut request = client
        .query()
        .table_name(table)
        .set_index_name(query.index.then(|| "gsi1".to_owned()))
        .limit(query.limit)
        .scan_index_forward(query.ascending)
        .consistent_read(query.consistent)
        .expression_attribute_names("#pk", pk)
        .expression_attribute_values(":pk", text(&query.pk));
    let mut condition = "#pk = :pk".to_owned();
    match &query.range {
        Range::All => {}
        Range::Prefix(prefix) => {
            condition.push_str(" AND begins_with(#sk, :first)");
            request = request
                .expression_attribute_names("#sk", sk)
                .expression_attribute_values(":first", text(prefix));
        }
        Range::Between(first, last) => {
            condition.push_str(" AND #sk BETWEEN :first AND :last");
            request = request
                .expression_attribute_names("#sk", sk)
                .expression_attribute_values(":first", text(first))
                .expression_attribute_values(":last", text(last));
        }
    }
    let start = query.start.map(|position| {
        position
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    });
    let reply = request
        .key_condition_expression(condition)
        .set_exclusive_start_key(start)
        .send()
        .await
        .with_context(|| format!("listing {}s", R::KIND))?;
    let next = reply.last_evaluated_key.map(|key| {
        let part = |(name, value): (String, AttributeValue)| Some((name, value.as_s().ok()?.clone()));
        key.into_iter().filter_map(part).collect()
    });
    let records = reply
        .items
        .unwrap_or_default()
        .into_iter()
        .map(record::from_item)
        .collect::<Result<_>>()?;
    Ok(Page { records, next })
}
