//! `cargo local`: the stack on one machine.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use local::keys::KeyPair;
use local::{audit, bench, demo, invoke, reliability, replay, sample, up};
use stack::runtime;

/// Runs the stack of template.yaml on this machine, without containers.
#[derive(Parser)]
#[command(name = "local", bin_name = "cargo local", version)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Builds the functions and runs everything until Ctrl-C.
    Up {
        /// Port on 127.0.0.1.
        #[arg(long, default_value_t = 3000)]
        port: u16,
        /// Data folder; `.local` beside template.yaml if not given.
        #[arg(long)]
        data: Option<PathBuf>,
        /// Deletes what the data folder holds.
        #[arg(long)]
        fresh: bool,
        #[command(flatten)]
        build: up::Build,
        /// Is cruel by this seed: kills functions, repeats messages, loses replies.
        #[arg(long, value_name = "SEED")]
        chaos: Option<u64>,
        /// Gives a parameter of the template another value, `RateLimitPerAddress=5`; may be repeated.
        #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
        parameters: Vec<(String, String)>,
        /// Gives SSM a value, `/countinghouse/google-client-secret=…`; may be repeated.
        #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
        ssm: Vec<(String, String)>,
    },
    /// Sends one event to one function and prints its reply.
    Invoke {
        /// The function's folder, `event-writer`.
        function: String,
        /// The file with the event; `-` reads stdin.
        event: PathBuf,
        /// Data folder; an empty one if not given.
        #[arg(long)]
        data: Option<PathBuf>,
        #[command(flatten)]
        build: up::Build,
    },
    /// Sends an access log in the Combined Log Format as events.
    Replay {
        /// The access log.
        file: PathBuf,
        /// The API's address, such as <http://127.0.0.1:3000>.
        #[arg(long)]
        url: String,
        /// The API key of the project that gets the events.
        #[arg(long)]
        api_key: String,
        /// Events in one request.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        batch: u16,
    },
    /// Shows the main job from registration to numbers, on a stack of its own.
    Demo {
        /// Port on 127.0.0.1; a free one if not given.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Ends after printing instead of staying up.
        #[arg(long)]
        once: bool,
        #[command(flatten)]
        build: up::Build,
    },
    /// What can be done with an audit trail offline.
    #[command(subcommand)]
    Audit(AuditAction),
    /// Works on a cruel stack of its own, then compares every total with what clients were told.
    Reliability(reliability::Options),
    /// Measures what this project claims: start-up beside Node, cost, events a second. Takes a few minutes.
    Bench(bench::Options),
    /// Writes the sample access log that the repository ships.
    #[command(hide = true)]
    Sample,
    /// Makes a key pair that signs access tokens, for a deployment.
    Keys,
    /// Becomes a function's program, so that it dies with the stack.
    #[command(hide = true)]
    Exec {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Subcommand)]
enum AuditAction {
    /// Verifies an export: that no entry was changed, removed, added or moved.
    Verify {
        /// The pages of the export, joined.
        file: PathBuf,
        /// The hash of a head that was noted down earlier; it must be among the entries.
        #[arg(long, value_parser = parse_hash)]
        head: Option<String>,
    },
}

fn parse_hash(text: &str) -> Result<String, String> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash
        .then(|| text.to_ascii_lowercase())
        .ok_or_else(|| "must be 64 hexadecimal digits".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Action::Exec { program, arguments } = &arguments.command {
        let error = runtime::become_guarded(program, arguments);
        eprintln!("error: start {}: {error}", program.display());
        return ExitCode::FAILURE;
    }
    // Deaths are what a reliability run is about; a demonstration shows its own words, and at the end what went wrong.
    let usual = match arguments.command {
        Action::Reliability(_) => "local::reliability=warn",
        Action::Demo { .. } => "error",
        _ => "warn",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| usual.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(worker_threads = 4)]
async fn run(action: Action) -> Result<ExitCode> {
    if wants_speed(&action) && cfg!(debug_assertions) {
        return become_release().await;
    }
    match action {
        Action::Up {
            port,
            data,
            fresh,
            build,
            chaos,
            parameters,
            ssm,
        } => {
            let folder = up::find_folder()?;
            let data = data.unwrap_or_else(|| folder.join(".local"));
            up::run(&up::Options {
                folder,
                port,
                data,
                fresh,
                build,
                log_file: None,
                chaos,
                parameters: parameters.into_iter().collect(),
                ssm: ssm.into_iter().collect(),
                only: Vec::new(),
            })
            .await?;
        }
        Action::Invoke {
            function,
            event,
            data,
            build,
        } => {
            let options = invoke::Options {
                folder: up::find_folder()?,
                function,
                event,
                data,
                build,
            };
            return Ok(exit(invoke::run(&options).await?));
        }
        Action::Replay {
            file,
            url,
            api_key,
            batch,
        } => return send_log(file, url, api_key, batch.into()).await,
        Action::Demo { port, once, build } => {
            demo::run(&demo::Options {
                folder: up::find_folder()?,
                port,
                once,
                build,
            })
            .await?;
        }
        Action::Audit(action) => verify_audit(&action)?,
        Action::Reliability(options) => return Ok(exit(reliability::run(&up::find_folder()?, &options).await?)),
        Action::Bench(options) => bench::run(&up::find_folder()?, &options).await?,
        Action::Sample => print!("{}", sample::log()),
        Action::Keys => print_keys()?,
        Action::Exec { .. } => unreachable!("handled before the runtime starts"),
    }
    Ok(ExitCode::SUCCESS)
}

fn wants_speed(action: &Action) -> bool {
    match action {
        Action::Up { build, .. } | Action::Demo { build, .. } => build.release,
        Action::Reliability(options) => options.build.release,
        Action::Bench(options) => options.wants_speed(),
        _ => false,
    }
}

/// Goes on as a release build of this program, with the same arguments.
async fn become_release() -> Result<ExitCode> {
    // Release is for speed, and the services run inside the runner.
    let runner = stack::build::program(&up::find_folder()?, ["--bin", "local"], true).await?;
    let error = Command::new(&runner).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("start {}", runner.display()))
}

async fn send_log(file: PathBuf, url: String, api_key: String, batch: usize) -> Result<ExitCode> {
    let options = replay::Options {
        file,
        url,
        api_key,
        batch,
        progress: true,
    };
    let summary = replay::run(&options).await?;
    println!("{}", serde_json::to_string(&summary)?);
    Ok(exit(summary.is_complete()))
}

fn exit(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verify_audit(action: &AuditAction) -> Result<()> {
    let AuditAction::Verify { file, head } = action;
    println!("{}", audit::verify(file, head.as_deref())?);
    Ok(())
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn print_keys() -> Result<()> {
    let pair = KeyPair::generate()?;
    println!("SSM SecureString named by JwtPrivateKeyParameter:\n{}\n", pair.private);
    println!("Parameter JwtPublicKeys:\n{}", pair.public);
    Ok(())
}
