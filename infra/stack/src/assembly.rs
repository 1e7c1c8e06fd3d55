//! The whole stack of one template: services, function processes, HTTP API, pollers, schedules.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use axum::body::Body;
use axum::response::Response;
use futures::future::join_all;
use http::Request;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aws::{Aws, Storage};
use crate::chaos::Chaos;
use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::runtime::{Log, Pool, Program, Programs, Shared, Snapshot};
use crate::schedule::Firings;
use crate::template::Template;
use crate::traces::Traces;
use crate::{poller, schedule};

/// How often idle processes are looked for, and expired items and messages.
const TRIM_EVERY: Duration = Duration::from_secs(5);
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// What a stack is made of.
pub struct Plan {
    /// What to run.
    pub template: Template,
    /// What is started for each function.
    pub programs: Programs,
    /// What SSM knows.
    pub ssm: BTreeMap<String, String>,
    /// Where the services keep what they are given.
    pub storage: Storage,
    /// The time that everything goes by.
    pub clock: Clock,
    /// A program that starts functions so that they die with us; see [`Shared::guard`].
    pub guard: Option<Program>,
    /// Where functions' output goes.
    pub log: Log,
    /// What `/_local/<name>` tells besides what the stack knows of itself, by name.
    pub told: BTreeMap<String, Value>,
    /// What goes wrong, once everything has started.
    pub chaos: Chaos,
    /// A collector of OpenTelemetry that traces are handed on to, such as `http://localhost:4318`.
    pub collector: Option<String>,
}

/// A running stack.
pub struct Stack {
    /// The emulated services.
    pub aws: Aws,
    /// The time that everything goes by.
    pub clock: Clock,
    /// What `/_local/<name>` tells besides what the stack knows of itself, by name.
    pub told: BTreeMap<String, Value>,
    /// What goes wrong.
    pub chaos: Chaos,
    /// What functions record of their way.
    pub traces: Traces,
    /// What functions measured.
    pub metrics: Metrics,
    /// What it runs.
    pub template: Template,
    pools: HashMap<String, Arc<Pool>>,
    gateway: Gateway,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    has_ready_route: bool,
}

impl Stack {
    /// Starts the services and one process of each function, then what feeds them. An error names each function
    /// that did not start, with its last lines.
    pub async fn start(plan: Plan) -> Result<Self> {
        let Plan {
            template,
            programs,
            ssm,
            storage,
            clock,
            guard,
            log,
            told,
            chaos,
            collector,
        } = plan;
        let aws = Aws::start_under(&template, ssm, &storage, &clock, chaos.clone()).await?;
        let mut environment = aws.environment();
        if let Some(file) = clock.file() {
            environment.insert("LOCAL_CLOCK".into(), file.display().to_string());
        }
        let (traces, daemon) = Traces::listen(collector).await?;
        environment.insert("AWS_XRAY_DAEMON_ADDRESS".into(), traces.address().to_string());
        let metrics = Metrics::default();
        let shared = Shared {
            environment,
            guard,
            log: metrics.hear(log),
            chaos: chaos.clone(),
        };
        let mut pools = HashMap::new();
        for function in &template.functions {
            let pool = Pool::new(function.clone(), programs.of(function)?, shared.clone());
            pools.insert(function.id.clone(), pool);
        }
        let failures: Vec<String> = join_all(pools.values().map(Pool::warm))
            .await
            .into_iter()
            .filter_map(|started| started.err().map(|error| format!("{error:#}")))
            .collect();
        if !failures.is_empty() {
            join_all(pools.values().map(|pool| pool.stop())).await;
            bail!("not every function starts:\n{}", failures.join("\n"));
        }
        let has_ready_route = template.routes.iter().any(|route| route.path == "/ready");
        let gateway = Gateway::new(&template, pools.clone(), clock.clone(), chaos.clone());
        let mut stack = Self {
            aws,
            clock,
            told,
            chaos,
            traces,
            metrics,
            template,
            pools,
            gateway,
            stop: watch::Sender::new(false),
            tasks: vec![daemon],
            has_ready_route,
        };
        stack.feed()?;
        stack.chaos.enable(true);

        Ok(stack)
    }

    fn feed(&mut self) -> Result<()> {
        let firings = Firings::new(self.aws.store().clone());
        for function in &self.template.functions {
            let pool = &self.pools[&function.id];
            for source in &function.queues {
                let run = poller::run(
                    self.aws.sqs().clone(),
                    source.clone(),
                    Arc::clone(pool),
                    self.stop.subscribe(),
                );
                self.tasks.push(tokio::spawn(run));
            }
            for source in &function.schedules {
                let (name, stop) = (source.name.clone(), self.stop.subscribe());
                let last = firings.last(source, self.clock.now_ms())?;
                let run = schedule::run(
                    source.clone(),
                    Arc::clone(pool),
                    self.clock.clone(),
                    firings.clone(),
                    last,
                    stop,
                );
                self.tasks.push(tokio::spawn(async move {
                    if let Err(error) = run.await {
                        tracing::error!("schedule {name} stopped: {error:#}");
                    }
                }));
            }
        }
        let pools: Vec<Arc<Pool>> = self.pools.values().cloned().collect();
        self.tasks.push(tokio::spawn(async move {
            loop {
                tokio::time::sleep(TRIM_EVERY).await;
                for pool in &pools {
                    pool.trim();
                }
            }
        }));
        let sweeper = self.aws.sweeper();
        self.tasks.push(tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                let sweeper = sweeper.clone();
                match tokio::task::spawn_blocking(move || sweeper.sweep()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!("sweeping failed: {error:#}"),
                    Err(error) => tracing::error!("sweeping failed: {error}"),
                }
            }
        }));
        Ok(())
    }

    /// Answers a request to the HTTP API.
    pub async fn answer(&self, request: Request<Body>, peer: SocketAddr) -> Response {
        self.gateway.answer(request, peer).await
    }

    /// Tells whether the template itself has a route `/ready`.
    pub fn has_ready_route(&self) -> bool {
        self.has_ready_route
    }

    /// Finds a function's processes by its folder's name or its logical id.
    pub fn pool(&self, name: &str) -> Option<&Arc<Pool>> {
        self.pools
            .values()
            .find(|pool| pool.function().binary == name || pool.function().id == name)
    }

    /// Describes every live process, by function.
    pub fn processes(&self) -> Vec<Snapshot> {
        let mut all: Vec<Snapshot> = self.pools.values().flat_map(|pool| pool.snapshots()).collect();
        // One that is only being started has no pid yet; zero would name its reader's own process group to `kill`.
        all.retain(|process| process.pid != 0);
        all.sort_by(|a, b| (&a.name, a.pid).cmp(&(&b.name, b.pid)));
        all
    }

    /// Stops feeding functions, lets them finish for a few seconds, ends them.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        join_all(self.pools.values().map(|pool| pool.stop())).await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
