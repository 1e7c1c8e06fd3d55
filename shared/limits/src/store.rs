//! A subject's counter:   pk LIMIT#<subject>   sk WINDOW      (one item, written over window after window)

use kernel::{Result, Time};
use lease::{Answer, Ask, Sizing, Source};
use serde::{Deserialize, Serialize};
use table::{Key, Record, Table, TableName, Update, Updated};

use crate::Subject;
use crate::window::{Counter, Limit, WINDOW};

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
        Subject::Members(org) => format!("LIMIT#MEMBERS#{org}"),
        Subject::Person(user) => format!("LIMIT#PERSON#{user}"),
        Subject::Address(Some(network)) => format!("LIMIT#ADDRESS#{network}"),
        Subject::Address(None) => "LIMIT#ADDRESS#unknown".to_owned(),
        Subject::Visitor(Some(network)) => format!("LIMIT#VISITOR#{network}"),
        Subject::Visitor(None) => "LIMIT#VISITOR#unknown".to_owned(),
        Subject::Stranger(Some(network)) => format!("LIMIT#STRANGER#{network}"),
        Subject::Stranger(None) => "LIMIT#STRANGER#unknown".to_owned(),
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

/// The counters of all limits.
#[derive(Debug)]
pub(crate) struct Windows(pub(crate) Table);

impl Source for Windows {
    type Key = Limit;
    type Id = Time;

    fn sizing(&self, limit: &Limit) -> Sizing {
        limit.sizing()
    }

    /// In one conditional update: into the window that is believed to run, or into a new one if none runs. An update whose
    /// reply is lost is sent again by the SDK: then its units count twice, which lets fewer calls pass, never more.
    async fn ask(&self, limit: &Limit, ask: Ask<Time>, now: Time) -> Result<Answer<Time>> {
        let key = key(pk(limit.subject));
        let update = Update::of::<CounterRecord>(&key);
        let (calls, units) = (i64::from(limit.calls), i64::try_from(ask.units).unwrap_or(i64::MAX));
        let update = match ask.pool {
            None => {
                let ends = now.plus_millis(WINDOW);
                update
                    .set_number("endsMs", ends.millis())
                    .set_number("taken", units)
                    .expires_at(ends.plus_millis(KEPT))
                    .if_absent_or_at_most("endsMs", now.millis())
            }
            Some(_) => update
                .add_number("taken", units)
                .if_more_than("endsMs", now.millis())
                .if_at_most("taken", calls - units),
        };
        Ok(match self.0.update::<CounterRecord>(update).await? {
            Updated::Done(record) => limit.granted(record.into()),
            Updated::Refused(record) => limit.refused(record.map(Counter::from)),
        })
    }
}
