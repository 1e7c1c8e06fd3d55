//! The processes of one function, and the invocations that wait for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use super::process::{self, GRACE, Process, Running, Snapshot};
use super::{MAX_PROCESSES, Outcome, Program, Shared, api};
use crate::template::Function;

/// How long an invocation waits for a free process, besides the function's own timeout.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a process beyond the first may idle.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long processes get to finish what they do when the stack stops, then to end.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The processes of one function.
pub struct Pool {
    function: Function,
    program: Program,
    shared: Shared,
    limit: usize,
    state: Mutex<State>,
    /// Counts deaths and first requests for work; whoever waits for a change watches it.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    idle: Vec<Idle>,
    live: BTreeMap<u64, Arc<Process>>,
    next_number: u64,
    stopping: bool,
    last_failure: Option<String>,
}

/// An invocation on its way to a process.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) payload: Bytes,
    reply: oneshot::Sender<Outcome>,
}

struct Idle {
    number: u64,
    since: Instant,
    hand: oneshot::Sender<Job>,
}

impl Pool {
    /// Makes the pool of a function; starts nothing yet.
    pub fn new(function: Function, program: Program, shared: Shared) -> Arc<Self> {
        let reserved = function
            .reserved_concurrency
            .map_or(MAX_PROCESSES, |most| most as usize);
        Arc::new(Self {
            limit: reserved.min(MAX_PROCESSES),
            function,
            program,
            shared,
            state: Mutex::new(State::default()),
            changes: watch::Sender::new(0),
        })
    }

    /// Yields what the template says about the function.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// Yields what it starts.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Tells how many processes it may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one process and waits until it asks for work; an error tells why it did not.
    pub async fn warm(self: &Arc<Self>) -> Result<()> {
        let mut changes = self.changes.subscribe();
        if self.state().live.is_empty() {
            self.start();
        }
        loop {
            changes.mark_unchanged();
            {
                let state = self.state();
                if state.live.values().any(|process| process.ready.load(Ordering::Relaxed)) {
                    return Ok(());
                }
                if state.live.is_empty() {
                    bail!(
                        "{}: {}",
                        self.function.binary,
                        state.last_failure.as_deref().unwrap_or("it did not start")
                    );
                }
            }
            let _ = changes.changed().await;
        }
    }

    /// Runs one invocation on a free process, or on a new one.
    pub async fn invoke(self: &Arc<Self>, payload: Bytes) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        self.dispatch(Job {
            id: uuid::Uuid::new_v4().to_string(),
            payload,
            reply,
        });
        let patience = QUEUE_TIMEOUT + Duration::from_secs(self.function.timeout_s.into());
        match tokio::time::timeout(patience, outcome).await {
            Ok(Ok(outcome)) => outcome,
            // The process died just as it was given the work.
            Ok(Err(_)) if !self.state().stopping => Outcome::Crashed("the process ended".into()),
            Ok(Err(_)) | Err(_) => Outcome::Busy,
        }
    }

    fn dispatch(self: &Arc<Self>, mut job: Job) {
        let mut state = self.state();
        if state.stopping {
            return;
        }
        while let Some(idle) = state.idle.pop() {
            match idle.hand.send(job) {
                Ok(()) => return,
                Err(returned) => job = returned,
            }
        }
        state.waiting.push_back(job);
        let starting = state
            .live
            .values()
            .filter(|process| !process.ready.load(Ordering::Relaxed))
            .count();
        let more = state.waiting.len() > starting && state.live.len() < self.limit;
        drop(state);
        if more {
            self.start();
        }
    }

    /// Waits for work on behalf of a process; never returns once the process is to end.
    pub(super) async fn next(self: &Arc<Self>, process: &Arc<Process>) -> Job {
        if !process.ready.swap(true, Ordering::Relaxed) {
            self.changes.send_modify(|count| *count += 1);
        }
        // A process that asks for work while it has some has lost it.
        if let Some(running) = process.finish(None) {
            let _ = running
                .reply
                .send(Outcome::Crashed("the function asked for work before it replied".into()));
        }
        loop {
            let work = {
                let mut state = self.state();
                let job = std::iter::from_fn(|| state.waiting.pop_front()).find(|job| !job.reply.is_closed());
                match job {
                    Some(job) => return job,
                    None if state.stopping => None,
                    None => {
                        let (hand, work) = oneshot::channel();
                        state.idle.push(Idle {
                            number: process.number,
                            since: Instant::now(),
                            hand,
                        });
                        Some(work)
                    }
                }
            };
            match work {
                Some(work) => match work.await {
                    Ok(job) => return job,
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        }
    }

    /// Notes that a process begins an invocation, and when it must be done.
    pub(super) fn begin(self: &Arc<Self>, process: &Arc<Process>, job: Job) {
        let (pool, late, id) = (Arc::clone(self), Arc::clone(process), job.id.clone());
        let timeout = Duration::from_secs(self.function.timeout_s.into());
        let timer = tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            let current = late
                .current
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take_if(|it| it.id == id);
            if let Some(running) = current {
                tracing::warn!(
                    function = pool.function.binary,
                    ?timeout,
                    "timed out; its process is killed"
                );
                let _ = running.reply.send(Outcome::TimedOut);
                late.kill();
            }
        });
        self.threaten(process, &job.id);
        let running = Running {
            id: job.id,
            reply: job.reply,
            started: Instant::now(),
            timer: timer.abort_handle(),
        };
        *process.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }

    /// Lets chaos decide whether the process lives to see the end of its invocation.
    fn threaten(&self, process: &Arc<Process>, invocation: &str) {
        let (chaos, name) = (self.shared.chaos.clone(), &self.function.binary);
        chaos.begin(name, &process.token, process.pid.load(Ordering::Relaxed));
        if let Some(later) = chaos.kill_later(name) {
            let (process, id) = (Arc::clone(process), invocation.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(later).await;
                if process.is_busy_with(&id) {
                    chaos.killed_later();
                    process.kill();
                }
            });
        }
    }

    fn start(self: &Arc<Self>) {
        let process = {
            let mut state = self.state();
            state.next_number += 1;
            let process = Arc::new(Process::new(&self.function, state.next_number));
            state.live.insert(process.number, Arc::clone(&process));
            process
        };
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let started = async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                let address = listener.local_addr()?.to_string();
                let server = api::serve(listener, Arc::clone(&pool), Arc::clone(&process));
                let child = process::spawn(&pool.function, &pool.program, &pool.shared, &process, &address);
                anyhow::Ok((child?, server.abort_handle()))
            };
            match started.await {
                Ok((child, server)) => process::watch(child, process, pool, server).await,
                Err(error) => pool.bury(&process, &format!("{error:#}"), false),
            }
        });
    }

    /// Removes a process that has ended, and sees to what it leaves behind; `killed` by somebody else with -9.
    pub(super) fn bury(self: &Arc<Self>, process: &Process, obituary: &str, killed: bool) {
        self.shared.chaos.forget(&process.token);
        let was_ready = process.ready.load(Ordering::Relaxed);
        if let Some(running) = process.finish(None) {
            let _ = running.reply.send(Outcome::Crashed(obituary.to_owned()));
        }
        let (failed, restart) = {
            let mut state = self.state();
            // Who was asked to end is no longer among the living.
            let unasked = state.live.remove(&process.number).is_some() && !state.stopping;
            if unasked && was_ready {
                tracing::warn!("{}: {obituary}", self.function.binary);
            }
            state.idle.retain(|idle| idle.number != process.number);
            if !was_ready {
                state.last_failure = Some(obituary.to_owned());
            }
            // A process that dies before it works would do so again: tell who waits instead of trying for ever.
            let healthy = was_ready || killed;
            let hopeless = !healthy && state.live.is_empty();
            let failed: Vec<Job> = if hopeless {
                state.waiting.drain(..).collect()
            } else {
                Vec::new()
            };
            // One that had worked, or stayed, gets a successor at once: who comes next should not wait for its start.
            let is_last = state.live.is_empty() && process.was_useful();
            let wanted = healthy && (is_last || !state.waiting.is_empty());
            (failed, wanted && !state.stopping && state.live.len() < self.limit)
        };
        for job in failed {
            let _ = job.reply.send(Outcome::NotStarted(obituary.to_owned()));
        }
        if restart {
            self.start();
        }
        self.changes.send_modify(|count| *count += 1);
    }

    /// Ends processes that have idled for long, except one.
    pub fn trim(&self) {
        self.trim_idle_for(IDLE_TIMEOUT);
    }

    /// Ends processes that have idled for longer than `most`, except one.
    pub fn trim_idle_for(&self, most: Duration) {
        let mut state = self.state();
        while state.live.len() > 1 && state.idle.first().is_some_and(|idle| idle.since.elapsed() > most) {
            let idle = state.idle.remove(0);
            if let Some(process) = state.live.remove(&idle.number) {
                process.end();
            }
        }
    }

    /// Lets running invocations finish, then ends every process, as Lambda would.
    pub async fn stop(&self) {
        {
            let mut state = self.state();
            state.stopping = true;
            state.waiting.clear();
        }
        self.wait(FINISH_TIMEOUT, |state| {
            state.live.values().all(|process| !process.is_busy())
        })
        .await;
        for process in self.state().live.values() {
            process.end();
        }
        self.wait(GRACE + END_TIMEOUT, |state| state.live.is_empty()).await;
        for process in self.state().live.values() {
            process.kill();
        }
        self.wait(END_TIMEOUT, |state| state.live.is_empty()).await;
    }

    async fn wait(&self, most: Duration, done: impl Fn(&State) -> bool) {
        let mut changes = self.changes.subscribe();
        let until = tokio::time::Instant::now() + most;
        while !done(&self.state()) && tokio::time::Instant::now() < until {
            // Ends of invocations are not announced; look again soon.
            let soon = tokio::time::Instant::now() + Duration::from_millis(20);
            let _ = tokio::time::timeout_at(soon.min(until), changes.changed()).await;
        }
    }

    /// Describes every live process.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let live: Vec<Arc<Process>> = self.state().live.values().cloned().collect();
        live.iter()
            .map(|process| process.snapshot(&self.function.binary))
            .collect()
    }
}
