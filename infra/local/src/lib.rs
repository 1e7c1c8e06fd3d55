//! `cargo local`: this product on the local stack, which is the crate `stack`.
//!
//! - [`up`], [`invoke`], [`demo`]: the commands on top; [`secrets`], [`keys`]: what they make for the template.
//! - [`payments`]: where payments are taken.
//! - [`reliability`]: that nothing is lost where the stack is cruel.
//! - [`bench`]: the figures of `cargo local bench`.
//! - [`replay`], [`access_log`], [`sample`]: an access log as events.
//! - [`audit`]: verifying an export of the audit trail.

pub mod access_log;
pub mod audit;
pub mod bench;
pub mod demo;
pub mod invoke;
pub mod keys;
pub mod payments;
pub mod reliability;
pub mod replay;
pub mod sample;
pub mod secrets;
pub mod up;
