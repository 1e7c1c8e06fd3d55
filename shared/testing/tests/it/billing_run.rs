//! The billing run: every period is billed once, on its day, whoever runs how often, late, at once, or dies.

use std::collections::BTreeMap;

use kernel::Time;
use serde_json::{Value, json};
use testing::{Chaos, Moment, Tenant, TestApp};

async fn run(app: &TestApp) {
    app.fire("BillingRun").await;
    app.settle().await;
}

/// A tenant that is a client of the platform already, so that nothing is due.
async fn enrolled(app: &TestApp) -> Tenant {
    let tenant = app.tenant().await;
    run(app).await;
    run(app).await;
    tenant
}

/// The invoices in the order of their numbers: number, day, total.
async fn invoices(app: &TestApp, tenant: &Tenant) -> Vec<(String, String, i64)> {
    let all = tenant.logged_in_again(app).await.client.all("/v1/invoices").await;
    let shown = |invoice: &Value| {
        (
            invoice["number"].as_str().unwrap_or_default().to_owned(),
            invoice["issuedOn"].as_str().unwrap_or_default().to_owned(),
            invoice["total"].as_i64().unwrap(),
        )
    };
    let mut all: Vec<_> = all.iter().map(shown).collect();
    all.sort();
    all
}

fn days(invoices: &[(String, String, i64)]) -> Vec<&str> {
    invoices.iter().map(|(_, day, _)| day.as_str()).collect()
}

async fn monthly(acme: &Tenant) -> String {
    acme.new_plan(10_000, json!({"interval": "monthly"})).await
}

#[tokio::test]
async fn each_period_is_billed_once_on_its_day_in_one_jump_or_many() {
    let expected = ["2026-12-31", "2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"];
    for steps in [1, 7, 120] {
        let app = TestApp::start().await;
        let acme = app.tenant().await;
        let plan = monthly(&acme).await;
        acme.sold(&plan, json!({"startAt": "2026-12-31T00:00:00Z"})).await;
        for _ in 0..steps {
            app.advance(120 * Time::DAY / steps);
            run(&app).await;
        }
        // Twice, and once more for what one did not get to.
        run(&app).await;
        run(&app).await;
        let made = invoices(&app, &acme).await;
        assert_eq!(days(&made), expected, "in {steps} steps");
        let numbers: Vec<String> = made.iter().map(|(number, ..)| number.clone()).collect();
        let first = numbers[0].clone();
        assert!(first.ends_with("-0001"), "{numbers:?}");
        assert_eq!(numbers.len(), 5);
        assert!(made.iter().all(|(.., total)| *total == 10_000));
        let shown = acme.logged_in_again(&app).await.client.all("/v1/subscriptions").await;
        assert_eq!(shown[0]["nextBillingAt"], "2027-05-31T00:00:00.000Z");
        assert_eq!(shown[0]["lastBilledAt"], "2027-04-30T00:00:00.000Z");
    }
}

#[tokio::test]
async fn runs_at_once_and_messages_that_come_twice_or_in_another_order_bill_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = monthly(&acme).await;
    for _ in 0..12 {
        acme.sold(&plan, json!({"startAt": "2026-12-01T00:00:00Z"})).await;
    }
    for _ in 0..3 {
        app.fire("BillingRun").await;
    }
    let mut told = app.take("BillingQueue").await;
    assert!(told.len() >= 3, "{told:?}");
    told.reverse();
    told.extend(told.clone());
    told.insert(1, "no message".to_owned());
    // All at once, and again one by one.
    assert_eq!(app.deliver_from("BillingQueue", &told).await, [1]);
    for text in &told {
        app.deliver_from("BillingQueue", std::slice::from_ref(text)).await;
    }
    run(&app).await;
    let made = invoices(&app, &acme).await;
    let mut by_day: BTreeMap<&str, usize> = BTreeMap::new();
    for day in days(&made) {
        *by_day.entry(day).or_default() += 1;
    }
    assert_eq!(by_day, BTreeMap::from([("2026-12-01", 12), ("2027-01-01", 12)]));
    let mut numbers: Vec<&str> = made.iter().map(|(number, ..)| number.as_str()).collect();
    numbers.sort_unstable();
    let expected: Vec<String> = (1..=24).map(|count| format!("INV-2027-{count:04}")).collect();
    assert_eq!(numbers, expected, "no gap, none twice");
}

#[tokio::test]
async fn a_worker_that_dies_at_any_call_bills_once() {
    let chaos = Chaos::only(&[]);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    let plan = monthly(&acme).await;
    for call in 1..60 {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            let before = invoices(&app, &acme).await.len();
            let sold = acme.logged_in_again(&app).await.sold(&plan, json!({})).await;
            app.fire("BillingRun").await;
            let told = app.take("BillingQueue").await;
            chaos.enable(true);
            chaos.crash_at(call, moment);
            died = tokio::select! {
                failed = app.deliver_from("BillingQueue", &told) => { assert_eq!(failed, Vec::<usize>::new()); false }
                () = chaos.crashed() => true,
            };
            chaos.enable(false);
            // The message comes again, or the next run finds the mark.
            app.deliver_from("BillingQueue", &told).await;
            run(&app).await;
            assert_eq!(invoices(&app, &acme).await.len(), before + 1, "{moment:?} call {call}");
            let end = format!("/v1/contracts/{}/terminate", sold.contract);
            let acme = acme.logged_in_again(&app).await;
            acme.client
                .post(end, json!({"reason": "ADMIN_DECISION"}))
                .await
                .expect(200);
        }
        if !died {
            assert!(call > 6, "it makes more calls than {call}");
            app.settle().await;
            return;
        }
    }
    panic!("it makes no end of calls");
}

/// What a client used is on the invoice after its period, once the grace is over; what comes later is a line of its own.
#[tokio::test]
async fn usage_is_billed_after_its_grace_and_what_comes_late_is_corrected() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let metric = json!({"eventName": "render", "aggregation": "sum", "property": "pages"});
    let prices = json!([{"kind": "flat", "amount": 1_000}, {"kind": "perUnit", "metric": metric, "unitAmount": "2.5"}]);
    let plan = acme.new_plan(0, json!({"interval": "monthly", "prices": prices})).await;
    let client = acme.new_client(json!({"externalId": "tenant-7"})).await;
    let contract = acme.new_contract(&client).await;
    acme.new_subscription(&contract, &plan, json!({})).await;
    let activate = format!("/v1/contracts/{contract}/activate");
    acme.client.post(activate, json!({})).await.expect(200);
    run(&app).await;
    let event = |user: &str, pages: Value, at: &str| json!({"type": "CUSTOM", "name": "render", "userId": user, "payload": {"pages": pages}, "occurredAt": at});
    // The period is from 2027-01-15 to 2027-02-15.
    app.advance(30 * Time::DAY);
    let events = json!([
        event("tenant-7", json!(3), "2027-01-15T08:00:00Z"),
        event("tenant-7", json!(4.5), "2027-02-14T07:59:59.999Z"),
        event("tenant-8", json!(100), "2027-02-01T00:00:00Z"),
        event("tenant-7", json!("many"), "2027-02-01T00:00:00Z"),
    ]);
    acme.ingest(events).await;
    app.settle().await;
    app.advance(Time::DAY);
    // Another project of the organization counts too, and an event of the next period does not.
    let other = app.project(&acme.logged_in_again(&app).await).await;
    other
        .ingest(json!([
            event("tenant-7", json!(2), "2027-02-14T23:59:59.999Z"),
            event("tenant-7", json!(50), "2027-02-15T00:00:00Z")
        ]))
        .await;
    app.settle().await;
    run(&app).await;
    let made = invoices(&app, &acme).await;
    assert_eq!(made.len(), 2, "{made:?}");
    let lines = |invoice: &Value| -> Vec<(String, i64)> {
        let lines = invoice["lines"].as_array().unwrap();
        let shown = lines.iter().map(|line| {
            (
                line["kind"].as_str().unwrap().to_owned(),
                line["amount"].as_i64().unwrap(),
            )
        });
        shown.collect()
    };
    let newest = async || {
        let all = acme.logged_in_again(&app).await.client.all("/v1/invoices").await;
        let newest = all.iter().max_by_key(|invoice| invoice["number"].to_string());
        newest.unwrap().clone()
    };
    // 9.5 pages at 2.5 cents are 23.75, so 24.
    assert_eq!(
        lines(&newest().await),
        [("flat".to_owned(), 1_000), ("usage".to_owned(), 24)]
    );
    assert_eq!(newest().await["issuedOn"], "2027-02-15");
    // It becomes known that there were four pages more: 13.5 come to 33.75, which is 10 more.
    acme.ingest(json!([event("tenant-7", json!(4), "2027-02-10T00:00:00Z")]))
        .await;
    app.settle().await;
    app.advance(28 * Time::DAY);
    run(&app).await;
    let kinds: BTreeMap<String, i64> = lines(&newest().await).into_iter().collect();
    assert_eq!(kinds["flat"], 1_000);
    assert_eq!(kinds["usage"], 125);
    let correction = kinds.iter().find(|(kind, _)| kind.contains("orrection"));
    assert_eq!(correction.map(|(_, amount)| *amount), Some(10), "{kinds:?}");
}

#[tokio::test]
async fn usage_waits_for_its_grace() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let metric = json!({"eventName": "render", "aggregation": "count"});
    let prices = json!([{"kind": "perUnit", "metric": metric, "unitAmount": 7}]);
    let plan = acme.new_plan(0, json!({"prices": prices})).await;
    acme.sold(&plan, json!({})).await;
    // 30 days from the start of 2027-01-15 end at the start of 2027-02-14.
    app.advance(29 * Time::DAY + 16 * Time::HOUR + 59 * Time::MINUTE);
    run(&app).await;
    let shown = acme.logged_in_again(&app).await.client.all("/v1/subscriptions").await;
    assert_eq!(shown[0]["lastBilledAt"], "2027-01-15T00:00:00.000Z");
    app.advance(Time::MINUTE);
    run(&app).await;
    let shown = acme.logged_in_again(&app).await.client.all("/v1/subscriptions").await;
    assert_eq!(shown[0]["lastBilledAt"], "2027-02-14T00:00:00.000Z");
    assert_eq!(
        invoices(&app, &acme).await,
        [],
        "nothing was used, so there is nothing to pay"
    );
}

#[tokio::test]
async fn a_contract_ends_by_the_clock_and_its_subscription_with_it() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let client = acme.new_client(json!({})).await;
    let end = app.now().plus_millis(40 * Time::DAY);
    let body = json!({"clientId": client, "endsAt": end});
    let contract = acme.client.post("/v1/contracts", body).await.expect(201).text("id");
    let subscription = acme.new_subscription(&contract, &plan, json!({})).await;
    let activate = format!("/v1/contracts/{contract}/activate");
    acme.client.post(activate, json!({})).await.expect(200);
    for _ in 0..2 {
        app.advance(45 * Time::DAY);
        run(&app).await;
        run(&app).await;
    }
    let acme = acme.logged_in_again(&app).await;
    let status = async |path: String| acme.client.get(path).await.expect(200).json["status"].clone();
    assert_eq!(status(format!("/v1/contracts/{contract}")).await, "EXPIRED");
    assert_eq!(status(format!("/v1/subscriptions/{subscription}")).await, "EXPIRED");
    let made = invoices(&app, &acme).await;
    // The second period has 30 days from 2027-02-14, and 11 of them until the contract ends on 2027-02-24.
    assert_eq!(days(&made), ["2027-01-15", "2027-02-14"]);
    assert_eq!(made[1].2, 1_100);
}

#[tokio::test]
async fn a_deleted_organization_is_billed_no_more() {
    let app = TestApp::start().await;
    let acme = enrolled(&app).await;
    let plan = acme.new_plan(3_000, json!({})).await;
    acme.sold(&plan, json!({})).await;
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    app.fire("BillingRun").await;
    let told = app.take("BillingQueue").await;
    assert!(!told.is_empty());
    assert_eq!(app.deliver_from("BillingQueue", &told).await, Vec::<usize>::new());
    // The platform lets go of it.
    run(&app).await;
    app.advance(Time::HOUR);
    app.fire("BillingRun").await;
    assert_eq!(app.take("BillingQueue").await.len(), 0);
    app.settle().await;
}

/// What comes to more than any invoice can does not hold up what else is due, and is not told each minute.
#[tokio::test]
async fn what_cannot_be_billed_is_tried_again_later() {
    let app = TestApp::start().await;
    let acme = enrolled(&app).await;
    let huge = acme
        .new_plan(
            0,
            json!({"prices": [{"kind": "flat", "amount": 999_999_999_999_999_i64}]}),
        )
        .await;
    let plan = acme.new_plan(3_000, json!({})).await;
    acme.sold(&huge, json!({"quantity": 1_000})).await;
    acme.sold(&plan, json!({})).await;
    run(&app).await;
    assert_eq!(invoices(&app, &acme).await.len(), 1);
    app.advance(Time::MINUTE);
    app.fire("BillingRun").await;
    assert_eq!(app.take("BillingQueue").await.len(), 0);
    app.advance(15 * Time::MINUTE);
    app.fire("BillingRun").await;
    let told = app.take("BillingQueue").await;
    assert_eq!(told.len(), 1);
    assert_eq!(app.deliver_from("BillingQueue", &told).await, Vec::<usize>::new());
    app.fire("BillingRun").await;
    assert_eq!(app.take("BillingQueue").await.len(), 0, "it waits again, once");
}

#[tokio::test]
async fn recurring_invoices_and_overdue_ones_are_found_by_the_run() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = acme.new_client(json!({})).await;
    let body = json!({
        "clientId": client, "currency": "EUR", "taxRate": 20, "interval": "monthly", "startAt": "2026-12-31T00:00:00Z",
        "dueInDays": 10, "autoSend": true, "lineItems": [{"description": "Hosting", "quantity": 1, "unitPrice": 5_000}],
    });
    acme.client.post("/v1/recurring-invoices", body).await.expect(201);
    for _ in 0..40 {
        app.advance(Time::DAY);
        run(&app).await;
        run(&app).await;
    }
    let acme = acme.logged_in_again(&app).await;
    let all = acme.client.all("/v1/invoices").await;
    let mut shown: Vec<_> = all
        .iter()
        .rev()
        .map(|one| (one["issuedOn"].clone(), one["status"].clone(), one["total"].clone()))
        .collect();
    let expected = [
        (json!("2026-12-31"), json!("overdue"), json!(6_000)),
        (json!("2027-01-31"), json!("overdue"), json!(6_000)),
    ];
    shown.sort_by_key(|(day, ..)| day.to_string());
    assert_eq!(shown, expected);
}
