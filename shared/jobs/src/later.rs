//! Making a job: what stores it in the transaction of its cause, and what tells its queue afterwards.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, anyhow};
use app::{App, Nudge, Outgoing, Sealing};
use kernel::{Error, JobId, Origin, Result, Time};
use table::Write;

use crate::queue::Queue;
use crate::record::{JobRecord, JobRef, State, millis, store};
use crate::{Job, Place};

/// A message is delayed by no more; a job that is due later is found by the sweeper.
const LONGEST_DELAY: Duration = Duration::from_mins(15);
/// Clocks differ: who is told a second late finds that the job is due.
const LATE: i64 = Time::SECOND;

/// A job that is not stored yet.
#[derive(Clone)]
pub struct Later {
    record: JobRecord,
    queue: &'static Queue,
    contents: Vec<u8>,
    is_sealed: bool,
    replaces: bool,
}

/// What became of a job that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    New,
    /// One with its key was there.
    There,
}

impl Later {
    /// A job that is due at `due`. Changes nothing yet: put [`Later::write`] into the transaction of the cause, and once
    /// that is committed send [`Later::nudge`].
    pub fn of<J: Job>(now: Time, job: &J, due: Time) -> Result<Self> {
        let Place { owner, cause } = job.place();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if cause.is_empty() || !cause.chars().all(plain) {
            return Err(Error::Internal(anyhow!("{cause:?} cannot be the cause of a job")));
        }
        let key = job.key();
        let id = key.as_ref().map_or_else(|| JobId::new(now), |key| key.id(J::KIND));
        let queue = J::QUEUE;
        let record = JobRecord {
            id,
            owner,
            cause,
            kind: J::KIND.to_owned(),
            label: job.label(),
            queue: queue.name.to_owned(),
            shard: queue.shard(id.bits()),
            group: job.group(),
            state: State::Pending,
            attempts: 0,
            lost: 0,
            due_at: due,
            last_begun_at: None,
            error: None,
            progress: None,
            created_at: now,
            finished_at: None,
            kept_seconds: i64::try_from(queue.kept.as_secs()).unwrap_or(i64::MAX),
            origin: Origin::default(),
            history: Vec::new(),
            contents: None,
            // Of two jobs with one key the later one begins above every version of the first, so whoever still holds the
            // first can change nothing any more.
            version: if key.is_some() {
                u64::try_from(now.millis()).unwrap_or(0)
            } else {
                0
            },
        };
        Ok(Self {
            record,
            queue,
            contents: serde_json::to_vec(job).with_context(|| format!("a job {}", J::KIND))?,
            is_sealed: J::SEALED,
            replaces: key.is_some_and(|key| key.replaces),
        })
    }

    /// Says which request it comes from. `Commit::later` and `Commit::due` do.
    #[must_use]
    pub fn because_of(mut self, origin: &Origin) -> Self {
        self.record.origin = origin.for_later();
        self
    }

    /// Makes it one that is not wanted, and why: it is stored to be seen, and to be done if somebody has it done after all.
    #[must_use]
    pub fn unwanted(mut self, why: &str) -> Self {
        let now = self.record.created_at;
        self.record.drop(now, why);
        self
    }

    /// What it is.
    pub fn kind(&self) -> &str {
        &self.record.kind
    }

    /// Its id.
    pub fn id(&self) -> JobId {
        self.record.id
    }

    /// What names it.
    pub fn reference(&self) -> JobRef {
        self.record.reference()
    }

    /// What stores it. The condition does not hold if one with its key is there and neither dead nor canceled.
    pub fn write(&self, sealing: &Sealing) -> Result<Write> {
        let mut record = self.record.clone();
        if record.state.is_open() {
            record.contents = Some(if self.is_sealed {
                sealing.seal(&context(record.id), &self.contents)?
            } else {
                self.contents.clone()
            });
        }
        store::create(&record, self.replaces)
    }

    /// What tells its queue; nothing if that takes no message so early.
    pub fn nudge(&self) -> Option<Nudge> {
        if !self.record.state.is_open() {
            return None;
        }
        nudge(self.record.created_at, &self.record, self.queue)
    }

    /// Stores it by itself and tells its queue: for what has no transaction of its own.
    pub async fn store(&self, app: &App) -> Result<Stored> {
        match app.table.write([self.write(&app.sealing)?]).await {
            Ok(()) => {}
            Err(error) if error.failed(0) => return Ok(Stored::There),
            Err(error) => return Err(error.into()),
        }
        app.queues.nudge_each(self.nudge()).await;
        Ok(Stored::New)
    }
}

impl fmt::Debug for Later {
    /// Without the contents, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

/// What tells a queue of a job once it is due; nothing if that takes no message so early.
pub(crate) fn nudge(now: Time, job: &JobRecord, queue: &Queue) -> Option<Nudge> {
    let wait = job.due_at.millis().saturating_sub(now.millis());
    let late = if wait > 0 { LATE } else { 0 };
    let delay = Duration::from_millis(u64::try_from(wait + late).unwrap_or(0));
    (wait <= millis(LONGEST_DELAY)).then(|| Nudge {
        queue: queue.told,
        message: Outgoing { delay, ..message(job) },
    })
}

/// The message that names a job.
pub(crate) fn message(job: &JobRecord) -> Outgoing {
    Outgoing {
        body: serde_json::json!(job.reference()).to_string(),
        delay: Duration::ZERO,
        group: Some(job.group.clone()),
    }
}

/// What sealed contents are bound to.
pub(crate) fn context(job: JobId) -> String {
    format!("JOB#{job}")
}
