//! The cost ledger: what operations use of what AWS bills, counted over the whole app in one process, and the document
//! that tells it. Counts, not times: the same on every machine.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use http::Method;
use kernel::Time;
use payment_double::{Account, Act, Flow, PaymentDouble, Provider};
use serde_json::{Value, json};
use stack::aws::prices::{self, Counts};
use stack::aws::usage::Usage;

use crate::{PASSWORD, Receiver, Reply, START, Setup, Tenant, TestApp};

/// How often an operation is done; what is counted is the mean.
const TIMES: u64 = 32;
/// What Lambda itself logs of an invocation: its lines START, END and REPORT.
const PLATFORM_LOG_BYTES: f64 = 420.0;
/// What a function logs of a request: one line.
const REQUEST_LOG_BYTES: f64 = 380.0;
/// The headers of a reply.
const HEADER_BYTES: f64 = 700.0;
/// An HTTP API meters each 512 KiB of a request as one.
const API_PART: f64 = 524_288.0;
/// SQS meters each 64 KiB as one.
const SQS_PART: usize = 65_536;

/// What one operation uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name in figures, `event100`.
    pub name: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// The dollars are for a million of these: events of a batch, or the operation itself.
    pub units: f64,
    /// What one operation uses.
    pub counts: Counts,
}

impl Entry {
    /// List price of a million events, or of a million operations that are not about events.
    pub fn dollars_a_million(&self) -> f64 {
        self.counts.dollars() / self.units * 1e6
    }

    /// The counts that the document states, by the names of its columns.
    pub fn columns(&self) -> [(&'static str, f64); 5] {
        let counts = &self.counts;
        [
            ("API", counts.api_requests),
            ("Lambda", counts.invocations),
            ("SQS", counts.sqs_requests),
            ("write units", counts.write_units),
            ("read units", counts.read_units),
        ]
    }
}

/// Events that are sent in one request.
struct Sent {
    name: &'static str,
    what: &'static str,
    events: u64,
    with_ids: bool,
    /// Whether they cost credits.
    metered: bool,
    /// The CPU time at a full core that `ingest` and `event-writer` take for one request, in milliseconds, rounded up.
    cpu_ms: [f64; 2],
}

impl Sent {
    const fn new(name: &'static str, what: &'static str, events: u64, cpu_ms: [f64; 2]) -> Self {
        Self {
            name,
            what,
            events,
            with_ids: false,
            metered: true,
            cpu_ms,
        }
    }

    const fn with_ids(mut self) -> Self {
        self.with_ids = true;
        self
    }

    const fn free(mut self) -> Self {
        self.metered = false;
        self
    }
}

/// What is told apart in the ledger.
const SENT: [Sent; 8] = [
    Sent::new("event1free", "one event, where events cost no credits", 1, [0.5, 2.0]).free(),
    Sent::new("event1", "one event", 1, [0.5, 2.0]),
    Sent::new("event1ids", "one event with an id of the client", 1, [0.5, 2.0]).with_ids(),
    Sent::new(
        "event100free",
        "100 events, where events cost no credits",
        100,
        [1.0, 3.0],
    )
    .free(),
    Sent::new("event100", "a batch of 100 events", 100, [1.0, 3.0]),
    Sent::new("event100ids", "a batch of 100 events with ids", 100, [1.0, 4.0]).with_ids(),
    Sent::new("event1000", "a batch of 1,000 events", 1_000, [5.0, 12.0]),
    Sent::new("event1000ids", "a batch of 1,000 events with ids", 1_000, [6.0, 16.0]).with_ids(),
];

/// Counts every operation of the ledger.
pub async fn measure() -> Vec<Entry> {
    let mut entries = Vec::new();
    for sent in SENT {
        entries.push(Entry {
            name: sent.name,
            what: sent.what,
            #[expect(clippy::cast_precision_loss, reason = "at most 1,000")]
            units: sent.events as f64,
            counts: ingest(&sent).await,
        });
    }
    entries.extend(questions().await);
    entries.push(billed().await);
    entries.push(paid().await);
    entries.push(delivered().await);
    entries
}

/// Periods of subscriptions that are billed and sent, a message for each ten.
async fn billed() -> Entry {
    const CLIENTS: u64 = 40;
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    // It becomes a client of the platform, which is billed nothing.
    for _ in 0..2 {
        app.fire("BillingRun").await;
        app.settle().await;
    }
    let plan = tenant.new_plan(4_900, json!({"interval": "monthly"})).await;
    for _ in 0..CLIENTS {
        tenant.sold(&plan, json!({})).await;
    }
    app.fire("BillingRun").await;
    let told = app.take("BillingQueue").await;
    app.aws().usage().take();
    let mut sum = Counts::default();
    for text in &told {
        sum.sqs_requests += 2.0;
        let failed = app.deliver_from("BillingQueue", std::slice::from_ref(text)).await;
        assert_eq!(failed, Vec::<usize>::new(), "a message failed");
        let usage = usage_of(&app, "BillingWorker");
        add_invocation(&mut sum, &app, "BillingWorker", &usage, 20.0);
    }
    app.settle().await;
    entry(
        ("invoice", "a subscription's period, billed and sent"),
        sum,
        as_float(CLIENTS),
    )
}

/// Invoices that are paid at a provider: begun, told of, booked, and looked at once more by their watch.
async fn paid() -> Entry {
    const PAID: u32 = 8;
    let (app, double) = with_a_double().await;
    let tenant = app.tenant().await;
    let keys = json!({"secretKey": "sk_test_ledger", "webhookSecret": "whsec_ledger"});
    let account = "/v1/payment-providers/stripe";
    tenant.client.put(account, keys).await.expect(200);
    double.register(Account {
        provider: Provider::Stripe,
        key: "sk_test_ledger".to_owned(),
        webhook_url: "http://127.0.0.1:9/".to_owned(),
        webhook_secret: "whsec_ledger".to_owned(),
    });
    let client = tenant.new_client(json!({})).await;
    let mut sum = Counts::default();
    for _ in 0..PAID {
        let owner = tenant.owner.logged_in_again(&app).await.client.within(&tenant.org);
        let lines = json!([{"description": "Work", "quantity": 1, "unitPrice": 9_900}]);
        let new = json!({"clientId": client, "currency": "EUR", "dueDate": "2027-03-29", "lineItems": lines});
        let invoice = owner.post("/v1/invoices", new).await.expect(201).text("id");
        let send = format!("/v1/invoices/{invoice}/send");
        owner.post(send, json!({})).await.expect(200);
        app.settle().await;
        // What is remembered for 30 seconds is forgotten.
        app.advance(31 * Time::SECOND);
        app.aws().usage().take();

        let (path, body) = (format!("/v1/invoices/{invoice}/pay"), json!({"provider": "stripe"}));
        let reply = owner.post(&path, body.clone()).await.expect(201);
        let function = function_of(&app, &Method::POST, &path);
        add_request(&mut sum, &app, &function, body.to_string().len(), &reply, 6.0);
        let payment = reply.json["payment"]["id"].as_str().expect("an id").to_owned();
        let pay = Act::Pay {
            units: None,
            currency: None,
        };
        let told = double.webhooks().as_array().map_or(0, Vec::len);
        double.act(&payment, &pay).expect("it can be paid");
        add_webhooks(&mut sum, &app, &double, &tenant, told).await;
        add_payment_jobs(&mut sum, &app).await;
        app.settle().await;
        // Its message was sent with a delay.
        app.advance(2 * Time::MINUTE);
        app.aws().usage().take();
        add_payment_jobs(&mut sum, &app).await;
        let shown = owner.get(format!("/v1/payments/{payment}")).await.expect(200);
        assert_eq!(shown.json["status"], "succeeded");
    }
    entry(
        ("payment", "an invoice paid at a provider, until it is booked"),
        sum,
        f64::from(PAID),
    )
}

/// Events of an organization, told to one endpoint each: relayed and delivered, one message at a time.
async fn delivered() -> Entry {
    const TOLD: u32 = 16;
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    let (client, receiver) = (tenant.new_client(json!({})).await, Receiver::start().await);
    let webhook = json!({"url": receiver.url(), "events": ["invoice.created"]});
    tenant
        .client
        .post("/v1/webhook-subscriptions", webhook)
        .await
        .expect(201);
    app.settle().await;
    let mut sum = Counts::default();
    for _ in 0..TOLD {
        let lines = json!([{"description": "Work", "quantity": 1, "unitPrice": 9_900}]);
        let new = json!({"clientId": client, "currency": "EUR", "dueDate": "2027-03-29", "lineItems": lines});
        tenant.client.post("/v1/invoices", new).await.expect(201);
        app.aws().usage().take();
        for (queue, function) in [("OutboxQueue", "OutboxRelay"), ("WebhookQueue", "WebhookDeliverer")] {
            for text in app.take(queue).await {
                sum.sqs_requests += 2.0;
                let failed = app.deliver_from(queue, &[text]).await;
                assert_eq!(failed, Vec::<usize>::new(), "a message failed");
                let usage = usage_of(&app, function);
                add_invocation(&mut sum, &app, function, &usage, 3.0);
            }
        }
    }
    assert_eq!(receiver.calls().len(), TOLD as usize);
    entry(
        ("delivery", "an event told to one webhook, from the outbox on"),
        sum,
        f64::from(TOLD),
    )
}

/// An app that calls the double of the providers, which tells nothing by itself.
async fn with_a_double() -> (TestApp, PaymentDouble) {
    let running: Arc<OnceLock<TestApp>> = Arc::default();
    let follows = Arc::clone(&running);
    let now = move || follows.get().map_or(START.millis(), |app| app.now().millis());
    let double = PaymentDouble::start_at(0, Arc::new(now)).await.expect("a free port");
    double.flow(Flow::Held);
    let setup = Setup::default().parameter("StripeBaseUrl", double.base(Provider::Stripe));
    let app = TestApp::start_as(setup).await;
    running.get_or_init(|| app.clone());
    (app, double)
}

/// Delivers the webhooks that came about after so many.
async fn add_webhooks(sum: &mut Counts, app: &TestApp, double: &PaymentDouble, tenant: &Tenant, told: usize) {
    let path = format!("/v1/provider-webhooks/stripe/{}", tenant.org);
    let webhooks = double.webhooks();
    for webhook in webhooks.as_array().into_iter().flatten().skip(told) {
        let id = webhook["id"].as_str().expect("an id");
        let (body, headers) = double.signed(id).expect("a webhook");
        let mut client = app.client();
        for (name, value) in &headers {
            client = client.header(name, value);
        }
        let size = body.len();
        let reply = client.post_bytes(&path, body).await.expect(200);
        let function = function_of(app, &Method::POST, &path);
        add_request(sum, app, &function, size, &reply, 3.0);
    }
}

/// Does the jobs of payments that are queued, one message at a time.
async fn add_payment_jobs(sum: &mut Counts, app: &TestApp) {
    for text in app.take("PaymentQueue").await {
        sum.sqs_requests += 2.0;
        let failed = app.deliver_from("PaymentQueue", &[text]).await;
        assert_eq!(failed, Vec::<usize>::new(), "a message failed");
        let usage = usage_of(app, "PaymentWorker");
        add_invocation(sum, app, "PaymentWorker", &usage, 6.0);
    }
}

/// The function that answers a request.
fn function_of(app: &TestApp, method: &Method, path: &str) -> String {
    let route = app.route_of(method.as_str(), path);
    route.expect("the route is in the template").function.clone()
}

/// One request a second with so many events each, until they are in the tables; folds and cold caches included.
async fn ingest(sent: &Sent) -> Counts {
    let (events, with_ids, [ingest_ms, writer_ms]) = (sent.events, sent.with_ids, sent.cpu_ms);
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    if !sent.metered {
        let free = json!({"prices": {"ingest.event": 0}});
        app.manager()
            .await
            .client
            .put("/v1/admin/prices", free)
            .await
            .expect(200);
    }
    app.aws().usage().take();
    let mut sum = Counts::default();
    for number in 0..TIMES {
        app.advance(1_000);
        let body = json!({"events": batch(number, events, with_ids)}).to_string();
        let reply = tenant
            .server
            .post_bytes("/v1/ingest/events", body.as_bytes())
            .await
            .expect(202);
        add_request(&mut sum, &app, "Ingest", body.len(), &reply, ingest_ms);
        for text in app.take_messages().await {
            // Each alone, as when events come slowly: a full batch of ten would cost a tenth. A receive is billed by
            // the size of what it yields.
            sum.sqs_requests += as_float(text.len().div_ceil(SQS_PART)) + 1.0;
            assert_eq!(app.deliver(&[text]).await, Vec::<usize>::new(), "a message failed");
            let usage = usage_of(&app, "EventWriter");
            add_invocation(&mut sum, &app, "EventWriter", &usage, writer_ms);
        }
    }
    mean(sum)
}

/// What is asked by people, each time with cold caches.
async fn questions() -> Vec<Entry> {
    let app = TestApp::start().await;
    let tenant = app.tenant().await;
    // Most of a day's chunks are folded, some are not.
    for number in 0..48 {
        tenant.ingest(batch(number, 100, false)).await;
        app.settle().await;
    }
    let day = format!(
        "projectId={}&from={}&to={START}",
        tenant.project,
        START.plus_millis(-86_400_000)
    );
    let read = format!("/v1/projects/{}", tenant.project);
    let overview = format!("/v1/metrics/overview?{day}");
    let series = format!("/v1/metrics/events/timeseries?interval=1h&{day}");
    vec![
        login(&app, &tenant).await,
        question(
            &app,
            &tenant,
            ("read", "an authenticated read: `GET /v1/projects/{id}`"),
            &read,
        )
        .await,
        question(&app, &tenant, ("overview", "a day's overview"), &overview).await,
        question(
            &app,
            &tenant,
            ("timeseriesDay", "a day's timeseries by the hour"),
            &series,
        )
        .await,
    ]
}

async fn login(app: &TestApp, tenant: &Tenant) -> Entry {
    let body = json!({"email": tenant.owner.email, "password": PASSWORD});
    app.aws().usage().take();
    let mut sum = Counts::default();
    for _ in 0..4 {
        app.advance(15_000);
        let reply = app.client().post("/v1/auth/login", body.clone()).await.expect(200);
        // 14 ms of it are argon2id.
        add_request(&mut sum, app, "Auth", body.to_string().len(), &reply, 16.0);
    }
    entry(("login", "a login"), sum, 4.0)
}

async fn question(app: &TestApp, tenant: &Tenant, (name, what): (&'static str, &'static str), path: &str) -> Entry {
    let function = function_of(app, &Method::GET, path.split('?').next().unwrap_or(path));
    // Their access token is good for 15 minutes.
    let tenant = Tenant {
        client: tenant.owner.logged_in_again(app).await.client.within(&tenant.org),
        ..tenant.clone()
    };
    app.aws().usage().take();
    let mut sum = Counts::default();
    for _ in 0..4 {
        // What is remembered for 30 seconds is forgotten.
        app.advance(31_000);
        let reply = tenant.client.get(path).await.expect(200);
        add_request(&mut sum, app, &function, 0, &reply, 3.0);
    }
    entry((name, what), sum, 4.0)
}

fn entry((name, what): (&'static str, &'static str), sum: Counts, times: f64) -> Entry {
    Entry {
        name,
        what,
        units: 1.0,
        counts: scaled(sum, times),
    }
}

fn add_request(sum: &mut Counts, app: &TestApp, function: &str, body: usize, reply: &Reply, cpu_ms: f64) {
    let usage = usage_of(app, function);
    sum.api_requests += (as_float(body) / API_PART).ceil().max(1.0);
    sum.reply_bytes += as_float(reply.bytes.len()) + HEADER_BYTES;
    sum.log_bytes += REQUEST_LOG_BYTES;
    add_invocation(sum, app, function, &usage, cpu_ms);
}

fn add_invocation(sum: &mut Counts, app: &TestApp, function: &str, usage: &Usage, cpu_ms: f64) {
    let memory_mib = app.template().function(function).expect("a function").memory_mib;
    let requests = as_float(usage.dynamodb_requests + usage.sqs_requests + usage.other_requests);
    sum.invocations += 1.0;
    sum.gb_seconds += prices::billed_ms(memory_mib, cpu_ms, requests) / 1_000.0 * f64::from(memory_mib) / 1_024.0;
    sum.sqs_requests += as_float(usage.sqs_requests);
    sum.write_units += usage.write_units;
    sum.read_units += usage.read_units;
    sum.log_bytes += PLATFORM_LOG_BYTES;
}

/// What a function used since the last time; nobody else may have used anything.
fn usage_of(app: &TestApp, function: &str) -> Usage {
    let mut used = app.aws().usage().take();
    let usage = used.remove(function).unwrap_or_default();
    assert!(used.is_empty(), "others than {function} called AWS: {used:?}");
    usage
}

fn mean(sum: Counts) -> Counts {
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    scaled(sum, TIMES as f64)
}

fn scaled(sum: Counts, times: f64) -> Counts {
    Counts {
        api_requests: sum.api_requests / times,
        invocations: sum.invocations / times,
        gb_seconds: sum.gb_seconds / times,
        sqs_requests: sum.sqs_requests / times,
        write_units: sum.write_units / times,
        read_units: sum.read_units / times,
        log_bytes: sum.log_bytes / times,
        reply_bytes: sum.reply_bytes / times,
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes and counts far below 2^52")]
fn as_float(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or_default() as f64
}

/// Events as web servers make them, from minutes before [`START`] backwards.
pub fn batch(number: u64, events: u64, with_ids: bool) -> Value {
    sample_events::batch(number, events, with_ids, START.plus_millis(-1_000_000).millis())
}

/// The ledger as a document.
pub fn document(entries: &[Entry]) -> String {
    let mut text = String::from(HEAD);
    for entry in entries {
        let _ = write!(text, "| `{}` | {} |", entry.name, entry.what);
        for (_, count) in entry.columns() {
            let _ = write!(text, " {count:.2} |");
        }
        let _ = writeln!(
            text,
            " {:.2} | **{:.4}** |",
            entry.counts.gb_seconds * 1_000.0,
            entry.dollars_a_million()
        );
    }
    text.push_str(TAIL);
    text
}

/// The counts that the committed document states for an operation, by column; nothing if it is not in it.
pub fn stated(document: &str, name: &str) -> Option<Vec<f64>> {
    let row = document
        .lines()
        .find(|line| line.starts_with(&format!("| `{name}` |")))?;
    row.split('|')
        .skip(3)
        .take(5)
        .map(|cell| cell.trim().parse().ok())
        .collect()
}

/// Where the document lies.
pub fn path() -> PathBuf {
    crate::folder().join("docs/cost.md")
}

const HEAD: &str = "\
# What it costs

Counted, not estimated: every operation below is done over the whole app, whose emulated services tell what AWS would
bill (capacity units as DynamoDB's own `ReturnConsumedCapacity` rules have them, requests in parts of 64 or 512 KiB). The
prices are the list prices of us-east-1 in US dollars, without free tiers, in one file: `infra/stack/src/aws/prices.rs`.
`cargo local bench --only cost --write` writes this page, and a test fails when a count rises above what stands here.

Counts are means for one operation; dollars are for a million **events** where events are sent, else for a million
operations.

| name | operation | API | Lambda | SQS | write units | read units | GB·s × 1,000 | $ a million |
|---|---|--:|--:|--:|--:|--:|--:|--:|
";

const TAIL: &str = "
## What is in it

- **Events** are sent by one client, one request a second, 32 times (so one fold is among them), and written one message at a time, which is the
  dearest way: under load one invocation of `event-writer` takes ten messages. The fold and reading the API
  key again every 30 seconds are in the means.
- **Credits**: the wallet's lease and the receipts of what was sold are in the means, the making of the wallet too; what
  events cost without them is told beside. A lease of a large wallet runs for a minute, so settling it, 8 write units, is in none
  of the means: 0.08 dollars a million at one request a second.
- **Invoices**: forty subscriptions of one organization are billed, some five of them to a message; the invoice is made, numbered, sent
  and told, its mark moved and the sums with it. Its mail and its page are apart.
- **Payments**: an invoice of an organization is paid at Stripe: the session is asked for, each webhook of it is taken and worked
  off by itself, the invoice is paid and told, and the watch looks once more. The page, the relaying of what is told and the
  provider's own fee are apart.
- **Deliveries**: one event told to one webhook, by a message of the relay and one of the deliverer, the dearest way: under load an
  invocation takes ten of each. More webhooks of one event share the relay's part.
- **SQS**: a send, a receive and a delete for each message.
- **Reads** find every cache cold. What is asked has 48 batches of 100 events behind it, 16 of them not folded yet.
- **Lambda's duration** is the one assumption: CPU time as `cargo local bench` measures it at a full core, rounded up and
  stretched to the memory's share of a core (1,769 MiB are one), and 5 ms for each request to a service, none beside
  another. It is a small part of each sum, so an error of a factor of two hardly shows.
- **Logs and replies** are in the dollars: a line of each request, Lambda's own three lines of each invocation, and
  what is sent to the caller.

## What is not in it

- **What is kept**: 0.25 dollars a GB-month. A million events in batches of 100 are about 0.06 GB: 0.015 dollars a month.
- **Waiting**: Lambda polls a queue by itself. An idle queue costs 5 pollers × 3 long polls a minute: 648,000 requests or
  0.26 dollars a month and queue without the free million.
- **Cold starts**, which Lambda bills since August 2025: a few milliseconds of CPU time each.
- Taxes, discounts, free tiers, data transfer from clients (free).
";
