//! /v1/orgs/{orgId}/grants: roles in single projects. What they open is in roles.rs.

use futures::future::join_all;
use serde_json::{Value, json};
use testing::{Person, Tenant, TestApp};

fn path(tenant: &Tenant) -> String {
    format!("/v1/orgs/{}/grants", tenant.org)
}

fn body(member: &Person, project: &str, role: &str) -> Value {
    json!({"userId": member.id, "resourceType": "project", "resourceId": project, "role": role})
}

#[tokio::test]
async fn a_grant_is_made_listed_and_taken_away() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    let made = acme
        .client
        .post(path(&acme), body(&viewer, &acme.project, "admin"))
        .await
        .expect(201);
    let expected = json!({"id": made.text("id"), "userId": viewer.id, "resourceType": "project",
        "resourceId": acme.project, "role": "admin", "grantedBy": acme.owner.id, "createdAt": app.now()});
    assert_eq!(made.json, expected);
    assert_eq!(acme.client.get(path(&acme)).await.expect(200).data(), [expected]);

    let again = acme
        .client
        .post(path(&acme), body(&viewer, &acme.project, "member"))
        .await;
    again.problem(409, "already_granted");
    let one = format!("{}/{}", path(&acme), made.text("id"));
    acme.client.delete(&one).await.expect(204);
    acme.client.delete(&one).await.problem(404, "not_found");
    assert_eq!(acme.client.get(path(&acme)).await.expect(200).data().len(), 0);
    acme.client
        .post(path(&acme), body(&viewer, &acme.project, "member"))
        .await
        .expect(201);
}

#[tokio::test]
async fn grants_are_listed_by_member_and_by_project() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let shop = app.project(&acme).await;
    let [ada, eve] = [app.member(&acme, "viewer").await, app.member(&acme, "viewer").await];
    for (person, project) in [(&ada, &acme.project), (&ada, &shop.project), (&eve, &shop.project)] {
        app.advance(1);
        app.grant(&acme, person, project, "member").await;
    }
    let list = async |query: &str| {
        let found = acme.client.all(format!("{}?limit=1{query}", path(&acme))).await;
        let told = |grant: &Value| {
            let who = if grant["userId"] == ada.id.as_str() {
                "ada"
            } else {
                "eve"
            };
            let what = if grant["resourceId"] == shop.project.as_str() {
                "shop"
            } else {
                "first"
            };
            format!("{who} {what}")
        };
        found.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["eve shop", "ada shop", "ada first"]);
    assert_eq!(list(&format!("&userId={}", ada.id)).await, ["ada shop", "ada first"]);
    assert_eq!(
        list(&format!("&resourceId={}", shop.project)).await,
        ["eve shop", "ada shop"]
    );
    let both = format!("&userId={}&resourceId={}", ada.id, acme.project);
    assert_eq!(list(&both).await, ["ada first"]);
    let nobody = kernel::UserId::new(app.now());
    assert_eq!(list(&format!("&userId={nobody}")).await, Vec::<String>::new());

    let cursor = acme
        .client
        .get(format!("{}?limit=1", path(&acme)))
        .await
        .expect(200)
        .text("nextCursor");
    let other = format!("{}?userId={}&cursor={cursor}", path(&acme), ada.id);
    acme.client.get(other).await.problem(400, "bad_cursor");
    for (query, code) in [
        ("limit=0", "bad_limit"),
        ("userId=x", "malformed_id"),
        ("role=admin", "unknown_field"),
    ] {
        acme.client
            .get(format!("{}?{query}", path(&acme)))
            .await
            .problem(400, code);
    }
}

#[tokio::test]
async fn grants_end_with_the_membership() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.member(&acme, "viewer").await;
    let shop = app.project(&acme).await;
    let grants = [
        app.grant(&acme, &ada, &acme.project, "admin").await,
        app.grant(&acme, &ada, &shop.project, "member").await,
    ];
    let keys = format!("/v1/projects/{}/api-keys", acme.project);
    ada.client.get(&keys).await.expect(200);

    let member = format!("/v1/orgs/{}/members/{}", acme.org, ada.id);
    acme.client.delete(&member).await.expect(204);
    ada.client.get(&keys).await.problem(404, "not_found");
    assert_eq!(acme.client.get(path(&acme)).await.expect(200).data().len(), 0);
    let last = acme
        .client
        .get(format!("/v1/orgs/{}/audit?limit=1", acme.org))
        .await
        .expect(200);
    assert_eq!(last.data()[0]["action"], "member.removed");
    let noted = last.data()[0]["oldValue"]["grants"].as_array().unwrap();
    assert_eq!(noted.len(), 2);
    assert!(grants.iter().all(|grant| noted.contains(&json!(grant))));

    // Whoever comes back begins without.
    app.join(&acme, &ada, "viewer").await;
    ada.client.get(&keys).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_change_of_role_leaves_grants_as_they_are() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.member(&acme, "member").await;
    app.grant(&acme, &ada, &acme.project, "admin").await;
    let member = format!("/v1/orgs/{}/members/{}", acme.org, ada.id);
    acme.client.patch(&member, json!({"role": "viewer"})).await.expect(200);
    let keys = format!("/v1/projects/{}/api-keys", acme.project);
    ada.client.post(&keys, json!({"label": "mine"})).await.expect(201);
    // A grant is for one project: it makes none, and none of the others is reached.
    let project = json!({"name": "Mine", "environment": "dev"});
    ada.client.post("/v1/projects", project).await.problem(403, "forbidden");
}

#[tokio::test]
async fn nobody_grants_more_than_their_own_role() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let [admin, viewer] = [app.member(&acme, "admin").await, app.member(&acme, "viewer").await];
    let owner = body(&viewer, &acme.project, "owner");
    admin
        .client
        .post(path(&acme), owner.clone())
        .await
        .problem(403, "forbidden");
    let made = acme.client.post(path(&acme), owner).await.expect(201).text("id");
    admin
        .client
        .delete(format!("{}/{made}", path(&acme)))
        .await
        .problem(403, "forbidden");
    // Being admin of one project is not being admin of the organization.
    viewer.client.get(path(&acme)).await.problem(403, "forbidden");
    let more = body(&viewer, &acme.project, "admin");
    viewer.client.post(path(&acme), more).await.problem(403, "forbidden");
}

#[tokio::test]
async fn foreign_members_projects_and_grants_look_absent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let [ada, eve] = [app.member(&acme, "viewer").await, app.member(&rival, "viewer").await];
    let grant = app.grant(&acme, &ada, &acme.project, "admin").await;
    for (member, project, absent) in [(&eve, &acme.project, "member"), (&ada, &rival.project, "project")] {
        let reply = acme.client.post(path(&acme), body(member, project, "admin")).await;
        assert_eq!(
            reply.problem(404, "not_found").json["detail"],
            format!("there is no such {absent}")
        );
    }
    let theirs = rival
        .client
        .delete(format!("{}/{grant}", path(&rival)))
        .await
        .problem(404, "not_found");
    assert_eq!(theirs.json["detail"], "there is no such grant");
    for reply in [
        rival.client.get(path(&acme)).await,
        rival.client.post(path(&acme), body(&ada, &acme.project, "admin")).await,
        rival.client.delete(format!("{}/{grant}", path(&acme))).await,
    ] {
        assert_eq!(
            reply.problem(404, "not_found").json["detail"],
            "there is no such organization"
        );
    }
    let by_project = format!("{}?resourceId={}", path(&rival), acme.project);
    assert_eq!(rival.client.get(by_project).await.expect(200).data().len(), 0);
    let by_member = format!("{}?userId={}", path(&rival), ada.id);
    assert_eq!(rival.client.get(by_member).await.expect(200).data().len(), 0);
    assert_eq!(acme.client.get(path(&acme)).await.expect(200).data().len(), 1);
}

#[tokio::test]
async fn bad_input_is_named_and_grants_nothing() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    let good = body(&viewer, &acme.project, "admin");
    for (field, value, code) in [
        ("userId", json!("x"), "malformed_id"),
        ("userId", json!(acme.project), "malformed_id"),
        ("resourceId", json!(viewer.id), "malformed_id"),
        ("resourceType", json!("board"), "wrong_type"),
        ("role", json!("root"), "wrong_type"),
        ("role", json!(null), "wrong_type"),
        ("expiresAt", json!("2030-01-01T00:00:00Z"), "unknown_field"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let reply = acme.client.post(path(&acme), bad).await.problem(400, code);
        assert_eq!(reply.fields(), [field]);
    }
    acme.client
        .post(path(&acme), json!({}))
        .await
        .problem(400, "missing_field");
    acme.client
        .delete(format!("{}/grt_x", path(&acme)))
        .await
        .problem(400, "malformed_id");
    assert_eq!(acme.client.get(path(&acme)).await.expect(200).data().len(), 0);
}

#[tokio::test]
async fn of_racing_grants_for_one_project_one_is_made_and_noted() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    let grant = async || {
        acme.client
            .post(path(&acme), body(&viewer, &acme.project, "admin"))
            .await
    };
    let racing = join_all((0..4).map(|_| grant())).await;
    assert_eq!(racing.iter().filter(|reply| reply.status == 201).count(), 1);
    for lost in racing.into_iter().filter(|reply| reply.status != 201) {
        lost.problem(409, "already_granted");
    }
    let trail = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let noted: Vec<&Value> = trail
        .iter()
        .filter(|entry| entry["action"] == "grant.created")
        .collect();
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0]["newValue"], body(&viewer, &acme.project, "admin"));
}
