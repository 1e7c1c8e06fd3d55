//! DynamoDB, SQS, SES and SSM on one port, over their own wire protocols.
//!
//! Nothing is global: a test starts as many sets as it likes, each with its own port and memory. An operation that
//! is not served is an error that names it. A caller whose access key is the logical id of a function may do what
//! the template grants that function, and nothing else; any other access key is a tool of the developer's and may
//! do everything.

pub mod dynamodb;
mod faults;
pub mod iam;
pub mod prices;
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
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::chaos::Chaos;
use crate::clock::Clock;
use crate::template::Template;
use dynamodb::DynamoDb;
use iam::Policies;
use ses::Ses;
use sqs::Sqs;
use ssm::Ssm;
use store::Store;
use usage::UsageLedger;

/// The largest request: `DynamoDB` takes 16 MB.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// Where the emulated services keep what they are given.
#[derive(Debug, Clone)]
pub enum Storage {
    /// Nowhere: gone with the handle.
    Memory,
    /// In `dynamodb.sqlite` and `services.sqlite` in this folder; survives kill -9.
    Folder(PathBuf),
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
    ssm: Ssm,
    policies: Policies,
    store: Store,
    chaos: Chaos,
    usage: UsageLedger,
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
        let services = Arc::new(Services {
            dynamodb,
            sqs: Sqs::new(store.clone(), clock.clone(), &template.queues, chaos.clone())?,
            ses: Ses::new(store.clone(), clock.clone()),
            ssm: Ssm::new(parameters),
            policies: Policies::of(template),
            store,
            chaos,
            usage: UsageLedger::default(),
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

    /// Yields the mails that were sent.
    pub fn ses(&self) -> &Ses {
        &self.services.ses
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
        ["DYNAMODB", "SQS", "SESV2", "SSM"]
            .map(|service| (format!("AWS_ENDPOINT_URL_{service}"), self.endpoint()))
            .into()
    }
}

/// Deletes what has expired: items by their time to live, messages by their queue's retention.
#[derive(Debug, Clone)]
pub struct Sweeper(Arc<Services>);

impl Sweeper {
    /// Sweeps once. Blocks, with pauses for whoever waits.
    pub fn sweep(&self) -> Result<()> {
        self.0.sqs.sweep()?;
        self.0.dynamodb.sweep()
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An error as a service words it.
#[derive(Debug)]
struct ServiceError {
    status: StatusCode,
    code: String,
    message: String,
    /// The same error's name in the older protocol of the service, which the SDK goes by if there is one.
    query_code: Option<String>,
}

impl ServiceError {
    fn refused(code: impl Into<String>, message: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self {
            status,
            code: code.into(),
            message: message.into(),
            query_code: None,
        }
    }
}

async fn answer(State(services): State<Arc<Services>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await else {
        return error_reply(&ServiceError {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "RequestEntityTooLarge".into(),
            message: "a request has at most 16 MB".into(),
            query_code: None,
        });
    };
    let caller = iam::caller(text(&parts.headers, "authorization"));
    if services.chaos.is_active() && services.policies.knows(caller) {
        return faults::answer(services, parts, body).await;
    }
    respond(&services, &parts, body).await
}

async fn respond(services: &Services, parts: &Parts, body: Bytes) -> Response {
    let target = text(&parts.headers, "x-amz-target");
    match dispatch(services, &parts.method, parts.uri.path(), target, &parts.headers, body).await {
        Ok(reply) => reply,
        Err(error) => {
            tracing::warn!(target, code = error.code, "AWS refuses: {}", error.message);
            error_reply(&error)
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

async fn dispatch(
    services: &Services,
    method: &Method,
    path: &str,
    target: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, ServiceError> {
    let caller = iam::caller(text(headers, "authorization"));
    let allow = |needs: Result<Vec<iam::Need>, String>| -> Result<(), ServiceError> {
        let needs = needs.map_err(|error| ServiceError::refused("ValidationException", error))?;
        services
            .policies
            .check(caller, &needs)
            .map_err(|message| ServiceError::refused("AccessDeniedException", message))
    };
    if let Some(operation) = target.strip_prefix("DynamoDB_20120810.") {
        if services.policies.knows(caller) {
            allow(iam::dynamodb_needs(operation, &body))?;
        }
        let (status, reply, units) = services.dynamodb.answer(operation, &body)?;
        services.usage.dynamodb(caller, operation, units);
        return Ok(json_reply(status, reply));
    }
    if let Some(operation) = target.strip_prefix("AmazonSQS.") {
        if services.policies.knows(caller) {
            allow(iam::sqs_needs(operation, &body))?;
        }
        services.usage.sqs(caller, body.len());
        let reply = sqs::wire::answer(&services.sqs, operation, &body).await;
        let reply = reply.map_err(|refusal| ServiceError {
            query_code: refusal.query_code(),
            ..ServiceError::refused(refusal.code, refusal.message)
        })?;
        return Ok(json_reply(StatusCode::OK, reply.to_string()));
    }
    if let Some(operation) = target.strip_prefix("AmazonSSM.") {
        if services.policies.knows(caller) {
            allow(iam::ssm_needs(operation, &body))?;
        }
        services.usage.other(caller);
        return Ok(json_reply(
            StatusCode::OK,
            services.ssm.answer(operation, &body)?.to_string(),
        ));
    }
    if path.starts_with("/v2/email/") {
        if services.policies.knows(caller) {
            allow(iam::ses_needs(&body))?;
        }
        services.usage.other(caller);
        return Ok(json_reply(
            StatusCode::OK,
            services.ses.answer(method, path, &body)?.to_string(),
        ));
    }

    let what = if target.is_empty() {
        format!("{method} {path}")
    } else {
        target.to_owned()
    };
    Err(ServiceError::refused(
        "UnknownOperationException",
        format!("the local stack does not serve {what}"),
    ))
}

fn json_reply(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-amz-json-1.0"),
    );
    response
}

fn error_reply(error: &ServiceError) -> Response {
    let body: Value = json!({"__type": error.code, "message": error.message});
    let mut response = json_reply(error.status, body.to_string());
    if let Ok(code) = HeaderValue::from_str(&error.code) {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    let query = error.query_code.as_ref().map(|code| format!("{code};Sender"));
    if let Some(code) = query.and_then(|code| HeaderValue::from_str(&code).ok()) {
        response.headers_mut().insert("x-amzn-query-error", code);
    }
    response
}
