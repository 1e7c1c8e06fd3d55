//! Webhooks out: endpoints of organizations that subscribe to what happens, and the calls that tell them.
//!
//! ```text
//! fact (outbox) ──► Fanout: a Delivery for each endpoint that wants it ──► deliver: one signed call an attempt
//! ```
//!
//! A [`Delivery`] is a job, keyed by its fact and its endpoint: so a fact that is told twice is delivered once, and what became of
//! each attempt stands in the job's history. Its body is the fact as it was stored, so every attempt and replay sends the same
//! bytes under the same id. What an endpoint did lately ([`Health`](endpoint::Health)) decides when it is disabled.
//!
//! Access: an endpoint by its id, all of an organization; its deliveries are the jobs that it causes. `endpoint/store.rs` has
//! the keys.
//!
//! Known bounds: an organization has at most 100 endpoints; what happened is kept for 30 days, and so is what became of its
//! deliveries; a process that dies between telling that a delivery is exhausted and noting it tells that twice.

pub mod call;
pub mod delivery;
pub mod endpoint;
pub mod events;
pub mod facts;
mod fanout;
pub mod log;
mod mails;
mod replay;
mod signing;
mod worker;

pub use delivery::{Delivery, DeliveryView};
pub use endpoint::{Endpoint, EndpointPatch, EndpointView, NewEndpoint, SignedEndpointView};
pub use fanout::Fanout;
pub use mails::Mails;
pub use replay::Replay;
pub use worker::{Deliverer, replay_one, replay_since, try_out};
