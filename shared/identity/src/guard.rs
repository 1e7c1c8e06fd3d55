//! Finds out who calls, before a handler runs: a person by their access token, a member by their organization too, a
//! server by its API key. What they may do is the policy's business.
//!
//! A person's status is read again after 30 seconds at the latest, an API key's too; whether someone is a member of an
//! organization, with which role and which grants, is read each time.
//!
//! Whoever is known takes from their limits: an API key from its own and its tenant's, a member from the tenant's. Where
//! nobody is known yet, the address does.

use std::sync::Arc;

use axum::RequestPartsExt;
use axum::extract::{RawPathParams, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use kernel::{Anchor, Caller, Error, OrgId, PlatformRole, Result, Time, UserId};
use lambda::{App, Problem};
use limits::{Limits, Rates, Verdict};
use table::{Key, Record};
use utoipa_axum::router::OpenApiRouter;

use crate::api_key::{self, ApiKey, KeyStatus, Secret};
use crate::member::{self, Member};
use crate::org::{self, Org};
use crate::recent::Recent;
use crate::session::{self, Session, session_ended};
use crate::token::{Claims, PublicKeys, not_authenticated};
use crate::user::{self, User, deactivated};

const ORG_HEADER: HeaderName = HeaderName::from_static("x-org-id");
const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
const LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The path parameter that names an organization.
const ORG_PARAMETER: &str = "orgId";
/// How many people, and how many keys, one process remembers.
const REMEMBERED: usize = 4_096;

/// The header that names the organization.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Header, names("x-org-id"))]
pub struct OrgHeader(
    /// The organization to act in.
    #[expect(dead_code, reason = "only described; the guard reads the header")]
    OrgId,
);

/// Guards routes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard(Option<Arc<Gate>>);

#[derive(Debug)]
struct Gate {
    app: App,
    keys: PublicKeys,
    people: Recent<Claims, PlatformRole>,
    api_keys: Recent<String, Option<ApiKey>>,
    limits: Limits,
}

impl Guard {
    /// Guards with these keys, and limits by these rates.
    pub fn new(app: &App, keys: PublicKeys, rates: Rates) -> Self {
        let (people, api_keys) = (Recent::new(REMEMBERED), Recent::new(REMEMBERED));
        Self(Some(Arc::new(Gate {
            app: app.clone(),
            keys,
            people,
            api_keys,
            limits: Limits::new(app.table.clone(), rates),
        })))
    }

    /// Guards with the keys of `JWT_PUBLIC_KEYS`, and limits by the rates of the environment.
    pub fn from_env(app: &App) -> anyhow::Result<Self> {
        let keys = PublicKeys::parse(&lambda::variable("JWT_PUBLIC_KEYS")?)?;
        Ok(Self::new(app, keys, Rates::from_env()?))
    }

    /// Guards nothing, for routes that are only described: without a caller no handler that needs a scope runs.
    pub fn for_docs() -> Self {
        Self(None)
    }

    /// Lets everyone in; honours `Idempotency-Key`.
    pub fn public(&self, router: OpenApiRouter<App>) -> OpenApiRouter<App> {
        let Some(gate) = &self.0 else { return router };
        router.route_layer(middleware::from_fn_with_state(gate.app.clone(), lambda::remember))
    }

    /// Lets in as many calls a minute as one address may make, all routes of this kind together: for those that anyone
    /// may try, and that hash a password or send a mail.
    pub fn by_address(&self, router: OpenApiRouter<App>) -> OpenApiRouter<App> {
        let Some(gate) = &self.0 else { return router };
        router.route_layer(middleware::from_fn_with_state(gate.clone(), address))
    }

    /// Lets in who is logged in.
    pub fn signed_in(&self, router: OpenApiRouter<App>) -> OpenApiRouter<App> {
        let Some(gate) = &self.0 else { return router };
        self.public(router)
            .route_layer(middleware::from_fn_with_state(gate.clone(), person))
    }

    /// Lets everyone in, and finds out who is logged in.
    pub fn anyone(&self, router: OpenApiRouter<App>) -> OpenApiRouter<App> {
        let Some(gate) = &self.0 else { return router };
        router.route_layer(middleware::from_fn_with_state(gate.clone(), person_or_nobody))
    }

    /// Lets in members of the organization that the path parameter `orgId` names, or else the header `x-org-id`.
    pub fn members(&self, router: OpenApiRouter<App>) -> OpenApiRouter<App> {
        let Some(gate) = &self.0 else { return router };
        self.public(router)
            .route_layer(middleware::from_fn_with_state(gate.clone(), member))
    }

    /// Lets in servers with an API key. Does not look at `Idempotency-Key`: events have ids of their own.
    pub fn api_key(&self, router: OpenApiRouter<App>) -> OpenApiRouter<App> {
        let Some(gate) = &self.0 else { return router };
        router.route_layer(middleware::from_fn_with_state(gate.clone(), server))
    }
}

async fn address(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Result<Response, Problem> {
    let from = lambda::client_address(request.extensions());
    let verdict = gate.limits.address(from, || gate.app.now()).await?;
    Ok(pass(&verdict, request, next).await)
}

/// Lets a call pass that its limits admit. Every reply tells what is left of them.
async fn pass(verdict: &Verdict, request: Request, next: Next) -> Response {
    let mut response = match verdict.refusal() {
        Some(refusal) => Problem::from(refusal).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in [(LIMIT_POLICY, verdict.policy()), (LIMIT, verdict.remaining())] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn person(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let caller = gate.person(request.headers()).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

async fn person_or_nobody(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match gate.person(request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
        }
        Err(Error::Unauthenticated { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(next.run(request).await)
}

async fn member(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let now = gate.app.now();
    let claims = gate.claims(&parts.headers, now)?;
    let org = named_org(&mut parts).await;
    let membership = async {
        match &org {
            Ok(org) => gate.membership(*org, claims.user, parts.method.is_safe()).await,
            Err(_) => Ok(None),
        }
    };
    let (platform_role, membership) = tokio::join!(gate.standing(claims, now), membership);
    let (platform_role, org) = (platform_role?, org?);
    let (member, anchors) = membership?.ok_or(Error::NotFound(org::NAME))?;
    let verdict = gate.limits.tenant(org, || gate.app.now()).await?;
    let Claims { user, session } = claims;
    parts.extensions.insert(Caller::Member {
        user,
        platform_role,
        session,
        org,
        role: member.role,
        grants: member.grants.into_iter().map(Into::into).collect(),
        anchors,
    });
    Ok(pass(&verdict, Request::from_parts(parts, body), next).await)
}

async fn server(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let given = request.headers().get(&KEY_HEADER);
    let given = given.ok_or(Error::Unauthenticated {
        code: "missing_api_key",
        detail: "send your API key as `x-api-key`",
    })?;
    let secret = given.to_str().ok().and_then(Secret::parse).ok_or_else(bad_api_key)?;
    let key = gate.server(&secret).await?;
    let rate = key.rate_limit_per_minute;
    let verdict = gate.limits.key(key.id, rate, key.org, || gate.app.now()).await?;
    request.extensions_mut().insert(Caller::ApiKey {
        key: key.id,
        org: key.org,
        project: key.project,
        scopes: key.scopes,
    });
    Ok(pass(&verdict, request, next).await)
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
        (None, None) => {
            return Err(Error::malformed_field(
                "missing_org",
                "x-org-id",
                "must name the organization to act in",
            ));
        }
    };
    text.parse()
        .map_err(|error: kernel::id::NotAnId| Error::malformed_field("malformed_id", field, error.to_string()))
}

impl Gate {
    fn claims(&self, headers: &HeaderMap, now: Time) -> Result<Claims> {
        self.keys.verify(now, bearer(headers).ok_or_else(not_authenticated)?)
    }

    /// Who is logged in. Read each time: what such routes are for may depend on the role on the platform.
    async fn person(&self, headers: &HeaderMap) -> Result<Caller> {
        let now = self.app.now();
        let claims = self.claims(headers, now)?;
        let platform_role = self.read_standing(claims, now).await?;
        Ok(Caller::Person {
            user: claims.user,
            platform_role,
            session: claims.session,
        })
    }

    /// The person's role on the platform, if they and their session are still good; as it was at most 30 seconds ago.
    async fn standing(&self, claims: Claims, now: Time) -> Result<PlatformRole> {
        match self.people.get(&claims, now) {
            Some(role) => Ok(role),
            None => self.read_standing(claims, now).await,
        }
    }

    async fn read_standing(&self, claims: Claims, now: Time) -> Result<PlatformRole> {
        let Claims { user, session } = claims;
        let (user, session) = tokio::try_join!(
            self.read::<User>(user::key(user)),
            self.read::<Session>(session::key(user, session))
        )?;
        let user = user.ok_or_else(not_authenticated)?;
        if !user.is_active() {
            return Err(deactivated());
        }
        session
            .filter(|session| session.is_live(&user, now))
            .ok_or_else(session_ended)?;
        self.people.put(claims, user.role, now);
        Ok(user.role)
    }

    /// The person's membership of an organization that was not deleted, and what must stay so for that. Who only looks
    /// may be who they were a moment ago.
    async fn membership(&self, org: OrgId, user: UserId, looks: bool) -> Result<Option<(Member, Vec<Anchor>)>> {
        let (member, org) = (member::key(org, user), org::key(org));
        let (member, org) = if looks {
            tokio::try_join!(self.read::<Member>(member), self.read::<Org>(org))?
        } else {
            let table = &self.app.table;
            tokio::try_join!(table.get::<Member>(&member), table.get::<Org>(&org))?
        };
        let found = member.zip(org.filter(Org::is_live));
        Ok(found.map(|(member, org)| {
            let anchors = vec![table::unchanged(&member), org.not_deleted()];
            (member, anchors)
        }))
    }

    /// Reads for half the price; what was only just written may not be there yet, so absence is made sure of.
    async fn read<R: Record>(&self, key: Key) -> Result<Option<R>> {
        match self.app.table.peek(&key).await? {
            None => self.app.table.get(&key).await,
            found => Ok(found),
        }
    }

    /// The key that a secret opens, if it works.
    async fn server(&self, secret: &Secret) -> Result<ApiKey> {
        let (now, hash) = (self.app.now(), secret.hash());
        let found = if let Some(found) = self.api_keys.get(&hash, now) {
            found
        } else {
            let found = Box::pin(api_key::open(&self.app.table, secret)).await?;
            self.api_keys.put(hash, found.clone(), now);
            found
        };
        let key = found.ok_or_else(bad_api_key)?;
        match key.status(now) {
            KeyStatus::Active => Ok(key),
            KeyStatus::Disabled => Err(Error::Unauthenticated {
                code: "api_key_disabled",
                detail: "this API key is disabled",
            }),
            KeyStatus::Revoked | KeyStatus::Expired => Err(bad_api_key()),
        }
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
