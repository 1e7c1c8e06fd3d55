//! What is wrong with a request before any rule of a capability: routes, methods, credentials, bodies.

use serde_json::json;
use testing::TestApp;

#[tokio::test]
async fn every_reply_has_an_id_and_secure_headers() {
    let app = TestApp::start().await;
    let reply = app
        .client()
        .header("x-request-id", "mine-1")
        .get("/health")
        .await
        .expect(200);
    assert_eq!(reply.header("x-request-id"), "mine-1");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert!(!reply.header("strict-transport-security").is_empty());
    for directive in [
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        let policy = reply.header("content-security-policy");
        assert!(policy.contains(directive), "{policy}");
    }
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        assert_eq!(reply.header(name), "same-origin", "{name}");
    }
    let bad = app
        .client()
        .header("x-request-id", "not plain")
        .get("/health")
        .await
        .expect(200);
    assert_eq!(bad.header("x-request-id").len(), 32);
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.client.get("/v1/metrics/nothing").await.problem(404, "not_found");
    acme.client.get("/nowhere").await.problem(404, "not_found");
    acme.client.get("/v1").await.problem(404, "not_found");
    acme.client.delete("/health").await.problem(405, "method_not_allowed");
    acme.client.delete("/v1/orgs").await.problem(405, "method_not_allowed");
    acme.client
        .get("/v1/projects/not-an-id")
        .await
        .problem(400, "malformed_id");
    let nul = format!("/v1/projects/{}%00", acme.project);
    acme.client.get(nul).await.problem(400, "malformed_id");
}

#[tokio::test]
async fn bodies_that_cannot_be_read_name_what_is_wrong() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let send = async |body: &str| acme.client.post_bytes("/v1/projects", body).await;
    send("{").await.problem(400, "malformed_json");
    send("").await.problem(400, "malformed_json");
    send("null").await.problem(400, "wrong_type");
    send(r#"{"name":"a","environment":"prod"} x"#)
        .await
        .problem(400, "malformed_json");
    let missing = send(r#"{"name":"a"}"#).await.problem(400, "missing_field");
    assert_eq!(missing.fields(), ["environment"]);
    let unknown = send(r#"{"name":"a","environment":"prod","colour":"red"}"#)
        .await
        .problem(400, "unknown_field");
    assert_eq!(unknown.fields(), ["colour"]);
    let wrong = send(r#"{"name":7,"environment":"prod"}"#)
        .await
        .problem(400, "wrong_type");
    assert_eq!(wrong.fields(), ["name"]);
    let broken = send(r#"{"name":"","environment":"prod"}"#)
        .await
        .problem(422, "invalid");
    assert_eq!(broken.fields(), ["name"]);
    send(&format!(r#"{{"name":"{}"}}"#, "x".repeat(300_000)))
        .await
        .problem(413, "too_large");
    let secret = app
        .client()
        .post_bytes("/v1/auth/login", r#"{"email":"a@b.co","password":12345678}"#)
        .await;
    assert!(!String::from_utf8_lossy(&secret.expect(400).bytes).contains("12345678"));
    let compressed = acme.client.header("content-encoding", "gzip");
    compressed
        .post_bytes("/v1/projects", "{}")
        .await
        .problem(415, "unsupported_media_type");
    let text = acme.client.header("content-type", "text/plain");
    text.post_bytes("/v1/projects", "{}")
        .await
        .problem(415, "unsupported_media_type");
    assert_eq!(acme.client.get("/v1/projects").await.expect(200).data().len(), 1);
}

#[tokio::test]
async fn an_idempotency_key_answers_the_same_request_the_same_way() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let body = json!({"name": "Once", "environment": "dev"});
    let once = acme.client.header("idempotency-key", "key-1");
    let first = once.post("/v1/projects", body.clone()).await.expect(201);
    assert_eq!(first.header("idempotent-replayed"), "");
    let again = once.post("/v1/projects", body.clone()).await.expect(201);
    assert_eq!(
        (again.header("idempotent-replayed"), &again.json),
        ("true", &first.json)
    );
    once.post("/v1/projects", json!({"name": "Other", "environment": "dev"}))
        .await
        .problem(422, "idempotency_key_reused");
    assert_eq!(acme.client.get("/v1/projects").await.expect(200).data().len(), 2);

    // The same request of a member who may not make it is not answered with the reply of one who may.
    let viewer = app.member(&acme, "viewer").await;
    let theirs = viewer.client.header("idempotency-key", "key-1");
    theirs
        .post("/v1/projects", body.clone())
        .await
        .problem(422, "idempotency_key_reused");

    // A key belongs to its tenant and its route.
    let theirs = rival
        .client
        .header("idempotency-key", "key-1")
        .post("/v1/projects", body.clone())
        .await
        .expect(201);
    assert_ne!(theirs.json["id"], first.json["id"]);
    // A refusal is not remembered, and after a day nothing is.
    let fresh = acme.client.header("idempotency-key", "key-2");
    fresh
        .post("/v1/projects", json!({"name": "", "environment": "dev"}))
        .await
        .problem(422, "invalid");
    fresh.post("/v1/projects", body.clone()).await.expect(201);
    app.advance(25 * 3_600_000);
    let later = acme
        .owner
        .logged_in_again(&app)
        .await
        .client
        .within(&acme.org)
        .header("idempotency-key", "key-1")
        .post("/v1/projects", body)
        .await
        .expect(201);
    assert_eq!(later.header("idempotent-replayed"), "");
    let client = acme.owner.logged_in_again(&app).await.client.within(&acme.org);
    for bad in ["", &"x".repeat(256)] {
        let bad = client.header("idempotency-key", bad);
        bad.post("/v1/projects", json!({"name": "a", "environment": "dev"}))
            .await
            .problem(400, "bad_idempotency_key");
    }
}
