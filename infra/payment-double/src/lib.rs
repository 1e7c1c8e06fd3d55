//! Stripe, Razorpay and Cashfree on one port of this machine, for the local stack and for tests: their own wire shapes, a
//! hosted page where a person pays, signed webhooks. Its state is in memory, and in a file where it is given one. It misbehaves when it is told to, and counts
//! what really happened.
//!
//! It knows nothing of the product: what it answers is made from what providers document, apart from the code that it is
//! there to try.

mod cashfree;
mod control;
mod deliver;
mod page;
mod razorpay;
mod serve;
mod stripe;
mod world;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use world::{Account, Act, Count, Fault, FaultKind, Flow, Operation, Provider, RefundEnd, Verdict};

use world::World;

/// Tells the time in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What all parts of it share.
#[derive(Clone)]
struct Shared(Arc<Inner>);

struct Inner {
    world: Mutex<World>,
    clock: Clock,
    url: String,
    /// Something is to be delivered.
    due: Notify,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        (self.0.clock)()
    }
}

/// The three providers, while it lives.
pub struct PaymentDouble {
    shared: Shared,
    tasks: [JoinHandle<()>; 2],
}

impl fmt::Debug for PaymentDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PaymentDouble").field(&self.url()).finish()
    }
}

impl Drop for PaymentDouble {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl PaymentDouble {
    /// Starts it on a free port, by the machine's time.
    pub async fn start() -> Result<Self> {
        Self::start_at(0, Arc::new(real_ms)).await
    }

    /// Starts it on a port of 127.0.0.1, or a free one for 0, by a clock.
    pub async fn start_at(port: u16, clock: Clock) -> Result<Self> {
        let listener = listen(port).await?;
        let world = World::new(format!("http://{}", listener.local_addr()?));
        Ok(Self::serve(listener, world, clock))
    }

    /// Starts it by a clock, with what a file holds, which it keeps from then on. On the port that it had, if that is free,
    /// so that its pages are where they were.
    pub async fn open(file: PathBuf, clock: Clock) -> Result<Self> {
        let known = World::read(&file);
        let port = known
            .as_ref()
            .and_then(|world| world.url.rsplit(':').next()?.parse().ok());
        let listener = match listen(port.unwrap_or(0)).await {
            Ok(listener) => listener,
            Err(_) => listen(0).await?,
        };
        let url = format!("http://{}", listener.local_addr()?);
        let mut world = known.unwrap_or_else(|| World::new(String::new()));
        world.url = url;
        world.keep_in(file);
        Ok(Self::serve(listener, world, clock))
    }

    fn serve(listener: TcpListener, world: World, clock: Clock) -> Self {
        let shared = Shared(Arc::new(Inner {
            url: world.url.clone(),
            world: Mutex::new(world),
            clock,
            due: Notify::new(),
        }));
        let router = serve::router(shared.clone());
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let delivering = tokio::spawn(deliver::run(shared.clone()));
        Self {
            shared,
            tasks: [serving, delivering],
        }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.shared.0.url
    }

    /// Where a provider's API is: what the product calls instead of the real one.
    pub fn base(&self, provider: Provider) -> String {
        format!("{}{}", self.url(), provider.path())
    }

    /// Tells it where an account's webhooks go and what signs them.
    pub fn register(&self, account: Account) {
        self.shared.world().register(account);
    }

    /// Does to a session, by the provider's id or our reference, what a person or a bank does.
    pub fn act(&self, session: &str, act: &Act) -> Result<(), String> {
        let done = self.shared.world().act(session, act, self.shared.now());
        self.shared.0.due.notify_one();
        done
    }

    /// Misbehaves at the next call that fits.
    pub fn misbehave(&self, fault: Fault) {
        self.shared.world().faults.push(fault);
    }

    /// Says how webhooks flow from now on.
    pub fn flow(&self, flow: Flow) {
        self.shared.world().flow = flow;
        self.shared.0.due.notify_one();
    }

    /// Says what becomes of refunds from now on.
    pub fn refunds_end(&self, end: RefundEnd) {
        self.shared.world().refund_end = end;
    }

    /// What it was told about webhooks: `[{id, kind, state, attempts, body}]`, in the order in which they came about.
    pub fn webhooks(&self) -> Value {
        self.shared.world().webhooks()
    }

    /// Sends these webhooks, held or sent already, in this order, once each time that they are named.
    pub fn release(&self, ids: &[String]) {
        self.shared.world().release(ids);
        self.shared.0.due.notify_one();
    }

    /// A webhook as it is sent now: its body, and its headers with a good signature.
    pub fn signed(&self, id: &str) -> Option<(String, Vec<(String, String)>)> {
        self.shared.world().signed(id, self.shared.now())
    }

    /// Takes a webhook for delivered: whoever has it from [`PaymentDouble::signed`] delivered it.
    pub fn delivered(&self, id: &str) {
        self.shared.world().delivered(id);
    }

    /// Every call: `[{provider, method, path, key, sha256, status}]`, in order.
    pub fn calls(&self) -> Value {
        self.shared.world().calls()
    }

    /// What really happened to a payment of ours, by our reference.
    pub fn count(&self, reference: &str) -> Count {
        self.shared.world().count(reference)
    }
}

async fn listen(port: u16) -> Result<TcpListener> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))
}

/// The machine's time.
#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, which has no other clock"
)]
pub fn real_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests;
