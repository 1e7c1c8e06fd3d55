//! What operations cost on AWS. Counting needs every function in one process, which the package `testing` has; its
//! program counts, and this only starts it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::{Figure, Options};
use stack::build;

#[derive(Deserialize)]
struct Line {
    name: String,
    value: f64,
}

pub(super) async fn measure(folder: &Path, options: &Options) -> Result<Vec<Figure>> {
    let program = build::program(folder, ["--bench", "cost-ledger"], false).await?;
    let mut command = Command::new(&program);
    if options.write {
        command.arg("--write");
    }
    let output = command.stderr(Stdio::inherit()).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("start {}", program.display()))?;
    ensure!(output.status.success(), "the ledger was not counted");
    let figure = |line: &str| {
        let Line { name, value } = serde_json::from_str(line).with_context(|| format!("no figure: {line}"))?;
        let unit = if name.contains(".event") {
            "USD/million events"
        } else {
            "USD/million"
        };
        Ok(Figure::new(name, value, unit))
    };
    String::from_utf8_lossy(&output.stdout).lines().map(figure).collect()
}
