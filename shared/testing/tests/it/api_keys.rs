//! /v1/projects/{projectId}/api-keys: shown once, stored as a hash, stopped within a minute.

use kernel::Time;
use serde_json::{Value, json};
use testing::{Reply, Tenant, TestApp};

fn keys(tenant: &Tenant) -> String {
    format!("/v1/projects/{}/api-keys", tenant.project)
}

fn key(tenant: &Tenant) -> String {
    format!("{}/{}", keys(tenant), tenant.key_id)
}

async fn send(app: &TestApp, key: &str) -> Reply {
    app.client()
        .header("x-api-key", key)
        .post("/v1/ingest/event", json!({"type": "A", "name": "a"}))
        .await
}

/// Base 62 of CRC-32, most significant first, as the published format says: written anew here, to check it.
fn checksum(text: &str) -> String {
    let digits: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let mut crc = !0_u32;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    let crc = !crc;
    (0..6)
        .rev()
        .map(|place| digits[(crc / 62_u32.pow(place) % 62) as usize])
        .collect()
}

#[tokio::test]
async fn the_keys_of_who_had_to_go_work_and_are_marked() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let builder = app.member(&acme, "member").await;
    let made = builder
        .client
        .post(keys(&acme), json!({"label": "theirs"}))
        .await
        .expect(201);
    let one = format!("{}/{}", keys(&acme), made.text("id"));
    let path = format!("/v1/orgs/{}/members/{}", acme.org, builder.id);
    acme.client.delete(path).await.expect(204);
    let listed = acme.client.get(keys(&acme)).await.expect(200);
    let (theirs, ours): (Vec<&Value>, Vec<&Value>) = listed
        .data()
        .iter()
        .partition(|key| key["id"] == made.text("id").as_str());
    for shown in [&acme.client.get(&one).await.expect(200).json, theirs[0]] {
        assert_eq!(
            (&shown["createdBy"], &shown["createdByMember"]),
            (&json!(builder.id), &json!(false))
        );
        assert_eq!(shown["status"], "active");
    }
    assert_eq!((ours.len(), &ours[0]["createdByMember"]), (1, &json!(true)));
    let server = app.client().header("x-api-key", made.text("key"));
    let events = json!({"events": [{"type": "A", "name": "a"}]});
    server.post("/v1/ingest/events", events).await.expect(202);
    app.settle().await;
}

#[tokio::test]
async fn a_key_is_shown_once_and_never_again() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let made = acme
        .client
        .post(keys(&acme), json!({"label": "checkout"}))
        .await
        .expect(201);
    let text = made.text("key");
    let (body, sum) = text.split_at(text.len() - 6);
    assert!(body.starts_with("ch_live_") && body.len() == 8 + 30, "{text}");
    assert_eq!(sum, checksum(body));
    let mut shown = made.json.clone();
    shown.as_object_mut().unwrap().shift_remove("key");
    let expected = json!({"id": made.text("id"), "prefix": text[..12], "label": "checkout", "status": "active",
        "scopes": ["ingest"], "rateLimitPerMinute": null, "lastUsedAt": null, "usage": {"events": 0},
        "createdBy": acme.owner.id, "createdByMember": true, "createdAt": app.now(), "expiresAt": null});
    assert_eq!(shown, expected);

    let one = format!("{}/{}", keys(&acme), made.text("id"));
    let trail = format!("/v1/orgs/{}/audit", acme.org);
    let hash = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()));
    for reply in [
        acme.client.get(&one).await,
        acme.client.get(keys(&acme)).await,
        acme.client.patch(&one, json!({"label": "till"})).await,
        acme.client.get(&trail).await,
    ] {
        let reply = String::from_utf8(reply.expect(200).bytes).unwrap();
        for secret in [&text[12..], &hash] {
            assert!(!reply.contains(secret), "{secret} in {reply}");
        }
    }
    assert_eq!(acme.client.get(&one).await.expect(200).json["label"], "till");
}

#[tokio::test]
async fn the_prefix_tells_the_environment_of_the_project() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for (environment, prefix) in [("prod", "ch_live_"), ("staging", "ch_test_"), ("dev", "ch_test_")] {
        let project = json!({"name": environment, "environment": environment});
        let project = acme.client.post("/v1/projects", project).await.expect(201).text("id");
        let made = acme
            .client
            .post(format!("/v1/projects/{project}/api-keys"), json!({"label": "a"}))
            .await
            .expect(201);
        assert!(made.text("key").starts_with(prefix) && made.text("prefix").starts_with(prefix));
    }
}

#[tokio::test]
async fn a_repeated_post_shows_the_same_key_and_makes_no_other() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let once = acme.client.header("idempotency-key", "key-1");
    let first = once.post(keys(&acme), json!({"label": "a"})).await.expect(201);
    let again = once.post(keys(&acme), json!({"label": "a"})).await.expect(201);
    assert_eq!(
        (again.header("idempotent-replayed"), &again.json),
        ("true", &first.json)
    );
    assert_eq!(acme.client.all(keys(&acme)).await.len(), 2);
}

#[tokio::test]
async fn bad_input_is_named_and_stores_nothing() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for (field, value, status, code) in [
        ("label", json!(""), 422, "invalid"),
        ("label", json!("x".repeat(101)), 422, "invalid"),
        ("label", json!(null), 400, "wrong_type"),
        ("scopes", json!([]), 422, "invalid"),
        ("scopes", json!(["admin"]), 400, "wrong_type"),
        ("scopes", json!("ingest"), 400, "wrong_type"),
        ("rateLimitPerMinute", json!(0), 422, "invalid"),
        ("rateLimitPerMinute", json!(1_000_001), 422, "invalid"),
        ("rateLimitPerMinute", json!(-1), 400, "wrong_type"),
        ("rateLimitPerMinute", json!(1.5), 400, "wrong_type"),
        ("expiresAt", json!(app.now()), 422, "invalid"),
        ("expiresAt", json!("tomorrow"), 400, "wrong_type"),
        ("key", json!("ch_live_mine"), 400, "unknown_field"),
        ("status", json!("active"), 400, "unknown_field"),
    ] {
        let mut body = json!({"label": "a"});
        body[field] = value;
        let reply = acme.client.post(keys(&acme), body).await.problem(status, code);
        assert!(reply.fields()[0].starts_with(field), "{}", reply.json);
    }
    let patch = async |body: Value| acme.client.patch(key(&acme), body).await;
    patch(json!({"status": "revoked"})).await.problem(400, "wrong_type");
    patch(json!({"status": null})).await.problem(400, "wrong_type");
    patch(json!({"label": ""})).await.problem(422, "invalid");
    patch(json!({"scopes": ["ingest"]})).await.problem(400, "unknown_field");
    let rotate = async |body: Value| acme.client.post(format!("{}/rotate", key(&acme)), body).await;
    rotate(json!({"graceSeconds": 86_401})).await.problem(422, "invalid");
    rotate(json!({"graceSeconds": -1})).await.problem(400, "wrong_type");
    rotate(json!({})).await.problem(400, "missing_field");
    for bad in ["7", "key_", &acme.project, &acme.key, &acme.key_id.to_uppercase()] {
        acme.client
            .get(format!("{}/{bad}", keys(&acme)))
            .await
            .problem(400, "malformed_id");
    }
    acme.client
        .get(format!("/v1/projects/{}/api-keys", acme.key_id))
        .await
        .problem(400, "malformed_id");
    assert_eq!(acme.client.all(keys(&acme)).await.len(), 1);
}

#[tokio::test]
async fn keys_of_another_organization_or_project_look_absent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let other = json!({"name": "Other", "environment": "prod"});
    let other = acme.client.post("/v1/projects", other).await.expect(201).text("id");
    let foreign = [
        (&rival, key(&acme), "project"),
        (&rival, format!("{}/{}", keys(&rival), acme.key_id), "API key"),
        (
            &acme,
            format!("/v1/projects/{other}/api-keys/{}", acme.key_id),
            "API key",
        ),
        (
            &acme,
            format!("{}/{}", keys(&acme), kernel::ApiKeyId::new(app.now())),
            "API key",
        ),
    ];
    for (tenant, path, absent) in foreign {
        for reply in [
            tenant.client.get(&path).await,
            tenant.client.patch(&path, json!({"status": "disabled"})).await,
            tenant.client.delete(&path).await,
            tenant
                .client
                .post(format!("{path}/rotate"), json!({"graceSeconds": 0}))
                .await,
        ] {
            assert_eq!(
                reply.problem(404, "not_found").json["detail"],
                format!("there is no such {absent}")
            );
        }
    }
    rival.client.get(keys(&acme)).await.problem(404, "not_found");
    rival
        .client
        .post(keys(&acme), json!({"label": "mine"}))
        .await
        .problem(404, "not_found");
    assert_eq!(
        acme.client
            .get(format!("/v1/projects/{other}/api-keys"))
            .await
            .expect(200)
            .data()
            .len(),
        0
    );
    app.advance(60_000);
    send(&app, &acme.key).await.expect(202);
    // What it sends lands in its own project only.
    app.settle().await;
    let events = async |tenant: &Tenant, project: &str| {
        let path = format!("/v1/metrics/overview?projectId={project}");
        tenant.client.get(path).await.expect(200).json["events"].clone()
    };
    assert_eq!(events(&acme, &acme.project).await, 1);
    assert_eq!(events(&acme, &other).await, 0);
    assert_eq!(events(&rival, &rival.project).await, 0);
}

#[tokio::test]
async fn a_disabled_key_stops_within_a_minute_and_works_again_when_it_is_active() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    send(&app, &acme.key).await.expect(202);
    let disabled = acme
        .client
        .patch(key(&acme), json!({"status": "disabled"}))
        .await
        .expect(200);
    assert_eq!(disabled.json["status"], "disabled");
    acme.client
        .post(format!("{}/rotate", key(&acme)), json!({"graceSeconds": 0}))
        .await
        .problem(409, "key_disabled");
    app.advance(60_000);
    send(&app, &acme.key).await.problem(401, "api_key_disabled");
    acme.client
        .patch(key(&acme), json!({"status": "active"}))
        .await
        .expect(200);
    app.advance(60_000);
    send(&app, &acme.key).await.expect(202);
    app.settle().await;
}

#[tokio::test]
async fn a_revoked_key_is_over_for_ever() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    send(&app, &acme.key).await.expect(202);
    for _ in 0..2 {
        acme.client.delete(key(&acme)).await.expect(204);
    }
    app.advance(60_000);
    send(&app, &acme.key).await.problem(401, "bad_api_key");
    assert_eq!(acme.client.get(key(&acme)).await.expect(200).json["status"], "revoked");
    acme.client
        .patch(key(&acme), json!({"status": "active"}))
        .await
        .problem(409, "key_revoked");
    acme.client
        .post(format!("{}/rotate", key(&acme)), json!({"graceSeconds": 60}))
        .await
        .problem(409, "key_revoked");
    let trail = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    assert_eq!(
        trail
            .iter()
            .filter(|entry| entry["action"] == "api_key.revoked")
            .count(),
        1
    );
    app.settle().await;
}

#[tokio::test]
async fn an_old_key_works_until_its_grace_ends() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let rotate = format!("{}/rotate", key(&acme));
    let new = acme
        .client
        .post(&rotate, json!({"graceSeconds": 3_600}))
        .await
        .expect(201);
    assert_ne!(new.text("key"), acme.key);
    assert_ne!(new.text("id"), acme.key_id);
    assert_eq!(
        (&new.json["label"], &new.json["expiresAt"]),
        (&json!("server"), &json!(null))
    );
    let ends = app.now().plus_seconds(3_600);
    assert_eq!(
        acme.client.get(key(&acme)).await.expect(200).json["expiresAt"],
        json!(ends)
    );

    app.advance(Time::HOUR - 60_000);
    for key in [&acme.key, &new.text("key")] {
        send(&app, key).await.expect(202);
    }
    app.advance(2 * 60_000);
    send(&app, &acme.key).await.problem(401, "bad_api_key");
    send(&app, &new.text("key")).await.expect(202);
    let owner = acme.owner.logged_in_again(&app).await.client.within(&acme.org);
    assert_eq!(owner.get(key(&acme)).await.expect(200).json["status"], "expired");
    owner
        .post(&rotate, json!({"graceSeconds": 0}))
        .await
        .problem(409, "key_expired");
    app.settle().await;
}

#[tokio::test]
async fn without_grace_the_old_key_stops_at_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let new = acme
        .client
        .post(format!("{}/rotate", key(&acme)), json!({"graceSeconds": 0}))
        .await
        .expect(201);
    app.advance(60_000);
    send(&app, &acme.key).await.problem(401, "bad_api_key");
    send(&app, &new.text("key")).await.expect(202);
    app.settle().await;
}

#[tokio::test]
async fn of_racing_rotations_one_makes_a_successor() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let rotate = format!("{}/rotate", key(&acme));
    let body = json!({"graceSeconds": 60});
    let (one, other) = tokio::join!(
        acme.client.post(&rotate, body.clone()),
        acme.client.post(&rotate, body.clone())
    );
    let made = [&one, &other].into_iter().filter(|reply| reply.status == 201).count();
    let stale = [&one, &other].into_iter().filter(|reply| reply.status == 412).count();
    assert_eq!((made, stale), (1, 1), "{} {}", one.json, other.json);
    assert_eq!(acme.client.all(keys(&acme)).await.len(), 2);
}

#[tokio::test]
async fn a_key_expires_when_it_was_told_to() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ends = app.now().plus_seconds(600);
    let body = json!({"label": "short", "expiresAt": ends, "rateLimitPerMinute": 5, "scopes": ["ingest"]});
    let made = acme.client.post(keys(&acme), body).await.expect(201);
    assert_eq!(
        (&made.json["expiresAt"], &made.json["rateLimitPerMinute"]),
        (&json!(ends), &json!(5))
    );
    app.advance(599_999);
    send(&app, &made.text("key")).await.expect(202);
    app.advance(1);
    send(&app, &made.text("key")).await.problem(401, "bad_api_key");
    app.settle().await;
}

#[tokio::test]
async fn what_is_no_key_opens_nothing() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    // A key of the right form, with the right checksum, that nobody has made.
    let made_up = format!("ch_live_{}", "A".repeat(30));
    let made_up = format!("{made_up}{}", checksum(&made_up));
    let test = acme.key.replace("ch_live_", "ch_test_");
    let twice = format!("{0}{0}", acme.key);
    for bad in [
        "",
        "x",
        "ch_live_",
        &made_up,
        &test,
        &twice,
        &acme.key_id,
        &acme.owner.access_token,
        &acme.key[..43],
    ] {
        send(&app, bad).await.problem(401, "bad_api_key");
    }
    // A key is no access token, and an access token no key.
    let server = acme.server.within(&acme.org);
    server.get("/v1/projects").await.problem(401, "not_authenticated");
    app.client()
        .bearer(&acme.key)
        .within(&acme.org)
        .get("/v1/projects")
        .await
        .problem(401, "not_authenticated");
    acme.client
        .post("/v1/ingest/event", json!({"type": "A", "name": "a"}))
        .await
        .problem(401, "missing_api_key");
}

#[tokio::test]
async fn keys_stop_with_their_project() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    send(&app, &acme.key).await.expect(202);
    acme.client
        .delete(format!("/v1/projects/{}", acme.project))
        .await
        .expect(204);
    app.advance(60_000);
    send(&app, &acme.key).await.problem(401, "bad_api_key");
    app.settle().await;
}

#[tokio::test]
async fn use_shows_in_the_list() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let unused = acme
        .client
        .post(keys(&acme), json!({"label": "unused"}))
        .await
        .expect(201)
        .text("id");
    acme.ingest(json!([{"type": "A", "name": "a"}, {"type": "A", "name": "b"}]))
        .await;
    app.settle().await;
    let list = acme.client.all(format!("{}?limit=1", keys(&acme))).await;
    let of = |id: &str| list.iter().find(|key| key["id"] == id).unwrap();
    assert_eq!(
        (&of(&acme.key_id)["usage"]["events"], &of(&unused)["usage"]["events"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(
        (&of(&acme.key_id)["lastUsedAt"], &of(&unused)["lastUsedAt"]),
        (&json!(app.now()), &json!(null))
    );
}

#[tokio::test]
async fn the_list_is_bounded_and_its_cursors_belong_to_the_project() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for tenant in [&acme, &rival] {
        tenant
            .client
            .post(keys(tenant), json!({"label": "second"}))
            .await
            .expect(201);
    }
    let list = async |tenant: &Tenant, query: &str| tenant.client.get(format!("{}?{query}", keys(tenant))).await;
    for bad in ["limit=0", "limit=101"] {
        list(&acme, bad).await.problem(400, "bad_limit");
    }
    list(&acme, "status=active").await.problem(400, "unknown_field");
    let cursor = list(&acme, "limit=1").await.expect(200).text("nextCursor");
    assert_eq!(
        list(&acme, &format!("limit=1&cursor={cursor}"))
            .await
            .expect(200)
            .data()
            .len(),
        1
    );
    list(&rival, &format!("limit=1&cursor={cursor}"))
        .await
        .problem(400, "bad_cursor");
    let second = json!({"name": "Second", "environment": "dev"});
    let second = acme.client.post("/v1/projects", second).await.expect(201).text("id");
    let path = format!("/v1/projects/{second}/api-keys?cursor={cursor}");
    acme.client.get(path).await.problem(400, "bad_cursor");
}
