//! Looking at alerts: each change of a status is one incident and one notice, whatever comes twice, late, in another
//! order or at once, and whoever dies in between.

use jobs::store;
use kernel::policy::ReadAlerts;
use kernel::{Scope, Time};
use serde_json::{Value, json};
use table::{Slice, Write};
use testing::{Chaos, Client, Fault, Receiver, Tenant, TestApp};

const QUEUE: &str = "AlertQueue";
const TO: &str = "oncall@example.com";

/// A tenant with an alert: more than two errors in a minute, told by mail, without a cool-down.
struct Watch {
    app: TestApp,
    tenant: Tenant,
    alert: String,
}

impl Watch {
    async fn start(change: Value) -> Self {
        Self::over(TestApp::start().await, change).await
    }

    /// Meets such a fault at every call of an operation, while it is switched on.
    async fn under(fault: Fault, operation: &str) -> (Self, Chaos) {
        let occasions: Vec<_> = (1..200).map(|occasion| (fault, operation, occasion)).collect();
        let chaos = Chaos::only(&occasions);
        let app = TestApp::start_under(chaos.clone()).await;
        (Self::over(app, json!({})).await, chaos)
    }

    async fn over(app: TestApp, change: Value) -> Self {
        let tenant = app.tenant().await;
        // Every look is then five seconds into a minute: those before it are settled.
        app.advance(5_000);
        let alert = alert(&tenant, change).await.text("id");
        Self { app, tenant, alert }
    }

    /// The owner, whose token may have expired meanwhile.
    async fn client(&self) -> Client {
        let owner = self.tenant.owner.logged_in_again(&self.app).await;
        owner.client.within(&self.tenant.org)
    }

    async fn errors(&self, many: usize) {
        self.send("ERROR", "payment_failed", many).await;
    }

    async fn send(&self, kind: &str, name: &str, many: usize) {
        let event = json!({"type": kind, "name": name});
        self.tenant.ingest(vec![event; many].into()).await;
        self.app.settle().await;
    }

    /// A minute passes, and the schedule fires.
    async fn minute(&self) {
        self.app.advance(Time::MINUTE);
        self.app.run_alert_check().await;
    }

    /// A minute passes, and the schedule puts its messages on the queue, from which they are taken.
    async fn messages_of_a_minute(&self) -> Vec<String> {
        self.app.advance(Time::MINUTE);
        self.app.fire_alert_check().await;
        self.app.take(QUEUE).await
    }

    async fn shown(&self) -> Value {
        let path = format!("/v1/alerts/{}", self.alert);
        self.client().await.get(path).await.expect(200).json
    }

    async fn incidents(&self) -> Vec<Value> {
        let path = format!("/v1/alerts/{}/incidents", self.alert);
        self.client().await.all(path).await
    }

    /// What the mails are about, oldest first: `Firing` or `Resolved`.
    fn told(&self) -> Vec<String> {
        let mails = self.app.mails_to(TO).into_iter();
        mails
            .map(|mail| mail.subject.split(' ').next().unwrap_or_default().to_owned())
            .collect()
    }
}

async fn alert(tenant: &Tenant, change: Value) -> testing::Reply {
    let mut body = json!({
        "projectId": tenant.project, "metricType": "event_count", "eventType": "ERROR", "condition": ">", "threshold": 2,
        "window": "1m", "channel": "email", "target": TO, "coolDownMinutes": 0,
    });
    let Value::Object(change) = change else {
        panic!("a change is an object")
    };
    for (name, value) in change {
        body[name] = value;
    }
    if body["metricType"] == "error_rate" {
        body.as_object_mut().unwrap().remove("eventType");
    }
    tenant.client.post("/v1/alerts", body).await.expect(201)
}

#[tokio::test]
async fn errors_fire_an_alert_once_and_it_is_resolved_once() {
    let watch = Watch::start(json!({"name": "Payments"})).await;
    watch.minute().await;
    watch.errors(2).await;
    watch.minute().await;
    assert!(watch.incidents().await.is_empty(), "two are not more than two");
    watch.errors(3).await;
    assert!(watch.told().is_empty());
    watch.minute().await;
    let fired_at = watch.app.now();
    let shown = watch.shown().await;
    assert_eq!(
        (&shown["status"], &shown["lastFiredAt"]),
        (&json!("firing"), &json!(fired_at))
    );
    assert_eq!(shown["updatedAt"], shown["createdAt"], "nobody changed it");
    let incident = watch.incidents().await.remove(0);
    assert_eq!(
        incident,
        json!({"id": incident["id"], "status": "firing", "value": 3.0, "firedAt": fired_at, "resolvedAt": null})
    );
    // Still so a minute later: nothing more is told.
    watch.errors(5).await;
    watch.minute().await;
    assert_eq!(watch.told(), ["Firing"]);

    watch.minute().await;
    watch.minute().await;
    let resolved = watch.incidents().await;
    assert_eq!(resolved.len(), 1);
    assert_eq!(
        (&resolved[0]["status"], &resolved[0]["value"]),
        (&json!("resolved"), &json!(3.0))
    );
    assert_eq!(resolved[0]["resolvedAt"], json!(fired_at.plus_millis(2 * Time::MINUTE)));
    assert_eq!(watch.shown().await["status"], "ok");
    assert_eq!(watch.told(), ["Firing", "Resolved"]);

    let mails = watch.app.mails_to(TO);
    let rule = "Payments: number of events of type ERROR > 2 over 1 minute";
    assert_eq!(mails[0].subject, format!("Firing in Shop: {rule}"));
    let text = mails[0].text.as_ref().unwrap();
    assert!(
        text.contains("Value:  3") && text.contains(&format!("/alerts/{}", watch.alert)),
        "{text}"
    );
    assert_eq!(mails[1].subject, format!("Resolved in Shop: {rule}"));
    let jobs = format!("/v1/notification-jobs?alertId={}", watch.alert);
    let jobs = watch.client().await.all(jobs).await;
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job["status"] == "sent" && job["target"] == TO));
}

#[tokio::test]
async fn a_webhook_is_told_and_signed() {
    let watch = Watch::start(json!({"threshold": 1_000})).await;
    let receiver = Receiver::start().await;
    let hook = json!({"channel": "webhook", "target": receiver.url()});
    let made = alert(&watch.tenant, hook).await;
    watch.errors(3).await;
    watch.minute().await;
    watch.minute().await;
    let calls = receiver.calls();
    let mut bodies: Vec<Value> = calls
        .iter()
        .map(|call| serde_json::from_str(&call.body).unwrap())
        .collect();
    assert_eq!(bodies.len(), 2);
    for (call, body) in calls.iter().zip(&bodies) {
        let id = call.header("webhook-id");
        let sent_at: i64 = call.header("webhook-timestamp").parse().unwrap();
        let sent_at = Time::from_millis(sent_at * 1_000);
        let expected = notifications::webhook::sign(&made.text("signingSecret"), id, sent_at, &call.body).unwrap();
        assert_eq!(call.header("webhook-signature"), expected);
        assert_eq!(body["data"]["alert"]["id"], made.json["id"]);
        assert!(!call.body.contains("whsec_"));
    }
    bodies.sort_by_key(|body| body["type"].as_str().unwrap().to_owned());
    let [fired, resolved] = &bodies[..] else {
        panic!("{bodies:?}")
    };
    assert_eq!(
        (&fired["type"], &resolved["type"]),
        (&json!("alert.fired"), &json!("alert.resolved"))
    );
    let (before, after) = (&fired["data"]["incident"], &resolved["data"]["incident"]);
    assert_eq!((&before["status"], &before["value"]), (&json!("firing"), &json!(3.0)));
    assert_eq!((&after["status"], &after["id"]), (&json!("resolved"), &before["id"]));
    assert_eq!(
        (&fired["data"]["alert"]["status"], &resolved["data"]["reason"]),
        (&json!("firing"), &json!("recovered"))
    );
}

#[tokio::test]
async fn silence_fires_what_wants_events() {
    let watch =
        Watch::start(json!({"condition": "<", "threshold": 1, "eventType": "CUSTOM", "eventName": "heartbeat"})).await;
    watch.send("CUSTOM", "heartbeat", 1).await;
    watch.minute().await;
    assert!(watch.told().is_empty());
    // Other events are no heartbeat.
    watch.send("CUSTOM", "other", 5).await;
    watch.minute().await;
    assert_eq!(watch.told(), ["Firing"]);
    assert_eq!(watch.incidents().await[0]["value"], 0.0);
    watch.send("CUSTOM", "heartbeat", 1).await;
    watch.minute().await;
    assert_eq!(watch.told(), ["Firing", "Resolved"]);
}

#[tokio::test]
async fn a_rate_compares_errors_with_events_as_the_overview_does() {
    let watch = Watch::start(json!({"metricType": "error_rate", "threshold": 0.25, "window": "5m"})).await;
    watch.errors(1).await;
    watch.send("REQUEST", "GET /", 3).await;
    watch.minute().await;
    assert!(watch.told().is_empty(), "a quarter is not above a quarter");
    watch.errors(1).await;
    watch.minute().await;
    assert_eq!(watch.incidents().await[0]["value"], 0.4);
    let path = format!("/v1/metrics/overview?projectId={}", watch.tenant.project);
    assert_eq!(watch.client().await.get(path).await.expect(200).json["errorRate"], 0.4);
    // Without events in the window the rate is 0.
    watch.app.advance(5 * Time::MINUTE);
    watch.minute().await;
    assert_eq!(watch.told(), ["Firing", "Resolved"]);
}

#[tokio::test]
async fn a_window_holds_its_whole_minutes_and_no_others() {
    let watch = Watch::start(json!({"window": "5m"})).await;
    let at = |seconds: i64| json!({"type": "ERROR", "name": "a", "occurredAt": watch.app.now().plus_seconds(seconds).to_string()});
    // It is five seconds past a minute: two errors before the five minutes that are looked at, two in them.
    watch.tenant.ingest(json!([at(-246), at(-246), at(-245), at(0)])).await;
    watch.app.settle().await;
    watch.minute().await;
    assert!(watch.told().is_empty());
    // One that comes late, but occurred in the window, counts when the alert is looked at again.
    watch.tenant.ingest(json!([at(-200)])).await;
    watch.app.settle().await;
    watch.app.run_alert_check().await;
    assert_eq!(watch.incidents().await[0]["value"], 3.0);
}

#[tokio::test]
async fn after_a_notice_an_alert_cools_down() {
    let watch = Watch::start(json!({"coolDownMinutes": 10})).await;
    for minute in 0..10 {
        watch.errors(if minute % 2 == 0 { 3 } else { 0 } + 1).await;
        watch.minute().await;
    }
    assert_eq!(watch.told(), ["Firing", "Resolved"], "in ten minutes");
    watch.errors(3).await;
    watch.minute().await;
    assert_eq!(watch.told(), ["Firing", "Resolved", "Firing"]);
    let incidents = watch.incidents().await;
    let time = |place: usize| -> Time { incidents[place]["firedAt"].as_str().unwrap().parse().unwrap() };
    assert_eq!(time(0), time(1).plus_millis(10 * Time::MINUTE), "newest first");
}

#[tokio::test]
async fn a_schedule_that_fires_twice_or_an_hour_late_tells_once() {
    let watch = Watch::start(json!({"window": "24h"})).await;
    watch.errors(3).await;
    watch.app.advance(Time::HOUR);
    watch.app.fire_alert_check().await;
    watch.app.fire_alert_check().await;
    watch.app.settle().await;
    watch.app.run_alert_check().await;
    assert_eq!(
        (watch.told(), watch.incidents().await.len()),
        (vec!["Firing".to_owned()], 1)
    );
}

#[tokio::test]
async fn messages_that_come_twice_late_or_in_any_order_change_nothing_more() {
    let watch = Watch::start(json!({})).await;
    watch.errors(3).await;
    let first = watch.messages_of_a_minute().await;
    assert_eq!(first.len(), 1);
    let twice = [first[0].clone(), first[0].clone()];
    assert_eq!(watch.app.deliver_from(QUEUE, &twice).await, Vec::<usize>::new());
    watch.app.settle().await;
    let second = watch.messages_of_a_minute().await;
    let third = watch.messages_of_a_minute().await;
    // The newest first, and the oldest again at the end: each looks at what is now.
    for texts in [third, second, first] {
        assert_eq!(watch.app.deliver_from(QUEUE, &texts).await, Vec::<usize>::new());
    }
    watch.app.settle().await;
    assert_eq!(watch.told(), ["Firing", "Resolved"]);
    assert_eq!(watch.incidents().await.len(), 1);
}

#[tokio::test]
async fn of_evaluators_that_run_at_once_one_tells() {
    let watch = Watch::start(json!({})).await;
    watch.errors(3).await;
    for _ in 0..2 {
        let texts = watch.messages_of_a_minute().await;
        let evaluators = (0..8).map(|_| watch.app.deliver_from(QUEUE, &texts));
        for failed in futures::future::join_all(evaluators).await {
            assert_eq!(failed, Vec::<usize>::new());
        }
    }
    watch.app.settle().await;
    assert_eq!(watch.incidents().await.len(), 1);
    let mut told = watch.told();
    told.sort();
    assert_eq!(told, ["Firing", "Resolved"]);
}

#[tokio::test]
async fn a_poisoned_message_fails_alone() {
    let watch = Watch::start(json!({})).await;
    watch.errors(3).await;
    let good = watch.messages_of_a_minute().await.remove(0);
    let foreign = good.replace(&watch.tenant.org, &kernel::OrgId::new(watch.app.now()).to_string());
    let texts = [
        "{}".to_owned(),
        good.replace("prj_", "org_"),
        foreign,
        good,
        String::new(),
    ];
    let mut failed = watch.app.deliver_from(QUEUE, &texts).await;
    failed.sort_unstable();
    assert_eq!(failed, [0, 1, 4]);
    watch.app.settle().await;
    assert_eq!(watch.told(), ["Firing"]);
}

#[tokio::test]
async fn an_evaluator_that_dies_after_its_commit_leaves_a_notice_that_the_sweeper_sends() {
    let watch = Watch::start(json!({})).await;
    watch.errors(3).await;
    let texts = watch.messages_of_a_minute().await;
    watch.app.deliver_from(QUEUE, &texts).await;
    // It died before it told the notifier, and its message comes again.
    assert_eq!(watch.app.take("MailQueue").await.len(), 1);
    assert_eq!(watch.app.deliver_from(QUEUE, &texts).await, Vec::<usize>::new());
    watch.app.settle().await;
    assert!(watch.told().is_empty());
    watch.app.advance(20_000);
    watch.app.run_sweeper().await;
    watch.app.settle().await;
    assert_eq!(
        (watch.told(), watch.incidents().await.len()),
        (vec!["Firing".to_owned()], 1)
    );
}

#[tokio::test]
async fn an_evaluator_that_cannot_write_leaves_nothing_and_its_message_comes_again() {
    let (watch, chaos) = Watch::under(Fault::ServerError, "TransactWriteItems").await;
    watch.errors(3).await;
    let texts = watch.messages_of_a_minute().await;
    chaos.enable(true);
    assert_eq!(watch.app.deliver_from(QUEUE, &texts).await, [0]);
    chaos.enable(false);
    assert!(watch.incidents().await.is_empty());
    assert_eq!(watch.shown().await["status"], "ok");
    watch.app.settle().await;
    assert!(watch.told().is_empty());
    assert_eq!(watch.app.deliver_from(QUEUE, &texts).await, Vec::<usize>::new());
    watch.app.settle().await;
    assert_eq!(
        (watch.told(), watch.incidents().await.len()),
        (vec!["Firing".to_owned()], 1)
    );
}

#[tokio::test]
async fn an_evaluator_that_never_hears_of_its_commit_tells_once() {
    let (watch, chaos) = Watch::under(Fault::LostReply, "TransactWriteItems").await;
    watch.errors(3).await;
    let texts = watch.messages_of_a_minute().await;
    chaos.enable(true);
    watch.app.deliver_from(QUEUE, &texts).await;
    chaos.enable(false);
    assert_eq!(watch.shown().await["status"], "firing");
    assert_eq!(watch.app.deliver_from(QUEUE, &texts).await, Vec::<usize>::new());
    watch.app.advance(20_000);
    watch.app.run_sweeper().await;
    watch.app.settle().await;
    assert_eq!(
        (watch.told(), watch.incidents().await.len()),
        (vec!["Firing".to_owned()], 1)
    );
}

#[tokio::test]
async fn a_notice_that_cannot_be_made_leaves_no_incident_and_keeps_no_other_alert_waiting() {
    let watch = Watch::start(json!({})).await;
    let hook = json!({"channel": "webhook", "target": "https://hooks.example.com/"});
    let broken = alert(&watch.tenant, hook).await.text("id");
    // Its secret was sealed with a secret that is not ours any more.
    let scope = Scope::<ReadAlerts>::system(watch.tenant.org.parse().unwrap());
    let table = watch.app.table();
    let stored = alerting::Alert::load(&table, &scope, broken.parse().unwrap())
        .await
        .unwrap();
    let mut damaged = serde_json::to_value(&stored).unwrap();
    damaged["secret"] = json!([1, 2, 3]);
    let damaged: alerting::Alert = serde_json::from_value(damaged).unwrap();
    table.write([Write::put(&damaged).unwrap()]).await.unwrap();

    watch.errors(3).await;
    let texts = watch.messages_of_a_minute().await;
    assert_eq!(watch.app.deliver_from(QUEUE, &texts).await, [0], "it comes again");
    watch.app.settle().await;
    assert_eq!(watch.told(), ["Firing"]);
    let path = format!("/v1/alerts/{broken}");
    assert_eq!(watch.tenant.client.get(&path).await.expect(200).json["status"], "ok");
    assert!(
        watch
            .tenant
            .client
            .get(format!("{path}/incidents"))
            .await
            .expect(200)
            .data()
            .is_empty()
    );
    let jobs = store::of_cause_in(&table, &scope, &broken, Slice { limit: 5, after: None }).await;
    assert!(jobs.unwrap().records.is_empty());

    // Once it has another secret it is told.
    table.write([Write::put(&stored).unwrap()]).await.unwrap();
    assert_eq!(watch.app.deliver_from(QUEUE, &texts).await, Vec::<usize>::new());
    assert_eq!(
        watch.tenant.client.get(&path).await.expect(200).json["status"],
        "firing"
    );
    assert_eq!(watch.app.take("WebhookQueue").await.len(), 1);
    watch.app.settle().await;
}

#[tokio::test]
async fn one_that_is_disabled_is_not_looked_at_not_even_by_a_message_on_its_way() {
    let watch = Watch::start(json!({})).await;
    watch.errors(3).await;
    let texts = watch.messages_of_a_minute().await;
    let path = format!("/v1/alerts/{}", watch.alert);
    watch
        .tenant
        .client
        .patch(&path, json!({"enabled": false}))
        .await
        .expect(200);
    assert_eq!(watch.app.deliver_from(QUEUE, &texts).await, Vec::<usize>::new());
    assert!(watch.messages_of_a_minute().await.is_empty());
    assert!(watch.incidents().await.is_empty());
    watch
        .tenant
        .client
        .patch(&path, json!({"enabled": true}))
        .await
        .expect(200);
    watch.errors(3).await;
    watch.minute().await;
    assert_eq!(watch.told(), ["Firing"]);
}

#[tokio::test]
async fn disabling_one_that_fires_resolves_its_incident_with_a_notice() {
    let watch = Watch::start(json!({})).await;
    watch.errors(3).await;
    watch.minute().await;
    let path = format!("/v1/alerts/{}", watch.alert);
    let off = json!({"enabled": false});
    let patched = watch.tenant.client.patch(&path, off.clone()).await.expect(200);
    assert_eq!(
        (&patched.json["status"], &patched.json["enabled"]),
        (&json!("ok"), &json!(false))
    );
    watch.tenant.client.patch(&path, off).await.expect(200);
    watch.app.settle().await;
    assert_eq!(watch.told(), ["Firing", "Resolved"]);
    let text = watch.app.mails_to(TO).remove(1).text.unwrap();
    assert!(text.contains("disabled"), "{text}");
    assert_eq!(watch.incidents().await[0]["resolvedAt"], json!(watch.app.now()));
}

#[tokio::test]
async fn deleting_one_that_fires_resolves_its_incident_with_a_notice() {
    let watch = Watch::start(json!({})).await;
    watch.errors(3).await;
    watch.minute().await;
    let texts = watch.messages_of_a_minute().await;
    watch
        .tenant
        .client
        .delete(format!("/v1/alerts/{}", watch.alert))
        .await
        .expect(204);
    assert_eq!(watch.app.deliver_from(QUEUE, &texts).await, Vec::<usize>::new());
    watch.minute().await;
    assert_eq!(watch.told(), ["Firing", "Resolved"]);
}

#[tokio::test]
async fn the_alerts_of_a_deleted_project_are_disabled() {
    let watch = Watch::start(json!({})).await;
    let quiet = alert(&watch.tenant, json!({"threshold": 1_000})).await.text("id");
    watch.errors(3).await;
    watch.minute().await;
    watch
        .tenant
        .client
        .delete(format!("/v1/projects/{}", watch.tenant.project))
        .await
        .expect(204);
    watch.minute().await;
    assert_eq!(watch.told(), ["Firing", "Resolved"]);
    let shown = watch.shown().await;
    assert_eq!((&shown["enabled"], &shown["status"]), (&json!(false), &json!("ok")));
    assert!(watch.messages_of_a_minute().await.is_empty());
    let path = format!("/v1/alerts/{quiet}");
    watch
        .tenant
        .client
        .patch(&path, json!({"enabled": true}))
        .await
        .problem(404, "not_found");
    watch.tenant.client.delete(&path).await.expect(204);
    // Nobody did it, and it is noted.
    let trail = format!("/v1/orgs/{}/audit", watch.tenant.org);
    let trail = watch.tenant.client.all(trail).await;
    let noted: Vec<_> = trail
        .iter()
        .filter(|entry| entry["action"] == "alert.disabled")
        .collect();
    assert_eq!(noted.len(), 2);
    for entry in noted {
        assert_eq!(
            (&entry["actorUserId"], &entry["newValue"]["because"]),
            (&json!(null), &json!("project_deleted"))
        );
    }
}

#[tokio::test]
async fn the_alerts_of_a_deleted_organization_tell_nobody_any_more() {
    let watch = Watch::start(json!({})).await;
    let org = format!("/v1/orgs/{}", watch.tenant.org);
    watch.errors(3).await;
    watch.tenant.client.delete(org).await.expect(204);
    watch.minute().await;
    watch.minute().await;
    assert_eq!(watch.told(), Vec::<String>::new());
    assert!(watch.messages_of_a_minute().await.is_empty(), "they are disabled");
}

#[tokio::test]
async fn where_nothing_changes_nothing_is_written_and_a_projects_numbers_are_read_once() {
    let watch = Watch::start(json!({"threshold": 1_000})).await;
    watch.errors(3).await;
    let cost = async || {
        watch.app.take_usage("AlertEvaluator");
        watch.minute().await;
        watch.app.take_usage("AlertEvaluator")
    };
    let one = cost().await;
    for window in ["1m", "5m", "15m", "1m", "5m", "15m", "1m", "5m", "15m"] {
        alert(&watch.tenant, json!({"threshold": 1_000, "window": window})).await;
    }
    let ten = cost().await;
    println!("looking at a project without news: {one:?} for 1 alert, {ten:?} for 10");
    assert_eq!(one.dynamodb_requests, ten.dynamodb_requests);
    // Each alert is read for half a unit; all else is read once.
    assert!((ten.units() - one.units() - 4.5).abs() < 0.01, "{one:?} {ten:?}");
    assert!(one.units() <= 8.0, "{one:?}");
}

#[tokio::test]
async fn many_projects_are_looked_at_together() {
    let watch = Watch::start(json!({})).await;
    let mut tenants = vec![watch.tenant.clone()];
    for _ in 0..3 {
        tenants.push(watch.app.project(&watch.tenant).await);
    }
    tenants.push(watch.app.tenant().await);
    for tenant in &tenants[1..] {
        for _ in 0..30 {
            alert(tenant, json!({"threshold": 1_000})).await;
        }
        alert(tenant, json!({})).await;
        tenant
            .ingest(vec![json!({"type": "ERROR", "name": "a"}); 3].into())
            .await;
    }
    watch.errors(3).await;
    let texts = watch.messages_of_a_minute().await;
    // 125 alerts in batches of 50 or more, no project divided.
    assert!((2..=3).contains(&texts.len()), "{}", texts.len());
    for text in &texts {
        watch.app.deliver_from(QUEUE, std::slice::from_ref(text)).await;
    }
    watch.app.settle().await;
    assert_eq!(watch.told(), vec!["Firing"; 5]);
}
