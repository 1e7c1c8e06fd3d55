//! `Idempotency-Key`: a POST that is sent again is answered with the first reply, and does nothing more.
//!
//! A function may die between its effect and the storing of its reply. So the effect's transaction marks the claim, if
//! it is still this request's: after the lease a request that had its effect is answered 409 `already_done`, which
//! names the effect, and one that had none is done. A process that was only thought dead comes too late for its effect.
//!
//! A key belongs to a tenant (or person, or nobody) and a route. The body's fingerprint is compared before anything
//! is answered. Replies may hold secrets that are stored nowhere else, so they are encrypted under a key derived
//! from the caller's own idempotency key, of which only a hash is stored: the table alone cannot show them.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use kernel::seal::Seal;
use kernel::{Caller, Error, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Record, TableName, Write, WriteError};

use crate::extract::read_body;
use crate::{App, Problem};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Requests and replies that are remembered are at most this long, so that they fit an item.
const LONGEST_BODY: usize = 256 * 1024;
/// After this a request counts as crashed and its key is free: twice the longest timeout of an HTTP function.
const LEASE: i64 = 30 * Time::SECOND;
/// What replies are sealed for.
const REPLY: &str = "reply";
/// A reply is replayed for this long.
const MEMORY: i64 = Time::DAY;

/// A request that was seen, and its reply once there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    owner: String,
    name: String,
    #[serde(with = "serde_bytes")]
    fingerprint: Vec<u8>,
    /// In flight until then; remembered until then once `status` is there.
    until: Time,
    status: Option<u16>,
    /// What was done, once something was.
    effect: Option<String>,
    content_type: Option<String>,
    #[serde(default, with = "serde_bytes")]
    reply: Vec<u8>,
    #[serde(default)]
    version: u64,
}

impl Record for Seen {
    const KIND: &'static str = "idempotency";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(&self.owner, &self.name)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.until.plus_millis(MEMORY))
    }
}

fn key(owner: &str, name: &str) -> Key {
    Key::of(format!("{owner}#IDEMPOTENCY"), name)
}

/// The layer that honours `Idempotency-Key` on POST requests; stands inside authentication, whose caller it needs.
pub async fn remember(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(given) = request.headers().get(&IDEMPOTENCY_KEY).cloned() else {
        return next.run(request).await;
    };
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    attempt(&app, &given, request, next)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

async fn attempt(app: &App, given: &HeaderValue, request: Request, next: Next) -> Result<Response, Problem> {
    let given = given
        .to_str()
        .ok()
        .filter(|text| (1..=255).contains(&text.len()))
        .ok_or_else(|| {
            Error::malformed_field(
                "bad_idempotency_key",
                "Idempotency-Key",
                "must have 1 to 255 visible ASCII characters",
            )
        })?;
    let caller = request.extensions().get::<Caller>();
    let (owner, actor) = (owner(caller), actor(caller));
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str)
        .to_owned();
    let secret = [owner.as_str(), &route, given].join("\n");
    let name = hex::encode(hash(&["name", &secret], b""));

    let (parts, body) = request.into_parts();
    let body = read_body(body, LONGEST_BODY).await?;
    // Keyed with the caller's key: a body may hold a password, and a plain hash of it could be tried out.
    // The same request of someone else is another one: their role may not allow it.
    let fingerprint = hash(&["fingerprint", &secret, &actor, &parts.uri.to_string()], &body);

    let mut seen = Seen {
        owner,
        name,
        fingerprint: fingerprint.to_vec(),
        until: app.now().plus_millis(LEASE),
        status: None,
        effect: None,
        content_type: None,
        reply: Vec::new(),
        version: 0,
    };
    if let Some(replay) = claim(app, &mut seen, &secret).await? {
        return Ok(replay);
    }
    let claim = seen.clone();
    let mark = move |effect: &str| {
        Write::replace(&Seen {
            effect: Some(effect.to_owned()),
            ..claim.clone()
        })
    };
    let (response, marked) = table::marking(mark, next.run(Request::from_parts(parts, Body::from(body)))).await;
    seen.version += u64::from(marked);
    settle(app, seen, &secret, response).await
}

fn owner(caller: Option<&Caller>) -> String {
    match caller {
        Some(Caller::Member { org, .. } | Caller::ApiKey { org, .. }) => format!("ORG#{org}"),
        Some(Caller::Person { user, .. }) => format!("USER#{user}"),
        None => "ANYONE".to_owned(),
    }
}

/// Who asks, and as what: a reply is not replayed to someone who lost the role that it took.
fn actor(caller: Option<&Caller>) -> String {
    match caller {
        Some(Caller::Member { user, role, grants, .. }) => format!("{user} {role:?} {grants:?}"),
        Some(Caller::Person {
            user, platform_role, ..
        }) => format!("{user} {platform_role:?}"),
        Some(Caller::ApiKey { key, .. }) => key.to_string(),
        None => String::new(),
    }
}

fn hash(texts: &[&str], bytes: &[u8]) -> [u8; 32] {
    let mut all = texts.join("\n").into_bytes();
    all.push(0);
    all.extend_from_slice(bytes);
    digest(&SHA256, &all).as_ref().try_into().unwrap_or_default()
}

/// Claims the key for this request, or says what it was answered before.
async fn claim(app: &App, seen: &mut Seen, secret: &str) -> Result<Option<Response>, Problem> {
    match app.table.write([Write::create(&*seen)?]).await {
        Ok(()) => {
            seen.version = 1;
            return Ok(None);
        }
        Err(WriteError::Condition(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let now = app.now();
    let in_flight = Error::InFlight { retry_after_seconds: 1 };
    let Some(before) = app.table.get::<Seen>(&seen.key()).await? else {
        return Err(in_flight.into());
    };
    let counts = before.until > now || before.effect.is_some();
    if counts && before.fingerprint != seen.fingerprint {
        return Err(Error::KeyReused.into());
    }
    if before.until > now {
        let Some(status) = before.status else {
            return Err(in_flight.into());
        };
        return replay(&before, status, secret).map(Some);
    }
    if let Some(effect) = before.effect
        && before.until.plus_millis(MEMORY) > now
    {
        let detail = format!("this request was carried out before, but its reply was lost; see {effect}");
        return Err(Error::refused("already_done", detail).into());
    }
    seen.version = before.version;
    match app.table.write([Write::replace(&*seen)?]).await {
        Ok(()) => {
            seen.version += 1;
            Ok(None)
        }
        Err(WriteError::Condition(_)) => Err(in_flight.into()),
        Err(error) => Err(error.into()),
    }
}

/// Remembers a success; frees the key after anything else, so that a corrected request may use it.
async fn settle(app: &App, mut seen: Seen, secret: &str, response: Response) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body = read_body(body, LONGEST_BODY).await?;
    let written = if parts.status.is_success() {
        seen.status = Some(parts.status.as_u16());
        seen.content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .map(str::to_owned);
        seen.until = app.now().plus_millis(MEMORY);
        seen.reply = Seal::new(secret.as_bytes()).seal(REPLY, &body);
        app.table.write([Write::replace(&seen)?]).await
    } else {
        app.table.write([Write::delete(&seen)]).await
    };
    // Whoever took over after the lease ran out owns the key now; this reply is still true.
    if let Err(WriteError::Other(error)) = written {
        tracing::error!(error = %error, "a reply was not remembered");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(before: &Seen, status: u16, secret: &str) -> Result<Response, Problem> {
    let body = Seal::new(secret.as_bytes()).open(REPLY, &before.reply);
    let body = body.ok_or_else(|| anyhow::anyhow!("a remembered reply is damaged"))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(Ok(kind)) = before.content_type.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}
