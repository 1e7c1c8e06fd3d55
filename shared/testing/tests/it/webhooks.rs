//! Webhooks out: endpoints that subscribe to events, signed calls, what becomes of them, replays, and the log of events.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::Time;
use serde_json::{Value, json};
use testing::{Call, Chaos, Client, Moment, Receiver, Tenant, TestApp};

const PATH: &str = "/v1/webhook-subscriptions";
const AN_HOUR: i64 = Time::HOUR;

/// Somebody with an organization, a client to bill, and a clock that tokens outlive.
struct Shop {
    app: TestApp,
    acme: Tenant,
    client: String,
}

impl Shop {
    async fn open() -> Self {
        Self::of(TestApp::start().await).await
    }

    async fn of(app: TestApp) -> Self {
        let acme = app.tenant().await;
        let client = acme.new_client(json!({})).await;
        app.settle().await;
        Self { app, acme, client }
    }

    /// Their client, with a token that is good now.
    async fn now(&self) -> Client {
        let person = self.acme.owner.logged_in_again(&self.app).await;
        person.client.within(&self.acme.org)
    }

    async fn subscribe(&self, url: &str, events: Value) -> Value {
        let body = json!({"url": url, "events": events});
        self.now().await.post(PATH, body).await.expect(201).json
    }

    /// Causes `invoice.created`, without anybody being told yet.
    async fn draft(&self) -> String {
        let body = an_invoice(&self.client);
        self.now().await.post("/v1/invoices", body).await.expect(201).text("id")
    }

    async fn deliveries(&self, webhook: &Value) -> Vec<Value> {
        let path = format!("{PATH}/{}/deliveries", id_of(webhook));
        self.now().await.get(path).await.expect(200).data().to_vec()
    }

    async fn shown(&self, webhook: &Value) -> Value {
        self.now().await.get(at(webhook, "")).await.expect(200).json
    }

    /// Lets time pass, and what is due then happen.
    async fn later(&self, millis: i64) {
        self.app.advance(millis);
        self.app.run_sweeper().await;
        self.app.settle().await;
    }
}

fn an_invoice(client: &str) -> Value {
    json!({"clientId": client, "currency": "EUR", "dueDate": "2027-03-29",
        "lineItems": [{"description": "Work", "quantity": 1, "unitPrice": 9_900}]})
}

fn id_of(webhook: &Value) -> &str {
    webhook["id"].as_str().unwrap()
}

fn at(webhook: &Value, end: &str) -> String {
    format!("{PATH}/{}{end}", id_of(webhook))
}

/// How many signatures of a call verify with a secret: as any library of the specification does it.
fn signed_with(call: &Call, secret: &str) -> usize {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let content = content(call);
    let all = call.header("webhook-signature").split(' ');
    let symmetric = all.filter_map(|signature| signature.strip_prefix("v1,"));
    let bytes = symmetric.map(|signature| STANDARD.decode(signature).unwrap());
    bytes
        .filter(|bytes| hmac::verify(&key, content.as_bytes(), bytes).is_ok())
        .count()
}

/// The same for a public key.
fn signed_by(call: &Call, public: &str) -> usize {
    let key = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
    assert_eq!(key.len(), 32);
    let key = UnparsedPublicKey::new(&ED25519, key);
    let content = content(call);
    let all = call.header("webhook-signature").split(' ');
    let bytes = all
        .filter_map(|signature| signature.strip_prefix("v1a,"))
        .map(|text| STANDARD.decode(text).unwrap());
    bytes
        .filter(|bytes| key.verify(content.as_bytes(), bytes).is_ok())
        .count()
}

fn content(call: &Call) -> String {
    format!(
        "{}.{}.{}",
        call.header("webhook-id"),
        call.header("webhook-timestamp"),
        call.body
    )
}

fn text<'a>(webhook: &'a Value, field: &str) -> &'a str {
    webhook[field].as_str().unwrap()
}

#[tokio::test]
async fn an_event_is_told_and_signed_by_both_schemes() {
    let shop = Shop::open().await;
    let (one, other) = (Receiver::start().await, Receiver::start().await);
    let first = shop.subscribe(&one.url(), json!(["invoice.created"])).await;
    let second = shop.subscribe(&other.url(), json!(["*"])).await;
    let invoice = shop.draft().await;
    let shown = shop
        .now()
        .await
        .get(format!("/v1/invoices/{invoice}"))
        .await
        .expect(200)
        .json;
    shop.app.settle().await;

    let [call] = one.calls().try_into().unwrap();
    assert_eq!(signed_with(&call, text(&first, "secret")), 1);
    assert_eq!(signed_by(&call, text(&first, "publicKey")), 1);
    assert_eq!(signed_with(&call, text(&second, "secret")), 0);
    // The key is what the secret decodes to, and not its text.
    let as_text = hmac::Key::new(hmac::HMAC_SHA256, text(&first, "secret").as_bytes());
    let v1 = call
        .header("webhook-signature")
        .split(' ')
        .find_map(|it| it.strip_prefix("v1,"))
        .unwrap();
    assert!(hmac::verify(&as_text, content(&call).as_bytes(), &STANDARD.decode(v1).unwrap()).is_err());
    assert_eq!(
        call.header("webhook-timestamp").parse::<i64>().unwrap(),
        shop.app.now().seconds()
    );
    assert!(call.header("webhook-id").starts_with("msg_") && !call.header("webhook-id").contains('.'));
    assert_eq!(call.header("content-type"), "application/json");

    let told: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(told["type"], "invoice.created");
    let mut data = told["data"].clone();
    assert_eq!(data.as_object_mut().unwrap().remove("sequence"), Some(json!(1)));
    assert_eq!(data, shown);
    assert_eq!(other.calls()[0].header("webhook-id"), call.header("webhook-id"));
    assert_ne!(text(&first, "publicKey"), text(&second, "publicKey"));

    let [delivery] = shop.deliveries(&first).await.try_into().unwrap();
    assert_eq!(delivery["status"], "succeeded");
    assert_eq!(delivery["messageId"], call.header("webhook-id"));
    assert_eq!(delivery["eventType"], "invoice.created");
    assert_eq!(delivery["nextAttemptAt"], Value::Null);
    assert_eq!(delivery["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(delivery["attempts"][0]["statusCode"], 200);
    assert_eq!(delivery["attempts"][0]["error"], Value::Null);
    // Nothing that is secret is shown again.
    for path in [PATH.to_owned(), at(&first, "")] {
        let reply = shop.now().await.get(path).await.expect(200).json.to_string();
        assert!(!reply.contains("whsec_"), "{reply}");
    }
}

#[tokio::test]
async fn who_fails_is_told_again_by_the_schedule_to_the_last_attempt() {
    let shop = Shop::open().await;
    let receiver = Receiver::answering(&[500; 20]).await;
    let watcher = Receiver::start().await;
    // It is told of everything, but of what becomes of telling it.
    let webhook = shop.subscribe(&receiver.url(), json!(["*"])).await;
    shop.subscribe(&watcher.url(), json!(["delivery.exhausted", "delivery.recovered"]))
        .await;
    shop.draft().await;
    shop.app.settle().await;
    let pauses = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
    for (made, pause) in (1..).zip(pauses) {
        let [delivery] = shop.deliveries(&webhook).await.try_into().unwrap();
        assert_eq!(delivery["status"], "pending");
        assert_eq!(delivery["attempts"].as_array().unwrap().len(), made);
        assert_eq!(delivery["attempts"][made - 1]["statusCode"], 500);
        assert_eq!(delivery["attempts"][made - 1]["error"], "status");
        let next: Time = text(&delivery, "nextAttemptAt").parse().unwrap();
        let wait = (next.millis() - shop.app.now().millis()) / 1_000;
        assert!(
            (pause..=pause * 6 / 5).contains(&wait),
            "attempt {made}: {wait} s instead of {pause}"
        );
        // Not before it is due; the sweeper finds it when it is overdue.
        shop.later(next.millis() - shop.app.now().millis() - 3_000).await;
        assert_eq!(receiver.calls().len(), made);
        shop.later(23_000).await;
        assert_eq!(receiver.calls().len(), made + 1);
    }
    let [delivery] = shop.deliveries(&webhook).await.try_into().unwrap();
    assert_eq!((&delivery["status"], receiver.calls().len()), (&json!("exhausted"), 8));
    let ids: Vec<_> = receiver
        .calls()
        .iter()
        .map(|call| call.header("webhook-id").to_owned())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert!(
        receiver
            .calls()
            .iter()
            .all(|call| call.body == receiver.calls()[0].body)
    );
    let [told] = watcher.calls().try_into().unwrap();
    let told: Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(told["type"], "delivery.exhausted");
    assert_eq!(told["data"]["messageId"], json!(ids[0]));
    assert_eq!(told["data"]["status"], "exhausted");
    assert_eq!(told["data"]["attempts"].as_array().unwrap().len(), 8);

    // Replayed when it is mended: the same bytes under the same id, and that is told too.
    receiver.answer(&[]);
    let path = format!("{}/deliveries/{}/replay", at(&webhook, ""), id_of(&delivery));
    let replayed = shop.now().await.post(&path, json!({})).await.expect(202).json;
    assert_eq!(replayed["status"], "pending");
    shop.now()
        .await
        .post(&path, json!({}))
        .await
        .problem(409, "delivery_pending");
    shop.app.settle().await;
    let [delivery] = shop.deliveries(&webhook).await.try_into().unwrap();
    assert_eq!(delivery["status"], "succeeded");
    assert_eq!(delivery["attempts"].as_array().unwrap().len(), 9);
    assert_eq!(receiver.calls().last().unwrap().header("webhook-id"), ids[0]);
    let recovered: Value = serde_json::from_str(&watcher.calls().last().unwrap().body).unwrap();
    assert_eq!(recovered["type"], "delivery.recovered");
    assert_eq!(recovered["data"]["status"], "succeeded");
    assert!(recovered["data"]["sequence"].as_u64() > told["data"]["sequence"].as_u64());
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_is_no_dead_letter_of_ours() {
    let shop = Shop::open().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let webhook = shop
        .subscribe(&format!("http://127.0.0.1:{port}/x"), json!(["invoice.created"]))
        .await;
    shop.draft().await;
    shop.app.settle().await;
    let [delivery] = shop.deliveries(&webhook).await.try_into().unwrap();
    assert_eq!(delivery["status"], "pending");
    assert_eq!(delivery["attempts"][0]["statusCode"], Value::Null);
    assert_eq!(delivery["attempts"][0]["error"], "unreachable");
    assert!(shop.app.take("WebhookDeadLetterQueue").await.is_empty());
}

#[tokio::test]
async fn what_happens_while_an_endpoint_is_disabled_is_kept_and_can_be_replayed() {
    let shop = Shop::open().await;
    let receiver = Receiver::answering(&[410]).await;
    let watcher = Receiver::start().await;
    let webhook = shop.subscribe(&receiver.url(), json!(["invoice.created"])).await;
    shop.subscribe(&watcher.url(), json!(["endpoint.disabled"])).await;
    let before = shop.app.now();
    shop.app.advance(1_000);
    shop.draft().await;
    shop.app.settle().await;
    let shown = shop.shown(&webhook).await;
    assert_eq!(
        (&shown["status"], &shown["disabledReason"]),
        (&json!("disabled"), &json!("gone"))
    );
    let told: Value = serde_json::from_str(&watcher.calls()[0].body).unwrap();
    assert_eq!(
        (&told["type"], &told["data"]["id"]),
        (&json!("endpoint.disabled"), &webhook["id"])
    );
    let mails = shop.app.mails_to(&shop.acme.owner.email);
    assert_eq!(mails.iter().filter(|mail| mail.subject.contains("webhook")).count(), 1);
    for _ in 0..3 {
        shop.app.advance(1_000);
        shop.draft().await;
    }
    shop.app.settle().await;
    let statuses = |all: &[Value]| all.iter().map(|it| text(it, "status").to_owned()).collect::<Vec<_>>();
    assert_eq!(
        statuses(&shop.deliveries(&webhook).await),
        ["skipped", "skipped", "skipped", "failed"]
    );
    assert_eq!(receiver.calls().len(), 1);

    let replay = json!({"since": before});
    shop.now()
        .await
        .post(at(&webhook, "/replay"), replay.clone())
        .await
        .problem(409, "webhook_disabled");
    let client = shop.now().await;
    client
        .patch(at(&webhook, ""), json!({"status": "active"}))
        .await
        .expect(200);
    shop.app.settle().await;
    assert_eq!(receiver.calls().len(), 1, "enabling alone sends nothing");
    let once = client.header("idempotency-key", "replay");
    once.post(at(&webhook, "/replay"), replay.clone()).await.expect(202);
    let again = once.post(at(&webhook, "/replay"), replay).await.expect(202);
    assert_eq!(again.header("idempotent-replayed"), "true");
    shop.app.settle().await;
    assert_eq!(statuses(&shop.deliveries(&webhook).await), ["succeeded"; 4]);
    let mut ids: Vec<_> = receiver.calls()[1..]
        .iter()
        .map(|call| call.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 4);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn a_rotation_overlaps_and_no_secret_travels() {
    let shop = Shop::open().await;
    let receiver = Receiver::answering(&[500]).await;
    let webhook = shop.subscribe(&receiver.url(), json!(["invoice.created"])).await;
    shop.draft().await;
    shop.app.settle().await;
    let client = shop.now().await;
    let rotated = client
        .post(at(&webhook, "/rotate-secret"), json!({"overlapSeconds": 3_600}))
        .await;
    let rotated = rotated.expect(200).json;
    assert_ne!(rotated["secret"], webhook["secret"]);
    shop.draft().await;
    shop.later(7_000).await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 3);
    for call in &calls[1..] {
        for webhook in [&webhook, &rotated] {
            assert_eq!(signed_with(call, text(webhook, "secret")), 1);
            assert_eq!(signed_by(call, text(webhook, "publicKey")), 1);
        }
    }
    shop.app.advance(AN_HOUR);
    shop.draft().await;
    shop.app.settle().await;
    let last = receiver.calls().pop().unwrap();
    assert_eq!(signed_with(&last, text(&webhook, "secret")), 0);
    assert_eq!(signed_with(&last, text(&rotated, "secret")), 1);
    for call in receiver.calls() {
        let sent = format!("{:?} {}", call.headers, call.body);
        for webhook in [&webhook, &rotated] {
            let secret = text(webhook, "secret").strip_prefix("whsec_").unwrap();
            assert!(!sent.contains(secret));
        }
    }
    let stored = shop.app.stored().await;
    let secret = text(&rotated, "secret").strip_prefix("whsec_").unwrap().as_bytes();
    assert!(
        !stored.windows(secret.len()).any(|bytes| bytes == secret),
        "a secret lies in a table"
    );
}

#[tokio::test]
async fn an_endpoint_that_fails_for_five_days_is_disabled_with_one_mail() {
    let shop = Shop::open().await;
    let receiver = Receiver::answering(&[503; 100]).await;
    let webhook = shop.subscribe(&receiver.url(), json!(["invoice.created"])).await;
    for day in 0..6 {
        shop.draft().await;
        shop.app.settle().await;
        let shown = shop.shown(&webhook).await;
        let expected = if day < 5 { "active" } else { "disabled" };
        assert_eq!(shown["status"], expected, "day {day}");
        // Time alone: nothing is due in between.
        shop.app.advance(24 * AN_HOUR);
    }
    assert_eq!(shop.shown(&webhook).await["disabledReason"], "failing");
    let mails = shop.app.mails_to(&shop.acme.owner.email);
    assert_eq!(mails.iter().filter(|mail| mail.subject.contains("webhook")).count(), 1);
    let enabled = shop
        .now()
        .await
        .patch(at(&webhook, ""), json!({"status": "active"}))
        .await;
    assert_eq!(enabled.expect(200).json["failingSince"], Value::Null);
}

#[tokio::test]
async fn an_endpoint_gets_its_own_headers_and_its_own_clients_events() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let other = shop.acme.new_client(json!({})).await;
    let body = json!({"url": receiver.url(), "events": ["invoice.created"], "clientId": other,
        "headers": {"Authorization": "Bearer for-them", "X-Tenant": "acme"}});
    let webhook = shop.now().await.post(PATH, body).await.expect(201).json;
    assert_eq!(webhook["headers"], json!(["authorization", "x-tenant"]));
    shop.draft().await;
    shop.now()
        .await
        .post("/v1/invoices", an_invoice(&other))
        .await
        .expect(201);
    shop.app.settle().await;
    let [call] = receiver.calls().try_into().unwrap();
    assert_eq!(
        (call.header("authorization"), call.header("x-tenant")),
        ("Bearer for-them", "acme")
    );
    assert_eq!(
        serde_json::from_str::<Value>(&call.body).unwrap()["data"]["clientId"],
        json!(other)
    );
    let stored = shop.app.stored().await;
    assert!(
        !stored.windows(8).any(|bytes| bytes == b"for-them"),
        "a header's value lies in a table"
    );
}

#[tokio::test]
async fn a_trial_tells_how_it_went_and_not_what_was_answered() {
    let shop = Shop::open().await;
    let receiver = Receiver::answering(&[204, 500]).await;
    let webhook = shop.subscribe(&receiver.url(), json!(["*"])).await;
    let client = shop.now().await;
    let good = client
        .post(at(&webhook, "/test"), json!({"type": "payment.failed"}))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&good["delivered"], &good["statusCode"], &good["error"]),
        (&json!(true), &json!(204), &Value::Null)
    );
    let call = receiver.calls().pop().unwrap();
    assert_eq!(signed_with(&call, text(&webhook, "secret")), 1);
    assert_eq!(
        serde_json::from_str::<Value>(&call.body).unwrap()["type"],
        "payment.failed"
    );
    let bad = client.post(at(&webhook, "/test"), json!({})).await.expect(200).json;
    assert_eq!((&bad["delivered"], &bad["error"]), (&json!(false), &json!("status")));
    client
        .post(at(&webhook, "/test"), json!({"type": "invoice.lost"}))
        .await
        .problem(422, "invalid");
    for _ in 0..8 {
        client.post(at(&webhook, "/test"), json!({})).await.expect(200);
    }
    let refused = client.post(at(&webhook, "/test"), json!({})).await.expect(429);
    assert!(!refused.header("retry-after").is_empty());
    assert!(shop.deliveries(&webhook).await.is_empty(), "a trial is no delivery");
}

#[tokio::test]
async fn events_can_be_pulled_in_order_and_go_on_where_one_stopped() {
    let shop = Shop::open().await;
    for _ in 0..3 {
        shop.draft().await;
        shop.app.advance(10);
    }
    let read = async |query: &str| shop.now().await.get(format!("/v1/webhook-events{query}")).await;
    assert_eq!(read("").await.expect(200).data().len(), 0, "they settle for 15 seconds");
    shop.app.advance(15_000);
    let all = read("").await.expect(200).data().to_vec();
    assert_eq!(all.len(), 3);
    assert!(
        all.iter()
            .all(|event| event["type"] == "invoice.created" && event["data"]["sequence"] == 1)
    );
    let first = read("?limit=1").await.expect(200).json;
    assert_eq!(
        (&first["data"][0]["id"], &first["nextCursor"]),
        (&all[0]["id"], &all[0]["id"])
    );
    let rest = read(&format!("?after={}", text(&all[0], "id"))).await.expect(200).json;
    assert_eq!(rest["data"], json!(all[1..]));
    assert_eq!(rest["nextCursor"], Value::Null);
    read("?limit=0").await.problem(422, "invalid");
    read("?after=nonsense").await.expect(400);
    let globex = shop.app.tenant().await;
    shop.app.settle().await;
    assert_eq!(
        globex.client.get("/v1/webhook-events").await.expect(200).data().len(),
        0
    );
}

#[tokio::test]
async fn bad_subscriptions_are_named() {
    let shop = Shop::open().await;
    let client = shop.now().await;
    let good = json!({"url": "https://hooks.example.com/", "events": ["invoice.paid"]});
    let cases = [
        (json!({"url": "https://10.0.0.1/"}), "url"),
        (json!({"url": "http://hooks.example.com/"}), "url"),
        (json!({"events": []}), "events"),
        (json!({"events": ["invoice.lost"]}), "events[0]"),
        (json!({"events": ["*", "invoice.paid"]}), "events"),
        (json!({"headers": {"Host": "x"}}), "headers.Host"),
        (json!({"headers": {"webhook-id": "x"}}), "headers.webhook-id"),
        (json!({"description": ""}), "description"),
    ];
    for (change, field) in cases {
        let mut body = good.clone();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let reply = client.post(PATH, body).await.problem(422, "invalid");
        let fields: Vec<_> = reply.fields();
        assert_eq!(fields, [field]);
    }
    let mut foreign = good.clone();
    foreign["clientId"] = json!(shop.app.tenant().await.new_client(json!({})).await);
    client.post(PATH, foreign).await.problem(404, "not_found");
    assert!(client.get(PATH).await.expect(200).data().is_empty());
    let webhook = client.post(PATH, good).await.expect(201).json;
    let too_long = json!({"overlapSeconds": 604_801});
    client
        .post(at(&webhook, "/rotate-secret"), too_long)
        .await
        .problem(422, "invalid");
}

#[tokio::test]
async fn another_tenants_webhooks_look_absent() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let webhook = shop.subscribe(&receiver.url(), json!(["invoice.created"])).await;
    shop.draft().await;
    shop.app.settle().await;
    let delivery = shop.deliveries(&webhook).await[0].clone();
    let globex = shop.app.tenant().await;
    let theirs = &globex.client;
    theirs.get(at(&webhook, "")).await.problem(404, "not_found");
    theirs
        .patch(at(&webhook, ""), json!({"status": "disabled"}))
        .await
        .problem(404, "not_found");
    theirs.delete(at(&webhook, "")).await.problem(404, "not_found");
    theirs.get(at(&webhook, "/deliveries")).await.problem(404, "not_found");
    for end in ["/rotate-secret", "/test"] {
        theirs
            .post(at(&webhook, end), json!({}))
            .await
            .problem(404, "not_found");
    }
    theirs
        .post(at(&webhook, "/replay"), json!({"since": shop.app.now()}))
        .await
        .problem(404, "not_found");
    let replay = format!("{}/deliveries/{}/replay", at(&webhook, ""), id_of(&delivery));
    theirs.post(replay, json!({})).await.problem(404, "not_found");
    // Nor by an endpoint of their own.
    let own = theirs
        .post(PATH, json!({"url": receiver.url(), "events": ["*"]}))
        .await
        .expect(201)
        .json;
    let replay = format!("{}/deliveries/{}/replay", at(&own, ""), id_of(&delivery));
    theirs.post(replay, json!({})).await.problem(404, "not_found");
    let calls = receiver.calls().len();
    shop.draft().await;
    shop.app.settle().await;
    assert_eq!(
        receiver.calls().len(),
        calls + 1,
        "an event is told to its own organization alone"
    );
}

#[tokio::test]
async fn a_deleted_endpoint_is_told_nothing_more() {
    let shop = Shop::open().await;
    let receiver = Receiver::answering(&[500]).await;
    let webhook = shop.subscribe(&receiver.url(), json!(["invoice.created"])).await;
    shop.draft().await;
    shop.app.settle().await;
    shop.now().await.delete(at(&webhook, "")).await.expect(204);
    shop.now().await.get(at(&webhook, "")).await.problem(404, "not_found");
    shop.draft().await;
    shop.later(10_000).await;
    assert_eq!(receiver.calls().len(), 1);
    assert!(shop.now().await.get(PATH).await.expect(200).data().is_empty());
}

#[tokio::test]
async fn an_organization_has_at_most_100_webhooks() {
    let shop = Shop::open().await;
    let client = shop.now().await;
    let body = json!({"url": "https://hooks.example.com/", "events": ["*"]});
    for _ in 0..100 {
        client.post(PATH, body.clone()).await.expect(201);
    }
    client.post(PATH, body.clone()).await.problem(409, "too_many_webhooks");
    let webhook = client.get(PATH).await.expect(200).data()[0].clone();
    client.delete(at(&webhook, "")).await.expect(204);
    client.post(PATH, body).await.expect(201);
}

#[tokio::test]
async fn a_fact_that_is_heard_again_is_delivered_once() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let webhook = shop.subscribe(&receiver.url(), json!(["invoice.created"])).await;
    shop.draft().await;
    let told = shop.app.take("OutboxQueue").await;
    assert_eq!(told.len(), 1);
    let twice = [told.clone(), told].concat();
    shop.app.deliver_from("OutboxQueue", &twice).await;
    let mut calls = shop.app.take("WebhookQueue").await;
    calls.extend(calls.clone());
    calls.push("{}".to_owned());
    // What is poisoned fails alone.
    assert_eq!(shop.app.deliver_from("WebhookQueue", &calls).await, [calls.len() - 1]);
    assert_eq!(receiver.calls().len(), 1);
    assert_eq!(shop.deliveries(&webhook).await.len(), 1);
}

#[tokio::test]
async fn the_description_has_every_event_with_its_schema_and_an_example() {
    let app = TestApp::start().await;
    let api = app.client().get("/docs/json").await.expect(200).json;
    let events = api["webhooks"].as_object().unwrap();
    for name in [
        "invoice.sent",
        "payment.succeeded",
        "subscription.changed",
        "wallet.low",
        "endpoint.disabled",
    ] {
        let media = &events[name]["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(media["schema"]["properties"]["type"]["const"], name);
        assert_eq!(media["example"]["type"], name);
        let view = media["schema"]["properties"]["data"]["allOf"][0]["$ref"]
            .as_str()
            .unwrap();
        let schema = view.rsplit('/').next().unwrap();
        assert!(api["components"]["schemas"].get(schema).is_some(), "{name}: {schema}");
    }
}

/// The relay, or who delivers, dies before or after each of its calls: an event is told, perhaps twice, always under its one id.
#[tokio::test]
async fn whoever_dies_at_any_call_an_event_is_told_under_one_id() {
    let chaos = Chaos::only(&[]);
    let shop = Shop::of(TestApp::start_under(chaos.clone()).await).await;
    let receiver = Receiver::start().await;
    let webhook = shop.subscribe(&receiver.url(), json!(["invoice.created"])).await;
    for queue in ["OutboxQueue", "WebhookQueue"] {
        for call in 1..40 {
            let mut died = false;
            for moment in [Moment::Before, Moment::After] {
                let before = receiver.calls().len();
                shop.draft().await;
                if queue == "WebhookQueue" {
                    let told = shop.app.take("OutboxQueue").await;
                    shop.app.deliver_from("OutboxQueue", &told).await;
                }
                let told = shop.app.take(queue).await;
                chaos.enable(true);
                chaos.crash_at(call, moment);
                died |= tokio::select! {
                    _ = shop.app.deliver_from(queue, &told) => false,
                    () = chaos.crashed() => true,
                };
                chaos.enable(false);
                // The message comes again, and the sweeper finds what was not told of, when its lease is over.
                shop.later(2 * Time::MINUTE).await;
                let calls = receiver.calls();
                let told = &calls[before..];
                assert!(
                    (1..=2).contains(&told.len()),
                    "{queue} {moment:?} call {call}: {}",
                    told.len()
                );
                assert!(
                    told.iter()
                        .all(|one| one.header("webhook-id") == told[0].header("webhook-id"))
                );
                let deliveries = shop.deliveries(&webhook).await;
                assert_eq!(deliveries[0]["status"], "succeeded", "{queue} {moment:?} call {call}");
            }
            if !died {
                assert!(call > 3, "{queue}: {call}");
                break;
            }
        }
    }
}
