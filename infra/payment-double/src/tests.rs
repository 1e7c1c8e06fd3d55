//! The page, the webhooks and what is told by HTTP; its wire shapes are tried by the adapters.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use reqwest::{Client, redirect};
use serde_json::{Value, json};

use super::*;

/// The names of the headers, and the body.
type Got = (Vec<String>, String);

/// Remembers the webhooks that it gets; the first of them it refuses.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Got>>>);

async fn receive(State(receiver): State<Receiver>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let names = parts.headers.keys().map(ToString::to_string).collect();
    let mut got = receiver.0.lock().unwrap();
    got.push((names, String::from_utf8(body.to_vec()).unwrap()));
    if got.len() == 1 {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    }
}

struct World {
    double: PaymentDouble,
    http: Client,
    got: Receiver,
}

impl World {
    async fn start() -> Self {
        let got = Receiver::default();
        let router = Router::new().fallback(receive).with_state(got.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let double = PaymentDouble::start().await.unwrap();
        let account = |provider, key: &str| Account {
            provider,
            key: key.to_owned(),
            webhook_url: url.clone(),
            webhook_secret: "secret".to_owned(),
        };
        double.register(account(Provider::Stripe, "sk_test_1"));
        double.register(account(Provider::Cashfree, "client"));
        Self {
            double,
            http: Client::builder().redirect(redirect::Policy::none()).build().unwrap(),
            got,
        }
    }

    /// Opens a session of Stripe; its page.
    async fn open(&self) -> String {
        let body = "mode=payment&client_reference_id=ours&success_url=http%3A%2F%2Fback%2F&line_items[0][quantity]=1\
            &line_items[0][price_data][currency]=eur&line_items[0][price_data][unit_amount]=1750\
            &line_items[0][price_data][product_data][name]=%3Cb%3EThing";
        let reply = self
            .http
            .post(format!("{}/v1/checkout/sessions", self.double.base(Provider::Stripe)))
            .bearer_auth("sk_test_1")
            .header("stripe-version", "2026-07-29.dahlia")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap();
        let session: Value = reply.json().await.unwrap();
        session["url"].as_str().unwrap().to_owned()
    }

    async fn press(&self, page: &str, button: &str) -> reqwest::Response {
        let body = format!("do={button}");
        self.http.post(page).body(body).send().await.unwrap()
    }

    async fn tell(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/_double/{path}", self.double.url());
        let reply = self.http.post(url).body(body.to_string()).send().await.unwrap();
        (reply.status(), reply.json().await.unwrap())
    }

    async fn ask(&self, path: &str) -> Value {
        let url = format!("{}/_double/{path}", self.double.url());
        let reply = self.http.get(url).send().await.unwrap();
        reply.json::<Value>().await.unwrap()["data"].take()
    }

    fn kinds(&self) -> Vec<String> {
        let got = self.got.0.lock().unwrap();
        let kind = |body: &String| -> String {
            let body: Value = serde_json::from_str(body).unwrap();
            body["type"].as_str().unwrap().to_owned()
        };
        got.iter().map(|(_, body)| kind(body)).collect()
    }

    /// Waits until so many webhooks have come.
    async fn until(&self, count: usize) -> Vec<String> {
        for _ in 0..500 {
            if self.kinds().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.kinds()
    }
}

#[tokio::test]
async fn a_person_pays_on_the_page_and_the_webhooks_come_until_they_are_taken() {
    let world = World::start().await;
    let page = world.open().await;
    let shown = world.http.get(&page).send().await.unwrap().text().await.unwrap();
    assert!(
        shown.contains("EUR 17.50") && shown.contains("&lt;b&gt;Thing") && !shown.contains("<script"),
        "{shown}"
    );

    let reply = world.press(&page, "fail").await;
    assert_eq!(
        (reply.status(), &reply.headers()["location"]),
        (StatusCode::SEE_OTHER, &"http://back/".parse().unwrap())
    );
    let shown = world.http.get(&page).send().await.unwrap().text().await.unwrap();
    assert!(shown.contains("was declined"));
    assert_eq!(world.press(&page, "pay").await.status(), StatusCode::SEE_OTHER);
    let shown = world.press(&page, "pay").await.text().await.unwrap();
    assert!(shown.contains("This is paid."));

    let kinds = world.until(6).await;
    // The first was refused, so it came again.
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| *kind == "payment_intent.payment_failed")
            .count(),
        2,
        "{kinds:?}"
    );
    for kind in [
        "charge.failed",
        "payment_intent.succeeded",
        "charge.succeeded",
        "checkout.session.completed",
    ] {
        assert!(kinds.iter().any(|it| it == kind), "{kinds:?}");
    }
    assert!(
        world.got.0.lock().unwrap()[0]
            .0
            .contains(&"stripe-signature".to_owned())
    );
    let count = json!({"sessions": 1, "charges": 1, "charged": 1_750, "refunds": 0, "refunded": 0});
    assert_eq!(world.ask("counts").await["ours"], count);
}

#[tokio::test]
async fn webhooks_are_held_and_released_in_any_order() {
    let world = World::start().await;
    world.tell("flow", json!({"flow": "held"})).await;
    let page = world.open().await;
    world.press(&page, "pay").await;
    let told = world.ask("webhooks").await;
    let ids: Vec<&Value> = told.as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!((ids.len(), world.kinds().len()), (3, 0));
    let (status, _) = world.tell("release", json!({"ids": [ids[2], ids[2], ids[0]]})).await;
    assert_eq!(status, StatusCode::OK);
    let kinds = world.until(4).await;
    let (last, first) = ("checkout.session.completed", "payment_intent.succeeded");
    // The first was refused, and came again after the others.
    assert_eq!(kinds, [last, last, first, last]);
}

#[tokio::test]
async fn what_it_does_not_understand_it_says() {
    let world = World::start().await;
    for (path, body) in [
        ("flow", json!({"flow": "sideways"})),
        ("act", json!({"session": "none", "do": "pay"})),
        ("act", json!({"session": "none", "do": "dance"})),
        ("faults", json!({"kind": "error", "often": true})),
        ("accounts", json!({})),
        ("nothing", json!({})),
    ] {
        let (status, reply) = world.tell(path, body).await;
        assert!(
            status == StatusCode::BAD_REQUEST && reply["detail"].is_string(),
            "{path} {reply}"
        );
    }
    let url = format!("{}/hosted/stripe/none", world.double.url());
    assert_eq!(
        world.http.get(url).send().await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    let front = world
        .http
        .get(format!("{}/_double", world.double.url()))
        .send()
        .await
        .unwrap();
    assert!(front.text().await.unwrap().contains("/_double/faults"));
}

#[tokio::test]
async fn a_key_with_other_parameters_is_an_error() {
    let world = World::start().await;
    let ask = async |amount: u32| {
        let url = format!("{}/v1/checkout/sessions", world.double.base(Provider::Stripe));
        let body = format!(
            "mode=payment&success_url=x&line_items[0][quantity]=1&line_items[0][price_data][currency]=eur\
             &line_items[0][price_data][unit_amount]={amount}&line_items[0][price_data][product_data][name]=x"
        );
        let request = world
            .http
            .post(url)
            .bearer_auth("sk_test_1")
            .header("stripe-version", "x");
        let reply = request
            .header("idempotency-key", "one")
            .body(body)
            .send()
            .await
            .unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    let first = ask(100).await;
    assert_eq!(first, ask(100).await);
    let other = ask(200).await;
    assert!(other.0 == 400 && other.1.contains("idempotency_error"), "{other:?}");
    let calls = world.ask("calls").await;
    assert_eq!(calls[0]["sha256"], calls[1]["sha256"]);
    assert_ne!(calls[0]["sha256"], calls[2]["sha256"]);
    assert_eq!(calls[0]["key"], "one");
}

#[tokio::test]
async fn what_a_file_holds_is_there_again_at_the_same_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("payments.json");
    let open = async || PaymentDouble::open(file.clone(), Arc::new(real_ms)).await.unwrap();
    let mut world = World::start().await;
    world.double = open().await;
    let page = world.open().await;
    world.press(&page, "pay").await;
    let (url, count) = (world.double.url().to_owned(), world.double.count("ours"));
    drop(world.double);
    // What was aborted lets go of the port when it is its turn.
    tokio::task::yield_now().await;
    let again = open().await;
    assert_eq!((again.count("ours"), count.charges), (count, 1));
    assert_eq!(again.url(), url);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("sk_test_1"));
    drop(again);
    // A file that nobody can read is as none.
    std::fs::write(&file, "{").unwrap();
    assert_eq!(open().await.count("ours"), Count::default());
}
