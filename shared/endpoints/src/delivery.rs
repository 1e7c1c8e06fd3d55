//! A delivery: that one endpoint is told of one fact. A job, with what became of each attempt in its history.

use app::App;
use jobs::{Event, Job, JobKey, JobRecord, Owner, Place, Queue, State};
use kernel::policy::ReadWebhooks;
use kernel::{JobId, MessageId, OrgId, Result, Scope, Time, WebhookId};
use outbox::{FactRef, Told};
use serde::{Deserialize, Serialize};
use table::{Page, Slice};

use crate::Endpoint;

/// That one endpoint is told of one fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Whose it is.
    pub org: OrgId,
    /// Whom it goes to.
    pub endpoint: WebhookId,
    /// What is told.
    pub message: MessageId,
    /// Its name.
    pub event: String,
    /// When it happened.
    pub at: Time,
}

impl Job for Delivery {
    const KIND: &'static str = "delivery";
    const QUEUE: &'static Queue = &jobs::queue::DELIVERIES;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.org), self.endpoint)
    }

    fn label(&self) -> Option<String> {
        Some(format!("{} {}", self.event, self.message))
    }

    /// One for each fact and endpoint, whatever became of it.
    fn key(&self) -> Option<JobKey> {
        Some(JobKey::once(format!("{} {}", self.message, self.endpoint), self.at))
    }

    /// A dead endpoint never delays another.
    fn group(&self) -> String {
        self.endpoint.to_string()
    }
}

impl Delivery {
    /// That an endpoint is told of a fact.
    pub(crate) fn of(endpoint: WebhookId, fact: &Told) -> Self {
        Self {
            org: fact.org,
            endpoint,
            message: fact.id,
            event: fact.fact.clone(),
            at: fact.at,
        }
    }

    /// What is delivered by a job that is stored; nothing if it is no delivery.
    pub(crate) fn by(job: &JobRecord) -> Option<Self> {
        let (event, message) = job.label.as_deref()?.split_once(' ')?;
        let (Owner::Org(org), true) = (job.owner, job.kind == Self::KIND) else {
            return None;
        };
        Some(Self {
            org,
            endpoint: job.cause.parse().ok()?,
            message: message.parse().ok()?,
            event: event.to_owned(),
            at: job.id.time(),
        })
    }

    /// The fact.
    pub(crate) fn fact(&self) -> FactRef {
        FactRef {
            org: self.org,
            id: self.message,
        }
    }
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// An attempt is due or under way.
    Pending,
    /// The endpoint answered 2xx.
    Succeeded,
    /// All attempts failed.
    Exhausted,
    /// It ended early: the endpoint answered 410, may not be called, or was deleted.
    Failed,
    /// The endpoint was disabled.
    Skipped,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryAttempt)]
pub struct Attempt {
    /// When it ended.
    pub at: Time,
    /// What the endpoint answered; null if it did not.
    #[schema(required, example = 204)]
    pub status_code: Option<u16>,
    /// How long it took.
    #[schema(example = 87)]
    pub duration_ms: u64,
    /// Why it failed, in one word, such as `timeout` or `unreachable`; null if it did not.
    #[schema(required, example = "status")]
    pub error: Option<String>,
}

/// A delivery, as it is shown.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// Its id.
    pub id: JobId,
    /// The subscription whose endpoint is told.
    pub subscription_id: WebhookId,
    /// What the endpoint knows the event by: the header `webhook-id`.
    pub message_id: MessageId,
    /// The name of the event.
    #[schema(example = "invoice.paid")]
    pub event_type: String,
    /// What became of it.
    pub status: DeliveryStatus,
    /// Its attempts, the first one first.
    pub attempts: Vec<Attempt>,
    /// When the next one is due.
    #[schema(required)]
    pub next_attempt_at: Option<Time>,
    /// When the event happened.
    pub created_at: Time,
}

impl DeliveryView {
    /// Shows a job that is a delivery; nothing if it is something else.
    pub fn of(job: &JobRecord) -> Option<Self> {
        let delivery = Delivery::by(job)?;
        let attempts: Vec<_> = job.history.iter().filter_map(attempt).collect();
        let status = match job.state {
            State::Completed => DeliveryStatus::Succeeded,
            State::Canceled => DeliveryStatus::Skipped,
            // One that ends early does so before its last attempt, or says so itself.
            State::Dead if job.attempts >= jobs::queue::DELIVERIES.retry.attempts() && !has_ended_early(&attempts) => {
                DeliveryStatus::Exhausted
            }
            State::Dead => DeliveryStatus::Failed,
            State::Pending | State::Running | State::Failed => DeliveryStatus::Pending,
        };
        let waits = matches!(job.state, State::Pending | State::Failed);
        Some(Self {
            id: job.id,
            subscription_id: delivery.endpoint,
            message_id: delivery.message,
            event_type: delivery.event,
            status,
            attempts,
            next_attempt_at: waits.then_some(job.due_at),
            created_at: delivery.at,
        })
    }
}

impl DeliveryView {
    /// As it is with one attempt more, by which it came to this.
    pub(crate) fn after(mut self, status: DeliveryStatus, attempt: Attempt) -> Self {
        (self.status, self.next_attempt_at) = (status, None);
        self.attempts.push(attempt);
        self
    }
}

/// What of a job's history is an attempt that came to an end.
fn attempt(entry: &jobs::HistoryEntry) -> Option<Attempt> {
    let is_end = matches!(entry.event, Event::Completed | Event::Failed | Event::Dead);
    let duration_ms = entry.duration_ms.filter(|_| is_end)?;
    Some(Attempt {
        at: entry.at,
        status_code: entry.status_code,
        duration_ms,
        error: entry.error.clone(),
    })
}

fn has_ended_early(attempts: &[Attempt]) -> bool {
    let last = attempts.last().and_then(|last| last.error.as_deref());
    last.is_some_and(|word| ["gone", "refused", "deleted", "not_kept", "secret_lost"].contains(&word))
}

/// Reads one page of what became of the events for an endpoint, newest first.
pub async fn list(
    app: &App,
    scope: &Scope<ReadWebhooks>,
    endpoint: &Endpoint,
    slice: Slice,
) -> Result<Page<DeliveryView>> {
    let page = jobs::store::of_cause_in(&app.table, scope, &endpoint.id.to_string(), slice).await?;
    Ok(Page {
        records: page.records.iter().filter_map(DeliveryView::of).collect(),
        next: page.next,
    })
}
