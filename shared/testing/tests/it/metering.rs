//! Metering: calls are paid for once, by whoever can, whatever is delivered how often and whoever dies.

use std::collections::BTreeMap;

use app::{Outgoing, Queue};
use commit::Commit;
use futures::future::join_all;
use kernel::{Error, Origin};
use metering::{Buyer, Reservation};
use outbox::Told;
use serde_json::{Value, json};
use table::Query;
use testing::{Chaos, Moment, RATES, Reply, Setup, Tenant, TestApp};

const EVENT: &str = "/v1/ingest/event";
const EVENTS: &str = "/v1/ingest/events";
/// What the free plan includes.
const INCLUDED: i64 = 100_000;
/// Leases of a wallet with little left are over, and what was believed of it is not any more.
const SOON: i64 = 4_000;
/// Nobody's report of a lease can be under way any more.
const LATE: i64 = 61_000 + metering::recovery::GRACE;

fn event() -> Value {
    json!({"type": "A", "name": "a"})
}

fn batch(ids: std::ops::Range<usize>) -> Value {
    let events = ids.map(|id| json!({"type": "A", "name": "a", "id": format!("event-{id}")}));
    json!({"events": events.collect::<Vec<_>>()})
}

/// Changes the credits of a tenant.
async fn adjust(app: &TestApp, tenant: &Tenant, credits: i64) {
    let path = format!("/v1/admin/orgs/{}/credits", tenant.org);
    let body = json!({"credits": credits, "reason": "test"});
    app.manager().await.client.post(path, body).await.expect(201);
}

/// A tenant with so many credits.
async fn tenant_with(app: &TestApp, credits: i64) -> Tenant {
    let tenant = app.tenant().await;
    adjust(app, &tenant, credits - INCLUDED).await;
    tenant
}

/// The wallet by its fields, in the order balance, leased, spent, expired, granted, debt.
async fn wallet(tenant: &Tenant) -> [i64; 6] {
    let wallet = tenant.client.get("/v1/wallet").await.expect(200).json;
    let fields = ["balance", "leased", "spent", "expired", "granted", "debt"];
    let [balance, leased, spent, expired, granted, debt] = fields.map(|field| wallet[field].as_i64().unwrap());
    assert_eq!(balance + leased + spent + expired, granted, "{wallet}");
    [balance, leased, spent, expired, granted, debt]
}

async fn spent(tenant: &Tenant) -> i64 {
    wallet(tenant).await[2]
}

/// Credits used by whatever tells them apart.
async fn usage(app: &TestApp, tenant: &Tenant, group_by: &str) -> BTreeMap<String, i64> {
    let (from, to) = (app.now().plus_millis(-86_400_000), app.now().plus_millis(86_400_000));
    let path = format!("/v1/usage?from={from}&to={to}&interval=month&groupBy={group_by}");
    let rows = tenant.client.get(path).await.expect(200).json;
    let row = |row: &Value| {
        (
            row["group"].as_str().unwrap().to_owned(),
            row["credits"].as_i64().unwrap(),
        )
    };
    let mut sums = BTreeMap::new();
    for (group, credits) in rows["data"].as_array().unwrap().iter().map(row) {
        *sums.entry(group).or_default() += credits;
    }
    sums
}

fn tally(replies: &[Reply]) -> BTreeMap<u16, usize> {
    let mut tally = BTreeMap::new();
    for reply in replies {
        *tally.entry(reply.status.as_u16()).or_default() += 1;
    }
    tally
}

/// What was told of a tenant, in order.
async fn facts_of(app: &TestApp, tenant: &Tenant) -> Vec<String> {
    let log = Query::of(format!("ORG#{}#OUTBOX", tenant.org), 100).consistent();
    let facts = app.table().query::<Told>(log).await.unwrap().records;
    facts.into_iter().map(|told| told.fact).collect()
}

/// What dead processes held comes back.
async fn recover(app: &TestApp) {
    app.advance(LATE);
    app.fire("Sweeper").await;
    app.settle().await;
}

#[tokio::test]
async fn of_many_callers_as_many_pass_as_there_are_credits() {
    let app = TestApp::start_with(RATES, 4).await;
    let acme = tenant_with(&app, 1_000).await;
    let mut passed = 0;
    for round in 0..40 {
        let replies = join_all((0..100).map(|_| acme.server.post(EVENT, event()))).await;
        let tally = tally(&replies);
        assert!(tally.keys().all(|status| [202, 402].contains(status)), "{tally:?}");
        passed += tally.get(&202).unwrap_or(&0);
        assert!(passed <= 1_000, "{passed} passed in round {round}");
        app.advance(SOON);
        if passed == 1_000 {
            break;
        }
    }
    // What idle processes held came back to others.
    assert_eq!(passed, 1_000);
    app.settle().await;
    join_all((0..8).map(|_| acme.server.post(EVENT, event()))).await;
    assert_eq!(wallet(&acme).await, [0, 0, 1_000, 0, 1_000, 0]);
    assert_eq!(
        usage(&app, &acme, "project").await,
        BTreeMap::from([(acme.project.clone(), 1_000)])
    );
}

#[tokio::test]
async fn without_credits_nothing_is_done_and_the_way_to_more_is_told() {
    let app = TestApp::start().await;
    let acme = tenant_with(&app, 0).await;
    // Before anything is looked at.
    let refused = acme
        .server
        .post(EVENTS, json!({"no": "events"}))
        .await
        .problem(402, "out_of_credits");
    assert_eq!(
        (&refused.json["balance"], &refused.json["price"]),
        (&json!(0), &json!(1))
    );
    assert!(refused.text("topUpUrl").ends_with("/wallet"), "{}", refused.json);
    app.take_usage("Ingest");
    for _ in 0..50 {
        acme.server.post(EVENT, event()).await.problem(402, "out_of_credits");
    }
    let cost = app.take_usage("Ingest");
    assert!(cost.write_units < 0.1, "a refused call writes nothing");
    assert!(cost.dynamodb_requests <= 2, "{} requests", cost.dynamodb_requests);
    // A top-up opens the way within two seconds.
    adjust(&app, &acme, 1).await;
    app.advance(2_000);
    acme.server.post(EVENT, event()).await.expect(202);
    acme.server.post(EVENT, event()).await.problem(402, "out_of_credits");
    app.settle().await;
}

#[tokio::test]
async fn a_batch_passes_whole_or_not_at_all() {
    let app = TestApp::start().await;
    let acme = tenant_with(&app, 100).await;
    let refused = acme
        .server
        .post(EVENTS, batch(0..101))
        .await
        .problem(402, "out_of_credits");
    assert_eq!(
        (&refused.json["balance"], &refused.json["price"]),
        (&json!(100), &json!(101))
    );
    assert_eq!(app.take_messages().await.len(), 0);
    app.advance(2_000);
    acme.server.post(EVENTS, batch(0..100)).await.expect(202);
    app.settle().await;
    assert_eq!(spent(&acme).await, 100);
}

#[tokio::test]
async fn only_events_that_are_taken_and_counted_cost() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.server.post(EVENT, json!({"type": "A"})).await.expect(400);
    let mixed = json!({"events": [event(), {"name": "no type"}, event()]});
    acme.server.post(EVENTS, mixed).await.expect(202);
    app.settle().await;
    assert_eq!(spent(&acme).await, 2);
    // An event whose id was counted is taken, and free: alone, with others, and in a batch that is sent again.
    acme.server.post(EVENTS, batch(0..10)).await.expect(202);
    app.settle().await;
    for again in [batch(0..10), batch(5..15), batch(0..15)] {
        acme.server.post(EVENTS, again).await.expect(202);
        app.settle().await;
    }
    assert_eq!(spent(&acme).await, 2 + 15);
    let keys = usage(&app, &acme, "key").await;
    assert_eq!(keys, BTreeMap::from([(acme.key_id.clone(), 17)]));
    // The same once the lease is closed, and what was free is known only after that.
    acme.server.post(EVENTS, batch(10..20)).await.expect(202);
    let late = app.take_messages().await;
    app.advance(61_000);
    acme.server.post(EVENTS, batch(20..25)).await.expect(202);
    app.settle().await;
    assert_eq!(spent(&acme).await, 2 + 15 + 10 + 5);
    assert_eq!(app.deliver(&late).await, Vec::<usize>::new());
    assert_eq!(spent(&acme).await, 2 + 15 + 5 + 5);
    assert_eq!(usage(&app, &acme, "key").await[&acme.key_id], 27);
}

#[tokio::test]
async fn messages_that_come_twice_late_or_in_another_order_cost_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for number in 0..5 {
        acme.server
            .post(EVENTS, batch(number * 4..number * 4 + 5))
            .await
            .expect(202);
    }
    let mut messages = app.take_messages().await;
    messages.reverse();
    for texts in [&messages[..2], &messages[1..4], &messages[..], &messages[2..]] {
        assert_eq!(app.deliver_to_new_writer(texts).await, Vec::<usize>::new());
    }
    assert_eq!(spent(&acme).await, 21);
    let poisoned = ["no message".to_owned(), messages[0].clone()];
    assert_eq!(app.deliver(&poisoned).await, [0]);
    assert_eq!(spent(&acme).await, 21);
    assert_eq!(
        usage(&app, &acme, "endpoint").await,
        BTreeMap::from([(format!("POST {EVENTS}"), 21)])
    );
}

#[tokio::test]
async fn what_is_corrected_after_it_was_counted_has_a_line_of_its_own() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.server.post(EVENTS, batch(0..5)).await.expect(202);
    let first = app.take_messages().await;
    acme.server.post(EVENTS, batch(0..5)).await.expect(202);
    let again = app.take_messages().await;
    app.deliver(&first).await;
    // The lease of both is over, and closed by the next call.
    app.advance(61_000);
    acme.server.post(EVENTS, batch(7..8)).await.expect(202);
    app.settle().await;
    app.deliver(&again).await;
    let (from, to) = (app.now().plus_millis(-86_400_000), app.now().plus_millis(86_400_000));
    let path = format!("/v1/usage?from={from}&to={to}&interval=month&groupBy=endpoint");
    let rows = acme.client.get(path).await.expect(200).json;
    let (at, group) = (&rows["data"][0]["at"], format!("POST {EVENTS}"));
    let expected = json!([
        {"at": at, "group": group, "credits": 11},
        {"at": at, "group": group, "credits": -5, "correction": true},
    ]);
    assert_eq!(rows["data"], expected);
    assert_eq!(spent(&acme).await, 6);
}

#[tokio::test]
async fn what_a_dead_process_held_comes_back_and_what_it_sold_is_paid() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.server.post(EVENTS, batch(0..7)).await.expect(202);
    app.settle().await;
    let [_, leased, ..] = wallet(&acme).await;
    assert!(leased > 0, "it holds more than it has sold");
    // Nobody closes the lease: the process is gone. Before its time nothing happens.
    app.advance(60_000);
    app.fire("Sweeper").await;
    app.settle().await;
    assert_eq!(wallet(&acme).await[1], leased);
    recover(&app).await;
    assert_eq!(wallet(&acme).await, [INCLUDED - 7, 0, 7, 0, INCLUDED, 0]);
    assert_eq!(usage(&app, &acme, "key").await[&acme.key_id], 7);
    // Again, late and twice: nothing more.
    recover(&app).await;
    app.fire("Sweeper").await;
    app.settle().await;
    assert_eq!(spent(&acme).await, 7);
}

#[tokio::test]
async fn what_is_paid_is_written_with_what_it_pays_for() {
    let app = TestApp::start().await;
    let [acme, free] = app.tenants().await;
    let mut requests = Vec::new();
    for (tenant, price) in [(&acme, 1), (&free, 0)] {
        let prices = json!({"prices": {"ingest.event": price}});
        let manager = app.manager().await.client;
        manager.put("/v1/admin/prices", prices).await.expect(200);
        // A price counts within half a minute.
        app.advance(31_000);
        // The first finds out what the day has, the second is like all that follow.
        for _ in 0..2 {
            tenant.server.post(EVENT, event()).await.expect(202);
            let messages = app.take_messages().await;
            app.take_usage("EventWriter");
            assert_eq!(app.deliver(&messages).await, Vec::<usize>::new());
        }
        requests.push(app.take_usage("EventWriter").dynamodb_requests);
    }
    println!("requests of the writer, paid and free: {requests:?}");
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn receipts_and_reports_of_a_lease_count_as_the_largest_of_them() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let mut messages = Vec::new();
    for number in 0..4 {
        acme.server
            .post(EVENTS, batch(number * 3..number * 3 + 3))
            .await
            .expect(202);
        messages.extend(app.take_messages().await);
    }
    // Early ones are stored, in any order.
    for early in [&messages[2], &messages[0]] {
        assert_eq!(app.deliver(std::slice::from_ref(early)).await, Vec::<usize>::new());
    }
    // All that was sold until then, of which two more messages tell.
    assert_eq!(spent(&acme).await, 9);
    // Late ones are reported: one that says less than is known, and one that says more.
    app.advance(metering::receipt::YOUNG);
    assert_eq!(app.deliver(&messages[1..2]).await, Vec::<usize>::new());
    assert_eq!(spent(&acme).await, 9);
    recover(&app).await;
    let acme = acme.logged_in_again(&app).await;
    assert_eq!(wallet(&acme).await, [INCLUDED - 9, 0, 9, 0, INCLUDED, 0]);
    // After the lease was given up too; and none of them counts again.
    for late in [&messages[1..2], &messages[3..], &messages[..]] {
        assert_eq!(app.deliver_to_new_writer(late).await, Vec::<usize>::new());
    }
    assert_eq!(wallet(&acme).await, [INCLUDED - 12, 0, 12, 0, INCLUDED, 0]);
    assert_eq!(usage(&app, &acme, "key").await[&acme.key_id], 12);
}

#[tokio::test]
async fn sweepers_at_once_give_a_lease_up_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.server.post(EVENTS, batch(0..7)).await.expect(202);
    app.settle().await;
    app.advance(LATE);
    join_all((0..3).map(|_| app.fire("Sweeper"))).await;
    app.settle().await;
    assert_eq!(wallet(&acme).await, [INCLUDED - 7, 0, 7, 0, INCLUDED, 0]);
}

#[tokio::test]
async fn a_report_that_comes_after_its_lease_was_given_up_is_paid_all_the_same() {
    let app = TestApp::start().await;
    let acme = tenant_with(&app, 100).await;
    acme.server.post(EVENTS, batch(0..60)).await.expect(202);
    let late = app.take_messages().await;
    recover(&app).await;
    assert_eq!(wallet(&acme).await, [100, 0, 0, 0, 100, 0]);
    acme.server.post(EVENTS, batch(60..110)).await.expect(202);
    app.settle().await;
    recover(&app).await;
    assert_eq!(app.deliver(&late).await, Vec::<usize>::new());
    assert_eq!(app.deliver(&late).await, Vec::<usize>::new());
    assert_eq!(wallet(&acme).await, [0, 0, 100, 0, 100, 10]);
    adjust(&app, &acme, 30).await;
    assert_eq!(wallet(&acme).await, [20, 0, 110, 0, 130, 0]);
    assert_eq!(usage(&app, &acme, "key").await[&acme.key_id], 110);
}

#[tokio::test]
async fn the_settler_takes_what_it_is_told_twice_late_and_poisoned() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.server.post(EVENTS, batch(0..3)).await.expect(202);
    app.settle().await;
    app.advance(LATE);
    app.fire("Sweeper").await;
    let told = app.take("UsageQueue").await;
    assert_eq!(told.len(), 1, "{told:?}");
    let texts = [told[0].clone(), "{}".to_owned(), told[0].clone()];
    assert_eq!(app.deliver_from("UsageQueue", &texts).await, [1]);
    assert_eq!(app.deliver_from("UsageQueue", &told).await, Vec::<usize>::new());
    assert_eq!(wallet(&acme).await, [INCLUDED - 3, 0, 3, 0, INCLUDED, 0]);
}

#[tokio::test]
async fn nothing_comes_back_while_events_wait_that_may_report_it() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.server.post(EVENTS, batch(0..3)).await.expect(202);
    app.settle().await;
    app.advance(LATE);
    let waiting: Vec<_> = (0..=1_000).map(|_| Outgoing::now("an event")).collect();
    let sender = app.app().await;
    sender
        .queues
        .send_all(Queue("EVENT_QUEUE_URL"), &waiting)
        .await
        .unwrap();
    app.fire("Sweeper").await;
    assert_eq!(app.take("UsageQueue").await.len(), 0);
    assert_eq!(app.take_messages().await.len(), waiting.len());
    app.fire("Sweeper").await;
    assert_eq!(app.take("UsageQueue").await.len(), 1);
    // Told twice is settled once; and whoever is told of more than it can do is told the rest later.
    let waiting: Vec<_> = (0..2_000).map(|_| Outgoing::now("{}")).collect();
    sender
        .queues
        .send_all(Queue("USAGE_QUEUE_URL"), &waiting)
        .await
        .unwrap();
    app.fire("Sweeper").await;
    assert_eq!(app.take("UsageQueue").await.len(), waiting.len());
}

/// Whoever takes events in dies at each of its calls: what arrived is paid, and nothing else.
#[tokio::test]
async fn who_dies_while_it_takes_events_bills_what_arrived() {
    let chaos = Chaos::only(&[]);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    for call in 1..20 {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            // A lease of its own for each try.
            app.advance(61_000);
            let acme = acme.logged_in_again(&app).await;
            chaos.enable(true);
            chaos.crash_at(call, moment);
            let events = json!({"events": [event(), event(), event()]});
            died = tokio::select! {
                reply = acme.server.post(EVENTS, events) => { reply.expect(202); false }
                () = chaos.crashed() => true,
            };
            chaos.enable(false);
            acme.server.post(EVENT, event()).await.expect(202);
            app.settle().await;
            recover(&app).await;
            let acme = acme.logged_in_again(&app).await;
            let overview = format!("/v1/metrics/overview?projectId={}", acme.project);
            let events = acme.client.get(overview).await.expect(200).json["events"]
                .as_i64()
                .unwrap();
            let now = wallet(&acme).await;
            assert_eq!((now[2], now[1]), (events, 0), "{moment:?} call {call}");
        }
        if !died {
            assert!(call > 4, "it makes more calls than {call}");
            return;
        }
    }
    panic!("it makes no end of calls");
}

/// The writer dies at each of its calls, and at none of them a credit is lost or paid twice.
#[tokio::test]
async fn a_writer_that_dies_at_any_call_bills_once() {
    let chaos = Chaos::only(&[]);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    let mut counted = 0;
    for call in 1..40 {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            // One event counted before, and two that are new.
            let first = counted.max(1) - 1;
            acme.server.post(EVENTS, batch(first..counted + 2)).await.expect(202);
            counted += 2;
            let messages = app.take_messages().await;
            chaos.enable(true);
            chaos.crash_at(call, moment);
            died = tokio::select! {
                failed = app.deliver(&messages) => { assert_eq!(failed, Vec::<usize>::new()); false }
                () = chaos.crashed() => true,
            };
            chaos.enable(false);
            assert_eq!(app.deliver_to_new_writer(&messages).await, Vec::<usize>::new());
            assert_eq!(
                spent(&acme).await,
                i64::try_from(counted).unwrap(),
                "{moment:?} call {call}"
            );
        }
        if !died {
            assert!(call > 3, "the writer makes more calls than {call}");
            // By what it left is settled what the process held that sold it all.
            recover(&app).await;
            let acme = acme.logged_in_again(&app).await;
            let counted = i64::try_from(counted).unwrap();
            assert_eq!(wallet(&acme).await, [INCLUDED - counted, 0, counted, 0, INCLUDED, 0]);
            return;
        }
    }
    panic!("the writer makes no end of calls");
}

/// The settler dies at each of its calls while it gives a lease up.
#[tokio::test]
async fn a_settler_that_dies_at_any_call_settles_once() {
    let chaos = Chaos::only(&[]);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    let mut sold = 0;
    for call in 1..20 {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            acme.server.post(EVENTS, batch(sold..sold + 2)).await.expect(202);
            sold += 2;
            app.settle().await;
            app.advance(LATE);
            app.fire("Sweeper").await;
            let told = app.take("UsageQueue").await;
            chaos.enable(true);
            chaos.crash_at(call, moment);
            died = tokio::select! {
                failed = app.deliver_from("UsageQueue", &told) => { assert_eq!(failed, Vec::<usize>::new()); false }
                () = chaos.crashed() => true,
            };
            chaos.enable(false);
            assert_eq!(app.deliver_from("UsageQueue", &told).await, Vec::<usize>::new());
            let (acme, sold) = (acme.logged_in_again(&app).await, i64::try_from(sold).unwrap());
            assert_eq!(
                wallet(&acme).await,
                [INCLUDED - sold, 0, sold, 0, INCLUDED, 0],
                "{moment:?} call {call}"
            );
        }
        if !died {
            assert!(call > 2, "the settler makes more calls than {call}");
            return;
        }
    }
    panic!("the settler makes no end of calls");
}

#[tokio::test]
async fn a_price_counts_within_a_minute_for_what_comes_then() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    acme.server.post(EVENT, event()).await.expect(202);
    let prices = json!({"prices": {"ingest.event": 3}});
    app.manager()
        .await
        .client
        .put("/v1/admin/prices", prices)
        .await
        .expect(200);
    app.advance(31_000);
    acme.server.post(EVENTS, batch(0..2)).await.expect(202);
    acme.server.post(EVENTS, batch(1..3)).await.expect(202);
    app.settle().await;
    assert_eq!(spent(&acme).await, 1 + 3 * 3);
    let free = json!({"prices": {"ingest.event": 0}});
    app.manager()
        .await
        .client
        .put("/v1/admin/prices", free)
        .await
        .expect(200);
    app.advance(31_000);
    acme.server.post(EVENT, event()).await.expect(202);
    app.settle().await;
    assert_eq!(spent(&acme).await, 10);
}

#[tokio::test]
async fn one_tenant_never_pays_for_another_and_neither_limits_nor_credits_are_taken_alone() {
    let app = TestApp::start().await;
    let [acme, rival] = [tenant_with(&app, 2).await, app.tenant().await];
    for _ in 0..2 {
        acme.server.post(EVENT, event()).await.expect(202);
    }
    let limited = json!({"label": "limited", "rateLimitPerMinute": 1});
    let keys = format!("/v1/projects/{}/api-keys", acme.project);
    let key = acme.client.post(keys, limited).await.expect(201).text("key");
    let server = app.client().header("x-api-key", &key);
    // What has no credits takes nothing of the limit.
    for _ in 0..3 {
        server.post(EVENT, event()).await.problem(402, "out_of_credits");
    }
    adjust(&app, &acme, 5).await;
    app.advance(2_000);
    server.post(EVENT, event()).await.expect(202);
    // And what the limit refuses costs nothing.
    for _ in 0..3 {
        server.post(EVENT, event()).await.problem(429, "rate_limited");
    }
    app.settle().await;
    assert_eq!(spent(&acme).await, 3);
    assert_eq!(spent(&rival).await, 0);
}

#[tokio::test]
async fn a_wallet_that_runs_low_tells_it_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    app.manager()
        .await
        .client
        .put("/v1/admin/prices", json!({"prices": {"ingest.event": 10_000}}))
        .await
        .expect(200);
    let mut told = Vec::new();
    for _ in 0..10 {
        app.advance(61_000);
        acme.server.post(EVENT, event()).await.expect(202);
        app.settle().await;
        told.push(facts_of(&app, &acme).await.len());
    }
    app.advance(61_000);
    acme.server.post(EVENT, event()).await.problem(402, "out_of_credits");
    app.settle().await;
    assert_eq!(facts_of(&app, &acme).await, ["wallet.low", "wallet.exhausted"]);
    assert_eq!(told.last(), Some(&1), "{told:?}");
}

#[tokio::test]
async fn what_a_month_includes_ends_with_it_while_calls_go_on() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let zone = json!({"timeZone": "Europe/Berlin"});
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), zone)
        .await
        .expect(200);
    acme.server.post(EVENTS, batch(0..10)).await.expect(202);
    app.settle().await;
    // START is 2027-01-15T08:00Z. The month of Berlin ends an hour before UTC's.
    let end: kernel::Time = "2027-01-31T23:00:00Z".parse().unwrap();
    app.advance(end.millis() - app.now().millis() - 1_000);
    acme.server.post(EVENTS, batch(10..20)).await.expect(202);
    app.advance(1_000);
    acme.server.post(EVENTS, batch(20..30)).await.expect(202);
    app.settle().await;
    recover(&app).await;
    assert_eq!(
        wallet(&acme.logged_in_again(&app).await).await,
        [INCLUDED - 10, 0, 30, INCLUDED - 20, 2 * INCLUDED, 0]
    );
}

#[tokio::test]
async fn credits_that_end_under_load_are_exact() {
    let app = TestApp::start_with(RATES, 3).await;
    let acme = tenant_with(&app, 50).await;
    let path = format!("/v1/admin/orgs/{}/credits", acme.org);
    let short = json!({"credits": 100, "reason": "short", "priority": 1, "expiresAt": app.now().plus_millis(10_000)});
    app.manager().await.client.post(path, short).await.expect(201);
    let mut passed = 0;
    for _ in 0..20 {
        let replies = join_all((0..4).map(|_| acme.server.post(EVENT, event()))).await;
        passed += replies.iter().filter(|reply| reply.status == 202).count();
        app.advance(700);
    }
    app.settle().await;
    recover(&app).await;
    let passed = i64::try_from(passed).unwrap();
    let [balance, leased, spent, expired, granted, debt] = wallet(&acme).await;
    assert_eq!((spent, granted, leased, debt), (passed, 150, 0, 0));
    // The first 15 rounds came before the end, all of the short credits; the others were of what does not end.
    assert_eq!((expired, balance), (100 - 60, 50 - (passed - 60)));
}

#[tokio::test]
async fn a_correction_under_load_takes_what_is_there() {
    let app = TestApp::start_as(Setup {
        processes: 4,
        ..Setup::default()
    })
    .await;
    let acme = tenant_with(&app, 500).await;
    let calls = async { join_all((0..100).map(|_| acme.server.post(EVENT, event()))).await };
    let (replies, ()) = tokio::join!(calls, adjust(&app, &acme, -300));
    let passed = i64::try_from(replies.iter().filter(|reply| reply.status == 202).count()).unwrap();
    app.settle().await;
    recover(&app).await;
    assert_eq!(wallet(&acme).await, [200 - passed, 0, passed, 0, 200, 0]);
}

/// Who pays for long work of a tenant.
fn buyer(tenant: &Tenant) -> Buyer {
    Buyer {
        org: tenant.org.parse().unwrap(),
        project: tenant.project.parse().unwrap(),
        key: tenant.key_id.parse().unwrap(),
        endpoint: "POST /v1/conversions".to_owned(),
    }
}

#[tokio::test]
async fn what_is_set_aside_for_long_work_is_spent_with_it_or_comes_back() {
    let app = TestApp::start().await;
    let acme = tenant_with(&app, 100).await;
    let (worker, buyer) = (app.app().await, buyer(&acme));
    let until = app.now().plus_millis(60_000);
    let reserve = async |credits| Reservation::make(&worker, &buyer, credits, until, "https://example.com").await;
    let first = reserve(60).await.unwrap();
    assert_eq!(wallet(&acme).await[..3], [40, 60, 0]);
    let refused = reserve(50).await;
    assert!(matches!(refused, Err(Error::OutOfCredits(members)) if (members.balance, members.price) == (40, 50)));
    let second = reserve(30).await.unwrap();
    let spend = async |reservation: &Reservation, credits| {
        let commit = Commit::of(&worker, &Origin::default());
        Ok::<_, Error>(reservation.spend(&worker, credits, commit).await?.await?)
    };
    // Never more than was set aside, and what the work did not need comes back.
    let refused = spend(&first, 61).await;
    assert!(matches!(
        refused,
        Err(Error::Refused {
            code: "reservation_too_small",
            ..
        })
    ));
    spend(&first, 45).await.unwrap();
    assert_eq!(wallet(&acme).await[..3], [25, 30, 45]);
    // Once: neither spent nor released again.
    let refused = spend(&first, 1).await;
    assert!(matches!(
        refused,
        Err(Error::Refused {
            code: "reservation_ended",
            ..
        })
    ));
    first.release(&worker).await.unwrap();
    second.release(&worker).await.unwrap();
    second.release(&worker).await.unwrap();
    assert_eq!(wallet(&acme).await[..3], [55, 0, 45]);
    // One that nobody ends comes back by itself.
    let third = reserve(55).await.unwrap();
    recover(&app).await;
    let refused = spend(&third, 1).await;
    assert!(matches!(
        refused,
        Err(Error::Refused {
            code: "reservation_ended",
            ..
        })
    ));
    assert_eq!(wallet(&acme).await[..3], [55, 0, 45]);
    let used = BTreeMap::from([("POST /v1/conversions".to_owned(), 45)]);
    assert_eq!(usage(&app, &acme, "endpoint").await, used);
}

#[tokio::test]
async fn of_work_that_is_ended_twice_at_once_one_end_counts() {
    let app = TestApp::start().await;
    let acme = tenant_with(&app, 100).await;
    let (worker, buyer) = (app.app().await, buyer(&acme));
    let until = app.now().plus_millis(60_000);
    let reserved = Reservation::make(&worker, &buyer, 40, until, "https://example.com")
        .await
        .unwrap();
    let spends = (0..10).map(|_| async {
        let commit = reserved
            .spend(&worker, 40, Commit::of(&worker, &Origin::default()))
            .await?;
        Ok::<_, Error>(commit.await?)
    });
    let done = join_all(spends).await.into_iter().flatten().count();
    assert_eq!(done, 1);
    assert_eq!(wallet(&acme).await, [60, 0, 40, 0, 100, 0]);
}
