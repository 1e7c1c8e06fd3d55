//! A subject's counter:   pk LIMIT#<subject>   sk WINDOW      (one item, written over window after window)

use kernel::{Result, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Record, Table, TableName, Update, Updated};

use crate::Subject;
use crate::window::{Answer, Ask, Counter, WINDOW};

/// DynamoDB may forget a counter this long after its window: more than clocks can be apart.
const KEPT: i64 = Time::HOUR;

/// The counter as it is stored. The times are numbers, so that conditions can compare them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CounterRecord {
    pk: String,
    ends_ms: i64,
    taken: u32,
}

impl Record for CounterRecord {
    const KIND: &'static str = "limit";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(self.pk.clone())
    }
}

fn key(pk: String) -> Key {
    Key::of(pk, "WINDOW")
}

fn pk(subject: Subject) -> String {
    match subject {
        Subject::Key(key) => format!("LIMIT#KEY#{key}"),
        Subject::Tenant(org) => format!("LIMIT#ORG#{org}"),
        Subject::Address(Some(network)) => format!("LIMIT#ADDRESS#{network}"),
        Subject::Address(None) => "LIMIT#ADDRESS#unknown".to_owned(),
    }
}

impl From<CounterRecord> for Counter {
    fn from(record: CounterRecord) -> Self {
        Self {
            ends_at: Time::from_millis(record.ends_ms),
            taken: record.taken,
        }
    }
}

/// Does what a process asks for, in one conditional update. An update whose reply is lost is sent again by the SDK:
/// then its units count twice, which lets fewer calls pass, never more.
pub(crate) async fn ask(table: &Table, subject: Subject, ask: Ask, now: Time, limit: u32) -> Result<Answer> {
    let key = key(pk(subject));
    let update = Update::of::<CounterRecord>(&key);
    let update = match ask {
        Ask::Open { units } => {
            let ends = now.plus_millis(WINDOW);
            update
                .set_number("endsMs", ends.millis())
                .set_number("taken", units.into())
                .set_number("expiresAt", ends.plus_millis(KEPT).seconds())
                .if_absent_or_at_most("endsMs", now.millis())
        }
        Ask::Lease { units } => update
            .add_number("taken", units.into())
            .if_more_than("endsMs", now.millis())
            .if_at_most("taken", i64::from(limit) - i64::from(units)),
    };
    Ok(match table.update::<CounterRecord>(update).await? {
        Updated::Done(record) => Answer::Granted(record.into()),
        Updated::Refused(record) => Answer::Refused(record.map(Counter::from)),
    })
}
