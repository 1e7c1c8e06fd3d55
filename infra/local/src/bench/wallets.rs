//! What metering costs in speed: events that cost a credit each beside events that cost none, by turns, so that whatever else the
//! machine does meets both. Singly, where each event is a request, and in batches.

use std::path::Path;

use anyhow::Result;

use super::tenant::Bench;
use super::throughput::{FUNCTIONS, Load};
use super::{Figure, Options, median};

/// How many events a request has, what that is called, and how many requests a turn has.
const LOADS: [(u64, &str, u64); 2] = [(1, "singly", 800), (100, "batches", 400)];
/// Metered and not, so often.
const TURNS: u32 = 5;

/// Events a second and a second of CPU time, turn by turn.
#[derive(Default)]
struct Speeds {
    by_time: Vec<f64>,
    by_cpu: Vec<f64>,
}

pub(super) async fn measure(folder: &Path, options: &Options) -> Result<Vec<Figure>> {
    let bench = Bench::start(folder, &FUNCTIONS).await?;
    let turns = if options.quick { 2 } else { TURNS };
    let mut figures = Vec::new();
    for (size, name, requests) in LOADS {
        let load = Load::new(&bench, size);
        load.follow().await?;
        let (mut free, mut metered) = (Speeds::default(), Speeds::default());
        for _ in 0..turns {
            for (price, speeds) in [(0, &mut free), (1, &mut metered)] {
                bench.set_price(price).await?;
                // Warms the processes, which read the prices anew.
                load.run(requests / 10).await?;
                speeds.take(load.run(requests).await?);
            }
        }
        let ratio = |of: fn(&Speeds) -> &Vec<f64>| median(of(&metered)) / median(of(&free));
        figures.extend([
            Figure::new(
                format!("wallets.ratio.{name}"),
                ratio(|speeds| &speeds.by_time),
                "of unmetered",
            ),
            Figure::new(
                format!("wallets.cpuRatio.{name}"),
                ratio(|speeds| &speeds.by_cpu),
                "of unmetered",
            ),
        ]);
    }
    bench.running.stop().await;
    Ok(figures)
}

impl Speeds {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn take(&mut self, (events, time, cpu): (u64, std::time::Duration, f64)) {
        self.by_time.push(events as f64 / time.as_secs_f64());
        self.by_cpu.push(events as f64 / cpu);
    }
}
