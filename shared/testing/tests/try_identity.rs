//! Throw-away.
use futures::future::join_all;
use kernel::Time;
use serde_json::{Value, json};
use testing::*;

#[tokio::test]
async fn auth_flow() {
    let app = TestApp::start().await;
    let c = app.client();
    let r = c
        .post(
            "/v1/auth/register",
            json!({"email":"Ada@Example.com","password":"12345678","name":"Ada"}),
        )
        .await
        .expect(201);
    println!("{}", r.json);
    c.post(
        "/v1/auth/register",
        json!({"email":"ada@example.com","password":"12345678","name":"Ada"}),
    )
    .await
    .problem(409, "email_taken");
    c.post(
        "/v1/auth/register",
        json!({"email":MANAGER_EMAIL,"password":"12345678","name":"Ada"}),
    )
    .await
    .problem(409, "email_taken");
    c.post("/v1/auth/register", json!({"email":"x","password":"1","name":""}))
        .await
        .problem(422, "invalid");
    c.post(
        "/v1/auth/register",
        json!({"email":"x","password":"1","name":"", "role":"manager"}),
    )
    .await
    .problem(400, "unknown_field");
    c.post("/v1/auth/login", json!({"email":"ada@example.com","password":"wrong"}))
        .await
        .problem(401, "bad_credentials");
    c.post(
        "/v1/auth/login",
        json!({"email":"nobody@example.com","password":"wrong"}),
    )
    .await
    .problem(401, "bad_credentials");
    c.post("/v1/auth/login", json!({"email":MANAGER_EMAIL,"password":"wrong"}))
        .await
        .problem(401, "bad_credentials");
    let l = c
        .post(
            "/v1/auth/login",
            json!({"email":"ADA@example.com","password":"12345678"}),
        )
        .await
        .expect(200);
    let me = c.bearer(l.text("accessToken"));
    println!("{}", me.get("/v1/auth/me").await.expect(200).json);
    let s = me.get("/v1/auth/sessions?limit=1").await.expect(200);
    println!("{}", s.json);
    let s2 = me
        .get(format!("/v1/auth/sessions?limit=1&cursor={}", s.text("nextCursor")))
        .await
        .expect(200);
    println!("{}", s2.json);
    c.get("/v1/auth/me").await.problem(401, "not_authenticated");
    me.get("/v1/auth/sessions?limit=0").await.problem(400, "bad_limit");
    me.get("/v1/auth/sessions?limit=x").await.expect(400);
    me.get("/v1/auth/sessions?nope=1").await.problem(400, "unknown_field");
    me.get("/v1/auth/sessions?cursor=abc").await.problem(400, "bad_cursor");
    println!("{}", c.get("/.well-known/jwks.json").await.expect(200).json);

    // refresh: 10 at once
    let token = l.text("refreshToken");
    let all = join_all((0..10).map(|_| c.post("/v1/auth/refresh", json!({"refreshToken": token})))).await;
    let next: std::collections::BTreeSet<String> =
        all.iter().map(|r| r.clone().expect(200).text("refreshToken")).collect();
    assert_eq!(next.len(), 1);
    app.advance(31_000);
    let next = next.into_iter().next().unwrap();
    let n2 = c
        .post("/v1/auth/refresh", json!({"refreshToken": next}))
        .await
        .expect(200);
    c.post("/v1/auth/refresh", json!({"refreshToken": token}))
        .await
        .problem(401, "refresh_reused");
    c.post("/v1/auth/refresh", json!({"refreshToken": n2.text("refreshToken")}))
        .await
        .problem(401, "bad_refresh_token");
    me.get("/v1/auth/me").await.problem(401, "session_ended");
    c.post("/v1/auth/refresh", json!({"refreshToken": "garbage"}))
        .await
        .problem(401, "bad_refresh_token");

    // first session (from register)
    let me = c.bearer(r.text("accessToken"));
    app.advance(15 * Time::MINUTE);
    me.get("/v1/auth/me").await.problem(401, "token_expired");
    let r2 = c
        .post("/v1/auth/refresh", json!({"refreshToken": r.text("refreshToken")}))
        .await
        .expect(200);
    me.post("/v1/auth/logout", json!({"refreshToken": r2.text("refreshToken")}))
        .await
        .expect(204);
    me.post("/v1/auth/logout", json!({"refreshToken": r2.text("refreshToken")}))
        .await
        .expect(204);
    c.bearer(r2.text("accessToken"))
        .get("/v1/auth/me")
        .await
        .problem(401, "session_ended");
    let l = c
        .post(
            "/v1/auth/login",
            json!({"email":"ADA@example.com","password":"12345678"}),
        )
        .await
        .expect(200);
    let me = c.bearer(l.text("accessToken"));
    me.send(http::Method::POST, "/v1/auth/logout", vec![]).await.expect(204);
    c.send(http::Method::POST, "/v1/auth/logout", vec![])
        .await
        .problem(401, "not_authenticated");
    let a = c
        .post(
            "/v1/auth/login",
            json!({"email":"ADA@example.com","password":"12345678"}),
        )
        .await
        .expect(200);
    let b = c
        .post(
            "/v1/auth/login",
            json!({"email":"ADA@example.com","password":"12345678"}),
        )
        .await
        .expect(200);
    let me = c.bearer(a.text("accessToken"));
    let ses = me.get("/v1/auth/sessions").await.expect(200);
    assert_eq!(ses.data().len(), 2);
    let other = ses.data().iter().find(|s| s["current"] == false).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let stranger = app.person().await;
    stranger
        .client
        .delete(format!("/v1/auth/sessions/{other}"))
        .await
        .problem(404, "not_found");
    me.delete(format!("/v1/auth/sessions/{other}")).await.expect(204);
    me.delete(format!("/v1/auth/sessions/{other}"))
        .await
        .problem(404, "not_found");
    me.delete("/v1/auth/sessions/xyz").await.problem(400, "malformed_id");
    c.bearer(b.text("accessToken"))
        .get("/v1/auth/me")
        .await
        .problem(401, "session_ended");
}

#[tokio::test]
async fn users_flow() {
    let app = TestApp::start().await;
    let (p, m) = (app.person().await, app.manager().await);
    let m2 = app.manager().await;
    assert_eq!(m.id, m2.id);
    p.client.get("/v1/users").await.problem(403, "forbidden");
    p.client
        .patch(format!("/v1/users/{}/role", p.id), json!({"role":"manager"}))
        .await
        .problem(403, "forbidden");
    m.client
        .patch(format!("/v1/users/{}/role", m.id), json!({"role":"user"}))
        .await
        .problem(409, "own_account");
    println!(
        "{}",
        m.client
            .patch(format!("/v1/users/{}/role", p.id), json!({"role":"admin"}))
            .await
            .expect(200)
            .json
    );
    m.client
        .patch(format!("/v1/users/{}/role", p.id), json!({"role":"admin"}))
        .await
        .expect(200);
    let u = p.client.get("/v1/users?limit=1").await.expect(200);
    println!("{}", u.json);
    p.client
        .delete(format!("/v1/users/{}", m.id))
        .await
        .problem(403, "forbidden");
    p.client
        .patch(format!("/v1/users/{}/role", p.id), json!({"role":"manager"}))
        .await
        .problem(403, "forbidden");
    let q = app.person().await;
    p.client
        .patch(format!("/v1/users/{}/role", q.id), json!({"role":"manager"}))
        .await
        .problem(403, "forbidden");
    p.client.delete(format!("/v1/users/{}", q.id)).await.expect(204);
    p.client.delete(format!("/v1/users/{}", q.id)).await.expect(204);
    q.client.get("/v1/auth/me").await.problem(401, "deactivated");
    app.client()
        .post("/v1/auth/login", json!({"email":q.email,"password":PASSWORD}))
        .await
        .problem(401, "deactivated");
    app.client()
        .post("/v1/auth/login", json!({"email":q.email,"password":"nope"}))
        .await
        .problem(401, "bad_credentials");
    app.client()
        .post("/v1/auth/refresh", json!({"refreshToken": q.refresh_token}))
        .await
        .problem(401, "deactivated");
    p.client
        .patch(format!("/v1/users/{}/reactivate", q.id), json!({}))
        .await
        .expect(200);
    p.client
        .send(http::Method::PATCH, &format!("/v1/users/{}/reactivate", q.id), vec![])
        .await
        .expect(200);
    q.client.get("/v1/auth/me").await.expect(200);
    p.client
        .delete("/v1/users/usr_00000000000000000000000000")
        .await
        .problem(404, "not_found");
    p.client.get("/v1/audit").await.problem(403, "forbidden");
    let a = m.client.get("/v1/audit").await.expect(200);
    for e in a.data() {
        println!("{e}");
    }
    assert_eq!(a.data().iter().filter(|e| e["action"] == "user.deactivated").count(), 1);
}

#[tokio::test]
async fn orgs_flow() {
    let app = TestApp::start().await;
    let t = app.tenant().await;
    let rival = app.tenant().await;
    let org = format!("/v1/orgs/{}", t.org);
    rival.client.get(&org).await.problem(404, "not_found");
    app.client().get(&org).await.problem(401, "not_authenticated");
    t.client.get("/v1/orgs/org_x").await.problem(400, "malformed_id");
    println!("{}", t.client.get(&org).await.expect(200).json);
    println!("{}", t.client.patch(&org, json!({"name":"New"})).await.expect(200).json);
    t.client.patch(&org, json!({"name":null})).await.expect(400);
    println!("{}", t.client.get("/v1/orgs").await.expect(200).json);
    let admin = app.member(&t, "admin").await;
    let viewer = app.member(&t, "viewer").await;
    viewer
        .client
        .patch(&org, json!({"name":"x"}))
        .await
        .problem(403, "forbidden");
    viewer
        .client
        .post("/v1/projects", json!({"name":"x","environment":"dev"}))
        .await
        .problem(403, "forbidden");
    println!("{}", t.client.get(format!("{org}/members")).await.expect(200).json);
    t.client
        .post(format!("{org}/members"), json!({"email":admin.email,"role":"viewer"}))
        .await
        .problem(409, "already_member");
    let r = t
        .client
        .post(format!("{org}/members"), json!({"email":"no@body.com","role":"viewer"}))
        .await
        .problem(422, "invalid");
    println!("{}", r.json);
    admin
        .client
        .patch(format!("{org}/members/{}", t.owner.id), json!({"role":"viewer"}))
        .await
        .problem(403, "forbidden");
    admin
        .client
        .delete(format!("{org}/members/{}", t.owner.id))
        .await
        .problem(403, "forbidden");
    admin
        .client
        .patch(format!("{org}/members/{}", admin.id), json!({"role":"owner"}))
        .await
        .problem(403, "forbidden");
    t.client
        .delete(format!("{org}/members/{}", t.owner.id))
        .await
        .problem(409, "last_owner");
    t.client
        .patch(format!("{org}/members/{}", t.owner.id), json!({"role":"admin"}))
        .await
        .problem(409, "last_owner");
    println!(
        "{}",
        t.client
            .patch(format!("{org}/members/{}", admin.id), json!({"role":"owner"}))
            .await
            .expect(200)
            .json
    );
    // both leave at once
    let both = join_all([
        t.client.delete(format!("{org}/members/{}", t.owner.id)),
        admin.client.delete(format!("{org}/members/{}", admin.id)),
    ])
    .await;
    let codes: Vec<_> = both.iter().map(|r| (r.status, r.json["code"].clone())).collect();
    println!("{codes:?}");
    assert_eq!(both.iter().filter(|r| r.status == 204).count(), 1);
    viewer
        .client
        .delete(format!("{org}/members/{}", viewer.id))
        .await
        .expect(204);
    viewer.client.get(&org).await.problem(404, "not_found");
    let left = if both[0].status == 204 {
        &admin.client
    } else {
        &t.client
    };
    let a = left.get(format!("{org}/audit?limit=100")).await.expect(200);
    for e in a.data() {
        println!("{} {} {} {}", e["seq"], e["action"], e["oldValue"], e["newValue"]);
    }
    left.delete(&org).await.expect(204);
    left.get(&org).await.problem(404, "not_found");
    t.server
        .post("/v1/ingest/event", json!({"type":"CUSTOM","name":"x"}))
        .await
        .problem(401, "bad_api_key");
}

#[tokio::test]
async fn projects_flow() {
    let app = TestApp::start().await;
    let [t, rival] = app.tenants().await;
    let p = format!("/v1/projects/{}", t.project);
    t.owner.client.get("/v1/projects").await.problem(400, "missing_org");
    t.owner
        .client
        .within("org_x")
        .get("/v1/projects")
        .await
        .problem(400, "malformed_id");
    t.owner
        .client
        .within(&rival.org)
        .get("/v1/projects")
        .await
        .problem(404, "not_found");
    rival.client.get(&p).await.problem(404, "not_found");
    rival
        .client
        .get(format!("{p}/api-keys"))
        .await
        .problem(404, "not_found");
    rival
        .client
        .delete(format!("{p}/api-keys/{}", t.key_id))
        .await
        .problem(404, "not_found");
    rival
        .client
        .get(format!("/v1/projects/{}/api-keys/{}", rival.project, t.key_id))
        .await
        .problem(404, "not_found");
    println!(
        "{}",
        t.client.patch(&p, json!({"description":"d"})).await.expect(200).json
    );
    println!(
        "{}",
        t.client.patch(&p, json!({"description":null})).await.expect(200).json
    );
    let e = t
        .client
        .post("/v1/projects", json!({"name":"x","environment":"moon"}))
        .await
        .expect(400);
    println!("{}", e.json);
    let k = t
        .client
        .header("idempotency-key", "k1")
        .post(
            format!("{p}/api-keys"),
            json!({"label":"a","scopes":["ingest"],"rateLimitPerMinute":5,"expiresAt":"2100-01-01T00:00:00Z"}),
        )
        .await
        .expect(201);
    println!("{}", k.json);
    let k2 = t
        .client
        .header("idempotency-key", "k1")
        .post(
            format!("{p}/api-keys"),
            json!({"label":"a","scopes":["ingest"],"rateLimitPerMinute":5,"expiresAt":"2100-01-01T00:00:00Z"}),
        )
        .await
        .expect(201);
    assert_eq!(k.json, k2.json);
    assert_eq!(k2.header("idempotent-replayed"), "true");
    t.client
        .post(
            format!("{p}/api-keys"),
            json!({"label":"a","expiresAt":"2020-01-01T00:00:00Z"}),
        )
        .await
        .problem(422, "invalid");
    println!(
        "{}",
        t.client
            .post(format!("{p}/api-keys"), json!({"label":"a","scopes":["x"]}))
            .await
            .expect(400)
            .json
    );
    println!(
        "{}",
        t.client.get(format!("{p}/api-keys?limit=1")).await.expect(200).json
    );
    let ev = json!({"type":"CUSTOM","name":"x"});
    let one = format!("{p}/api-keys/{}", t.key_id);
    t.server.post("/v1/ingest/event", ev.clone()).await.expect(202);
    t.client.patch(&one, json!({"status":"disabled"})).await.expect(200);
    app.advance(30_000);
    t.server
        .post("/v1/ingest/event", ev.clone())
        .await
        .problem(401, "api_key_disabled");
    t.client
        .post(format!("{one}/rotate"), json!({"graceSeconds":60}))
        .await
        .problem(409, "key_disabled");
    t.client
        .patch(&one, json!({"status":"active","label":"new"}))
        .await
        .expect(200);
    let rot = t
        .client
        .post(format!("{one}/rotate"), json!({"graceSeconds":60}))
        .await
        .expect(201);
    println!("{}", rot.json);
    t.client
        .post(format!("{one}/rotate"), json!({"graceSeconds":86401}))
        .await
        .problem(422, "invalid");
    app.advance(31_000);
    t.server.post("/v1/ingest/event", ev.clone()).await.expect(202);
    app.client()
        .header("x-api-key", rot.text("key"))
        .post("/v1/ingest/event", ev.clone())
        .await
        .expect(202);
    app.advance(30_000);
    t.server
        .post("/v1/ingest/event", ev.clone())
        .await
        .problem(401, "bad_api_key");
    t.client
        .delete(format!("{p}/api-keys/{}", rot.text("id")))
        .await
        .expect(204);
    t.client
        .delete(format!("{p}/api-keys/{}", rot.text("id")))
        .await
        .expect(204);
    t.client
        .patch(format!("{p}/api-keys/{}", rot.text("id")), json!({"label":"x"}))
        .await
        .problem(409, "key_revoked");
    app.advance(30_000);
    app.client()
        .header("x-api-key", rot.text("key"))
        .post("/v1/ingest/event", ev.clone())
        .await
        .problem(401, "bad_api_key");
    app.client()
        .post("/v1/ingest/event", ev.clone())
        .await
        .problem(401, "missing_api_key");
    let k3 = app.client().header("x-api-key", k.text("key"));
    k3.post("/v1/ingest/event", ev.clone()).await.expect(202);
    t.client.delete(&p).await.expect(204);
    t.client.delete(&p).await.problem(404, "not_found");
    t.client.get(&p).await.problem(404, "not_found");
    assert_eq!(t.client.get("/v1/projects").await.expect(200).data().len(), 0);
    app.advance(30_000);
    k3.post("/v1/ingest/event", ev.clone())
        .await
        .problem(401, "bad_api_key");
    // burst of concurrent writes in one chain
    let made = join_all((0..12).map(|n| {
        t.client
            .post("/v1/projects", json!({"name":format!("p{n}"),"environment":"dev"}))
    }))
    .await;
    println!("{:?}", made.iter().map(|r| r.status.as_u16()).collect::<Vec<_>>());
    let a = t
        .client
        .get(format!("/v1/orgs/{}/audit?limit=100", t.org))
        .await
        .expect(200);
    for e in a.data() {
        println!("{} {} {} {}", e["seq"], e["action"], e["oldValue"], e["newValue"]);
    }
    app.settle().await;
    println!("{}", app.client().get("/health").await.expect(200).json);
    println!("{}", app.client().get("/ready").await.expect(200).json);
    let _: Value = Value::Null;
}

#[test]
fn dump() {
    std::fs::write("/tmp/openapi.json", docs::openapi().to_pretty_json().unwrap()).unwrap();
}
