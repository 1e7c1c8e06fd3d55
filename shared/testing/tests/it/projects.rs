//! /v1/projects: what belongs to an organization, and to no other.

use futures::future::join_all;
use serde_json::{Value, json};
use testing::TestApp;

#[tokio::test]
async fn a_project_is_made_read_changed_and_deleted() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let body = json!({"name": "Checkout", "description": "sells", "environment": "staging"});
    let made = acme.client.post("/v1/projects", body).await.expect(201);
    let id = made.text("id");
    let expected = json!({"id": id, "name": "Checkout", "description": "sells", "environment": "staging",
        "alertDefaults": null, "createdAt": app.now(), "updatedAt": app.now()});
    assert_eq!(made.json, expected);
    let path = format!("/v1/projects/{id}");
    assert_eq!(acme.client.get(&path).await.expect(200).json, expected);

    app.advance(1_000);
    let patch = async |body: Value| acme.client.patch(&path, body).await.expect(200).json;
    assert_eq!(patch(json!({})).await, expected);
    assert_eq!(patch(json!({"name": "Checkout"})).await, expected);
    let changed = patch(json!({"name": "Shop", "description": null})).await;
    assert_eq!(
        (&changed["name"], &changed["description"]),
        (&json!("Shop"), &json!(null))
    );
    assert_eq!(
        (&changed["environment"], &changed["updatedAt"]),
        (&json!("staging"), &json!(app.now()))
    );
    assert_eq!(changed["createdAt"], expected["createdAt"]);

    acme.client.delete(&path).await.expect(204);
    acme.client.delete(&path).await.problem(404, "not_found");
    acme.client.get(&path).await.problem(404, "not_found");
    acme.client
        .patch(&path, json!({"name": "Back"}))
        .await
        .problem(404, "not_found");
    acme.client
        .get(format!("{path}/api-keys"))
        .await
        .problem(404, "not_found");
    acme.client
        .get(format!("/v1/metrics/overview?projectId={id}"))
        .await
        .problem(404, "not_found");
    assert_eq!(acme.client.get("/v1/projects").await.expect(200).data().len(), 1);
}

#[tokio::test]
async fn bad_input_is_named_and_stores_nothing() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let good = json!({"name": "a", "description": "b", "environment": "dev"});
    let path = format!("/v1/projects/{}", acme.project);
    let before = acme.client.get(&path).await.expect(200).json;
    for (field, value, status, code) in [
        ("name", json!(""), 422, "invalid"),
        ("name", json!("x".repeat(101)), 422, "invalid"),
        ("name", json!(null), 400, "wrong_type"),
        ("name", json!(["a"]), 400, "wrong_type"),
        ("description", json!("x".repeat(2_001)), 422, "invalid"),
        ("description", json!(7), 400, "wrong_type"),
        ("environment", json!("moon"), 400, "wrong_type"),
        ("environment", json!("PROD"), 400, "wrong_type"),
        ("environment", json!(null), 400, "wrong_type"),
        ("orgId", json!("org_x"), 400, "unknown_field"),
        ("id", json!("prj_x"), 400, "unknown_field"),
        ("createdAt", json!("2020-01-01T00:00:00Z"), 400, "unknown_field"),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let made = acme.client.post("/v1/projects", body).await.problem(status, code);
        let changed = acme
            .client
            .patch(&path, json!({field: value}))
            .await
            .problem(status, code);
        assert_eq!((made.fields(), changed.fields()), (vec![field], vec![field]));
    }
    let both = json!({"name": "", "description": "\u{0}", "environment": "dev"});
    let both = acme.client.post("/v1/projects", both).await.problem(422, "invalid");
    assert_eq!(both.fields(), ["name", "description"]);
    for bad in [
        "7",
        "prj_",
        &acme.org,
        &acme.project.to_uppercase(),
        "%2e%2e",
        "prj_'%20OR%201=1",
    ] {
        acme.client
            .get(format!("/v1/projects/{bad}"))
            .await
            .problem(400, "malformed_id");
        acme.client
            .delete(format!("/v1/projects/{bad}"))
            .await
            .problem(400, "malformed_id");
    }
    assert_eq!(acme.client.get("/v1/projects").await.expect(200).data(), [before]);
}

#[tokio::test]
async fn a_foreign_project_looks_absent_and_stays_as_it_is() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let path = format!("/v1/projects/{}", acme.project);
    let before = acme.client.get(&path).await.expect(200).json;
    let unknown = format!("/v1/projects/{}", kernel::ProjectId::new(app.now()));
    for path in [&path, &unknown] {
        for reply in [
            rival.client.get(path).await,
            rival.client.patch(path, json!({"name": "Mine"})).await,
            rival.client.delete(path).await,
        ] {
            assert_eq!(
                reply.problem(404, "not_found").json["detail"],
                "there is no such project"
            );
        }
    }
    // Who is no member of the named organization gets no further than that.
    let foreign = rival.owner.client.within(&acme.org);
    for reply in [
        foreign.get("/v1/projects").await,
        foreign.get(&path).await,
        foreign.delete(&path).await,
        foreign
            .post("/v1/projects", json!({"name": "Mine", "environment": "dev"}))
            .await,
    ] {
        assert_eq!(
            reply.problem(404, "not_found").json["detail"],
            "there is no such organization"
        );
    }
    assert_eq!(acme.client.get(&path).await.expect(200).json, before);
    assert_eq!(acme.client.get("/v1/projects").await.expect(200).data().len(), 1);
}

#[tokio::test]
async fn the_organization_has_to_be_named() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let nowhere = &acme.owner.client;
    for reply in [
        nowhere.get("/v1/projects").await,
        nowhere
            .post("/v1/projects", json!({"name": "a", "environment": "dev"}))
            .await,
        nowhere.get(format!("/v1/projects/{}", acme.project)).await,
        nowhere
            .get(format!("/v1/metrics/overview?projectId={}", acme.project))
            .await,
    ] {
        assert_eq!(reply.problem(400, "missing_org").fields(), ["x-org-id"]);
    }
    for bad in ["", "7", "org_x", &acme.project, &format!("{0},{0}", acme.org)] {
        let reply = nowhere
            .within(bad)
            .get("/v1/projects")
            .await
            .problem(400, "malformed_id");
        assert_eq!(reply.fields(), ["x-org-id"]);
    }
    app.client()
        .within(&acme.org)
        .get("/v1/projects")
        .await
        .problem(401, "not_authenticated");
}

#[tokio::test]
async fn projects_are_listed_newest_first_page_by_page() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for place in 0..6 {
        app.advance(1);
        acme.client
            .post(
                "/v1/projects",
                json!({"name": format!("{place}"), "environment": "dev"}),
            )
            .await
            .expect(201);
    }
    let names = |list: &[Value]| {
        list.iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&acme.client.all("/v1/projects?limit=2").await),
        ["5", "4", "3", "2", "1", "0", "Shop"]
    );
    let exactly = acme.client.get("/v1/projects?limit=7").await.expect(200);
    assert_eq!(exactly.json["nextCursor"], Value::Null);

    let cursor = acme
        .client
        .get("/v1/projects?limit=2")
        .await
        .expect(200)
        .text("nextCursor");
    let next = acme
        .client
        .get(format!("/v1/projects?limit=2&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(names(next.data()), ["3", "2"]);
    rival
        .client
        .get(format!("/v1/projects?cursor={cursor}"))
        .await
        .problem(400, "bad_cursor");
    let keys = format!("/v1/projects/{}/api-keys?cursor={cursor}", acme.project);
    acme.client.get(keys).await.problem(400, "bad_cursor");
    for bad in ["limit=0", "limit=101"] {
        acme.client
            .get(format!("/v1/projects?{bad}"))
            .await
            .problem(400, "bad_limit");
    }
    for bad in ["cursor=", "cursor=AAAA", &format!("cursor={}", "x".repeat(5_000))] {
        acme.client
            .get(format!("/v1/projects?{bad}"))
            .await
            .problem(400, "bad_cursor");
    }
    acme.client
        .get("/v1/projects?environment=dev")
        .await
        .problem(400, "unknown_field");
}

#[tokio::test]
async fn of_racing_changes_none_is_lost_unseen() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let path = format!("/v1/projects/{}", acme.project);
    let change = async |place: usize| acme.client.patch(&path, json!({"name": format!("name {place}")})).await;
    let racing = join_all((0..5).map(change)).await;
    let done = racing.iter().filter(|reply| reply.status == 200).count();
    for reply in racing.into_iter().filter(|reply| reply.status != 200) {
        reply.problem(412, "stale");
    }
    let trail = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let noted = trail
        .iter()
        .filter(|entry| entry["action"] == "project.updated")
        .count();
    assert!(done >= 1);
    assert_eq!(noted, done);
}

#[tokio::test]
async fn racing_posts_with_one_idempotency_key_make_one_project() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let once = acme.client.header("idempotency-key", "project-1");
    let body = json!({"name": "Once", "environment": "dev"});
    let racing = join_all((0..20).map(|_| once.post("/v1/projects", body.clone()))).await;
    let mut ids = Vec::new();
    for reply in racing {
        if reply.status == 201 {
            ids.push(reply.text("id"));
        } else {
            let busy = reply.problem(409, "in_flight");
            assert!(busy.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(acme.client.get("/v1/projects").await.expect(200).data().len(), 2);
    let replayed = once.post("/v1/projects", body).await.expect(201);
    assert_eq!(
        (replayed.text("id"), replayed.header("idempotent-replayed")),
        (ids.remove(0), "true")
    );
}
