//! A server of somebody else's that takes webhooks, on this machine.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, StatusCode, Uri, header};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Takes webhooks and remembers them. Ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: Mutex<Vec<Call>>,
    answers: Mutex<VecDeque<u16>>,
}

/// A call that came.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
    /// Its body, as it came.
    pub bytes: Bytes,
    /// What was asked for.
    pub path: String,
}

impl Call {
    /// The value of a header; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }
}

impl Receiver {
    /// Starts one that answers 200.
    pub async fn start() -> Self {
        Self::answering(&[]).await
    }

    /// Starts one that answers with these statuses in turn, then 200. A redirect leads to the receiver itself; 429 asks for
    /// an hour's patience.
    pub async fn answering(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        shared.answers.lock().expect("nobody panicked").extend(statuses);
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address,
            shared,
            server,
        }
    }

    /// Where it is called.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From now on answers with these statuses in turn, then 200.
    pub fn answer(&self, statuses: &[u16]) {
        let mut answers = self.shared.answers.lock().expect("nobody panicked");
        *answers = statuses.iter().copied().collect();
    }

    /// The calls that came, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().expect("nobody panicked").clone()
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> (StatusCode, [(header::HeaderName, &'static str); 1]) {
    let call = Call {
        headers,
        body: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
        path: uri.to_string(),
    };
    shared.calls.lock().expect("nobody panicked").push(call);
    let status = shared.answers.lock().expect("nobody panicked").pop_front();
    let status = StatusCode::from_u16(status.unwrap_or(200)).expect("a status");
    let header = match status {
        StatusCode::TOO_MANY_REQUESTS => (header::RETRY_AFTER, "3600"),
        _ => (header::LOCATION, "/elsewhere"),
    };
    (status, [header])
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}
