//! Web push: what browsers get is what they can read and push services accept, and no inside host is called.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey as Point};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jobs::{JobRecord, Later, State, store};
use kernel::{Time, UserId};
use notifications::push::{MOST_PLAIN, PushMessage, Subscriptions, jobs_for};
use notifications::{Owner, Topic};
use serde_json::{Value, json};
use testing::{Call, Person, Receiver, Setup, Tenant, TestApp};

const QUEUE: &str = "WebhookQueue";
const PATH: &str = "/v1/push/subscriptions";

/// A browser with keys of its own.
struct Browser {
    private: PrivateKey,
    auth: [u8; 16],
}

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(prk: &Prk, info: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    prk.expand(&[info], Bytes(length)).unwrap().fill(&mut bytes).unwrap();
    bytes
}

impl Browser {
    fn new() -> Self {
        Self {
            private: PrivateKey::generate(&ECDH_P256).unwrap(),
            auth: kernel::id::random(),
        }
    }

    fn point(&self) -> Vec<u8> {
        self.private.compute_public_key().unwrap().as_ref().to_vec()
    }

    fn subscription(&self, endpoint: &str) -> Value {
        let keys = json!({"p256dh": BASE64.encode(self.point()), "auth": BASE64.encode(self.auth)});
        json!({"endpoint": endpoint, "expirationTime": null, "keys": keys})
    }

    /// Reads a body as RFC 8291 says.
    fn read(&self, body: &[u8]) -> Value {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        let size = u32::from_be_bytes(size.try_into().unwrap());
        assert_eq!(rest[0], 65);
        let (theirs, record) = rest[1..].split_at(65);
        assert!(
            usize::try_from(size).unwrap() > record.len(),
            "a record is shorter than its size"
        );
        let shared = agreement::agree(&self.private, Point::new(&ECDH_P256, theirs), (), |secret| {
            Ok(Salt::new(HKDF_SHA256, &self.auth).extract(secret))
        });
        let info = [b"WebPush: info\0".as_slice(), &self.point(), theirs].concat();
        let prk = Salt::new(HKDF_SHA256, salt).extract(&expand(&shared.unwrap(), &info, 32));
        let key = expand(&prk, b"Content-Encoding: aes128gcm\0", 16);
        let nonce = expand(&prk, b"Content-Encoding: nonce\0", 12);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let mut bytes = record.to_vec();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut bytes).unwrap();
        let (last, plain) = plain.split_last().unwrap();
        assert_eq!(*last, 2);
        serde_json::from_slice(plain).unwrap()
    }
}

fn message() -> PushMessage {
    PushMessage {
        title: "Firing in Shop".to_owned(),
        body: "error_rate > 0.05 over 5m".to_owned(),
        topic: Topic::Alerts,
        url: Some("https://console.example.com/alerts".to_owned()),
    }
}

fn user(person: &Person) -> UserId {
    person.id.parse().unwrap()
}

async fn subscribe(person: &Person, browser: &Browser, endpoint: &str) -> String {
    let body = browser.subscription(endpoint);
    person.client.post(PATH, body).await.expect(201).text("id")
}

/// Tells a person something: the jobs, one for each browser, once their queue was told.
async fn tell(app: &TestApp, person: &Person, cause: &str) -> Vec<Later> {
    let (table, now) = (app.table(), app.now());
    let (owner, user) = (Owner::User(user(person)), user(person));
    let jobs = jobs_for(&table, now, now, (owner, cause.to_owned(), now), user, &message()).await;
    let (jobs, app) = (jobs.unwrap(), app.app().await);
    for job in &jobs {
        job.store(&app).await.unwrap();
    }
    jobs
}

async fn stored(app: &TestApp, job: &Later) -> JobRecord {
    store::find(&app.table(), &job.reference()).await.unwrap().unwrap()
}

/// A person with one browser, whose push service answers so.
async fn with_browser(app: &TestApp, answers: &[u16]) -> (Person, Receiver, Browser, String) {
    let (ada, receiver) = (app.person().await, Receiver::answering(answers).await);
    let browser = Browser::new();
    let endpoint = format!("{}/push/abc?x=1", receiver.url().trim_end_matches("/hook"));
    let id = subscribe(&ada, &browser, &endpoint).await;
    (ada, receiver, browser, id)
}

/// The claims of a token that is signed by the key beside it.
fn claims(call: &Call) -> Value {
    let value = call.header("authorization").strip_prefix("vapid t=").unwrap();
    let (token, key) = value.split_once(", k=").unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = BASE64.decode(key).unwrap();
    assert_eq!((key.len(), key[0]), (65, 4));
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
    key.verify(signed.as_bytes(), &BASE64.decode(signature).unwrap())
        .unwrap();
    let part = |number: usize| -> Value {
        let bytes = BASE64.decode(signed.split('.').nth(number).unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    assert_eq!(part(0)["alg"], "ES256");
    part(1)
}

#[tokio::test]
async fn a_browser_reads_what_was_said_and_its_push_service_knows_who_sends() {
    let app = TestApp::start().await;
    let (ada, receiver, browser, _) = with_browser(&app, &[201]).await;
    let jobs = tell(&app, &ada, "alert").await;
    app.settle().await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!(call.path, "/push/abc?x=1");
    assert_eq!(call.header("content-encoding"), "aes128gcm");
    assert_eq!(call.header("ttl"), "86400");
    assert_eq!(call.header("urgency"), "high");
    assert!(call.bytes.len() <= 4_096);
    let said = json!({
        "title": "Firing in Shop", "body": "error_rate > 0.05 over 5m", "topic": "alerts",
        "url": "https://console.example.com/alerts",
    });
    assert_eq!(browser.read(&call.bytes), said);

    let claims = claims(call);
    assert_eq!(
        claims["aud"],
        receiver.url().trim_end_matches("/hook"),
        "with its port and without a path"
    );
    let exp = claims["exp"].as_i64().unwrap();
    assert!(app.now().seconds() < exp && exp <= app.now().seconds() + 86_400);
    assert_eq!(claims["sub"], "mailto:push@example.com");
    let key = app.client().get("/v1/push/key").await.expect(200).text("key");
    assert!(call.header("authorization").ends_with(&format!(", k={key}")));

    let job = stored(&app, &jobs[0]).await;
    assert_eq!((job.state, job.queue.as_str()), (State::Completed, "pushes"));
    assert!(
        !app.stored().await.windows(14).any(|text| text == b"Firing in Shop"),
        "what it said is erased"
    );
}

/// Three errors in a minute, of which an alert fires; then none, by which it is resolved.
async fn errors(app: &TestApp, acme: &Tenant, many: usize) {
    acme.ingest(vec![json!({"type": "ERROR", "name": "failed"}); many].into())
        .await;
    app.settle().await;
    app.advance(Time::MINUTE);
    app.run_alert_check().await;
}

#[tokio::test]
async fn what_happens_reaches_the_browsers_of_those_who_want_to_know() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let (receiver, browser) = (Receiver::start().await, Browser::new());
    subscribe(&acme.owner, &browser, &receiver.url()).await;
    let alert = json!({
        "projectId": acme.project, "metricType": "event_count", "eventType": "ERROR", "condition": ">", "threshold": 2,
        "window": "1m", "channel": "email", "target": acme.owner.email, "coolDownMinutes": 0,
    });
    acme.client.post("/v1/alerts", alert).await.expect(201);
    app.settle().await;
    app.advance(5_000);
    errors(&app, &acme, 3).await;
    let calls = receiver.calls();
    assert_eq!(calls.len(), 1);
    let said = browser.read(&calls[0].bytes);
    assert_eq!(
        (&said["topic"], &said["url"]),
        (&json!("alerts"), &json!("/notifications"))
    );
    assert!(said["title"].as_str().is_some_and(|title| !title.is_empty()), "{said}");
    // Who wants no more of it is told no more of it.
    let wants = json!({"topics": {"alerts": {"push": "off"}}});
    acme.client.put("/v1/notification-preferences", wants).await.expect(200);
    errors(&app, &acme, 1).await;
    assert_eq!(receiver.calls().len(), 1);
    let shown = acme.client.all("/v1/notifications").await;
    assert_eq!(shown.len(), 2, "it was resolved, and they can read of it");
}

#[tokio::test]
async fn the_longest_message_fits() {
    let app = TestApp::start().await;
    let (ada, receiver, browser, _) = with_browser(&app, &[201]).await;
    let long = PushMessage {
        body: "ü\"".repeat(4_000),
        ..message()
    };
    let (table, now) = (app.table(), app.now());
    let cause = (Owner::User(user(&ada)), "long".to_owned(), now);
    let jobs = jobs_for(&table, now, now, cause, user(&ada), &long).await.unwrap();
    jobs[0].store(&app.app().await).await.unwrap();
    app.settle().await;
    let body = &receiver.calls()[0].bytes;
    assert!(body.len() <= 4_096, "{}", body.len());
    let said = browser.read(body);
    let said = said["body"].as_str().unwrap();
    assert!(said.len() > MOST_PLAIN / 2 && long.body.starts_with(said));
}

#[tokio::test]
async fn what_is_told_twice_is_sent_once() {
    let app = TestApp::start().await;
    let (ada, receiver, ..) = with_browser(&app, &[]).await;
    tell(&app, &ada, "alert").await;
    tell(&app, &ada, "alert").await;
    let mut texts = app.take(QUEUE).await;
    texts.extend(texts.clone());
    texts.reverse();
    assert_eq!(app.deliver_from(QUEUE, &texts).await, Vec::<usize>::new());
    assert_eq!(receiver.calls().len(), 1);
    // It was sent, and nobody heard of that any more: its push service gets it again.
    app.advance(1);
    let jobs = tell(&app, &ada, "alert").await;
    assert_eq!(jobs.len(), 1);
    app.settle().await;
    assert_eq!(receiver.calls().len(), 2, "which is another cause");
}

#[tokio::test]
async fn a_subscription_that_is_no_more_is_forgotten() {
    let app = TestApp::start().await;
    for gone in [404, 410] {
        let (ada, receiver, _, id) = with_browser(&app, &[gone]).await;
        let jobs = tell(&app, &ada, "alert").await;
        app.settle().await;
        let job = stored(&app, &jobs[0]).await;
        assert_eq!(job.state, State::Canceled);
        assert!(job.error.unwrap().contains(&gone.to_string()));
        ada.client
            .delete(format!("{PATH}/{id}"))
            .await
            .problem(404, "not_found");
        assert!(tell(&app, &ada, "more").await.is_empty());
        assert_eq!(receiver.calls().len(), 1);
    }
}

#[tokio::test]
async fn a_push_service_that_is_busy_gets_it_later() {
    let app = TestApp::start().await;
    let (ada, receiver, ..) = with_browser(&app, &[429, 503]).await;
    let jobs = tell(&app, &ada, "alert").await;
    app.settle().await;
    let job = stored(&app, &jobs[0]).await;
    // It asks for an hour.
    assert_eq!(
        (job.state, job.due_at),
        (State::Failed, app.now().plus_millis(Time::HOUR))
    );
    app.advance(Time::HOUR + Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    assert_eq!(
        (stored(&app, &jobs[0]).await.state, receiver.calls().len()),
        (State::Failed, 2)
    );
    app.advance(Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    assert_eq!(stored(&app, &jobs[0]).await.state, State::Completed);
    assert_eq!(receiver.calls().len(), 3);
}

#[tokio::test]
async fn what_a_push_service_refuses_is_neither_sent_again_nor_forgotten() {
    let app = TestApp::start().await;
    for refusal in [413, 403, 400, 307] {
        let (ada, receiver, _, id) = with_browser(&app, &[refusal]).await;
        let jobs = tell(&app, &ada, "alert").await;
        app.settle().await;
        assert_eq!(stored(&app, &jobs[0]).await.state, State::Dead, "{refusal}");
        app.advance(Time::DAY);
        app.run_sweeper().await;
        app.settle().await;
        assert_eq!(receiver.calls().len(), 1, "{refusal}");
        let ada = ada.logged_in_again(&app).await;
        ada.client.delete(format!("{PATH}/{id}")).await.expect(204);
    }
}

#[tokio::test]
async fn inside_hosts_are_refused_at_the_door_and_when_they_are_called() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let browser = Browser::new();
    for inside in [
        "http://169.254.169.254/x",
        "https://[::ffff:10.0.0.1]/",
        "https://localhost/x",
        "https://push.internal/x",
        "http://push.example.net/x",
        "ftp://push.example.net/x",
        "https://user@push.example.net/x",
    ] {
        let refused = ada.client.post(PATH, browser.subscription(inside)).await;
        assert_eq!(refused.expect(422).fields(), ["endpoint"], "{inside}");
    }
    // One that was allowed once is not called when it is not any more.
    let (ada, receiver, _, id) = with_browser(&app, &[]).await;
    let jobs = tell(&app, &ada, "alert").await;
    let worker = app.start_again("WebhookDeliverer", &[("OUTBOUND_ALLOW", "")]).await;
    let texts = app.take(QUEUE).await;
    assert_eq!(app.deliver_to(&worker, &texts).await, Vec::<usize>::new());
    assert_eq!(stored(&app, &jobs[0]).await.state, State::Dead);
    assert!(receiver.calls().is_empty());
    ada.client.delete(format!("{PATH}/{id}")).await.expect(204);
}

#[tokio::test]
async fn the_same_browser_is_one_subscription_and_twenty_are_enough() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let (first, second) = (Browser::new(), Browser::new());
    let endpoint = |number: usize| format!("https://push.example.net/{number}");
    let id = subscribe(&ada, &first, &endpoint(0)).await;
    assert_eq!(subscribe(&ada, &second, &endpoint(0)).await, id);
    for number in 1..20 {
        subscribe(&ada, &first, &endpoint(number)).await;
    }
    let body = first.subscription(&endpoint(20));
    ada.client
        .post(PATH, body.clone())
        .await
        .problem(409, "too_many_push_subscriptions");
    ada.client.delete(format!("{PATH}/{id}")).await.expect(204);
    let made = ada.client.post(PATH, body).await.expect(201);
    assert_eq!(made.json["server"], "https://push.example.net");
    let shown: Vec<&String> = made.json.as_object().unwrap().keys().collect();
    assert_eq!(
        shown,
        ["id", "server", "createdAt"],
        "and neither its address nor its secret"
    );
    assert_eq!(
        Subscriptions::of(&app.table(), user(&ada)).await.unwrap().all().len(),
        20
    );
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let good = Browser::new().subscription("https://push.example.net/x");
    for (field, bad) in [
        ("p256dh", json!("")),
        ("p256dh", json!(BASE64.encode([4_u8; 65]))),
        ("p256dh", json!("not base64!")),
        ("auth", json!("AAAA")),
    ] {
        let mut body = good.clone();
        body["keys"][field] = bad.clone();
        let refused = ada.client.post(PATH, body).await.expect(422);
        assert_eq!(refused.fields(), [format!("keys.{field}")], "{bad}");
    }
    let mut body = good.clone();
    body["more"] = json!(1);
    ada.client.post(PATH, body).await.expect(400);
    ada.client
        .post(PATH, json!({"endpoint": "https://push.example.net/x"}))
        .await
        .expect(400);
    ada.client.post(PATH, good).await.expect(201);
}

#[tokio::test]
async fn nobody_ends_anothers_subscription() {
    let app = TestApp::start().await;
    let (ada, _receiver, _, id) = with_browser(&app, &[]).await;
    let eve = app.person().await;
    eve.client
        .delete(format!("{PATH}/{id}"))
        .await
        .problem(404, "not_found");
    ada.client.delete(format!("{PATH}/{id}")).await.expect(204);
    ada.client
        .delete(format!("{PATH}/{id}"))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn browsers_stay_subscribed_when_the_key_is_replaced() {
    let app = TestApp::start().await;
    let (ada, receiver, browser, _) = with_browser(&app, &[]).await;
    let before = app.client().get("/v1/push/key").await.expect(200).text("key");
    app.put_secret("PushKeysParameter", &testing::keys(&[2, 1]));
    app.restart().await;
    let after = app.client().get("/v1/push/key").await.expect(200).text("key");
    assert_ne!(after, before);
    tell(&app, &ada, "alert").await;
    app.settle().await;
    assert!(
        receiver.calls()[0]
            .header("authorization")
            .ends_with(&format!(", k={before}"))
    );
    // It subscribes anew, and is signed for by the new one.
    let endpoint = format!("{}/push/abc?x=1", receiver.url().trim_end_matches("/hook"));
    subscribe(&ada, &browser, &endpoint).await;
    tell(&app, &ada, "more").await;
    app.settle().await;
    assert!(
        receiver.calls()[1]
            .header("authorization")
            .ends_with(&format!(", k={after}"))
    );
    // While its key is not there it is told nothing, and stays subscribed.
    app.put_secret("PushKeysParameter", &testing::keys(&[3]));
    app.restart().await;
    let jobs = tell(&app, &ada, "last").await;
    app.settle().await;
    let job = stored(&app, &jobs[0]).await;
    assert_eq!(job.state, State::Failed, "{:?}", job.error);
    assert_eq!(receiver.calls().len(), 2);
    app.put_secret("PushKeysParameter", &testing::keys(&[3, 2]));
    app.restart().await;
    app.advance(Time::HOUR + Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    assert_eq!(stored(&app, &jobs[0]).await.state, State::Completed);
    assert_eq!(receiver.calls().len(), 3);
}

/// Has a member told something in their organization in an hour.
async fn tell_later(app: &TestApp, acme: &Tenant, person: &Person) -> Vec<Later> {
    let (table, now) = (app.table(), app.now());
    let cause = (Owner::Org(acme.org.parse().unwrap()), "held".to_owned(), now);
    let due = now.plus_millis(Time::HOUR);
    let jobs = jobs_for(&table, now, due, cause, user(person), &message())
        .await
        .unwrap();
    let lambda = app.app().await;
    for job in &jobs {
        job.store(&lambda).await.unwrap();
    }
    assert_eq!(jobs.len(), 1);
    jobs
}

#[tokio::test]
async fn what_was_held_goes_to_nobody_who_has_left_or_wants_it_no_more() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let manager = app.manager().await;
    let people = [
        app.member(&acme, "accountant").await,
        app.member(&acme, "viewer").await,
        app.member(&acme, "viewer").await,
        app.member(&acme, "viewer").await,
    ];
    let [left, locked, silent, stays] = &people;
    let (receiver, browser) = (Receiver::start().await, Browser::new());
    let mut held = Vec::new();
    for (number, person) in people.iter().enumerate() {
        subscribe(person, &browser, &format!("{}/{number}", receiver.url())).await;
        held.extend(tell_later(&app, &acme, person).await);
    }
    let of_left = format!("/v1/orgs/{}/members/{}", acme.org, left.id);
    acme.client.delete(of_left).await.expect(204);
    let deactivated = manager.client.delete(format!("/v1/users/{}", locked.id)).await;
    assert!(deactivated.status.is_success(), "{}", deactivated.json);
    let wants = json!({"topics": {"alerts": {"push": "off"}}});
    silent
        .client
        .put("/v1/notification-preferences", wants)
        .await
        .expect(200);
    app.advance(Time::HOUR + Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    let paths: Vec<String> = receiver.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/hook/3"]);
    for (job, why) in held.iter().zip(["has left", "may not log in", "wants no messages"]) {
        let job = stored(&app, job).await;
        assert_eq!(job.state, State::Canceled);
        assert!(
            job.error.as_ref().is_some_and(|error| error.contains(why)),
            "{:?}",
            job.error
        );
    }
    // What comes by itself stands for itself; what comes with more gives way to the newest.
    assert_eq!(receiver.calls()[0].header("topic"), "");
    let weekly = json!({"topics": {"alerts": {"push": "weekly"}}});
    let client = stays.logged_in_again(&app).await.client.within(&acme.org);
    client.put("/v1/notification-preferences", weekly).await.expect(200);
    for _ in 0..2 {
        tell_later(&app, &acme, stays).await;
        app.advance(Time::HOUR + Time::MINUTE);
        app.run_sweeper().await;
        app.settle().await;
    }
    let calls = receiver.calls();
    let topics: Vec<&str> = calls[1..].iter().map(|call| call.header("topic")).collect();
    assert_eq!((topics.len(), topics[0].len(), topics[0]), (2, 32, topics[1]));
}

#[tokio::test]
async fn who_changes_their_password_shakes_off_what_others_subscribed() {
    let app = TestApp::start().await;
    let (ada, receiver, browser, id) = with_browser(&app, &[]).await;
    let shown = ada.client.get(PATH).await.expect(200);
    assert_eq!(shown.data().len(), 1);
    assert_eq!(shown.data()[0]["id"], id);
    let keys: Vec<&String> = shown.data()[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "server", "createdAt"], "and not where it is told");
    assert!(app.person().await.client.get(PATH).await.expect(200).data().is_empty());
    app.client().get(PATH).await.expect(401);

    let before = tell(&app, &ada, "before").await;
    let body = json!({"currentPassword": testing::PASSWORD, "newPassword": "another good horse"});
    ada.client.post("/v1/auth/password/change", body).await.expect(204);
    app.settle().await;
    let job = stored(&app, &before[0]).await;
    assert_eq!((job.state, receiver.calls().len()), (State::Canceled, 0));
    assert!(ada.client.get(PATH).await.expect(200).data().is_empty());
    assert!(tell(&app, &ada, "after").await.is_empty(), "it is forgotten");
    // Whoever is still there subscribes anew.
    let again = subscribe(&ada, &browser, &receiver.url()).await;
    tell(&app, &ada, "anew").await;
    app.settle().await;
    assert_eq!(receiver.calls().len(), 1);
    ada.client.delete(format!("{PATH}/{again}")).await.expect(204);
    let manager = app.manager().await;
    let trail = manager.client.all(format!("/v1/audit?userId={}", ada.id)).await;
    for (action, times) in [("created", 2), ("deleted", 1)] {
        let action = format!("push_subscription.{action}");
        let noted = trail.iter().filter(|entry| entry["action"] == action);
        assert_eq!(noted.count(), times, "{action}");
    }
    let said = trail.iter().map(Value::to_string).collect::<String>();
    assert!(!said.contains("/push/abc"), "where it is told is nobody's to know");
}

#[tokio::test]
async fn whom_push_services_turn_to_is_who_sends_mails_unless_another_is_named() {
    let setup = Setup::default().parameter("PushContact", "");
    let app = TestApp::start_as(setup).await;
    let (ada, receiver, ..) = with_browser(&app, &[]).await;
    tell(&app, &ada, "alert").await;
    app.settle().await;
    assert_eq!(
        claims(&receiver.calls()[0])["sub"],
        "mailto:no-reply@countinghouse.local"
    );
}

#[tokio::test]
async fn the_browsers_of_who_is_erased_are_forgotten() {
    let app = TestApp::start().await;
    let (ada, ..) = with_browser(&app, &[]).await;
    let password = json!({"password": testing::PASSWORD});
    ada.client.post("/v1/auth/erasure", password).await.expect(202);
    app.advance(2 * Time::MINUTE);
    app.run_sweeper().await;
    app.settle().await;
    assert!(
        Subscriptions::of(&app.table(), user(&ada))
            .await
            .unwrap()
            .all()
            .is_empty()
    );
}
