//! Which role may do what in an organization, route by route: written down a second time, so that a change of the
//! policy has to be meant. And what a grant for one project adds to it.

use kernel::policy::{Audience, POLICY};
use serde_json::{Value, json};
use testing::{Person, Reply, Tenant, TestApp};

use crate::coverage::WHO;

const ROLES: [&str; 5] = ["owner", "admin", "accountant", "member", "viewer"];
const ALL: [bool; 5] = [true; 5];
const BUILDERS: [bool; 5] = [true, true, false, true, false];
const PAYERS: [bool; 5] = [true, true, true, false, false];
const ADMINS: [bool; 5] = [true, true, false, false, false];
const OWNER: [bool; 5] = [true, false, false, false, false];
const ADMIN: usize = 1;
const VIEWER: usize = 4;

/// A row: method, path, body, and who may, in the order of [`ROLES`]. `{fresh …}` stands for something that is made for
/// each try, since the try may delete it.
type Row = (&'static str, String, Value, [bool; 5]);

fn row(method: &'static str, path: &str, body: Value, who: [bool; 5]) -> Row {
    (method, path.to_owned(), body, who)
}

/// What is about the organization.
fn rows_of_the_org() -> Vec<Row> {
    let none = Value::Null;
    let member = json!({"email": "{stranger}", "role": "viewer"});
    let grant =
        json!({"userId": "{fresh member}", "resourceType": "project", "resourceId": "{project}", "role": "member"});
    vec![
        row("GET", "/v1/orgs/{org}", none.clone(), ALL),
        row("PATCH", "/v1/orgs/{org}", json!({"name": "Renamed"}), ADMINS),
        row("GET", "/v1/orgs/{org}/members", none.clone(), ALL),
        row("POST", "/v1/orgs/{org}/members", member, ADMINS),
        row(
            "PATCH",
            "/v1/orgs/{org}/members/{fresh member}",
            json!({"role": "accountant"}),
            ADMINS,
        ),
        row("DELETE", "/v1/orgs/{org}/members/{fresh member}", none.clone(), ADMINS),
        row("GET", "/v1/orgs/{org}/invitations", none.clone(), ADMINS),
        row(
            "DELETE",
            "/v1/orgs/{org}/invitations/{fresh invitation}",
            none.clone(),
            ADMINS,
        ),
        row("GET", "/v1/orgs/{org}/grants", none.clone(), ADMINS),
        row("POST", "/v1/orgs/{org}/grants", grant, ADMINS),
        row("DELETE", "/v1/orgs/{org}/grants/{fresh grant}", none.clone(), ADMINS),
        row("GET", "/v1/orgs/{org}/audit", none.clone(), ADMINS),
        row("GET", "/v1/projects", none, ALL),
        row(
            "POST",
            "/v1/projects",
            json!({"name": "New", "environment": "dev"}),
            BUILDERS,
        ),
    ]
}

/// What is about its wallet.
fn rows_of_the_wallet() -> Vec<Row> {
    let none = Value::Null;
    let auto = json!({"threshold": 10, "step": 5});
    vec![
        row("GET", "/v1/wallet", none.clone(), ALL),
        row("GET", "/v1/wallet/ledger", none.clone(), ALL),
        row("GET", "/v1/wallet/grants", none.clone(), ALL),
        row("GET", "/v1/wallet/topups", none.clone(), ALL),
        row("POST", "/v1/wallet/topups", json!({"credits": 5}), PAYERS),
        row("PUT", "/v1/wallet/auto-topup", auto, PAYERS),
        row("GET", "/v1/wallet/auto-topup", none.clone(), ALL),
        row("DELETE", "/v1/wallet/auto-topup", none.clone(), PAYERS),
        row("GET", "/v1/usage", none.clone(), ALL),
        row("GET", "/v1/entitlements", none, ALL),
    ]
}

/// What is about what it sells.
fn rows_of_sales() -> Vec<Row> {
    let none = Value::Null;
    let client = json!({"name": "a", "email": "a@b.co", "currency": "EUR"});
    let prices = json!([{"kind": "flat", "amount": 1}]);
    let plan = json!({"name": "a", "interval": "monthly", "currency": "EUR", "prices": prices});
    let coupon = json!({"code": "{fresh code}", "percentOff": 5, "duration": "once"});
    let sold = json!({"contractId": "{fresh contract}", "planId": "{fresh plan}"});
    let (change, cancel) = (json!({"planId": "{fresh plan}", "preview": true}), json!({"at": "now"}));
    let mut rows = vec![
        row("GET", "/v1/clients", none.clone(), ALL),
        row("POST", "/v1/clients", client, PAYERS),
        row("GET", "/v1/clients/search?q=a", none.clone(), ALL),
        row("GET", "/v1/clients/{fresh client}", none.clone(), ALL),
        row("GET", "/v1/clients/{fresh client}/entitlements", none.clone(), ALL),
        row("PATCH", "/v1/clients/{fresh client}", json!({"name": "b"}), PAYERS),
        row("DELETE", "/v1/clients/{fresh client}", none.clone(), PAYERS),
        row("GET", "/v1/plans", none.clone(), ALL),
        row("POST", "/v1/plans", plan, PAYERS),
        row("GET", "/v1/plans/{fresh plan}", none.clone(), ALL),
        row("PATCH", "/v1/plans/{fresh plan}", json!({"name": "b"}), PAYERS),
        row("DELETE", "/v1/plans/{fresh plan}", none.clone(), PAYERS),
        row("GET", "/v1/coupons", none.clone(), ALL),
        row("POST", "/v1/coupons", coupon, PAYERS),
        row("GET", "/v1/coupons/{fresh coupon}", none.clone(), ALL),
        row("DELETE", "/v1/coupons/{fresh coupon}", none.clone(), PAYERS),
        row("GET", "/v1/contracts", none.clone(), ALL),
        row("POST", "/v1/contracts", json!({"clientId": "{fresh client}"}), PAYERS),
        row("GET", "/v1/contracts/{fresh contract}", none.clone(), ALL),
        row("PATCH", "/v1/contracts/{fresh contract}", json!({"name": "b"}), PAYERS),
        row("GET", "/v1/subscriptions", none.clone(), ALL),
        row("POST", "/v1/subscriptions", sold, PAYERS),
        row("GET", "/v1/subscriptions/{fresh subscription}", none.clone(), ALL),
        row(
            "POST",
            "/v1/subscriptions/{fresh subscription}/change-plan",
            change,
            PAYERS,
        ),
        row("POST", "/v1/subscriptions/{fresh subscription}/cancel", cancel, PAYERS),
        row(
            "POST",
            "/v1/subscriptions/{fresh subscription}/pause",
            none.clone(),
            PAYERS,
        ),
        row(
            "POST",
            "/v1/subscriptions/{paused subscription}/resume",
            none.clone(),
            PAYERS,
        ),
    ];
    let reason = json!({"reason": "BREACH"});
    for (kind, deed, body) in [
        ("unsigned", "activate", &none),
        ("signed", "suspend", &none),
        ("suspended", "resume", &none),
        ("signed", "terminate", &reason),
    ] {
        let path = format!("/v1/contracts/{{{kind} contract}}/{deed}");
        rows.push(row("POST", &path, body.clone(), PAYERS));
    }
    rows
}

/// What is about one project of it, so that a grant for the project may count.
fn rows_of_a_project() -> Vec<Row> {
    let none = Value::Null;
    let (project, keys) = ("/v1/projects/{project}", "/v1/projects/{project}/api-keys");
    let key = format!("{keys}/{{key}}");
    let fresh_key = format!("{keys}/{{fresh key}}");
    let rotate = format!("{fresh_key}/rotate");
    vec![
        row("GET", project, none.clone(), ALL),
        row("PATCH", project, json!({"name": "Renamed"}), BUILDERS),
        row("DELETE", "/v1/projects/{fresh project}", none.clone(), ADMINS),
        row("GET", keys, none.clone(), BUILDERS),
        row("POST", keys, json!({"label": "a"}), BUILDERS),
        row("GET", &key, none.clone(), BUILDERS),
        row("PATCH", &key, json!({"label": "b"}), BUILDERS),
        row("POST", &rotate, json!({"graceSeconds": 0}), BUILDERS),
        row("DELETE", &fresh_key, none.clone(), BUILDERS),
        row("GET", "/v1/metrics/overview?projectId={project}", none.clone(), ALL),
        row(
            "GET",
            "/v1/metrics/events/timeseries?projectId={project}",
            none.clone(),
            ALL,
        ),
        row("GET", "/v1/metrics/errors/top?projectId={project}", none.clone(), ALL),
        row("GET", "/v1/events?projectId={project}", none.clone(), ALL),
        row("GET", "/v1/alerts?projectId={project}", none.clone(), ALL),
        row("POST", "/v1/alerts", an_alert("{project}"), BUILDERS),
        row("GET", "/v1/alerts/{fresh alert}", none.clone(), ALL),
        row("GET", "/v1/alerts/{fresh alert}/incidents", none.clone(), ALL),
        row("PATCH", "/v1/alerts/{fresh alert}", json!({"enabled": false}), BUILDERS),
        row("DELETE", "/v1/alerts/{fresh alert}", none, BUILDERS),
    ]
}

/// What one is told oneself, and how.
fn rows_of_readers() -> Vec<Row> {
    vec![
        row("GET", "/v1/notifications", Value::Null, ALL),
        row("GET", "/v1/notification-preferences", Value::Null, ALL),
        row("PUT", "/v1/notification-preferences", json!({}), ALL),
    ]
}

/// What is about its webhooks.
fn rows_of_webhooks() -> Vec<Row> {
    let none = Value::Null;
    let fresh = |end: &str| format!("/v1/webhook-subscriptions/{{fresh webhook}}{end}");
    vec![
        row("GET", "/v1/webhook-subscriptions", none.clone(), BUILDERS),
        row("POST", "/v1/webhook-subscriptions", a_webhook(), ADMINS),
        row("GET", &fresh(""), none.clone(), BUILDERS),
        row("PATCH", &fresh(""), json!({"status": "disabled"}), ADMINS),
        row("DELETE", &fresh(""), none.clone(), ADMINS),
        row("POST", &fresh("/rotate-secret"), json!({}), ADMINS),
        row("POST", &fresh("/test"), json!({}), ADMINS),
        row("GET", &fresh("/deliveries"), none.clone(), BUILDERS),
        row(
            "POST",
            &fresh("/replay"),
            json!({"since": "2026-11-01T00:00:00Z"}),
            ADMINS,
        ),
        row("GET", "/v1/webhook-events", none, BUILDERS),
    ]
}

/// What is about its jobs.
fn rows_of_jobs() -> Vec<Row> {
    let none = Value::Null;
    vec![
        row("GET", "/v1/jobs", none.clone(), ADMINS),
        row("GET", "/v1/jobs/{fresh job}", none.clone(), ADMINS),
        row("POST", "/v1/jobs/{fresh job}/cancel", none, ADMINS),
        row("POST", "/v1/jobs/{dead job}/retry", json!({}), ADMINS),
        row("POST", "/v1/jobs/redrive", json!({}), ADMINS),
    ]
}

/// One that nobody answers.
fn a_webhook() -> Value {
    json!({"url": "http://127.0.0.1:9/hook", "events": ["*"]})
}

fn an_alert(project: &str) -> Value {
    json!({
        "projectId": project, "metricType": "event_count", "condition": ">", "threshold": 5, "window": "5m",
        "channel": "email", "target": "oncall@example.com",
    })
}

/// A path or body with ids of `tenant` in the place of names.
async fn fill(app: &TestApp, tenant: &Tenant, text: &str) -> String {
    let mut filled = text
        .replace("{org}", &tenant.org)
        .replace("{project}", &tenant.project)
        .replace("{key}", &tenant.key_id);
    if filled.contains("{stranger}") {
        filled = filled.replace("{stranger}", &app.person().await.email);
    }
    if filled.contains("{fresh member}") {
        filled = filled.replace("{fresh member}", &app.member(tenant, "viewer").await.id);
    }
    if filled.contains("{fresh invitation}") {
        let guest = format!("guest-{}@example.com", app.number());
        let members = format!("/v1/orgs/{}/members", tenant.org);
        let invitation = tenant
            .client
            .post(members, json!({"email": guest, "role": "viewer"}))
            .await;
        filled = filled.replace("{fresh invitation}", &invitation.expect(201).text("id"));
    }
    if filled.contains("{fresh grant}") {
        let member = app.member(tenant, "viewer").await;
        filled = filled.replace(
            "{fresh grant}",
            &app.grant(tenant, &member, &tenant.project, "member").await,
        );
    }
    if filled.contains("{fresh project}") {
        let body = json!({"name": "Fresh", "environment": "dev"});
        let project = tenant.client.post("/v1/projects", body).await.expect(201).text("id");
        filled = filled.replace("{fresh project}", &project);
    }
    if filled.contains("{fresh key}") {
        let keys = format!("/v1/projects/{}/api-keys", tenant.project);
        let key = tenant.client.post(keys, json!({"label": "fresh"})).await.expect(201);
        filled = filled.replace("{fresh key}", &key.text("id"));
    }
    if filled.contains("{fresh alert}") {
        let alert = tenant.client.post("/v1/alerts", an_alert(&tenant.project)).await;
        filled = filled.replace("{fresh alert}", &alert.expect(201).text("id"));
    }
    if filled.contains("{fresh webhook}") {
        let webhook = tenant.client.post("/v1/webhook-subscriptions", a_webhook()).await;
        filled = filled.replace("{fresh webhook}", &webhook.expect(201).text("id"));
    }
    for (name, dies) in [("{fresh job}", false), ("{dead job}", true)] {
        if filled.contains(name) {
            filled = filled.replace(name, &crate::job_control::a_job(app, tenant, dies).await);
        }
    }
    fill_sales(app, tenant, filled).await
}

/// The same for what is sold.
async fn fill_sales(app: &TestApp, tenant: &Tenant, mut filled: String) -> String {
    if filled.contains("{fresh code}") {
        filled = filled.replace("{fresh code}", &format!("CODE-{}", app.number()));
    }
    if filled.contains("{fresh client}") {
        filled = filled.replace("{fresh client}", &tenant.new_client(json!({})).await);
    }
    if filled.contains("{fresh coupon}") {
        let coupon = json!({"code": format!("CODE-{}", app.number()), "percentOff": 5, "duration": "once"});
        let coupon = tenant.client.post("/v1/coupons", coupon).await.expect(201).text("id");
        filled = filled.replace("{fresh coupon}", &coupon);
    }
    if filled.contains(" plan}") || filled.contains(" contract}") || filled.contains(" subscription}") {
        let plan = tenant.new_plan(3_000, json!({})).await;
        let sold = tenant.sold(&plan, json!({})).await;
        if filled.contains("{paused subscription}") {
            let pause = format!("/v1/subscriptions/{}/pause", sold.subscription);
            tenant.client.post(pause, json!({})).await.expect(200);
        }
        if filled.contains("{suspended contract}") {
            let suspend = format!("/v1/contracts/{}/suspend", sold.contract);
            tenant.client.post(suspend, json!({})).await.expect(200);
        }
        let unsigned = tenant.new_contract(&sold.client).await;
        tenant.new_subscription(&unsigned, &plan, json!({})).await;
        let other = tenant.new_plan(5_000, json!({})).await;
        for (name, id) in [
            ("{fresh plan}", &other),
            ("{fresh contract}", &sold.contract),
            ("{signed contract}", &sold.contract),
            ("{suspended contract}", &sold.contract),
            ("{unsigned contract}", &unsigned),
            ("{fresh subscription}", &sold.subscription),
            ("{paused subscription}", &sold.subscription),
        ] {
            filled = filled.replace(name, id);
        }
    }
    filled
}

/// Does what a row says as `person`, with ids of `tenant`.
async fn attempt(app: &TestApp, tenant: &Tenant, person: &Person, (method, path, body, _): &Row) -> Reply {
    let path = fill(app, tenant, path).await;
    let body = if body.is_null() {
        String::new()
    } else {
        fill(app, tenant, &body.to_string()).await
    };
    let client = person.client.header("content-type", "application/json");
    client.send(method.parse().unwrap(), &path, body.into_bytes()).await
}

/// Wants success of who may, and the one refusal of who may not.
#[track_caller]
fn check(reply: Reply, may: bool, who: &str, (method, path, ..): &Row) {
    let (status, json) = (reply.status, &reply.json);
    if may {
        assert!(status.is_success(), "{who} {method} {path}: {status} {json}");
    } else {
        assert_eq!(status, 403, "{who} {method} {path}: {json}");
        reply.problem(403, "forbidden");
    }
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
    // Last, for nothing is left after it.
    let end = row("DELETE", "/v1/orgs/{org}", Value::Null, OWNER);
    let rows = [
        rows_of_the_org(),
        rows_of_the_wallet(),
        rows_of_sales(),
        rows_of_a_project(),
        rows_of_webhooks(),
        rows_of_jobs(),
        rows_of_readers(),
    ];
    let rows = rows.into_iter().flatten();
    for row in rows.chain([end]) {
        // The least first, so that what deletes comes last.
        for (place, person) in people.iter().enumerate().rev() {
            check(
                attempt(&app, &acme, person, &row).await,
                row.3[place],
                ROLES[place],
                &row,
            );
        }
    }
    app.settle().await;
}

#[test]
fn every_operation_that_a_grant_may_open_has_a_row() {
    let same = |row: &Row, path: &str| {
        let row = row.1.split('?').next().unwrap_or_default();
        let pairs = row.split('/').zip(path.split('/'));
        let equal = |(one, other): (&str, &str)| one == other || (one.starts_with('{') && other.starts_with('{'));
        row.split('/').count() == path.split('/').count() && pairs.into_iter().all(equal)
    };
    let by_project = |who: &str| {
        POLICY
            .iter()
            .any(|(name, to)| *name == who && matches!(to, Audience::Resource(_)))
    };
    let rows = rows_of_a_project();
    for (method, path, who) in WHO.iter().filter(|(_, _, who)| by_project(who)) {
        let row = rows.iter().find(|row| row.0 == *method && same(row, path));
        assert!(row.is_some(), "{method} {path} ({who}) has no row that names a project");
    }
}

#[tokio::test]
async fn a_grant_counts_in_its_project_alone_and_ends_when_it_is_taken_away() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    // So that the viewer always has a grant, though seldom the one that is needed.
    app.grant(&acme, &viewer, &acme.project, "admin").await;
    for mut row in rows_of_a_project() {
        // What is made afresh would be no project that the grant is for.
        row.1 = row.1.replace("{fresh project}", "{project}");
        let fresh = app.project(&acme).await;
        check(
            attempt(&app, &fresh, &viewer, &row).await,
            row.3[VIEWER],
            "no grant",
            &row,
        );
        let grant = app.grant(&acme, &viewer, &fresh.project, "admin").await;
        check(
            attempt(&app, &fresh, &viewer, &row).await,
            row.3[ADMIN],
            "a grant",
            &row,
        );
        let path = format!("/v1/orgs/{}/grants/{grant}", acme.org);
        acme.client.delete(path).await.expect(204);
        if row.0 != "DELETE" {
            check(
                attempt(&app, &fresh, &viewer, &row).await,
                row.3[VIEWER],
                "no grant any more",
                &row,
            );
        }
    }
}
