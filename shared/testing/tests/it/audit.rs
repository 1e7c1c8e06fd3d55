//! The audit trail: who changed what, in chains that anybody can verify.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use testing::{Client, Person, Tenant, TestApp};

fn path(tenant: &Tenant) -> String {
    format!("/v1/orgs/{}/audit", tenant.org)
}

/// An organization's entries, oldest first.
async fn trail(client: &Client, tenant: &Tenant) -> Vec<Value> {
    let mut entries = client.all(format!("{}?limit=100", path(tenant))).await;
    entries.reverse();
    entries
}

/// JSON with sorted members and no blanks: RFC 8785 for entries, written anew, as a tenant would who checks a chain.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let names: BTreeSet<&String> = members.keys().collect();
            let members = names
                .into_iter()
                .map(|name| format!("{}:{}", json!(name), canonical(&members[name])));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn sha256(text: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

/// Puts digests where an entry says that it discloses personal data, as `docs/audit-export.md` tells.
fn conceal(entry: &mut Value) {
    let disclosed = entry
        .as_object_mut()
        .unwrap()
        .shift_remove("disclosed")
        .unwrap_or(json!({}));
    for (side, opened) in disclosed.as_object().unwrap() {
        for name in opened["names"].as_array().unwrap() {
            let value = &mut entry[side][name.as_str().unwrap()];
            *value = json!({"sha256": sha256(&canonical(&json!([opened["salt"], name, value])))});
        }
    }
}

/// Wants that entries, oldest first, are a whole chain: checked by what replies say alone.
#[track_caller]
fn is_whole(entries: &[Value]) {
    let mut before = "0".repeat(64);
    for (place, entry) in entries.iter().enumerate() {
        assert_eq!(
            (&entry["seq"], &entry["prevHash"]),
            (&json!(place + 1), &json!(before)),
            "{entry}"
        );
        assert_eq!(entry["chain"], entries[0]["chain"]);
        let mut fields = entry.clone();
        fields.as_object_mut().unwrap().shift_remove("hash");
        conceal(&mut fields);
        before = sha256(&canonical(&fields));
        assert_eq!(entry["hash"], before.as_str(), "{entry}");
    }
}

#[tokio::test]
async fn every_change_in_an_organization_is_noted_with_who_and_what() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let (owner, client) = (&acme.owner, &acme.client);
    let org = format!("/v1/orgs/{}", acme.org);
    client.patch(&org, json!({"name": "Acme"})).await.expect(200);
    let ada = app.member(&acme, "admin").await;
    let leaver = app.member(&acme, "viewer").await;
    client
        .patch(format!("{org}/members/{}", ada.id), json!({"role": "owner"}))
        .await
        .expect(200);
    leaver
        .client
        .delete(format!("{org}/members/{}", leaver.id))
        .await
        .expect(204);
    let project = format!("/v1/projects/{}", acme.project);
    ada.client.patch(&project, json!({"name": "Store"})).await.expect(200);
    let key = format!("{project}/api-keys/{}", acme.key_id);
    client.patch(&key, json!({"status": "disabled"})).await.expect(200);
    client.patch(&key, json!({"status": "active"})).await.expect(200);
    let new = client
        .post(format!("{key}/rotate"), json!({"graceSeconds": 60}))
        .await
        .expect(201)
        .text("id");
    client.delete(format!("{project}/api-keys/{new}")).await.expect(204);
    client.delete(&project).await.expect(204);
    client.delete(format!("{org}/members/{}", ada.id)).await.expect(204);

    let entries = trail(client, &acme).await;
    is_whole(&entries);
    let told: Vec<[&str; 4]> = entries
        .iter()
        .map(|entry| ["action", "actorUserId", "targetType", "targetId"].map(|field| entry[field].as_str().unwrap()))
        .collect();
    let (me, key) = (owner.id.as_str(), acme.key_id.as_str());
    let invitations: Vec<&str> = told
        .iter()
        .filter(|one| one[2] == "invitation")
        .map(|one| one[3])
        .collect();
    let invited = |place: usize| invitations[place];
    let expected = [
        ["org.created", me, "org", &acme.org],
        ["project.created", me, "project", &acme.project],
        ["api_key.created", me, "api_key", key],
        ["org.renamed", me, "org", &acme.org],
        ["invitation.created", me, "invitation", invited(0)],
        ["member.joined", &ada.id, "member", &ada.id],
        ["invitation.created", me, "invitation", invited(1)],
        ["member.joined", &leaver.id, "member", &leaver.id],
        ["member.role_changed", me, "member", &ada.id],
        ["member.left", &leaver.id, "member", &leaver.id],
        ["project.updated", &ada.id, "project", &acme.project],
        ["api_key.updated", me, "api_key", key],
        ["api_key.updated", me, "api_key", key],
        ["api_key.rotated", me, "api_key", key],
        ["api_key.revoked", me, "api_key", &new],
        ["project.deleted", me, "project", &acme.project],
        ["member.removed", me, "member", &ada.id],
    ];
    assert_eq!(told, expected);

    values_are_noted(&app, &entries, &ada);
}

/// What the entries of the test above say of before and after.
fn values_are_noted(app: &TestApp, entries: &[Value], ada: &Person) {
    let values = |place: usize| (&entries[place]["oldValue"], &entries[place]["newValue"]);
    assert_eq!(values(3), (&json!({"name": "Tenant 1"}), &json!({"name": "Acme"})));
    let week = app.now().plus_millis(7 * kernel::Time::DAY);
    let invitation = json!({"email": ada.email, "role": "admin", "expiresAt": week});
    assert_eq!(values(4), (&Value::Null, &invitation));
    assert_eq!(
        values(5),
        (
            &Value::Null,
            &json!({"role": "admin", "invitation": entries[4]["targetId"]})
        )
    );
    assert_eq!(values(8), (&json!({"role": "admin"}), &json!({"role": "owner"})));
    assert_eq!(values(9), (&json!({"role": "viewer"}), &Value::Null));
    let project = |name: &str| json!({"name": name, "description": null, "environment": "prod"});
    assert_eq!(values(10), (&project("Shop"), &project("Store")));
    let (old, new) = values(11);
    assert_eq!((&old["status"], &new["status"]), (&json!("active"), &json!("disabled")));
    assert_eq!((&old["label"], &new["label"]), (&json!("server"), &json!("server")));
    assert_eq!(values(15), (&project("Store"), &Value::Null));
    assert!(entries.iter().all(|entry| entry["createdAt"] == json!(app.now())));
}

#[tokio::test]
async fn what_is_refused_or_changes_nothing_leaves_no_entry() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let viewer = app.member(&acme, "viewer").await;
    let admin = app.member(&acme, "admin").await;
    let before = trail(&acme.client, &acme).await;
    let (org, project) = (
        format!("/v1/orgs/{}", acme.org),
        format!("/v1/projects/{}", acme.project),
    );
    let (members, keys) = (format!("{org}/members"), format!("{project}/api-keys"));
    let owner = format!("{members}/{}", acme.owner.id);

    viewer.client.patch(&org, json!({"name": "x"})).await.expect(403);
    viewer.client.delete(&project).await.expect(403);
    admin.client.patch(&owner, json!({"role": "viewer"})).await.expect(403);
    acme.client.delete(&owner).await.expect(409);
    acme.client
        .post(&members, json!({"email": viewer.email, "role": "admin"}))
        .await
        .expect(409);
    acme.client
        .post(&members, json!({"email": "no address", "role": "admin"}))
        .await
        .expect(422);
    acme.client
        .post("/v1/projects", json!({"name": "", "environment": "dev"}))
        .await
        .expect(422);
    acme.client
        .post(&keys, json!({"label": "a", "expiresAt": "2001-01-01T00:00:00Z"}))
        .await
        .expect(422);
    acme.client
        .post(
            format!("{keys}/{}/rotate", acme.key_id),
            json!({"graceSeconds": 86_401}),
        )
        .await
        .expect(422);
    rival.client.patch(&org, json!({"name": "Mine"})).await.expect(404);
    rival.client.delete(&project).await.expect(404);
    rival.client.post(&keys, json!({"label": "mine"})).await.expect(404);

    acme.client.patch(&org, json!({})).await.expect(200);
    acme.client.patch(&project, json!({"name": "Shop"})).await.expect(200);
    acme.client
        .patch(format!("{keys}/{}", acme.key_id), json!({"status": "active"}))
        .await
        .expect(200);
    acme.client
        .patch(format!("{members}/{}", viewer.id), json!({"role": "viewer"}))
        .await
        .expect(200);
    assert_eq!(trail(&acme.client, &acme).await, before);
}

#[tokio::test]
async fn a_chain_stays_whole_however_many_write_at_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let names: Vec<String> = (0..8).map(|place| format!("Project {place}")).collect();
    let make = async |name: &String| {
        acme.client
            .post("/v1/projects", json!({"name": name, "environment": "dev"}))
            .await
            .expect(201)
            .text("id")
    };
    let mut made = join_all(names.iter().map(make)).await;
    let entries = trail(&acme.client, &acme).await;
    is_whole(&entries);
    let created = entries.iter().filter(|entry| entry["action"] == "project.created");
    let mut noted: Vec<String> = created
        .map(|entry| entry["targetId"].as_str().unwrap().to_owned())
        .collect();
    made.push(acme.project.clone());
    noted.sort();
    made.sort();
    assert_eq!(noted, made);
}

#[tokio::test]
async fn only_owners_and_admins_of_the_organization_read_its_trail() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    for (role, status) in [("admin", 200), ("accountant", 403), ("member", 403), ("viewer", 403)] {
        app.member(&acme, role)
            .await
            .client
            .get(path(&acme))
            .await
            .expect(status);
    }
    rival.client.get(path(&acme)).await.problem(404, "not_found");
    app.manager()
        .await
        .client
        .get(path(&acme))
        .await
        .problem(404, "not_found");
    app.client().get(path(&acme)).await.problem(401, "not_authenticated");
    // Nothing but this organization's entries is in it.
    let entries = trail(&acme.client, &acme).await;
    assert!(entries.iter().all(|entry| entry["chain"] == acme.org.as_str()));
    for method in ["POST", "PATCH", "DELETE"] {
        let client = acme.client.header("content-type", "application/json");
        let reply = client.send(method.parse().unwrap(), &path(&acme), b"{}".to_vec()).await;
        reply.problem(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn what_happens_to_people_is_noted_for_managers() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    app.advance(1_000);
    let ada = app.person().await;
    app.advance(1_000);
    app.prove(&ada).await;
    app.advance(1_000);
    manager
        .client
        .patch(format!("/v1/users/{}/role", ada.id), json!({"role": "admin"}))
        .await
        .expect(200);
    app.advance(1_000);
    manager.client.delete(format!("/v1/users/{}", ada.id)).await.expect(204);
    app.advance(1_000);
    manager
        .client
        .patch(format!("/v1/users/{}/reactivate", ada.id), json!({}))
        .await
        .expect(200);
    app.advance(1_000);
    ada.client
        .post("/v1/auth/logout", json!({"refreshToken": ada.refresh_token}))
        .await
        .expect(204);

    let mut entries = manager.client.all("/v1/audit?limit=2").await;
    entries.reverse();
    let told: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| {
            (
                entry["action"].as_str().unwrap(),
                entry["actorUserId"].as_str().unwrap(),
            )
        })
        .collect();
    let (me, her) = (manager.id.as_str(), ada.id.as_str());
    let expected = [
        ("user.bootstrapped", me),
        ("user.registered", her),
        ("user.email_verified", her),
        ("user.role_changed", me),
        ("user.deactivated", me),
        ("user.reactivated", me),
        ("session.ended", her),
    ];
    assert_eq!(told, expected);
    assert_eq!(
        entries[1]["newValue"],
        json!({"email": ada.email, "name": "A Person", "role": "user"})
    );
    assert_eq!(
        (&entries[3]["oldValue"], &entries[3]["newValue"]),
        (&json!({"role": "user"}), &json!({"role": "admin"}))
    );
    is_whole(&entries[1..]);
    let text = json!(entries).to_string();
    for secret in ["argon2", "assword", &ada.refresh_token] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn only_managers_read_what_happens_to_people() {
    let app = TestApp::start().await;
    let manager = app.manager().await;
    let admin = app.proved_person().await;
    let role = format!("/v1/users/{}/role", admin.id);
    manager.client.patch(role, json!({"role": "admin"})).await.expect(200);
    for refused in [&admin, &app.person().await, &app.tenant().await.owner] {
        refused.client.get("/v1/audit").await.problem(403, "forbidden");
    }
    app.client().get("/v1/audit").await.problem(401, "not_authenticated");
}

#[tokio::test]
async fn trails_are_read_by_bounded_pages_with_cursors_of_their_own() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let manager = app.manager().await;
    for bad in ["limit=0", "limit=101"] {
        acme.client
            .get(format!("{}?{bad}", path(&acme)))
            .await
            .problem(400, "bad_limit");
        manager
            .client
            .get(format!("/v1/audit?{bad}"))
            .await
            .problem(400, "bad_limit");
    }
    acme.client
        .get(format!("{}?action=org.created", path(&acme)))
        .await
        .problem(400, "unknown_field");
    let cursor = acme
        .client
        .get(format!("{}?limit=1", path(&acme)))
        .await
        .expect(200)
        .text("nextCursor");
    acme.client
        .get(format!("{}?cursor={cursor}", path(&acme)))
        .await
        .expect(200);
    rival
        .client
        .get(format!("{}?cursor={cursor}", path(&rival)))
        .await
        .problem(400, "bad_cursor");
    manager
        .client
        .get(format!("/v1/audit?cursor={cursor}"))
        .await
        .problem(400, "bad_cursor");
    assert_eq!(acme.client.all(format!("{}?limit=1", path(&acme))).await.len(), 3);
}

#[tokio::test]
async fn the_trail_of_a_deleted_organization_stays_readable_for_managers() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    app.advance(1_000);
    let rival = app.tenant().await;
    let manager = app.manager().await;
    app.advance(1_000);
    acme.client.delete(format!("/v1/orgs/{}", acme.org)).await.expect(204);
    acme.client.get(path(&acme)).await.problem(404, "not_found");

    let mut entries = manager
        .client
        .all(format!("/v1/audit?orgId={}&limit=2", acme.org))
        .await;
    entries.reverse();
    is_whole(&entries);
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["org.created", "project.created", "api_key.created", "org.deleted"]
    );
    // And a person's chain alone, and that of an organization that lives.
    let owner = manager.client.all(format!("/v1/audit?userId={}", acme.owner.id)).await;
    assert!(!owner.is_empty() && owner.iter().all(|entry| entry["chain"] == acme.owner.id.as_str()));
    let living = manager.client.all(format!("/v1/audit?orgId={}", rival.org)).await;
    assert_eq!(living.len(), 3);

    // The platform's list tells which came and went, so nobody needs to know of one to find it.
    let listed = manager.client.all("/v1/audit").await;
    let of_orgs: Vec<_> = listed.iter().filter(|entry| entry["targetType"] == "org").collect();
    let of_orgs: Vec<_> = of_orgs
        .iter()
        .rev()
        .map(|entry| (&entry["action"], &entry["targetId"]))
        .collect();
    let expected = [
        ("org.created", &acme.org),
        ("org.created", &rival.org),
        ("org.deleted", &acme.org),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(action, org)| (json!(action), json!(org)))
        .collect();
    assert_eq!(
        of_orgs,
        expected.iter().map(|(action, org)| (action, org)).collect::<Vec<_>>()
    );

    for by in [&acme.owner, &rival.owner] {
        let path = format!("/v1/audit?orgId={}", acme.org);
        by.client.get(path).await.problem(403, "forbidden");
    }
    for (query, status, code) in [
        (
            format!("userId={}&orgId={}", acme.owner.id, acme.org),
            422,
            "two_chains",
        ),
        ("orgId=org_1".to_owned(), 400, "malformed_id"),
    ] {
        for path in ["/v1/audit", "/v1/audit/export"] {
            manager
                .client
                .get(format!("{path}?{query}"))
                .await
                .problem(status, code);
        }
    }
}
