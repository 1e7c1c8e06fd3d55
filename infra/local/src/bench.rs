//! `cargo local bench`: the figures that this project claims, measured.
//!
//! - [`beside_node`]: start-up, memory and CPU time of `ingest` and `auth` beside functions in JavaScript that do the same.
//! - [`throughput`]: events a second from a client until they are visible, and what they cost in CPU time.
//! - [`wallets`]: the same where events cost credits, beside where they cost none.
//! - [`cost`]: what operations cost on AWS, by counted requests and capacity units.

mod beside_node;
mod cost;
mod node;
mod proc;
mod tenant;
mod throughput;
mod wallets;

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Start-up, memory and CPU time beside Node.
    Startup,
    /// Dollars a million operations.
    Cost,
    /// Events a second, and how soon they are visible.
    Ingest,
    /// Events that cost credits beside events that cost none.
    Wallets,
}

/// How to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Measures one part only.
    #[arg(long)]
    pub only: Option<Part>,
    /// Prints one JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Measures fewer times.
    #[arg(long)]
    pub quick: bool,
    /// Writes the cost ledger to docs/cost.md.
    #[arg(long)]
    pub write: bool,
}

impl Options {
    /// Whether times are measured, for which this program itself must be a release build.
    pub fn wants_speed(&self) -> bool {
        self.only != Some(Part::Cost)
    }
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What it is, `cpu.ratio.ingest`.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

impl Figure {
    fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let name = name.into();
        Self { name, value, unit }
    }
}

/// Measures, and prints each part's figures as soon as they are known.
pub async fn run(folder: &Path, options: &Options) -> Result<()> {
    let wanted = |part| options.only.is_none_or(|only| only == part);
    if wanted(Part::Cost) {
        print(options, &cost::measure(folder, options).await?)?;
    }
    if wanted(Part::Startup) {
        print(options, &beside_node::measure(folder, options).await?)?;
    }
    if wanted(Part::Ingest) {
        print(options, &throughput::measure(folder, options).await?)?;
    }
    if wanted(Part::Wallets) {
        print(options, &wallets::measure(folder, options).await?)?;
    }
    Ok(())
}

fn print(options: &Options, figures: &[Figure]) -> Result<()> {
    for figure in figures {
        if options.json {
            println!("{}", serde_json::to_string(figure)?);
        } else {
            println!("{:<40} {:>12.4} {}", figure.name, figure.value, figure.unit);
        }
    }
    Ok(())
}

/// The middle one, or the mean of the two in the middle; 0 of none.
fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this share of all lies; 0 of none.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a short list"
    )]
    let (low, high) = {
        let place = share.clamp(0.0, 1.0) * last as f64;
        (place.floor() as usize, place.ceil() as usize)
    };
    f64::midpoint(sorted[low], sorted[high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_list_or_between_two() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!((quantile(&[1.0, 2.0, 3.0], 1.0) - 3.0).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }
}
