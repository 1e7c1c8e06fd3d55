//! The queues themselves: what a message goes through between send and delete.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::{Connection, Row, params};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{checksum, fair};
use crate::aws::store::Store;
use crate::chaos::{Chaos, Fault};
use crate::clock::{Clock, real_ms};
use crate::template::Queue;

/// The queues of one stack.
#[derive(Debug, Clone)]
pub struct Sqs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    queues: BTreeMap<String, Known>,
    chaos: Chaos,
    /// The moves of dead letters since the start, newest first.
    moves: Mutex<Vec<Move>>,
}

/// Dead letters that were moved back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The dead-letter queue.
    pub source: String,
    /// Where all of them went; each to where it came from if none.
    pub target: Option<String>,
    /// How many.
    pub count: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// As many moves of one queue are listed.
const MOVES_LISTED: usize = 10;

#[derive(Debug)]
struct Known {
    queue: Queue,
    /// Signals that a message may have become visible.
    arrived: Notify,
}

/// A message to send.
#[derive(Debug, Clone, Default)]
pub struct Send {
    /// The text.
    pub body: String,
    /// How long it stays hidden, in seconds; the queue's own delay if none.
    pub delay_s: Option<u32>,
    /// Message attributes as on the wire: `{name: {DataType, StringValue | BinaryValue}}`.
    pub attributes: Map<String, Value>,
    /// System attributes in the same form; only `AWSTraceHeader` exists.
    pub system_attributes: Map<String, Value>,
    /// Whose it is: groups are served fairly.
    pub group: Option<String>,
}

/// What a receive yields.
#[derive(Debug, Clone)]
pub struct Message {
    /// Id given at send.
    pub id: String,
    /// Proof of this receive; deletes the message until another receive replaces it.
    pub receipt: String,
    /// The text.
    pub body: String,
    /// MD5 sum of the text.
    pub md5: String,
    /// Message attributes as on the wire.
    pub attributes: Map<String, Value>,
    /// MD5 sum of the message attributes, if there are any.
    pub md5_of_attributes: Option<String>,
    /// `ApproximateReceiveCount`, `SentTimestamp` and their like.
    pub system: BTreeMap<&'static str, String>,
}

/// How many messages a queue holds, by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Depth {
    /// Can be received now.
    pub visible: u64,
    /// Received and neither deleted nor visible again.
    pub in_flight: u64,
    /// Not yet due.
    pub delayed: u64,
}

impl Depth {
    /// Counts all of them.
    pub fn total(&self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

/// Why SQS refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error's name in the API's model, `QueueDoesNotExist`.
    pub code: &'static str,
    /// What is wrong, in words.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Errors that had another name before SQS spoke JSON.
const RENAMED: [(&str, &str); 6] = [
    ("QueueDoesNotExist", "NonExistentQueue"),
    ("BatchEntryIdsNotDistinct", "BatchEntryIdsNotDistinct"),
    ("BatchRequestTooLong", "BatchRequestTooLong"),
    ("EmptyBatchRequest", "EmptyBatchRequest"),
    ("MessageNotInflight", "MessageNotInflight"),
    ("TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest"),
];

impl Refusal {
    /// Yields the name by which the SDK knows it, where that is another one.
    pub(crate) fn query_code(&self) -> Option<String> {
        let (_, old) = RENAMED.iter().find(|(new, _)| *new == self.code)?;
        Some(format!("AWS.SimpleQueueService.{old}"))
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::new("InternalFailure", error.to_string())
    }
}

/// The stack was killed and everything that was in flight with it; nobody else can hold a message.
const RELEASE_ALL: &str = "UPDATE message SET in_flight = 0, hidden_until_ms = ?1 WHERE in_flight = 1";

/// What can be received of a queue, or of one group of it.
const VISIBLE: &str = "SELECT number, id, body, md5, attributes, system_attributes, source, sent_ms, receives, \
    first_received_ms, message_group FROM message WHERE queue = ?1 AND hidden_until_ms <= ?2 AND delayed_until_ms <= ?3";

/// How much one receive yields at most; an event of a function has at most 6 MB, escapes included.
const MAX_RECEIVE_BYTES: usize = 4 * 1024 * 1024;

impl Sqs {
    /// Opens the queues over a store. Messages that were in flight become visible: whoever held them is gone.
    pub fn new(store: Store, clock: Clock, queues: &[Queue], chaos: Chaos) -> Result<Self> {
        store.write(|db| db.execute(RELEASE_ALL, [real_ms()]))?;
        let known = |queue: &Queue| {
            (
                queue.name.clone(),
                Known {
                    queue: queue.clone(),
                    arrived: Notify::new(),
                },
            )
        };
        let queues = queues.iter().map(known).collect();
        Ok(Self(Arc::new(Inner {
            store,
            clock,
            queues,
            chaos,
            moves: Mutex::default(),
        })))
    }

    /// Names the queues.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.queues.keys().map(String::as_str)
    }

    /// Finds a queue's settings.
    pub fn queue(&self, name: &str) -> Result<&Queue, Refusal> {
        Ok(&self.known(name)?.queue)
    }

    fn known(&self, name: &str) -> Result<&Known, Refusal> {
        let missing = || Refusal::new("QueueDoesNotExist", "The specified queue does not exist.");
        self.0.queues.get(name).ok_or_else(missing)
    }

    /// Sends messages in one transaction; yields their ids in the same order.
    pub fn send(&self, name: &str, messages: &[Send]) -> Result<Vec<String>, Refusal> {
        let known = self.known(name)?;
        let now = self.0.clock.now_ms();
        let ids = self.0.store.write(|db| {
            let mut insert = db.prepare_cached(
                "INSERT INTO message (queue, id, body, md5, attributes, system_attributes, sent_ms, delayed_until_ms,
                 hidden_until_ms, message_group) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            let mut ids = Vec::with_capacity(messages.len());
            for message in messages {
                let id = uuid::Uuid::new_v4().to_string();
                let delay = i64::from(message.delay_s.unwrap_or(known.queue.delay_s)) * 1000;
                let due = if delay > 0 { now + delay } else { 0 };
                let md5 = checksum::of_body(&message.body);
                let [own, system] = [&message.attributes, &message.system_attributes]
                    .map(|map| (!map.is_empty()).then(|| Value::from(map.clone()).to_string()));
                let hidden = real_ms() + self.0.chaos.lateness_ms(Fault::LateMessage, name);
                let group = &message.group;
                insert.execute(params![
                    name,
                    id,
                    message.body,
                    md5,
                    own,
                    system,
                    now,
                    due,
                    hidden,
                    group
                ])?;
                ids.push(id);
            }
            Ok(ids)
        })?;
        known.arrived.notify_waiters();

        Ok(ids)
    }

    /// Receives up to `most` visible messages, waiting up to `wait` for the first; hides them for `visibility_s`.
    pub async fn receive(
        &self,
        name: &str,
        most: usize,
        visibility_s: u32,
        wait: Duration,
    ) -> Result<Vec<Message>, Refusal> {
        let known = self.known(name)?;
        let until = Instant::now() + wait;
        let mut moves = self.0.clock.moves();
        loop {
            let arrived = known.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            moves.mark_unchanged();
            let messages = self.take(&known.queue, most, visibility_s)?;
            if !messages.is_empty() || Instant::now() >= until {
                return Ok(messages);
            }
            let next = self.next_due(name)?.map_or(until, |wait| Instant::now() + wait);
            tokio::select! {
                () = arrived => {}
                _ = moves.changed() => {}
                () = tokio::time::sleep_until(next.min(until)) => {}
            }
        }
    }

    fn take(&self, queue: &Queue, most: usize, visibility_s: u32) -> Result<Vec<Message>, Refusal> {
        let (now, real) = (self.0.clock.now_ms(), real_ms());
        let (messages, buried) = self.0.store.write(|db| {
            let mut messages = Vec::new();
            let mut buried = 0;
            let mut bytes = 0;
            for one in self.visible(db, &queue.name, most, real, now)? {
                bytes += one.body.len();
                if bytes > MAX_RECEIVE_BYTES && !messages.is_empty() {
                    break;
                }
                if let Some(redrive) = &queue.redrive
                    && one.receives >= i64::from(redrive.max_receive_count)
                {
                    bury(db, one.number, &redrive.dead_letter_queue, &queue.arn(), real)?;
                    buried += 1;
                    continue;
                }
                // Still visible, it goes to whoever asks next as well; the first receipt then deletes nothing.
                let hidden = match self.0.chaos.strike(Fault::TwoConsumers, &queue.name) {
                    None => real + i64::from(visibility_s) * 1000,
                    Some(_) => real,
                };
                db.prepare_cached(
                    "UPDATE message SET hidden_until_ms = ?2, in_flight = 1, receives = receives + 1,
                     first_received_ms = coalesce(first_received_ms, ?3) WHERE number = ?1",
                )?
                .execute(params![one.number, hidden, now])?;
                messages.push(one.received(now));
            }
            Ok((messages, buried))
        })?;
        if buried > 0
            && let Some(redrive) = &queue.redrive
        {
            self.known(&redrive.dead_letter_queue)?.arrived.notify_waiters();
            if messages.is_empty() {
                return self.take(queue, most, visibility_s);
            }
        }

        Ok(messages)
    }

    /// Reads what can be received, in the order in which it is delivered.
    fn visible(&self, db: &Connection, queue: &str, most: usize, real: i64, now: i64) -> rusqlite::Result<Vec<Found>> {
        let order = match self.0.chaos.strike(Fault::Reorder, queue) {
            None => "ORDER BY hidden_until_ms, number LIMIT ?4",
            Some(_) => "ORDER BY hidden_until_ms DESC, number DESC LIMIT ?4",
        };
        let limit = i64::try_from(most).unwrap_or(10);
        let Some(groups) = fair::groups(db, queue, real, now, most)? else {
            let mut select = db.prepare_cached(&format!("{VISIBLE} {order}"))?;
            return select
                .query_map(params![queue, real, now, limit], Found::read)?
                .collect();
        };
        let mut select = db.prepare_cached(&format!("{VISIBLE} AND message_group IS ?5 {order}"))?;
        let mut with_messages = Vec::new();
        for group in groups {
            let rows = select.query_map(params![queue, real, now, limit, group.name], Found::read)?;
            with_messages.push((group, rows.collect::<rusqlite::Result<_>>()?));
        }
        Ok(fair::take_turns(with_messages, most))
    }

    /// Tells how long until the next hidden or delayed message becomes visible.
    fn next_due(&self, name: &str) -> Result<Option<Duration>, Refusal> {
        let offset = self.0.clock.now_ms() - real_ms();
        let due: Option<i64> = self.0.store.read(|db| {
            db.prepare_cached("SELECT min(max(hidden_until_ms, delayed_until_ms - ?2)) FROM message WHERE queue = ?1")?
                .query_row(params![name, offset], |row| row.get(0))
        })?;
        Ok(due.map(|due| Duration::from_millis(u64::try_from(due - real_ms()).unwrap_or(0).max(1))))
    }

    /// Deletes messages by their receipts. A receipt that a later receive replaced deletes nothing, in silence, as in SQS.
    pub fn delete(&self, name: &str, receipts: &[&str]) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        self.known(name)?;
        self.by_receipt(receipts, |db, number, receives| {
            let late = self.0.chaos.lateness_ms(Fault::Undeleted, name);
            if late > 0 {
                return db
                    .prepare_cached(
                        "UPDATE message SET hidden_until_ms = ?4, in_flight = 0
                         WHERE number = ?1 AND receives = ?2 AND queue = ?3",
                    )?
                    .execute(params![number, receives, name, real_ms() + late])
                    .map(|_| Ok(()));
            }
            db.prepare_cached("DELETE FROM message WHERE number = ?1 AND receives = ?2 AND queue = ?3")?
                .execute(params![number, receives, name])
                .map(|_| Ok(()))
        })
    }

    /// Hides messages in flight for `visibility_s` from now, each; zero shows them at once.
    pub fn change_visibility(&self, name: &str, changes: &[(&str, u32)]) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let known = self.known(name)?;
        let receipts: Vec<&str> = changes.iter().map(|(receipt, _)| *receipt).collect();
        let mut seconds = changes.iter().map(|(_, seconds)| *seconds);
        let changed = self.by_receipt(&receipts, |db, number, receives| {
            let seconds = seconds.next().unwrap_or_default();
            let until = real_ms() + i64::from(seconds) * 1000;
            let rows = db
                .prepare_cached(
                    "UPDATE message SET hidden_until_ms = ?4, in_flight = ?5
                     WHERE number = ?1 AND receives = ?2 AND queue = ?3 AND in_flight = 1",
                )?
                .execute(params![number, receives, name, until, seconds > 0])?;
            let gone = || Refusal::new("MessageNotInflight", "The message referred to isn't in flight.");
            Ok((rows > 0).then_some(()).ok_or_else(gone))
        })?;
        known.arrived.notify_waiters();
        Ok(changed)
    }

    fn by_receipt(
        &self,
        receipts: &[&str],
        mut each: impl FnMut(&Connection, i64, i64) -> rusqlite::Result<Result<(), Refusal>>,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let done = self.0.store.write(|db| {
            let one = |receipt: &&str| match read_receipt(receipt) {
                Some((number, receives)) => each(db, number, receives),
                None => Ok(Err(Refusal::new(
                    "ReceiptHandleIsInvalid",
                    "The specified receipt handle isn't valid.",
                ))),
            };
            receipts.iter().map(one).collect()
        })?;
        Ok(done)
    }

    /// Counts a queue's messages by state.
    pub fn depth(&self, name: &str) -> Result<Depth, Refusal> {
        self.known(name)?;
        let (now, real) = (self.0.clock.now_ms(), real_ms());
        let depth = self.0.store.read(|db| {
            db.prepare_cached(
                "SELECT count(*), coalesce(sum(in_flight = 1 AND hidden_until_ms > ?2), 0),
                 coalesce(sum(delayed_until_ms > ?3), 0) FROM message WHERE queue = ?1",
            )?
            .query_row(params![name, real, now], |row| {
                let [all, in_flight, delayed] = [row.get::<_, u64>(0)?, row.get(1)?, row.get(2)?];
                Ok(Depth {
                    visible: all.saturating_sub(in_flight + delayed),
                    in_flight,
                    delayed,
                })
            })
        })?;
        Ok(depth)
    }

    /// Reads messages without receiving them, oldest first: what tests look at.
    pub fn peek(&self, name: &str, most: usize) -> Result<Vec<String>, Refusal> {
        self.known(name)?;
        let bodies = self.0.store.read(|db| {
            let mut select = db.prepare_cached("SELECT body FROM message WHERE queue = ?1 ORDER BY number LIMIT ?2")?;
            let rows = select.query_map(params![name, i64::try_from(most).unwrap_or(i64::MAX)], |row| row.get(0))?;
            rows.collect()
        })?;
        Ok(bodies)
    }

    /// Deletes every message of a queue.
    pub fn purge(&self, name: &str) -> Result<(), Refusal> {
        self.known(name)?;
        self.0
            .store
            .write(|db| db.execute("DELETE FROM message WHERE queue = ?1", [name]))?;
        Ok(())
    }

    /// Moves the messages of a dead-letter queue back to where each came from, or all to `target`; counts them.
    pub fn redrive(&self, name: &str, target: Option<&str>) -> Result<u64, Refusal> {
        self.known(name)?;
        if let Some(target) = target {
            self.known(target)?;
        }
        let redrives_here = |known: &Known| {
            known
                .queue
                .redrive
                .as_ref()
                .is_some_and(|it| it.dead_letter_queue == name)
        };
        if !self.0.queues.values().any(redrives_here) {
            return Err(Refusal::new(
                "InvalidParameterValue",
                "Source queue must be configured as a Dead Letter Queue.",
            ));
        }
        let moved = self.0.store.write(|db| {
            db.execute(
                "UPDATE message SET queue = coalesce(?2, substr(source, 1 + length(rtrim(source, replace(source, ':', ''))))),
                 receives = 0, in_flight = 0, hidden_until_ms = ?3, first_received_ms = NULL, source = NULL
                 WHERE queue = ?1 AND (?2 IS NOT NULL OR source IS NOT NULL) AND hidden_until_ms <= ?3",
                params![name, target, real_ms()],
            )
        })?;
        for known in self.0.queues.values() {
            known.arrived.notify_waiters();
        }
        let moved = Move {
            source: name.to_owned(),
            target: target.map(str::to_owned),
            count: u64::try_from(moved).unwrap_or_default(),
            at_ms: self.0.clock.now_ms(),
        };
        let count = moved.count;
        self.0
            .moves
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(0, moved);
        Ok(count)
    }

    /// Lists the latest moves of a queue's dead letters, newest first.
    pub fn moves(&self, name: &str) -> Result<Vec<Move>, Refusal> {
        self.known(name)?;
        let moves = self.0.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let own = moves.iter().filter(|one| one.source == name);
        Ok(own.take(MOVES_LISTED).cloned().collect())
    }

    /// Deletes messages that outlived their queue's retention, by the test clock.
    pub fn sweep(&self) -> Result<()> {
        let now = self.0.clock.now_ms();
        for known in self.0.queues.values() {
            let oldest = now - i64::from(known.queue.retention_s) * 1000;
            self.0
                .store
                .write(|db| {
                    let sql = "DELETE FROM message WHERE queue = ?1 AND sent_ms < ?2";
                    db.execute(sql, params![known.queue.name, oldest])
                })
                .with_context(|| format!("sweep {}", known.queue.name))?;
        }
        Ok(())
    }

    /// Counts every queue's messages.
    pub fn depths(&self) -> Result<HashMap<String, Depth>, Refusal> {
        self.names()
            .map(|name| Ok((name.to_owned(), self.depth(name)?)))
            .collect()
    }
}

struct Found {
    number: i64,
    id: String,
    body: String,
    md5: String,
    attributes: Option<String>,
    system_attributes: Option<String>,
    source: Option<String>,
    sent_ms: i64,
    receives: i64,
    first_received_ms: Option<i64>,
    group: Option<String>,
}

impl Found {
    fn read(row: &Row) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            id: row.get(1)?,
            body: row.get(2)?,
            md5: row.get(3)?,
            attributes: row.get(4)?,
            system_attributes: row.get(5)?,
            source: row.get(6)?,
            sent_ms: row.get(7)?,
            receives: row.get(8)?,
            first_received_ms: row.get(9)?,
            group: row.get(10)?,
        })
    }

    fn received(self, now: i64) -> Message {
        let map = |text: Option<String>| -> Map<String, Value> {
            text.and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default()
        };
        let receives = self.receives + 1;
        let mut system = BTreeMap::from([
            ("ApproximateReceiveCount", receives.to_string()),
            ("SentTimestamp", self.sent_ms.to_string()),
            ("SenderId", "AIDALOCAL".to_owned()),
            (
                "ApproximateFirstReceiveTimestamp",
                self.first_received_ms.unwrap_or(now).to_string(),
            ),
        ]);
        if let Some(source) = self.source {
            system.insert("DeadLetterQueueSourceArn", source);
        }
        if let Some(group) = self.group {
            system.insert("MessageGroupId", group);
        }
        if let Some(trace) = map(self.system_attributes).get("AWSTraceHeader") {
            system.insert(
                "AWSTraceHeader",
                trace["StringValue"].as_str().unwrap_or_default().to_owned(),
            );
        }
        let attributes = map(self.attributes);
        let md5_of_attributes = (!attributes.is_empty())
            .then(|| checksum::of_attributes(&attributes))
            .flatten();

        Message {
            receipt: write_receipt(self.number, receives, &self.id),
            id: self.id,
            body: self.body,
            md5: self.md5,
            md5_of_attributes,
            attributes,
            system,
        }
    }
}

fn bury(db: &Connection, number: i64, target: &str, source: &str, real: i64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE message SET queue = ?2, source = ?3, receives = 0, in_flight = 0, hidden_until_ms = ?4,
         delayed_until_ms = 0, first_received_ms = NULL WHERE number = ?1",
    )?
    .execute(params![number, target, source, real])
    .map(|_| ())
}

fn write_receipt(number: i64, receives: i64, id: &str) -> String {
    hex::encode(format!("{number}:{receives}:{id}"))
}

fn read_receipt(receipt: &str) -> Option<(i64, i64)> {
    let text = String::from_utf8(hex::decode(receipt).ok()?).ok()?;
    let mut parts = text.split(':');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
