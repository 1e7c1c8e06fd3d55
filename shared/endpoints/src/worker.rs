//! Delivering: one call an attempt, through the endpoint's breaker; and doing so again when a person wants it.

use std::time::Duration;

use app::App;
use breaker::{Breaker, Rule};
use commit::{Commit, Reply, again};
use jobs::{Outcome, Running, Work};
use kernel::policy::{ManageWebhooks, ReadWebhooks};
use kernel::{Error, JobId, Result, Scope, Time, WebhookId};
use outbound::Client;
use outbox::Shown;
use trail::{Chain, Change};

use crate::call::{self, Answer, Message, Trial};
use crate::delivery::{Attempt, Delivery, DeliveryStatus, DeliveryView};
use crate::endpoint::{Endpoint, Known, Turn};
use crate::facts::{DeliveryExhausted, DeliveryRecovered};
use crate::fanout::DISABLED;
use crate::{Replay, events};

/// How long an endpoint may take in all, of which 5 s to connect; well within the job's lease.
const WITHIN: Duration = Duration::from_secs(15);
/// The same for a trial, which somebody waits for.
const TRIAL_WITHIN: Duration = Duration::from_secs(12);
/// When something of ours does not answer, an attempt is not the endpoint's failure.
const OURS: Outcome = Outcome::NotNow {
    after: Duration::from_secs(5),
};

/// What an open breaker postpones waits no longer, and at most as much again by chance.
const LONGEST_POSTPONED: Duration = Duration::from_mins(15);

/// Delivers.
#[derive(Clone, Debug)]
pub struct Deliverer(Client);

impl Deliverer {
    /// One that calls by this client.
    pub fn by(client: Client) -> Self {
        Self(client)
    }

    async fn attempt(&self, app: &App, running: &Running<'_, Delivery>) -> Result<Outcome> {
        let delivery = &running.job;
        let scope = Scope::<ReadWebhooks>::system(delivery.org).because_of(running.origin().clone());
        let endpoint = match Endpoint::load(&app.table, &scope, delivery.endpoint).await {
            Ok(endpoint) => endpoint,
            Err(Error::NotFound(_)) => return Ok(Outcome::dead("deleted")),
            Err(error) => return Err(error),
        };
        if !endpoint.is_active() {
            return Ok(Outcome::Canceled {
                why: DISABLED.to_owned(),
            });
        }
        let Some(known) = endpoint.known(app)? else {
            return Ok(Outcome::dead("secret_lost"));
        };
        let Some(fact) = outbox::store::find(&app.table, &delivery.fact()).await? else {
            return Ok(Outcome::dead("not_kept"));
        };
        let (id, body) = (fact.id.to_string(), events::body(&fact));
        let message = Message {
            id: &id,
            body: &body,
            trace: running.origin().trace.as_deref(),
        };
        let breaker = Breaker::of(delivery.org, format!("webhook#{}", delivery.endpoint), Rule::WEBHOOK);
        let call = || call::make(&self.0, &known, message, app.now(), WITHIN);
        let answer = match breaker
            .call(app, call, |answer| !matches!(answer, Ok(answer) if answer.is_success()))
            .await
        {
            Ok(answer) => answer?,
            Err(open) => {
                return Ok(Outcome::NotNow {
                    after: postponed(app.now(), open.until, delivery.at),
                });
            }
        };
        Ok(self.took(app, &scope, running, &known, answer).await)
    }

    /// Takes down what came of a call, on its endpoint and for who wants to know; how the job goes on. Whatever goes wrong by
    /// then, the call was made.
    async fn took(
        &self,
        app: &App,
        scope: &Scope<ReadWebhooks>,
        running: &Running<'_, Delivery>,
        known: &Known,
        answer: Answer,
    ) -> Outcome {
        if let Some(status) = answer.status {
            running.answered(status.as_u16());
        }
        let turn = match &answer {
            answer if answer.is_success() => Turn::Succeeded,
            answer if answer.is_gone() => Turn::Gone,
            _ => Turn::Failed,
        };
        let turned = Endpoint::turned(app, scope, &known.endpoint, turn).await;
        let is_last = running.attempt() >= jobs::queue::DELIVERIES.retry.attempts();
        let is_told = !events::is_operational(&running.job.event);
        let told = match answer.error {
            None if running.was_dead() && is_told => self.tell(app, scope, running, &answer, true).await,
            Some("gone" | "refused") | None => Ok(()),
            Some(_) if is_last && is_told => self.tell(app, scope, running, &answer, false).await,
            Some(_) => Ok(()),
        };
        for done in [turned, told] {
            if let Err(error) = done {
                let error = format!("{:#}", anyhow::anyhow!(error));
                tracing::error!(webhook.id = %running.job.endpoint, error, "what came of a delivery was not taken down");
            }
        }
        match answer.error {
            None => Outcome::Done,
            Some(error @ ("gone" | "refused")) => Outcome::dead(error),
            Some(error) => Outcome::Again {
                why: error.to_owned(),
                after: answer.after,
            },
        }
    }

    /// Tells the other endpoints that a delivery was given up, or recovered: as it is with the attempt that was just made.
    async fn tell(
        &self,
        app: &App,
        scope: &Scope<ReadWebhooks>,
        running: &Running<'_, Delivery>,
        answer: &Answer,
        recovered: bool,
    ) -> Result<()> {
        let delivery = &running.job;
        let job = jobs::store::one_of(&app.table, scope, &delivery.endpoint.to_string(), running.id()).await?;
        let attempt = Attempt {
            at: app.now(),
            status_code: answer.status.map(|status| status.as_u16()),
            duration_ms: u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX),
            error: answer.error.map(str::to_owned),
        };
        let status = if recovered {
            DeliveryStatus::Succeeded
        } else {
            DeliveryStatus::Exhausted
        };
        let view = DeliveryView::of(&job).ok_or(Error::NotFound("delivery"))?;
        let shown = Shown::of(delivery.org, &job.id, job.changes(), view.after(status, attempt));
        let commit = Commit::by(app, scope);
        let commit = if recovered {
            commit.tell(&DeliveryRecovered(shown))?
        } else {
            commit.tell(&DeliveryExhausted(shown))?
        };
        Ok(commit.await?)
    }
}

/// How long a delivery waits that an open breaker postpones: longer the older it is, up to a quarter of an hour, and each a
/// while of its own; or all that wait would come at one moment, for the one call that tries.
fn postponed(now: Time, until: Time, since: Time) -> Duration {
    let of = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    let least = of(until.millis() - now.millis()).max(Duration::from_secs(1));
    let grown = (of(now.millis() - since.millis()) / 10).min(LONGEST_POSTPONED);
    let [chance] = kernel::id::random();
    let pause = least.max(grown);
    pause + pause * u32::from(chance) / u32::from(u8::MAX)
}

impl Work<Delivery> for Deliverer {
    async fn work(&self, app: &App, running: &Running<'_, Delivery>) -> Outcome {
        match self.attempt(app, running).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let error = format!("{:#}", anyhow::anyhow!(error));
                tracing::error!(webhook.id = %running.job.endpoint, error, "a delivery was not tried");
                OURS
            }
        }
    }
}

/// Calls an endpoint once with an event as it might be, and waits for what comes of it. Ten times a minute at most.
pub async fn try_out(
    app: &App,
    client: &Client,
    scope: &Scope<ManageWebhooks>,
    id: WebhookId,
    event: Option<&str>,
) -> Result<Trial> {
    let kind = match event {
        Some(name) => events::named(name)
            .ok_or_else(|| Error::invalid("type", "is no event; their names stand under `webhooks` in /docs/json"))?,
        None => events::kinds().next().ok_or(Error::NotFound("event"))?,
    };
    let known = Endpoint::count_trial(app, scope, id).await?;
    let (message, body) = events::trial(kind, app.now());
    let (message, started) = (message.to_string(), std::time::Instant::now());
    let told = Message {
        id: &message,
        body: &body,
        trace: scope.origin().trace.as_deref(),
    };
    let answer = call::make(client, &known, told, app.now(), TRIAL_WITHIN).await?;
    Ok(Trial {
        delivered: answer.is_success(),
        status_code: answer.status.map(|status| status.as_u16()),
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        error: answer.error.map(str::to_owned),
    })
}

/// Has one delivery made again, whatever became of it; it keeps its id and its attempts. 409 `delivery_pending` while it is
/// still to be made, `webhook_disabled` while its endpoint is.
pub async fn replay_one(
    app: &App,
    scope: &Scope<ManageWebhooks>,
    endpoint: WebhookId,
    id: JobId,
) -> Result<DeliveryView> {
    let (view, nudge) = again(|| async {
        let known = must_be_active(app, scope, endpoint).await?;
        let mut job = jobs::store::one_of(&app.table, scope, &endpoint.to_string(), id).await?;
        let delivery = Delivery::by(&job).ok_or(Error::NotFound("delivery"))?;
        if job.state.is_open() {
            return Err(Error::refused("delivery_pending", "it is still to be delivered").into());
        }
        job.redo(app.now(), &delivery)?;
        let view = DeliveryView::of(&job).ok_or(Error::NotFound("delivery"))?;
        let change = Change::by(scope.actor(), "webhook.replayed", "webhook", endpoint);
        let what = serde_json::json!({"deliveryId": id});
        Commit::by(app, scope)
            .write("delivery", jobs::store::replace(&job)?)
            .note(Chain::Org(known.org), change.to(what))
            .reply(Reply::json(202, &view)?)
            .await?;
        Ok((view, job.nudge(app.now())))
    })
    .await?;
    app.queues.nudge_each(nudge).await;
    Ok(view)
}

/// Has all deliveries made again of what happened since a moment, but those that are still to be made.
pub async fn replay_since(app: &App, scope: &Scope<ManageWebhooks>, endpoint: WebhookId, since: Time) -> Result<()> {
    let known = must_be_active(app, scope, endpoint).await?;
    let now = app.now();
    let replay = Replay {
        org: known.org,
        endpoint,
        since,
        asked_at: now,
    };
    let change = Change::by(scope.actor(), "webhook.replayed", "webhook", endpoint);
    Commit::by(app, scope)
        .later(&replay, now)?
        .note(Chain::Org(known.org), change.to(serde_json::json!({"since": since})))
        .reply(Reply::json(202, &serde_json::json!({"since": since}))?)
        .await?;
    Ok(())
}

async fn must_be_active(app: &App, scope: &Scope<ManageWebhooks>, id: WebhookId) -> Result<Endpoint> {
    let endpoint = Endpoint::load(&app.table, &scope.narrow()?, id).await?;
    if endpoint.is_active() {
        return Ok(endpoint);
    }
    let detail = "this subscription is disabled; set its `status` to `active` first";
    Err(Error::refused("webhook_disabled", detail))
}
