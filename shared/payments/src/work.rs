//! Doing the jobs of the queue `payments`.

use app::App;
use jobs::{JobRef, Outcome, Running, Work};
use kernel::{Error, Result};

use crate::close::Close;
use crate::event::ProviderEvent;
use crate::reconcile::Reconcile;
use crate::refund::GiveBack;
use crate::till::Till;
use crate::watch::Watch;

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
