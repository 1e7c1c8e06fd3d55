//! A new key in front of the old ones, while notices are under way and clients turn pages: nothing is lost by it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Time;
use serde_json::json;
use testing::{Receiver, Tenant, TestApp, keys};

const RINGS: [&str; 2] = ["RequestKeysParameter", "SealingKeysParameter"];
const INVITED: &str = "invited@example.com";

/// Puts rings of these keys in place, and starts every function anew.
async fn rotate(app: &TestApp, ids: &[u8]) {
    for ring in RINGS {
        app.put_secret(ring, &keys(ids));
    }
    app.restart().await;
}

async fn invite(acme: &Tenant, address: &str) {
    let body = json!({"email": address, "role": "viewer"});
    acme.client
        .post(format!("/v1/orgs/{}/members", acme.org), body)
        .await
        .expect(201);
}

/// The first of two projects, and the cursor of the second.
async fn first_page(acme: &Tenant) -> String {
    acme.client
        .get("/v1/projects?limit=1")
        .await
        .expect(200)
        .text("nextCursor")
}

async fn second_page(acme: &Tenant, cursor: &str) -> testing::Reply {
    acme.client.get(format!("/v1/projects?limit=1&cursor={cursor}")).await
}

/// The id of the key that a cursor was made with.
fn key_of(cursor: &str) -> u8 {
    URL_SAFE_NO_PAD.decode(cursor).unwrap()[0]
}

/// An alert that fires at the third error of a minute, and calls a receiver; its secret.
async fn watch(acme: &Tenant, receiver: &Receiver) -> String {
    let body = json!({
        "projectId": acme.project, "metricType": "event_count", "eventType": "ERROR", "condition": ">", "threshold": 2,
        "window": "1m", "channel": "webhook", "target": receiver.url(), "coolDownMinutes": 0,
    });
    let made = acme.client.post("/v1/alerts", body).await.expect(201);
    made.text("signingSecret")
}

/// Three errors, and a minute: the schedule fires, and what is due is left on the queue of notices.
async fn errors(app: &TestApp, acme: &Tenant) {
    acme.ingest(vec![json!({"type": "ERROR", "name": "failed"}); 3].into())
        .await;
    let sent = app.take_messages().await;
    assert_eq!(app.deliver(&sent).await, Vec::<usize>::new());
    app.advance(Time::MINUTE);
    app.fire_alert_check().await;
    let due = app.take("AlertQueue").await;
    assert_eq!(app.deliver_from("AlertQueue", &due).await, Vec::<usize>::new());
}

/// Checks that the last call is signed with this secret.
fn check_signed(receiver: &Receiver, secret: &str, calls: usize) {
    let all = receiver.calls();
    assert_eq!(all.len(), calls);
    let call = all.last().unwrap();
    let sent_at: i64 = call.header("webhook-timestamp").parse().unwrap();
    let sent_at = Time::from_millis(sent_at * 1_000);
    let expected = notifications::webhook::sign(secret, call.header("webhook-id"), sent_at, &call.body).unwrap();
    assert_eq!(call.header("webhook-signature"), expected);
}

#[tokio::test]
async fn keys_are_replaced_while_mails_and_webhooks_are_under_way() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    app.settle().await;
    app.advance(5_000);
    let receiver = Receiver::start().await;
    let secret = watch(&acme, &receiver).await;
    let projects = json!({"name": "Second", "environment": "prod"});
    acme.client.post("/v1/projects", projects).await.expect(201);

    // Under way: a mail and a webhook call, and a client between two pages. All made with key 1.
    invite(&acme, INVITED).await;
    errors(&app, &acme).await;
    let cursor = first_page(&acme).await;
    assert_eq!(key_of(&cursor), 1);
    assert!(app.mails_to(INVITED).is_empty() && receiver.calls().is_empty());

    // First every process gets to know the new key, then it seals.
    rotate(&app, &[1, 2]).await;
    assert_eq!(key_of(&first_page(&acme).await), 1);
    rotate(&app, &[2, 1]).await;
    assert_eq!(
        second_page(&acme, &cursor).await.expect(200).json["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let newer = first_page(&acme).await;
    assert_eq!(key_of(&newer), 2);
    app.settle().await;
    assert_eq!(app.mails_to(INVITED).len(), 1);
    check_signed(&receiver, &secret, 1);

    // The alert's secret was sealed with key 1; it resolves, and its call is sealed with key 2 and signed as before.
    app.advance(Time::MINUTE);
    app.run_alert_check().await;
    check_signed(&receiver, &secret, 2);

    // Without key 1, what it made is refused as anything else that is not ours; what key 2 made goes on.
    rotate(&app, &[2]).await;
    second_page(&acme, &cursor).await.problem(400, "bad_cursor");
    second_page(&acme, &newer).await.expect(200);
    // The secret has been sealed anew since, so the alert still calls.
    errors(&app, &acme).await;
    app.settle().await;
    check_signed(&receiver, &secret, 3);
}

#[tokio::test]
async fn only_who_needs_keys_may_read_them() {
    let app = TestApp::start().await;
    for function in &app.template().functions {
        let named = |ring: &str| function.environment.keys().any(|name| name == ring);
        let has = (named("REQUEST_KEYS_PARAMETER"), named("SEALING_KEYS_PARAMETER"));
        let expected = match function.binary.as_str() {
            "auth" | "orgs" | "alerts" | "notifier" | "payment-providers" | "users" | "webhooks" => (true, true),
            "admin" | "audit" | "clients" | "contracts" | "events" | "ingest" | "invoices" | "job-control"
            | "notices" | "projects" | "wallet" => (true, false),
            "alert-evaluator" | "billing-worker" | "outbox-relay" | "pay" | "payment-worker" | "provider-webhooks"
            | "reset-mailer" | "webhook-deliverer" => (false, true),
            _ => (false, false),
        };
        assert_eq!(has, expected, "{}", function.binary);
        let pushes = ["notices", "webhook-deliverer"].contains(&function.binary.as_str());
        assert_eq!(named("PUSH_KEYS_PARAMETER"), pushes, "{}", function.binary);
    }
}
