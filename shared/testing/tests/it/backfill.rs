//! A tenant that sends events of many days at once: its batches are bounded, counted by their days, and nobody else waits.

use std::collections::BTreeSet;
use std::time::Instant;

use kernel::Time;
use serde_json::{Value, json};
use telemetry::store::{DayHead, head_key};
use telemetry::writer::{Delivery, FOLDS, Writer};
use testing::{Chaos, Client, Moment, START, Tenant, TestApp};

const EVENTS: &str = "/v1/ingest/events";

fn day(back: i64) -> Time {
    START.plus_millis(-back * Time::DAY)
}

/// One event of each of these days, counted back from today.
fn events(days: std::ops::Range<i64>) -> Value {
    days.map(|back| json!({"type": "A", "name": "a", "occurredAt": day(back)}))
        .collect()
}

async fn limited(app: &TestApp, tenant: &Tenant, rate: u32) -> Client {
    let keys = format!("/v1/projects/{}/api-keys", tenant.project);
    let body = json!({"label": "limited", "rateLimitPerMinute": rate});
    let made = tenant.client.post(keys, body).await.expect(201);
    app.client().header("x-api-key", made.text("key"))
}

async fn count(tenant: &Tenant) -> Value {
    let (project, from) = (&tenant.project, day(400));
    let path = format!("/v1/metrics/overview?projectId={project}&from={from}");
    tenant.client.get(path).await.expect(200).json["events"].clone()
}

/// How often each of these days was folded.
async fn folds(app: &TestApp, tenant: &Tenant, days: std::ops::Range<i64>) -> Vec<u64> {
    let mut folds = Vec::new();
    for back in days {
        let key = head_key(tenant.project.parse().unwrap(), &day(back).day());
        let head = app.table().get::<DayHead>(&key).await.unwrap().unwrap();
        folds.push(head.folds);
    }
    folds
}

fn deliveries(texts: &[String]) -> Vec<Delivery> {
    let delivery = |(place, text): (usize, &String)| Delivery {
        id: place.to_string(),
        text: text.clone(),
    };
    texts.iter().enumerate().map(delivery).collect()
}

#[tokio::test]
async fn a_batch_counts_as_one_call_for_each_of_its_days() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let server = limited(&app, &acme, 20).await;
    let send = async |days| server.post(EVENTS, json!({"events": events(days)})).await;
    for _ in 0..2 {
        assert_eq!(send(0..8).await.expect(202).json["accepted"], 8);
    }
    send(0..8).await.problem(429, "rate_limited");
    // What was refused took one: the call, which was made. So three are left.
    assert_eq!(send(0..3).await.expect(202).json["accepted"], 3);
    app.advance(60_000);
    send(0..8).await.expect(202);
    // A thousand events of one day are one call.
    let one_day: Value = (0..1_000).map(|_| json!({"type": "A", "name": "a"})).collect();
    for _ in 0..12 {
        server.post(EVENTS, json!({"events": one_day})).await.expect(202);
    }
    app.take_messages().await;
}

#[tokio::test]
async fn no_batch_has_more_days_than_its_key_may_make_calls() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let server = limited(&app, &acme, 5).await;
    let reply = server.post(EVENTS, json!({"events": events(0..8)})).await.expect(202);
    assert_eq!(reply.json["accepted"], 5);
    let rejected = reply.json["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 3);
    assert_eq!(
        (&rejected[0]["index"], &rejected[0]["code"]),
        (&json!(5), &json!("too_many_days"))
    );
    let detail = rejected[0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("5 different days") && detail.contains("another request"),
        "{detail}"
    );
    app.settle().await;
    assert_eq!(count(&acme).await, 5);
}

#[tokio::test]
async fn four_hundred_days_are_taken_a_hundred_at_a_time_in_messages_of_few_days() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let reply = acme
        .server
        .post(EVENTS, json!({"events": events(0..400)}))
        .await
        .expect(202);
    assert_eq!(
        (
            &reply.json["accepted"],
            reply.json["rejected"].as_array().unwrap().len()
        ),
        (&json!(100), 300)
    );
    for first in [100, 200, 300] {
        acme.ingest(events(first..first + 100)).await;
    }
    let texts = app.take_messages().await;
    for text in &texts {
        let chunks = telemetry::Message::from_text(text).unwrap().chunks().unwrap();
        let days: BTreeSet<_> = chunks.iter().map(|chunk| &chunk.day).collect();
        assert!(days.len() <= 25 && days.len() == chunks.len());
    }
    assert_eq!(texts.len(), 16);
    for texts in texts.chunks(10) {
        assert!(app.deliver(texts).await.is_empty());
    }
    assert_eq!(count(&acme).await, 400);
}

#[tokio::test]
async fn whoever_sent_little_is_written_before_those_who_sent_much() {
    let chaos = Chaos::only(&[]);
    let app = TestApp::start_under(chaos.clone()).await;
    let [hostile, acme] = [app.tenant().await, app.tenant().await];
    hostile.ingest(events(0..100)).await;
    acme.ingest(events(0..1)).await;
    let texts = app.take_messages().await;
    assert_eq!(texts.len(), 5);
    // The writer dies at its third call: the first two put the blob and write the entry of the one event.
    chaos.enable(true);
    chaos.crash_at(3, Moment::Before);
    tokio::select! {
        failed = app.deliver(&texts) => panic!("it did not die, but failed at {failed:?}"),
        () = chaos.crashed() => {}
    }
    chaos.enable(false);
    assert_eq!((count(&acme).await, count(&hostile).await), (json!(1), json!(0)));
}

#[tokio::test]
async fn a_writer_whose_time_is_over_begins_nothing_and_hands_back_the_rest() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.ingest(events(0..60)).await;
    let texts = app.take_messages().await;
    let mut writer = Writer::new(app.app_of("EventWriter").await);
    let mut failed = writer.write_until(deliveries(&texts), app.now(), Instant::now()).await;
    failed.sort_unstable();
    assert_eq!(failed, ["0", "1", "2"]);
    assert_eq!(count(&acme).await, 0);
    assert!(writer.write(deliveries(&texts), app.now()).await.is_empty());
    assert_eq!(count(&acme).await, 60);
    // What was written already is not handed back by who has no time for folds.
    assert!(writer.write(deliveries(&texts), app.now()).await.is_empty());
    assert_eq!(count(&acme).await, 60);
}

#[tokio::test]
async fn an_invocation_folds_few_days_the_newest_first_and_the_rest_later() {
    let app = TestApp::start().await;
    let [acme, other] = [app.tenant().await, app.tenant().await];
    for _ in 0..8 {
        acme.ingest(events(2..14)).await;
    }
    let texts = app.take_messages().await;
    let mut writer = Writer::new(app.app_of("EventWriter").await);
    let mut folded = 0;
    for invocation in 1..=3 {
        let texts = if invocation == 1 {
            texts.clone()
        } else {
            // Whoever writes next folds what is left.
            other.ingest(events(0..1)).await;
            app.take_messages().await
        };
        assert!(writer.write(deliveries(&texts), app.now()).await.is_empty());
        folded += FOLDS;
        let mut wanted = vec![1; folded];
        wanted.resize(12, 0);
        assert_eq!(
            folds(&app, &acme, 2..14).await,
            wanted,
            "after {invocation} invocations"
        );
        assert_eq!(count(&acme).await, 96, "metrics count what is folded and what is not");
    }
    assert_eq!(count(&other).await, 2);
}
