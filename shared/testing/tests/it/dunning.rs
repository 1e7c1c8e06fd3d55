//! Dunning: what is not paid lets a contract rest, and what is paid lets it go on; each once, whoever runs how often, late, at
//! once, or dies.

use kernel::policy::ReadOrg;
use kernel::{Scope, Time};
use serde_json::{Value, json};
use table::Slice;
use testing::{Chaos, Moment, Sold, Tenant, TestApp};

/// An invoice is due 14 days after its day, and its contract rests from the beginning of the day that is 30 days later; tests
/// begin at 8 o'clock.
const RESTS: i64 = 44 * Time::DAY - 8 * Time::HOUR;

/// A tenant that sold a subscription of 100 euros each 30 days, whose first invoice is sent.
struct Shop {
    app: TestApp,
    acme: Tenant,
    sold: Sold,
}

impl Shop {
    async fn of(app: TestApp, settings: Value) -> Self {
        let acme = app.tenant().await;
        let path = format!("/v1/orgs/{}", acme.org);
        acme.client.patch(path, settings).await.expect(200);
        let plan = acme.new_plan(10_000, json!({})).await;
        let sold = acme.sold(&plan, json!({})).await;
        app.bill().await;
        Self { app, acme, sold }
    }

    async fn start() -> Self {
        Self::of(TestApp::start().await, json!({"suspendAfterDays": 30})).await
    }

    /// As the owner, whose token is fresh.
    async fn acme(&self) -> testing::Client {
        let owner = self.acme.owner.logged_in_again(&self.app).await;
        owner.client.within(&self.acme.org)
    }

    async fn after(&self, millis: i64) {
        self.app.advance(millis);
        self.app.bill().await;
    }

    /// The contract's and the subscription's state, and why.
    async fn state(&self) -> [Value; 3] {
        let acme = self.acme().await;
        let contract = acme
            .get(format!("/v1/contracts/{}", self.sold.contract))
            .await
            .expect(200)
            .json;
        let subscription = format!("/v1/subscriptions/{}", self.sold.subscription);
        let subscription = acme.get(subscription).await.expect(200).json;
        [
            contract["status"].clone(),
            subscription["status"].clone(),
            contract["reason"].clone(),
        ]
    }

    async fn runs(&self) -> bool {
        let state = self.state().await;
        let runs = state == [json!("ACTIVE"), json!("ACTIVE"), Value::Null];
        assert!(
            runs || state == [json!("SUSPENDED"), json!("PAUSED"), json!("NON_PAYMENT")],
            "{state:?}"
        );
        runs
    }

    /// The invoices, the oldest first.
    async fn invoices(&self) -> Vec<Value> {
        let mut invoices = self.acme().await.all("/v1/invoices").await;
        invoices.reverse();
        invoices
    }

    async fn pay(&self, invoice: &Value, amount: i64) {
        let path = format!("/v1/invoices/{}/payments", invoice["id"].as_str().unwrap());
        let body = json!({"amount": amount, "method": "bank_transfer", "paidAt": self.app.now()});
        self.acme().await.post(path, body).await.expect(201);
    }

    async fn post(&self, path: &str) {
        let path = format!("/v1/contracts/{}/{path}", self.sold.contract);
        self.acme().await.post(path, json!({})).await.expect(200);
    }

    /// How often it was told that the contract, or the subscription, rests or goes on; and noted.
    async fn told(&self, fact: &str) -> usize {
        let scope = Scope::<ReadOrg>::system(self.acme.org.parse().unwrap());
        let slice = Slice {
            limit: 100,
            after: None,
        };
        let log = outbox::store::log(&self.app.table(), &scope, slice).await.unwrap();
        log.records.iter().filter(|told| told.fact == fact).count()
    }

    async fn noted(&self, action: &str) -> Vec<Value> {
        let path = format!("/v1/orgs/{}/audit", self.acme.org);
        let entries = self.acme().await.all(path).await.into_iter();
        entries.filter(|entry| entry["action"] == action).collect()
    }
}

#[tokio::test]
async fn both_sides_are_mailed_when_a_contract_rests_and_when_it_goes_on() {
    let shop = Shop::start().await;
    let viewer = shop.app.member(&shop.acme, "viewer").await;
    let admin = shop.app.member(&shop.acme, "admin").await;
    let client = "billing@acme.example";
    let about = |address: &str, what: &str| {
        let mails = shop.app.mails_to(address).into_iter();
        mails.filter(|mail| mail.subject.contains(what)).collect::<Vec<_>>()
    };
    let counts =
        |what: &str| [client, &shop.acme.owner.email, &admin.email, &viewer.email].map(|to| about(to, what).len());
    assert_eq!(counts("is suspended"), [0; 4]);
    shop.after(RESTS).await;
    shop.app.bill().await;
    assert_eq!(counts("is suspended"), [1, 1, 1, 0]);
    let invoice = &shop.invoices().await[0];
    let html = about(client, "is suspended")[0].html.clone().unwrap();
    for part in [invoice["number"].as_str().unwrap(), "EUR 100.00", "/pay/"] {
        assert!(html.contains(part), "{part}");
    }
    let html = about(&admin.email, "is suspended")[0].html.clone().unwrap();
    for part in ["Acme GmbH", invoice["id"].as_str().unwrap()] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!(counts("goes on"), [0; 4]);
    shop.pay(invoice, 10_000).await;
    shop.app.bill().await;
    shop.app.bill().await;
    assert_eq!(counts("goes on"), [1, 1, 1, 0]);
    assert_eq!(counts("is suspended"), [1, 1, 1, 0]);
    // What a person does is nobody's news.
    shop.post("suspend").await;
    shop.post("resume").await;
    shop.app.bill().await;
    assert_eq!(counts("is suspended"), [1, 1, 1, 0]);
}

#[tokio::test]
async fn a_contract_rests_for_what_is_not_paid_and_goes_on_when_it_is() {
    let shop = Shop::start().await;
    shop.after(RESTS - 1).await;
    assert!(shop.runs().await);
    shop.after(1).await;
    for _ in 0..2 {
        assert!(!shop.runs().await);
        shop.app.bill().await;
    }
    let counts = async || {
        [
            shop.told("contract.suspended").await,
            shop.told("subscription.paused").await,
            shop.told("contract.resumed").await,
            shop.noted("contract.suspended").await.len(),
            shop.noted("contract.resumed").await.len(),
        ]
    };
    assert_eq!(counts().await, [1, 1, 0, 1, 0]);
    let entry = &shop.noted("contract.suspended").await[0];
    assert_eq!(entry["newValue"]["reason"], "NON_PAYMENT");
    assert_eq!(entry["actorUserId"], Value::Null, "{entry}");
    // What is paid in part is due.
    let first = &shop.invoices().await[0];
    shop.pay(first, 9_999).await;
    shop.after(Time::DAY).await;
    assert!(!shop.runs().await);
    shop.pay(first, 1).await;
    shop.app.bill().await;
    assert!(shop.runs().await);
    shop.app.bill().await;
    assert_eq!(counts().await, [1, 1, 1, 1, 1]);
    // Nothing was billed while it rested, and the second invoice is chased in its own time.
    assert_eq!(shop.invoices().await.len(), 2);
    shop.after(29 * Time::DAY).await;
    assert!(!shop.runs().await);
    assert_eq!(counts().await[..3], [2, 2, 1]);
}

#[tokio::test]
async fn it_goes_on_when_the_last_of_several_is_paid() {
    let shop = Shop::start().await;
    for days in [30, 14, 30] {
        shop.after(days * Time::DAY).await;
    }
    let unpaid = shop.invoices().await;
    assert_eq!(unpaid.len(), 2);
    assert!(!shop.runs().await);
    assert_eq!(shop.told("contract.suspended").await, 1);
    shop.pay(&unpaid[1], 10_000).await;
    shop.after(Time::DAY).await;
    assert!(!shop.runs().await);
    // A credit note does what a payment does.
    let path = format!("/v1/invoices/{}/credit-notes", unpaid[0]["id"].as_str().unwrap());
    let all = json!({"lines": [{"lineIndex": 0, "amount": 10_000}], "reason": "sorry"});
    shop.acme().await.post(path, all).await.expect(201);
    shop.app.bill().await;
    assert!(shop.runs().await);
}

#[tokio::test]
async fn what_was_settled_in_time_lets_nothing_rest() {
    for deed in ["paid", "credited", "cancelled"] {
        let shop = Shop::start().await;
        shop.after(29 * Time::DAY).await;
        let first = &shop.invoices().await[0];
        let path = format!("/v1/invoices/{}", first["id"].as_str().unwrap());
        let acme = shop.acme().await;
        match deed {
            "paid" => shop.pay(first, 10_000).await,
            "credited" => {
                let all = json!({"lines": [{"lineIndex": 0, "amount": 10_000}], "reason": "sorry"});
                acme.post(format!("{path}/credit-notes"), all).await.expect(201);
            }
            _ => drop(acme.post(format!("{path}/cancel"), json!({})).await.expect(200)),
        }
        // The run is late; the second invoice is not due for so long.
        shop.after(40 * Time::DAY).await;
        assert!(shop.runs().await, "{deed}");
    }
}

#[tokio::test]
async fn what_a_person_did_stays() {
    let shop = Shop::start().await;
    let first = shop.invoices().await.remove(0);
    // Suspended by a person: it neither rests for this, nor goes on.
    shop.post("suspend").await;
    shop.after(RESTS).await;
    shop.pay(&first, 10_000).await;
    shop.after(Time::DAY).await;
    assert_eq!(shop.state().await, [json!("SUSPENDED"), json!("PAUSED"), Value::Null]);
    shop.post("resume").await;
    shop.app.bill().await;
    shop.after(RESTS + Time::DAY).await;
    let unpaid = shop.invoices().await;
    assert!(!shop.runs().await);
    // Let go on by a person: the same invoice does not let it rest again, and its payment changes nothing.
    shop.post("resume").await;
    shop.after(Time::DAY).await;
    assert!(shop.runs().await);
    shop.post("suspend").await;
    for invoice in &unpaid[1..] {
        shop.pay(invoice, invoice["amountDue"].as_i64().unwrap()).await;
    }
    shop.after(Time::MINUTE).await;
    assert_eq!(shop.state().await, [json!("SUSPENDED"), json!("PAUSED"), Value::Null]);
}

#[tokio::test]
async fn who_never_suspends_is_heard_and_so_is_who_does_it_soon() {
    let never = Shop::of(TestApp::start().await, json!({})).await;
    never.after(365 * Time::DAY).await;
    assert!(never.runs().await);
    let soon = Shop::of(
        TestApp::start().await,
        json!({"suspendAfterDays": 1, "reminderDays": []}),
    )
    .await;
    soon.after(15 * Time::DAY - 8 * Time::HOUR - 1).await;
    assert!(soon.runs().await);
    soon.after(1).await;
    assert!(!soon.runs().await);
}

#[tokio::test]
async fn what_was_sent_late_is_waited_for_as_long() {
    let shop = Shop::start().await;
    let plan = shop.acme.new_plan(500, json!({})).await;
    // Three periods are caught up; the first of them was due months ago.
    let late = shop.acme.sold(&plan, json!({"startAt": "2026-10-20T00:00:00Z"})).await;
    let shop = Shop { sold: late, ..shop };
    for _ in 0..3 {
        shop.after(Time::MINUTE).await;
    }
    assert!(shop.runs().await);
    shop.after(30 * Time::DAY - Time::HOUR * 9).await;
    assert!(shop.runs().await);
    shop.after(Time::HOUR * 9).await;
    assert!(!shop.runs().await);
}

#[tokio::test]
async fn what_a_person_wrote_lets_nothing_rest() {
    let shop = Shop::start().await;
    let first = &shop.invoices().await[0];
    shop.pay(first, 10_000).await;
    let line = json!({"description": "a", "quantity": 1, "unitPrice": 5_000});
    let new = json!({"clientId": shop.sold.client, "currency": "EUR", "lineItems": [line], "dueDate": "2027-01-20"});
    let invoice = shop.acme().await.post("/v1/invoices", new).await.expect(201).text("id");
    let send = format!("/v1/invoices/{invoice}/send");
    shop.acme().await.post(send, json!({})).await.expect(200);
    shop.after(43 * Time::DAY).await;
    assert!(shop.runs().await);
}

/// Lets the run tell what is due to two workers: one that dies at this call, if it makes so many, and one that is told all of it
/// again. Whether one died.
async fn dies(app: &TestApp, chaos: &Chaos, call: u64, moment: Moment) -> bool {
    app.fire("BillingRun").await;
    let told = app.take("BillingQueue").await;
    chaos.enable(true);
    chaos.crash_at(call, moment);
    let died = tokio::select! {
        _ = app.deliver_from("BillingQueue", &told) => false,
        () = chaos.crashed() => true,
    };
    chaos.enable(false);
    app.deliver_from("BillingQueue", &told).await;
    app.bill().await;
    died
}

#[tokio::test]
async fn workers_that_die_at_any_call_do_each_step_once() {
    let chaos = Chaos::only(&[]);
    let settings = json!({"dueInDays": 0, "suspendAfterDays": 1, "reminderDays": []});
    let mut shop = Shop::of(TestApp::start_under(chaos.clone()).await, settings).await;
    shop.after(5 * Time::DAY).await;
    let plan = shop.acme().await.all("/v1/plans").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for call in 1..40 {
        let mut died = false;
        for moment in [Moment::Before, Moment::After] {
            shop.acme.client = shop.acme().await;
            shop.sold = shop.acme.sold(&plan, json!({})).await;
            shop.app.bill().await;
            let unpaid = shop.invoices().await.pop().unwrap();
            shop.app.advance(Time::DAY);
            died |= dies(&shop.app, &chaos, call, moment).await;
            assert!(!shop.runs().await, "{moment:?} call {call}");
            shop.pay(&unpaid, 10_000).await;
            died |= dies(&shop.app, &chaos, call, moment).await;
            assert!(shop.runs().await, "{moment:?} call {call}");
            let contract = json!(shop.sold.contract);
            for action in ["contract.suspended", "contract.resumed"] {
                let noted = shop.noted(action).await.into_iter();
                assert_eq!(
                    noted.filter(|entry| entry["targetId"] == contract).count(),
                    1,
                    "{action}"
                );
            }
            // A month later it would be billed among the others.
            let path = format!("/v1/contracts/{}/terminate", shop.sold.contract);
            let reason = json!({"reason": "CUSTOMER_REQUEST"});
            shop.acme().await.post(path, reason).await.expect(200);
        }
        if !died {
            assert!(call > 5, "{call}");
            shop.app.settle().await;
            return;
        }
    }
    panic!("a worker makes no end of calls");
}

#[tokio::test]
async fn workers_at_once_do_each_step_once() {
    let shop = Shop::start().await;
    shop.app.advance(RESTS);
    shop.app.fire("BillingRun").await;
    shop.app.fire("BillingRun").await;
    let told = shop.app.take("BillingQueue").await;
    let workers = [
        shop.app.start_again("BillingWorker", &[]).await,
        shop.app.start_again("BillingWorker", &[]).await,
    ];
    let both = futures::future::join_all(workers.iter().map(|worker| shop.app.deliver_to(worker, &told)));
    assert!(both.await.iter().all(Vec::is_empty));
    shop.app.bill().await;
    assert!(!shop.runs().await);
    assert_eq!(shop.noted("contract.suspended").await.len(), 1);
    assert_eq!(shop.told("contract.suspended").await, 1);
}
