//! A job: one notice on its way, and what became of it. Pure: time and randomness are passed in.

pub mod store;

use std::fmt;
use std::str::FromStr;

use kernel::{JobId, OrgId, Time, UserId};
use serde::{Deserialize, Serialize};

/// A job is tried this often.
pub const ATTEMPTS: u32 = 3;
/// Tries that a crash cut short do not count among the attempts, but a job is begun no more than this often.
const MOST_BEGUN: u32 = 12;
/// How long a worker has a job for itself: longer than the notifier's timeout of 30 s, so that one who holds a job
/// that another one takes over is surely dead.
pub const LEASE_SECONDS: i64 = 60;
/// The pause after the first failed attempt; it doubles with each further one.
const BASE_MILLIS: i64 = 5 * Time::SECOND;
/// How long a job that is over is kept.
const KEPT_MILLIS: i64 = 90 * Time::DAY;
/// Why something failed is shown up to this length.
const LONGEST_MESSAGE: usize = 500;

/// Whose partition a job lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Owner {
    /// An organization: its members may see the job.
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

    fn from_str(text: &str) -> Result<Self, Self::Err> {
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

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// By what way a notice goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A mail.
    Email,
    /// A signed HTTP call.
    Webhook,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It is still to be sent, or to be tried again.
    Pending,
    /// It was taken by the mail service, or answered with a 2xx status.
    Sent,
    /// It was given up.
    Failed,
}

/// Names a job: what the queue carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobRef {
    /// Whose partition it lies in.
    pub owner: Owner,
    /// What caused it.
    pub cause: String,
    /// Its id.
    pub id: JobId,
}

/// One notice on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its id; receivers know a repeat by it.
    pub id: JobId,
    /// Whose partition it lies in.
    pub owner: Owner,
    /// What caused it: an alert's id, or a word such as `password_reset`.
    pub cause: String,
    /// By what way it goes.
    pub channel: Channel,
    /// To which address or URL.
    pub target: String,
    /// What became of it.
    pub state: JobState,
    /// How many attempts came to an end.
    pub attempts: u32,
    /// How often a worker began.
    begun: u32,
    /// When it may be tried (again). A worker that begins moves it to the end of its lease.
    pub due_at: Time,
    /// When it was last begun.
    pub last_tried_at: Option<Time>,
    /// Why the last attempt failed.
    pub error_message: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it was over.
    pub finished_at: Option<Time>,
    /// What it says, sealed for its id; erased when it is over.
    #[serde(default, with = "serde_bytes")]
    pub(crate) contents: Option<Vec<u8>>,
    #[serde(default)]
    version: u64,
}

/// What a worker is to do with a job that it was told of. The first two changed the job, which is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Send it.
    Try,
    /// Nothing: it was begun too often and is given up.
    GivenUp,
    /// Nothing: it is over.
    Over,
    /// Nothing now: another worker has it, or its next attempt is not due.
    NotDue,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For the person who looks at the job; never a secret.
    pub message: String,
    /// Whether another attempt would fail as well.
    pub is_final: bool,
}

impl Job {
    pub(crate) fn new(now: Time, owner: Owner, cause: &str, channel: Channel, target: &str) -> Self {
        Self {
            id: JobId::new(now),
            owner,
            cause: cause.to_owned(),
            channel,
            target: target.to_owned(),
            state: JobState::Pending,
            attempts: 0,
            begun: 0,
            due_at: now,
            last_tried_at: None,
            error_message: None,
            created_at: now,
            finished_at: None,
            contents: None,
            version: 0,
        }
    }

    /// What names it.
    pub fn reference(&self) -> JobRef {
        JobRef {
            owner: self.owner,
            cause: self.cause.clone(),
            id: self.id,
        }
    }

    /// Takes it for a try, if it is due.
    pub fn begin(&mut self, now: Time) -> Begin {
        if self.state != JobState::Pending {
            return Begin::Over;
        }
        // The first time it is due at once, also for a worker whose clock is behind that of who made it.
        if self.begun > 0 && now < self.due_at {
            return Begin::NotDue;
        }
        if self.begun >= MOST_BEGUN {
            self.error_message = Some(format!("{MOST_BEGUN} tries were cut short"));
            self.finish(now, JobState::Failed);
            return Begin::GivenUp;
        }
        self.begun += 1;
        self.last_tried_at = Some(now);
        self.due_at = now.plus_seconds(LEASE_SECONDS);
        Begin::Try
    }

    /// Notes that it was sent.
    pub fn succeed(&mut self, now: Time) {
        self.attempts += 1;
        self.error_message = None;
        self.finish(now, JobState::Sent);
    }

    /// Notes why an attempt failed. Another one is due after a pause, unless this was the last or another would fail
    /// as well. `random` makes up to half of the pause, so that jobs that failed together are not tried together.
    pub fn fail(&mut self, now: Time, failure: &Failure, random: u8) {
        self.attempts += 1;
        self.error_message = Some(failure.message.chars().take(LONGEST_MESSAGE).collect());
        if failure.is_final || self.attempts >= ATTEMPTS {
            self.finish(now, JobState::Failed);
        } else {
            self.due_at = now.plus_millis(pause_millis(self.attempts, random));
        }
    }

    fn finish(&mut self, now: Time, state: JobState) {
        self.state = state;
        self.finished_at = Some(now);
        self.contents = None;
    }
}

/// 5 s after the first attempt, 10 s after the second, and up to half of it more.
fn pause_millis(attempts: u32, random: u8) -> i64 {
    let pause = BASE_MILLIS << attempts.saturating_sub(1).min(16);
    pause + pause / 2 * i64::from(random) / i64::from(u8::MAX)
}

/// A notice of an alert, as it is shown.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// Its id.
    id: JobId,
    /// The alert that caused it.
    #[schema(example = "alr_01m7zckcm3e00a33pgpyxya6y8")]
    alert_id: String,
    /// By what way it goes.
    channel: Channel,
    /// To which address or URL.
    #[schema(example = "ops@example.com")]
    target: String,
    /// What became of it.
    status: JobState,
    /// How many attempts came to an end.
    attempts: u32,
    /// When it was last tried.
    #[schema(required)]
    last_tried_at: Option<Time>,
    /// Why the last attempt failed.
    #[schema(required, example = "the target answered 503")]
    error_message: Option<String>,
    /// When the alert caused it.
    created_at: Time,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        Self {
            id: job.id,
            alert_id: job.cause,
            channel: job.channel,
            target: job.target,
            status: job.state,
            attempts: job.attempts,
            last_tried_at: job.last_tried_at,
            error_message: job.error_message,
            created_at: job.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn job() -> Job {
        let mut job = Job::new(
            NOW,
            Owner::User(UserId::new(NOW)),
            "test",
            Channel::Email,
            "ada@example.com",
        );
        job.contents = Some(vec![1]);
        job
    }

    fn failure(is_final: bool) -> Failure {
        let message = "no".to_owned();
        Failure { message, is_final }
    }

    #[test]
    fn a_job_is_tried_three_times_with_longer_and_longer_pauses() {
        let mut job = job();
        let mut now = NOW;
        for pause in [5, 10] {
            assert_eq!(job.begin(now), Begin::Try);
            job.fail(now, &failure(false), 0);
            assert_eq!((job.state, job.due_at), (JobState::Pending, now.plus_seconds(pause)));
            assert_eq!(job.begin(now.plus_seconds(pause - 1)), Begin::NotDue);
            now = job.due_at;
        }
        assert_eq!(job.begin(now), Begin::Try);
        job.fail(now, &failure(false), 0);
        assert_eq!((job.state, job.attempts), (JobState::Failed, 3));
        assert_eq!((job.finished_at, job.contents.is_none()), (Some(now), true));
        assert_eq!(job.begin(now.plus_seconds(3_600)), Begin::Over);
    }

    #[test]
    fn a_job_that_is_being_tried_is_nobody_elses_until_the_lease_ends() {
        let mut job = job();
        assert_eq!(job.begin(NOW), Begin::Try);
        assert_eq!(job.begin(NOW.plus_seconds(LEASE_SECONDS - 1)), Begin::NotDue);
        assert_eq!(job.begin(NOW.plus_seconds(LEASE_SECONDS)), Begin::Try);
        assert_eq!(job.attempts, 0, "what a crash cut short is no attempt");
    }

    #[test]
    fn a_job_that_kills_its_workers_is_given_up() {
        let mut job = job();
        let mut now = NOW;
        for _ in 0..MOST_BEGUN {
            assert_eq!(job.begin(now), Begin::Try);
            now = job.due_at;
        }
        assert_eq!(job.begin(now), Begin::GivenUp);
        assert_eq!(job.state, JobState::Failed);
        assert!(job.contents.is_none() && job.error_message.is_some());
    }

    #[test]
    fn what_would_fail_again_is_not_tried_again() {
        let mut job = job();
        job.begin(NOW);
        job.fail(NOW, &failure(true), 0);
        assert_eq!((job.state, job.attempts), (JobState::Failed, 1));
    }

    #[test]
    fn an_owner_is_named_by_its_id() {
        let owner = Owner::Org(OrgId::new(NOW));
        assert_eq!(owner.to_string().parse::<Owner>(), Ok(owner));
        assert!("prj_01mcc5rm00ead9ttpnkqfb058v".parse::<Owner>().is_err());
    }

    proptest! {
        #[test]
        fn the_random_part_of_a_pause_is_bounded(attempts: u32, random: u8) {
            let pause = pause_millis(attempts, random);
            let least = pause_millis(attempts, 0);
            prop_assert!(least <= pause && pause <= least + least / 2);
        }

        #[test]
        fn longer_messages_are_cut(message in "\\PC{0,900}") {
            let mut job = job();
            job.fail(NOW, &Failure { message, is_final: false }, 0);
            prop_assert!(job.error_message.unwrap().chars().count() <= LONGEST_MESSAGE);
        }
    }
}
