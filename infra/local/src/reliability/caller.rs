//! A sane client: it sends again what was not answered, with the same idempotency key, and takes a refusal for one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method, StatusCode, header};
use serde_json::Value;

/// How long one call may stay unanswered: longer than a key stays claimed by a process that died.
const PATIENCE: Duration = Duration::from_secs(90);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The way to the API.
pub(super) struct Caller {
    pub(super) http: Client,
    pub(super) url: String,
    requests: AtomicU64,
    repeated: AtomicU64,
}

/// Who calls, and what they want.
#[derive(Debug, Clone, Default)]
pub(super) struct Call<'a> {
    pub(super) token: Option<&'a str>,
    pub(super) org: Option<&'a str>,
    pub(super) body: Option<Value>,
}

impl Caller {
    pub(super) fn new(url: &str) -> Result<Self> {
        let http = Client::builder()
            .timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .build()?;
        Ok(Self {
            http,
            url: url.to_owned(),
            requests: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
        })
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    pub(super) async fn get(&self, path: &str, call: Call<'_>) -> Result<Value> {
        let (status, reply) = self.call(Method::GET, path, &call).await?;
        if !status.is_success() {
            bail!("GET {path}: {status}: {reply}");
        }
        Ok(reply)
    }

    /// Calls until there is an answer other than 429, 5xx and `in_flight`. A POST keeps its idempotency key.
    pub(super) async fn call(&self, method: Method, path: &str, call: &Call<'_>) -> Result<(StatusCode, Value)> {
        let key = uuid::Uuid::new_v4().to_string();
        let (until, mut pause) = (Instant::now() + PATIENCE, FIRST_PAUSE);
        loop {
            let asked = match self.attempt(method.clone(), path, call, &key).await {
                Ok((status, reply, asked)) => {
                    let again = status == StatusCode::TOO_MANY_REQUESTS
                        || status.is_server_error()
                        || (status == StatusCode::CONFLICT && reply["code"] == "in_flight");
                    if !again {
                        return Ok((status, reply));
                    }
                    asked
                }
                Err(error) if Instant::now() > until => return Err(error).with_context(|| format!("{method} {path}")),
                Err(_) => None,
            };
            if Instant::now() > until {
                bail!("{method} {path} stays unanswered");
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(asked.unwrap_or(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(
        &self,
        method: Method,
        path: &str,
        call: &Call<'_>,
        key: &str,
    ) -> reqwest::Result<(StatusCode, Value, Option<Duration>)> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if let Some(token) = call.token {
            request = request.bearer_auth(token);
        }
        if let Some(org) = call.org {
            request = request.header("x-org-id", org);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        if method == Method::POST {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await?;
        let status = response.status();
        let asked = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.text().await?;
        let reply = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok((status, reply, asked.map(Duration::from_secs)))
    }
}
