//! Who is mailed of money that fits nothing and of what the night finds: whoever looks after the organization's money, once.

use kernel::policy::ReadOrg;
use kernel::{PaymentId, Scope, Time};
use outbox::{Listener, Told};
use payment_double::{Act, Provider};
use payments::mails::Mails;
use serde_json::json;
use table::Slice;
use testing::Person;

use crate::shop::{PAY, SECRETS, Shop};
use crate::usage::env;

/// The subjects of mails about money that a person got.
fn subjects(shop: &Shop, person: &Person) -> Vec<String> {
    let mails = shop.app.mails_to(&person.email).into_iter();
    let subjects = mails.map(|mail| mail.subject);
    subjects
        .filter(|subject| subject.contains("fits nothing") || subject.contains("differ"))
        .collect()
}

/// An accountant and an admin, who are told, and a member and a viewer, who are not.
async fn people(shop: &Shop) -> [Person; 4] {
    let mut people = Vec::new();
    for role in ["accountant", "admin", "member", "viewer"] {
        people.push(shop.app.member(&shop.acme, role).await);
    }
    people.try_into().unwrap()
}

async fn facts(shop: &Shop, fact: &str) -> Vec<Told> {
    let scope = Scope::<ReadOrg>::system(shop.acme.org.parse().unwrap());
    let slice = Slice {
        limit: 100,
        after: None,
    };
    let log = outbox::store::log(&shop.app.table(), &scope, slice).await.unwrap();
    log.records.into_iter().filter(|told| told.fact == fact).collect()
}

/// Hears facts once more, as after a crash.
async fn hear_again(shop: &Shop, facts: &[Told]) {
    let outside = shop.app.app().await;
    let mails = Mails::of(&env(&outside), &outside).unwrap();
    for fact in facts {
        mails.hear(&outside, fact).await.unwrap();
    }
    shop.app.settle().await;
}

#[tokio::test]
async fn who_looks_after_money_is_mailed_once_of_what_fits_nothing() {
    let shop = Shop::open().await;
    let [accountant, admin, member, viewer] = people(&shop).await;
    let rival = shop.app.tenant().await;
    let (_, payment) = shop.begun(Provider::Stripe, 17_000).await;
    let other = Act::Pay {
        units: Some(16_000),
        currency: None,
    };
    shop.act(&payment, &other).await;
    assert_eq!(shop.payment(&payment).await["status"], "unapplied");
    shop.app.settle().await;
    let expected = ["Tenant 1 got EUR 160.00 that fits nothing"];
    for person in [&shop.acme.owner, &accountant, &admin] {
        assert_eq!(subjects(&shop, person), expected, "{}", person.email);
    }
    for person in [&member, &viewer, &rival.owner] {
        assert!(subjects(&shop, person).is_empty(), "{}", person.email);
    }
    let mail = shop.app.mails_to(&accountant.email).pop().unwrap();
    let text = mail.text.unwrap();
    for part in [
        "by Stripe",
        "Why:     EUR 170.00 was asked for\n",
        &*format!("/payments/{payment}\n"),
        "owner, admin or accountant",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let told = facts(&shop, "payment.unapplied").await;
    assert_eq!(told.len(), 1);
    hear_again(&shop, &told).await;
    assert_eq!(subjects(&shop, &accountant).len(), 1);
    // What fits is nothing to write of.
    shop.paid(Provider::Razorpay, 5_000).await;
    shop.app.settle().await;
    assert_eq!(subjects(&shop, &accountant).len(), 1);
}

/// Somebody pays on a page that names a payment of ours which is none: it was opened past us, with our keys.
async fn opened_past_us(shop: &Shop) -> String {
    let payment = PaymentId::new(shop.app.now()).to_string();
    let form = [
        "mode=payment",
        "success_url=https://shop.example.com",
        &format!("client_reference_id={payment}"),
        "line_items[0][quantity]=1",
        "line_items[0][price_data][currency]=eur",
        "line_items[0][price_data][unit_amount]=4200",
        "line_items[0][price_data][product_data][name]=Work",
    ];
    let url = format!("{}/v1/checkout/sessions", shop.double.base(Provider::Stripe));
    let request = reqwest::Client::new()
        .post(url)
        .bearer_auth(SECRETS[0])
        .header("stripe-version", "2026-07-29.dahlia")
        .body(form.join("&"));
    let reply = request.send().await.unwrap();
    assert_eq!(reply.status(), 200);
    shop.double.act(&payment, &PAY).unwrap();
    shop.news();
    payment
}

#[tokio::test]
async fn a_night_that_finds_a_difference_is_mailed_once_however_many_nights_find_it() {
    let shop = Shop::open().await;
    let [accountant, admin, member, viewer] = people(&shop).await;
    shop.paid(Provider::Stripe, 5_000).await;
    let past_us = opened_past_us(&shop).await;
    shop.wait(Time::DAY).await;
    let expected = ["Payments of Tenant 1 differ from what Stripe lists"];
    for person in [&shop.acme.owner, &accountant, &admin] {
        assert_eq!(subjects(&shop, person), expected, "{}", person.email);
    }
    for person in [&member, &viewer] {
        assert!(subjects(&shop, person).is_empty(), "{}", person.email);
    }
    let text = shop.app.mails_to(&admin.email).pop().unwrap().text.unwrap();
    assert!(
        text.contains("Payments that differ:  1\n") && text.contains("/payments/comparisons\n"),
        "{text}"
    );

    let told = facts(&shop, "reconciliation.drifted").await;
    assert_eq!(told.len(), 1, "{told:#?}");
    hear_again(&shop, &told).await;
    shop.wait(Time::DAY).await;
    let reports = shop.now().await.get("/v1/payment-reconciliations").await.expect(200);
    let of_nights: Vec<_> = reports.data().iter().map(|report| &report["drifted"]).collect();
    assert_eq!(
        of_nights,
        [&json!(1), &json!(1)],
        "both nights find it: {:#}",
        reports.json
    );
    assert!(
        reports.data()[0]["drift"][0]["text"]
            .as_str()
            .unwrap()
            .contains(&past_us)
    );
    assert_eq!(subjects(&shop, &accountant).len(), 1, "and one is mailed");
    // Another one is another mail.
    opened_past_us(&shop).await;
    shop.wait(Time::DAY).await;
    assert_eq!(subjects(&shop, &accountant).len(), 2);
    assert_eq!(facts(&shop, "reconciliation.drifted").await.len(), 2);
}
