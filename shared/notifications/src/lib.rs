//! Notices: mails, signed webhook calls and messages to browsers that an action causes, sent by workers.
//!
//! Each is a job ([`MailNotice`], [`WebhookNotice`], [`push::PushNotice`]): stored in the transaction of its cause, so neither exists without
//! the other, and sent at least once, with the same id each time. Mails and webhooks have queues and workers of their own, so
//! that a target that is silent holds up no mail. What a notice says is sealed, for it may hold a token or a secret, and
//! erased once it is sent. An address that mail came back from, or whose reader complained, gets less or none
//! ([`suppression`]).
//!
//! # Known bounds
//!
//! - Ten workers take ten webhooks at once each, so a hundred targets that do not answer hold the others' webhooks for up
//!   to 15 s (never a mail); SQS serves quiet hosts first. Breakers for each endpoint come with the webhook product.
//! - A browser that subscribed to a key which never comes back stays in the list, and is told nothing, until it subscribes anew.
//! - An address that was silenced before it was kept whose mail did is re-enabled by whose it is alone.
//! - Two people who use one browser with one profile are told there what each of them is told.

mod desk;
pub mod mails;
mod notice;
pub mod push;
pub mod suppression;
mod topic;
mod view;
pub mod webhook;

pub use desk::{Desk, Job};
pub use jobs::Owner;
pub use mails::{Attachment, Letter, Line, Mail};
pub use notice::{MailNotice, WebhookNotice};
pub use suppression::Suppression;
pub use topic::Topic;
pub use view::{Channel, JobState, JobView};
