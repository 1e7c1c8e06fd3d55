//! Having an endpoint told again of all that happened since a moment: page by page, in one job.

use std::time::{Duration, Instant};

use app::App;
use futures::future::try_join_all;
use jobs::{Hold, Job, JobRecord, Outcome, Owner, Place, Queue, Running, Work, store};
use kernel::policy::ReadWebhooks;
use kernel::{OrgId, Result, Scope, Time, WebhookId};
use serde::{Deserialize, Serialize};
use table::Slice;

use crate::delivery::Delivery;
use crate::worker::Deliverer;

/// So many are told again at a time.
const PAGE: u16 = 100;
/// After this another invocation goes on: others' calls are under way in the same one.
const WITHIN: Duration = Duration::from_secs(8);

/// That an endpoint is told again of all that happened since a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Whose it is.
    pub org: OrgId,
    /// Whom it is for.
    pub endpoint: WebhookId,
    /// Since when.
    pub since: Time,
    /// When somebody asked for it: what was over after that was made again already.
    pub asked_at: Time,
}

impl Job for Replay {
    const KIND: &'static str = "replay";
    const QUEUE: &'static Queue = &jobs::queue::INTEGRATIONS;

    fn place(&self) -> Place {
        // Not among the deliveries.
        Place::of(Owner::Org(self.org), format!("{}_replays", self.endpoint))
    }

    fn label(&self) -> Option<String> {
        Some(format!("since {}", self.since))
    }

    fn group(&self) -> String {
        self.endpoint.to_string()
    }
}

impl Replay {
    async fn run(&self, app: &App, running: &Running<'_, Self>) -> Result<Outcome> {
        let scope = Scope::<ReadWebhooks>::system(self.org);
        let (cause, started, mut after) = (self.endpoint.to_string(), Instant::now(), None);
        loop {
            if started.elapsed() > WITHIN || app.shutdown.is_begun() {
                // What was told again is not meant any more.
                let after = Duration::from_secs(1);
                return Ok(Outcome::NotNow { after });
            }
            let slice = Slice { limit: PAGE, after };
            let page = store::of_cause_in(&app.table, &scope, &cause, slice).await?;
            let is_over = page.records.last().is_none_or(|job| job.id.time() < self.since);
            let meant = page.records.into_iter().filter(|job| self.is_meant(job));
            try_join_all(meant.map(|job| again(app, job))).await?;
            after = page.next;
            if is_over || after.is_none() {
                return Ok(Outcome::Done);
            }
            if running.renew().await? == Hold::Gone {
                return Ok(Outcome::Done);
            }
        }
    }

    fn is_meant(&self, job: &JobRecord) -> bool {
        let was_over = job.finished_at.is_some_and(|at| at <= self.asked_at);
        job.id.time() >= self.since && !job.state.is_open() && was_over
    }
}

/// Has one made again; nothing if somebody else changed it meanwhile.
async fn again(app: &App, mut job: JobRecord) -> Result<()> {
    let Some(delivery) = Delivery::by(&job) else {
        return Ok(());
    };
    job.redo(app.now(), &delivery)?;
    if store::save(&app.table, &mut job).await? {
        app.queues.nudge_each(job.nudge(app.now())).await;
    }
    Ok(())
}

impl Work<Replay> for Deliverer {
    async fn work(&self, app: &App, running: &Running<'_, Replay>) -> Outcome {
        match running.job.run(app, running).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let error = format!("{:#}", anyhow::anyhow!(error));
                tracing::error!(webhook.id = %running.job.endpoint, error, "a replay broke off");
                Outcome::again("it broke off")
            }
        }
    }
}
