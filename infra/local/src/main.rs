//! `cargo local`: the stack on one machine.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use local::keys::KeyPair;
use local::up;

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
        /// Runs release builds of the functions.
        #[arg(long)]
        release: bool,
    },
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Action::Exec { program, arguments } = &arguments.command {
        return exec(program, arguments);
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
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

/// Asks the kernel to kill this process when its parent dies, then becomes the program.
fn exec(program: &PathBuf, arguments: &[String]) -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL) {
        eprintln!("error: no death signal: {error}");
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("error: start {}: {error}", program.display());
    ExitCode::FAILURE
}

#[tokio::main(worker_threads = 4)]
async fn run(action: Action) -> Result<ExitCode> {
    match action {
        Action::Up {
            port,
            data,
            fresh,
            release,
        } => {
            let folder = up::find_folder()?;
            let data = data.unwrap_or_else(|| folder.join(".local"));
            up::run(&up::Options {
                folder,
                port,
                data,
                fresh,
                release,
                log_file: None,
            })
            .await?;
        }
        Action::Keys => {
            let pair = KeyPair::generate()?;
            println!("SSM SecureString named by JwtPrivateKeyParameter:\n{}\n", pair.private);
            println!("Parameter JwtPublicKeys:\n{}", pair.public);
        }
        Action::Exec { .. } => unreachable!("handled before the runtime starts"),
    }
    Ok(ExitCode::SUCCESS)
}
