//! Names and addresses in mails: one recipient each, whatever people and organizations are called.

use serde_json::json;
use testing::{Reply, TestApp};

async fn register(app: &TestApp, email: &str, name: &str) -> Reply {
    let body = json!({"email": email, "password": testing::PASSWORD, "name": name});
    app.client().post("/v1/auth/register", body).await
}

#[tokio::test]
async fn a_line_break_in_a_name_is_refused_at_the_door() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for name in ["Ada\r\nBcc: x@example.com", "Ada\nBcc: x@example.com", "Ada\rB"] {
        let refused = register(&app, "ada@example.com", name).await.expect(422);
        assert_eq!(refused.fields(), ["name"], "{name:?}");
        let refused = acme
            .owner
            .client
            .post("/v1/orgs", json!({"name": name}))
            .await
            .expect(422);
        assert_eq!(refused.fields(), ["name"], "{name:?}");
        let client = json!({"name": name, "email": "a@b.co", "currency": "EUR"});
        let refused = acme.client.post("/v1/clients", client).await.expect(422);
        assert_eq!(refused.fields(), ["name"], "{name:?}");
    }
}

#[tokio::test]
async fn an_address_that_mail_cannot_be_sent_to_is_refused_and_says_why() {
    let app = TestApp::start().await;
    let refused = register(&app, "zoë@example.com", "Zoë").await.expect(422);
    let problem = refused.json["errors"][0]["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("before the `@`"), "{problem}");
    for bad in [
        "ada@example.com\r\nBcc: x@example.com",
        "ada@example.com, eve@example.com",
        "ada@bü cher.example",
    ] {
        assert_eq!(
            register(&app, bad, "Ada").await.expect(422).fields(),
            ["email"],
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn an_address_in_letters_that_stand_for_others_is_no_other_address() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let alike = "victim@\u{FF47}mail.com";
    let refused = register(&app, alike, "Eve").await.expect(422);
    assert_eq!(refused.fields(), ["email"]);
    let problem = refused.json["errors"][0]["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("victim@gmail.com"), "{problem}");
    let invitation = json!({"email": alike, "role": "viewer"});
    let members = format!("/v1/orgs/{}/members", acme.org);
    let refused = acme.client.post(members, invitation).await.expect(422);
    assert_eq!(refused.fields(), ["email"]);
}

#[tokio::test]
async fn whoever_is_called_whatever_gets_their_own_mail_alone() {
    let app = TestApp::start().await;
    let name = "Zoë Ångström Người nhận có tên rất dài, thật";
    let ada = app.person_named("ada@bücher.example", name).await;
    let org = json!({"name": "Acme, Inc. \"Q\" (Billing)"});
    let org = ada.client.post("/v1/orgs", org).await.expect(201).text("id");
    let client = ada.client.within(&org);
    for invited in ["bob@example.com", "Eve@BÜCHER.example"] {
        let body = json!({"email": invited, "role": "viewer"});
        client.post(format!("/v1/orgs/{org}/members"), body).await.expect(201);
    }
    app.settle().await;
    for address in [
        "ada@xn--bcher-kva.example",
        "bob@example.com",
        "eve@xn--bcher-kva.example",
    ] {
        let mails = app.mails_to(address);
        assert!(!mails.is_empty(), "{address}");
        for mail in mails {
            assert_eq!(mail.to.len(), 1);
            assert!(mail.to[0].is_ascii() && !mail.headers.contains_key("Bcc"));
            assert_eq!(mail.from, "no-reply@countinghouse.local");
        }
    }
    let invitation = app.mails_to("bob@example.com").remove(0);
    let text = invitation.text.unwrap();
    assert!(
        text.contains(name) && text.contains("Acme, Inc. \"Q\" (Billing)"),
        "{text}"
    );
}
