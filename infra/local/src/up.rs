//! `cargo local up`: the stack on a data folder, until somebody stops it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use kernel::OrgId;
use serde_json::{Value, json};
use stack::aws::Storage;
use stack::chaos::Chaos;
use stack::clock::Clock;
use stack::data::Data;
use stack::front::Front;
use stack::runtime::{Program, Programs, log};
use stack::{Plan, Stack, build, template};
use tokio::signal::unix::{SignalKind, signal};

use crate::payments::{At, Payments};
use crate::secrets::Secrets;

/// The binary that holds all functions.
const TOGETHER: &str = "dev";
/// The parameter that names hosts which may be called although they are not public.
const ALLOWED: &str = "OutboundAllowList";

/// How to bring the stack up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with `template.yaml`.
    pub folder: PathBuf,
    /// The port on 127.0.0.1; zero takes a free one.
    pub port: u16,
    /// The data folder.
    pub data: PathBuf,
    /// Whether to delete what it holds.
    pub fresh: bool,
    /// Which builds of the functions to run.
    pub build: Build,
    /// The file for the functions' output; stderr if none.
    pub log_file: Option<PathBuf>,
    /// The seed of the cruelty, if there is to be any.
    pub chaos: Option<u64>,
    /// Values of the template's parameters, instead of samconfig.toml's and the defaults.
    pub parameters: BTreeMap<String, String>,
    /// What SSM knows, beside the secrets of the data folder.
    pub ssm: BTreeMap<String, String>,
    /// The functions to run, by folder; all of them if empty.
    pub only: Vec<String>,
}

/// How functions are built.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Build {
    /// Runs release builds of the functions.
    #[arg(long)]
    pub release: bool,
    /// Runs each function's own binary, as AWS does, instead of one that holds them all.
    #[arg(long)]
    pub separate: bool,
}

impl Build {
    /// Builds functions of the workspace at `folder`.
    pub async fn programs(self, folder: &Path, functions: &[template::Function]) -> Result<Programs> {
        if self.separate {
            build::separate(folder, functions, self.release).await
        } else {
            build::together(folder, TOGETHER, self.release).await
        }
    }
}

/// A stack that listens.
pub struct Running {
    front: Front,
    stack: Arc<Stack>,
    payments: Payments,
    _data: Data,
}

/// Finds the folder with `template.yaml`: this one, or the nearest above.
pub fn find_folder() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    let found = here.ancestors().find(|folder| folder.join("template.yaml").is_file());
    found
        .map(Path::to_owned)
        .context("there is no template.yaml here or in a folder above")
}

/// Brings the stack up: opens the folder and the port, builds the functions, starts everything.
pub async fn start(options: &Options) -> Result<Running> {
    let front = Front::open(options.port, "the functions are being built").await?;
    let data = Data::open(&options.data, options.fresh)?;
    let secrets = Secrets::open(&data)?;
    let clock = Clock::open(&data.folder().join("clock"))?;
    let declared = template::parameter_names(&options.folder)?;
    let at = At {
        file: data.folder().join("payments.json"),
        clock: &clock,
    };
    let payments = Payments::start(&declared, |name| std::env::var(name).ok(), &front.url(), &at).await?;
    let mut template = template(options, &secrets, &payments, &declared, front.url())?;
    if !options.only.is_empty() {
        template
            .functions
            .retain(|function| options.only.contains(&function.binary));
    }
    let programs = options.build.programs(&options.folder, &template.functions).await?;
    let programs = build::keep(programs, &data.folder().join("bin"))?;
    front.wait_for("the functions are being started");
    let plan = Plan {
        collector: std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok(),
        ssm: secrets.ssm(&template).into_iter().chain(options.ssm.clone()).collect(),
        told: told(&secrets, &template, &payments),
        storage: Storage::Folder(data.folder().to_owned()),
        clock,
        guard: Some(guard()?),
        log: log(options.log_file.as_deref())?,
        chaos: options.chaos.map(Chaos::seeded).unwrap_or_default(),
        template,
        programs,
    };
    let stack = Arc::new(Stack::start(plan).await?);
    front.hand_to(Arc::clone(&stack));

    Ok(Running {
        front,
        stack,
        payments,
        _data: data,
    })
}

/// The template with the parameters that are given; with where the API listens, which functions have to tell others; and
/// with where payments are taken.
fn template(
    options: &Options,
    secrets: &Secrets,
    payments: &Payments,
    declared: &[String],
    url: String,
) -> Result<template::Template> {
    let mut parameters = payments.parameters.clone();
    if declared.iter().any(|name| name == "PublicUrl") {
        parameters.insert("PublicUrl".to_owned(), url);
    }
    parameters.extend(options.parameters.clone());
    let template = secrets.template(&options.folder, &parameters)?;
    let Some(allowed) = template.parameters.get(ALLOWED).filter(|_| !payments.hosts.is_empty()) else {
        return Ok(template);
    };
    let allowed = format!("{allowed},{}", payments.hosts.join(","));
    parameters.insert(ALLOWED.to_owned(), allowed);
    secrets.template(&options.folder, &parameters)
}

/// What a developer may ask: at `/_local/manager` how to log in, and which organization is the platform's own; at
/// `/_local/payments` where the double of the providers is.
fn told(secrets: &Secrets, template: &template::Template, payments: &Payments) -> BTreeMap<String, Value> {
    let manager = secrets.manager(template);
    let manager =
        manager.map(|(email, password)| json!({"email": email, "password": password, "orgId": OrgId::PLATFORM}));
    let told = [("manager", manager), ("payments", payments.told())];
    told.into_iter()
        .filter_map(|(name, told)| Some((name.to_owned(), told?)))
        .collect()
}

/// This program as `cargo local exec`.
pub fn guard() -> Result<Program> {
    Ok(Program {
        path: std::env::current_exe()?,
        arguments: vec!["exec".to_owned()],
    })
}

impl Running {
    /// Yields where it listens.
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Yields where the double of the payment providers is told what to do, if there is one.
    pub fn payments(&self) -> Option<String> {
        self.payments.control()
    }

    /// Yields the stack.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Stops it: no new requests, a few seconds for those under way, then the functions, then the port.
    pub async fn stop(self) {
        self.front.stop().await;
    }
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Brings the stack up, says where it listens, stops it when told to.
pub async fn run(options: &Options) -> Result<()> {
    let starting = start(options);
    let running = tokio::select! {
        running = starting => running?,
        done = interrupted() => return done,
    };
    let url = running.url();
    println!("Countinghouse listens on {url}");
    println!("  {url}/docs              the API, to try out");
    println!("  {url}/_local/functions  processes        {url}/_local/queues   queues");
    println!("  {url}/_local/emails     mails            {url}/_local/manager  the platform manager");
    if let Some(payments) = running.payments() {
        println!("  {payments}  payment providers, which are none");
    }
    println!("  data in {}; Ctrl-C stops", options.data.display());
    interrupted().await?;
    eprintln!("stopping");
    running.stop().await;
    Ok(())
}
