//! Usage of many clients: each is billed what its events come to, late ones too, and what everybody used is counted from the events
//! once, not once for each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use kernel::Time;
use serde_json::{Value, json};
use testing::{Tenant, TestApp};

/// A tenant that is a client of the platform already.
async fn seller(app: &TestApp) -> Tenant {
    let acme = app.tenant().await;
    for _ in 0..2 {
        app.bill().await;
    }
    acme
}

/// Sells a plan to so many clients, `client-<n>` in events.
async fn sell(app: &TestApp, acme: &Tenant, clients: usize, prices: Value) -> Vec<String> {
    let plan = acme.new_plan(0, json!({"prices": prices})).await;
    let mut ids = Vec::new();
    for number in 0..clients {
        let client = acme.new_client(json!({"externalId": format!("client-{number}")})).await;
        let contract = acme.new_contract(&client).await;
        acme.new_subscription(&contract, &plan, json!({})).await;
        let activate = format!("/v1/contracts/{contract}/activate");
        acme.client.post(activate, json!({})).await.expect(200);
        ids.push(client);
    }
    app.bill().await;
    ids
}

/// The lines of a client's newest invoice: kind, what they are for, and how many units.
async fn newest(acme: &Tenant, client: &str) -> Vec<(String, String, String)> {
    let invoices = acme.client.all(format!("/v1/invoices?clientId={client}")).await;
    let newest = invoices
        .iter()
        .max_by_key(|invoice| invoice["number"].to_string())
        .expect("an invoice");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let lines = newest["lines"].as_array().unwrap().iter();
    lines
        .map(|line| (text(&line["kind"]), text(&line["description"]), text(&line["quantity"])))
        .collect()
}

fn call(client: usize, ms: u64, path: &str, at: Time) -> Value {
    let payload = json!({"ms": ms, "path": path});
    json!({"type": "REQUEST", "name": "call", "userId": format!("client-{client}"), "payload": payload, "occurredAt": at})
}

/// A price by each aggregation.
fn prices() -> Value {
    let prices: Vec<Value> = [
        ("count", None),
        ("sum", Some("ms")),
        ("max", Some("ms")),
        ("unique", Some("path")),
    ]
    .into_iter()
    .map(|(aggregation, property)| {
        let mut metric = json!({"eventName": "call", "aggregation": aggregation});
        if let Some(property) = property {
            metric["property"] = json!(property);
        }
        json!({"kind": "perUnit", "metric": metric, "unitAmount": "1"})
    })
    .collect();
    json!(prices)
}

#[tokio::test]
async fn each_client_is_billed_what_its_events_come_to() {
    let app = TestApp::start().await;
    let acme = seller(&app).await;
    let clients = sell(&app, &acme, 5, prices()).await;
    let began = app.now();
    // 300 events at 37 minutes' distance from the first instant on, by turns of seven users, two of them nobody's.
    let events: Vec<(usize, u64, String, Time)> = (0..300_u64)
        .map(|number| {
            let at = began.plus_millis(i64::try_from(number).unwrap() * 37 * Time::MINUTE);
            (
                usize::try_from(number % 7).unwrap(),
                number * 13 % 101,
                format!("/{}", number % 11),
                at,
            )
        })
        .collect();
    app.advance(20 * Time::DAY);
    let acme = acme.logged_in_again(&app).await;
    let all: Vec<Value> = events
        .iter()
        .map(|(client, ms, path, at)| call(*client, *ms, path, *at))
        .collect();
    acme.ingest(json!(all)).await;
    app.settle().await;
    app.advance(12 * Time::DAY);
    app.bill().await;
    let acme = acme.logged_in_again(&app).await;
    for (number, client) in clients.iter().enumerate() {
        let mine: Vec<_> = events.iter().filter(|(client, ..)| *client == number).collect();
        let ms = || mine.iter().map(|(_, ms, ..)| *ms);
        let paths: BTreeSet<&str> = mine.iter().map(|(_, _, path, _)| path.as_str()).collect();
        let expected = [mine.len() as u64, ms().sum(), ms().max().unwrap(), paths.len() as u64];
        let lines = newest(&acme, client).await;
        let units: Vec<u64> = lines.iter().map(|(_, _, units)| units.parse().unwrap()).collect();
        assert_eq!(units, expected, "{lines:?}");
    }

    // One of them used more than was known: its next invoice says so, the others' say nothing of that time.
    let late = call(3, 7, "/late", began.plus_millis(3 * Time::DAY));
    let new = |client| call(client, 1, "/new", app.now());
    acme.ingest(json!([late, new(2), new(3)])).await;
    app.settle().await;
    app.advance(29 * Time::DAY);
    app.bill().await;
    let acme = acme.logged_in_again(&app).await;
    let kinds = |lines: Vec<(String, String, String)>| -> BTreeMap<String, Vec<String>> {
        let mut kinds = BTreeMap::<String, Vec<String>>::new();
        for (kind, _, units) in lines {
            kinds.entry(kind).or_default().push(units);
        }
        kinds
    };
    let usual = vec!["1".to_owned(); 4];
    assert_eq!(
        kinds(newest(&acme, &clients[2]).await),
        BTreeMap::from([("usage".to_owned(), usual.clone())])
    );
    let corrected = kinds(newest(&acme, &clients[3]).await);
    assert_eq!(corrected["usage"], usual);
    // One call more, 7 ms, no longer one, one path.
    assert_eq!(corrected["correction"], ["1", "7", "1"], "{corrected:?}");
}

#[tokio::test]
async fn a_day_of_many_events_is_counted_whole() {
    let app = TestApp::start().await;
    let acme = seller(&app).await;
    let metric = json!({"eventName": "call", "aggregation": "sum", "property": "ms"});
    let prices = json!([{"kind": "perUnit", "metric": metric, "unitAmount": "0.01"}]);
    let clients = sell(&app, &acme, 2, prices).await;
    app.advance(3 * Time::DAY);
    let acme = acme.logged_in_again(&app).await;
    let midnight = Time::from_millis(app.now().millis() / Time::DAY * Time::DAY).plus_millis(-Time::DAY);
    for group in 0..21_i64 {
        let at = |place: i64| midnight.plus_millis(group * Time::HOUR + place * 5_000);
        let one = |place: i64| call(usize::try_from(place % 3).unwrap(), 2, "/", at(place));
        acme.ingest((0..1_000).map(one).collect()).await;
        app.settle().await;
    }
    app.advance(29 * Time::DAY);
    app.bill().await;
    let acme = acme.logged_in_again(&app).await;
    // Of each thousand, 334 are the first one's and 333 the second one's.
    for (client, units) in clients.iter().zip([21 * 334 * 2, 21 * 333 * 2]) {
        let lines = newest(&acme, client).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].2, units.to_string());
    }
}

/// One whose different values fill more than a tally may hold is billed by its own events, and holds up nobody.
#[tokio::test]
async fn who_used_too_many_different_values_is_billed_and_so_are_others() {
    let app = TestApp::start().await;
    let acme = seller(&app).await;
    let metric = json!({"eventName": "call", "aggregation": "unique", "property": "path"});
    let prices = json!([{"kind": "perUnit", "metric": metric, "unitAmount": "1"}]);
    let clients = sell(&app, &acme, 2, prices).await;
    app.advance(3 * Time::DAY);
    let acme = acme.logged_in_again(&app).await;
    let at = app.now().plus_millis(-Time::DAY);
    let hash = |number: usize| {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        hasher.finish()
    };
    for group in 0..6_usize {
        let path = |place: usize| {
            format!(
                "{:016x}{:016x}",
                hash(group * 1_000 + place),
                hash(group * 1_000 + place + 1_000_000)
            )
        };
        acme.ingest((0..1_000_usize).map(|place| call(0, 1, &path(place), at)).collect())
            .await;
    }
    acme.ingest((0..9).map(|place| call(1, 1, &format!("/{}", place % 4), at)).collect())
        .await;
    app.settle().await;
    app.advance(29 * Time::DAY);
    app.bill().await;
    let acme = acme.logged_in_again(&app).await;
    for (client, units) in clients.iter().zip(["6000", "4"]) {
        let lines = newest(&acme, client).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].2, units);
    }
}

/// What it takes to bill so many clients when others have so many events: read units of each after the first.
async fn read_units(events: usize) -> f64 {
    const CLIENTS: usize = 20;
    let app = TestApp::start().await;
    let acme = seller(&app).await;
    let metric = json!({"eventName": "call", "aggregation": "count"});
    let prices = json!([{"kind": "perUnit", "metric": metric, "unitAmount": "1"}]);
    sell(&app, &acme, CLIENTS, prices).await;
    app.advance(4 * Time::DAY);
    let acme = acme.logged_in_again(&app).await;
    let at = app.now();
    for group in 0..=events / 100 {
        let user = |place: usize| {
            if group == 0 {
                place % CLIENTS
            } else {
                CLIENTS + group * 100 + place
            }
        };
        let one = |place| {
            call(
                user(place),
                5,
                "/",
                at.plus_millis(-Time::HOUR * i64::try_from(group % 48).unwrap()),
            )
        };
        acme.ingest((0..100).map(one).collect()).await;
    }
    app.settle().await;
    app.advance(28 * Time::DAY);
    app.fire("BillingRun").await;
    let mut told = app.take("BillingQueue").await;
    // The first one counts for all.
    let _ = app.take_usage("BillingWorker");
    let rest = told.split_off(1);
    assert_eq!(app.deliver_from("BillingQueue", &told).await, Vec::<usize>::new());
    let first = app.take_usage("BillingWorker").read_units;
    assert_eq!(app.deliver_from("BillingQueue", &rest).await, Vec::<usize>::new());
    let others = app.take_usage("BillingWorker").read_units;
    println!(
        "{} messages, the first {first} read units, the others {others}",
        told.len() + rest.len()
    );
    let acme = acme.logged_in_again(&app).await;
    let invoices = acme.client.all("/v1/invoices?limit=100").await;
    assert_eq!(invoices.len(), CLIENTS);
    assert!(
        invoices.iter().all(|invoice| invoice["subtotal"] == json!(5)),
        "{invoices:?}"
    );
    app.settle().await;
    others
}

#[tokio::test]
async fn events_of_others_are_counted_once_and_not_for_each_client() {
    let (few, many) = (read_units(1_000).await, read_units(5_000).await);
    println!("read units for 1,000 events: {few}, for 5,000: {many}");
    // Five times the events; what a client reads of its shard grows a little.
    assert!(many < few * 1.3, "{few} {many}");
}
