//! One function that a schedule fires: it finds what is due and puts it on a queue; workers do it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::App;
use crate::measure::{self, TARGET, Watch, write_rest};

/// What a schedule fires. Firings may come late, twice, or both at once.
pub trait Schedule: Send + Sync + 'static {
    /// Finds what is due by the app's clock. An error is logged and fails the invocation; the next firing finds what
    /// this one left.
    fn fire(&self, app: &App) -> impl Future<Output = kernel::Result<()>> + Send;
}

/// A schedule's function that has started, whichever it is.
pub trait Firing: Send + Sync {
    /// Fires once, as [`Schedule::fire`].
    fn fire(&self) -> Pin<Box<dyn Future<Output = kernel::Result<()>> + Send + '_>>;
}

/// What is fired, and the app that it works with.
pub(crate) struct Scheduled<S> {
    pub(crate) app: App,
    pub(crate) schedule: S,
}

impl<S: Schedule> Firing for Scheduled<S> {
    fn fire(&self) -> Pin<Box<dyn Future<Output = kernel::Result<()>> + Send + '_>> {
        Box::pin(self.schedule.fire(&self.app))
    }
}

/// What is fired and measured, with a line of the log at the end.
pub(crate) struct WatchedFiring {
    pub(crate) firing: Arc<dyn Firing>,
    pub(crate) watch: Watch,
}

impl Firing for WatchedFiring {
    fn fire(&self) -> Pin<Box<dyn Future<Output = kernel::Result<()>> + Send + '_>> {
        Box::pin(async move {
            let started = Instant::now();
            let span = self.watch.invocation(None, None);
            let fired = self.firing.fire().instrument(span.clone()).await;
            let _within = span.entered();
            self.watch.time("faas.invoke.duration", started.elapsed());
            let (emf, rest) = self.watch.ended();
            tracing::info!(
                target: TARGET,
                {
                outcome = if fired.is_ok() { "done" } else { "failed" },
                duration_ms = started.elapsed().as_secs_f64() * 1_000.0,
                emf,
                },
                "fired"
            );
            write_rest(rest);
            fired
        })
    }
}

/// Serves a schedule for as long as EventBridge fires it. What the event says is not looked at.
pub(crate) async fn serve(firing: &dyn Firing) -> Result<(), Error> {
    let serve = service_fn(async |event: LambdaEvent<IgnoredAny>| {
        spans::begin(event.context.xray_trace_id.as_deref());
        let span = measure::lambda(&event.context);
        let timed = tracing::info_span!(
            target: spans::TARGET,
            "firing",
            otel.kind = "server",
            faas.trigger = "timer",
            error = Empty,
        );
        let fired = firing
            .fire()
            .instrument(timed.clone())
            .instrument(span)
            .await
            .map_err(failed);
        timed.record("error", fired.is_err());
        drop(timed);
        spans::flush();
        fired
    });
    lambda_runtime::run(serve).await
}

/// Logs the cause, which the error that Lambda sees does not show.
fn failed(error: kernel::Error) -> Error {
    match &error {
        kernel::Error::Internal(cause) => tracing::error!(error = format!("{cause:#}"), "a firing failed"),
        other => tracing::error!(error = %other, "a firing failed"),
    }
    error.into()
}
