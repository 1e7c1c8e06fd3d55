//! How accounts are guarded: failures slow, passwords that others would try are refused.

use crate::privileges::{client, key, text};
use futures::future::join_all;
use kernel::Time;
use serde_json::{Value, json};
use testing::{Client, MANAGER_EMAIL, PASSWORD, Reply, Setup, TestApp};

const LOGIN: &str = "/v1/auth/login";

async fn log_in(client: &Client, email: &str, password: &str) -> Reply {
    client.post(LOGIN, json!({"email": email, "password": password})).await
}

/// Fails so often to log in, from one address after another.
async fn guess(app: &TestApp, email: &str, many: u8) {
    for number in 0..many {
        let stranger = app.client().from(&format!("198.51.100.{number}"));
        log_in(&stranger, email, "not the password")
            .await
            .problem(401, "bad_credentials");
    }
}

#[tokio::test]
async fn whoever_guesses_has_to_wait_whatever_addresses_they_have() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    for email in [ada.email.as_str(), "nobody@example.com"] {
        guess(&app, email, 10).await;
        let stranger = app.client().from("203.0.113.1");
        let refused = log_in(&stranger, &email.to_uppercase(), "not the password").await;
        assert_eq!(refused.problem(429, "too_many_failures").header("retry-after"), "1");
        // The right password waits as long as a wrong one, or it would tell that it is right.
        log_in(&stranger, email, PASSWORD)
            .await
            .problem(429, "too_many_failures");
        app.advance(Time::SECOND);
        log_in(&stranger, email, "not the password")
            .await
            .problem(401, "bad_credentials");
        let refused = log_in(&stranger, email, "not the password").await;
        assert_eq!(refused.problem(429, "too_many_failures").header("retry-after"), "2");
    }
}

#[tokio::test]
async fn nobody_is_locked_out_and_who_is_known_is_not_even_slowed() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    guess(&app, &ada.email, 10).await;
    let stranger = app.client().from("203.0.113.1");
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        app.advance(wait * Time::SECOND);
        log_in(&stranger, &ada.email, "not the password")
            .await
            .problem(401, "bad_credentials");
    }
    // She comes from where she registered.
    log_in(&app.client(), &ada.email, PASSWORD).await.expect(200);
    // And from elsewhere, within a minute; then all is forgotten, and the new place is known.
    log_in(&stranger, &ada.email, PASSWORD)
        .await
        .problem(429, "too_many_failures");
    app.advance(Time::MINUTE);
    log_in(&stranger, &ada.email, PASSWORD).await.expect(200);
    guess(&app, &ada.email, 10).await;
    log_in(&stranger, &ada.email, PASSWORD).await.expect(200);
    let other = app.client().from("203.0.113.2");
    log_in(&other, &ada.email, PASSWORD)
        .await
        .problem(429, "too_many_failures");
}

#[tokio::test]
async fn who_logs_in_rightly_is_never_charged() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let stranger = app.client().from("203.0.113.1");
    for _ in 0..30 {
        log_in(&stranger, &ada.email, PASSWORD).await.expect(200);
    }
}

#[tokio::test]
async fn many_guesses_at_one_moment_are_charged_each() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let clients: Vec<Client> = (0..60).map(|n| app.client().from(&format!("198.51.100.{n}"))).collect();
    let guesses = clients
        .iter()
        .map(|client| log_in(client, &ada.email, "not the password"));
    let replies = join_all(guesses).await;
    let tried = replies.iter().filter(|reply| reply.status == 401).count();
    // The others are told to wait, or that they were too many at once.
    assert!(tried <= 10, "{tried} were tried");
    assert!(
        replies
            .iter()
            .all(|reply| [401, 429, 503].contains(&reply.status.as_u16()))
    );
}

#[tokio::test]
async fn no_key_of_a_counter_holds_an_address() {
    let app = TestApp::start().await;
    guess(&app, "someone.unknown@example.com", 1).await;
    let stored = String::from_utf8_lossy(&app.stored().await).into_owned();
    assert!(stored.contains("LIMIT#LOGIN#") && !stored.contains("someone.unknown"));
}

#[tokio::test]
async fn who_has_a_session_cannot_guess_the_password_with_it() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let change = async |current: &str| {
        let body = json!({"currentPassword": current, "newPassword": "another good horse"});
        ada.client.post("/v1/auth/password/change", body).await
    };
    for _ in 0..10 {
        assert_eq!(
            change("a guess").await.problem(422, "invalid").fields(),
            ["currentPassword"]
        );
    }
    change(PASSWORD).await.problem(429, "too_many_failures");
    // That slows no login.
    log_in(&app.client().from("203.0.113.1"), &ada.email, PASSWORD)
        .await
        .expect(200);
    app.advance(Time::SECOND);
    change(PASSWORD).await.expect(204);
}

/// The password of every person, hashed with half of the memory and one pass.
const WEAK: &str = "$argon2id$v=19$m=9728,t=1,p=1$J4RWHX2cuHGh6mGExHhIAA$XTRHnTjKw/kFpcaywSz3M84K1tiBfnqrozSHakvbRfI";

#[tokio::test]
async fn a_password_is_hashed_anew_at_login_when_what_hashes_became_stronger() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let (client, table) = (client(&app, "tests"), app.table_name("LoginsTable"));
    let key = key(&format!("LOGIN#password#{}", ada.email), "LOGIN");
    let stored = async || {
        let found = client.get_item().table_name(&table).set_key(Some(key.clone())).send();
        let item = found.await.unwrap().item.unwrap();
        item["passwordHash"].as_s().unwrap().clone()
    };
    let strong = stored().await;
    let update = client.update_item().table_name(&table).set_key(Some(key.clone()));
    let update = update.update_expression("SET passwordHash = :hash");
    let update = update.expression_attribute_values(":hash", text(WEAK));
    update.send().await.unwrap();

    log_in(&app.client(), &ada.email, "not the password")
        .await
        .problem(401, "bad_credentials");
    assert_eq!(stored().await, WEAK);
    log_in(&app.client(), &ada.email, PASSWORD).await.expect(200);
    let renewed = stored().await;
    assert!(
        renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && renewed != strong,
        "{renewed}"
    );
    // Once is enough.
    log_in(&app.client(), &ada.email, PASSWORD).await.expect(200);
    assert_eq!(stored().await, renewed);
}

#[tokio::test]
async fn a_first_manager_whose_password_others_would_try_is_let_in_by_nothing() {
    for bad in ["password", "manager@countinghouse.test", "short"] {
        let setup = Setup::default().secret("BootstrapManagerPasswordParameter", bad);
        let app = TestApp::start_as(setup).await;
        log_in(&app.client(), MANAGER_EMAIL, bad)
            .await
            .problem(401, "bad_credentials");
    }
}

/// Passwords that are refused for who is called `Ada Lovelace` and has the address `ada.lovelace@engines.example`.
const BAD: &[(&str, &str)] = &[
    ("password", "common_password"),
    ("12345678", "common_password"),
    ("        ", "common_password"),
    ("aaaaaaaa", "common_password"),
    ("QwertyUI", "common_password"),
    ("ada.lovelace@engines.example", "personal_password"),
    ("Ada Lovelace", "personal_password"),
    ("lovelace-1815", "personal_password"),
];

fn registration(password: &str) -> Value {
    json!({"email": "Ada.Lovelace@engines.example", "password": password, "name": "Ada Lovelace"})
}

#[tokio::test]
async fn passwords_that_others_would_try_are_refused_wherever_one_is_set() {
    let app = TestApp::start().await;
    let register = async |password: &str| app.client().post("/v1/auth/register", registration(password)).await;
    for (bad, code) in BAD {
        assert_eq!(register(bad).await.problem(422, code).fields(), ["password"], "{bad}");
    }
    // Nothing was stored: the address is still free.
    let ada = app.person_named("ada.lovelace@engines.example", "Ada Lovelace").await;

    let change = async |password: &str| {
        let body = json!({"currentPassword": PASSWORD, "newPassword": password});
        ada.client.post("/v1/auth/password/change", body).await
    };
    for (bad, code) in BAD {
        assert_eq!(change(bad).await.problem(422, code).fields(), ["newPassword"], "{bad}");
    }

    let forgot = json!({"email": ada.email});
    app.client().post("/v1/auth/password/forgot", forgot).await.expect(202);
    app.settle().await;
    let token = app.token_mailed_to(&ada.email);
    let reset = async |password: &str| {
        let body = json!({"token": token, "password": password});
        app.client().post("/v1/auth/password/reset", body).await
    };
    for (bad, code) in BAD {
        assert_eq!(reset(bad).await.problem(422, code).fields(), ["password"], "{bad}");
    }
    // The token was not spent by that.
    reset("an engine of difference").await.expect(204);
    log_in(&app.client(), &ada.email, "an engine of difference")
        .await
        .expect(200);
}
