//! Wallets over real processes: a hundred callers on a thousand credits, while those who hold them are killed with -9.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::golden_path::{Tenant, Up};

const CALLERS: usize = 100;
const CREDITS: usize = 1_000;
/// What the free plan includes.
const INCLUDED: i64 = 100_000;
/// Nobody makes more calls.
const MOST_CALLS: usize = 20_000;

async fn manager(up: &Up) -> String {
    let (status, manager) = up.call(Method::GET, "/_local/manager", &[], None).await;
    assert_eq!(status, 200, "{manager}");
    let credentials = json!({"email": manager["email"], "password": manager["password"]});
    let (status, login) = up.call(Method::POST, "/v1/auth/login", &[], Some(credentials)).await;
    assert_eq!(status, 200, "{login}");
    format!("Bearer {}", login["accessToken"].as_str().unwrap())
}

async fn adjust(up: &Up, tenant: &Tenant, credits: i64) {
    let path = format!("/v1/admin/orgs/{}/credits", tenant.org);
    let body = json!({"credits": credits, "reason": "test"});
    let headers = [("authorization", &*manager(up).await)];
    let (status, reply) = up.call(Method::POST, &path, &headers, Some(body)).await;
    assert_eq!(status, 201, "{reply}");
}

async fn wallet(up: &Up, tenant: &Tenant) -> BTreeMap<String, i64> {
    let wallet = tenant.get(up, "/v1/wallet").await;
    let field = |(name, value): (&String, &Value)| (name.clone(), value.as_i64().unwrap());
    let wallet: BTreeMap<_, _> = wallet.as_object().unwrap().iter().map(field).collect();
    let parts = ["balance", "leased", "spent", "expired"].map(|part| wallet[part]);
    assert_eq!(parts.iter().sum::<i64>(), wallet["granted"], "{wallet:?}");
    wallet
}

/// What the callers were told.
#[derive(Debug, Default)]
struct Told {
    passed: AtomicUsize,
    refused: AtomicUsize,
    /// Neither: the process that was to answer was killed.
    unanswered: AtomicUsize,
}

impl Told {
    fn passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }

    fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::Relaxed)
    }
}

/// A hundred callers, each of whom calls again and again until so many calls have passed, or may have, or `most` were made.
async fn call(up: &Up, tenant: &Tenant, until: usize, most: usize) -> Told {
    let told = std::sync::Arc::new(Told::default());
    let calls = std::sync::Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let request = up.http.post(format!("{}/v1/ingest/event", up.url));
        let request = request
            .header("x-api-key", &tenant.key)
            .json(&json!({"type": "CUSTOM", "name": "paid"}));
        let (told, calls) = (told.clone(), calls.clone());
        callers.spawn(async move {
            while told.passed() + told.unanswered() < until && calls.fetch_add(1, Ordering::Relaxed) < most {
                let status = request.try_clone().unwrap().send().await.unwrap().status().as_u16();
                let count = match status {
                    202 => &told.passed,
                    402 => &told.refused,
                    500..=599 => &told.unanswered,
                    other => panic!("{other}"),
                };
                count.fetch_add(1, Ordering::Relaxed);
                if status != 202 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    callers.join_all().await;
    std::sync::Arc::into_inner(told).unwrap()
}

async fn events(up: &Up, tenant: &Tenant) -> i64 {
    let path = format!("/v1/metrics/overview?projectId={}", tenant.project);
    tenant.get(up, &path).await["events"].as_i64().unwrap()
}

async fn advance(up: &Up, seconds: u64) {
    let body = json!({"advanceSeconds": seconds});
    let (status, reply) = up.call(Method::POST, "/_local/clock", &[], Some(body)).await;
    assert!(status.is_success(), "{reply}");
}

fn amount(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

/// Spends a thousand credits, while nobody is killed.
async fn spend_all(up: &Up, tenant: &Tenant) -> Told {
    // What idle processes held passes within seconds: callers come again until all of it has.
    let first = call(up, tenant, CREDITS, MOST_CALLS).await;
    println!("{first:?}");
    // A machine that is too busy lets calls run out of time: those are looked at in the end.
    if first.unanswered() == 0 {
        assert_eq!(first.passed(), CREDITS, "{first:?}");
        let settled = up.until("all credits are spent", async || {
            let wallet = wallet(up, tenant).await;
            (wallet["spent"] == amount(CREDITS) && wallet["balance"] == 0).then_some(wallet)
        });
        println!("{:?}", settled.await);
        assert_eq!(events(up, tenant).await, amount(CREDITS));
        let after = call(up, tenant, 1, 50).await;
        assert_eq!(after.passed(), 0, "{after:?}");
    }
    first
}

#[tokio::test]
async fn a_thousand_credits_are_a_thousand_calls_whoever_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &[]).await;
    let mut tenant = Tenant::register(&up).await;
    let credits = amount(CREDITS);
    adjust(&up, &tenant, credits - INCLUDED).await;

    let first = spend_all(&up, &tenant).await;

    // Once more, while whoever holds credits or writes events is killed.
    adjust(&up, &tenant, credits).await;
    let over = AtomicBool::new(false);
    let killer = async {
        let mut killed = 0;
        while !over.load(Ordering::Relaxed) {
            killed += up.kill(&["ingest", "event-writer", "usage-settler"]).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        killed
    };
    let calls = async {
        // What the dead held comes back after minutes only, so not all of it passes now.
        let told = call(&up, &tenant, CREDITS, 1_500).await;
        over.store(true, Ordering::Relaxed);
        told
    };
    let (told, killed) = tokio::join!(calls, killer);
    println!("{killed} killed: {told:?}");
    assert!(killed > 0, "nobody was killed");
    let (mut passed, mut unanswered) = (first.passed() + told.passed(), first.unanswered() + told.unanswered());
    assert!(passed <= 2 * CREDITS, "{told:?}");
    let mut last = wallet(&up, &tenant).await;
    for _ in 0..4 {
        // First what the dead left in the queue, then what they held: as it is where time passes by itself.
        advance(&up, 70).await;
        let seen = AtomicI64::new(-1);
        up.until("all events are written", async || {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let now = events(&up, &tenant).await;
            (seen.swap(now, Ordering::Relaxed) == now).then_some(())
        })
        .await;
        advance(&up, 330).await;
        tenant = tenant.again(&up).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let told = call(&up, &tenant, CREDITS, 1_500).await;
        passed += told.passed();
        unanswered += told.unanswered();
        last = wallet(&up, &tenant).await;
        println!("{told:?}, {last:?}");
        if last["spent"] == 2 * credits {
            break;
        }
    }
    assert_eq!(
        (last["spent"], last["balance"], last["leased"]),
        (2 * credits, 0, 0),
        "{last:?}"
    );
    let events = events(&up, &tenant).await;
    assert_eq!(events, 2 * credits, "every credit is an event");
    let (passed, unanswered) = (amount(passed), amount(unanswered));
    // Calls without an answer may have been made: as many events as there are more than were acknowledged.
    assert!(passed <= events && events <= passed + unanswered);
}
