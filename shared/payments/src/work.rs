//! Doing the jobs of the queue `payments`.

use std::time::Duration;

use app::App;
use jobs::{JobRef, Outcome, Running, Work};
use kernel::{Error, Result};

use crate::close::Close;
use crate::event::ProviderEvent;
use crate::reconcile::Reconcile;
use crate::refund::GiveBack;
use crate::till::Till;
use crate::watch::Watch;

/// A provider that does not answer is asked again after this.
const AGAIN: Duration = Duration::from_secs(30);

macro_rules! does {
    ($($job:ident)*) => {$(
        impl Work<$job> for Till {
            async fn work(&self, app: &App, running: &Running<'_, $job>) -> Outcome {
                $job::work(app, self, running).await
            }
        }
    )*

    /// Does the job that a message names. An error means that the message has to come again.
    pub async fn work(app: &App, till: &Till, message: &str) -> Result<()> {
        let named = JobRef::parse(message)?;
        match named.kind.as_str() {
            $(<$job as jobs::Job>::KIND => jobs::work::<$job>(app, till, message).await,)*
            kind => Err(Error::Internal(anyhow::anyhow!("nobody of payments does jobs {kind}"))),
        }
    }};
}

does! { ProviderEvent Watch GiveBack Close Reconcile }

/// What becomes of a job that met an error: who does not answer is asked until they do.
pub(crate) fn outcome_of(error: &Error) -> Outcome {
    match error {
        Error::Away(_) | Error::Busy | Error::InFlight { .. } => Outcome::NotNow { after: AGAIN },
        Error::NotFound(_) | Error::Refused { .. } => Outcome::again(error.to_string()),
        error => {
            tracing::error!(error = format!("{error:#}"), "a job of payments failed");
            Outcome::again("something went wrong on our side")
        }
    }
}
