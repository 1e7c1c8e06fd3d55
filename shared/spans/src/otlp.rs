//! OTLP as bytes (opentelemetry-proto 1.x, `ExportTraceServiceRequest`): the few messages that a span needs, written as Protocol
//! Buffers. Tests read them with the project's own classes.

use crate::Context;

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Fraction(f64),
    Truth(bool),
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) context: Context,
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) link: Option<Context>,
    pub(crate) name: &'a str,
    pub(crate) kind: Kind,
    pub(crate) from_ns: u64,
    pub(crate) until_ns: u64,
    pub(crate) attributes: &'a [(&'static str, Value)],
    pub(crate) failed: bool,
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Consumer = 5,
}

/// `Status.StatusCode.STATUS_CODE_ERROR`.
const FAILED: u64 = 2;
/// The wire types of Protocol Buffers.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

/// A span as the field `spans` of its scope.
pub(crate) fn span(ended: &Ended<'_>) -> Vec<u8> {
    let mut span = Message::default();
    span.bytes(1, &ended.context.trace).bytes(2, &ended.context.span);
    if let Some(parent) = &ended.parent {
        span.bytes(4, parent);
    }
    span.bytes(5, ended.name.as_bytes()).number(6, ended.kind as u64);
    span.fixed(7, ended.from_ns).fixed(8, ended.until_ns);
    for (key, value) in ended.attributes {
        span.bytes(9, &attribute(key, value).0);
    }
    if let Some(link) = &ended.link {
        let mut written = Message::default();
        written.bytes(1, &link.trace).bytes(2, &link.span);
        span.bytes(13, &written.0);
    }
    if ended.failed {
        let mut status = Message::default();
        status.number(3, FAILED);
        span.bytes(15, &status.0);
    }
    let mut field = Message::default();
    field.bytes(2, &span.0);
    field.0
}

/// What a function says of itself.
pub(crate) fn resource(attributes: &[(&'static str, Value)]) -> Vec<u8> {
    let mut resource = Message::default();
    for (key, value) in attributes {
        resource.bytes(1, &attribute(key, value).0);
    }
    resource.0
}

/// Spans, each as [`span`] gives it, of one resource.
pub(crate) fn request(resource: &[u8], spans: &[Vec<u8>]) -> Vec<u8> {
    let mut scope = Message::default();
    let mut named = Message::default();
    named.bytes(1, b"countinghouse");
    scope.bytes(1, &named.0);
    for span in spans {
        scope.0.extend_from_slice(span);
    }
    let mut all = Message::default();
    all.bytes(1, resource).bytes(2, &scope.0);
    let mut request = Message::default();
    request.bytes(1, &all.0);
    request.0
}

fn attribute(key: &str, value: &Value) -> Message {
    let mut any = Message::default();
    match value {
        Value::Text(text) => any.bytes(1, text.as_bytes()),
        Value::Truth(truth) => any.number(2, u64::from(*truth)),
        Value::Number(number) => any.number(3, number.cast_unsigned()),
        Value::Fraction(number) => any.fixed(4, number.to_bits()),
    };
    let mut pair = Message::default();
    pair.bytes(1, key.as_bytes()).bytes(2, &any.0);
    pair
}

/// A message of Protocol Buffers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut rest: u64) {
        while rest >= 0x80 {
            self.0.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.0.push(rest.to_le_bytes()[0]);
    }

    fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3 | VARINT);
        self.varint(value);
        self
    }

    fn fixed(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3 | FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }
}
