//! /v1/invoices and what hangs on them: drafts, sending, numbers, payments by hand, cancelling, lists, CSV; who may not.

use std::collections::BTreeSet;

use billing::client::NewClient;
use billing::coupon::NewCoupon;
use futures::future::join_all;
use kernel::policy::{ManageBilling, ReadOrg};
use kernel::{Scope, Time};
use outbox::Told;
use serde_json::{Value, json};
use table::Slice;
use testing::{Client, RATES, Tenant, TestApp};

/// A client of a tenant that pays in euros, with what `rest` says of it besides.
pub(crate) async fn client_of(app: &TestApp, tenant: &Tenant, rest: Value) -> String {
    let mut new = json!({"name": "Difference GmbH", "email": "bills@difference.example", "currency": "EUR"});
    new.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let new: NewClient = serde_json::from_str(&new.to_string()).unwrap();
    let scope = Scope::<ManageBilling>::system(tenant.org.parse().unwrap());
    let client = billing::Client::create(&app.app().await, &scope, &new).await.unwrap();
    client.id.to_string()
}

/// What a client has in euros.
pub(crate) async fn balance(app: &TestApp, tenant: &Tenant, client: &str) -> i64 {
    let scope = Scope::<ManageBilling>::system(tenant.org.parse().unwrap());
    let client = billing::Client::load(&app.table(), &scope, client.parse().unwrap())
        .await
        .unwrap();
    client.balance_in("EUR".parse().unwrap()).get()
}

/// An invoice of lines, each an amount and a rate.
pub(crate) fn invoice(client: &str, lines: &[(i64, &str)]) -> Value {
    let lines = lines
        .iter()
        .map(|(amount, rate)| json!({"description": "Work", "quantity": 1, "unitPrice": amount, "taxRate": rate}));
    json!({
        "clientId": client, "currency": "EUR", "dueDate": "2027-01-29", "lineItems": lines.collect::<Vec<_>>(),
    })
}

/// Drafts an invoice; its id.
pub(crate) async fn drafted(client: &Client, invoice: Value) -> String {
    client.post("/v1/invoices", invoice).await.expect(201).text("id")
}

/// Drafts and sends an invoice.
pub(crate) async fn sent(client: &Client, invoice: Value) -> Value {
    let id = drafted(client, invoice).await;
    send(client, &id).await
}

pub(crate) async fn send(client: &Client, id: &str) -> Value {
    client
        .post(format!("/v1/invoices/{id}/send"), json!({}))
        .await
        .expect(200)
        .json
}

/// Records what came in cash.
pub(crate) fn cash(amount: i64) -> Value {
    json!({"amount": amount, "method": "cash", "paidAt": "2027-01-15T07:00:00Z"})
}

/// Calls as the owner, whose token is fresh.
pub(crate) async fn owner_now(app: &TestApp, tenant: &Tenant) -> Client {
    tenant.owner.logged_in_again(app).await.client.within(&tenant.org)
}

/// Moves the app's time to a moment.
pub(crate) fn go_to(app: &TestApp, moment: &str) {
    let moment: Time = moment.parse().unwrap();
    app.advance(moment.millis() - app.now().millis());
}

/// What was told of something, oldest first: what, and with which sequence.
pub(crate) async fn told(app: &TestApp, org: &str, about: &str) -> Vec<(String, u64)> {
    let mut facts: Vec<Told> = facts(app, org).await;
    facts.retain(|fact| fact.about == about);
    facts.sort_by_key(|fact| fact.sequence);
    facts.into_iter().map(|fact| (fact.fact, fact.sequence)).collect()
}

pub(crate) async fn facts(app: &TestApp, org: &str) -> Vec<Told> {
    let scope = Scope::<ReadOrg>::system(org.parse().unwrap());
    let slice = Slice {
        limit: 1_000,
        after: None,
    };
    outbox::store::log(&app.table(), &scope, slice).await.unwrap().records
}

fn names(told: &[(String, u64)]) -> Vec<&str> {
    told.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn a_draft_is_made_changed_and_deleted_and_takes_no_number() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({"taxRate": "19"})).await;
    let new = json!({
        "clientId": client, "currency": "EUR", "dueDate": "2027-01-29T23:30:00-08:00", "notes": "Thank you",
        "lineItems": [
            {"description": "Consulting", "quantity": "1.5", "unitPrice": 10_000},
            {"description": "Books", "quantity": 2, "unitPrice": "999.5", "taxRate": 7},
        ],
    });
    let made = acme.client.post("/v1/invoices", new).await.expect(201);
    let id = made.text("id");
    assert!(id.starts_with("inv_"), "{id}");
    let found = acme.client.get(format!("/v1/invoices/{id}")).await.expect(200).json;
    assert_eq!(found, made.json);
    assert_eq!(
        (&found["status"], &found["number"], &found["issuedOn"]),
        (&json!("draft"), &Value::Null, &Value::Null)
    );
    assert_eq!(found["dueDate"], "2027-01-29");
    assert_eq!(
        [&found["subtotal"], &found["taxAmount"], &found["total"]],
        [16_999, 2_990, 19_989]
    );
    let taxes = json!([{"rate": "7", "base": 1_999, "amount": 140}, {"rate": "19", "base": 15_000, "amount": 2_850}]);
    assert_eq!(found["taxes"], taxes);
    assert_eq!(found["lines"][0]["amount"], 15_000);
    assert_eq!(found["lines"][1]["unitPrice"], "999.5");

    let path = format!("/v1/invoices/{id}");
    let patch = json!({"taxRate": "20", "notes": null, "dueDate": "2027-02-01"});
    let changed = acme.client.patch(&path, patch).await.expect(200).json;
    assert_eq!(
        (&changed["notes"], &changed["dueDate"]),
        (&Value::Null, &json!("2027-02-01"))
    );
    assert_eq!(changed["taxAmount"], 3_000 + 140);
    let lines = json!({"lineItems": [{"description": "One", "quantity": 1, "unitPrice": 100}], "currency": "JPY"});
    let changed = acme.client.patch(&path, lines).await.expect(200).json;
    assert_eq!((&changed["total"], &changed["currency"]), (&json!(120), &json!("JPY")));

    acme.client.delete(&path).await.expect(204);
    acme.client.get(&path).await.problem(404, "not_found");
    acme.client.delete(&path).await.problem(404, "not_found");
    acme.client.patch(&path, json!({})).await.problem(404, "not_found");
    // Two more are deleted: the first one that is sent has the first number.
    for _ in 0..2 {
        let id = drafted(&acme.client, invoice(&client, &[(1, "0")])).await;
        acme.client.delete(format!("/v1/invoices/{id}")).await.expect(204);
    }
    assert_eq!(
        sent(&acme.client, invoice(&client, &[(1, "0")])).await["number"],
        "INV-2027-0001"
    );
    let states = acme.client.get("/v1/analytics/invoices").await.expect(200).json;
    assert_eq!(
        (&states["byStatus"]["draft"], &states["byStatus"]["sent"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(names(&told(&app, &acme.org, &id).await), ["invoice.created"]);
    app.settle().await;
}

#[tokio::test]
async fn every_rule_that_a_draft_breaks_is_named() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let good = || invoice(&client, &[(100, "0")]);
    let with = |field: &str, value: Value| {
        let mut body = good();
        body[field] = value;
        body
    };
    // S4.
    for currency in ["EURO", "eur", "XXX", "XTS"] {
        let reply = acme
            .client
            .post("/v1/invoices", with("currency", json!(currency)))
            .await;
        assert_eq!(reply.problem(422, "invalid").fields(), ["currency"], "{currency}");
    }
    let long = "x".repeat(2_001);
    for (field, value) in [
        ("lineItems", json!([])),
        ("taxRate", json!(100.1)),
        ("taxRate", json!("-1")),
        ("dueDate", json!("14.01.2027")),
        ("notes", json!(long)),
        ("couponCode", json!("")),
    ] {
        let reply = acme.client.post("/v1/invoices", with(field, value.clone())).await;
        assert_eq!(reply.problem(422, "invalid").fields(), [field], "{value}");
    }
    let line = json!([{"description": "", "quantity": 0, "unitPrice": -1}]);
    let reply = acme.client.post("/v1/invoices", with("lineItems", line)).await;
    let fields = [
        "lineItems[0].description",
        "lineItems[0].quantity",
        "lineItems[0].unitPrice",
    ];
    assert_eq!(reply.problem(422, "invalid").fields(), fields);
    let reply = acme.client.post("/v1/invoices", with("total", json!(1))).await;
    assert_eq!(reply.problem(400, "unknown_field").fields(), ["total"]);
    let reply = acme.client.post("/v1/invoices", with("clientId", json!("cli_1"))).await;
    assert_eq!(reply.expect(400).fields(), ["clientId"]);
    acme.client
        .post("/v1/invoices", with("couponCode", json!("NONE")))
        .await
        .problem(404, "not_found");
    // What is too much for one amount, and 501 lines.
    let many = vec![json!({"description": "a", "quantity": 1, "unitPrice": 1}); 501];
    let reply = acme.client.post("/v1/invoices", with("lineItems", json!(many))).await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["lineItems"]);
    let dear = json!([{"description": "a", "quantity": 1, "unitPrice": 999_999_999_999_999_i64, "taxRate": 1}]);
    let reply = acme.client.post("/v1/invoices", with("lineItems", dear)).await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["lineItems"]);

    let id = drafted(&acme.client, good()).await;
    let path = format!("/v1/invoices/{id}");
    let reply = acme
        .client
        .patch(&path, json!({"currency": "eur", "dueDate": "x"}))
        .await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["currency", "dueDate"]);
    acme.client.get("/v1/invoices/x").await.problem(400, "malformed_id");
    app.settle().await;
}

#[tokio::test]
async fn what_was_sent_is_numbered_and_changed_no_more() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let accountant = app.member(&acme, "accountant").await;
    let id = drafted(&accountant.client, invoice(&client, &[(10_000, "19")])).await;
    let found = send(&accountant.client, &id).await;
    assert_eq!(
        (&found["number"], &found["status"]),
        (&json!("INV-2027-0001"), &json!("sent"))
    );
    assert_eq!(
        (&found["issuedOn"], &found["sentAt"]),
        (&json!("2027-01-15"), &json!(app.now()))
    );
    assert_eq!(
        [&found["amountDue"], &found["amountPaid"], &found["amountCredited"]],
        [11_900, 0, 0]
    );
    let path = format!("/v1/invoices/{id}");
    assert_eq!(acme.client.get(&path).await.expect(200).json, found);
    acme.client
        .post(format!("{path}/send"), json!({}))
        .await
        .problem(409, "invoice_already_sent");
    acme.client
        .patch(&path, json!({"notes": "x"}))
        .await
        .problem(409, "invoice_not_draft");
    acme.client.delete(&path).await.problem(409, "invoice_not_draft");

    let looked = acme
        .client
        .post(format!("{path}/viewed"), json!({}))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&looked["status"], &looked["viewedAt"]),
        (&json!("viewed"), &json!(app.now()))
    );
    let again = acme
        .client
        .post(format!("{path}/viewed"), json!({}))
        .await
        .expect(200)
        .json;
    assert_eq!(again, looked);
    let told = told(&app, &acme.org, &id).await;
    assert_eq!(names(&told), ["invoice.created", "invoice.sent", "invoice.viewed"]);
    assert_eq!(
        told.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    // What is told is what is shown.
    let facts = facts(&app, &acme.org).await;
    let fact = facts.iter().find(|fact| fact.fact == "invoice.sent").unwrap();
    let mut data: Value = serde_json::from_str(&fact.data).unwrap();
    assert_eq!(data.as_object_mut().unwrap().remove("sequence"), Some(json!(2)));
    assert_eq!(data, found);
    let entries = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions[..3], ["invoice.viewed", "invoice.sent", "invoice.created"]);
    app.settle().await;
}

/// A client that is mailed once, whatever comes twice.
#[tokio::test]
async fn a_client_is_mailed_what_was_sent() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({"email": "ada@difference.example"})).await;
    sent(&acme.client, invoice(&client, &[(10_000, "19")])).await;
    app.settle().await;
    let mails = app.mails_to("ada@difference.example");
    let [mail] = &mails[..] else {
        panic!("{} mails", mails.len())
    };
    assert_eq!(mail.subject, "Invoice INV-2027-0001 from Tenant 1");
    let text = mail.text.as_deref().unwrap();
    assert!(
        text.contains("Hello Difference GmbH,") && text.contains("Please pay it until 2027-01-29."),
        "{text}"
    );
    assert!(text.contains("Due:       EUR 119.00\n"), "{text}");
    // Nothing is due on it.
    sent(&acme.client, invoice(&client, &[(0, "19")])).await;
    app.settle().await;
    let mails = app.mails_to("ada@difference.example");
    assert_eq!(mails.len(), 2);
    assert!(mails[1].text.as_deref().unwrap().contains("It is paid already"));
    app.settle().await;
}

#[tokio::test]
async fn the_balance_pays_first_and_nothing_due_is_paid() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let nothing = sent(&acme.client, invoice(&client, &[(0, "19")])).await;
    assert_eq!((&nothing["status"], &nothing["amountDue"]), (&json!("paid"), &json!(0)));
    let id = nothing["id"].as_str().unwrap();
    assert_eq!(
        names(&told(&app, &acme.org, id).await),
        ["invoice.created", "invoice.sent", "invoice.paid"]
    );
    acme.client
        .post(format!("/v1/invoices/{id}/payments"), cash(1))
        .await
        .problem(409, "invoice_paid");

    // 500 too much come in, which are the client's.
    let first = sent(&acme.client, invoice(&client, &[(1_000, "0")])).await;
    let payments = format!("/v1/invoices/{}/payments", first["id"].as_str().unwrap());
    let reply = acme.client.post(&payments, cash(1_500)).await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["amount"]);
    let mut more = cash(1_500);
    more["allowOverpayment"] = json!(true);
    let paid = acme.client.post(&payments, more).await.expect(201).json;
    assert_eq!([&paid["amount"], &paid["amountToBalance"]], [1_500, 500]);
    assert_eq!(balance(&app, &acme, &client).await, 500);
    let part = sent(&acme.client, invoice(&client, &[(700, "0")])).await;
    assert_eq!(part["status"], "partially_paid");
    assert_eq!([&part["amountPaid"], &part["amountDue"]], [500, 200]);
    assert_eq!(balance(&app, &acme, &client).await, 0);
    // Cancelled: what the balance paid is on it again.
    let path = format!("/v1/invoices/{}/cancel", part["id"].as_str().unwrap());
    let cancelled = acme.client.post(&path, json!({})).await.expect(200).json;
    assert_eq!(
        (&cancelled["status"], &cancelled["amountDue"]),
        (&json!("cancelled"), &json!(0))
    );
    assert_eq!(balance(&app, &acme, &client).await, 500);
    let all = sent(&acme.client, invoice(&client, &[(300, "0")])).await;
    assert_eq!(
        (&all["status"], balance(&app, &acme, &client).await),
        (&json!("paid"), 200)
    );
    app.settle().await;
}

#[tokio::test]
async fn payments_by_hand_are_recorded_and_listed() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let id = drafted(&acme.client, invoice(&client, &[(1_000, "0")])).await;
    let path = format!("/v1/invoices/{id}/payments");
    acme.client.post(&path, cash(1)).await.problem(409, "invoice_not_sent");
    send(&acme.client, &id).await;
    for (field, value) in [
        ("amount", json!(0)),
        ("amount", json!(1_001)),
        ("paidAt", json!("2027-02-15T00:00:00Z")),
        ("reference", json!("")),
    ] {
        let mut body = cash(10);
        body[field] = value;
        assert_eq!(
            acme.client.post(&path, body).await.problem(422, "invalid").fields(),
            [field]
        );
    }
    let mut body = cash(400);
    body["reference"] = json!("T-1");
    let first = acme.client.post(&path, body).await.expect(201).json;
    assert!(first["id"].as_str().unwrap().starts_with("pay_"), "{first}");
    assert_eq!(
        (&first["method"], &first["status"]),
        (&json!("cash"), &json!("succeeded"))
    );
    let open = acme.client.get(format!("/v1/invoices/{id}")).await.expect(200).json;
    assert_eq!(
        (&open["status"], &open["amountDue"]),
        (&json!("partially_paid"), &json!(600))
    );
    app.advance(1_000);
    acme.client.post(&path, cash(600)).await.expect(201);
    let paid = acme.client.get(format!("/v1/invoices/{id}")).await.expect(200).json;
    assert_eq!((&paid["status"], &paid["paidAt"]), (&json!("paid"), &json!(app.now())));
    let list = acme.client.get(&path).await.expect(200);
    assert_eq!(list.data().len(), 2);
    assert_eq!(list.data()[1], first);
    assert_eq!(acme.client.get("/v1/payments").await.expect(200).data(), list.data());
    let told = told(&app, &acme.org, &id).await;
    let expected = [
        "invoice.created",
        "invoice.sent",
        "invoice.partially_paid",
        "invoice.paid",
    ];
    assert_eq!(names(&told), expected);
    acme.client
        .post(format!("/v1/invoices/{id}/cancel"), json!({}))
        .await
        .problem(409, "invoice_paid");
    app.settle().await;
}

#[tokio::test]
async fn two_hundred_concurrent_sends_have_the_numbers_1_to_200() {
    // As many processes as the local stack starts of a function: they meet at the counter.
    let app = TestApp::start_with(RATES, 8).await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let mut drafts = Vec::new();
    for _ in 0..20 {
        drafts.extend(join_all((0..10).map(|_| drafted(&acme.client, invoice(&client, &[(100, "19")])))).await);
    }
    let deleted = join_all((0..5).map(|_| drafted(&acme.client, invoice(&client, &[(1, "0")])))).await;
    let sends = join_all(drafts.iter().map(|id| send(&acme.client, id)));
    let deletes = async {
        for id in deleted {
            acme.client.delete(format!("/v1/invoices/{id}")).await.expect(204);
        }
    };
    let (sent, ()) = futures::future::join(sends, deletes).await;
    let numbers = sent
        .iter()
        .map(|invoice| invoice["number"].as_str().unwrap().to_owned());
    let found: BTreeSet<String> = numbers.collect();
    let expected: BTreeSet<String> = (1..=200).map(|number| format!("INV-2027-{number:04}")).collect();
    assert_eq!(found, expected);
    let states = acme.client.get("/v1/analytics/invoices").await.expect(200).json;
    assert_eq!(
        (&states["byStatus"]["sent"], &states["byStatus"]["draft"]),
        (&json!(200), &json!(0))
    );
    assert_eq!(states["due"]["EUR"], 200 * 119);
    app.settle().await;
}

#[tokio::test]
async fn of_two_concurrent_cancels_one_wins() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for _ in 0..5 {
        let client = client_of(&app, &acme, json!({})).await;
        let found = sent(&acme.client, invoice(&client, &[(1_000, "0")])).await;
        let id = found["id"].as_str().unwrap();
        acme.client
            .post(format!("/v1/invoices/{id}/payments"), cash(100))
            .await
            .expect(201);
        let path = format!("/v1/invoices/{id}/cancel");
        let replies = join_all((0..2).map(|_| acme.client.post(&path, json!({})))).await;
        let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        assert_eq!(balance(&app, &acme, &client).await, 100);
        let told = told(&app, &acme.org, id).await;
        assert_eq!(told.last().unwrap().0, "invoice.cancelled");
        assert_eq!(told.len(), 4);
    }
    app.settle().await;
}

#[tokio::test]
async fn a_coupon_is_a_line_of_its_own() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let scope = Scope::<ManageBilling>::system(acme.org.parse().unwrap());
    for coupon in [
        json!({"code": "TEN", "percentOff": 10, "duration": "once", "maxRedemptions": 1}),
        json!({"code": "FIVE", "amountOff": 500, "currency": "EUR", "duration": "once"}),
        json!({"code": "YEN", "amountOff": 500, "currency": "JPY", "duration": "once"}),
    ] {
        let coupon: NewCoupon = serde_json::from_str(&coupon.to_string()).unwrap();
        billing::Coupon::create(&app.app().await, &scope, &coupon)
            .await
            .unwrap();
    }
    let mut new = invoice(&client, &[(22_000, "19"), (10_000, "7")]);
    new["couponCode"] = json!("TEN");
    let made = acme.client.post("/v1/invoices", new.clone()).await.expect(201).json;
    assert_eq!(
        (&made["couponCode"], &made["subtotal"]),
        (&json!("TEN"), &json!(28_800))
    );
    assert_eq!(made["taxAmount"], 3_762 + 630);
    let discounts: Vec<&Value> = made["lines"].as_array().unwrap()[2..]
        .iter()
        .map(|line| &line["amount"])
        .collect();
    assert_eq!(discounts, [-1_000, -2_200]);
    acme.client
        .post("/v1/invoices", new.clone())
        .await
        .problem(409, "coupon_used_up");
    new["couponCode"] = json!("YEN");
    acme.client
        .post("/v1/invoices", new)
        .await
        .problem(409, "coupon_currency");
    let path = format!("/v1/invoices/{}", made["id"].as_str().unwrap());
    // It stays with a change, in any case of its letters, and is counted once.
    let same = acme
        .client
        .patch(&path, json!({"couponCode": "ten"}))
        .await
        .expect(200)
        .json;
    assert_eq!(same["subtotal"], 28_800);
    let other = acme
        .client
        .patch(&path, json!({"couponCode": "FIVE"}))
        .await
        .expect(200)
        .json;
    assert_eq!(other["subtotal"], 31_500);
    acme.client
        .patch(&path, json!({"currency": "JPY"}))
        .await
        .problem(409, "coupon_currency");
    let none = acme
        .client
        .patch(&path, json!({"couponCode": null}))
        .await
        .expect(200)
        .json;
    assert_eq!((&none["subtotal"], none.get("couponCode")), (&json!(32_000), None));
    app.settle().await;
}

/// What a coupon of the tenant counts.
async fn redemptions(acme: &Tenant, coupon: &str) -> Value {
    let path = format!("/v1/coupons/{coupon}");
    acme.client.get(path).await.expect(200).json["redemptions"].clone()
}

#[tokio::test]
async fn a_draft_gives_its_coupon_back_when_it_has_it_no_more() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let mut coupons = Vec::new();
    for code in ["ONE", "TWO"] {
        let coupon = json!({"code": code, "percentOff": 10, "duration": "once", "maxRedemptions": 1});
        coupons.push(acme.client.post("/v1/coupons", coupon).await.expect(201).text("id"));
    }
    let [one, two] = [&coupons[0], &coupons[1]];
    let counts = async || [redemptions(&acme, one).await, redemptions(&acme, two).await];
    let mut new = invoice(&client, &[(10_000, "19")]);
    new["couponCode"] = json!("ONE");
    let draft = async || acme.client.post("/v1/invoices", new.clone()).await;
    let first = draft().await.expect(201).text("id");
    draft().await.problem(409, "coupon_used_up");
    let path = format!("/v1/invoices/{first}");
    for (code, expected) in [
        (json!("TWO"), [0, 1]),
        (json!("one"), [1, 0]),
        (json!("ONE"), [1, 0]),
        (Value::Null, [0, 0]),
        (json!("ONE"), [1, 0]),
    ] {
        acme.client.patch(&path, json!({"couponCode": code})).await.expect(200);
        assert_eq!(counts().await, expected, "{code}");
    }
    // A change that is refused gives nothing back.
    acme.client
        .patch(&path, json!({"couponCode": "NONE"}))
        .await
        .problem(404, "not_found");
    acme.client
        .patch(&path, json!({"notes": "as it was"}))
        .await
        .expect(200);
    assert_eq!(counts().await, [1, 0]);
    acme.client.delete(&path).await.expect(204);
    assert_eq!(counts().await, [0, 0]);
    acme.client.delete(&path).await.problem(404, "not_found");
    assert_eq!(counts().await, [0, 0]);
    let second = draft().await.expect(201).text("id");
    acme.client
        .post(format!("/v1/invoices/{second}/cancel"), json!({}))
        .await
        .expect(200);
    assert_eq!(counts().await, [0, 0]);
    // What was sent has used it, whatever becomes of it.
    let third = draft().await.expect(201).text("id");
    for deed in ["send", "cancel"] {
        acme.client
            .post(format!("/v1/invoices/{third}/{deed}"), json!({}))
            .await
            .expect(200);
        assert_eq!(counts().await, [1, 0], "{deed}");
    }
    // A coupon that was deleted counts nothing more.
    new["couponCode"] = json!("TWO");
    let last = acme.client.post("/v1/invoices", new).await.expect(201).text("id");
    acme.client.delete(format!("/v1/coupons/{two}")).await.expect(204);
    acme.client.delete(format!("/v1/invoices/{last}")).await.expect(204);
    app.settle().await;
}

/// The ids of a list, in order.
async fn ids(client: &Client, path: &str) -> Vec<String> {
    let all = client.all(path).await;
    all.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn invoices_are_listed_by_state_client_and_time() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let patch = json!({"timeZone": "Europe/Berlin"});
    acme.client
        .patch(format!("/v1/orgs/{}", acme.org), patch)
        .await
        .expect(200);
    let [one, two] = [
        client_of(&app, &acme, json!({})).await,
        client_of(&app, &acme, json!({})).await,
    ];
    let mut made = Vec::new();
    for number in 0..6 {
        let client = if number % 2 == 0 { &one } else { &two };
        made.push(drafted(&acme.client, invoice(client, &[(100, "0")])).await);
        app.advance(60_000);
    }
    for id in &made[..4] {
        send(&acme.client, id).await;
    }
    let newest = |places: &[usize]| -> Vec<String> { places.iter().map(|place| made[*place].clone()).collect() };
    let list = |query: String| {
        let client = acme.client.clone();
        async move { ids(&client, &format!("/v1/invoices?limit=2{query}")).await }
    };
    assert_eq!(list(String::new()).await, newest(&[5, 4, 3, 2, 1, 0]));
    assert_eq!(list("&status=sent".to_owned()).await, newest(&[3, 2, 1, 0]));
    assert_eq!(list(format!("&clientId={two}")).await, newest(&[5, 3, 1]));
    assert_eq!(list(format!("&clientId={one}&status=sent")).await, newest(&[2, 0]));
    assert_eq!(list(format!("&clientId={one}&status=paid")).await, Vec::<String>::new());
    let [from, to] = ["2027-01-15T08:01:00Z", "2027-01-15T08:03:00Z"];
    assert_eq!(list(format!("&from={from}&to={to}")).await, newest(&[2, 1]));
    assert_eq!(list("&from=2027-01-15&to=2027-01-15".to_owned()).await.len(), 6);
    assert_eq!(list("&from=2027-01-16".to_owned()).await.len(), 0);
    let page = acme
        .client
        .get(format!("/v1/invoices?limit=2&clientId={one}&status=sent"))
        .await
        .expect(200);
    assert_eq!(
        (page.data().len(), &page.json["nextCursor"]),
        (2, &json!(page.json["nextCursor"]))
    );

    for (query, field) in [
        ("status=open", "status"),
        ("from=x", "from"),
        ("clientId=1", "clientId"),
        ("x=1", "x"),
    ] {
        let reply = acme.client.get(format!("/v1/invoices?{query}")).await.expect(400);
        assert_eq!(reply.fields(), [field], "{query}");
    }
    let reply = acme.client.get("/v1/invoices?from=2027-01-16&to=2027-01-15").await;
    assert_eq!(reply.problem(422, "invalid").fields(), ["to"]);
    app.settle().await;
}

#[tokio::test]
async fn lists_are_csv_in_which_nothing_is_a_formula() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let mut new = invoice(&client, &[(10_000, "19")]);
    new["notes"] = json!("=HYPERLINK(\"http://evil.example\",\"a, b\")");
    let found = sent(&acme.client, new).await;
    let id = found["id"].as_str().unwrap();
    let mut body = cash(11_900);
    body["reference"] = json!("@SUM(A1)");
    acme.client
        .post(format!("/v1/invoices/{id}/payments"), body)
        .await
        .expect(201);
    app.advance(1_000);
    drafted(&acme.client, invoice(&client, &[(1, "0")])).await;

    let reply = acme.client.get("/v1/invoices?format=csv&limit=1").await.expect(200);
    assert_eq!(reply.header("content-type"), "text/csv; charset=utf-8; header=present");
    let text = String::from_utf8(reply.bytes.clone()).unwrap();
    assert!(
        text.starts_with("id,number,status,") && text.ends_with("\r\n"),
        "{text}"
    );
    let next = reply
        .header("link")
        .strip_prefix('<')
        .unwrap()
        .split('>')
        .next()
        .unwrap()
        .to_owned();
    let rest = acme.client.get(next).await.expect(200);
    assert_eq!(rest.header("link"), "");
    let text = String::from_utf8(rest.bytes).unwrap();
    let row = text.lines().nth(1).unwrap();
    assert!(
        row.starts_with(&format!("{id},INV-2027-0001,paid,{client},EUR,100.00,19.00,119.00,")),
        "{row}"
    );
    assert!(
        row.ends_with(",\"'=HYPERLINK(\"\"http://evil.example\"\",\"\"a, b\"\")\""),
        "{row}"
    );

    let csv = acme.client.header("accept", "text/csv");
    let text = String::from_utf8(csv.get("/v1/payments").await.expect(200).bytes).unwrap();
    let row = text.lines().nth(1).unwrap();
    assert!(
        row.contains(",succeeded,,EUR,119.00,0.00,0.00,cash,") && row.ends_with(",\"'@SUM(A1)\""),
        "{row}"
    );
    assert!(csv.get("/v1/payments?format=json").await.expect(200).json["data"].is_array());
    app.settle().await;
}

/// Tries every deed on an invoice and a recurring one that look absent.
async fn try_deeds(rival: &Client, path: &str, repeated: &str, credit: Value) {
    for (path, body) in [
        (format!("{path}/send"), json!({})),
        (format!("{path}/cancel"), json!({})),
        (format!("{path}/viewed"), json!({})),
        (format!("{path}/credit-notes"), credit),
        (format!("{path}/payments"), cash(1)),
        (format!("/v1/recurring-invoices/{repeated}/pause"), json!({})),
        (format!("/v1/recurring-invoices/{repeated}/resume"), json!({})),
        (format!("/v1/recurring-invoices/{repeated}/cancel"), json!({})),
    ] {
        rival.post(&path, body).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn another_tenants_invoices_look_absent() {
    let app = TestApp::start().await;
    let [acme, rival] = app.tenants().await;
    let client = client_of(&app, &acme, json!({})).await;
    let found = sent(&acme.client, invoice(&client, &[(1_000, "0")])).await;
    let path = format!("/v1/invoices/{}", found["id"].as_str().unwrap());
    let credit = json!({"lines": [{"lineIndex": 0, "amount": 100}], "reason": "x"});
    let note = acme
        .client
        .post(format!("{path}/credit-notes"), credit.clone())
        .await
        .expect(201)
        .text("id");
    let recurring = json!({
        "clientId": client, "currency": "EUR", "interval": "monthly", "startAt": "2027-02-01T00:00:00Z", "dueInDays": 10,
        "lineItems": [{"description": "a", "quantity": 1, "unitPrice": 1}],
    });
    let repeated = acme
        .client
        .post("/v1/recurring-invoices", recurring.clone())
        .await
        .expect(201)
        .text("id");

    rival
        .client
        .post("/v1/invoices", invoice(&client, &[(1, "0")]))
        .await
        .problem(404, "not_found");
    rival
        .client
        .post("/v1/recurring-invoices", recurring)
        .await
        .problem(404, "not_found");
    for path in [
        path.clone(),
        format!("{path}/credit-notes"),
        format!("{path}/payments"),
        format!("/v1/credit-notes/{note}"),
        format!("/v1/recurring-invoices/{repeated}"),
    ] {
        acme.client.get(&path).await.expect(200);
        rival.client.get(&path).await.problem(404, "not_found");
    }
    try_deeds(&rival.client, &path, &repeated, credit).await;
    rival.client.patch(&path, json!({})).await.problem(404, "not_found");
    rival.client.delete(&path).await.problem(404, "not_found");
    for list in [
        "/v1/invoices",
        "/v1/credit-notes",
        "/v1/payments",
        "/v1/recurring-invoices",
    ] {
        assert!(rival.client.get(list).await.expect(200).data().is_empty(), "{list}");
    }
    let by_client = format!("/v1/invoices?clientId={client}");
    assert!(rival.client.get(by_client).await.expect(200).data().is_empty());
    // Nothing of it happened.
    assert_eq!(acme.client.get(&path).await.expect(200).json["amountDue"], 900);
    app.settle().await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_sends_once() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let keyed = acme.client.header("idempotency-key", "make");
    let first = keyed
        .post("/v1/invoices", invoice(&client, &[(100, "0")]))
        .await
        .expect(201);
    let again = keyed
        .post("/v1/invoices", invoice(&client, &[(100, "0")]))
        .await
        .expect(201);
    assert_eq!(again.json, first.json);
    assert_eq!(again.header("idempotent-replayed"), "true");
    let path = format!("/v1/invoices/{}", first.text("id"));
    let keyed = acme.client.header("idempotency-key", "send");
    let sent = keyed.post(format!("{path}/send"), json!({})).await.expect(200).json;
    assert_eq!(
        keyed.post(format!("{path}/send"), json!({})).await.expect(200).json,
        sent
    );
    let keyed = acme.client.header("idempotency-key", "pay");
    for _ in 0..2 {
        keyed.post(format!("{path}/payments"), cash(60)).await.expect(201);
    }
    assert_eq!(acme.client.get(&path).await.expect(200).json["amountDue"], 40);
    let keyed = acme.client.header("idempotency-key", "credit");
    let credit = json!({"lines": [{"lineIndex": 0, "amount": 40}], "reason": "x"});
    for _ in 0..2 {
        let note = keyed
            .post(format!("{path}/credit-notes"), credit.clone())
            .await
            .expect(201);
        assert_eq!(note.text("number"), "CN-2027-0001");
    }
    app.settle().await;
}

/// The largest invoice that a request can say: what is stored and told of it still fits the table's items.
#[tokio::test]
async fn the_largest_invoice_is_made_and_sent() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let client = client_of(&app, &acme, json!({})).await;
    let line = json!({"description": "x".repeat(430), "quantity": "123456.123456", "unitPrice": "0.123456789012", "taxRate": "19"});
    let mut new = invoice(&client, &[]);
    new["lineItems"] = json!(vec![line; 500]);
    assert!(new.to_string().len() > 250_000 && new.to_string().len() < 262_144);
    let keyed = acme.client.header("idempotency-key", "large");
    let id = keyed.post("/v1/invoices", new).await.expect(201).text("id");
    let found = send(&keyed, &id).await;
    assert_eq!(found["lines"].as_array().unwrap().len(), 500);
    assert_eq!(
        acme.client.get("/v1/invoices?limit=100").await.expect(200).data(),
        [found]
    );
    app.settle().await;
}
