//! AWS does what it was asked and its reply is lost, or it refuses for its rate: nothing is done twice, and nobody is
//! told that somebody else was faster.

use serde_json::json;
use testing::{Chaos, Fault, PASSWORD, Tenant, TestApp};

/// An app with a tenant, who meets these faults from now on.
async fn under(faults: &[(Fault, &str, u64)]) -> (TestApp, Tenant) {
    let chaos = Chaos::only(faults);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    chaos.enable(true);
    (app, acme)
}

async fn projects(acme: &Tenant) -> usize {
    acme.client.all("/v1/projects").await.len()
}

fn shop() -> serde_json::Value {
    json!({"name": "Shop", "environment": "prod"})
}

#[tokio::test]
async fn a_put_whose_reply_is_lost_was_ours() {
    let (app, acme) = under(&[(Fault::LostReply, "PutItem", 1)]).await;
    let credentials = json!({"email": acme.owner.email, "password": PASSWORD});
    let sessions = acme.client.all("/v1/auth/sessions").await.len();
    app.client().post("/v1/auth/login", credentials).await.expect(200);
    assert_eq!(acme.client.all("/v1/auth/sessions").await.len(), sessions + 1);
}

#[tokio::test]
async fn a_put_that_meets_a_transaction_is_tried_again() {
    let (app, acme) = under(&[(Fault::Throttle, "PutItem", 1), (Fault::Throttle, "PutItem", 2)]).await;
    let credentials = json!({"email": acme.owner.email, "password": PASSWORD});
    app.client().post("/v1/auth/login", credentials).await.expect(200);
}

#[tokio::test]
async fn a_request_whose_claim_lost_its_reply_is_not_its_own_rival() {
    let (_app, acme) = under(&[(Fault::LostReply, "PutItem", 1), (Fault::LostReply, "PutItem", 2)]).await;
    let before = projects(&acme).await;
    let once = acme.client.header("idempotency-key", "one");
    let made = once.post("/v1/projects", shop()).await.expect(201);
    let again = once.post("/v1/projects", shop()).await.expect(201);
    assert_eq!((again.header("idempotent-replayed"), &again.json), ("true", &made.json));
    assert_eq!(projects(&acme).await, before + 1);
}

#[tokio::test]
async fn a_transaction_is_recognized_though_it_is_refused_after_its_reply_was_lost() {
    let (_app, acme) = under(&[
        (Fault::LostReply, "TransactWriteItems", 1),
        (Fault::Throttle, "TransactWriteItems", 2),
        (Fault::ServerError, "TransactWriteItems", 3),
    ])
    .await;
    let entries = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await.len();
    let before = projects(&acme).await;
    acme.client.post("/v1/projects", shop()).await.expect(201);
    assert_eq!(projects(&acme).await, before + 1);
    assert_eq!(
        acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await.len(),
        entries + 1
    );
}

#[tokio::test]
async fn a_reply_is_stored_with_its_effect() {
    // The claim is the first put; no other one succeeds.
    let lost = [2, 3, 4, 5].map(|occasion| (Fault::ServerError, "PutItem", occasion));
    let chaos = Chaos::only(&lost);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    let before = projects(&acme).await;
    let once = acme.client.header("idempotency-key", "one");
    chaos.enable(true);
    let made = once.post("/v1/projects", shop()).await.expect(201);
    chaos.enable(false);
    let again = once.post("/v1/projects", shop()).await.expect(201);
    assert_eq!((again.header("idempotent-replayed"), &again.json), ("true", &made.json));
    let other = json!({"name": "Other", "environment": "prod"});
    once.post("/v1/projects", other)
        .await
        .problem(422, "idempotency_key_reused");
    assert_eq!(projects(&acme).await, before + 1);
}

#[tokio::test]
async fn a_transaction_that_stays_unanswered_is_not_done_again() {
    let lost = [1, 2, 3].map(|occasion| (Fault::LostReply, "TransactWriteItems", occasion));
    let (_app, acme) = under(&lost).await;
    let before = projects(&acme).await;
    let once = acme.client.header("idempotency-key", "one");
    once.post("/v1/projects", shop()).await.problem(503, "busy");
    assert_eq!(projects(&acme).await, before + 1);
    // Whoever asks again gets the reply that was stored with the project.
    let made = once.post("/v1/projects", shop()).await.expect(201);
    assert_eq!(made.header("idempotent-replayed"), "true");
    let listed = acme.client.get(format!("/v1/projects/{}", made.text("id"))).await;
    assert_eq!(listed.expect(200).json, made.json);
    assert_eq!(projects(&acme).await, before + 1);
}

#[tokio::test]
async fn a_reply_that_is_stored_afterwards_may_be_lost_and_its_request_is_done_again() {
    // What is ingested has ids of its own, so it does no harm.
    let lost = [2, 3, 4, 5].map(|occasion| (Fault::ServerError, "PutItem", occasion));
    let (app, acme) = under(&lost).await;
    let once = acme.server.header("idempotency-key", "one");
    let events = json!({"events": [{"id": "1", "type": "A", "name": "a"}]});
    once.post("/v1/ingest/events", events.clone()).await.expect(202);
    once.post("/v1/ingest/events", events.clone())
        .await
        .problem(409, "in_flight");
    app.advance(31_000);
    let again = once.post("/v1/ingest/events", events).await.expect(202);
    assert_eq!(again.header("idempotent-replayed"), "");
    app.settle().await;
    let overview = format!("/v1/metrics/overview?projectId={}", acme.project);
    assert_eq!(acme.client.get(overview).await.expect(200).json["events"], 1);
}

#[tokio::test]
async fn what_had_no_effect_is_done_after_all() {
    let refused: Vec<_> = (1..=8)
        .map(|occasion| (Fault::Throttle, "TransactWriteItems", occasion))
        .collect();
    let (_app, acme) = under(&refused).await;
    let before = projects(&acme).await;
    let once = acme.client.header("idempotency-key", "one");
    once.post("/v1/projects", shop()).await.problem(503, "busy");
    assert_eq!(projects(&acme).await, before);
    // The claim was given back at once.
    once.post("/v1/projects", shop()).await.expect(201);
    assert_eq!(projects(&acme).await, before + 1);
}

#[tokio::test]
async fn events_are_counted_once_whatever_is_lost() {
    let lost = |operation| [1, 2, 3].map(move |occasion| (Fault::LostReply, operation, occasion));
    let faults = [
        // One more than the others: as often as a call is made.
        [1, 2, 3, 4]
            .map(|occasion| (Fault::LostReply, "SendMessage", occasion))
            .to_vec(),
        lost("TransactWriteItems").to_vec(),
        lost("PutItem").to_vec(),
        lost("BatchWriteItem").to_vec(),
    ]
    .concat();
    let chaos = Chaos::only(&faults);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    // So that what is lost is what the events need.
    let free = json!({"prices": {"ingest.event": 0}});
    app.manager()
        .await
        .client
        .put("/v1/admin/prices", free)
        .await
        .expect(200);
    chaos.enable(true);
    let events: Vec<_> = (0..20)
        .map(|id| json!({"id": id.to_string(), "type": "A", "name": "a"}))
        .collect();
    let server = app.client().header("x-api-key", &acme.key);
    // The first request stays unanswered, so it is sent again, with the same ids.
    server
        .post("/v1/ingest/events", json!({"events": events}))
        .await
        .expect(503);
    server
        .post("/v1/ingest/events", json!({"events": events}))
        .await
        .expect(202);
    let mut texts = app.take_messages().await;
    assert!(texts.len() > 1, "nothing was sent twice");
    for _ in 0..3 {
        let failed = app.deliver(&texts).await;
        texts = failed.into_iter().map(|place| texts[place].clone()).collect();
    }
    assert!(texts.is_empty());
    let overview = acme
        .client
        .get(format!("/v1/metrics/overview?projectId={}", acme.project))
        .await;
    assert_eq!(overview.expect(200).json["events"], 20);
}
