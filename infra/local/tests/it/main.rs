//! The commands of `cargo local`, over the real function processes of the repository's own template.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod alerts;
mod audit;
mod billing;
mod demo;
mod golden_path;
mod limits;
mod oidc;
mod payments;
mod reliability;
mod replay;
mod traces;
mod wallets;
