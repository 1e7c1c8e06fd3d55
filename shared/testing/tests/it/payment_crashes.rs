//! A process dies before or after any call of a deed of payments: whatever it was about to do, money is asked for, taken and
//! given back once, by what the double counts, and nothing is on its way for ever. Every call is tried, none sampled.
//!
//! Dying after a call and dying before the next one leave the same, unless a provider was called in between: there, and
//! after the last call, both are tried, elsewhere the second alone.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use kernel::Time;
use payment_double::{Act, Fault, FaultKind, Operation, Provider};
use serde_json::{Value, json};
use testing::{Chaos, Client, Moment, Reply};

use crate::invoices::facts;
use crate::payment_nights;
use crate::shop::{PAY, Shop};

/// No deed makes more calls.
const MOST_CALLS: u64 = 60;
/// What keeps keys, and what is looked for by our ids.
const TWO: [Provider; 2] = [Provider::Stripe, Provider::Razorpay];
const PAYMENTS: &str = "PaymentQueue";
const RELAY: &str = "OutboxQueue";

/// A shop whose processes can be made to die.
struct Stage {
    chaos: Chaos,
    shop: Shop,
    /// How often the last deed called a provider before it died.
    asked: Cell<usize>,
}

/// Where a process dies.
#[derive(Clone, Copy, Debug)]
struct At {
    call: u64,
    moment: Moment,
}

impl Stage {
    async fn open() -> Self {
        let chaos = Chaos::only(&[]);
        let shop = Shop::open_under(chaos.clone()).await;
        Self::of(chaos, shop)
    }

    /// One whose platform sells credits.
    async fn of_credits() -> Self {
        let chaos = Chaos::only(&[]);
        let shop = payment_nights::shop_under(chaos.clone()).await;
        Self::of(chaos, shop)
    }

    fn of(chaos: Chaos, shop: Shop) -> Self {
        Self {
            chaos,
            shop,
            asked: Cell::default(),
        }
    }

    /// How often providers were called.
    fn asks(&self) -> usize {
        self.shop.double.calls().as_array().unwrap().len()
    }

    /// Lets the process that does this die there; says whether it got so far.
    async fn dies(&self, deed: impl Future<Output = ()>, at: At) -> bool {
        let before = self.asks();
        self.chaos.enable(true);
        self.chaos.crash_at(at.call, at.moment);
        let died = tokio::select! {
            () = deed => false,
            () = self.chaos.crashed() => true,
        };
        self.chaos.enable(false);
        self.asked.set(self.asks() - before);
        died
    }

    /// Lets the process that takes these messages of payments die there.
    async fn worker_dies(&self, messages: &[String], at: At) -> bool {
        let work = async {
            let failed = self.shop.app.deliver_from(PAYMENTS, messages).await;
            assert_eq!(failed, Vec::<usize>::new(), "{at:?}");
        };
        self.dies(work, at).await
    }

    /// What is left of a worker that died: its messages come again, or nothing does, and the sweeper finds what is due.
    async fn recover(&self, messages: &[String], again: bool) {
        if again {
            self.shop.app.deliver_from(PAYMENTS, messages).await;
            self.shop.app.settle().await;
        }
        for _ in 0..2 {
            self.shop.wait(3 * Time::MINUTE).await;
        }
    }

    /// A member who says which request is the same one.
    async fn keyed(&self) -> Client {
        let key = format!("deed-{}", self.shop.app.number());
        self.shop.now().await.header("idempotency-key", key)
    }

    /// The payments of an invoice.
    async fn payments(&self, invoice: &str) -> Vec<Value> {
        let path = format!("/v1/invoices/{invoice}/payments");
        self.shop.now().await.get(path).await.expect(200).data().to_vec()
    }

    /// It was paid once, of one session, and that was told once.
    async fn is_paid_once(&self, invoice: &str, payment: &str, amount: i64, at: At) {
        let shown = self.shop.shown(invoice).await;
        assert_eq!(
            (&shown["status"], &shown["amountPaid"], &shown["amountDue"]),
            (&json!("paid"), &json!(amount), &json!(0)),
            "{at:?}"
        );
        let count = self.shop.double.count(payment);
        assert_eq!((count.sessions, count.charges, count.refunds), (1, 1, 0), "{at:?}");
        let told = facts(&self.shop.app, &self.shop.acme.org).await;
        for (about, name) in [(invoice, "invoice.paid"), (payment, "payment.succeeded")] {
            let many = told.iter().filter(|fact| fact.about == about && fact.fact == name);
            assert_eq!(many.count(), 1, "{at:?}: {name}");
        }
        let found = self.shop.payment(payment).await;
        assert_eq!(found["status"], "succeeded", "{at:?} {found:#}");
        let amounts = ["amountReceived", "amountApplied"].map(|name| found[name].as_i64().unwrap());
        assert_eq!(amounts, [amount, amount], "{at:?}");
    }

    /// Whoever pays does, and all that is told arrives.
    async fn is_payable(&self, invoice: &str, payment: &str, amount: i64, at: At) {
        self.shop.act(payment, &PAY).await;
        self.is_paid_once(invoice, payment, amount, at).await;
    }
}

/// Does something that dies at its first call, its second, and so on, until it makes no more: before each, after the last, and
/// after each that a provider is called after. Says how many calls it makes.
async fn everywhere(stage: &Stage, mut deed: impl AsyncFnMut(At) -> bool) -> u64 {
    let mut asked = 0;
    for call in 1..=MOST_CALLS {
        let moment = Moment::Before;
        let died = deed(At { call, moment }).await;
        let is_last = !died;
        // A provider was called after the call before this one.
        if call > 1 && (is_last || stage.asked.get() > asked) {
            let at = At {
                call: call - 1,
                moment: Moment::After,
            };
            asked = stage.asked.get();
            assert!(deed(at).await, "{at:?}");
        }
        if is_last {
            return call - 1;
        }
    }
    panic!("it does not end");
}

/// What is asked of a payment in a reply.
fn id_of(reply: &Reply) -> String {
    reply.json["payment"]["id"].as_str().unwrap().to_owned()
}

/// Asks again as a client does: what is in flight until its lease is over, and then once more.
async fn asked_again(stage: &Stage, client: &Client, path: &str, body: &Value) -> Reply {
    let reply = client.post(path, body.clone()).await;
    if reply.json["code"] != "in_flight" {
        return reply;
    }
    stage.shop.app.advance(31 * Time::SECOND);
    client.post(path, body.clone()).await
}

#[tokio::test]
async fn who_pays_with_a_key_and_asks_again_has_one_page() {
    for provider in TWO {
        let stage = Stage::open().await;
        let calls = everywhere(&stage, async |at| {
            let invoice = stage.shop.invoice(provider, 17_000).await;
            let (client, path) = (stage.keyed().await, format!("/v1/invoices/{invoice}/pay"));
            let body = json!({"provider": provider.name()});
            let pay = async {
                client.post(&path, body.clone()).await.expect(201);
            };
            let died = stage.dies(pay, at).await;
            let reply = asked_again(&stage, &client, &path, &body).await.expect(201);
            let again = asked_again(&stage, &client, &path, &body).await.expect(201);
            assert_eq!(
                (again.header("idempotent-replayed"), &again.bytes),
                ("true", &reply.bytes),
                "{at:?}"
            );
            assert_eq!(stage.payments(&invoice).await.len(), 1, "{at:?}");
            stage.is_payable(&invoice, &id_of(&reply), 17_000, at).await;
            died
        })
        .await;
        assert!(calls > 6, "{calls} calls");
    }
}

#[tokio::test]
async fn who_pays_without_a_key_and_asks_again_has_one_page() {
    let stage = Stage::open().await;
    let calls = everywhere(&stage, async |at| {
        let invoice = stage.shop.invoice(Provider::Stripe, 9_900).await;
        let pay = async {
            stage.shop.begin(&invoice, Provider::Stripe).await.expect(201);
        };
        stage.shop.now().await;
        let died = stage.dies(pay, at).await;
        stage.shop.app.advance(31 * Time::SECOND);
        let reply = stage.shop.begin(&invoice, Provider::Stripe).await;
        assert!(reply.status.is_success(), "{at:?}: {}", reply.json);
        assert_eq!(stage.payments(&invoice).await.len(), 1, "{at:?}");
        stage.is_payable(&invoice, &id_of(&reply), 9_900, at).await;
        died
    })
    .await;
    assert!(calls > 6, "{calls} calls");
}

/// Whoever began it never comes back.
#[tokio::test]
async fn what_nobody_goes_on_with_ends_and_can_be_begun_anew() {
    let stage = Stage::open().await;
    let calls = everywhere(&stage, async |at| {
        let invoice = stage.shop.invoice(Provider::Stripe, 9_900).await;
        let pay = async {
            stage.shop.begin(&invoice, Provider::Stripe).await.expect(201);
        };
        stage.shop.now().await;
        let died = stage.dies(pay, at).await;
        stage.shop.wait(2 * Time::MINUTE).await;
        let begun = stage.payments(&invoice).await;
        assert!(begun.len() <= 1, "{at:?}");
        for payment in &begun {
            let count = stage.shop.double.count(payment["id"].as_str().unwrap());
            assert_eq!(count.sessions, 1, "{at:?}: the watch has opened it");
        }
        for _ in 0..9 {
            stage.shop.wait(3 * Time::HOUR).await;
        }
        for payment in stage.payments(&invoice).await {
            assert_eq!(payment["status"], "failed", "{at:?} {payment:#}");
        }
        stage.shop.tell().await;
        let anew = stage.shop.begin(&invoice, Provider::Stripe).await.expect(201);
        assert_eq!(stage.payments(&invoice).await.len(), begun.len() + 1);
        stage.is_payable(&invoice, &id_of(&anew), 9_900, at).await;
        died
    })
    .await;
    assert!(calls > 6, "{calls} calls");
}

/// Another amount closes the page that is open and opens another one.
#[tokio::test]
async fn who_pays_otherwise_and_asks_again_has_one_page_that_is_open() {
    let stage = Stage::open().await;
    let calls = everywhere(&stage, async |at| {
        let (invoice, first) = stage.shop.begun(Provider::Stripe, 9_900).await;
        let (client, path) = (stage.keyed().await, format!("/v1/invoices/{invoice}/pay"));
        let body = json!({"provider": "stripe", "amount": 9_000});
        let pay = async {
            client.post(&path, body.clone()).await.expect(201);
        };
        let died = stage.dies(pay, at).await;
        let second = id_of(&asked_again(&stage, &client, &path, &body).await.expect(201));
        assert_ne!(first, second);
        assert_eq!(stage.payments(&invoice).await.len(), 2, "{at:?}");
        assert_eq!(stage.shop.payment(&first).await["status"], "failed", "{at:?}");
        assert!(stage.shop.double.act(&first, &PAY).is_err(), "{at:?}: it is still open");
        stage.shop.act(&second, &PAY).await;
        let shown = stage.shop.shown(&invoice).await;
        assert_eq!(
            (&shown["status"], &shown["amountPaid"]),
            (&json!("partially_paid"), &json!(9_000)),
            "{at:?}"
        );
        let charges = [&first, &second].map(|payment| stage.shop.double.count(payment).charges);
        assert_eq!(charges, [0, 1], "{at:?}");
        died
    })
    .await;
    assert!(calls > 10, "{calls} calls");
}

/// Every request for a refund is asked for under its own key, with the same content each time.
fn refunds_are_asked_alike(stage: &Stage) {
    let calls = stage.shop.double.calls();
    let mut contents: BTreeMap<String, String> = BTreeMap::new();
    for call in calls.as_array().unwrap() {
        let is_refund = call["method"] == "POST" && call["path"].as_str().unwrap().contains("refund");
        if is_refund {
            let content = call["sha256"].to_string();
            let known = contents
                .entry(call["key"].to_string())
                .or_insert_with(|| content.clone());
            assert_eq!(*known, content, "{call}");
        }
    }
    assert!(!contents.is_empty());
}

/// What was given back of a payment, as it shows that and as the double counts it.
async fn given_back(stage: &Stage, payment: &str) -> (i64, usize, usize) {
    let found = stage.shop.payment(payment).await;
    (
        found["amountRefunded"].as_i64().unwrap(),
        found["refunds"].as_array().unwrap().len(),
        stage.shop.double.count(payment).refunds,
    )
}

#[tokio::test]
async fn who_asks_for_a_refund_again_is_given_it_once() {
    let stage = Stage::open().await;
    let (_, payment) = stage.shop.paid(Provider::Stripe, 50_000).await;
    let path = format!("/v1/payments/{payment}/partial-refund");
    let body = json!({"amount": 100, "reason": "goodwill"});
    let mut many = 0;
    let calls = everywhere(&stage, async |at| {
        let client = stage.keyed().await;
        let refund = async {
            client.post(&path, body.clone()).await.expect(201);
        };
        let died = stage.dies(refund, at).await;
        let reply = asked_again(&stage, &client, &path, &body).await.expect(201);
        let again = asked_again(&stage, &client, &path, &body).await.expect(201);
        assert_eq!(
            (again.header("idempotent-replayed"), &again.bytes),
            ("true", &reply.bytes),
            "{at:?}"
        );
        // A job that nobody was told of is found by the sweeper.
        stage.shop.wait(3 * Time::MINUTE).await;
        stage.shop.tell().await;
        many += 1;
        let count = usize::try_from(many).unwrap();
        assert_eq!(given_back(&stage, &payment).await, (many * 100, count, count), "{at:?}");
        died
    })
    .await;
    assert!(calls > 4, "{calls} calls");
    refunds_are_asked_alike(&stage);
}

/// A credit note and what it gives back are one deed: both are there once, whatever the one who asks for them is told.
#[tokio::test]
async fn who_credits_and_gives_back_again_does_it_once() {
    let stage = Stage::open().await;
    let (invoice, payment) = stage.shop.paid(Provider::Razorpay, 50_000).await;
    let path = format!("/v1/invoices/{invoice}/credit-notes");
    let body = json!({"lines": [{"lineIndex": 0, "amount": 100}], "reason": "returned", "refund": true});
    let mut many = 0;
    let calls = everywhere(&stage, async |at| {
        let client = stage.keyed().await;
        let credit = async {
            client.post(&path, body.clone()).await.expect(201);
        };
        let died = stage.dies(credit, at).await;
        let reply = asked_again(&stage, &client, &path, &body).await.expect(201);
        let again = asked_again(&stage, &client, &path, &body).await.expect(201);
        assert_eq!(again.bytes, reply.bytes, "{at:?}");
        stage.shop.wait(3 * Time::MINUTE).await;
        stage.shop.tell().await;
        many += 1;
        let count = usize::try_from(many).unwrap();
        assert_eq!(given_back(&stage, &payment).await, (many * 100, count, count), "{at:?}");
        let notes = stage.shop.now().await.get(&path).await.expect(200);
        assert_eq!(notes.data().len(), count, "{at:?}");
        assert_eq!(stage.shop.shown(&invoice).await["amountRefunded"], many * 100, "{at:?}");
        died
    })
    .await;
    assert!(calls > 4, "{calls} calls");
    refunds_are_asked_alike(&stage);
}

/// Who looks after the money is mailed of what fits nothing once, wherever the relay dies that hears of it.
#[tokio::test]
async fn a_relay_that_dies_mails_of_money_once() {
    let stage = Stage::open().await;
    let other = Act::Pay {
        units: Some(16_000),
        currency: None,
    };
    let mut many = 0;
    for again in [true, false] {
        let calls = everywhere(&stage, async |at| {
            let (_, payment) = stage.shop.begun(Provider::Stripe, 17_000).await;
            stage.shop.app.settle().await;
            stage.shop.double.act(&payment, &other).unwrap();
            for id in stage.shop.news() {
                stage.shop.deliver(&id).await.expect(200);
            }
            let told = stage.shop.app.take(PAYMENTS).await;
            stage.shop.app.deliver_from(PAYMENTS, &told).await;
            let heard = stage.shop.app.take(RELAY).await;
            assert!(!heard.is_empty());
            let relay = async {
                let failed = stage.shop.app.deliver_from(RELAY, &heard).await;
                assert_eq!(failed, Vec::<usize>::new(), "{at:?}");
            };
            let died = stage.dies(relay, at).await;
            if again {
                stage.shop.app.deliver_from(RELAY, &heard).await;
            }
            for _ in 0..2 {
                stage.shop.wait(3 * Time::MINUTE).await;
            }
            many += 1;
            let mails = stage.shop.app.mails_to(&stage.shop.acme.owner.email);
            let about = mails.iter().filter(|mail| mail.subject.contains("fits nothing"));
            assert_eq!(about.count(), many, "{at:?}");
            died
        })
        .await;
        assert!(calls > 4, "{calls} calls");
    }
}

#[tokio::test]
async fn a_worker_that_dies_gives_money_back_once() {
    for provider in TWO {
        let stage = Stage::open().await;
        let (_, payment) = stage.shop.paid(provider, 90_000).await;
        let mut many = 0;
        for again in [true, false] {
            let calls = everywhere(&stage, async |at| {
                stage.shop.refund(&payment, 200).await.expect(201);
                let messages = stage.shop.app.take(PAYMENTS).await;
                assert!(!messages.is_empty());
                let died = stage.worker_dies(&messages, at).await;
                stage.recover(&messages, again).await;
                many += 1;
                let count = usize::try_from(many).unwrap();
                let found = given_back(&stage, &payment).await;
                assert_eq!(found, (many * 200, count, count), "{} {at:?}", provider.name());
                died
            })
            .await;
            assert!(calls > 4, "{calls} calls");
        }
        refunds_are_asked_alike(&stage);
    }
}

#[tokio::test]
async fn an_event_that_is_told_again_is_lost_by_nobodys_death() {
    for provider in TWO {
        let stage = Stage::open().await;
        let calls = everywhere(&stage, async |at| {
            let (invoice, payment) = stage.shop.begun(provider, 17_000).await;
            stage.shop.double.act(&payment, &PAY).unwrap();
            let news = stage.shop.news();
            let take = async {
                stage.shop.deliver(&news[0]).await.expect(200);
            };
            let died = stage.dies(take, at).await;
            // Its provider was not answered, and tells it again.
            stage.shop.deliver(&news[0]).await.expect(200);
            stage.shop.app.settle().await;
            stage.is_paid_once(&invoice, &payment, 17_000, at).await;
            // And whatever else it has to tell.
            for id in &news {
                stage.shop.deliver(id).await.expect(200);
            }
            stage.shop.app.settle().await;
            stage.is_paid_once(&invoice, &payment, 17_000, at).await;
            died
        })
        .await;
        assert!(calls > 1, "{calls} calls");
    }
}

#[tokio::test]
async fn a_worker_that_dies_of_an_event_books_it_once() {
    for (provider, again) in [
        (Provider::Stripe, true),
        (Provider::Stripe, false),
        (Provider::Razorpay, false),
        (Provider::Cashfree, true),
    ] {
        let stage = Stage::open().await;
        let calls = everywhere(&stage, async |at| {
            let (invoice, payment) = stage.shop.begun(provider, 17_000).await;
            stage.shop.double.act(&payment, &PAY).unwrap();
            // One of what it tells says enough.
            let first = stage.shop.news().swap_remove(0);
            stage.shop.deliver(&first).await.expect(200);
            let messages = stage.shop.app.take(PAYMENTS).await;
            assert_eq!(messages.len(), 1);
            let died = stage.worker_dies(&messages, at).await;
            stage.recover(&messages, again).await;
            stage.is_paid_once(&invoice, &payment, 17_000, at).await;
            died
        })
        .await;
        assert!(calls > 8, "{calls} calls");
    }
}

/// The watch finds money that nobody told of, and whatever it dies of, it is there again.
#[tokio::test]
async fn a_watch_that_dies_books_what_it_finds_once() {
    let stage = Stage::open().await;
    for again in [true, false] {
        let calls = everywhere(&stage, async |at| {
            let (invoice, payment) = stage.shop.begun(Provider::Stripe, 9_900).await;
            stage.shop.double.act(&payment, &PAY).unwrap();
            stage.shop.app.advance(2 * Time::MINUTE);
            stage.shop.app.run_sweeper().await;
            let messages = stage.shop.app.take(PAYMENTS).await;
            assert!(!messages.is_empty());
            let died = stage.worker_dies(&messages, at).await;
            stage.recover(&messages, again).await;
            stage.is_paid_once(&invoice, &payment, 9_900, at).await;
            stage.shop.news();
            died
        })
        .await;
        assert!(calls > 8, "{calls} calls");
    }
}

/// The watch goes on with what has no page: it opens one, and no second one.
#[tokio::test]
async fn a_watch_that_dies_of_opening_a_page_opens_one() {
    for provider in TWO {
        let stage = Stage::open().await;
        let calls = everywhere(&stage, async |at| {
            let invoice = stage.shop.invoice(provider, 17_000).await;
            stage.shop.double.misbehave(Fault {
                provider: Some(provider),
                on: Some(Operation::Open),
                kind: FaultKind::Busy,
                done: false,
                times: 1,
            });
            stage.shop.begin(&invoice, provider).await.problem(503, "unanswered");
            stage.shop.app.advance(2 * Time::MINUTE);
            stage.shop.app.run_sweeper().await;
            let messages = stage.shop.app.take(PAYMENTS).await;
            assert!(!messages.is_empty());
            let died = stage.worker_dies(&messages, at).await;
            stage.recover(&messages, at.call.is_multiple_of(2)).await;
            let begun = stage.payments(&invoice).await;
            assert_eq!(begun.len(), 1, "{at:?}");
            let payment = begun[0]["id"].as_str().unwrap();
            let reply = stage.shop.begin(&invoice, provider).await;
            assert!(reply.status.is_success(), "{at:?}: {}", reply.json);
            assert_eq!(id_of(&reply), payment, "{at:?}");
            stage.is_payable(&invoice, payment, 17_000, at).await;
            died
        })
        .await;
        assert!(calls > 4, "{calls} calls");
    }
}

/// The worker that closes the page of an invoice that was cancelled.
#[tokio::test]
async fn a_worker_that_dies_closes_a_page_all_the_same() {
    let stage = Stage::open().await;
    let calls = everywhere(&stage, async |at| {
        let (invoice, payment) = stage.shop.begun(Provider::Stripe, 9_900).await;
        stage
            .shop
            .now()
            .await
            .post(format!("/v1/invoices/{invoice}/cancel"), json!({}))
            .await
            .expect(200);
        for text in stage.shop.app.take("OutboxQueue").await {
            stage.shop.app.deliver_from("OutboxQueue", &[text]).await;
        }
        let messages = stage.shop.app.take(PAYMENTS).await;
        assert!(!messages.is_empty());
        let died = stage.worker_dies(&messages, at).await;
        stage.recover(&messages, at.call.is_multiple_of(2)).await;
        assert_eq!(stage.shop.payment(&payment).await["status"], "failed", "{at:?}");
        assert!(
            stage.shop.double.act(&payment, &PAY).is_err(),
            "{at:?}: it is still open"
        );
        died
    })
    .await;
    assert!(calls > 4, "{calls} calls");
}

/// Begins a payment on our page for credits; its path, and the buyer's wallet before.
async fn wanted(stage: &Stage) -> (String, i64) {
    let [before, _] = payment_nights::wallet(&stage.shop).await;
    let (_, path) = payment_nights::wanted(&stage.shop, CREDITS).await;
    (path, before)
}

/// Credits that are bought each time.
const CREDITS: u64 = 1_000_000;

fn credits() -> i64 {
    i64::try_from(CREDITS).unwrap()
}

/// The latest payment of the platform.
async fn latest(stage: &Stage) -> Value {
    let owner = payment_nights::platform(&stage.shop).await;
    owner.get("/v1/payments?limit=1").await.expect(200).data()[0].clone()
}

/// The platform is told of everything, twice, and whoever waits for that goes on.
async fn told_twice(stage: &Stage) {
    payment_nights::told(&stage.shop).await;
    stage.shop.wait(3 * Time::MINUTE).await;
}

#[tokio::test]
async fn who_buys_credits_and_asks_again_has_one_page() {
    let stage = Stage::of_credits().await;
    let calls = everywhere(&stage, async |at| {
        let (path, before) = wanted(&stage).await;
        let form = stage.shop.app.client();
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let begin = async {
            let reply = form.post_bytes(&path, "provider=stripe").await;
            assert_eq!(reply.status, 303);
        };
        let died = stage.dies(begin, at).await;
        stage.shop.app.advance(31 * Time::SECOND);
        assert_eq!(form.post_bytes(&path, "provider=stripe").await.status, 303, "{at:?}");
        let payment = latest(&stage).await["id"].as_str().unwrap().to_owned();
        assert_eq!(stage.shop.double.count(&payment).sessions, 1, "{at:?}");
        stage.shop.double.act(&payment, &PAY).unwrap();
        told_twice(&stage).await;
        let count = stage.shop.double.count(&payment);
        assert_eq!((count.sessions, count.charges), (1, 1), "{at:?}");
        let after = payment_nights::wallet(&stage.shop).await;
        assert_eq!(after, [before + credits(), 0], "{at:?}");
        died
    })
    .await;
    assert!(calls > 6, "{calls} calls");
}

#[tokio::test]
async fn a_worker_that_dies_of_a_paid_top_up_credits_it_once() {
    for again in [true, false] {
        let stage = Stage::of_credits().await;
        let calls = everywhere(&stage, async |at| {
            let [before, _] = payment_nights::wallet(&stage.shop).await;
            let (_, payment) = payment_nights::buy(&stage.shop, CREDITS).await;
            stage.shop.double.act(&payment, &PAY).unwrap();
            let first = stage.shop.news().swap_remove(0);
            payment_nights::deliver(&stage.shop, &first).await;
            let messages = stage.shop.app.take(PAYMENTS).await;
            let died = stage.worker_dies(&messages, at).await;
            stage.recover(&messages, again).await;
            let found = latest(&stage).await;
            assert_eq!(
                (&found["status"], &found["amountApplied"]),
                (&json!("succeeded"), &found["amount"]),
                "{at:?}"
            );
            let after = payment_nights::wallet(&stage.shop).await;
            assert_eq!(after, [before + credits(), 0], "{at:?}");
            died
        })
        .await;
        assert!(calls > 8, "{calls} calls");
    }
}

#[tokio::test]
async fn a_worker_that_dies_of_giving_back_takes_the_credits_back_once() {
    for again in [true, false] {
        let stage = Stage::of_credits().await;
        let (_, payment) = payment_nights::buy(&stage.shop, CREDITS).await;
        stage.shop.double.act(&payment, &PAY).unwrap();
        told_twice(&stage).await;
        let [before, _] = payment_nights::wallet(&stage.shop).await;
        // A hundredth of the money each time, and of the credits with it.
        let part = latest(&stage).await["amount"].as_i64().unwrap() / 100;
        let mut many = 0;
        let calls = everywhere(&stage, async |at| {
            let owner = payment_nights::platform(&stage.shop).await;
            let path = format!("/v1/payments/{payment}/partial-refund");
            owner.post(&path, json!({"amount": part})).await.expect(201);
            let messages = stage.shop.app.take(PAYMENTS).await;
            assert!(!messages.is_empty());
            let died = stage.worker_dies(&messages, at).await;
            stage.recover(&messages, again).await;
            payment_nights::told(&stage.shop).await;
            many += 1;
            let count = stage.shop.double.count(&payment);
            assert_eq!(count.refunds, usize::try_from(many).unwrap(), "{at:?}");
            let after = payment_nights::wallet(&stage.shop).await;
            assert_eq!(after, [before - many * credits() / 100, 0], "{at:?}");
            died
        })
        .await;
        assert!(calls > 8, "{calls} calls");
    }
}

/// The night books what nobody told, and whatever it dies of, it does so once, and reports once.
#[tokio::test]
async fn a_night_that_dies_books_and_reports_once() {
    let stage = Stage::open().await;
    let mut nights = 0;
    let calls = everywhere(&stage, async |at| {
        let (invoice, payment) = stage.shop.begun(Provider::Stripe, 9_900).await;
        stage.shop.app.settle().await;
        stage.shop.double.act(&payment, &PAY).unwrap();
        stage.shop.news();
        stage.shop.app.advance(Time::DAY);
        stage.shop.app.run_sweeper().await;
        let due = stage.shop.app.take(PAYMENTS).await;
        // The night alone: its watch would find the money, too.
        let of_night = |text: &&String| text.contains("payment-reconcile");
        let messages: Vec<String> = due.iter().filter(of_night).cloned().collect();
        assert_eq!(messages.len(), 1, "{due:?}");
        let died = stage.worker_dies(&messages, at).await;
        stage.recover(&messages, at.call.is_multiple_of(2)).await;
        stage.is_paid_once(&invoice, &payment, 9_900, at).await;
        nights += 1;
        let reports = stage
            .shop
            .now()
            .await
            .get("/v1/payment-reconciliations")
            .await
            .expect(200);
        let ids: BTreeSet<String> = reports
            .data()
            .iter()
            .map(|report| report["until"].to_string())
            .collect();
        assert_eq!(ids.len(), reports.data().len(), "{at:?}");
        assert!(reports.data().len() <= nights, "{at:?}: more reports than nights");
        died
    })
    .await;
    assert!(calls > 10, "{calls} calls");
}

/// Cashfree lists nothing at night: whatever dies when a page is opened there, the watch finds what it left, and the money.
#[tokio::test]
async fn what_died_at_cashfree_is_found_by_the_watch() {
    let stage = Stage::open().await;
    let calls = everywhere(&stage, async |at| {
        let invoice = stage.shop.invoice(Provider::Cashfree, 17_000).await;
        let pay = async {
            stage.shop.begin(&invoice, Provider::Cashfree).await.expect(201);
        };
        stage.shop.now().await;
        let died = stage.dies(pay, at).await;
        stage.shop.wait(2 * Time::MINUTE).await;
        let begun = stage.payments(&invoice).await;
        for payment in &begun {
            let payment = payment["id"].as_str().unwrap();
            assert_eq!(stage.shop.double.count(payment).sessions, 1, "{at:?}");
            // Nobody tells of it.
            stage.shop.double.act(payment, &PAY).unwrap();
            stage.shop.news();
            stage.shop.wait(3 * Time::MINUTE).await;
            stage.is_paid_once(&invoice, payment, 17_000, at).await;
        }
        // Where it died before it was stored, nothing is left.
        assert!(begun.len() <= 1, "{at:?}");
        died
    })
    .await;
    assert!(calls > 6, "{calls} calls");
}
