//! SIGTERM: what Lambda sends a process that it is about to stop, and the local stack as well. It does so only where an
//! extension is registered, hence `lambda_runtime`'s own, which wants no events.

use std::time::Duration;

use app::{Shutdown, survive};

/// After what was under way at the end, its answer still has to leave.
const ANSWER: Duration = Duration::from_millis(50);

/// From now on SIGTERM (and SIGINT) begin the end of the process. To be called before the first request for work.
pub(crate) async fn listen(shutdown: &Shutdown) {
    let shutdown = shutdown.clone();
    let end = async move || {
        let busy = shutdown.is_busy();
        shutdown.begin().await;
        if busy {
            tokio::time::sleep(ANSWER).await;
        }
    };
    // It panics where nobody serves extensions. There nobody sends signals either.
    let registered = survive(lambda_runtime::spawn_graceful_shutdown_handler(end)).await;
    if let Err(error) = registered {
        tracing::warn!(error, "this process will not be told when it is to end");
    }
}
