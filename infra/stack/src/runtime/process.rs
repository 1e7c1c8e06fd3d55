//! One process of a function: starting it, listening to it, seeing it end.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use super::pool::Pool;
use super::{Outcome, Program, Shared};
use crate::aws::SECRET;
use crate::template::{Function, REGION};

/// How many of its last lines are shown when a process dies.
const LAST_LINES: usize = 20;
/// How long a process may take from its start to its first request for work. Lambda allows 10 s; a busy machine
/// running debug builds gets more.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a process has from SIGTERM to kill -9. Lambda gives 500 ms, or two seconds with an extension from outside;
/// a busy machine running debug builds gets the longer of the two.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// A process that ends sooner, and without having done anything, is not replaced by itself.
const USEFUL_LIFE: Duration = Duration::from_secs(1);

/// A live process.
pub(super) struct Process {
    pub(super) number: u64,
    /// Its session token, by which AWS calls tell which process makes them.
    pub(super) token: String,
    pub(super) pid: AtomicU32,
    /// It has asked for work at least once.
    pub(super) ready: AtomicBool,
    /// It has an extension, and so is told before it ends.
    pub(super) extended: AtomicBool,
    pub(super) current: Mutex<Option<Running>>,
    kill: Notify,
    started: Instant,
    invocations: AtomicU64,
    busy_us: AtomicU64,
    last_lines: Mutex<VecDeque<String>>,
}

/// The invocation that a process is busy with.
pub(super) struct Running {
    pub(super) id: String,
    pub(super) reply: oneshot::Sender<Outcome>,
    pub(super) started: Instant,
    pub(super) timer: AbortHandle,
}

/// What is known about a live process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Name of the function's folder.
    pub name: String,
    /// Process id.
    pub pid: u32,
    /// Invocations finished.
    pub invocations: u64,
    /// Time they took together.
    pub duration_ms: u64,
    /// Resident memory.
    pub memory_bytes: u64,
}

impl Process {
    pub(super) fn new(function: &Function, number: u64) -> Self {
        Self {
            number,
            token: format!("{}-{number}", function.id),
            pid: AtomicU32::new(0),
            ready: AtomicBool::new(false),
            extended: AtomicBool::new(false),
            current: Mutex::new(None),
            kill: Notify::new(),
            started: Instant::now(),
            invocations: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
            last_lines: Mutex::new(VecDeque::new()),
        }
    }

    /// Takes the invocation it is busy with, if its id is `id`; counts it.
    pub(super) fn finish(&self, id: Option<&str>) -> Option<Running> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(running), Some(id)) = (current.as_ref(), id)
            && running.id != id
        {
            return None;
        }
        let running = current.take()?;
        running.timer.abort();
        self.invocations.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(running.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.busy_us.fetch_add(us, Ordering::Relaxed);
        Some(running)
    }

    /// Tells whether it did something, or lived for some time, before it ended.
    pub(super) fn was_useful(&self) -> bool {
        self.invocations.load(Ordering::Relaxed) > 0 || self.started.elapsed() > USEFUL_LIFE
    }

    pub(super) fn is_busy_with(&self, id: &str) -> bool {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().is_some_and(|running| running.id == id)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Asks for kill -9.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }

    /// Ends it as Lambda does: one that has an extension gets SIGTERM and a little time, then kill -9; any other gets
    /// that at once. <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown>
    pub(super) fn end(self: &Arc<Self>) {
        let pid = i32::try_from(self.pid.load(Ordering::Relaxed))
            .ok()
            .filter(|pid| *pid > 0);
        let (true, Some(pid)) = (self.extended.load(Ordering::Relaxed), pid) else {
            return self.kill();
        };
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let late = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(GRACE).await;
            late.kill();
        });
    }

    pub(super) fn snapshot(&self, name: &str) -> Snapshot {
        let pid = self.pid.load(Ordering::Relaxed);
        Snapshot {
            name: name.to_owned(),
            pid,
            invocations: self.invocations.load(Ordering::Relaxed),
            duration_ms: self.busy_us.load(Ordering::Relaxed) / 1000,
            memory_bytes: resident_bytes(pid).unwrap_or_default(),
        }
    }

    fn hear(&self, line: &str) {
        let mut lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// Tells how it ended, with its last lines.
    fn obituary(&self, status: Option<ExitStatus>) -> String {
        let how = status.map_or_else(|| "ended".to_owned(), |status| format!("ended with {status}"));
        let lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<String> = lines.iter().map(|line| format!("\n    {line}")).collect();
        format!("the process {how}{}", lines.concat())
    }
}

/// Reads a process's resident memory from `/proc`.
fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

/// Yields the variables that every process of a function has: Lambda's, then `shared`, which say where the services are,
/// then the template's.
pub fn environment(function: &Function, shared: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let memory = function.memory_mib.to_string();
    let lambda = [
        ("AWS_LAMBDA_FUNCTION_NAME", function.id.as_str()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &function.log_group),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        // The services take the access key for the caller's name.
        ("AWS_ACCESS_KEY_ID", &function.id),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("TZ", ":UTC"),
    ];
    let lambda = lambda.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut all = BTreeMap::from(lambda);
    all.extend(shared.clone());
    all.extend(function.environment.clone());
    all
}

/// Starts the program with the function's environment.
pub(super) fn spawn(
    function: &Function,
    program: &Program,
    shared: &Shared,
    process: &Process,
    api: &str,
) -> Result<Child> {
    let mut command = match &shared.guard {
        Some(guard) => {
            let mut command = Command::new(&guard.path);
            command.args(&guard.arguments).arg(&program.path);
            command
        }
        None => Command::new(&program.path),
    };
    command.args(&program.arguments).env_clear();
    for kept in ["PATH", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .env("AWS_SESSION_TOKEN", &process.token)
        .envs(environment(function, &shared.environment))
        // A group of its own: Ctrl-C in a terminal reaches us, and we let it finish its work.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);

    command
        .spawn()
        .with_context(|| format!("start {}", program.path.display()))
}

/// Watches over a child until it ends; tells the pool how it ended.
pub(super) async fn watch(mut child: Child, process: Arc<Process>, pool: Arc<Pool>, server: AbortHandle) {
    process.pid.store(child.id().unwrap_or_default(), Ordering::Relaxed);
    let output = child
        .stdout
        .take()
        .map(|pipe| tokio::spawn(listen(pipe, Arc::clone(&process), Arc::clone(&pool))));
    let errors = child
        .stderr
        .take()
        .map(|pipe| tokio::spawn(listen(pipe, Arc::clone(&process), Arc::clone(&pool))));
    let mut asked = false;
    let status = loop {
        let init = INIT_TIMEOUT.saturating_sub(process.started.elapsed());
        let waits_for_init = !process.ready.load(Ordering::Relaxed);
        tokio::select! {
            status = child.wait() => break status.ok(),
            () = process.kill.notified() => {
                asked = true;
                let _ = child.start_kill();
            }
            () = tokio::time::sleep(init), if waits_for_init => {
                if !process.ready.load(Ordering::Relaxed) {
                    process.hear("it did not ask for work in time");
                    asked = true;
                    let _ = child.start_kill();
                    break child.wait().await.ok();
                }
            }
        }
    };
    for pipe in [output, errors].into_iter().flatten() {
        // Its own children may hold the pipe open; what it said itself is there at once.
        let _ = tokio::time::timeout(Duration::from_millis(500), pipe).await;
    }
    server.abort();
    let killed = status.is_some_and(|status| status.signal() == Some(Signal::SIGKILL as i32)) && !asked;
    pool.bury(&process, &process.obituary(status), killed);
}

async fn listen(pipe: impl AsyncRead + Unpin, process: Arc<Process>, pool: Arc<Pool>) {
    let mut lines = BufReader::new(pipe).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => {
                (pool.shared().log)(&pool.function().binary, &line);
                process.hear(&line);
            }
            // Not UTF-8: the line is lost, the next one may be fine.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {}
            Ok(None) | Err(_) => return,
        }
    }
}
