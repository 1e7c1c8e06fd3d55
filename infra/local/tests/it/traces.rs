//! One trace over real processes: from a client's request over the fact that it makes to the webhook that is called, as a
//! collector of OpenTelemetry gets it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::golden_path::{Tenant, Up};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A server that keeps what is sent to it: traces at one path, webhooks at another.
#[derive(Clone, Default)]
struct Server {
    /// The ids of spans, by trace.
    collected: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
    /// The `traceparent` of each webhook.
    called: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn listen(&self) -> String {
        let (collecting, calling) = (self.clone(), self.clone());
        let collect = move |body: Bytes| async move { collecting.collect(&body) };
        let call = move |headers: HeaderMap| async move {
            let trace = headers["traceparent"].to_str().unwrap().to_owned();
            calling.called.lock().unwrap().push(trace);
        };
        let routes = Router::new()
            .route("/v1/traces", post(collect))
            .route("/hook", post(call));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}")
    }

    fn collect(&self, body: &[u8]) {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans);
        let mut collected = self.collected.lock().unwrap();
        for span in scopes.flat_map(|scope| scope.spans) {
            let trace = collected.entry(hex::encode(span.trace_id)).or_default();
            trace.insert(hex::encode(span.span_id));
        }
    }
}

async fn post_as(up: &Up, tenant: &Tenant, path: &str, body: Value, trace: Option<&str>) -> Value {
    let mut headers = vec![
        ("authorization", tenant.token.as_str()),
        ("x-org-id", tenant.org.as_str()),
    ];
    headers.extend(trace.map(|trace| ("traceparent", trace)));
    let (status, reply) = up.call(Method::POST, path, &headers, Some(body)).await;
    assert!(status.is_success(), "{path}: {status} {reply}");
    reply
}

#[tokio::test]
async fn a_request_and_the_webhook_it_causes_are_one_trace() {
    let server = Server::default();
    let url = server.listen().await;
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_in(data.path(), &[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
    let tenant = Tenant::register(&up).await;
    let hook = json!({"url": format!("{url}/hook"), "events": ["invoice.created"]});
    post_as(&up, &tenant, "/v1/webhook-subscriptions", hook, None).await;
    let client = json!({"name": "Globex", "email": "ap@globex.example", "currency": "EUR"});
    let client = post_as(&up, &tenant, "/v1/clients", client, None).await;
    let line = json!({"description": "Work", "quantity": 1, "unitPrice": 100});
    let invoice = json!({"clientId": client["id"], "currency": "EUR", "dueDate": "2030-01-01", "lineItems": [line]});
    let caller = format!("00-{TRACE}-00f067aa0ba902b7-01");
    post_as(&up, &tenant, "/v1/invoices", invoice, Some(&caller)).await;

    let called = async || server.called.lock().unwrap().first().cloned();
    let called = up.until("the webhook is called", called).await;
    let path = format!("/_local/traces?traceId={TRACE}");
    let spans = up
        .until("the webhook's job is told of", async || {
            let (_, reply) = up.call(Method::GET, &path, &[], None).await;
            let spans = reply["data"].as_array().unwrap().clone();
            spans
                .iter()
                .any(|span| span["spanId"] == called[36..52])
                .then_some(spans)
        })
        .await;
    let kinds: Vec<(&str, &str)> = spans
        .iter()
        .map(|span| (span["kind"].as_str().unwrap(), span["name"].as_str().unwrap()))
        .collect();
    for wanted in [
        ("SERVER", "POST /v1/invoices"),
        ("CLIENT", "DynamoDB.TransactWriteItems"),
        ("CLIENT", "SQS.SendMessageBatch"),
        ("CONSUMER", "process"),
        ("CONSUMER", "fact invoice.created"),
        ("CONSUMER", "job delivery"),
        ("CLIENT", "POST"),
    ] {
        assert!(kinds.contains(&wanted), "{wanted:?} is not among {kinds:?}");
    }
    // Each is within another one of them, but for the request, which is within its caller's.
    let ids: BTreeSet<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    for span in &spans {
        let parent = span["parentSpanId"].as_str().unwrap();
        assert!(ids.contains(parent) || parent == "00f067aa0ba902b7", "{span}");
    }
    let collected = server.collected.lock().unwrap()[TRACE].clone();
    let collected: BTreeSet<&str> = collected.iter().map(String::as_str).collect();
    assert!(ids.is_subset(&collected), "{ids:?} {collected:?}");

    // People see the same as a page; what is no trace is refused.
    let page = up
        .http
        .get(format!("{}{path}", up.url))
        .header("accept", "text/html")
        .send()
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    assert!(
        page.contains("fact invoice.created") && page.contains("POST /v1/invoices"),
        "{page}"
    );
    let (status, _) = up.call(Method::GET, "/_local/traces?traceId=7", &[], None).await;
    assert_eq!(status, 400);
}
