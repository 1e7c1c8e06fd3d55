//! /v1/orgs: organizations, and who belongs to them with which role.

use serde_json::{Value, json};
use testing::{Person, Reply, Tenant, TestApp};

fn member_path(tenant: &Tenant, person: &Person) -> String {
    format!("/v1/orgs/{}/members/{}", tenant.org, person.id)
}

async fn set_role(by: &Person, tenant: &Tenant, target: &Person, role: &str) -> Reply {
    by.client
        .patch(member_path(tenant, target), json!({"role": role}))
        .await
}

async fn remove(by: &Person, tenant: &Tenant, target: &Person) -> Reply {
    by.client.delete(member_path(tenant, target)).await
}

/// The roles of all members, by their ids.
async fn roles(by: &Person, tenant: &Tenant) -> Vec<(String, String)> {
    let members = by.client.all(format!("/v1/orgs/{}/members", tenant.org)).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut roles: Vec<_> = members
        .iter()
        .map(|member| (text(&member["userId"]), text(&member["role"])))
        .collect();
    roles.sort();
    roles
}

#[tokio::test]
async fn who_makes_an_organization_owns_it() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let acme = ada.client.post("/v1/orgs", json!({"name": "Acme"})).await.expect(201);
    let id = acme.text("id");
    let now = app.now();
    let expected = json!({
        "id": id, "name": "Acme", "timeZone": "UTC", "address": null, "taxRate": null, "taxId": null, "logo": null,
        "color": null, "dueInDays": 14, "usageGraceHours": 1, "reminderDays": [3, 10, 20],
        "suspendAfterDays": null,
        "requireFactor": false,
        "role": "owner", "createdAt": now, "updatedAt": now,
    });
    assert_eq!(acme.json, expected);
    let path = format!("/v1/orgs/{id}");
    assert_eq!(ada.client.get(&path).await.expect(200).json, expected);
    assert_eq!(
        ada.client.get("/v1/orgs").await.expect(200).json,
        json!({"data": [expected], "nextCursor": null})
    );

    app.advance(1_000);
    let renamed = ada
        .client
        .patch(&path, json!({"name": "Acme & Sons"}))
        .await
        .expect(200);
    assert_eq!(
        (&renamed.json["name"], &renamed.json["updatedAt"]),
        (&json!("Acme & Sons"), &json!(app.now()))
    );
    assert_eq!(ada.client.get(&path).await.expect(200).json, renamed.json);
    app.advance(1_000);
    assert_eq!(ada.client.patch(&path, json!({})).await.expect(200).json, renamed.json);
    assert_eq!(
        ada.client
            .patch(&path, json!({"name": "Acme & Sons"}))
            .await
            .expect(200)
            .json,
        renamed.json
    );
}

#[tokio::test]
async fn bad_input_is_named_and_changes_nothing() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let post = async |body: Value| acme.owner.client.post("/v1/orgs", body).await;
    for bad in ["", "  ", "a\u{7}", &"x".repeat(101)] {
        assert_eq!(
            post(json!({"name": bad})).await.problem(422, "invalid").fields(),
            ["name"]
        );
    }
    post(json!({})).await.problem(400, "missing_field");
    post(json!({"name": 1})).await.problem(400, "wrong_type");
    post(json!({"name": "a", "ownerId": acme.owner.id}))
        .await
        .problem(400, "unknown_field");

    let path = format!("/v1/orgs/{}", acme.org);
    let patch = async |body: Value| acme.client.patch(&path, body).await;
    patch(json!({"name": ""})).await.problem(422, "invalid");
    patch(json!({"name": null})).await.problem(400, "wrong_type");
    patch(json!({"id": acme.org})).await.problem(400, "unknown_field");

    for bad in ["7", "org_", "org_x", &acme.org.to_uppercase(), &acme.project, "org_%00"] {
        for path in [
            format!("/v1/orgs/{bad}"),
            format!("/v1/orgs/{bad}/members"),
            format!("/v1/orgs/{bad}/audit"),
        ] {
            assert_eq!(
                acme.client.get(path).await.problem(400, "malformed_id").fields(),
                ["orgId"]
            );
        }
    }
    assert_eq!(acme.client.get(&path).await.expect(200).json["name"], "Tenant 1");
}

#[tokio::test]
async fn bad_members_are_named_and_none_is_invited() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let members = format!("/v1/orgs/{}/members", acme.org);
    let add = async |body: Value| acme.client.post(&members, body).await;
    assert_eq!(
        add(json!({"email": "no", "role": "viewer"}))
            .await
            .problem(422, "invalid")
            .fields(),
        ["email"]
    );
    add(json!({"email": acme.owner.email, "role": "root"}))
        .await
        .problem(400, "wrong_type");
    add(json!({"email": acme.owner.email}))
        .await
        .problem(400, "missing_field");
    add(json!({"email": acme.owner.email, "role": "viewer", "userId": "x"}))
        .await
        .problem(400, "unknown_field");
    add(json!({"email": acme.owner.email, "role": "viewer"}))
        .await
        .problem(409, "already_member");
    acme.client
        .delete(format!("{members}/usr_x"))
        .await
        .problem(400, "malformed_id");
    let nobody = kernel::UserId::new(app.now());
    acme.client
        .delete(format!("{members}/{nobody}"))
        .await
        .problem(404, "not_found");
    acme.client
        .patch(format!("{members}/{nobody}"), json!({"role": "admin"}))
        .await
        .problem(404, "not_found");
    let invitations = format!("/v1/orgs/{}/invitations", acme.org);
    assert_eq!(acme.client.get(invitations).await.expect(200).data().len(), 0);
    assert_eq!(
        roles(&acme.owner, &acme).await,
        [(acme.owner.id.clone(), "owner".to_owned())]
    );
}

#[tokio::test]
async fn a_foreign_organization_looks_absent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let path = format!("/v1/orgs/{}", acme.org);
    let eve = &rival.client;
    let member = member_path(&acme, &acme.owner);
    for reply in [
        eve.get(&path).await,
        eve.patch(&path, json!({"name": "Mine"})).await,
        eve.delete(&path).await,
        eve.get(format!("{path}/members")).await,
        eve.post(
            format!("{path}/members"),
            json!({"email": rival.owner.email, "role": "owner"}),
        )
        .await,
        eve.patch(&member, json!({"role": "viewer"})).await,
        eve.delete(&member).await,
        eve.get(format!("{path}/audit")).await,
        // The path names the organization, whatever the header says.
        rival.owner.client.within(&acme.org).get(&path).await,
    ] {
        let absent = reply.problem(404, "not_found");
        assert_eq!(absent.json["detail"], "there is no such organization");
    }
    let unknown = eve
        .get(format!("/v1/orgs/{}", kernel::OrgId::new(app.now())))
        .await
        .problem(404, "not_found");
    assert_eq!(unknown.json["detail"], "there is no such organization");
    // A member of one organization is none of another's, even by an id that exists.
    let theirs = format!("/v1/orgs/{}/members/{}", rival.org, acme.owner.id);
    eve.delete(&theirs).await.problem(404, "not_found");
    eve.patch(&theirs, json!({"role": "viewer"}))
        .await
        .problem(404, "not_found");
    assert_eq!(acme.client.get(&path).await.expect(200).json["role"], "owner");
    app.client().get(&path).await.problem(401, "not_authenticated");
}

#[tokio::test]
async fn a_platform_manager_is_no_member() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let manager = app.manager().await;
    manager
        .client
        .get(format!("/v1/orgs/{}", acme.org))
        .await
        .problem(404, "not_found");
    manager
        .client
        .within(&acme.org)
        .get("/v1/projects")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_deleted_organization_is_absent_for_everyone_and_everywhere() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    let path = format!("/v1/orgs/{}", acme.org);
    acme.client.delete(&path).await.expect(204);
    for client in [&acme.client, &viewer.client] {
        client.get(&path).await.problem(404, "not_found");
        client.get(format!("{path}/members")).await.problem(404, "not_found");
        client.get("/v1/projects").await.problem(404, "not_found");
        client
            .get(format!("/v1/metrics/overview?projectId={}", acme.project))
            .await
            .problem(404, "not_found");
        assert_eq!(client.get("/v1/orgs").await.expect(200).data().len(), 0);
    }
    acme.client
        .patch(&path, json!({"name": "Back"}))
        .await
        .problem(404, "not_found");
    acme.client.delete(&path).await.problem(404, "not_found");
    acme.client.get(format!("{path}/audit")).await.problem(404, "not_found");
    app.advance(60_000);
    acme.server
        .post("/v1/ingest/event", json!({"type": "A", "name": "a"}))
        .await
        .problem(401, "bad_api_key");
}

#[tokio::test]
async fn members_are_listed_with_their_names() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    let list = viewer
        .client
        .all(format!("/v1/orgs/{}/members?limit=1", acme.org))
        .await;
    assert_eq!(list.len(), 2);
    let shown = list
        .iter()
        .find(|member| member["userId"] == viewer.id.as_str())
        .unwrap();
    let expected = json!({"userId": viewer.id, "email": viewer.email, "name": "A Person", "role": "viewer",
        "status": "active", "joinedAt": app.now()});
    assert_eq!(*shown, expected);
    let theirs = viewer.client.get("/v1/orgs").await.expect(200);
    assert_eq!(
        (&theirs.data()[0]["id"], &theirs.data()[0]["role"]),
        (&json!(acme.org), &json!("viewer"))
    );
}

#[tokio::test]
async fn a_role_counts_from_the_next_request_on() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.member(&acme, "member").await;
    let project = json!({"name": "a", "environment": "dev"});
    ada.client.post("/v1/projects", project.clone()).await.expect(201);
    let reply = set_role(&acme.owner, &acme, &ada, "viewer").await.expect(200);
    assert_eq!(
        (&reply.json["userId"], &reply.json["role"]),
        (&json!(ada.id), &json!("viewer"))
    );
    ada.client
        .post("/v1/projects", project.clone())
        .await
        .problem(403, "forbidden");
    set_role(&acme.owner, &acme, &ada, "admin").await.expect(200);
    ada.client.post("/v1/projects", project).await.expect(201);
    remove(&acme.owner, &acme, &ada).await.expect(204);
    ada.client.get("/v1/projects").await.problem(404, "not_found");
    remove(&acme.owner, &acme, &ada).await.problem(404, "not_found");
}

#[tokio::test]
async fn an_admin_neither_makes_nor_changes_nor_removes_an_owner() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let [ada, viewer] = [app.member(&acme, "admin").await, app.member(&acme, "viewer").await];
    let stranger = app.person().await;
    let members = format!("/v1/orgs/{}/members", acme.org);
    let owner = json!({"email": stranger.email, "role": "owner"});
    ada.client.post(&members, owner).await.problem(403, "forbidden");
    for role in ["admin", "viewer", "owner"] {
        set_role(&ada, &acme, &acme.owner, role).await.problem(403, "forbidden");
    }
    remove(&ada, &acme, &acme.owner).await.problem(403, "forbidden");
    set_role(&ada, &acme, &ada, "owner").await.problem(403, "forbidden");
    set_role(&ada, &acme, &viewer, "owner").await.problem(403, "forbidden");

    set_role(&ada, &acme, &viewer, "admin").await.expect(200);
    let by_ada = Tenant {
        client: ada.client.clone(),
        ..acme.clone()
    };
    app.join(&by_ada, &stranger, "admin").await;
    remove(&ada, &acme, &stranger).await.expect(204);
    set_role(&ada, &acme, &ada, "viewer").await.expect(200);
    set_role(&ada, &acme, &ada, "admin").await.problem(403, "forbidden");
}

#[tokio::test]
async fn who_may_not_manage_members_may_still_leave() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for role in ["accountant", "member", "viewer"] {
        let person = app.member(&acme, role).await;
        remove(&person, &acme, &acme.owner).await.problem(403, "forbidden");
        set_role(&person, &acme, &person, "admin")
            .await
            .problem(403, "forbidden");
        remove(&person, &acme, &person).await.expect(204);
        person
            .client
            .get(format!("/v1/orgs/{}", acme.org))
            .await
            .problem(404, "not_found");
    }
    assert_eq!(roles(&acme.owner, &acme).await.len(), 1);
}

#[tokio::test]
async fn the_last_owner_stays_owner() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.member(&acme, "admin").await;
    let owner = &acme.owner;
    let owner = Person {
        client: acme.client.clone(),
        ..owner.clone()
    };
    remove(&owner, &acme, &owner).await.problem(409, "last_owner");
    for role in ["admin", "accountant", "member", "viewer"] {
        set_role(&owner, &acme, &owner, role).await.problem(409, "last_owner");
    }
    set_role(&owner, &acme, &owner, "owner").await.expect(200);

    set_role(&owner, &acme, &ada, "owner").await.expect(200);
    set_role(&owner, &acme, &owner, "viewer").await.expect(200);
    remove(&ada, &acme, &ada).await.problem(409, "last_owner");
    remove(&owner, &acme, &owner).await.expect(204);
    assert_eq!(roles(&ada, &acme).await, [(ada.id.clone(), "owner".to_owned())]);
}

#[tokio::test]
async fn of_two_owners_who_leave_at_once_one_stays() {
    let app = TestApp::start().await;
    for leaving in [true, false] {
        let acme = app.tenant().await;
        let ada = app.member(&acme, "owner").await;
        let owner = Person {
            client: acme.client.clone(),
            ..acme.owner.clone()
        };
        let go = async |person: &Person| {
            if leaving {
                remove(person, &acme, person).await
            } else {
                set_role(person, &acme, person, "viewer").await
            }
        };
        let replies = tokio::join!(go(&owner), go(&ada));
        let (stays, left) = match (replies.0.status.is_success(), replies.1.status.is_success()) {
            (true, false) => (&ada, replies.1),
            (false, true) => (&owner, replies.0),
            both => panic!("{both:?}"),
        };
        left.problem(409, "last_owner");
        let owners = roles(stays, &acme)
            .await
            .into_iter()
            .filter(|(_, role)| role == "owner");
        assert_eq!(owners.collect::<Vec<_>>(), [(stays.id.clone(), "owner".to_owned())]);
    }
}

#[tokio::test]
async fn two_owners_who_remove_each_other_leave_one() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = app.member(&acme, "owner").await;
    let owner = Person {
        client: acme.client.clone(),
        ..acme.owner.clone()
    };
    let (one, other) = tokio::join!(remove(&owner, &acme, &ada), remove(&ada, &acme, &owner));
    let done = [&one, &other].into_iter().filter(|reply| reply.status == 204).count();
    assert_eq!(done, 1, "{} {}", one.json, other.json);
}

#[tokio::test]
async fn lists_are_bounded_and_their_cursors_belong_to_their_readers() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for tenant in [&acme, &rival] {
        app.member(tenant, "viewer").await;
        tenant
            .owner
            .client
            .post("/v1/orgs", json!({"name": "Second"}))
            .await
            .expect(201);
    }
    let members = |tenant: &Tenant, query: &str| format!("/v1/orgs/{}/members?{query}", tenant.org);
    for bad in ["limit=0", "limit=101"] {
        acme.client.get(members(&acme, bad)).await.problem(400, "bad_limit");
        acme.client
            .get(format!("/v1/orgs?{bad}"))
            .await
            .problem(400, "bad_limit");
    }
    acme.client
        .get(members(&acme, "role=owner"))
        .await
        .problem(400, "unknown_field");
    let cursor = acme
        .client
        .get(members(&acme, "limit=1"))
        .await
        .expect(200)
        .text("nextCursor");
    acme.client
        .get(members(&acme, &format!("cursor={cursor}")))
        .await
        .expect(200);
    rival
        .client
        .get(members(&rival, &format!("cursor={cursor}")))
        .await
        .problem(400, "bad_cursor");
    acme.client
        .get(format!("/v1/projects?cursor={cursor}"))
        .await
        .problem(400, "bad_cursor");
    let cursor = acme.client.get("/v1/orgs?limit=1").await.expect(200).text("nextCursor");
    rival
        .client
        .get(format!("/v1/orgs?cursor={cursor}"))
        .await
        .problem(400, "bad_cursor");
    assert_eq!(acme.client.all("/v1/orgs?limit=1").await.len(), 2);
}

#[tokio::test]
async fn a_path_that_cannot_be_decoded_names_no_other_organization() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for path in ["/v1/orgs/%ff", "/v1/orgs/%ff/members", "/v1/orgs/%80%80/audit"] {
        acme.client.get(path).await.problem(400, "malformed_id");
    }
    acme.client.delete("/v1/orgs/%ff").await.problem(400, "malformed_id");
    acme.client.get(format!("/v1/orgs/{}", acme.org)).await.expect(200);
}

#[tokio::test]
async fn an_organization_has_a_time_zone() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let path = format!("/v1/orgs/{}", acme.org);
    assert_eq!(acme.client.get(&path).await.expect(200).json["timeZone"], "UTC");
    let body = json!({"name": "Elsewhere", "timeZone": "America/New_York"});
    let made = acme.owner.client.post("/v1/orgs", body).await.expect(201);
    assert_eq!(made.json["timeZone"], "America/New_York");
    let moved = acme
        .client
        .patch(&path, json!({"timeZone": "Europe/Berlin"}))
        .await
        .expect(200);
    assert_eq!(
        (&moved.json["timeZone"], &moved.json["name"]),
        (&json!("Europe/Berlin"), &json!("Tenant 1"))
    );
    assert_eq!(
        acme.client.get(&path).await.expect(200).json["timeZone"],
        "Europe/Berlin"
    );
    let audit = acme.client.get(format!("{path}/audit")).await.expect(200);
    assert_eq!(audit.data()[0]["action"], "org.updated");
    assert_eq!(audit.data()[0]["oldValue"], json!({"timeZone": "UTC"}));
    assert_eq!(audit.data()[0]["newValue"], json!({"timeZone": "Europe/Berlin"}));

    for bad in [
        "Berlin",
        "",
        "+01:00",
        "Europe/Berlin ",
        "europe/berlin",
        "Mars/Olympus",
    ] {
        let made = acme
            .owner
            .client
            .post("/v1/orgs", json!({"name": "a", "timeZone": bad}))
            .await;
        assert_eq!(made.problem(422, "invalid").fields(), ["timeZone"], "{bad}");
        let patched = acme.client.patch(&path, json!({"timeZone": bad})).await;
        assert_eq!(patched.problem(422, "invalid").fields(), ["timeZone"], "{bad}");
    }
    for bad in [json!(null), json!(1)] {
        let patched = acme.client.patch(&path, json!({"timeZone": bad})).await;
        assert_eq!(patched.problem(400, "wrong_type").fields(), ["timeZone"]);
    }
    let member = app.member(&acme, "member").await;
    member
        .client
        .patch(&path, json!({"timeZone": "UTC"}))
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn an_organization_says_what_its_invoices_need() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let path = format!("/v1/orgs/{}", acme.org);
    let address = json!({"line1": "Ring 1", "line2": null, "postalCode": "10115", "city": "Berlin", "country": "DE"});
    let billing = json!({
        "address": address, "taxRate": 19, "taxId": "DE123456789", "logo": "https://cdn.example.com/logo.png",
        "color": "#1f6feb", "dueInDays": 30, "usageGraceHours": 2, "reminderDays": [5],
        "suspendAfterDays": 20,
    });
    app.advance(1_000);
    let changed = acme.client.patch(&path, billing.clone()).await.expect(200);
    for (name, value) in billing.as_object().unwrap() {
        let expected = if name == "taxRate" { json!("19") } else { value.clone() };
        assert_eq!(changed.json[name], expected, "{name}");
    }
    assert_eq!(changed.json["updatedAt"], json!(app.now()));
    assert_eq!(acme.client.get(&path).await.expect(200).json, changed.json);
    assert_eq!(acme.client.get("/v1/orgs").await.expect(200).data()[0], changed.json);

    let audit = acme
        .client
        .get(format!("/v1/orgs/{}/audit?limit=1", acme.org))
        .await
        .expect(200);
    let entry = &audit.data()[0];
    assert_eq!(entry["action"], "org.updated");
    assert_eq!(entry["oldValue"]["dueInDays"], 14);
    assert_eq!(entry["newValue"]["taxRate"], "19");
    assert!(entry["newValue"].get("name").is_none(), "what stays is not told");

    let same = acme.client.patch(&path, billing).await.expect(200);
    assert_eq!(same.json, changed.json);
    let cleared = json!({"address": null, "taxRate": null, "taxId": null, "logo": null, "color": null});
    let cleared = acme.client.patch(&path, cleared).await.expect(200);
    assert_eq!(
        (&cleared.json["address"], &cleared.json["taxRate"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(cleared.json["dueInDays"], 30);
    // Whoever joins is shown the same.
    let viewer = app.member(&acme, "viewer").await;
    let mut seen = viewer.client.get(&path).await.expect(200).json;
    seen["role"] = json!("owner");
    assert_eq!(seen, cleared.json);
}

#[tokio::test]
async fn bad_billing_settings_are_named() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let path = format!("/v1/orgs/{}", acme.org);
    for (field, bad) in [
        ("taxRate", json!(101)),
        ("taxRate", json!("7.12345")),
        ("taxId", json!("")),
        ("logo", json!("ftp://x")),
        ("color", json!("red")),
        ("dueInDays", json!(366)),
        ("usageGraceHours", json!(169)),
        ("reminderDays", json!([3, 3])),
        ("suspendAfterDays", json!(0)),
        ("suspendAfterDays", json!(366)),
    ] {
        let mut body = json!({});
        body[field] = bad;
        let reply = acme.client.patch(&path, body).await;
        assert_eq!(reply.problem(422, "invalid").fields(), [field]);
    }
    let address = json!({"line1": "a", "postalCode": "1", "city": "b", "country": "Germany"});
    let reply = acme.client.patch(&path, json!({"address": address})).await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["address.country"]);
    for (field, bad) in [
        ("dueInDays", json!(null)),
        ("dueInDays", json!(-1)),
        ("taxRate", json!(true)),
        ("address", json!([])),
    ] {
        let mut body = json!({});
        body[field] = bad;
        let reply = acme.client.patch(&path, body).await;
        assert_eq!(reply.problem(400, "wrong_type").fields(), [field]);
    }
}
