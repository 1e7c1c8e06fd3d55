//! Invitations: how people become members, and that nobody else does.

use futures::future::join_all;
use kernel::Time;
use serde_json::{Value, json};
use testing::{Person, Reply, Tenant, TestApp};

const ACCEPT: &str = "/v1/orgs/invitations/accept";

async fn invite(tenant: &Tenant, email: &str, role: &str) -> Reply {
    let members = format!("/v1/orgs/{}/members", tenant.org);
    tenant.client.post(members, json!({"email": email, "role": role})).await
}

/// Invites, and reads the token in the mail.
async fn invited(app: &TestApp, tenant: &Tenant, email: &str, role: &str) -> String {
    invite(tenant, email, role).await.expect(201);
    app.settle().await;
    app.token_mailed_to(email)
}

async fn accept(person: &Person, token: &str) -> Reply {
    person.client.post(ACCEPT, json!({"token": token})).await
}

fn list(tenant: &Tenant) -> String {
    format!("/v1/orgs/{}/invitations", tenant.org)
}

#[tokio::test]
async fn who_accepts_by_the_token_of_the_mail_is_a_member_with_a_proved_address() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.person().await;
    let made = invite(&acme, &ada.email.to_uppercase(), "member").await.expect(201);
    let expected = json!({"id": made.text("id"), "email": ada.email, "role": "member", "status": "invited",
        "invitedBy": acme.owner.id, "createdAt": app.now(), "expiresAt": app.now().plus_millis(7 * Time::DAY)});
    assert_eq!(made.json, expected);
    assert_eq!(acme.client.get(list(&acme)).await.expect(200).data(), [expected]);
    let within = ada.client.within(&acme.org);
    within.get("/v1/projects").await.problem(404, "not_found");

    app.settle().await;
    let mail = app.mails_to(&ada.email).pop().unwrap();
    assert_eq!(mail.subject, "You are invited to an organization");
    let token = app.token_mailed_to(&ada.email);
    let org = accept(&ada, &token).await.expect(201);
    assert_eq!(
        (org.text("id"), org.text("role")),
        (acme.org.clone(), "member".to_owned())
    );
    within.get("/v1/projects").await.expect(200);
    assert_eq!(
        ada.client.get("/v1/auth/me").await.expect(200).json["emailVerified"],
        true
    );
    assert_eq!(acme.client.get(list(&acme)).await.expect(200).data().len(), 0);
    let members = acme.client.all(format!("/v1/orgs/{}/members", acme.org)).await;
    assert!(members.iter().all(|member| member["status"] == "active"));
    accept(&ada, &token).await.problem(400, "bad_token");
    invite(&acme, &ada.email, "admin").await.problem(409, "already_member");
}

#[tokio::test]
async fn who_registers_after_the_invitation_is_welcome() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let token = invited(&app, &acme, "new@example.com", "viewer").await;
    let ada = app.person_with("new@example.com").await;
    accept(&ada, &token).await.expect(201);
    ada.client.within(&acme.org).get("/v1/projects").await.expect(200);
}

#[tokio::test]
async fn an_invitation_is_for_the_address_that_was_invited() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let [ada, eve] = [app.person().await, app.person().await];
    let token = invited(&app, &acme, &ada.email, "viewer").await;
    accept(&eve, &token)
        .await
        .problem(409, "invitation_for_another_address");
    app.client()
        .post(ACCEPT, json!({"token": token}))
        .await
        .problem(401, "not_authenticated");
    // Whoever has registered an address that is not theirs never gets the token.
    let bad = [
        "",
        "it_",
        "nonsense",
        &token[3..],
        &app.token_mailed_to(&eve.email),
        &eve.refresh_token,
    ];
    for bad in bad {
        accept(&eve, bad).await.problem(400, "bad_token");
    }
    let changed = if token.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{changed}", &token[..token.len() - 1]);
    accept(&ada, &forged).await.problem(400, "bad_token");
    accept(&ada, &token).await.expect(201);
}

#[tokio::test]
async fn inviting_again_replaces_the_token_and_taking_back_ends_it() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.person().await;
    let first = invited(&app, &acme, &ada.email, "viewer").await;
    let second = invited(&app, &acme, &ada.email, "member").await;
    accept(&ada, &first).await.problem(400, "bad_token");
    let open = acme.client.get(list(&acme)).await.expect(200);
    assert_eq!((open.data().len(), &open.data()[0]["role"]), (1, &json!("member")));
    let one = format!("{}/{}", list(&acme), open.data()[0]["id"].as_str().unwrap());
    acme.client.delete(&one).await.expect(204);
    acme.client.delete(&one).await.problem(404, "not_found");
    accept(&ada, &second).await.problem(400, "bad_token");
    assert_eq!(acme.client.get(list(&acme)).await.expect(200).data().len(), 0);

    let third = invited(&app, &acme, &ada.email, "viewer").await;
    accept(&ada, &third).await.expect(201);
}

#[tokio::test]
async fn an_invitation_is_good_for_a_week() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.person().await;
    let token = invited(&app, &acme, &ada.email, "viewer").await;
    app.advance(7 * Time::DAY);
    let (ada, owner) = (ada.logged_in_again(&app).await, acme.owner.logged_in_again(&app).await);
    accept(&ada, &token).await.problem(400, "bad_token");
    let client = owner.client.within(&acme.org);
    assert_eq!(client.get(list(&acme)).await.expect(200).data().len(), 0);
    let acme = Tenant { client, ..acme };
    let token = invited(&app, &acme, &ada.email, "viewer").await;
    app.advance(7 * Time::DAY - 1);
    accept(&ada.logged_in_again(&app).await, &token).await.expect(201);
}

#[tokio::test]
async fn what_somebody_who_is_deactivated_has_sent_is_void() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.person().await;
    let token = invited(&app, &acme, &ada.email, "owner").await;
    let manager = app.manager().await;
    manager
        .client
        .delete(format!("/v1/users/{}", acme.owner.id))
        .await
        .expect(204);
    accept(&ada, &token).await.problem(409, "invitation_void");
    manager
        .client
        .patch(format!("/v1/users/{}/reactivate", acme.owner.id), json!({}))
        .await
        .expect(200);
    accept(&ada, &token).await.expect(201);
}

#[tokio::test]
async fn what_somebody_who_may_not_invite_any_more_has_sent_is_void() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let [admin, ada] = [app.member(&acme, "admin").await, app.person().await];
    let by_admin = Tenant {
        client: admin.client.clone(),
        ..acme.clone()
    };
    let token = invited(&app, &by_admin, &ada.email, "admin").await;
    let member = format!("/v1/orgs/{}/members/{}", acme.org, admin.id);
    acme.client.patch(&member, json!({"role": "viewer"})).await.expect(200);
    accept(&ada, &token).await.problem(409, "invitation_void");
    acme.client.delete(&member).await.expect(204);
    accept(&ada, &token).await.problem(409, "invitation_void");
    // Whoever may invite makes it good by inviting again.
    let token = invited(&app, &acme, &ada.email, "admin").await;
    accept(&ada, &token).await.expect(201);

    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    let [acme, _] = app.tenants().await;
    let token = invited(&app, &acme, &ada.email, "viewer").await;
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    accept(&ada, &token).await.problem(400, "bad_token");
}

#[tokio::test]
async fn an_admin_invites_no_owner_and_takes_back_no_owners_invitation() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let admin = app.member(&acme, "admin").await;
    let by_admin = Tenant {
        client: admin.client.clone(),
        ..acme.clone()
    };
    invite(&by_admin, "ada@example.com", "owner")
        .await
        .problem(403, "forbidden");
    let ada = app.person().await;
    let id = invite(&acme, &ada.email, "owner").await.expect(201).text("id");
    admin
        .client
        .delete(format!("{}/{id}", list(&acme)))
        .await
        .problem(403, "forbidden");
    app.settle().await;
    accept(&ada, &app.token_mailed_to(&ada.email)).await.expect(201);
    // Two owners now: either may go.
    let member = format!("/v1/orgs/{}/members/{}", acme.org, acme.owner.id);
    acme.client.delete(&member).await.expect(204);
}

#[tokio::test]
async fn of_racing_acceptances_one_makes_a_member() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.person().await;
    let token = invited(&app, &acme, &ada.email, "viewer").await;
    let racing = join_all((0..5).map(|_| accept(&ada, &token))).await;
    assert_eq!(racing.iter().filter(|reply| reply.status == 201).count(), 1);
    for lost in racing.into_iter().filter(|reply| reply.status != 201) {
        let code = lost.text("code");
        assert!(
            ["bad_token", "already_member"].contains(&code.as_str()),
            "{}",
            lost.json
        );
    }
    let trail = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    assert_eq!(
        trail.iter().filter(|entry| entry["action"] == "member.joined").count(),
        1
    );
}

#[tokio::test]
async fn an_address_is_not_bombed_with_invitations() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for round in 0..5 {
        let id = invite(&acme, "ada@example.com", "viewer").await.expect(201).text("id");
        if round % 2 == 0 {
            acme.client.delete(format!("{}/{id}", list(&acme))).await.expect(204);
        }
    }
    let refused = invite(&acme, "ada@example.com", "viewer").await;
    refused.problem(409, "too_many_mails");
    invite(&acme, "eve@example.com", "viewer").await.expect(201);
    invite(&rival, "ada@example.com", "viewer").await.expect(201);
    app.settle().await;
    assert_eq!(app.mails_to("ada@example.com").len(), 6);
}

/// Invites so many, each from a number on.
async fn invite_guests(tenant: &Tenant, numbers: std::ops::Range<usize>) -> Vec<Reply> {
    let mut replies = Vec::new();
    for number in numbers {
        replies.push(invite(tenant, &format!("guest-{number}@example.com"), "viewer").await);
    }
    replies
}

#[tokio::test]
async fn an_organization_has_at_most_200_open_invitations_whoever_invites_at_once() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for reply in invite_guests(&acme, 0..199).await {
        reply.expect(201);
    }
    let last = ["a@example.com", "b@example.com", "c@example.com", "d@example.com"];
    let racing = join_all(last.map(|email| invite(&acme, email, "viewer"))).await;
    assert_eq!(racing.iter().filter(|reply| reply.status == 201).count(), 1);
    for reply in racing.into_iter().filter(|reply| reply.status != 201) {
        reply.problem(409, "too_many_invitations");
    }
    // Refused is refused: nobody was written to, nothing is in the list or in the trail.
    let ada = app.person().await;
    invite(&acme, &ada.email, "viewer")
        .await
        .problem(409, "too_many_invitations");
    app.settle().await;
    assert_eq!(app.mails_to(&ada.email).len(), 1, "but to prove the address");
    let open = acme.client.all(format!("{}?limit=100", list(&acme))).await;
    assert_eq!(open.len(), 200);
    // Who is invited already may be invited again; another organization has its own.
    invite(&acme, "guest-0@example.com", "member").await.expect(201);
    invite(&rival, &ada.email, "viewer").await.expect(201);

    // What is taken back frees one place, what is accepted another.
    let id = open[7]["id"].as_str().unwrap();
    acme.client.delete(format!("{}/{id}", list(&acme))).await.expect(204);
    let token = invited(&app, &acme, &ada.email, "viewer").await;
    invite(&acme, "eve@example.com", "viewer")
        .await
        .problem(409, "too_many_invitations");
    accept(&ada, &token).await.expect(201);
    invite(&acme, "eve@example.com", "viewer").await.expect(201);
    invite(&acme, "bob@example.com", "viewer")
        .await
        .problem(409, "too_many_invitations");

    // Three are taken back, each twice at once, while five others are invited: whatever the order is, three find a place.
    let gone = [10, 10, 11, 11, 12, 12].map(|place: usize| {
        let path = format!("{}/{}", list(&acme), open[place]["id"].as_str().unwrap());
        acme.client.delete(path)
    });
    let others = [
        "f@example.com",
        "g@example.com",
        "h@example.com",
        "i@example.com",
        "j@example.com",
    ];
    let invited = others.map(|email| invite(&acme, email, "viewer"));
    let (gone, _) = tokio::join!(join_all(gone), join_all(invited));
    assert_eq!(gone.iter().filter(|reply| reply.status == 204).count(), 3);
    for email in others {
        invite(&acme, email, "viewer").await;
    }
    assert_eq!(acme.client.all(format!("{}?limit=100", list(&acme))).await.len(), 200);
    app.settle().await;
}

#[tokio::test]
async fn invitations_that_ran_out_free_their_places() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for reply in invite_guests(&acme, 0..195).await {
        reply.expect(201);
    }
    app.advance(Time::DAY);
    let acme = later(&app, acme).await;
    for reply in invite_guests(&acme, 195..200).await {
        reply.expect(201);
    }
    invite(&acme, "eve@example.com", "viewer")
        .await
        .problem(409, "too_many_invitations");
    app.advance(6 * Time::DAY);
    let acme = later(&app, acme).await;
    for reply in invite_guests(&acme, 200..210).await {
        reply.expect(201);
    }
    assert_eq!(acme.client.all(format!("{}?limit=100", list(&acme))).await.len(), 15);
    app.settle().await;
}

/// A tenant whose owner has logged in again.
async fn later(app: &TestApp, tenant: Tenant) -> Tenant {
    let client = tenant.owner.logged_in_again(app).await.client.within(&tenant.org);
    Tenant { client, ..tenant }
}

#[tokio::test]
async fn foreign_invitations_look_absent_and_lists_are_bounded() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let mut ids = Vec::new();
    for place in 0..3 {
        app.advance(1);
        let email = format!("guest-{place}@example.com");
        ids.push(invite(&acme, &email, "viewer").await.expect(201).text("id"));
    }
    ids.reverse();
    let listed = acme.client.all(format!("{}?limit=1", list(&acme))).await;
    let shown: Vec<&str> = listed.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(shown, ids);
    for reply in [
        rival.client.get(list(&acme)).await,
        rival.client.delete(format!("{}/{}", list(&acme), ids[0])).await,
        rival.client.delete(format!("{}/{}", list(&rival), ids[0])).await,
    ] {
        reply.problem(404, "not_found");
    }
    let cursor = acme
        .client
        .get(format!("{}?limit=1", list(&acme)))
        .await
        .expect(200)
        .text("nextCursor");
    rival
        .client
        .get(format!("{}?cursor={cursor}", list(&rival)))
        .await
        .problem(400, "bad_cursor");
    acme.client
        .get(format!("{}?limit=0", list(&acme)))
        .await
        .problem(400, "bad_limit");
    acme.client
        .delete(format!("{}/inv_x", list(&acme)))
        .await
        .problem(400, "malformed_id");
    app.settle().await;
}

#[tokio::test]
async fn a_repeated_invitation_with_an_idempotency_key_sends_one_mail() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let once = acme.client.header("idempotency-key", "invitation-1");
    let body = json!({"email": "ada@example.com", "role": "viewer"});
    let members = format!("/v1/orgs/{}/members", acme.org);
    let first = once.post(&members, body.clone()).await.expect(201);
    let again = once.post(&members, body).await.expect(201);
    assert_eq!(
        (again.header("idempotent-replayed"), &again.json),
        ("true", &first.json)
    );
    app.settle().await;
    assert_eq!(app.mails_to("ada@example.com").len(), 1);
    let shown: Value = acme.client.get(list(&acme)).await.expect(200).json;
    assert!(!shown.to_string().contains(&app.token_mailed_to("ada@example.com")));
}
