//! Notices: mails and signed webhook calls that an action causes, sent by workers.
//!
//! A notice is a job. It is written in the transaction of its cause, so neither exists without the other; after the
//! commit the queue is told, and `sweeper` finds what a crash left. The record is the truth: a message on the queue
//! only names it. What the notice says is sealed (it may hold a token or a secret) and erased when the job is over.
//! A job is sent at least once, with the same id each time.
//!
//! Access: find a job by its name; list those of a cause, newest first; find those that are due, by shard.
//!
//! # Known bounds
//!
//! - Five workers take ten notices at once each, so fifty targets that do not answer hold the queue for up to 15 s.

mod contents;
mod desk;
pub mod job;
pub mod mails;
mod queue;
pub mod webhook;

pub use contents::{Contents, Webhook};
pub use desk::Desk;
pub use job::{Begin, Channel, Failure, Job, JobRef, JobState, JobView, Owner};
pub use mails::{Letter, Mail};
pub use queue::NoticeQueue;
