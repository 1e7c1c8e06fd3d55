//! Notices: mails and webhooks, sent once where nothing goes wrong, and at least once with the same id where it does.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jobs::{JobRecord, JobRef, State, store};
use kernel::{AlertId, JobId, Time, UserId};
use notifications::{Job, Letter, Mail, Owner, webhook};
use serde_json::{Value, json};
use table::{Record, Write};
use testing::{Receiver, START, Tenant, TestApp};

const MAILS: &str = "MailQueue";
const WEBHOOKS: &str = "WebhookQueue";
const LEASE_SECONDS: i64 = 60;
const OPS: &str = "ops@example.com";

/// What an alert does when it fires: makes a job, commits it, and says so.
struct Alert<'a> {
    app: &'a TestApp,
    tenant: &'a Tenant,
    id: AlertId,
}

impl<'a> Alert<'a> {
    fn of(app: &'a TestApp, tenant: &'a Tenant) -> Self {
        let id = AlertId::new(app.now());
        Self { app, tenant, id }
    }

    fn owner(&self) -> Owner {
        Owner::Org(self.tenant.org.parse().unwrap())
    }

    fn mail(&self, project: &str) -> Job {
        let letter = Letter::AlertFired {
            rule: "error_rate > 0.05 over 5m".into(),
            project: project.into(),
            value: "0.07".into(),
            fired_at: self.app.now(),
            link: self.app.desk().page("/alerts").into(),
        };
        let (now, cause) = (self.app.now(), self.id.to_string());
        let job = self.app.desk().mail(now, self.owner(), &cause, Mail::to(OPS, letter));
        job.unwrap()
    }

    fn webhook(&self, url: &str, secret: &str) -> Job {
        let (now, cause) = (self.app.now(), self.id.to_string());
        let data = json!({"alertId": self.id, "value": 7});
        let desk = self.app.desk();
        desk.webhook(now, self.owner(), &cause, url, secret, "alert.fired", data)
            .unwrap()
    }

    async fn commit(&self, job: &Job) {
        self.app.table().write([job.write().unwrap()]).await.unwrap();
    }

    async fn send(&self, job: &Job) {
        self.commit(job).await;
        self.app.desk().nudge(&[job.reference()]).await;
        self.app.settle().await;
    }

    /// What the API shows of its one notice.
    async fn shown(&self) -> Value {
        let path = format!("/v1/notification-jobs?alertId={}", self.id);
        let list = self.tenant.client.get(path).await.expect(200);
        assert_eq!(list.data().len(), 1, "{}", list.json);
        list.data()[0].clone()
    }
}

async fn stored(app: &TestApp, job: &Job) -> JobRecord {
    store::find(&app.table(), &named(job)).await.unwrap().unwrap()
}

/// What a message says of a job.
fn named(job: &Job) -> JobRef {
    job.later().reference()
}

/// What lies in the table of what a notice says.
fn contents(job: &JobRecord) -> Value {
    json!(job)["contents"].clone()
}

#[tokio::test]
async fn a_mail_is_sent_and_what_it_said_is_erased() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let alert = Alert::of(&app, &acme);
    let job = alert.mail("Tom & <b>Jerry</b>");
    assert_eq!(alert_view(&alert, &job).await["status"], "pending");
    app.settle().await;
    let mails = app.mails_to(OPS);
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(mail.from, "no-reply@countinghouse.local");
    assert_eq!(mail.subject, "Firing in Tom & <b>Jerry</b>: error_rate > 0.05 over 5m");
    assert!(
        mail.text
            .as_ref()
            .unwrap()
            .contains("the project “Tom & <b>Jerry</b>” is firing")
    );
    let html = mail.html.as_ref().unwrap();
    assert!(
        html.contains("the project “Tom &#38; &#60;b&#62;Jerry&#60;/b&#62;” is firing"),
        "{html}"
    );
    assert_eq!(mail.headers["X-Countinghouse-Job"], job.id().to_string());

    let expected = json!({
        "id": job.id(), "alertId": alert.id, "channel": "email", "target": OPS, "status": "sent", "attempts": 1,
        "lastTriedAt": START, "errorMessage": null, "createdAt": START,
    });
    assert_eq!(alert.shown().await, expected);
    let job = stored(&app, &job).await;
    assert_eq!(contents(&job), Value::Null);
    assert_eq!(job.expires_at(), Some(START.plus_millis(90 * Time::DAY)));
    assert!(job.index1().is_none());
}

/// Commits a job, tells the notifier, and shows the job before it is taken.
async fn alert_view(alert: &Alert<'_>, job: &Job) -> Value {
    alert.commit(job).await;
    alert.app.desk().nudge(&[job.reference()]).await;
    alert.shown().await
}

#[tokio::test]
async fn a_webhook_is_signed() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let receiver = Receiver::start().await;
    let (alert, secret) = (Alert::of(&app, &acme), webhook::new_secret());
    let job = alert.webhook(&receiver.url(), &secret);
    app.advance(5_000);
    alert.send(&job).await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    let body: Value = serde_json::from_str(&call.body).unwrap();
    let expected = json!({"type": "alert.fired", "timestamp": START, "data": {"alertId": alert.id, "value": 7}});
    assert_eq!(body, expected);
    assert_eq!(call.header("content-type"), "application/json");
    assert_eq!(call.header("webhook-id"), job.id().to_string());
    let sent_at = START.plus_millis(5_000).seconds().to_string();
    assert_eq!(call.header("webhook-timestamp"), sent_at);
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    let signed = format!("{}.{sent_at}.{}", job.id(), call.body);
    let signature = STANDARD
        .decode(call.header("webhook-signature").trim_start_matches("v1,"))
        .unwrap();
    hmac::verify(&hmac::Key::new(HMAC_SHA256, &key), signed.as_bytes(), &signature).unwrap();
    assert_eq!(alert.shown().await["status"], "sent");
    let origin = receiver.url().trim_end_matches("hook").to_owned();
    assert_eq!(alert.shown().await["target"], format!("{origin}…"));
}

#[tokio::test]
async fn messages_that_come_twice_or_in_any_order_send_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let alerts = [Alert::of(&app, &acme), Alert::of(&app, &acme)];
    for alert in &alerts {
        let job = alert.mail("Shop");
        alert.commit(&job).await;
        app.desk().nudge(&[job.reference(), job.reference()]).await;
    }
    let mut texts = app.take(MAILS).await;
    assert_eq!(texts.len(), 4);
    texts.reverse();
    // In one batch, and then again.
    for _ in 0..2 {
        assert_eq!(app.deliver_from(MAILS, &texts).await, Vec::<usize>::new());
    }
    assert_eq!(app.mails_to(OPS).len(), 2);
}

#[tokio::test]
async fn a_poisoned_message_fails_alone() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let alert = Alert::of(&app, &acme);
    let job = alert.mail("Shop");
    alert.commit(&job).await;
    let mut told = serde_json::to_value(named(&job)).unwrap();
    let good = told.to_string();
    told["id"] = JobId::new(START).to_string().into();
    let unknown = told.to_string();
    told["more"] = 1.into();
    let texts = ["{".to_owned(), unknown, good, String::new(), told.to_string()];
    assert_eq!(app.deliver_from(MAILS, &texts).await, [0, 3, 4]);
    assert_eq!(app.mails_to(OPS).len(), 1);
}

#[tokio::test]
async fn a_worker_that_dies_before_it_notes_what_it_sent_leaves_a_job_that_is_sent_again_with_its_id() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let receiver = Receiver::start().await;
    let alert = Alert::of(&app, &acme);
    let job = alert.webhook(&receiver.url(), &webhook::new_secret());
    alert.commit(&job).await;
    // What the worker had stored when it died.
    let mut begun = json!(stored(&app, &job).await);
    begun["state"] = json!(State::Running);
    begun["dueAt"] = json!(app.now().plus_seconds(LEASE_SECONDS));
    let begun: JobRecord = serde_json::from_value(begun).unwrap();
    app.desk().nudge(&[job.reference()]).await;
    app.settle().await;
    app.table().write([Write::put(&begun).unwrap()]).await.unwrap();
    assert_eq!(alert.shown().await["status"], "pending");

    // Its lease holds: a message that comes again, or the sweeper, changes nothing.
    app.desk().nudge(&[job.reference()]).await;
    app.run_sweeper().await;
    app.settle().await;
    assert_eq!(receiver.calls().len(), 1);
    app.advance((LEASE_SECONDS + 20) * 1_000);
    app.run_sweeper().await;
    app.settle().await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].header("webhook-id"), calls[1].header("webhook-id"));
    assert_eq!(calls[0].body, calls[1].body);
    let shown = alert.shown().await;
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("sent"), &json!(1)));
}

#[tokio::test]
async fn of_two_workers_one_sends() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let receiver = Receiver::start().await;
    let alert = Alert::of(&app, &acme);
    let job = alert.webhook(&receiver.url(), &webhook::new_secret());
    alert.commit(&job).await;
    let text = [serde_json::to_string(&named(&job)).unwrap()];
    let workers = (0..8).map(|_| app.deliver_from(WEBHOOKS, &text));
    for failed in futures::future::join_all(workers).await {
        assert_eq!(failed, Vec::<usize>::new());
    }
    assert_eq!(receiver.calls().len(), 1);
}

#[tokio::test]
async fn a_target_that_fails_is_tried_again_after_longer_and_longer_pauses() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let receiver = Receiver::answering(&[503, 302]).await;
    let alert = Alert::of(&app, &acme);
    alert
        .send(&alert.webhook(&receiver.url(), &webhook::new_secret()))
        .await;
    let shown = alert.shown().await;
    assert_eq!(shown["errorMessage"], "the target answered 503");
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("pending"), &json!(1)));
    // 5 to 7.5 s, and a second for clocks that differ, rounded up.
    app.advance(4_000);
    app.settle().await;
    assert_eq!(receiver.calls().len(), 1);
    app.advance(5_000);
    app.settle().await;
    assert_eq!(receiver.calls().len(), 2, "the redirect was not followed");
    let shown = alert.shown().await;
    assert_eq!(
        shown["errorMessage"],
        "the target answered 302; redirects are not followed"
    );
    app.advance(17_000);
    app.settle().await;
    assert_eq!(receiver.calls().len(), 3);
    let shown = alert.shown().await;
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("sent"), &json!(3)));
    assert_eq!(shown["errorMessage"], Value::Null);
    let ids: BTreeSet<String> = receiver
        .calls()
        .iter()
        .map(|call| call.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_dead_target_is_given_up() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let receiver = Receiver::answering(&[500; 20]).await;
    let alert = Alert::of(&app, &acme);
    let job = alert.webhook(&receiver.url(), &webhook::new_secret());
    alert.send(&job).await;
    for _ in 0..10 {
        app.advance(60_000);
        app.run_sweeper().await;
        app.settle().await;
    }
    assert_eq!(receiver.calls().len(), 3);
    let shown = alert.shown().await;
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("failed"), &json!(3)));
    assert_eq!(shown["errorMessage"], "the target answered 500");
    let mut dead = stored(&app, &job).await;
    assert!(dead.expires_at().is_some());
    // What it says stays sealed, for a person may have it tried again.
    let sealed: Vec<u8> = serde_json::from_value(contents(&dead)).unwrap();
    assert!(!sealed.windows(6).any(|part| part == b"whsec_"));
    receiver.answer(&[204]);
    dead.retry(app.now()).unwrap();
    assert!(store::save(&app.table(), &mut dead).await.unwrap());
    app.desk().nudge(&[dead.nudge(app.now())]).await;
    app.settle().await;
    assert_eq!(alert.shown().await["status"], "sent");
    assert_eq!(contents(&stored(&app, &job).await), Value::Null);
}

#[tokio::test]
async fn a_target_that_may_not_be_called_fails_at_once_and_says_why() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for (url, why) in [
        (
            "https://169.254.169.254/latest/meta-data",
            "the target is not on the public internet: 169.254.169.254",
        ),
        (
            "https://[::ffff:127.0.0.1]/",
            "the target is not on the public internet: [::ffff:7f00:1]",
        ),
        ("http://example.com/", "the target must be https: example.com"),
    ] {
        let alert = Alert::of(&app, &acme);
        alert.send(&alert.webhook(url, &webhook::new_secret())).await;
        let shown = alert.shown().await;
        assert_eq!((&shown["status"], &shown["attempts"]), (&json!("failed"), &json!(1)));
        assert_eq!(shown["errorMessage"], why);
    }
}

#[tokio::test]
async fn a_mail_that_the_service_does_not_take_is_not_sent() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let alert = Alert::of(&app, &acme);
    let job = alert.mail("Shop");
    alert.commit(&job).await;
    let text = [serde_json::to_string(&named(&job)).unwrap()];
    assert!(app.deliver_to_refused_notifier(&text).await.is_empty());
    let shown = alert.shown().await;
    assert_eq!((&shown["status"], &shown["attempts"]), (&json!("pending"), &json!(1)));
    assert_eq!(
        shown["errorMessage"],
        "the mail service answered: AccessDeniedException"
    );
    app.advance(9_000);
    app.settle().await;
    assert_eq!(alert.shown().await["status"], "sent");
    assert_eq!(app.mails_to(OPS).len(), 1);
}

#[tokio::test]
async fn the_sweeper_finds_what_nobody_was_told_of() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    app.run_sweeper().await;
    // More than a shard's page of the index would show if all were in one shard.
    let alert = Alert::of(&app, &acme);
    for _ in 0..40 {
        alert.commit(&alert.mail("Shop")).await;
    }
    app.run_sweeper().await;
    assert!(
        app.take(MAILS).await.is_empty(),
        "the notifier has a moment to learn of them"
    );
    // Late, and twice.
    app.advance(24 * 3_600_000);
    app.run_sweeper().await;
    app.run_sweeper().await;
    let texts = app.take(MAILS).await;
    assert_eq!(texts.len(), 80);
    for texts in texts.chunks(10) {
        assert_eq!(app.deliver_from(MAILS, texts).await, Vec::<usize>::new());
    }
    assert_eq!(app.mails_to(OPS).len(), 40);
    app.run_sweeper().await;
    assert!(app.take(MAILS).await.is_empty());
}

#[tokio::test]
async fn what_was_sealed_with_another_secret_is_not_sent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let (alert, other) = (Alert::of(&app, &acme), Alert::of(&app, &rival));
    let (mine, others) = (alert.mail("Shop"), other.mail("Shop"));
    alert.commit(&mine).await;
    other.commit(&others).await;
    // One job's contents in another's place.
    let mut swapped = json!(stored(&app, &mine).await);
    swapped["contents"] = contents(&stored(&app, &others).await);
    let swapped: JobRecord = serde_json::from_value(swapped).unwrap();
    app.table().write([Write::put(&swapped).unwrap()]).await.unwrap();
    app.desk().nudge(&[mine.reference()]).await;
    app.settle().await;
    assert_eq!(alert.shown().await["errorMessage"], "its contents cannot be opened");
    assert_eq!(alert.shown().await["status"], "failed");
    assert!(app.mails_to(OPS).is_empty());
}

#[tokio::test]
async fn notices_are_listed_by_alert_newest_first() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let (alert, quiet) = (Alert::of(&app, &acme), Alert::of(&app, &acme));
    let mut sent = Vec::new();
    for _ in 0..5 {
        app.advance(1_000);
        let job = alert.mail("Shop");
        sent.insert(0, job.id().to_string());
        alert.send(&job).await;
    }
    let path = format!("/v1/notification-jobs?alertId={}", alert.id);
    let ids = |jobs: &[Value]| -> Vec<String> { jobs.iter().map(|job| job["id"].as_str().unwrap().into()).collect() };
    assert_eq!(ids(&acme.client.all(format!("{path}&limit=2")).await), sent);
    let first = acme.client.get(format!("{path}&limit=2")).await.expect(200);
    let cursor = first.text("nextCursor");
    let elsewhere = format!("/v1/notification-jobs?alertId={}&cursor={cursor}", quiet.id);
    acme.client.get(elsewhere).await.problem(400, "bad_cursor");

    // Neither another alert of the tenant nor another tenant sees them.
    let other = format!("/v1/notification-jobs?alertId={}", quiet.id);
    assert!(acme.client.get(other).await.expect(200).data().is_empty());
    let stolen = rival.client.get(format!("{path}&cursor={cursor}")).await;
    stolen.problem(400, "bad_cursor");
    let viewer = app.member(&acme, "viewer").await;
    viewer.client.get(&path).await.expect(200);
}

#[tokio::test]
async fn the_alert_must_be_named() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let missing = acme.client.get("/v1/notification-jobs").await;
    let missing = missing.problem(400, "missing_field");
    assert_eq!(missing.fields(), ["alertId"]);
    for (query, code) in [
        ("alertId=nonsense", "malformed_id"),
        ("alertId=prj_01mcc5rm00ead9ttpnkqfb058v", "malformed_id"),
        ("alertId=alr_01mcc5rm00ead9ttpnkqfb058v&limit=0", "bad_limit"),
        ("alertId=alr_01mcc5rm00ead9ttpnkqfb058v&more=1", "unknown_field"),
    ] {
        let reply = acme.client.get(format!("/v1/notification-jobs?{query}")).await;
        reply.problem(400, code);
    }
}

#[tokio::test]
async fn a_persons_own_mail_is_nobody_elses() {
    let app = TestApp::start().await;
    let person = app.person().await;
    let user: UserId = person.id.parse().unwrap();
    let desk = app.desk();
    let letter = Letter::ResetPassword {
        name: "Ada".into(),
        link: desk.link("/reset-password", "t0ken").into(),
    };
    let (now, owner) = (app.now(), Owner::User(user));
    let job = desk.mail(now, owner, "password_reset", Mail::to(&person.email, letter));
    let job = job.unwrap();
    app.table().write([job.write().unwrap()]).await.unwrap();
    desk.nudge(&[job.reference()]).await;
    app.settle().await;
    let mail = app.mails_to(&person.email).pop().unwrap();
    assert!(
        mail.text
            .unwrap()
            .contains("http://localhost:3000/reset-password#token=t0ken\n")
    );
    assert_eq!(stored(&app, &job).await.state, State::Completed);
}

#[tokio::test]
async fn an_optional_mail_tells_mail_programs_where_to_unsubscribe() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let alert = Alert::of(&app, &acme);
    let url = "https://api.example.com/unsubscribe/t0ken";
    let letter = Letter::VerifyEmail {
        name: "Ada".into(),
        link: "https://console.example.com".into(),
    };
    let mail = Mail::to(OPS, letter).unsubscribe_at(url.to_owned().try_into().unwrap());
    let cause = alert.id.to_string();
    let job = app.desk().mail(app.now(), alert.owner(), &cause, mail).unwrap();
    alert.send(&job).await;
    let mail = app.mails_to(OPS).pop().unwrap();
    let expected = [
        ("List-Unsubscribe", format!("<{url}>")),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()),
        ("X-Countinghouse-Job", job.id().to_string()),
    ];
    let expected: BTreeMap<String, String> = expected.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(mail.headers, expected);
    // No other mail does: there is no such route yet.
    let letter = alert.mail("Shop");
    alert.commit(&letter).await;
    app.desk().nudge(&[letter.reference()]).await;
    app.settle().await;
    let names = app.mails_to(OPS).pop().unwrap().headers.into_keys();
    assert_eq!(names.collect::<Vec<_>>(), ["X-Countinghouse-Job"]);
}

#[tokio::test]
async fn a_webhook_that_asks_for_patience_gets_it() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let receiver = Receiver::answering(&[429]).await;
    let alert = Alert::of(&app, &acme);
    let job = alert.webhook(&receiver.url(), &webhook::new_secret());
    alert.send(&job).await;
    assert_eq!(stored(&app, &job).await.due_at, START.plus_seconds(3_600));
    app.advance(3_620_000);
    app.run_sweeper().await;
    app.settle().await;
    assert_eq!(receiver.calls().len(), 2);
    assert_eq!(stored(&app, &job).await.state, State::Completed);
}

/// A project's webhooks to a server that accepts and never answers, and somebody else's forgotten password.
#[tokio::test]
async fn silent_webhooks_do_not_hold_up_a_password_reset() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let alert = Alert::of(&app, &acme);
    for _ in 0..140 {
        let job = alert.webhook(&url, &webhook::new_secret());
        alert.commit(&job).await;
        app.desk().nudge(&[job.reference()]).await;
    }
    // Every worker of webhooks is at it, and stays so.
    let webhooks = app.take(WEBHOOKS).await;
    assert_eq!(webhooks.len(), 140);
    let busy = webhooks[..100]
        .chunks(10)
        .map(|texts| app.deliver_from(WEBHOOKS, texts));
    let busy = futures::future::join_all(busy);
    let person = app.person().await;
    let forgot = json!({"email": person.email});
    app.client().post("/v1/auth/password/forgot", forgot).await.expect(202);
    let reset = async {
        let before = app.mails_to(&person.email).len();
        for queue in ["ResetQueue", MAILS] {
            let texts = app.take(queue).await;
            assert!(!texts.is_empty(), "{queue}");
            for texts in texts.chunks(10) {
                assert_eq!(app.deliver_from(queue, texts).await, Vec::<usize>::new());
            }
        }
        assert!(app.mails_to(&person.email).len() > before);
    };
    tokio::select! {
        _ = busy => panic!("a server that is silent answers nobody, until it is given up"),
        () = reset => {}
    }
}
