//! /v1/notifications: what members are told of what happens, each of them once, and nobody else.

use inbox::Listener;
use kernel::Time;
use outbox::{Listener as _, Told};
use serde_json::{Value, json};
use testing::{Chaos, Client, Moment, Person, Tenant, TestApp};

use crate::invoices::{cash, client_of, facts, invoice, sent};

const LIST: &str = "/v1/notifications";

/// An invoice that is paid: the fact `invoice.paid`.
async fn paid(app: &TestApp, tenant: &Tenant) {
    let client = client_of(app, tenant, json!({})).await;
    let invoice = sent(&tenant.client, invoice(&client, &[(1_500, "0")])).await;
    let path = format!("/v1/invoices/{}/payments", invoice["id"].as_str().unwrap());
    tenant.client.post(path, cash(1_500)).await.expect(201);
}

/// The titles of what somebody was told, newest first.
async fn titles(client: &Client, path: &str) -> Vec<String> {
    let items = client.all(path).await;
    items
        .iter()
        .map(|item| item["title"].as_str().unwrap().to_owned())
        .collect()
}

async fn fact(app: &TestApp, tenant: &Tenant, name: &str) -> Told {
    let facts = facts(app, &tenant.org).await;
    facts.into_iter().find(|fact| fact.fact == name).unwrap()
}

#[tokio::test]
async fn what_happened_is_listed_newest_first_and_read_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    assert!(titles(&acme.client, LIST).await.is_empty());
    paid(&app, &acme).await;
    app.settle().await;
    let first = titles(&acme.client, LIST).await;
    assert_eq!(first, ["Invoice INV-2027-0001 was paid"]);
    let at = app.now();
    app.advance(1_000);
    paid(&app, &acme).await;
    app.settle().await;
    assert_eq!(
        titles(&acme.client, "/v1/notifications?limit=1").await,
        ["Invoice INV-2027-0002 was paid", &first[0]]
    );

    let listed = acme.client.get(LIST).await.expect(200).data().to_vec();
    let item = &listed[1];
    assert_eq!(
        item,
        &json!({"id": item["id"], "topic": "billing", "title": "Invoice INV-2027-0001 was paid", "body": "EUR 15.00 in all.",
            "createdAt": at, "readAt": null})
    );
    let read = format!("{LIST}/{}/read", item["id"].as_str().unwrap());
    let now = app.now();
    let reply = acme.client.post(&read, json!({})).await.expect(200).json;
    assert_eq!((&reply["id"], &reply["readAt"]), (&item["id"], &json!(now)));
    app.advance(1_000);
    assert_eq!(acme.client.post(&read, json!({})).await.expect(200).json, reply);
    let unread = titles(&acme.client, "/v1/notifications?unread=true").await;
    assert_eq!(unread, ["Invoice INV-2027-0002 was paid"]);
    assert_eq!(acme.client.all(LIST).await.len(), 2);
}

#[test]
fn every_fact_that_is_heard_is_told() {
    for name in inbox::news::HEARD {
        assert!(endpoints::events::named(name).is_some(), "nobody tells {name}");
    }
}

#[tokio::test]
async fn each_is_told_what_their_role_should_know() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let [accountant, member] = [app.member(&acme, "accountant").await, app.member(&acme, "member").await];
    paid(&app, &acme).await;
    let alert = json!({"projectId": acme.project, "metricType": "event_count", "condition": "<", "threshold": 1,
        "window": "1m", "channel": "email", "target": "oncall@example.com"});
    acme.client.post("/v1/alerts", alert).await.expect(201);
    app.advance(2 * Time::MINUTE);
    app.run_alert_check().await;
    let topics = async |client: &Client| -> Vec<Value> {
        let mut topics: Vec<Value> = client
            .all(LIST)
            .await
            .into_iter()
            .map(|mut item| item["topic"].take())
            .collect();
        topics.sort_by_key(ToString::to_string);
        topics
    };
    assert_eq!(topics(&acme.client).await, ["alerts", "billing"]);
    assert_eq!(topics(&accountant.client).await, ["alerts", "billing"]);
    assert_eq!(topics(&member.client).await, ["alerts"]);
    assert!(titles(&member.client, LIST).await[0].starts_with("Firing in Shop: number of events < 1"));
}

#[tokio::test]
async fn nobody_sees_or_reads_what_another_was_told() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let admin = app.member(&acme, "admin").await;
    paid(&app, &acme).await;
    app.settle().await;
    let item = acme.client.get(LIST).await.expect(200).data()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let read = format!("{LIST}/{item}/read");
    assert_eq!(admin.client.all(LIST).await.len(), 1);
    for other in [&admin.client, &rival.client] {
        other.post(&read, json!({})).await.problem(404, "not_found");
    }
    rival
        .owner
        .client
        .within(&acme.org)
        .get(LIST)
        .await
        .problem(404, "not_found");
    assert!(rival.client.all(LIST).await.is_empty());
    // A cursor of one organization is none of another.
    paid(&app, &acme).await;
    app.settle().await;
    let page = acme.client.get("/v1/notifications?limit=1").await.expect(200);
    let cursor = page.text("nextCursor");
    let page = format!("{LIST}?limit=1&cursor={cursor}");
    rival.client.get(&page).await.problem(400, "bad_cursor");
    let unread = format!("{page}&unread=true");
    acme.client.get(&unread).await.problem(400, "bad_cursor");
    for (query, code) in [
        ("limit=0", "bad_limit"),
        ("unread=perhaps", "malformed_query"),
        ("x=1", "unknown_field"),
    ] {
        let reply = acme.client.get(format!("{LIST}?{query}")).await.expect(400);
        assert!(
            reply.json["code"] == code || query.starts_with("unread"),
            "{query}: {}",
            reply.json
        );
    }
    acme.client
        .post("/v1/notifications/nonsense/read", json!({}))
        .await
        .problem(400, "malformed_id");
    acme.owner.client.get(LIST).await.expect(400);
}

#[tokio::test]
async fn a_fact_that_is_heard_again_tells_nobody_again() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    paid(&app, &acme).await;
    app.settle().await;
    let told = fact(&app, &acme, "invoice.paid").await;
    let outside = app.app().await;
    // Whatever they want by now.
    for inbox in ["off", "daily", "now"] {
        let wanted = json!({"topics": {"billing": {"inbox": inbox, "email": "daily"}}});
        acme.client
            .put("/v1/notification-preferences", wanted)
            .await
            .expect(200);
        Listener.hear(&outside, &told).await.unwrap();
    }
    app.advance(2 * Time::DAY);
    app.run_sweeper().await;
    app.settle().await;
    let acme = acme.logged_in_again(&app).await;
    assert_eq!(acme.client.all(LIST).await.len(), 1);
    assert!(
        !app.mails_to(&acme.owner.email)
            .iter()
            .any(|mail| mail.subject.contains("digest"))
    );
    // And of an organization that is gone nobody is told.
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    Listener.hear(&outside, &told).await.unwrap();
    app.settle().await;
}

#[tokio::test]
async fn who_dies_while_telling_leaves_nothing_or_all_of_it() {
    let chaos = Chaos::only(&[]);
    let app = TestApp::start_under(chaos.clone()).await;
    let acme = app.tenant().await;
    app.member(&acme, "admin").await;
    let wanted = json!({"topics": {"billing": {"email": "hourly"}}});
    acme.client
        .put("/v1/notification-preferences", wanted)
        .await
        .expect(200);
    paid(&app, &acme).await;
    app.take("OutboxQueue").await;
    let told = fact(&app, &acme, "invoice.paid").await;
    let relay = app.app_of("OutboxRelay").await;
    for call in 1..=20 {
        for moment in [Moment::Before, Moment::After] {
            chaos.enable(true);
            chaos.crash_at(call, moment);
            tokio::select! {
                heard = Listener.hear(&relay, &told) => heard.unwrap(),
                () = chaos.crashed() => {}
            }
            chaos.enable(false);
            assert!(acme.client.all(LIST).await.len() <= 1);
        }
    }
    Listener.hear(&relay, &told).await.unwrap();
    assert_eq!(acme.client.all(LIST).await.len(), 1);
    app.advance(Time::HOUR + Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    let digests = app.mails_to(&acme.owner.email).into_iter();
    let digests: Vec<_> = digests.filter(|mail| mail.subject.contains("digest")).collect();
    assert_eq!(digests.len(), 1);
    let text = digests[0].text.as_deref().unwrap();
    assert_eq!(text.matches("Invoice INV-2027-0001 was paid").count(), 1, "{text}");
}

#[tokio::test]
async fn what_somebody_was_told_is_forgotten_after_90_days() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    paid(&app, &acme).await;
    app.settle().await;
    let item = acme.client.get(LIST).await.expect(200).data()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let at = fact(&app, &acme, "invoice.paid").await.at;
    let end = at.plus_millis(90 * Time::DAY);
    let stored = app.expiries("EngagementTable").await;
    assert!(
        stored
            .iter()
            .any(|(kind, ends)| kind == "notification" && *ends == Some(end)),
        "{stored:?}"
    );
    app.advance(end.millis() - app.now().millis() - 1);
    let client = acme.logged_in_again(&app).await.client;
    assert_eq!(client.all(LIST).await.len(), 1);
    app.advance(1);
    // DynamoDB has not deleted it yet.
    assert!(client.all(LIST).await.is_empty());
    assert!(client.all("/v1/notifications?unread=true").await.is_empty());
    client
        .post(format!("{LIST}/{item}/read"), json!({}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn what_comes_with_a_digest_is_listed_from_then_on() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let wanted =
        json!({"topics": {"billing": {"inbox": "daily"}}, "digest": {"at": "09:30", "timezone": "Europe/Berlin"}});
    acme.client
        .put("/v1/notification-preferences", wanted)
        .await
        .expect(200);
    paid(&app, &acme).await;
    app.settle().await;
    // It is 8:00 UTC.
    assert!(acme.client.all(LIST).await.is_empty());
    app.advance(30 * Time::MINUTE - 1);
    let acme = acme.logged_in_again(&app).await;
    assert!(acme.client.all(LIST).await.is_empty());
    app.advance(1);
    let listed = acme.client.all(LIST).await;
    assert_eq!(listed[0]["createdAt"], json!(app.now()));
    assert_eq!(acme.client.all("/v1/notifications?unread=true").await, listed);
}

#[tokio::test]
async fn who_is_erased_leaves_nothing_of_what_they_were_told() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let admin: Person = app.member(&acme, "admin").await;
    let wanted = json!({"topics": {"billing": {"email": "weekly"}}});
    admin
        .client
        .put("/v1/notification-preferences", wanted)
        .await
        .expect(200);
    paid(&app, &acme).await;
    app.settle().await;
    let kinds = async || -> Vec<String> {
        app.expiries("EngagementTable")
            .await
            .into_iter()
            .map(|(kind, _)| kind)
            .collect()
    };
    assert_eq!(
        kinds().await.len(),
        6,
        "an item and a mark of each, preferences and a digest: {:?}",
        kinds().await
    );
    let manager = app.manager().await;
    let erasure = format!("/v1/users/{}/erasure", admin.id);
    manager.client.post(erasure, json!({})).await.expect(202);
    app.advance(2 * Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    let mut left = kinds().await;
    left.sort();
    assert_eq!(left, ["notification", "notificationMark"]);
}
