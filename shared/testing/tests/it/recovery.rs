//! /v1/auth/password and /v1/auth/email: getting an account back, and proving its address.

use futures::future::join_all;
use kernel::Time;
use serde_json::{Value, json};
use testing::{PASSWORD, Person, Reply, TestApp};

const NEW: &str = "another horse, another battery";

async fn post(app: &TestApp, path: &str, body: Value) -> Reply {
    app.client().post(format!("/v1/auth/{path}"), body).await
}

async fn forgot(app: &TestApp, email: &str) -> Reply {
    post(app, "password/forgot", json!({"email": email})).await
}

async fn reset(app: &TestApp, token: &str) -> Reply {
    post(app, "password/reset", json!({"token": token, "password": NEW})).await
}

async fn verify(app: &TestApp, token: &str) -> Reply {
    post(app, "email/verify", json!({"token": token})).await
}

async fn log_in(app: &TestApp, person: &Person, password: &str) -> Reply {
    post(app, "login", json!({"email": person.email, "password": password})).await
}

/// The token of a mail that a person asked for.
pub(crate) async fn reset_token(app: &TestApp, person: &Person) -> String {
    forgot(app, &person.email).await.expect(202);
    app.settle().await;
    app.token_mailed_to(&person.email)
}

fn subjects(app: &TestApp, person: &Person) -> Vec<String> {
    app.mails_to(&person.email)
        .into_iter()
        .map(|mail| mail.subject)
        .collect()
}

fn count(app: &TestApp, person: &Person, subject: &str) -> usize {
    subjects(app, person).iter().filter(|one| *one == subject).count()
}

/// What happened to people.
async fn noted(app: &TestApp) -> Vec<String> {
    let entries = app.manager().await.client.all("/v1/audit?limit=100").await;
    let action = |entry: &Value| entry["action"].as_str().unwrap().to_owned();
    entries.iter().map(action).collect()
}

#[tokio::test]
async fn who_registers_proves_the_address_by_the_mail_that_follows() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    assert_eq!(subjects(&app, &ada), ["Confirm your email address"]);
    let me = async || ada.client.get("/v1/auth/me").await.expect(200).json;
    assert_eq!(me().await["emailVerified"], false);
    let token = app.token_mailed_to(&ada.email);
    verify(&app, &token).await.expect(204);
    assert_eq!(me().await["emailVerified"], true);
    verify(&app, &token).await.problem(400, "bad_token");
    assert!(noted(&app).await.contains(&"user.email_verified".to_owned()));

    // Proved once, it needs no more mails.
    ada.client.post("/v1/auth/email/resend", json!({})).await.expect(202);
    app.settle().await;
    assert_eq!(subjects(&app, &ada).len(), 1);
}

#[tokio::test]
async fn another_verification_mail_can_be_asked_for_but_not_endlessly() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    for _ in 0..6 {
        let reply = ada.client.post("/v1/auth/email/resend", json!({})).await.expect(202);
        assert_eq!(reply.json, json!({"status": "accepted"}));
    }
    app.settle().await;
    assert_eq!(subjects(&app, &ada).len(), 5);
    app.client()
        .post("/v1/auth/email/resend", json!({}))
        .await
        .problem(401, "not_authenticated");
    app.advance(Time::HOUR);
    let ada = ada.logged_in_again(&app).await;
    ada.client.post("/v1/auth/email/resend", json!({})).await.expect(202);
    app.settle().await;
    assert_eq!(subjects(&app, &ada).len(), 6);
    verify(&app, &app.token_mailed_to(&ada.email)).await.expect(204);
}

/// An organization of who has registered another's address: with a key, an invitation, and a second account of theirs.
async fn prepared(app: &TestApp) -> (testing::Tenant, Person, String) {
    let acme = app.tenant().await;
    let accomplice = app.member(&acme, "admin").await;
    let stranger = "stranger@example.com";
    let invitation = json!({"email": stranger, "role": "owner"});
    let members = format!("/v1/orgs/{}/members", acme.org);
    acme.client.post(members, invitation).await.expect(201);
    app.send_notices().await;
    (acme, accomplice, app.token_mailed_to(stranger))
}

async fn accept(app: &TestApp, email: &str, token: &str) -> Reply {
    let person = app.person_with(email).await;
    let token = json!({"token": token});
    person.client.post("/v1/orgs/invitations/accept", token).await
}

#[tokio::test]
async fn who_proves_an_address_by_a_reset_is_not_kept_out_by_a_factor_that_was_prepared() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    app.authenticator(&ada, "Somebody else's").await;
    reset(&app, &reset_token(&app, &ada).await).await.expect(204);
    let owner = log_in(&app, &ada, NEW).await.expect(200);
    let client = app.client().bearer(owner.text("accessToken"));
    let factors = client.get("/v1/auth/factors").await.expect(200).json;
    assert_eq!(factors, json!({"factors": [], "recoveryCodesLeft": 0}));
}

#[tokio::test]
async fn who_proves_an_address_by_a_reset_takes_over_nothing_that_was_prepared_for_them() {
    let app = TestApp::start().await;
    let (acme, accomplice, invitation) = prepared(&app).await;
    let events = json!({"events": [{"type": "A", "name": "a"}]});
    acme.server.post("/v1/ingest/events", events.clone()).await.expect(202);
    app.settle().await;
    reset(&app, &reset_token(&app, &acme.owner).await).await.expect(204);
    app.advance(30 * Time::SECOND);

    let owner = log_in(&app, &acme.owner, NEW).await.expect(200);
    let client = app.client().bearer(owner.text("accessToken")).within(&acme.org);
    assert_eq!(client.get("/v1/orgs").await.expect(200).data()[0]["role"], "owner");
    let members = client.all(format!("/v1/orgs/{}/members", acme.org)).await;
    assert_eq!(members.len(), 1);
    accomplice.client.get("/v1/projects").await.problem(404, "not_found");
    acme.server
        .post("/v1/ingest/events", events.clone())
        .await
        .problem(401, "bad_api_key");
    accept(&app, "stranger@example.com", &invitation)
        .await
        .problem(409, "invitation_void");

    // What was void stays so, and says so; what is made from now on is good.
    let keys = format!("/v1/projects/{}/api-keys", acme.project);
    assert_eq!(client.get(&keys).await.expect(200).data()[0]["status"], "revoked");
    let path = format!("/v1/projects/{}/api-keys/{}", acme.project, acme.key_id);
    let again = json!({"status": "active"});
    client.patch(path, again).await.problem(409, "key_revoked");
    let key = client
        .post(keys, json!({"label": "mine"}))
        .await
        .expect(201)
        .text("key");
    let server = app.client().header("x-api-key", &key);
    server.post("/v1/ingest/events", events).await.expect(202);
    app.settle().await;
    let actions = client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    assert!(
        actions.iter().any(|entry| entry["action"] == "org.begun_anew"),
        "{actions:?}"
    );
}

#[tokio::test]
async fn who_proves_an_address_by_a_reset_leaves_what_others_own() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let accomplice = app.member(&acme, "owner").await;
    reset(&app, &reset_token(&app, &acme.owner).await).await.expect(204);
    let owner = log_in(&app, &acme.owner, NEW).await.expect(200);
    let client = app.client().bearer(owner.text("accessToken"));
    assert_eq!(client.all("/v1/orgs").await, Vec::<Value>::new());
    let members = accomplice.client.all(format!("/v1/orgs/{}/members", acme.org)).await;
    assert_eq!(members.len(), 1);
    assert_eq!(members[0]["userId"], accomplice.id);
}

#[tokio::test]
async fn who_had_proved_their_address_keeps_everything_through_a_reset() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    app.prove(&acme.owner).await;
    let admin = app.member(&acme, "admin").await;
    reset(&app, &reset_token(&app, &acme.owner).await).await.expect(204);
    app.advance(30 * Time::SECOND);
    admin.client.get("/v1/projects").await.expect(200);
    acme.ingest(json!([{"type": "A", "name": "a"}])).await;
    app.settle().await;
}

#[tokio::test]
async fn asking_for_a_new_password_tells_nobody_whether_an_address_is_known() {
    let app = TestApp::start().await;
    let [ada, gone] = [app.person().await, app.person().await];
    let manager = app.manager().await;
    manager
        .client
        .delete(format!("/v1/users/{}", gone.id))
        .await
        .expect(204);
    let mut replies = Vec::new();
    for email in [
        ada.email.as_str(),
        &ada.email.to_uppercase(),
        &gone.email,
        "nobody@example.com",
    ] {
        let mut reply = forgot(&app, email).await.expect(202);
        for counted in ["x-request-id", "ratelimit"] {
            reply.headers.remove(counted);
        }
        replies.push((reply.json, reply.headers));
        // Until here the same was done for each: a message on a queue.
        let waiting = app.take("ResetQueue").await;
        assert_eq!(waiting.len(), 1);
        assert_eq!(app.deliver_from("ResetQueue", &waiting).await, Vec::<usize>::new());
    }
    assert!(replies.iter().all(|reply| *reply == replies[0]));
    assert_eq!(replies[0].0, json!({"status": "accepted"}));
    app.settle().await;
    assert_eq!(count(&app, &ada, "Choose a new password"), 2);
    assert_eq!(count(&app, &gone, "Choose a new password"), 0);
    assert!(app.mails_to("nobody@example.com").is_empty());

    for (body, status, code) in [
        (json!({"email": "no"}), 422, "invalid"),
        (json!({}), 400, "missing_field"),
        (
            json!({"email": ada.email, "url": "https://evil.example"}),
            400,
            "unknown_field",
        ),
    ] {
        post(&app, "password/forgot", body).await.problem(status, code);
    }
}

#[tokio::test]
async fn a_new_password_ends_every_session_and_every_other_token() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let elsewhere = ada.logged_in_again(&app).await;
    let first = reset_token(&app, &ada).await;
    let second = reset_token(&app, &ada).await;
    assert_ne!(first, second);
    reset(&app, &first).await.expect(204);
    for used in [&first, &second] {
        reset(&app, used).await.problem(400, "bad_token");
    }
    for person in [&ada, &elsewhere] {
        person.client.get("/v1/auth/me").await.problem(401, "session_ended");
        let refresh = json!({"refreshToken": person.refresh_token});
        post(&app, "refresh", refresh).await.problem(401, "bad_refresh_token");
    }
    log_in(&app, &ada, PASSWORD).await.problem(401, "bad_credentials");
    let again = log_in(&app, &ada, NEW).await.expect(200);
    // The mail went to the address, so it is proved.
    assert_eq!(again.json["user"]["emailVerified"], true);
    let client = app.client().bearer(again.text("accessToken"));
    assert_eq!(client.get("/v1/auth/sessions").await.expect(200).data().len(), 1);
    app.settle().await;
    assert_eq!(count(&app, &ada, "Your password was changed"), 1);
    let noted = noted(&app).await;
    let times = |action: &str| noted.iter().filter(|one| *one == action).count();
    assert_eq!(times("user.password_reset_requested"), 2);
    assert_eq!(times("user.password_reset"), 1);
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_and_keeps_this_one() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let elsewhere = ada.logged_in_again(&app).await;
    let token = reset_token(&app, &ada).await;
    let change = async |current: &str, new: &str| {
        let body = json!({"currentPassword": current, "newPassword": new});
        ada.client.post("/v1/auth/password/change", body).await
    };
    for (current, new, field) in [
        ("wrong password", NEW, "currentPassword"),
        ("", NEW, "currentPassword"),
        (PASSWORD, "short", "newPassword"),
    ] {
        assert_eq!(change(current, new).await.problem(422, "invalid").fields(), [field]);
    }
    log_in(&app, &ada, PASSWORD).await.expect(200);
    change(PASSWORD, NEW).await.expect(204);

    ada.client.get("/v1/auth/me").await.expect(200);
    let refresh = async |person: &Person| post(&app, "refresh", json!({"refreshToken": person.refresh_token})).await;
    refresh(&ada).await.expect(200);
    elsewhere.client.get("/v1/auth/me").await.problem(401, "session_ended");
    refresh(&elsewhere).await.problem(401, "bad_refresh_token");
    assert_eq!(ada.client.get("/v1/auth/sessions").await.expect(200).data().len(), 1);
    reset(&app, &token).await.problem(400, "bad_token");
    log_in(&app, &ada, PASSWORD).await.problem(401, "bad_credentials");
    log_in(&app, &ada, NEW).await.expect(200);
    app.settle().await;
    assert_eq!(count(&app, &ada, "Your password was changed"), 1);
    assert!(noted(&app).await.contains(&"user.password_changed".to_owned()));
    let body = json!({"currentPassword": PASSWORD, "newPassword": NEW});
    post(&app, "password/change", body)
        .await
        .problem(401, "not_authenticated");
}

#[tokio::test]
async fn of_racing_uses_of_one_token_exactly_one_wins() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let verification = app.token_mailed_to(&ada.email);
    let token = reset_token(&app, &ada).await;
    let resets = join_all((0..5).map(|_| reset(&app, &token))).await;
    let proofs = join_all((0..5).map(|_| verify(&app, &verification))).await;
    for racing in [resets, proofs] {
        assert_eq!(racing.iter().filter(|reply| reply.status == 204).count(), 1);
        for lost in racing.into_iter().filter(|reply| reply.status != 204) {
            lost.problem(400, "bad_token");
        }
    }
    app.settle().await;
    assert_eq!(count(&app, &ada, "Your password was changed"), 1);
}

#[tokio::test]
async fn what_is_no_good_token_is_one_answer() {
    let app = TestApp::start().await;
    let [ada, gone] = [app.person().await, app.person().await];
    let verification = app.token_mailed_to(&ada.email);
    let of_gone = reset_token(&app, &gone).await;
    app.manager()
        .await
        .client
        .delete(format!("/v1/users/{}", gone.id))
        .await
        .expect(204);
    let old = reset_token(&app, &ada).await;
    app.advance(Time::HOUR);
    let token = reset_token(&app, &ada).await;
    let changed = if token.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{changed}", &token[..token.len() - 1]);
    let moved = format!("{}{}", &of_gone[..20], &token[20..]);
    let long = "x".repeat(100_000);
    let bad = [
        "",
        "mt_",
        "nonsense",
        &long,
        &verification,
        &old,
        &of_gone,
        &forged,
        &moved,
        &token[3..],
        &ada.access_token,
        &ada.refresh_token,
    ];
    for bad in bad {
        let mut one = reset(&app, bad).await.problem(400, "bad_token").json;
        let mut other = verify(&app, bad).await.problem(400, "bad_token").json;
        for reply in [&mut one, &mut other] {
            reply.as_object_mut().unwrap().shift_remove("requestId");
        }
        assert_eq!(one, other);
    }
    verify(&app, &token).await.problem(400, "bad_token");
    let body = json!({"token": token, "password": "short"});
    assert_eq!(
        post(&app, "password/reset", body)
            .await
            .problem(422, "invalid")
            .fields(),
        ["password"]
    );
    log_in(&app, &ada, PASSWORD).await.expect(200);
    // None of it spent the good one.
    reset(&app, &token).await.expect(204);
}

#[tokio::test]
async fn nobody_is_bombed_with_mails() {
    let app = TestApp::start().await;
    let [ada, eve] = [app.person().await, app.person().await];
    for _ in 0..8 {
        forgot(&app, &ada.email).await.expect(202);
    }
    forgot(&app, &eve.email).await.expect(202);
    app.settle().await;
    assert_eq!(count(&app, &ada, "Choose a new password"), 5);
    assert_eq!(count(&app, &eve, "Choose a new password"), 1);
    app.advance(Time::HOUR);
    reset(&app, &reset_token(&app, &ada).await).await.expect(204);
}

#[tokio::test]
async fn a_request_that_is_delivered_again_gets_no_second_mail() {
    let app = TestApp::start().await;
    let [ada, eve] = [app.person().await, app.person().await];
    forgot(&app, &ada.email).await.expect(202);
    forgot(&app, &eve.email).await.expect(202);
    let mut messages = app.take("ResetQueue").await;
    // Poisoned ones come again, and hinder no other.
    messages.insert(0, "no JSON".to_owned());
    messages.insert(2, json!({"email": 7, "requestId": "x"}).to_string());
    messages.extend_from_within(1..2);
    messages.reverse();
    let mut poisoned: Vec<usize> = app.deliver_from("ResetQueue", &messages).await;
    poisoned.sort_unstable();
    assert_eq!(poisoned, [2, 4]);
    let good = [messages[0].clone(), messages[1].clone()];
    assert_eq!(app.deliver_from("ResetQueue", &good).await, Vec::<usize>::new());
    app.settle().await;
    for person in [&ada, &eve] {
        assert_eq!(count(&app, person, "Choose a new password"), 1);
    }
}

#[tokio::test]
async fn a_mail_whose_worker_died_is_sent_by_the_sweeper() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    forgot(&app, &ada.email).await.expect(202);
    let messages = app.take("ResetQueue").await;
    app.deliver_from("ResetQueue", &messages).await;
    // The mail is written, and whoever should have told the notifier of it is dead.
    assert_eq!(app.take("MailQueue").await.len(), 1);
    app.advance(10 * Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    assert_eq!(count(&app, &ada, "Choose a new password"), 1);
    reset(&app, &app.token_mailed_to(&ada.email)).await.expect(204);
}

#[tokio::test]
async fn no_token_lies_in_a_table() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.person().await;
    let verification = app.token_mailed_to(&ada.email);
    forgot(&app, &ada.email).await.expect(202);
    let waiting = app.take("ResetQueue").await;
    app.deliver_from("ResetQueue", &waiting).await;
    let invitation = json!({"email": ada.email, "role": "viewer"});
    let members = format!("/v1/orgs/{}/members", acme.org);
    acme.client.post(members, invitation).await.expect(201);
    // While the mails wait to be sent they are stored, sealed.
    let waiting = app.stored().await;
    app.settle().await;
    let sent = app.stored().await;
    let tokens: Vec<String> = app.mails_to(&ada.email).iter().map(testing::token_in).collect();
    assert_eq!((tokens.len(), tokens.contains(&verification)), (3, true));
    for token in tokens {
        // The part of the text that no id explains.
        let secret = &token.as_bytes()[token.len() - 30..];
        for stored in [&waiting, &sent] {
            assert!(!stored.windows(secret.len()).any(|window| window == secret));
        }
    }
}
