//! Top-ups by their payments: credited once, failed, taken back; whatever is told twice, late, at once and in another order.

use commit::{Commit, again_patiently};
use futures::future::join_all;
use kernel::{OrgId, Origin, PaymentId, Time};
use lambda::App;
use metering::topup::{self, Paid};
use serde_json::{Value, json};
use testing::{Setup, Tenant, TestApp};

use crate::wallet::{adjust, agreed};

const INCLUDED: i64 = 100_000;
const EVENT: &str = "/v1/ingest/event";

fn event() -> Value {
    json!({"type": "A", "name": "a"})
}

/// A tenant's wallet, and whoever takes the money.
struct Till {
    testing: TestApp,
    app: App,
    acme: Tenant,
    org: OrgId,
}

impl Till {
    async fn of(testing: TestApp) -> Self {
        let (app, acme) = (testing.app().await, testing.tenant().await);
        let org = acme.org.parse().unwrap();
        Self {
            testing,
            app,
            acme,
            org,
        }
    }

    async fn start() -> Self {
        Self::of(TestApp::start().await).await
    }

    /// Somebody asks for credits.
    async fn asked(&self, credits: i64) -> PaymentId {
        let reply = self
            .acme
            .client
            .post("/v1/wallet/topups", json!({"credits": credits}))
            .await;
        reply.expect(201).json["payment"]["id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    async fn paid(&self, id: PaymentId) -> Paid {
        let done = again_patiently(|| async {
            let commit = Commit::of(&self.app, &Origin::default());
            let (commit, paid) = topup::paid(&self.app, commit, self.org, id).await?;
            if paid == Paid::Now {
                commit.await?;
            }
            Ok(paid)
        });
        done.await.unwrap()
    }

    async fn failed(&self, id: PaymentId) {
        let done = again_patiently(|| async {
            let commit = Commit::of(&self.app, &Origin::default());
            let desk = self.testing.desk();
            topup::failed(&self.app, &desk, commit, self.org, id).await?.await
        });
        done.await.unwrap();
    }

    async fn take_back(&self, id: PaymentId, credits: u64) {
        let done = again_patiently(|| async {
            let commit = Commit::of(&self.app, &Origin::default());
            topup::take_back(&self.app, commit, self.org, id, credits).await?.await
        });
        done.await.unwrap();
    }

    async fn topups(&self) -> Vec<Value> {
        self.acme.client.all("/v1/wallet/topups").await
    }

    /// What the wallet, which adds up, has and owes.
    async fn has(&self) -> [i64; 4] {
        let wallet = agreed(&self.acme.client).await;
        ["balance", "spent", "granted", "debt"].map(|name| wallet[name].as_i64().unwrap())
    }

    async fn facts(&self, fact: &str) -> usize {
        let scope = kernel::Scope::<kernel::policy::ReadOrg>::system(self.org);
        let slice = table::Slice { limit: 50, after: None };
        let log = outbox::store::log(&self.app.table, &scope, slice).await.unwrap();
        log.records.iter().filter(|told| told.fact == fact).count()
    }
}

#[tokio::test]
async fn a_top_up_has_a_price_and_is_credited_once() {
    let till = Till::start().await;
    let id = till.asked(10_000).await;
    let shown = &till.topups().await[0];
    assert_eq!(
        (&shown["amount"], &shown["currency"], &shown["status"]),
        (&json!(10), &json!("USD"), &json!("pending"))
    );
    let paid = join_all((0..10).map(|_| till.paid(id))).await;
    assert_eq!(paid.iter().filter(|paid| **paid == Paid::Now).count(), 1);
    assert!(paid.iter().all(|paid| [Paid::Now, Paid::Before].contains(paid)));
    let granted = INCLUDED + 10_000;
    assert_eq!(till.has().await, [granted, 0, granted, 0]);
    assert_eq!(till.topups().await[0]["status"], "succeeded");
    assert_eq!(till.facts("wallet.topped_up").await, 1);
    let grants = till.acme.client.all("/v1/wallet/grants").await;
    let grant = grants.iter().find(|grant| grant["reason"] == "top-up").unwrap();
    assert_eq!(grant["priority"], 50);
    assert!(grant.get("expiresAt").is_none());
    till.testing.settle().await;
}

#[tokio::test]
async fn a_success_that_comes_after_a_failure_wins_and_a_failure_after_it_is_nothing() {
    let till = Till::start().await;
    let id = till.asked(500).await;
    till.failed(id).await;
    assert_eq!(till.topups().await[0]["status"], "failed");
    assert_eq!(till.paid(id).await, Paid::Now);
    till.failed(id).await;
    assert_eq!(till.topups().await[0]["status"], "succeeded");
    assert_eq!(till.has().await[0], INCLUDED + 500);
    // Nobody is mailed of what somebody asked for: they see it where they pay.
    till.testing.settle().await;
    assert!(
        till.testing
            .mails_to(&till.acme.owner.email)
            .iter()
            .all(|mail| !mail.subject.contains("credits"))
    );
}

#[tokio::test]
async fn what_somebody_of_the_platform_granted_in_its_place_is_not_paid_too() {
    let till = Till::start().await;
    let manager = till.testing.manager().await;
    let set = json!({"threshold": INCLUDED + 100, "step": 100});
    till.acme.client.put("/v1/wallet/auto-topup", set).await.expect(200);
    let id: PaymentId = till.topups().await[0]["id"].as_str().unwrap().parse().unwrap();
    adjust(&manager, &till.acme.org, json!({"credits": 100, "reason": "a gift"}))
        .await
        .expect(201);
    assert_eq!(till.paid(id).await, Paid::ByHand);
    till.take_back(id, 100).await;
    assert_eq!(till.has().await[0], INCLUDED + 100);
    // Another organization's is none.
    let rival = till.testing.tenant().await.org.parse().unwrap();
    let commit = Commit::of(&till.app, &Origin::default());
    let refused = topup::paid(&till.app, commit, rival, id).await;
    assert!(matches!(refused, Err(kernel::Error::NotFound(_))));
    till.testing.settle().await;
}

#[tokio::test]
async fn what_is_taken_back_adds_up_and_is_given_again_if_the_refund_fails() {
    let till = Till::start().await;
    let id = till.asked(1_000).await;
    till.take_back(id, 1_000).await;
    assert_eq!(till.has().await[0], INCLUDED, "it was not paid");
    till.paid(id).await;
    for (in_all, left) in [
        (300, 700),
        (300, 700),
        (1_000, 0),
        (5_000, 0),
        (300, 700),
        (0, 1_000),
        (400, 600),
    ] {
        till.take_back(id, in_all).await;
        let granted = INCLUDED + left;
        assert_eq!(till.has().await, [granted, 0, granted, 0], "{in_all} in all");
        let shown = &till.topups().await[0];
        assert_eq!(shown["takenBack"], 1_000 - left, "{in_all}");
    }
    let at_once = [500, 600, 900, 700].map(|in_all| till.take_back(id, in_all));
    join_all(at_once).await;
    let taken = till.topups().await[0]["takenBack"].as_i64().unwrap();
    assert_eq!(till.has().await[0], INCLUDED + 1_000 - taken);
    till.testing.settle().await;
}

#[tokio::test]
async fn what_was_spent_is_debt_and_the_next_top_up_pays_it() {
    let till = Till::start().await;
    let manager = till.testing.manager().await;
    let id = till.asked(50).await;
    till.paid(id).await;
    adjust(
        &manager,
        &till.acme.org,
        json!({"credits": -INCLUDED, "reason": "none for free"}),
    )
    .await
    .expect(201);
    for _ in 0..30 {
        till.acme.server.post(EVENT, event()).await.expect(202);
    }
    // Those that are sold are in leases; what is not sold of them comes back.
    till.take_back(id, 50).await;
    till.testing.settle().await;
    till.testing.advance(5 * Time::MINUTE);
    till.testing.run_sweeper().await;
    till.testing.settle().await;
    assert_eq!(till.has().await, [0, 0, 0, 30]);
    till.acme
        .server
        .post(EVENT, event())
        .await
        .problem(402, "out_of_credits");
    let other = till.asked(100).await;
    till.paid(other).await;
    assert_eq!(till.has().await, [70, 30, 100, 0]);
    till.testing.settle().await;
}

#[tokio::test]
async fn fifty_debits_at_once_ask_for_one_top_up() {
    let setup = Setup {
        processes: 4,
        ..Setup::default()
    };
    let till = Till::of(TestApp::start_as(setup).await).await;
    let manager = till.testing.manager().await;
    let prices = json!({"prices": {"ingest.event": 20}, "topup": {"credits": 3, "amount": 7, "currency": "JPY"}});
    manager.client.put("/v1/admin/prices", prices).await.expect(200);
    till.testing.advance(31 * Time::SECOND);
    let free = json!({"credits": 1_000 - INCLUDED, "reason": "few"});
    adjust(&manager, &till.acme.org, free).await.expect(201);
    let set = json!({"threshold": 1_000, "step": 500});
    till.acme.client.put("/v1/wallet/auto-topup", set).await.expect(200);
    assert!(till.topups().await.is_empty());

    let debits = join_all((0..50).map(|_| till.acme.server.post(EVENT, event()))).await;
    assert!(debits.iter().all(|reply| reply.status == 202), "{debits:?}");
    let asked = till.topups().await;
    assert_eq!(
        (asked.len(), &asked[0]["credits"], &asked[0]["automatic"]),
        (1, &json!(500), &json!(true))
    );
    // 500 × 7 / 3, rounded once.
    assert_eq!(
        (&asked[0]["amount"], &asked[0]["currency"]),
        (&json!(1_167), &json!("JPY"))
    );
    till.testing.settle().await;
}

#[tokio::test]
async fn a_top_up_that_fails_is_told_once_and_asked_for_again_after_an_hour() {
    let till = Till::start().await;
    let manager = till.testing.manager().await;
    let admin = till.testing.member(&till.acme, "admin").await;
    let viewer = till.testing.member(&till.acme, "viewer").await;
    adjust(
        &manager,
        &till.acme.org,
        json!({"credits": -INCLUDED, "reason": "none"}),
    )
    .await
    .expect(201);
    let set = json!({"threshold": 1_000, "step": 500});
    till.acme.client.put("/v1/wallet/auto-topup", set).await.expect(200);
    let asked = till.topups().await;
    assert_eq!(
        (asked.len(), &asked[0]["credits"]),
        (1, &json!(1_000)),
        "the gap, in whole steps"
    );
    let id: PaymentId = asked[0]["id"].as_str().unwrap().parse().unwrap();
    join_all((0..5).map(|_| till.failed(id))).await;
    till.testing.settle().await;
    for (person, mails) in [(&till.acme.owner, 1), (&admin, 1), (&viewer, 0)] {
        let about = till.testing.mails_to(&person.email).into_iter();
        let about: Vec<_> = about
            .filter(|mail| mail.subject == "Tenant 1 could not buy credits")
            .collect();
        assert_eq!(about.len(), mails);
        assert!(
            about
                .iter()
                .all(|mail| mail.text.as_ref().unwrap().contains("USD 0.01"))
        );
    }

    let refused = async || {
        till.testing.advance(2 * Time::SECOND);
        till.acme
            .server
            .post(EVENT, event())
            .await
            .problem(402, "out_of_credits");
    };
    refused().await;
    till.testing.advance(Time::HOUR - 5 * Time::SECOND);
    refused().await;
    let owner = till.acme.owner.logged_in_again(&till.testing).await;
    let owner = owner.client.within(&till.acme.org);
    assert_eq!(
        owner.all("/v1/wallet/topups").await.len(),
        1,
        "not before the hour is over"
    );
    // A wallet that is empty asks too: by the first call that it refuses.
    till.testing.advance(2 * Time::SECOND);
    for _ in 0..3 {
        refused().await;
    }
    let asked = owner.all("/v1/wallet/topups").await;
    assert_eq!(
        (asked.len(), &asked[0]["status"], &asked[1]["status"]),
        (2, &json!("pending"), &json!("failed"))
    );
}

#[tokio::test]
async fn a_manager_sets_what_credits_cost() {
    let till = Till::start().await;
    let manager = till.testing.manager().await;
    let prices = "/v1/admin/prices";
    let before = manager.client.get(prices).await.expect(200).json;
    assert!(before.get("topup").is_none());
    let topup = json!({"credits": 1_000, "amount": 125, "currency": "EUR"});
    let set = json!({"prices": before["prices"], "topup": topup});
    assert_eq!(manager.client.put(prices, set.clone()).await.expect(200).json, set);
    // A list without it leaves it as it is.
    let list = json!({"prices": before["prices"]});
    assert_eq!(manager.client.put(prices, list).await.expect(200).json, set);
    assert_eq!(manager.client.get(prices).await.expect(200).json, set);
    // What was asked for keeps the price of then.
    let first = till.asked(100).await;
    till.testing.advance(1);
    let dear = json!({"prices": {}, "topup": {"credits": 1, "amount": 400, "currency": "KWD"}});
    manager.client.put(prices, dear).await.expect(200);
    till.asked(1_000_000_000_000).await;
    let shown = till.topups().await;
    let price = |topup: &Value| (topup["amount"].as_i64().unwrap(), topup["currency"].clone());
    assert_eq!(price(&shown[0]), (400_000_000_000_000, json!("KWD")));
    assert_eq!((price(&shown[1]), &shown[1]["id"]), ((13, json!("EUR")), &json!(first)));

    for (topup, field) in [
        (json!({"credits": 0, "amount": 1, "currency": "EUR"}), "topup.credits"),
        (json!({"credits": 1, "amount": 401, "currency": "EUR"}), "topup.amount"),
        (json!({"credits": 1, "amount": 1, "currency": "EURO"}), "topup.currency"),
    ] {
        let reply = manager.client.put(prices, json!({"prices": {}, "topup": topup})).await;
        assert_eq!(reply.problem(422, "invalid").fields(), [field]);
    }
    let unknown = json!({"prices": {}, "topup": {"credits": 1, "amount": 1, "currency": "EUR", "vat": 1}});
    manager.client.put(prices, unknown).await.problem(400, "unknown_field");
}
