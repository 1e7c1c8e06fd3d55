//! Mail that waits: digests by the clock of whoever gets them, and quiet hours. And what people say of how they want to be told.

use kernel::{OrgId, Time};
use notifications::{Letter, Mail, Owner, Topic};
use serde_json::{Value, json};
use testing::{Person, Tenant, TestApp};

use crate::invoices::go_to;

const PREFERENCES: &str = "/v1/notification-preferences";

/// A mail about a topic to a member, of which it is told at once.
pub(crate) async fn mail(app: &TestApp, tenant: &Tenant, person: &Person, topic: Topic, said: &str) {
    let letter = Letter::AlertFired {
        rule: said.into(),
        project: "Shop".into(),
        value: "1".into(),
        fired_at: app.now(),
        link: "https://console.example.com".into(),
    };
    let org: OrgId = tenant.org.parse().unwrap();
    let mail = Mail::to(&person.email, letter)
        .about(topic)
        .for_member(person.id.parse().unwrap());
    let job = app.desk().mail(app.now(), Owner::Org(org), "test", mail).unwrap();
    job.later().store(&app.app().await).await.unwrap();
    app.settle().await;
}

/// A while passes, after which what is due is mailed.
async fn pass(app: &TestApp, millis: i64) {
    app.advance(millis);
    app.run_sweeper().await;
    app.settle().await;
}

/// The digests that somebody got: when, to the minute, and what they say.
fn digests(app: &TestApp, person: &Person) -> Vec<(String, String)> {
    let mails = app.mails_to(&person.email).into_iter();
    let digests = mails.filter(|mail| mail.subject.ends_with(" digest"));
    digests
        .map(|mail| (mail.sent_at[5..16].to_owned(), mail.text.unwrap()))
        .collect()
}

/// How many mails somebody got that say this.
fn told(app: &TestApp, person: &Person, said: &str) -> usize {
    let mails = app.mails_to(&person.email);
    mails
        .iter()
        .filter(|mail| mail.text.as_deref().unwrap_or_default().contains(said))
        .count()
}

async fn set(person: &Person, tenant: &Tenant, preferences: Value) {
    let client = person.client.within(&tenant.org);
    client.put(PREFERENCES, preferences).await.expect(200);
}

/// Whatever happens once a day, from one moment to another, half an hour at a time; the clock is a minute past.
async fn days(app: &TestApp, tenant: &Tenant, people: [&Person; 2], from: &str, to: &str) -> usize {
    go_to(app, from);
    let to: Time = to.parse().unwrap();
    let mut events = 0;
    while app.now() < to {
        pass(app, 30 * Time::MINUTE).await;
        if app.now().to_string().contains("T12:01") {
            events += 1;
            for person in people {
                mail(app, tenant, person, Topic::Alerts, &format!("event {events} of {from}")).await;
            }
        }
    }
    events
}

#[tokio::test]
async fn a_daily_digest_keeps_its_hour_over_clock_changes() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let night = app.member(&acme, "viewer").await;
    for (person, at) in [(&acme.owner, "08:00"), (&night, "02:30")] {
        let digest = json!({"at": at, "timezone": "Europe/Berlin"});
        set(
            person,
            &acme,
            json!({"topics": {"alerts": {"email": "daily"}}, "digest": digest}),
        )
        .await;
    }
    let both = [&acme.owner, &night];
    let spring = days(&app, &acme, both, "2027-03-26T00:01:00Z", "2027-03-31T00:01:00Z").await;
    let when = |person: &Person| -> Vec<String> { digests(&app, person).into_iter().map(|(at, _)| at).collect() };
    // The first event is of the 26th, noon; 2:30 of the 28th is 3:00, which is 1:00 UTC.
    assert_eq!(
        when(&acme.owner),
        ["03-27T07:01", "03-28T06:01", "03-29T06:01", "03-30T06:01"]
    );
    assert_eq!(
        when(&night),
        ["03-27T01:31", "03-28T01:01", "03-29T00:31", "03-30T00:31"]
    );
    let autumn = days(&app, &acme, both, "2027-10-29T00:01:00Z", "2027-11-02T09:01:00Z").await;
    assert_eq!(
        when(&acme.owner)[5..],
        ["10-30T06:01", "10-31T07:01", "11-01T07:01", "11-02T07:01"]
    );
    assert_eq!(
        when(&night)[5..],
        ["10-30T00:31", "10-31T00:31", "11-01T01:31", "11-02T01:31"]
    );
    for person in both {
        let all = digests(&app, person);
        assert!(
            all.iter().all(|(_, text)| text.contains("Firing in Shop: event ")),
            "one is empty"
        );
        for (many, from) in [(spring, "2027-03-26T00:01:00Z"), (autumn, "2027-10-29T00:01:00Z")] {
            for event in 1..=many {
                let said = format!("event {event} of {from}\n");
                assert_eq!(told(&app, person, &said), 1, "{said}");
            }
        }
    }
}

#[tokio::test]
async fn a_digest_is_one_mail_for_a_topic_however_often_and_late_it_is_looked_for() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let all = json!({"alerts": {"email": "hourly"}, "billing": {"email": "hourly"}});
    set(&acme.owner, &acme, json!({"topics": all})).await;
    for number in 1..=3 {
        mail(&app, &acme, &acme.owner, Topic::Alerts, &format!("alert {number}")).await;
    }
    mail(&app, &acme, &acme.owner, Topic::Billing, "bill 1").await;
    assert!(digests(&app, &acme.owner).is_empty());
    // Two hours late, twice, and its messages twice.
    app.advance(3 * Time::HOUR);
    app.run_sweeper().await;
    let messages = app.take("MailQueue").await;
    assert!(!messages.is_empty());
    for _ in 0..2 {
        assert_eq!(app.deliver_from("MailQueue", &messages).await, Vec::<usize>::new());
        app.settle().await;
    }
    pass(&app, 2 * Time::HOUR).await;
    let found = digests(&app, &acme.owner);
    assert_eq!(found.len(), 2, "{found:?}");
    let mails = app.mails_to(&acme.owner.email).into_iter();
    let mut mails = mails.filter(|mail| mail.subject.ends_with(" digest"));
    assert!(mails.all(|mail| mail.headers.contains_key("List-Unsubscribe")));
    for said in ["alert 1", "alert 2", "alert 3", "bill 1"] {
        assert_eq!(told(&app, &acme.owner, said), 1, "{said}");
    }
    let subjects: Vec<_> = app
        .mails_to(&acme.owner.email)
        .into_iter()
        .map(|mail| mail.subject)
        .collect();
    assert!(
        subjects.iter().any(|subject| subject.ends_with(": alerts digest")),
        "{subjects:?}"
    );
}

#[tokio::test]
async fn what_can_wait_waits_for_the_end_of_quiet_hours() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    // It is 8:00 UTC, and 9:00 in Berlin.
    let quiet = json!({"from": "08:30", "to": "10:15"});
    let digest = json!({"at": "08:00", "timezone": "Europe/Berlin"});
    set(
        &acme.owner,
        &acme,
        json!({"quietHours": quiet, "digest": digest, "topics": {"billing": {"email": "hourly"}}}),
    )
    .await;
    mail(&app, &acme, &acme.owner, Topic::Alerts, "alert 17").await;
    mail(&app, &acme, &acme.owner, Topic::Billing, "bill 17").await;
    mail(&app, &acme, &acme.owner, Topic::Payments, "payment 17").await;
    assert_eq!(told(&app, &acme.owner, "payment 17"), 1);
    let waits = |said: &str| told(&app, &acme.owner, said) == 0;
    assert!(waits("alert 17") && waits("bill 17"));
    pass(&app, 74 * Time::MINUTE).await;
    assert!(waits("alert 17") && waits("bill 17"));
    pass(&app, 2 * Time::MINUTE).await;
    assert_eq!(
        (told(&app, &acme.owner, "alert 17"), told(&app, &acme.owner, "bill 17")),
        (1, 1)
    );
    assert_eq!(digests(&app, &acme.owner).len(), 1);
}

#[tokio::test]
async fn what_waited_is_not_mailed_to_who_has_left() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let (left, stays) = (app.member(&acme, "viewer").await, app.member(&acme, "viewer").await);
    let quiet = json!({"quietHours": {"from": "07:30", "to": "09:15"}});
    for person in [&left, &stays] {
        set(person, &acme, quiet.clone()).await;
        mail(&app, &acme, person, Topic::Alerts, "by who they are").await;
        // An alert knows an address alone.
        let letter = Letter::AlertFired {
            rule: "by where they are".into(),
            project: "Shop".into(),
            value: "1".into(),
            fired_at: app.now(),
            link: "https://console.example.com".into(),
        };
        let alert = Mail::to(&person.email, letter).about(Topic::Alerts);
        let owner = Owner::Org(acme.org.parse().unwrap());
        let job = app.desk().mail(app.now(), owner, "alert", alert).unwrap();
        job.later().store(&app.app().await).await.unwrap();
    }
    app.settle().await;
    let of_left = format!("/v1/orgs/{}/members/{}", acme.org, left.id);
    acme.client.delete(of_left).await.expect(204);
    pass(&app, 2 * Time::HOUR).await;
    for said in ["by who they are", "by where they are"] {
        assert_eq!((told(&app, &left, said), told(&app, &stays, said)), (0, 1), "{said}");
    }
}

#[tokio::test]
async fn what_waits_for_a_digest_is_not_mailed_by_itself_when_its_cause_is_told_again() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    set(&acme.owner, &acme, json!({"topics": {"billing": {"email": "hourly"}}})).await;
    let at = app.now();
    let tell = async || {
        let letter = Letter::AlertFired {
            rule: "told again".into(),
            project: "Shop".into(),
            value: "1".into(),
            fired_at: at,
            link: "https://console.example.com".into(),
        };
        let mail = Mail::to(&acme.owner.email, letter)
            .about(Topic::Billing)
            .for_member(acme.owner.id.parse().unwrap());
        let owner = Owner::Org(acme.org.parse().unwrap());
        let job = app.desk().mail_once(app.now(), owner, "cause", at, mail).unwrap();
        job.later().store(&app.app().await).await.unwrap();
        app.settle().await;
    };
    tell().await;
    set(&acme.owner, &acme, json!({})).await;
    app.settle().await;
    assert_eq!(told(&app, &acme.owner, "told again"), 1);
    tell().await;
    assert_eq!(told(&app, &acme.owner, "told again"), 1);
}

#[tokio::test]
async fn new_preferences_put_no_overdue_digest_off() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    set(&acme.owner, &acme, json!({"topics": {"alerts": {"email": "hourly"}}})).await;
    mail(&app, &acme, &acme.owner, Topic::Alerts, "overdue event").await;
    app.advance(2 * Time::HOUR);
    let acme = acme.logged_in_again(&app).await;
    set(&acme.owner, &acme, json!({"topics": {"alerts": {"email": "weekly"}}})).await;
    pass(&app, Time::MINUTE).await;
    assert_eq!(told(&app, &acme.owner, "overdue event"), 1);
}

#[tokio::test]
async fn what_is_off_is_not_mailed_and_its_job_says_why() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let other = app.member(&acme, "admin").await;
    set(&acme.owner, &acme, json!({"topics": {"alerts": {"email": "off"}}})).await;
    let alert = json!({"projectId": acme.project, "metricType": "event_count", "condition": "<", "threshold": 1,
        "window": "1m", "channel": "email", "target": acme.owner.email});
    let off = acme
        .client
        .post("/v1/alerts", alert.clone())
        .await
        .expect(201)
        .text("id");
    let mut others = alert;
    others["target"] = json!(other.email);
    acme.client.post("/v1/alerts", others).await.expect(201);
    pass(&app, 2 * Time::MINUTE).await;
    app.run_alert_check().await;
    assert_eq!(
        (told(&app, &acme.owner, "is firing"), told(&app, &other, "is firing")),
        (0, 1)
    );
    let jobs = acme
        .client
        .get(format!("/v1/notification-jobs?alertId={off}"))
        .await
        .expect(200);
    let shown = jobs.data()[0].to_string();
    assert!(shown.contains("its recipient wants no mail about this"), "{shown}");
    // What is in nobody's organization is mailed as ever.
    let link = app.mails_to(&other.email).pop().unwrap();
    assert!(link.headers.contains_key("List-Unsubscribe"));
}

#[tokio::test]
async fn who_changes_what_they_want_gets_what_waits_as_they_want_it_now() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let wants = async |email: &str, at: &str| {
        let digest = json!({"at": at, "timezone": "UTC"});
        set(
            &acme.owner,
            &acme,
            json!({"topics": {"alerts": {"email": email}}, "digest": digest}),
        )
        .await;
    };
    wants("daily", "12:00").await;
    mail(&app, &acme, &acme.owner, Topic::Alerts, "event one;").await;
    wants("daily", "08:10").await;
    pass(&app, 11 * Time::MINUTE).await;
    assert_eq!(told(&app, &acme.owner, "event one;"), 1);
    mail(&app, &acme, &acme.owner, Topic::Alerts, "event two;").await;
    wants("now", "08:00").await;
    app.settle().await;
    assert_eq!(told(&app, &acme.owner, "event two;"), 1);
    wants("weekly", "08:00").await;
    mail(&app, &acme, &acme.owner, Topic::Alerts, "event three;").await;
    wants("off", "08:00").await;
    pass(&app, 8 * Time::DAY).await;
    assert_eq!(
        (
            told(&app, &acme.owner, "event three;"),
            digests(&app, &acme.owner).len()
        ),
        (0, 2)
    );
}

#[tokio::test]
async fn preferences_are_shown_with_their_defaults_and_set_as_a_whole() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let shown = acme.client.get(PREFERENCES).await.expect(200).json;
    let now = json!({"email": "now", "push": "now", "inbox": "now"});
    for topic in Topic::ALL {
        assert_eq!(shown["topics"][topic.name()], now);
    }
    assert_eq!(shown["topics"].as_object().unwrap().len(), Topic::ALL.len());
    assert_eq!(
        shown["digest"],
        json!({"at": "08:00", "timezone": "UTC", "weekday": "monday"})
    );
    assert_eq!(shown["quietHours"], Value::Null);

    let wanted = json!({
        "topics": {"alerts": {"email": "daily", "push": "off", "inbox": "weekly"}, "payments": {"email": "hourly"}},
        "digest": {"at": "17:45", "timezone": "America/New_York", "weekday": "friday"},
        "quietHours": {"from": "22:00", "to": "07:00"}
    });
    let set = acme.client.put(PREFERENCES, wanted.clone()).await.expect(200).json;
    assert_eq!(set["topics"]["alerts"], wanted["topics"]["alerts"]);
    assert_eq!(
        set["topics"]["payments"],
        json!({"email": "hourly", "push": "now", "inbox": "now"})
    );
    assert_eq!(
        (&set["digest"], &set["quietHours"]),
        (&wanted["digest"], &wanted["quietHours"])
    );
    assert_eq!(acme.client.get(PREFERENCES).await.expect(200).json, set);
    // What is shown can be sent.
    assert_eq!(acme.client.put(PREFERENCES, set.clone()).await.expect(200).json, set);
    assert_eq!(rival.client.get(PREFERENCES).await.expect(200).json, shown);
    let trail = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let noted = trail
        .iter()
        .filter(|entry| entry["action"] == "notification_preferences.updated");
    assert_eq!(noted.count(), 1, "what changes nothing is not noted");
    assert_eq!(acme.client.put(PREFERENCES, json!({})).await.expect(200).json, shown);
}

#[tokio::test]
async fn preferences_that_break_a_rule_are_refused_and_name_it() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for (wanted, field) in [
        (
            json!({"topics": {"security": {"email": "off"}}}),
            "topics.security.email",
        ),
        (
            json!({"topics": {"payments": {"email": "off"}}}),
            "topics.payments.email",
        ),
        (json!({"digest": {"at": "24:00", "timezone": "UTC"}}), "digest.at"),
        (
            json!({"digest": {"at": "08:00", "timezone": "Mars/Base"}}),
            "digest.timezone",
        ),
        (json!({"quietHours": {"from": "07:00", "to": "07:00"}}), "quietHours.to"),
    ] {
        let reply = acme.client.put(PREFERENCES, wanted).await.expect(422);
        assert_eq!(reply.fields(), [field]);
    }
    for wanted in [
        json!({"topics": {"weather": {"email": "off"}}}),
        json!({"topics": {"alerts": {"email": "sometimes"}}}),
        json!({"topics": {"alerts": {"fax": "now"}}}),
        json!({"more": 1}),
    ] {
        acme.client.put(PREFERENCES, wanted).await.expect(400);
    }
    rival
        .owner
        .client
        .within(&acme.org)
        .get(PREFERENCES)
        .await
        .problem(404, "not_found");
    acme.owner.client.get(PREFERENCES).await.expect(400);
    let viewer = app.member(&acme, "viewer").await;
    viewer.client.put(PREFERENCES, json!({})).await.expect(200);
}
