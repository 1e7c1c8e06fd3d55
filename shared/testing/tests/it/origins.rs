//! What happens later knows the request that it comes from, through queues, jobs and facts into calls of others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use commit::Commit;
use jobs::{Job, JobRef, Outcome, Owner, Place, Queue, Retry, Running, Work, work};
use kernel::origin::{Claim, Progress, Stored};
use kernel::policy::ReadOrg;
use kernel::{OrgId, Origin, Scope, Time};
use lambda::App;
use outbox::{Fact, FactRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testing::{Client, Receiver, TestApp};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const REQUEST: &str = "request-1";
const MAILS: &str = "MailQueue";

static QUEUE: Queue = Queue {
    name: "steps",
    told: app::Queue("MAIL_QUEUE_URL"),
    retry: Retry::Listed(&[]),
    lease: Duration::from_mins(1),
    kept: Duration::from_hours(24),
    shards: 1,
    most_waiting: 100,
};

fn org() -> OrgId {
    OrgId::from_bits(7)
}

/// A job after which there are so many more.
#[derive(Serialize, Deserialize)]
struct Step(u32);

impl Job for Step {
    const KIND: &'static str = "step";
    const QUEUE: &'static Queue = &QUEUE;

    fn place(&self) -> Place {
        Place::of(Owner::Org(org()), "stepping")
    }
}

/// It was done.
#[derive(Serialize)]
struct Stepped;

impl Fact for Stepped {
    const TYPE: &'static str = "test.stepped";

    fn org(&self) -> OrgId {
        org()
    }

    fn about(&self) -> String {
        "stp_1".to_owned()
    }

    fn sequence(&self) -> u64 {
        1
    }
}

/// Does steps, each of which makes the next, and remembers where they come from.
#[derive(Default)]
struct Stepping(Mutex<Vec<Origin>>);

impl Work<Step> for Stepping {
    async fn work(&self, app: &App, running: &Running<'_, Step>) -> Outcome {
        self.0.lock().unwrap().push(running.origin().clone());
        if let Some(next) = running.job.0.checked_sub(1) {
            let commit = Commit::of(app, running.origin()).tell(&Stepped).unwrap();
            commit.later(&Step(next), app.now()).unwrap().await.unwrap();
        }
        Outcome::Done
    }
}

fn with_claim() -> Origin {
    let keys = testing::keys(&[1]).parse().unwrap();
    let claim = Claim {
        owner: format!("ORG#{}", org()),
        name: "ab".to_owned(),
        fingerprint: Vec::new(),
        keys: Arc::new(keys),
        context: String::new(),
        until: Time::from_millis(1),
        resumed: None,
        // The reply is stored: nothing is left to be stamped.
        progress: Progress::new(1, Stored::Reply),
    };
    Origin {
        request: REQUEST.to_owned(),
        trace: Some(TRACE.to_owned()),
        claim: Some(claim),
    }
}

#[track_caller]
fn check(origin: &Origin) {
    assert_eq!(
        (origin.request.as_str(), origin.trace.as_deref()),
        (REQUEST, Some(TRACE))
    );
    assert!(origin.claim.is_none(), "the claim is the request's alone");
}

#[tokio::test]
async fn a_job_and_what_it_causes_come_from_the_request_that_made_it() {
    let testing = TestApp::start().await;
    let app = testing.app().await;
    let scope = Scope::<ReadOrg>::system(org()).because_of(with_claim());
    let commit = Commit::by(&app, &scope).later(&Step(2), app.now()).unwrap();
    commit.await.unwrap();

    let worker = Stepping::default();
    let mut done = 0;
    while let Some(text) = testing.take(MAILS).await.pop() {
        work(&app, &worker, &text).await.unwrap();
        done += 1;
    }
    let origins = worker.0.into_inner().unwrap();
    assert_eq!((done, origins.len()), (3, 3));
    origins.iter().for_each(check);

    let told = testing.take("OutboxQueue").await;
    assert_eq!(told.len(), 2);
    for text in told {
        let named = FactRef::parse(&text).unwrap();
        let fact = outbox::store::find(&app.table, &named).await.unwrap().unwrap();
        check(&fact.origin);
    }
}

/// Calls as somebody who tells what their request is called, and which trace it belongs to.
fn traced(client: &Client) -> Client {
    client.header("x-request-id", REQUEST).header("traceparent", TRACE)
}

async fn origin_of_the_job(app: &TestApp, text: &str) -> Origin {
    let named = JobRef::parse(text).unwrap();
    jobs::store::find(&app.table(), &named).await.unwrap().unwrap().origin
}

#[tokio::test]
async fn mails_come_from_the_request_that_asked_for_them() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    app.settle().await;
    let members = format!("/v1/orgs/{}/members", acme.org);
    let body = json!({"email": "ada@example.com", "role": "viewer"});
    traced(&acme.client).post(members, body).await.expect(201);
    let told = app.take(MAILS).await;
    assert_eq!(told.len(), 1);
    check(&origin_of_the_job(&app, &told[0]).await);

    // This one by way of another queue.
    let body = json!({"email": acme.owner.email});
    let asked = traced(&app.client()).post("/v1/auth/password/forgot", body).await;
    asked.expect(202);
    let forgotten = app.take("ResetQueue").await;
    assert_eq!(app.deliver_from("ResetQueue", &forgotten).await, Vec::<usize>::new());
    let told = app.take(MAILS).await;
    assert_eq!(told.len(), 1);
    check(&origin_of_the_job(&app, &told[0]).await);
}

#[tokio::test]
async fn a_webhook_is_called_within_the_trace_of_the_request_that_caused_it() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    // The minute has begun some time ago, so that the schedule comes when it is over.
    app.advance(5_000);
    let receiver = Receiver::start().await;
    let body = json!({
        "projectId": acme.project, "metricType": "event_count", "eventType": "ERROR", "condition": ">", "threshold": 0,
        "window": "1m", "channel": "webhook", "target": receiver.url(), "coolDownMinutes": 0,
    });
    let id = acme.client.post("/v1/alerts", body).await.expect(201).text("id");
    acme.ingest(json!([{"type": "ERROR", "name": "failed"}])).await;
    app.settle().await;
    app.advance(Time::MINUTE);
    app.run_alert_check().await;
    app.settle().await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].header("traceparent"), "", "the schedule belongs to no trace");

    let alert = format!("/v1/alerts/{id}");
    let off = traced(&acme.client).patch(alert, json!({"enabled": false})).await;
    off.expect(200);
    app.settle().await;
    let calls = receiver.calls();
    let body: Value = serde_json::from_str(&calls[1].body).unwrap();
    assert_eq!(
        (calls.len(), &body["type"], calls[1].header("traceparent")),
        (2, &json!("alert.resolved"), TRACE)
    );
}

#[tokio::test]
async fn events_travel_with_the_request_that_they_came_with() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let event = json!({"type": "A", "name": "a"});
    traced(&acme.server)
        .post("/v1/ingest/event", event.clone())
        .await
        .expect(202);
    let odd = acme.server.header("traceparent", "00-1-2-01");
    odd.post("/v1/ingest/event", event).await.expect(202);
    let sent = app.take_messages().await;
    let origins: Vec<Value> = sent
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap()["origin"].clone())
        .collect();
    assert_eq!(origins[0], json!({"request": REQUEST, "trace": TRACE}));
    assert!(origins[1]["request"].is_string() && origins[1].get("trace").is_none());
    assert_eq!(app.deliver(&sent).await, Vec::<usize>::new());
}
