//! Bounded reads of a partition, of the table or of its index.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use kernel::Result;

use crate::record::{self, Index, Key, Record, text};
use crate::{Item, Table, write};

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

/// How many records there are, by what an attribute of theirs says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many of each value. Records without the attribute are in none.
    pub counts: BTreeMap<String, u64>,
    /// Whether all were counted; if not, there are at least so many.
    pub complete: bool,
}

/// Which page of a list is asked for.
#[derive(Clone, Debug)]
pub struct Slice {
    /// How many records at most.
    pub limit: u16,
    /// Where the page before ended; nothing for the first.
    pub after: Option<Position>,
}

/// Reads every page, of `limit` records each, of what has a bound of its own.
pub async fn whole<R, F>(limit: u16, page: impl Fn(Slice) -> F) -> Result<Vec<R>>
where
    F: Future<Output = Result<Page<R>>>,
{
    let (mut records, mut after) = (Vec::new(), None);
    loop {
        let mut read = page(Slice { limit, after }).await?;
        records.append(&mut read.records);
        after = read.next;
        if after.is_none() {
            return Ok(records);
        }
    }
}

/// Which records to read: a partition, a range of it, a direction, a bound.
#[derive(Clone, Debug)]
pub struct Query {
    pk: String,
    range: Range,
    index: Option<Index>,
    limit: i32,
    ascending: bool,
    consistent: bool,
    start: Option<Position>,
    /// How many records are read beyond the limit, so that the last page is known to be the last: 0 or 1.
    ahead: i32,
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
            index: None,
            limit: i32::from(limit),
            ascending: true,
            consistent: false,
            start: None,
            ahead: 0,
        }
    }

    /// Reads one page of a partition, in ascending order, and whether another one follows.
    pub fn slice(pk: impl Into<String>, slice: Slice) -> Self {
        Self {
            ahead: 1,
            ..Self::of(pk, slice.limit).after(slice.after)
        }
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

    /// Reads the first index instead of the table.
    #[must_use]
    pub fn index1(mut self) -> Self {
        self.index = Some(Index::First);
        self
    }

    /// Reads the second index instead of the table, which must have one.
    #[must_use]
    pub fn index2(mut self) -> Self {
        self.index = Some(Index::Second);
        self
    }

    /// Reads the third index, which holds keys alone; see [`Table::keys`].
    #[must_use]
    pub fn index3(mut self) -> Self {
        self.index = Some(Index::Third);
        self
    }

    /// Last first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.ascending = false;
        self
    }

    /// As it is now, for twice the price; not for an index.
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

pub(crate) async fn run<R: Record>(handle: &Table, table: &str, query: Query) -> Result<Page<R>> {
    let Page { records, next } = items(handle, table, query, R::KIND, None).await?;
    let records = records.into_iter().map(record::from_item).collect::<Result<_>>()?;
    Ok(Page { records, next })
}

/// Reads where records lie, and nothing of them.
pub(crate) async fn keys<R: Record>(handle: &Table, table: &str, query: Query) -> Result<Page<Key>> {
    let Page { records, next } = items(handle, table, query, R::KIND, None).await?;
    let part = |item: &Item, name: &str| item.get(name)?.as_s().ok().cloned();
    let key = |item: Item| Some(Key::of(part(&item, "pk")?, part(&item, "sk")?));
    let records = records.into_iter().filter_map(key).collect();
    Ok(Page { records, next })
}

/// Counts records by what a text attribute of theirs says, a page of `query` at a time, `pages` at most.
pub(crate) async fn tally<R: Record>(
    handle: &Table,
    table: &str,
    query: &Query,
    attribute: &'static str,
    pages: u32,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut after = query.start.clone();
    for _page in 0..pages {
        let query = query.clone().after(after);
        let page = items(handle, table, query, R::KIND, Some(attribute)).await?;
        for item in page.records {
            if let Some(AttributeValue::S(value)) = item.get(attribute) {
                *tally.counts.entry(value.clone()).or_default() += 1;
            }
        }
        after = page.next;
        if after.is_none() {
            tally.complete = true;
            break;
        }
    }
    Ok(tally)
}

/// One page of items, or of one attribute of theirs, and where the next one begins.
async fn items(
    handle: &Table,
    table: &str,
    query: Query,
    kind: &'static str,
    attribute: Option<&'static str>,
) -> Result<Page<Item>> {
    let (pk, sk) = query.index.map_or(("pk", "sk"), Index::attributes);
    let mut request = handle
        .client
        .query()
        .table_name(table)
        .set_index_name(query.index.map(|index| index.name().to_owned()))
        .limit(query.limit + query.ahead)
        .scan_index_forward(query.ascending)
        .consistent_read(query.consistent)
        .expression_attribute_names("#pk", pk)
        .expression_attribute_values(":pk", text(&query.pk));
    if let Some(attribute) = attribute {
        request = request
            .expression_attribute_names("#wanted", attribute)
            .projection_expression("#wanted");
    }
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
        .map_err(|error| write::failed(error, format!("listing {kind}s")))?;
    let mut items = reply.items.unwrap_or_default();
    let mut next = reply.last_evaluated_key;
    if let Ok(limit) = usize::try_from(query.limit)
        && items.len() > limit
    {
        items.truncate(limit);
        next = items.last().map(|item| position(item, query.index));
    }
    let next = next.map(|key| {
        let part = |(name, value): (String, AttributeValue)| Some((name, value.as_s().ok()?.clone()));
        key.into_iter().filter_map(part).collect()
    });
    Ok(Page { records: items, next })
}

/// The key attributes of an item, as DynamoDB names them where a page ends.
fn position(item: &Item, index: Option<Index>) -> Item {
    let (pk, sk) = index.map_or(("pk", "sk"), Index::attributes);
    ["pk", "sk", pk, sk]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), item.get(name)?.clone())))
        .collect()
}
