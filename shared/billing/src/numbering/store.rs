//! How many documents of a series have a number:   pk ORG#<org>#NUMBER   sk <INV|CN>#<year>

use kernel::{OrgId, Result};
use serde::{Deserialize, Serialize};
use table::{Key, Record, Table, TableName, Write};

use super::{DocumentNumber, Series};

/// Counts the documents that an organization numbered in a year. Whoever takes a number writes it in the transaction that
/// numbers the document, so that a number is taken by one document or by none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counter {
    org: OrgId,
    series: Series,
    year: i16,
    count: u32,
    #[serde(default)]
    version: u64,
}

impl Record for Counter {
    const KIND: &'static str = "document-counter";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.series, self.year)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(org: OrgId, series: Series, year: i16) -> Key {
    Key::of(format!("ORG#{org}#NUMBER"), format!("{}#{year}", series.prefix()))
}

impl Counter {
    /// Reads the counter of a year; one that counted nothing if there is none.
    pub(crate) async fn load(table: &Table, org: OrgId, series: Series, year: i16) -> Result<Self> {
        let found = table.get(&key(org, series, year)).await?;
        Ok(found.unwrap_or(Self {
            org,
            series,
            year,
            count: 0,
            version: 0,
        }))
    }

    /// Counts a document; its number.
    pub(crate) fn take(&mut self) -> DocumentNumber {
        self.count += 1;
        DocumentNumber::new(self.series, self.year, self.count)
    }

    /// What stores it, if nobody else took a number since it was read.
    pub(crate) fn write(&self) -> Result<Write> {
        Write::save(self)
    }
}
