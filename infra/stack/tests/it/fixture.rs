//! A small template, and the one function that plays every part in it.
//!
//! The function's program is this test binary, told to run the test `fixture::function`: in a process of a stack it
//! serves the Lambda runtime, in an ordinary test run it returns at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, Response};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use stack::aws::Storage;
use stack::chaos::Chaos;
use stack::clock::Clock;
use stack::runtime::{Program, Programs};
use stack::template::Template;
use stack::{Plan, Stack};

const TEMPLATE: &str = include_str!("template.yaml");

/// A stack of the small template.
pub(crate) struct Fixture {
    pub(crate) stack: Stack,
    pub(crate) clock: Clock,
    pub(crate) folder: Arc<tempfile::TempDir>,
    pub(crate) output: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// Starts a stack on a folder that an earlier one may have used.
    pub(crate) async fn start_in(folder: Arc<tempfile::TempDir>) -> Self {
        Self::try_start(folder, "function", Chaos::default()).await.unwrap()
    }

    pub(crate) async fn try_start(folder: Arc<tempfile::TempDir>, test: &str, chaos: Chaos) -> anyhow::Result<Self> {
        let template = template(folder.path());
        let clock = Clock::open(&folder.path().join("clock"))?;
        let output = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&output);
        let plan = Plan {
            collector: None,
            programs: Programs::Separate(
                template
                    .functions
                    .iter()
                    .map(|it| (it.binary.clone(), program(test)))
                    .collect(),
            ),
            template,
            ssm: BTreeMap::new(),
            storage: Storage::Folder(folder.path().to_owned()),
            clock: clock.clone(),
            guard: None,
            log: Arc::new(move |name, line| heard.lock().unwrap().push(format!("{name}: {line}"))),
            told: BTreeMap::new(),
            chaos,
        };
        Ok(Self {
            stack: Stack::start(plan).await?,
            clock,
            folder,
            output,
        })
    }

    /// Asks the HTTP API; yields the status and the body.
    pub(crate) async fn ask(&self, request: axum::http::request::Builder, body: &str) -> (u16, Value) {
        let response = self.answer(request, body).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) async fn answer(&self, request: axum::http::request::Builder, body: &str) -> Response<Body> {
        let request = request.body(Body::from(body.to_owned())).unwrap();
        self.stack.answer(request, ([127, 0, 0, 1], 4711).into()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Request::get(path), "").await
    }

    pub(crate) fn send(&self, queue: &str, body: &str) {
        let message = stack::aws::sqs::Send {
            body: body.into(),
            ..Default::default()
        };
        self.stack.aws.sqs().send(queue, &[message]).unwrap();
    }

    /// What the functions recorded, one line each.
    pub(crate) fn record(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("record")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a question is answered with yes.
    pub(crate) async fn until(&self, what: &str, question: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !question(self) {
            let heard = self.output.lock().unwrap().join("\n");
            assert!(
                Instant::now() < end,
                "{what}; recorded {:?}; heard\n{heard}",
                self.record()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn queue_is_empty(&self, queue: &str) -> bool {
        self.stack.aws.sqs().depth(queue).unwrap().total() == 0
    }
}

pub(crate) fn template(folder: &Path) -> Template {
    let record = folder.join("record").display().to_string();
    Template::parse(TEMPLATE, &BTreeMap::from([("Record".to_owned(), record)])).unwrap()
}

fn program(test: &str) -> Program {
    let path: PathBuf = std::env::current_exe().unwrap();
    let arguments = ["--exact", &format!("fixture::{test}"), "--nocapture", "--quiet"];
    Program {
        path,
        arguments: arguments.map(str::to_owned).to_vec(),
    }
}

fn in_stack() -> bool {
    std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some()
}

#[test]
fn function() {
    if in_stack() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _ = runtime.block_on(async {
            // The clockwork has no extension, so nobody tells it that it ends.
            if std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap() != "Clockwork" {
                lambda_runtime::spawn_graceful_shutdown_handler(|| async { end().await }).await;
            }
            lambda_runtime::run(service_fn(handle)).await
        });
    }
}

#[test]
fn function_that_does_not_start() {
    if in_stack() {
        eprintln!("no configuration");
        std::process::exit(3);
    }
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let event = event.payload;
    if let Some(records) = event["Records"].as_array() {
        return Ok(batch(records).await);
    }
    if event["detail-type"] == "Scheduled Event" {
        note(&format!("tick {}", event["time"].as_str().unwrap_or_default()));
        return Ok(Value::Null);
    }
    http(&event).await
}

/// What is done between SIGTERM and the end; the worker takes too long over it.
async fn end() {
    note(&format!("ending {}", std::process::id()));
    if std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap() == "Worker" {
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    note(&format!("ended {}", std::process::id()));
}

async fn batch(records: &[Value]) -> Value {
    let mut failures = Vec::new();
    for record in records {
        let body = record["body"].as_str().unwrap_or_default();
        let receives = &record["attributes"]["ApproximateReceiveCount"];
        note(&format!("{body} {}", receives.as_str().unwrap_or_default()));
        match body {
            "fail" => failures.push(json!({"itemIdentifier": record["messageId"]})),
            "crash once" if receives == "1" => std::process::abort(),
            "wait" => tokio::time::sleep(Duration::from_mins(1)).await,
            _ => {}
        }
    }
    json!({"batchItemFailures": failures})
}

async fn http(event: &Value) -> Result<Value, Error> {
    let body = match event["rawPath"].as_str().unwrap_or_default() {
        "/crash" => std::process::abort(),
        "/error" => return Err("something went wrong".into()),
        "/wait" => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            Value::Null
        }
        "/pause" | "/one/pause" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            json!({"pid": std::process::id()})
        }
        "/clock" => std::fs::read_to_string(std::env::var("LOCAL_CLOCK")?)?.into(),
        path if path.starts_with("/put/") => put(&path["/put/".len()..]).await,
        path if path.starts_with("/upload/") => {
            let body = serde_json::from_str(event["body"].as_str().unwrap_or_default())?;
            crate::uploads::serve(&path["/upload/".len()..], &body).await
        }
        _ => event.clone(),
    };
    Ok(json!({"statusCode": 200, "headers": {"content-type": "application/json"}, "body": body.to_string()}))
}

/// Writes an item as the function that this process is; tells what `DynamoDB` says.
async fn put(table: &str) -> Value {
    use aws_sdk_dynamodb::config::{Config, Credentials, Region};
    use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
    use aws_sdk_dynamodb::types::AttributeValue;
    let variable = |name: &str| std::env::var(name).unwrap();
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
        None,
        None,
        "environment",
    );
    let config = Config::builder()
        .region(Region::new(variable("AWS_REGION")))
        .endpoint_url(variable("AWS_ENDPOINT_URL_DYNAMODB"))
        .credentials_provider(credentials)
        .behavior_version_latest();
    let client = aws_sdk_dynamodb::Client::from_conf(config.build());
    match client
        .put_item()
        .table_name(table)
        .item("pk", AttributeValue::S("a".into()))
        .send()
        .await
    {
        Ok(_) => json!({"stored": true}),
        Err(error) => json!({"code": error.code(), "message": error.message()}),
    }
}

fn note(line: &str) {
    use std::io::Write as _;
    let path = std::env::var("RECORD").unwrap();
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
