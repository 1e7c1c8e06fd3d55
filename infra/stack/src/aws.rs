//! DynamoDB, SQS, SES, SSM and S3 on one port, over their own wire protocols.
//!
//! Nothing is global: a test starts as many sets as it likes, each with its own port and memory. An operation that
//! is not served is an error that names it. A caller whose access key is the logical id of a function may do what
//! the template grants that function, and nothing else; any other access key is a tool of the developer's and may
//! do everything.

pub mod dynamodb;
mod faults;
pub mod iam;
pub mod prices;
mod s3;
mod service;
pub mod ses;
pub mod sqs;
pub mod ssm;
pub mod store;
pub mod usage;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use http::request::Parts;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::chaos::Chaos;
use crate::clock::Clock;
use crate::template::{Rule, Template};
use dynamodb::DynamoDb;
use iam::Policies;
use s3::S3;
use service::{Answer, Call, Service, ServiceError, refused, text};
use ses::Ses;
use sqs::Sqs;
use ssm::Ssm;
use store::Store;
use usage::UsageLedger;

/// The secret of every access key.
pub const SECRET: &str = "local";

/// Where the emulated services keep what they are given.
#[derive(Debug, Clone)]
pub enum Storage {
    /// Nowhere, or, objects of S3, in a folder for a while: gone with the handle.
    Memory,
    /// In `dynamodb.sqlite`, `services.sqlite` and `objects` in this folder; survives kill -9.
    Folder(PathBuf),
}

impl Storage {
    /// Names the folder of S3's objects; none if they are only for a while.
    fn objects(&self) -> Option<PathBuf> {
        match self {
            Self::Memory => None,
            Self::Folder(folder) => Some(folder.join("objects")),
        }
    }
}

/// One running set of services. Dropping it closes its port.
#[derive(Debug)]
pub struct Aws {
    address: SocketAddr,
    services: Arc<Services>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Services {
    dynamodb: DynamoDb,
    sqs: Sqs,
    ses: Ses,
    ssm: Arc<Ssm>,
    /// Each of them, and those that nobody asks but by the wire.
    all: Vec<Arc<dyn Service>>,
    s3: S3,
    policies: Arc<Policies>,
    store: Store,
    chaos: Chaos,
    usage: UsageLedger,
    rules: Vec<Rule>,
}

impl Aws {
    /// Starts the services of a template on a free port of 127.0.0.1: its tables exist, its queues are empty (or as
    /// the folder has them), `parameters` are what SSM knows.
    pub async fn start(
        template: &Template,
        parameters: BTreeMap<String, String>,
        storage: &Storage,
        clock: &Clock,
    ) -> Result<Self> {
        Self::start_under(template, parameters, storage, clock, Chaos::default()).await
    }

    /// Starts the services under this cruelty: functions suffer it, tools of the developer's do not.
    pub async fn start_under(
        template: &Template,
        parameters: BTreeMap<String, String>,
        storage: &Storage,
        clock: &Clock,
        chaos: Chaos,
    ) -> Result<Self> {
        let (dynamodb, store) = match storage {
            Storage::Memory => (DynamoDb::memory(clock, &template.tables)?, Store::memory()?),
            Storage::Folder(folder) => {
                let store = Store::open(&folder.join("services.sqlite"))?;
                (
                    DynamoDb::open(&folder.join("dynamodb.sqlite"), clock, &template.tables)?,
                    store,
                )
            }
        };
        let sqs = Sqs::new(store.clone(), clock.clone(), &template.queues, chaos.clone())?;
        let ses = Ses::new(store.clone(), clock.clone(), &template.configuration_sets);
        let ssm = Arc::new(Ssm::new(parameters));
        let policies = Arc::new(Policies::of(template));
        let objects = storage.objects();
        let s3 = S3::new(store.clone(), objects, clock, &template.buckets, &policies)?;
        let services = Arc::new(Services {
            all: vec![
                Arc::new(dynamodb.clone()),
                Arc::new(sqs.clone()),
                Arc::new(ses.clone()),
                ssm.clone(),
                Arc::new(s3.clone()),
            ],
            dynamodb,
            sqs,
            ses,
            ssm,
            s3,
            policies,
            store,
            chaos,
            usage: UsageLedger::default(),
            rules: template.rules.clone(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("open a port for the AWS services")?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(answer).with_state(Arc::clone(&services));
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });

        Ok(Self {
            address,
            services,
            server,
        })
    }

    /// Yields the address of all services, for the SDK's `endpoint_url`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Yields the tables.
    pub fn dynamodb(&self) -> &DynamoDb {
        &self.services.dynamodb
    }

    /// Yields the queues.
    pub fn sqs(&self) -> &Sqs {
        &self.services.sqs
    }

    /// Yields the parameters.
    pub fn ssm(&self) -> &Ssm {
        &self.services.ssm
    }

    /// Yields the mails that were sent.
    pub fn ses(&self) -> &Ses {
        &self.services.ses
    }

    /// Lets SES tell of a mail, as it does by EventBridge: the event goes to the queues of the rules that want it. `event` is
    /// what SES tells, with EventBridge's envelope or without. Yields how many queues were told.
    pub fn tell_of_mail(&self, event: serde_json::Value) -> Result<usize, String> {
        let Some(event) = self.services.ses.event(event)? else {
            return Ok(0);
        };
        let rules = self.services.rules.iter().filter(|rule| rule.matches(&event));
        let mut told = 0;
        for queue in rules.flat_map(|rule| &rule.queues) {
            let message = sqs::Send {
                body: event.to_string(),
                ..sqs::Send::default()
            };
            let sent = self.services.sqs.send(queue, &[message]);
            sent.map_err(|refusal| refusal.message)?;
            told += 1;
        }
        Ok(told)
    }

    /// Yields the store behind queues and mails.
    pub fn store(&self) -> &Store {
        &self.services.store
    }

    /// Yields what each caller used of what AWS bills.
    pub fn usage(&self) -> &UsageLedger {
        &self.services.usage
    }

    /// Yields what deletes the expired.
    pub fn sweeper(&self) -> Sweeper {
        Sweeper(Arc::clone(&self.services))
    }

    /// Yields the environment that points an SDK in a function's process here.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let names = self.services.all.iter().flat_map(|service| service.names());
        names
            .map(|name| (format!("AWS_ENDPOINT_URL_{name}"), self.endpoint()))
            .collect()
    }
}

/// Deletes what has expired: items by their time to live, messages by their queue's retention.
#[derive(Debug, Clone)]
pub struct Sweeper(Arc<Services>);

impl Sweeper {
    /// Sweeps once. Blocks, with pauses for whoever waits.
    pub fn sweep(&self) -> Result<()> {
        self.0.sqs.sweep()?;
        self.0.s3.sweep()?;
        self.0.dynamodb.sweep()
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Services {
    /// Finds the service that a request is for.
    fn taking(&self, parts: &Parts) -> Option<Arc<dyn Service>> {
        self.all.iter().find(|service| service.takes(parts)).cloned()
    }
}

async fn answer(State(services): State<Arc<Services>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(service) = services.taking(&parts) else {
        let what = match text(&parts.headers, "x-amz-target") {
            "" => format!("{} {}", parts.method, parts.uri.path()),
            target => target.to_owned(),
        };
        return refused(&ServiceError::not_served(what));
    };
    let call = match Call::read(&*service, parts, body).await {
        Ok(call) => call,
        Err(error) => return service.refuse(&error),
    };
    if services.chaos.is_active() && services.policies.knows(&call.caller) {
        return faults::answer(services, service, call).await;
    }
    respond(&services, &*service, call).await
}

async fn respond(services: &Services, service: &dyn Service, call: Call) -> Response {
    let operation = call.operation.clone();
    match serve(services, service, call).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(operation, code = error.code, "AWS refuses: {}", error.message);
            service.refuse(&error)
        }
    }
}

async fn serve(services: &Services, service: &dyn Service, call: Call) -> Result<Response, ServiceError> {
    let caller = call.caller.clone();
    if services.policies.knows(&caller) {
        let needs = service.needs(&call);
        let needs = needs.map_err(|error| ServiceError::refused("ValidationException", error))?;
        let allowed = services.policies.check(&caller, &needs);
        allowed.map_err(|message| ServiceError::refused("AccessDeniedException", message))?;
    }
    let Answer { response, used } = service.answer(call).await?;
    services.usage.note(&caller, used);
    Ok(response)
}
