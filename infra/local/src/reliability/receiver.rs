//! A webhook receiver that is no better than others: it notes each call, and every third one it answers with 500.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Every one of so many calls is taken and answered with an error.
const FAILS: usize = 3;

/// The messages that came to one path, by event: their ids.
type Messages = BTreeMap<String, BTreeSet<String>>;

#[derive(Default)]
struct Notes {
    calls: usize,
    messages: BTreeMap<String, Messages>,
}

/// A receiver that listens until it is dropped.
pub(super) struct Receiver {
    port: u16,
    notes: Arc<Mutex<Notes>>,
    server: JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("open a port for webhooks")?;
        let port = listener.local_addr()?.port();
        let notes = Arc::new(Mutex::new(Notes::default()));
        let router = Router::new().fallback(take).with_state(Arc::clone(&notes));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { port, notes, server })
    }

    /// Yields the address of a path of its own.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// Counts the distinct messages that came to a path, by event: a message that came twice has the same `webhook-id`.
    pub(super) fn messages(&self, name: &str) -> BTreeMap<String, u64> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let messages = notes.messages.get(&format!("/{name}")).into_iter().flatten();
        messages.map(|(event, ids)| (event.clone(), ids.len() as u64)).collect()
    }

    /// Counts all calls.
    pub(super) fn calls(&self) -> usize {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).calls
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(notes): State<Arc<Mutex<Notes>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers
        .get("webhook-id")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let event = body["type"].as_str().unwrap_or_default();
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.calls += 1;
    let fails = notes.calls % FAILS == 0;
    let messages = notes.messages.entry(uri.path().to_owned()).or_default();
    messages.entry(event.to_owned()).or_default().insert(id.to_owned());
    if fails {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::NO_CONTENT
    }
}
