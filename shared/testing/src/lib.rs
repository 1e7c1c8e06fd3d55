//! The whole app in one process, for tests: every function's real router over emulated services in memory, one set a
//! test. Each function calls AWS under its own name, so a call that `template.yaml` does not grant it is refused here
//! as it would be there.

mod client;
pub mod ledger;
mod people;
mod receiver;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use alert_check::AlertCheck;
use alert_evaluator::AlertEvaluator;
use alerting::{AlertQueue, Notices};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use event_writer::EventWriter;
use identity::{Bootstrap, Google, Guard, Issuer, ResetQueue};
use kernel::Time;
use kernel::seal::Seal;
use lambda::{App, Clock, Consumer, Env, Message, Schedule};
use notifications::{Desk, MailSettings, NoticeQueue};
use notifier::Notifier;
use outbound::AllowList;
use reset_mailer::ResetMailer;
use stack::aws::ses::Mail;
use stack::aws::{Aws, Storage};
use stack::gateway;
use stack::template::{Route, Template};
use sweeper::Sweeper;
use table::{Meter, Table, TableName};
use telemetry::EventQueue;
use utoipa_axum::router::OpenApiRouter;

pub use client::{Client, Reply};
pub use identity::Rates;
pub use people::{MANAGER_EMAIL, MANAGER_PASSWORD, PASSWORD, Person, Tenant};
pub use receiver::{Call, Receiver};

/// The moment at which every test begins.
pub const START: Time = Time::from_millis(1_800_000_000_000);

pub use stack::chaos::{Chaos, Fault};

/// The limits of tests that are not about limits.
pub const RATES: Rates = Rates {
    per_key: 60_000,
    per_tenant: 600_000,
    per_address: 600,
};

/// The app of one test.
#[derive(Debug, Clone)]
pub struct TestApp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    aws: Aws,
    template: Template,
    gateway: gateway::Router,
    clock: Clock,
    /// By the name of the function, one for each of its processes.
    routers: BTreeMap<String, Vec<Router>>,
    /// Counts requests; they go to the processes in turn.
    requests: AtomicUsize,
    workers: Workers,
    issuer: Issuer,
    made: AtomicU32,
    /// By the name of the function.
    meters: BTreeMap<String, Meter>,
}

/// What queues and schedules call, each with the app of its function.
#[derive(Debug)]
struct Workers {
    writer: (EventWriter, App),
    writer_meter: Meter,
    notifier: (Notifier, App),
    reset_mailer: (ResetMailer, App),
    sweeper: (Sweeper, App),
    alert_check: (AlertCheck, App),
    alert_evaluator: (AlertEvaluator, App),
    evaluator_meter: Meter,
}

impl Workers {
    fn start(aws: &Aws, template: &Template, clock: &Clock) -> Self {
        let of = |function: &str| app(aws, template, clock, function);
        let writer_meter = Meter::default();
        let mut writer = of("EventWriter");
        writer.table = writer.table.metered(writer_meter.clone());
        let notices = NoticeQueue::new(sqs(aws, "Sweeper"), queue(template, "NotificationQueue").url());
        let alerts = AlertQueue::new(sqs(aws, "AlertCheck"), queue(template, "AlertQueue").url());
        let evaluator_meter = Meter::default();
        let mut evaluator = of("AlertEvaluator");
        evaluator.table = evaluator.table.metered(evaluator_meter.clone());
        let told = self::notices(aws, template, "AlertEvaluator");
        Self {
            writer: (EventWriter::start(&writer).expect("a writer"), writer),
            writer_meter,
            notifier: (notifier(aws, template, "Notifier"), of("Notifier")),
            reset_mailer: (ResetMailer::new(desk(aws, template, "ResetMailer")), of("ResetMailer")),
            sweeper: (Sweeper::new(notices), of("Sweeper")),
            alert_check: (AlertCheck::new(alerts), of("AlertCheck")),
            alert_evaluator: (AlertEvaluator::new(told), evaluator),
            evaluator_meter,
        }
    }
}

impl TestApp {
    /// Starts an app with nothing in it, at [`START`].
    pub async fn start() -> Self {
        Self::start_as(Chaos::default(), RATES, 1, Google::nowhere()).await
    }

    /// Starts an app whose functions meet these faults when they call AWS, once the test switches them on.
    pub async fn start_under(chaos: Chaos) -> Self {
        Self::start_as(chaos, RATES, 1, Google::nowhere()).await
    }

    /// Starts an app that limits by these rates, with so many processes of each function that serves HTTP.
    pub async fn start_with(rates: Rates, processes: usize) -> Self {
        Self::start_as(Chaos::default(), rates, processes, Google::nowhere()).await
    }

    /// Starts an app whose people may log in with this provider.
    pub async fn start_with_google(google: Google) -> Self {
        Self::start_as(Chaos::default(), RATES, 1, google).await
    }

    async fn start_as(chaos: Chaos, rates: Rates, processes: usize, google: Google) -> Self {
        let clock = Clock::at(START);
        let template = template();
        let parameters = BTreeMap::from([("/unused".to_owned(), String::new())]);
        let moved = clock.clone();
        let local_clock = stack::clock::Clock::following(move || moved.now().millis());
        let aws = Aws::start_under(&template, parameters, &Storage::Memory, &local_clock, chaos)
            .await
            .expect("services start");

        let issuer = Issuer::of_new_key().expect("a key");
        let bootstrap = Bootstrap::known(MANAGER_EMAIL, MANAGER_PASSWORD);
        let of = |function: &str| app(&aws, &template, &clock, function);
        let desk_of = |function: &str| desk(&aws, &template, function);
        let resets = ResetQueue::new(sqs(&aws, "Auth"), queue(&template, "ResetQueue").url());
        let events_queue = EventQueue::new(sqs(&aws, "Ingest"), queue(&template, "EventQueue").url());
        let mut routers = BTreeMap::new();
        let mut meters = BTreeMap::new();
        let mut add = |name: &str, id: &str, routes: &dyn Fn(&Guard) -> OpenApiRouter<App>| {
            let mut app = of(id);
            let meter = Meter::default();
            app.table = app.table.metered(meter.clone());
            meters.insert(name.to_owned(), meter);
            let process = |_| {
                let guard = Guard::new(&app, issuer.public_keys().clone(), rates);
                lambda::service(app.clone(), routes(&guard))
            };
            routers.insert(name.to_owned(), (0..processes).map(process).collect());
        };
        add("alerts", "Alerts", &|guard| {
            alerts::routes(guard, notices(&aws, &template, "Alerts"))
        });
        add("audit", "Audit", &audit::routes);
        add("auth", "Auth", &|guard| {
            let (issuer, bootstrap, google) = (issuer.clone(), bootstrap.clone(), google.clone());
            auth::routes(guard, issuer, bootstrap, google, desk_of("Auth"), resets.clone())
        });
        add("docs", "Docs", &|_| docs::routes());
        add("events", "Events", &events::routes);
        add("health", "Health", &|_| health::routes());
        add("ingest", "Ingest", &|guard| ingest::routes(guard, events_queue.clone()));
        add("metrics", "Metrics", &metrics::routes);
        add("notification-jobs", "NotificationJobs", &notification_jobs::routes);
        add("orgs", "Orgs", &|guard| orgs::routes(guard, desk_of("Orgs")));
        add("projects", "Projects", &|guard| {
            projects::routes(guard, allow_list(&template, "Projects"))
        });
        add("users", "Users", &users::routes);
        let workers = Workers::start(&aws, &template, &clock);
        Self(Arc::new(Inner {
            gateway: gateway::Router::new(&template.routes),
            aws,
            template,
            clock,
            routers,
            requests: AtomicUsize::new(0),
            workers,
            issuer,
            made: AtomicU32::new(0),
            meters,
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
        app(&self.0.aws, &self.0.template, &self.0.clock, "tests").table
    }

    /// What the event writer's calls to DynamoDB cost.
    pub fn writer_meter(&self) -> &Meter {
        &self.0.workers.writer_meter
    }

    /// What the metrics function's calls to DynamoDB cost.
    pub fn metrics_meter(&self) -> &Meter {
        &self.0.meters["metrics"]
    }

    /// What the ingest function's calls to DynamoDB cost.
    pub fn ingest_meter(&self) -> &Meter {
        &self.0.meters["ingest"]
    }

    /// What the alert evaluator's calls to DynamoDB cost.
    pub fn evaluator_meter(&self) -> &Meter {
        &self.0.workers.evaluator_meter
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
        let name = &queue(&self.0.template, queue_id).name;
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
        let message = |(place, text): (usize, &String)| Message {
            id: place.to_string(),
            body: text.clone(),
        };
        let messages = texts.iter().enumerate().map(message).collect();
        let Workers {
            writer,
            notifier,
            alert_evaluator: evaluator,
            reset_mailer,
            ..
        } = &self.0.workers;
        let failed = match queue_id {
            "EventQueue" => writer.0.consume(&writer.1, messages).await,
            "ResetQueue" => reset_mailer.0.consume(&reset_mailer.1, messages).await,
            "NotificationQueue" => notifier.0.consume(&notifier.1, messages).await,
            "AlertQueue" => evaluator.0.consume(&evaluator.1, messages).await,
            other => panic!("say what takes the queue {other}"),
        };
        failed
            .iter()
            .map(|id| id.parse().expect("the ids are places"))
            .collect()
    }

    /// Delivers texts to an event writer that has just started, as after a crash.
    pub async fn deliver_to_new_writer(&self, texts: &[String]) -> Vec<String> {
        let (_, app) = &self.0.workers.writer;
        let writer = EventWriter::start(app).expect("a writer");
        let message = |(place, text): (usize, &String)| Message {
            id: place.to_string(),
            body: text.clone(),
        };
        writer
            .consume(app, texts.iter().enumerate().map(message).collect())
            .await
    }

    /// Delivers texts to a notifier whose mails SES refuses: it calls as a function that may not send any.
    pub async fn deliver_to_refused_notifier(&self, texts: &[String]) -> Vec<String> {
        let notifier = notifier(&self.0.aws, &self.0.template, "Sweeper");
        let message = |(place, text): (usize, &String)| Message {
            id: place.to_string(),
            body: text.clone(),
        };
        let messages = texts.iter().enumerate().map(message).collect();
        notifier.consume(&self.0.workers.notifier.1, messages).await
    }

    /// Lets the consumers handle everything that is queued and not delayed, and what that makes them queue.
    pub async fn settle(&self) {
        for _ in 0..100 {
            let mut idle = true;
            for queue in &self.0.template.queues {
                let sources = self.0.template.functions.iter().flat_map(|one| &one.queues);
                if !sources.clone().any(|source| source.queue == queue.name) {
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

    /// Lets the schedule that finds overdue notices fire once.
    pub async fn run_sweeper(&self) {
        let (sweeper, app) = &self.0.workers.sweeper;
        sweeper.fire(app).await.expect("the sweeper");
    }

    /// Lets the schedule that finds alerts fire once; what it finds stays queued.
    pub async fn fire_alert_check(&self) {
        let (check, app) = &self.0.workers.alert_check;
        check.fire(app).await.expect("the check of alerts");
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
        for texts in self.take("NotificationQueue").await.chunks(10) {
            let failed = self.deliver_from("NotificationQueue", texts).await;
            assert_eq!(failed, Vec::<usize>::new(), "notices failed");
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

    /// Makes notices, under no function's name.
    pub fn desk(&self) -> Desk {
        desk(&self.0.aws, &self.0.template, "tests")
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

    /// A process of a function; the next one each time.
    pub(crate) fn router(&self, function: &str) -> Router {
        let processes = self.0.routers.get(function);
        let processes = processes.unwrap_or_else(|| panic!("no test router for the function {function}"));
        let turn = self.0.requests.fetch_add(1, Ordering::Relaxed);
        processes[turn % processes.len()].clone()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // A message there only names a job that is due anyway; whoever is registered leaves one.
        let telling = |queue: &&stack::template::Queue| queue.id != "NotificationQueue";
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

fn template() -> Template {
    let folder = folder();
    let mut parameters = stack::template::sam_parameters(&folder).expect("samconfig.toml");
    for (name, value) in [
        ("JwtPublicKeys", "{\"keys\":[]}"),
        ("CursorSecret", "only for tests, only for tests.."),
        ("SealingSecret", "only for tests, only for tests.."),
    ] {
        parameters.insert(name.to_owned(), value.to_owned());
    }
    Template::load(&folder, &parameters).expect("template.yaml")
}

fn app(aws: &Aws, template: &Template, clock: &Clock, function: &str) -> App {
    let names = TableName::ALL.iter().map(|name| {
        let wanted = name.variable().trim_start_matches("TABLE_").to_lowercase();
        let table = template
            .tables
            .iter()
            .find(|table| table.id.to_lowercase() == format!("{wanted}table"));
        (
            name.variable().to_owned(),
            table.expect("the table is in the template").name.clone(),
        )
    });
    let given = [
        ("AWS_ACCESS_KEY_ID", function),
        ("AWS_SECRET_ACCESS_KEY", "tests"),
        ("AWS_REGION", "us-east-1"),
        ("CURSOR_SECRET", "only for tests, only for tests.."),
    ];
    let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let endpoints = ["DYNAMODB", "SQS"].map(|service| (format!("AWS_ENDPOINT_URL_{service}"), aws.endpoint()));
    let variables = names.chain(given).chain(endpoints).collect();
    Env::of(variables, clock.clone()).app().expect("an environment")
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

fn sqs(aws: &Aws, function: &str) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials(function))
        .endpoint_url(aws.endpoint())
        .build();
    aws_sdk_sqs::Client::from_conf(config)
}

fn queue<'a>(template: &'a Template, id: &str) -> &'a stack::template::Queue {
    let mut queues = template.queues.iter();
    queues
        .find(|queue| queue.id == id)
        .expect("the queue is in the template")
}

/// A desk as the environment of `function` would make it.
fn desk(aws: &Aws, template: &Template, function: &str) -> Desk {
    let settings = MailSettings {
        from: template.parameters["MailFrom"].clone(),
        console_url: template.parameters["ConsoleUrl"].clone(),
    };
    let seal = Seal::new(template.parameters["SealingSecret"].as_bytes());
    Desk::new(
        sqs(aws, function),
        queue(template, "NotificationQueue").url(),
        seal,
        settings,
    )
}

/// What `function` may call although it is not public, as its environment says.
fn allow_list(template: &Template, function: &str) -> AllowList {
    let environment = &template.function(function).expect("the function").environment;
    AllowList::parse(environment.get("OUTBOUND_ALLOW").map_or("", String::as_str))
}

/// The notices of alerts as the environment of `function` would make them.
fn notices(aws: &Aws, template: &Template, function: &str) -> Notices {
    Notices::new(desk(aws, template, function), allow_list(template, function))
}

/// A notifier that sends mails with the rights of a function.
fn notifier(aws: &Aws, template: &Template, sender: &str) -> Notifier {
    let mails = aws_sdk_sesv2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials(sender))
        .endpoint_url(aws.endpoint());
    let outbound = outbound::Client::new(allow_list(template, "Notifier"));
    let desk = desk(aws, template, "Notifier");
    let product = &template.function("Notifier").expect("the function").environment["PRODUCT_NAME"];
    Notifier::new(desk, mails, product, outbound)
}

/// The local services take the access key for the caller's name.
fn credentials(function: &str) -> Credentials {
    Credentials::new(function, "tests", None, None, "tests")
}

/// The address that tests call from.
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
