//! The guards: they find out who calls, and count it.
//!
//! A person's status is read again after 30 seconds at the latest, an API key's too; whether someone is a member of an
//! organization, with which role and which grants, is read each time.
//!
//! Whoever is known takes from their limits: an API key from its own and its tenant's, a member from that of the tenant's
//! members, a person outside of any tenant from their own. Where nobody is known yet, the address does; of API keys those only
//! that nobody has.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use anyhow::Context;
use axum::RequestPartsExt;
use axum::extract::{RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use identity::api_key::{ApiKey, KeyStatus, Secret};
use identity::entrance::{self, Membership, Standing};
use identity::org::{self, factor_required};
use identity::token::{Claims, PublicKeys, not_authenticated};
use kernel::{Caller, Error, OrgId, PlatformRole, Result, Time};
use lambda::{App, Env, Problem, Recent};
use limits::{Limits, Rates, Verdict};

const ORG_HEADER: HeaderName = HeaderName::from_static("x-org-id");
const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
const LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The path parameter that names an organization.
pub(crate) const ORG_PARAMETER: &str = "orgId";
/// How many people, and how many keys, one process remembers.
const REMEMBERED: usize = 4_096;

/// Finds out who calls. One a process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: App,
    keys: PublicKeys,
    people: Recent<Claims, Standing>,
    api_keys: Recent<String, ApiKey>,
    /// Hashes that are no key's, apart: who makes some up must not have the keys forgotten.
    no_keys: Recent<String, ()>,
    limits: Limits,
    /// Whether roles on the platform demand a factor.
    factor_for_platform: bool,
    /// How old a proof may be where one is wanted; any age if that is 0.
    step_up_minutes: i64,
}

impl Gate {
    /// A gate with the keys of `JWT_PUBLIC_KEYS`, for tokens of `PUBLIC_URL`, that limits by `RATE_LIMIT_PER_KEY`,
    /// `RATE_LIMIT_PER_TENANT`, `RATE_LIMIT_PER_ADDRESS`, `RATE_LIMIT_PER_VISITOR`, `RATE_LIMIT_PER_PERSON` and
    /// `RATE_LIMIT_PER_STRANGER`, and demands what `FACTOR_FOR_PLATFORM` and `STEP_UP_MINUTES` say.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        let keys = PublicKeys::parse(env.variable("JWT_PUBLIC_KEYS")?, env.variable("PUBLIC_URL")?)?;
        let rates = Rates {
            per_key: rate(env, "RATE_LIMIT_PER_KEY")?,
            per_tenant: rate(env, "RATE_LIMIT_PER_TENANT")?,
            per_address: rate(env, "RATE_LIMIT_PER_ADDRESS")?,
            per_visitor: rate(env, "RATE_LIMIT_PER_VISITOR")?,
            per_person: rate(env, "RATE_LIMIT_PER_PERSON")?,
            per_stranger: rate(env, "RATE_LIMIT_PER_STRANGER")?,
        };
        let minutes = env.variable("STEP_UP_MINUTES")?;
        let step_up_minutes = minutes.parse::<u16>();
        let step_up_minutes = step_up_minutes.with_context(|| format!("STEP_UP_MINUTES is {minutes:?}"))?;
        Ok(Self(Arc::new(Inner {
            factor_for_platform: env.variable("FACTOR_FOR_PLATFORM")? != "false",
            step_up_minutes: step_up_minutes.into(),
            app: app.clone(),
            keys,
            people: Recent::new(REMEMBERED),
            api_keys: Recent::new(REMEMBERED),
            no_keys: Recent::new(REMEMBERED),
            limits: Limits::new(app.table.clone(), rates),
        })))
    }

    /// Fails unless who calls in this session proved a moment ago that it is them: 403 `proof_required`.
    pub(crate) async fn must_have_proved(&self, claims: Claims) -> Result<()> {
        let gate = &self.0;
        let now = gate.app.now();
        let known = gate.standing(claims, now).await?;
        let oldest = now.plus_millis(-gate.step_up_minutes * Time::MINUTE);
        let proved = |standing: &Standing| gate.step_up_minutes == 0 || standing.proved_at >= oldest;
        gate.demand(claims, known, proved, proof_required).await
    }
}

/// How many calls a minute a variable allows.
fn rate(env: &Env, name: &str) -> anyhow::Result<u32> {
    let text = env.variable(name)?;
    let rate = text.parse().ok().filter(|rate| *rate > 0);
    rate.with_context(|| format!("{name} is {text:?}, not a number of calls a minute"))
}

pub(crate) async fn address(State(Gate(gate)): State<Gate>, request: Request, next: Next) -> Result<Response, Problem> {
    let from = lambda::client_address(request.extensions());
    let verdict = gate.limits.address(from, || gate.app.now()).await?;
    Ok(pass(&verdict, request, next).await)
}

pub(crate) async fn visitor(State(Gate(gate)): State<Gate>, request: Request, next: Next) -> Result<Response, Problem> {
    let from = lambda::client_address(request.extensions());
    let verdict = gate.limits.visitor(from, || gate.app.now()).await?;
    Ok(pass(&verdict, request, next).await)
}

pub(crate) async fn stranger(
    State(Gate(gate)): State<Gate>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let from = lambda::client_address(request.extensions());
    let verdict = gate.limits.stranger(from, || gate.app.now()).await?;
    Ok(pass(&verdict, request, next).await)
}

/// Lets a call pass that its limits admit. Every reply tells what is left of them, and of those that guards further in ask.
pub(crate) async fn pass(verdict: &Verdict, request: Request, next: Next) -> Response {
    let mut response = match verdict.refusal() {
        Some(refusal) => Problem::from(refusal).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in [(LIMIT_POLICY, verdict.policy()), (LIMIT, verdict.remaining())] {
        let further_in = response.headers().get(&name).and_then(|value| value.to_str().ok());
        let value = further_in.map_or(value.clone(), |further| format!("{value}, {further}"));
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

pub(crate) async fn person(State(Gate(gate)): State<Gate>, request: Request, next: Next) -> Result<Response, Problem> {
    let known = gate.person(request.headers()).await?;
    gate.demand_factor(known.0, known.1, false).await?;
    admit(&gate, known, request, next).await
}

/// As [`person`], also for who has yet to add the factor that is demanded of them.
pub(crate) async fn own_account(
    State(Gate(gate)): State<Gate>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let known = gate.person(request.headers()).await?;
    admit(&gate, known, request, next).await
}

async fn admit(
    gate: &Inner,
    (claims, standing): (Claims, Standing),
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let verdict = gate.limits.person(claims.user, || gate.app.now()).await?;
    request.extensions_mut().insert(caller(claims, standing));
    Ok(pass(&verdict, request, next).await)
}

fn caller(claims: Claims, standing: Standing) -> Caller {
    Caller::Person {
        user: claims.user,
        platform_role: standing.role,
        session: claims.session,
    }
}

pub(crate) async fn person_or_nobody(
    State(Gate(gate)): State<Gate>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match gate.person(request.headers()).await {
        Ok((claims, standing)) => {
            request.extensions_mut().insert(caller(claims, standing));
        }
        Err(Error::Unauthenticated { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(next.run(request).await)
}

/// As [`member`] where an organization is named, else as [`person`].
pub(crate) async fn person_or_member(gate: State<Gate>, request: Request, next: Next) -> Result<Response, Problem> {
    if request.headers().contains_key(&ORG_HEADER) {
        Box::pin(member(gate, request, next)).await
    } else {
        person(gate, request, next).await
    }
}

pub(crate) async fn member(State(Gate(gate)): State<Gate>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let now = gate.app.now();
    let claims = gate.claims(&parts.headers, now)?;
    let org = named_org(&mut parts).await;
    let membership = async {
        match &org {
            Ok(org) => entrance::membership(&gate.app.table, *org, claims.user, parts.method.is_safe()).await,
            Err(_) => Ok(None),
        }
    };
    let (standing, membership) = tokio::join!(gate.standing(claims, now), membership);
    let (standing, org) = (standing?, org?);
    let Membership {
        member,
        anchors,
        requires_factor,
    } = membership?.ok_or(Error::NotFound(org::NAME))?;
    gate.demand_factor(claims, standing, requires_factor).await?;
    let verdict = gate.limits.members(org, || gate.app.now()).await?;
    let Claims { user, session } = claims;
    parts.extensions.insert(Caller::Member {
        user,
        platform_role: standing.role,
        session,
        org,
        role: member.role,
        grants: member.resource_roles(),
        anchors,
    });
    Ok(pass(&verdict, Request::from_parts(parts, body), next).await)
}

/// As [`member`] where an organization is named. Else lets in who has a role on the platform, outside of any organization;
/// everybody else must name one.
pub(crate) async fn member_or_staff(
    State(gate): State<Gate>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.headers().contains_key(&ORG_HEADER) {
        return Box::pin(member(State(gate), request, next)).await;
    }
    let known = gate.0.person(request.headers()).await?;
    if known.1.role == PlatformRole::User {
        return Err(missing_org().into());
    }
    gate.0.demand_factor(known.0, known.1, false).await?;
    admit(&gate.0, known, request, next).await
}

fn missing_org() -> Error {
    Error::malformed_field("missing_org", "x-org-id", "must name the organization to act in")
}

/// The key that a request comes with, if it works. One that nobody has is counted by the address that it comes from: 429 once
/// there were too many.
pub(crate) async fn api_key(Gate(gate): &Gate, headers: &HeaderMap, from: Option<IpAddr>) -> Result<ApiKey> {
    let given = headers.get(&KEY_HEADER).ok_or(Error::Unauthenticated {
        code: "missing_api_key",
        detail: "send your API key as `x-api-key`",
    })?;
    let secret = given.to_str().ok().and_then(Secret::parse).ok_or_else(bad_api_key)?;
    let Some(key) = gate.known(&secret).await? else {
        let verdict = gate.limits.stranger(from, || gate.app.now()).await?;
        return Err(verdict.refusal().unwrap_or_else(bad_api_key));
    };
    match key.status(gate.app.now()) {
        KeyStatus::Active => Ok(key),
        KeyStatus::Disabled => Err(Error::Unauthenticated {
            code: "api_key_disabled",
            detail: "this API key is disabled",
        }),
        KeyStatus::Revoked | KeyStatus::Expired => Err(bad_api_key()),
    }
}

/// What the limits of a key and its tenant say to a call.
pub(crate) async fn key_limits(Gate(gate): &Gate, key: &ApiKey) -> Result<Verdict> {
    let rate = key.rate_limit_per_minute;
    gate.limits.key(key.id, rate, key.org, || gate.app.now()).await
}

/// What they say to so many more, which a call that was admitted turns out to be worth.
pub(crate) async fn key_limits_again(Gate(gate): &Gate, key: &ApiKey, calls: NonZeroU64) -> Result<Verdict> {
    let (limits, rate) = (&gate.limits, key.rate_limit_per_minute);
    limits.key_again(key.id, rate, key.org, calls, || gate.app.now()).await
}

/// How many calls a minute a key may make at most.
pub(crate) fn most_calls(Gate(gate): &Gate, key: &ApiKey) -> u32 {
    gate.limits.most_by_key(key.rate_limit_per_minute)
}

fn proof_required() -> Error {
    Error::Forbidden {
        code: "proof_required",
        detail: "this takes a recent proof that it is you; send your password or a code to /v1/auth/step-up, then try again",
    }
}

fn bad_api_key() -> Error {
    Error::Unauthenticated {
        code: "bad_api_key",
        detail: "this API key is unknown, revoked or expired",
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The organization that the path names, or else the header.
async fn named_org(parts: &mut Parts) -> Result<OrgId> {
    // A path that names an organization is never overruled by the header, not even when it cannot be decoded.
    let params = parts.extract::<RawPathParams>().await;
    let params =
        params.map_err(|_| Error::malformed_field("malformed_id", "path", "must be UTF-8 after percent-decoding"))?;
    let in_path = params
        .iter()
        .find(|(name, _)| *name == ORG_PARAMETER)
        .map(|(_, value)| value.to_owned());
    let (field, text) = match (in_path, parts.headers.get(&ORG_HEADER)) {
        (Some(text), _) => (ORG_PARAMETER, text),
        (None, Some(text)) => ("x-org-id", text.to_str().unwrap_or_default().to_owned()),
        (None, None) => return Err(missing_org()),
    };
    text.parse()
        .map_err(|error: kernel::id::NotAnId| Error::malformed_field("malformed_id", field, error.to_string()))
}

impl Inner {
    fn claims(&self, headers: &HeaderMap, now: Time) -> Result<Claims> {
        self.keys.verify(now, bearer(headers).ok_or_else(not_authenticated)?)
    }

    /// Who is logged in. Read each time: what such routes are for may depend on the role on the platform.
    async fn person(&self, headers: &HeaderMap) -> Result<(Claims, Standing)> {
        let now = self.app.now();
        let claims = self.claims(headers, now)?;
        Ok((claims, self.read_standing(claims, now).await?))
    }

    /// The person's standing, if they and their session are still good; as it was at most 30 seconds ago.
    async fn standing(&self, claims: Claims, now: Time) -> Result<Standing> {
        match self.people.get(&claims, now) {
            Some(standing) => Ok(standing),
            None => self.read_standing(claims, now).await,
        }
    }

    async fn read_standing(&self, claims: Claims, now: Time) -> Result<Standing> {
        let standing = entrance::standing(&self.app.table, claims, now).await?;
        self.people.put(claims, standing, now);
        Ok(standing)
    }

    /// Fails if a factor is demanded, by the organization or for the role on the platform, and there is none: 403
    /// `factor_required`.
    async fn demand_factor(&self, claims: Claims, known: Standing, by_org: bool) -> Result<()> {
        let meets = |standing: &Standing| {
            let of_role = self.factor_for_platform && standing.role > PlatformRole::User;
            standing.has_factor || !(by_org || of_role)
        };
        self.demand(claims, known, meets, factor_required).await
    }

    /// Fails if a standing does not meet what is demanded. Nobody is refused by what was so a moment ago: who has just done
    /// what the refusal says gets in.
    async fn demand(
        &self,
        claims: Claims,
        known: Standing,
        meets: impl Fn(&Standing) -> bool,
        refusal: fn() -> Error,
    ) -> Result<()> {
        if meets(&known) {
            return Ok(());
        }
        let now = self.app.now();
        let standing = entrance::standing_now(&self.app.table, claims, now).await?;
        self.people.put(claims, standing, now);
        if meets(&standing) { Ok(()) } else { Err(refusal()) }
    }

    /// The key that a secret opens, if there is one; as it was at most 30 seconds ago.
    async fn known(&self, secret: &Secret) -> Result<Option<ApiKey>> {
        let (now, hash) = (self.app.now(), secret.hash());
        if let Some(key) = self.api_keys.get(&hash, now) {
            return Ok(Some(key));
        }
        if self.no_keys.get(&hash, now).is_some() {
            return Ok(None);
        }
        let found = entrance::api_key(&self.app.table, secret).await?;
        match &found {
            Some(key) => self.api_keys.put(hash, key.clone(), now),
            None => self.no_keys.put(hash, (), now),
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_a_bearer_token_is_a_token() {
        let bearer_of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(bearer_of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(bearer_of("bearer abc").as_deref(), Some("abc"));
        for bad in ["", "Bearer", "Basic abc", "abc"] {
            assert_eq!(bearer_of(bad), None, "{bad}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
