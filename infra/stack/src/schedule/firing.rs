//! Fires a function when its schedule is due.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rusqlite::{OptionalExtension as _, params};
use serde_json::json;
use tokio::sync::watch;

use crate::aws::store::Store;
use crate::clock::{Clock, rfc3339};
use crate::runtime::{Outcome, Pool};
use crate::template::{ACCOUNT, REGION, ScheduleSource};

/// When each schedule fired last, kept across restarts.
#[derive(Debug, Clone)]
pub struct Firings(Store);

impl Firings {
    /// Keeps the firings in a store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Yields when a schedule fired last; a new or changed one counts from now.
    pub fn last(&self, source: &ScheduleSource, now: i64) -> rusqlite::Result<i64> {
        let expression = format!("{:?}", source.expression);
        let known: Option<i64> = self.0.read(|db| {
            let sql = "SELECT last_ms FROM firing WHERE schedule = ?1 AND expression = ?2";
            db.query_row(sql, params![source.name, expression], |row| row.get(0))
                .optional()
        })?;
        match known {
            Some(last) => Ok(last),
            None => self.note(source, now).map(|()| now),
        }
    }

    fn note(&self, source: &ScheduleSource, now: i64) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO firing (schedule, expression, last_ms) VALUES (?1, ?2, ?3)";
        self.0
            .write(|db| db.execute(sql, params![source.name, format!("{:?}", source.expression), now]))
            .map(|_| ())
    }
}

/// Writes the event of a schedule without an input of its own, as JSON.
pub fn event(name: &str, now_ms: i64) -> Bytes {
    // Seconds are as fine as EventBridge tells it.
    let time = format!("{}Z", &rfc3339(now_ms)[..19]);
    let event = json!({
        "version": "0",
        "id": uuid::Uuid::new_v4().to_string(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": time,
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}")],
        "detail": {},
    });
    event.to_string().into()
}

/// Fires a function by its schedule until told to stop; it fired `last` in milliseconds since 1970.
pub async fn run(
    source: ScheduleSource,
    pool: Arc<Pool>,
    clock: Clock,
    firings: Firings,
    mut last: i64,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut moves = clock.moves();
    while let Some(due) = source.expression.next_after(last) {
        moves.mark_unchanged();
        let now = clock.now_ms();
        if now < due {
            let wait = Duration::from_millis(u64::try_from(due - now).unwrap_or_default());
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                _ = moves.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
            continue;
        }
        let payload = match &source.input {
            Some(input) => input.to_string().into(),
            None => event(&source.name, now),
        };
        let outcome = pool.invoke(payload).await;
        if !matches!(outcome, Outcome::Reply(_)) {
            tracing::error!("schedule {}: {outcome:?}", source.name);
        }
        firings.note(&source, now)?;
        last = now;
    }
    Ok(())
}
