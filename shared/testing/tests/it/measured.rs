//! What lines of the log measure: each invocation has one that ends it, and what changed is counted once, by the writer that
//! won. No tenant is a label, and nothing secret stands there.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde_json::{Value, json};
use testing::TestApp;
use tracing_subscriber::filter::LevelFilter;

use crate::invoices::{client_of, drafted, invoice};
use crate::payment_logs::Log;

/// The lines with this message, and what they measure.
fn measured(log: &Log, message: &str) -> Vec<(Value, Value)> {
    let text = log.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let fields = lines.map(|mut line| line["fields"].take());
    let ours = fields.filter(|fields| fields["message"] == message);
    let with_metrics = |fields: Value| {
        let metrics = fields["emf"].as_str().map(serde_json::from_str::<Value>);
        metrics.map(|metrics| (fields.clone(), metrics.unwrap()))
    };
    ours.filter_map(with_metrics).collect()
}

/// The sums of a metric by one label, over all lines.
fn sums(log: &Log, metric: &str, label: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for message in ["answered", "took a batch", "fired", "measured"] {
        for (_, metrics) in measured(log, message) {
            if let Some(value) = metrics[metric].as_f64() {
                let label = metrics[label].as_str().unwrap().to_owned();
                *sums.entry(label).or_default() += value;
            }
        }
    }
    sums
}

#[tokio::test]
async fn a_request_ends_with_one_line_that_measures_it() {
    let (log, _listening) = Log::listen(LevelFilter::INFO);
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let before = measured(&log, "answered").len();
    acme.client.get("/v1/projects").await.expect(200);
    acme.client
        .get(format!("/v1/projects/{}", kernel::ProjectId::new(app.now())))
        .await
        .problem(404, "not_found");
    let lines = measured(&log, "answered");
    assert_eq!(lines.len(), before + 2);
    let (fields, metrics) = &lines[before + 1];
    assert_eq!(
        (&fields["http.route"], &fields["http.response.status_code"]),
        (&json!("/v1/projects/{projectId}"), &json!(404))
    );
    assert!(metrics["http.server.request.duration"].as_f64().unwrap() > 0.0);
    assert_eq!(metrics["service"], "projects");
    assert_eq!(metrics["_aws"]["Timestamp"], app.now().millis());
    let dimensions: BTreeSet<String> = lines
        .iter()
        .flat_map(|(_, metrics)| metrics["_aws"]["CloudWatchMetrics"].as_array().unwrap())
        .map(|directive| directive["Dimensions"].to_string())
        .collect();
    assert!(dimensions.iter().all(|names| !names.contains("org")), "{dimensions:?}");
    for (_, metrics) in &lines {
        let text = metrics.to_string();
        for hidden in [&acme.org, &acme.owner.access_token, &acme.key, &acme.owner.email] {
            assert!(!text.contains(hidden.as_str()), "{text}");
        }
    }
}

#[tokio::test]
async fn invoices_and_payments_are_counted_by_the_writer_that_won() {
    let (log, _listening) = Log::listen(LevelFilter::INFO);
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let id = drafted(&acme.client, invoice(&client, &[(10_000, "0")])).await;
    let path = format!("/v1/invoices/{id}/send");
    let all = (0..5).map(|_| acme.client.post(&path, json!({})));
    let won = join_all(all).await.into_iter().filter(|reply| reply.status == 200);
    assert_eq!(won.count(), 1, "one of five sends it");
    let paid = json!({"amount": 10_000, "method": "cash", "paidAt": app.now()});
    let payments = format!("/v1/invoices/{id}/payments");
    acme.client.post(payments, paid).await.expect(201);
    app.settle().await;

    let expected = ["draft", "paid", "sent"].map(|status| (status.to_owned(), 1.0));
    assert_eq!(sums(&log, "invoices", "status"), BTreeMap::from(expected));
    assert_eq!(
        sums(&log, "payments", "status"),
        BTreeMap::from([("succeeded".to_owned(), 1.0)])
    );
}

#[tokio::test]
async fn jobs_that_fail_are_counted_by_queue_and_batches_are_measured() {
    let (log, _listening) = Log::listen(LevelFilter::INFO);
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    app.settle().await;
    let members = format!("/v1/orgs/{}/members", acme.org);
    let guest = json!({"email": "guest@example.com", "role": "viewer"});
    acme.client.post(members, guest).await.expect(201);
    let told = app.take("MailQueue").await;
    app.deliver_to_refused_notifier(&told).await;
    assert_eq!(
        sums(&log, "jobs.failed", "queue"),
        BTreeMap::from([("notifications".to_owned(), 1.0)])
    );
    let (fields, metrics) = measured(&log, "took a batch").pop().unwrap();
    assert_eq!(
        (&fields["batch.message_count"], &fields["batch.failed_count"]),
        (&json!(told.len()), &json!(0))
    );
    assert_eq!(
        (&metrics["queue"], &metrics["outcome"]),
        (&json!("notifications"), &json!("failed"))
    );
    assert!(metrics["messaging.process.duration"].as_f64().unwrap() > 0.0);
    app.run_sweeper().await;
    assert_eq!(measured(&log, "fired").pop().unwrap().0["outcome"], "done");
    let none_is_open = ["cashfree", "email", "razorpay", "stripe", "webhook"].map(|kind| (kind.to_owned(), 0.0));
    assert_eq!(sums(&log, "breaker.open", "breaker"), BTreeMap::from(none_is_open));
}
