//! /v1/ingest: what is taken, what is refused, and how.

use std::io::Write;

use serde_json::json;
use testing::TestApp;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn events_are_queued_and_soon_visible() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let reply = acme
        .server
        .post("/v1/ingest/event", json!({"type": "ERROR", "name": "payment_failed"}))
        .await
        .expect(202);
    assert_eq!(reply.json, json!({"status": "queued", "accepted": 1, "rejected": []}));
    app.settle().await;
    let path = format!("/v1/metrics/overview?projectId={}", acme.project);
    let overview = acme.client.get(path).await.expect(200);
    assert_eq!(
        (&overview.json["events"], &overview.json["errors"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn good_events_are_kept_when_others_are_bad() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let events = json!({"events": [
        {"type": "REQUEST", "name": "GET /"},
        {"type": "REQUEST", "name": ""},
        {"type": "REQUEST", "name": "a", "colour": "red"},
        {"type": 7, "name": "a"},
    ]});
    let reply = acme.server.post("/v1/ingest/events", events).await.expect(202);
    assert_eq!(reply.json["accepted"], 1);
    let rejected = reply.json["rejected"].as_array().unwrap();
    let codes: Vec<_> = rejected
        .iter()
        .map(|r| (r["index"].as_u64().unwrap(), r["code"].as_str().unwrap()))
        .collect();
    assert_eq!(codes, [(1, "invalid"), (2, "malformed"), (3, "malformed")]);
    assert!(rejected[1]["detail"].as_str().unwrap().contains("`colour`"));
    app.settle().await;
}

#[tokio::test]
async fn bodies_may_be_compressed_and_bombs_are_refused() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let body = json!({"events": [{"type": "A", "name": "a"}]}).to_string().into_bytes();
    let send = async |encoding: &'static str, body: Vec<u8>| {
        acme.server
            .header("content-encoding", encoding)
            .post_bytes("/v1/ingest/events", body)
            .await
    };
    send("gzip", gzip(&body)).await.expect(202);
    send("zstd", zstd::bulk::compress(&body, 3).unwrap()).await.expect(202);
    send("gzip", gzip(&vec![b' '; 50_000_000]))
        .await
        .problem(413, "too_large");
    send("zstd", zstd::bulk::compress(&vec![b' '; 50_000_000], 3).unwrap())
        .await
        .problem(413, "too_large");
    send("gzip", body.clone()).await.problem(400, "malformed_encoding");
    send("br", body).await.problem(415, "unsupported_media_type");
    assert_eq!(app.take_messages().await.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_clear_problem_and_stores_nothing() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let batch = async |body: &str| acme.server.post_bytes("/v1/ingest/events", body).await;
    batch("{").await.problem(400, "malformed_json");
    batch("").await.problem(400, "malformed_json");
    batch("{}").await.problem(400, "missing_field");
    batch(r#"{"events":7}"#).await.problem(400, "wrong_type");
    batch(r#"{"events":[],"more":1}"#).await.problem(400, "unknown_field");
    batch(r#"{"events":[]}"#).await.problem(422, "invalid");
    batch(&format!(r#"{{"events":["{}"]}}"#, "x".repeat(1024 * 1024)))
        .await
        .problem(413, "too_large");
    let one = async |body: &str| acme.server.post_bytes("/v1/ingest/event", body).await;
    one("[]").await.problem(400, "wrong_type");
    one(r#"{"type":"A"}"#).await.problem(400, "missing_field");
    one(r#"{"type":"A","name":"a","x":1}"#)
        .await
        .problem(400, "unknown_field");
    one(r#"{"type":"A","name":""}"#).await.problem(422, "invalid");
    one(r#"{"type":"A","name":"a","occurredAt":"2020-01-01T00:00:00Z"}"#)
        .await
        .problem(422, "invalid");
    let text = acme.server.header("content-type", "text/plain");
    text.post_bytes("/v1/ingest/event", "x")
        .await
        .problem(415, "unsupported_media_type");
    assert!(app.take_messages().await.is_empty());
}

#[tokio::test]
async fn cloud_events_are_taken_in_every_mode() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let cloud =
        |id: u32| json!({"specversion": "1.0", "id": id.to_string(), "source": "/shop", "type": "com.example.sold"});
    let structured = acme.server.header("content-type", "application/cloudevents+json");
    structured
        .post_bytes("/v1/ingest/event", cloud(1).to_string())
        .await
        .expect(202);
    let many = acme.server.header("content-type", "application/cloudevents-batch+json");
    many.post_bytes("/v1/ingest/events", json!([cloud(2), cloud(3)]).to_string())
        .await
        .expect(202);
    let binary = acme
        .server
        .header("ce-specversion", "1.0")
        .header("ce-id", "4")
        .header("ce-source", "/shop");
    let binary = binary
        .header("ce-type", "com.example.sold")
        .header("content-type", "application/json");
    binary
        .post_bytes("/v1/ingest/event", r#"{"price":1}"#)
        .await
        .expect(202);
    // The same source and id is the same event.
    binary
        .post_bytes("/v1/ingest/event", r#"{"price":1}"#)
        .await
        .expect(202);
    app.settle().await;
    let path = format!("/v1/events?projectId={}&name=com.example.sold", acme.project);
    assert_eq!(acme.client.get(path).await.expect(200).data().len(), 4);
}

#[tokio::test]
async fn a_key_opens_its_own_project_only_while_it_is_good() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let event = json!({"type": "A", "name": "a"});
    let send = async |client: &testing::Client| client.post("/v1/ingest/event", event.clone()).await;
    send(&app.client()).await.problem(401, "missing_api_key");
    send(&app.client().header("x-api-key", "ch_live_nonsense"))
        .await
        .problem(401, "bad_api_key");
    let mut wrong = acme.key.clone();
    wrong.replace_range(10..11, if &wrong[10..11] == "a" { "b" } else { "a" });
    send(&app.client().header("x-api-key", wrong))
        .await
        .problem(401, "bad_api_key");
    send(&acme.client).await.problem(401, "missing_api_key");

    let key = format!("/v1/projects/{}/api-keys/{}", acme.project, acme.key_id);
    send(&acme.server).await.expect(202);
    acme.client.patch(&key, json!({"status": "disabled"})).await.expect(200);
    app.advance(60_000);
    send(&acme.server).await.problem(401, "api_key_disabled");
    acme.client.patch(&key, json!({"status": "active"})).await.expect(200);
    app.advance(60_000);
    send(&acme.server).await.expect(202);
    acme.client.delete(&key).await.expect(204);
    app.advance(60_000);
    send(&acme.server).await.expect(401);
    app.settle().await;
}
