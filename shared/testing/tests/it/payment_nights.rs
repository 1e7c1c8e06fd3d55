//! What payments do beside invoices: credits that are bought and taken back, and the comparison at night.

use payment_double::{Account, Act, Provider, Verdict};
use serde_json::{Value, json};
use testing::{Chaos, Setup, Tenant};

use crate::shop::{PAY, Shop};

/// What the platform's own account at Stripe is opened with, by the template.
const PLATFORM: (&str, &str) = ("sk_test_platform_7c", "whsec_cGxhdGZvcm0");

/// A shop whose platform can be paid at Stripe.
async fn shop() -> Shop {
    shop_under(Chaos::only(&[])).await
}

/// One whose functions meet these faults.
pub(crate) async fn shop_under(chaos: Chaos) -> Shop {
    let shop = Shop::open_with(|setup| {
        Setup { chaos, ..setup }
            .parameter("StripeSecretKey", PLATFORM.0)
            .parameter("StripeWebhookSecret", PLATFORM.1)
    });
    let shop = shop.await;
    shop.double.register(Account {
        provider: Provider::Stripe,
        key: PLATFORM.0.to_owned(),
        webhook_url: "http://127.0.0.1:9/".to_owned(),
        webhook_secret: PLATFORM.1.to_owned(),
    });
    // The first manager makes the platform's organization.
    shop.app.manager().await;
    shop
}

/// What the shop's wallet has and owes.
pub(crate) async fn wallet(shop: &Shop) -> [i64; 2] {
    let wallet = shop.now().await.get("/v1/wallet").await.expect(200).json;
    ["balance", "debt"].map(|name| wallet[name].as_i64().unwrap())
}

/// Asks for credits; what is told of that, and the path of our page.
pub(crate) async fn wanted(shop: &Shop, credits: u64) -> (Value, String) {
    let acme = shop.now().await;
    let started = acme.post("/v1/wallet/topups", json!({"credits": credits})).await;
    let started = started.expect(201).json;
    let url = started["paymentUrl"].as_str().unwrap();
    let path = url[url.find("/pay/").unwrap()..].to_owned();
    (started, path)
}

/// Buys credits; the id of the payment, which is the platform's.
pub(crate) async fn buy(shop: &Shop, credits: u64) -> (Value, String) {
    let (started, path) = wanted(shop, credits).await;
    let path = path.as_str();
    let page = shop.app.client().get(path).await;
    assert_eq!(page.status, 200);
    let html = String::from_utf8(page.bytes).unwrap();
    assert!(html.contains("value=\"stripe\"") && html.contains("credits"), "{html}");
    let form = shop
        .app
        .client()
        .header("content-type", "application/x-www-form-urlencoded");
    let reply = form.post_bytes(path, "provider=stripe").await;
    assert_eq!(reply.status, 303, "{}", String::from_utf8_lossy(&reply.bytes));
    // Again: the same page.
    assert_eq!(
        form.post_bytes(path, "provider=stripe").await.header("location"),
        reply.header("location")
    );
    let owner = platform(shop).await;
    let payment = owner.get("/v1/payments").await.expect(200).data()[0]["id"].clone();
    (started, payment.as_str().unwrap().to_owned())
}

/// The manager, within the platform's organization.
pub(crate) async fn platform(shop: &Shop) -> testing::Client {
    let manager = shop.app.manager().await;
    manager.client.within(&kernel::OrgId::PLATFORM.to_string())
}

async fn act(shop: &Shop, payment: &str, act: &Act) {
    shop.double.act(payment, act).unwrap();
    told(shop).await;
}

/// Tells the platform what there is to tell, twice.
pub(crate) async fn told(shop: &Shop) {
    for id in shop.news() {
        deliver(shop, &id).await;
        deliver(shop, &id).await;
    }
    shop.app.settle().await;
}

/// Tells the platform of something.
pub(crate) async fn deliver(shop: &Shop, id: &str) {
    let platform = kernel::OrgId::PLATFORM.to_string();
    shop.deliver_to(&platform, id).await.expect(200);
}

#[tokio::test]
async fn credits_are_bought_once_and_taken_back_with_the_money() {
    let shop = shop().await;
    let [before, _] = wallet(&shop).await;
    let (started, payment) = buy(&shop, 1_000_000).await;
    assert_eq!(started["payment"]["status"], "pending");
    assert_eq!(wallet(&shop).await, [before, 0], "nothing is paid yet");
    act(&shop, &payment, &PAY).await;
    assert_eq!(wallet(&shop).await, [before + 1_000_000, 0]);
    let topups = shop.now().await.get("/v1/wallet/topups").await.expect(200);
    assert_eq!(
        (&topups.data()[0]["status"], &topups.data()[0]["paymentUrl"]),
        (&json!("succeeded"), &Value::Null)
    );
    let owner = platform(&shop).await;
    let shown = owner.get(format!("/v1/payments/{payment}")).await.expect(200).json;
    assert_eq!(
        (&shown["status"], &shown["invoiceId"]),
        (&json!("succeeded"), &Value::Null)
    );
    // It is the platform's payment, not the buyer's.
    shop.now()
        .await
        .get(format!("/v1/payments/{payment}"))
        .await
        .problem(404, "not_found");

    // A part of the money goes back, and so do the credits.
    let part = shown["amount"].as_i64().unwrap() / 4;
    let path = format!("/v1/payments/{payment}/partial-refund");
    owner.post(&path, json!({"amount": part})).await.expect(201);
    shop.app.settle().await;
    told(&shop).await;
    assert_eq!(wallet(&shop).await, [before + 750_000, 0]);

    // Spent, then contested and lost: the rest is debt.
    let [balance, _] = wallet(&shop).await;
    let manager = shop.app.manager().await;
    let correct = json!({"credits": -(balance - 100), "reason": "spent"});
    let credits = format!("/v1/admin/orgs/{}/credits", shop.acme.org);
    manager.client.post(credits, correct).await.expect(201);
    act(&shop, &payment, &Act::Dispute { units: None }).await;
    act(&shop, &payment, &Act::Decide { verdict: Verdict::Lost }).await;
    assert_eq!(wallet(&shop).await, [0, 750_000 - 100]);
}

#[tokio::test]
async fn a_topup_that_somebody_granted_meanwhile_keeps_the_money_unapplied() {
    let shop = shop().await;
    let (_, payment) = buy(&shop, 1_000_000).await;
    shop.double
        .act(
            &payment,
            &Act::Pay {
                units: Some(900),
                currency: None,
            },
        )
        .unwrap();
    told(&shop).await;
    let owner = platform(&shop).await;
    let shown = owner.get(format!("/v1/payments/{payment}")).await.expect(200).json;
    assert_eq!(shown["status"], "unapplied", "{shown:#}");
    let [balance, debt] = wallet(&shop).await;
    assert!(balance < 1_000_000 && debt == 0);
}

#[tokio::test]
async fn the_night_books_what_nobody_told_and_reports_what_differs() {
    let shop = Shop::open().await;
    for provider in [Provider::Stripe, Provider::Razorpay] {
        // Its page ended unpaid, as far as anybody here knows; then the money came all the same.
        let (invoice, payment) = shop.begun(provider, 17_000).await;
        let fine = shop.paid(provider, 5_000).await;
        shop.double.act(&payment, &PAY).unwrap();
        shop.news();
        assert_eq!(shop.payment(&payment).await["status"], "pending");
        for _ in 0..5 {
            shop.wait(6 * 3_600_000).await;
        }
        assert_eq!(
            shop.payment(&payment).await["status"],
            "succeeded",
            "{}",
            provider.name()
        );
        assert_eq!(shop.shown(&invoice).await["status"], "paid");
        assert_eq!(shop.payment(&fine.1).await["status"], "succeeded");
    }
    let reports = shop.now().await.get("/v1/payment-reconciliations").await.expect(200);
    assert!(
        reports.data().iter().all(|report| report["drifted"] == 0),
        "{:#}",
        reports.json
    );
    let rival: Tenant = shop.app.tenant().await;
    let none = rival.client.get("/v1/payment-reconciliations").await.expect(200);
    assert!(none.data().is_empty());
}

/// What Stripe could not deliver is looked at: a dispute and its end are on no list of charges.
#[tokio::test]
async fn the_night_looks_at_what_stripe_could_not_deliver() {
    let shop = Shop::open().await;
    let (lost, fine) = (
        shop.paid(Provider::Stripe, 17_000).await,
        shop.paid(Provider::Stripe, 5_000).await,
    );
    // Long after anybody watches it.
    for _ in 0..3 {
        shop.wait(86_400_000).await;
    }
    shop.double.act(&lost.1, &Act::Dispute { units: None }).unwrap();
    shop.double
        .act(&lost.1, &Act::Decide { verdict: Verdict::Lost })
        .unwrap();
    shop.news();
    assert_eq!(shop.payment(&lost.1).await["status"], "succeeded", "nobody was told");
    shop.wait(86_400_000).await;
    assert_eq!(shop.payment(&lost.1).await["status"], "charged_back");
    assert_eq!(shop.shown(&lost.0).await["amountDue"], 17_000);
    assert_eq!(shop.payment(&fine.1).await["status"], "succeeded");
    let asked = shop.double.calls();
    let asked = asked.as_array().unwrap().iter();
    let lists: Vec<_> = asked
        .filter(|call| {
            call["path"]
                .as_str()
                .unwrap()
                .contains("/v1/events?delivery_success=false")
        })
        .collect();
    assert!(
        !lists.is_empty() && lists.iter().all(|call| call["status"] == 200),
        "{lists:?}"
    );
    let reports = shop.now().await.get("/v1/payment-reconciliations").await.expect(200);
    assert_eq!(
        (&reports.data()[0]["repaired"], &reports.data()[0]["drifted"]),
        (&json!(1), &json!(0)),
        "{:#}",
        reports.json
    );
    // It stays undelivered, and is nothing new.
    shop.wait(86_400_000).await;
    let again = shop.now().await.get("/v1/payment-reconciliations").await.expect(200);
    assert_eq!(again.data().len(), reports.data().len());
}
