//! A notice of an alert, as it is shown.

use jobs::{Job, JobRecord, State};
use kernel::{JobId, Time};
use serde::{Deserialize, Serialize};

use crate::notice::WebhookNotice;
use crate::webhook;

/// By what way a notice goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A mail.
    Email,
    /// A signed HTTP call.
    Webhook,
}

impl Channel {
    /// What is shown of where notices go by it: an address, or of a URL no more than [`webhook::shown`].
    pub fn shown(self, target: &str) -> String {
        match self {
            Self::Email => target.to_owned(),
            Self::Webhook => webhook::shown(target),
        }
    }
}

/// What became of a notice.
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

impl From<State> for JobState {
    fn from(state: State) -> Self {
        match state {
            State::Pending | State::Running | State::Failed => Self::Pending,
            State::Completed => Self::Sent,
            State::Dead | State::Canceled => Self::Failed,
        }
    }
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

impl From<JobRecord> for JobView {
    fn from(job: JobRecord) -> Self {
        let channel = if job.kind == WebhookNotice::KIND {
            Channel::Webhook
        } else {
            Channel::Email
        };
        Self {
            id: job.id,
            alert_id: job.cause,
            channel,
            // Jobs of before have the whole URL.
            target: channel.shown(&job.label.unwrap_or_default()),
            status: job.state.into(),
            attempts: job.attempts,
            last_tried_at: job.last_begun_at,
            error_message: job.error,
            created_at: job.created_at,
        }
    }
}
