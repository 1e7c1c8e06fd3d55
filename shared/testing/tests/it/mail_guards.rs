//! Mails to others: for whom they go out, to whom, how many, and that nobody's silent server holds them up.

use serde_json::{Value, json};
use testing::{Setup, Tenant, TestApp};

const STRANGER: &str = "stranger@example.com";

/// A stack as it is deployed: mails to others want proof.
async fn guarded() -> TestApp {
    TestApp::start_as(Setup::default().parameter("ProofBeforeMail", "true")).await
}

async fn invite(tenant: &Tenant, email: &str) -> testing::Reply {
    let members = format!("/v1/orgs/{}/members", tenant.org);
    tenant
        .client
        .post(members, json!({"email": email, "role": "viewer"}))
        .await
}

fn alert(tenant: &Tenant, target: &str) -> Value {
    json!({"projectId": tenant.project, "metricType": "event_count", "eventType": "ERROR", "condition": ">",
        "threshold": 2, "window": "1m", "channel": "email", "target": target, "enabled": true})
}

#[tokio::test]
async fn nobody_invites_before_they_have_proved_their_own_address() {
    let app = guarded().await;
    let acme = app.tenant().await;
    let refused = invite(&acme, STRANGER).await.problem(403, "email_unproved");
    assert!(
        refused.text("detail").contains("/v1/auth/email/resend"),
        "{}",
        refused.json
    );
    app.send_notices().await;
    assert!(app.mails_to(STRANGER).is_empty());
    app.prove(&acme.owner).await;
    invite(&acme, STRANGER).await.expect(201);
    app.send_notices().await;
    let mails = app.mails_to(STRANGER);
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "You are invited to an organization");
}

#[tokio::test]
async fn alerts_mail_members_who_have_proved_their_address_and_nobody_else() {
    let app = guarded().await;
    let acme = app.tenant().await;
    let own = acme.owner.email.clone();
    acme.client
        .post("/v1/alerts", alert(&acme, &own))
        .await
        .problem(403, "email_unproved");
    app.prove(&acme.owner).await;
    let id = acme
        .client
        .post("/v1/alerts", alert(&acme, &own))
        .await
        .expect(201)
        .text("id");
    acme.client
        .post("/v1/alerts", alert(&acme, STRANGER))
        .await
        .problem(403, "target_unproved");
    let path = format!("/v1/alerts/{id}");
    let moved = json!({"target": STRANGER});
    acme.client.patch(&path, moved).await.problem(403, "target_unproved");
    acme.client.patch(&path, json!({"threshold": 3})).await.expect(200);

    // Whoever is registered and no member, and whoever is a member elsewhere, is a stranger too.
    let other = app.tenant().await;
    app.prove(&other.owner).await;
    let moved = json!({"target": other.owner.email});
    acme.client.patch(&path, moved).await.problem(403, "target_unproved");
    // A member has proved their address by accepting.
    let member = app.member(&acme, "viewer").await;
    acme.client
        .patch(&path, json!({"target": member.email.to_uppercase()}))
        .await
        .expect(200);
}

#[tokio::test]
async fn without_that_parameter_the_golden_path_needs_no_proof() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    invite(&acme, STRANGER).await.expect(201);
    acme.client.post("/v1/alerts", alert(&acme, STRANGER)).await.expect(201);
}

#[tokio::test]
async fn one_address_gets_twenty_invitations_a_day_from_all_organizations_together() {
    let app = TestApp::start().await;
    for _ in 0..4 {
        let tenant = app.tenant().await;
        for _ in 0..5 {
            invite(&tenant, STRANGER).await.expect(201);
        }
    }
    let fifth = app.tenant().await;
    invite(&fifth, STRANGER).await.problem(409, "too_many_mails");
    invite(&fifth, &STRANGER.to_uppercase())
        .await
        .problem(409, "too_many_mails");
    invite(&fifth, "another@example.com").await.expect(201);
    app.send_notices().await;
    assert_eq!(app.mails_to(STRANGER).len(), 20);
    app.advance(kernel::Time::DAY);
    let fifth = fifth.logged_in_again(&app).await;
    invite(&fifth, STRANGER).await.expect(201);
    // Their counter does not say who they are.
    let stored = app.stored().await;
    let kept = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(kept("MAILTO#") && !kept(&format!("MAILTO#{STRANGER}")));
}

#[tokio::test]
async fn a_name_that_mails_carry_is_no_address_of_a_page() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for bad in ["ACME: see https://evil.example/unlock", "WWW.evil.example"] {
        let person = json!({"email": "new@example.com", "password": testing::PASSWORD, "name": bad});
        app.client()
            .post("/v1/auth/register", person)
            .await
            .problem(422, "invalid");
        let org = format!("/v1/orgs/{}", acme.org);
        acme.owner
            .client
            .post("/v1/orgs", json!({"name": bad}))
            .await
            .problem(422, "invalid");
        acme.client
            .patch(org, json!({"name": bad}))
            .await
            .problem(422, "invalid");
        let project = json!({"name": bad, "environment": "prod"});
        acme.client.post("/v1/projects", project).await.problem(422, "invalid");
        let project = format!("/v1/projects/{}", acme.project);
        acme.client
            .patch(project, json!({"name": bad}))
            .await
            .problem(422, "invalid");
    }
}

/// What waits for servers that do not answer stands in a queue of its own: whoever forgot a password does not wait for it.
#[tokio::test]
async fn webhooks_that_wait_hold_up_no_reset_of_a_password() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    app.advance(5_000);
    for _ in 0..30 {
        let mut silent = alert(&acme, "https://silent.example.com/");
        silent["channel"] = "webhook".into();
        acme.client.post("/v1/alerts", silent).await.expect(201);
    }
    acme.ingest(vec![json!({"type": "ERROR", "name": "a"}); 3].into()).await;
    app.settle().await;
    app.advance(60_000);
    app.fire_alert_check().await;
    let texts = app.take("AlertQueue").await;
    assert!(app.deliver_from("AlertQueue", &texts).await.is_empty());

    let forgot = json!({"email": acme.owner.email});
    app.client().post("/v1/auth/password/forgot", forgot).await.expect(202);
    let before = app.mails_to(&acme.owner.email).len();
    for queue in ["ResetQueue", "MailQueue"] {
        let texts = app.take(queue).await;
        assert_eq!(texts.len(), 1, "{queue} holds what concerns mails alone");
        assert!(app.deliver_from(queue, &texts).await.is_empty());
    }
    assert_eq!(app.mails_to(&acme.owner.email).len(), before + 1);
    assert_eq!(app.take("WebhookQueue").await.len(), 30);
    app.settle().await;
}
