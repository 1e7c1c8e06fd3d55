//! What a function is: its name, what calls it, and how it is started from an environment. Its binary runs it, the list
//! of functions holds it, tests start it: all from the same constant.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use axum::Router;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use utoipa::openapi::OpenApi;

use crate::line::Lines;
use crate::measure::{self, Watch};
use crate::queue::{self, Consumer, Consuming, Queue, Watched};
use crate::schedule::{self, Firing, Schedule, Scheduled, WatchedFiring};
use crate::shutdown::listen;
use crate::{App, Env, http};

/// What a function holds while it runs: made once, before its first invocation.
pub trait Start: Sized + Send + Sync + 'static {
    /// Makes it from the variables of the environment, and the app that was built of the same. An error ends the
    /// process, and says why.
    fn start(env: &Env, app: App) -> impl Future<Output = Result<Self>> + Send;
}

/// For functions that need nothing more.
impl Start for App {
    async fn start(_: &Env, app: App) -> Result<Self> {
        Ok(app)
    }
}

/// What calls a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The HTTP API.
    Http,
    /// A queue.
    Queue,
    /// A schedule.
    Schedule,
}

/// A function that has started. Cheap to clone.
#[derive(Clone)]
pub enum Started {
    /// It answers requests.
    Http(Router),
    /// It takes messages.
    Queue(Arc<dyn Queue>),
    /// It is fired.
    Schedule(Arc<dyn Firing>),
}

type Starting<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// A function, before it is started.
#[derive(Clone, Copy)]
pub struct Function {
    name: &'static str,
    starts: Starts,
}

#[derive(Clone, Copy)]
enum Starts {
    Http {
        describe: fn() -> OpenApi,
        start: fn(Env) -> Starting<Router>,
    },
    Queue(fn(Env) -> Starting<Arc<dyn Queue>>),
    Schedule(fn(Env) -> Starting<Arc<dyn Firing>>),
}

impl Function {
    /// One that answers requests: how its routes are described, without any state, and served.
    pub const fn http(name: &'static str, describe: fn() -> OpenApi, start: fn(Env) -> Starting<Router>) -> Self {
        Self {
            name,
            starts: Starts::Http { describe, start },
        }
    }

    /// One that takes a queue's messages.
    pub const fn queue<C: Consumer + Start>(name: &'static str) -> Self {
        Self {
            name,
            starts: Starts::Queue(|env| {
                Box::pin(async move {
                    let app = env.app().await?;
                    let consumer = C::start(&env, app.clone()).await?;
                    Ok(Arc::new(Consuming { app, consumer }) as Arc<dyn Queue>)
                })
            }),
        }
    }

    /// One that a schedule fires.
    pub const fn schedule<S: Schedule + Start>(name: &'static str) -> Self {
        Self {
            name,
            starts: Starts::Schedule(|env| {
                Box::pin(async move {
                    let app = env.app().await?;
                    let schedule = S::start(&env, app.clone()).await?;
                    Ok(Arc::new(Scheduled { app, schedule }) as Arc<dyn Firing>)
                })
            }),
        }
    }

    /// What it, its folder and its binary are called.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What calls it.
    pub const fn kind(&self) -> Kind {
        match self.starts {
            Starts::Http { .. } => Kind::Http,
            Starts::Queue(_) => Kind::Queue,
            Starts::Schedule(_) => Kind::Schedule,
        }
    }

    /// Its routes, if it has any. Needs no environment, and makes no state.
    pub fn describe(&self) -> Option<OpenApi> {
        match self.starts {
            Starts::Http { describe, .. } => Some(describe()),
            Starts::Queue(_) | Starts::Schedule(_) => None,
        }
    }

    /// Starts it with this environment.
    pub async fn start(&self, env: Env) -> Result<Started> {
        let watch = Watch::of(&env, self.name);
        Ok(match self.starts {
            Starts::Http { start, .. } => Started::Http(http::service(start(env).await?, watch)),
            Starts::Queue(start) => {
                let queue = start(env).await?;
                Started::Queue(Arc::new(Watched { queue, watch }))
            }
            Starts::Schedule(start) => {
                let firing = start(env).await?;
                Started::Schedule(Arc::new(WatchedFiring { firing, watch }))
            }
        })
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Started")
    }
}

/// Runs a function with the environment of this process, for as long as Lambda calls it.
pub fn run(function: Function) -> Result<()> {
    let env = Env::of_process();
    start_log(&env, function.name());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shutdown = env.shutdown().clone();
    runtime.block_on(async {
        let started = function.start(env).await?;
        // Who holds nothing needs no signal: it does not wait for one, and starts sooner.
        if function.kind() == Kind::Queue || shutdown.is_wanted() {
            listen(&shutdown).await;
        }
        let ended = match started {
            Started::Http(router) => lambda_http::run(router).await,
            Started::Queue(queue) => queue::serve(queue.as_ref()).await,
            Started::Schedule(firing) => schedule::serve(firing.as_ref()).await,
        };
        ended.map_err(|error| anyhow!(error))
    })
}

fn start_log(env: &Env, service: &str) {
    let wanted = env.optional("RUST_LOG").and_then(|text| text.parse().ok());
    let filter: Targets = wanted.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    // What is measured is no matter of the level, and what is timed no part of a line.
    let filter = filter
        .with_target(measure::TARGET, LevelFilter::INFO)
        .with_target(spans::TARGET, LevelFilter::OFF);
    // CloudWatch takes metrics from a line that has nothing before or after it.
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines::of(env, service))
        .fmt_fields(JsonFields::new())
        .with_writer(std::io::stdout);
    let timed = Targets::new().with_target(spans::TARGET, LevelFilter::INFO);
    // A second subscriber in one process is a test's business, not an error.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(recorder(env).map(|recorder| recorder.with_filter(timed)))
        .try_init();
}

/// Lambda names a daemon for traces where they are switched on (`Tracing` in the template).
fn recorder(env: &Env) -> Option<spans::Recorder> {
    let daemon = env.optional("AWS_XRAY_DAEMON_ADDRESS")?;
    let name = env.optional("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    spans::start(daemon, name, env.optional("AWS_REGION").unwrap_or_default())
}
