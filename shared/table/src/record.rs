//! What a stored record is: its table, its key, its kind, its version.

use anyhow::{Context, anyhow};
use aws_sdk_dynamodb::types::AttributeValue;
use kernel::{Result, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Item;

/// The tables of the system, each with `pk`/`sk` and the index `gsi1` (logins have none); those with lists in several
/// orders also have `gsi2`. What policies must guard by itself has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableName {
    /// People, organizations, members, projects, keys.
    Identity,
    /// How people log in: password hashes, accounts of a provider. Only what lets people in may read it.
    Logins,
    /// Events and their rollups.
    Telemetry,
    /// Metering, billing, payments. Has `gsi2`.
    Ledger,
    /// Feedback, chat, notifications, files. Has `gsi2`.
    Engagement,
    /// Idempotency, jobs, outbox, limits. Has `gsi2`.
    Operations,
    /// The audit trail: entries are put and read, never changed or deleted.
    Audit,
    /// What of the audit trail is personal, and can be erased.
    Disclosures,
}

impl TableName {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Identity,
        Self::Logins,
        Self::Telemetry,
        Self::Ledger,
        Self::Engagement,
        Self::Operations,
        Self::Audit,
        Self::Disclosures,
    ];

    /// The environment variable that holds its name.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Identity => "TABLE_IDENTITY",
            Self::Logins => "TABLE_LOGINS",
            Self::Telemetry => "TABLE_TELEMETRY",
            Self::Ledger => "TABLE_LEDGER",
            Self::Engagement => "TABLE_ENGAGEMENT",
            Self::Operations => "TABLE_OPERATIONS",
            Self::Audit => "TABLE_AUDIT",
            Self::Disclosures => "TABLE_DISCLOSURES",
        }
    }
}

/// Where a record lies: a partition, and a place in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The partition.
    pub pk: String,
    /// The place in the partition.
    pub sk: String,
}

impl Key {
    /// Makes a key of its two parts.
    pub fn of(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    pub(crate) fn item(&self) -> Item {
        Item::from([("pk".to_owned(), text(&self.pk)), ("sk".to_owned(), text(&self.sk))])
    }
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn number(value: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

/// The attribute by which a put that was sent twice knows its own item.
pub(crate) const WRITE_NUMBER: &str = "writeNumber";

/// One of a table's generic indexes. An index that no record stands in costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    First,
    Second,
    Third,
}

impl Index {
    /// What the template calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::First => "gsi1",
            Self::Second => "gsi2",
            Self::Third => "gsi3",
        }
    }

    /// The attributes that are its key: the partition, and the place in it.
    pub(crate) const fn attributes(self) -> (&'static str, &'static str) {
        match self {
            Self::First => ("gsi1pk", "gsi1sk"),
            Self::Second => ("gsi2pk", "gsi2sk"),
            Self::Third => ("gsi3pk", "gsi3sk"),
        }
    }
}

/// Something stored under a key. Its serialized fields become attributes; the names `pk`, `sk`, `gsi1pk`, `gsi1sk`,
/// `gsi2pk`, `gsi2sk`, `gsi3pk`, `gsi3sk`, `kind`, `writeNumber` and `expiresAt` belong to this crate, and `version` is kept by it.
pub trait Record: Serialize + DeserializeOwned + Send + Sync {
    /// What it is, for people who look at the table.
    const KIND: &'static str;
    /// Where it is stored.
    const TABLE: TableName;

    /// Its key.
    fn key(&self) -> Key;

    /// Its key in the first index, if it stands there.
    fn index1(&self) -> Option<Key> {
        None
    }

    /// Its key in the second index, if its table has one and it stands there.
    fn index2(&self) -> Option<Key> {
        None
    }

    /// Its key in the third index, if its table has one and it stands there: that index holds keys alone, and costs a write
    /// only where the record is made, and where this changes.
    fn index3(&self) -> Option<Key> {
        None
    }

    /// The version it was read with; 0 if it was never stored.
    fn version(&self) -> u64 {
        0
    }

    /// When DynamoDB may forget it.
    fn expires_at(&self) -> Option<Time> {
        None
    }
}

pub(crate) fn to_item<R: Record>(record: &R) -> Result<Item> {
    let fields: serde_dynamo::Item = serde_dynamo::to_item(record).with_context(|| format!("storing a {}", R::KIND))?;
    let mut item: Item = fields.into();
    // An absent attribute says the same as a null one, and costs nothing.
    item.retain(|_, value| !matches!(value, AttributeValue::Null(_)));
    item.extend(record.key().item());
    for (index, key) in [
        (Index::First, record.index1()),
        (Index::Second, record.index2()),
        (Index::Third, record.index3()),
    ] {
        if let Some(key) = key {
            let (pk, sk) = index.attributes();
            item.insert(pk.to_owned(), text(&key.pk));
            item.insert(sk.to_owned(), text(&key.sk));
        }
    }
    if let Some(time) = record.expires_at() {
        item.insert("expiresAt".to_owned(), number(time.seconds()));
    }
    item.insert("kind".to_owned(), text(R::KIND));
    item.insert("version".to_owned(), number(record.version() + 1));
    Ok(item)
}

pub(crate) fn from_item<R: Record>(item: Item) -> Result<R> {
    let kind = item.get("kind").and_then(|kind| kind.as_s().ok()).cloned();
    if kind.as_deref() != Some(R::KIND) {
        return Err(anyhow!("a {} was read where {kind:?} is stored", R::KIND).into());
    }
    let record =
        serde_dynamo::from_item(serde_dynamo::Item::from(item)).with_context(|| format!("reading a {}", R::KIND))?;
    Ok(record)
}
