//! Retention: what is stored of events expires when promised, and nobody reads it from then on, whenever DynamoDB deletes it.

use kernel::Time;
use serde_json::json;
use testing::{START, Tenant, TestApp};

/// An event may be 400 days late, and is kept 35 days longer.
const KEPT: i64 = 435;

/// The day that the events of these tests are of, so that folds find it over.
fn day() -> Time {
    START.plus_millis(-Time::DAY).floor(Time::DAY)
}

/// Sends nine messages of one event each, of a day that is over: eight are folded into rollups, and one is pending.
async fn nine_messages(app: &TestApp, tenant: &Tenant) {
    for minute in 0..9 {
        let at = day().plus_millis(minute * Time::MINUTE);
        tenant
            .ingest(json!([{"type": "ERROR", "name": "late", "occurredAt": at, "userId": "ada"}]))
            .await;
        app.settle().await;
    }
}

/// What each way to read answers: how many events the overview counts, the timeseries, the errors; how many the search finds.
async fn seen(tenant: &Tenant) -> [u64; 4] {
    let (from, to) = (day(), day().plus_millis(Time::DAY));
    let range = format!("projectId={}&from={from}&to={to}", tenant.project);
    let get = async |path: &str| tenant.client.get(format!("{path}?{range}")).await.expect(200);
    let overview = get("/v1/metrics/overview").await.json;
    let series = get("/v1/metrics/events/timeseries").await.json;
    let points = series["points"].as_array().unwrap();
    assert_eq!(points.len(), 24, "each hour is answered, whatever is kept");
    let errors = get("/v1/metrics/errors/top").await.json;
    let found = get("/v1/events").await;
    [
        overview["events"].as_u64().unwrap(),
        points.iter().map(|point| point["count"].as_u64().unwrap()).sum(),
        errors["errors"][0]["count"].as_u64().unwrap_or(0),
        found.data().len() as u64,
    ]
}

#[tokio::test]
async fn all_that_is_stored_of_a_day_expires_at_one_moment() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    nine_messages(&app, &acme).await;
    let until = day().plus_millis((1 + KEPT) * Time::DAY);
    let stored = app.expiries("TelemetryTable").await;
    for kind in ["chunk", "blob", "day", "rollup"] {
        let of_kind: Vec<_> = stored.iter().filter(|(stored, _)| stored == kind).collect();
        assert!(!of_kind.is_empty(), "there is a {kind}");
        assert!(of_kind.iter().all(|(_, expiry)| *expiry == Some(until)), "{of_kind:?}");
    }
}

#[tokio::test]
async fn what_has_expired_is_not_read_whether_it_was_deleted_or_not() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    nine_messages(&app, &acme).await;
    assert_eq!(seen(&acme).await, [9; 4]);
    let path = format!("/v1/events?projectId={}&from={}", acme.project, day());
    let event = acme.client.get(path).await.expect(200).data()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();

    let until = day().plus_millis((1 + KEPT) * Time::DAY);
    app.advance(until.millis() - app.now().millis() - 1);
    let acme = acme.logged_in_again(&app).await;
    assert_eq!(seen(&acme).await, [9; 4]);
    acme.client.get(format!("/v1/events/{event}")).await.expect(200);

    // DynamoDB deletes what expired before now, so at this moment all of it is still there.
    app.advance(1);
    let stored = app.expiries("TelemetryTable").await;
    assert!(stored.iter().any(|(kind, _)| kind == "chunk"));
    assert_eq!(seen(&acme).await, [0; 4]);
    let gone = acme.client.get(format!("/v1/events/{event}")).await;
    gone.problem(404, "not_found");
}

#[tokio::test]
async fn what_may_come_late_is_kept_as_long_as_it_may_lie_in_a_queue() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let at = app.now().plus_millis(-400 * Time::DAY);
    acme.ingest(json!([{"type": "A", "name": "a", "occurredAt": at}])).await;
    // Two weeks in the queue, and two more among the dead, from which it was sent again.
    app.advance(28 * Time::DAY);
    app.settle().await;
    let acme = acme.logged_in_again(&app).await;
    let range = format!("projectId={}&from={at}&to={}", acme.project, at.plus_millis(1));
    let overview = acme
        .client
        .get(format!("/v1/metrics/overview?{range}"))
        .await
        .expect(200);
    assert_eq!(overview.json["events"], 1);
}
