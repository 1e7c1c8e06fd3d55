//! /v1/users: who may change whom, and what becomes of those who are shut out.

use futures::future::join_all;
use serde_json::{Value, json};
use testing::{Client, Person, Reply, Setup, TestApp};

async fn set_role(by: &Person, target: &Person, role: &str) -> Reply {
    by.client
        .patch(format!("/v1/users/{}/role", target.id), json!({"role": role}))
        .await
}

async fn deactivate(by: &Person, target: &Person) -> Reply {
    by.client.delete(format!("/v1/users/{}", target.id)).await
}

async fn reactivate(by: &Person, target: &Person) -> Reply {
    by.client
        .patch(format!("/v1/users/{}/reactivate", target.id), json!({}))
        .await
}

async fn admin(app: &TestApp, manager: &Person) -> Person {
    let person = app.proved_person().await;
    set_role(manager, &person, "admin").await.expect(200);
    person
}

/// How often something was done to a person, by the platform's audit trail.
async fn times(manager: &Person, action: &str, target: &Person) -> usize {
    let trail = manager.client.all("/v1/audit?limit=100").await;
    trail
        .iter()
        .filter(|entry| entry["action"] == action && entry["targetId"] == target.id.as_str())
        .count()
}

#[tokio::test]
async fn admins_and_managers_list_everybody_and_see_no_secret() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let admin = admin(&app, &manager).await;
    let plain = app.person().await;
    for by in [&manager, &admin] {
        let page = by.client.get("/v1/users").await.expect(200);
        let fields: Vec<&String> = page.data()[0].as_object().unwrap().keys().collect();
        assert_eq!(
            fields,
            ["id", "email", "emailVerified", "name", "role", "status", "createdAt"]
        );
        let text = String::from_utf8_lossy(&page.bytes);
        assert!(!text.contains("argon2") && !text.contains("assword"), "{text}");
    }
    let all = admin.client.all("/v1/users?limit=1").await;
    let mut ids: Vec<&str> = all.iter().map(|user| user["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let mut expected = [manager.id.as_str(), &admin.id, &plain.id];
    expected.sort_unstable();
    assert_eq!(ids, expected);

    plain.client.get("/v1/users").await.problem(403, "forbidden");
    app.client().get("/v1/users").await.problem(401, "not_authenticated");
    let acme = app.tenant().await;
    acme.client.get("/v1/users").await.problem(403, "forbidden");
}

#[tokio::test]
async fn the_list_is_bounded_and_takes_its_own_cursors_only() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    app.person().await;
    let list = async |query: &str| manager.client.get(format!("/v1/users?{query}")).await;
    for bad in ["limit=0", "limit=101"] {
        list(bad).await.problem(400, "bad_limit");
    }
    list("limit=-1").await.problem(400, "wrong_type");
    list("role=admin").await.problem(400, "unknown_field");
    let cursor = list("limit=1").await.expect(200).text("nextCursor");
    list(&format!("cursor={cursor}")).await.expect(200);
    list(&format!("cursor={cursor}x")).await.problem(400, "bad_cursor");
    let audit = manager
        .client
        .get("/v1/audit?limit=1")
        .await
        .expect(200)
        .text("nextCursor");
    list(&format!("cursor={audit}")).await.problem(400, "bad_cursor");
}

#[tokio::test]
async fn a_manager_gives_any_role() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let ada = app.proved_person().await;
    for role in ["admin", "manager", "user"] {
        let reply = set_role(&manager, &ada, role).await.expect(200);
        assert_eq!((&reply.json["id"], &reply.json["role"]), (&json!(ada.id), &json!(role)));
        assert_eq!(ada.client.get("/v1/auth/me").await.expect(200).json["role"], role);
    }
    let second = app.proved_person().await;
    set_role(&manager, &second, "manager").await.expect(200);
    set_role(&second, &manager, "user").await.expect(200);
    manager.client.get("/v1/users").await.problem(403, "forbidden");
}

#[tokio::test]
async fn nobody_is_raised_before_they_have_proved_their_address() {
    let app = TestApp::start_as(Setup::default().parameter("ProofBeforeMail", "true")).await;
    let manager = app.manager().await;
    let ada = app.person().await;
    for role in ["admin", "manager"] {
        set_role(&manager, &ada, role).await.problem(409, "user_unproved");
    }
    set_role(&manager, &ada, "user").await.expect(200);
    assert_eq!(times(&manager, "user.role_changed", &ada).await, 0);
    app.prove(&ada).await;
    set_role(&manager, &ada, "admin").await.expect(200);
}

#[tokio::test]
async fn an_admin_neither_touches_a_manager_nor_raises_above_admin_nor_changes_himself() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let [ada, other] = [admin(&app, &manager).await, admin(&app, &manager).await];
    let plain = app.proved_person().await;
    for role in ["user", "admin", "manager"] {
        set_role(&ada, &manager, role).await.problem(403, "forbidden");
        set_role(&ada, &ada, role).await.problem(403, "forbidden");
    }
    for target in [&plain, &other] {
        set_role(&ada, target, "manager").await.problem(403, "forbidden");
    }
    for target in [&manager, &ada] {
        deactivate(&ada, target).await.problem(403, "forbidden");
        reactivate(&ada, target).await.problem(403, "forbidden");
    }
    // What was refused left no trace.
    assert_eq!(times(&manager, "user.role_changed", &manager).await, 0);
    assert_eq!(times(&manager, "user.role_changed", &ada).await, 1);
    assert_eq!(times(&manager, "user.deactivated", &manager).await, 0);

    set_role(&ada, &plain, "admin").await.expect(200);
    set_role(&ada, &other, "user").await.expect(200);
    deactivate(&ada, &other).await.expect(204);
}

#[tokio::test]
async fn a_manager_changes_not_himself() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    for role in ["user", "admin"] {
        set_role(&manager, &manager, role).await.problem(409, "own_account");
    }
    deactivate(&manager, &manager).await.problem(409, "own_account");
    manager.client.get("/v1/users").await.expect(200);
}

#[tokio::test]
async fn a_plain_user_changes_nobody() {
    let app = TestApp::start().await;
    let [ada, eve] = [app.person().await, app.person().await];
    for target in [&ada, &eve] {
        set_role(&ada, target, "manager").await.problem(403, "forbidden");
        deactivate(&ada, target).await.problem(403, "forbidden");
        reactivate(&ada, target).await.problem(403, "forbidden");
    }
    let owner = app.tenant().await;
    owner
        .client
        .delete(format!("/v1/users/{}", eve.id))
        .await
        .problem(403, "forbidden");
    eve.client.get("/v1/auth/me").await.expect(200);
}

#[tokio::test]
async fn bad_input_is_named() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let ada = app.person().await;
    let role = format!("/v1/users/{}/role", ada.id);
    let patch = async |body: Value| manager.client.patch(&role, body).await;
    assert_eq!(
        patch(json!({"role": "root"})).await.problem(400, "wrong_type").fields(),
        ["role"]
    );
    patch(json!({"role": null})).await.problem(400, "wrong_type");
    patch(json!({})).await.problem(400, "missing_field");
    patch(json!({"role": "admin", "status": "active"}))
        .await
        .problem(400, "unknown_field");
    let nobody = kernel::UserId::new(app.now());
    manager
        .client
        .patch(format!("/v1/users/{nobody}/role"), json!({"role": "user"}))
        .await
        .problem(404, "not_found");
    manager
        .client
        .delete(format!("/v1/users/{nobody}"))
        .await
        .problem(404, "not_found");
    manager
        .client
        .patch(format!("/v1/users/{nobody}/reactivate"), json!({}))
        .await
        .problem(404, "not_found");
    for bad in [
        "7",
        "usr_",
        "me",
        &ada.id.to_uppercase(),
        &ada.id.replace("usr_", "org_"),
        "usr_%00",
    ] {
        manager
            .client
            .delete(format!("/v1/users/{bad}"))
            .await
            .problem(400, "malformed_id");
    }
    assert_eq!(ada.client.get("/v1/auth/me").await.expect(200).json["role"], "user");
}

#[tokio::test]
async fn what_is_so_already_is_noted_once() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let ada = app.proved_person().await;
    for _ in 0..3 {
        set_role(&manager, &ada, "admin").await.expect(200);
    }
    assert_eq!(times(&manager, "user.role_changed", &ada).await, 1);
    for _ in 0..3 {
        deactivate(&manager, &ada).await.expect(204);
    }
    assert_eq!(times(&manager, "user.deactivated", &ada).await, 1);
    for _ in 0..3 {
        assert_eq!(reactivate(&manager, &ada).await.expect(200).json["status"], "active");
    }
    assert_eq!(times(&manager, "user.reactivated", &ada).await, 1);
}

#[tokio::test]
async fn racing_deactivations_are_noted_once() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let ada = app.person().await;
    let racing = join_all((0..5).map(|_| deactivate(&manager, &ada))).await;
    for reply in &racing {
        assert!(matches!(reply.status.as_u16(), 204 | 412), "{}", reply.json);
    }
    assert!(racing.iter().any(|reply| reply.status == 204));
    assert_eq!(times(&manager, "user.deactivated", &ada).await, 1);
}

#[tokio::test]
async fn who_is_deactivated_or_demoted_has_no_power_at_once() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let [ada, eve] = [admin(&app, &manager).await, admin(&app, &manager).await];
    let plain = app.person().await;
    ada.client.get("/v1/users").await.expect(200);
    deactivate(&manager, &ada).await.expect(204);
    for role in ["user", "admin", "manager"] {
        set_role(&ada, &ada, role).await.problem(401, "deactivated");
        set_role(&ada, &plain, role).await.problem(401, "deactivated");
    }
    reactivate(&ada, &ada).await.problem(401, "deactivated");
    // The role is kept for when they come back.
    assert_eq!(reactivate(&manager, &ada).await.expect(200).json["role"], "admin");
    ada.client.get("/v1/users").await.problem(401, "session_ended");
    let ada = ada.logged_in_again(&app).await;
    ada.client.get("/v1/users").await.expect(200);

    eve.client.get("/v1/users").await.expect(200);
    set_role(&manager, &eve, "user").await.expect(200);
    eve.client.get("/v1/users").await.problem(403, "forbidden");
}

#[tokio::test]
async fn of_two_managers_who_demote_each_other_one_stays() {
    let app = TestApp::start().await;
    let first = app.manager().await;
    let second = app.proved_person().await;
    set_role(&first, &second, "manager").await.expect(200);
    let replies = join_all([set_role(&first, &second, "user"), set_role(&second, &first, "user")]).await;
    let done = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(done, 1, "{replies:?}");
    assert!(
        replies
            .iter()
            .all(|reply| matches!(reply.status.as_u16(), 200 | 403 | 412))
    );
}

async fn end_sessions(by: &Client, target: &str) -> Reply {
    by.delete(format!("/v1/users/{target}/sessions")).await
}

#[tokio::test]
async fn a_manager_ends_all_sessions_of_a_person() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let [ada, eve] = [app.person().await, app.person().await];
    let elsewhere = ada.logged_in_again(&app).await;
    let reply = end_sessions(&manager.client, &ada.id).await.expect(204);
    assert!(reply.bytes.is_empty());
    app.advance(30_001);
    for session in [&ada, &elsewhere] {
        session.client.get("/v1/auth/me").await.problem(401, "session_ended");
        app.client()
            .post("/v1/auth/refresh", json!({"refreshToken": session.refresh_token}))
            .await
            .problem(401, "bad_refresh_token");
    }
    // Nobody is kept out, and nobody else's end.
    let again = ada.logged_in_again(&app).await;
    assert_eq!(again.client.all("/v1/auth/sessions").await.len(), 1);
    again.client.get("/v1/auth/me").await.expect(200);
    eve.client.get("/v1/auth/me").await.expect(200);
    assert_eq!(times(&manager, "user.sessions_ended", &ada).await, 1);
    // What was opened meanwhile ends too.
    end_sessions(&manager.client, &ada.id).await.expect(204);
    again.client.get("/v1/auth/me").await.problem(401, "session_ended");
    assert_eq!(times(&manager, "user.sessions_ended", &ada).await, 2);
    // One's own are no exception.
    end_sessions(&manager.client, &manager.id).await.expect(204);
    manager.client.get("/v1/users").await.problem(401, "session_ended");
}

#[tokio::test]
async fn nobody_but_a_manager_ends_the_sessions_of_others() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let admin = admin(&app, &manager).await;
    let [ada, eve] = [app.person().await, app.person().await];
    for by in [&admin, &eve, &ada] {
        end_sessions(&by.client, &ada.id).await.problem(403, "forbidden");
    }
    end_sessions(&app.client(), &ada.id)
        .await
        .problem(401, "not_authenticated");
    let nobody = kernel::UserId::from_bits(7).to_string();
    end_sessions(&manager.client, &nobody).await.problem(404, "not_found");
    for bad in ["7", "usr_", "me", &ada.id.replace("usr_", "org_")] {
        end_sessions(&manager.client, bad).await.problem(400, "malformed_id");
    }
    ada.client.get("/v1/auth/me").await.expect(200);
    assert_eq!(times(&manager, "user.sessions_ended", &ada).await, 0);
}
