//! What events and questions cost, in DynamoDB's own capacity units. Counts, not times: they do not depend on the
//! machine, and a rise fails.

use serde_json::{Value, json};
use testing::{START, Tenant, TestApp};

/// A hundred events as web servers make them: about 60 names, 30 users, 420 bytes of JSON each.
fn events(batch: i64, with_ids: bool) -> Value {
    let event = |n: i64| {
        let number = batch * 100 + n;
        // A small generator with a fixed seed, so that every run sends the same.
        let pick = |salt: i64, bound: i64| {
            let mixed = (number * 7_919 + salt * 104_729).wrapping_mul(2_654_435_761);
            (mixed >> 7).rem_euclid(bound)
        };
        let mut event = json!({
            "type": if pick(1, 40) == 0 { "ERROR" } else { "REQUEST" },
            "name": format!("GET /presentations/{}/images/slide-{}.png", pick(2, 9), pick(3, 12)),
            "userId": format!("198.51.100.{}", pick(4, 30)),
            "occurredAt": START.plus_millis(-number * 173 - 1_000_000).to_string(),
            "metadata": {
                "status": 200, "bytes": pick(5, 200_000),
                "referrer": format!("https://example.com/blog/{}/", pick(6, 15)),
                "userAgent": format!("Mozilla/5.0 (Windows NT 6.1; WOW64; rv:{}.0) Gecko/20100101 Firefox/{}.0", pick(7, 9), pick(7, 9)),
            },
        });
        if with_ids {
            event["id"] = format!(
                "{:016x}",
                (number * 7_919).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed())
            )
            .into();
        }
        event
    };
    (0..100).map(event).collect()
}

/// Units a batch of a hundred costs, over `batches` of them, folds included.
async fn units_a_batch(app: &TestApp, tenant: &Tenant, batches: i64, with_ids: bool) -> f64 {
    app.writer_meter().take();
    for batch in 0..batches {
        tenant.ingest(events(batch, with_ids)).await;
        app.settle().await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let units = app.writer_meter().take().units / batches as f64;
    units
}

#[tokio::test]
async fn a_batch_of_a_hundred_events_costs_few_units() {
    let app = TestApp::start().await;
    let [plain, ids] = app.tenants().await;
    // One unit to write costs 0.625 dollars a million; 10,000 batches make a million events.
    let without = units_a_batch(&app, &plain, 64, false).await;
    let with = units_a_batch(&app, &ids, 64, true).await;
    println!("units a batch of 100: {without:.1} without ids, {with:.1} with");
    assert!(without <= 10.0, "{without} units a batch without ids");
    assert!(with <= 16.0, "{with} units a batch with ids");
}

#[tokio::test]
async fn a_question_costs_the_same_for_few_events_and_for_many() {
    let app = TestApp::start().await;
    let [few, many] = app.tenants().await;
    let ask = async |tenant: &Tenant, what: &str| {
        app.metrics_meter().take();
        let range = format!(
            "projectId={}&from={}&to={START}",
            tenant.project,
            START.plus_millis(-2 * 86_400_000)
        );
        tenant
            .client
            .get(format!("/v1/metrics/{what}{range}"))
            .await
            .expect(200);
        app.metrics_meter().take()
    };
    // Both have 32 batches, so both are folded once; the many have a hundred times the events in them.
    for batch in 0..32 {
        let mut one = events(batch, false);
        few.ingest(json!([one[0].take()])).await;
        many.ingest(events(batch, false)).await;
        app.settle().await;
    }
    for what in [
        "overview?",
        "errors/top?",
        "events/timeseries?interval=1h&",
        "events/timeseries?interval=1m&",
    ] {
        let (few, many) = (ask(&few, what).await, ask(&many, what).await);
        println!("{what} {few:?} {many:?}");
        assert_eq!(few.requests, many.requests, "{what}");
        // The same items; one that holds more names and users is longer.
        assert!(
            many.units <= few.units * 3.0,
            "{what}: {} and {} units",
            few.units,
            many.units
        );
    }
}
