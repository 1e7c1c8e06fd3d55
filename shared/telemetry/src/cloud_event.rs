//! CloudEvents 1.0.2: the JSON event format, and the HTTP binding's two ways to carry it. What becomes of their attributes here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::{Check, Error, Result, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::batch::{Format, media_type, not_json};
use crate::event::NewEvent;

/// The longest subject that is a user here.
const LONGEST_USER: usize = 200;

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
    /// Who it happened to; or the event's name here, if `type` is its type.
    subject: Option<String>,
    /// When it happened.
    time: Option<Time>,
    /// Any JSON; the payload here.
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<Box<RawValue>>,
    /// Bytes in base64 instead of `data`; the payload here, and `datacontentencoding` in the metadata is `base64`.
    data_base64: Option<String>,
    /// `datacontenttype`, `dataschema` and extension attributes, each a text, a number or a boolean; `userid` is the user here,
    /// before `subject`.
    #[serde(flatten)]
    #[schema(value_type = HashMap<String, serde_json::Value>)]
    rest: serde_json::Map<String, Value>,
}

impl CloudEvent {
    /// Maps it to an event of ours. It is the same event when `source` and `id` are (CloudEvents 1.0, section 3.1.1). Its type
    /// is a name here, unless it is one of our types; then its subject, or source, is the name.
    pub(crate) fn into_event(mut self) -> Result<NewEvent> {
        // A null attribute is one that is not there (JSON event format, section 2.2).
        self.rest.retain(|_, value| !value.is_null());
        self.check()?;
        let user_id = self.rest.remove("userid").map(|user| match user {
            Value::String(text) => text,
            other => other.to_string(),
        });
        let ours = matches!(self.r#type.as_str(), "ERROR" | "REQUEST" | "CUSTOM");
        let subject = self.subject.clone();
        let (kind, name, user) = if ours {
            (self.r#type, subject.unwrap_or_else(|| self.source.clone()), None)
        } else {
            let user = subject.filter(|subject| subject.chars().count() <= LONGEST_USER);
            ("CUSTOM".to_owned(), self.r#type, user)
        };
        let id = format!("{} {}", self.source, self.id);
        let mut metadata = serde_json::Map::from_iter([("source".to_owned(), self.source.into())]);
        metadata.extend(self.subject.map(|subject| ("subject".to_owned(), subject.into())));
        if self.data_base64.is_some() {
            metadata.insert("datacontentencoding".to_owned(), "base64".into());
        }
        metadata.extend(self.rest);
        let payload = match (self.data, self.data_base64) {
            (None, Some(text)) => Some(raw(&text)?),
            (data, _) => data,
        };
        Ok(NewEvent {
            id: Some(id),
            r#type: kind,
            name,
            user_id: user_id.or(user),
            payload,
            metadata: Some(raw(&metadata)?),
            occurred_at: self.time,
        })
    }

    fn check(&self) -> Result<()> {
        if self.specversion != "1.0" {
            return Err(Error::invalid("specversion", "must be 1.0"));
        }
        let mut check = Check::default();
        check.text("id", &self.id, 1..=99);
        check.text("source", &self.source, 1..=99);
        // It is a URI reference, so the first blank of what follows ends it.
        let is_one = !self.source.contains(char::is_whitespace);
        check.that(is_one, "source", "must be a URI reference");
        check.text("type", &self.r#type, 1..=1_000);
        if let Some(subject) = &self.subject {
            check.text("subject", subject, 1..=1_000);
        }
        for (name, value) in &self.rest {
            let plain = !value.is_array() && !value.is_object();
            check.that(plain, name, "must be a text, a number or a boolean");
        }
        if let Some(text) = &self.data_base64 {
            check.that(self.data.is_none(), "data_base64", "must not stand beside data");
            check.that(
                STANDARD.decode(text).is_ok(),
                "data_base64",
                "must be base64 (RFC 4648, section 4)",
            );
        }
        check.done()
    }
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>> {
    Ok(serde_json::value::to_raw_value(value).map_err(anyhow::Error::new)?)
}

/// How a request carries events: its content type decides, and `ce-` headers only where it says nothing of `CloudEvents` (HTTP
/// binding 1.0.2, section 3). Nothing stands for the binary mode.
pub fn mode(content_type: &str, has_version: bool) -> Result<Option<Format>> {
    if has_version && !media_type(content_type).starts_with("application/cloudevents") {
        return Ok(None);
    }
    Format::of(content_type).map(Some)
}

/// Puts the attributes of a `CloudEvent` in binary mode (`ce-` headers, HTTP binding, section 3.1) and its body together as one in
/// JSON. 400 names a header that cannot be read.
pub fn join_binary<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    content_type: &str,
    body: &[u8],
) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Joined<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
        #[serde(flatten)]
        attributes: serde_json::Map<String, Value>,
    }
    let mut attributes = serde_json::Map::new();
    for (header, value) in headers {
        if let Some(name) = header
            .strip_prefix("ce-")
            .filter(|name| !matches!(*name, "data" | "data_base64"))
        {
            attributes.insert(name.to_owned(), attribute(header, value)?.into());
        }
    }
    if !content_type.is_empty() {
        attributes.insert("datacontenttype".to_owned(), content_type.into());
    }
    let kind = media_type(content_type);
    let is_json = kind.ends_with("/json") || kind.ends_with("+json");
    let mut data = None;
    match std::str::from_utf8(body) {
        _ if body.is_empty() => {}
        _ if is_json => data = Some(serde_json::from_slice::<&RawValue>(body).map_err(not_json)?.to_owned()),
        Ok(text) => data = Some(raw(&text)?),
        Err(_) => drop(attributes.insert("data_base64".to_owned(), STANDARD.encode(body).into())),
    }
    let joined = Joined {
        data: data.as_deref(),
        attributes,
    };
    Ok(serde_json::to_vec(&joined).map_err(anyhow::Error::new)?)
}

/// The value of a header: first what quotes and backslashes stand for, then what is percent-encoded (section 3.1.3.2).
fn attribute(header: &str, value: &[u8]) -> Result<String> {
    let unreadable = |problem: &str| Error::malformed_field("malformed_header", header, problem);
    let value = std::str::from_utf8(value).ok().filter(|value| value.is_ascii());
    let value = value.ok_or_else(|| unreadable("must be ASCII, with other characters percent-encoded"))?;
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = quoted.map_or_else(|| value.to_owned(), unescape);
    let decoded = percent_encoding::percent_decode_str(&value).decode_utf8();
    let decoded = decoded.map_err(|_| unreadable("must be UTF-8 when it is percent-decoded"))?;
    Ok(decoded.into_owned())
}

/// What a quoted string of HTTP stands for (RFC 9110, section 5.6.4).
fn unescape(quoted: &str) -> String {
    let mut characters = quoted.chars();
    std::iter::from_fn(|| match characters.next()? {
        '\\' => characters.next(),
        plain => Some(plain),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use crate::batch::{read_many, read_one};

    const NOW: Time = Time::from_millis(1_800_000_000_000);
    const REQUIRED: [(&str, &str); 4] = [
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/s"),
        ("ce-type", "t"),
    ];

    fn structured(more: &str) -> Result<Event> {
        let event = format!(r#"{{"specversion":"1.0","id":"7","source":"/s","type":"t"{more}}}"#);
        read_one(event.as_bytes(), Format::CloudEvent, NOW)
    }

    fn binary(more: &[(&str, &str)], content_type: &str, body: &[u8]) -> Result<Event> {
        let headers = REQUIRED
            .iter()
            .chain(more)
            .map(|(name, value)| (*name, value.as_bytes()));
        read_one(&join_binary(headers, content_type, body)?, Format::CloudEvent, NOW)
    }

    fn metadata(event: &Event, name: &str) -> Value {
        let metadata: Value = serde_json::from_str(event.metadata.as_deref().unwrap()).unwrap();
        metadata[name].clone()
    }

    #[track_caller]
    fn refuses(read: Result<Event>, field: &str) {
        let error = read.unwrap_err();
        let named = match &error {
            Error::Invalid(problems) => problems.iter().any(|problem| problem.field == field),
            other => other.to_string().contains(field),
        };
        assert!(named, "{error:?} does not name {field}");
    }

    #[test]
    fn it_becomes_an_event_of_ours() {
        let event = structured(r#","data":{"a":1},"userid":"u","subject":"order 1""#).unwrap();
        assert_eq!((event.kind.as_str(), event.name.as_str()), ("CUSTOM", "t"));
        assert_eq!(event.client_id.as_deref(), Some("/s 7"));
        assert_eq!(event.payload.as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(
            (event.user_id.as_deref(), metadata(&event, "subject")),
            (Some("u"), "order 1".into())
        );
        // Who uses a metric is its subject; of an event with one of our types that is the name.
        assert_eq!(
            structured(r#","subject":"client-1""#).unwrap().user_id.as_deref(),
            Some("client-1")
        );
        assert_eq!(structured(r#","userid":7"#).unwrap().user_id.as_deref(), Some("7"));
        let ours = br#"{"specversion":"1.0","id":"7","source":"/s","type":"ERROR","subject":"s"}"#;
        let event = read_one(ours, Format::CloudEvent, NOW).unwrap();
        assert_eq!(
            (event.kind.as_str(), event.name.as_str(), event.user_id),
            ("ERROR", "s", None)
        );
    }

    /// The rules for who receives them in the JSON event format, one by one.
    #[test]
    fn the_json_format() {
        // 2.2, 2.3: null is absent; attributes are scalars; unknown ones are kept.
        let event =
            structured(r#","subject":null,"userid":null,"more":null,"extra":7,"flag":true,"text":"x""#).unwrap();
        assert_eq!(
            (event.user_id.as_deref(), metadata(&event, "more")),
            (None, Value::Null)
        );
        assert_eq!(
            (metadata(&event, "extra"), metadata(&event, "flag")),
            (7.into(), true.into())
        );
        refuses(structured(r#","extra":{"a":1}"#), "extra");
        refuses(structured(r#","extra":[1]"#), "extra");
        // Required attributes, none of them empty; subject, if there, is not empty; time is RFC 3339.
        for (event, field) in [
            (r#"{"id":"7","source":"/s","type":"t"}"#, "specversion"),
            (
                r#"{"specversion":"0.3","id":"7","source":"/s","type":"t"}"#,
                "specversion",
            ),
            (r#"{"specversion":"1.0","source":"/s","type":"t"}"#, "id"),
            (r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#, "id"),
            (r#"{"specversion":"1.0","id":"7","type":"t"}"#, "source"),
            (r#"{"specversion":"1.0","id":"7","source":"","type":"t"}"#, "source"),
            (r#"{"specversion":"1.0","id":"7","source":"a b","type":"t"}"#, "source"),
            (r#"{"specversion":"1.0","id":"7","source":"/s"}"#, "type"),
            (r#"{"specversion":"1.0","id":"7","source":"/s","type":""}"#, "type"),
        ] {
            refuses(read_one(event.as_bytes(), Format::CloudEvent, NOW), field);
        }
        refuses(structured(r#","subject":"""#), "subject");
        refuses(structured(r#","time":"2027-01-15 08:00""#), "time");
        // 3.1: `data` is any JSON; `data_base64` is base64, alone, and can be told from a text.
        let text = structured(r#","data":"AAEC","datacontenttype":"text/plain""#).unwrap();
        assert_eq!(
            (text.payload.as_deref(), metadata(&text, "datacontentencoding")),
            (Some(r#""AAEC""#), Value::Null)
        );
        assert_eq!(metadata(&text, "datacontenttype"), "text/plain");
        let bytes = structured(r#","data_base64":"AAEC""#).unwrap();
        assert_eq!(
            (bytes.payload.as_deref(), metadata(&bytes, "datacontentencoding")),
            (Some(r#""AAEC""#), "base64".into())
        );
        refuses(structured(r#","data_base64":"!!!""#), "data_base64");
        refuses(structured(r#","data_base64":"AAE""#), "data_base64");
        refuses(structured(r#","data_base64":"AAEC","data":1"#), "data_base64");
        // 4.1, 4.3: a batch is an array of whole events, and may be empty.
        assert_eq!(read_many(b"[]", Format::CloudEvents, NOW).unwrap(), (vec![], vec![]));
        let old = br#"[{"specversion":"0.3","id":"7","source":"/shop","type":"t"}]"#;
        let (good, bad) = read_many(old, Format::CloudEvents, NOW).unwrap();
        assert!(good.is_empty() && bad[0].detail.contains("specversion"));
    }

    /// The rules for who receives them by HTTP, one by one.
    #[test]
    fn the_http_binding() {
        // 3: the content type decides, whatever its case; `ce-` headers only where it is not of CloudEvents.
        for (content_type, has_version, expected) in [
            ("application/json", true, None),
            ("text/plain", true, None),
            ("", true, None),
            ("application/json", false, Some(Format::Plain)),
            (
                "Application/CloudEvents+JSON; charset=utf-8",
                true,
                Some(Format::CloudEvent),
            ),
            ("application/cloudevents+json", false, Some(Format::CloudEvent)),
            ("application/cloudevents-batch+json", true, Some(Format::CloudEvents)),
        ] {
            assert_eq!(mode(content_type, has_version).unwrap(), expected, "{content_type}");
        }
        for unknown in ["application/cloudevents+avro", "application/cloudevents"] {
            assert!(matches!(mode(unknown, true), Err(Error::Unsupported(_))), "{unknown}");
        }
        // 3.1.1: the content type of the body is `datacontenttype`; JSON is JSON in every case and with every suffix.
        for (content_type, body, payload) in [
            ("application/json", br#"{"b":2}"#.as_slice(), r#"{"b":2}"#),
            ("Application/JSON; charset=utf-8", br#"{"b":2}"#, r#"{"b":2}"#),
            ("application/problem+json", b"[1]", "[1]"),
            ("application/xml", b"<a/>", r#""<a/>""#),
            ("application/notjson", b"{}", r#""{}""#),
        ] {
            let event = binary(&[], content_type, body).unwrap();
            assert_eq!(
                (event.payload.as_deref(), metadata(&event, "datacontenttype")),
                (Some(payload), content_type.into())
            );
        }
        let picture = binary(&[], "image/png", &[0x89, 0xff, 0x00]).unwrap();
        assert_eq!(
            (picture.payload.as_deref(), metadata(&picture, "datacontentencoding")),
            (Some(r#""if8A""#), "base64".into())
        );
        assert_eq!(binary(&[], "application/json", b"").unwrap().payload, None);
        assert!(matches!(
            binary(&[], "application/json", b"{"),
            Err(Error::Malformed { .. })
        ));
    }

    /// 3.1.3.2: quotes and their escapes go first, then one round of percent-decoding, which must give UTF-8.
    #[test]
    fn the_values_of_headers() {
        for (value, subject) in [
            ("s%20%C3%A9", "s é"),
            (r#""two words""#, "two words"),
            (r#""say \"hi\" \\ bye""#, r#"say "hi" \ bye"#),
            (r#""a%20b""#, "a b"),
            ("%2541", "%41"),
            (r#"a"b"#, r#"a"b"#),
        ] {
            let event = binary(&[("ce-subject", value)], "", b"").unwrap();
            assert_eq!(metadata(&event, "subject"), subject, "{value}");
        }
        let quoted = [
            ("ce-specversion", "\"1.0\""),
            ("ce-id", "\"7\""),
            ("ce-source", "/s"),
            ("ce-type", "t"),
        ];
        let joined = join_binary(quoted.iter().map(|(name, value)| (*name, value.as_bytes())), "", b"").unwrap();
        assert_eq!(
            read_one(&joined, Format::CloudEvent, NOW).unwrap().client_id.as_deref(),
            Some("/s 7")
        );
        for bad in ["%C0%A0", "%ff", "é"] {
            refuses(binary(&[("ce-subject", bad)], "", b""), "ce-subject");
        }
        refuses(binary(&[("ce-id", "")], "", b""), "id");
    }
}
