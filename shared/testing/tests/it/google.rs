//! Logging in with Google, against a provider of our own that can be made to fail and to lie. That a real provider takes
//! what we send is tried in `infra/local/tests`.

use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use outbound::Url;
use serde_json::{Value, json};
use testing::{PASSWORD, RATES, Rates, Reply, Setup, TestApp};

const PUBLIC_URL: &str = "https://api.example.com";
const COOKIE: &str = "__Host-google-login";

/// A provider that says what a test wants it to.
#[derive(Clone)]
struct Fake(Arc<Mutex<Answers>>);

struct Answers {
    url: String,
    key: Ed25519KeyPair,
    kid: u32,
    /// What the token says besides the usual; null takes a claim away.
    claims: Value,
    nonce: String,
    challenge: String,
    /// What is answered instead of a token.
    refusal: Option<(StatusCode, Value)>,
    /// What is answered instead of everything else.
    broken: Option<StatusCode>,
    /// What the discovery document says besides the usual.
    metadata: Value,
    /// The paths that were called.
    calls: Vec<&'static str>,
}

fn merge(base: &mut Value, over: &Value) {
    for (name, value) in over.as_object().unwrap() {
        if value.is_null() {
            base.as_object_mut().unwrap().shift_remove(name);
        } else {
            base[name] = value.clone();
        }
    }
}

fn answer(answers: &Answers, body: impl FnOnce() -> Value) -> Response {
    match answers.broken {
        Some(status) => status.into_response(),
        None => axum::Json(body()).into_response(),
    }
}

impl Fake {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self(Arc::new(Mutex::new(Answers {
            url,
            key: Ed25519KeyPair::generate().unwrap(),
            kid: 1,
            claims: json!({}),
            nonce: String::new(),
            challenge: String::new(),
            refusal: None,
            broken: None,
            metadata: json!({}),
            calls: Vec::new(),
        })));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    fn set(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.0.lock().unwrap());
    }

    fn calls(&self, path: &str) -> usize {
        self.0
            .lock()
            .unwrap()
            .calls
            .iter()
            .filter(|call| **call == path)
            .count()
    }

    /// A deployment whose people log in here.
    fn setup(&self, public_url: &str, allowed: &str) -> Setup {
        Setup::default()
            .parameter("GoogleIssuer", &self.0.lock().unwrap().url)
            .parameter("GoogleClientId", "our app")
            .secret("GoogleClientSecretParameter", "s3cret:%")
            .parameter("PublicUrl", public_url)
            .parameter("OutboundAllowList", allowed)
    }

    /// An app whose people log in here.
    async fn app(&self) -> TestApp {
        TestApp::start_as(self.setup(PUBLIC_URL, "127.0.0.1")).await
    }
}

async fn discovery(State(Fake(answers)): State<Fake>) -> Response {
    let mut answers = answers.lock().unwrap();
    answers.calls.push("discovery");
    answer(&answers, || {
        let url = &answers.url;
        let mut document = json!({
            "issuer": url, "authorization_endpoint": format!("{url}/auth?tenant=1"), "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/jwks"), "authorization_response_iss_parameter_supported": true,
        });
        merge(&mut document, &answers.metadata);
        document
    })
}

async fn jwks(State(Fake(answers)): State<Fake>) -> Response {
    let mut answers = answers.lock().unwrap();
    answers.calls.push("jwks");
    answer(&answers, || {
        let x = URL_SAFE_NO_PAD.encode(answers.key.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": answers.kid.to_string(), "x": x}]})
    })
}

async fn token(State(Fake(answers)): State<Fake>, headers: HeaderMap, body: String) -> Response {
    let mut answers = answers.lock().unwrap();
    answers.calls.push("token");
    if let Some((status, body)) = &answers.refusal {
        return (*status, axum::Json(body.clone())).into_response();
    }
    // Both halves are form-encoded before (RFC 6749, 2.3.1).
    let basic = format!("Basic {}", STANDARD.encode("our+app:s3cret%3A%25"));
    assert_eq!(headers[header::AUTHORIZATION], basic);
    let page = Url::parse(&format!("http://form/?{body}")).unwrap();
    let field = |name: &str| page.query_pairs().find(|(one, _)| one == name).unwrap().1.into_owned();
    assert_eq!(field("grant_type"), "authorization_code");
    assert_eq!(field("code"), "the code");
    assert_eq!(field("redirect_uri"), format!("{PUBLIC_URL}/v1/auth/google/callback"));
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, field("code_verifier").as_bytes()));
    assert_eq!(challenge, answers.challenge);
    answer(
        &answers,
        || json!({"id_token": id_token(&answers), "token_type": "Bearer"}),
    )
}

fn id_token(answers: &Answers) -> String {
    let now = testing::START.seconds();
    let mut claims = json!({
        "iss": answers.url, "aud": "our app", "sub": "1", "nonce": answers.nonce, "iat": now - 30, "exp": now + 86_400,
        "email": "Ada@Example.com", "email_verified": true, "name": "Ada Lovelace",
    });
    merge(&mut claims, &answers.claims);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "EdDSA", "kid": answers.kid.to_string()});
    let message = format!("{}.{}", part(&header), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(answers.key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// A login that was begun: what the browser holds, and with which parameters it was sent away.
struct Begun {
    cookie: String,
    page: Url,
}

impl Begun {
    fn parameter(&self, name: &str) -> String {
        let found = self.page.query_pairs().find(|(one, _)| one == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {}", self.page))
            .1
            .into_owned()
    }
}

async fn begin(app: &TestApp, fake: &Fake) -> Begun {
    let reply = app.client().get("/v1/auth/google").await.expect(302);
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    let page = Url::parse(reply.header("location")).unwrap();
    let begun = Begun { cookie, page };
    fake.set(|answers| {
        answers.nonce = begun.parameter("nonce");
        answers.challenge = begun.parameter("code_challenge");
    });
    begun
}

/// Comes back with this cookie and state.
async fn back(app: &TestApp, fake: &Fake, cookie: &str, state: &str, rest: &str) -> Reply {
    let issuer = fake.0.lock().unwrap().url.clone();
    let path = format!("/v1/auth/google/callback?state={state}&{rest}&iss={issuer}&scope=email&authuser=0");
    app.client().header("cookie", format!("a=1; {cookie}")).get(path).await
}

async fn finish(app: &TestApp, fake: &Fake, begun: &Begun) -> Reply {
    back(app, fake, &begun.cookie, &begun.parameter("state"), "code=the%20code").await
}

async fn log_in(app: &TestApp, fake: &Fake) -> Reply {
    let begun = begin(app, fake).await;
    finish(app, fake, &begun).await
}

/// How many people there are besides the manager.
async fn people(app: &TestApp) -> usize {
    app.manager().await.client.all("/v1/users").await.len() - 1
}

#[tokio::test]
async fn without_a_provider_nobody_logs_in_so() {
    let app = TestApp::start().await;
    for path in ["/v1/auth/google", "/v1/auth/google/callback?state=x&code=y"] {
        app.client().get(path).await.problem(409, "google_not_configured");
    }
}

#[tokio::test]
async fn who_comes_for_the_first_time_is_registered_and_then_logged_in() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    assert_eq!(fake.0.lock().unwrap().calls.len(), 0, "asked before anybody logs in");
    let begun = begin(&app, &fake).await;
    assert_eq!(begun.page.path(), "/auth");
    for (name, value) in [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", "our app"),
        ("redirect_uri", "https://api.example.com/v1/auth/google/callback"),
        ("scope", "openid email profile"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(begun.parameter(name), value);
    }
    let first = finish(&app, &fake, &begun).await.expect(200);
    assert!(
        first
            .header("set-cookie")
            .starts_with(&format!("{COOKIE}=; Max-Age=0;"))
    );
    assert_eq!(first.json["expiresIn"], 900);
    let user = &first.json["user"];
    assert_eq!(
        (&user["email"], &user["name"]),
        (&json!("ada@example.com"), &json!("Ada Lovelace"))
    );
    assert_eq!((&user["role"], &user["status"]), (&json!("user"), &json!("active")));

    let me = app
        .client()
        .bearer(first.text("accessToken"))
        .get("/v1/auth/me")
        .await
        .expect(200);
    assert_eq!(me.json, *user);
    let refresh = json!({"refreshToken": first.text("refreshToken")});
    app.client().post("/v1/auth/refresh", refresh).await.expect(200);

    let again = log_in(&app, &fake).await.expect(200);
    assert_eq!(again.json["user"], *user);
    assert_ne!(again.text("accessToken"), first.text("accessToken"));
    assert_eq!(people(&app).await, 1);

    let trail = app.manager().await.client.all("/v1/audit").await;
    let registered: Vec<&Value> = trail.iter().filter(|entry| entry["targetId"] == user["id"]).collect();
    assert_eq!(registered.len(), 1);
    assert_eq!(registered[0]["action"], "user.registered");
    let new = json!({"email": "ada@example.com", "name": "Ada Lovelace", "provider": "google", "role": "user"});
    assert_eq!(registered[0]["newValue"], new);
}

#[tokio::test]
async fn a_password_for_the_same_address_is_somebody_else() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    // Whoever registered the address first cannot wait for its owner to come by Google, nor the other way round.
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "name": "Mallory"});
    let squatter = app.client().post("/v1/auth/register", body.clone()).await.expect(201);
    let owner = log_in(&app, &fake).await.expect(200);
    assert_ne!(owner.json["user"]["id"], squatter.json["user"]["id"]);
    assert_eq!(people(&app).await, 2);
    app.client()
        .post("/v1/auth/register", body)
        .await
        .problem(409, "email_taken");
    // The first manager's address makes nobody a manager.
    fake.set(|answers| answers.claims = json!({"email": testing::MANAGER_EMAIL, "sub": "2"}));
    let named = log_in(&app, &fake).await.expect(200);
    assert_eq!(named.json["user"]["role"], "user");
}

#[tokio::test]
async fn a_login_is_finished_once_in_time_and_in_the_browser_that_began_it() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    let [ada, mallory] = [begin(&app, &fake).await, begin(&app, &fake).await];
    let (state, code) = (mallory.parameter("state"), "code=the%20code");
    // Mallory gives Ada a link that would log her in as Mallory.
    back(&app, &fake, &ada.cookie, &state, code)
        .await
        .problem(401, "bad_state");
    back(&app, &fake, "b=2", &state, code).await.problem(401, "bad_state");
    let forged = format!("{COOKIE}={}", "A".repeat(43));
    for cookie in [
        &format!("{COOKIE}="),
        &format!("{COOKIE}=x"),
        &forged,
        &mallory.cookie.replace("__Host-", ""),
    ] {
        back(&app, &fake, cookie, &state, code).await.problem(401, "bad_state");
    }
    for state in ["", "x", &"A".repeat(43), &"x".repeat(10_000)] {
        back(&app, &fake, &mallory.cookie, state, code)
            .await
            .problem(401, "bad_state");
    }
    let nothing = app.client().header("cookie", &mallory.cookie);
    nothing
        .get("/v1/auth/google/callback?code=x")
        .await
        .problem(400, "missing_field");
    assert_eq!(fake.calls("token"), 0);
    // None of it has used Mallory's own attempt up; finishing it has.
    finish(&app, &fake, &mallory).await.expect(200);
    finish(&app, &fake, &mallory).await.problem(401, "bad_state");
    assert_eq!(fake.calls("token"), 1);

    let late = begin(&app, &fake).await;
    app.advance(600_000);
    finish(&app, &fake, &late).await.problem(401, "bad_state");
    let in_time = begin(&app, &fake).await;
    app.advance(599_000);
    finish(&app, &fake, &in_time).await.expect(200);
}

#[tokio::test]
async fn racing_returns_log_in_once() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    let begun = begin(&app, &fake).await;
    let returns = futures::future::join_all((0..8).map(|_| finish(&app, &fake, &begun))).await;
    let in_number = returns.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(in_number, 1);
    assert_eq!((fake.calls("token"), people(&app).await), (1, 1));
}

#[tokio::test]
async fn an_answer_of_another_provider_is_none() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    for issuer in ["", "&iss=https://evil.example"] {
        let begun = begin(&app, &fake).await;
        let path = format!(
            "/v1/auth/google/callback?code=x&state={}{issuer}",
            begun.parameter("state")
        );
        let client = app.client().header("cookie", &begun.cookie);
        client.get(path).await.problem(401, "bad_state");
    }
    assert_eq!(fake.calls("token"), 0);
}

#[tokio::test]
async fn a_token_that_lies_lets_nobody_in() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    let now = testing::START.seconds();
    for lie in [
        json!({"iss": "https://evil.example"}),
        json!({"aud": "another app"}),
        json!({"nonce": "of another login"}),
        json!({"nonce": null}),
        json!({"exp": now - 3_600}),
        json!({"sub": ""}),
    ] {
        fake.set(|answers| answers.claims = lie.clone());
        log_in(&app, &fake).await.problem(401, "bad_id_token");
    }
    // A token of an earlier login, as it was.
    let early = begin(&app, &fake).await;
    let nonce = early.parameter("nonce");
    let later = begin(&app, &fake).await;
    fake.set(|answers| answers.claims = json!({"nonce": nonce}));
    finish(&app, &fake, &later).await.problem(401, "bad_id_token");
    assert_eq!(people(&app).await, 0);
}

#[tokio::test]
async fn only_a_verified_address_registers() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    for claims in [
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"email": null}),
        json!({"email": "not an address"}),
    ] {
        fake.set(|answers| answers.claims = claims.clone());
        log_in(&app, &fake).await.problem(409, "email_unverified");
    }
    assert_eq!(people(&app).await, 0);
    // A name is not needed, nor must it be a good one.
    for (number, (name, shown)) in [
        (Value::Null, "ada"),
        (json!("\u{0} \n"), "ada"),
        (json!("x".repeat(500)), ""),
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("ada@{number}.example.com");
        fake.set(|answers| answers.claims = json!({"name": name, "email": email, "sub": number.to_string()}));
        let user = log_in(&app, &fake).await.expect(200).json["user"].clone();
        let expected = if shown.is_empty() {
            "x".repeat(100)
        } else {
            shown.to_owned()
        };
        assert_eq!(user["name"], expected);
    }
}

#[tokio::test]
async fn who_has_a_factor_is_asked_for_it_here_too() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    let ada = app.known("ada@example.com".to_owned(), &log_in(&app, &fake).await.expect(200));
    let phone = app.authenticator(&ada, "Phone").await;
    app.advance(30_000);
    let asked = log_in(&app, &fake).await.expect(200);
    assert!(asked.json["accessToken"].is_null() && asked.json["refreshToken"].is_null());
    let body = json!({"challenge": asked.text("challenge"), "code": phone.code()});
    let entered = app.client().post("/v1/auth/login/factor", body).await.expect(200);
    assert_eq!(entered.json["user"]["id"], ada.id.as_str());
}

#[tokio::test]
async fn an_address_given_to_another_account_does_not_open_the_old_ones() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    let first = log_in(&app, &fake).await.expect(200);
    fake.set(|answers| answers.claims = json!({"sub": "2"}));
    log_in(&app, &fake).await.problem(409, "google_account_changed");
    fake.set(|answers| answers.claims = json!({}));
    let again = log_in(&app, &fake).await.expect(200);
    assert_eq!(again.json["user"]["id"], first.json["user"]["id"]);
}

#[tokio::test]
async fn the_deactivated_stay_out() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    let user = log_in(&app, &fake).await.expect(200).json["user"]["id"].clone();
    let path = format!("/v1/users/{}", user.as_str().unwrap());
    app.manager().await.client.delete(path).await.expect(204);
    log_in(&app, &fake).await.problem(401, "deactivated");
}

#[tokio::test]
async fn what_the_provider_refuses_is_told() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    for (error, status, code) in [
        ("access_denied", 401, "google_denied"),
        ("login_required", 401, "google_denied"),
        ("%3Cscript%3E", 401, "google_denied"),
        ("temporarily_unavailable", 503, "busy"),
    ] {
        let begun = begin(&app, &fake).await;
        let rest = format!("error={error}&error_description=x");
        let reply = back(&app, &fake, &begun.cookie, &begun.parameter("state"), &rest).await;
        reply.problem(status, code);
        // Also a login that was denied is used up.
        finish(&app, &fake, &begun).await.problem(401, "bad_state");
    }
    let begun = begin(&app, &fake).await;
    let reply = back(&app, &fake, &begun.cookie, &begun.parameter("state"), "x=y").await;
    reply.problem(401, "bad_code");
    for (status, error, expected, code) in [
        (400, "invalid_grant", 401, "bad_code"),
        (401, "invalid_client", 500, "internal"),
        (500, "server_error", 503, "busy"),
        (429, "slow_down", 503, "busy"),
    ] {
        let refusal = (StatusCode::from_u16(status).unwrap(), json!({"error": error}));
        fake.set(|answers| answers.refusal = Some(refusal));
        let reply = log_in(&app, &fake).await.problem(expected, code);
        assert!(!String::from_utf8_lossy(&reply.bytes).contains(error));
    }
}

#[tokio::test]
async fn a_provider_that_is_away_is_asked_again_later() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    fake.set(|answers| answers.broken = Some(StatusCode::BAD_GATEWAY));
    let reply = app.client().get("/v1/auth/google").await.problem(503, "busy");
    assert_eq!(reply.header("retry-after"), "1");
    fake.set(|answers| answers.broken = None);
    log_in(&app, &fake).await.expect(200);

    // Nobody listens there.
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    fake.set(|answers| answers.url = format!("http://{}", nobody.local_addr().unwrap()));
    drop(nobody);
    fake.app()
        .await
        .client()
        .get("/v1/auth/google")
        .await
        .problem(503, "busy");
}

#[tokio::test]
async fn a_provider_that_is_not_the_one_configured_is_not_used() {
    let fake = Fake::start().await;
    for metadata in [
        json!({"issuer": "https://evil.example"}),
        json!({"token_endpoint": null}),
        json!({"jwks_uri": 5}),
    ] {
        fake.set(|answers| answers.metadata = metadata);
        let app = fake.app().await;
        app.client().get("/v1/auth/google").await.problem(500, "internal");
    }
    // The guard stands before the provider, too.
    let calls = fake.calls("discovery");
    let app = TestApp::start_as(fake.setup(PUBLIC_URL, "")).await;
    app.client().get("/v1/auth/google").await.problem(500, "internal");
    assert_eq!(fake.calls("discovery"), calls);
}

#[tokio::test]
async fn what_the_provider_says_of_itself_is_kept_for_an_hour_and_new_keys_are_found_at_once() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    for _ in 0..3 {
        log_in(&app, &fake).await.expect(200);
    }
    assert_eq!((fake.calls("discovery"), fake.calls("jwks")), (1, 1));
    fake.set(|answers| {
        answers.key = Ed25519KeyPair::generate().unwrap();
        answers.kid += 1;
    });
    log_in(&app, &fake).await.expect(200);
    assert_eq!((fake.calls("discovery"), fake.calls("jwks")), (1, 2));
    app.advance(3_600_000);
    log_in(&app, &fake).await.expect(200);
    assert_eq!((fake.calls("discovery"), fake.calls("jwks")), (2, 3));
}

#[tokio::test]
async fn the_cookie_is_as_strict_as_the_address_allows() {
    let fake = Fake::start().await;
    let cookie = async |public_url: &str| {
        let app = TestApp::start_as(fake.setup(public_url, "127.0.0.1")).await;
        let reply = app.client().get("/v1/auth/google").await.expect(302);
        assert_eq!(reply.header("cache-control"), "no-store");
        reply.header("set-cookie").to_owned()
    };
    let (secure, plain) = (cookie(PUBLIC_URL).await, cookie("http://127.0.0.1:3000").await);
    assert!(secure.starts_with("__Host-google-login="), "{secure}");
    assert!(
        secure.ends_with("; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax"),
        "{secure}"
    );
    assert!(plain.starts_with("google-login="), "{plain}");
    assert!(
        plain.ends_with("; Max-Age=600; Path=/v1/auth/google; HttpOnly; SameSite=Lax"),
        "{plain}"
    );
}

#[tokio::test]
async fn beginning_is_limited_by_address() {
    let rates = Rates {
        per_address: 5,
        ..RATES
    };
    let app = TestApp::start_with(rates, 1).await;
    for _ in 0..5 {
        let reply = app.client().get("/v1/auth/google").await;
        reply.problem(409, "google_not_configured");
    }
    let reply = app.client().get("/v1/auth/google").await;
    reply.problem(429, "rate_limited");
}

#[tokio::test]
async fn the_cookie_is_found_among_others_by_its_whole_name() {
    let fake = Fake::start().await;
    let app = fake.app().await;
    let begun = begin(&app, &fake).await;
    let (state, value) = (
        begun.parameter("state"),
        begun.cookie.trim_start_matches(COOKIE).to_owned(),
    );
    for name in ["google-login", "__Host-google-login2", "x__Host-google-login"] {
        let reply = back(&app, &fake, &format!("{name}{value}; b=2"), &state, "code=the%20code").await;
        reply.problem(401, "bad_state");
    }
    let cookie = format!("{COOKIE}2=x; {}; b=2", begun.cookie);
    back(&app, &fake, &cookie, &state, "code=the%20code").await.expect(200);
}
