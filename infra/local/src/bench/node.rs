//! The functions in JavaScript: installed and bundled once, outside the checkout.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use stack::runtime::Program;

const MAJOR: u32 = 20;

/// The peers, ready to run.
#[derive(Debug)]
pub(super) struct Peers {
    node: PathBuf,
    folder: PathBuf,
}

impl Peers {
    /// Installs what `infra/bench/node` names into a cache folder, unless it is there, and bundles the functions.
    pub(super) async fn prepare(checkout: &Path) -> Result<Self> {
        let sources = checkout.join("infra/bench/node");
        let node = which("node").context("node 20 or later is missing (Debian: nodejs npm)")?;
        let version = output(Command::new(&node).arg("--version")).await?;
        let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
        let known = major.parse::<u32>().is_ok_and(|major| major >= MAJOR);
        ensure!(known, "node {MAJOR} or later is wanted, and this is {version}");
        let folder = cache()?.join("countinghouse").join(format!("node-peers-{major}"));
        std::fs::create_dir_all(folder.join("src")).with_context(|| format!("make {}", folder.display()))?;
        let lock = std::fs::read(sources.join("package-lock.json"))?;
        let installed = folder.join("installed-package-lock.json");
        let is_new = std::fs::read(&installed).ok().as_ref() != Some(&lock);
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(sources.join(file), folder.join(file))?;
        }
        for entry in sources.join("src").read_dir()? {
            let entry = entry?;
            std::fs::copy(entry.path(), folder.join("src").join(entry.file_name()))?;
        }
        if is_new {
            install(&folder).await?;
            std::fs::write(&installed, &lock)?;
        }
        run(&folder, "npm", &["run", "--silent", "bundle"]).await?;
        Ok(Self { node, folder })
    }

    /// The program that serves a function by AWS's own runtime client.
    pub(super) fn program(&self, function: &str) -> Program {
        let client = self.folder.join("node_modules/aws-lambda-ric/bin/index.mjs");
        let handler = self.folder.join("dist").join(format!("{function}.handler"));
        Program {
            path: self.node.clone(),
            arguments: vec![client.display().to_string(), handler.display().to_string()],
        }
    }
}

/// Installs the packages. AWS's runtime client has a part in C++, which is built here.
async fn install(folder: &Path) -> Result<()> {
    let missing: Vec<&str> = ["npm", "make", "g++", "cmake", "autoconf", "automake", "libtoolize"]
        .into_iter()
        .filter(|program| which(program).is_none())
        .collect();
    ensure!(
        missing.is_empty(),
        "{} missing, which aws-lambda-ric is built with (Debian: npm build-essential cmake autoconf automake libtool)",
        missing.join(", ")
    );
    eprintln!(
        "installing the functions in JavaScript into {} (a few minutes, once)",
        folder.display()
    );
    run(folder, "npm", &["ci", "--no-audit", "--no-fund", "--loglevel=error"]).await
}

async fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {} in {}: {}{}",
        arguments.join(" "),
        folder.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

async fn output(command: &mut Command) -> Result<String> {
    let output = command.output().await?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn cache() -> Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    given
        .or_else(home)
        .context("neither XDG_CACHE_HOME nor HOME says where to keep a cache")
}
