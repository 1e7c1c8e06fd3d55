//! /v1/alerts: making, showing, changing and deleting alerts, and what a project's defaults add to them.

use futures::future::join_all;
use serde_json::{Value, json};
use testing::{Receiver, Tenant, TestApp};

const HOOK: &str = "https://hooks.example.com/alerts";

/// What makes an alert, with some fields changed; null leaves one out.
fn alert(tenant: &Tenant, change: Value) -> Value {
    let mut body = json!({
        "projectId": tenant.project, "metricType": "event_count", "eventType": "ERROR", "condition": ">", "threshold": 10,
        "window": "5m", "channel": "email", "target": "oncall@example.com",
    });
    let fields = body.as_object_mut().unwrap();
    let Value::Object(change) = change else {
        panic!("a change is an object")
    };
    for (name, value) in change {
        if value.is_null() {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
    body
}

async fn actions(tenant: &Tenant) -> Vec<(String, Value)> {
    let trail = tenant.client.all(format!("/v1/orgs/{}/audit", tenant.org)).await;
    let about = trail.into_iter().filter(|entry| entry["targetType"] == "alert");
    about
        .map(|entry| (entry["action"].as_str().unwrap().to_owned(), entry))
        .collect()
}

#[tokio::test]
async fn an_alert_is_made_read_changed_and_deleted() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let made = acme
        .client
        .post("/v1/alerts", alert(&acme, json!({})))
        .await
        .expect(201);
    let id = made.text("id");
    let expected = json!({
        "id": id, "projectId": acme.project, "name": null, "metricType": "event_count", "eventType": "ERROR",
        "eventName": null, "condition": ">", "threshold": 10.0, "window": "5m", "channel": "email",
        "target": "oncall@example.com", "coolDownMinutes": 5, "enabled": true, "status": "ok", "createdAt": app.now(),
        "updatedAt": app.now(), "lastFiredAt": null,
    });
    assert_eq!(made.json, expected);
    let path = format!("/v1/alerts/{id}");
    assert_eq!(acme.client.get(&path).await.expect(200).json, expected);
    let none = acme.client.get(format!("{path}/incidents")).await.expect(200);
    assert!(none.data().is_empty());

    app.advance(1_000);
    let patch = async |body: Value| acme.client.patch(&path, body).await.expect(200).json;
    assert_eq!(patch(json!({})).await, expected);
    assert_eq!(patch(json!({"threshold": 10})).await, expected);
    let changed = patch(json!({
        "name": "Checkout fails", "metricType": "error_rate", "eventType": null, "eventName": "POST /checkout",
        "threshold": 0.05, "window": "1h", "coolDownMinutes": 0, "enabled": false,
    }))
    .await;
    assert_eq!(
        (&changed["name"], &changed["threshold"]),
        (&json!("Checkout fails"), &json!(0.05))
    );
    assert_eq!(
        (&changed["enabled"], &changed["updatedAt"]),
        (&json!(false), &json!(app.now()))
    );
    assert_eq!(
        (&changed["eventType"], &changed["createdAt"]),
        (&json!(null), &expected["createdAt"])
    );
    assert_eq!(patch(json!({"name": null})).await["name"], Value::Null);

    acme.client.delete(&path).await.expect(204);
    for reply in [
        acme.client.delete(&path).await,
        acme.client.get(&path).await,
        acme.client.patch(&path, json!({"threshold": 1})).await,
        acme.client.get(format!("{path}/incidents")).await,
    ] {
        reply.problem(404, "not_found");
    }
    assert!(acme.client.get("/v1/alerts").await.expect(200).data().is_empty());

    let trail = actions(&acme).await;
    let names: Vec<&str> = trail.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(
        names,
        ["alert.deleted", "alert.updated", "alert.updated", "alert.created"]
    );
    let (_, change) = &trail[2];
    assert_eq!(
        (&change["targetId"], &change["oldValue"]["threshold"]),
        (&json!(id), &json!("10"))
    );
    assert_eq!(change["newValue"]["threshold"], "0.05");
}

#[tokio::test]
async fn bad_input_is_named_and_stores_nothing() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let rate = |threshold: f64| json!({"metricType": "error_rate", "eventType": null, "threshold": threshold});
    for (change, field, status, code) in [
        (json!({"threshold": -1}), "threshold", 422, "invalid"),
        (json!({"threshold": 0.5}), "threshold", 422, "invalid"),
        (json!({"threshold": "10"}), "threshold", 400, "wrong_type"),
        (rate(5.0), "threshold", 422, "invalid"),
        (json!({"threshold": 0, "condition": "<"}), "threshold", 422, "invalid"),
        (json!({"condition": ">="}), "condition", 400, "wrong_type"),
        (json!({"window": "2m"}), "window", 400, "wrong_type"),
        (json!({"metricType": "latency"}), "metricType", 400, "wrong_type"),
        (
            json!({"metricType": "error_rate", "threshold": 0.5}),
            "eventType",
            422,
            "invalid",
        ),
        (json!({"name": ""}), "name", 422, "invalid"),
        (json!({"eventName": "x".repeat(1_001)}), "eventName", 422, "invalid"),
        (json!({"coolDownMinutes": 1_441}), "coolDownMinutes", 422, "invalid"),
        (json!({"coolDownMinutes": -1}), "coolDownMinutes", 400, "wrong_type"),
        (json!({"channel": "pager"}), "channel", 400, "wrong_type"),
        (json!({"target": "nobody"}), "target", 422, "invalid"),
        (
            json!({"target": "a@example.com, b@example.com"}),
            "target",
            422,
            "invalid",
        ),
        (json!({"channel": "webhook"}), "target", 422, "invalid"),
        (json!({"enabled": "yes"}), "enabled", 400, "wrong_type"),
        (json!({"status": "firing"}), "status", 400, "unknown_field"),
        (json!({"condition": null}), "condition", 400, "missing_field"),
        (json!({"projectId": null}), "projectId", 400, "missing_field"),
        (json!({"projectId": "prj_x"}), "projectId", 400, "malformed_id"),
    ] {
        let reply = acme.client.post("/v1/alerts", alert(&acme, change.clone())).await;
        assert_eq!(reply.problem(status, code).fields(), [field], "{change}");
    }
    assert!(acme.client.get("/v1/alerts").await.expect(200).data().is_empty());
    assert!(actions(&acme).await.is_empty());

    let made = acme
        .client
        .post("/v1/alerts", alert(&acme, json!({})))
        .await
        .expect(201);
    let path = format!("/v1/alerts/{}", made.text("id"));
    for (change, field, status, code) in [
        (json!({"metricType": "error_rate"}), "eventType", 422, "invalid"),
        (json!({"channel": "webhook"}), "target", 422, "invalid"),
        (json!({"threshold": null}), "threshold", 400, "wrong_type"),
        (json!({"projectId": acme.project}), "projectId", 400, "unknown_field"),
    ] {
        let problem = acme.client.patch(&path, change).await.problem(status, code);
        assert!(problem.fields().contains(&field), "{}", problem.json);
    }
    assert_eq!(acme.client.get(&path).await.expect(200).json, made.json);
    acme.client.get("/v1/alerts/alr_x").await.problem(400, "malformed_id");
    acme.client
        .get("/v1/alerts?status=firing")
        .await
        .problem(400, "unknown_field");
}

#[tokio::test]
async fn a_webhook_inside_a_network_is_refused_by_name() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for (target, host) in [
        ("https://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("https://10.1.2.3/hook", "10.1.2.3"),
        ("https://[::1]/hook", "[::1]"),
        ("https://[::ffff:192.168.0.1]/", "::ffff:"),
        ("https://2852039166/", "169.254.169.254"),
        ("https://localhost/hook", "localhost"),
        ("http://hooks.example.com/", "hooks.example.com"),
    ] {
        let body = alert(&acme, json!({"channel": "webhook", "target": target}));
        let problem = acme.client.post("/v1/alerts", body).await.problem(422, "invalid");
        assert_eq!(problem.fields(), ["target"]);
        let why = problem.json["errors"][0]["problem"].as_str().unwrap();
        assert!(why.contains(host) && why.contains("public"), "{target}: {why}");
        let defaults = json!({"alertDefaults": {"channel": "webhook", "target": target}});
        let path = format!("/v1/projects/{}", acme.project);
        let problem = acme.client.patch(path, defaults).await.problem(422, "invalid");
        assert_eq!(problem.fields(), ["alertDefaults.target"]);
    }
    assert!(acme.client.get("/v1/alerts").await.expect(200).data().is_empty());
}

/// The secret part of a URL, as chat services have it.
const SECRET: &str = "T000/B000/SECRETTOKEN";

#[tokio::test]
async fn the_url_of_a_webhook_is_shown_to_nobody_and_lies_nowhere_in_plain() {
    let app = TestApp::start().await;
    let (acme, receiver) = (app.tenant().await, Receiver::start().await);
    let viewer = app.member(&acme, "viewer").await;
    let origin = receiver.url().trim_end_matches("hook").to_owned();
    let (url, shown) = (format!("{}/{SECRET}", receiver.url()), format!("{origin}…KEN"));
    let hook = json!({"channel": "webhook", "target": url, "window": "1m", "threshold": 0, "coolDownMinutes": 0});
    let made = acme.client.post("/v1/alerts", alert(&acme, hook)).await.expect(201);
    // Who has just set it sees it as it is called.
    assert_eq!(made.json["target"], url);
    let path = format!("/v1/alerts/{}", made.text("id"));
    for client in [&viewer.client, &acme.client] {
        assert_eq!(client.get(&path).await.expect(200).json["target"], shown);
        assert_eq!(client.get("/v1/alerts").await.expect(200).data()[0]["target"], shown);
    }

    // Who sends back what they saw, or the same URL, changes nothing of it; another one is sealed likewise.
    app.advance(60_000);
    let patch = async |body: Value| acme.client.patch(&path, body).await.expect(200).json;
    for same in [&shown, &shown.replace('…', "%E2%80%A6"), &url] {
        let kept = patch(json!({"target": same, "threshold": 0})).await;
        assert_eq!((&kept["target"], &kept["signingSecret"]), (&json!(shown), &Value::Null));
        assert_eq!(kept["updatedAt"], made.json["updatedAt"]);
    }
    assert_eq!(patch(json!({"name": "Checkout"})).await["target"], shown);
    let moved = patch(json!({"target": format!("{url}S")})).await;
    assert_eq!(moved["target"], format!("{origin}…ENS"));
    assert!(moved["signingSecret"].is_string());

    acme.ingest(json!([{"type": "ERROR", "name": "a"}])).await;
    app.settle().await;
    app.advance(120_000);
    app.run_alert_check().await;
    assert_eq!(receiver.calls().len(), 1);
    assert!(!receiver.calls()[0].body.contains("SECRETTOKEN"));
    let acme = acme.logged_in_again(&app).await;
    let jobs = acme
        .client
        .all(format!("/v1/notification-jobs?alertId={}", made.text("id")))
        .await;
    assert_eq!(jobs[0]["target"], format!("{origin}…ENS"), "{jobs:?}");
    for (_, entry) in actions(&acme).await {
        assert!(!entry.to_string().contains("SECRETTOKEN"), "{entry}");
    }
    assert!(!String::from_utf8_lossy(&app.stored().await).contains("SECRETTOKEN"));
}

#[tokio::test]
async fn the_url_of_a_projects_webhook_is_shown_to_nobody_and_alerts_take_it_whole() {
    let app = TestApp::start().await;
    let (acme, receiver) = (app.tenant().await, Receiver::start().await);
    let origin = receiver.url().trim_end_matches("hook").to_owned();
    let (url, shown) = (format!("{}/{SECRET}", receiver.url()), format!("{origin}…KEN"));
    let path = format!("/v1/projects/{}", acme.project);
    let defaults = json!({"alertDefaults": {"channel": "webhook", "target": url, "window": "1m"}});
    let changed = acme.client.patch(&path, defaults).await.expect(200).json;
    assert_eq!(changed["alertDefaults"]["target"], shown);
    assert_eq!(acme.client.get(&path).await.expect(200).json, changed);
    // Who sends back what they saw keeps it.
    let mut again = changed["alertDefaults"].clone();
    again["window"] = json!("5m");
    let kept = acme
        .client
        .patch(&path, json!({"alertDefaults": again}))
        .await
        .expect(200)
        .json;
    assert_eq!(
        kept["alertDefaults"],
        json!({"channel": "webhook", "target": shown, "window": "5m"})
    );
    let bare = alert(
        &acme,
        json!({"window": null, "channel": null, "target": null, "threshold": 0}),
    );
    let made = acme.client.post("/v1/alerts", bare).await.expect(201);
    assert_eq!(made.json["target"], shown);
    let trail = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    assert!(!json!(trail).to_string().contains("SECRETTOKEN"), "{trail:?}");

    acme.ingest(json!([{"type": "ERROR", "name": "a"}])).await;
    app.settle().await;
    app.advance(120_000);
    app.run_alert_check().await;
    assert_eq!(receiver.calls().len(), 1);
}

#[tokio::test]
async fn a_webhooks_secret_is_shown_once_and_is_another_for_another_target() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let hook = alert(&acme, json!({"channel": "webhook", "target": HOOK}));
    let once = acme.client.header("idempotency-key", "alert-1");
    let made = once.post("/v1/alerts", hook.clone()).await.expect(201);
    let secret = made.text("signingSecret");
    assert!(secret.starts_with("whsec_") && secret.len() > 30);
    let again = once.post("/v1/alerts", hook).await.expect(201);
    assert_eq!((again.header("idempotent-replayed"), &again.json), ("true", &made.json));

    let path = format!("/v1/alerts/{}", made.text("id"));
    let shown = acme.client.get(&path).await.expect(200);
    assert_eq!(shown.json["signingSecret"], Value::Null);
    assert_eq!(acme.client.get("/v1/alerts").await.expect(200).data(), [shown.json]);
    let patch = async |body: Value| acme.client.patch(&path, body).await.expect(200).json["signingSecret"].clone();
    assert_eq!(patch(json!({"threshold": 20})).await, Value::Null);
    assert_eq!(patch(json!({"target": HOOK})).await, Value::Null);
    let other = patch(json!({"target": "https://hooks.example.com/other"})).await;
    assert!(other.as_str().unwrap().starts_with("whsec_") && other != secret.as_str());
    assert_eq!(
        patch(json!({"channel": "email", "target": "a@example.com"})).await,
        Value::Null
    );
    let third = patch(json!({"channel": "webhook", "target": HOOK})).await;
    assert!(third.as_str().unwrap().starts_with("whsec_") && third != secret.as_str() && third != other);
    for (_, entry) in actions(&acme).await {
        assert!(!entry.to_string().contains("whsec_"), "{entry}");
    }
}

#[tokio::test]
async fn what_an_alert_leaves_out_comes_from_its_project() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let bare = alert(&acme, json!({"window": null, "channel": null, "target": null}));
    let missing = acme
        .client
        .post("/v1/alerts", bare.clone())
        .await
        .problem(422, "invalid");
    assert_eq!(missing.fields(), ["window", "channel", "target"]);

    let project = format!("/v1/projects/{}", acme.project);
    let defaults = json!({"channel": "email", "target": "team@example.com", "window": "15m", "coolDownMinutes": 30});
    let patched = acme
        .client
        .patch(&project, json!({"alertDefaults": defaults}))
        .await
        .expect(200);
    assert_eq!(patched.json["alertDefaults"], defaults);
    let made = acme.client.post("/v1/alerts", bare.clone()).await.expect(201).json;
    assert_eq!(
        (&made["channel"], &made["target"]),
        (&json!("email"), &json!("team@example.com"))
    );
    assert_eq!((&made["window"], &made["coolDownMinutes"]), (&json!("15m"), &json!(30)));
    // What an alert says itself counts, and an address is taken only for its own channel.
    let own = acme
        .client
        .post("/v1/alerts", alert(&acme, json!({"coolDownMinutes": 0})))
        .await
        .expect(201)
        .json;
    assert_eq!((&own["window"], &own["coolDownMinutes"]), (&json!("5m"), &json!(0)));
    let hook = alert(&acme, json!({"channel": "webhook", "target": null}));
    let missing = acme.client.post("/v1/alerts", hook).await.problem(422, "invalid");
    assert_eq!(missing.fields(), ["target"]);
}

#[tokio::test]
async fn a_projects_defaults_change_no_alert_that_is_there() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let bare = alert(&acme, json!({"window": null, "channel": null, "target": null}));
    let project = format!("/v1/projects/{}", acme.project);
    let defaults = json!({"channel": "email", "target": "team@example.com", "window": "15m"});
    let set = json!({"alertDefaults": defaults});
    acme.client.patch(&project, set).await.expect(200);
    let made = acme.client.post("/v1/alerts", bare.clone()).await.expect(201).json;
    acme.client
        .patch(&project, json!({"alertDefaults": {"window": "1h"}}))
        .await
        .expect(200);
    let path = format!("/v1/alerts/{}", made["id"].as_str().unwrap());
    assert_eq!(acme.client.get(path).await.expect(200).json, made);
    let missing = acme
        .client
        .post("/v1/alerts", bare.clone())
        .await
        .problem(422, "invalid");
    assert_eq!(missing.fields(), ["channel", "target"]);
    let gone = acme
        .client
        .patch(&project, json!({"alertDefaults": null}))
        .await
        .expect(200);
    assert_eq!(gone.json["alertDefaults"], Value::Null);
}

#[tokio::test]
async fn bad_defaults_are_named() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let project = format!("/v1/projects/{}", acme.project);
    for (bad, field, status) in [
        (json!({"target": "a@example.com"}), "alertDefaults.channel", 422),
        (
            json!({"channel": "email", "target": "nobody"}),
            "alertDefaults.target",
            422,
        ),
        (json!({"coolDownMinutes": 1_441}), "alertDefaults.coolDownMinutes", 422),
        (json!({"window": "2m"}), "alertDefaults.window", 400),
        (json!({"threshold": 5}), "alertDefaults.threshold", 400),
    ] {
        let body = json!({"name": "New", "environment": "dev", "alertDefaults": bad});
        let made = acme.client.post("/v1/projects", body).await.expect(status);
        let patched = acme
            .client
            .patch(&project, json!({"alertDefaults": bad}))
            .await
            .expect(status);
        assert_eq!((made.fields(), patched.fields()), (vec![field], vec![field]));
    }
}

#[tokio::test]
async fn a_foreign_alert_looks_absent_and_stays_as_it_is() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let made = acme
        .client
        .post("/v1/alerts", alert(&acme, json!({})))
        .await
        .expect(201);
    let path = format!("/v1/alerts/{}", made.text("id"));
    for reply in [
        rival.client.get(&path).await,
        rival.client.patch(&path, json!({"enabled": false})).await,
        rival.client.delete(&path).await,
        rival.client.get(format!("{path}/incidents")).await,
    ] {
        assert_eq!(reply.problem(404, "not_found").json["detail"], "there is no such alert");
    }
    for reply in [
        rival.client.post("/v1/alerts", alert(&acme, json!({}))).await,
        rival.client.get(format!("/v1/alerts?projectId={}", acme.project)).await,
    ] {
        assert_eq!(
            reply.problem(404, "not_found").json["detail"],
            "there is no such project"
        );
    }
    assert!(rival.client.get("/v1/alerts").await.expect(200).data().is_empty());
    assert_eq!(acme.client.get(&path).await.expect(200).json, made.json);
}

#[tokio::test]
async fn alerts_are_listed_newest_first_by_project_or_all() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let other = app.project(&acme).await;
    let (mut ours, mut all) = (Vec::new(), Vec::new());
    for place in 0..5 {
        app.advance(1);
        let tenant = if place % 2 == 0 { &acme } else { &other };
        let id = acme
            .client
            .post("/v1/alerts", alert(tenant, json!({})))
            .await
            .expect(201)
            .text("id");
        all.insert(0, id.clone());
        if place % 2 == 0 {
            ours.insert(0, id);
        }
    }
    let ids = |alerts: Vec<Value>| -> Vec<String> {
        let ids = alerts.into_iter().map(|alert| alert["id"].as_str().unwrap().to_owned());
        ids.collect()
    };
    assert_eq!(ids(acme.client.all("/v1/alerts?limit=2").await), all);
    let of_project = format!("/v1/alerts?projectId={}&limit=1", acme.project);
    assert_eq!(ids(acme.client.all(&of_project).await), ours);
    let exactly = acme
        .client
        .get(format!("/v1/alerts?projectId={}&limit=3", acme.project))
        .await;
    assert_eq!(exactly.expect(200).json["nextCursor"], Value::Null);

    let cursor = acme.client.get(&of_project).await.expect(200).text("nextCursor");
    for elsewhere in [
        format!("/v1/alerts?cursor={cursor}"),
        format!("/v1/alerts?projectId={}&cursor={cursor}", other.project),
    ] {
        acme.client.get(elsewhere).await.problem(400, "bad_cursor");
    }
    let stolen = rival
        .client
        .get(format!("/v1/alerts?projectId={}&cursor={cursor}", rival.project))
        .await;
    stolen.problem(400, "bad_cursor");
    acme.client.get("/v1/alerts?limit=0").await.problem(400, "bad_limit");
    // One that is deleted meanwhile leaves no hole.
    acme.client.delete(format!("/v1/alerts/{}", ours[1])).await.expect(204);
    let rest = acme
        .client
        .get(format!("{of_project}&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(ids(rest.data().to_vec()), [ours[2].clone()]);
}

#[tokio::test]
async fn a_project_has_at_most_200_alerts_whoever_makes_them_at_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for _ in 0..199 {
        acme.client
            .post("/v1/alerts", alert(&acme, json!({})))
            .await
            .expect(201);
    }
    let racing = (0..4).map(|_| acme.client.post("/v1/alerts", alert(&acme, json!({}))));
    let racing = join_all(racing).await;
    assert_eq!(racing.iter().filter(|reply| reply.status == 201).count(), 1);
    for reply in racing.into_iter().filter(|reply| reply.status != 201) {
        reply.problem(409, "too_many_alerts");
    }
    let of_project = format!("/v1/alerts?projectId={}&limit=100", acme.project);
    let alerts = acme.client.all(&of_project).await;
    assert_eq!(alerts.len(), 200);
    let path = format!("/v1/alerts/{}", alerts[7]["id"].as_str().unwrap());
    acme.client.delete(path).await.expect(204);
    acme.client
        .post("/v1/alerts", alert(&acme, json!({})))
        .await
        .expect(201);
    // Another project has its own.
    let other = app.project(&acme).await;
    acme.client
        .post("/v1/alerts", alert(&other, json!({})))
        .await
        .expect(201);
}
