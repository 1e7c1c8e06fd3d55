//! Factors: added with a code, demanded at every login, good once, guessed by nobody, removed by who has lost them.

use futures::future::join_all;
use kernel::Time;
use serde_json::{Value, json};
use testing::{Authenticator, Client, PASSWORD, Person, Reply, TestApp};
use tracing_subscriber::filter::LevelFilter;

use crate::payment_logs::Log;
use crate::privileges::{client, key};

const FACTORS: &str = "/v1/auth/factors";

async fn meet(client: &Client, challenge: &str, field: &str, code: &str) -> Reply {
    let mut body = json!({"challenge": challenge});
    body[field] = code.into();
    client.post("/v1/auth/login/factor", body).await
}

async fn with_app(app: &TestApp) -> (Person, Authenticator) {
    let ada = app.proved_person().await;
    let phone = app.authenticator(&ada, "Phone").await;
    app.advance(30 * Time::SECOND);
    (ada, phone)
}

/// What stands in the trail of the platform about a person, the oldest first, without how they came.
async fn noted(app: &TestApp, person: &Person) -> Vec<Value> {
    let trail = app.manager().await.client.all("/v1/audit?limit=100").await;
    let about = trail
        .into_iter()
        .filter(|entry| entry["actorUserId"] == person.id.as_str());
    let known = [json!("user.registered"), json!("user.email_verified")];
    let mut about: Vec<Value> = about.filter(|entry| !known.contains(&entry["action"])).collect();
    about.reverse();
    about
}

fn subjects(app: &TestApp, person: &Person) -> Vec<String> {
    let mails = app.mails_to(&person.email).into_iter();
    mails.skip(1).map(|mail| mail.subject).collect()
}

#[tokio::test]
async fn who_has_a_factor_logs_in_with_it() {
    let app = TestApp::start().await;
    let ada = app.proved_person().await;
    let elsewhere = ada.logged_in_again(&app).await;
    let none = ada.client.get(FACTORS).await.expect(200).json;
    assert_eq!(none, json!({"factors": [], "recoveryCodesLeft": 0}));

    let phone = app.authenticator(&ada, "Phone").await;
    assert_eq!(phone.recovery_codes.len(), 10);
    // What was opened without it ends; the session that added it goes on.
    elsewhere.client.get("/v1/auth/me").await.problem(401, "session_ended");
    ada.client.get("/v1/auth/me").await.expect(200);
    let listed = ada.client.get(FACTORS).await.expect(200).json;
    let factor = json!({"id": phone.id, "type": "totp", "name": "Phone", "addedAt": app.now(), "lastUsedAt": null});
    assert_eq!(listed, json!({"factors": [factor], "recoveryCodesLeft": 10}));

    let body = json!({"email": ada.email, "password": PASSWORD});
    let asked = app.client().post("/v1/auth/login", body).await.expect(200);
    let until = app.now().plus_seconds(300);
    let expected =
        json!({"challenge": asked.text("challenge"), "expiresAt": until, "methods": ["totp", "recovery_code"]});
    assert_eq!(asked.json, expected);
    // The code that confirmed it is spent.
    let challenge = asked.text("challenge");
    meet(&app.client(), &challenge, "code", &phone.code())
        .await
        .problem(401, "wrong_code");
    app.advance(30 * Time::SECOND);
    let code = phone.code();
    let entered = meet(&app.client(), &challenge, "code", &code).await.expect(200);
    assert_eq!(entered.json["user"]["id"], ada.id.as_str());
    app.known(ada.email.clone(), &entered)
        .client
        .get("/v1/auth/me")
        .await
        .expect(200);
    // Neither the challenge nor the code is good again.
    app.advance(30 * Time::SECOND);
    meet(&app.client(), &challenge, "code", &phone.code())
        .await
        .problem(401, "bad_challenge");
    ada.log_in_by_code(&app, &code).await.problem(401, "wrong_code");
    ada.log_in_by_code(&app, &phone.code()).await.expect(200);
    let listed = ada.client.get(FACTORS).await.expect(200).json;
    assert_eq!(listed["factors"][0]["lastUsedAt"], json!(app.now()));

    let noted = noted(&app, &ada).await;
    assert_eq!(noted.len(), 1);
    assert_eq!(
        (&noted[0]["action"], &noted[0]["targetId"]),
        (&json!("factor.added"), &json!(phone.id))
    );
    let new = json!({"type": "totp", "name": "Phone", "recoveryCodesMade": true});
    assert_eq!(noted[0]["newValue"], new);
    assert_eq!(subjects(&app, &ada), ["A factor was added to your account"]);
}

#[tokio::test]
async fn one_of_many_logins_with_one_code_at_one_moment_gets_in() {
    let app = TestApp::start().await;
    let (ada, phone) = with_app(&app).await;
    let challenges = join_all((0..5).map(|_| ada.challenge(&app))).await;
    let (client, code) = (app.client(), phone.code());
    let tries = challenges
        .iter()
        .map(|challenge| meet(&client, challenge, "code", &code));
    let replies = join_all(tries).await;
    let entered = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(entered, 1, "{replies:?}");
    // Nor does one challenge with two codes.
    app.advance(60 * Time::SECOND);
    let challenge = ada.challenge(&app).await;
    let codes = [phone.code(), phone.code_in(30)];
    let replies = join_all(codes.iter().map(|code| meet(&client, &challenge, "code", code))).await;
    let entered = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(entered, 1, "{replies:?}");
}

#[tokio::test]
async fn a_recovery_code_opens_a_session_once_and_its_person_is_told() {
    let app = TestApp::start().await;
    let (ada, phone) = with_app(&app).await;
    let [first, second, ..] = &phone.recovery_codes[..] else {
        panic!("ten codes")
    };
    let challenge = ada.challenge(&app).await;
    let client = app.client();
    meet(&client, &challenge, "recoveryCode", "00000-00000-00000-00000")
        .await
        .problem(401, "wrong_code");
    meet(&client, &challenge, "recoveryCode", &first.to_uppercase())
        .await
        .expect(200);
    app.settle().await;
    let again = ada.challenge(&app).await;
    meet(&client, &again, "recoveryCode", first)
        .await
        .problem(401, "wrong_code");
    let left = ada.client.get(FACTORS).await.expect(200).json["recoveryCodesLeft"].clone();
    assert_eq!(left, 9);
    app.advance(Time::SECOND);

    let made = ada
        .client
        .post("/v1/auth/factors/recovery-codes", json!({}))
        .await
        .expect(201);
    let newer = made.json["recoveryCodes"].as_array().unwrap();
    assert_eq!(newer.len(), 10);
    app.advance(Time::SECOND);
    meet(&client, &again, "recoveryCode", second)
        .await
        .problem(401, "wrong_code");
    meet(&client, &again, "recoveryCode", newer[0].as_str().unwrap())
        .await
        .expect(200);
    app.settle().await;

    let noted = noted(&app, &ada).await;
    let actions: Vec<&str> = noted.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let used = "recovery_code.used";
    assert_eq!(actions, ["factor.added", used, "recovery_codes.made", used]);
    assert_eq!(noted[1]["newValue"], json!({"left": 9}));
    let used = "A recovery code of your account was used";
    assert_eq!(subjects(&app, &ada)[1..], [used, used]);
    let mails = app.mails_to(&ada.email);
    assert!(mails[2].text.as_ref().unwrap().contains("9 are left"));
}

#[tokio::test]
async fn a_challenge_is_good_for_five_minutes_and_its_person() {
    let app = TestApp::start().await;
    let (ada, phone) = with_app(&app).await;
    let client = app.client();
    let eve = app.person().await;
    let of_eve = app.authenticator(&eve, "Phone").await;
    let challenge = ada.challenge(&app).await;
    for bad in [
        "",
        "lc_",
        "x",
        &challenge[..challenge.len() - 1],
        &challenge.replace("lc_", "mt_"),
        &eve.refresh_token,
    ] {
        meet(&client, bad, "code", &phone.code())
            .await
            .problem(401, "bad_challenge");
    }
    app.advance(30 * Time::SECOND);
    meet(&client, &challenge, "code", &of_eve.code())
        .await
        .problem(401, "wrong_code");
    meet(&client, &challenge, "recoveryCode", &of_eve.recovery_codes[0])
        .await
        .problem(401, "wrong_code");
    app.advance(270 * Time::SECOND);
    meet(&client, &challenge, "code", &phone.code())
        .await
        .problem(401, "bad_challenge");

    // A new password ends challenges, as sessions; factors stay.
    let challenge = ada.challenge(&app).await;
    let forgot = json!({"email": ada.email});
    client.post("/v1/auth/password/forgot", forgot).await.expect(202);
    app.settle().await;
    let reset = json!({"token": app.token_mailed_to(&ada.email), "password": PASSWORD});
    client.post("/v1/auth/password/reset", reset).await.expect(204);
    meet(&client, &challenge, "code", &phone.code())
        .await
        .problem(401, "bad_challenge");
    ada.log_in_by_code(&app, &phone.code()).await.expect(200);

    // Nor is one good for who was deactivated since.
    app.advance(30 * Time::SECOND);
    let challenge = ada.challenge(&app).await;
    let manager = app.manager().await;
    manager.client.delete(format!("/v1/users/{}", ada.id)).await.expect(204);
    meet(&client, &challenge, "code", &phone.code())
        .await
        .problem(401, "deactivated");
}

#[tokio::test]
async fn a_second_step_that_cannot_be_read_says_what_is_wrong() {
    let app = TestApp::start().await;
    let send = async |body: Value| app.client().post("/v1/auth/login/factor", body).await;
    let both = json!({"challenge": "lc_", "code": "1", "recoveryCode": "2"});
    for (body, field) in [(both, "code"), (json!({"challenge": "lc_"}), "code")] {
        assert_eq!(send(body).await.problem(422, "invalid").fields(), [field]);
    }
    let long = json!({"challenge": "lc_", "recoveryCode": "1".repeat(65)});
    assert_eq!(send(long).await.problem(422, "invalid").fields(), ["recoveryCode"]);
    send(json!({"code": "123456"})).await.problem(400, "missing_field");
}

#[tokio::test]
async fn whoever_guesses_codes_has_to_wait_and_locks_nobody_out() {
    let app = TestApp::start().await;
    let (ada, phone) = with_app(&app).await;
    let stranger = app.client().from("203.0.113.1");
    let guess = async |client: &Client| {
        let challenge = ada.challenge(&app).await;
        meet(client, &challenge, "code", "000000").await
    };
    for _ in 0..10 {
        guess(&stranger).await.problem(401, "wrong_code");
    }
    let refused = guess(&stranger).await.problem(429, "too_many_failures");
    assert_eq!(refused.header("retry-after"), "1");
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900] {
        app.advance(wait * Time::SECOND);
        guess(&stranger).await.problem(401, "wrong_code");
    }
    let refused = guess(&stranger).await.problem(429, "too_many_failures");
    assert_eq!(refused.header("retry-after"), "900");
    // The right code waits too, or it would tell; a recovery code does not, and who comes from a known network neither.
    let challenge = ada.challenge(&app).await;
    meet(&stranger, &challenge, "code", &phone.code())
        .await
        .problem(429, "too_many_failures");
    ada.log_in_by_code(&app, &phone.code()).await.expect(200);
    meet(&stranger, &challenge, "recoveryCode", &phone.recovery_codes[0])
        .await
        .expect(200);
    app.settle().await;
    for _ in 0..10 {
        let challenge = ada.challenge(&app).await;
        let unknown = app.client().from("203.0.113.2");
        meet(&unknown, &challenge, "recoveryCode", "1")
            .await
            .problem(401, "wrong_code");
    }
    let challenge = ada.challenge(&app).await;
    let unknown = app.client().from("203.0.113.2");
    meet(&unknown, &challenge, "recoveryCode", "1")
        .await
        .problem(429, "too_many_failures");
}

#[tokio::test]
async fn an_app_counts_once_its_code_confirms_it() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let add = async |name: &str| ada.client.post("/v1/auth/factors/totp", json!({"name": name})).await;
    for bad in ["", "  ", "see www.evil.example", &"x".repeat(101)] {
        assert_eq!(add(bad).await.problem(422, "invalid").fields(), ["name"]);
    }
    let added = add("Phone").await.expect(201);
    let uri = added.text("uri");
    assert!(
        uri.starts_with("otpauth://totp/Countinghouse:person") && uri.contains(&added.text("secret")),
        "{uri}"
    );
    let confirm = async |id: &str, code: &str| {
        let path = format!("/v1/auth/factors/{id}/confirm");
        ada.client.post(path, json!({"code": code})).await
    };
    let (id, code) = (added.text("factorId"), json!("12345"));
    let wrong = confirm(&id, code.as_str().unwrap()).await.problem(422, "invalid");
    assert_eq!(wrong.fields(), ["code"]);
    confirm("fac_1", "123456").await.problem(400, "malformed_id");
    let nobodys = kernel::FactorId::new(app.now()).to_string();
    confirm(&nobodys, "123456").await.problem(404, "not_found");
    // It asks for nothing yet, nobody is told of it, and another person cannot confirm or remove it.
    ada.logged_in_again(&app).await;
    let eve = app.person().await;
    let path = format!("/v1/auth/factors/{id}");
    eve.client.delete(&path).await.problem(404, "not_found");
    eve.client
        .post(format!("{path}/confirm"), json!({"code": "123456"}))
        .await
        .problem(404, "not_found");
    assert_eq!(ada.client.get(FACTORS).await.expect(200).json["factors"], json!([]));
    ada.client
        .post("/v1/auth/factors/recovery-codes", json!({}))
        .await
        .problem(409, "no_factor");
    // Another one takes its place, and ten minutes end it.
    let other = add("Tablet").await.expect(201).text("factorId");
    confirm(&id, "123456").await.problem(404, "not_found");
    app.advance(10 * Time::MINUTE);
    confirm(&other, "123456").await.problem(404, "not_found");
    ada.client.delete(format!("/v1/auth/factors/{other}")).await.expect(204);
    assert_eq!((noted(&app, &ada).await.len(), subjects(&app, &ada).len()), (0, 0));
}

#[tokio::test]
async fn without_the_last_factor_a_password_is_enough_again() {
    let app = TestApp::start().await;
    let (ada, phone) = with_app(&app).await;
    let tablet = app.authenticator(&ada, "Tablet").await;
    assert!(tablet.recovery_codes.is_empty());
    let remove = async |one: &Authenticator| ada.client.delete(format!("/v1/auth/factors/{}", one.id)).await;
    remove(&phone).await.expect(204);
    remove(&phone).await.problem(404, "not_found");
    app.settle().await;
    app.advance(30 * Time::SECOND);
    ada.log_in_by_code(&app, &phone.code()).await.problem(401, "wrong_code");
    ada.log_in_by_code(&app, &tablet.code()).await.expect(200);
    let challenge = ada.challenge(&app).await;
    remove(&tablet).await.expect(204);
    app.settle().await;
    // The recovery codes went with it.
    meet(&app.client(), &challenge, "recoveryCode", &phone.recovery_codes[0])
        .await
        .problem(401, "wrong_code");
    ada.logged_in_again(&app).await;
    let noted = noted(&app, &ada).await;
    let last = noted.last().unwrap();
    assert_eq!(
        (&last["action"], &last["oldValue"]),
        (&json!("factor.removed"), &json!({"type": "totp", "name": "Tablet"}))
    );
    let subject = "A factor was removed from your account";
    assert_eq!(subjects(&app, &ada)[2..], [subject, subject]);
}

#[tokio::test]
async fn a_manager_removes_the_factors_of_who_has_lost_them() {
    let app = TestApp::start().await;
    let (ada, phone) = with_app(&app).await;
    let manager = app.manager().await;
    let admin = app.proved_person().await;
    let role = format!("/v1/users/{}/role", admin.id);
    manager.client.patch(role, json!({"role": "admin"})).await.expect(200);
    let path = format!("/v1/users/{}/factors", ada.id);
    for by in [&admin.client, &ada.client] {
        by.delete(&path).await.problem(403, "forbidden");
    }
    app.client().delete(&path).await.problem(401, "not_authenticated");
    let nobody = kernel::UserId::from_bits(7);
    let of = async |id: &str| manager.client.delete(format!("/v1/users/{id}/factors")).await;
    of(&nobody.to_string()).await.problem(404, "not_found");
    of(&manager.id).await.problem(409, "own_account");
    of("me").await.problem(400, "malformed_id");

    let challenge = ada.challenge(&app).await;
    for _ in 0..2 {
        of(&ada.id).await.expect(204);
    }
    app.settle().await;
    meet(&app.client(), &challenge, "code", &phone.code())
        .await
        .problem(401, "bad_challenge");
    ada.client.get("/v1/auth/me").await.problem(401, "session_ended");
    let again = ada.logged_in_again(&app).await;
    assert_eq!(again.client.get(FACTORS).await.expect(200).json["factors"], json!([]));
    let trail = manager.client.all("/v1/audit?limit=100").await;
    let removed: Vec<&Value> = trail
        .iter()
        .filter(|entry| entry["action"] == "factor.removed")
        .collect();
    assert_eq!(removed.len(), 1);
    assert_eq!(
        (&removed[0]["actorUserId"], &removed[0]["targetId"]),
        (&json!(manager.id), &json!(ada.id))
    );
    assert_eq!(subjects(&app, &ada)[1..], ["A factor was removed from your account"]);
    // And they may add others.
    app.authenticator(&again, "New phone").await;
}

#[tokio::test]
async fn neither_tables_nor_the_log_have_a_secret_or_a_code() {
    let (log, _listening) = Log::listen(LevelFilter::DEBUG);
    let app = TestApp::start().await;
    let (ada, phone) = with_app(&app).await;
    let challenge = ada.challenge(&app).await;
    let code = phone.code();
    meet(&app.client(), &challenge, "code", &phone.code_in(900))
        .await
        .problem(401, "wrong_code");
    meet(&app.client(), &challenge, "code", &code).await.expect(200);
    let text = log.text();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].take());
    let lines: Vec<Value> = lines.collect();
    let entered = lines.iter().filter(|line| line["message"] == "a person logged in");
    assert_eq!(
        entered.map(|line| &line["factor"]).collect::<Vec<_>>(),
        [&json!("totp")]
    );
    let failed: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "a login failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&failed[0]["code"], &failed[0]["user.id"]),
        (&json!("wrong_code"), &json!(ada.id))
    );
    let stored = String::from_utf8_lossy(&app.stored().await).into_owned();
    for secret in [&phone.secret, &challenge, &phone.recovery_codes[0]] {
        assert!(
            !stored.contains(secret.as_str()) && !text.contains(secret.as_str()),
            "{secret}"
        );
    }
}

#[tokio::test]
async fn a_new_device_and_a_new_role_are_told_by_mail() {
    let app = TestApp::start().await;
    let ada = app.proved_person().await;
    let log_in = async |client: Client| {
        let body = json!({"email": ada.email, "password": PASSWORD});
        client.post("/v1/auth/login", body).await.expect(200);
        app.settle().await;
    };
    // From where she registered, and twice from elsewhere.
    log_in(app.client()).await;
    assert!(subjects(&app, &ada).is_empty());
    for _ in 0..2 {
        log_in(app.client().from("203.0.113.7")).await;
    }
    assert_eq!(subjects(&app, &ada), ["Your account was used from a new device"]);
    let text = |place: usize| app.mails_to(&ada.email)[place].text.clone().unwrap();
    assert!(text(1).contains("from 203.0.113.7"));
    // Another program at a known place. What it says of itself is not repeated.
    log_in(app.client().header("user-agent", "see www.evil.example")).await;
    assert_eq!(subjects(&app, &ada).len(), 2);
    assert!(!text(2).contains("evil"));

    let manager = app.manager().await;
    for _ in 0..2 {
        let role = json!({"role": "admin"});
        manager
            .client
            .patch(format!("/v1/users/{}/role", ada.id), role)
            .await
            .expect(200);
        app.settle().await;
    }
    assert_eq!(subjects(&app, &ada)[2..], ["Your role on the platform was changed"]);
    assert!(text(3).contains("“admin”"));
}

#[tokio::test]
async fn whose_address_is_not_proved_is_mailed_nothing_of_their_account() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    for number in 0..3 {
        let body = json!({"email": ada.email, "password": PASSWORD});
        let stranger = app.client().from(&format!("203.0.113.{number}"));
        stranger.post("/v1/auth/login", body).await.expect(200);
    }
    let phone = app.authenticator(&ada, "Phone").await;
    let challenge = ada.challenge(&app).await;
    let code = &phone.recovery_codes[0];
    meet(&app.client(), &challenge, "recoveryCode", code).await.expect(200);
    let path = format!("/v1/auth/factors/{}", phone.id);
    ada.client.delete(path).await.expect(204);
    app.settle().await;
    assert!(subjects(&app, &ada).is_empty());
}

/// As after a table was restored without the other: the person is not locked out for ever.
#[tokio::test]
async fn a_person_whose_factors_are_gone_is_let_in_by_a_manager() {
    let app = TestApp::start().await;
    let (ada, phone) = with_app(&app).await;
    let place = key(&format!("FACTORS#{}", ada.id), "FACTORS");
    let table = app.table_name("LoginsTable");
    let delete = client(&app, "tests").delete_item().table_name(table);
    delete.set_key(Some(place)).send().await.unwrap();
    ada.log_in_by_code(&app, &phone.code()).await.problem(401, "wrong_code");
    let manager = app.manager().await;
    let path = format!("/v1/users/{}/factors", ada.id);
    manager.client.delete(path).await.expect(204);
    app.settle().await;
    ada.logged_in_again(&app).await;
}
