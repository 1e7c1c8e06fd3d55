//! /v1/auth: sessions, and the refresh tokens that keep them alive.

use std::collections::BTreeSet;

use futures::future::join_all;
use http::Method;
use kernel::Time;
use serde_json::{Value, json};
use testing::{Person, Reply, TestApp};

async fn refresh(app: &TestApp, token: &str) -> Reply {
    app.client()
        .post("/v1/auth/refresh", json!({"refreshToken": token}))
        .await
}

async fn log_out(app: &TestApp, token: &str) -> Reply {
    app.client()
        .post("/v1/auth/logout", json!({"refreshToken": token}))
        .await
}

#[tokio::test]
async fn a_refresh_token_is_good_once_for_the_next_two_tokens() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    app.advance(Time::HOUR);
    let next = refresh(&app, &ada.refresh_token).await.expect(200);
    assert_eq!(
        (&next.json["expiresIn"], &next.json["user"]["id"]),
        (&json!(900), &json!(ada.id))
    );
    assert_ne!(next.text("refreshToken"), ada.refresh_token);
    app.client()
        .bearer(next.text("accessToken"))
        .get("/v1/auth/me")
        .await
        .expect(200);
    assert!(!String::from_utf8_lossy(&next.bytes).contains("assword"));
}

#[tokio::test]
async fn racing_refreshes_get_the_same_successor() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let racing = join_all((0..10).map(|_| refresh(&app, &ada.refresh_token))).await;
    let mut successors: BTreeSet<String> = racing
        .into_iter()
        .map(|reply| reply.expect(200).text("refreshToken"))
        .collect();
    app.advance(30_000);
    successors.insert(refresh(&app, &ada.refresh_token).await.expect(200).text("refreshToken"));
    assert_eq!(successors.len(), 1);
    let successor = successors.pop_first().unwrap();
    refresh(&app, &successor).await.expect(200);
}

#[tokio::test]
async fn a_spent_token_that_comes_later_ends_its_session_and_no_other() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let elsewhere = ada.logged_in_again(&app).await;
    let next = refresh(&app, &ada.refresh_token).await.expect(200);
    app.advance(30_001);
    refresh(&app, &ada.refresh_token).await.problem(401, "refresh_reused");
    // Whoever has the current tokens, thief or victim, has to log in again.
    refresh(&app, &next.text("refreshToken"))
        .await
        .problem(401, "bad_refresh_token");
    refresh(&app, &ada.refresh_token)
        .await
        .problem(401, "bad_refresh_token");
    app.client()
        .bearer(next.text("accessToken"))
        .get("/v1/auth/me")
        .await
        .problem(401, "session_ended");
    ada.client.get("/v1/auth/me").await.problem(401, "session_ended");
    elsewhere.client.get("/v1/auth/me").await.expect(200);
    refresh(&app, &elsewhere.refresh_token).await.expect(200);
    let entries = app.manager().await.client.get("/v1/audit?limit=2").await.expect(200);
    let ended = entries
        .data()
        .iter()
        .find(|entry| entry["action"] == "session.ended")
        .unwrap();
    assert_eq!(
        (&ended["actorUserId"], &ended["newValue"]),
        (&json!(ada.id), &json!({"because": "refresh_reused"}))
    );
}

#[tokio::test]
async fn a_token_two_generations_old_ends_the_session_too() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let mut token = ada.refresh_token.clone();
    for _ in 0..3 {
        app.advance(Time::MINUTE);
        token = refresh(&app, &token).await.expect(200).text("refreshToken");
    }
    refresh(&app, &ada.refresh_token).await.problem(401, "refresh_reused");
    refresh(&app, &token).await.problem(401, "bad_refresh_token");
}

#[tokio::test]
async fn a_session_ends_a_week_after_its_last_refresh() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    app.advance(7 * Time::DAY - 1);
    let next = refresh(&app, &ada.refresh_token).await.expect(200).text("refreshToken");
    app.advance(7 * Time::DAY - 1);
    let next = refresh(&app, &next).await.expect(200).text("refreshToken");
    app.advance(7 * Time::DAY);
    refresh(&app, &next).await.problem(401, "bad_refresh_token");
}

#[tokio::test]
async fn a_session_ends_30_days_after_logging_in_however_often_it_is_refreshed() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let mut token = ada.refresh_token.clone();
    for wait in [6 * Time::DAY; 4].into_iter().chain([6 * Time::DAY - 1]) {
        app.advance(wait);
        token = refresh(&app, &token).await.expect(200).text("refreshToken");
    }
    let last = refresh(&app, &token).await.expect(200);
    let client = app.client().bearer(last.text("accessToken"));
    client.get("/v1/auth/me").await.expect(200);
    let token = last.text("refreshToken");
    app.advance(1);
    client.get("/v1/auth/me").await.problem(401, "session_ended");
    for _ in 0..2 {
        refresh(&app, &token).await.problem(401, "session_expired");
        app.advance(3 * Time::DAY);
    }
    // An older token, and one of no session, are told nothing; logging in begins anew.
    refresh(&app, &ada.refresh_token)
        .await
        .problem(401, "bad_refresh_token");
    let again = ada.logged_in_again(&app).await;
    assert_eq!(again.client.all("/v1/auth/sessions").await.len(), 1);
    refresh(&app, &again.refresh_token).await.expect(200);
}

#[tokio::test]
async fn what_is_no_refresh_token_ends_nothing() {
    let app = TestApp::start().await;
    let [ada, eve] = [app.person().await, app.person().await];
    let mut changed = ada.refresh_token.clone();
    let last = if changed.pop() == Some('A') { 'Q' } else { 'A' };
    changed.push(last);
    // The ids of Ada's session with another secret.
    let start = ada.refresh_token.len() - 40;
    let mixed = format!("{}{}", &ada.refresh_token[..start], &eve.refresh_token[start..]);
    let (short, long) = (&ada.refresh_token[..20], format!("{0}{0}", ada.refresh_token));
    for bad in [
        "",
        "rt_",
        "garbage",
        &ada.access_token,
        short,
        &long,
        &changed,
        &mixed,
        "rt_\u{0}",
    ] {
        refresh(&app, bad).await.problem(401, "bad_refresh_token");
        log_out(&app, bad).await.problem(401, "bad_refresh_token");
    }
    let post = async |body: Value| app.client().post("/v1/auth/refresh", body).await;
    post(json!({})).await.problem(400, "missing_field");
    post(json!({"refreshToken": 7})).await.problem(400, "wrong_type");
    post(json!({"refreshToken": "x", "more": 1}))
        .await
        .problem(400, "unknown_field");
    ada.client.get("/v1/auth/me").await.expect(200);
    refresh(&app, &ada.refresh_token).await.expect(200);
}

async fn is_ended(app: &TestApp, person: &Person) {
    app.advance(60_000);
    person.client.get("/v1/auth/me").await.problem(401, "session_ended");
    refresh(app, &person.refresh_token)
        .await
        .problem(401, "bad_refresh_token");
}

#[tokio::test]
async fn logging_out_ends_the_session_by_either_token() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let [second, third] = [ada.logged_in_again(&app).await, ada.logged_in_again(&app).await];

    let gone = log_out(&app, &ada.refresh_token).await.expect(204);
    assert!(gone.bytes.is_empty());
    log_out(&app, &ada.refresh_token).await.expect(204);
    is_ended(&app, &ada).await;

    second
        .client
        .send(Method::POST, "/v1/auth/logout", Vec::new())
        .await
        .expect(204);
    is_ended(&app, &second).await;
    second
        .client
        .send(Method::POST, "/v1/auth/logout", Vec::new())
        .await
        .problem(401, "not_authenticated");
    app.client()
        .send(Method::POST, "/v1/auth/logout", Vec::new())
        .await
        .problem(401, "not_authenticated");
    // A body of `null` is none.
    app.client()
        .post("/v1/auth/logout", json!(null))
        .await
        .problem(401, "not_authenticated");
    third
        .client
        .post("/v1/auth/logout", json!({"all": true}))
        .await
        .problem(400, "unknown_field");
    third.client.get("/v1/auth/me").await.expect(200);

    // An expired access token and a spent refresh token still let somebody leave.
    let next = refresh(&app, &third.refresh_token)
        .await
        .expect(200)
        .text("refreshToken");
    app.advance(Time::HOUR);
    log_out(&app, &third.refresh_token).await.expect(204);
    refresh(&app, &next).await.problem(401, "bad_refresh_token");
}

#[tokio::test]
async fn sessions_are_listed_newest_first_and_may_be_ended_one_by_one() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let agent = app.client().header("user-agent", "Analytical Engine/1");
    let body = json!({"email": ada.email, "password": testing::PASSWORD});
    app.advance(1_000);
    let engine = agent.post("/v1/auth/login", body).await.expect(200);
    app.advance(1_000);
    let third = ada.logged_in_again(&app).await;

    let list = ada.client.all("/v1/auth/sessions?limit=1").await;
    assert_eq!(list.len(), 3);
    let current: Vec<&Value> = list.iter().map(|session| &session["current"]).collect();
    assert_eq!(current, [&json!(false), &json!(false), &json!(true)]);
    assert_eq!(
        (&list[1]["userAgent"], &list[1]["ipAddress"]),
        (&json!("Analytical Engine/1"), &json!("192.0.2.1"))
    );
    let fields: Vec<&String> = list[0].as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["id", "createdAt", "lastUsedAt", "ipAddress", "userAgent", "current"]
    );

    let path = format!("/v1/auth/sessions/{}", list[1]["id"].as_str().unwrap());
    let eve = app.person().await;
    eve.client.delete(&path).await.problem(404, "not_found");
    app.client().delete(&path).await.problem(401, "not_authenticated");
    ada.client.delete(&path).await.expect(204);
    ada.client.delete(&path).await.problem(404, "not_found");
    ada.client
        .delete("/v1/auth/sessions/ses_0")
        .await
        .problem(400, "malformed_id");
    app.advance(60_000);
    app.client()
        .bearer(engine.text("accessToken"))
        .get("/v1/auth/me")
        .await
        .problem(401, "session_ended");
    assert_eq!(ada.client.all("/v1/auth/sessions").await.len(), 2);
    third.client.get("/v1/auth/me").await.expect(200);
    // A session that has ended by itself is in no list.
    app.advance(7 * Time::DAY);
    let later = ada.logged_in_again(&app).await;
    assert_eq!(later.client.all("/v1/auth/sessions").await.len(), 1);
}

#[tokio::test]
async fn the_list_of_sessions_is_bounded_and_its_cursors_are_the_persons_own() {
    let app = TestApp::start().await;
    let [ada, eve] = [app.person().await, app.person().await];
    for person in [&ada, &eve] {
        person.logged_in_again(&app).await;
    }
    let list = async |query: &str| ada.client.get(format!("/v1/auth/sessions?{query}")).await;
    for bad in ["limit=0", "limit=101"] {
        list(bad).await.problem(400, "bad_limit");
    }
    list("limit=ten").await.problem(400, "wrong_type");
    list("user=x").await.problem(400, "unknown_field");
    list("cursor=x").await.problem(400, "bad_cursor");
    let cursor = list("limit=1").await.expect(200).text("nextCursor");
    list(&format!("limit=1&cursor={cursor}")).await.expect(200);
    let theirs = format!("/v1/auth/sessions?limit=1&cursor={cursor}");
    eve.client.get(theirs).await.problem(400, "bad_cursor");
    ada.client
        .get(format!("/v1/orgs?cursor={cursor}"))
        .await
        .problem(400, "bad_cursor");
}
