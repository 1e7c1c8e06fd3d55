//! /v1/auth: registering, logging in, and what an access token proves.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures::future::join_all;
use kernel::Time;
use serde_json::{Value, json};
use testing::{MANAGER_EMAIL, MANAGER_PASSWORD, PASSWORD, Person, Reply, TestApp};

fn registration(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "name": "Ada Lovelace"})
}

/// Wants a reply without the password and without a hash of it.
#[track_caller]
fn shows_no_secret(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.bytes);
    for secret in [PASSWORD, "assword", "argon2", "hash", "Hash", "version"] {
        assert!(!text.contains(secret), "`{secret}` in {text}");
    }
}

#[tokio::test]
async fn who_registers_is_logged_in_and_no_reply_shows_a_password() {
    let app = TestApp::start().await;
    let new = app
        .client()
        .post("/v1/auth/register", registration("Ada@Example.com"))
        .await
        .expect(201);
    let fields: Vec<&String> = new.json.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["user", "accessToken", "refreshToken", "expiresIn"]);
    assert_eq!(new.json["expiresIn"], 900);
    let id = new.json["user"]["id"].as_str().unwrap();
    let user = json!({"id": id, "email": "ada@example.com", "emailVerified": false, "name": "Ada Lovelace", "role": "user",
        "status": "active", "createdAt": app.now()});
    assert_eq!(new.json["user"], user);
    shows_no_secret(&new);

    let me = app
        .client()
        .bearer(new.text("accessToken"))
        .get("/v1/auth/me")
        .await
        .expect(200);
    assert_eq!(me.json, user);
    let credentials = json!({"email": "ADA@example.COM", "password": PASSWORD});
    let again = app.client().post("/v1/auth/login", credentials).await.expect(200);
    assert_eq!(again.json["user"], user);
    for reply in [&me, &again] {
        shows_no_secret(reply);
    }
    assert_eq!(again.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_registration_that_breaks_rules_names_every_one_of_them() {
    let app = TestApp::start().await;
    let register = async |body: Value| app.client().post("/v1/auth/register", body).await;
    let all = register(json!({"email": "ada", "password": "1234567", "name": " "}))
        .await
        .problem(422, "invalid");
    assert_eq!(all.fields(), ["email", "password", "name"]);
    shows_no_secret(&register(json!({"email": "ada", "password": PASSWORD, "name": "a"})).await);

    let mut good = registration("ada@example.com");
    for (field, bad) in [
        ("password", "x".repeat(129)),
        ("name", "x".repeat(101)),
        ("name", "a\u{0}b".to_owned()),
        ("email", "ada@example".to_owned()),
        ("email", "<b>@example.com".to_owned()),
        ("email", format!("{}@example.com", "x".repeat(250))),
    ] {
        let mut body = good.clone();
        body[field] = json!(bad);
        assert_eq!(register(body).await.problem(422, "invalid").fields(), [field], "{bad}");
    }
    let raised = json!({"email": "ada@example.com", "password": PASSWORD, "name": "a", "role": "manager"});
    assert_eq!(register(raised).await.problem(400, "unknown_field").fields(), ["role"]);
    let missing = register(json!({"email": "ada@example.com", "name": "a"}))
        .await
        .problem(400, "missing_field");
    assert_eq!(missing.fields(), ["password"]);
    register(json!({"email": ["ada@example.com"], "password": PASSWORD, "name": "a"}))
        .await
        .problem(400, "wrong_type");
    register(json!([])).await.expect(400);

    // Nothing was stored: the address is still free, and 128 characters are characters, not bytes.
    good["password"] = json!("äöüß".repeat(32));
    register(good).await.expect(201);
}

#[tokio::test]
async fn an_address_belongs_to_one_person() {
    let app = TestApp::start().await;
    let register = async |email: &'static str| app.client().post("/v1/auth/register", registration(email)).await;
    let spellings = [
        "ada@example.com",
        "Ada@example.com",
        "ADA@EXAMPLE.COM",
        "ada@Example.com",
        "aDa@example.com",
    ];
    let racing = join_all(spellings.map(register)).await;
    let (won, lost): (Vec<_>, Vec<_>) = racing.into_iter().partition(|reply| reply.status == 201);
    assert_eq!(won.len(), 1);
    for reply in lost {
        shows_no_secret(&reply.problem(409, "email_taken"));
    }
    register("Ada@Example.Com").await.problem(409, "email_taken");
    // The first manager's address is taken even before the manager has ever logged in.
    register(MANAGER_EMAIL).await.problem(409, "email_taken");
}

#[tokio::test]
async fn a_repeated_registration_with_an_idempotency_key_has_the_first_reply() {
    let app = TestApp::start().await;
    let once = app.client().header("idempotency-key", "registration-1");
    let first = once
        .post("/v1/auth/register", registration("ada@example.com"))
        .await
        .expect(201);
    let again = once
        .post("/v1/auth/register", registration("ada@example.com"))
        .await
        .expect(201);
    assert_eq!(
        (again.header("idempotent-replayed"), &again.json),
        ("true", &first.json)
    );
    let other = registration("eve@example.com");
    once.post("/v1/auth/register", other)
        .await
        .problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_one_answer() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let log_in = async |email: &str, password: &str| {
        let reply = app
            .client()
            .post("/v1/auth/login", json!({"email": email, "password": password}))
            .await;
        let mut problem = reply.problem(401, "bad_credentials");
        assert_eq!(problem.header("www-authenticate"), "Bearer");
        problem.json.as_object_mut().unwrap().shift_remove("requestId");
        problem.json
    };
    let wrong = log_in(&ada.email, "wrong password").await;
    assert_eq!(wrong, log_in("nobody@example.com", "wrong password").await);
    assert_eq!(wrong, log_in("nobody@example.com", PASSWORD).await);
    assert_eq!(wrong, log_in(MANAGER_EMAIL, "wrong password").await);
    assert_eq!(wrong, log_in(&ada.email, "").await);
    assert_eq!(wrong, log_in(&ada.email, &PASSWORD.to_uppercase()).await);

    let post = async |body: Value| app.client().post("/v1/auth/login", body).await;
    post(json!({"email": ada.email})).await.problem(400, "missing_field");
    post(json!({"email": ada.email, "password": PASSWORD, "more": 1}))
        .await
        .problem(400, "unknown_field");
    post(json!({"email": {"$ne": null}, "password": {"$ne": null}}))
        .await
        .problem(400, "wrong_type");
    let long = json!({"email": "x".repeat(255), "password": "x".repeat(513)});
    assert_eq!(post(long).await.problem(422, "invalid").fields(), ["email", "password"]);
}

#[tokio::test]
async fn the_first_manager_logs_in_without_having_registered() {
    let app = TestApp::start().await;
    let body = json!({"email": MANAGER_EMAIL.to_uppercase(), "password": MANAGER_PASSWORD});
    let log_in = async |body| app.client().post("/v1/auth/login", body).await;
    let racing = join_all((0..4).map(|_| log_in(body.clone()))).await;
    let ids: Vec<Value> = racing
        .into_iter()
        .map(|reply| reply.expect(200).json["user"]["id"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let manager = app.manager().await;
    assert_eq!(
        manager.client.get("/v1/auth/me").await.expect(200).json["role"],
        "manager"
    );
}

#[tokio::test]
async fn an_access_token_is_good_for_15_minutes() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    app.advance(15 * Time::MINUTE - 1);
    ada.client.get("/v1/auth/me").await.expect(200);
    app.advance(1);
    let expired = ada.client.get("/v1/auth/me").await.problem(401, "token_expired");
    assert_eq!(expired.header("www-authenticate"), "Bearer");
    ada.client.get("/v1/orgs").await.problem(401, "token_expired");
}

#[tokio::test]
async fn what_is_not_a_token_of_ours_proves_nothing() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let stranger = app.person().await;
    let [header, payload, signature] = ada.access_token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let theirs = stranger.access_token.split('.').nth(1).unwrap();
    for authorization in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        ada.access_token.clone(),
        format!("Basic {}", STANDARD.encode(format!("{}:{PASSWORD}", ada.email))),
        format!("Bearer {}", ada.refresh_token),
        format!("Bearer {header}.{payload}"),
        format!("Bearer {header}.{payload}."),
        format!("Bearer {header}.{theirs}.{signature}"),
        format!("Bearer {}x", ada.access_token),
        format!("Bearer {}", "a".repeat(10_000)),
        format!("Bearer {}", "..".repeat(3)),
    ] {
        let client = app.client().header("authorization", &authorization);
        for path in ["/v1/auth/me", "/v1/orgs", "/v1/users", "/v1/projects"] {
            client.get(path).await.problem(401, "not_authenticated");
        }
    }
    // A token that another deployment has signed.
    let (now, user) = (app.now(), ada.id.parse().unwrap());
    let other = identity::Issuer::of_new_key(testing::PUBLIC_URL)
        .unwrap()
        .issue(now, user, kernel::SessionId::new(now))
        .unwrap();
    app.client()
        .bearer(other)
        .get("/v1/auth/me")
        .await
        .problem(401, "not_authenticated");
    // One of ours, for a session that never was.
    let unknown = app.issuer().issue(now, user, kernel::SessionId::new(now)).unwrap();
    app.client()
        .bearer(unknown)
        .get("/v1/auth/me")
        .await
        .problem(401, "session_ended");
    let nobody = app
        .issuer()
        .issue(now, kernel::UserId::new(now), kernel::SessionId::new(now))
        .unwrap();
    app.client()
        .bearer(nobody)
        .get("/v1/auth/me")
        .await
        .problem(401, "not_authenticated");
}

#[tokio::test]
async fn another_algorithm_than_ours_proves_nothing() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let jwks = app.client().get("/.well-known/jwks.json").await.expect(200);
    let key = &jwks.json["keys"][0];
    let (kid, x) = (key["kid"].as_str().unwrap(), key["x"].as_str().unwrap());
    let public = URL_SAFE_NO_PAD.decode(x).unwrap();
    // The DER of RFC 8410: an algorithm identifier, then the key.
    let der = [hex::decode("302a300506032b6570032100").unwrap(), public.clone()].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&der)
    );
    let payload = ada.access_token.split('.').nth(1).unwrap();

    let message = |header: Value| format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header.to_string()));
    let mut forged = Vec::new();
    for secret in [
        public.as_slice(),
        &der,
        pem.as_bytes(),
        x.as_bytes(),
        key.to_string().as_bytes(),
        b"",
    ] {
        let message = message(json!({"alg": "HS256", "typ": "JWT", "kid": kid}));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        forged.push(format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac)));
    }
    for algorithm in ["none", "None", "NONE", "", "ES256", "RS256"] {
        let message = message(json!({"alg": algorithm, "typ": "JWT", "kid": kid}));
        forged.push(format!("{message}."));
        forged.push(format!("{message}.{}", ada.access_token.split('.').nth(2).unwrap()));
    }
    // A key that the token brings along is not ours.
    let own = json!({"alg": "EdDSA", "typ": "JWT", "kid": kid, "jwk": key, "jku": "https://evil.example/jwks.json"});
    forged.push(format!("{}.{}", message(own), URL_SAFE_NO_PAD.encode([0; 64])));
    for token in forged {
        app.client()
            .bearer(&token)
            .get("/v1/auth/me")
            .await
            .problem(401, "not_authenticated");
    }
}

#[tokio::test]
async fn the_published_keys_verify_tokens_and_hold_nothing_private() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let jwks = app.client().get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(jwks.header("cache-control"), "public, max-age=300");
    let key = jwks.json["keys"][0].as_object().unwrap();
    let members: Vec<&String> = key.keys().collect();
    assert_eq!(members, ["kty", "crv", "x", "kid", "alg", "use"]);
    let (message, signature) = ada.access_token.rsplit_once('.').unwrap();
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public
        .verify(message.as_bytes(), &signature)
        .expect("the published key verifies the token");
    let header = URL_SAFE_NO_PAD.decode(message.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &key["kid"]));
}

/// Wants that neither the person's tokens nor their password open anything.
async fn is_shut_out(app: &TestApp, person: &Person) {
    let credentials = json!({"email": person.email, "password": PASSWORD});
    app.client()
        .post("/v1/auth/login", credentials)
        .await
        .problem(401, "deactivated");
    let refresh = json!({"refreshToken": person.refresh_token});
    app.client()
        .post("/v1/auth/refresh", refresh)
        .await
        .problem(401, "deactivated");
    person.client.get("/v1/auth/me").await.problem(401, "deactivated");
    person
        .client
        .post("/v1/orgs", json!({"name": "Mine"}))
        .await
        .problem(401, "deactivated");
}

#[tokio::test]
async fn the_tokens_of_a_deactivated_person_stop_within_a_minute_and_for_good() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let manager = app.manager().await;
    let projects = acme.client.get("/v1/projects").await.expect(200);
    assert_eq!(projects.data().len(), 1);
    manager
        .client
        .delete(format!("/v1/users/{}", acme.owner.id))
        .await
        .expect(204);

    app.advance(60_000);
    acme.client.get("/v1/projects").await.problem(401, "deactivated");
    let events = format!("/v1/events?projectId={}", acme.project);
    acme.client.get(events).await.problem(401, "deactivated");
    is_shut_out(&app, &acme.owner).await;
    // Only who knows the password learns that the account is deactivated.
    let wrong = json!({"email": acme.owner.email, "password": "wrong password"});
    app.client()
        .post("/v1/auth/login", wrong)
        .await
        .problem(401, "bad_credentials");

    manager
        .client
        .patch(format!("/v1/users/{}/reactivate", acme.owner.id), json!({}))
        .await
        .expect(200);
    app.advance(60_000);
    // Whoever had the tokens was perhaps why they were shut out.
    acme.client.get("/v1/projects").await.problem(401, "session_ended");
    acme.owner
        .logged_in_again(&app)
        .await
        .client
        .get("/v1/auth/me")
        .await
        .expect(200);
    let refresh = json!({"refreshToken": acme.owner.refresh_token});
    app.client()
        .post("/v1/auth/refresh", refresh)
        .await
        .problem(401, "bad_refresh_token");
}
