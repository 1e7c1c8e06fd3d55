//! The guard of servers: a call with an API key passes if its limits and its organization's wallet admit it, both or
//! neither. What it costs is held before anything is done, paid once it is done, and given back if it fails.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use identity::ApiKey;
use kernel::{Caller, Result};
use lambda::Problem;
use metering::{Admission, Buyer, Charge, Meter, Operation};

use crate::gate::{self, Gate};
use crate::once;

/// What a group of routes wants of its callers.
#[derive(Clone, Debug)]
pub(crate) struct Till {
    pub(crate) gate: Gate,
    pub(crate) meter: Meter,
    pub(crate) operation: Operation,
}

/// That a call may be made, as it waits for who says what is paid for.
#[derive(Clone, Debug)]
struct Admitted(Arc<Mutex<Option<Admission>>>);

impl Admitted {
    fn take(&self) -> Option<Admission> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What is held for a call. A handler that takes it reports what it sells of it; dropped, the call costs nothing.
#[derive(Debug)]
pub struct Metered(Option<Admission>);

impl Metered {
    /// Holds what so many operations cost, all of them or none. 402 if that is not there.
    pub async fn cover(self, times: usize) -> Result<Charge> {
        let admission = self
            .0
            .ok_or_else(|| anyhow::anyhow!("a handler that is not behind the guard of servers"))?;
        admission.cover(times as u64).await
    }
}

impl<S: Sync> FromRequestParts<S> for Metered {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Admitted>().and_then(Admitted::take)))
    }
}

pub(crate) async fn server(
    State(till): State<Till>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let key = gate::api_key(&till.gate, request.headers()).await?;
    let admission = till.meter.admit(buyer(&key, &request, &path), till.operation).await?;
    let verdict = gate::key_limits(&till.gate, &key).await?;
    let admitted = Admitted(Arc::new(Mutex::new(Some(admission))));
    request.extensions_mut().insert(admitted.clone());
    request.extensions_mut().insert(Caller::ApiKey {
        key: key.id,
        org: key.org,
        project: key.project,
        scopes: key.scopes,
    });
    let response = gate::pass(&verdict, request, next).await;
    if let Some(admission) = admitted.take()
        && response.status().is_success()
        && !once::is_replayed(&response)
    {
        till.meter.send(admission.charge()).await?;
    }
    Ok(response)
}

fn buyer(key: &ApiKey, request: &Request, path: &MatchedPath) -> Buyer {
    Buyer {
        org: key.org,
        project: key.project,
        key: key.id,
        endpoint: format!("{} {}", request.method(), path.as_str()),
    }
}
