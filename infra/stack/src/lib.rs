//! A SAM template on one machine, without containers: any template, as far as it keeps to what is served. What is not
//! served is an error that names it, never skipped.
//!
//! - [`template`]: what the template says: functions, routes, queues, tables, schedules, policies.
//! - [`aws`]: the AWS services on one port, policies checked; tests embed one set each.
//! - [`runtime`]: function processes and the Lambda Runtime API they talk to.
//! - [`gateway`]: the HTTP API (payload 2.0): routes, events, replies, CORS.
//! - [`poller`], [`schedule`]: what calls functions besides HTTP.
//! - [`chaos`]: what goes wrong where the stack is told to be cruel.
//! - [`traces`]: the daemon that takes what functions record of their way.
//! - [`Stack`]: all of it together, by a [`Plan`]; [`front`]: its port; [`aids`]: what the port tells developers.
//! - [`data`], [`clock`], [`build`]: the folder it keeps its data in, the time it goes by, the programs it runs.
//!
//! It knows no product: whoever runs a template brings its parameters, its secrets and its programs along.

pub mod aids;
mod assembly;
pub mod aws;
pub mod build;
pub mod chaos;
pub mod clock;
pub mod data;
pub mod front;
pub mod gateway;
pub mod metrics;
pub mod poller;
pub mod runtime;
pub mod schedule;
pub mod template;
pub mod traces;

pub use assembly::{Plan, Stack};
