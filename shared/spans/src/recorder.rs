//! Recording spans, and handing them to the daemon.

use std::mem;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Record};
use tracing::{Id, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::otlp::{self, Ended, Kind, Value};
use crate::{Context, invocation};

/// The target of spans that are recorded.
pub const TARGET: &str = "span";

/// What AWS's daemon takes as OTLP: the header of each of its messages, and the mark of a sampled one.
const HEADER: &str = "{\"format\":\"json\",\"version\":1}\nT1S";
/// A datagram holds at most 64 KiB; base64 makes four bytes of three.
const MOST_BYTES: usize = 45_000;
/// So many spans wait for the end of an invocation; of more, calls are dropped, and what they are part of is kept.
const MOST_SPANS: usize = 500;
/// Longer texts are cut.
const LONGEST_TEXT: usize = 256;

/// The recorder of this process, if it has one.
static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// Records spans that end. Clones are one.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: UdpSocket,
    resource: Vec<u8>,
    ended: Mutex<Vec<Vec<u8>>>,
}

/// A span that has not ended, in the registry beside it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) context: Context,
    parent: Option<[u8; 8]>,
    link: Option<Context>,
    seen: Seen,
    kind: Kind,
    started: Instant,
    from_ns: u64,
}

/// Records what this process does, for the daemon at this address. A process has one recorder; an address that is none gives
/// none, for nothing shall fail for want of traces.
pub fn start(daemon: &str, service: &str, region: &str) -> Option<Recorder> {
    let recorder = Recorder::to(daemon, service, region).ok()?;
    RECORDER.set(recorder.clone()).ok()?;
    Some(recorder)
}

/// Whether anything is recorded in this process.
pub fn is_on() -> bool {
    RECORDER.get().is_some()
}

/// Hands over what has ended. It waits for nobody, and what is lost is lost.
pub fn flush() {
    if let Some(recorder) = RECORDER.get() {
        recorder.flush();
    }
}

impl Recorder {
    /// One for a daemon at an address, of a function in a region.
    pub fn to(daemon: &str, service: &str, region: &str) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(if daemon.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" })?;
        socket.connect(daemon)?;
        socket.set_nonblocking(true)?;
        let text = |text: &str| Value::Text(text.to_owned());
        let resource = otlp::resource(&[
            ("service.name", text(service)),
            ("cloud.provider", text("aws")),
            ("cloud.platform", text("aws_lambda")),
            ("cloud.region", text(region)),
        ]);
        Ok(Self(Arc::new(Inner {
            socket,
            resource,
            ended: Mutex::default(),
        })))
    }

    /// Hands over what has ended.
    pub fn flush(&self) {
        let ended = mem::take(&mut *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rest = ended.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|span| {
                bytes += span.len();
                bytes <= MOST_BYTES
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            let message = STANDARD.encode(otlp::request(&self.0.resource, now));
            // Nobody listens, or the daemon is busy: then there is no trace.
            let _ = self.0.socket.send(format!("{HEADER}{message}").as_bytes());
            rest = later;
        }
    }

    fn end(&self, open: &Open) {
        let took = u64::try_from(open.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let span = otlp::span(&Ended {
            context: open.context,
            parent: open.parent,
            link: open.link,
            name: &open.seen.name,
            kind: open.kind,
            from_ns: open.from_ns,
            until_ns: open.from_ns.saturating_add(took),
            attributes: &open.seen.attributes,
            failed: open.seen.failed,
        });
        let mut ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() < MOST_SPANS || open.kind != Kind::Client {
            ended.push(span);
        }
    }
}

/// What was said of a span in its fields.
#[derive(Debug, Default)]
struct Seen {
    name: String,
    kind: Option<Kind>,
    parent: Option<Context>,
    failed: bool,
    attributes: Vec<(&'static str, Value)>,
}

impl Seen {
    fn note(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("otel.name", Value::Text(text)) => self.name = text,
            ("otel.kind", Value::Text(text)) => {
                self.kind = match text.as_str() {
                    "server" => Some(Kind::Server),
                    "client" => Some(Kind::Client),
                    "consumer" => Some(Kind::Consumer),
                    _ => None,
                };
            }
            ("otel.parent", Value::Text(text)) => self.parent = text.parse().ok(),
            ("error", Value::Truth(failed)) => self.failed = failed,
            (name, value) => self.attributes.push((name, value)),
        }
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let end = value.floor_char_boundary(LONGEST_TEXT);
        self.note(field, Value::Text(value[..end].to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, Value::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, Value::Number(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field, Value::Fraction(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, Value::Truth(value));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: tracing_subscriber::layer::Context<'_, S>) {
        let running = invocation::running();
        let Some(span) = ctx.span(id).filter(|_| running.sampled) else {
            return;
        };
        let mut seen = Seen {
            name: attributes.metadata().name().to_owned(),
            ..Seen::default()
        };
        attributes.record(&mut seen);
        let around = span
            .scope()
            .skip(1)
            .find_map(|span| Some(span.extensions().get::<Open>()?.context));
        let kind = seen.kind.unwrap_or(Kind::Internal);
        let begins = matches!(kind, Kind::Server | Kind::Consumer);
        // Who was sent a message by what caused it is within both; the nearer one is told.
        let near = around.filter(|around| seen.parent.is_none_or(|parent| parent.trace == around.trace));
        let parent = near.or(seen.parent);
        let trace = match (parent, running.segment) {
            (Some(parent), _) => parent.trace,
            (None, _) if !begins => return,
            (None, Some(segment)) => segment.trace,
            (None, None) => kernel::id::random(),
        };
        // Within a trace of its own, Lambda's span around it is its parent; in another's, only a link leads there.
        let segment = running.segment.filter(|_| begins && around.is_none());
        let own = segment.filter(|segment| segment.trace == trace);
        let open = Open {
            context: Context {
                trace,
                span: kernel::id::random(),
            },
            parent: parent.or(own).map(|parent| parent.span),
            link: segment.or(around).filter(|other| other.trace != trace),
            seen,
            kind,
            started: Instant::now(),
            from_ns: now_ns(),
        };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: tracing_subscriber::layer::Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(&mut open.seen);
        }
    }

    fn on_close(&self, id: Id, ctx: tracing_subscriber::layer::Context<'_, S>) {
        if let Some(span) = ctx.span(&id)
            && let Some(open) = span.extensions().get::<Open>()
        {
            self.end(open);
        }
    }
}

/// A span is when it was, also where tests move the clock that the system goes by.
#[expect(clippy::disallowed_methods, reason = "it is measured, and decides nothing")]
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
