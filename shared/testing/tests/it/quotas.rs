//! Quotas: how much there may be of what costs nothing to make, who raises that, and that racing gains nothing.

use futures::future::join_all;
use serde_json::{Value, json};
use testing::{Client, Person, Reply, Tenant, TestApp};

fn path(org: &str) -> String {
    format!("/v1/admin/orgs/{org}/quotas")
}

async fn set(manager: &Person, tenant: &Tenant, quotas: Value) -> Value {
    manager.client.patch(path(&tenant.org), quotas).await.expect(200).json
}

async fn new_project(tenant: &Tenant) -> Reply {
    let project = json!({"name": "Another", "environment": "dev"});
    tenant.client.post("/v1/projects", project).await
}

fn keys_of(tenant: &Tenant) -> String {
    format!("/v1/projects/{}/api-keys", tenant.project)
}

async fn new_key(tenant: &Tenant) -> Reply {
    tenant.client.post(keys_of(tenant), json!({"label": "another"})).await
}

async fn new_alert(tenant: &Tenant, enabled: bool) -> Reply {
    let alert = json!({"projectId": tenant.project, "metricType": "event_count", "eventType": "ERROR", "condition": ">",
        "threshold": 2, "window": "1m", "channel": "email", "target": tenant.owner.email, "enabled": enabled});
    tenant.client.post("/v1/alerts", alert).await
}

/// Wants as many successes as these, and that all others are told of the quota or to try again.
fn check_race(replies: &[Reply], status: u16, many: usize) {
    let done = replies.iter().filter(|reply| reply.status == status).count();
    assert!(done <= many, "{done} of {many}");
    let known = |reply: &Reply| {
        let code = reply.json["code"].as_str();
        reply.status == status || matches!(code, Some("quota_reached" | "stale" | "busy"))
    };
    assert!(replies.iter().all(known), "{replies:?}");
}

#[tokio::test]
async fn an_organization_has_as_many_projects_as_its_quota_says() {
    let app = TestApp::start().await;
    let (manager, [acme, rival]) = (app.manager().await, app.tenants().await);
    set(&manager, &acme, json!({"projects": 3})).await;
    new_project(&acme).await.expect(201);
    let third = new_project(&acme).await.expect(201).text("id");
    let refused = new_project(&acme).await.problem(409, "quota_reached");
    assert_eq!(
        refused.text("detail"),
        "an organization has at most 3 projects (quota `projects`); end one that you do not need, or ask for a higher quota"
    );
    new_project(&rival).await.expect(201);
    // One that is deleted counts no more; of many at once no more pass than there is room for.
    let third = format!("/v1/projects/{third}");
    acme.client.delete(third).await.expect(204);
    check_race(&join_all((0..8).map(|_| new_project(&acme))).await, 201, 1);
    set(&manager, &acme, json!({"projects": 4})).await;
    assert_eq!(acme.client.all("/v1/projects").await.len(), 3);
    new_project(&acme).await.expect(201);
}

#[tokio::test]
async fn a_project_has_as_many_keys_as_the_quota_says_and_one_that_ended_counts_for_a_day() {
    let app = TestApp::start().await;
    let (manager, acme) = (app.manager().await, app.tenant().await);
    set(&manager, &acme, json!({"keysPerProject": 2})).await;
    let id = new_key(&acme).await.expect(201).text("id");
    let refused = new_key(&acme).await.problem(409, "quota_reached");
    assert!(refused.text("detail").contains("`keysPerProject`"), "{}", refused.json);
    let rotate = format!("{}/{id}/rotate", keys_of(&acme));
    let grace = json!({"graceSeconds": 0});
    acme.client
        .post(&rotate, grace.clone())
        .await
        .problem(409, "quota_reached");
    // Another project has its own.
    let other = app.project(&acme).await;
    new_key(&other).await.expect(201);

    // Whoever makes and revokes them all day long makes no more of them.
    acme.client.delete(format!("{}/{id}", keys_of(&acme))).await.expect(204);
    new_key(&acme).await.problem(409, "quota_reached");
    app.advance(kernel::Time::DAY - 1);
    let acme = acme.logged_in_again(&app).await;
    new_key(&acme).await.problem(409, "quota_reached");
    app.advance(1);
    check_race(&join_all((0..8).map(|_| new_key(&acme))).await, 201, 1);
    let manager = app.manager().await;
    set(&manager, &acme, json!({"keysPerProject": 4})).await;
    let rotate = format!("{}/{}/rotate", keys_of(&acme), acme.key_id);
    acme.client.post(&rotate, grace).await.expect(201);
}

#[tokio::test]
async fn an_organization_has_as_many_enabled_alerts_as_its_quota_says() {
    let app = TestApp::start().await;
    let (manager, acme) = (app.manager().await, app.tenant().await);
    set(&manager, &acme, json!({"enabledAlerts": 2})).await;
    let first = new_alert(&acme, true).await.expect(201).text("id");
    let other = app.project(&acme).await;
    new_alert(&other, true).await.expect(201);
    let refused = new_alert(&acme, true).await.problem(409, "quota_reached");
    assert!(refused.text("detail").contains("`enabledAlerts`"), "{}", refused.json);

    // One that is not enabled costs nobody anything, until it is.
    let third = format!("/v1/alerts/{}", new_alert(&acme, false).await.expect(201).text("id"));
    let enable = json!({"enabled": true});
    acme.client
        .patch(&third, enable.clone())
        .await
        .problem(409, "quota_reached");
    acme.client.patch(&third, json!({"threshold": 3})).await.expect(200);
    let first = format!("/v1/alerts/{first}");
    acme.client.patch(&first, json!({"threshold": 5})).await.expect(200);
    acme.client.patch(&first, json!({"enabled": false})).await.expect(200);
    let racing = [
        acme.client.patch(&first, enable.clone()),
        acme.client.patch(&third, enable),
    ];
    check_race(&join_all(racing).await, 200, 1);
    acme.client.delete(&first).await.expect(204);
    acme.client.delete(&third).await.expect(204);
    new_alert(&acme, true).await.expect(201);
}

#[tokio::test]
async fn a_person_makes_twenty_organizations_and_deleted_ones_count_no_more() {
    let app = TestApp::start().await;
    let (ada, eve) = (app.person().await, app.person().await);
    let make = async |by: &Client| by.post("/v1/orgs", json!({"name": "Acme"})).await;
    let mut last = String::new();
    for _ in 0..20 {
        last = make(&ada.client).await.expect(201).text("id");
    }
    let refused = make(&ada.client).await.problem(409, "quota_reached");
    assert!(
        refused.text("detail").contains("at most 20 organizations"),
        "{}",
        refused.json
    );
    make(&eve.client).await.expect(201);
    ada.client.delete(format!("/v1/orgs/{last}")).await.expect(204);
    check_race(&join_all((0..5).map(|_| make(&ada.client))).await, 201, 1);
}

#[tokio::test]
async fn managers_of_the_platform_set_quotas_and_that_is_noted() {
    let app = TestApp::start().await;
    let (manager, acme) = (app.manager().await, app.tenant().await);
    let usual = json!({"projects": 100, "keysPerProject": 50, "enabledAlerts": 1000});
    assert_eq!(manager.client.get(path(&acme.org)).await.expect(200).json, usual);
    let raised = json!({"projects": 100, "keysPerProject": 70, "enabledAlerts": 1000});
    for _ in 0..2 {
        assert_eq!(set(&manager, &acme, json!({"keysPerProject": 70})).await, raised);
    }
    assert_eq!(manager.client.get(path(&acme.org)).await.expect(200).json, raised);
    let trail = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let noted: Vec<&Value> = trail
        .iter()
        .filter(|entry| entry["action"] == "org.quotas_changed")
        .collect();
    assert_eq!(noted.len(), 1);
    assert_eq!((&noted[0]["oldValue"], &noted[0]["newValue"]), (&usual, &raised));
    assert_eq!(noted[0]["actorUserId"], manager.id);
}

#[tokio::test]
async fn quotas_are_refused_to_others_and_where_they_make_no_sense() {
    let app = TestApp::start().await;
    let (manager, acme) = (app.manager().await, app.tenant().await);
    let quotas = path(&acme.org);
    let raise = json!({"projects": 1_000});
    for client in [&acme.client, &app.person().await.client] {
        client.get(&quotas).await.problem(403, "forbidden");
        client.patch(&quotas, raise.clone()).await.problem(403, "forbidden");
    }
    app.client()
        .patch(&quotas, raise.clone())
        .await
        .problem(401, "not_authenticated");
    for (field, value) in [
        ("projects", 10_001),
        ("keysPerProject", 1_001),
        ("enabledAlerts", 10_001),
    ] {
        let reply = manager.client.patch(&quotas, json!({field: value})).await;
        assert_eq!(reply.problem(422, "invalid").fields(), [field]);
    }
    manager
        .client
        .patch(&quotas, json!({"orgs": 1}))
        .await
        .problem(400, "unknown_field");
    let nobody = path(&kernel::OrgId::new(app.now()).to_string());
    manager.client.get(&nobody).await.problem(404, "not_found");
    manager
        .client
        .patch(&nobody, raise.clone())
        .await
        .problem(404, "not_found");
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    manager.client.patch(&quotas, raise).await.problem(404, "not_found");
}
