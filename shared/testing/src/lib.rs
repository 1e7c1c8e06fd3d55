//! The whole app in one process, for tests: every function's real router over emulated services in memory, one set a
//! test. Each function calls AWS under its own name, so a call that `template.yaml` does not grant it is refused here
//! as it would be there.

mod authenticator;
mod client;
pub mod ledger;
mod people;
mod receiver;
mod sales;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billing::mails::Post;
use identity::{Issuer, PublicKeys};
use kernel::Time;
use lambda::{App, Clock, Env, Message, Started};
use notifications::Desk;
use stack::aws::ses::Mail;
use stack::aws::usage::Usage;
use stack::aws::{Aws, Storage};
use stack::template::{Function, Queue, Route, Template};
use stack::{gateway, runtime};
use table::Table;

pub use authenticator::Authenticator;
pub use client::{Client, Reply};
pub use gate::Rates;
pub use people::{MANAGER_EMAIL, MANAGER_PASSWORD, PASSWORD, Person, Tenant};
pub use receiver::{Call, Receiver};
pub use sales::Sold;

/// Where browsers reach the app of a test, as far as it is told.
pub const PUBLIC_URL: &str = "https://api.example.com";

/// The moment at which every test begins.
pub const START: Time = Time::from_millis(1_800_000_000_000);

pub use stack::chaos::{Chaos, Fault, Moment};

/// The queues of jobs.
const JOBS: [&str; 5] = [
    "DocumentQueue",
    "ErasureQueue",
    "MailQueue",
    "PaymentQueue",
    "WebhookQueue",
];

/// The limits of tests that are not about limits.
pub const RATES: Rates = Rates {
    per_key: 60_000,
    per_tenant: 600_000,
    per_address: 600,
    per_visitor: 600,
    per_person: 600_000,
    per_stranger: 600_000,
};

/// What an app is started with, besides what `template.yaml` says.
#[derive(Debug)]
pub struct Setup {
    /// Parameters of the template, over those of `samconfig.toml`.
    pub parameters: Vec<(&'static str, String)>,
    /// What SSM knows, by the parameter of the template that names it.
    pub secrets: Vec<(&'static str, String)>,
    /// How many processes each function that serves HTTP has.
    pub processes: usize,
    /// The faults that functions meet when they call AWS, once the test switches them on.
    pub chaos: Chaos,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            parameters: Vec::new(),
            secrets: Vec::new(),
            processes: 1,
            chaos: Chaos::default(),
        }
    }
}

impl Setup {
    /// Sets a parameter of the template.
    #[must_use]
    pub fn parameter(mut self, name: &'static str, value: impl Display) -> Self {
        self.parameters.push((name, value.to_string()));
        self
    }

    /// Sets what SSM knows under the name that a parameter of the template has.
    #[must_use]
    pub fn secret(mut self, parameter: &'static str, value: impl Display) -> Self {
        self.secrets.push((parameter, value.to_string()));
        self
    }

    /// Where browsers reach the app.
    fn public_url(&self) -> &str {
        let mut given = self.parameters.iter().rev();
        let url = given.find(|(name, _)| *name == "PublicUrl");
        url.map_or(PUBLIC_URL, |(_, url)| url.as_str())
    }

    /// Limits by these rates.
    #[must_use]
    pub fn rates(self, rates: Rates) -> Self {
        self.parameter("RateLimitPerKey", rates.per_key)
            .parameter("RateLimitPerTenant", rates.per_tenant)
            .parameter("RateLimitPerAddress", rates.per_address)
            .parameter("RateLimitPerVisitor", rates.per_visitor)
            .parameter("RateLimitPerPerson", rates.per_person)
            .parameter("RateLimitPerStranger", rates.per_stranger)
    }
}

/// The app of one test.
#[derive(Debug, Clone)]
pub struct TestApp(Arc<Inner>);

/// The processes of each function, by its binary.
type Functions = BTreeMap<String, Vec<Started>>;

#[derive(Debug)]
struct Inner {
    aws: Aws,
    template: Template,
    gateway: gateway::Router,
    clock: Clock,
    /// By the name of the function, one for each of its processes.
    functions: RwLock<Functions>,
    /// Counts requests; they go to the processes in turn.
    requests: AtomicUsize,
    issuer: Issuer,
    made: AtomicU32,
    /// All variables of all functions, under no function's name: everything is allowed.
    outside: (Env, App),
}

impl TestApp {
    /// Starts an app with nothing in it, at [`START`].
    pub async fn start() -> Self {
        Self::start_as(Setup::default()).await
    }

    /// Starts an app whose functions meet these faults when they call AWS, once the test switches them on.
    pub async fn start_under(chaos: Chaos) -> Self {
        Self::start_as(Setup {
            chaos,
            ..Setup::default()
        })
        .await
    }

    /// Starts an app that limits by these rates, with so many processes of each function that serves HTTP.
    pub async fn start_with(rates: Rates, processes: usize) -> Self {
        let setup = Setup {
            processes,
            ..Setup::default()
        };
        Self::start_as(setup.rates(rates)).await
    }

    /// Starts every function of the template, with the environment that the template gives it.
    pub async fn start_as(setup: Setup) -> Self {
        let clock = Clock::at(START);
        let (private_key, public_keys) = identity::token::new_key().expect("a key");
        let keys = PublicKeys::parse(&public_keys, setup.public_url()).expect("the keys");
        let issuer = Issuer::new(&private_key, keys).expect("an issuer");
        let template = template(public_keys, &setup);
        let secrets = secrets(&template, STANDARD.encode(&private_key), &setup);
        let moved = clock.clone();
        let local_clock = stack::clock::Clock::following(move || moved.now().millis());
        let aws = Aws::start_under(&template, secrets, &Storage::Memory, &local_clock, setup.chaos)
            .await
            .expect("services start");

        let functions = start_all(&template, &aws, &clock, setup.processes).await;
        let outside = outside(&aws, &clock, &template).await;
        Self(Arc::new(Inner {
            gateway: gateway::Router::new(&template.routes),
            aws,
            template,
            clock,
            functions: RwLock::new(functions),
            requests: AtomicUsize::new(0),
            issuer,
            made: AtomicU32::new(0),
            outside,
        }))
    }

    /// The template that AWS would deploy.
    pub fn template(&self) -> &Template {
        &self.0.template
    }

    /// The emulated services.
    pub fn aws(&self) -> &Aws {
        &self.0.aws
    }

    /// The tables, under no function's name: everything is allowed.
    pub fn table(&self) -> Table {
        self.0.outside.1.table.clone()
    }

    /// What a function has that may do everything: one more process of it each time.
    pub async fn app(&self) -> App {
        outside(&self.0.aws, &self.0.clock, &self.0.template).await.1
    }

    /// What a process of a function has, by its logical id: it may do what the function may, and meets the same faults.
    pub async fn app_of(&self, function: &str) -> App {
        let function = self.0.template.function(function).expect("the function");
        let env = env(&self.0.aws, &self.0.clock, function, &[]);
        env.app().await.expect("an environment")
    }

    /// What a table of the template is called.
    pub fn table_name(&self, table_id: &str) -> String {
        let mut tables = self.0.template.tables.iter();
        let found = tables.find(|table| table.id == table_id);
        found.expect("the table is in the template").name.clone()
    }

    /// What a queue of the template is called.
    pub fn queue_name(&self, queue_id: &str) -> String {
        self.queue(queue_id).name.clone()
    }

    /// What a function, by its logical id, used of what AWS bills since anybody asked last.
    pub fn take_usage(&self, function: &str) -> Usage {
        self.0.aws.usage().take().remove(function).unwrap_or_default()
    }

    /// Signs access tokens as `auth` does.
    pub fn issuer(&self) -> &Issuer {
        &self.0.issuer
    }

    /// What time it is for the app.
    pub fn now(&self) -> Time {
        self.0.clock.now()
    }

    /// Moves the app's time.
    pub fn advance(&self, millis: i64) {
        self.0.clock.advance(millis);
    }

    /// A number that was not given before in this test, for names that must differ.
    pub fn number(&self) -> u32 {
        self.0.made.fetch_add(1, Ordering::Relaxed)
    }

    /// A caller without credentials.
    pub fn client(&self) -> Client {
        Client::new(self.clone())
    }

    /// The text of every message on the event queue, which are taken from it.
    pub async fn take_messages(&self) -> Vec<String> {
        self.take("EventQueue").await
    }

    /// The text of every message on a queue that is not delayed, which are taken from it.
    pub async fn take(&self, queue_id: &str) -> Vec<String> {
        let name = &self.queue(queue_id).name;
        let sqs = self.0.aws.sqs();
        let mut texts = Vec::new();
        loop {
            let messages = sqs.receive(name, 10, 30, Duration::ZERO).await.expect("the queue");
            if messages.is_empty() {
                return texts;
            }
            let receipts: Vec<&str> = messages.iter().map(|message| message.receipt.as_str()).collect();
            sqs.delete(name, &receipts).expect("the queue");
            texts.extend(messages.into_iter().map(|message| message.body));
        }
    }

    /// Delivers texts to the event writer as one batch. Returns the places of those that must come again.
    pub async fn deliver(&self, texts: &[String]) -> Vec<usize> {
        self.deliver_from("EventQueue", texts).await
    }

    /// Delivers texts to what takes a queue, as one batch. Returns the places of those that must come again.
    pub async fn deliver_from(&self, queue_id: &str, texts: &[String]) -> Vec<usize> {
        let consumer = self.consumer_of(queue_id);
        let consumer = consumer.unwrap_or_else(|| panic!("nothing takes the queue {queue_id}"));
        self.deliver_to(&self.processes(&consumer.binary)[0], texts).await
    }

    /// Delivers texts to a consumer, as one batch. Returns the places of those that must come again.
    pub async fn deliver_to(&self, consumer: &Started, texts: &[String]) -> Vec<usize> {
        let Started::Queue(consumer) = consumer else {
            panic!("this function takes no queue");
        };
        let message = |(place, text): (usize, &String)| Message::of(place.to_string(), text);
        let failed = consumer.consume(texts.iter().enumerate().map(message).collect()).await;
        let places = failed.iter().map(|id| id.parse().expect("the ids are places"));
        places.collect()
    }

    /// Starts one more process of a function, by its logical id, with these variables besides those of the template.
    pub async fn start_again(&self, function: &str, variables: &[(&str, &str)]) -> Started {
        let function = self.0.template.function(function).expect("the function");
        start(function, env(&self.0.aws, &self.0.clock, function, variables)).await
    }

    /// Delivers texts to an event writer that has just started, as after a crash.
    pub async fn deliver_to_new_writer(&self, texts: &[String]) -> Vec<usize> {
        self.deliver_to(&self.start_again("EventWriter", &[]).await, texts)
            .await
    }

    /// Delivers texts to a notifier whose mails SES refuses: they come from an address that it may not send from.
    pub async fn deliver_to_refused_notifier(&self, texts: &[String]) -> Vec<usize> {
        let sender = [("MAIL_FROM", "nobody@elsewhere.example")];
        self.deliver_to(&self.start_again("Notifier", &sender).await, texts)
            .await
    }

    /// Lets the consumers handle everything that is queued and not delayed, and what that makes them queue.
    pub async fn settle(&self) {
        for _ in 0..100 {
            let mut idle = true;
            for queue in &self.0.template.queues {
                if self.consumer_of(&queue.id).is_none() {
                    continue;
                }
                for texts in self.take(&queue.id).await.chunks(10) {
                    idle = false;
                    let failed = self.deliver_from(&queue.id, texts).await;
                    assert_eq!(failed, Vec::<usize>::new(), "messages of {} failed", queue.id);
                }
            }
            if idle {
                return;
            }
        }
        panic!("the queues do not get empty");
    }

    /// Lets the schedule of a function, by its logical id, fire once; what it queues stays queued.
    pub async fn fire(&self, function: &str) {
        let function = self.0.template.function(function).expect("the function");
        let Started::Schedule(firing) = &self.processes(&function.binary)[0] else {
            panic!("no schedule fires {}", function.id);
        };
        firing
            .fire()
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", function.id));
    }

    /// Lets the schedule that finds overdue notices fire once.
    pub async fn run_sweeper(&self) {
        self.fire("Sweeper").await;
    }

    /// Lets the schedule that finds alerts fire once; what it finds stays queued.
    pub async fn fire_alert_check(&self) {
        self.fire("AlertCheck").await;
    }

    /// Lets the schedule that finds alerts fire once, looks at them, and sends the notices.
    pub async fn run_alert_check(&self) {
        self.fire_alert_check().await;
        self.settle().await;
    }

    /// The mails that were sent to an address, oldest first.
    pub fn mails_to(&self, address: &str) -> Vec<Mail> {
        self.0.aws.ses().mails(Some(address)).expect("the mails")
    }

    /// Sends the notices that were just written.
    pub async fn send_notices(&self) {
        for queue in JOBS {
            for texts in self.take(queue).await.chunks(10) {
                let failed = self.deliver_from(queue, texts).await;
                assert_eq!(failed, Vec::<usize>::new(), "notices failed");
            }
        }
    }

    /// The token in the last mail to an address that has one.
    pub fn token_mailed_to(&self, address: &str) -> String {
        let mails = self.mails_to(address);
        let with_token = mails.iter().rev().find(|mail| body_of(mail).contains(TOKEN));
        token_in(with_token.unwrap_or_else(|| panic!("no mail to {address} has a token")))
    }

    /// The bytes of everything that lies in the tables.
    pub async fn stored(&self) -> Vec<u8> {
        let client = dynamodb(&self.0.aws, "tests");
        let mut bytes = Vec::new();
        for table in &self.0.template.tables {
            let mut pages = client.scan().table_name(&table.name).into_paginator().items().send();
            while let Some(item) = pages.next().await {
                item.expect("a scan")
                    .values()
                    .for_each(|value| collect(value, &mut bytes));
            }
        }
        bytes
    }

    /// What lies in a table, by its id in the template: of each item its kind, and when DynamoDB may forget it.
    pub async fn expiries(&self, table_id: &str) -> Vec<(String, Option<Time>)> {
        let client = dynamodb(&self.0.aws, "tests");
        let request = client.scan().table_name(self.table_name(table_id));
        let mut items = request.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.expect("a scan");
            let kind = item["kind"].as_s().expect("each item has a kind").clone();
            let seconds = item
                .get("expiresAt")
                .and_then(|value| value.as_n().ok()?.parse::<i64>().ok());
            found.push((kind, seconds.map(|seconds| Time::from_millis(seconds * 1_000))));
        }
        found
    }

    /// How many jobs of an organization or a person, by its id, are stored.
    pub async fn jobs_of(&self, owner: &str) -> usize {
        let client = dynamodb(&self.0.aws, "tests");
        let table = self
            .0
            .template
            .tables
            .iter()
            .find(|table| table.id == "OperationsTable");
        let table = &table.expect("the table").name;
        let request = client
            .scan()
            .table_name(table)
            .filter_expression("contains(pk, :owner) AND #kind IN (:notice, :job)")
            .expression_attribute_names("#kind", "kind")
            .expression_attribute_values(":owner", AttributeValue::S(owner.to_owned()))
            .expression_attribute_values(":notice", AttributeValue::S("noticeJob".to_owned()))
            .expression_attribute_values(":job", AttributeValue::S("job".to_owned()));
        let mut items = request.into_paginator().items().send();
        let mut many = 0;
        while let Some(item) = items.next().await {
            item.expect("a scan");
            many += 1;
        }
        many
    }

    /// Makes mails to clients, under no function's name.
    pub fn post(&self) -> Post {
        let (env, app) = &self.0.outside;
        Post::of(env, app).expect("the variables of the post")
    }

    /// All variables of all functions, under no function's name.
    pub fn env(&self) -> &Env {
        &self.0.outside.0
    }

    /// Makes notices, under no function's name.
    pub fn desk(&self) -> Desk {
        let (env, app) = &self.0.outside;
        Desk::of(env, app).expect("the variables of the desk")
    }

    /// The route of the template that the gateway chooses.
    pub fn route_of(&self, method: &str, path: &str) -> Option<&Route> {
        let method = method.parse().expect("a method");
        Some(self.0.gateway.find(&method, path)?.route)
    }

    /// The name of the function that the gateway would send a request to.
    pub(crate) fn function_of(&self, method: &str, path: &str) -> Option<&str> {
        let route = self.route_of(method, path)?;
        Some(&self.0.template.function(&route.function)?.binary)
    }

    fn processes(&self, function: &str) -> Vec<Started> {
        self.0.functions.read().expect("nobody panicked")[function].clone()
    }

    /// Sets what SSM knows under the name that a parameter of the template has. Who has read it knows the old value.
    pub fn put_secret(&self, parameter: &str, value: &str) {
        let name = &self.0.template.parameters[parameter];
        self.0.aws.ssm().put(name, value);
    }

    /// Starts every function anew, one process of each, as a deployment does.
    pub async fn restart(&self) {
        let anew = start_all(&self.0.template, &self.0.aws, &self.0.clock, 1).await;
        *self.0.functions.write().expect("nobody panicked") = anew;
    }

    /// A process of a function; the next one each time.
    pub(crate) fn router(&self, function: &str) -> Router {
        let processes = self.processes(function);
        let turn = self.0.requests.fetch_add(1, Ordering::Relaxed);
        match &processes[turn % processes.len()] {
            Started::Http(router) => router.clone(),
            Started::Queue(_) | Started::Schedule(_) => panic!("{function} serves no HTTP"),
        }
    }

    fn queue(&self, id: &str) -> &Queue {
        let mut queues = self.0.template.queues.iter();
        queues
            .find(|queue| queue.id == id)
            .expect("the queue is in the template")
    }

    /// The function that takes a queue's messages.
    fn consumer_of(&self, queue_id: &str) -> Option<&Function> {
        let name = &self.queue(queue_id).name;
        let takes = |function: &&Function| function.queues.iter().any(|source| source.queue == *name);
        self.0.template.functions.iter().find(takes)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // A message there only names a job that is due anyway; whoever is registered leaves one.
        let telling = |queue: &&Queue| !JOBS.contains(&queue.id.as_str());
        for queue in self.template.queues.iter().filter(telling) {
            let depth = self.aws.sqs().depth(&queue.name).expect("the queue");
            assert_eq!(depth.total(), 0, "the queue {} still holds messages", queue.name);
        }
    }
}

/// The folder of the workspace.
fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The template with the parameters of tests.
fn template(public_keys: String, setup: &Setup) -> Template {
    let folder = folder();
    let mut parameters = stack::template::sam_parameters(&folder).expect("samconfig.toml");
    let of_tests = Setup::default()
        .rates(RATES)
        .parameter("JwtPublicKeys", public_keys)
        .parameter("BootstrapManagerEmail", MANAGER_EMAIL)
        .parameter("PublicUrl", PUBLIC_URL);
    let given = of_tests.parameters.iter().chain(&setup.parameters);
    parameters.extend(given.map(|(name, value)| ((*name).to_owned(), value.clone())));
    Template::load(&folder, &parameters).expect("template.yaml")
}

/// A ring of keys with these ids, for tests only.
pub fn keys(ids: &[u8]) -> String {
    let lines: Vec<_> = ids.iter().map(|id| format!("{id}:{id:064x}\n")).collect();
    lines.concat()
}

/// What SSM knows.
fn secrets(template: &Template, private_key: String, setup: &Setup) -> BTreeMap<String, String> {
    let of_tests = Setup::default()
        .secret("JwtPrivateKeyParameter", private_key)
        .secret("BootstrapManagerPasswordParameter", MANAGER_PASSWORD)
        .secret("RequestKeysParameter", keys(&[1]))
        .secret("SealingKeysParameter", keys(&[1]))
        .secret("PushKeysParameter", keys(&[1]));
    let given = of_tests.secrets.iter().chain(&setup.secrets);
    given
        .map(|(parameter, value)| (template.parameters[*parameter].clone(), value.clone()))
        .collect()
}

/// Every function, so many processes of each that serves HTTP.
async fn start_all(template: &Template, aws: &Aws, clock: &Clock, many: usize) -> Functions {
    let mut functions = BTreeMap::new();
    for function in &template.functions {
        let many = if function.queues.is_empty() { many } else { 1 };
        let mut processes = Vec::new();
        for _ in 0..many {
            processes.push(start(function, env(aws, clock, function, &[])).await);
        }
        functions.insert(function.binary.clone(), processes);
    }
    functions
}

/// The environment of a process of a function, as the local stack makes it, and these variables.
fn env(aws: &Aws, clock: &Clock, function: &Function, variables: &[(&str, &str)]) -> Env {
    let mut all = runtime::environment(function, &aws.environment());
    let given = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    all.extend(given);
    Env::of(all, clock.clone())
}

async fn start(function: &Function, env: Env) -> Started {
    let named = docs::all().find(|known| known.name() == function.binary);
    let named = named.unwrap_or_else(|| panic!("{} is not in the list of functions", function.binary));
    let started = named.start(env).await;
    started.unwrap_or_else(|error| panic!("{} does not start: {error:#}", function.id))
}

/// All variables of all functions, under a name that is no function's.
async fn outside(aws: &Aws, clock: &Clock, template: &Template) -> (Env, App) {
    let functions = template.functions.iter();
    let mut all: BTreeMap<String, String> = functions
        .flat_map(|function| runtime::environment(function, &aws.environment()))
        .collect();
    all.insert("AWS_ACCESS_KEY_ID".to_owned(), "tests".to_owned());
    let env = Env::of(all, clock.clone());
    let app = env.app().await.expect("an environment");
    (env, app)
}

fn dynamodb(aws: &Aws, function: &str) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials(function))
        .endpoint_url(aws.endpoint())
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// The bytes of a stored value and of all within it.
fn collect(value: &AttributeValue, bytes: &mut Vec<u8>) {
    match value {
        AttributeValue::S(text) => bytes.extend_from_slice(text.as_bytes()),
        AttributeValue::B(blob) => bytes.extend_from_slice(blob.as_ref()),
        AttributeValue::L(values) => values.iter().for_each(|value| collect(value, bytes)),
        AttributeValue::M(values) => values.values().for_each(|value| collect(value, bytes)),
        AttributeValue::Ss(texts) => texts.iter().for_each(|text| bytes.extend_from_slice(text.as_bytes())),
        _ => {}
    }
}

/// What stands before the token in a link.
const TOKEN: &str = "#token=";

fn body_of(mail: &Mail) -> &str {
    mail.text.as_deref().unwrap_or_default()
}

/// The token in a mail.
pub fn token_in(mail: &Mail) -> String {
    let (_, rest) = body_of(mail).split_once(TOKEN).expect("a token in the mail");
    rest.split_whitespace().next().unwrap_or_default().to_owned()
}

/// The local services take the access key for the caller's name.
fn credentials(function: &str) -> Credentials {
    Credentials::new(function, "tests", None, None, "tests")
}

/// The address that tests call from.
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
