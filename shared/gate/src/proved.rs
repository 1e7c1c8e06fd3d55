//! Proofs that it is them: what is sensitive is for who proved a moment ago who they are, by logging in or by stepping up.

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use identity::token::{Claims, not_authenticated};
use kernel::{Caller, Result};
use lambda::Problem;

use crate::gate::Gate;

/// That the caller has proved a moment ago that it is them. A handler that takes it after its scope refuses everybody else: 403
/// `proof_required`.
#[derive(Debug)]
pub struct Proved(());

/// What asks the caller for such a proof, for a handler that wants one only for some of what it is sent.
#[derive(Debug)]
pub struct Proving {
    gate: Gate,
    claims: Claims,
}

impl Proving {
    /// Fails unless the caller has proved a moment ago that it is them: 403 `proof_required`.
    pub async fn must_be_recent(&self) -> Result<()> {
        self.gate.must_have_proved(self.claims).await
    }
}

impl<S: Sync> FromRequestParts<S> for Proving
where
    Gate: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let claims = match parts.extensions.get() {
            Some(Caller::Person { user, session, .. } | Caller::Member { user, session, .. }) => Claims {
                user: *user,
                session: *session,
            },
            Some(Caller::ApiKey { .. }) | None => return Err(not_authenticated().into()),
        };
        let gate = Gate::from_ref(state);
        Ok(Self { gate, claims })
    }
}

impl<S: Sync> FromRequestParts<S> for Proved
where
    Gate: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let proving = Proving::from_request_parts(parts, state).await?;
        proving.must_be_recent().await?;
        Ok(Self(()))
    }
}
