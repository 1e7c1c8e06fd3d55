//! Hears of facts, and makes a delivery for each endpoint that wants to be told.

use app::App;
use futures::future::try_join_all;
use jobs::Later;
use kernel::policy::ReadWebhooks;
use kernel::{Result, Scope};
use outbox::{Heard, Listener, Told};

use crate::delivery::Delivery;
use crate::endpoint::Endpoint;
use crate::events;

/// Why a delivery to an endpoint that is disabled is not made.
pub(crate) const DISABLED: &str = "disabled";

/// Hears of facts, and makes a delivery for each endpoint that wants to be told: one, however often it hears of a fact. What
/// happens while an endpoint is disabled is kept for it, to be replayed.
#[derive(Clone, Copy, Debug)]
pub struct Fanout;

impl Fanout {
    async fn spread(app: &App, fact: &Told) -> Result<()> {
        if events::named(&fact.fact).is_none() {
            return Ok(());
        }
        let scope = Scope::<ReadWebhooks>::system(fact.org);
        let endpoints = Endpoint::all(&app.table, &scope).await?;
        let wanted = endpoints.iter().filter(|endpoint| endpoint.wants(fact));
        try_join_all(wanted.map(|endpoint| deliver(app, endpoint, fact))).await?;
        Ok(())
    }
}

async fn deliver(app: &App, endpoint: &Endpoint, fact: &Told) -> Result<()> {
    let now = app.now();
    let job = Later::of(now, &Delivery::of(endpoint.id, fact), now)?.because_of(&fact.origin);
    let job = if endpoint.is_active() {
        job
    } else {
        job.unwanted(DISABLED)
    };
    job.store(app).await?;
    Ok(())
}

impl Listener for Fanout {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a> {
        Box::pin(Self::spread(app, fact))
    }
}
