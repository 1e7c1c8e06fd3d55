//! /v1/unsubscribe/{token}: a program that looks at links ends no mail, and a form that does ends that mail alone.

use http::Method;
use kernel::Time;
use notifications::Topic;
use serde_json::json;
use stack::aws::ses;
use testing::{Client, Person, Tenant, TestApp};

use crate::digests::mail;
use crate::pay::html;

const PREFERENCES: &str = "/v1/notification-preferences";
const FORM: &[u8] = b"List-Unsubscribe=One-Click";

/// Sends a mail about a topic to a member, and shows it.
async fn mailed(app: &TestApp, tenant: &Tenant, person: &Person, topic: Topic) -> ses::Mail {
    mail(app, tenant, person, topic, "errors > 1").await;
    app.mails_to(&person.email).pop().unwrap()
}

/// The path of the link in a mail's header.
fn link(mail: &ses::Mail) -> String {
    let header = &mail.headers["List-Unsubscribe"];
    let url = header.strip_prefix('<').and_then(|url| url.strip_suffix('>')).unwrap();
    assert_eq!(mail.headers["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
    assert!(mail.html.as_deref().unwrap().contains(url) && mail.text.as_deref().unwrap().contains(url));
    let path = url.strip_prefix(testing::PUBLIC_URL).unwrap();
    assert!(path.rsplit('/').next().unwrap().len() <= 300, "{path}");
    path.to_owned()
}

async fn form(client: &Client, path: &str, kind: &str, body: &[u8]) -> testing::Reply {
    let client = client.header("content-type", kind);
    client.send(Method::POST, path, body.to_vec()).await
}

const URL_ENCODED: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn looking_changes_nothing_and_one_click_ends_that_mail_alone() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let other = app.member(&acme, "admin").await;
    let path = link(&mailed(&app, &acme, &acme.owner, Topic::Alerts).await);
    let before = acme.client.get(PREFERENCES).await.expect(200).json;
    let nobody = app.client();
    for _ in 0..3 {
        let page = nobody.get(&path).await.expect(200);
        assert_eq!(page.header("x-robots-tag"), "noindex");
        let page = html(page);
        assert!(
            page.contains("<strong>alerts</strong>") && page.contains("method=\"post\""),
            "{page}"
        );
        let head = nobody.send(Method::HEAD, &path, Vec::new()).await.expect(200);
        assert!(head.bytes.is_empty());
    }
    assert_eq!(acme.client.get(PREFERENCES).await.expect(200).json, before);

    for _ in 0..2 {
        let page = html(form(&nobody, &path, URL_ENCODED, FORM).await.expect(200));
        assert!(page.contains("no more mail about <strong>alerts</strong>"), "{page}");
    }
    let mut after = before.clone();
    after["topics"]["alerts"]["email"] = json!("off");
    assert_eq!(acme.client.get(PREFERENCES).await.expect(200).json, after);
    assert_eq!(other.client.get(PREFERENCES).await.expect(200).json, before);
    let had = app.mails_to(&acme.owner.email).len();
    mailed(&app, &acme, &acme.owner, Topic::Alerts).await;
    assert_eq!(app.mails_to(&acme.owner.email).len(), had);
    // As it was done by the person: it is in the trail, once.
    let trail = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let noted: Vec<_> = trail
        .iter()
        .filter(|entry| entry["action"] == "notification_preferences.unsubscribed")
        .collect();
    assert_eq!(noted.len(), 1);

    // Another topic, by a form in parts.
    let path = link(&mailed(&app, &acme, &acme.owner, Topic::Billing).await);
    let parts = "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
    form(&nobody, &path, "multipart/form-data; boundary=x", parts.as_bytes())
        .await
        .expect(200);
    after["topics"]["billing"]["email"] = json!("off");
    assert_eq!(acme.client.get(PREFERENCES).await.expect(200).json, after);

    // What is no such mail still comes, and says nothing of unsubscribing.
    let forgot = json!({"email": acme.owner.email});
    nobody.post("/v1/auth/password/forgot", forgot).await.expect(202);
    app.settle().await;
    let reset = app.mails_to(&acme.owner.email).pop().unwrap();
    assert!(reset.subject.contains("password"), "{}", reset.subject);
    assert!(!reset.headers.contains_key("List-Unsubscribe"));
    let payment = mailed(&app, &acme, &acme.owner, Topic::Payments).await;
    assert!(!payment.headers.contains_key("List-Unsubscribe"));
}

#[tokio::test]
async fn a_link_is_good_for_180_days_and_for_nothing_else() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let path = link(&mailed(&app, &acme, &acme.owner, Topic::Alerts).await);
    let token = path.rsplit('/').next().unwrap();
    let as_login = app.client().bearer(token).within(&acme.org);
    as_login.get(PREFERENCES).await.expect(401);
    app.client()
        .header("x-api-key", token)
        .post("/v1/ingest/events", json!({"events": []}))
        .await
        .expect(401);
    let nobody = app.client();
    let forged = format!("{path}A");
    for bad in [
        forged.as_str(),
        "/v1/unsubscribe/x",
        &format!("/v1/unsubscribe/{}", "A".repeat(400)),
    ] {
        assert_eq!(nobody.get(bad).await.status, 404, "{bad}");
        assert_eq!(form(&nobody, bad, URL_ENCODED, FORM).await.status, 404, "{bad}");
    }
    for (kind, body) in [
        (URL_ENCODED, "List-Unsubscribe=Never".as_bytes()),
        (URL_ENCODED, b""),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        ("multipart/form-data; boundary=x", FORM),
    ] {
        form(&nobody, &path, kind, body).await.problem(422, "not_meant");
    }
    form(&nobody, &path, URL_ENCODED, &[b'a'; 4_000]).await.expect(413);
    app.advance(180 * Time::DAY - 1);
    assert_eq!(nobody.get(&path).await.status, 200);
    app.advance(1);
    assert_eq!(nobody.get(&path).await.status, 404);
    assert_eq!(form(&nobody, &path, URL_ENCODED, FORM).await.status, 404);
    let acme = acme.logged_in_again(&app).await;
    assert_eq!(
        acme.client.get(PREFERENCES).await.expect(200).json["topics"]["alerts"]["email"],
        "now"
    );
    drop(rival);
}

#[tokio::test]
async fn the_link_of_who_has_left_does_nothing_and_tells_nothing() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    let path = link(&mailed(&app, &acme, &viewer, Topic::Alerts).await);
    let member = format!("/v1/orgs/{}/members/{}", acme.org, viewer.id);
    acme.client.delete(member).await.expect(204);
    let page = html(app.client().get(&path).await.expect(200));
    assert!(!page.contains("Tenant"), "{page}");
    form(&app.client(), &path, URL_ENCODED, FORM).await.expect(200);
    let trail = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    assert!(
        !trail
            .iter()
            .any(|entry| entry["action"] == "notification_preferences.unsubscribed")
    );
}
