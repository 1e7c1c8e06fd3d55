//! `cargo local invoke`: one event to one function, with the services but without the rest.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use stack::aws::{Aws, Storage};
use stack::chaos::Chaos;
use stack::clock::Clock;
use stack::data::Data;
use stack::runtime::{Outcome, Pool, Shared, log};

use crate::secrets::Secrets;
use crate::up;

/// What to invoke, and with what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with `template.yaml`.
    pub folder: PathBuf,
    /// The function's folder name or logical id.
    pub function: String,
    /// The file with the event; `-` reads stdin.
    pub event: PathBuf,
    /// The data folder; a new one for this invocation if none.
    pub data: Option<PathBuf>,
    /// Which build of the function to run.
    pub build: up::Build,
}

/// Invokes the function and prints what it replies, or its error, on stdout. Yields whether it succeeded.
pub async fn run(options: &Options) -> Result<bool> {
    let event = read(&options.event)?;
    let temporary = tempfile::tempdir().context("make a data folder")?;
    let data = Data::open(options.data.as_deref().unwrap_or(temporary.path()), false)?;
    let secrets = Secrets::open(&data)?;
    let template = secrets.template(&options.folder, &BTreeMap::new())?;
    let Some(function) = template.function(&options.function) else {
        let names: Vec<&str> = template
            .functions
            .iter()
            .map(|function| function.binary.as_str())
            .collect();
        bail!(
            "there is no function {:?}; there are {}",
            options.function,
            names.join(", ")
        );
    };
    let programs = options
        .build
        .programs(&options.folder, std::slice::from_ref(function))
        .await?;
    let program = programs.of(function)?;
    let clock = Clock::open(&data.folder().join("clock"))?;
    let storage = Storage::Folder(data.folder().to_owned());
    let aws = Aws::start(&template, secrets.ssm(&template), &storage, &clock).await?;
    let mut environment: BTreeMap<String, String> = aws.environment();
    environment.extend(
        clock
            .file()
            .map(|file| ("LOCAL_CLOCK".to_owned(), file.display().to_string())),
    );
    let shared = Shared {
        environment,
        guard: Some(up::guard()?),
        log: log(None)?,
        chaos: Chaos::default(),
    };
    let pool = Pool::new(function.clone(), program, shared);
    let outcome = invoke(&pool, event).await;
    pool.stop().await;

    match outcome? {
        Outcome::Reply(reply) => print(&reply).map(|()| true),
        Outcome::Error(error) => print(&error).map(|()| false),
        Outcome::Crashed(why) | Outcome::NotStarted(why) => bail!("{why}"),
        Outcome::TimedOut => bail!("it took longer than {} s", function.timeout_s),
        Outcome::Busy => bail!("it did not take the event"),
    }
}

async fn invoke(pool: &Arc<Pool>, event: Vec<u8>) -> Result<Outcome> {
    pool.warm().await?;
    Ok(pool.invoke(event.into()).await)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut event = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut event)?;
    } else {
        event = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    }
    serde_json::from_slice::<Value>(&event).with_context(|| format!("{} is not JSON", path.display()))?;
    Ok(event)
}

fn print(payload: &[u8]) -> Result<()> {
    let value: Value = serde_json::from_slice(payload).context("the function's reply is not JSON")?;
    println!("{}", serde_json::to_string_pretty(&value)?);
    Ok(())
}
