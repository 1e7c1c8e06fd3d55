//! /v1/metrics: the numbers, and who may see them.

use serde_json::{Value, json};
use testing::{START, Tenant, TestApp};

const MINUTE: i64 = 60_000;

fn at(minutes_before: i64) -> String {
    START.plus_millis(-minutes_before * MINUTE).to_string()
}

async fn get(tenant: &Tenant, what: &str) -> Value {
    let joined = if what.contains('?') { '&' } else { '?' };
    tenant
        .client
        .get(format!("/v1/metrics/{what}{joined}projectId={}", tenant.project))
        .await
        .expect(200)
        .json
}

#[tokio::test]
async fn the_overview_adds_up() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let empty = get(&acme, "overview").await;
    assert_eq!(
        empty,
        json!({"events": 0, "errors": 0, "errorRate": 0.0, "uniqueUsers": 0, "byType": {}, "lastEventAt": null})
    );
    acme.ingest(json!([
        {"type": "REQUEST", "name": "GET /", "userId": "a", "occurredAt": at(3)},
        {"type": "REQUEST", "name": "GET /", "userId": "b", "occurredAt": at(2)},
        {"type": "ERROR", "name": "GET /", "userId": "a", "occurredAt": at(1)},
        {"type": "CUSTOM", "name": "login", "occurredAt": at(2 * 24 * 60)},
    ]))
    .await;
    app.settle().await;
    let day = get(&acme, "overview").await;
    assert_eq!(day["byType"], json!({"ERROR": 1, "REQUEST": 2}));
    assert_eq!(
        (&day["events"], &day["errors"], &day["uniqueUsers"]),
        (&json!(3), &json!(1), &json!(2))
    );
    assert_eq!(day["lastEventAt"], at(1));
    assert!((day["errorRate"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9);
    let week = get(&acme, &format!("overview?from={}", at(7 * 24 * 60))).await;
    assert_eq!(week["events"], 4);
}

#[tokio::test]
async fn a_timeseries_has_no_holes_and_can_be_narrowed() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.ingest(json!([
        {"type": "REQUEST", "name": "a", "occurredAt": at(9)},
        {"type": "ERROR", "name": "a", "occurredAt": at(9)},
        {"type": "ERROR", "name": "b", "occurredAt": at(2)},
    ]))
    .await;
    app.settle().await;
    let range = format!("from={}&to={}", at(10), at(0));
    let series = get(&acme, &format!("events/timeseries?{range}&interval=1m")).await;
    let points = series["points"].as_array().unwrap();
    let counts: Vec<_> = points
        .iter()
        .map(|p| (p["count"].as_u64().unwrap(), p["errors"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        counts,
        [
            (0, 0),
            (2, 1),
            (0, 0),
            (0, 0),
            (0, 0),
            (0, 0),
            (0, 0),
            (0, 0),
            (1, 1),
            (0, 0)
        ]
    );
    assert_eq!(points[1]["at"], at(9));
    let narrowed = get(
        &acme,
        &format!("events/timeseries?{range}&interval=1m&type=ERROR&name=a"),
    )
    .await;
    let total: u64 = narrowed["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["count"].as_u64().unwrap())
        .sum();
    assert_eq!(total, 1);
    for (interval, points) in [("5m", 2), ("1h", 1), ("1d", 1)] {
        let series = get(&acme, &format!("events/timeseries?{range}&interval={interval}")).await;
        assert_eq!(series["points"].as_array().unwrap().len(), points, "{interval}");
    }
}

#[tokio::test]
async fn the_most_frequent_errors_come_first() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let error = |name: &str, before| json!({"type": "ERROR", "name": name, "occurredAt": at(before)});
    acme.ingest(json!([
        error("rare", 1),
        error("often", 5),
        error("often", 3),
        error("also", 4)
    ]))
    .await;
    app.settle().await;
    let top = get(&acme, "errors/top?limit=2").await;
    assert_eq!(
        top["errors"],
        json!([{"name": "often", "count": 2, "lastSeenAt": at(3)}, {"name": "also", "count": 1, "lastSeenAt": at(4)}])
    );
}

#[tokio::test]
async fn another_tenants_project_looks_absent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for path in ["overview", "events/timeseries", "errors/top"] {
        let path = format!("/v1/metrics/{path}?projectId={}", acme.project);
        rival.client.get(&path).await.problem(404, "not_found");
        rival
            .owner
            .client
            .within(&acme.org)
            .get(&path)
            .await
            .problem(404, "not_found");
        rival.owner.client.get(&path).await.problem(400, "missing_org");
        app.client().get(&path).await.expect(401);
        acme.server.get(&path).await.expect(401);
    }
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ask = async |query: &str| acme.client.get(format!("/v1/metrics/{query}")).await;
    let project = &acme.project;
    ask("overview").await.problem(400, "missing_field");
    ask("overview?projectId=7").await.problem(400, "malformed_id");
    ask(&format!("overview?projectId={project}&from=yesterday"))
        .await
        .problem(400, "wrong_type");
    ask(&format!("overview?projectId={project}&colour=red"))
        .await
        .problem(400, "unknown_field");
    ask(&format!("overview?projectId={project}&from={}&to={}", at(0), at(1)))
        .await
        .problem(422, "invalid");
    ask(&format!("overview?projectId={project}&from=2001-01-01T00:00:00Z"))
        .await
        .problem(422, "invalid");
    ask(&format!(
        "events/timeseries?projectId={project}&interval=1m&from={}",
        at(20 * 24 * 60)
    ))
    .await
    .problem(422, "invalid");
    ask(&format!("events/timeseries?projectId={project}&interval=2m"))
        .await
        .problem(400, "wrong_type");
    ask(&format!("errors/top?projectId={project}&limit=0"))
        .await
        .problem(400, "bad_limit");
    ask(&format!("errors/top?projectId={project}&limit=101"))
        .await
        .problem(400, "bad_limit");
}
