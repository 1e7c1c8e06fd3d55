//! An alert over the real function processes: a rule, events, the clock; one mail when it fires and one when it is
//! resolved, while the functions that look at it are killed with -9.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::golden_path::{Tenant, Up};

const TO: &str = "oncall@example.com";
/// What looks at alerts. Not the notifier: one that dies after sending sends again, with the same id.
const LOOKING: [&str; 2] = ["alert-check", "alert-evaluator"];

async fn make_alert(up: &Up, tenant: &Tenant) -> String {
    let body = json!({
        "projectId": tenant.project, "name": "Payments", "metricType": "event_count", "eventType": "ERROR",
        "condition": ">", "threshold": 2, "window": "5m", "channel": "email", "target": TO,
    });
    let headers = [
        ("authorization", tenant.token.as_str()),
        ("x-org-id", tenant.org.as_str()),
    ];
    let (status, alert) = up.call(Method::POST, "/v1/alerts", &headers, Some(body)).await;
    assert_eq!(status, 201, "{alert}");
    alert["id"].as_str().expect("an id").to_owned()
}

/// Logs in again, for an access token is good for 15 minutes only.
async fn log_in_again(up: &Up, tenant: &mut Tenant) {
    let body = json!({"email": "ada@example.com", "password": "a long enough one"});
    let (status, reply) = up.call(Method::POST, "/v1/auth/login", &[], Some(body)).await;
    assert_eq!(status, 200, "{reply}");
    tenant.token = format!("Bearer {}", reply["accessToken"].as_str().expect("a token"));
}

/// Sends three errors and waits until they are counted.
async fn fail(up: &Up, tenant: &Tenant) {
    let event = json!({"type": "ERROR", "name": "payment_failed"});
    let body = json!({"events": [event, event, event]});
    let headers = [("x-api-key", tenant.key.as_str())];
    let (status, _) = up.call(Method::POST, "/v1/ingest/events", &headers, Some(body)).await;
    assert_eq!(status, 202);
    let path = format!("/v1/metrics/overview?projectId={}", tenant.project);
    up.until("the errors are counted", async || {
        (tenant.get(up, &path).await["errors"] == 3).then_some(())
    })
    .await;
}

async fn advance(up: &Up, seconds: u32) {
    let body = json!({"advanceSeconds": seconds});
    let (status, reply) = up.call(Method::POST, "/_local/clock", &[], Some(body)).await;
    assert_eq!(status, 200, "{reply}");
}

/// The subjects of the mails, oldest first.
async fn told(up: &Up) -> Vec<String> {
    let (_, mails) = up
        .call(Method::GET, &format!("/_local/emails?to={TO}"), &[], None)
        .await;
    let mails = mails["data"].as_array().expect("mails");
    mails
        .iter()
        .map(|mail| mail["subject"].as_str().expect("a subject").to_owned())
        .collect()
}

/// Lets minutes pass until so many mails were sent; in the first of them whoever looks at alerts is killed.
async fn minutes_until_told(up: &Up, mails: usize) {
    let mut killed = 0;
    for minute in 0..4 {
        advance(up, 61).await;
        if minute == 0 {
            killed += up.kill(&LOOKING).await;
        }
        let sent = async || (told(up).await.len() >= mails).then_some(());
        let sent = up.within(Duration::from_secs(10), sent).await;
        if sent.is_some() {
            return;
        }
    }
    panic!("{mails} mails were not sent in four minutes; {killed} processes were killed");
}

#[tokio::test]
async fn an_alert_fires_once_and_is_resolved_once_whoever_is_killed() {
    let data = tempfile::tempdir().expect("a folder");
    let up = Up::start(data.path()).await;
    let mut tenant = Tenant::register(&up).await;
    let alert = make_alert(&up, &tenant).await;
    let path = format!("/v1/alerts/{alert}");
    fail(&up, &tenant).await;
    minutes_until_told(&up, 1).await;
    assert_eq!(tenant.get(&up, &path).await["status"], "firing");

    // The errors leave the window.
    advance(&up, 300).await;
    minutes_until_told(&up, 2).await;
    advance(&up, 61).await;
    let more = async || (told(&up).await.len() > 2).then_some(());
    assert!(up.within(Duration::from_secs(3), more).await.is_none());
    let rule = "Payments: number of events of type ERROR > 2 over 5 minutes";
    assert_eq!(
        told(&up).await,
        [format!("Firing in Shop: {rule}"), format!("Resolved in Shop: {rule}")]
    );
    log_in_again(&up, &mut tenant).await;
    let incidents: Value = tenant.get(&up, &format!("{path}/incidents")).await;
    let incidents = incidents["data"].as_array().expect("incidents");
    assert_eq!(incidents.len(), 1);
    assert_eq!(
        (&incidents[0]["status"], &incidents[0]["value"]),
        (&json!("resolved"), &json!(3.0))
    );
    let jobs = tenant.get(&up, &format!("/v1/notification-jobs?alertId={alert}")).await;
    let jobs = jobs["data"].as_array().expect("jobs");
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job["status"] == "sent"));
}
