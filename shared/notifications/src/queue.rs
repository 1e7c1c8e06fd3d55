//! The notifier's queue. What it carries only names jobs, so nothing is lost with a message.

use std::time::Duration;

use app::{Outgoing, Queue, Queues};
use kernel::Time;

use crate::job::JobRef;

const NOTICES: Queue = Queue("NOTIFICATION_QUEUE_URL");

/// Tells the notifier of jobs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NoticeQueue(Queues);

impl NoticeQueue {
    /// The queue of `NOTIFICATION_QUEUE_URL`.
    pub fn of(queues: &Queues) -> Self {
        Self(queues.clone())
    }

    /// Tells the notifier of jobs. Best effort: the sweeper finds those it does not learn of.
    pub async fn nudge(&self, jobs: &[JobRef]) {
        self.send(jobs, Duration::ZERO).await;
    }

    /// Tells the notifier of a job once it is due. Best effort as well.
    pub async fn nudge_at(&self, now: Time, due: Time, job: &JobRef) {
        // A second more for clocks that differ: a message that comes early finds nothing to do.
        let delay = u64::try_from(due.millis() - now.millis() + Time::SECOND).unwrap_or(0);
        self.send(std::slice::from_ref(job), Duration::from_millis(delay)).await;
    }

    async fn send(&self, jobs: &[JobRef], delay: Duration) {
        let message = |job| {
            let body = serde_json::to_string(job).ok()?;
            Some(Outgoing {
                delay,
                ..Outgoing::now(body)
            })
        };
        let messages: Vec<Outgoing> = jobs.iter().filter_map(message).collect();
        self.0.nudge(NOTICES, &messages).await;
    }
}
