//! HTTP calls to servers that others name: webhook targets, identity providers. One client with timeouts, no redirects,
//! no proxies, bounded replies, and a guard against server-side request forgery (SSRF).
//!
//! The guard stands at every connection: the addresses that a name resolves to are checked, and the connection goes to
//! those and no others, so a name that resolves to something else a moment later gains nothing. [`check`] tells early
//! what can be told without resolving a name.

mod client;
mod guard;
mod patience;

pub use client::{Client, Failure, Reply, Request};
pub use guard::{AllowList, Refused, check, is_public};
pub use patience::retry_after;
pub use reqwest::dns::{Addrs, Name, Resolve, Resolving};
pub use reqwest::{Method, StatusCode, Url, header};
