//! A breaker of an organization:   pk ORG#<org>#BREAKER   sk <name>
//! One that all share:             pk BREAKER             sk <name>
//! Those that are open:            gsi1pk BREAKERS        gsi1sk <pk>#<name>    (from when it opens until it closes)

use app::App;
use kernel::{Result, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Query, Record, TableName, Update, Updated};

use crate::Breaker;
use crate::state::{Change, Field, State, Want};

/// A breaker that nothing happened to for so long may be forgotten: no call takes that long, no cool-down either.
const KEPT: i64 = Time::DAY;
/// Where those that are open stand in the index.
const OPEN: &str = "BREAKERS";
/// So many of them are counted.
const MOST_LISTED: u16 = 1_000;

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

/// Puts one that has just opened among those that are open, unless it changed since.
pub(crate) async fn note_open(app: &App, breaker: &Breaker, state: &State) -> Result<()> {
    let key = key(breaker);
    let place = Key::of(OPEN, format!("{}#{}", key.pk, key.sk));
    let update = Update::of::<BreakerRecord>(&key).into_index1(&place);
    let update = update
        .if_number(Field::Round.name(), state.round)
        .if_number(Field::Failures.name(), state.failures);
    app.table.change::<BreakerRecord>(update).await.map(drop)
}

/// The names of those that are open and failed since then, of a thousand at most, as it was a moment ago.
pub(crate) async fn open_since(app: &App, since: Time) -> Result<Vec<String>> {
    let query = Query::of(OPEN, MOST_LISTED).index1();
    let page = app.table.query::<BreakerRecord>(query).await?;
    let failed = page.records.into_iter();
    let failed = failed.filter(|record| record.state.failed_ms >= since.millis());
    Ok(failed.map(|record| record.sk).collect())
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
    if change.closes() {
        update = update.out_of_index1();
    }
    for field in &change.adds {
        update = update.add_number(field.name(), 1);
    }
    Ok(match app.table.update::<BreakerRecord>(update).await? {
        Updated::Done(record) => Ok(record.state),
        Updated::Refused(record) => Err(record.map(|record| record.state)),
    })
}
