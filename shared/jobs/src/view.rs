//! A job, as it is shown to those who may see it: never what it says, which may be secret.

use kernel::{JobId, OrgId, Time};
use serde::Serialize;

use crate::record::{HistoryEntry, JobRecord, Owner, State};

/// A job, as it is shown.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub struct JobView {
    /// Its id, the same at every attempt.
    id: JobId,
    /// The organization that it is for; nothing for what is about a person's account alone.
    #[schema(required)]
    org_id: Option<OrgId>,
    /// Its queue.
    #[schema(example = "notifications")]
    queue: String,
    /// What it is.
    #[serde(rename = "type")]
    #[schema(example = "mail")]
    kind: String,
    /// What became of it.
    status: State,
    /// How often a worker began it, since it was made or somebody had it tried again; what a worker gave back does not count, what
    /// it lost does.
    attempts: u32,
    /// When it was made.
    created_at: Time,
    /// When it is tried (again); nothing while it runs, and once it is over.
    #[schema(required)]
    next_attempt_at: Option<Time>,
    /// What happened to it, oldest first: at most the last forty things.
    history: Vec<HistoryEntry>,
}

impl From<JobRecord> for JobView {
    fn from(job: JobRecord) -> Self {
        let waits = matches!(job.state, State::Pending | State::Failed);
        let runs = job.state == State::Running;
        Self {
            id: job.id,
            org_id: match job.owner {
                Owner::Org(org) => Some(org),
                Owner::User(_) => None,
            },
            queue: job.queue,
            kind: job.kind,
            status: job.state,
            attempts: job.attempts + job.lost + u32::from(runs),
            created_at: job.created_at,
            next_attempt_at: waits.then_some(job.due_at),
            history: job.history,
        }
    }
}
