//! Builds the functions of a template with cargo.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::runtime::{Program, Programs};
use crate::template::Function;

/// Builds one program of the workspace at `folder` that holds all functions; cargo shows its progress on stderr.
pub async fn together(folder: &Path, binary: &str, release: bool) -> Result<Programs> {
    let path = program(folder, ["--bin", binary], release).await?;
    Ok(Programs::Together(Program {
        path,
        arguments: Vec::new(),
    }))
}

/// Builds the binaries of `functions` in the workspace at `folder`; cargo shows its progress on stderr.
pub async fn separate(folder: &Path, functions: &[Function], release: bool) -> Result<Programs> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The whole workspace decides which features dependencies get, so that tests and functions share one build.
    command
        .current_dir(folder)
        .args(["build", "--workspace", "--message-format=json-render-diagnostics"]);
    for function in functions {
        command.args(["--bin", &function.binary]);
    }
    if release {
        command.arg("--release");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start cargo")?;
    let mut programs = BTreeMap::new();
    if let Some(output) = child.stdout.take() {
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some((name, path)) = executable(&line) {
                programs.insert(
                    name,
                    Program {
                        path,
                        arguments: Vec::new(),
                    },
                );
            }
        }
    }
    if !child.wait().await?.success() {
        bail!("the functions do not build; cargo says why above");
    }
    for function in functions {
        if !programs.contains_key(&function.binary) {
            bail!("cargo built no binary {}", function.binary);
        }
    }

    Ok(Programs::Separate(programs))
}

/// Builds one program of the workspace, with the features that the whole workspace gives dependencies, so that none
/// is built twice. `target` is cargo's option and the name, such as `["--bin", "local"]`.
pub async fn program(folder: &Path, target: [&str; 2], release: bool) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--workspace", "--message-format=json-render-diagnostics"])
        .args(target)
        .current_dir(folder);
    if release {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).kill_on_drop(true).output();
    let output = output.await.context("start cargo")?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let [_, name] = target;
    let built = lines.lines().filter_map(executable).find(|(built, _)| built == name);
    match built {
        Some((_, path)) if output.status.success() => Ok(path),
        _ => bail!("{name} does not build; cargo says why above"),
    }
}

/// Links the programs into a folder, which it makes anew, so that a later build does not take them away from under
/// the stack.
pub fn keep(programs: Programs, folder: &Path) -> Result<Programs> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("delete {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let keep = |name: &str, program: Program| {
        let path = folder.join(name);
        // Another file system needs a copy.
        std::fs::hard_link(&program.path, &path)
            .or_else(|_| std::fs::copy(&program.path, &path).map(|_| ()))
            .with_context(|| format!("keep {}", program.path.display()))?;
        anyhow::Ok(Program { path, ..program })
    };
    Ok(match programs {
        Programs::Separate(programs) => Programs::Separate(
            programs
                .into_iter()
                .map(|(name, program)| Ok((name.clone(), keep(&name, program)?)))
                .collect::<Result<_>>()?,
        ),
        Programs::Together(program) => Programs::Together(keep("functions", program)?),
    })
}

/// Reads the name and the path of a binary from one of cargo's messages.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = message["executable"].as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
}
