//! A job as it is stored, and what may become of it. Pure: time and chance are passed in.

mod everywhere;
pub mod store;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use app::Nudge;
use kernel::{Error, JobId, OrgId, Origin, Result, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::Job;
use crate::later::nudge;
use crate::queue::Queue;

/// Tries that a crash cut short are no attempts, but a job that cuts so many short is given up.
const MOST_LOST: u32 = 9;
/// Clocks may differ by so much: a worker whose clock is behind still takes what it was told of.
const SKEW: i64 = 2 * Time::SECOND;
/// Why something failed is shown up to this length.
const LONGEST_ERROR: usize = 500;
/// So much of its history is kept: the attempts of a webhook, and a few of a person's.
const MOST_HISTORY: usize = 40;

/// Whose a job is: in whose partitions it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Owner {
    /// An organization: its administrators may see the job.
    Org(OrgId),
    /// A person, for what is about their account alone.
    User(UserId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org(org) => org.fmt(f),
            Self::User(user) => user.fmt(f),
        }
    }
}

impl FromStr for Owner {
    type Err = kernel::id::NotAnId;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        text.parse().map(Self::Org).or_else(|_| text.parse().map(Self::User))
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}

impl TryFrom<String> for Owner {
    type Error = kernel::id::NotAnId;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        text.parse()
    }
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = JobStatus)]
pub enum State {
    /// It is to be done.
    Pending,
    /// A worker does it.
    Running,
    /// An attempt failed; another one is due.
    Failed,
    /// It is done.
    Completed,
    /// It was given up; a person may have it tried again.
    Dead,
    /// It was not wanted any more.
    Canceled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Running,
        Self::Failed,
        Self::Completed,
        Self::Dead,
        Self::Canceled,
    ];

    /// As it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Failed => "FAILED",
            Self::Completed => "COMPLETED",
            Self::Dead => "DEAD",
            Self::Canceled => "CANCELED",
        }
    }

    /// Whether something is still to be done, without anybody's doing.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Failed)
    }
}

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = JobEventName)]
pub enum Event {
    /// A worker began.
    Started,
    /// It was done.
    Completed,
    /// An attempt failed.
    Failed,
    /// Its worker was not heard of any more.
    Lost,
    /// Its worker gave it back, without an attempt.
    Returned,
    /// It was given up.
    Dead,
    /// A person had it tried again.
    Retried,
    /// It was not wanted any more.
    Canceled,
}

/// One thing that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = JobEvent)]
pub struct HistoryEntry {
    /// When.
    pub at: Time,
    /// What.
    pub event: Event,
    /// Why, if something failed.
    #[serde(default)]
    #[schema(required)]
    pub error: Option<String>,
    /// What a server that was called answered, if the attempt was a call.
    #[serde(default, rename = "statusCode", skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// How long the attempt took.
    #[serde(default, rename = "durationMs", skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// What is known of an attempt besides what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// What a server that was called answered.
    pub(crate) status_code: Option<u16>,
    /// How long it took.
    pub(crate) duration_ms: u64,
}

/// Names a job: what its queue carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobRef {
    /// What it is.
    pub kind: String,
    /// Whose it is.
    pub owner: Owner,
    /// What caused it.
    pub cause: String,
    /// Its id.
    pub id: JobId,
}

impl JobRef {
    /// Reads a message of a queue of jobs.
    pub fn parse(message: &str) -> Result<Self> {
        serde_json::from_str(message).map_err(|_| anyhow!("a message that is none of ours").into())
    }
}

/// A job as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    /// Its id; whoever it reaches knows a repeat by it.
    pub id: JobId,
    /// Whose it is.
    pub owner: Owner,
    /// What caused it: an id, or a word such as `account`.
    pub cause: String,
    /// What it is.
    #[serde(rename = "jobKind")]
    pub kind: String,
    /// What is shown of it, such as where it goes.
    #[serde(default)]
    pub label: Option<String>,
    /// The name of its queue.
    pub queue: String,
    /// Its partition among the queue's due jobs.
    pub(crate) shard: u8,
    /// Whose turn it takes.
    pub(crate) group: String,
    /// What became of it.
    pub state: State,
    /// How many attempts came to an end.
    pub attempts: u32,
    /// How many tries were cut short.
    pub(crate) lost: u32,
    /// When it may be tried (again); while it is running, when its worker's lease ends.
    pub due_at: Time,
    /// When a worker last began.
    pub last_begun_at: Option<Time>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// How far it is, in percent, if its worker tells.
    pub progress: Option<u8>,
    /// When it was made.
    pub created_at: Time,
    /// When it was over.
    pub finished_at: Option<Time>,
    /// How long it is kept then.
    pub(crate) kept_seconds: i64,
    /// Which request it comes from.
    #[serde(default)]
    pub origin: Origin,
    /// What happened to it, at most the last forty things.
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
    /// What it says, sealed for its id if it may hold a secret; erased when it is over.
    #[serde(default, with = "serde_bytes")]
    pub(crate) contents: Option<Vec<u8>>,
    #[serde(default)]
    pub(crate) version: u64,
}

/// What a worker is to do with a job that it was told of. The first two changed the job, which is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Do it.
    Try,
    /// Nothing: too many tries were cut short, and it is given up.
    GivenUp,
    /// Nothing: it is over.
    Over,
    /// Nothing now: another worker has it, or its next attempt is not due.
    NotDue,
}

impl JobRecord {
    /// What names it.
    pub fn reference(&self) -> JobRef {
        JobRef {
            kind: self.kind.clone(),
            owner: self.owner,
            cause: self.cause.clone(),
            id: self.id,
        }
    }

    /// What tells its queue of it; nothing if it is not due soon, or there is no such queue any more.
    pub fn nudge(&self, now: Time) -> Option<Nudge> {
        nudge(now, self, Queue::named(&self.queue)?)
    }

    /// Grows with each change of it.
    pub fn changes(&self) -> u64 {
        self.version
    }

    /// Whether it was given up the last time that it was over.
    pub(crate) fn was_dead(&self) -> bool {
        let ends = [Event::Completed, Event::Dead, Event::Canceled];
        let last = self.history.iter().rev().find(|entry| ends.contains(&entry.event));
        last.is_some_and(|entry| entry.event == Event::Dead)
    }

    /// Takes it for a try under a lease, if it is due.
    pub(crate) fn begin(&mut self, now: Time, queue: &Queue) -> Begin {
        if !self.state.is_open() {
            return Begin::Over;
        }
        if self.is_lost(now) {
            self.lose(now);
        }
        match self.state {
            State::Dead => return Begin::GivenUp,
            State::Running => return Begin::NotDue,
            _ if now.plus_millis(SKEW) < self.due_at => return Begin::NotDue,
            _ => {}
        }
        self.state = State::Running;
        self.last_begun_at = Some(now);
        self.note(now, Event::Started, None);
        self.renew(now, queue);
        Begin::Try
    }

    /// Begins its worker's lease anew.
    pub(crate) fn renew(&mut self, now: Time, queue: &Queue) {
        self.due_at = now.plus_millis(millis(queue.lease));
    }

    /// Whether its worker's lease ended and nobody took it since.
    pub(crate) fn is_lost(&self, now: Time) -> bool {
        self.state == State::Running && now >= self.due_at
    }

    /// Notes that its worker was not heard of any more: it is to be done by another one, unless it cost too many of them.
    pub(crate) fn lose(&mut self, now: Time) {
        self.lost += 1;
        self.note(now, Event::Lost, None);
        self.rest();
        if self.lost >= MOST_LOST {
            self.give_up(now, format!("{MOST_LOST} tries were cut short"));
        }
    }

    /// Notes that its worker gives it back without an attempt; it is due again after a while.
    pub(crate) fn give_back(&mut self, now: Time, after: Duration) {
        // As if it had not begun, so that what is given back for hours does not push out what happened.
        let again = |event| matches!(event, Event::Started | Event::Returned);
        while self.history.last().is_some_and(|last| again(last.event)) {
            self.history.pop();
        }
        self.note(now, Event::Returned, None);
        self.rest();
        self.due_at = now.plus_millis(millis(after));
    }

    /// Notes that it was done.
    pub(crate) fn complete(&mut self, now: Time) {
        self.attempts += 1;
        self.error = None;
        self.note(now, Event::Completed, None);
        self.contents = None;
        self.finish(now, State::Completed);
    }

    /// Notes why an attempt failed. Another one is due after a pause, or after what the server asked for, unless this was the
    /// last.
    pub(crate) fn fail(&mut self, now: Time, queue: &Queue, why: &str, asked: Option<Duration>, random: u8) {
        self.attempts += 1;
        let why: String = why.chars().take(LONGEST_ERROR).collect();
        match queue.retry.pause_or(self.attempts, random, asked) {
            Some(pause) => {
                self.note(now, Event::Failed, Some(why.clone()));
                self.error = Some(why);
                self.rest();
                self.due_at = now.plus_millis(millis(pause));
            }
            None => self.give_up(now, why),
        }
    }

    /// Notes why an attempt failed, after which there is no other.
    pub(crate) fn die(&mut self, now: Time, why: &str) {
        self.attempts += 1;
        self.give_up(now, why.chars().take(LONGEST_ERROR).collect());
    }

    fn give_up(&mut self, now: Time, why: String) {
        self.note(now, Event::Dead, Some(why.clone()));
        self.error = Some(why);
        self.finish(now, State::Dead);
    }

    /// Has it tried again, at once and as often as if it were new; store it, then send [`JobRecord::nudge`]. 409
    /// `job_not_failed` unless an attempt failed.
    pub fn retry(&mut self, now: Time) -> Result<()> {
        if !matches!(self.state, State::Dead | State::Failed) {
            let detail = "only a job that failed or is dead can be tried again";
            return Err(Error::refused("job_not_failed", detail));
        }
        self.begin_anew(now);
        Ok(())
    }

    /// Has it done (again), at once and as often as if it were new, whatever became of it; store it, then send
    /// [`JobRecord::nudge`]. 409 `job_open` while it is still to be done.
    pub fn redo<J: Job>(&mut self, now: Time, job: &J) -> Result<()> {
        const { assert!(!J::SEALED, "what is sealed is done once") };
        if self.state.is_open() {
            return Err(Error::refused("job_open", "it is still to be done"));
        }
        self.contents = Some(serde_json::to_vec(job).with_context(|| format!("a job {}", J::KIND))?);
        self.begin_anew(now);
        Ok(())
    }

    fn begin_anew(&mut self, now: Time) {
        (self.attempts, self.lost) = (0, 0);
        (self.finished_at, self.progress) = (None, None);
        self.note(now, Event::Retried, None);
        self.state = State::Pending;
        self.due_at = now;
    }

    /// Notes that its worker found that it is not wanted any more.
    pub(crate) fn drop(&mut self, now: Time, why: &str) {
        let why: String = why.chars().take(LONGEST_ERROR).collect();
        self.note(now, Event::Canceled, Some(why.clone()));
        self.error = Some(why);
        self.contents = None;
        self.finish(now, State::Canceled);
    }

    /// Whether people may end it: what its queue says, and never what tells a person of their own account.
    pub fn is_cancelable(&self) -> bool {
        let is_accounts = matches!(self.owner, Owner::User(_));
        !is_accounts && Queue::named(&self.queue).is_none_or(Queue::is_cancelable)
    }

    /// Ends it without doing it. If a worker is at it, what that does may still happen, but nothing after it. 409 `job_over`
    /// when it is done; says whether anything changed.
    pub fn cancel(&mut self, now: Time) -> Result<bool> {
        match self.state {
            State::Canceled => return Ok(false),
            State::Completed => return Err(Error::refused("job_over", "the job is done")),
            _ => {}
        }
        self.note(now, Event::Canceled, None);
        self.contents = None;
        self.finish(now, State::Canceled);
        Ok(true)
    }

    /// What it is while nobody is at it.
    fn rest(&mut self) {
        self.state = if self.attempts > 0 {
            State::Failed
        } else {
            State::Pending
        };
    }

    fn finish(&mut self, now: Time, state: State) {
        self.state = state;
        self.finished_at = Some(now);
    }

    /// Adds to the last thing that happened what was measured of it.
    pub(crate) fn measured(&mut self, measured: Measured) {
        if let Some(last) = self.history.last_mut() {
            last.status_code = measured.status_code;
            last.duration_ms = Some(measured.duration_ms);
        }
    }

    fn note(&mut self, at: Time, event: Event, error: Option<String>) {
        self.history.push(HistoryEntry {
            at,
            event,
            error,
            status_code: None,
            duration_ms: None,
        });
        if self.history.len() > MOST_HISTORY {
            self.history.remove(0);
        }
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
