//! Spans: what took how long on the way of a request, as everybody's tools read it (OpenTelemetry).
//!
//! A span is one of `tracing`'s with the target [`TARGET`]. A [`Recorder`] makes OTLP bytes of those that end, and hands them by
//! one datagram to the daemon that Lambda runs beside each function: no layer, no TLS, no wait. Where no daemon is named, or
//! the invocation is not sampled, such spans cost next to nothing and the trace of the caller is handed on as it came.
//!
//! Of its fields `otel.name` is what it is called, `otel.kind` its kind, `otel.parent` the `traceparent` of what caused it (else it is
//! the span around it), `error` whether it failed; all others are its attributes. What has neither cause nor a kind that may
//! begin a trace is not recorded.

/// The attribute of messages in queues that says what they are sent within, as a `traceparent`.
pub const ATTRIBUTE: &str = "traceparent";

mod context;
mod invocation;
mod otlp;
mod recorder;

pub use context::{Context, current, of};
pub use invocation::begin;
pub use recorder::{Recorder, TARGET, flush, is_on, start};
