//! Rate limits over real processes: exact at a thousand concurrent calls, and when those who count are killed with -9.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::golden_path::{Tenant, Up};

/// So many requests are under way at once, which takes two files each of the 1,024 that a process has.
const CONCURRENT: usize = 400;

/// Sends requests, many at once. Yields how often each status came.
async fn tally(many: usize, request: impl Fn(usize) -> RequestBuilder, done: Arc<AtomicUsize>) -> BTreeMap<u16, usize> {
    let places = Arc::new(Semaphore::new(CONCURRENT));
    let mut sent = JoinSet::new();
    for number in 0..many {
        let (request, places, done) = (request(number), Arc::clone(&places), Arc::clone(&done));
        sent.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let status = request.send().await.unwrap().status().as_u16();
            done.fetch_add(1, Ordering::Relaxed);
            status
        });
    }
    let mut tally = BTreeMap::new();
    for status in sent.join_all().await {
        *tally.entry(status).or_default() += 1;
    }
    tally
}

/// How many calls of a limit may have passed since then: one window's, and on a machine so slow that a minute went by
/// another's.
fn allowed(limit: usize, since: Instant) -> RangeInclusive<usize> {
    let minutes = usize::try_from(since.elapsed().as_secs() / 60).unwrap();
    limit..=limit * (minutes + 1)
}

async fn advance(up: &Up, seconds: u64) {
    let body = json!({"advanceSeconds": seconds});
    let (status, reply) = up.call(Method::POST, "/_local/clock", &[], Some(body)).await;
    assert!(status.is_success(), "{reply}");
}

async fn limited_key(up: &Up, tenant: &Tenant) -> String {
    let path = format!("/v1/projects/{}/api-keys", tenant.project);
    let headers = [("authorization", tenant.token.as_str()), ("x-org-id", &tenant.org)];
    let body = json!({"label": "limited", "rateLimitPerMinute": 100});
    let (status, made) = up.call(Method::POST, &path, &headers, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    made["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn limits_hold_over_processes_that_are_killed() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &["--parameter", "RateLimitPerAddress=5"]).await;
    let tenant = Tenant::register(&up).await;
    let key = limited_key(&up, &tenant).await;
    let event = |_| {
        let request = up.http.post(format!("{}/v1/ingest/event", up.url));
        request
            .header("x-api-key", &key)
            .json(&json!({"type": "CUSTOM", "name": "limited"}))
    };
    let nobody = Arc::new(AtomicUsize::new(0));

    let since = Instant::now();
    let exact = tally(1_000, event, Arc::clone(&nobody)).await;
    println!("{exact:?} in {:?}", since.elapsed());
    assert!(allowed(100, since).contains(&exact[&202]), "{exact:?}");
    assert_eq!(exact[&202] + exact[&429], 1_000, "{exact:?}");

    // In the next window processes are killed: what they held is lost, and never let through twice.
    advance(&up, 61).await;
    let since = Instant::now();
    let done = Arc::new(AtomicUsize::new(0));
    let killer = async {
        let mut killed = 0;
        while done.load(Ordering::Relaxed) < 900 && killed < 12 {
            killed += up.kill(&["ingest"]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        killed
    };
    let (first, killed) = tokio::join!(tally(1_000, event, Arc::clone(&done)), killer);
    let second = tally(200, event, Arc::clone(&nobody)).await;
    let passed = first.get(&202).unwrap_or(&0) + second.get(&202).unwrap_or(&0);
    println!("{killed} killed: {first:?}, then {second:?}");
    assert!(killed > 0, "nobody was killed");
    let most = *allowed(100, since).end();
    assert!(passed > 0 && passed <= most, "{passed} passed");
    assert!(second.contains_key(&429), "{second:?}");
    only_accepted_once(&up, &tenant, exact[&202] + most).await;

    // The address is the connection's, whatever headers say.
    advance(&up, 61).await;
    let log_in = |number: usize| {
        let other = format!("203.0.113.{number}");
        let request = up.http.post(format!("{}/v1/auth/login", up.url));
        request
            .header("x-forwarded-for", &other)
            .header("forwarded", format!("for={other}"))
            .json(&json!({"email": "nobody@example.com", "password": "wrong, all of it"}))
    };
    let since = Instant::now();
    let exact = tally(140, log_in, nobody).await;
    assert!(allowed(5, since).contains(&exact[&401]), "{exact:?}");
    assert_eq!(exact[&401] + exact[&429], 140, "{exact:?}");
}

/// No more events are stored than calls could pass.
async fn only_accepted_once(up: &Up, tenant: &Tenant, most: usize) {
    let path = format!("/v1/metrics/overview?projectId={}", tenant.project);
    let headers = [("authorization", tenant.token.as_str()), ("x-org-id", &tenant.org)];
    let (status, overview) = up.call(Method::GET, &path, &headers, None).await;
    assert_eq!(status, 200, "{overview}");
    let events = overview["events"].as_u64().unwrap();
    assert!(usize::try_from(events).unwrap() <= most, "{overview}");
}
