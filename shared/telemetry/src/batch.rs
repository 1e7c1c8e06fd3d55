//! Reads what clients send to ingest: one event or many, plain or as CloudEvents 1.0, compressed or not. Each event
//! of a batch is judged alone; the batch as a whole is refused only when it cannot be read at all.

use std::collections::HashSet;
use std::io::Read;

use kernel::{Check, Error, FieldProblem, Input, Result, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Event;
use crate::cloud_event::CloudEvent;
use crate::event::{LONGEST_EVENT, NewEvent};
use crate::portable;

/// A body is at most this long, as sent and after it is expanded.
pub const LONGEST_BODY: usize = 1024 * 1024;
/// A batch holds at most this many events.
pub const MOST_EVENTS: usize = 1_000;

/// The events of a batch occurred on at most this many days (UTC): each is a chunk, an entry and a head of its own to write.
pub const MOST_DAYS: usize = 100;

/// An event and its place in the request.
pub type Placed = (usize, Event);

/// How the events of a body are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Ours: an event, or `{"events":[…]}`.
    Plain,
    /// One CloudEvent (`application/cloudevents+json`).
    CloudEvent,
    /// Many CloudEvents (`application/cloudevents-batch+json`).
    CloudEvents,
}

impl Format {
    /// Reads a `Content-Type`.
    pub fn of(content_type: &str) -> Result<Self> {
        match media_type(content_type).as_str() {
            "application/json" => Ok(Self::Plain),
            "application/cloudevents+json" => Ok(Self::CloudEvent),
            "application/cloudevents-batch+json" => Ok(Self::CloudEvents),
            _ => Err(Error::Unsupported(
                "send application/json, application/cloudevents+json or application/cloudevents-batch+json".to_owned(),
            )),
        }
    }
}

/// The media type of a `Content-Type`, without its parameters, in lower case (RFC 9110, section 8.3.1).
pub(crate) fn media_type(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Why one event of a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Rejected {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// `malformed`, `invalid`, `too_large`, `too_many_days` or `unavailable`; stable.
    #[schema(example = "invalid")]
    pub code: &'static str,
    /// What is wrong, naming the field.
    #[schema(example = "`name` must have 1 to 1000 characters")]
    pub detail: String,
}

/// Expands a body by its `Content-Encoding`; what would grow past [`LONGEST_BODY`] is refused without growing.
pub fn expand(body: Vec<u8>, encoding: Option<&str>) -> Result<Vec<u8>> {
    let encoding = encoding.unwrap_or("identity").trim().to_ascii_lowercase();
    let mut expanded = Vec::new();
    let most = LONGEST_BODY as u64 + 1;
    let read = match encoding.as_str() {
        "" | "identity" => return Ok(body),
        "gzip" => flate2::read::MultiGzDecoder::new(body.as_slice())
            .take(most)
            .read_to_end(&mut expanded),
        "zstd" => zstd::stream::read::Decoder::new(body.as_slice()).and_then(|mut decoder| {
            // 8 MiB, the window that RFC 9659 lets an HTTP sender use.
            decoder.window_log_max(23)?;
            decoder.take(most).read_to_end(&mut expanded)
        }),
        _ => {
            return Err(Error::Unsupported(
                "send Content-Encoding gzip, zstd or none".to_owned(),
            ));
        }
    };
    read.map_err(|_| Error::malformed("malformed_encoding", format!("the body is not {encoding}")))?;
    if expanded.len() > LONGEST_BODY {
        return Err(Error::TooLarge(format!(
            "the body expands to more than {LONGEST_BODY} bytes"
        )));
    }
    Ok(expanded)
}

/// Reads a body that holds one event.
pub fn read_one(body: &[u8], format: Format, received_at: Time) -> Result<Event> {
    if format == Format::CloudEvents {
        return Err(Error::Unsupported("send batches to /v1/ingest/events".to_owned()));
    }
    let raw: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    judge(raw, format, received_at)
}

/// Reads a body that holds many: the good ones with their places, and what is wrong with the others.
pub fn read_many(body: &[u8], format: Format, received_at: Time) -> Result<(Vec<Placed>, Vec<Rejected>)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Batch<'a> {
        #[serde(borrow)]
        events: Vec<&'a RawValue>,
    }
    let raw: Vec<&RawValue> = match format {
        Format::Plain => serde_json::from_slice::<Batch>(body).map_err(not_a_batch)?.events,
        Format::CloudEvents => serde_json::from_slice(body).map_err(not_a_batch)?,
        Format::CloudEvent => vec![serde_json::from_slice(body).map_err(not_json)?],
    };
    // A batch of CloudEvents may be empty (JSON event format 1.0.2, section 4.3).
    let least = usize::from(format == Format::Plain);
    if raw.len() < least || raw.len() > MOST_EVENTS {
        return Err(Error::invalid("events", format!("must have 1 to {MOST_EVENTS} events")));
    }
    let (mut good, mut bad) = (Vec::with_capacity(raw.len()), Vec::new());
    for (index, raw) in raw.into_iter().enumerate() {
        match judge(raw, format, received_at) {
            Ok(event) => good.push((index, event)),
            Err(error) => bad.push(rejected(index, error)),
        }
    }
    Ok((good, bad))
}

/// Keeps the events of the first `most` days that occur in a batch. Returns on how many days they occurred, and the others as
/// rejected.
pub fn keep_days(good: &mut Vec<Placed>, most: usize) -> (usize, Vec<Rejected>) {
    let (mut days, mut rejected) = (HashSet::new(), Vec::new());
    good.retain(|(index, event)| {
        let day = event.day();
        let kept = days.contains(&day) || (days.len() < most && days.insert(day));
        if !kept {
            rejected.push(Rejected {
                index: *index,
                code: "too_many_days",
                detail: format!(
                    "the events of a request may have occurred on {most} different days, this is one more; send those of \
                     further days in another request"
                ),
            });
        }
        kept
    });
    (days.len(), rejected)
}

fn judge(raw: &RawValue, format: Format, received_at: Time) -> Result<Event> {
    if raw.get().len() > LONGEST_EVENT {
        return Err(Error::TooLarge(format!("an event has at most {LONGEST_EVENT} bytes")));
    }
    portable::check(raw.get())?;
    let event: NewEvent = match format {
        Format::Plain => read(raw)?,
        Format::CloudEvent | Format::CloudEvents => read::<CloudEvent>(raw)?.into_event()?,
    };
    let mut check = Check::default();
    event.check(&mut check);
    event.check_time(&mut check, received_at);
    check.done()?;
    Ok(event.accept(received_at))
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T> {
    // Most events are good; only of one that is not must it be known where.
    if let Ok(read) = serde_json::from_str(raw.get()) {
        return Ok(read);
    }
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(raw.get())).map_err(|error| {
        let path = error.path().to_string();
        Error::unreadable_field(&path, &error.into_inner().to_string())
    })
}

#[expect(clippy::needless_pass_by_value, reason = "it is a map_err")]
pub(crate) fn not_json(error: serde_json::Error) -> Error {
    Error::malformed("malformed_json", format!("the body is not JSON: {error}"))
}

fn not_a_batch(error: serde_json::Error) -> Error {
    if error.is_data() {
        Error::unreadable_field(".", &error.to_string())
    } else {
        not_json(error)
    }
}

fn rejected(index: usize, error: Error) -> Rejected {
    let sentence = |problems: &[FieldProblem]| {
        let each = problems
            .iter()
            .map(|problem| format!("`{}` {}", problem.field, problem.problem));
        each.collect::<Vec<_>>().join("; ")
    };
    let (code, detail) = match error {
        Error::Invalid(problems) => ("invalid", sentence(&problems)),
        Error::TooLarge(detail) => ("too_large", detail),
        other => ("malformed", other.to_string()),
    };
    Rejected { index, code, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::{damaged, edits};
    use proptest::prelude::*;
    use std::io::Write;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check_one(json: &str, expected: Result<&str, &str>) {
        let read = read_one(json.as_bytes(), Format::Plain, NOW);
        match expected {
            Ok(name) => assert_eq!(read.unwrap().name, name),
            Err(part) => {
                let error = read.unwrap_err();
                let text = rejected(0, error).detail;
                assert!(text.contains(part), "{text} does not name {part}");
            }
        }
    }

    #[test]
    fn one_event_is_judged_by_its_fields() {
        check_one(r#"{"type":"ERROR","name":"a"}"#, Ok("a"));
        check_one(
            r#"{"type":"ERROR","name":"a","payload":null,"occurredAt":"2027-01-15T08:00:00Z"}"#,
            Ok("a"),
        );
        check_one(r#"{"type":"ERROR","name":"a","color":1}"#, Err("`color`"));
        check_one(r#"{"type":"ERROR"}"#, Err("`name`"));
        check_one(r#"{"type":"ERROR","name":7}"#, Err("`name`"));
        check_one(r#"{"type":"ER ROR","name":"a"}"#, Err("`type`"));
        check_one(r#"{"type":"ERROR","name":""}"#, Err("`name`"));
        check_one(
            r#"{"type":"ERROR","name":"a","occurredAt":"2027-01-15T08:06:00Z"}"#,
            Err("5 minutes ahead"),
        );
        check_one(
            r#"{"type":"ERROR","name":"a","occurredAt":"2025-01-15T08:06:00Z"}"#,
            Err("400 days"),
        );
        check_one(r#"{"type":"ERROR","name":"a","occurredAt":"now"}"#, Err("occurredAt"));
        check_one(r#"{"type":"ERROR""#, Err("not JSON"));
        check_one("[]", Err(""));
    }

    #[test]
    fn what_common_parsers_cannot_read_is_refused_by_name() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for field in ["payload", "metadata"] {
            let with = |value: &str| format!(r#"{{"type":"A","name":"a","{field}":{value}}}"#);
            check_one(
                &with(r#"{"title":"cut \ud83d"}"#),
                Err(&format!("`{field}` must not contain half")),
            );
            check_one(
                &with(r#"{"cut \ud83d":1}"#),
                Err(&format!("`{field}` must not contain half")),
            );
            check_one(&with(&deep(64)), Ok("a"));
            check_one(
                &with(&deep(65)),
                Err(&format!("`{field}` must not be nested deeper than 64")),
            );
            check_one(
                &with(&deep(15_000)),
                Err(&format!("`{field}` must not be nested deeper than 64")),
            );
        }
        let cloud = |data: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{data}}}"#);
        for (data, problem) in [
            (r#""\udc00""#.to_owned(), "`data` must not contain half"),
            (deep(65), "`data` must not be nested"),
        ] {
            let error = read_one(cloud(&data).as_bytes(), Format::CloudEvent, NOW).unwrap_err();
            assert!(rejected(0, error).detail.contains(problem), "{data}");
        }
    }

    #[test]
    fn a_batch_of_cloud_events_may_be_empty() {
        assert_eq!(
            read_many(b"[]", Format::CloudEvents, NOW).unwrap(),
            (Vec::new(), Vec::new())
        );
    }

    #[test]
    fn good_events_are_kept_when_others_are_bad() {
        let body = br#"{"events":[{"type":"A","name":"a"},{"type":"A"},7,{"type":"B","name":"b"}]}"#;
        let (good, bad) = read_many(body, Format::Plain, NOW).unwrap();
        assert_eq!(good.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(
            bad.iter().map(|bad| (bad.index, bad.code)).collect::<Vec<_>>(),
            [(1, "malformed"), (2, "malformed")]
        );
    }

    #[test]
    fn a_batch_that_cannot_be_read_is_refused_whole() {
        for body in [
            "",
            "{}",
            r#"{"events":[]}"#,
            r#"{"events":7}"#,
            r#"{"events":[],"x":1}"#,
            r#"{"events":[{]}"#,
        ] {
            assert!(read_many(body.as_bytes(), Format::Plain, NOW).is_err(), "{body}");
        }
        let many = format!(
            r#"{{"events":[{}]}}"#,
            vec![r#"{"type":"A","name":"a"}"#; MOST_EVENTS + 1].join(",")
        );
        assert!(matches!(
            read_many(many.as_bytes(), Format::Plain, NOW),
            Err(Error::Invalid(_))
        ));
    }

    #[test]
    fn one_event_may_be_too_large_and_the_others_stay() {
        let body = format!(
            r#"{{"events":[{{"type":"A","name":"a","payload":"{}"}},{{"type":"A","name":"b"}}]}}"#,
            "x".repeat(LONGEST_EVENT)
        );
        let (good, bad) = read_many(body.as_bytes(), Format::Plain, NOW).unwrap();
        assert_eq!((good.len(), bad[0].code), (1, "too_large"));
    }

    #[test]
    fn bombs_are_refused_and_damage_is_named() {
        let bomb = vec![0_u8; 64 * 1024 * 1024];
        assert!(matches!(expand(gzip(&bomb), Some("gzip")), Err(Error::TooLarge(_))));
        assert!(matches!(
            expand(zstd::encode_all(bomb.as_slice(), 1).unwrap(), Some("zstd")),
            Err(Error::TooLarge(_))
        ));
        for encoding in ["gzip", "zstd"] {
            assert!(
                matches!(expand(b"plain".to_vec(), Some(encoding)), Err(Error::Malformed { .. })),
                "{encoding}"
            );
        }
        assert!(matches!(expand(Vec::new(), Some("br")), Err(Error::Unsupported(_))));
        assert_eq!(expand(gzip(b"text"), Some("gzip")).unwrap(), b"text");
        assert_eq!(
            expand(zstd::encode_all(&b"text"[..], 1).unwrap(), Some("zstd")).unwrap(),
            b"text"
        );
    }

    /// Whether it is the caller's fault, and says so.
    fn is_callers(error: &Error) -> bool {
        let named = !error.to_string().is_empty();
        named
            && matches!(
                error,
                Error::Malformed { .. } | Error::Invalid(_) | Error::TooLarge(_) | Error::Unsupported(_)
            )
    }

    /// Reads a body in every format. Whatever it is, each of its events is taken or rejected, and each error is the
    /// caller's.
    fn check_body(body: &[u8]) {
        for format in [Format::Plain, Format::CloudEvent, Format::CloudEvents] {
            if let Err(error) = read_one(body, format, NOW) {
                assert!(is_callers(&error), "{error:?}");
            }
            match read_many(body, format, NOW) {
                Ok((good, bad)) => {
                    let mut places: Vec<usize> = good.iter().map(|(place, _)| *place).collect();
                    places.extend(bad.iter().map(|bad| bad.index));
                    places.sort_unstable();
                    assert_eq!(places, (0..good.len() + bad.len()).collect::<Vec<_>>());
                    assert!(
                        bad.iter()
                            .all(|bad| !bad.detail.is_empty() && bad.code != "unavailable")
                    );
                    // What is taken can be sent and read again.
                    let events: Vec<Event> = good.into_iter().map(|(_, event)| event).collect();
                    let sent = crate::message::encode(&events).unwrap();
                    assert_eq!(crate::message::decode(&sent).unwrap(), events);
                }
                Err(error) => assert!(is_callers(&error), "{error:?}"),
            }
        }
    }

    const EVENT: &str = r#"{"id":"order-1","type":"ERROR","name":"payment_failed","userId":"u",
        "payload":{"a":[1,2.5e3,null,"\u00e9\n"]},"metadata":{"b":true},"occurredAt":"2027-01-15T08:00:00.123Z"}"#;
    const CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"7","source":"/shop?x=1","type":"com.example.sold","subject":"s",
        "time":"2027-01-15T08:00:00Z","datacontenttype":"application/json","data":{"a":1},"userid":"u","more":7}"#;
    const CLOUD_BYTES: &str =
        r#"{"specversion":"1.0","id":"7","source":"/s","type":"REQUEST","data_base64":"AAEC/w=="}"#;

    fn valid_body() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(EVENT.to_owned()),
            Just(CLOUD_EVENT.to_owned()),
            Just(CLOUD_BYTES.to_owned()),
            (1..4_usize).prop_map(|many| format!(r#"{{"events":[{}]}}"#, vec![EVENT; many].join(","))),
            (1..4_usize).prop_map(|many| format!("[{}]", vec![CLOUD_EVENT; many].join(" , "))),
        ]
    }

    #[test]
    fn the_events_of_the_first_days_are_kept() {
        let at = |index: usize, day: i64| {
            let received = Time::from_millis(day * Time::DAY + 5);
            (
                index,
                read_one(br#"{"type":"A","name":"a"}"#, Format::Plain, received).unwrap(),
            )
        };
        let events = || {
            [7, 7, 3, 9, 7, 3, 9]
                .iter()
                .enumerate()
                .map(|(index, day)| at(index, *day))
                .collect()
        };
        let mut good: Vec<Placed> = events();
        let (days, rejected) = keep_days(&mut good, 2);
        assert_eq!(
            (days, good.iter().map(|(index, _)| *index).collect::<Vec<_>>()),
            (2, vec![0, 1, 2, 4, 5])
        );
        assert_eq!(rejected.iter().map(|event| event.index).collect::<Vec<_>>(), [3, 6]);
        assert!(
            rejected
                .iter()
                .all(|event| event.code == "too_many_days" && event.detail.contains("another request"))
        );
        assert_eq!(keep_days(&mut events(), 3), (3, Vec::new()));
    }

    #[test]
    fn the_valid_bodies_are_valid() {
        assert!(read_one(EVENT.as_bytes(), Format::Plain, NOW).is_ok());
        for body in [CLOUD_EVENT, CLOUD_BYTES] {
            read_one(body.as_bytes(), Format::CloudEvent, NOW).unwrap();
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, gz: bool) {
            if let Err(error) = expand(bytes.clone(), Some(if gz { "gzip" } else { "zstd" })) {
                prop_assert!(is_callers(&error));
            }
            check_body(&bytes);
        }

        #[test]
        fn no_damage_to_a_body_makes_it_panic(body in valid_body(), edits in edits()) {
            check_body(&damaged(body.as_bytes(), &edits));
        }

        #[test]
        fn no_text_in_a_field_makes_it_panic(text in "\\PC{0,40}") {
            let event = serde_json::json!({"type": text, "name": text, "id": text, "occurredAt": text});
            check_body(event.to_string().as_bytes());
            let event = serde_json::json!({"specversion": "1.0", "type": text, "id": text, "source": text, "time": text,
                "subject": text, "data_base64": text, "userid": text, &text: text});
            check_body(event.to_string().as_bytes());
        }

        #[test]
        fn no_json_in_a_field_makes_it_panic(field in "type|name|id|userId|payload|metadata|occurredAt|[a-z]{1,8}", depth in 0..300_usize) {
            let mut event: serde_json::Value = serde_json::from_str(EVENT).unwrap();
            event[&field] = serde_json::from_str(&format!("{}{}", "[".repeat(depth.min(100)), "]".repeat(depth.min(100)))).unwrap_or_default();
            check_body(event.to_string().as_bytes());
            // Deeper than a parser may follow.
            check_body(format!(r#"{{"type":"A","name":"a","payload":{}{}}}"#, "[".repeat(depth * 100), "]".repeat(depth * 100)).as_bytes());
        }

        #[test]
        fn no_header_makes_a_binary_cloud_event_panic(
            headers in prop::collection::vec(("ce-[a-z_]{0,12}|ce-(specversion|id|source|type|time|data)|[a-z]{1,5}", "[ -~]{0,20}|1\\.0|%[0-9a-f]{0,3}"), 0..8),
            kind in "application/json|image/png|text/plain; charset=utf-8|[ -~]{0,12}", body: Vec<u8>,
        ) {
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            match crate::cloud_event::join_binary(headers, &kind, &body) {
                Ok(joined) => check_body(&joined),
                Err(error) => prop_assert!(is_callers(&error)),
            }
        }

        #[test]
        fn what_is_compressed_is_read_back_and_damage_is_named(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4), edits in edits(), cut: prop::sample::Index,
        ) {
            let plain = parts.concat();
            let gzip: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
            let zstd: Vec<u8> = parts.iter().flat_map(|part| zstd::encode_all(part.as_slice(), 1).unwrap()).collect();
            for (encoding, sent) in [("gzip", gzip), ("zstd", zstd)] {
                // Several in a row are one body.
                prop_assert_eq!(&expand(sent.clone(), Some(encoding)).unwrap(), &plain);
                let cut = &sent[..cut.index(sent.len())];
                for bytes in [cut.to_vec(), damaged(&sent, &edits)] {
                    match expand(bytes, Some(encoding)) {
                        Ok(expanded) => prop_assert!(expanded.len() <= LONGEST_BODY),
                        Err(error) => prop_assert!(is_callers(&error)),
                    }
                }
            }
        }
    }

    proptest! {
        // A bomb takes a while to make.
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(32), ..ProptestConfig::default() })]
        #[test]
        fn no_bomb_grows_past_the_bound(byte: u8, over in 1..3_000_000_usize, level in 1..4, parts in 1..4_usize) {
            let most = LONGEST_BODY / parts + over;
            let part = vec![byte; most];
            let gzip: Vec<u8> = (0..parts).flat_map(|_| gzip(&part)).collect();
            let zstd: Vec<u8> = (0..parts).flat_map(|_| zstd::encode_all(part.as_slice(), level).unwrap()).collect();
            for (encoding, bomb) in [("gzip", gzip), ("zstd", zstd)] {
                prop_assert!(matches!(expand(bomb, Some(encoding)), Err(Error::TooLarge(_))));
            }
        }
    }
}
