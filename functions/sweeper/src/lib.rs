//! Each minute: finds the jobs that are due and the facts that are not relayed and that nobody seems to be told of (a crash
//! after the commit, a lost message, a worker that died), and the leases of wallets that nobody closed, and tells their
//! queues, as far as those have room; and measures which breakers are open. Running it twice, late or several times at once
//! only tells workers what they then find done.

use kernel::Result;
use lambda::{App, Env, Function, Schedule, Start};

/// The function.
pub const FUNCTION: Function = Function::schedule::<Sweeper>("sweeper");

/// Tells queues of what is due.
struct Sweeper;

impl Start for Sweeper {
    async fn start(_: &Env, _: App) -> anyhow::Result<Self> {
        Ok(Self)
    }
}

impl Schedule for Sweeper {
    async fn fire(&self, app: &App) -> Result<()> {
        let (swept, facts) = (jobs::sweep(app, jobs::queue::ALL).await, outbox::sweep(app).await);
        let leases = metering::recovery::sweep(app).await;
        let breakers = breaker::measure(app).await;
        let jobs::Swept { told, lost, held_back } = swept?;
        if told + lost + held_back > 0 {
            tracing::info!(told, lost, held_back, "jobs were overdue");
        }
        let facts = facts?;
        if facts > 0 {
            tracing::info!(facts, "facts were not relayed");
        }
        let leases = leases?;
        if leases > 0 {
            tracing::info!(leases, "leases of wallets were left behind");
        }
        breakers
    }
}
