//! /v1/contracts: agreements with clients. What is done to one is done to its subscriptions.

use futures::future::join_all;
use kernel::policy::ReadBilling;
use kernel::{Scope, Time};
use serde_json::{Value, json};
use testing::{Reply, Sold, Tenant, TestApp};

async fn act(acme: &Tenant, contract: &str, deed: &str) -> Reply {
    let body = if deed == "terminate" {
        json!({"reason": "CUSTOMER_REQUEST"})
    } else {
        json!({})
    };
    acme.client.post(format!("/v1/contracts/{contract}/{deed}"), body).await
}

async fn subscription(acme: &Tenant, id: &str) -> Value {
    let reply = acme.client.get(format!("/v1/subscriptions/{id}")).await;
    reply.expect(200).json
}

async fn status(acme: &Tenant, id: &str) -> String {
    subscription(acme, id).await["status"].as_str().unwrap().to_owned()
}

/// What was told of a thing, in order, with the numbers of the tellings.
async fn told(app: &TestApp, acme: &Tenant, about: &str) -> Vec<(String, u64)> {
    let scope = Scope::<ReadBilling>::system(acme.org.parse().unwrap());
    let slice = table::Slice {
        limit: 100,
        after: None,
    };
    let facts = outbox::store::log(&app.table(), &scope, slice).await.unwrap().records;
    let mut found: Vec<(u64, String)> = facts
        .into_iter()
        .filter(|told| told.about == about)
        .map(|told| (told.sequence, told.fact))
        .collect();
    found.sort();
    found.into_iter().map(|(sequence, fact)| (fact, sequence)).collect()
}

/// When the clock does something to what ends with this id.
async fn marks(app: &TestApp, id: &str) -> Vec<Time> {
    let mut found = Vec::new();
    for shard in 0..billing::due::SHARDS {
        let far = app.now().plus_millis(10_000 * Time::DAY);
        let page = billing::due::Mark::before(&app.table(), shard, far, 1_000, None)
            .await
            .unwrap();
        let ours = page
            .records
            .into_iter()
            .filter(|mark| mark.subject.to_string().ends_with(id));
        found.extend(ours.map(|mark| mark.at));
    }
    found
}

#[tokio::test]
async fn a_contract_goes_through_its_states() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let client = acme.new_client(json!({})).await;
    let contract = acme.new_contract(&client).await;
    let path = format!("/v1/contracts/{contract}");
    let draft = acme.client.get(&path).await.expect(200).json;
    assert_eq!(
        draft,
        json!({"id": contract, "clientId": client, "name": null, "status": "DRAFT", "endsAt": null, "reason": null,
            "createdAt": app.now(), "activatedAt": null, "endedAt": null})
    );
    act(&acme, &contract, "activate")
        .await
        .problem(409, "contract_without_subscription");
    act(&acme, &contract, "suspend")
        .await
        .problem(409, "contract_not_active");
    act(&acme, &contract, "resume")
        .await
        .problem(409, "contract_not_suspended");

    let one = acme.new_subscription(&contract, &plan, json!({})).await;
    let other = acme.new_subscription(&contract, &plan, json!({})).await;
    assert_eq!(status(&acme, &one).await, "PAUSED");
    assert_eq!(marks(&app, &one).await, Vec::<Time>::new());
    let active = act(&acme, &contract, "activate").await.expect(200);
    assert_eq!(
        (&active.json["status"], &active.json["activatedAt"]),
        (&json!("ACTIVE"), &json!(app.now()))
    );
    assert_eq!(acme.client.get(&path).await.expect(200).json, active.json);
    assert_eq!(
        (status(&acme, &one).await, status(&acme, &other).await),
        ("ACTIVE".into(), "ACTIVE".into())
    );
    assert_eq!(marks(&app, &one).await.len(), 1);
    act(&acme, &contract, "activate")
        .await
        .problem(409, "contract_not_draft");
    app.settle().await;
}

/// An active contract with two subscriptions.
async fn with_two(acme: &Tenant) -> (String, [String; 2]) {
    let plan = acme.new_plan(3_000, json!({})).await;
    let sold = acme.sold(&plan, json!({})).await;
    let other = acme.new_subscription(&sold.contract, &plan, json!({})).await;
    (sold.contract, [sold.subscription, other])
}

#[tokio::test]
async fn a_contract_takes_its_subscriptions_along_and_wakes_those_that_it_paused() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let (contract, [one, other]) = with_two(&acme).await;
    // What a person paused, the contract does not wake.
    acme.client
        .post(format!("/v1/subscriptions/{other}/pause"), json!({}))
        .await
        .expect(200);
    act(&acme, &contract, "suspend").await.expect(200);
    assert_eq!(
        (status(&acme, &one).await, status(&acme, &other).await),
        ("PAUSED".into(), "PAUSED".into())
    );
    let resume = format!("/v1/subscriptions/{other}/resume");
    acme.client
        .post(&resume, json!({}))
        .await
        .problem(409, "contract_not_active");
    act(&acme, &contract, "resume").await.expect(200);
    assert_eq!(
        (status(&acme, &one).await, status(&acme, &other).await),
        ("ACTIVE".into(), "PAUSED".into())
    );
    acme.client.post(&resume, json!({})).await.expect(200);

    app.settle().await;
}

#[tokio::test]
async fn a_terminated_contract_is_over_for_good() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let (contract, [one, other]) = with_two(&acme).await;
    for deed in ["suspend", "resume"] {
        act(&acme, &contract, deed).await.expect(200);
    }
    let ended = act(&acme, &contract, "terminate").await.expect(200);
    assert_eq!(
        (&ended.json["status"], &ended.json["reason"], &ended.json["endedAt"]),
        (&json!("TERMINATED"), &json!("CUSTOMER_REQUEST"), &json!(app.now()))
    );
    assert_eq!(
        (status(&acme, &one).await, status(&acme, &other).await),
        ("CANCELED".into(), "CANCELED".into())
    );
    for deed in ["suspend", "resume", "activate", "terminate"] {
        act(&acme, &contract, deed).await.expect(409);
    }
    acme.client
        .patch(&format!("/v1/contracts/{contract}"), json!({"name": "x"}))
        .await
        .problem(409, "contract_ended");
    let plan = acme.new_plan(3_000, json!({})).await;
    let body = json!({"contractId": contract, "planId": plan});
    acme.client
        .post("/v1/subscriptions", body)
        .await
        .problem(409, "contract_ended");

    let facts = told(&app, &acme, &contract).await;
    let expected = ["activated", "suspended", "resumed", "terminated"];
    let expected = expected
        .iter()
        .zip(1..)
        .map(|(name, number)| (format!("contract.{name}"), number));
    assert_eq!(facts, expected.collect::<Vec<_>>());
    let facts: Vec<String> = told(&app, &acme, &one)
        .await
        .into_iter()
        .map(|(fact, _)| fact)
        .collect();
    let expected = ["created", "activated", "paused", "resumed", "canceled"];
    assert_eq!(facts, expected.map(|name| format!("subscription.{name}")));
    app.settle().await;
}

#[tokio::test]
async fn what_the_subscriptions_of_a_terminated_contract_have_not_used_goes_to_the_balance() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let client = acme.new_client(json!({"taxRate": 10})).await;
    let contract = acme.new_contract(&client).await;
    // Ten days ago: 20 of 30 are left.
    let start = json!({"startAt": app.now().plus_millis(-10 * Time::DAY)});
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(acme.new_subscription(&contract, &plan, start.clone()).await);
    }
    let body = json!({"contractId": contract, "planId": plan});
    let refused = acme
        .client
        .post("/v1/subscriptions", body)
        .await
        .problem(409, "too_many_subscriptions");
    assert!(refused.text("detail").contains("10"), "{}", refused.json);
    act(&acme, &contract, "activate").await.expect(200);
    app.bill().await;
    acme.client
        .delete(format!("/v1/clients/{client}"))
        .await
        .problem(409, "client_has_contract");
    act(&acme, &contract, "terminate").await.expect(200);
    let shown = acme.client.get(format!("/v1/clients/{client}")).await.expect(200);
    // 10 × 2,000 with 10 % tax.
    assert_eq!(shown.json["balance"], 22_000);
    for id in &all {
        assert_eq!(status(&acme, id).await, "CANCELED");
    }
    acme.client.delete(format!("/v1/clients/{client}")).await.expect(204);
    acme.client
        .post("/v1/contracts", json!({"clientId": client}))
        .await
        .problem(404, "not_found");
    app.settle().await;
}

#[tokio::test]
async fn the_end_of_a_contract_is_that_of_its_subscriptions() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let sold = acme.sold(&plan, json!({})).await;
    app.bill().await;
    let path = format!("/v1/contracts/{}", sold.contract);
    let past = json!({"endsAt": app.now()});
    let reply = acme.client.patch(&path, past).await.problem(422, "invalid");
    assert_eq!(reply.fields(), ["endsAt"]);
    assert_eq!(marks(&app, &sold.contract).await, Vec::<Time>::new());
    let end = app.now().plus_millis(600 * Time::SECOND);
    let changed = acme
        .client
        .patch(&path, json!({"endsAt": end, "name": "Frame"}))
        .await
        .expect(200);
    assert_eq!(
        (&changed.json["endsAt"], &changed.json["name"]),
        (&json!(end), &json!("Frame"))
    );
    assert_eq!(marks(&app, &sold.contract).await, [end]);
    assert_eq!(marks(&app, &sold.subscription).await, [end]);
    assert_eq!(
        subscription(&acme, &sold.subscription).await["nextBillingAt"],
        Value::Null
    );
    acme.client.patch(&path, json!({"endsAt": null})).await.expect(200);
    assert_eq!(marks(&app, &sold.contract).await, Vec::<Time>::new());
    acme.client.patch(&path, json!({"endsAt": end})).await.expect(200);

    app.advance(600 * Time::SECOND);
    act(&acme, &sold.contract, "suspend").await.expect(200);
    act(&acme, &sold.contract, "resume")
        .await
        .problem(409, "contract_ended");
    acme.client
        .patch(&path, json!({"endsAt": null}))
        .await
        .problem(409, "contract_ended");
    app.bill().await;
    let contract = acme.client.get(&path).await.expect(200).json;
    assert_eq!(
        (&contract["status"], &contract["endedAt"]),
        (&json!("EXPIRED"), &json!(end))
    );
    let one = subscription(&acme, &sold.subscription).await;
    assert_eq!((&one["status"], &one["endedAt"]), (&json!("EXPIRED"), &json!(end)));
    assert_eq!(marks(&app, &sold.contract).await, Vec::<Time>::new());
    assert_eq!(marks(&app, &sold.subscription).await, Vec::<Time>::new());
    let last = told(&app, &acme, &sold.contract).await.pop().unwrap().0;
    assert_eq!(last, "contract.expired");
    let last = told(&app, &acme, &sold.subscription).await.pop().unwrap().0;
    assert_eq!(last, "subscription.expired");
    acme.client
        .delete(format!("/v1/clients/{}", sold.client))
        .await
        .expect(204);
    app.settle().await;
}

#[tokio::test]
async fn bad_contracts_are_named_and_a_draft_that_has_ended_does_not_begin() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = acme.new_client(json!({})).await;
    let post = async |body: Value| acme.client.post("/v1/contracts", body).await;
    post(json!({})).await.problem(400, "missing_field");
    post(json!({"clientId": "x"})).await.problem(400, "malformed_id");
    let reply = post(json!({"clientId": client, "name": ""})).await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["name"]);
    post(json!({"clientId": client, "endsAt": "soon"})).await.expect(400);
    post(json!({"clientId": client, "status": "ACTIVE"}))
        .await
        .problem(400, "unknown_field");
    let nobody = kernel::ClientId::new(app.now());
    post(json!({"clientId": nobody})).await.problem(404, "not_found");
    let contract = post(json!({"clientId": client, "endsAt": app.now()}))
        .await
        .expect(201)
        .text("id");
    let plan = acme.new_plan(3_000, json!({})).await;
    acme.new_subscription(&contract, &plan, json!({})).await;
    act(&acme, &contract, "activate").await.problem(409, "contract_ended");
    let path = format!("/v1/contracts/{contract}");
    let reply = acme.client.patch(&path, json!({"name": ""})).await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["name"]);
    acme.client
        .patch(&path, json!({"reason": "BREACH"}))
        .await
        .problem(400, "unknown_field");
    let terminate = format!("{path}/terminate");
    acme.client
        .post(&terminate, json!({}))
        .await
        .problem(400, "missing_field");
    acme.client
        .post(&terminate, json!({"reason": "bored"}))
        .await
        .problem(400, "wrong_type");
    acme.client
        .post(&terminate, json!({"reason": "ADMIN_DECISION"}))
        .await
        .expect(200);
    app.settle().await;
}

#[tokio::test]
async fn another_tenants_contract_looks_absent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let Sold { client, contract, .. } = acme.sold(&plan, json!({})).await;
    let path = format!("/v1/contracts/{contract}");
    rival.client.get(&path).await.problem(404, "not_found");
    rival
        .client
        .patch(&path, json!({"name": "x"}))
        .await
        .problem(404, "not_found");
    for deed in ["activate", "suspend", "resume", "terminate"] {
        act(&rival, &contract, deed).await.problem(404, "not_found");
    }
    rival
        .client
        .post("/v1/contracts", json!({"clientId": client}))
        .await
        .problem(404, "not_found");
    for query in ["", &format!("?clientId={client}")] {
        let theirs = rival.client.get(format!("/v1/contracts{query}")).await.expect(200);
        assert_eq!(theirs.data().len(), 0);
        let ours = acme.client.get(format!("/v1/contracts{query}")).await.expect(200);
        assert_eq!(ours.data()[0]["status"], "ACTIVE");
    }
    app.settle().await;
}

#[tokio::test]
async fn a_deed_with_a_key_is_done_once_and_noted_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let sold = acme.sold(&plan, json!({})).await;
    let path = format!("/v1/contracts/{}/suspend", sold.contract);
    let once = acme.client.header("idempotency-key", "suspend-1");
    let first = once.post(&path, json!({})).await.expect(200);
    let again = once.post(&path, json!({})).await.expect(200);
    assert_eq!(
        (&again.json, again.header("idempotent-replayed")),
        (&first.json, "true")
    );
    let audit = acme
        .client
        .get(format!("/v1/orgs/{}/audit", acme.org))
        .await
        .expect(200);
    let entries = audit
        .data()
        .iter()
        .filter(|entry| entry["action"] == "contract.suspended");
    let entries: Vec<&Value> = entries.collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["oldValue"]["status"], "ACTIVE");
    assert_eq!(entries[0]["newValue"]["status"], "SUSPENDED");
    app.settle().await;
}

#[tokio::test]
async fn a_new_contract_and_the_deletion_of_its_client_meet() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for _ in 0..5 {
        let client = acme.new_client(json!({})).await;
        let path = format!("/v1/clients/{client}");
        let (made, deleted) = tokio::join!(
            acme.client.post("/v1/contracts", json!({"clientId": client})),
            acme.client.delete(&path),
        );
        match made.status.as_u16() {
            201 => deleted.problem(409, "client_has_contract"),
            _ => made.problem(404, "not_found"),
        };
    }
}

#[tokio::test]
async fn whoever_acts_at_once_leaves_a_contract_and_its_subscriptions_in_agreement() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let sold = acme.sold(&plan, json!({})).await;
    let pause = format!("/v1/subscriptions/{}/pause", sold.subscription);
    let resume = format!("/v1/subscriptions/{}/resume", sold.subscription);
    for _ in 0..6 {
        let deeds = ["suspend", "resume"].map(|deed| act(&acme, &sold.contract, deed));
        let people = [&pause, &resume].map(|path| acme.client.post(path, json!({})));
        let (one, other) = tokio::join!(join_all(deeds), join_all(people));
        for reply in one.into_iter().chain(other) {
            assert!([200, 409].contains(&reply.status.as_u16()), "{}", reply.json);
        }
        let contract = acme
            .client
            .get(format!("/v1/contracts/{}", sold.contract))
            .await
            .expect(200);
        if contract.json["status"] != "ACTIVE" {
            assert_ne!(status(&acme, &sold.subscription).await, "ACTIVE");
        }
    }
    app.settle().await;
}
