//! Events end to end: from a client over HTTP through the gateway, `ingest`, the queue and `event-writer` into the
//! tables, until the overview shows them. Everything, the client too, shares this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::json;

use super::tenant::Bench;
use super::{Figure, Options, proc, quantile};
use sample_events::batch;
use stack::clock::{real_ms, rfc3339};

pub(super) const FUNCTIONS: [&str; 6] = ["auth", "orgs", "projects", "ingest", "event-writer", "metrics"];
/// Events in one request.
const BATCH: u64 = 100;
/// Requests under way at once.
const CLIENTS: usize = 8;
/// Different bodies; they are made before the time runs.
const BODIES: u64 = 50;
/// How long it goes on sending, whatever is missing.
const MOST_TIME: Duration = Duration::from_secs(40);
/// How long it waits for the rest to be visible.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A batch every tenth of a second while it measures how soon one is visible.
const PACE: Duration = Duration::from_millis(100);
const HOUR_MS: i64 = 3_600_000;

pub(super) async fn measure(folder: &Path, options: &Options) -> Result<Vec<Figure>> {
    let bench = Bench::start(folder, &FUNCTIONS).await?;
    let [batches, paced] = if options.quick { [300, 20] } else { [2_000, 80] };
    let mut figures = Vec::new();
    let load = Load::new(&bench, BATCH);
    // Warms every process that the load will want.
    let warm_up = load.send_all(100).await?;
    load.visible(warm_up).await?;
    figures.extend(full_speed(&bench, &load, batches).await?);
    figures.extend(at_a_pace(&load, paced).await?);
    bench.running.stop().await;
    Ok(figures)
}

/// What is sent, and what of it is visible.
pub(super) struct Load<'a> {
    bench: &'a Bench,
    bodies: Vec<bytes::Bytes>,
    url: String,
    question: String,
    /// How many events each request has.
    batch: u64,
    sent: AtomicU64,
}

/// What a run took.
pub(super) struct Run {
    pub(super) requests: f64,
    events: f64,
    time: Duration,
    /// Seconds of CPU time by who used it.
    pub(super) cpu: BTreeMap<String, f64>,
}

impl Run {
    pub(super) fn per_second(&self) -> f64 {
        self.events / self.time.as_secs_f64()
    }

    pub(super) fn per_cpu_second(&self) -> f64 {
        self.events / self.cpu.values().sum::<f64>()
    }
}

impl<'a> Load<'a> {
    /// Requests with so many events each.
    pub(super) fn new(bench: &'a Bench, size: u64) -> Self {
        let now = real_ms();
        let (from, to) = (now / HOUR_MS * HOUR_MS - HOUR_MS, now / HOUR_MS * HOUR_MS + 3 * HOUR_MS);
        let (from, to) = (rfc3339(from), rfc3339(to));
        let body = |number| json!({"events": batch(number, size, false, now)}).to_string().into();
        Self {
            bench,
            bodies: (0..BODIES).map(body).collect(),
            url: format!("{}/v1/ingest/events", bench.running.url()),
            question: format!("/v1/metrics/overview?projectId={}&from={from}&to={to}", bench.project),
            batch: size,
            sent: AtomicU64::new(0),
        }
    }

    /// Sends so many batches and waits until all are visible.
    pub(super) async fn run(&self, batches: u64) -> Result<Run> {
        let before = Used::now(self.bench);
        let (first, begun) = (self.sent.load(Ordering::SeqCst), Instant::now());
        let sent = self.send_all(batches).await?;
        self.visible(sent).await?;
        Ok(Run {
            requests: float((sent - first) / self.batch),
            events: float(sent - first),
            time: begun.elapsed(),
            cpu: Used::now(self.bench).since(&before).0,
        })
    }

    /// Counts what others have sent before as its own.
    pub(super) async fn follow(&self) -> Result<()> {
        self.sent.store(self.events().await?, Ordering::SeqCst);
        Ok(())
    }

    /// Sends one batch and wants all of it accepted. Yields how many events were sent so far.
    async fn send(&self, number: u64) -> Result<u64> {
        let place = usize::try_from(number).unwrap_or_default() % self.bodies.len();
        let request = self.bench.api.post(&self.url);
        let request = request.header("x-api-key", &self.bench.key);
        let request = request.header("content-type", "application/json");
        let response = request.body(self.bodies[place].clone()).send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status == 202, "{status}: {text}");
        Ok(self.sent.fetch_add(self.batch, Ordering::SeqCst) + self.batch)
    }

    /// Sends so many batches, several at once; yields how many events were sent so far.
    async fn send_all(&self, batches: u64) -> Result<u64> {
        let (next, until) = (AtomicU64::new(0), Instant::now() + MOST_TIME);
        let (next, until) = (&next, &until);
        let client = async || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= batches || Instant::now() > *until {
                    return anyhow::Ok(());
                }
                self.send(number).await?;
            }
        };
        try_join_all((0..CLIENTS).map(|_| client())).await?;
        Ok(self.sent.load(Ordering::SeqCst))
    }

    async fn events(&self) -> Result<u64> {
        let overview = self.bench.get(&self.question).await?;
        overview["events"].as_u64().context("the overview counts no events")
    }

    /// Waits until the overview shows so many.
    async fn visible(&self, wanted: u64) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let events = self.events().await?;
            ensure!(events <= wanted, "{wanted} events were sent, and {events} are counted");
            if events == wanted {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "{wanted} events were sent, and only {events} are counted"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// As fast as they are taken.
async fn full_speed(bench: &Bench, load: &Load<'_>, batches: u64) -> Result<Vec<Figure>> {
    let before = Used::now(bench);
    let (first, begun) = (load.sent.load(Ordering::SeqCst), Instant::now());
    let sent = load.send_all(batches).await?;
    let taken = begun.elapsed();
    load.visible(sent).await?;
    let whole = begun.elapsed();
    let used = Used::now(bench).since(&before);
    let events = float(sent - first);
    let mut figures = vec![
        Figure::new("ingest.eventsPerSecond", events / whole.as_secs_f64(), "events/s"),
        Figure::new("ingest.acceptedPerSecond", events / taken.as_secs_f64(), "events/s"),
        Figure::new(
            "ingest.drainMs",
            whole.saturating_sub(taken).as_secs_f64() * 1_000.0,
            "ms",
        ),
    ];
    let of = |used: f64| used * 1_000_000.0 / events;
    let total: f64 = used.0.values().sum();
    figures.push(Figure::new("ingest.cpuMicrosPerEvent", of(total), "µs/event"));
    for (name, used) in used.0 {
        figures.push(Figure::new(
            format!("ingest.cpuMicrosPerEvent.{name}"),
            of(used),
            "µs/event",
        ));
    }
    Ok(figures)
}

/// Ten batches a second: how long after its 202 each is visible.
async fn at_a_pace(load: &Load<'_>, batches: u64) -> Result<Vec<Figure>> {
    let mut waited = Vec::new();
    let mut ticks = tokio::time::interval(PACE);
    for number in 0..batches {
        ticks.tick().await;
        let wanted = load.send(number).await?;
        let accepted = Instant::now();
        load.visible(wanted).await?;
        waited.push(accepted.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(vec![
        Figure::new("ingest.visibleMedianMs", quantile(&waited, 0.5), "ms"),
        Figure::new("ingest.visibleP95Ms", quantile(&waited, 0.95), "ms"),
    ])
}

/// Seconds of CPU time by who used it; `stack` is this process: the client, the gateway and the emulated services.
struct Used(BTreeMap<String, f64>);

impl Used {
    fn now(bench: &Bench) -> Self {
        let mut used = BTreeMap::from([("stack".to_owned(), proc::own_cpu().as_secs_f64())]);
        for process in bench.running.stack().processes() {
            *used.entry(process.name).or_default() += proc::cpu(process.pid).as_secs_f64();
        }
        Self(used)
    }

    fn since(&self, before: &Self) -> Self {
        let earlier = |name: &String| before.0.get(name).copied().unwrap_or_default();
        Self(
            self.0
                .iter()
                .map(|(name, now)| (name.clone(), now - earlier(name)))
                .collect(),
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}
