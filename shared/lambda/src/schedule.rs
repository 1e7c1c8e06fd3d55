//! One function that a schedule fires: it finds what is due and puts it on a queue; workers do it.

use anyhow::Result;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::IgnoredAny;

use crate::http::{run, start_log};
use crate::{App, Env};

/// What a schedule fires. Firings may come late, twice, or both at once.
pub trait Schedule {
    /// Finds what is due by the app's clock. An error is logged and fails the invocation; the next firing finds what
    /// this one left.
    fn fire(&self, app: &App) -> impl Future<Output = kernel::Result<()>>;
}

/// Serves the schedule that `start` builds, for as long as EventBridge fires it. What the event says is not looked at.
pub fn serve_schedule<S: Schedule>(start: impl FnOnce(&App) -> Result<S>) -> Result<()> {
    start_log();
    run(async {
        let app = Env::of_process().app()?;
        let schedule = start(&app)?;
        let (app, schedule) = (&app, &schedule);
        let serve = service_fn(async |_: LambdaEvent<IgnoredAny>| {
            // Boxed: the compiler bounds how deep futures may lie in one another.
            Box::pin(schedule.fire(app)).await.map_err(failed)
        });
        lambda_runtime::run(serve).await.map_err(|error| anyhow::anyhow!(error))
    })
}

/// Logs the cause, which the error that Lambda sees does not show.
fn failed(error: kernel::Error) -> lambda_runtime::Error {
    match &error {
        kernel::Error::Internal(cause) => tracing::error!(error = format!("{cause:#}"), "a firing failed"),
        other => tracing::error!(error = %other, "a firing failed"),
    }
    error.into()
}
