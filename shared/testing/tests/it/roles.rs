//! Which role may do what in an organization, route by route: written down a second time, so that a change of the
//! policy has to be meant.

use serde_json::{Value, json};
use testing::{Person, Tenant, TestApp};

const ROLES: [&str; 5] = ["owner", "admin", "accountant", "member", "viewer"];
const ALL: [bool; 5] = [true; 5];
const BUILDERS: [bool; 5] = [true, true, false, true, false];
const ADMINS: [bool; 5] = [true, true, false, false, false];
const OWNER: [bool; 5] = [true, false, false, false, false];

/// A row: method, path, body, and who may, in the order of [`ROLES`]. `{fresh}` in a path stands for something that is
/// made for each try, since the try may delete it.
type Row = (&'static str, &'static str, Value, [bool; 5]);

fn rows() -> Vec<Row> {
    let none = || Value::Null;
    vec![
        ("GET", "/v1/orgs/{org}", none(), ALL),
        ("PATCH", "/v1/orgs/{org}", json!({"name": "Renamed"}), ADMINS),
        ("GET", "/v1/orgs/{org}/members", none(), ALL),
        (
            "POST",
            "/v1/orgs/{org}/members",
            json!({"email": "{stranger}", "role": "viewer"}),
            ADMINS,
        ),
        (
            "PATCH",
            "/v1/orgs/{org}/members/{fresh member}",
            json!({"role": "accountant"}),
            ADMINS,
        ),
        ("DELETE", "/v1/orgs/{org}/members/{fresh member}", none(), ADMINS),
        ("GET", "/v1/orgs/{org}/audit", none(), ADMINS),
        ("GET", "/v1/projects", none(), ALL),
        (
            "POST",
            "/v1/projects",
            json!({"name": "New", "environment": "dev"}),
            BUILDERS,
        ),
        ("GET", "/v1/projects/{project}", none(), ALL),
        ("PATCH", "/v1/projects/{project}", json!({"name": "Renamed"}), BUILDERS),
        ("DELETE", "/v1/projects/{fresh project}", none(), ADMINS),
        ("GET", "/v1/projects/{project}/api-keys", none(), BUILDERS),
        (
            "POST",
            "/v1/projects/{project}/api-keys",
            json!({"label": "a"}),
            BUILDERS,
        ),
        ("GET", "/v1/projects/{project}/api-keys/{key}", none(), BUILDERS),
        (
            "PATCH",
            "/v1/projects/{project}/api-keys/{key}",
            json!({"label": "b"}),
            BUILDERS,
        ),
        (
            "POST",
            "/v1/projects/{project}/api-keys/{fresh key}/rotate",
            json!({"graceSeconds": 0}),
            BUILDERS,
        ),
        (
            "DELETE",
            "/v1/projects/{project}/api-keys/{fresh key}",
            none(),
            BUILDERS,
        ),
        ("GET", "/v1/metrics/overview?projectId={project}", none(), ALL),
        ("GET", "/v1/metrics/events/timeseries?projectId={project}", none(), ALL),
        ("GET", "/v1/metrics/errors/top?projectId={project}", none(), ALL),
        ("GET", "/v1/events?projectId={project}", none(), ALL),
        // Last, for nothing is left after it.
        ("DELETE", "/v1/orgs/{org}", none(), OWNER),
    ]
}

async fn fill(app: &TestApp, tenant: &Tenant, path: &str) -> String {
    let keys = format!("/v1/projects/{}/api-keys", tenant.project);
    let filled = path
        .replace("{org}", &tenant.org)
        .replace("{project}", &tenant.project)
        .replace("{key}", &tenant.key_id);
    if filled.contains("{fresh member}") {
        return filled.replace("{fresh member}", &app.member(tenant, "viewer").await.id);
    }
    if filled.contains("{fresh project}") {
        let body = json!({"name": "Fresh", "environment": "dev"});
        let project = tenant.client.post("/v1/projects", body).await.expect(201).text("id");
        return filled.replace("{fresh project}", &project);
    }
    if filled.contains("{fresh key}") {
        let key = tenant
            .client
            .post(keys, json!({"label": "fresh"}))
            .await
            .expect(201)
            .text("id");
        return filled.replace("{fresh key}", &key);
    }
    filled
}

#[tokio::test]
async fn every_role_may_do_what_is_written_here_and_nothing_else() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let mut people: Vec<Person> = Vec::new();
    for role in &ROLES[1..] {
        people.push(app.member(&acme, role).await);
    }
    people.insert(
        0,
        Person {
            client: acme.client.clone(),
            ..acme.owner.clone()
        },
    );
    for (method, path, body, who) in rows() {
        // The least first, so that what deletes comes last.
        for (place, person) in people.iter().enumerate().rev() {
            let path = fill(&app, &acme, path).await;
            let mut body = body.clone();
            if body["email"] == "{stranger}" {
                body["email"] = json!(app.person().await.email);
            }
            let body = if body.is_null() {
                Vec::new()
            } else {
                body.to_string().into_bytes()
            };
            let client = person.client.header("content-type", "application/json");
            let reply = client.send(method.parse().unwrap(), &path, body).await;
            if who[place] {
                assert!(
                    reply.status.is_success(),
                    "{} {method} {path}: {}",
                    ROLES[place],
                    reply.json
                );
            } else {
                assert_eq!(reply.status, 403, "{} {method} {path}: {}", ROLES[place], reply.json);
                reply.problem(403, "forbidden");
            }
        }
    }
}
