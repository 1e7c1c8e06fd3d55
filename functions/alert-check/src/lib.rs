//! The schedule of alerts, each minute: puts every enabled alert on the evaluator's queue, and looks at none of them.

use alerting::due;
use lambda::{App, Env, Function, Schedule, Start};

/// The function.
pub const FUNCTION: Function = Function::schedule::<AlertCheck>("alert-check");

/// Finds which alerts are to be looked at.
struct AlertCheck;

impl Start for AlertCheck {
    async fn start(_: &Env, _: App) -> anyhow::Result<Self> {
        Ok(Self)
    }
}

impl Schedule for AlertCheck {
    async fn fire(&self, app: &App) -> kernel::Result<()> {
        let alerts = due::queue_all(app).await?;
        tracing::info!(alerts, "alerts are to be looked at");
        Ok(())
    }
}
