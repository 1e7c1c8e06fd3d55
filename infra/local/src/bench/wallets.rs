//! What metering costs in speed: events that cost a credit each beside events that cost none, on two stacks that differ in
//! nothing else, by turns, so that whatever else the machine does meets both. Singly, where each event is a request, and in
//! batches.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::tenant::Bench;
use super::throughput::{FUNCTIONS, Load, Run};
use super::{Figure, Options, median};

/// How many events a request has, what that is called, and how many requests a turn has.
const LOADS: [(u64, &str, u64); 2] = [(1, "singly", 600), (100, "batches", 300)];
/// Each stack has so many turns.
const TURNS: u32 = 9;

/// What was measured, turn by turn.
#[derive(Default)]
struct Turns {
    /// Events a second where they cost credits, beside what they are where they cost none.
    by_time: Vec<f64>,
    /// The same, events a second of CPU time.
    by_cpu: Vec<f64>,
    /// Microseconds of CPU time that a request takes more where events cost credits, by who takes them.
    more: BTreeMap<String, Vec<f64>>,
}

pub(super) async fn measure(folder: &Path, options: &Options) -> Result<Vec<Figure>> {
    let (free, metered) = (
        Bench::start(folder, &FUNCTIONS).await?,
        Bench::start(folder, &FUNCTIONS).await?,
    );
    free.set_price(0).await?;
    metered.set_price(1).await?;
    let turns = if options.quick { 3 } else { TURNS };
    let mut figures = Vec::new();
    for (size, name, requests) in LOADS {
        let (free, metered) = (Load::new(&free, size), Load::new(&metered, size));
        for load in [&free, &metered] {
            load.follow().await?;
            load.run(requests / 3).await?;
        }
        let mut measured = Turns::default();
        for _ in 0..turns {
            let without = free.run(requests).await?;
            measured.take(&without, &metered.run(requests).await?);
        }
        figures.extend(measured.figures(name));
    }
    free.running.stop().await;
    metered.running.stop().await;
    Ok(figures)
}

impl Turns {
    /// Takes two turns, one after the other, of as many requests.
    fn take(&mut self, free: &Run, metered: &Run) {
        self.by_time.push(metered.per_second() / free.per_second());
        self.by_cpu.push(metered.per_cpu_second() / free.per_cpu_second());
        for (who, cpu) in &metered.cpu {
            let more = cpu - free.cpu.get(who).copied().unwrap_or_default();
            let more = more * 1_000_000.0 / metered.requests;
            self.more.entry(who.clone()).or_default().push(more);
        }
    }

    fn figures(&self, name: &str) -> Vec<Figure> {
        let ratio = |kind: &str, of: &[f64]| Figure::new(format!("wallets.{kind}.{name}"), median(of), "of unmetered");
        let ratios = [ratio("ratio", &self.by_time), ratio("cpuRatio", &self.by_cpu)];
        let more = self.more.iter().map(|(who, more)| {
            let figure = format!("wallets.moreCpuMicros.{name}.{who}");
            Figure::new(figure, median(more), "µs/request")
        });
        ratios.into_iter().chain(more).collect()
    }
}
