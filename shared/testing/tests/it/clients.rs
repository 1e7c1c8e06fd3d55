//! /v1/clients, /v1/plans and /v1/coupons: whom an organization sells to, and what.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use testing::{Tenant, TestApp};

/// Everything that a client may say.
fn a_client() -> Value {
    json!({
        "name": "Acme GmbH", "email": "billing@acme.example", "currency": "EUR", "phone": "+4930123456",
        "address": {"line1": "Ring 1", "line2": null, "postalCode": "10115", "city": "Berlin", "country": "DE"},
        "language": "de", "timeZone": "Europe/Berlin", "taxRate": 7.7, "taxId": "DE1", "taxExempt": "reverse_charge",
        "externalId": "u1",
    })
}

#[tokio::test]
async fn a_client_is_made_changed_and_deleted() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let made = acme.client.post("/v1/clients", a_client()).await.expect(201);
    let id = made.text("id");
    assert!(id.starts_with("cli_"));
    for (name, value) in a_client().as_object().unwrap() {
        let expected = if name == "taxRate" { json!("7.7") } else { value.clone() };
        assert_eq!(made.json[name], expected, "{name}");
    }
    assert_eq!((&made.json["balance"], &made.json["balances"]), (&json!(0), &json!({})));
    let path = format!("/v1/clients/{id}");
    assert_eq!(acme.client.get(&path).await.expect(200).json, made.json);
    assert_eq!(
        acme.client.get("/v1/clients").await.expect(200).data(),
        std::slice::from_ref(&made.json)
    );

    app.advance(1_000);
    let patch = json!({"name": "Acme AG", "phone": null, "taxRate": null, "externalId": "u2"});
    let changed = acme.client.patch(&path, patch).await.expect(200);
    let found = ["name", "phone", "taxRate", "externalId", "email"].map(|name| changed.json[name].clone());
    assert_eq!(
        found,
        [
            json!("Acme AG"),
            json!(null),
            json!(null),
            json!("u2"),
            json!("billing@acme.example")
        ]
    );
    assert_eq!(changed.json["updatedAt"], json!(app.now()));
    assert_eq!(acme.client.get(&path).await.expect(200).json, changed.json);
    assert_eq!(acme.client.patch(&path, json!({})).await.expect(200).json, changed.json);

    acme.client.delete(&path).await.expect(204);
    acme.client.get(&path).await.problem(404, "not_found");
    acme.client
        .patch(&path, json!({"name": "x"}))
        .await
        .problem(404, "not_found");
    acme.client.delete(&path).await.problem(404, "not_found");
    assert_eq!(acme.client.get("/v1/clients").await.expect(200).data().len(), 0);
    let audit = acme.client.get(format!("/v1/orgs/{}/audit?limit=3", acme.org)).await;
    let actions: Vec<Value> = audit.data().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["client.deleted", "client.updated", "client.created"]);
}

#[tokio::test]
async fn bad_clients_are_named() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let id = acme.new_client(json!({})).await;
    let path = format!("/v1/clients/{id}");
    for (field, bad) in [
        ("name", json!("")),
        ("email", json!("no")),
        ("currency", json!("EURO")),
        ("currency", json!("eur")),
        ("currency", json!("XXX")),
        ("phone", json!("030 123")),
        ("language", json!("German")),
        ("timeZone", json!("Berlin")),
        ("taxRate", json!(101)),
        ("taxRate", json!("1.23456")),
        ("externalId", json!("")),
    ] {
        let mut body = a_client();
        body[field] = bad.clone();
        let reply = acme.client.post("/v1/clients", body).await;
        assert_eq!(reply.problem(422, "invalid").fields(), [field], "{bad}");
        let mut patch = json!({});
        patch[field] = bad;
        let reply = acme.client.patch(&path, patch).await;
        assert_eq!(reply.problem(422, "invalid").fields(), [field]);
    }
    acme.client
        .post("/v1/clients", json!({"name": "a"}))
        .await
        .problem(400, "missing_field");
    let mut body = a_client();
    body["balance"] = json!(5);
    acme.client
        .post("/v1/clients", body)
        .await
        .problem(400, "unknown_field");
    acme.client
        .patch(&path, json!({"email": null}))
        .await
        .problem(400, "wrong_type");
    acme.client.get("/v1/clients/cli_x").await.problem(400, "malformed_id");
}

#[tokio::test]
async fn another_tenants_clients_plans_and_coupons_look_absent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let client = acme.new_client(a_client()).await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let coupon = json!({"code": "A", "percentOff": 10, "duration": "once"});
    let coupon = acme.client.post("/v1/coupons", coupon).await.expect(201).text("id");
    for (kind, id) in [("clients", &client), ("plans", &plan), ("coupons", &coupon)] {
        let path = format!("/v1/{kind}/{id}");
        rival.client.get(&path).await.problem(404, "not_found");
        rival.client.delete(&path).await.problem(404, "not_found");
        if kind != "coupons" {
            rival
                .client
                .patch(&path, json!({"name": "x"}))
                .await
                .problem(404, "not_found");
        }
        assert_eq!(
            rival.client.get(format!("/v1/{kind}")).await.expect(200).data().len(),
            0
        );
        acme.client.get(&path).await.expect(200);
    }
    let entitlements = format!("/v1/clients/{client}/entitlements");
    rival.client.get(entitlements).await.problem(404, "not_found");
    let found = rival.client.get("/v1/clients/search?q=acme").await.expect(200);
    assert_eq!(found.json, json!({"data": [], "nextCursor": null}));
    // Nor are names and codes taken for others.
    rival.new_client(a_client()).await;
    let coupon = json!({"code": "A", "percentOff": 10, "duration": "once"});
    rival.client.post("/v1/coupons", coupon).await.expect(201);
}

#[tokio::test]
async fn no_two_clients_have_one_name_in_events() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let many = join_all((0..4).map(|_| acme.client.post("/v1/clients", a_client()))).await;
    let made: Vec<_> = many.into_iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(made.len(), 1);
    let first = format!("/v1/clients/{}", made[0].text("id"));
    acme.client
        .post("/v1/clients", a_client())
        .await
        .problem(409, "external_id_taken");
    let other = format!("/v1/clients/{}", acme.new_client(json!({"externalId": "u2"})).await);
    let rename = |to: Value| acme.client.patch(&other, json!({"externalId": to}));
    rename(json!("u1")).await.problem(409, "external_id_taken");
    rename(json!("u2")).await.expect(200);
    // What a client is not called any more, another one may be.
    acme.client.delete(&first).await.expect(204);
    rename(json!("u1")).await.expect(200);
    acme.new_client(json!({"externalId": "u2"})).await;
    rename(json!(null)).await.expect(200);
    acme.new_client(json!({"externalId": "u1"})).await;
}

#[tokio::test]
async fn clients_are_found_by_a_part_of_what_they_are_called() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for number in 0..5 {
        app.advance(1);
        acme.new_client(json!({"name": format!("Müller {number}"), "externalId": format!("user-{number}")}))
            .await;
    }
    acme.new_client(json!({"name": "Other", "email": "x@elsewhere.example"}))
        .await;
    let names = async |query: &str| -> Vec<String> {
        let found = acme.client.all(format!("/v1/clients/search?{query}")).await;
        found
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = ["Müller 4", "Müller 3", "Müller 2", "Müller 1", "Müller 0"];
    assert_eq!(names("q=m%C3%9CLLER").await, all);
    assert_eq!(names("q=ller&limit=2").await, all);
    assert_eq!(names("q=User-3").await, ["Müller 3"]);
    assert_eq!(names("q=elsewhere").await, ["Other"]);
    assert_eq!(names("q=nobody").await, Vec::<String>::new());
    let reply = acme.client.get("/v1/clients/search?q=%20").await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["q"]);
    acme.client.get("/v1/clients/search").await.expect(400);
    // A cursor is for what it was made for.
    let page = acme.client.get("/v1/clients/search?q=ller&limit=1").await.expect(200);
    let cursor = page.text("nextCursor");
    acme.client
        .get(format!("/v1/clients/search?q=other&limit=1&cursor={cursor}"))
        .await
        .expect(400);
}

fn a_plan() -> Value {
    let metric = json!({"eventName": "api.call", "aggregation": "count", "property": null});
    json!({
        "name": "Pro", "interval": "monthly", "currency": "EUR", "trialDays": 14, "trialUsageBilled": true,
        "includedCredits": 5_000, "entitlements": {"sso": true, "projects": 20},
        "prices": [
            {"kind": "flat", "amount": 4900},
            {"kind": "perUnit", "metric": metric, "unitAmount": "0.5"},
            {"kind": "graduated", "metric": metric, "tiers": [
                {"upTo": "250", "unitAmount": "0", "flatAmount": 0}, {"upTo": null, "unitAmount": "2", "flatAmount": 7}]},
            {"kind": "package", "metric": metric, "size": 1000, "amount": 250},
        ],
    })
}

#[tokio::test]
async fn a_plan_is_made_changed_and_deleted() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let made = acme.client.post("/v1/plans", a_plan()).await.expect(201);
    for (name, value) in a_plan().as_object().unwrap() {
        assert_eq!(&made.json[name], value, "{name}");
    }
    let path = format!("/v1/plans/{}", made.text("id"));
    assert_eq!(acme.client.get(&path).await.expect(200).json, made.json);
    assert_eq!(
        acme.client.get("/v1/plans").await.expect(200).data(),
        std::slice::from_ref(&made.json)
    );
    let patch = json!({"name": "Max", "trialDays": null, "entitlements": {"projects": 50}});
    let changed = acme.client.patch(&path, patch).await.expect(200);
    let found = ["name", "trialDays", "entitlements", "prices"].map(|name| changed.json[name].clone());
    let prices = a_plan()["prices"].clone();
    assert_eq!(found, [json!("Max"), json!(0), json!({"projects": 50}), prices]);
    assert_eq!(acme.client.get(&path).await.expect(200).json, changed.json);
    acme.client.delete(&path).await.expect(204);
    acme.client.get(&path).await.problem(404, "not_found");
    acme.client.delete(&path).await.problem(404, "not_found");
    assert_eq!(acme.client.get("/v1/plans").await.expect(200).data().len(), 0);
}

#[tokio::test]
async fn bad_plans_are_named() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let path = format!("/v1/plans/{}", acme.new_plan(100, json!({})).await);
    let gap = json!([{"kind": "volume", "metric": {"eventName": "a", "aggregation": "sum"}, "tiers": []}]);
    for (field, body) in [
        ("name", json!({"name": ""})),
        ("currency", json!({"currency": "EURO"})),
        ("prices", json!({"prices": []})),
        ("prices[0].amount", json!({"prices": [{"kind": "flat"}]})),
        ("prices[0].metric.property", json!({"prices": gap})),
        ("trialDays", json!({"trialDays": 731})),
        ("entitlements", json!({"entitlements": {"a b": true}})),
    ] {
        let mut whole = a_plan();
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let reply = acme.client.post("/v1/plans", whole).await.problem(422, "invalid");
        assert_eq!(reply.fields()[0], field);
        let reply = acme.client.patch(&path, body).await.problem(422, "invalid");
        assert_eq!(reply.fields()[0], field);
    }
    acme.client
        .patch(&path, json!({"interval": "weekly"}))
        .await
        .problem(400, "wrong_type");
    acme.client
        .patch(&path, json!({"id": "x"}))
        .await
        .problem(400, "unknown_field");
    let float = r#"{"name":"a","interval":"monthly","currency":"EUR","prices":[{"kind":"flat","amount":1.5}]}"#;
    acme.client.post_bytes("/v1/plans", float).await.expect(400);
}

#[tokio::test]
async fn coupons_have_codes_of_their_own() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let body =
        json!({"code": "Welcome-10", "percentOff": "10.5", "duration": "repeating", "months": 3, "maxRedemptions": 2});
    let made = acme.client.post("/v1/coupons", body.clone()).await.expect(201);
    let found = [
        "code",
        "percentOff",
        "amountOff",
        "currency",
        "duration",
        "months",
        "redemptions",
    ];
    assert_eq!(
        found.map(|name| made.json[name].clone()),
        [
            json!("Welcome-10"),
            json!("10.5"),
            json!(null),
            json!(null),
            json!("repeating"),
            json!(3),
            json!(0)
        ]
    );
    let path = format!("/v1/coupons/{}", made.text("id"));
    assert_eq!(acme.client.get(&path).await.expect(200).json, made.json);
    assert_eq!(
        acme.client.get("/v1/coupons").await.expect(200).data(),
        std::slice::from_ref(&made.json)
    );
    let same = json!({"code": "WELCOME-10", "amountOff": 5, "currency": "EUR", "duration": "once"});
    acme.client
        .post("/v1/coupons", same.clone())
        .await
        .problem(409, "coupon_code_taken");
    acme.client.delete(&path).await.expect(204);
    acme.client.get(&path).await.problem(404, "not_found");
    acme.client.post("/v1/coupons", same).await.expect(201);
    for (field, bad) in [
        ("code", json!({"code": "a b", "percentOff": 5, "duration": "once"})),
        ("percentOff", json!({"code": "a", "duration": "once"})),
        (
            "percentOff",
            json!({"code": "a", "percentOff": 101, "duration": "once"}),
        ),
        ("currency", json!({"code": "a", "amountOff": 5, "duration": "once"})),
        ("months", json!({"code": "a", "percentOff": 5, "duration": "repeating"})),
        (
            "maxRedemptions",
            json!({"code": "a", "percentOff": 5, "duration": "once", "maxRedemptions": 0}),
        ),
    ] {
        let reply = acme.client.post("/v1/coupons", bad).await.problem(422, "invalid");
        assert_eq!(reply.fields()[0], field);
    }
}

#[tokio::test]
async fn what_is_made_with_a_key_is_made_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let coupon = json!({"code": "A", "percentOff": 10, "duration": "once"});
    for (path, body) in [
        ("/v1/clients", a_client()),
        ("/v1/plans", a_plan()),
        ("/v1/coupons", coupon),
    ] {
        let once = acme.client.header("idempotency-key", format!("key-of-{path}"));
        let first = once.post(path, body.clone()).await.expect(201);
        let again = once.post(path, body).await.expect(201);
        assert_eq!(
            (&again.json, again.header("idempotent-replayed")),
            (&first.json, "true")
        );
        assert_eq!(acme.client.get(path).await.expect(200).data().len(), 1);
    }
}

/// What a client is entitled to now.
async fn entitlements(acme: &Tenant, client: &str) -> Value {
    let reply = acme.client.get(format!("/v1/clients/{client}/entitlements")).await;
    reply.expect(200).json
}

#[tokio::test]
async fn a_client_is_entitled_to_what_its_running_plans_grant() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let small = json!({"name": "Small", "entitlements": {"projects": 5, "sso": false}});
    let small = acme.new_plan(1_000, small).await;
    let large = json!({"name": "Large", "entitlements": {"projects": 20, "sso": true, "seats": 3}});
    let large = acme.new_plan(9_000, large).await;
    let sold = acme.sold(&small, json!({})).await;
    assert_eq!(
        entitlements(&acme, &sold.client).await,
        json!({"plans": ["Small"], "entitlements": {"projects": 5, "sso": false}})
    );
    let second = acme.new_subscription(&sold.contract, &large, json!({})).await;
    let both = json!({"plans": ["Large", "Small"], "entitlements": {"projects": 20, "sso": true, "seats": 3}});
    assert_eq!(entitlements(&acme, &sold.client).await, both);
    // A plan that is not sold any more is still what was bought.
    acme.client.delete(format!("/v1/plans/{large}")).await.expect(204);
    assert_eq!(entitlements(&acme, &sold.client).await, both);
    let pause = format!("/v1/subscriptions/{second}/pause");
    acme.client.post(pause, json!({})).await.expect(200);
    assert_eq!(entitlements(&acme, &sold.client).await["plans"], json!(["Small"]));
    let suspend = format!("/v1/contracts/{}/suspend", sold.contract);
    acme.client.post(suspend, json!({})).await.expect(200);
    assert_eq!(
        entitlements(&acme, &sold.client).await,
        json!({"plans": [], "entitlements": {}})
    );
    app.settle().await;
}

#[tokio::test]
async fn lists_go_on_where_a_page_ended() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for _ in 0..5 {
        acme.new_client(json!({})).await;
        acme.new_plan(100, json!({})).await;
    }
    for path in ["/v1/clients?limit=2", "/v1/plans?limit=2"] {
        let all = acme.client.all(path).await;
        let ids: BTreeSet<&str> = all.iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!((all.len(), ids.len()), (5, 5));
    }
}
