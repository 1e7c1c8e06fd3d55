//! Payments over real processes: invoices are paid at the double and money is given back, while whoever does that is killed
//! with -9. In the end each was charged once and refunded once, and nothing is on its way.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};

use crate::golden_path::{Tenant, Up};

/// Paid at each of the two.
const EACH: usize = 4;
const WHERE: [(&str, &str); 2] = [("stripe", "EUR"), ("razorpay", "INR")];
/// So many are paid at once.
const AT_ONCE: usize = 4;
/// An answer comes within so many attempts, a quarter of a second apart.
const MOST_TRIES: usize = 200;
const KILLED: [&str; 4] = ["invoices", "payment-worker", "provider-webhooks", "outbox-relay"];
/// A seller whose calls are made again until they are answered.
struct Seller<'a> {
    up: &'a Up,
    tenant: Mutex<Tenant>,
    /// The double's address.
    control: String,
    keys: AtomicUsize,
}

impl<'a> Seller<'a> {
    async fn of(up: &'a Up) -> Self {
        let tenant = Tenant::register(up).await;
        let (_, told) = up.call(Method::GET, "/_local/payments", &[], None).await;
        Self {
            up,
            control: told["control"].as_str().unwrap().to_owned(),
            tenant: Mutex::new(tenant),
            keys: AtomicUsize::new(0),
        }
    }

    fn login(&self) -> (String, String) {
        let tenant = self.tenant.lock().unwrap();
        (tenant.token.clone(), tenant.org.clone())
    }

    /// Calls, and calls again with the same key, until there is an answer.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let key = format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed));
        let mut last = Value::Null;
        for _ in 0..MOST_TRIES {
            let (token, org) = self.login();
            let headers = [
                ("authorization", &*token),
                ("x-org-id", &*org),
                ("idempotency-key", &*key),
            ];
            let (status, reply) = self.up.call(method.clone(), path, &headers, body.clone()).await;
            match status.as_u16() {
                200 | 201 => return reply,
                401 => self.log_in().await,
                409 if reply["code"] == "in_flight" => {}
                429 | 500..=599 => {}
                _ => panic!("{method} {path}: {status} {reply}"),
            }
            last = reply;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("{method} {path} is never answered: {last}");
    }

    /// Logs in anew: a token ends after fifteen minutes of the clock.
    async fn log_in(&self) {
        let credentials = json!({"email": "ada@example.com", "password": "a long enough one"});
        let (status, login) = self
            .up
            .call(Method::POST, "/v1/auth/login", &[], Some(credentials))
            .await;
        if status == 200 {
            let token = login["accessToken"].as_str().unwrap();
            self.tenant.lock().unwrap().token = format!("Bearer {token}");
        }
    }

    async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Looks until it is so, while the clock goes on.
    async fn until(&self, what: &str, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        for _ in 0..MOST_TRIES {
            found = self.get(path).await;
            if is(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("waited in vain until {what}: {found:#}");
    }

    async fn act(&self, body: Value) {
        let told = self
            .up
            .http
            .post(format!("{}/act", self.control))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(told.status(), 200, "{}", told.text().await.unwrap());
    }

    /// What really happened, by payment.
    async fn counts(&self) -> BTreeMap<String, Value> {
        let counts = self
            .up
            .http
            .get(format!("{}/counts", self.control))
            .send()
            .await
            .unwrap();
        let mut counts: Value = counts.json().await.unwrap();
        serde_json::from_value(counts["data"].take()).unwrap()
    }

    /// A client who is sent invoices in a currency.
    async fn client(&self, currency: &str) -> String {
        let new =
            json!({"name": "Client", "email": "client@example.com", "currency": currency, "phone": "+919999999999"});
        self.post("/v1/clients", new).await["id"].as_str().unwrap().to_owned()
    }

    /// An invoice that is sent, paid, and given back in part; its payment's id.
    async fn sell(&self, client: &str, provider: &str, currency: &str) -> (String, String) {
        let lines = json!([{"description": "Work", "quantity": 1, "unitPrice": 17_000, "taxRate": "0"}]);
        let new = json!({"clientId": client, "currency": currency, "dueDate": "2040-01-01", "lineItems": lines});
        let invoice = self.post("/v1/invoices", new).await["id"].as_str().unwrap().to_owned();
        self.post(&format!("/v1/invoices/{invoice}/send"), json!({})).await;
        let begun = self
            .post(&format!("/v1/invoices/{invoice}/pay"), json!({"provider": provider}))
            .await;
        let payment = begun["payment"]["id"].as_str().unwrap().to_owned();
        self.act(json!({"session": payment, "do": "pay"})).await;
        let path = format!("/v1/payments/{payment}");
        self.until("it is paid", &path, |found| found["status"] == "succeeded")
            .await;
        self.post(&format!("{path}/partial-refund"), json!({"amount": 1_000}))
            .await;
        (invoice, payment)
    }
}

async fn advance(up: &Up, seconds: u64) {
    let body = json!({"advanceSeconds": seconds});
    let (status, reply) = up.call(Method::POST, "/_local/clock", &[], Some(body)).await;
    assert!(status.is_success(), "{reply}");
}

/// Kills whoever works, until it is over; how many.
async fn kill(up: &Up, over: &AtomicBool) -> usize {
    let mut killed = 0;
    while !over.load(Ordering::Relaxed) {
        killed += up.kill(&KILLED).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        // What the dead left is shown again.
        advance(up, 20).await;
    }
    killed
}

#[tokio::test]
async fn each_is_charged_once_and_given_back_once_whoever_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_with(data.path(), &[]).await;
    let seller = Seller::of(&up).await;
    let mut wanted = Vec::new();
    for (provider, currency) in WHERE {
        let client = seller.client(currency).await;
        wanted.extend((0..EACH).map(|_| (client.clone(), provider, currency)));
    }
    let over = AtomicBool::new(false);
    let selling = async {
        let sold = stream::iter(&wanted).map(|(client, provider, currency)| seller.sell(client, provider, currency));
        let sold: Vec<(String, String)> = sold.buffer_unordered(AT_ONCE).collect().await;
        over.store(true, Ordering::Relaxed);
        sold
    };
    let (sold, killed) = tokio::join!(selling, kill(&up, &over));
    assert!(killed > 0, "nobody was killed");

    // Whatever is left is found by time alone.
    for _ in 0..6 {
        advance(&up, 180).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for (invoice, payment) in &sold {
        let is_back = |found: &Value| found["status"] == "partially_refunded";
        let path = format!("/v1/payments/{payment}");
        let found = seller.until("it is given back", &path, is_back).await;
        assert_eq!(
            (&found["amountReceived"], &found["amountRefunded"]),
            (&json!(17_000), &json!(1_000)),
            "{found:#}"
        );
        let shown = seller.get(&format!("/v1/invoices/{invoice}")).await;
        assert_eq!(
            (&shown["status"], &shown["amountPaid"]),
            (&json!("paid"), &json!(17_000))
        );
        let payments = seller.get(&format!("/v1/invoices/{invoice}/payments")).await;
        assert_eq!(payments["data"].as_array().unwrap().len(), 1, "{payments:#}");
    }
    let counts = seller.counts().await;
    for (_, payment) in &sold {
        let count = &counts[payment];
        let counted = ["sessions", "charges", "refunds"].map(|name| count[name].as_i64().unwrap());
        assert_eq!(counted, [1, 1, 1], "{payment} {count}");
    }
    assert_eq!(counts.len(), sold.len(), "the double knows no others");
    println!("{killed} killed, {} paid and given back", sold.len());
}
