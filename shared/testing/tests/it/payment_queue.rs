//! The queue of payments: messages that come twice, that are none, that name nothing, and events about what others do with
//! the same account.

use jobs::State;
use kernel::{JobId, Time};
use payment_double::Provider;
use serde_json::{Value, json};
use testing::START;

use crate::invoices::told;
use crate::shop::{PAY, Shop, keys};

const PAYMENTS: &str = "PaymentQueue";

/// A shop that was told of a payment, and the messages of that.
async fn told_of_a_payment() -> (Shop, String, String, Vec<String>) {
    let shop = Shop::open().await;
    let (invoice, payment) = shop.begun(Provider::Stripe, 9_900).await;
    shop.double.act(&payment, &PAY).unwrap();
    for id in shop.news() {
        shop.deliver(&id).await.expect(200);
    }
    let messages = shop.app.take(PAYMENTS).await;
    assert!(!messages.is_empty());
    (shop, invoice, payment, messages)
}

async fn is_paid_once(shop: &Shop, invoice: &str, payment: &str) {
    let shown = shop.shown(invoice).await;
    assert_eq!(
        (&shown["status"], &shown["amountPaid"]),
        (&json!("paid"), &json!(9_900))
    );
    assert_eq!(told(&shop.app, &shop.acme.org, payment).await.len(), 1);
}

#[tokio::test]
async fn a_message_that_comes_twice_does_nothing_more() {
    let (shop, invoice, payment, messages) = told_of_a_payment().await;
    let twice = [messages.clone(), messages.clone()].concat();
    assert_eq!(shop.app.deliver_from(PAYMENTS, &twice).await, Vec::<usize>::new());
    is_paid_once(&shop, &invoice, &payment).await;
    shop.app.settle().await;
    let calls = shop.double.calls();
    assert_eq!(shop.app.deliver_from(PAYMENTS, &twice).await, Vec::<usize>::new());
    is_paid_once(&shop, &invoice, &payment).await;
    assert_eq!(shop.double.calls(), calls, "what is done is not done again");

    shop.refund(&payment, 900).await.expect(201);
    let messages = shop.app.take(PAYMENTS).await;
    let twice = [messages.clone(), messages.clone()].concat();
    assert_eq!(shop.app.deliver_from(PAYMENTS, &twice).await, Vec::<usize>::new());
    assert_eq!(shop.app.deliver_from(PAYMENTS, &twice).await, Vec::<usize>::new());
    assert_eq!(shop.double.count(&payment).refunds, 1);
    shop.app.settle().await;
}

#[tokio::test]
async fn a_poisoned_message_fails_alone() {
    let (shop, invoice, payment, messages) = told_of_a_payment().await;
    let named = |name: &str, value: Value| {
        let mut message: Value = serde_json::from_str(&messages[0]).unwrap();
        message[name] = value;
        message.to_string()
    };
    let mut texts = vec![
        "{".to_owned(),
        String::new(),
        named("kind", json!("payment-nothing")),
        named("kind", json!("mail")),
        named("more", json!(1)),
        named("id", json!("job_")),
    ];
    // There is no such job: its record is the truth.
    texts.push(named("id", json!(JobId::new(START))));
    let many = texts.len();
    texts.extend(messages.clone());
    let failed = shop.app.deliver_from(PAYMENTS, &texts).await;
    assert_eq!(failed, (0..many - 1).collect::<Vec<_>>());
    is_paid_once(&shop, &invoice, &payment).await;
    shop.app.settle().await;
}

/// Two organizations share an account at a provider: each hears what the other one's payments do.
#[tokio::test]
async fn an_event_about_nothing_of_ours_is_done_in_the_end() {
    let shop = Shop::open().await;
    let rival = shop.app.tenant().await;
    let account = "/v1/payment-providers/stripe";
    rival.client.put(account, keys(Provider::Stripe)).await.expect(200);
    let client = rival.new_client(json!({})).await;
    let lines = json!([{"description": "Work", "quantity": 1, "unitPrice": 9_900, "taxRate": "0"}]);
    let new = json!({"clientId": client, "currency": "EUR", "dueDate": "2027-03-29", "lineItems": lines});
    let invoice = crate::invoices::drafted(&rival.client, new).await;
    crate::invoices::send(&rival.client, &invoice).await;
    let pay = format!("/v1/invoices/{invoice}/pay");
    let begun = rival.client.post(pay, json!({"provider": "stripe"})).await.expect(201);
    let theirs = begun.json["payment"]["id"].as_str().unwrap();
    shop.double.act(theirs, &PAY).unwrap();
    shop.app.settle().await;

    // It is told to the shop alone.
    for id in &shop.news() {
        shop.deliver(id).await.expect(200);
    }
    let jobs = shop.app.take(PAYMENTS).await;
    assert_eq!(shop.app.deliver_from(PAYMENTS, &jobs).await, Vec::<usize>::new());
    for _ in 0..6 {
        shop.wait(10 * Time::MINUTE).await;
    }
    let mut tries = 0;
    for text in &jobs {
        let named = serde_json::from_str(text).unwrap();
        let job = jobs::store::find(&shop.app.table(), &named).await.unwrap().unwrap();
        assert_eq!(job.state, State::Completed, "{}: {:?}", job.kind, job.error);
        tries = tries.max(job.attempts);
    }
    assert_eq!(tries, 3);
    assert!(told(&shop.app, &shop.acme.org, theirs).await.is_empty());
    assert!(shop.now().await.get("/v1/payments").await.expect(200).data().is_empty());
    // Their own watch has found it.
    let theirs_now = rival.owner.logged_in_again(&shop.app).await.client.within(&rival.org);
    let shown = theirs_now.get(format!("/v1/payments/{theirs}")).await.expect(200);
    assert_eq!(shown.json["status"], "succeeded");
}
