//! What users of systems like this one reported in public, tried on ours from outside: each with the value that is right.

use serde_json::{Value, json};
use testing::TestApp;

#[tokio::test]
async fn what_an_event_carries_is_readable_for_whoever_lists_it() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let event = |payload: &str| format!(r#"{{"type":"A","name":"a","payload":{payload}}}"#);
    let cloud = |data: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{data}}}"#);
    let structured = acme.server.header("content-type", "application/cloudevents+json");
    for bad in [
        r#"{"title":"cut \ud83d"}"#.to_owned(),
        r#"{"\udc00":1}"#.to_owned(),
        deep(20_000),
    ] {
        let reply = acme.server.post_bytes("/v1/ingest/event", event(&bad)).await;
        assert_eq!(reply.problem(422, "invalid").fields(), ["payload"]);
        let reply = structured.post_bytes("/v1/ingest/event", cloud(&bad)).await;
        assert_eq!(reply.problem(422, "invalid").fields(), ["data"]);
        let batch = format!(r#"{{"events":[{},{}]}}"#, event(&bad), event("1"));
        let taken = acme.server.post_bytes("/v1/ingest/events", batch).await.expect(202);
        assert_eq!(
            (&taken.json["accepted"], &taken.json["rejected"][0]["index"]),
            (&json!(1), &json!(0))
        );
    }
    acme.server
        .post_bytes("/v1/ingest/event", event(&deep(60)))
        .await
        .expect(202);
    app.settle().await;
    let page = acme
        .client
        .get(format!("/v1/events?projectId={}", acme.project))
        .await
        .expect(200);
    assert_eq!(page.data().len(), 4);
}

#[tokio::test]
async fn the_content_type_decides_how_an_event_is_read() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let attributes = ["specversion", "id", "source", "type"]
        .into_iter()
        .zip(["1.0", "9", "/headers", "of.headers"]);
    let with_headers = attributes.fold(acme.server.clone(), |client, (name, value)| {
        client.header(&format!("ce-{name}"), value)
    });
    let whole = json!({"specversion": "1.0", "id": "1", "source": "/body", "type": "of.body", "data": {"a": 1}});
    let structured = with_headers.header("content-type", "application/cloudevents+json");
    structured
        .post_bytes("/v1/ingest/event", whole.to_string())
        .await
        .expect(202);
    let binary = with_headers.header("content-type", "Application/JSON");
    binary.post_bytes("/v1/ingest/event", r#"{"b":2}"#).await.expect(202);
    let other = with_headers.header("content-type", "application/cloudevents+avro");
    other
        .post_bytes("/v1/ingest/event", "x")
        .await
        .problem(415, "unsupported_media_type");
    let bad = binary.header("ce-subject", "%C0%A0");
    assert_eq!(
        bad.post_bytes("/v1/ingest/event", "1")
            .await
            .problem(400, "malformed_header")
            .fields(),
        ["ce-subject"]
    );
    let many = acme.server.header("content-type", "application/cloudevents-batch+json");
    assert_eq!(
        many.post_bytes("/v1/ingest/events", "[]").await.expect(202).json["accepted"],
        0
    );
    app.settle().await;
    let page = acme
        .client
        .get(format!("/v1/events?projectId={}", acme.project))
        .await
        .expect(200);
    let seen = |event: &Value| (event["name"].clone(), event["payload"].clone());
    let mut seen: Vec<(Value, Value)> = page.data().iter().map(seen).collect();
    seen.sort_by_key(|(name, _)| name.to_string());
    assert_eq!(
        seen,
        [
            (json!("of.body"), json!({"a": 1})),
            (json!("of.headers"), json!({"b": 2}))
        ]
    );
}

#[tokio::test]
async fn a_password_is_the_same_on_every_keyboard() {
    let app = TestApp::start().await;
    let (composed, decomposed) = ("Passw\u{F6}rt \u{E9}t\u{E9}", "Passwo\u{308}rt e\u{301}te\u{301}");
    for (email, set, typed) in [
        ("a@example.com", composed, decomposed),
        ("b@example.com", decomposed, composed),
    ] {
        let new = json!({"email": email, "password": set, "name": "A"});
        app.client().post("/v1/auth/register", new).await.expect(201);
        let login = json!({"email": email, "password": typed});
        app.client().post("/v1/auth/login", login).await.expect(200);
    }
}

#[tokio::test]
async fn a_name_can_be_seen_and_turns_nothing_round() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let keys = format!("/v1/projects/{}/api-keys", acme.project);
    for name in ["\u{200B}\u{200B}", "\u{3164}", "invoice\u{202E}fdp"] {
        let client = &acme.client;
        let refused = [
            client.post("/v1/orgs", json!({"name": name})).await,
            client
                .post("/v1/projects", json!({"name": name, "environment": "dev"}))
                .await,
            client
                .post(
                    "/v1/clients",
                    json!({"name": name, "email": "c@example.com", "currency": "EUR"}),
                )
                .await,
            app.client()
                .post(
                    "/v1/auth/register",
                    json!({"email": "n@example.com", "password": "correct horse", "name": name}),
                )
                .await,
        ];
        for reply in refused {
            assert_eq!(reply.problem(422, "invalid").fields(), ["name"], "{name:?}");
        }
        let reply = client.post(&keys, json!({"label": name})).await;
        assert_eq!(reply.problem(422, "invalid").fields(), ["label"], "{name:?}");
    }
}

#[tokio::test]
async fn times_are_those_of_rfc_3339() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let keys = format!("/v1/projects/{}/api-keys", acme.project);
    let never = json!({"label": "never", "expiresAt": "9999-12-31T23:59:59Z"});
    let key = acme.client.post(&keys, never).await.expect(201);
    assert_eq!(key.json["expiresAt"], "9999-12-31T23:59:59.000Z");
    let server = app.client().header("x-api-key", key.text("key"));
    let now = app.now().to_string();
    let event = |at: &str| json!({"type": "A", "name": "a", "occurredAt": at}).to_string();
    let fine = format!("{}4567890Z", now.trim_end_matches('Z'));
    server.post_bytes("/v1/ingest/event", event(&fine)).await.expect(202);
    let plain = &now[..19];
    for bad in [
        format!("{plain}+25:00"),
        format!("{plain}+01"),
        format!("{plain}+01:00[Europe/Paris]"),
        "10:00Z".to_owned(),
    ] {
        let reply = server.post_bytes("/v1/ingest/event", event(&bad)).await;
        assert_eq!(reply.problem(400, "wrong_type").fields(), ["occurredAt"], "{bad}");
    }
    app.settle().await;
}

#[tokio::test]
async fn a_webhook_is_shown_as_it_is_called() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let alert = |target: &str, threshold: Value| {
        json!({"projectId": acme.project, "metricType": "event_count", "condition": ">", "threshold": threshold, "window": "5m",
            "channel": "webhook", "target": target, "coolDownMinutes": 60.0})
    };
    for bad in [
        "https://exa\nmple.com/h",
        "https://example.com/\th",
        "https://example.com/\0",
        "https:example.com/h",
        "https:\\\\example.com\\h",
    ] {
        let reply = acme.client.post("/v1/alerts", alert(bad, json!(5))).await;
        assert_eq!(reply.problem(422, "invalid").fields(), ["target"], "{bad:?}");
    }
    let made = acme
        .client
        .post("/v1/alerts", alert("HTTPS://Example.COM/h", json!(5)))
        .await
        .expect(201);
    assert_eq!(
        (&made.json["target"], &made.json["coolDownMinutes"]),
        (&json!("https://example.com/h"), &json!(60))
    );
    let reply = acme
        .client
        .post("/v1/alerts", alert("https://example.com/h", json!("5")))
        .await
        .problem(400, "wrong_type");
    assert_eq!(
        reply.json["errors"],
        json!([{"field": "threshold", "problem": "must be a number"}])
    );
}
