//! Rate limits: exact over any number of processes, by key, tenant and address; what they tell and what they cost.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::json;
use testing::{Client, RATES, Rates, Reply, Tenant, TestApp};

const EVENTS: &str = "/v1/ingest/events";

/// A key of the tenant with a rate of its own.
async fn key(app: &TestApp, tenant: &Tenant, rate: u32) -> Client {
    let keys = format!("/v1/projects/{}/api-keys", tenant.project);
    let body = json!({"label": "limited", "rateLimitPerMinute": rate});
    let made = tenant.client.post(keys, body).await.expect(201);
    app.client().header("x-api-key", made.text("key"))
}

/// Calls a route of the key's that does nothing: a batch that is no batch. 400 passed, 429 did not.
async fn probe(server: &Client) -> Reply {
    server.post(EVENTS, json!({})).await
}

/// How often each status came.
fn tally(replies: &[Reply]) -> BTreeMap<u16, usize> {
    let mut tally = BTreeMap::new();
    for reply in replies {
        *tally.entry(reply.status.as_u16()).or_default() += 1;
    }
    tally
}

#[tokio::test]
async fn of_a_thousand_concurrent_calls_on_a_limit_of_100_exactly_100_pass() {
    let app = TestApp::start_with(RATES, 8).await;
    let acme = app.tenant().await;
    let server = key(&app, &acme, 100).await;
    let event = json!({"events": [{"type": "A", "name": "a"}]});
    for _ in 0..2 {
        let replies = join_all((0..1_000).map(|_| server.post(EVENTS, event.clone()))).await;
        assert_eq!(tally(&replies), BTreeMap::from([(202, 100), (429, 900)]));
        assert_eq!(app.take_messages().await.len(), 100);
        app.advance(59_999);
        probe(&server).await.problem(429, "rate_limited");
        app.advance(1);
    }
    // Another key, and the members, have their own.
    probe(&acme.server).await.expect(400);
    acme.client.get("/v1/projects").await.expect(200);
}

#[tokio::test]
async fn a_limit_of_10_000_passes_all_of_it_and_never_more_for_few_writes() {
    let app = TestApp::start_with(RATES, 8).await;
    let acme = app.tenant().await;
    let server = key(&app, &acme, 10_000).await;
    // Each process looks the key up once, before the counting begins.
    let mut replies = tally(&[probe(&server).await]);
    for _ in 1..8 {
        *replies.entry(probe(&server).await.status.as_u16()).or_default() += 1;
    }
    app.take_usage("Ingest");
    for calls in [100; 120] {
        for (status, many) in tally(&join_all((0..calls).map(|_| probe(&server))).await) {
            *replies.entry(status).or_default() += many;
        }
    }
    let cost = app.take_usage("Ingest");
    println!("12,008 calls on a limit of 10,000: {replies:?}, {cost:?}");
    let passed = replies[&400];
    assert!((9_900..=10_000).contains(&passed), "{passed} passed");
    assert_eq!(passed + replies[&429], 12_008);
    // The counters of the key and of its tenant together: at most 0.05 for each call that passed.
    assert!(cost.dynamodb_requests <= 500, "{} requests", cost.dynamodb_requests);
}

#[tokio::test]
async fn many_keys_do_not_multiply_a_tenants_limit() {
    let rates = Rates {
        per_tenant: 60,
        ..RATES
    };
    let app = TestApp::start_with(rates, 3).await;
    let [acme, rival] = app.tenants().await;
    let mut servers = Vec::new();
    for _ in 0..5 {
        servers.push(key(&app, &acme, 1_000).await);
    }
    app.advance(60_000);
    let calls = servers.iter().flat_map(|server| (0..40).map(move |_| probe(server)));
    let replies = join_all(calls).await;
    assert_eq!(tally(&replies), BTreeMap::from([(400, 60), (429, 140)]));
    let refused = probe(&servers[0]).await.problem(429, "rate_limited");
    assert!(
        refused
            .text("detail")
            .starts_with("this organization may make 60 calls a minute")
    );
    // It is nobody else's. What the tenant refuses, the key has not spent.
    probe(&rival.server).await.expect(400);
    rival.client.get("/v1/projects").await.expect(200);
}

#[tokio::test]
async fn members_who_look_stop_no_server_and_servers_stop_no_member() {
    let rates = Rates {
        per_tenant: 60,
        ..RATES
    };
    let app = TestApp::start_with(rates, 3).await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    app.advance(60_000);
    let replies = join_all((0..100).map(|_| viewer.client.get("/v1/projects"))).await;
    assert_eq!(tally(&replies), BTreeMap::from([(200, 60), (429, 40)]));
    // All members together have one limit, whatever they look at.
    let org = format!("/v1/orgs/{}", acme.org);
    let refused = acme.client.get(org).await.problem(429, "rate_limited");
    assert_eq!(refused.header("ratelimit-policy"), r#""tenant";q=60;w=60"#);
    let replies = join_all((0..100).map(|_| probe(&acme.server))).await;
    assert_eq!(tally(&replies), BTreeMap::from([(400, 60), (429, 40)]));
    app.advance(60_000);
    join_all((0..100).map(|_| probe(&acme.server))).await;
    viewer.client.get("/v1/projects").await.expect(200);
}

#[tokio::test]
async fn a_person_has_a_limit_of_their_own_outside_of_any_organization() {
    let rates = Rates {
        per_person: 20,
        ..RATES
    };
    let app = TestApp::start_with(rates, 3).await;
    let (ada, acme) = (app.person().await, app.tenant().await);
    let replies = join_all((0..50).map(|_| ada.client.get("/v1/auth/me"))).await;
    assert_eq!(tally(&replies), BTreeMap::from([(200, 20), (429, 30)]));
    for path in ["/v1/orgs", "/v1/users", "/v1/audit", "/v1/auth/sessions"] {
        let refused = ada.client.get(path).await.problem(429, "rate_limited");
        assert_eq!(refused.header("ratelimit-policy"), r#""person";q=20;w=60"#);
    }
    let refused = ada.client.post("/v1/orgs", json!({"name": "Acme"})).await;
    let refused = refused.problem(429, "rate_limited");
    assert!(
        refused
            .text("detail")
            .starts_with("this person may make 20 calls a minute")
    );
    // Another session is the same person; another person is not, nor is a member the person.
    ada.logged_in_again(&app)
        .await
        .client
        .get("/v1/auth/me")
        .await
        .problem(429, "rate_limited");
    for _ in 0..40 {
        acme.client.get("/v1/projects").await.expect(200);
    }
    acme.client.get("/v1/auth/me").await.expect(200);
    app.advance(60_000);
    ada.client.get("/v1/auth/me").await.expect(200);
}

#[tokio::test]
async fn two_limits_are_both_told() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let body = json!({"currentPassword": "a", "newPassword": "another good horse"});
    let reply = ada.client.post("/v1/auth/password/change", body).await.expect(422);
    assert_eq!(
        reply.header("ratelimit-policy"),
        r#""address";q=600;w=60, "person";q=600000;w=60"#
    );
}

#[tokio::test]
async fn what_proves_nothing_is_counted_by_address() {
    let rates = Rates {
        per_stranger: 10,
        ..RATES
    };
    let app = TestApp::start_with(rates, 3).await;
    let ada = app.person().await;
    let here = app.client().from("198.51.100.7");
    let token = json!({"refreshToken": "x"});
    let replies = join_all((0..30).map(|_| here.post("/v1/auth/refresh", token.clone()))).await;
    assert_eq!(tally(&replies), BTreeMap::from([(401, 10), (429, 20)]));
    for path in ["email/verify", "logout"] {
        let refused = here.post(format!("/v1/auth/{path}"), json!({"token": "x"})).await;
        refused.problem(429, "rate_limited");
    }
    let back = here.get("/v1/auth/google/callback?state=x").await;
    back.problem(429, "rate_limited");
    // What has a limit of its own goes on, as do others.
    log_in(&app, "198.51.100.7", 0).await.expect(401);
    ada.client.get("/v1/auth/me").await.expect(200);
    let theirs = json!({"refreshToken": ada.refresh_token});
    app.client().post("/v1/auth/refresh", theirs).await.expect(200);
}

#[tokio::test]
async fn keys_that_nobody_has_are_counted_by_address_and_good_ones_are_not() {
    let rates = Rates {
        per_stranger: 10,
        ..RATES
    };
    let app = TestApp::start_with(rates, 3).await;
    let acme = app.tenant().await;
    let here = app.client().from("198.51.100.7");
    let made_up = |_| {
        let secret = identity::api_key::Secret::new(identity::project::Environment::Prod);
        here.header("x-api-key", secret.reveal())
    };
    let strangers: Vec<Client> = (0..30).map(made_up).collect();
    let replies = join_all(strangers.iter().map(probe)).await;
    assert_eq!(tally(&replies), BTreeMap::from([(401, 10), (429, 20)]));
    let refused = probe(&strangers[0]).await.problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "60");
    // A good key from the same address is not refused, however often it comes.
    let server = here.header("x-api-key", &acme.key);
    for _ in 0..20 {
        probe(&server).await.expect(400);
    }
    app.advance(60_000);
    probe(&strangers[0]).await.problem(401, "bad_api_key");
}

#[tokio::test]
async fn what_the_tenant_refuses_its_key_has_not_spent() {
    let rates = Rates {
        per_tenant: 10,
        ..RATES
    };
    let app = TestApp::start_with(rates, 1).await;
    let acme = app.tenant().await;
    let server = key(&app, &acme, 20).await;
    app.advance(60_000);
    for left in (10..20).rev() {
        let reply = probe(&server).await.expect(400);
        assert!(reply.header("ratelimit").starts_with(&format!(r#""key";r={left};"#)));
    }
    for _ in 0..30 {
        let refused = probe(&server).await.problem(429, "rate_limited");
        assert!(refused.header("ratelimit").ends_with(r#""tenant";r=0;t=60"#));
    }
    app.advance(60_000);
    probe(&server).await.expect(400);
}

#[tokio::test]
async fn every_reply_tells_what_is_left_and_a_refusal_when_to_come_again() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let server = key(&app, &acme, 2).await;
    app.advance(60_000);
    let reply = probe(&server).await.expect(400);
    assert_eq!(
        reply.header("ratelimit-policy"),
        r#""key";q=2;w=60, "tenant";q=600000;w=60"#
    );
    assert_eq!(reply.header("ratelimit"), r#""key";r=1;t=60, "tenant";r=599999;t=60"#);
    app.advance(17_500);
    let reply = probe(&server).await.expect(400);
    assert_eq!(reply.header("ratelimit"), r#""key";r=0;t=43, "tenant";r=599998;t=43"#);
    let refused = probe(&server).await.problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "43");
    assert_eq!(
        refused.text("detail"),
        "this API key may make 2 calls a minute; call again in 43 s"
    );
    assert!(refused.header("ratelimit").starts_with(r#""key";r=0;t=43, "#));
    app.advance(42_500);
    probe(&server).await.expect(400);
    // Who is not known is not limited, but refused.
    let stranger = server.header("x-api-key", "ch_live_nonsense");
    assert_eq!(
        stranger.post(EVENTS, json!({})).await.expect(401).header("ratelimit"),
        ""
    );
    let members = acme.client.get("/v1/projects").await.expect(200);
    assert!(members.header("ratelimit").starts_with(r#""tenant";r="#));
}

#[tokio::test]
async fn who_is_not_known_is_refused_even_when_the_limit_is_used_up() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let server = key(&app, &acme, 1).await;
    probe(&server).await.expect(400);
    probe(&server).await.problem(429, "rate_limited");
    probe(&app.client()).await.problem(401, "missing_api_key");
    probe(&app.client().header("x-api-key", "ch_live_nonsense"))
        .await
        .problem(401, "bad_api_key");
    acme.client
        .delete(format!("/v1/projects/{}/api-keys/{}", acme.project, acme.key_id))
        .await
        .expect(204);
    app.advance(30_000);
    probe(&acme.server).await.problem(401, "bad_api_key");
}

/// Tries to log in from an address, claiming others in every header that proxies use.
async fn log_in(app: &TestApp, from: &str, claimed: usize) -> Reply {
    let other = format!("203.0.113.{claimed}");
    let client = app.client().from(from);
    let client = client.header("x-forwarded-for", &other).header("x-real-ip", &other);
    let client = client.header("forwarded", format!("for={other}"));
    // Another account each time: what fails at one is counted apart.
    let body = json!({"email": format!("nobody-{claimed}@{from}"), "password": "not the password"});
    client
        .header("true-client-ip", &other)
        .post("/v1/auth/login", body)
        .await
}

#[tokio::test]
async fn no_header_gives_a_caller_another_address() {
    let rates = Rates {
        per_address: 5,
        ..RATES
    };
    let app = TestApp::start_with(rates, 4).await;
    let replies = join_all((0..140).map(|n| log_in(&app, "198.51.100.7", n))).await;
    assert_eq!(tally(&replies), BTreeMap::from([(401, 5), (429, 135)]));
    let refused = log_in(&app, "198.51.100.7", 0).await.problem(429, "rate_limited");
    assert_eq!(
        refused.text("detail"),
        "this address may make 5 calls a minute; call again in 60 s"
    );
    assert_eq!(refused.header("ratelimit-policy"), r#""address";q=5;w=60"#);
    // Registering is the same limit; what costs nothing to refuse has none.
    let registration = json!({"email": "a@example.com", "password": "a long enough one", "name": "A"});
    let here = app.client().from("198.51.100.7");
    here.post("/v1/auth/register", registration.clone())
        .await
        .problem(429, "rate_limited");
    for _ in 0..10 {
        here.post("/v1/auth/refresh", json!({"refreshToken": "x"}))
            .await
            .expect(401);
    }
    // Another address is another caller; and a minute later so is this one.
    let other = app.client().from("198.51.100.8");
    other.post("/v1/auth/register", registration).await.expect(201);
    app.advance(60_000);
    log_in(&app, "198.51.100.7", 0).await.expect(401);
}

#[tokio::test]
async fn the_addresses_of_one_ipv6_customer_are_one() {
    let rates = Rates {
        per_address: 5,
        ..RATES
    };
    let app = TestApp::start_with(rates, 2).await;
    let own = (0..20).map(async |n| log_in(&app, &format!("2001:db8:0:1:{n:x}::{n:x}"), n).await);
    assert_eq!(tally(&join_all(own).await), BTreeMap::from([(401, 5), (429, 15)]));
    log_in(&app, "2001:db8:0:2::1", 0).await.expect(401);
    log_in(&app, "192.0.2.200", 0).await.expect(401);
    log_in(&app, "::ffff:192.0.2.200", 0).await.expect(401);
    for _ in 0..3 {
        log_in(&app, "::ffff:192.0.2.200", 0).await.expect(401);
    }
    log_in(&app, "192.0.2.200", 0).await.problem(429, "rate_limited");
}

#[tokio::test]
async fn processes_that_die_or_tell_another_time_let_nobody_through() {
    let app = TestApp::start().await;
    let now = app.now();
    let (key, org) = (kernel::ApiKeyId::new(now), kernel::OrgId::new(now));
    let mut passed = 0;
    for round in 0..200_i64 {
        // A new process each time, with a clock that is up to two seconds off; the one before died with its block.
        let limits = limits::Limits::new(app.table(), RATES);
        let clock = || now.plus_millis(round * 280 + (round * 7_919) % 4_000 - 2_000);
        let calls = (0..9).map(|_| limits.key(key, Some(1_000), org, clock));
        passed += join_all(calls)
            .await
            .into_iter()
            .filter(|verdict| verdict.as_ref().unwrap().refusal().is_none())
            .count();
    }
    // 56 seconds by the slowest clock: one window, or two where a fast clock began the next.
    assert!(passed <= 1_000, "{passed} passed");
    assert!(passed >= 100, "only {passed} passed");
}

#[tokio::test]
async fn nobody_passes_while_the_counter_cannot_be_asked() {
    let app = TestApp::start().await;
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
        .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_dynamodb::config::Credentials::new(
            "a", "b", None, None, "tests",
        ))
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        // Nothing listens on this port.
        .endpoint_url("http://127.0.0.1:9")
        .build();
    let names = [(table::TableName::Operations, "operations".to_owned())];
    let table = table::Table::new(aws_sdk_dynamodb::Client::from_conf(config), names.into());
    let limits = limits::Limits::new(table, RATES);
    let asked = limits.members(kernel::OrgId::new(app.now()), || app.now()).await;
    assert!(matches!(asked, Err(kernel::Error::Busy)), "{asked:?}");
}
