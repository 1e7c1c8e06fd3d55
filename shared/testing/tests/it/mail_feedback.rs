//! Bounces and complaints: which of them silences an address, for what mail, and until when.

use jobs::{State, store};
use kernel::Time;
use notifications::{Letter, Mail, Owner, Topic};
use serde_json::{Value, json};
use testing::{Tenant, TestApp};

const FEEDBACK: &str = "MailFeedbackQueue";
const ADDRESS: &str = "ada@example.com";
/// Mail that must go, and mail that somebody can do without.
const MUST: bool = false;
const MAY: bool = true;

fn event(kind: &str, address: &str, at: Time, more: &Value) -> Value {
    let recipient = json!([{"emailAddress": address, "status": more["status"]}]);
    let mut detail = json!({"eventType": kind, "mail": {"timestamp": at, "destination": [address]}});
    match kind {
        "Bounce" => {
            detail["bounce"] = json!({
                "bounceType": more["type"], "bounceSubType": more["sub"], "bouncedRecipients": recipient, "timestamp": at,
            });
        }
        "Complaint" => {
            detail["complaint"] =
                json!({"complaintFeedbackType": "abuse", "complainedRecipients": recipient, "timestamp": at});
        }
        _ => detail["delivery"] = json!({"timestamp": at, "recipients": [address]}),
    }
    if more["id"].is_string() {
        detail["mail"]["messageId"] = more["id"].clone();
    }
    json!({"source": "aws.ses", "detail": detail})
}

fn permanent(address: &str, at: Time) -> Value {
    event(
        "Bounce",
        address,
        at,
        &json!({"type": "Permanent", "sub": "General", "status": "5.1.1"}),
    )
}

fn transient(address: &str, at: Time, id: Option<&str>) -> Value {
    event(
        "Bounce",
        address,
        at,
        &json!({"type": "Transient", "sub": "MailboxFull", "id": id}),
    )
}

fn complaint(address: &str, at: Time) -> Value {
    event("Complaint", address, at, &json!({}))
}

async fn feed(app: &TestApp, event: Value) {
    app.aws().tell_of_mail(event).unwrap();
    app.settle().await;
}

/// Mails to an address; says whether it went, and if not what its job says.
async fn mail(app: &TestApp, tenant: &Tenant, address: &str, optional: bool) -> Result<String, String> {
    let letter = Letter::AlertResolved {
        rule: "error_rate > 0.05 over 5m".into(),
        project: "Shop".into(),
        value: "0".into(),
        resolved_at: app.now(),
        link: "https://console.example.com/alerts".into(),
    };
    let mail = Mail::to(address, letter);
    let mail = if optional { mail.about(Topic::Alerts) } else { mail };
    let owner = Owner::Org(tenant.org.parse().unwrap());
    let cause = kernel::AlertId::new(app.now()).to_string();
    let job = app.desk().mail(app.now(), owner, &cause, mail).unwrap();
    app.table().write([job.write().unwrap()]).await.unwrap();
    app.desk().nudge(&[job.reference()]).await;
    app.settle().await;
    let record = store::find(&app.table(), &job.later().reference())
        .await
        .unwrap()
        .unwrap();
    if record.state == State::Completed {
        let all = app.mails_to(address);
        return Ok(all.last().unwrap().id.clone());
    }
    assert_eq!(record.state, State::Canceled);
    let why = record.error.unwrap();
    let last = record.history.last().unwrap();
    assert_eq!(last.error.as_ref(), Some(&why), "its history says why");
    Err(why)
}

async fn goes(app: &TestApp, tenant: &Tenant, address: &str) -> (bool, bool) {
    let must = mail(app, tenant, address, MUST).await.is_ok();
    (must, mail(app, tenant, address, MAY).await.is_ok())
}

#[tokio::test]
async fn what_came_back_decides_what_is_sent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let (out, full, dead, cross) = (
        "out@example.com",
        "full@example.com",
        "dead@example.com",
        "cross@example.com",
    );
    let now = app.now();
    let away = event("Bounce", out, now, &json!({"type": "Transient", "sub": "General"}));
    let events = [
        away,
        transient(full, now, None),
        permanent(dead, now),
        complaint(cross, now),
    ];
    // Each twice, the second time in the other order, and with deliveries between.
    for told in events.iter().chain(events.iter().rev()) {
        feed(&app, event("Delivery", dead, now, &json!({}))).await;
        feed(&app, told.clone()).await;
    }
    for tenant in [&acme, &rival] {
        assert_eq!(goes(&app, tenant, out).await, (true, true));
        assert_eq!(goes(&app, tenant, full).await, (true, true));
        assert_eq!(goes(&app, tenant, dead).await, (false, false));
        assert_eq!(goes(&app, tenant, cross).await, (true, false));
    }
    let why = mail(&app, &acme, dead, MUST).await.unwrap_err();
    assert!(why.contains("came back for good"), "{why}");
    assert!(app.mails_to(dead).is_empty());
    assert_eq!(
        app.aws()
            .sqs()
            .depth(&app.queue_name("MailDeadLetterQueue"))
            .unwrap()
            .total(),
        0
    );
    // However it is written.
    assert_eq!(goes(&app, &acme, "Dead@Example.COM").await, (false, false));
    let stored = app.stored().await;
    assert!(
        !stored.windows(16).any(|text| text == b"MAILBOX#dead@exa"),
        "an address is known by its hash"
    );
}

#[tokio::test]
async fn a_password_reset_reaches_who_complained_and_not_who_is_gone() {
    let app = TestApp::start().await;
    let (ada, bob) = (app.person().await, app.person().await);
    app.settle().await;
    feed(&app, complaint(&ada.email, app.now())).await;
    feed(&app, permanent(&bob.email, app.now())).await;
    let before = [&ada, &bob].map(|person| app.mails_to(&person.email).len());
    for person in [&ada, &bob] {
        let body = json!({"email": person.email});
        let asked = app.client().post("/v1/auth/password/forgot", body).await;
        assert!(asked.status.is_success(), "{}", asked.json);
    }
    app.settle().await;
    let after = [&ada, &bob].map(|person| app.mails_to(&person.email).len());
    assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 0]);
}

#[tokio::test]
async fn a_full_mailbox_is_spared_after_three_days_by_who_filled_it() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for day in 1..=3 {
        assert_eq!(goes(&app, &acme, ADDRESS).await, (true, true), "day {day}");
        // Whose mail it was is told by the tags that came with it.
        let id = mail(&app, &acme, ADDRESS, MUST).await.unwrap();
        for _ in 0..3 {
            feed(&app, transient(ADDRESS, app.now(), Some(&id))).await;
        }
        app.advance(Time::DAY);
    }
    assert_eq!(goes(&app, &acme, ADDRESS).await, (true, false));
    assert_eq!(goes(&app, &rival, ADDRESS).await, (true, true));
}

#[tokio::test]
async fn mails_carry_what_their_events_come_back_with() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    mail(&app, &acme, ADDRESS, MUST).await.unwrap();
    let sent = app.mails_to(ADDRESS).remove(0);
    assert_eq!(sent.configuration_set.as_deref(), Some("local"));
    assert_eq!(sent.tags["owner"], acme.org);
}

#[tokio::test]
async fn a_refusal_for_good_counts_whatever_it_is_called() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let refused = json!({"type": "Transient", "sub": "General", "status": "5.1.1"});
    feed(&app, event("Bounce", ADDRESS, app.now(), &refused)).await;
    assert_eq!(goes(&app, &acme, ADDRESS).await, (false, false));
}

#[tokio::test]
async fn the_services_own_list_and_mails_of_others_are_no_news() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let listed = json!({"type": "Permanent", "sub": "OnAccountSuppressionList", "status": "5.1.1"});
    feed(&app, event("Bounce", ADDRESS, app.now(), &listed)).await;
    let mut others = permanent(ADDRESS, app.now());
    others["detail"]["mail"]["tags"] = json!({"ses:configuration-set": ["another"]});
    feed(&app, others).await;
    assert_eq!(goes(&app, &acme, ADDRESS).await, (true, true));
    // That everybody's mail to it came back is news.
    let known_to_all = json!({"type": "Permanent", "sub": "Suppressed"});
    feed(&app, event("Bounce", ADDRESS, app.now(), &known_to_all)).await;
    assert_eq!(goes(&app, &acme, ADDRESS).await, (false, false));
}

#[tokio::test]
async fn a_message_that_is_no_event_fails_alone() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let good = permanent(ADDRESS, app.now()).to_string();
    let sample = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/mail-feedback.json"));
    let sample: Value = serde_json::from_str(&sample.unwrap()).unwrap();
    let sample = sample["Records"][0]["body"].as_str().unwrap().to_owned();
    let texts = ["{".to_owned(), good, "{}".to_owned(), sample];
    assert_eq!(app.deliver_from(FEEDBACK, &texts).await, [0, 2]);
    assert_eq!(goes(&app, &acme, ADDRESS).await, (false, false));
}

fn reenable(address: &str) -> String {
    format!("/v1/email-suppressions/{address}/reenable")
}

#[tokio::test]
async fn a_person_lets_their_own_address_have_mail_again() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.proved_person().await;
    app.settle().await;
    let old = app.now();
    feed(&app, permanent(&ada.email, old)).await;
    feed(&app, complaint(&ada.email, old)).await;
    assert_eq!(goes(&app, &acme, &ada.email).await, (false, false));
    let eve = app.person().await;
    eve.client.post(reenable(&ada.email), json!({})).await.expect(403);
    app.advance(Time::MINUTE);
    for _ in 0..2 {
        let done = ada
            .client
            .post(reenable(&ada.email.to_uppercase()), json!({}))
            .await
            .expect(200);
        assert_eq!(done.text("address"), ada.email);
    }
    assert_eq!(goes(&app, &acme, &ada.email).await, (true, true));
    // What is told of before, however late, is no news; what happens from now on is.
    feed(&app, permanent(&ada.email, old)).await;
    assert_eq!(goes(&app, &acme, &ada.email).await, (true, true));
    app.advance(Time::MINUTE);
    feed(&app, permanent(&ada.email, app.now())).await;
    assert_eq!(goes(&app, &acme, &ada.email).await, (false, false));
}

/// Mails to an address; it comes back for good.
async fn came_back(app: &TestApp, tenant: &Tenant, address: &str) {
    let id = mail(app, tenant, address, MUST).await.unwrap();
    let of = json!({"type": "Permanent", "sub": "General", "status": "5.1.1", "id": id});
    feed(app, event("Bounce", address, app.now(), &of)).await;
}

#[tokio::test]
async fn nobody_lifts_what_anothers_mail_has_brought() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let client = json!({"name": "Client", "email": ADDRESS, "currency": "EUR"});
    for tenant in [&acme, &rival] {
        tenant.client.post("/v1/clients", client.clone()).await.expect(201);
    }
    came_back(&app, &acme, ADDRESS).await;
    app.advance(Time::MINUTE);
    let refused = rival.client.post(reenable(ADDRESS), json!({})).await;
    refused.problem(409, "suppressed_by_others");
    // Nor does who registers with it, and has not shown that they read its mail.
    let eve = app.person_with(ADDRESS).await;
    let refused = eve.client.post(reenable(ADDRESS), json!({})).await;
    refused.problem(409, "suppressed_by_others");
    assert_eq!(goes(&app, &rival, ADDRESS).await, (false, false));
    acme.client.post(reenable(ADDRESS), json!({})).await.expect(200);
    assert_eq!(goes(&app, &rival, ADDRESS).await, (true, true));
    // What an unknown sender's mail has brought is for whose address it is.
    feed(&app, complaint(ADDRESS, app.now())).await;
    app.advance(Time::MINUTE);
    let refused = acme.client.post(reenable(ADDRESS), json!({})).await;
    refused.problem(409, "suppressed_by_others");
    assert_eq!(goes(&app, &acme, ADDRESS).await, (true, false));
}

#[tokio::test]
async fn an_admin_lets_members_and_clients_have_mail_again_and_nobody_else() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let (admin, viewer) = (app.member(&acme, "admin").await, app.member(&acme, "viewer").await);
    app.settle().await;
    let client = json!({"name": "Client", "email": "Billing@bücher.example", "currency": "EUR"});
    acme.client.post("/v1/clients", client).await.expect(201);
    let theirs = [viewer.email.as_str(), "billing@xn--bcher-kva.example"];
    for address in theirs {
        came_back(&app, &acme, address).await;
    }
    app.advance(Time::MINUTE);
    for address in theirs {
        assert_eq!(goes(&app, &acme, address).await, (false, false));
        rival
            .client
            .post(reenable(address), json!({}))
            .await
            .problem(404, "not_found");
        let other = app.member(&acme, "member").await;
        app.settle().await;
        other.client.post(reenable(address), json!({})).await.expect(403);
        admin.client.post(reenable(address), json!({})).await.expect(200);
        assert_eq!(goes(&app, &acme, address).await, (true, true));
    }
    admin
        .client
        .post(reenable("nobody@example.com"), json!({}))
        .await
        .problem(404, "not_found");
    admin
        .client
        .post(reenable("nobody"), json!({}))
        .await
        .problem(404, "not_found");
    let audit = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let noted = audit
        .iter()
        .filter(|entry| entry["action"] == "email_suppression.reenabled");
    assert_eq!(noted.count(), 2);
}
