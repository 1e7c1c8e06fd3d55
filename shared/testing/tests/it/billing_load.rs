//! Many subscriptions of one organization that are due in the same minute: each is billed once, under numbers without gaps. How long
//! it takes is printed and never judged here: docs/decisions/029-billing.md says what it was, and how to measure it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use billing::client::NewClient;
use billing::contract::NewContract;
use billing::subscription::SubscriptionRequest;
use billing::{Client, Contract, Subscription};
use futures::future::join_all;
use kernel::policy::ManageBilling;
use kernel::{Scope, Time};
use lambda::Started;
use serde_json::{Value, json};
use testing::{Tenant, TestApp};

/// So many are billed each time that tests run; `SUBSCRIPTIONS` says how many otherwise.
const ALWAYS: usize = 200;
/// A contract has as many subscriptions at most.
const OF_A_CONTRACT: usize = 10;
/// As many processes of `billing-worker` as `template.yaml` allows, with as many messages each.
const PROCESSES: usize = 3;
const BATCH: usize = 2;

fn how_many() -> usize {
    let given = std::env::var("SUBSCRIPTIONS").ok();
    given.map_or(ALWAYS, |text| text.parse().expect("SUBSCRIPTIONS is a number"))
}

/// Sells so many subscriptions that all begin at one moment, by what the API calls.
async fn sell(app: &TestApp, acme: &Tenant, many: usize, start_at: Time) {
    let plan = acme
        .new_plan(4_900, json!({"interval": "monthly"}))
        .await
        .parse()
        .unwrap();
    let seller = app.app().await;
    let scope = Scope::<ManageBilling>::system(acme.org.parse().unwrap());
    let mut left = many;
    while left > 0 {
        let new = json!({"name": "Acme GmbH", "email": "billing@acme.example", "currency": "EUR", "taxRate": 19});
        let new: NewClient = serde_json::from_str(&new.to_string()).unwrap();
        let client = Client::create(&seller, &scope, &new).await.unwrap().id;
        let new: NewContract = serde_json::from_value(json!({"clientId": client})).unwrap();
        let contract = Contract::create(&seller, &scope, &new).await.unwrap().id;
        for _ in 0..left.min(OF_A_CONTRACT) {
            let request = SubscriptionRequest {
                contract_id: contract,
                plan_id: plan,
                start_at: Some(start_at),
                quantity: None,
                coupon_code: None,
            };
            Subscription::create(&seller, &scope, &request).await.unwrap();
            left -= 1;
        }
        Contract::begin(&seller, &scope, contract).await.unwrap();
    }
}

/// Lets as many workers as there are on AWS take what is told, until nothing is; how often a message had to come again.
async fn work(app: &TestApp, workers: &[Started]) -> usize {
    let told = tokio::sync::Mutex::new(app.take("BillingQueue").await);
    let again = join_all(workers.iter().map(async |worker| {
        let mut again = 0;
        loop {
            let batch: Vec<String> = {
                let mut told = told.lock().await;
                let rest = told.len().saturating_sub(BATCH);
                told.split_off(rest)
            };
            if batch.is_empty() {
                return again;
            }
            let failed = app.deliver_to(worker, &batch).await;
            again += failed.len();
            told.lock()
                .await
                .extend(failed.into_iter().map(|place| batch[place].clone()));
        }
    }));
    again.await.into_iter().sum()
}

/// What was billed: how many DynamoDB requests and units each took, and how long all of them.
fn print(many: usize, told: Duration, took: Duration, again: usize, app: &TestApp) {
    let used = app.take_usage("BillingWorker");
    let each = |count: f64| count / f64::from(u32::try_from(many).unwrap());
    let requests = f64::from(u32::try_from(used.dynamodb_requests).unwrap());
    println!("{many} subscriptions, told of in {:.1} s", told.as_secs_f64());
    println!("the last was billed after {:.1} s", took.as_secs_f64());
    println!("{:.1} a second", 1.0 / each(took.as_secs_f64()));
    println!("{again} messages came again");
    println!(
        "each: {:.2} DynamoDB requests, {:.2} write units, {:.2} read units",
        each(requests),
        each(used.write_units),
        each(used.read_units)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_in_one_minute_is_billed_once() {
    let many = how_many();
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    // It becomes a client of the platform, which is billed nothing.
    for _ in 0..2 {
        app.bill().await;
    }
    sell(&app, &acme, many, app.now().plus_millis(Time::HOUR)).await;
    app.take("OutboxQueue").await;
    app.advance(Time::DAY);
    let workers = join_all((0..PROCESSES).map(|_| app.start_again("BillingWorker", &[]))).await;
    let _ = app.take_usage("BillingWorker");
    let began = Instant::now();
    app.fire("BillingRun").await;
    let told = began.elapsed();
    let again = work(&app, &workers).await;
    print(many, told, began.elapsed(), again, &app);

    app.take("OutboxQueue").await;
    let owner = acme.owner.logged_in_again(&app).await;
    let invoices = owner.client.within(&acme.org).all("/v1/invoices?limit=100").await;
    assert_eq!(invoices.len(), many, "one invoice each");
    let all = |name: &str| {
        invoices
            .iter()
            .map(|invoice| invoice[name].to_string())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(all("billingKey").len(), many);
    let numbers: BTreeSet<String> = (1..=many)
        .map(|count| json!(format!("INV-2027-{count:04}")).to_string())
        .collect();
    assert_eq!(all("number"), numbers, "no gap, none twice");
    assert!(
        invoices
            .iter()
            .all(|invoice| invoice["total"] == json!(5_831) && invoice["status"] == "sent")
    );
    // Nothing is due any more.
    app.fire("BillingRun").await;
    assert_eq!(app.take("BillingQueue").await, Vec::<String>::new());
    assert!(matches!(invoices[0]["issuedOn"], Value::String(_)));
}
