//! `ingest` and `auth` beside functions in JavaScript that do the same work with the same environment, on the same
//! emulated services, for the same requests, in turns; medians.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use super::node::Peers;
use super::tenant::Bench;
use super::{Figure, Options, median, proc};
use sample_events::batch;
use stack::clock::real_ms;
use stack::gateway::{self, Caller};
use stack::runtime::{Outcome, Pool, Program, Shared};
use stack::template::Function;

/// What is needed to get a key and a token, and what is measured.
const FUNCTIONS: [&str; 5] = ["auth", "orgs", "projects", "ingest", "invoice-pdf"];

/// Ours and Node's values of one measure.
#[derive(Debug, Default)]
struct Pair {
    ours: Vec<f64>,
    node: Vec<f64>,
}

impl Pair {
    fn ratio(&self) -> f64 {
        median(&self.ours) / median(&self.node)
    }

    fn figures(&self, measure: &str, what: &str, unit: &'static str) -> [Figure; 3] {
        [
            Figure::new(format!("{measure}.ratio.{what}"), self.ratio(), "ours/node"),
            Figure::new(format!("{measure}.ours.{what}"), median(&self.ours), unit),
            Figure::new(format!("{measure}.node.{what}"), median(&self.node), unit),
        ]
    }
}

/// A request that both get.
struct Work {
    /// How its figures end: `ingest`, `ingest.event1`, `auth`.
    name: &'static str,
    function: &'static str,
    event: Bytes,
    status: u64,
}

pub(super) async fn measure(folder: &Path, options: &Options) -> Result<Vec<Figure>> {
    let peers = Peers::prepare(folder).await?;
    let bench = Bench::start(folder, &FUNCTIONS).await?;
    let mut figures = Vec::new();
    for function in ["ingest", "auth"] {
        let starts = if options.quick { 5 } else { 15 };
        figures.extend(start_up(&bench, &peers, function, starts).await?);
    }
    // Its peer is a library, and measured as one: infra/bench/pdf/run.
    figures.push(start_alone(&bench, "invoice-pdf", 5).await?);
    let [blocks, size] = if options.quick { [4, 50] } else { [10, 50] };
    for work in works(&bench)? {
        figures.extend(warm(&bench, &peers, &work, blocks, size).await?);
    }
    bench.running.stop().await;
    Ok(figures)
}

/// The requests: what clients send most, the smallest one, and a read by someone who is logged in.
fn works(bench: &Bench) -> Result<Vec<Work>> {
    let now = real_ms();
    let many = json!({"events": batch(0, 100, false, now)}).to_string();
    let one = batch(0, 1, false, now)[0].to_string();
    let ingest = |path: &str| {
        let request = Request::post(path).header("x-api-key", &bench.key);
        request.header("content-type", "application/json")
    };
    let me = Request::get("/v1/auth/me").header("authorization", format!("Bearer {}", bench.access_token));
    let work = |name, function, request: http::request::Builder, body: &str, status| {
        let event = event(bench, request, body)?;
        anyhow::Ok(Work {
            name,
            function,
            event,
            status,
        })
    };
    Ok(vec![
        work("ingest", "ingest", ingest("/v1/ingest/events"), &many, 202)?,
        work("ingest.event1", "ingest", ingest("/v1/ingest/event"), &one, 202)?,
        work("auth", "auth", me, "", 200)?,
    ])
}

/// What the gateway makes of a request.
fn event(bench: &Bench, request: http::request::Builder, body: &str) -> Result<Bytes> {
    let request = request
        .header("host", "api.example.com")
        .header("accept", "*/*")
        .header("user-agent", "countinghouse-bench")
        .header("x-forwarded-for", "192.0.2.1")
        .header("content-length", body.len())
        .body(())?;
    let (parts, ()) = request.into_parts();
    let router = gateway::Router::new(&bench.running.stack().template.routes);
    let found = router.find(&parts.method, parts.uri.path()).context("no such route")?;
    let caller = Caller {
        peer: ([192, 0, 2, 1], 4711).into(),
        now_ms: real_ms(),
    };
    debug_assert!(parts.method == Method::GET || !body.is_empty());
    Ok(gateway::event(&found, &parts, body.as_bytes(), &caller).into())
}

/// One process of a function beside the stack's own: nothing but the measurement calls it.
struct Subject {
    pool: Arc<Pool>,
    pid: u32,
    start: Duration,
    start_cpu: Duration,
}

impl Subject {
    async fn start(bench: &Bench, function: &str, program: Option<Program>) -> Result<Self> {
        let stack = bench.running.stack();
        let own = stack
            .pool(function)
            .with_context(|| format!("no function {function}"))?;
        let shared = Shared {
            environment: BTreeMap::from_iter(stack.aws.environment()),
            guard: None,
            chaos: stack.chaos.clone(),
            log: Arc::new(|name, line| {
                if line.contains("ERROR") {
                    eprintln!("{name:>14} | {line}");
                }
            }),
        };
        let program = program.unwrap_or_else(|| own.program().clone());
        // One process, whose figures these are.
        let function = Function {
            reserved_concurrency: Some(1),
            ..own.function().clone()
        };
        let pool = Pool::new(function, program, shared);
        let begun = Instant::now();
        pool.warm().await?;
        let start = begun.elapsed();
        let pid = pool.snapshots().first().context("it has ended")?.pid;
        let start_cpu = proc::cpu(pid);
        Ok(Self {
            pool,
            pid,
            start,
            start_cpu,
        })
    }

    async fn call(&self, work: &Work) -> Result<()> {
        let outcome = self.pool.invoke(work.event.clone()).await;
        let Outcome::Reply(reply) = &outcome else {
            anyhow::bail!("{}: {outcome:?}", work.name)
        };
        let json: Value = serde_json::from_slice(reply)?;
        ensure!(
            json["statusCode"] == work.status,
            "{}: {}",
            work.name,
            String::from_utf8_lossy(reply)
        );
        Ok(())
    }

    /// CPU time of one of `many` calls, in microseconds.
    async fn calls(&self, work: &Work, many: u32) -> Result<f64> {
        let before = proc::cpu(self.pid);
        for _ in 0..many {
            self.call(work).await?;
        }
        Ok(micros(proc::cpu(self.pid).saturating_sub(before)) / f64::from(many))
    }
}

/// From the start of the process to its first request for work.
async fn start_up(bench: &Bench, peers: &Peers, function: &'static str, times: u32) -> Result<Vec<Figure>> {
    let (mut wall, mut cpu) = (Pair::default(), Pair::default());
    for _ in 0..times {
        let ours = Subject::start(bench, function, None).await?;
        wall.ours.push(micros(ours.start) / 1_000.0);
        cpu.ours.push(micros(ours.start_cpu) / 1_000.0);
        ours.pool.stop().await;
        let node = Subject::start(bench, function, Some(peers.program(function))).await?;
        wall.node.push(micros(node.start) / 1_000.0);
        cpu.node.push(micros(node.start_cpu) / 1_000.0);
        node.pool.stop().await;
    }
    let figures = [
        wall.figures("startup", function, "ms"),
        cpu.figures("startup.cpu", function, "ms"),
    ];
    Ok(figures.into_iter().flatten().collect())
}

/// From the start of a process of ours to its first request for work.
async fn start_alone(bench: &Bench, function: &'static str, times: u32) -> Result<Figure> {
    let mut wall = Vec::new();
    for _ in 0..times {
        let ours = Subject::start(bench, function, None).await?;
        wall.push(micros(ours.start) / 1_000.0);
        ours.pool.stop().await;
    }
    Ok(Figure::new(format!("startup.ours.{function}"), median(&wall), "ms"))
}

/// How many requests it takes until V8 has compiled whatever it will.
const HOT: u32 = 2_000;

/// CPU time of a request over some hundreds of them after the first hundred, and the most memory both had until then;
/// then the same again when they are hot, which few processes on Lambda live to be.
async fn warm(bench: &Bench, peers: &Peers, work: &Work, blocks: u32, size: u32) -> Result<Vec<Figure>> {
    let ours = Subject::start(bench, work.function, None).await?;
    let node = Subject::start(bench, work.function, Some(peers.program(work.function))).await?;
    let mut figures = Vec::new();
    for (measure, before) in [("cpu", 100), ("cpu.hot", HOT)] {
        ours.calls(work, before).await?;
        node.calls(work, before).await?;
        let mut cpu = Pair::default();
        for _ in 0..blocks {
            cpu.ours.push(ours.calls(work, size).await?);
            cpu.node.push(node.calls(work, size).await?);
        }
        figures.extend(cpu.figures(measure, work.name, "µs/request"));
        if measure == "cpu" {
            let memory = Pair {
                ours: vec![mebibytes(ours.pid)?],
                node: vec![mebibytes(node.pid)?],
            };
            figures.extend(memory.figures("memory", work.name, "MiB"));
        }
    }
    for subject in [ours, node] {
        subject.pool.stop().await;
    }
    Ok(figures)
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000_000.0
}

fn mebibytes(pid: u32) -> Result<f64> {
    let bytes = proc::peak_memory(pid).context("it has ended")?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let mebibytes = bytes as f64 / 1_048_576.0;
    Ok(mebibytes)
}
