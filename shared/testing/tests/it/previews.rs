//! What a preview of a change of plan shows is what is booked, for 1,000 random changes.

use std::collections::BTreeMap;

use futures::future::join_all;
use kernel::Time;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use testing::{Tenant, TestApp};

/// Two organizations, so that two changes are made at once, with so many subscriptions each, which are changed so often.
const ORGS: usize = 2;
const SUBSCRIPTIONS: usize = 50;
const ROUNDS: usize = 11;
const CHANGES: usize = 1_000;

/// Currencies with no, two, three and four places.
const CURRENCIES: [&str; 4] = ["JPY", "EUR", "KWD", "CLF"];
const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Kiritimati",
    "America/Santiago",
];
const RATES: [&str; 5] = ["0", "7", "19", "8.875", "99.9999"];
const EXEMPTIONS: [&str; 4] = ["none", "none", "exempt", "reverse_charge"];
const QUANTITIES: [&str; 5] = ["1", "3", "0.333333", "17.5", "1000"];
const INTERVALS: [&str; 3] = ["monthly", "yearly", "30d"];

/// What is sold to one client.
struct Held {
    subscription: String,
    client: String,
    currency: usize,
    /// The invoice that the preview of a change showed that waits for its day.
    waits: Option<Value>,
}

/// An organization that sells.
struct Shop {
    tenant: Tenant,
    /// By currency.
    plans: Vec<Vec<String>>,
    held: Vec<Held>,
    runner: TestRunner,
    changes: usize,
    /// What was booked at once, given back at once, and booked when its day came.
    booked: BTreeMap<&'static str, usize>,
}

/// Every price model, alone and with others.
fn prices(amount: i64) -> [Value; 6] {
    let metric = |name: &str| json!({"eventName": name, "aggregation": "count"});
    let tiers = json!([{"upTo": 10, "unitAmount": 3, "flatAmount": amount / 3}, {"upTo": null, "unitAmount": "0.5"}]);
    let flat = json!({"kind": "flat", "amount": amount});
    [
        json!([flat]),
        json!([flat, {"kind": "flat", "amount": amount / 7 + 1}]),
        json!([flat, {"kind": "perUnit", "metric": metric("call"), "unitAmount": "1.25"}]),
        json!([flat, {"kind": "graduated", "metric": metric("call"), "tiers": tiers}]),
        json!([flat, {"kind": "volume", "metric": metric("seat"), "tiers": tiers}]),
        json!([{"kind": "package", "metric": metric("call"), "size": 100, "amount": amount}]),
    ]
}

impl Shop {
    async fn open(app: &TestApp, seed: u8) -> Self {
        let tenant = app.tenant().await;
        let mut plans = Vec::new();
        for currency in CURRENCIES {
            let mut sold = Vec::new();
            for (place, amount) in [0, 1, 999, 12_345, 99_999_999].into_iter().enumerate() {
                for (kind, prices) in prices(amount)
                    .into_iter()
                    .enumerate()
                    .filter(|(kind, _)| (kind + place) % 2 == 0)
                {
                    let interval = INTERVALS[(place + kind / 2) % 3];
                    let more = json!({"interval": interval, "currency": currency, "prices": prices});
                    let id = tenant.new_plan(1, more).await;
                    sold.push(id);
                }
            }
            plans.push(sold);
        }
        for currency in CURRENCIES {
            for (code, mut off) in [
                (
                    format!("SOME-{currency}"),
                    json!({"percentOff": "33.33", "duration": "forever"}),
                ),
                (
                    format!("MUCH-{currency}"),
                    json!({"amountOff": 777, "currency": currency, "duration": "repeating", "months": 2}),
                ),
            ] {
                off["code"] = json!(code);
                tenant.client.post("/v1/coupons", off).await.expect(201);
            }
        }
        let rng = proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[seed; 32]);
        let runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
        let (held, booked) = (Vec::new(), BTreeMap::new());
        let mut shop = Self {
            tenant,
            plans,
            held,
            runner,
            changes: 0,
            booked,
        };
        for _ in 0..SUBSCRIPTIONS {
            shop.sell(app).await;
        }
        shop
    }

    /// One of so many.
    fn any(&mut self, of: usize) -> usize {
        (0..of).new_tree(&mut self.runner).unwrap().current()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.any(of.len())]
    }

    async fn sell(&mut self, app: &TestApp) {
        let currency = self.any(CURRENCIES.len());
        let plan = self.any(self.plans[currency].len());
        let client = json!({"currency": CURRENCIES[currency], "timeZone": self.one(&ZONES), "taxRate": self.one(&RATES), "taxExempt": self.one(&EXEMPTIONS)});
        let client = self.tenant.new_client(client).await;
        let contract = self.tenant.new_contract(&client).await;
        let hours = i64::try_from(self.any(24 * 60)).unwrap();
        let mut more =
            json!({"quantity": self.one(&QUANTITIES), "startAt": app.now().plus_millis(-hours * Time::HOUR)});
        if let kind @ ("SOME" | "MUCH") = self.one(&["", "SOME", "MUCH"]) {
            more["couponCode"] = json!(format!("{kind}-{}", CURRENCIES[currency]));
        }
        let id = &self.plans[currency][plan];
        let subscription = self.tenant.new_subscription(&contract, id, more).await;
        let activate = format!("/v1/contracts/{contract}/activate");
        self.tenant.client.post(activate, json!({})).await.expect(200);
        self.held.push(Held {
            subscription,
            client,
            currency,
            waits: None,
        });
    }

    /// Changes each of its subscriptions to another plan, at once or at the end of its period.
    async fn round(&mut self) {
        let shown = self.tenant.client.all("/v1/subscriptions?limit=100").await;
        for place in 0..self.held.len() {
            if self.changes < CHANGES / ORGS {
                let is_it = |one: &&Value| one["id"] == json!(self.held[place].subscription);
                let before = shown.iter().find(is_it).unwrap();
                self.change(place, &before["planId"]).await;
            }
        }
    }

    async fn change(&mut self, place: usize, plan: &Value) {
        let path = format!("/v1/subscriptions/{}", self.held[place].subscription);
        let plans = self.plans[self.held[place].currency].clone();
        let held = plans.iter().position(|one| *plan == json!(one)).unwrap();
        let other = (held + 1 + self.any(plans.len() - 1)) % plans.len();
        let waits = self.any(3) == 0;
        let body = json!({"planId": plans[other], "effective": if waits { "period_end" } else { "now" }});
        let preview = json!({"planId": plans[other], "effective": body["effective"], "preview": true});
        let path = format!("{path}/change-plan");
        let shown = self.tenant.client.post(&path, preview).await.expect(200).json;
        let done = self.tenant.client.post(&path, body).await.expect(200).json;
        self.changes += 1;
        self.held[place].waits = None;
        if waits {
            assert_eq!([done.get("invoice"), done.get("creditNote")], [None, None]);
            self.held[place].waits = shown.get("invoice").cloned();
            return;
        }
        for name in ["invoice", "creditNote"] {
            let [shown, done] = [shown.get(name).map(essence), done.get(name).map(essence)];
            assert_eq!(shown, done, "{name} of a change from {held} to {other}");
            *self.booked.entry(name).or_default() += usize::from(done.is_some());
        }
    }

    /// Wants what waited for its day to have been booked as its preview said, if the day has come.
    async fn check(&mut self, now: Time) {
        for held in &mut self.held {
            let Some(shown) = held.waits.take() else {
                continue;
            };
            let invoices = self
                .tenant
                .client
                .all(format!("/v1/invoices?clientId={}", held.client))
                .await;
            let is_it =
                |invoice: &&Value| invoice["issuedOn"] == shown["issuedOn"] && invoice.get("billingKey").is_some();
            let Some(invoice) = invoices.iter().find(is_it) else {
                let yesterday = now.plus_millis(-2 * Time::DAY).to_string();
                assert!(
                    shown["issuedOn"].as_str() >= Some(&yesterday[..10]),
                    "{shown} was never booked"
                );
                continue;
            };
            if is_of_usage(invoice) {
                // The preview is before usage, of which tiers may take something though there was none.
                assert_eq!(flat_lines(&shown), flat_lines(invoice));
            } else {
                assert_eq!(essence(&shown), essence(invoice));
            }
            *self.booked.entry("at its day").or_default() += 1;
        }
    }
}

/// Whether usage was charged on it.
fn is_of_usage(invoice: &Value) -> bool {
    let mut lines = invoice["lines"].as_array().unwrap().iter();
    lines.any(|line| line["kind"] == "usage")
}

/// The lines for the days of a period, which its flat prices have.
fn flat_lines(invoice: &Value) -> Vec<Value> {
    let lines = invoice["lines"].as_array().unwrap().iter();
    let day = |line: &&Value| line["period"]["first"] == invoice["issuedOn"];
    lines
        .filter(|line| line["kind"] != "discount")
        .filter(day)
        .cloned()
        .collect()
}

/// What a preview and what was booked agree on.
fn essence(document: &Value) -> Value {
    let names = [
        "currency",
        "lines",
        "subtotal",
        "taxes",
        "taxAmount",
        "total",
        "issuedOn",
        "dueDate",
    ];
    let named = names.iter().map(|name| ((*name).to_owned(), document[*name].clone()));
    named.collect()
}

/// Bills what is due, and nothing else: no files are made of these invoices, and no mails are sent.
async fn bill(app: &TestApp) {
    app.fire("BillingRun").await;
    for text in app.take("BillingQueue").await {
        let failed = app.deliver_from("BillingQueue", &[text]).await;
        assert_eq!(failed, Vec::<usize>::new());
    }
}

/// Whatever is changed to what, in which currency, zone and at which rate of tax, with a coupon or none, whenever in the period and
/// however often: what a preview shows is what is booked, at once or when its day comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_is_what_is_booked() {
    let app = TestApp::start().await;
    let mut shops = join_all((0..ORGS).map(|seed| Shop::open(&app, u8::try_from(seed).unwrap()))).await;
    bill(&app).await;
    bill(&app).await;
    for _ in 0..ROUNDS {
        for shop in &mut shops {
            shop.tenant = shop.tenant.logged_in_again(&app).await;
            shop.check(app.now()).await;
        }
        join_all(shops.iter_mut().map(Shop::round)).await;
        let hours = i64::try_from(shops[0].any(9 * 24)).unwrap();
        app.advance(hours * Time::HOUR + 17 * Time::MINUTE);
        bill(&app).await;
    }
    // Nobody is told of it all.
    app.take("OutboxQueue").await;
    let changes: usize = shops.iter().map(|shop| shop.changes).sum();
    assert_eq!(changes, CHANGES);
    for what in ["invoice", "creditNote", "at its day"] {
        let booked: usize = shops.iter().filter_map(|shop| shop.booked.get(what)).sum();
        assert!(booked > 10, "only {booked} changes were booked as {what}");
    }
}
