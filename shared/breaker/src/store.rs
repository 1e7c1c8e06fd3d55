//! A breaker of an organization:   pk ORG#<org>#BREAKER   sk <name>
//! One that all share:             pk BREAKER             sk <name>

use app::App;
use kernel::{Result, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Record, TableName, Update, Updated};

use crate::Breaker;
use crate::state::{Change, State, Want};

/// A breaker that nothing happened to for so long may be forgotten: no call takes that long, no cool-down either.
const KEPT: i64 = Time::DAY;

/// A breaker as it is stored. Its times are numbers, so that conditions can compare them.
#[derive(Debug, Serialize, Deserialize)]
struct BreakerRecord {
    pk: String,
    sk: String,
    #[serde(flatten)]
    state: State,
}

impl Record for BreakerRecord {
    const KIND: &'static str = "breaker";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        Key::of(&self.pk, &self.sk)
    }
}

fn key(breaker: &Breaker) -> Key {
    let pk = breaker
        .org
        .map_or_else(|| "BREAKER".to_owned(), |org| format!("ORG#{org}#BREAKER"));
    Key::of(pk, &breaker.name)
}

/// Reads it as it was a moment ago; nothing if nothing ever failed.
pub(crate) async fn read(app: &App, breaker: &Breaker) -> Result<Option<State>> {
    let record = app.table.peek::<BreakerRecord>(&key(breaker)).await?;
    Ok(record.map(|record| record.state))
}

/// Does a change in one conditional update: what it is then, or as an error what it is instead. An update whose reply is lost
/// is sent again by the SDK: a failure may so count twice, and opens it a call early.
pub(crate) async fn change(app: &App, breaker: &Breaker, change: &Change) -> Result<Result<State, Option<State>>> {
    let forgotten = app.now().plus_millis(KEPT).seconds();
    let mut update = Update::of::<BreakerRecord>(&key(breaker)).set_number("expiresAt", forgotten);
    for (field, want) in &change.wants {
        update = match want {
            Want::Is(value) => update.if_number(field.name(), *value),
            Want::AtMost(value) => update.if_absent_or_at_most(field.name(), *value),
        };
    }
    for (field, value) in &change.sets {
        update = update.set_number(field.name(), *value);
    }
    for field in &change.adds {
        update = update.add_number(field.name(), 1);
    }
    Ok(match app.table.update::<BreakerRecord>(update).await? {
        Updated::Done(record) => Ok(record.state),
        Updated::Refused(record) => Err(record.map(|record| record.state)),
    })
}
