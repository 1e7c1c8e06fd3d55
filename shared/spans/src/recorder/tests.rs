//! What a daemon gets, read by the classes that OpenTelemetry makes of its own description.

use std::net::UdpSocket;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tracing::info_span;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::{begin, current};

const SAMPLED: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What invocation runs is known to the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records what is done in an invocation, and reads each datagram that a daemon gets.
fn heard(trace_id: &str, act: impl FnOnce()) -> Vec<ExportTraceServiceRequest> {
    let _alone = alone();
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let recorder = Recorder::to(&daemon.local_addr().unwrap().to_string(), "ingest", "eu-central-1").unwrap();
    begin(Some(trace_id));
    let subscriber = tracing_subscriber::registry().with(recorder.clone());
    tracing::subscriber::with_default(subscriber, act);
    recorder.flush();
    let mut requests = Vec::new();
    let mut datagram = vec![0; 65_536];
    while let Ok(length) = daemon.recv(&mut datagram) {
        let text = std::str::from_utf8(&datagram[..length]).unwrap();
        let bytes = STANDARD.decode(text.strip_prefix(HEADER).unwrap()).unwrap();
        requests.push(ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap());
    }
    requests
}

fn spans(requests: Vec<ExportTraceServiceRequest>) -> Vec<Span> {
    let resources = requests.into_iter().flat_map(|request| request.resource_spans);
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn attribute(span: &Span, key: &str) -> Option<Any> {
    let found = span.attributes.iter().find(|pair| pair.key == key)?;
    found.value.clone()?.value
}

fn request(parent: Option<&str>) -> tracing::Span {
    let status = tracing::field::Empty;
    info_span!(target: TARGET, "request", otel.kind = "server", otel.name = "GET /v1/plans", otel.parent = parent, status, error = status)
}

#[test]
fn a_request_and_its_calls_are_one_trace_that_others_read() {
    let requests = heard(SAMPLED, || {
        let request = request(Some(CALLER));
        request.in_scope(|| {
            let call =
                info_span!(target: TARGET, "call", otel.kind = "client", bytes = 7_u64, quick = true, share = 0.5);
            assert!(current().unwrap().starts_with(&CALLER[..36]));
            drop(call);
        });
        request.record("status", 503_u64);
        request.record("error", true);
    });
    let resource = requests[0].resource_spans[0].resource.clone().unwrap();
    assert_eq!(
        resource.attributes[0].value.clone().unwrap().value,
        Some(Any::StringValue("ingest".into()))
    );
    let spans = spans(requests);
    let [call, request] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(
        (
            request.name.as_str(),
            request.kind,
            request.status.clone().unwrap().code
        ),
        ("GET /v1/plans", 2, 2)
    );
    assert_eq!(hex::encode(&request.trace_id), CALLER[3..35]);
    assert_eq!(hex::encode(&request.parent_span_id), CALLER[36..52]);
    // Where Lambda's own span is, is another trace.
    assert_eq!(
        hex::encode(&request.links[0].trace_id),
        "5759e988bd862e3fe1be46a994272793"
    );
    assert_eq!(attribute(request, "status"), Some(Any::IntValue(503)));
    assert_eq!(
        (call.kind, &call.trace_id, &call.parent_span_id),
        (3, &request.trace_id, &request.span_id)
    );
    assert!(call.links.is_empty() && call.status.is_none());
    assert_eq!(attribute(call, "bytes"), Some(Any::IntValue(7)));
    assert_eq!(attribute(call, "quick"), Some(Any::BoolValue(true)));
    assert_eq!(attribute(call, "share"), Some(Any::DoubleValue(0.5)));
    let lasts = |span: &Span| span.start_time_unix_nano..=span.end_time_unix_nano;
    assert!(lasts(request).contains(&call.start_time_unix_nano) && lasts(request).contains(&call.end_time_unix_nano));
}

#[test]
fn without_a_caller_it_is_lambdas_trace_and_without_that_a_new_one() {
    let spans_of = |trace_id: &str| spans(heard(trace_id, || drop(request(Some("nonsense")))));
    let own = &spans_of(SAMPLED)[0];
    assert_eq!(hex::encode(&own.trace_id), "5759e988bd862e3fe1be46a994272793");
    assert_eq!(
        (hex::encode(&own.parent_span_id).as_str(), own.links.len()),
        ("53995c3f42cd8ad8", 0)
    );
    let new = &spans_of("Sampled=1")[0];
    assert!(new.trace_id.iter().any(|byte| *byte != 0) && new.parent_span_id.is_empty());
}

#[test]
fn what_is_not_sampled_or_belongs_to_nothing_is_not_recorded() {
    let quiet = heard(&SAMPLED.replace("Sampled=1", "Sampled=0"), || {
        let request = request(Some(CALLER));
        assert_eq!(request.in_scope(current), None);
    });
    assert!(quiet.is_empty());
    let lonely = heard(SAMPLED, || {
        drop(info_span!(target: TARGET, "call", otel.kind = "client"));
    });
    assert!(lonely.is_empty());
}

#[test]
fn a_message_is_within_who_sent_it_or_linked_to_who_took_it() {
    let work = |caused_by: &str| {
        let job = info_span!(target: TARGET, "job", otel.kind = "consumer", otel.parent = caused_by);
        drop(job);
    };
    let spans = spans(heard(SAMPLED, || {
        let message = info_span!(target: TARGET, "message", otel.kind = "consumer", otel.parent = CALLER);
        message.in_scope(|| {
            work(CALLER);
            work("00-11111111111111111111111111111111-2222222222222222-01");
        });
    }));
    let [near, far, message] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(
        (&near.trace_id, &near.parent_span_id),
        (&message.trace_id, &message.span_id)
    );
    assert_eq!(hex::encode(&far.trace_id), "1".repeat(32));
    assert_eq!(
        (&far.links[0].trace_id, &far.links[0].span_id),
        (&message.trace_id, &message.span_id)
    );
}

#[test]
fn many_spans_fit_their_datagrams_and_of_a_flood_the_frame_is_kept() {
    let requests = heard(SAMPLED, || {
        let request = request(None);
        request.in_scope(|| {
            for _ in 0..2_000 {
                drop(info_span!(target: TARGET, "call", otel.kind = "client", text = "é".repeat(30)));
            }
        });
    });
    assert!(requests.len() > 1, "{}", requests.len());
    let spans = spans(requests);
    assert_eq!(spans.len(), MOST_SPANS + 1);
    assert_eq!(spans.last().unwrap().name, "GET /v1/plans");
}

#[test]
fn long_texts_are_cut_where_a_character_ends() {
    let long =
        || drop(info_span!(target: TARGET, "job", otel.kind = "consumer", text = format!("x{}", "é".repeat(1_000))));
    let spans = spans(heard(SAMPLED, long));
    assert_eq!(
        attribute(&spans[0], "text"),
        Some(Any::StringValue(format!("x{}", "é".repeat(127))))
    );
}
