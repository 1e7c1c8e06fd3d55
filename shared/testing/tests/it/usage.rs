//! Usage: what credits went on, by day and month of the organization's zone, by project, key and endpoint; the same while
//! leases are open and after they were settled.

use std::collections::BTreeMap;

use commit::Commit;
use kernel::{Origin, Time};
use lambda::{App, Env};
use metering::{Buyer, Charge, Meter, Operation, Receipt, report};
use serde_json::{Value, json};
use testing::{Client, START, Tenant, TestApp};

use crate::wallet::{agreed, wallet};

const ONE: &str = "POST /v1/ingest/event";
pub(crate) const MANY: &str = "POST /v1/ingest/events";

/// The environment of a process that sells.
pub(crate) fn env(app: &App) -> Env {
    let console = ("CONSOLE_URL".to_owned(), "https://console.example.com/".to_owned());
    let sender = ("MAIL_FROM".to_owned(), "no-reply@example.com".to_owned());
    Env::of(BTreeMap::from([console, sender]), app.clock.clone())
}

fn buyer(tenant: &Tenant, endpoint: &str) -> Buyer {
    Buyer {
        org: tenant.org.parse().unwrap(),
        project: tenant.project.parse().unwrap(),
        key: tenant.key_id.parse().unwrap(),
        endpoint: endpoint.to_owned(),
    }
}

/// A process that sells calls.
pub(crate) struct Shop {
    app: App,
    meter: Meter,
}

impl Shop {
    pub(crate) async fn of(testing: &TestApp) -> Self {
        let app = testing.app().await;
        let meter = Meter::of(&env(&app), &app).unwrap();
        Self { app, meter }
    }

    /// Sells so many calls, and says so. Yields what was said.
    pub(crate) async fn sell(&self, tenant: &Tenant, endpoint: &str, times: u64) -> Receipt {
        let admission = self
            .meter
            .admit(buyer(tenant, endpoint), Operation::IngestEvent)
            .await
            .unwrap();
        let mut charge = admission.cover(times).await.unwrap();
        let receipt = charge.sell(times).unwrap();
        charge.done();
        report(&self.app, [receipt.clone()]).await.unwrap();
        receipt
    }

    /// Holds so many calls, and begins the transaction in which they are sold.
    async fn begin(&self, tenant: &Tenant, times: u64) -> (Charge, Commit<'_>) {
        let admission = self
            .meter
            .admit(buyer(tenant, ONE), Operation::PublicCall)
            .await
            .unwrap();
        let mut charge = admission.cover(times).await.unwrap();
        let commit = charge.sell_with(times, Commit::of(&self.app, &Origin::default()));
        (charge, commit)
    }

    /// Its leases are over, and it closes them.
    pub(crate) async fn close(&self, testing: &TestApp) {
        testing.advance(61_000);
        self.meter.close_over().await;
    }
}

/// In the order of their groups.
fn sorted(mut lines: [Value; 2]) -> [Value; 2] {
    lines.sort_by_key(|line| line["group"].as_str().unwrap().to_owned());
    lines
}

async fn usage(client: &Client, query: &str) -> Vec<Value> {
    client
        .get(format!("/v1/usage?{query}"))
        .await
        .expect(200)
        .data()
        .to_vec()
}

fn line(at: &str, group: Option<&str>, credits: i64) -> Value {
    match group {
        Some(group) => json!({"at": at, "group": group, "credits": credits}),
        None => json!({"at": at, "credits": credits}),
    }
}

const TODAY: &str = "2027-01-15T00:00:00.000Z";

#[tokio::test]
async fn usage_is_told_by_project_key_and_endpoint_before_and_after_leases_are_settled() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let (other, shop) = (app.project(&acme).await, Shop::of(&app).await);
    shop.sell(&acme, ONE, 1).await;
    shop.sell(&acme, MANY, 20).await;
    shop.sell(&acme, MANY, 30).await;
    shop.sell(&other, ONE, 7).await;
    shop.sell(&rival, ONE, 99).await;
    for settled in [false, true] {
        let of = |group: &str, credits| line(TODAY, Some(group), credits);
        let by_project = usage(&acme.client, "groupBy=project").await;
        assert_eq!(
            by_project,
            sorted([of(&acme.project, 51), of(&other.project, 7)]),
            "{settled}"
        );
        let by_key = usage(&acme.client, "groupBy=key&interval=day").await;
        assert_eq!(
            by_key,
            sorted([of(&acme.key_id, 51), of(&other.key_id, 7)]),
            "{settled}"
        );
        let by_endpoint = usage(&acme.client, "groupBy=endpoint").await;
        assert_eq!(by_endpoint, sorted([of(ONE, 8), of(MANY, 50)]), "{settled}");
        assert_eq!(usage(&acme.client, "").await, [line(TODAY, None, 58)], "{settled}");
        let by_month = usage(&acme.client, "interval=month").await;
        assert_eq!(by_month, [line("2027-01-01T00:00:00.000Z", None, 58)], "{settled}");
        assert_eq!(usage(&rival.client, "").await, [line(TODAY, None, 99)], "{settled}");
        let shown = agreed(&acme.client).await;
        assert_eq!(shown["spent"], 58, "{settled}");
        assert_eq!(shown["leased"] == 0, settled, "{shown}");
        shop.close(&app).await;
    }
}

#[tokio::test]
async fn days_and_months_are_those_of_the_zone() {
    let app = TestApp::start().await;
    let (acme, shop) = (app.tenant().await, Shop::of(&app).await);
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), json!({"timeZone": "Asia/Tokyo"}))
        .await
        .expect(200);
    // 23:59 and 00:00 there, at the end of January.
    app.advance("2027-01-31T14:59:00Z".parse::<Time>().unwrap().millis() - START.millis());
    shop.sell(&acme, ONE, 1).await;
    shop.close(&app).await;
    shop.sell(&acme, ONE, 10).await;
    shop.close(&app).await;
    let client = acme.owner.logged_in_again(&app).await.client.within(&acme.org);
    let (january, february) = ("2027-01-30T15:00:00.000Z", "2027-01-31T15:00:00.000Z");
    let both = [line(january, None, 1), line(february, None, 10)];
    assert_eq!(usage(&client, "").await, both);
    let months = [line("2026-12-31T15:00:00.000Z", None, 1), line(february, None, 10)];
    assert_eq!(usage(&client, "interval=month").await, months);
    // Whole days count: the one in which `from` lies, and none that begins at `to`.
    let range = |from: &str, to: &str| format!("from={from}&to={to}");
    assert_eq!(
        usage(&client, &range("2027-01-31T14:59:59.999Z", february)).await,
        both[..1]
    );
    assert_eq!(
        usage(&client, &range(february, "2027-01-31T15:00:00.001Z")).await,
        both[1..]
    );
    assert!(usage(&client, &range("2027-01-01T00:00:00Z", january)).await.is_empty());

    // A new zone counts at once; what was counted stays in its day.
    client
        .patch(format!("/v1/orgs/{}", acme.org), json!({"timeZone": "UTC"}))
        .await
        .expect(200);
    let moved = [
        line("2027-01-31T00:00:00.000Z", None, 1),
        line("2027-02-01T00:00:00.000Z", None, 10),
    ];
    assert_eq!(usage(&client, "to=2027-02-02T00:00:00Z").await, moved);
    shop.sell(&acme, ONE, 100).await;
    let now = usage(&client, "to=2027-02-02T00:00:00Z").await;
    assert_eq!(now[0]["credits"], 101, "{now:?}");
}

#[tokio::test]
async fn prices_count_from_the_moment_they_are_known() {
    let app = TestApp::start().await;
    let (acme, shop, manager) = (app.tenant().await, Shop::of(&app).await, app.manager().await);
    shop.sell(&acme, ONE, 2).await;
    let dear = json!({"prices": {"ingest.event": 5}});
    manager.client.put("/v1/admin/prices", dear).await.expect(200);
    app.advance(60_000);
    let receipt = shop.sell(&acme, ONE, 2).await;
    assert_eq!(receipt.price, 5);
    assert_eq!(usage(&acme.client, "").await, [line(TODAY, None, 2 + 10)]);
    assert_eq!(wallet(&acme.client).await["spent"], 12);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_named() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let ask = async |query: &str| acme.client.get(format!("/v1/usage?{query}")).await;
    for (query, code, field) in [
        ("interval=hour", "wrong_type", "interval"),
        ("groupBy=colour", "wrong_type", "groupBy"),
        ("from=yesterday", "wrong_type", "from"),
        ("to=2027-01-15", "wrong_type", "to"),
        ("group_by=key", "unknown_field", "group_by"),
        ("interval=day&interval=day", "duplicate_field", "interval"),
    ] {
        assert_eq!(ask(query).await.problem(400, code).fields(), [field], "{query}");
    }
    for (query, field) in [
        ("from=2027-01-15T00:00:00Z&to=2027-01-15T00:00:00Z", "to"),
        ("from=2027-01-15T00:00:00Z&to=2027-01-14T00:00:00Z", "to"),
        ("from=2025-12-01T00:00:00Z&to=2027-01-15T00:00:00Z", "to"),
        ("from=9999-01-01T00:00:00Z", "to"),
    ] {
        assert_eq!(ask(query).await.problem(422, "invalid").fields(), [field], "{query}");
    }
    assert!(
        usage(&acme.client, "from=1970-01-01T00:00:00Z&to=1970-02-01T00:00:00Z")
            .await
            .is_empty()
    );
    let theirs = rival.owner.client.within(&acme.org);
    theirs.get("/v1/usage").await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_sold_with_a_write_is_counted_with_it() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let shop = Shop::of(&app).await;
    let spent = async || {
        let wallet = acme.client.get("/v1/wallet").await.expect(200).json;
        assert_eq!(wallet["debt"], 0);
        wallet["spent"].as_u64().unwrap()
    };
    shop.sell(&acme, ONE, 1).await;
    let (charge, commit) = shop.begin(&acme, 3).await;
    commit.await.unwrap();
    charge.done();
    // What was not done costs nothing, and its credits are sold again.
    let (charge, commit) = shop.begin(&acme, 40).await;
    drop(commit);
    charge.undone();
    shop.sell(&acme, ONE, 2).await;
    shop.close(&app).await;
    assert_eq!(spent().await, 6);
    // Of which nobody knows whether it was done is told by what is stored: here one was.
    let (charge, commit) = shop.begin(&acme, 7).await;
    commit.await.unwrap();
    drop(charge);
    let (charge, commit) = shop.begin(&acme, 5).await;
    drop((charge, commit));
    app.advance(metering::recovery::GRACE + 61_000);
    app.fire("Sweeper").await;
    app.settle().await;
    assert_eq!(spent().await, 13);
    assert_eq!(acme.client.get("/v1/wallet").await.expect(200).json["leased"], 0);
}

#[tokio::test]
async fn nothing_is_sold_of_a_lease_that_was_given_up() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let shop = Shop::of(&app).await;
    let (charge, commit) = shop.begin(&acme, 3).await;
    app.advance(metering::recovery::GRACE + 61_000);
    app.fire("Sweeper").await;
    app.settle().await;
    assert!(commit.await.unwrap_err().failed("credits"));
    charge.undone();
    assert_eq!(acme.client.get("/v1/wallet").await.expect(200).json["spent"], 0);
}

#[tokio::test]
async fn usage_is_a_file_for_a_spreadsheet_too() {
    let testing = TestApp::start().await;
    let acme = testing.tenant().await;
    Shop::of(&testing).await.sell(&acme, ONE, 3).await;
    testing.settle().await;
    let asked = [
        acme.client.get("/v1/usage?groupBy=endpoint&format=csv").await,
        acme.client
            .header("accept", "text/csv")
            .get("/v1/usage?groupBy=endpoint")
            .await,
    ];
    for reply in asked {
        let reply = reply.expect(200);
        assert_eq!(reply.header("content-type"), "text/csv; charset=utf-8; header=present");
        assert_eq!(
            reply.header("content-disposition"),
            "attachment; filename=\"usage.csv\""
        );
        let text = String::from_utf8(reply.bytes).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(
            lines,
            [
                "at,group,credits,correction",
                &format!("2027-01-15T00:00:00.000Z,\"{ONE}\",3,false"),
                ""
            ]
        );
    }
    let wrong = acme.client.get("/v1/usage?format=xml").await.expect(400);
    assert_eq!(wrong.fields(), ["format"], "{}", wrong.json);
}
