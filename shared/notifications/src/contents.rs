//! What a notice says, as it lies sealed in its job.

use serde::{Deserialize, Serialize};

use crate::mails::Mail;

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum Contents {
    /// A mail.
    Email(Mail),
    /// A webhook call.
    Webhook(Webhook),
}

/// A webhook call, without what belongs to one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where it goes.
    pub url: String,
    /// Signs it: `whsec_` and base64.
    pub secret: String,
    /// What is posted: `{"type":…,"timestamp":…,"data":…}`.
    pub body: String,
}
