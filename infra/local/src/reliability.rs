//! `cargo local reliability`: work under cruelty, then every total compared with what the clients were told.
//!
//! Two tenants send a log whose events have ids, again and again until it is answered, and a stream of events without
//! ids, each batch once. Meanwhile they make projects, refresh their sessions, and an alert fires and resolves. Then the cruelty pauses, the queues
//! run empty, and everything is counted: what was acknowledged must be there once.

mod alert;
mod caller;
mod check;
mod receiver;
mod tenant;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::sample;
use crate::up::{self, Running};
use caller::Caller;
use check::Check;
use receiver::Receiver;
use tenant::Tenant;

/// How long the queues may take to run empty once nothing goes wrong any more.
const REST_TIMEOUT: Duration = Duration::from_mins(2);
const TENANTS: usize = 2;

/// How cruel, and how much.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The seed of the cruelty.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Events in the log that each of two tenants sends.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub events: u64,
    /// How long the work may take, in seconds.
    #[arg(long, default_value_t = 300)]
    pub seconds: u64,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it instead of the options' own")]
    pub build: up::Build,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    seed: u64,
    /// How long the work took under cruelty, and the queues then took to run empty.
    work_seconds: f64,
    rest_seconds: f64,
    requests: u64,
    repeated_requests: u64,
    /// How often the receiver of webhooks was called; every third call it answered with an error.
    webhook_calls: usize,
    /// How often each fault happened.
    faults: Map<String, Value>,
    checks: Vec<Check>,
    lost: u64,
    doubled: u64,
}

/// Runs it on a stack and data of its own. Yields whether nothing was lost and nothing doubled.
pub async fn run(root: &Path, options: &Options) -> Result<bool> {
    let folder = tempfile::tempdir().context("make a data folder")?;
    let log = folder.path().join("functions.log");
    let stack = up::Options {
        folder: root.to_owned(),
        port: 0,
        data: folder.path().join("data"),
        fresh: false,
        build: options.build,
        log_file: Some(log.clone()),
        chaos: Some(options.seed),
        parameters: BTreeMap::new(),
        ssm: BTreeMap::new(),
        only: Vec::new(),
    };
    let running = tokio::select! {
        running = up::start(&stack) => running?,
        done = up::interrupted() => return done.map(|()| false),
    };
    let report = tokio::select! {
        report = examine(&running, options, folder.path().join("access.log")) => report,
        done = up::interrupted() => { done?; Err(anyhow::anyhow!("interrupted")) }
    };
    running.stop().await;
    if !report.as_ref().is_ok_and(Report::is_clean) {
        let kept = folder.keep();
        eprintln!("what functions wrote is in {}", kept.join("functions.log").display());
    }
    let report = report?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(report.is_clean())
}

async fn examine(running: &Running, options: &Options, log: PathBuf) -> Result<Report> {
    std::fs::write(&log, sample::lines(options.events)).context("write the log")?;
    let caller = Caller::new(&running.url())?;
    let receiver = Receiver::start().await?;
    let started = Instant::now();
    let most = Duration::from_secs(options.seconds);
    let work = async {
        let made = (0..TENANTS).map(|number| Tenant::register(&caller, &receiver, number));
        let mut tenants = try_join_all(made).await?;
        let told = try_join_all(tenants.iter().map(|tenant| tenant.work(&log))).await?;
        alert::pass(running, &mut tenants).await?;
        anyhow::Ok((tenants, told))
    };
    let (mut tenants, told) = tokio::time::timeout(most, work)
        .await
        .with_context(|| format!("the work was not done within {} s", options.seconds))??;
    let work_seconds = started.elapsed().as_secs_f64();

    running.stack().chaos.enable(false);
    let paused = Instant::now();
    alert::send_notices(running, &mut tenants, &receiver).await?;
    rest(running).await?;
    let rest_seconds = paused.elapsed().as_secs_f64();
    let mut checks = vec![check::dead_letters(running)?];
    for (tenant, told) in tenants.iter().zip(&told) {
        checks.extend(tenant.compare(told, &log).await?);
        checks.extend(alert::compare(tenant, &receiver).await?);
    }
    Ok(Report {
        seed: options.seed,
        work_seconds,
        rest_seconds,
        requests: caller.requests(),
        repeated_requests: caller.repeated(),
        webhook_calls: receiver.calls(),
        faults: running.stack().chaos.report().faults,
        lost: checks.iter().map(|check| check.lost).sum(),
        doubled: checks.iter().map(|check| check.doubled).sum(),
        checks,
    })
}

/// Waits until no queue that somebody reads holds a message.
async fn rest(running: &Running) -> Result<()> {
    let until = Instant::now() + REST_TIMEOUT;
    loop {
        let left = check::waiting(running)?;
        if left == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{left} messages are still on their way");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Report {
    fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }

    fn print(&self) {
        println!(
            "Seed {}: {:.1} s of work under these faults, {:.1} s until the queues were empty",
            self.seed, self.work_seconds, self.rest_seconds
        );
        for (fault, count) in &self.faults {
            println!("  {fault:<16} {count:>6}");
        }
        println!(
            "{} requests besides events, {} of them repeated; {} calls of webhooks\n",
            self.requests, self.repeated_requests, self.webhook_calls
        );
        println!(
            "  {:<54} {:>8} {:>8} {:>5} {:>8}",
            "compared", "told", "found", "lost", "doubled"
        );
        for check in &self.checks {
            println!(
                "  {:<54} {:>8} {:>8} {:>5} {:>8}",
                check.name, check.told, check.found, check.lost, check.doubled
            );
        }
        println!("\nlost {}, doubled {}", self.lost, self.doubled);
    }
}
