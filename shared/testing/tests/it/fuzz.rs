//! Outside bytes at every operation, by someone who is let in: whatever stands in a path, a query, a header or a body, the
//! reply is no failure of ours, and an error is a problem with a name.
//!
//! `PROPTEST_CASES` says how many requests are made; each is of a random operation.

use std::collections::BTreeSet;

use http::Method;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use testing::{Client, Tenant, TestApp};

/// One request, before ids stand in its path.
#[derive(Clone, Debug)]
struct Attempt {
    /// Which of the operations.
    operation: prop::sample::Index,
    /// Stand in the path where the one of the tenant does not.
    ids: Vec<Option<String>>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Texts that parsers are known to stumble over, and any others.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "\\PC{0,30}",
        2 => "(org|prj|key|usr|evt|ses|aud)_[0-9a-z]{0,27}",
        1 => "-?[0-9]{1,25}(\\.[0-9]{1,5})?([eE][0-9]{1,3})?",
        1 => "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})",
        1 => "[A-Za-z0-9_-]{1,200}",
        1 => "1m|5m|1h|1d|true|null|NaN|\\{\\}|\\[\\]|ERROR|\\.\\./\\.\\.|%00|%|a=b&c",
        1 => (0..5_000_usize).prop_map(|length| "x".repeat(length)),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    let field = "name|description|environment|label|scopes|rateLimitPerMinute|expiresAt|email|password|role|status|\
        graceSeconds|refreshToken|events|type|id|userId|payload|metadata|occurredAt|specversion|source|[a-z]{1,6}";
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(field, inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let parameter = "projectId|from|to|limit|cursor|interval|type|name|userId|role|status|[a-z]{1,5}";
    let header = "content-type|content-encoding|idempotency-key|x-request-id|traceparent|x-org-id|user-agent|ce-[a-z]{1,11}|\
        ce-specversion|accept|x-forwarded-for";
    let value = "[ -~]{0,40}|application/json|application/cloudevents(-batch)?\\+json|gzip|zstd|1\\.0|\
        00-[0-9a-f]{32}-[0-9a-f]{16}-01";
    let body = prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..200),
        5 => any_json().prop_map(|json| json.to_string().into_bytes()),
        2 => (any_json(), any::<prop::sample::Index>()).prop_map(|(json, cut)| {
            let text = json.to_string().into_bytes();
            text[..cut.index(text.len())].to_vec()
        }),
    ];
    let parts = (
        any::<prop::sample::Index>(),
        prop::collection::vec(prop::option::of(any_text()), 4),
        prop::collection::vec((parameter, any_text()), 0..5),
        prop::collection::vec((header, value), 0..4),
        body,
    );
    parts.prop_map(|(operation, ids, query, headers, body)| Attempt {
        operation,
        ids,
        query,
        headers,
        body,
    })
}

/// Every operation that cannot end what the next attempt needs, by method and path.
fn operations() -> Vec<(Method, String)> {
    let api = serde_json::to_value(docs::openapi()).unwrap();
    let mut found = Vec::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            // A new password or none, an ended session, a role or status taken away: those have tests of their own.
            let ends = path.contains("/password") || path.contains("/logout") || path.contains("/{userId}");
            if method != Method::DELETE && !ends {
                found.push((method, path.clone()));
            }
        }
    }
    assert!(found.len() >= 25, "{found:?}");
    found
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The path with ids in it, and the query.
fn target(path: &str, tenant: &Tenant, attempt: &Attempt) -> String {
    let mut ids = attempt.ids.iter();
    let part = |part: &str| {
        let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return part.to_owned();
        };
        let own = match name {
            "orgId" => &tenant.org,
            "projectId" => &tenant.project,
            "keyId" => &tenant.key_id,
            _ => &tenant.owner.id,
        };
        let other = ids.next().cloned().flatten().filter(|text| !text.is_empty());
        other.map_or_else(|| own.clone(), |text| encoded(&text))
    };
    let path: Vec<String> = path.split('/').map(part).collect();
    let pairs = attempt.query.iter();
    let query: Vec<String> = pairs
        .map(|(name, value)| {
            // Most questions want a project that is there.
            let value = if name == "projectId" && value.len() % 2 == 0 {
                &tenant.project
            } else {
                value
            };
            format!("{name}={}", encoded(value))
        })
        .collect();
    format!("{}?{}", path.join("/"), query.join("&"))
}

async fn make(client: &Client, method: &Method, target: &str, attempt: &Attempt) -> u16 {
    let mut client = client.header("content-type", "application/json");
    for (name, value) in &attempt.headers {
        client = client.header(name, value);
    }
    let reply = client.send(method.clone(), target, attempt.body.clone()).await;
    let status = reply.status.as_u16();
    assert!(status < 500, "{method} {target} {attempt:?}: {status} {}", reply.json);
    // What browsers see is a page, also where there is nothing.
    let has_pages = target.starts_with("/pay/") || target.starts_with("/v1/unsubscribe/");
    let is_page = has_pages && reply.header("content-type").starts_with("text/html");
    if status >= 400 && !is_page {
        let problem = reply.expect(status);
        let code = problem.text("code");
        assert!(!code.is_empty() && code != "internal" && !problem.text("detail").is_empty());
    }
    status
}

#[tokio::test]
async fn no_request_makes_a_function_fail() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let both = acme.client.header("x-api-key", &acme.key);
    let (operations, strategy) = (operations(), attempt());
    let mut runner = TestRunner::default();
    let mut seen = BTreeSet::new();
    for _ in 0..ProptestConfig::default().cases {
        let attempt = strategy.new_tree(&mut runner).unwrap().current();
        let (method, path) = attempt.operation.get(&operations);
        let target = target(path, &acme, &attempt);
        seen.insert(make(&both, method, &target, &attempt).await);
    }
    // Not everything was refused for the same reason.
    assert!(seen.contains(&400) && seen.len() > 3, "{seen:?}");
    app.take_messages().await;
}
