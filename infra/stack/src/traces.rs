//! The daemon that Lambda runs beside each function, as far as it takes OpenTelemetry: spans come by UDP, in AWS's envelope. The
//! last of them are kept and shown; a collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names gets the bytes as they came.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message as _;
use serde_json::{Map, Value, json};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// So many spans are kept.
const KEPT: usize = 10_000;
/// So many traces are listed on the page.
const LISTED: usize = 50;
/// What comes before a sampled request of OTLP, in base64.
const HEADER: &str = "{\"format\":\"json\",\"version\":1}\nT1S";
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// OTLP over HTTP has one path for traces.
const PATH: &str = "v1/traces";

/// What the daemon knows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces {
    address: SocketAddr,
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

/// A span that came.
#[derive(Clone, Debug)]
struct Kept {
    service: String,
    span: otlp::Span,
}

impl Traces {
    /// Listens; hands on to a collector at this address, such as `http://localhost:4318`.
    pub async fn listen(collector: Option<String>) -> Result<(Self, JoinHandle<()>)> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.context("a port for traces")?;
        let traces = Self {
            address: socket.local_addr()?,
            kept: Arc::default(),
        };
        let (heard, collector) = (traces.clone(), Collector::of(collector));
        let task = tokio::spawn(async move {
            let mut datagram = vec![0; 65_536];
            while let Ok(length) = socket.recv(&mut datagram).await {
                match heard.take(&datagram[..length]) {
                    Ok(bytes) => drop(tokio::spawn(collector.clone().hand_on(bytes))),
                    Err(error) => tracing::warn!("what came as a trace is none: {error:#}"),
                }
            }
        });
        Ok((traces, task))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keeps what a datagram has; yields its OTLP.
    fn take(&self, datagram: &[u8]) -> Result<Vec<u8>> {
        let text = std::str::from_utf8(datagram)?;
        let text = text.strip_prefix(HEADER).context("its header is another")?;
        let bytes = STANDARD.decode(text)?;
        let request = ExportTraceServiceRequest::decode(bytes.as_slice())?;
        let mut kept = self.lock();
        for resource in request.resource_spans {
            let of = resource
                .resource
                .map(|resource| resource.attributes)
                .unwrap_or_default();
            let service = of
                .iter()
                .find(|pair| pair.key == "service.name")
                .map(|pair| text_of(pair.value.as_ref()));
            let service = service.unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| Kept {
                service: service.clone(),
                span,
            }));
        }
        let more = kept.len().saturating_sub(KEPT);
        kept.drain(..more);
        Ok(bytes)
    }

    /// The spans of one trace, or all that are kept, in the order in which they began.
    fn spans(&self, trace: Option<&str>) -> Vec<Kept> {
        let kept = self.lock();
        let wanted = |kept: &&Kept| trace.is_none_or(|trace| hex::encode(&kept.span.trace_id) == trace);
        let mut spans: Vec<Kept> = kept.iter().filter(wanted).cloned().collect();
        spans.sort_by_key(|kept| kept.span.start_time_unix_nano);
        spans
    }

    /// The same, as JSON.
    pub fn json(&self, trace: Option<&str>) -> Value {
        let data: Vec<Value> = self.spans(trace).iter().map(Kept::json).collect();
        json!({"data": data})
    }

    /// The same, as a page: the last traces, or one of them as a waterfall.
    pub fn page(&self, trace: Option<&str>) -> String {
        let spans = self.spans(trace);
        let body = if trace.is_some() {
            waterfall(&spans)
        } else {
            list(&spans)
        };
        format!("{HEAD}{body}")
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn kind(&self) -> &'static str {
        match self.span.kind() {
            otlp::span::SpanKind::Server => "SERVER",
            otlp::span::SpanKind::Client => "CLIENT",
            otlp::span::SpanKind::Producer => "PRODUCER",
            otlp::span::SpanKind::Consumer => "CONSUMER",
            otlp::span::SpanKind::Internal | otlp::span::SpanKind::Unspecified => "INTERNAL",
        }
    }

    fn failed(&self) -> bool {
        let status = self.span.status.as_ref();
        status.is_some_and(|status| status.code() == otlp::status::StatusCode::Error)
    }

    fn took_ns(&self) -> u64 {
        self.span
            .end_time_unix_nano
            .saturating_sub(self.span.start_time_unix_nano)
    }

    fn json(&self) -> Value {
        let parent = (!self.span.parent_span_id.is_empty()).then(|| hex::encode(&self.span.parent_span_id));
        let attributes: Map<String, Value> = self.span.attributes.iter().map(attribute).collect();
        let links = self.span.links.iter();
        let links: Vec<Value> = links
            .map(|link| json!({"traceId": hex::encode(&link.trace_id), "spanId": hex::encode(&link.span_id)}))
            .collect();
        json!({
            "traceId": hex::encode(&self.span.trace_id), "spanId": hex::encode(&self.span.span_id), "parentSpanId": parent,
            "name": self.span.name, "kind": self.kind(), "service": self.service, "failed": self.failed(),
            "startUnixNano": self.span.start_time_unix_nano, "durationNano": self.took_ns(),
            "attributes": attributes, "links": links,
        })
    }
}

fn attribute(pair: &KeyValue) -> (String, Value) {
    let value = match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(truth)) => json!(truth),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        _ => Value::Null,
    };
    (pair.key.clone(), value)
}

fn text_of(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

/// Who gets the bytes as they came, if anybody.
#[derive(Clone)]
struct Collector(Option<(reqwest::Client, String)>);

impl Collector {
    fn of(address: Option<String>) -> Self {
        let url = address.map(|address| format!("{}/{PATH}", address.trim_end_matches('/')));
        Self(url.map(|url| (reqwest::Client::new(), url)))
    }

    async fn hand_on(self, bytes: Vec<u8>) {
        let Some((client, url)) = &self.0 else { return };
        let request = client
            .post(url)
            .timeout(PATIENCE)
            .header("content-type", "application/x-protobuf")
            .body(bytes);
        match request.send().await.and_then(reqwest::Response::error_for_status) {
            Ok(_) => {}
            Err(error) => tracing::warn!("the collector did not take a trace: {error}"),
        }
    }
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Traces</title><style>
body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#1c2733;background:#fff}
h1{font-size:1.2rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #e3e8ee}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.t{width:50%}
.b{height:.9rem;min-width:2px;border-radius:2px;background:#2f6fde}.CONSUMER .b{background:#0f766e}.CLIENT .b{background:#94a3b8}
.failed .b{background:#c62828}.failed .m{color:#c62828;font-weight:600}small{color:#5b6875}a{color:#1d4ed8}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}small{color:#9aa7b4}a{color:#7aa2f7}}
</style>";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[expect(clippy::cast_precision_loss, reason = "for eyes")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// The last traces, the newest first.
fn list(spans: &[Kept]) -> String {
    let mut page =
        String::from("<h1>Traces</h1><table><tr><th>began with</th><th>in</th><th>spans</th><th>ms</th></tr>");
    let mut seen: Vec<&[u8]> = Vec::new();
    for kept in spans.iter().rev() {
        let id = kept.span.trace_id.as_slice();
        if seen.contains(&id) || seen.len() == LISTED {
            continue;
        }
        seen.push(id);
        let of_it: Vec<&Kept> = spans.iter().filter(|other| other.span.trace_id == id).collect();
        let first = of_it[0];
        let failed = if of_it.iter().any(|kept| kept.failed()) {
            "failed"
        } else {
            ""
        };
        let _ = write!(
            page,
            "<tr class=\"{failed}\"><td><a class=\"m\" href=\"?traceId={}\">{}</a></td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1}</td></tr>",
            hex::encode(id),
            escaped(&first.span.name),
            escaped(&first.service),
            of_it.len(),
            ms(span_of(&of_it).1),
        );
    }
    page + "</table>"
}

/// When the first of some spans began, and how long until the last ended.
fn span_of(spans: &[&Kept]) -> (u64, u64) {
    let from = spans
        .iter()
        .map(|kept| kept.span.start_time_unix_nano)
        .min()
        .unwrap_or_default();
    let until = spans
        .iter()
        .map(|kept| kept.span.end_time_unix_nano)
        .max()
        .unwrap_or_default();
    (from, until.saturating_sub(from))
}

/// One trace, each span below what it is part of.
fn waterfall(spans: &[Kept]) -> String {
    let all: Vec<&Kept> = spans.iter().collect();
    let (from, total) = span_of(&all);
    let known = |id: &[u8]| spans.iter().any(|kept| kept.span.span_id == id);
    let mut page = String::from(
        "<h1>One trace</h1><p><a href=\"?\">all</a></p><table><tr><th>what</th><th>when</th><th>ms</th></tr>",
    );
    let mut rest: Vec<(&Kept, usize)> = Vec::new();
    let roots = spans.iter().rev().filter(|kept| !known(&kept.span.parent_span_id));
    rest.extend(roots.map(|root| (root, 0)));
    while let Some((kept, depth)) = rest.pop() {
        let children = spans
            .iter()
            .rev()
            .filter(|child| child.span.parent_span_id == kept.span.span_id);
        rest.extend(children.map(|child| (child, depth + 1)));
        let share = |ns: u64| 100.0 * ms(ns) / ms(total.max(1));
        let failed = if kept.failed() { " failed" } else { "" };
        let _ = write!(
            page,
            "<tr class=\"{}{failed}\"><td style=\"padding-left:{}rem\"><span class=\"m\">{}</span> <small>{}</small></td><td class=\"t\"><div class=\"b\" style=\"margin-left:{:.2}%;width:{:.2}%\"></div></td><td class=\"n\">{:.1}</td></tr>",
            kept.kind(),
            depth + 1,
            escaped(&kept.span.name),
            escaped(&kept.service),
            share(kept.span.start_time_unix_nano - from),
            share(kept.took_ns()),
            ms(kept.took_ns()),
        );
    }
    page + "</table>"
}
