//! The guard of servers: a call with an API key passes if its limits and its organization's wallet admit it, both or
//! neither. What it costs is held before anything is done, paid once it is done, and given back if it fails.

use std::convert::Infallible;
use std::num::NonZeroU64;
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

/// That a call may be made, as it waits for who says what is paid for; and whose limits it is counted by.
#[derive(Clone, Debug)]
struct Admitted(Arc<Mutex<Option<Admission>>>, Arc<(Gate, ApiKey)>);

impl Admitted {
    fn take(&self) -> Option<Admission> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What is held for a call. A handler that takes it reports what it sells of it; dropped, the call costs nothing.
#[derive(Debug)]
pub struct Metered {
    admission: Option<Admission>,
    limited: Option<Arc<(Gate, ApiKey)>>,
}

impl Metered {
    /// Holds what so many operations cost, all of them or none. 402 if that is not there.
    pub async fn cover(self, times: usize) -> Result<Charge> {
        let admission = self.admission.ok_or_else(not_guarded)?;
        admission.cover(times as u64).await
    }

    /// How many calls a minute the limits of this caller allow: no call can be worth more.
    pub fn most_calls(&self) -> Result<usize> {
        let (gate, key) = &**self.limited.as_ref().ok_or_else(not_guarded)?;
        Ok(usize::try_from(gate::most_calls(gate, key)).unwrap_or(usize::MAX))
    }

    /// Counts the call as so many: it makes as much work. 429 if the limits do not allow that now.
    pub async fn count_as(&self, calls: usize) -> Result<()> {
        let (gate, key) = &**self.limited.as_ref().ok_or_else(not_guarded)?;
        let Some(more) = NonZeroU64::new(calls.saturating_sub(1) as u64) else {
            return Ok(());
        };
        let verdict = gate::key_limits_again(gate, key, more).await?;
        verdict.refusal().map_or(Ok(()), Err)
    }
}

impl<S: Sync> FromRequestParts<S> for Metered {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let admitted = parts.extensions.get::<Admitted>();
        Ok(Self {
            admission: admitted.and_then(Admitted::take),
            limited: admitted.map(|admitted| admitted.1.clone()),
        })
    }
}

fn not_guarded() -> anyhow::Error {
    anyhow::anyhow!("a handler that is not behind the guard of servers")
}

pub(crate) async fn server(
    State(till): State<Till>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let from = lambda::client_address(request.extensions());
    let key = gate::api_key(&till.gate, request.headers(), from).await?;
    let admission = till.meter.admit(buyer(&key, &request, &path), till.operation).await?;
    let verdict = gate::key_limits(&till.gate, &key).await?;
    let limited = Arc::new((till.gate.clone(), key.clone()));
    let admitted = Admitted(Arc::new(Mutex::new(Some(admission))), limited);
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
