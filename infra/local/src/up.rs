//! `cargo local up`: the stack on a data folder, until somebody stops it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aids::{self, json_reply, problem};
use crate::aws::Storage;
use crate::build;
use crate::chaos::Chaos;
use crate::clock::Clock;
use crate::data::Data;
use crate::runtime::Log;
use crate::stack::{Plan, Stack};

/// How long open connections may take to end after everything else has.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// How to bring the stack up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with `template.yaml`.
    pub folder: PathBuf,
    /// The port on 127.0.0.1; zero takes a free one.
    pub port: u16,
    /// The data folder.
    pub data: PathBuf,
    /// Whether to delete what it holds.
    pub fresh: bool,
    /// Whether to run release builds of the functions.
    pub release: bool,
    /// The file for the functions' output; stderr if none.
    pub log_file: Option<PathBuf>,
    /// The seed of the cruelty, if there is to be any.
    pub chaos: Option<u64>,
    /// Values of the template's parameters, instead of samconfig.toml's and the defaults.
    pub parameters: BTreeMap<String, String>,
    /// What SSM knows, beside the secrets of the data folder.
    pub ssm: BTreeMap<String, String>,
    /// The functions to run, by folder; all of them if empty.
    pub only: Vec<String>,
}

/// A stack that listens.
pub struct Running {
    address: SocketAddr,
    front: Arc<Front>,
    stack: Arc<Stack>,
    close: watch::Sender<bool>,
    server: JoinHandle<()>,
    _data: Data,
}

/// What answers on the port: the stack, or what it still waits for.
struct Front(RwLock<Stage>);

#[derive(Clone)]
enum Stage {
    Starting(&'static str),
    Up(Arc<Stack>),
    Stopping,
}

/// Finds the folder with `template.yaml`: this one, or the nearest above.
pub fn find_folder() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let found = here.ancestors().find(|folder| folder.join("template.yaml").is_file());
    found
        .map(Path::to_owned)
        .context("there is no template.yaml here or in a folder above")
}

/// Brings the stack up: opens the folder and the port, builds the functions, starts everything.
pub async fn start(options: &Options) -> Result<Running> {
    let listener = match TcpListener::bind(("127.0.0.1", options.port)).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {} is taken; stop what listens there, or choose another with --port",
                options.port
            )
        }
        Err(error) => return Err(error).with_context(|| format!("listen on port {}", options.port)),
    };
    let address = listener.local_addr()?;
    let data = Data::open(&options.data, options.fresh)?;
    let secrets = data.secrets()?;
    let mut template = secrets.template(&options.folder, &parameters(options, address)?)?;
    if !options.only.is_empty() {
        template
            .functions
            .retain(|function| options.only.contains(&function.binary));
    }
    let front = Arc::new(Front(RwLock::new(Stage::Starting("the functions are being built"))));
    let (close, server) = serve(listener, Arc::clone(&front));
    let programs = build::build(&options.folder, &template.functions, options.release).await?;
    let programs = build::keep(programs, &data.folder().join("bin"))?;
    front.set(Stage::Starting("the functions are being started"));
    let plan = Plan {
        ssm: secrets.ssm(&template).into_iter().chain(options.ssm.clone()).collect(),
        manager: secrets.manager(&template),
        storage: Storage::Folder(data.folder().to_owned()),
        clock: Clock::open(&data.folder().join("clock"))?,
        guard: Some(std::env::current_exe()?),
        log: log(options.log_file.as_deref())?,
        chaos: options.chaos.map(Chaos::seeded).unwrap_or_default(),
        template,
        programs,
    };
    let stack = Arc::new(Stack::start(plan).await?);
    front.set(Stage::Up(Arc::clone(&stack)));

    Ok(Running {
        address,
        front,
        stack,
        close,
        server,
        _data: data,
    })
}

/// The parameters that are given; and where the API listens, which functions have to tell others.
fn parameters(options: &Options, address: SocketAddr) -> Result<BTreeMap<String, String>> {
    let mut parameters = options.parameters.clone();
    let declared = crate::template::parameter_names(&options.folder)?;
    if declared.iter().any(|name| name == "PublicUrl") {
        parameters.entry("PublicUrl".to_owned()).or_insert_with(|| url(address));
    }
    Ok(parameters)
}

fn url(address: SocketAddr) -> String {
    format!("http://127.0.0.1:{}", address.port())
}

/// Writes functions' output to stderr or a file, each line with the function's name.
pub fn log(file: Option<&Path>) -> Result<Log> {
    let Some(path) = file else {
        return Ok(Arc::new(|name, line| eprintln!("{name:>14} | {line}")));
    };
    let file = std::fs::File::create(path).with_context(|| format!("make {}", path.display()))?;
    let file = Mutex::new(std::io::LineWriter::new(file));
    Ok(Arc::new(move |name, line| {
        use std::io::Write as _;
        // Lost output must not stop a function.
        let _ = writeln!(
            file.lock().unwrap_or_else(PoisonError::into_inner),
            "{name:>14} | {line}"
        );
    }))
}

impl Running {
    /// Yields where it listens.
    pub fn url(&self) -> String {
        url(self.address)
    }

    /// Yields the stack.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Stops it: no new requests, a few seconds for those under way, then the functions, then the port.
    pub async fn stop(self) {
        self.front.set(Stage::Stopping);
        self.stack.stop().await;
        self.close.send_replace(true);
        let _ = tokio::time::timeout(CONNECTION_TIMEOUT, self.server).await;
    }
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn serve(listener: TcpListener, front: Arc<Front>) -> (watch::Sender<bool>, JoinHandle<()>) {
    let close = watch::Sender::new(false);
    let mut closed = close.subscribe();
    let router = Router::new().fallback(answer).with_state(front);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let server = tokio::spawn(async move {
        let shutdown = async move {
            let _ = closed.wait_for(|closed| *closed).await;
        };
        let _ = axum::serve(listener, service).with_graceful_shutdown(shutdown).await;
    });
    (close, server)
}

impl Front {
    fn set(&self, stage: Stage) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn stage(&self) -> Stage {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(
    State(front): State<Arc<Front>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let is_ready_check = request.uri().path() == "/ready";
    let stack = match front.stage() {
        Stage::Up(stack) => stack,
        Stage::Starting(missing) if is_ready_check => {
            let body = json!({"status": "starting", "missing": [missing]});
            return json_reply(StatusCode::SERVICE_UNAVAILABLE, "application/json", &body);
        }
        Stage::Starting(missing) => return problem(StatusCode::SERVICE_UNAVAILABLE, "starting", missing),
        Stage::Stopping => return problem(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the stack is stopping"),
    };
    if request.uri().path().starts_with("/_local/") {
        return aids::answer(&stack, request).await;
    }
    if is_ready_check && !stack.has_ready_route() {
        return json_reply(StatusCode::OK, "application/json", &json!({"status": "ready"}));
    }
    stack.answer(request, peer).await
}

/// Brings the stack up, says where it listens, stops it when told to.
pub async fn run(options: &Options) -> Result<()> {
    let starting = start(options);
    let running = tokio::select! {
        running = starting => running?,
        done = interrupted() => return done,
    };
    let url = running.url();
    println!("Countinghouse listens on {url}");
    println!("  {url}/docs              the API, to try out");
    println!("  {url}/_local/functions  processes        {url}/_local/queues   queues");
    println!("  {url}/_local/emails     mails            {url}/_local/manager  the platform manager");
    println!("  data in {}; Ctrl-C stops", options.data.display());
    interrupted().await?;
    eprintln!("stopping");
    running.stop().await;
    Ok(())
}
