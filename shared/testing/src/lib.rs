//! The whole app in one process, for tests: every function's real router over emulated services in memory, one set a
//! test. Each function calls AWS under its own name, so a call that `template.yaml` does not grant it is refused here
//! as it would be there.

mod client;
mod people;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use event_writer::EventWriter;
use identity::{Bootstrap, Guard, Issuer};
use kernel::Time;
use lambda::{App, Clock, Consumer, Message};
use local::aws::{Aws, Storage};
use local::gateway;
use local::template::{Route, Template};
use table::{Cursors, Meter, Table, TableName};
use telemetry::EventQueue;
use utoipa_axum::router::OpenApiRouter;

pub use client::{Client, Reply};
pub use people::{MANAGER_EMAIL, MANAGER_PASSWORD, PASSWORD, Person, Tenant};

/// The moment at which every test begins.
pub const START: Time = Time::from_millis(1_800_000_000_000);

/// The app of one test.
#[derive(Debug, Clone)]
pub struct TestApp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    aws: Aws,
    template: Template,
    gateway: gateway::Router,
    clock: Clock,
    /// By the name of the function.
    routers: BTreeMap<String, Router>,
    writer: EventWriter,
    app: App,
    issuer: Issuer,
    queue: String,
    made: AtomicU32,
    writer_meter: Meter,
    metrics_meter: Meter,
}

impl TestApp {
    /// Starts an app with nothing in it, at [`START`].
    pub async fn start() -> Self {
        let clock = Clock::at(START);
        let template = template();
        let parameters = BTreeMap::from([("/unused".to_owned(), String::new())]);
        let moved = clock.clone();
        let local_clock = local::clock::Clock::following(move || moved.now().millis());
        let aws = Aws::start(&template, parameters, &Storage::Memory, &local_clock)
            .await
            .expect("services start");

        let issuer = Issuer::of_new_key().expect("a key");
        let bootstrap = Bootstrap::known(MANAGER_EMAIL, MANAGER_PASSWORD);
        let queue = template
            .queues
            .iter()
            .find(|queue| queue.id == "EventQueue")
            .expect("the event queue");
        let of = |function: &str| app(&aws, &template, &clock, function);
        let sqs = EventQueue::new(sqs(&aws, "Ingest"), queue.url());
        let mut routers = BTreeMap::new();
        let metrics_meter = Meter::default();
        let mut add = |name: &str, id: &str, routes: &dyn Fn(&Guard) -> OpenApiRouter<App>| {
            let mut app = of(id);
            if name == "metrics" {
                app.table = app.table.metered(metrics_meter.clone());
            }
            let guard = Guard::new(&app, issuer.public_keys().clone());
            routers.insert(name.to_owned(), lambda::service(app, routes(&guard)));
        };
        add("audit", "Audit", &audit::routes);
        add("auth", "Auth", &|guard| {
            auth::routes(guard, issuer.clone(), bootstrap.clone())
        });
        add("docs", "Docs", &|_| docs::routes());
        add("events", "Events", &events::routes);
        add("health", "Health", &|_| health::routes());
        add("ingest", "Ingest", &|guard| ingest::routes(guard, sqs.clone()));
        add("metrics", "Metrics", &metrics::routes);
        add("orgs", "Orgs", &orgs::routes);
        add("projects", "Projects", &projects::routes);
        add("users", "Users", &users::routes);
        let writer_meter = Meter::default();
        let mut writer_app = of("EventWriter");
        writer_app.table = writer_app.table.metered(writer_meter.clone());
        let writer = EventWriter::start(&writer_app).expect("a writer");
        let queue = queue.name.clone();
        let made = AtomicU32::new(0);
        let gateway = gateway::Router::new(&template.routes);
        Self(Arc::new(Inner {
            aws,
            template,
            gateway,
            clock,
            routers,
            writer,
            app: writer_app,
            issuer,
            queue,
            made,
            writer_meter,
            metrics_meter,
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
        &self.0.writer_meter
    }

    /// What the metrics function's calls to DynamoDB cost.
    pub fn metrics_meter(&self) -> &Meter {
        &self.0.metrics_meter
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
        let mut texts = Vec::new();
        loop {
            let messages = self
                .0
                .aws
                .sqs()
                .receive(&self.0.queue, 10, 30, Duration::ZERO)
                .await
                .expect("the queue");
            if messages.is_empty() {
                return texts;
            }
            let receipts: Vec<&str> = messages.iter().map(|message| message.receipt.as_str()).collect();
            self.0.aws.sqs().delete(&self.0.queue, &receipts).expect("the queue");
            texts.extend(messages.into_iter().map(|message| message.body));
        }
    }

    /// Delivers texts to the event writer as one batch. Returns the places of those that must come again.
    pub async fn deliver(&self, texts: &[String]) -> Vec<usize> {
        let message = |(place, text): (usize, &String)| Message {
            id: place.to_string(),
            body: text.clone(),
        };
        let messages = texts.iter().enumerate().map(message).collect();
        let failed = self.0.writer.consume(&self.0.app, messages).await;
        failed
            .iter()
            .map(|id| id.parse().expect("the ids are places"))
            .collect()
    }

    /// Delivers texts to an event writer that has just started, as after a crash.
    pub async fn deliver_to_new_writer(&self, texts: &[String]) -> Vec<String> {
        let writer = EventWriter::start(&self.0.app).expect("a writer");
        let message = |(place, text): (usize, &String)| Message {
            id: place.to_string(),
            body: text.clone(),
        };
        writer
            .consume(&self.0.app, texts.iter().enumerate().map(message).collect())
            .await
    }

    /// Lets the event writer handle everything that is queued.
    pub async fn settle(&self) {
        for texts in self.take_messages().await.chunks(10) {
            assert_eq!(self.deliver(texts).await, Vec::<usize>::new(), "messages failed");
        }
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

    pub(crate) fn router(&self, function: &str) -> Router {
        self.0
            .routers
            .get(function)
            .unwrap_or_else(|| panic!("no test router for the function {function}"))
            .clone()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for queue in &self.template.queues {
            let depth = self.aws.sqs().depth(&queue.name).expect("the queue");
            assert_eq!(depth.total(), 0, "the queue {} still holds messages", queue.name);
        }
    }
}

fn template() -> Template {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut parameters = local::template::sam_parameters(&folder).expect("samconfig.toml");
    for (name, value) in [
        ("JwtPublicKeys", "{\"keys\":[]}"),
        ("CursorSecret", "only for tests, only for tests.."),
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
        (*name, table.expect("the table is in the template").name.clone())
    });
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials(function))
        .endpoint_url(aws.endpoint())
        .build();
    App {
        table: Table::new(aws_sdk_dynamodb::Client::from_conf(config), names.collect()),
        cursors: Cursors::new(b"only for tests, only for tests.."),
        clock: clock.clone(),
    }
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

/// The local services take the access key for the caller's name.
fn credentials(function: &str) -> Credentials {
    Credentials::new(function, "tests", None, None, "tests")
}

/// The address that tests call from.
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
