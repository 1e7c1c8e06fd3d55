//! The schedule of billing, each minute: puts what is due on the workers' queue, and does none of it.

use lambda::{App, Env, Function, Schedule, Start};

/// The function.
pub const FUNCTION: Function = Function::schedule::<BillingRun>("billing-run");

/// Finds what is due.
struct BillingRun;

impl Start for BillingRun {
    async fn start(_: &Env, _: App) -> anyhow::Result<Self> {
        Ok(Self)
    }
}

impl Schedule for BillingRun {
    async fn fire(&self, app: &App) -> kernel::Result<()> {
        let due = billing::run::queue_due(app).await?;
        if due > 0 {
            tracing::info!(due, "things are due");
        }
        Ok(())
    }
}
