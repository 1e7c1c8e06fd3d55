//! What is demanded of who is logged in: a factor, by roles on the platform and by organizations; and a recent proof that it is
//! still them, where something sensitive is done.

use kernel::Time;
use serde_json::{Value, json};
use testing::{Authenticator, Client, PASSWORD, Person, Reply, Setup, Tenant, TestApp};

const STEP_UP: &str = "/v1/auth/step-up";

async fn strict() -> TestApp {
    TestApp::start_as(Setup::default().parameter("FactorForPlatform", "true")).await
}

async fn with_proofs() -> TestApp {
    TestApp::start_as(Setup::default().parameter("StepUpMinutes", 15)).await
}

#[tokio::test]
async fn a_manager_without_a_factor_may_add_one_and_nothing_else() {
    let app = strict().await;
    let manager = app.manager().await;
    let refused = manager.client.get("/v1/users").await.problem(403, "factor_required");
    assert!(refused.text("detail").contains("/v1/auth/factors/totp"));
    let paths = ["/v1/auth/sessions", "/v1/orgs", "/v1/audit", "/v1/admin/prices"];
    for path in paths {
        manager.client.get(path).await.problem(403, "factor_required");
    }
    let platform = manager.client.within(&kernel::OrgId::PLATFORM.to_string());
    platform.get("/v1/projects").await.problem(403, "factor_required");
    manager.client.get("/v1/auth/me").await.expect(200);
    manager.client.get("/v1/auth/factors").await.expect(200);

    // Who has added one gets in at once, with any process.
    let phone = app.authenticator(&manager, "Phone").await;
    for path in paths {
        manager.client.get(path).await.expect(200);
    }
    platform.get("/v1/projects").await.expect(200);
    // And is out again without it.
    let removed = manager.client.delete(format!("/v1/auth/factors/{}", phone.id)).await;
    removed.expect(204);
    manager.client.get("/v1/users").await.problem(403, "factor_required");
    manager
        .client
        .post("/v1/auth/logout", json!({}))
        .await
        .problem(400, "missing_field");
    let refresh = json!({"refreshToken": manager.refresh_token});
    app.client().post("/v1/auth/refresh", refresh.clone()).await.expect(200);
    app.client().post("/v1/auth/logout", refresh).await.expect(204);
}

#[tokio::test]
async fn an_admin_needs_one_from_when_they_are_admin_and_nobody_else_does() {
    let app = strict().await;
    let manager = app.manager().await;
    app.authenticator(&manager, "Phone").await;
    let ada = app.proved_person().await;
    ada.client.get("/v1/orgs").await.expect(200);
    let role = format!("/v1/users/{}/role", ada.id);
    manager.client.patch(&role, json!({"role": "admin"})).await.expect(200);
    ada.client.get("/v1/orgs").await.problem(403, "factor_required");
    manager.client.patch(&role, json!({"role": "user"})).await.expect(200);
    ada.client.get("/v1/orgs").await.expect(200);
}

async fn require(tenant: &Client, org: &str, required: bool) -> Reply {
    tenant
        .patch(format!("/v1/orgs/{org}"), json!({"requireFactor": required}))
        .await
}

#[tokio::test]
async fn an_organization_demands_factors_of_its_members_if_an_owner_with_one_says_so() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let (admin, viewer) = (app.member(&acme, "admin").await, app.member(&acme, "viewer").await);
    let org = &acme.org;
    require(&viewer.client, org, true).await.problem(403, "forbidden");
    require(&rival.client, org, true).await.problem(404, "not_found");
    app.authenticator(&admin, "Phone").await;
    require(&admin.client, org, true).await.problem(403, "forbidden");
    require(&acme.client, org, true).await.problem(403, "factor_required");
    let wrong = acme
        .client
        .patch(format!("/v1/orgs/{org}"), json!({"requireFactor": null}))
        .await;
    wrong.problem(400, "wrong_type");

    app.authenticator(&acme.owner, "Phone").await;
    let said = require(&acme.client, org, true).await.expect(200);
    assert_eq!(said.json["requireFactor"], true);
    for (client, status) in [(&acme.client, 200), (&admin.client, 200), (&viewer.client, 403)] {
        client.get("/v1/projects").await.expect(status);
        client.get(format!("/v1/orgs/{org}")).await.expect(status);
    }
    viewer.client.get("/v1/projects").await.problem(403, "factor_required");
    // A stranger still learns nothing, another organization is as it was, and servers go on.
    rival
        .owner
        .client
        .within(org)
        .get("/v1/projects")
        .await
        .problem(404, "not_found");
    rival.client.get("/v1/projects").await.expect(200);
    acme.ingest(json!([{"type": "A", "name": "a"}])).await;
    app.settle().await;
    // Leaving takes one too; their own account does not, and with one they are in.
    viewer.client.get("/v1/orgs").await.expect(200);
    app.authenticator(&viewer, "Phone").await;
    viewer.client.get("/v1/projects").await.expect(200);

    let trail = acme.client.all(format!("/v1/orgs/{org}/audit")).await;
    let noted = trail.iter().find(|entry| entry["action"] == "org.updated").unwrap();
    assert_eq!(
        (&noted["oldValue"], &noted["newValue"]),
        (&json!({"requireFactor": false}), &json!({"requireFactor": true}))
    );
    require(&acme.client, org, false).await.expect(200);
}

/// What takes a recent proof of an owner.
async fn sensitive(acme: &Tenant, member: &Person) -> Vec<Reply> {
    let (client, org) = (&acme.client, &acme.org);
    vec![
        client
            .patch(
                format!("/v1/orgs/{org}/members/{}", member.id),
                json!({"role": "owner"}),
            )
            .await,
        client
            .post(
                format!("/v1/orgs/{org}/members"),
                json!({"email": "new@example.com", "role": "owner"}),
            )
            .await,
        require(client, org, false).await,
        client.post("/v1/auth/factors/totp", json!({"name": "Phone"})).await,
        client.post("/v1/auth/factors/passkey", json!({"name": "Laptop"})).await,
        client.post("/v1/auth/factors/recovery-codes", json!({})).await,
        client
            .delete(format!("/v1/auth/factors/{}", kernel::FactorId::from_bits(7)))
            .await,
        client.delete(format!("/v1/orgs/{org}")).await,
    ]
}

async fn step_up(client: &Client, field: &str, value: &str) -> Reply {
    let mut body = json!({});
    body[field] = value.into();
    client.post(STEP_UP, body).await
}

/// The same person with a token of now: an access token ends after as many minutes as a proof.
async fn refreshed(app: &TestApp, person: &mut Person) {
    let body = json!({"refreshToken": person.refresh_token});
    let reply = app.client().post("/v1/auth/refresh", body).await.expect(200);
    *person = app.known(person.email.clone(), &reply);
}

#[tokio::test]
async fn what_is_sensitive_takes_a_recent_proof() {
    let app = with_proofs().await;
    let mut acme = app.tenant().await;
    let member = app.member(&acme, "member").await;
    app.advance(15 * Time::MINUTE + 1);
    refreshed(&app, &mut acme.owner).await;
    acme.client = acme.owner.client.within(&acme.org);
    for reply in sensitive(&acme, &member).await {
        let refused = reply.problem(403, "proof_required");
        assert!(refused.text("detail").contains(STEP_UP));
    }
    // The rest goes on, as does naming somebody who is no owner.
    let role = format!("/v1/orgs/{}/members/{}", acme.org, member.id);
    acme.client.patch(role, json!({"role": "admin"})).await.expect(200);
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), json!({"name": "Other"}))
        .await
        .expect(200);

    assert_eq!(
        step_up(&acme.client, "password", "a guess")
            .await
            .problem(422, "invalid")
            .fields(),
        ["password"]
    );
    assert_eq!(
        step_up(&acme.client, "code", "123456")
            .await
            .problem(422, "invalid")
            .fields(),
        ["code"]
    );
    acme.client.post(STEP_UP, json!({})).await.problem(422, "invalid");
    acme.client
        .post(STEP_UP, json!({"password": "a", "code": "b"}))
        .await
        .problem(422, "invalid");
    app.client()
        .post(STEP_UP, json!({"password": PASSWORD}))
        .await
        .problem(401, "not_authenticated");
    require(&acme.client, &acme.org, false)
        .await
        .problem(403, "proof_required");
    step_up(&acme.client, "password", PASSWORD).await.expect(204);
    let statuses: Vec<u16> = sensitive(&acme, &member)
        .await
        .iter()
        .map(|reply| reply.status.as_u16())
        .collect();
    assert_eq!(statuses, [200, 201, 200, 201, 201, 409, 404, 204]);
    app.settle().await;
}

#[tokio::test]
async fn a_proof_is_of_its_session_and_lasts_through_refreshes() {
    let app = with_proofs().await;
    let mut ada = app.person().await;
    app.advance(14 * Time::MINUTE);
    step_up(&ada.client, "password", PASSWORD).await.expect(204);
    let mut other = ada.logged_in_again(&app).await;
    let add = async |person: &Person| {
        person
            .client
            .post("/v1/auth/factors/totp", json!({"name": "Phone"}))
            .await
    };
    app.advance(15 * Time::MINUTE);
    refreshed(&app, &mut ada).await;
    add(&ada).await.expect(201);
    app.advance(1);
    add(&ada).await.problem(403, "proof_required");
    refreshed(&app, &mut other).await;
    add(&other).await.problem(403, "proof_required");
    step_up(&ada.client, "password", PASSWORD).await.expect(204);
    add(&ada).await.expect(201);
    add(&other).await.problem(403, "proof_required");
}

#[tokio::test]
async fn who_has_a_factor_proves_with_it_and_each_code_once() {
    let app = with_proofs().await;
    let mut ada = app.person().await;
    let phone: Authenticator = app.authenticator(&ada, "Phone").await;
    app.advance(16 * Time::MINUTE);
    refreshed(&app, &mut ada).await;
    let make = async |client: &Client| client.post("/v1/auth/factors/recovery-codes", json!({})).await;
    make(&ada.client).await.problem(403, "proof_required");
    assert_eq!(
        step_up(&ada.client, "password", PASSWORD)
            .await
            .problem(422, "invalid")
            .fields(),
        ["password"]
    );
    let code = phone.code();
    assert_eq!(
        step_up(&ada.client, "code", "000000")
            .await
            .problem(422, "invalid")
            .fields(),
        ["code"]
    );
    step_up(&ada.client, "code", &code).await.expect(204);
    make(&ada.client).await.expect(201);
    step_up(&ada.client, "code", &code).await.problem(422, "invalid");
    ada.log_in_by_code(&app, &code).await.problem(401, "wrong_code");
    // Guesses are counted with those of logins.
    for _ in 0..8 {
        step_up(&ada.client, "code", "000000").await.problem(422, "invalid");
    }
    step_up(&ada.client, "code", "000000")
        .await
        .problem(429, "too_many_failures");
    ada.log_in_by_code(&app, "000000")
        .await
        .problem(429, "too_many_failures");
}

#[tokio::test]
async fn managers_prove_before_they_change_others() {
    let app = with_proofs().await;
    let mut manager = app.manager().await;
    let ada = app.proved_person().await;
    app.advance(16 * Time::MINUTE);
    refreshed(&app, &mut manager).await;
    let act = async |manager: &Person| -> Vec<Reply> {
        let path = |end: &str| format!("/v1/users/{}/{end}", ada.id);
        vec![
            manager.client.patch(path("role"), json!({"role": "admin"})).await,
            manager.client.delete(path("sessions")).await,
            manager.client.delete(path("factors")).await,
        ]
    };
    for reply in act(&manager).await {
        reply.problem(403, "proof_required");
    }
    manager.client.get("/v1/users").await.expect(200);
    step_up(&manager.client, "password", testing::MANAGER_PASSWORD)
        .await
        .expect(204);
    for reply in act(&manager).await {
        assert!(reply.status.is_success(), "{}", reply.json);
    }
    // Who may not do it at all is told that.
    let eve: Value = json!({"role": "admin"});
    let reply = ada
        .logged_in_again(&app)
        .await
        .client
        .patch(format!("/v1/users/{}/role", manager.id), eve)
        .await;
    reply.problem(403, "forbidden");
}
