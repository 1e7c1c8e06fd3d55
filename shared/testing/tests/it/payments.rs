//! Payments by providers: begun, paid, refunded, contested, by every provider, in whatever order it tells. The cases of money
//! S11 to S14 and S18 carry their numbers.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use payment_double::{Act, Fault, FaultKind, Operation, Provider, RefundEnd, Verdict};
use serde_json::{Value, json};

use crate::invoices::{cash, told};
use crate::shop::{ALL, PAY, SECRETS, Shop, keys};

/// What was told of an invoice or a payment, by name.
async fn names(shop: &Shop, about: &str) -> Vec<String> {
    let told = told(&shop.app, &shop.acme.org, about).await;
    told.into_iter().map(|(name, _)| name).collect()
}

fn amounts(payment: &Value) -> [i64; 4] {
    ["amountReceived", "amountApplied", "amountRefunded", "amountChargedBack"]
        .map(|name| payment[name].as_i64().unwrap())
}

fn texts(payment: &Value) -> String {
    let history = payment["history"].as_array().unwrap();
    let texts: Vec<&str> = history.iter().map(|entry| entry["text"].as_str().unwrap()).collect();
    texts.join("\n")
}

#[tokio::test]
async fn an_invoice_is_paid_and_given_back_at_every_provider() {
    let shop = Shop::open().await;
    for provider in ALL {
        let (invoice, payment) = shop.begun(provider, 17_000).await;
        let before = shop.payment(&payment).await;
        assert_eq!(
            (&before["status"], &before["provider"]),
            (&json!("pending"), &json!(provider.name()))
        );
        shop.act(&payment, &PAY).await;

        let paid = shop.payment(&payment).await;
        assert_eq!(paid["status"], "succeeded", "{paid:#}");
        assert_eq!(amounts(&paid), [17_000, 17_000, 0, 0]);
        let shown = shop.shown(&invoice).await;
        assert_eq!(
            (&shown["status"], &shown["amountPaid"]),
            (&json!("paid"), &json!(17_000))
        );
        assert_eq!(names(&shop, &payment).await, ["payment.succeeded"]);
        let paid_once = names(&shop, &invoice).await;
        assert_eq!(paid_once.iter().filter(|name| *name == "invoice.paid").count(), 1);

        for amount in [2_000, 5_000] {
            let refund = shop.refund(&payment, amount).await.expect(201).json;
            assert_eq!(
                (&refund["refund"]["amount"], &refund["refund"]["status"]),
                (&json!(amount), &json!("pending"))
            );
        }
        shop.app.settle().await;
        shop.tell().await;
        let partly = shop.payment(&payment).await;
        assert_eq!(partly["status"], "partially_refunded", "{partly:#}");
        assert_eq!(amounts(&partly), [17_000, 17_000, 7_000, 0]);
        shop.refund(&payment, 10_001).await.problem(409, "refund_too_large");
        let all = format!("/v1/payments/{payment}/refund");
        let rest = shop.now().await.post(&all, json!({})).await.expect(201).json;
        assert_eq!(rest["refund"]["amount"], 10_000);
        shop.app.settle().await;
        shop.tell().await;
        let back = shop.payment(&payment).await;
        assert_eq!(
            (&back["status"], amounts(&back)),
            (&json!("refunded"), [17_000, 17_000, 17_000, 0])
        );
        shop.now()
            .await
            .post(&all, json!({}))
            .await
            .problem(409, "nothing_to_refund");
        // It stays paid.
        let shown = shop.shown(&invoice).await;
        assert_eq!(
            (&shown["status"], &shown["amountDue"], &shown["amountRefunded"]),
            (&json!("paid"), &json!(0), &json!(17_000))
        );
        let count = shop.double.count(&payment);
        assert_eq!((count.sessions, count.charges, count.refunds), (1, 1, 3));
        assert_eq!(back["refunds"].as_array().unwrap().len(), 3);
        let told = names(&shop, &payment).await;
        assert_eq!(
            told.iter().filter(|name| *name == "payment.refunded").count(),
            told.len() - 1
        );
    }
}

#[tokio::test]
async fn the_same_again_is_the_same_payment_and_another_closes_it_first() {
    let shop = Shop::open().await;
    let (invoice, first) = shop.begun(Provider::Stripe, 9_900).await;
    let again = shop.begin(&invoice, Provider::Stripe).await.expect(200).json;
    assert_eq!(again["payment"]["id"], first);
    let path = format!("/v1/invoices/{invoice}/pay");
    let client = shop.now().await;
    let less = client
        .post(&path, json!({"provider": "stripe", "amount": 900}))
        .await
        .expect(201)
        .json;
    assert_ne!(less["payment"]["id"], first);
    assert_eq!(less["paymentUrl"], again["paymentUrl"], "the page is the invoice's");
    let closed = shop.payment(&first).await;
    assert_eq!(closed["status"], "failed");
    assert!(texts(&closed).contains("closed before anybody paid"), "{closed:#}");
    // Paid in two parts.
    let part = less["payment"]["id"].as_str().unwrap();
    shop.act(part, &PAY).await;
    assert_eq!(shop.shown(&invoice).await["status"], "partially_paid");
    let rest = shop.begin(&invoice, Provider::Stripe).await.expect(201).json;
    assert_eq!(rest["payment"]["amount"], 9_000);
    shop.act(rest["payment"]["id"].as_str().unwrap(), &PAY).await;
    assert_eq!(shop.shown(&invoice).await["status"], "paid");
    shop.begin(&invoice, Provider::Stripe)
        .await
        .problem(409, "invoice_paid");
    let of_invoice = client.get(format!("/v1/invoices/{invoice}/payments")).await.expect(200);
    assert_eq!(of_invoice.data().len(), 3);
}

#[tokio::test]
async fn two_at_once_are_the_same_payment() {
    let shop = Shop::open().await;
    let invoice = shop.invoice(Provider::Stripe, 5_000).await;
    let replies = join_all((0..8).map(|_| shop.begin(&invoice, Provider::Stripe))).await;
    let mut ids: Vec<Value> = Vec::new();
    for reply in replies {
        match reply.status.as_u16() {
            200 | 201 => ids.push(reply.json["payment"]["id"].clone()),
            status => assert_eq!((status, &reply.json["code"]), (409, &json!("in_flight"))),
        }
    }
    assert!(!ids.is_empty());
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(shop.double.count(ids[0].as_str().unwrap()).sessions, 1);
}

#[tokio::test]
async fn a_key_gives_the_same_bytes_and_no_other_body() {
    let shop = Shop::open().await;
    let invoice = shop.invoice(Provider::Stripe, 5_000).await;
    let path = format!("/v1/invoices/{invoice}/pay");
    let keyed = shop.now().await.header("idempotency-key", "pay-1");
    let first = keyed.post(&path, json!({"provider": "stripe"})).await.expect(201);
    let again = keyed.post(&path, json!({"provider": "stripe"})).await.expect(201);
    assert_eq!(first.bytes, again.bytes);
    assert_eq!(again.header("idempotent-replayed"), "true");
    keyed
        .post(&path, json!({"provider": "razorpay"}))
        .await
        .problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn what_cannot_be_paid_says_why() {
    let shop = Shop::open().await;
    let acme = shop.now().await;
    let invoice = shop.invoice_in("KWD", 1_234).await;
    let path = format!("/v1/invoices/{invoice}/pay");
    let refused = acme
        .post(&path, json!({"provider": "stripe"}))
        .await
        .problem(422, "amount_not_chargeable");
    assert_eq!(refused.fields(), ["amount"]);
    for (body, status, field) in [
        (json!({"provider": "paypal"}), 400, "provider"),
        (json!({}), 400, "provider"),
        (json!({"provider": "stripe", "amount": 0}), 422, "amount"),
        (json!({"provider": "stripe", "amount": -5}), 422, "amount"),
        (json!({"provider": "stripe", "amount": 1_235}), 422, "amount"),
        (json!({"provider": "stripe", "amount": 1.5}), 400, "amount"),
        (json!({"provider": "stripe", "sum": 1}), 400, "sum"),
    ] {
        let reply = acme.post(&path, body).await.expect(status);
        assert_eq!(reply.fields(), [field], "{}", reply.json);
    }
    // No phone number.
    let client = crate::invoices::client_of(&shop.app, &shop.acme, json!({"currency": "INR"})).await;
    let lines = json!([{"description": "Work", "quantity": 1, "unitPrice": 17_000, "taxRate": "0"}]);
    let new = json!({"clientId": client, "currency": "INR", "dueDate": "2027-03-29", "lineItems": lines});
    let draft = crate::invoices::drafted(&acme, new).await;
    let path = format!("/v1/invoices/{draft}/pay");
    acme.post(&path, json!({"provider": "cashfree"}))
        .await
        .problem(409, "invoice_not_sent");
    crate::invoices::send(&acme, &draft).await;
    let refused = acme
        .post(&path, json!({"provider": "cashfree"}))
        .await
        .problem(422, "phone_required");
    assert_eq!(refused.fields(), ["phone"]);
    acme.post(format!("/v1/invoices/{draft}/cancel"), json!({}))
        .await
        .expect(200);
    acme.post(&path, json!({"provider": "stripe"}))
        .await
        .problem(409, "invoice_cancelled");
    // Nothing was begun.
    assert!(acme.get("/v1/payments").await.expect(200).data().is_empty());
    assert_eq!(shop.double.calls(), json!([]));
}

#[tokio::test]
async fn accounts_are_set_by_admins_and_never_shown() {
    let shop = Shop::open().await;
    let acme = shop.now().await;
    let list = acme.get("/v1/payment-providers").await.expect(200);
    assert_eq!(list.data().len(), 3);
    assert!(
        list.data()
            .iter()
            .all(|account| account["configured"] == true && account["setAt"].is_string())
    );
    for provider in ALL {
        let path = format!("/v1/payment-providers/{}", provider.name());
        let shown = acme.get(&path).await.expect(200);
        let url = shown.json["webhookUrl"].as_str().unwrap();
        assert!(url.ends_with(&format!("/v1/provider-webhooks/{}/{}", provider.name(), shop.acme.org)));
        assert_eq!(shown.json["previousExpiresAt"], Value::Null);
        let again = acme.put(&path, keys(provider)).await.expect(200);
        assert!(again.json["previousExpiresAt"].is_string());
        let wrong = acme.put(&path, json!({})).await.problem(422, "invalid");
        assert!(wrong.fields().len() >= 2);
        acme.put(&path, json!({"secretKey": 5})).await.expect(400);
    }
    let other = acme.put(
        "/v1/payment-providers/stripe",
        json!({"secretKey": "a b", "webhookSecret": "", "keyId": "x"}),
    );
    assert_eq!(
        other.await.problem(422, "invalid").fields(),
        ["secretKey", "webhookSecret", "keyId"]
    );
    acme.put("/v1/payment-providers/paypal", json!({})).await.expect(400);

    acme.delete("/v1/payment-providers/cashfree").await.expect(204);
    acme.delete("/v1/payment-providers/cashfree")
        .await
        .problem(404, "not_found");

    // Neither in what is stored, nor in any reply.
    let stored = shop.app.stored().await;
    let mut shown = Vec::new();
    let audit = format!("/v1/orgs/{}/audit", shop.acme.org);
    for path in ["/v1/payment-providers", "/v1/payments", &audit] {
        shown.extend(acme.get(path).await.expect(200).bytes);
    }
    for secret in SECRETS {
        for bytes in [&stored, &shown] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is shown or stored");
        }
    }
    assert!(String::from_utf8_lossy(&shown).contains("payment_provider.set"));
}

#[tokio::test]
async fn another_tenants_payments_look_absent_and_roles_count() {
    let shop = Shop::open().await;
    let (invoice, payment) = shop.begun(Provider::Stripe, 1_000).await;
    let rival = shop.app.tenant().await;
    for path in [
        format!("/v1/payments/{payment}"),
        format!("/v1/invoices/{invoice}/payments"),
    ] {
        rival.client.get(path).await.problem(404, "not_found");
    }
    for path in ["refund", "partial-refund"] {
        let path = format!("/v1/payments/{payment}/{path}");
        rival.client.post(path, json!({"amount": 1})).await;
    }
    let pay = format!("/v1/invoices/{invoice}/pay");
    // Without an account of its own it learns that before anything else.
    rival
        .client
        .post(&pay, json!({"provider": "stripe"}))
        .await
        .problem(409, "provider_not_configured");
    rival
        .client
        .put("/v1/payment-providers/stripe", keys(Provider::Stripe))
        .await
        .expect(200);
    rival
        .client
        .post(&pay, json!({"provider": "stripe"}))
        .await
        .problem(404, "not_found");

    for (role, may_pay) in [("viewer", false), ("member", false), ("accountant", true)] {
        let member = shop.app.member(&shop.acme, role).await;
        let client = member.client.within(&shop.acme.org);
        client
            .put("/v1/payment-providers/stripe", keys(Provider::Stripe))
            .await
            .problem(403, "forbidden");
        client
            .delete("/v1/payment-providers/stripe")
            .await
            .problem(403, "forbidden");
        client.get(format!("/v1/payments/{payment}")).await.expect(200);
        let reply = client.post(&pay, json!({"provider": "stripe"})).await;
        assert_eq!(reply.status.as_u16(), if may_pay { 200 } else { 403 }, "{role}");
        let refund = client.post(format!("/v1/payments/{payment}/refund"), json!({})).await;
        assert_eq!(refund.status.as_u16(), if may_pay { 409 } else { 403 }, "{role}");
    }
}

#[tokio::test]
async fn only_what_is_signed_is_stored() {
    let shop = Shop::open().await;
    for provider in ALL {
        let (_, payment) = shop.begun(provider, 17_000).await;
        shop.double.act(&payment, &PAY).unwrap();
        let id = shop.news().into_iter().next().unwrap();
        let (body, headers) = shop.double.signed(&id).unwrap();
        let path = format!("/v1/provider-webhooks/{}/{}", provider.name(), shop.acme.org);
        let jobs = shop.app.jobs_of(&shop.acme.org).await;
        let send = async |path: &str, headers: &[(String, String)], body: &str| {
            let client = headers
                .iter()
                .fold(shop.app.client(), |client, (name, value)| client.header(name, value));
            client.post_bytes(path, body).await
        };
        send(&path, &headers, &format!("{body} "))
            .await
            .problem(400, "bad_signature");
        send(&path, &[], &body).await.problem(400, "bad_signature_header");
        let rival = shop.app.tenant().await;
        let other = format!("/v1/provider-webhooks/{}/{}", provider.name(), rival.org);
        send(&other, &headers, &body).await.problem(404, "not_found");
        let mut keys = keys(provider);
        for value in keys.as_object_mut().unwrap().values_mut() {
            *value = json!("another");
        }
        let account = format!("/v1/payment-providers/{}", provider.name());
        rival.client.put(&account, keys.clone()).await.expect(200);
        send(&other, &headers, &body).await.problem(400, "bad_signature");
        assert_eq!(shop.app.jobs_of(&shop.acme.org).await, jobs, "nothing is stored");
        // The old secret is good for four days after a new one was set.
        shop.now().await.put(&account, keys).await.expect(200);
        send(&path, &headers, &body).await.expect(200);
        shop.app.advance(4 * 86_400_000 + 1);
        let (body, headers) = shop.double.signed(&id).unwrap();
        send(&path, &headers, &body).await.problem(400, "bad_signature");
        shop.now()
            .await
            .put(&account, crate::shop::keys(provider))
            .await
            .expect(200);
        shop.app.settle().await;
    }
}

/// All orders of some things.
fn orders(things: &[String]) -> Vec<Vec<String>> {
    let Some(first) = things.first() else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for rest in orders(&things[1..]) {
        for place in 0..=rest.len() {
            let mut order = rest.clone();
            order.insert(place, first.clone());
            all.push(order);
        }
    }
    all
}

/// What it is called, what happens, and how the payment ends.
type Life<'a> = (&'a str, &'a [Act], &'a str, [i64; 4]);

/// How many events are brought into every order; those after them follow in theirs.
const SHUFFLED: usize = 4;

/// Events in every order, each repeated: the end is the same.
#[tokio::test]
async fn the_order_of_events_makes_no_difference() {
    let shop = Shop::open().await;
    let lives: [Life; 4] = [
        ("pays", &[PAY], "succeeded", [17_000, 17_000, 0, 0]),
        (
            "fails, then pays",
            &[Act::Fail, PAY],
            "succeeded",
            [17_000, 17_000, 0, 0],
        ),
        (
            "pays slowly",
            &[Act::Delay, Act::Settle],
            "succeeded",
            [17_000, 17_000, 0, 0],
        ),
        (
            "contests and wins it back",
            &[
                PAY,
                Act::Dispute { units: None },
                Act::Decide { verdict: Verdict::Lost },
            ],
            "charged_back",
            [17_000, 0, 0, 17_000],
        ),
    ];
    let mut tried = 0;
    for provider in ALL {
        for life in &lives {
            let many = live(&shop, provider, life, 0).await;
            for nth in 1..many {
                live(&shop, provider, life, nth).await;
            }
            tried += many;
        }
    }
    assert!(tried > 30, "{tried}");
}

/// Lives once, with its events in the `nth` order and each sent twice. How many orders there are.
async fn live(shop: &Shop, provider: Provider, (name, acts, status, end): &Life<'_>, nth: usize) -> usize {
    let (invoice, payment) = shop.begun(provider, 17_000).await;
    for act in *acts {
        shop.double.act(&payment, act).unwrap();
    }
    let news = shop.news();
    let (shuffled, rest) = news.split_at(news.len().min(SHUFFLED));
    let orders = orders(shuffled);
    for id in orders[nth].iter().chain(rest) {
        shop.deliver(id).await.expect(200);
        shop.deliver(id).await.expect(200);
        shop.app.settle().await;
    }
    let found = shop.payment(&payment).await;
    let case = format!("{} {name}, order {nth}", provider.name());
    assert_eq!(
        (&found["status"], amounts(&found)),
        (&json!(status), *end),
        "{case}: {found:#}"
    );
    let due = if *status == "charged_back" { 17_000 } else { 0 };
    assert_eq!(shop.shown(&invoice).await["amountDue"], due, "{case}");
    // What was lost before anybody looked was never paid.
    let told = names(shop, &invoice).await;
    let paid = told.iter().filter(|name| *name == "invoice.paid").count();
    assert!(paid == 1 || (paid == 0 && due > 0), "{case}");
    assert_eq!(shop.double.count(&payment).charges, 1);
    orders.len()
}

/// S11.
#[tokio::test]
async fn a_refund_can_fail_after_it_succeeded() {
    for provider in ALL {
        let shop = Shop::open().await;
        let (_, payment) = shop.paid(provider, 5_000).await;
        shop.double.refunds_end(RefundEnd::Pending);
        let refund = shop.refund(&payment, 2_000).await.expect(201).json["refund"]["id"].clone();
        shop.app.settle().await;
        // What is on its way is reserved.
        shop.refund(&payment, 4_000).await.problem(409, "refund_too_large");
        assert_eq!(amounts(&shop.payment(&payment).await)[2], 0);
        let refund = refund.as_str().unwrap().to_owned();
        let end = |end| Act::Refund {
            refund: refund.clone(),
            end,
        };
        shop.act(&payment, &end(RefundEnd::Succeeded)).await;
        assert_eq!(amounts(&shop.payment(&payment).await)[2], 2_000);
        shop.app.advance(2 * 86_400_000);
        shop.act(&payment, &end(RefundEnd::Failed)).await;
        let failed = shop.payment(&payment).await;
        assert_eq!(amounts(&failed)[2], 0);
        assert_eq!(
            (&failed["refunds"][0]["status"], &failed["status"]),
            (&json!("failed"), &json!("succeeded"))
        );
        let told = names(&shop, &payment).await;
        assert_eq!(
            told.iter().filter(|name| *name == "payment.refunded").count(),
            2,
            "{told:?}"
        );
        shop.double.refunds_end(RefundEnd::Succeeded);
        shop.refund(&payment, 5_000).await.expect(201);
        shop.app.settle().await;
        shop.tell().await;
        let back = shop.payment(&payment).await;
        assert_eq!((&back["status"], amounts(&back)[2]), (&json!("refunded"), 5_000));
    }
}

#[tokio::test]
async fn what_was_not_received_is_not_given_back() {
    let shop = Shop::open().await;
    let (invoice, payment) = shop.begun(Provider::Stripe, 5_000).await;
    shop.refund(&payment, 100).await.problem(409, "payment_not_received");
    let by_hand = format!("/v1/invoices/{invoice}/payments");
    let hand = shop.now().await.post(by_hand, cash(1_000)).await.expect(201).text("id");
    shop.refund(&hand, 100).await.problem(409, "not_refundable");
    shop.refund(&payment, 0).await.problem(422, "invalid");
    let shown = shop.payment(&hand).await;
    assert_eq!(shown["history"].as_array().unwrap().len(), 1);
    // Less is due now, so what was opened is closed.
    shop.app.settle().await;
    assert_eq!(shop.payment(&payment).await["status"], "failed");
}

/// S12.
#[tokio::test]
async fn a_lost_dispute_opens_the_invoice_again_and_no_more() {
    let dispute = Act::Dispute { units: None };
    for provider in ALL {
        let shop = Shop::open().await;
        let (invoice, payment) = shop.paid(provider, 9_900).await;
        shop.act(&payment, &dispute).await;
        assert_eq!(shop.payment(&payment).await["status"], "disputed");
        assert_eq!(shop.shown(&invoice).await["status"], "paid");
        shop.refund(&payment, 100).await.problem(409, "payment_disputed");
        shop.act(&payment, &Act::Decide { verdict: Verdict::Lost }).await;
        let lost = shop.payment(&payment).await;
        assert_eq!(
            (&lost["status"], amounts(&lost)),
            (&json!("charged_back"), [9_900, 0, 0, 9_900]),
            "{lost:#}"
        );
        let shown = shop.shown(&invoice).await;
        assert_eq!((&shown["amountPaid"], &shown["amountDue"]), (&json!(0), &json!(9_900)));

        let (invoice, payment) = shop.paid(provider, 9_900).await;
        shop.act(&payment, &dispute).await;
        shop.act(&payment, &Act::Decide { verdict: Verdict::Won }).await;
        let won = shop.payment(&payment).await;
        assert_eq!(
            (&won["status"], amounts(&won)),
            (&json!("succeeded"), [9_900, 9_900, 0, 0])
        );
        assert_eq!(shop.shown(&invoice).await["status"], "paid");
        assert_eq!(
            names(&shop, &payment)
                .await
                .iter()
                .filter(|name| *name == "payment.disputed")
                .count(),
            2
        );
    }
    let shop = Shop::open().await;
    let (invoice, payment) = shop.paid(Provider::Stripe, 9_900).await;
    shop.refund(&payment, 4_000).await.expect(201);
    shop.app.settle().await;
    shop.act(&payment, &Act::Dispute { units: Some(5_900) }).await;
    shop.act(&payment, &Act::Decide { verdict: Verdict::Lost }).await;
    let lost = shop.payment(&payment).await;
    assert_eq!(amounts(&lost), [9_900, 4_000, 4_000, 5_900], "{lost:#}");
    assert_eq!(shop.shown(&invoice).await["amountDue"], 5_900);
}

/// S13.
#[tokio::test]
async fn two_ways_to_pay_one_invoice_take_the_money_once() {
    let shop = Shop::open().await;
    // Opened at one, then at another: the first is closed before the second opens.
    let invoice = shop.invoice(Provider::Razorpay, 17_000).await;
    let first = shop.begin(&invoice, Provider::Stripe).await.expect(201).json["payment"]["id"].clone();
    shop.begin(&invoice, Provider::Razorpay).await.expect(201);
    let calls = shop.double.calls();
    let calls: Vec<String> = calls
        .as_array()
        .unwrap()
        .iter()
        .map(|call| {
            format!(
                "{} {}",
                call["method"].as_str().unwrap(),
                call["path"].as_str().unwrap()
            )
        })
        .collect();
    let expire = calls
        .iter()
        .position(|call| call.ends_with("/expire"))
        .expect("it is expired");
    let open = calls
        .iter()
        .position(|call| call.starts_with("POST") && call.ends_with("/payment_links"));
    assert!(expire < open.unwrap(), "{calls:?}");
    assert_eq!(shop.payment(first.as_str().unwrap()).await["status"], "failed");

    // It was paid already, and nobody said so yet.
    let (invoice, payment) = shop.begun(Provider::Stripe, 9_900).await;
    shop.double.act(&payment, &PAY).unwrap();
    shop.begin(&invoice, Provider::Razorpay).await.expect(409);
    assert_eq!(shop.shown(&invoice).await["status"], "paid");
}

/// S13: what comes all the same.
#[tokio::test]
async fn what_comes_for_an_invoice_that_is_settled_is_kept() {
    let shop = Shop::open().await;
    // Money that comes although the invoice was cancelled.
    let (invoice, payment) = shop.begun(Provider::Stripe, 9_900).await;
    shop.double.act(&payment, &PAY).unwrap();
    shop.now()
        .await
        .post(format!("/v1/invoices/{invoice}/cancel"), json!({}))
        .await
        .expect(200);
    shop.app.settle().await;
    shop.tell().await;
    let kept = shop.payment(&payment).await;
    assert_eq!(
        (&kept["status"], amounts(&kept)),
        (&json!("unapplied"), [9_900, 0, 0, 0]),
        "{kept:#}"
    );
    assert_eq!(names(&shop, &payment).await, ["payment.unapplied"]);
    shop.refund(&payment, 9_900).await.expect(201);
    shop.app.settle().await;
    assert_eq!(shop.payment(&payment).await["status"], "refunded");

    // Cancelling closes what is open.
    let (invoice, payment) = shop.begun(Provider::Stripe, 9_900).await;
    shop.now()
        .await
        .post(format!("/v1/invoices/{invoice}/cancel"), json!({}))
        .await
        .expect(200);
    shop.app.settle().await;
    assert_eq!(shop.payment(&payment).await["status"], "failed");
    assert!(
        shop.double.act(&payment, &PAY).is_err(),
        "nobody can pay there any more"
    );

    // Paid by hand in between.
    let (invoice, payment) = shop.begun(Provider::Stripe, 9_900).await;
    shop.double.act(&payment, &PAY).unwrap();
    let by_hand = format!("/v1/invoices/{invoice}/payments");
    shop.now().await.post(by_hand, cash(9_900)).await.expect(201);
    shop.app.settle().await;
    shop.tell().await;
    assert_eq!(shop.payment(&payment).await["status"], "unapplied");
    let shown = shop.shown(&invoice).await;
    assert_eq!((&shown["status"], &shown["amountDue"]), (&json!("paid"), &json!(0)));
}

#[tokio::test]
async fn money_of_another_amount_is_kept_and_not_applied() {
    let shop = Shop::open().await;
    let wrong = [(Some(16_900), None), (None, Some("USD".to_owned()))];
    for provider in ALL {
        for (units, currency) in wrong.clone() {
            let (invoice, payment) = shop.begun(provider, 17_000).await;
            shop.act(&payment, &Act::Pay { units, currency }).await;
            let kept = shop.payment(&payment).await;
            assert_eq!(kept["status"], "unapplied", "{} {kept:#}", provider.name());
            assert!(texts(&kept).contains("kept, not applied"), "{kept:#}");
            assert_eq!(shop.shown(&invoice).await["amountDue"], 17_000);
            let all = format!("/v1/payments/{payment}/refund");
            shop.now().await.post(all, json!({})).await.expect(201);
            shop.app.settle().await;
            shop.tell().await;
            assert_eq!(
                shop.payment(&payment).await["status"],
                "refunded",
                "{}",
                provider.name()
            );
        }
    }
}

#[tokio::test]
async fn a_page_that_is_paid_twice_is_two_payments_of_which_one_counts() {
    let shop = Shop::open().await;
    // The others take money once on a page.
    let provider = Provider::Razorpay;
    let (invoice, payment) = shop.begun(provider, 17_000).await;
    shop.double.act(&payment, &PAY).unwrap();
    shop.double.act(&payment, &PAY).unwrap();
    shop.tell().await;
    let of_invoice = format!("/v1/invoices/{invoice}/payments");
    let list = shop.now().await.get(&of_invoice).await.expect(200);
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for payment in list.data() {
        *states
            .entry(payment["status"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    let expected = [("succeeded", 1), ("unapplied", 1)].map(|(name, many)| (name.to_owned(), many));
    assert_eq!(states, BTreeMap::from(expected), "{} {:#}", provider.name(), list.json);
    let extra = list
        .data()
        .iter()
        .find(|payment| payment["status"] == "unapplied")
        .unwrap();
    let extra = extra["id"].as_str().unwrap();
    shop.refund(extra, 17_000).await.expect(201);
    shop.app.settle().await;
    shop.tell().await;
    assert_eq!(shop.payment(extra).await["status"], "refunded");
    // Its watch looks at it, and finds no third one.
    shop.wait(3 * 60_000).await;
    assert_eq!(shop.now().await.get(&of_invoice).await.expect(200).data().len(), 2);
    let first = shop.payment(&payment).await;
    assert_eq!(first["status"], "succeeded", "{} {first:#}", provider.name());
    assert_eq!(shop.shown(&invoice).await["amountRefunded"], 0);
}

/// S14.
#[tokio::test]
async fn completed_is_not_paid() {
    let shop = Shop::open().await;
    for provider in ALL {
        let (invoice, payment) = shop.begun(provider, 17_000).await;
        shop.act(&payment, &Act::Delay).await;
        // Cashfree tells nothing of it.
        shop.wait(3 * 60_000).await;
        let found = shop.payment(&payment).await;
        // Razorpay's authorized money is captured when it is looked at.
        if provider == Provider::Razorpay && found["status"] == "succeeded" {
            continue;
        }
        assert_eq!(found["status"], "processing", "{} {found:#}", provider.name());
        assert_eq!(shop.shown(&invoice).await["amountPaid"], 0);
        shop.begin(&invoice, Provider::Stripe)
            .await
            .problem(409, "payment_under_way");
        shop.app.advance(3 * 86_400_000);
        shop.act(&payment, &Act::Settle).await;
        assert_eq!(shop.payment(&payment).await["status"], "succeeded");
        assert_eq!(shop.shown(&invoice).await["status"], "paid");

        let (invoice, payment) = shop.begun(provider, 17_000).await;
        shop.act(&payment, &Act::Delay).await;
        shop.act(&payment, &Act::Bounce).await;
        shop.wait(24 * 3_600_000).await;
        shop.tell().await;
        let failed = shop.payment(&payment).await;
        assert_eq!(failed["status"], "failed", "{} {failed:#}", provider.name());
        assert_eq!(names(&shop, &payment).await, ["payment.failed"]);
        shop.begin(&invoice, provider).await.expect(201);
    }
}

/// What nobody says is seen by the watch: a page that ends, and money whose webhook never came.
#[tokio::test]
async fn the_watch_finds_what_nobody_told() {
    let shop = Shop::open().await;
    for provider in ALL {
        let (invoice, payment) = shop.begun(provider, 17_000).await;
        shop.double.act(&payment, &PAY).unwrap();
        shop.wait(3 * 60_000).await;
        assert_eq!(
            shop.payment(&payment).await["status"],
            "succeeded",
            "{}",
            provider.name()
        );
        assert_eq!(shop.shown(&invoice).await["status"], "paid");

        let (invoice, payment) = shop.begun(provider, 17_000).await;
        for _ in 0..14 {
            shop.wait(2 * 3_600_000).await;
        }
        let ended = shop.payment(&payment).await;
        assert_eq!(ended["status"], "failed", "{} {ended:#}", provider.name());
        let fresh = shop.begin(&invoice, provider).await.expect(201).json;
        assert_ne!(fresh["payment"]["id"], payment);
        shop.news();
    }
}

#[tokio::test]
async fn twenty_refunds_at_once_give_back_what_there_is() {
    let shop = Shop::open().await;
    let (_, payment) = shop.paid(Provider::Stripe, 10_000).await;
    let replies = join_all((0..20).map(|_| shop.refund(&payment, 1_000))).await;
    let mut done = 0;
    for reply in replies {
        match reply.status.as_u16() {
            201 => done += 1,
            status => assert_eq!(
                (status, reply.json["code"].as_str().unwrap()),
                (
                    409,
                    if reply.json["code"] == "nothing_to_refund" {
                        "nothing_to_refund"
                    } else {
                        "refund_too_large"
                    }
                )
            ),
        }
    }
    assert_eq!(done, 10);
    shop.app.settle().await;
    assert_eq!(shop.payment(&payment).await["status"], "refunded");
    let count = shop.double.count(&payment);
    assert_eq!((count.refunds, count.refunded), (10, 10_000));
}

/// S18. Whatever becomes of the call, the provider gives back once, by the same key with the same bytes.
#[tokio::test]
async fn a_refund_whose_call_goes_wrong_is_done_once() {
    for provider in ALL {
        for kind in [FaultKind::Error, FaultKind::Lost, FaultKind::Busy, FaultKind::Conflict] {
            for done in [false, true] {
                let shop = Shop::open().await;
                let (_, payment) = shop.paid(provider, 5_000).await;
                let already = shop.double.calls().as_array().unwrap().len();
                shop.double.misbehave(Fault {
                    provider: Some(provider),
                    on: Some(Operation::Refund),
                    kind,
                    done,
                    times: 1,
                });
                shop.refund(&payment, 2_000).await.expect(201);
                shop.app.settle().await;
                for _ in 0..3 {
                    shop.wait(60_000).await;
                }
                let case = format!("{} {kind:?} done {done}", provider.name());
                let found = shop.payment(&payment).await;
                assert_eq!(shop.double.count(&payment).refunds, 1, "{case} {found:#}");
                assert_eq!(amounts(&found)[2], 2_000, "{case} {found:#}");
                let calls = shop.double.calls();
                let asked = calls.as_array().unwrap()[already..].iter();
                let asked =
                    asked.filter(|call| call["method"] == "POST" && call["path"].as_str().unwrap().contains("refund"));
                let asked: Vec<&Value> = asked.collect();
                let different = |name: &str| {
                    let values: BTreeSet<String> = asked.iter().map(|call| call[name].to_string()).collect();
                    values.len()
                };
                assert_eq!(different("sha256"), 1, "{case}: {asked:?}");
                // Stripe keeps a failure under the key: the next one is due once a look has shown that nothing was done.
                let is_kept = matches!((provider, kind, done), (Provider::Stripe, FaultKind::Error, false));
                assert_eq!(different("key"), if is_kept { 2 } else { 1 }, "{case}: {asked:?}");
            }
        }
    }
}

/// A page is opened once, whatever becomes of the call.
#[tokio::test]
async fn a_page_whose_call_goes_wrong_is_opened_once() {
    for provider in ALL {
        for kind in [FaultKind::Error, FaultKind::Lost, FaultKind::Busy] {
            for done in [false, true] {
                let shop = Shop::open().await;
                let invoice = shop.invoice(provider, 5_000).await;
                shop.double.misbehave(Fault {
                    provider: Some(provider),
                    on: Some(Operation::Open),
                    kind,
                    done,
                    times: 1,
                });
                let case = format!("{} {kind:?} done {done}", provider.name());
                let reply = shop.begin(&invoice, provider).await;
                let begun = reply.status.is_success();
                if !begun {
                    reply.problem(503, "unanswered");
                }
                // The watch goes on with it, or ends it.
                for _ in 0..3 {
                    shop.wait(2 * 60_000).await;
                }
                let again = shop.begin(&invoice, provider).await;
                assert!(again.status.is_success(), "{case}: {}", again.json);
                let payment = again.json["payment"]["id"].as_str().unwrap();
                assert_eq!(shop.double.count(payment).sessions, 1, "{case}");
                shop.act(payment, &PAY).await;
                assert_eq!(shop.shown(&invoice).await["status"], "paid", "{case}");
                shop.news();
            }
        }
    }
}

/// A provider that is away is left alone for a while, for one organization alone.
#[tokio::test]
async fn a_provider_that_is_away_is_left_alone() {
    let shop = Shop::open().await;
    let invoice = shop.invoice(Provider::Stripe, 5_000).await;
    shop.double.misbehave(Fault {
        provider: Some(Provider::Stripe),
        on: None,
        kind: FaultKind::Lost,
        done: false,
        // The call, and the look whether it was done all the same.
        times: 10,
    });
    let calls = || shop.double.calls().as_array().unwrap().len();
    for _ in 0..5 {
        shop.begin(&invoice, Provider::Stripe).await.problem(503, "unanswered");
        shop.app.advance(21_000);
    }
    let after = calls();
    shop.begin(&invoice, Provider::Stripe).await;
    assert_eq!(calls(), after, "an open breaker makes no call");
    shop.wait(120_000).await;
    let again = shop.begin(&invoice, Provider::Stripe).await;
    assert!(again.status.is_success(), "{}", again.json);
}

/// A page that gave way to another one, or that nobody paid on, is no failure to tell of; what was declined is.
#[tokio::test]
async fn a_page_that_gives_way_or_runs_out_is_told_as_no_failure() {
    let shop = Shop::open().await;
    for provider in ALL {
        let (invoice, first) = shop.begun(provider, 17_000).await;
        let path = format!("/v1/invoices/{invoice}/pay");
        let other = json!({"provider": provider.name(), "amount": 16_000});
        let second = shop.now().await.post(path, other).await.expect(201).json["payment"]["id"].clone();
        let second = second.as_str().unwrap().to_owned();
        shop.tell().await;
        for _ in 0..14 {
            shop.wait(2 * 3_600_000).await;
        }
        shop.tell().await;
        for payment in [&first, &second] {
            let found = shop.payment(payment).await;
            assert_eq!(found["status"], "failed", "{} {found:#}", provider.name());
            assert!(names(&shop, payment).await.is_empty(), "{}", provider.name());
        }
        let (_, late) = shop.begun(provider, 17_000).await;
        shop.act(&late, &Act::Fail).await;
        for _ in 0..14 {
            shop.wait(2 * 3_600_000).await;
        }
        assert_eq!(names(&shop, &late).await, ["payment.failed"], "{}", provider.name());
    }
}
