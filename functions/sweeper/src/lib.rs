//! Each minute: finds the jobs that are due and that nobody seems to be told of (a crash after the commit, a lost message, a
//! worker that died), and tells their queues, as far as those have room. Running it twice, late or several times at once
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
        let swept = jobs::sweep(app, jobs::queue::ALL).await?;
        if swept != jobs::Swept::default() {
            let jobs::Swept { told, lost, held_back } = swept;
            tracing::info!(told, lost, held_back, "jobs were overdue");
        }
        Ok(())
    }
}
