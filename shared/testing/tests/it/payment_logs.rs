//! Nothing that opens an account, signs an event or leads to a page stands in a log, whatever happens: a whole life of
//! payments at each provider, with all that functions may log in AWS (`LogLevel` is `debug` at most), and libraries too.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use kernel::Time;
use payment_double::{Act, Fault, FaultKind, Operation, Provider, Verdict};
use serde_json::{Value, json};
use testing::{Client, PASSWORD};
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::LevelFilter;

use crate::shop::{ALL, PAY, SECRETS, Shop, keys};

/// What is logged by this thread, which is all that a test does.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Listens as long as what comes with it is kept.
    pub(crate) fn listen(level: LevelFilter) -> (Self, (DefaultGuard, Dispatch)) {
        let log = Self::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(level)
            .with_writer(move || to.clone())
            .finish();
        let listening = tracing::subscriber::set_default(subscriber);
        // While there is one subscriber alone, what another test's thread logs first is not logged here either.
        (log, (listening, Dispatch::new(tracing_subscriber::registry())))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What must not be logged: what it is, and its text.
#[derive(Default)]
struct Hidden(BTreeSet<(&'static str, String)>);

impl Hidden {
    fn hide(&mut self, what: &'static str, text: &str) {
        assert!(text.len() > 7, "{what}: {text} may stand anywhere");
        self.0.insert((what, text.to_owned()));
    }

    /// What stands in a log all the same, with the line that has it.
    fn found<'a>(&'a self, log: &'a str) -> Vec<(&'static str, &'a str, &'a str)> {
        let in_line = |line: &'a str| {
            let found = self.0.iter().filter(move |(_, text)| line.contains(text));
            found.map(move |(what, text)| (*what, text.as_str(), line))
        };
        log.lines().flat_map(in_line).collect()
    }
}

/// Somebody who lives through everything, and remembers what is secret.
struct Life {
    shop: Shop,
    hidden: Hidden,
}

impl Life {
    async fn begin() -> Self {
        let mut hidden = Hidden::default();
        for secret in SECRETS {
            hidden.hide("what opens an account", secret);
        }
        hidden.hide("a password", PASSWORD);
        let shop = Shop::open().await;
        Self { shop, hidden }
    }

    /// The owner, logged in anew.
    async fn owner(&mut self) -> Client {
        let credentials = json!({"email": self.shop.acme.owner.email, "password": PASSWORD});
        let login = self
            .shop
            .app
            .client()
            .post("/v1/auth/login", credentials)
            .await
            .expect(200);
        let token = login.json["accessToken"].as_str().unwrap();
        self.hidden.hide("a bearer token", token);
        for cookie in login.headers.get_all("set-cookie") {
            let value = cookie.to_str().unwrap().split(';').next().unwrap();
            self.hidden.hide("a cookie", value.split_once('=').unwrap().1);
        }
        self.shop.app.client().bearer(token).within(&self.shop.acme.org)
    }

    /// Begins a payment and looks at our page; its id.
    async fn pays(&mut self, provider: Provider) -> String {
        let invoice = self.shop.invoice(provider, 17_000).await;
        let path = format!("/v1/invoices/{invoice}/pay");
        let owner = self.owner().await;
        let begun = owner.post(path, json!({"provider": provider.name()})).await.expect(201);
        let url = begun.json["paymentUrl"].as_str().unwrap();
        let page = &url[url.find("/pay/").unwrap()..];
        self.hidden
            .hide("the token of our page", page.strip_prefix("/pay/").unwrap());
        self.shop.app.client().get(page).await.expect(200);
        let form = self.shop.app.client();
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let there = form.post_bytes(page, format!("provider={}", provider.name())).await;
        let there = there.header("location").to_owned();
        self.hidden
            .hide("the provider's page", there.rsplit('/').next().unwrap());
        form.get(format!("{page}?payment=nonsense")).await;
        begun.json["payment"]["id"].as_str().unwrap().to_owned()
    }

    /// Tells the shop of everything, by good signatures and bad ones, twice.
    async fn told(&mut self) {
        for id in self.shop.news() {
            let (body, headers) = self.shop.double.signed(&id).unwrap();
            for (name, value) in &headers {
                if name.ends_with("signature") {
                    let parts = value
                        .split(',')
                        .map(|part| part.rsplit_once("v1=").map_or(part, |(_, hex)| hex));
                    for part in parts.filter(|part| part.len() > 20) {
                        self.hidden.hide("a signature", part);
                    }
                }
            }
            self.shop.deliver(&id).await.expect(200);
            self.shop.deliver(&id).await.expect(200);
            self.falsified(&id, &body, &headers).await;
        }
        self.shop.app.settle().await;
    }

    async fn falsified(&self, id: &str, body: &str, headers: &[(String, String)]) {
        let all = self.shop.double.webhooks();
        let known = all.as_array().unwrap().iter().find(|known| known["id"] == id).unwrap();
        let provider = known["provider"].as_str().unwrap();
        let path = format!("/v1/provider-webhooks/{provider}/{}", self.shop.acme.org);
        let client = self.shop.app.client();
        let client = headers
            .iter()
            .fold(client, |client, (name, value)| client.header(name, value));
        client
            .post_bytes(path, format!("{body}\n"))
            .await
            .problem(400, "bad_signature");
    }

    /// A provider that does all that it can do wrong, at everything.
    async fn goes_wrong(&mut self, provider: Provider) {
        let payment = self.pays(provider).await;
        self.shop.act(&payment, &PAY).await;
        for on in [Operation::Open, Operation::Refund, Operation::Look] {
            for kind in [FaultKind::Error, FaultKind::Lost, FaultKind::Busy, FaultKind::Conflict] {
                self.shop.double.misbehave(Fault {
                    provider: Some(provider),
                    on: Some(on),
                    kind,
                    done: false,
                    times: 1,
                });
            }
            let invoice = self.shop.invoice(provider, 5_000).await;
            self.shop.begin(&invoice, provider).await;
            self.shop.refund(&payment, 100).await.expect(201);
            for _ in 0..3 {
                self.shop.wait(3 * Time::MINUTE).await;
            }
        }
        // Until it is left alone.
        self.shop.double.misbehave(Fault {
            provider: Some(provider),
            on: None,
            kind: FaultKind::Lost,
            done: false,
            times: 10,
        });
        let invoice = self.shop.invoice(provider, 5_000).await;
        let mut tries = 0;
        while !self.shop.begin(&invoice, provider).await.status.is_success() {
            self.shop.app.advance(21 * Time::SECOND);
            tries += 1;
            assert!(tries < 60, "{} does not come back", provider.name());
        }
        self.told().await;
    }

    /// Credentials that the provider does not know, and ones after them.
    async fn rotates(&mut self, provider: Provider) {
        let account = format!("/v1/payment-providers/{}", provider.name());
        let mut others = keys(provider);
        for (name, value) in others.as_object_mut().unwrap() {
            let text = format!("another_{name}_{}", value.as_str().unwrap());
            self.hidden.hide("what opens an account", &text);
            *value = json!(text);
        }
        let payment = self.pays(provider).await;
        let owner = self.owner().await;
        owner.put(&account, others).await.expect(200);
        let invoice = self.shop.invoice(provider, 5_000).await;
        let reply = self.shop.begin(&invoice, provider).await;
        // The double of Cashfree knows everybody.
        if provider != Provider::Cashfree {
            reply.problem(409, "provider_refused");
        }
        self.shop.double.act(&payment, &PAY).unwrap();
        self.told().await;
        owner.put(&account, keys(provider)).await.expect(200);
        owner.get(&account).await.expect(200);
        self.shop.wait(5 * Time::MINUTE).await;
        owner
            .put(&account, json!({"secretKey": SECRETS[0], "keySecret": 5}))
            .await
            .expect(400);
        owner
            .put(&account, json!({"secretKey": format!("{} ", SECRETS[0])}))
            .await
            .expect(422);
    }

    /// Given back, contested, lost, and compared at night.
    async fn ends(&mut self, provider: Provider) {
        let payment = self.pays(provider).await;
        self.shop.double.act(&payment, &Act::Fail).unwrap();
        self.shop.double.act(&payment, &PAY).unwrap();
        self.told().await;
        self.shop.refund(&payment, 2_000).await.expect(201);
        self.shop.app.settle().await;
        self.told().await;
        self.shop.double.act(&payment, &Act::Dispute { units: None }).unwrap();
        self.told().await;
        self.shop
            .double
            .act(&payment, &Act::Decide { verdict: Verdict::Lost })
            .unwrap();
        self.told().await;
        assert_eq!(self.shop.payment(&payment).await["status"], "charged_back");
        self.shop.wait(Time::DAY).await;
    }
}

#[tokio::test]
async fn no_log_has_what_is_secret() {
    let (log, listening) = Log::listen(LevelFilter::DEBUG);
    let mut life = Life::begin().await;
    for provider in ALL {
        life.goes_wrong(provider).await;
        life.rotates(provider).await;
        life.ends(provider).await;
    }
    // Nobody answers in time.
    for provider in ALL {
        life.shop.double.misbehave(Fault {
            provider: Some(provider),
            on: Some(Operation::Open),
            kind: FaultKind::Slow,
            done: true,
            times: 1,
        });
    }
    let mut invoices = Vec::new();
    for provider in ALL {
        invoices.push((life.shop.invoice(provider, 5_000).await, provider));
    }
    let begun = invoices
        .iter()
        .map(|(invoice, provider)| life.shop.begin(invoice, *provider));
    futures::future::join_all(begun).await;
    life.shop.wait(3 * Time::MINUTE).await;
    drop(listening);

    let text = log.text();
    // It is the log of all that.
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (name, value) in [
        ("message", "answered"),
        ("http.route", "/pay/{token}"),
        ("message", "a provider told something"),
        ("message", "an account was compared"),
        ("message", "a breaker is open"),
    ] {
        let is_logged = lines.iter().any(|line| line["fields"][name] == value);
        assert!(is_logged, "{name} {value}");
    }
    let found = life.hidden.found(&text);
    assert!(found.is_empty(), "{} lines, {found:#?}", lines.len());
    println!("{} lines of logs, {} secrets", lines.len(), life.hidden.0.len());
}
