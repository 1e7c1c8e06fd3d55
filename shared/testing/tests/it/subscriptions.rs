//! /v1/subscriptions: plans that clients have under contracts. What a preview shows is what is booked.

use futures::future::join_all;
use kernel::Time;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use testing::{Reply, Sold, Tenant, TestApp};

async fn show(acme: &Tenant, id: &str) -> Value {
    let reply = acme.client.get(format!("/v1/subscriptions/{id}")).await;
    reply.expect(200).json
}

async fn act(acme: &Tenant, id: &str, deed: &str, body: Value) -> Reply {
    acme.client.post(format!("/v1/subscriptions/{id}/{deed}"), body).await
}

async fn balance(acme: &Tenant, client: &str) -> Value {
    let reply = acme.client.get(format!("/v1/clients/{client}")).await;
    reply.expect(200).json["balance"].clone()
}

/// Ten days before now, so that 20 of 30 are left.
fn ten_days_ago(app: &TestApp) -> Value {
    json!({"startAt": app.now().plus_millis(-10 * Time::DAY)})
}

#[tokio::test]
async fn a_subscription_is_sold_under_a_contract() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({"name": "Pro"})).await;
    let client = acme.new_client(json!({"timeZone": "Europe/Berlin"})).await;
    let contract = acme.new_contract(&client).await;
    let body = json!({"contractId": contract, "planId": plan, "quantity": "2.5"});
    let made = acme.client.post("/v1/subscriptions", body).await.expect(201);
    let id = made.text("id");
    let names = [
        "contractId",
        "clientId",
        "planId",
        "planName",
        "status",
        "quantity",
        "timeZone",
        "nextBillingAt",
    ];
    let expected = [
        json!(contract),
        json!(client),
        json!(plan),
        json!("Pro"),
        json!("PAUSED"),
        json!("2.5"),
        json!("Europe/Berlin"),
        json!(null),
    ];
    assert_eq!(names.map(|name| made.json[name].clone()), expected);
    assert_eq!(show(&acme, &id).await, made.json);
    acme.client
        .post(format!("/v1/contracts/{contract}/activate"), json!({}))
        .await
        .expect(200);
    // The test begins on 2027-01-15 at 09:00 in Berlin; the day began at 23:00 UTC.
    let active = show(&acme, &id).await;
    assert_eq!(
        (&active["status"], &active["startAt"]),
        (&json!("ACTIVE"), &json!(app.now()))
    );
    assert_eq!(active["nextBillingAt"], "2027-01-14T23:00:00.000Z");
    app.bill().await;
    let billed = show(&acme, &id).await;
    assert_eq!(billed["lastBilledAt"], "2027-01-14T23:00:00.000Z");
    assert_eq!(billed["nextBillingAt"], "2027-02-13T23:00:00.000Z");
    for query in ["", &format!("?contractId={contract}")] {
        let all = acme.client.get(format!("/v1/subscriptions{query}")).await.expect(200);
        assert_eq!(all.data(), std::slice::from_ref(&billed));
    }
    app.settle().await;
}

#[tokio::test]
async fn bad_subscriptions_are_named() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let Sold { contract, .. } = acme.sold(&plan, json!({})).await;
    let good = json!({"contractId": contract, "planId": plan});
    let post = async |more: Value| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        acme.client.post("/v1/subscriptions", body).await
    };
    for (field, bad) in [
        ("quantity", json!({"quantity": 0})),
        ("quantity", json!({"quantity": "0.0000001"})),
        ("startAt", json!({"startAt": "2010-01-01T00:00:00Z"})),
        ("couponCode", json!({"couponCode": ""})),
    ] {
        let reply = post(bad).await.problem(422, "invalid");
        assert_eq!(reply.fields(), [field]);
    }
    acme.client
        .post("/v1/subscriptions", json!({}))
        .await
        .problem(400, "missing_field");
    post(json!({"status": "ACTIVE"})).await.problem(400, "unknown_field");
    post(json!({"couponCode": "NOPE"})).await.problem(404, "not_found");
    post(json!({"planId": kernel::PlanId::new(app.now())}))
        .await
        .problem(404, "not_found");
    post(json!({"contractId": kernel::ContractId::new(app.now())}))
        .await
        .problem(404, "not_found");
    app.settle().await;
}

#[tokio::test]
async fn another_tenants_subscription_looks_absent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let Sold {
        contract, subscription, ..
    } = acme.sold(&plan, json!({})).await;
    let good = json!({"contractId": contract, "planId": plan});
    let theirs = rival.new_plan(3_000, json!({})).await;
    let body = json!({"contractId": contract, "planId": theirs});
    acme.client
        .post("/v1/subscriptions", body)
        .await
        .problem(404, "not_found");
    act(&acme, &subscription, "change-plan", json!({"planId": theirs}))
        .await
        .problem(404, "not_found");
    rival
        .client
        .post("/v1/subscriptions", good.clone())
        .await
        .problem(404, "not_found");
    let path = format!("/v1/subscriptions/{subscription}");
    rival.client.get(&path).await.problem(404, "not_found");
    for (deed, body) in [
        ("pause", json!({})),
        ("resume", json!({})),
        ("cancel", json!({"at": "now"})),
        ("change-plan", json!({"planId": theirs})),
        ("change-plan", json!({"planId": theirs, "preview": true})),
    ] {
        act(&rival, &subscription, deed, body).await.problem(404, "not_found");
    }
    assert_eq!(rival.client.get("/v1/subscriptions").await.expect(200).data().len(), 0);
    act(&acme, &subscription, "change-plan", json!({}))
        .await
        .problem(400, "missing_field");
    act(
        &acme,
        &subscription,
        "change-plan",
        json!({"planId": plan, "effective": "soon"}),
    )
    .await
    .problem(400, "wrong_type");
    act(&acme, &subscription, "cancel", json!({"at": "soon"}))
        .await
        .problem(400, "wrong_type");
    act(&acme, &subscription, "cancel", json!({"when": "now"}))
        .await
        .problem(400, "unknown_field");
    app.settle().await;
}

#[tokio::test]
async fn a_client_tries_a_plan_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({"trialDays": 14})).await;
    let Sold {
        contract, subscription, ..
    } = acme.sold(&plan, json!({})).await;
    let tried = show(&acme, &subscription).await;
    assert_eq!(tried["trialEndsAt"], "2027-01-29T00:00:00.000Z");
    assert_eq!(tried["nextBillingAt"], tried["trialEndsAt"]);
    let second = acme.new_subscription(&contract, &plan, json!({})).await;
    assert_eq!(show(&acme, &second).await["trialEndsAt"], Value::Null);
    // Another plan may be tried, and another client may try this one.
    let other = acme.new_plan(5_000, json!({"trialDays": 7})).await;
    let third = acme.new_subscription(&contract, &other, json!({})).await;
    assert_eq!(show(&acme, &third).await["trialEndsAt"], "2027-01-22T00:00:00.000Z");
    let fresh = acme.sold(&plan, json!({})).await;
    assert_eq!(
        show(&acme, &fresh.subscription).await["trialEndsAt"],
        tried["trialEndsAt"]
    );
    // A change in the trial makes nothing and keeps its end; a cancellation ends it then.
    let dear = acme.new_plan(9_000, json!({"trialDays": 30})).await;
    let preview = json!({"planId": dear, "preview": true});
    assert_eq!(
        act(&acme, &subscription, "change-plan", preview).await.expect(200).json,
        json!({})
    );
    let changed = act(&acme, &subscription, "change-plan", json!({"planId": dear}))
        .await
        .expect(200);
    assert_eq!(
        (&changed.json["planId"], &changed.json["trialEndsAt"]),
        (&json!(dear), &tried["trialEndsAt"])
    );
    let cancelled = act(&acme, &subscription, "cancel", json!({})).await.expect(200);
    assert_eq!(cancelled.json["cancelAt"], tried["trialEndsAt"]);
    app.settle().await;
}

#[tokio::test]
async fn of_many_that_begin_at_once_one_is_a_trial() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({"trialDays": 14})).await;
    let client = acme.new_client(json!({})).await;
    // Under contracts of their own, so that nothing but the trial makes them meet.
    let contracts = [
        acme.new_contract(&client).await,
        acme.new_contract(&client).await,
        acme.new_contract(&client).await,
    ];
    for contract in &contracts {
        let first = acme.new_plan(1, json!({})).await;
        acme.new_subscription(contract, &first, json!({})).await;
        acme.client
            .post(format!("/v1/contracts/{contract}/activate"), json!({}))
            .await
            .expect(200);
    }
    let bodies = contracts
        .iter()
        .map(|contract| json!({"contractId": contract, "planId": plan}));
    let made = join_all(bodies.map(|body| acme.client.post("/v1/subscriptions", body))).await;
    let trials = made
        .into_iter()
        .map(|reply| reply.expect(201).json["trialEndsAt"].clone());
    assert_eq!(trials.filter(|end| !end.is_null()).count(), 1);
    app.settle().await;
}

#[tokio::test]
async fn the_last_redemption_of_a_coupon_is_one_clients() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let coupon = json!({"code": "FEW", "percentOff": 50, "duration": "once", "maxRedemptions": 2});
    let coupon = acme.client.post("/v1/coupons", coupon).await.expect(201).text("id");
    let mut contracts = Vec::new();
    for _ in 0..4 {
        let client = acme.new_client(json!({})).await;
        contracts.push(acme.new_contract(&client).await);
    }
    let bodies = contracts
        .iter()
        .map(|contract| json!({"contractId": contract, "planId": plan, "couponCode": "few"}));
    let made = join_all(bodies.map(|body| acme.client.post("/v1/subscriptions", body))).await;
    let mut redeemed = 0;
    for reply in made {
        if reply.status == 201 {
            assert_eq!(
                (&reply.json["discount"]["code"], &reply.json["discount"]["percentOff"]),
                (&json!("FEW"), &json!("50"))
            );
            redeemed += 1;
        } else {
            reply.problem(409, "coupon_used_up");
        }
    }
    assert_eq!(redeemed, 2);
    let coupon = acme.client.get(format!("/v1/coupons/{coupon}")).await.expect(200);
    assert_eq!(coupon.json["redemptions"], 2);
    let dollars = json!({"code": "USD", "amountOff": 5, "currency": "USD", "duration": "once"});
    acme.client.post("/v1/coupons", dollars).await.expect(201);
    let over = json!({"code": "OVER", "percentOff": 5, "duration": "once", "expiresAt": app.now()});
    acme.client.post("/v1/coupons", over).await.expect(201);
    for (code, refusal) in [("USD", "coupon_currency"), ("OVER", "coupon_expired")] {
        let body = json!({"contractId": contracts[0], "planId": plan, "couponCode": code});
        acme.client.post("/v1/subscriptions", body).await.problem(409, refusal);
    }
    app.settle().await;
}

#[tokio::test]
async fn a_subscription_is_paused_and_goes_on() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let Sold { subscription: id, .. } = acme.sold(&plan, json!({})).await;
    act(&acme, &id, "resume", json!({}))
        .await
        .problem(409, "subscription_not_paused");
    let paused = act(&acme, &id, "pause", json!({})).await.expect(200);
    let found = ["status", "pausedAt", "nextBillingAt"].map(|name| paused.json[name].clone());
    assert_eq!(found, [json!("PAUSED"), json!(app.now()), json!(null)]);
    assert_eq!(show(&acme, &id).await, paused.json);
    act(&acme, &id, "pause", json!({}))
        .await
        .problem(409, "subscription_not_active");
    let dear = acme.new_plan(9_000, json!({})).await;
    act(&acme, &id, "change-plan", json!({"planId": dear}))
        .await
        .problem(409, "subscription_not_active");
    let resumed = act(&acme, &id, "resume", json!({})).await.expect(200);
    assert_eq!(
        (&resumed.json["status"], &resumed.json["pausedAt"]),
        (&json!("ACTIVE"), &json!(null))
    );
    assert_eq!(show(&acme, &id).await, resumed.json);
    let audit = acme
        .client
        .get(format!("/v1/orgs/{}/audit?limit=3", acme.org))
        .await
        .expect(200);
    let actions: Vec<&Value> = audit.data().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["subscription.resumed", "plan.created", "subscription.paused"]);
    app.settle().await;
}

#[tokio::test]
async fn a_cancellation_gives_back_what_was_not_used_or_waits() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let Sold {
        client,
        subscription: id,
        ..
    } = acme.sold(&plan, ten_days_ago(&app)).await;
    app.bill().await;
    act(&acme, &id, "cancel", json!({"at": null}))
        .await
        .problem(409, "subscription_not_cancelled");
    // The 5th, and 30 days.
    let waits = acme
        .client
        .post(format!("/v1/subscriptions/{id}/cancel"), Value::Null)
        .await
        .expect(200);
    assert_eq!(
        (&waits.json["status"], &waits.json["cancelAt"]),
        (&json!("ACTIVE"), &json!("2027-02-04T00:00:00.000Z"))
    );
    assert_eq!(waits.json["nextBillingAt"], Value::Null);
    let back = act(&acme, &id, "cancel", json!({"at": null})).await.expect(200);
    assert_eq!(back.json["cancelAt"], Value::Null);
    act(&acme, &id, "cancel", json!({"at": "period_end"})).await.expect(200);
    let once = acme.client.header("idempotency-key", "cancel-1");
    let path = format!("/v1/subscriptions/{id}/cancel");
    let done = once.post(&path, json!({"at": "now"})).await.expect(200);
    assert_eq!(
        (&done.json["status"], &done.json["endedAt"]),
        (&json!("CANCELED"), &json!(app.now()))
    );
    let note = &done.json["creditNote"];
    // 20 of 30 days, this one among them.
    assert_eq!(
        (&note["total"], &note["amountToBalance"], &note["number"]),
        (&json!(2_000), &json!(2_000), &json!("CN-2027-0001"))
    );
    assert_eq!(balance(&acme, &client).await, 2_000);
    let again = once.post(&path, json!({"at": "now"})).await.expect(200);
    assert_eq!(again.json, done.json);
    assert_eq!(balance(&acme, &client).await, 2_000);
    for deed in ["cancel", "pause", "resume"] {
        act(&acme, &id, deed, json!({})).await.expect(409);
    }
    act(&acme, &id, "cancel", json!({"at": null}))
        .await
        .problem(409, "subscription_ended");
    // Nothing is left to be billed.
    app.bill().await;
    assert_eq!(balance(&acme, &client).await, 2_000);
    app.settle().await;
}

/// What a preview and what was booked agree on.
fn essence(document: &Value) -> Value {
    let names = [
        "currency",
        "lines",
        "subtotal",
        "taxes",
        "taxAmount",
        "total",
        "issuedOn",
    ];
    names
        .iter()
        .map(|name| ((*name).to_owned(), document[*name].clone()))
        .collect()
}

/// Previews a change, does it, and wants the same of both.
async fn change(acme: &Tenant, id: &str, body: Value) -> Value {
    let mut preview = body.clone();
    preview["preview"] = json!(true);
    let before = show(acme, id).await;
    let preview = act(acme, id, "change-plan", preview).await.expect(200).json;
    assert_eq!(show(acme, id).await, before, "a preview changes nothing");
    let done = act(acme, id, "change-plan", body).await.expect(200).json;
    for name in ["invoice", "creditNote"] {
        assert_eq!(
            preview.get(name).is_some(),
            done.get(name).is_some(),
            "{preview} {done}"
        );
        assert_eq!(essence(&preview[name]), essence(&done[name]));
    }
    assert_eq!(preview["invoice"]["dueDate"], done["invoice"]["dueDate"]);
    done
}

#[tokio::test]
async fn a_change_of_plan_makes_an_invoice_or_a_credit_note() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let [plan, dear] = [
        acme.new_plan(3_000, json!({})).await,
        acme.new_plan(9_000, json!({})).await,
    ];
    let Sold {
        client,
        subscription: id,
        ..
    } = acme.sold(&plan, ten_days_ago(&app)).await;
    acme.client
        .patch(format!("/v1/clients/{client}"), json!({"taxRate": 19}))
        .await
        .expect(200);
    app.bill().await;
    act(&acme, &id, "change-plan", json!({"planId": plan}))
        .await
        .problem(409, "same_plan");
    act(&acme, &id, "change-plan", json!({"planId": plan, "preview": true}))
        .await
        .problem(409, "same_plan");
    let dollars = acme.new_plan(3_000, json!({"currency": "USD"})).await;
    act(&acme, &id, "change-plan", json!({"planId": dollars}))
        .await
        .problem(409, "other_currency");

    // −2,000 and +6,000: 20 of 30 days.
    let up = change(&acme, &id, json!({"planId": dear})).await;
    let invoice = &up["invoice"];
    let amounts: Vec<i64> = invoice["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["amount"].as_i64().unwrap())
        .collect();
    assert_eq!(amounts, [-2_000, 6_000]);
    assert_eq!((&invoice["total"], &invoice["status"]), (&json!(4_760), &json!("sent")));
    assert_eq!(invoice.get("billingKey"), None);
    assert_eq!(
        (&up["planId"], &up["nextBillingAt"]),
        (&json!(dear), &json!("2027-02-04T00:00:00.000Z"))
    );
    assert_eq!(balance(&acme, &client).await, 0);

    let down = change(&acme, &id, json!({"planId": plan, "effective": "now"})).await;
    assert_eq!(down["creditNote"]["total"], 4_760);
    assert_eq!(balance(&acme, &client).await, 4_760);
    app.settle().await;
}

#[tokio::test]
async fn a_change_of_plan_may_wait_for_the_end_of_the_period() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let [plan, dear] = [
        acme.new_plan(3_000, json!({})).await,
        acme.new_plan(9_000, json!({})).await,
    ];
    let Sold { subscription: id, .. } = acme.sold(&plan, ten_days_ago(&app)).await;
    app.bill().await;
    let later = json!({"planId": dear, "effective": "period_end", "preview": true});
    let preview = act(&acme, &id, "change-plan", later.clone()).await.expect(200).json;
    assert_eq!(
        (&preview["invoice"]["subtotal"], &preview["invoice"]["issuedOn"]),
        (&json!(9_000), &json!("2027-02-04"))
    );
    let waits = act(
        &acme,
        &id,
        "change-plan",
        json!({"planId": dear, "effective": "period_end"}),
    )
    .await
    .expect(200)
    .json;
    assert_eq!(
        waits["scheduledChange"],
        json!({"planId": dear, "at": "2027-02-04T00:00:00.000Z"})
    );
    assert_eq!((&waits["planId"], waits.get("invoice")), (&json!(plan), None));
    app.settle().await;
}

#[tokio::test]
async fn of_two_changes_at_once_each_is_booked_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let plan = acme.new_plan(3_000, json!({})).await;
    let dear = acme.new_plan(9_000, json!({})).await;
    let Sold { subscription: id, .. } = acme.sold(&plan, ten_days_ago(&app)).await;
    app.bill().await;
    let body = json!({"planId": dear});
    let both = join_all((0..3).map(|_| act(&acme, &id, "change-plan", body.clone()))).await;
    let done = both.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(done, 1);
    for refused in both.into_iter().filter(|reply| reply.status != 200) {
        refused.problem(409, "same_plan");
    }
    let dearest = acme.new_plan(12_000, json!({})).await;
    let (one, other) = tokio::join!(
        act(&acme, &id, "change-plan", json!({"planId": plan})),
        act(&acme, &id, "change-plan", json!({"planId": dearest})),
    );
    let (one, other) = (one.expect(200).json, other.expect(200).json);
    // One after the other, in either order: −6,000 + 2,000 − 2,000 + 8,000, or −6,000 + 8,000 − 8,000 + 2,000.
    let sum = |reply: &Value| {
        reply["invoice"]["total"].as_i64().unwrap_or(0) - reply["creditNote"]["total"].as_i64().unwrap_or(0)
    };
    let last = show(&acme, &id).await["planId"].clone();
    let expected = if last == json!(dearest) { 2_000 } else { -4_000 };
    assert_eq!(sum(&one) + sum(&other), expected);
    app.settle().await;
}

/// Whatever is changed, when and how often: what a preview shows is what is booked.
#[tokio::test]
async fn a_preview_is_what_is_booked() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let mut plans = Vec::new();
    for amount in [0, 1, 999, 3_000, 12_345, 99_999] {
        for interval in ["monthly", "yearly", "30d"] {
            plans.push(acme.new_plan(amount, json!({"interval": interval})).await);
        }
    }
    let coupon = json!({"code": "OFF", "percentOff": "33.33", "duration": "forever"});
    acme.client.post("/v1/coupons", coupon).await.expect(201);
    let case = (
        0_i64..400,
        prop::sample::select(vec!["0", "7", "19", "8.875"]),
        prop::sample::select(vec!["1", "3", "0.333333", "17.5"]),
        any::<bool>(),
        prop::collection::vec(0..plans.len(), 3..6),
    );
    let mut runner = TestRunner::deterministic();
    for _ in 0..8 {
        let (days, rate, quantity, discounted, path) = case.new_tree(&mut runner).unwrap().current();
        let mut more = json!({"startAt": app.now().plus_millis(-days * Time::DAY), "quantity": quantity});
        if discounted {
            more["couponCode"] = json!("OFF");
        }
        let sold = acme.sold(&plans[path[0]], more).await;
        let client = format!("/v1/clients/{}", sold.client);
        acme.client.patch(client, json!({"taxRate": rate})).await.expect(200);
        app.bill().await;
        let mut held = path[0];
        for next in &path[1..] {
            if *next != held {
                change(&acme, &sold.subscription, json!({"planId": plans[*next]})).await;
                held = *next;
            }
        }
    }
    app.settle().await;
}
