//! Billing over real processes: periods are billed once and numbers have no gap, while those who bill are killed with -9.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::golden_path::{Tenant, Up};

const CLIENTS: usize = 3;
const EACH: usize = 8;
/// The first day of each subscription, and its periods until the clock stands still.
const PERIODS: usize = 4;

async fn post(up: &Up, tenant: &Tenant, path: &str, body: Value) -> Value {
    let headers = [("authorization", tenant.token.as_str()), ("x-org-id", &tenant.org)];
    let (status, reply) = up.call(Method::POST, path, &headers, Some(body)).await;
    assert!(status == 200 || status == 201, "{status} {reply}");
    reply
}

fn id(made: &Value) -> &str {
    made["id"].as_str().unwrap()
}

/// Sells subscriptions that began three months ago, whose contracts become active now.
async fn sell(up: &Up, tenant: &Tenant) {
    let prices = json!([{"kind": "flat", "amount": 1_900}]);
    let plan = json!({"name": "Pro", "interval": "30d", "currency": "EUR", "prices": prices});
    let plan = post(up, tenant, "/v1/plans", plan).await;
    let began = stack::clock::rfc3339(stack::clock::real_ms() - 100 * 24 * 3_600_000);
    for number in 0..CLIENTS {
        let client = json!({"name": format!("Client {number}"), "email": "client@example.com", "currency": "EUR"});
        let client = post(up, tenant, "/v1/clients", client).await;
        let contract = post(up, tenant, "/v1/contracts", json!({"clientId": id(&client)})).await;
        for _ in 0..EACH {
            let body = json!({"contractId": id(&contract), "planId": id(&plan), "startAt": began});
            post(up, tenant, "/v1/subscriptions", body).await;
        }
        post(
            up,
            tenant,
            &format!("/v1/contracts/{}/activate", id(&contract)),
            json!({}),
        )
        .await;
    }
}

/// All invoices.
async fn invoices(up: &Up, tenant: &Tenant) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = tenant.get(up, &format!("/v1/invoices?limit=100{after}")).await;
        all.extend(page["data"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => after = format!("&cursor={cursor}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn every_period_is_billed_once_whoever_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &[]).await;
    let mut tenant = Tenant::register(&up).await;
    sell(&up, &tenant).await;
    let mut killed = 0;
    // Each minute of its clock there is a run; those that were killed leave their messages to be shown again.
    let mut before = 0;
    for minute in 0..60 {
        let (status, reply) = up
            .call(Method::POST, "/_local/clock", &[], Some(json!({"advanceSeconds": 60})))
            .await;
        assert!(status.is_success(), "{reply}");
        for _ in 0..6 {
            if minute < 8 {
                killed += up.kill(&["billing-run", "billing-worker"]).await;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        if minute % 10 == 9 {
            tenant = tenant.again(&up).await;
        }
        let now = invoices(&up, &tenant).await.len();
        if minute > 8 && now == before && now >= CLIENTS * EACH * PERIODS {
            break;
        }
        before = now;
    }
    assert!(killed > 0, "nobody was killed");
    let all = invoices(&up, &tenant).await;
    println!("{killed} killed, {} invoices", all.len());
    let mut periods: BTreeMap<&str, usize> = BTreeMap::new();
    for invoice in &all {
        *periods.entry(invoice["issuedOn"].as_str().unwrap()).or_default() += 1;
        assert_eq!(invoice["total"], 1_900, "{invoice}");
    }
    assert_eq!(periods.len(), PERIODS, "{periods:?}");
    assert!(periods.values().all(|count| *count == CLIENTS * EACH), "{periods:?}");
    let keys: BTreeSet<&str> = all
        .iter()
        .map(|invoice| invoice["billingKey"].as_str().unwrap())
        .collect();
    assert_eq!(keys.len(), all.len());
    let mut numbers: Vec<&str> = all.iter().map(|invoice| invoice["number"].as_str().unwrap()).collect();
    numbers.sort_unstable();
    for (count, number) in (1..).zip(&numbers) {
        assert!(number.ends_with(&format!("-{count:04}")), "{numbers:?}");
    }
}
