//! Credit notes that give back what was paid by the way it was paid: what is asked of the provider, what is refused, who may.

use payment_double::{Act, Provider, RefundEnd};
use serde_json::{Value, json};
use testing::{Client, Reply};

use crate::invoices::cash;
use crate::shop::{ALL, PAY, Shop};

/// Credits so much of an invoice's only line.
async fn credit(client: &Client, invoice: &str, amount: i64, refund: bool) -> Reply {
    let path = format!("/v1/invoices/{invoice}/credit-notes");
    let lines = json!([{"lineIndex": 0, "amount": amount}]);
    let body = json!({"lines": lines, "reason": "returned", "refund": refund});
    client.post(path, body).await
}

async fn balance(shop: &Shop, invoice: &str) -> Value {
    let client = shop.shown(invoice).await["clientId"].as_str().unwrap().to_owned();
    let shown = shop.now().await.get(format!("/v1/clients/{client}")).await.expect(200);
    shown.json["balance"].clone()
}

fn amounts(note: &Value) -> [i64; 4] {
    ["total", "amountDueLowered", "amountToBalance", "amountToRefund"].map(|name| note[name].as_i64().unwrap())
}

#[tokio::test]
async fn a_credit_note_gives_back_what_was_paid_at_every_provider() {
    let shop = Shop::open().await;
    for provider in ALL {
        let (invoice, payment) = shop.paid(provider, 17_000).await;
        let before = balance(&shop, &invoice).await;
        for amount in [2_000, 5_000] {
            let note = credit(&shop.now().await, &invoice, amount, true).await.expect(201).json;
            assert_eq!(amounts(&note), [amount, 0, 0, amount], "{note:#}");
        }
        // One that is not to be refunded goes to the balance.
        let note = credit(&shop.now().await, &invoice, 1_000, false).await.expect(201).json;
        assert_eq!(amounts(&note), [1_000, 0, 1_000, 0]);
        shop.app.settle().await;
        shop.tell().await;
        let found = shop.payment(&payment).await;
        assert_eq!(found["status"], "partially_refunded", "{} {found:#}", provider.name());
        assert_eq!(found["amountRefunded"], 7_000);
        assert_eq!(found["refunds"][0]["reason"], "returned");
        let texts = found["history"].to_string();
        assert!(
            texts.contains("the credit note CN-2027-") && texts.contains("asks for a refund of"),
            "{texts}"
        );
        let count = shop.double.count(&payment);
        assert_eq!((count.charges, count.refunds), (1, 2), "{}", provider.name());
        let shown = shop.shown(&invoice).await;
        assert_eq!(
            (&shown["status"], &shown["amountDue"], &shown["amountRefunded"]),
            (&json!("paid"), &json!(0), &json!(7_000))
        );
        assert_ne!(balance(&shop, &invoice).await, before);
    }
}

#[tokio::test]
async fn what_is_due_is_lowered_first_and_the_rest_goes_back_of_several_payments() {
    let shop = Shop::open().await;
    let invoice = shop.invoice(Provider::Stripe, 10_000).await;
    let path = format!("/v1/invoices/{invoice}/pay");
    let mut payments = Vec::new();
    for amount in [3_000, 4_000] {
        let begun = shop
            .now()
            .await
            .post(&path, json!({"provider": "stripe", "amount": amount}))
            .await;
        let payment = begun.expect(201).json["payment"]["id"].as_str().unwrap().to_owned();
        shop.act(&payment, &PAY).await;
        payments.push(payment);
        // Which is the newest is told by the millisecond.
        shop.app.advance(1);
    }
    let note = credit(&shop.now().await, &invoice, 8_500, true).await.expect(201).json;
    assert_eq!(amounts(&note), [8_500, 3_000, 0, 5_500]);
    shop.app.settle().await;
    shop.tell().await;
    let back = async |payment: &str| shop.payment(payment).await["amountRefunded"].clone();
    assert_eq!(
        [back(&payments[0]).await, back(&payments[1]).await],
        [1_500, 4_000],
        "the newest first"
    );
    // What is left is 1,500; more was never paid, though so much of the invoice is left.
    let shown = shop.shown(&invoice).await;
    assert_eq!(shown["amountDue"], 0);
    let note = credit(&shop.now().await, &invoice, 1_500, true).await.expect(201).json;
    assert_eq!(amounts(&note), [1_500, 0, 0, 1_500]);
    shop.app.settle().await;
    shop.tell().await;
    assert_eq!(back(&payments[0]).await, 3_000);
    assert_eq!(shop.payment(&payments[0]).await["status"], "refunded");
}

#[tokio::test]
async fn what_cannot_go_back_is_refused_and_nothing_is_credited() {
    let shop = Shop::open().await;
    let (invoice, payment) = shop.paid(Provider::Stripe, 10_000).await;
    shop.refund(&payment, 4_000).await.expect(201);
    shop.app.settle().await;
    shop.tell().await;
    credit(&shop.now().await, &invoice, 6_001, true)
        .await
        .problem(409, "refund_too_large");
    // A refund that failed is as if it had not been: what it gave back is left again.
    shop.double.refunds_end(RefundEnd::Failed);
    credit(&shop.now().await, &invoice, 6_000, true).await.expect(201);
    shop.app.settle().await;
    shop.tell().await;
    shop.double.refunds_end(RefundEnd::Succeeded);
    assert_eq!(shop.payment(&payment).await["amountRefunded"], 4_000);
    credit(&shop.now().await, &invoice, 4_001, true)
        .await
        .problem(422, "invalid");
    credit(&shop.now().await, &invoice, 4_000, true).await.expect(201);
    shop.app.settle().await;
    shop.tell().await;
    assert_eq!(shop.payment(&payment).await["amountRefunded"], 8_000);
    let notes = shop
        .now()
        .await
        .get(format!("/v1/invoices/{invoice}/credit-notes"))
        .await
        .expect(200);
    assert_eq!(notes.data().len(), 2, "what was refused is no note");

    // Contested, paid by hand, or not paid at all.
    let (contested, payment) = shop.paid(Provider::Stripe, 10_000).await;
    shop.act(&payment, &Act::Dispute { units: None }).await;
    credit(&shop.now().await, &contested, 100, true)
        .await
        .problem(409, "not_refundable");
    let by_hand = shop.invoice(Provider::Stripe, 10_000).await;
    let paid = shop
        .now()
        .await
        .post(format!("/v1/invoices/{by_hand}/payments"), cash(10_000))
        .await;
    paid.expect(201);
    credit(&shop.now().await, &by_hand, 100, true)
        .await
        .problem(409, "not_refundable");
    let unpaid = shop.invoice(Provider::Stripe, 10_000).await;
    let note = credit(&shop.now().await, &unpaid, 100, true).await.expect(201).json;
    assert_eq!(amounts(&note), [100, 100, 0, 0], "nothing was paid: nothing goes back");
}

#[tokio::test]
async fn only_who_may_bill_gives_back_and_once_for_a_key() {
    let shop = Shop::open().await;
    let (invoice, payment) = shop.paid(Provider::Stripe, 10_000).await;
    let rival = shop.app.tenant().await;
    credit(&rival.client, &invoice, 100, true)
        .await
        .problem(404, "not_found");
    for (role, may) in [("viewer", false), ("member", false), ("accountant", true)] {
        let member = shop.app.member(&shop.acme, role).await;
        let reply = credit(&member.client.within(&shop.acme.org), &invoice, 100, true).await;
        assert_eq!(reply.status.as_u16(), if may { 201 } else { 403 }, "{role}");
    }
    let acme = shop.now().await;
    let path = format!("/v1/invoices/{invoice}/credit-notes");
    for (bad, field) in [
        (json!({"lines": [], "reason": "x", "refund": true}), "lines"),
        (
            json!({"lines": [{"lineIndex": 0}], "reason": "", "refund": true}),
            "reason",
        ),
        (
            json!({"lines": [{"lineIndex": 7}], "reason": "x", "refund": true}),
            "lines[0].lineIndex",
        ),
    ] {
        assert_eq!(acme.post(&path, bad).await.problem(422, "invalid").fields(), [field]);
    }
    acme.post(
        &path,
        json!({"lines": [{"lineIndex": 0}], "reason": "x", "refund": "yes"}),
    )
    .await
    .expect(400);

    let keyed = acme.header("idempotency-key", "credit-1");
    let first = credit(&keyed, &invoice, 2_000, true).await.expect(201);
    let again = credit(&keyed, &invoice, 2_000, true).await.expect(201);
    assert_eq!(
        (again.header("idempotent-replayed"), &again.bytes),
        ("true", &first.bytes)
    );
    credit(&keyed, &invoice, 2_001, true).await.expect(422);
    shop.app.settle().await;
    shop.tell().await;
    assert_eq!(shop.payment(&payment).await["amountRefunded"], 2_100);
    assert_eq!(shop.double.count(&payment).refunds, 2);
}
