//! Erasing a person: who may ask for it, what stands in the way, that nothing is left, whenever whoever does it dies.

use kernel::Time;
use serde_json::{Value, json};
use testing::{Chaos, Client, Moment, Person, Tenant, TestApp};

const PASSWORD: &str = "correct horse battery staple";
const NAME: &str = "Augusta Ada King";
const QUEUE: &str = "ErasureQueue";
/// No erasure of these tests makes more calls.
const MOST_CALLS: u64 = 60;

async fn ada(app: &TestApp) -> Person {
    let email = format!("augusta-{}@example.com", app.number());
    app.person_named(&email, NAME).await
}

fn erasure(person: &Person) -> String {
    format!("/v1/users/{}/erasure", person.id)
}

/// Waits until it is due, and does it.
async fn wait(app: &TestApp) {
    app.advance(2 * Time::MINUTE);
    app.settle().await;
}

async fn log_in(app: &TestApp, person: &Person) -> testing::Reply {
    let body = json!({"email": person.email, "password": PASSWORD});
    app.client().post("/v1/auth/login", body).await
}

/// What the platform's trail says of a person, oldest first.
async fn told(app: &TestApp, person: &Person) -> Vec<Value> {
    let manager = app.manager().await;
    let mut entries = manager.client.all(format!("/v1/audit?userId={}", person.id)).await;
    entries.reverse();
    entries
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

/// Whether a text lies in some table.
async fn is_stored(app: &TestApp, text: &str) -> bool {
    let stored = app.stored().await;
    stored.windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

async fn own_org(person: &Person) -> String {
    let org = json!({"name": "The Analytical Engine"});
    person.client.post("/v1/orgs", org).await.expect(201).text("id")
}

#[tokio::test]
async fn nothing_is_left_of_a_person_but_their_id() {
    let app = TestApp::start().await;
    let (manager, ada) = (app.manager().await, ada(&app).await);
    own_org(&ada).await;
    log_in(&app, &ada).await.expect(200);
    assert!(is_stored(&app, &ada.email).await && is_stored(&app, NAME).await);

    let reply = manager.client.post(erasure(&ada), json!({})).await.expect(202);
    assert_eq!(reply.json, json!({"status": "accepted"}));
    // They are kept out at once, and nobody lets them in again.
    log_in(&app, &ada).await.problem(401, "deactivated");
    let reactivate = format!("/v1/users/{}/reactivate", ada.id);
    manager
        .client
        .patch(&reactivate, json!({}))
        .await
        .problem(409, "erased");
    // Asked again it is the same.
    manager.client.post(erasure(&ada), json!({})).await.expect(202);

    wait(&app).await;
    assert!(!is_stored(&app, &ada.email).await, "the address is left");
    assert!(!is_stored(&app, NAME).await, "the name is left");
    log_in(&app, &ada).await.problem(401, "bad_credentials");
    let manager = app.manager().await;
    let users = manager.client.all("/v1/users").await;
    let left = users.iter().find(|user| user["id"] == ada.id.as_str()).unwrap();
    let nobody = format!("{}@erased.invalid", ada.id);
    assert_eq!(
        [&left["email"], &left["name"], &left["status"], &left["emailVerified"]],
        [&json!(nobody), &json!("Erased"), &json!("deactivated"), &json!(false)]
    );
    manager
        .client
        .patch(&reactivate, json!({}))
        .await
        .problem(409, "erased");
    manager.client.post(erasure(&ada), json!({})).await.expect(202);

    let entries = told(&app, &ada).await;
    let expected = ["user.registered", "user.erasure_requested", "user.erased"];
    assert_eq!(actions(&entries), expected);
    assert_eq!(entries[1]["actorUserId"], manager.id.as_str());
    assert_eq!(entries[2]["actorUserId"], Value::Null);
    assert_eq!(entries[0]["newValue"]["email"]["sha256"].as_str().unwrap().len(), 64);
    // Whoever comes with the address is somebody new.
    let anew = app.person_named(&ada.email, "Somebody").await;
    assert_ne!(anew.id, ada.id);
}

#[tokio::test]
async fn a_member_leaves_and_what_others_did_with_them_stays() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let (manager, mut ada) = (app.manager().await, ada(&app).await);
    app.join(&acme, &ada, "admin").await;
    ada.client = ada.client.within(&acme.org);
    app.grant(&acme, &ada, &acme.project, "member").await;
    let own = own_org(&ada).await;
    manager.client.post(erasure(&ada), json!({})).await.expect(202);
    wait(&app).await;

    let acme = acme.logged_in_again(&app).await;
    let org = format!("/v1/orgs/{}", acme.org);
    let members = acme.client.all(format!("{org}/members")).await;
    assert_eq!(members.len(), 1);
    assert!(acme.client.all(format!("{org}/grants")).await.is_empty());
    let entries = acme.client.all(format!("{org}/audit?limit=100")).await;
    assert!(!json!(entries).to_string().contains(&ada.email));
    assert_eq!(entries[0]["action"], "member.left");
    assert_eq!(
        (&entries[0]["targetId"], &entries[0]["actorUserId"]),
        (&json!(ada.id), &Value::Null)
    );
    // What only they were in is deleted.
    let manager = app.manager().await;
    let of_own = manager.client.all(format!("/v1/audit?orgId={own}")).await;
    assert_eq!(of_own[0]["action"], "org.deleted");
}

#[tokio::test]
async fn a_person_erases_themself_by_their_password() {
    let app = TestApp::start().await;
    let ada = ada(&app).await;
    let path = "/v1/auth/erasure";
    let wrong = json!({"password": "not the password"});
    let reply = ada.client.post(path, wrong).await.problem(422, "invalid");
    assert_eq!(reply.fields(), ["password"]);
    ada.client.post(path, json!({})).await.problem(400, "missing_field");
    log_in(&app, &ada).await.expect(200);
    ada.client.post(path, json!({"password": PASSWORD})).await.expect(202);
    log_in(&app, &ada).await.problem(401, "deactivated");
    wait(&app).await;
    assert!(!is_stored(&app, &ada.email).await);
    let entries = told(&app, &ada).await;
    assert_eq!(entries[1]["actorUserId"], ada.id.as_str());
    let expected = ["user.registered", "user.erasure_requested", "user.erased"];
    assert_eq!(actions(&entries), expected);
}

/// Wants both ways of asking to be refused, and to change nothing.
async fn check_refused(app: &TestApp, person: &Person, code: &str) -> String {
    let manager = app.manager().await;
    let own = json!({"password": PASSWORD});
    person.client.post("/v1/auth/erasure", own).await.problem(409, code);
    let reply = manager.client.post(erasure(person), json!({})).await.problem(409, code);
    log_in(app, person).await.expect(200);
    reply.json["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_others_need_is_not_erased() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    let detail = check_refused(&app, &acme.owner, "sole_owner").await;
    assert!(detail.contains(&acme.org), "{detail}");
    // With another owner they may go.
    let member = format!("/v1/orgs/{}/members/{}", acme.org, viewer.id);
    acme.client.patch(&member, json!({"role": "owner"})).await.expect(200);
    let manager = app.manager().await;
    manager.client.post(erasure(&acme.owner), json!({})).await.expect(202);
    wait(&app).await;
    let viewer = viewer.logged_in_again(&app).await;
    let members = viewer.client.all(format!("/v1/orgs/{}/members", acme.org)).await;
    assert_eq!(members.len(), 1);

    let admin = app.proved_person().await;
    let manager = app.manager().await;
    let role = format!("/v1/users/{}/role", admin.id);
    manager.client.patch(role, json!({"role": "admin"})).await.expect(200);
    check_refused(&app, &admin.logged_in_again(&app).await, "has_platform_role").await;
}

/// The platform's own organization is never deleted, so its last owner stays, and nobody becomes the first manager twice.
#[tokio::test]
async fn the_first_manager_leaves_an_owner_behind() {
    let app = TestApp::start().await;
    let (first, second) = (app.manager().await, app.proved_person().await);
    let role = |of: &Person| format!("/v1/users/{}/role", of.id);
    first
        .client
        .patch(role(&second), json!({"role": "manager"}))
        .await
        .expect(200);
    let second = second.logged_in_again(&app).await;
    second
        .client
        .patch(role(&first), json!({"role": "user"}))
        .await
        .expect(200);
    let reply = second
        .client
        .post(erasure(&first), json!({}))
        .await
        .problem(409, "sole_owner");
    assert!(reply.text("detail").contains("org_"), "{}", reply.json);
}

#[tokio::test]
async fn only_managers_erase_others() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let (manager, ada, admin) = (app.manager().await, ada(&app).await, app.proved_person().await);
    let role = format!("/v1/users/{}/role", admin.id);
    manager.client.patch(role, json!({"role": "admin"})).await.expect(200);
    for by in [&ada, &acme.owner, &admin] {
        by.client.post(erasure(&ada), json!({})).await.problem(403, "forbidden");
    }
    app.client()
        .post(erasure(&ada), json!({}))
        .await
        .problem(401, "not_authenticated");
    let nobody = format!("/v1/users/{}/erasure", kernel::UserId::new(app.now()));
    manager.client.post(nobody, json!({})).await.problem(404, "not_found");
    manager
        .client
        .post("/v1/users/usr_1/erasure", json!({}))
        .await
        .problem(400, "malformed_id");
    let own = json!({"password": PASSWORD});
    app.client()
        .post("/v1/auth/erasure", own)
        .await
        .problem(401, "not_authenticated");
    wait(&app).await;
    log_in(&app, &ada).await.expect(200);
}

#[tokio::test]
async fn who_became_the_only_owner_meanwhile_stays_until_there_is_another() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let (other, viewer) = (app.member(&acme, "owner").await, app.member(&acme, "viewer").await);
    let manager = app.manager().await;
    manager.client.post(erasure(&acme.owner), json!({})).await.expect(202);
    let leave = |person: &Person| format!("/v1/orgs/{}/members/{}", acme.org, person.id);
    other.client.delete(leave(&other)).await.expect(204);
    wait(&app).await;
    assert!(is_stored(&app, &acme.owner.email).await);
    // The organization has nobody who could name another: the viewer leaves it, and it goes with its last owner.
    let client = viewer.logged_in_again(&app).await.client.within(&acme.org);
    client.delete(leave(&viewer)).await.expect(204);
    app.advance(10 * Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    assert!(
        told(&app, &acme.owner)
            .await
            .iter()
            .any(|entry| entry["action"] == "user.erased")
    );
}

/// Somebody who is to be erased now, with an organization of their own and a membership; and the message that says so.
async fn due(app: &TestApp, acme: &Tenant, manager: &Client) -> (Person, Vec<String>) {
    let ada = ada(app).await;
    app.join(acme, &ada, "viewer").await;
    own_org(&ada).await;
    manager.post(erasure(&ada), json!({})).await.expect(202);
    app.advance(2 * Time::MINUTE);
    let messages = app.take(QUEUE).await;
    assert_eq!(messages.len(), 1);
    (ada, messages)
}

/// Dies at a call; says whether it got so far. Whatever is left, the sweeper finds it, and all is done once.
async fn check_dying(app: &TestApp, chaos: &Chaos, call: u64, moment: Moment) -> bool {
    let acme = app.tenant().await;
    let manager = app.manager().await.client;
    let (ada, messages) = due(app, &acme, &manager).await;
    chaos.enable(true);
    chaos.crash_at(call, moment);
    let died = tokio::select! {
        _ = app.deliver_from(QUEUE, &messages) => false,
        () = chaos.crashed() => true,
    };
    chaos.enable(false);
    app.advance(5 * Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    let entries = told(app, &ada).await;
    let erased = entries.iter().filter(|entry| entry["action"] == "user.erased").count();
    assert_eq!(erased, 1, "{moment:?} call {call}: {:?}", actions(&entries));
    log_in(app, &ada).await.problem(401, "bad_credentials");
    let acme = acme.logged_in_again(app).await;
    let org = format!("/v1/orgs/{}", acme.org);
    assert_eq!(acme.client.all(format!("{org}/members")).await.len(), 1);
    let trail = acme.client.all(format!("{org}/audit?limit=100")).await;
    let left = trail.iter().filter(|entry| entry["action"] == "member.left").count();
    assert_eq!(left, 1, "{moment:?} call {call}");
    assert!(!json!(trail).to_string().contains(&ada.email));
    died
}

#[tokio::test]
async fn whenever_its_worker_dies_a_person_is_erased_once() {
    let chaos = Chaos::only(&[]);
    let app = TestApp::start_under(chaos.clone()).await;
    let mut call = 1;
    while check_dying(&app, &chaos, call, Moment::Before).await {
        call += 1;
        assert!(call < MOST_CALLS);
    }
    assert!(call > 10, "{call} calls are too few to be an erasure");
    assert!(check_dying(&app, &chaos, call - 1, Moment::After).await);
    assert!(!is_stored(&app, NAME).await, "the name is left");
}

#[tokio::test]
async fn a_person_takes_away_what_is_kept_about_them() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let ada = ada(&app).await;
    app.join(&acme, &ada, "viewer").await;
    app.advance(1_000);
    log_in(&app, &ada).await.expect(200);
    let export = ada.client.get("/v1/auth/export").await.expect(200).json;
    assert_eq!(export["profile"]["email"], ada.email.as_str());
    assert_eq!(export["profile"]["name"], NAME);
    assert_eq!(export["logins"], json!(["password"]));
    let sessions = export["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert_eq!(
        (&sessions[0]["current"], &sessions[1]["current"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(export["devices"].as_array().unwrap().len(), 1);
    let member = &export["memberships"][0];
    assert_eq!(
        (&member["orgId"], &member["role"]),
        (&json!(acme.org), &json!("viewer"))
    );
    let history = export["history"].as_array().unwrap();
    assert_eq!(history.last().unwrap()["newValue"]["email"], ada.email.as_str());
    assert_eq!(
        (&export["complete"], &export["exportedAt"]),
        (&json!(true), &json!(app.now()))
    );
    let text = export.to_string();
    for secret in ["argon2", "assword\":", &ada.refresh_token, &acme.owner.email] {
        assert!(!text.contains(secret), "{secret}");
    }
    // That it was asked for is noted, and stands in the next one.
    let again = ada.client.get("/v1/auth/export").await.expect(200).json;
    assert_eq!(again["history"][0]["action"], "user.exported");
    assert_eq!(again["history"].as_array().unwrap().len(), history.len() + 1);
    app.client()
        .get("/v1/auth/export")
        .await
        .problem(401, "not_authenticated");
    acme.server
        .get("/v1/auth/export")
        .await
        .problem(401, "not_authenticated");
}
