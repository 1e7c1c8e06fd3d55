//! What the log tells of security, one line each: who logs in and who fails to, a refresh token that was copied, who is
//! denied, and which limit refuses. No password, token or address of a mailbox stands in it.

use kernel::Time;
use serde_json::{Value, json};
use testing::{PASSWORD, Person, RATES, Rates, Reply, TestApp};
use tracing_subscriber::filter::LevelFilter;

use crate::payment_logs::Log;

async fn log_in(app: &TestApp, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    app.client().post("/v1/auth/login", body).await
}

async fn refresh(app: &TestApp, person: &Person) -> Reply {
    let body = json!({"refreshToken": person.refresh_token});
    app.client().post("/v1/auth/refresh", body).await
}

/// The fields of the lines with this message.
fn lines(log: &Log, message: &str) -> Vec<Value> {
    let text = log.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let fields = lines.map(|mut line| line["fields"].take());
    fields.filter(|fields| fields["message"] == message).collect()
}

#[tokio::test]
async fn the_log_tells_who_logs_in_and_who_fails_to() {
    let (log, _listening) = Log::listen(LevelFilter::DEBUG);
    let app = TestApp::start().await;
    let ada = app.person().await;
    let wrong = "perhaps this one, then";
    let again = ada.logged_in_again(&app).await;
    log_in(&app, &ada.email, wrong).await.problem(401, "bad_credentials");
    log_in(&app, "nobody@example.com", wrong)
        .await
        .problem(401, "bad_credentials");
    for _ in 0..9 {
        log_in(&app, &ada.email, wrong).await.problem(401, "bad_credentials");
    }
    log_in(&app, &ada.email, PASSWORD)
        .await
        .problem(429, "too_many_failures");

    let entered = lines(&log, "a person logged in");
    assert_eq!(entered.len(), 1);
    assert_eq!(
        (&entered[0]["user.id"], &entered[0]["client.address"]),
        (&json!(ada.id), &json!("192.0.2.1"))
    );
    let hash = &entered[0]["user.address_sha256"];
    assert_eq!(hash.as_str().map(str::len), Some(64));

    let failed = lines(&log, "a login failed");
    assert_eq!(failed.len(), 12);
    for line in failed.iter().filter(|line| &line["user.address_sha256"] == hash) {
        assert_eq!(
            (&line["user.id"], &line["client.address"]),
            (&json!(ada.id), &json!("192.0.2.1"))
        );
    }
    assert_ne!(&failed[1]["user.address_sha256"], hash);
    assert_eq!(failed[1].get("user.id"), None);
    assert_eq!(
        (&failed[0]["code"], &failed[11]["code"]),
        (&json!("bad_credentials"), &json!("too_many_failures"))
    );
    let text = log.text();
    for secret in [
        wrong,
        PASSWORD,
        &ada.email,
        "nobody@example.com",
        &again.access_token,
        &again.refresh_token,
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_log_tells_of_a_copied_refresh_token() {
    let (log, _listening) = Log::listen(LevelFilter::DEBUG);
    let app = TestApp::start().await;
    let ada = app.person().await;
    refresh(&app, &ada).await.expect(200);
    app.advance(Time::MINUTE);
    refresh(&app, &ada).await.problem(401, "refresh_reused");
    let reused = lines(&log, "a spent refresh token came again");
    assert_eq!(reused.len(), 1);
    assert_eq!(reused[0]["user.id"], ada.id.as_str());
    assert!(reused[0]["session.id"].is_string());
    assert!(!log.text().contains(&ada.refresh_token));
}

#[tokio::test]
async fn the_log_tells_who_is_denied_what() {
    let (log, _listening) = Log::listen(LevelFilter::DEBUG);
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    let org = format!("/v1/orgs/{}", acme.org);
    viewer.client.delete(&org).await.problem(403, "forbidden");
    viewer.client.get("/v1/users").await.problem(403, "forbidden");
    let denied = lines(&log, "a caller was denied");
    let told: Vec<_> = denied
        .iter()
        .map(|line| (&line["permission"], &line["user.id"], line.get("org.id")))
        .collect();
    let (who, where_) = (json!(viewer.id), json!(acme.org));
    assert_eq!(
        told,
        [
            (&json!("DeleteOrg"), &who, Some(&where_)),
            (&json!("ManageUsers"), &who, None)
        ]
    );
    assert!(denied.iter().all(|line| line["request.id"].is_string()));
    assert!(!log.text().contains(&viewer.access_token));
}

#[tokio::test]
async fn the_log_tells_which_limit_refuses() {
    let (log, _listening) = Log::listen(LevelFilter::DEBUG);
    let rates = Rates {
        per_address: 2,
        ..RATES
    };
    let app = TestApp::start_with(rates, 1).await;
    for status in [401, 401, 429] {
        log_in(&app, "nobody@example.com", "perhaps this one, then")
            .await
            .expect(status);
    }
    let refused = lines(&log, "a limit refused a call");
    let expected = json!({"message": "a limit refused a call", "limit.name": "address", "limit.of": "192.0.2.1", "limit.calls": 2});
    assert_eq!(refused, [expected]);
}
