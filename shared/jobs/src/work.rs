//! Doing a job: taken under a lease, done, noted. Who takes it and dies leaves a job that another one takes when the lease
//! is over.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use app::{App, survive};
use kernel::{Error, JobId, Origin, Result};
use tokio::sync::Mutex;
use tracing::Instrument;
use tracing::field::Empty;

use crate::Job;
use crate::later::{context, nudge};
use crate::record::{Begin, JobRecord, JobRef, Measured, State, store};

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed; another attempt may not.
    Again {
        /// For the person who looks at the job; never a secret.
        why: String,
        /// How long to wait at least, if whoever failed says so.
        after: Option<Duration>,
    },
    /// It failed, and would each time.
    Dead {
        /// For the person who looks at the job; never a secret.
        why: String,
    },
    /// It was not tried, and is to be later: an open breaker, a process that is to end.
    NotNow {
        /// How long to wait.
        after: Duration,
    },
    /// It was not tried, and is not wanted any more.
    Canceled {
        /// For the person who looks at the job; never a secret.
        why: String,
    },
}

impl Outcome {
    /// A failure after which another attempt may succeed.
    pub fn again(why: impl Into<String>) -> Self {
        Self::Again {
            why: why.into(),
            after: None,
        }
    }

    /// A failure after which no attempt would succeed.
    pub fn dead(why: impl Into<String>) -> Self {
        Self::Dead { why: why.into() }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Again { .. } => "failed",
            Self::Dead { .. } => "dead",
            Self::NotNow { .. } => "not now",
            Self::Canceled { .. } => "canceled",
        }
    }
}

/// Does jobs of one kind.
pub trait Work<J: Job>: Sync {
    /// Does one. It may have been done before, by somebody who could not note it any more: its id makes that harmless.
    fn work(&self, app: &App, job: &Running<'_, J>) -> impl Future<Output = Outcome> + Send;
}

/// Whether a job is still its worker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Hold {
    /// It is.
    Mine,
    /// It was canceled, or another worker has it: what this one makes of it counts no more.
    Gone,
}

/// A job that is being done.
#[derive(Debug)]
pub struct Running<'a, J> {
    /// What is to be done.
    pub job: J,
    app: &'a App,
    id: JobId,
    attempt: u32,
    origin: Origin,
    was_dead: bool,
    answered: OnceLock<u16>,
    record: Mutex<JobRecord>,
}

impl<J: Job> Running<'_, J> {
    /// Its id, the same at every attempt.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Which attempt this is; the first is 1. Tries that were cut short are none.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Which request it comes from: for the scope or commit of what is done by it.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether it was given up before, and somebody had it tried again.
    pub fn was_dead(&self) -> bool {
        self.was_dead
    }

    /// Notes what a server that was called answered.
    pub fn answered(&self, status_code: u16) {
        let _ = self.answered.set(status_code);
    }

    /// Begins the lease anew, for work that takes longer.
    pub async fn renew(&self) -> Result<Hold> {
        self.change(|_| {}).await
    }

    /// Notes how far it is, in percent, and begins the lease anew.
    pub async fn progress(&self, percent: u8) -> Result<Hold> {
        self.change(|record| record.progress = Some(percent.min(100))).await
    }

    async fn change(&self, change: impl FnOnce(&mut JobRecord)) -> Result<Hold> {
        let mut record = self.record.lock().await;
        let mut changed = record.clone();
        changed.renew(self.app.now(), J::QUEUE);
        change(&mut changed);
        if !store::save(&self.app.table, &mut changed).await? {
            return Ok(Hold::Gone);
        }
        *record = changed;
        Ok(Hold::Mine)
    }
}

/// Does the job that a message names, if there is anything to do: takes it, does it, notes what came of it, and tells the
/// queue again of an attempt that is due later. An error means that the message has to come again; what a worker cannot
/// do, or panics at, is none.
pub async fn work<J: Job>(app: &App, worker: &impl Work<J>, message: &str) -> Result<()> {
    let named = JobRef::parse(message)?;
    if named.kind != J::KIND {
        return Err(anyhow!("a job {} came to those who do {}", named.kind, J::KIND).into());
    }
    if app.shutdown.is_begun() {
        return Err(Error::Busy);
    }
    let Some(mut record) = store::find(&app.table, &named).await? else {
        // The record is the truth: without one there is nothing to do.
        tracing::warn!(job.id = %named.id, job.kind = named.kind, "there is no such job");
        return Ok(());
    };
    match record.begin(app.now(), J::QUEUE) {
        Begin::Over | Begin::NotDue => return Ok(()),
        Begin::GivenUp => {
            tracing::error!(job.id = %record.id, job.kind = record.kind, "a job cost too many workers and is given up");
            if store::save(&app.table, &mut record).await? {
                app.measures.count("jobs.failed", &[("queue", J::QUEUE.name)]);
            }
            return Ok(());
        }
        Begin::Try => {}
    }
    if !store::save(&app.table, &mut record).await? {
        // Another worker took it a moment ago.
        return Ok(());
    }
    let started = Instant::now();
    // Boxed: what a worker does may be large, and whoever calls this holds many at once.
    let (record, outcome, status_code) = Box::pin(attempt(app, worker, record)).await;
    let took = started.elapsed();
    let took_ms = took.as_secs_f64() * 1_000.0;
    let measured = Measured {
        status_code,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    };
    tracing::info!(
        job.id = %record.id,
        job.kind = record.kind,
        job.attempt = record.attempts + 1,
        job.outcome = outcome.name(),
        request.id = record.origin.request,
        duration_ms = took_ms,
        "a job was tried"
    );
    let labels = [("queue", J::QUEUE.name), ("outcome", outcome.name())];
    app.measures.time("messaging.process.duration", &labels, took);
    note::<J>(app, record, &outcome, measured).await
}

/// Does it once. The record comes back as it is by then, with what a server that was called answered.
async fn attempt<J: Job>(app: &App, worker: &impl Work<J>, record: JobRecord) -> (JobRecord, Outcome, Option<u16>) {
    if app.shutdown.is_begun() {
        // Asked to end between taking it and doing it.
        let after = Duration::ZERO;
        return (record, Outcome::NotNow { after }, None);
    }
    let job = match open::<J>(app, &record) {
        Ok(job) => job,
        Err(outcome) => return (record, outcome, None),
    };
    let timed = span(&record);
    let running = Running {
        job,
        app,
        id: record.id,
        attempt: record.attempts + 1,
        origin: record.origin.within(spans::of(&timed)),
        was_dead: record.was_dead(),
        answered: OnceLock::new(),
        record: Mutex::new(record),
    };
    // So that whatever a worker logs tells its job, and the request that this comes from.
    let span = tracing::info_span!(
        "job",
        job.id = %running.id,
        request.id = running.origin.request,
        request.trace = running.origin.trace
    );
    let outcome = survive(worker.work(app, &running));
    let outcome = outcome.instrument(span).instrument(timed.clone()).await;
    let outcome = outcome.unwrap_or_else(|panic| {
        tracing::error!(job.id = %running.id, job.kind = J::KIND, error = panic, "a worker panicked");
        // What a panic says is for us.
        Outcome::again("its worker broke down")
    });
    timed.record("job.outcome", outcome.name());
    timed.record("error", matches!(outcome, Outcome::Again { .. } | Outcome::Dead { .. }));
    let answered = running.answered.get().copied();
    (running.record.into_inner(), outcome, answered)
}

/// What an attempt takes, within the trace of what caused the job.
fn span(record: &JobRecord) -> tracing::Span {
    tracing::info_span!(
        target: spans::TARGET,
        "job",
        otel.kind = "consumer",
        otel.name = format!("job {}", record.kind),
        otel.parent = record.origin.trace,
        job.id = %record.id,
        job.attempt = record.attempts + 1,
        job.outcome = Empty,
        error = Empty,
    )
}

/// What a job says.
fn open<J: Job>(app: &App, record: &JobRecord) -> std::result::Result<J, Outcome> {
    let contents = record.contents.as_deref().unwrap_or_default();
    let opened = if J::SEALED {
        app.sealing.open(&context(record.id), contents)
    } else {
        Ok(Some(contents.to_vec()))
    };
    let opened = opened.unwrap_or_else(|error| {
        tracing::error!(
            error = format!("{:#}", anyhow!(error)),
            "sealed jobs cannot be opened here"
        );
        None
    });
    let bytes = opened.ok_or_else(|| Outcome::dead("its contents cannot be opened"))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        // Its text may quote the contents; where it stands says enough.
        let (line, column) = (error.line(), error.column());
        tracing::error!(job.id = %record.id, job.kind = J::KIND, line, column, "a job cannot be read");
        Outcome::dead("its contents cannot be read")
    })
}

/// Notes what came of an attempt, unless the job is another's by now.
async fn note<J: Job>(app: &App, mut record: JobRecord, outcome: &Outcome, measured: Measured) -> Result<()> {
    let (now, queue) = (app.now(), J::QUEUE);
    match outcome {
        Outcome::Done => record.complete(now),
        Outcome::Again { why, after } => {
            let [random] = kernel::id::random();
            record.fail(now, queue, why, *after, random);
        }
        Outcome::Dead { why } => record.die(now, why),
        Outcome::NotNow { after } => record.give_back(now, *after),
        Outcome::Canceled { why } => record.drop(now, why),
    }
    if !matches!(outcome, Outcome::NotNow { .. } | Outcome::Canceled { .. }) {
        record.measured(measured);
    }
    if !store::save(&app.table, &mut record).await? {
        tracing::warn!(job.id = %record.id, "a job was canceled, or taken by another worker, while it was done");
        return Ok(());
    }
    if matches!(outcome, Outcome::Again { .. } | Outcome::Dead { .. }) {
        app.measures.count("jobs.failed", &[("queue", queue.name)]);
    }
    if record.state == State::Dead {
        tracing::warn!(job.id = %record.id, job.kind = record.kind, reason = record.error, "a job is dead");
    } else if record.state.is_open() {
        app.queues.nudge_each(nudge(now, &record, queue)).await;
    }
    Ok(())
}
