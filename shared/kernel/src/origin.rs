//! Where an act comes from: which request or message, which trace, and what a request has claimed so that it is done
//! once. Whoever takes the request makes it, a scope carries it, whoever commits reads it. Pure.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum_core::extract::FromRequestParts;
use http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::Time;
use crate::seal::Keyring;

/// Where an act comes from. By default from nowhere: the system acts by itself. It is stored and sent with whatever
/// happens later because of the act, so that this comes from there too.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The id of the request.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request: String,
    /// The trace that it belongs to, as a `traceparent` of W3C Trace Context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// What the request claimed, if it is to be done once. The request's alone: what happens later has none.
    #[serde(skip)]
    pub claim: Option<Claim>,
}

impl Origin {
    /// What an earlier try of this request began and did not finish, as its commit named it: go on with that, and begin
    /// nothing anew.
    pub fn resumed(&self) -> Option<&str> {
        self.claim.as_ref()?.resumed.as_deref()
    }

    /// The same, within a span of its trace if there is one.
    #[must_use]
    pub fn within(&self, span: Option<String>) -> Self {
        Self {
            trace: span.or_else(|| self.trace.clone()),
            ..self.clone()
        }
    }

    /// Where what happens later because of this comes from: the same request, without its claim.
    #[must_use]
    pub fn for_later(&self) -> Self {
        Self {
            request: self.request.clone(),
            trace: self.trace.clone(),
            claim: None,
        }
    }
}

/// That of the request; the outermost layer puts it there.
impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// A request's claim to be done once: its place in the store, and how far the request is. Clones share the latter.
#[derive(Clone)]
pub struct Claim {
    /// Whose name space it lies in.
    pub owner: String,
    /// Its name there.
    pub name: String,
    /// What tells the request from others with the same key.
    pub fingerprint: Vec<u8>,
    /// What its reply is sealed with, …
    pub keys: Arc<Keyring>,
    /// … and for. Holds the client's key: not to be logged.
    pub context: String,
    /// Until when it is this request's.
    pub until: Time,
    /// What an earlier try began.
    pub resumed: Option<String>,
    /// How far the request is.
    pub progress: Progress,
}

/// How far a request with a claim is. Clones share it.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<Step>>);

/// The last step that was stored of a request with a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The version of the claim's record.
    pub version: u64,
    /// What it says.
    pub stored: Stored,
}

/// What the record of a claim says of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// That somebody claimed it.
    Nothing,
    /// What was begun, to be resumed by whoever comes again.
    Begun(String),
    /// What was done, but not what was replied.
    Effect(String),
    /// What was replied.
    Reply,
}

impl Progress {
    /// A request whose claim was just stored.
    pub fn new(version: u64, stored: Stored) -> Self {
        Self(Arc::new(Mutex::new(Step { version, stored })))
    }

    /// The last step.
    pub fn last(&self) -> Step {
        self.lock().clone()
    }

    /// Notes that the claim's record was stored once more.
    pub fn step(&self, stored: Stored) {
        let mut step = self.lock();
        step.version += 1;
        step.stored = stored;
    }

    fn lock(&self) -> MutexGuard<'_, Step> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("owner", &self.owner)
            .field("name", &self.name)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// A stored thing that the caller's standing rests on: what they do is done only if it is as the guard saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The environment variable that holds the name of its table.
    pub table: &'static str,
    /// Its partition.
    pub pk: String,
    /// Its place in the partition.
    pub sk: String,
    /// How it must be.
    pub still: Still,
}

/// How an anchor must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Still {
    /// Of this version: the caller is who they were. Else `Denied`.
    Version(u64),
    /// There, without this attribute: what the caller acts in was not deleted. Else it is absent for them: `NotFound`.
    Without {
        /// The attribute.
        attribute: &'static str,
        /// What it is that was deleted, in words.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_claim_know_how_far_the_request_is_and_show_no_key() {
        let claim = Claim {
            owner: "ORG".to_owned(),
            name: "ab".to_owned(),
            fingerprint: Vec::new(),
            keys: Arc::new(format!("1:{}", "ab".repeat(32)).parse().unwrap()),
            context: "ORG\n/v1/payments\nmy-key".to_owned(),
            until: Time::from_millis(1),
            resumed: None,
            progress: Progress::new(1, Stored::Nothing),
        };
        let effect = Stored::Effect("payment pay_1".to_owned());
        claim.clone().progress.step(effect.clone());
        let step = Step {
            version: 2,
            stored: effect,
        };
        assert_eq!(claim.progress.last(), step);
        assert!(!format!("{claim:?}").contains("my-key"));

        let origin = Origin {
            request: "req-1".to_owned(),
            trace: None,
            claim: Some(claim),
        };
        assert!(origin.for_later().claim.is_none());
        // Nor is it stored or sent.
        assert_eq!(serde_json::to_string(&origin).unwrap(), r#"{"request":"req-1"}"#);
        let read: Origin = serde_json::from_str("{}").unwrap();
        assert!(read.request.is_empty() && read.trace.is_none());
    }
}
