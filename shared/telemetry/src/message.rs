//! What ingest hands to the event writer: one SQS message a request, its events compressed. A message is cut into
//! chunks, one for each day its events occurred on; how it is cut follows from the message alone, so that a
//! redelivery gives the same chunks.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow, bail, ensure};
use app::{App, Outgoing, Queue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::{ApiKeyId, Error, EventId, OrgId, Origin, ProjectId, Result, Scope, Time, policy};
use metering::{Charge, Receipt};
use serde::{Deserialize, Serialize};
use zstd::bulk::Compressor;

use crate::Event;
use crate::batch::Placed;

/// The queue of the event writer.
const EVENTS: Queue = Queue("EVENT_QUEUE_URL");
/// SQS bills 64 KiB parts and takes 1 MiB; past this a request becomes several messages. Its chunks stay below
/// DynamoDB's 400 KiB an item: 256 KiB of base64 are 192 KiB.
const LONGEST_MESSAGE: usize = 256 * 1024;
/// The events of a message occurred on at most so many days, so that its chunks fit into one transaction of the writer.
const MOST_DAYS: usize = 25;
/// What a message says beside its events is shorter than this: ids, a trace, a receipt.
const BESIDE: usize = 2 * 1024;
/// What a compressed list of events begins with.
const VERSION: u8 = 1;
/// How hard zstd tries. Level 6 makes a batch of 100 log lines not a byte smaller, in four times the time.
const LEVEL: i32 = 3;
/// Events expand to at most this: a request's 1 MiB, and what each event's own fields add.
const LONGEST_EVENTS: usize = 8 * 1024 * 1024;
/// The bits of an event's id that name its chunk: all of a UUIDv7's random ones but the first 12.
const CHUNK_BITS: u32 = 62;

/// A message's events and where they belong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The organization that owns the project.
    pub org: OrgId,
    /// The project.
    pub project: ProjectId,
    /// The key they came with.
    pub key: ApiKeyId,
    /// When they arrived.
    pub received_at: Time,
    /// Names the chunks of this message; 62 random bits.
    pub chunk: u64,
    /// The events, compressed, in base64.
    events: String,
    /// The request that they came with.
    #[serde(default)]
    pub origin: Origin,
    /// What was paid for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// Some of a message's events: those of one day.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The day.
    pub day: String,
    /// The events, in the order of the message.
    pub events: Vec<Event>,
    /// The events, as they are stored.
    pub bytes: Vec<u8>,
}

impl Message {
    /// The text that is sent.
    pub fn to_text(&self) -> Result<String> {
        Ok(serde_json::to_string(self).context("a message")?)
    }

    /// Reads a text that was sent.
    pub fn from_text(text: &str) -> anyhow::Result<Self> {
        let message: Self = serde_json::from_str(text).context("a message that is none of ours")?;
        ensure!(
            message.chunk >> CHUNK_BITS == 0,
            "a message whose chunk has too many bits"
        );
        Ok(message)
    }

    /// Cuts the message into its chunks.
    pub fn chunks(&self) -> anyhow::Result<Vec<Chunk>> {
        let bytes = STANDARD
            .decode(&self.events)
            .context("a message whose events are not base64")?;
        let events = decode(&bytes)?;
        let mut days: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        for event in events {
            days.entry(event.occurred_at().day()).or_default().push(event);
        }
        if days.len() == 1 {
            return Ok(days
                .into_iter()
                .map(|(day, events)| Chunk {
                    day,
                    events,
                    bytes: bytes.clone(),
                })
                .collect());
        }
        let chunk = |(day, events): (String, Vec<Event>)| {
            Ok(Chunk {
                day,
                bytes: encode(&events)?,
                events,
            })
        };
        days.into_iter().map(chunk).collect()
    }
}

/// Compresses events, owned or borrowed: a version, then zstd of postcard.
pub fn encode<E: Borrow<Event> + Serialize>(events: &[E]) -> anyhow::Result<Vec<u8>> {
    thread_local! {
        /// Making one anew for each request would clear a megabyte of tables.
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    let plain = postcard::to_stdvec(events)?;
    COMPRESSOR.with_borrow_mut(|compressor| {
        let compressor = match compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(LEVEL)?),
        };
        let mut bytes = vec![VERSION];
        bytes.extend(compressor.compress(&plain)?);
        Ok(bytes)
    })
}

/// Reads compressed events.
pub fn decode(bytes: &[u8]) -> anyhow::Result<Vec<Event>> {
    let Some((&VERSION, compressed)) = bytes.split_first() else {
        bail!("events of an unknown version")
    };
    let plain = zstd::bulk::decompress(compressed, LONGEST_EVENTS).context("events that do not expand")?;
    postcard::from_bytes(&plain).context("events that cannot be read")
}

/// The id of the event at `place` in a chunk. It begins with the event's time, so ids sort by it; the rest tells the
/// place (12 bits) and the chunk (62).
pub fn event_id(event: &Event, place: usize, chunk: u64) -> EventId {
    let time = u128::try_from(event.occurred_at_ms).unwrap_or(0) & 0xffff_ffff_ffff;
    let place = (place as u128) & 0xfff;
    EventId::from_bits((time << 80) | (7 << 76) | (place << 64) | (2 << 62) | u128::from(chunk))
}

/// The chunk of an event and its place in it.
pub fn place_of(id: EventId) -> (u64, usize) {
    let chunk = u64::try_from(id.bits() & ((1 << CHUNK_BITS) - 1)).unwrap_or(0);
    (chunk, usize::try_from((id.bits() >> 64) & 0xfff).unwrap_or(0))
}

/// A request's events on their way, and which of them.
struct Part {
    chunk: u64,
    days: usize,
    events: String,
    places: Vec<usize>,
}

/// Sends a request's events, each with its place in the request, with receipts of what `charge` pays for them. Returns the
/// places of those that could not be sent; `Busy` if none could.
pub async fn enqueue(
    app: &App,
    scope: &Scope<policy::IngestEvents>,
    received_at: Time,
    events: Vec<Placed>,
    mut charge: Charge,
) -> Result<Vec<usize>> {
    let Some(kernel::Caller::ApiKey { key, org, project, .. }) = scope.caller() else {
        return Err(Error::Denied);
    };
    let mut parts = Vec::new();
    for events in by_days(events) {
        cut(events, &mut parts)?;
    }
    let many: usize = parts.iter().map(|part| part.places.len()).sum();
    let mut parts = parts.into_iter();
    while let Some(part) = parts.next() {
        let message = Message {
            org: *org,
            project: *project,
            key: *key,
            received_at,
            chunk: part.chunk,
            events: part.events,
            origin: scope.origin().for_later(),
            receipt: charge.sell(part.places.len() as u64),
        };
        let message = Outgoing {
            // Who sends much that is late waits behind the others. Naming a group costs more, so what is fresh names none.
            group: (part.days > 1).then(|| org.to_string()),
            ..Outgoing::now(message.to_text()?)
        };
        if let Err(error) = app.queues.send(EVENTS, message).await {
            tracing::error!(error = format!("{:#}", anyhow!(error)), "events could not be queued");
            // It may be in the queue all the same. Whatever came after it would be reported with it, so nothing does: its
            // charge is dropped.
            let lost: Vec<usize> = part
                .places
                .into_iter()
                .chain(parts.flat_map(|part| part.places))
                .collect();
            return if lost.len() == many { Err(Error::Busy) } else { Ok(lost) };
        }
    }
    charge.done();
    Ok(Vec::new())
}

/// Parts events so that each part has few days, if they occurred on many.
fn by_days(mut events: Vec<Placed>) -> Vec<Vec<Placed>> {
    let days: BTreeSet<i64> = events.iter().map(|(_, event)| event.day()).collect();
    if days.len() <= MOST_DAYS {
        return vec![events];
    }
    let days: Vec<i64> = days.into_iter().collect();
    let mut parts = Vec::new();
    for days in days.chunks(MOST_DAYS) {
        let (part, rest) = events.into_iter().partition(|(_, event)| days.contains(&event.day()));
        parts.push(part);
        events = rest;
    }
    parts
}

/// Makes messages of events, halving them until each fits.
fn cut(mut events: Vec<Placed>, parts: &mut Vec<Part>) -> Result<()> {
    let plain: Vec<&Event> = events.iter().map(|(_, event)| event).collect();
    let text = STANDARD.encode(encode(&plain)?);
    if text.len() <= LONGEST_MESSAGE - BESIDE {
        let days: BTreeSet<i64> = events.iter().map(|(_, event)| event.day()).collect();
        parts.push(Part {
            chunk: new_chunk(),
            days: days.len(),
            events: text,
            places: events.iter().map(|(place, _)| *place).collect(),
        });
        return Ok(());
    }
    // One event is at most 64 KiB, so this ends with a message that fits.
    if events.len() == 1 {
        return Err(Error::TooLarge("an event is too large".to_owned()));
    }
    let second = events.split_off(events.len() / 2);
    cut(events, parts)?;
    cut(second, parts)
}

fn new_chunk() -> u64 {
    u64::from_be_bytes(kernel::id::random()) >> (64 - CHUNK_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::{damaged, edits};
    use proptest::prelude::*;

    fn event(at: i64, payload: String) -> Event {
        Event {
            kind: "A".to_owned(),
            name: "a".to_owned(),
            user_id: None,
            payload: Some(payload),
            metadata: None,
            occurred_at_ms: at,
            client_id: None,
        }
    }

    fn message(events: &[Event]) -> Message {
        let now = Time::from_millis(1_800_000_000_000);
        Message {
            org: OrgId::new(now),
            project: ProjectId::new(now),
            key: ApiKeyId::new(now),
            received_at: now,
            chunk: new_chunk(),
            events: STANDARD.encode(encode(events).unwrap()),
            origin: Origin::default(),
            receipt: None,
        }
    }

    #[test]
    fn a_message_is_cut_by_day_and_always_the_same_way() {
        let events: Vec<Event> = (0..10).map(|n| event(n % 3 * Time::DAY + n, n.to_string())).collect();
        let text = message(&events).to_text().unwrap();
        let cut = |text: &str| Message::from_text(text).unwrap().chunks().unwrap();
        let (first, again) = (cut(&text), cut(&text));
        assert_eq!(
            first.iter().map(|chunk| chunk.day.as_str()).collect::<Vec<_>>(),
            ["1970-01-01", "1970-01-02", "1970-01-03"]
        );
        for (first, again) in first.iter().zip(&again) {
            assert_eq!((&first.events, &first.bytes), (&again.events, &again.bytes));
            assert_eq!(decode(&first.bytes).unwrap(), first.events);
        }
    }

    #[test]
    fn what_is_too_long_for_a_message_becomes_several() {
        let noise = |_| hex::encode(kernel::id::random::<30_000>());
        let events: Vec<_> = (0..16).map(|n| (n, event(1, noise(n)))).collect();
        let mut parts = Vec::new();
        cut(events, &mut parts).unwrap();
        assert!(parts.len() > 1 && parts.iter().all(|part| part.events.len() <= LONGEST_MESSAGE - BESIDE));
        assert_eq!(
            parts.iter().flat_map(|part| part.places.clone()).collect::<Vec<_>>(),
            (0..16).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_message_has_few_days_and_no_event_is_left_out() {
        let events: Vec<Placed> = (0..90)
            .map(|n: usize| (n, event(i64::try_from(n % 60).unwrap() * Time::DAY, String::new())))
            .collect();
        let parts = by_days(events.clone());
        assert_eq!(parts.len(), 3);
        for part in &parts {
            let days: BTreeSet<i64> = part.iter().map(|(_, event)| event.day()).collect();
            assert!(days.len() <= MOST_DAYS);
        }
        let mut all: Vec<usize> = parts.into_iter().flatten().map(|(place, _)| place).collect();
        all.sort_unstable();
        assert_eq!(all, (0..90).collect::<Vec<_>>());
        assert_eq!(by_days(events[..20].to_vec()), [events[..20].to_vec()]);
    }

    proptest! {
        #[test]
        fn an_event_id_tells_its_time_chunk_and_place(at in 0_i64..4_000_000_000_000, place in 0_usize..1_000, seed: u64) {
            let chunk = seed >> 2;
            let id = event_id(&event(at, String::new()), place, chunk);
            prop_assert_eq!(id.time().millis(), at);
            prop_assert_eq!(place_of(id), (chunk, place));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}", bytes: Vec<u8>) {
            if let Ok(message) = Message::from_text(&text) { let _ = message.chunks(); }
            let _ = decode(&bytes);
            let mut versioned = vec![VERSION];
            versioned.extend(zstd::bulk::compress(&bytes, 1).unwrap());
            if let Ok(events) = decode(&versioned) {
                prop_assert!(events.len() <= bytes.len());
            }
        }

        #[test]
        fn what_was_sent_is_read(times in prop::collection::vec(0_i64..4_000_000_000_000, 1..20), payload in "\\PC{0,40}") {
            let events: Vec<Event> = times.iter().map(|at| event(*at, payload.clone())).collect();
            let sent = message(&events);
            let read = Message::from_text(&sent.to_text().unwrap()).unwrap();
            let mut found: Vec<Event> = read.chunks().unwrap().into_iter().flat_map(|chunk| chunk.events).collect();
            let mut wanted = events;
            wanted.sort_by_key(|event| event.occurred_at().day());
            found.sort_by_key(|event| event.occurred_at().day());
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn no_damage_to_a_message_makes_it_panic(times in prop::collection::vec(any::<i64>(), 1..5), edits in edits(), inside: bool) {
            let events: Vec<Event> = times.iter().map(|at| event(*at, at.to_string())).collect();
            let mut sent = message(&events);
            if inside {
                // Whole JSON and base64, poisoned events.
                sent.events = STANDARD.encode(damaged(&encode(&events).unwrap(), &edits));
            }
            let mut text = sent.to_text().unwrap();
            if !inside {
                text = String::from_utf8_lossy(&damaged(text.as_bytes(), &edits)).into_owned();
            }
            if let Ok(message) = Message::from_text(&text) { let _ = message.chunks(); }
        }

        #[test]
        fn no_damage_to_stored_events_makes_it_panic(edits in edits()) {
            let plain = postcard::to_stdvec(&vec![event(1, "a".to_owned()), event(2, "b".to_owned())]).unwrap();
            let mut bytes = vec![VERSION];
            bytes.extend(zstd::bulk::compress(&damaged(&plain, &edits), 1).unwrap());
            let _ = decode(&bytes);
        }
    }
}
