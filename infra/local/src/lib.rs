//! The stack on one machine, run from `template.yaml`, without containers.
//!
//! - [`template`]: what the template says: functions, routes, queues, tables, schedules, policies.
//! - [`aws`]: DynamoDB, SQS, SES and SSM on one port; tests embed one set each.
//! - [`runtime`]: function processes and the Lambda Runtime API they talk to.
//! - [`gateway`]: the HTTP API (payload 2.0): routes, events, replies, CORS.
//! - [`poller`], [`schedule`]: what calls functions besides HTTP.
//! - [`stack`]: all of it together, on a data folder; [`up`], [`invoke`], [`demo`]: the commands on top.
//! - [`chaos`]: what goes wrong where the stack is told to be cruel; [`reliability`]: that nothing is lost then.
//! - [`bench`]: the figures of `cargo local bench`.
//! - [`replay`], [`access_log`], [`sample`]: an access log as events.
//! - [`audit`]: verifying an export of the audit trail.

pub mod access_log;
pub mod aids;
pub mod audit;
pub mod aws;
pub mod bench;
pub mod build;
pub mod chaos;
pub mod clock;
pub mod data;
pub mod demo;
pub mod gateway;
pub mod invoke;
pub mod keys;
pub mod poller;
pub mod reliability;
pub mod replay;
pub mod runtime;
pub mod sample;
pub mod schedule;
pub mod stack;
pub mod template;
pub mod up;
