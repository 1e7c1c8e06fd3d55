//! Reads what clients send to ingest: one event or many, plain or as CloudEvents 1.0, compressed or not. Each event
//! of a batch is judged alone; the batch as a whole is refused only when it cannot be read at all.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::{Check, Error, FieldProblem, Input, Result, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Event;
use crate::event::{LONGEST_EVENT, NewEvent};

/// A body is at most this long, as sent and after it is expanded.
pub const LONGEST_BODY: usize = 1024 * 1024;
/// A batch holds at most this many events.
pub const MOST_EVENTS: usize = 1_000;

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
        match content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "application/json" => Ok(Self::Plain),
            "application/cloudevents+json" => Ok(Self::CloudEvent),
            "application/cloudevents-batch+json" => Ok(Self::CloudEvents),
            _ => Err(Error::Unsupported(
                "send application/json, application/cloudevents+json or application/cloudevents-batch+json".to_owned(),
            )),
        }
    }
}

/// Why one event of a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Rejected {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// `malformed`, `invalid`, `too_large` or `unavailable`; stable.
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
    if raw.is_empty() || raw.len() > MOST_EVENTS {
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

fn judge(raw: &RawValue, format: Format, received_at: Time) -> Result<Event> {
    if raw.get().len() > LONGEST_EVENT {
        return Err(Error::TooLarge(format!("an event has at most {LONGEST_EVENT} bytes")));
    }
    let event: NewEvent = match format {
        Format::Plain => read(raw)?,
        Format::CloudEvent | Format::CloudEvents => from_cloud_event(read(raw)?)?,
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
fn not_json(error: serde_json::Error) -> Error {
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

/// A CloudEvent in its JSON format (CloudEvents 1.0.2, JSON event format 1.0.2).
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct CloudEvent {
    /// `1.0`.
    specversion: String,
    /// 1 to 99 characters; with `source` it names the event, which counts once within 24 hours.
    id: String,
    /// A URI reference of 1 to 99 characters.
    source: String,
    /// The event's name here; or its type, if it is `ERROR`, `REQUEST` or `CUSTOM`.
    r#type: String,
    /// The event's name here, if `type` is its type.
    subject: Option<String>,
    /// When it happened.
    time: Option<Time>,
    /// Any JSON; the payload here.
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<Box<RawValue>>,
    /// Bytes in base64 instead of `data`.
    data_base64: Option<String>,
    /// `datacontenttype`, `dataschema` and extension attributes; `userid` is the user here.
    #[serde(flatten)]
    #[schema(value_type = HashMap<String, serde_json::Value>)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// Maps a CloudEvent to ours. It is the same event when `source` and `id` are (CloudEvents 1.0, section 3.1.1). Its
/// type is a name here, unless it is one of our types; then its subject, or source, is the name.
fn from_cloud_event(mut cloud: CloudEvent) -> Result<NewEvent> {
    if cloud.specversion != "1.0" {
        return Err(Error::invalid("specversion", "must be 1.0"));
    }
    let mut check = Check::default();
    check.text("id", &cloud.id, 1..=99);
    check.text("source", &cloud.source, 1..=99);
    // It is a URI reference, so the first blank of what follows ends it.
    check.that(
        !cloud.source.contains(char::is_whitespace),
        "source",
        "must be a URI reference",
    );
    check.done()?;
    let user_id = cloud
        .rest
        .remove("userid")
        .and_then(|user| user.as_str().map(str::to_owned));
    let ours = matches!(cloud.r#type.as_str(), "ERROR" | "REQUEST" | "CUSTOM");
    let (kind, name) = if ours {
        (
            cloud.r#type,
            cloud.subject.clone().unwrap_or_else(|| cloud.source.clone()),
        )
    } else {
        ("CUSTOM".to_owned(), cloud.r#type)
    };
    let id = format!("{} {}", cloud.source, cloud.id);
    let mut metadata = serde_json::Map::from_iter([("source".to_owned(), cloud.source.into())]);
    metadata.extend(cloud.subject.map(|subject| ("subject".to_owned(), subject.into())));
    metadata.extend(cloud.rest);
    let data = match (cloud.data, cloud.data_base64) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("data_base64", "must not stand beside data"));
        }
        (Some(data), None) => Some(data),
        (None, Some(text)) => Some(raw(&text)?),
        (None, None) => None,
    };
    Ok(NewEvent {
        id: Some(id),
        r#type: kind,
        name,
        user_id,
        payload: data,
        metadata: Some(raw(&metadata)?),
        occurred_at: cloud.time,
    })
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>> {
    Ok(serde_json::value::to_raw_value(value).map_err(anyhow::Error::new)?)
}

/// Puts the attributes of a CloudEvent in binary mode (`ce-` headers, CloudEvents HTTP binding 1.0.2) and its body
/// together as one in JSON.
pub fn join_binary<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    content_type: &str,
    body: &[u8],
) -> Result<Vec<u8>> {
    // Values come percent-encoded (section 3.1.3.2 of the binding).
    let decode = |value| {
        percent_encoding::percent_decode_str(value)
            .decode_utf8_lossy()
            .into_owned()
    };
    let attribute = |(name, value): (&str, _)| Some((name.strip_prefix("ce-")?.to_owned(), decode(value).into()));
    let mut event: serde_json::Map<String, serde_json::Value> = headers.filter_map(attribute).collect();
    event.remove("data");
    event.remove("data_base64");
    if !body.is_empty() {
        let json = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .ends_with("json");
        let (name, data) = match std::str::from_utf8(body) {
            _ if json => ("data", serde_json::from_slice(body).map_err(not_json)?),
            Ok(text) => ("data", text.into()),
            Err(_) => ("data_base64", STANDARD.encode(body).into()),
        };
        event.insert(name.to_owned(), data);
    }
    Ok(serde_json::to_vec(&event).map_err(anyhow::Error::new)?)
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
            "[]",
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

    #[test]
    fn cloud_events_are_taken() {
        let body =
            br#"{"specversion":"1.0","id":"7","source":"/shop","type":"com.example.sold","data":{"a":1},"userid":"u"}"#;
        let event = read_one(body, Format::CloudEvent, NOW).unwrap();
        assert_eq!(
            (event.kind.as_str(), event.name.as_str()),
            ("CUSTOM", "com.example.sold")
        );
        assert_eq!(event.client_id.as_deref(), Some("/shop 7"));
        assert_eq!(event.payload.as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(event.user_id.as_deref(), Some("u"));

        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "7"),
            ("ce-source", "/s"),
            ("ce-type", "ERROR"),
            ("ce-subject", "s%20%C3%A9"),
        ];
        let joined = join_binary(headers.into_iter(), "application/json", br#"{"b":2}"#).unwrap();
        let event = read_one(&joined, Format::CloudEvent, NOW).unwrap();
        assert_eq!((event.kind.as_str(), event.name.as_str()), ("ERROR", "s é"));

        let picture = join_binary(headers.into_iter(), "image/png", &[0x89, 0xff, 0x00]).unwrap();
        let event = read_one(&picture, Format::CloudEvent, NOW).unwrap();
        assert_eq!(event.payload.as_deref(), Some(r#""if8A""#));

        let old = br#"[{"specversion":"0.3","id":"7","source":"/shop","type":"t"}]"#;
        let (good, bad) = read_many(old, Format::CloudEvents, NOW).unwrap();
        assert!(good.is_empty() && bad[0].detail.contains("specversion"));
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
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            match join_binary(headers, &kind, &body) {
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
