//! Sends one batch until it is answered, within bounds.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Client, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::Event;

/// How often a batch is sent before it counts as lost: with the pauses below, over about a minute.
const ATTEMPTS: u32 = 30;
/// After so many attempts a person is told what is waited for.
const SAY_AFTER: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// The longest pause that a server may ask for.
const LONGEST_RETRY_AFTER_S: u64 = 120;
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many refusals of one batch are shown.
const SHOWN: usize = 5;

/// The way to the API.
pub(super) struct Delivery {
    client: Client,
    url: String,
    api_key: String,
}

/// What became of a batch.
pub(super) struct Delivered {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    /// Why events were refused, for people.
    pub(super) reasons: Vec<String>,
    /// Whether the API refuses this key or address, so that the rest would fare no better.
    pub(super) hopeless: bool,
}

#[derive(Deserialize)]
struct Reply {
    accepted: u64,
    #[serde(default)]
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Rejected {
    index: usize,
    code: String,
    #[serde(default)]
    detail: String,
}

/// What one attempt yields.
enum Attempt {
    Answered(Reply),
    /// To be sent again after a pause, if the server named one.
    Again(Option<Duration>, String),
    /// Refused as a whole.
    Refused(StatusCode, String),
}

impl Delivery {
    pub(super) fn new(url: &str, api_key: &str) -> Result<Self> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .context("make an HTTP client")?;
        let url = format!("{}/v1/ingest/events", url.trim_end_matches('/'));
        Ok(Self {
            client,
            url,
            api_key: api_key.to_owned(),
        })
    }

    /// Sends a batch. An error means that there is no such request to make, or that the API breaks its word.
    pub(super) async fn send(&self, mut batch: Vec<Event>) -> Result<Delivered> {
        let mut delivered = Delivered {
            accepted: 0,
            rejected: 0,
            reasons: Vec::new(),
            hopeless: false,
        };
        let mut pause = FIRST_PAUSE;
        let mut last = String::new();
        for attempt in 1..=ATTEMPTS {
            let asked = match self.attempt(&batch).await? {
                Attempt::Answered(reply) => {
                    batch = delivered.take(reply, batch);
                    if batch.is_empty() {
                        return Ok(delivered);
                    }
                    "the API asks to send some events again".clone_into(&mut last);
                    None
                }
                Attempt::Again(asked, why) => {
                    last = why;
                    asked
                }
                Attempt::Refused(status, why) => {
                    delivered.hopeless = matches!(status.as_u16(), 401..=404);
                    delivered.rejected += batch.len() as u64;
                    delivered.reasons.push(why);
                    return Ok(delivered);
                }
            };
            if attempt == SAY_AFTER {
                eprintln!("still waiting for an answer: {last}");
            }
            tokio::time::sleep(asked.unwrap_or(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        delivered.rejected += batch.len() as u64;
        delivered.reasons.push(format!(
            "{} events stay unanswered after {ATTEMPTS} attempts: {last}",
            batch.len()
        ));
        Ok(delivered)
    }

    async fn attempt(&self, batch: &[Event]) -> Result<Attempt> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&serde_json::to_vec(&json!({"events": batch}))?)?;
        let request = self
            .client
            .post(&self.url)
            .header("x-api-key", &self.api_key)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_ENCODING, "gzip")
            .body(encoder.finish()?);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => return Err(error).context("the request cannot be made"),
            Err(error) => return Ok(Attempt::Again(None, format!("{:#}", anyhow::Error::new(error)))),
        };
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let asked = retry_after(&response);
            return Ok(Attempt::Again(asked, format!("the API answers {status}")));
        }
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Ok(Attempt::Again(None, format!("{:#}", anyhow::Error::new(error)))),
        };
        if !status.is_success() {
            let text: String = String::from_utf8_lossy(&body).chars().take(500).collect();
            return Ok(Attempt::Refused(
                status,
                format!("the API refuses with {status}: {text}"),
            ));
        }
        let reply = serde_json::from_slice(&body).context("the API's reply is not what it documents")?;
        Ok(Attempt::Answered(reply))
    }
}

impl Delivered {
    /// Counts what was answered; yields what is to be sent again.
    fn take(&mut self, reply: Reply, batch: Vec<Event>) -> Vec<Event> {
        self.accepted += reply.accepted;
        let (again, refused): (Vec<Rejected>, Vec<Rejected>) = reply
            .rejected
            .into_iter()
            .partition(|rejected| rejected.code == "unavailable");
        self.rejected += refused.len() as u64;
        for rejected in refused.iter().take(SHOWN) {
            let name = batch.get(rejected.index).map_or("?", |event| event.name.as_str());
            self.reasons
                .push(format!("refused: {name:.80}: {} {}", rejected.code, rejected.detail));
        }
        let again: Vec<usize> = again.into_iter().map(|rejected| rejected.index).collect();
        let keep = batch.into_iter().enumerate().filter(|(index, _)| again.contains(index));
        keep.map(|(_, event)| event).collect()
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.clamp(1, LONGEST_RETRY_AFTER_S)))
}
