//! What events and questions cost, in DynamoDB's own capacity units and in requests. Counts, not times: they do not
//! depend on the machine, and a rise fails.

use std::collections::BTreeMap;

use kernel::{ProjectId, Result};
use serde_json::json;
use telemetry::rollup::{Counts, Rollup, Series};
use telemetry::store::{ChunkRef, RollupRecord, Span, remove_pending};
use testing::ledger::{self, batch};
use testing::{START, Tenant, TestApp};

#[tokio::test]
async fn no_operation_costs_more_than_the_ledger_states() {
    let document = std::fs::read_to_string(ledger::path()).expect("docs/cost.md");
    let mut dollars = BTreeMap::new();
    for entry in ledger::measure().await {
        let stated = ledger::stated(&document, entry.name);
        let stated = stated.unwrap_or_else(|| panic!("docs/cost.md does not tell {}", entry.name));
        for ((column, count), stated) in entry.columns().into_iter().zip(stated) {
            // Ids are random, so what is compressed with them has not always the same length: one unit in fifty.
            assert!(
                count <= stated * 1.02 + 0.005,
                "{}: {count:.3} {column}, and docs/cost.md states {stated}; if that must be, run \
                 `cargo local bench --only cost --write`",
                entry.name
            );
        }
        let most = match entry.name {
            "event100free" | "event1000" => 0.10,
            "event100ids" | "event1000ids" => 0.25,
            // A thousand for five cents.
            "invoice" => 50.0,
            // A thousand for fifteen cents.
            "payment" => 150.0,
            _ => f64::INFINITY,
        };
        assert!(
            entry.dollars_a_million() < most,
            "{}: {}",
            entry.name,
            entry.dollars_a_million()
        );
        dollars.insert(entry.name, entry.dollars_a_million());
    }
    // What metering adds.
    let added = |metered, free| dollars[metered] - dollars[free];
    let (singly, batched) = (added("event1", "event1free"), added("event100", "event100free"));
    println!("metering a million events: {singly:.4} dollars singly, {batched:.4} in batches of 100");
    assert!(
        singly <= 1.0 && batched <= 0.02,
        "{singly} singly, {batched} in batches"
    );
}

#[tokio::test]
async fn a_question_costs_the_same_for_few_events_and_for_many() {
    let app = TestApp::start().await;
    let [few, many] = app.tenants().await;
    let ask = async |tenant: &Tenant, what: &str| {
        app.take_usage("Metrics");
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
        app.take_usage("Metrics")
    };
    // Both have 32 batches, so both are folded once; the many have a hundred times the events in them.
    for number in 0..32 {
        let mut one = batch(number, 100, false);
        few.ingest(json!([one[0].take()])).await;
        many.ingest(batch(number, 100, false)).await;
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
        assert_eq!(few.dynamodb_requests, many.dynamodb_requests, "{what}");
        // The same items; one that holds more names and users is longer.
        assert!(
            many.units() <= few.units() * 3.0,
            "{what}: {} and {} units",
            few.units(),
            many.units()
        );
    }
}

/// What a question costs, in read units and requests.
async fn cost_of(app: &TestApp, tenant: &Tenant, question: &str) -> (f64, u64) {
    app.aws().usage().take();
    let path = format!("/v1/metrics/{question}projectId={}", tenant.project);
    tenant.client.get(path).await.expect(200);
    let usage = app.aws().usage().take()["Metrics"];
    (usage.read_units, usage.dynamodb_requests)
}

/// Rollups of a day whose list of names is full: each of 1,000 names in 10 of the hours, `each` events each time.
async fn fill(app: &TestApp, tenant: &Tenant, each: u64) -> Result<()> {
    let project: ProjectId = tenant.project.parse().expect("an id");
    let (table, day) = (app.table(), START.plus_millis(-86_400_000).day());
    let has = |n: usize, hour: u8| (n + usize::from(hour)) % 24 < 10;
    for span in (0..24).map(Span::Hour).chain([Span::Day]) {
        let series = |n: usize| {
            let kind = if n.is_multiple_of(10) { "ERROR" } else { "REQUEST" };
            let buckets = match span {
                Span::Hour(hour) => (has(n, hour)).then_some((31, each)).into_iter().collect(),
                Span::Day => (0..24).filter(|hour| has(n, *hour)).map(|hour| (hour, each)).collect(),
            };
            let (kind, name) = (kind.to_owned(), format!("GET /a/path/of/some/length/{n}"));
            let last_ms = START.millis() - 86_400_000;
            (Series { kind, name }, Counts { last_ms, buckets })
        };
        let counts = Rollup {
            series: (0..1_000)
                .map(series)
                .filter(|(_, counts)| !counts.buckets.is_empty())
                .collect(),
            ..Rollup::default()
        };
        table
            .write([RollupRecord::empty(project, &day, span).replace(&counts)?])
            .await?;
    }
    // The day's head tells that something was folded.
    let folded = ChunkRef { last_ms: 0, chunk: 0 };
    table.write([remove_pending(project, &day, &[folded])]).await?;
    Ok(())
}

#[tokio::test]
async fn a_question_costs_the_same_for_ten_thousand_events_and_for_ten_million() {
    let app = TestApp::start().await;
    let [few, many] = app.tenants().await;
    fill(&app, &few, 1).await.unwrap();
    fill(&app, &many, 1_000).await.unwrap();
    // Seen from START, that day lies between yesterday's midnight and today's.
    let range = format!(
        "from={}&to={}",
        START.plus_millis(-32 * 3_600_000),
        START.plus_millis(-8 * 3_600_000)
    );
    for (tenant, events) in [(&few, 10_000), (&many, 10_000_000)] {
        let path = format!("/v1/metrics/overview?projectId={}&{range}", tenant.project);
        assert_eq!(tenant.client.get(path).await.expect(200).json["events"], events);
    }
    for what in [
        "overview?",
        "errors/top?",
        "events/timeseries?interval=1h&",
        "events/timeseries?interval=1m&",
    ] {
        let few = cost_of(&app, &few, &format!("{what}{range}&")).await;
        let many = cost_of(&app, &many, &format!("{what}{range}&")).await;
        println!("{what} 10,000 events: {few:?}, 10,000,000 events: {many:?} (read units, requests)");
        assert_eq!(few.1, many.1, "{what}");
        // A larger number is a byte longer; units are steps of 4 KiB.
        assert!(
            (many.0 - few.0).abs() <= few.0 * 0.1,
            "{what}: {} and {} units",
            few.0,
            many.0
        );
    }
}
