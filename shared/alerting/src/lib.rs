//! Alerts: rules over a project's metrics, looked at each minute; their incidents, and the notices they send.
//!
//! | entity | key | what it is |
//! |---|---|---|
//! | alert    | `ORG#<org>#ALERTS` / `<alert>` | the rule, and whether it fires; in the index of its shard while it is enabled |
//! | roster   | `PRJ#<project>#ALERTS` / `ROSTER` | which alerts a project has, at most 200 |
//! | incident | `ORG#<org>#ALERT#<alert>` / `<incident>` | one time in which it fired |
//!
//! A schedule finds the enabled alerts, shard by shard, and puts their ids on a queue; an evaluator reads each
//! project's numbers once, and writes only where a status changes.
//!
//! Invariants:
//! - An alert's status, its incident, its notice and what is told of it are written in one transaction, under the alert's version. So
//!   whatever comes twice, late or in any order, and whoever dies in between: one incident and one notice for each change.
//! - Notices alternate: fired, resolved, fired. Each that fired is followed by one that it is resolved, also when the
//!   alert is disabled or deleted, or its project is.
//! - After a notice that it fired, an alert does not fire again before its cool-down is over.
//!
//! # Known bounds
//!
//! - 25,000 enabled alerts a shard, past which the schedule fails loudly.
//! - Names past the first 1,000 of a day count as `other`, also for an alert that wants one of them.

pub mod alert;
pub mod due;
pub mod evaluation;
pub mod facts;
pub mod incident;
pub mod notice;
pub mod target;

pub use alert::Alert;
pub use incident::Incident;
pub use notice::Notices;
