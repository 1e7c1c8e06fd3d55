//! The client.

use std::error::Error as _;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url, redirect};
use tokio::sync::OnceCell;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::guard::{self, AllowList, Refused};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may take in all, unless the request says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a reply's body may be, unless the request says otherwise.
const LONGEST_REPLY: usize = 256 * 1024;
const USER_AGENT: &str = concat!("Countinghouse/", env!("CARGO_PKG_VERSION"));

/// Calls servers that others name. Cheap to clone. Costs nothing until the first call.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    allow: AllowList,
    resolver: Arc<dyn Resolve>,
    http: OnceCell<reqwest::Client>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.allow).finish()
    }
}

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
    longest_reply: usize,
}

/// What a server answered, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status; a redirect is not followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no reply. The texts name the host of the target and no more of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The target may not be called; it will not be another time.
    #[error("the target {0}")]
    Refused(#[from] Refused),
    /// There was no whole reply in time.
    #[error("{0} did not answer in time")]
    TimedOut(String),
    /// There was no connection: no such name, nobody who listens, no good certificate.
    #[error("{0} cannot be reached")]
    Unreachable(String),
    /// The reply was longer than the request allows.
    #[error("{0} answered more than {1} bytes")]
    TooLarge(String, usize),
    /// The connection broke, or what came back is not HTTP.
    #[error("{0} broke the connection off")]
    Broken(String),
}

impl Request {
    /// Begins a call of any method.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: TIMEOUT,
            longest_reply: LONGEST_REPLY,
        }
    }

    /// Begins a GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// Begins a POST with a body of this type.
    pub fn post(url: impl Into<String>, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut request = Self::new(Method::POST, url);
        request.body = body.into();
        let content_type = HeaderValue::from_static(content_type);
        request.header(reqwest::header::CONTENT_TYPE, content_type)
    }

    /// Sets a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets how long the call may take in all; 10 s otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long the reply's body may be; 256 KiB otherwise.
    #[must_use]
    pub fn longest_reply(mut self, bytes: usize) -> Self {
        self.longest_reply = bytes;
        self
    }
}

/// What a call takes until its headers are there, as OpenTelemetry's conventions for HTTP clients describe it. The path may
/// hold a secret, so it is not told.
fn span(method: &Method, host: &str) -> Span {
    tracing::info_span!(
        target: spans::TARGET,
        "call",
        otel.kind = "client",
        otel.name = %method,
        http.request.method = %method,
        server.address = host,
        http.response.status_code = Empty,
        // Until it is answered: who gives up waiting says nothing more.
        error = true,
    )
}

impl Client {
    /// A client that may call the public internet, and what is on the list.
    pub fn new(allow: AllowList) -> Self {
        Self::resolving_by(allow, Arc::new(System))
    }

    /// A client that asks `resolver` for the addresses of names.
    pub fn resolving_by(allow: AllowList, resolver: Arc<dyn Resolve>) -> Self {
        Self(Arc::new(Inner {
            allow,
            resolver,
            http: OnceCell::new(),
        }))
    }

    /// What may be called although the guard would refuse it.
    pub fn allow_list(&self) -> &AllowList {
        &self.0.allow
    }

    /// Makes a call and reads the whole reply.
    pub async fn send(&self, request: Request) -> Result<Reply, Failure> {
        let (longest, mut reply, host) = (
            request.longest_reply,
            self.call(request.clone()).await?,
            host_of(&request),
        );
        let mut body = Vec::new();
        while let Some(part) = reply.chunk().await.map_err(|error| failure(&error, &host))? {
            if body.len() + part.len() > longest {
                return Err(Failure::TooLarge(host, longest));
            }
            body.extend_from_slice(&part);
        }
        Ok(Reply {
            status: reply.status(),
            headers: std::mem::take(reply.headers_mut()),
            body: body.into(),
        })
    }

    /// Makes a call and reads no more of the reply than its status and headers.
    pub async fn head(&self, request: Request) -> Result<(StatusCode, HeaderMap), Failure> {
        let mut reply = self.call(request).await?;
        Ok((reply.status(), std::mem::take(reply.headers_mut())))
    }

    async fn call(&self, request: Request) -> Result<reqwest::Response, Failure> {
        let url = guard::check(&request.url, &self.0.allow)?;
        let host = name_of(&url);
        let http = self.0.http.get_or_try_init(|| async { self.build() }).await;
        let http = http.map_err(|_| Failure::Unreachable(host.clone()))?;
        let span = span(&request.method, &host);
        let call = http
            .request(request.method, url)
            .headers(request.headers)
            .body(request.body)
            .timeout(request.timeout);
        let answered = call.send().instrument(span.clone()).await;
        let status = answered.as_ref().ok().map(|reply| reply.status().as_u16());
        span.record("http.response.status_code", status);
        span.record("error", status.is_none_or(|status| status >= 400));
        answered.map_err(|error| failure(&error, &host))
    }

    fn build(&self) -> reqwest::Result<reqwest::Client> {
        let guarded = Guarded {
            allow: self.0.allow.clone(),
            resolver: Arc::clone(&self.0.resolver),
        };
        reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(guarded)
            // Lambda freezes a process between invocations: a connection that was kept would be dead.
            .pool_max_idle_per_host(0)
            .build()
    }
}

fn host_of(request: &Request) -> String {
    Url::parse(&request.url).map_or_else(|_| "the target".to_owned(), |url| name_of(&url))
}

fn name_of(url: &Url) -> String {
    url.host_str().unwrap_or("the target").to_owned()
}

fn failure(error: &reqwest::Error, host: &str) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return Failure::Refused(refused.clone());
        }
        source = cause.source();
    }
    let host = host.to_owned();
    if error.is_timeout() {
        Failure::TimedOut(host)
    } else if error.is_connect() {
        Failure::Unreachable(host)
    } else {
        Failure::Broken(host)
    }
}

/// Resolves names, and refuses those with an address that may not be called. What it answers is what is connected to.
struct Guarded {
    allow: AllowList,
    resolver: Arc<dyn Resolve>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (allow, host) = (self.allow.clone(), name.as_str().to_owned());
        let resolving = self.resolver.resolve(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = resolving.await?.collect();
            let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
            guard::check_resolved(&host, &addresses, &allow)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Asks the operating system.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
