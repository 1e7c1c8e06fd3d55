//! A shop that is paid through the double of the three providers: what the tests of payments begin with.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use kernel::Time;
use payment_double::{Account, Act, Flow, PaymentDouble, Provider};
use serde_json::{Value, json};
use testing::{Chaos, Client, Reply, START, Setup, Tenant, TestApp};

use crate::invoices::{client_of, drafted, owner_now, send};

/// What opens the shop's accounts, and is never shown. Each is its own, so that a search for one finds that one.
pub(crate) const SECRETS: [&str; 7] = [
    "sk_test_shop_9f27c1",
    "whsec_c2hvcF9ob29rX3N0cmlwZQ",
    "rzp_test_shop_5b1e",
    "rzp_key_secret_77aa01",
    "rzp_hook_secret_1d8e4c",
    "cf_client_shop_31",
    "cf_client_secret_e0b9d2",
];

/// A tenant with accounts at all three, over an app that calls the double.
pub(crate) struct Shop {
    pub(crate) app: TestApp,
    pub(crate) double: PaymentDouble,
    pub(crate) acme: Tenant,
    /// Webhooks that the shop was told of.
    seen: Mutex<BTreeSet<String>>,
    /// The owner, logged in at some time.
    owner: Mutex<Option<(Time, Client)>>,
}

/// In which currency a provider is paid here.
pub(crate) fn currency(provider: Provider) -> &'static str {
    match provider {
        Provider::Stripe => "EUR",
        Provider::Razorpay | Provider::Cashfree => "INR",
    }
}

/// The credentials of the shop at a provider, as they are set.
pub(crate) fn keys(provider: Provider) -> Value {
    let [
        stripe,
        stripe_hook,
        razorpay,
        razorpay_key,
        razorpay_hook,
        cashfree,
        cashfree_secret,
    ] = SECRETS;
    match provider {
        Provider::Stripe => json!({"secretKey": stripe, "webhookSecret": stripe_hook}),
        Provider::Razorpay => json!({"keyId": razorpay, "keySecret": razorpay_key, "webhookSecret": razorpay_hook}),
        Provider::Cashfree => json!({"clientId": cashfree, "clientSecret": cashfree_secret}),
    }
}

pub(crate) const ALL: [Provider; 3] = [Provider::Stripe, Provider::Razorpay, Provider::Cashfree];

/// An act of whoever pays.
pub(crate) const PAY: Act = Act::Pay {
    units: None,
    currency: None,
};

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_under(Chaos::only(&[])).await
    }

    /// One whose functions meet these faults.
    pub(crate) async fn open_under(chaos: Chaos) -> Self {
        Self::open_as(Setup {
            chaos,
            ..Setup::default()
        })
        .await
    }

    /// One with these parameters besides.
    pub(crate) async fn open_with(parameters: impl FnOnce(Setup) -> Setup) -> Self {
        Self::open_as(parameters(Setup::default())).await
    }

    async fn open_as(setup: Setup) -> Self {
        let running: Arc<OnceLock<TestApp>> = Arc::default();
        let follows = Arc::clone(&running);
        let now = move || follows.get().map_or(START.millis(), |app| app.now().millis());
        let double = PaymentDouble::start_at(0, Arc::new(now)).await.unwrap();
        double.flow(Flow::Held);
        let setup = setup
            .parameter("StripeBaseUrl", double.base(Provider::Stripe))
            .parameter("RazorpayBaseUrl", double.base(Provider::Razorpay))
            .parameter("CashfreeBaseUrl", double.base(Provider::Cashfree));
        let app = TestApp::start_as(setup).await;
        running.set(app.clone()).unwrap();
        let acme = app.tenant().await;
        for provider in ALL {
            let path = format!("/v1/payment-providers/{}", provider.name());
            acme.client.put(path, keys(provider)).await.expect(200);
            let keys = keys(provider);
            let text = |name: &str| keys[name].as_str().unwrap_or_default().to_owned();
            let (key, webhook_secret) = match provider {
                Provider::Stripe => (text("secretKey"), text("webhookSecret")),
                Provider::Razorpay => (text("keyId"), text("webhookSecret")),
                Provider::Cashfree => (text("clientId"), text("clientSecret")),
            };
            double.register(Account {
                provider,
                key,
                webhook_url: "http://127.0.0.1:9/".to_owned(),
                webhook_secret,
            });
        }
        Self {
            app,
            double,
            acme,
            seen: Mutex::default(),
            owner: Mutex::default(),
        }
    }

    /// Sends an invoice over so much, in the currency that a provider is paid in; its id.
    pub(crate) async fn invoice(&self, provider: Provider, amount: i64) -> String {
        self.invoice_in(currency(provider), amount).await
    }

    pub(crate) async fn invoice_in(&self, currency: &str, amount: i64) -> String {
        let rest = json!({"currency": currency, "phone": "+919999999999"});
        let client = client_of(&self.app, &self.acme, rest).await;
        let acme = self.now().await;
        let lines = json!([{"description": "Work", "quantity": 1, "unitPrice": amount, "taxRate": "0"}]);
        let new = json!({"clientId": client, "currency": currency, "dueDate": "2027-03-29", "lineItems": lines});
        let id = drafted(&acme, new).await;
        send(&acme, &id).await;
        id
    }

    /// The owner, logged in now.
    pub(crate) async fn now(&self) -> Client {
        let now = self.app.now();
        if let Some((since, client)) = &*self.owner.lock().unwrap()
            && now < since.plus_millis(10 * Time::MINUTE)
        {
            return client.clone();
        }
        let client = owner_now(&self.app, &self.acme).await;
        *self.owner.lock().unwrap() = Some((now, client.clone()));
        client
    }

    /// Begins to have an invoice paid.
    pub(crate) async fn begin(&self, invoice: &str, provider: Provider) -> Reply {
        let path = format!("/v1/invoices/{invoice}/pay");
        self.now().await.post(path, json!({"provider": provider.name()})).await
    }

    /// Begins to have a new invoice paid; its id, and that of the payment.
    pub(crate) async fn begun(&self, provider: Provider, amount: i64) -> (String, String) {
        let invoice = self.invoice(provider, amount).await;
        let payment = self.begin(&invoice, provider).await.expect(201).json["payment"]["id"].clone();
        (invoice, payment.as_str().unwrap().to_owned())
    }

    /// A new invoice over so much that was paid.
    pub(crate) async fn paid(&self, provider: Provider, amount: i64) -> (String, String) {
        let (invoice, payment) = self.begun(provider, amount).await;
        self.act(&payment, &PAY).await;
        assert_eq!(self.payment(&payment).await["status"], "succeeded");
        (invoice, payment)
    }

    /// Does to a payment's session what a person or a bank does, and lets the provider tell the shop.
    pub(crate) async fn act(&self, payment: &str, act: &Act) {
        self.double.act(payment, act).unwrap();
        self.tell().await;
    }

    /// Tells the shop what the provider has to tell and did not yet, and lets it follow.
    pub(crate) async fn tell(&self) {
        for id in self.news() {
            self.deliver(&id).await.expect(200);
        }
        self.app.settle().await;
    }

    /// The webhooks that the shop was not told of; it is, by whoever asks.
    pub(crate) fn news(&self) -> Vec<String> {
        let all = self.double.webhooks();
        let all = all.as_array().unwrap().iter();
        let ids = all.map(|webhook| webhook["id"].as_str().unwrap().to_owned());
        let mut seen = self.seen.lock().unwrap();
        ids.filter(|id| seen.insert(id.clone())).collect()
    }

    /// Delivers a webhook as its provider does.
    pub(crate) async fn deliver(&self, id: &str) -> Reply {
        self.deliver_to(&self.acme.org, id).await
    }

    /// Delivers a webhook about the account of an organization.
    pub(crate) async fn deliver_to(&self, org: &str, id: &str) -> Reply {
        let all = self.double.webhooks();
        let webhook = all
            .as_array()
            .unwrap()
            .iter()
            .find(|webhook| webhook["id"] == id)
            .unwrap();
        let provider = webhook["provider"].as_str().unwrap().to_owned();
        let (body, headers) = self.double.signed(id).unwrap();
        let path = format!("/v1/provider-webhooks/{provider}/{org}");
        let mut client = self.app.client();
        for (name, value) in &headers {
            client = client.header(name, value);
        }
        let reply = client.post_bytes(path, body).await;
        if reply.status.is_success() {
            self.double.delivered(id);
        }
        reply
    }

    /// A payment as its GET shows it.
    pub(crate) async fn payment(&self, id: &str) -> Value {
        self.now()
            .await
            .get(format!("/v1/payments/{id}"))
            .await
            .expect(200)
            .json
    }

    /// An invoice as its GET shows it.
    pub(crate) async fn shown(&self, invoice: &str) -> Value {
        self.now()
            .await
            .get(format!("/v1/invoices/{invoice}"))
            .await
            .expect(200)
            .json
    }

    /// Asks for a part of a payment back.
    pub(crate) async fn refund(&self, payment: &str, amount: i64) -> Reply {
        let path = format!("/v1/payments/{payment}/partial-refund");
        self.now()
            .await
            .post(path, json!({"amount": amount, "reason": "goodwill"}))
            .await
    }

    /// Lets time pass, and what is due by then be done.
    pub(crate) async fn wait(&self, millis: i64) {
        self.app.advance(millis);
        self.app.run_sweeper().await;
        self.app.settle().await;
    }
}
