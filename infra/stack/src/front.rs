//! The port of a stack: says what it waits for until the stack is up, then hands it every request.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aids::{self, json_reply, problem};
use crate::assembly::Stack;

/// How long open connections may take to end after everything else has.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// An open port, and what answers on it.
pub struct Front {
    address: SocketAddr,
    stage: Arc<RwLock<Stage>>,
    close: watch::Sender<bool>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
enum Stage {
    Starting(&'static str),
    Up(Arc<Stack>),
    Stopping,
}

impl Front {
    /// Opens a port of 127.0.0.1; zero takes a free one. It answers 503 and names `missing`.
    pub async fn open(port: u16, missing: &'static str) -> Result<Self> {
        let listener = match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                bail!("port {port} is taken; stop what listens there, or choose another with --port")
            }
            Err(error) => return Err(error).with_context(|| format!("listen on port {port}")),
        };
        let address = listener.local_addr()?;
        let stage = Arc::new(RwLock::new(Stage::Starting(missing)));
        let (close, server) = serve(listener, Arc::clone(&stage));
        Ok(Self {
            address,
            stage,
            close,
            server,
        })
    }

    /// Yields where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.address.port())
    }

    /// Says what is missing now.
    pub fn wait_for(&self, missing: &'static str) {
        self.set(Stage::Starting(missing));
    }

    /// Lets a stack answer from now on.
    pub fn hand_to(&self, stack: Arc<Stack>) {
        self.set(Stage::Up(stack));
    }

    /// Takes no more requests, gives those under way a few seconds, stops the functions, then closes the port.
    pub async fn stop(self) {
        let before = std::mem::replace(
            &mut *self.stage.write().unwrap_or_else(PoisonError::into_inner),
            Stage::Stopping,
        );
        if let Stage::Up(stack) = before {
            stack.stop().await;
        }
        self.close.send_replace(true);
        let _ = tokio::time::timeout(CONNECTION_TIMEOUT, self.server).await;
    }

    fn set(&self, stage: Stage) {
        *self.stage.write().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

fn serve(listener: TcpListener, stage: Arc<RwLock<Stage>>) -> (watch::Sender<bool>, JoinHandle<()>) {
    let close = watch::Sender::new(false);
    let mut closed = close.subscribe();
    let router = Router::new().fallback(answer).with_state(stage);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let server = tokio::spawn(async move {
        let shutdown = async move {
            let _ = closed.wait_for(|closed| *closed).await;
        };
        let _ = axum::serve(listener, service).with_graceful_shutdown(shutdown).await;
    });
    (close, server)
}

async fn answer(
    State(stage): State<Arc<RwLock<Stage>>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let stage = stage.read().unwrap_or_else(PoisonError::into_inner).clone();
    let is_ready_check = request.uri().path() == "/ready";
    let stack = match stage {
        Stage::Up(stack) => stack,
        Stage::Starting(missing) if is_ready_check => {
            let body = json!({"status": "starting", "missing": [missing]});
            return json_reply(StatusCode::SERVICE_UNAVAILABLE, "application/json", &body);
        }
        Stage::Starting(missing) => return problem(StatusCode::SERVICE_UNAVAILABLE, "starting", missing),
        Stage::Stopping => return problem(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the stack is stopping"),
    };
    if request.uri().path().starts_with("/_local/") {
        return aids::answer(&stack, request).await;
    }
    if is_ready_check && !stack.has_ready_route() {
        return json_reply(StatusCode::OK, "application/json", &json!({"status": "ready"}));
    }
    stack.answer(request, peer).await
}
