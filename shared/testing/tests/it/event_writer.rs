//! The event writer: duplicates, reordered and poisoned messages, crashes between writes; everything counts once.

use serde_json::{Value, json};
use testing::{START, Tenant, TestApp};

async fn overview(tenant: &Tenant) -> Value {
    let from = START.plus_millis(-40 * 24 * 3_600_000);
    let path = format!("/v1/metrics/overview?projectId={}&from={from}", tenant.project);
    tenant.client.get(path).await.expect(200).json
}

async fn search(tenant: &Tenant) -> usize {
    let from = START.plus_millis(-40 * 24 * 3_600_000);
    let path = format!("/v1/events?projectId={}&limit=100&from={from}", tenant.project);
    tenant.client.get(path).await.expect(200).data().len()
}

fn events(range: std::ops::Range<i64>, with_ids: bool) -> Value {
    let event = |n: i64| {
        // Spread over several days, so that a message becomes several chunks.
        let at = START.plus_millis(-n * 3 * 3_600_000).to_string();
        let mut event = json!({"type": "ERROR", "name": format!("name-{}", n % 3), "occurredAt": at});
        if with_ids {
            event["id"] = format!("id-{n}").into();
        }
        event
    };
    range.map(event).collect()
}

#[tokio::test]
async fn a_message_that_is_delivered_again_counts_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.ingest(events(0..20, false)).await;
    let texts = app.take_messages().await;
    assert_eq!(texts.len(), 1);
    assert!(app.deliver(&texts).await.is_empty());
    assert!(app.deliver(&texts).await.is_empty());
    assert!(app.deliver(&[texts[0].clone(), texts[0].clone()]).await.is_empty());
    assert!(app.deliver_to_new_writer(&texts).await.is_empty());
    assert_eq!(overview(&acme).await["events"], 20);
    assert_eq!(search(&acme).await, 20);
}

#[tokio::test]
async fn the_same_message_twice_in_one_batch_counts_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.ingest(events(0..20, true)).await;
    let text = app.take_messages().await.remove(0);
    assert!(app.deliver(&[text.clone(), text]).await.is_empty());
    assert_eq!(overview(&acme).await["events"], 20);
}

#[tokio::test]
async fn an_id_counts_once_however_it_comes_again() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.ingest(events(0..10, true)).await;
    app.settle().await;
    // The same batch, one that overlaps it, and one that repeats an id within itself.
    acme.ingest(events(0..10, true)).await;
    acme.ingest(events(5..15, true)).await;
    acme.ingest(json!([{"id": "twice", "type": "A", "name": "a"}, {"id": "twice", "type": "A", "name": "a"}]))
        .await;
    app.settle().await;
    assert_eq!(overview(&acme).await["events"], 16);
    assert_eq!(search(&acme).await, 16);
    // A writer that has just started knows what the other one wrote.
    acme.ingest(events(0..15, true)).await;
    let texts = app.take_messages().await;
    assert!(app.deliver_to_new_writer(&texts).await.is_empty());
    assert_eq!(overview(&acme).await["events"], 16);
    // After a day the id may count again.
    app.advance(26 * 3_600_000);
    acme.ingest(json!([{"id": "twice", "type": "A", "name": "a"}])).await;
    app.settle().await;
    let to = START.plus_millis(27 * 3_600_000);
    let path = format!("/v1/metrics/overview?projectId={}&to={to}&from={START}", acme.project);
    let client = acme.owner.logged_in_again(&app).await.client.within(&acme.org);
    assert_eq!(client.get(path).await.expect(200).json["byType"]["A"], 2);
}

#[tokio::test]
async fn two_writers_that_do_not_know_each_other_count_an_id_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for start in 0..6 {
        acme.ingest(events(start..start + 10, true)).await;
    }
    let texts = app.take_messages().await;
    let deliveries = texts
        .iter()
        .map(|text| app.deliver_to_new_writer(std::slice::from_ref(text)));
    let mut again = Vec::new();
    for (failed, text) in futures::future::join_all(deliveries).await.iter().zip(&texts) {
        if !failed.is_empty() {
            again.push(text.clone());
        }
    }
    assert!(app.deliver(&again).await.is_empty());
    assert_eq!(overview(&acme).await["events"], 15);
    assert_eq!(search(&acme).await, 15);
}

#[tokio::test]
async fn many_ids_become_runs_and_are_still_known() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for start in 0..4 {
        acme.ingest(events(start * 90..start * 90 + 90, true)).await;
        app.settle().await;
    }
    acme.ingest(events(0..360, true)).await;
    let texts = app.take_messages().await;
    assert!(app.deliver_to_new_writer(&texts).await.is_empty());
    assert_eq!(
        overview(&acme).await["events"],
        321,
        "those of the last 40 days, the first moment included"
    );
}

#[tokio::test]
async fn messages_may_come_in_any_order() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for start in 0..5 {
        acme.ingest(events(start * 7..start * 7 + 7, true)).await;
    }
    let mut texts = app.take_messages().await;
    texts.reverse();
    assert!(app.deliver(&texts).await.is_empty());
    assert_eq!(overview(&acme).await["events"], 35);
}

#[tokio::test]
async fn a_poisoned_message_fails_alone() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.ingest(events(0..3, false)).await;
    let good = app.take_messages().await.remove(0);
    let damaged = good.replace("\"events\":\"", "\"events\":\"AAAA");
    let texts = ["{}".to_owned(), good, String::new(), damaged];
    let mut failed = app.deliver(&texts).await;
    failed.sort_unstable();
    assert_eq!(failed, [0, 2, 3]);
    assert_eq!(overview(&acme).await["events"], 3);
}

#[tokio::test]
async fn folding_changes_no_number() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    // One chunk a request, all of one day, so that several folds happen; every event has its own minute.
    let mut sent: u64 = 0;
    for chunk in 0..70_i64 {
        let at = |n: i64| START.plus_millis(-(chunk * 2 + n) * 60_000).to_string();
        let event = |n: i64| {
            json!({"type": if n == 0 { "ERROR" } else { "A" }, "name": format!("n{}", chunk % 5),
            "userId": format!("u{}", chunk % 9), "occurredAt": at(n)})
        };
        acme.ingest(json!([event(0), event(1)])).await;
        sent += 2;
        if chunk % 10 == 9 {
            app.settle().await;
            let overview = overview(&acme).await;
            assert_eq!(overview["events"], sent);
            assert_eq!(overview["errors"], sent / 2);
        }
    }
    let range = format!(
        "from={}&to={}",
        START.plus_millis(-139 * 60_000),
        START.plus_millis(60_000)
    );
    let path = format!(
        "/v1/metrics/events/timeseries?projectId={}&interval=1m&{range}",
        acme.project
    );
    let series = acme.client.get(path).await.expect(200);
    let points = series.json["points"].as_array().unwrap();
    assert!(
        points.iter().all(|point| point["count"] == 1),
        "each minute has one event"
    );
    let path = format!("/v1/metrics/errors/top?projectId={}", acme.project);
    let top = acme.client.get(path).await.expect(200);
    assert_eq!(top.json["errors"].as_array().unwrap().len(), 5);
    assert!(
        top.json["errors"]
            .as_array()
            .unwrap()
            .iter()
            .all(|error| error["count"] == 14)
    );
    assert_eq!(overview(&acme).await["uniqueUsers"], 9);
}

#[tokio::test]
async fn a_key_shows_how_much_it_was_used() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.ingest(events(0..20, true)).await;
    app.settle().await;
    let keys = acme
        .client
        .get(format!("/v1/projects/{}/api-keys", acme.project))
        .await
        .expect(200);
    assert_eq!(keys.data()[0]["usage"], json!({"events": 20}));
    assert_eq!(keys.data()[0]["lastUsedAt"], START.to_string());
}

#[tokio::test]
async fn days_that_are_over_leave_little_to_fold() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let send = async |hours_before: i64| {
        let at = START.plus_millis(-hours_before * 3_600_000);
        acme.ingest(json!([{"type": "A", "name": "a", "occurredAt": at.to_string()}]))
            .await;
        app.settle().await;
    };
    let pending = async |hours_before: i64| {
        let day = START.plus_millis(-hours_before * 3_600_000).day();
        let key = telemetry::store::head_key(acme.project.parse().unwrap(), &day);
        let head = app
            .table()
            .get::<telemetry::store::DayHead>(&key)
            .await
            .unwrap()
            .unwrap();
        head.pending().len()
    };
    for _ in 0..8 {
        send(60).await;
    }
    assert_eq!(pending(60).await, 0, "a day that is over is folded at 8");
    for _ in 0..3 {
        send(24).await;
    }
    assert_eq!(pending(24).await, 3);
    send(0).await;
    assert_eq!(
        pending(24).await,
        0,
        "the first events of today fold what yesterday left"
    );
    assert_eq!(overview(&acme).await["events"], 12);
}

#[tokio::test]
async fn a_writer_that_dies_between_its_writes_leaves_nothing_counted_and_nothing_lost() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.ingest(events(0..20, true)).await;
    let texts = app.take_messages().await;
    // What a writer that died before its transaction has left: the events, without the entry that makes them count.
    let message = telemetry::Message::from_text(&texts[0]).unwrap();
    let blob = |chunk: telemetry::message::Chunk| telemetry::store::BlobRecord {
        project: message.project,
        day: chunk.day,
        chunk: message.chunk,
        data: chunk.bytes,
    };
    let blobs: Vec<_> = message.chunks().unwrap().into_iter().map(blob).collect();
    assert!(blobs.len() > 1);
    app.table().put_all(&blobs).await.unwrap();
    assert_eq!((&overview(&acme).await["events"], search(&acme).await), (&json!(0), 0));
    assert!(app.deliver_to_new_writer(&texts).await.is_empty());
    assert_eq!(
        (&overview(&acme).await["events"], search(&acme).await),
        (&json!(20), 20)
    );
}
