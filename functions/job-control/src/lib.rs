//! /v1/jobs: the work that is due, what became of it, and having it tried again or not at all. Members see the jobs of their
//! organization; who has a role on the platform sees everybody's where no organization is named.
//!
//! # Known bounds
//!
//! What the platform redrives stands in the trail of who did it, not in those of the organizations. `more` of a redrive may be true
//! although all that is left died after it began.

mod deeds;
mod redrive;

use axum::extract::{FromRef, State};
use gate::{Gate, Routes, Serve, routes};
use jobs::store::{self, Filter};
use jobs::{JobView, Queue, State as Status, queue};
use kernel::policy::{ManageAllJobs, ManageJobs, ReadAllJobs, ReadJobs};
use kernel::{JobId, OrgOrPlatform};
use lambda::{App, Env, Function, Json, List, Pages, Paging, Path, Result, Start};
use serde::Deserialize;

use crate::redrive::DeadLetters;

/// The function.
pub const FUNCTION: Function = gate::function::<JobControl>("job-control");

#[derive(Clone, FromRef)]
struct JobControl {
    app: App,
    gate: Gate,
    dead_letters: DeadLetters,
}

impl Start for JobControl {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            dead_letters: DeadLetters::parse(env.variable("DEAD_LETTER_ARNS")?, env.variable("DEAD_LETTER_QUEUES")?),
            app,
        })
    }
}

impl Serve for JobControl {
    type State = Self;

    fn routes() -> Routes<Self> {
        Routes::new()
            .members_or_staff(routes![list, get, retry, cancel])
            .and(redrive::routes())
    }
}

/// Who reads jobs, and who changes what becomes of them.
type Reader = OrgOrPlatform<ReadJobs, ReadAllJobs>;
type Manager = OrgOrPlatform<ManageJobs, ManageAllJobs>;

/// Which jobs are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Those of which this became.
    #[param(inline)]
    status: Option<Status>,
    /// Those of this queue.
    #[param(inline)]
    queue: Option<QueueName>,
}

/// A queue of jobs.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = JobQueue)]
pub(crate) enum QueueName {
    /// Mails.
    Notifications,
    /// Calls of others' servers.
    Integrations,
    /// Calls of endpoints that subscribe to events.
    Deliveries,
    /// Messages to browsers.
    Pushes,
    /// What is asked of payment providers.
    Payments,
    /// Files of invoices.
    Invoices,
    /// What is to be erased.
    Erasures,
}

impl From<QueueName> for &'static Queue {
    fn from(name: QueueName) -> Self {
        match name {
            QueueName::Notifications => &queue::NOTIFICATIONS,
            QueueName::Integrations => &queue::INTEGRATIONS,
            QueueName::Deliveries => &queue::DELIVERIES,
            QueueName::Pushes => &queue::PUSHES,
            QueueName::Payments => &queue::PAYMENTS,
            QueueName::Invoices => &queue::DOCUMENTS,
            QueueName::Erasures => &queue::ERASURES,
        }
    }
}

/// Lists jobs
///
/// Those of an organization newest first. Without `x-org-id` everybody's, for platform admins: newest first too, but those that are
/// to be done by when they are due, and those that are dead organization by organization, the longest dead first. A page may be
/// short, even empty, and yet have a `nextCursor`. A job is kept for 90 days after it was over, a webhook's delivery for 30.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "Jobs", params(Listed, Paging),
    responses((status = 200, body = List<JobView>)))]
async fn list(State(app): State<App>, scope: Reader, pages: Pages<Listed>) -> Result<Json<List<JobView>>> {
    let filter = Filter {
        state: pages.filter.status,
        queue: pages.filter.queue.map(|name| <&Queue>::from(name).name.to_owned()),
    };
    match scope {
        OrgOrPlatform::Org(scope) => {
            let page = store::list(&app.table, &scope, &filter, pages.slice()?).await?;
            Ok(Json(pages.list(page, JobView::from)?))
        }
        OrgOrPlatform::Platform(scope) => {
            let (limit, after) = (pages.limit(20, 100)?, pages.after()?);
            let (jobs, next) = store::everywhere(&app.table, &scope, &filter, limit, after).await?;
            let next_cursor = pages.next(next.as_ref())?;
            let data = jobs.into_iter().map(JobView::from).collect();
            Ok(Json(List { data, next_cursor }))
        }
    }
}

/// Shows a job
#[utoipa::path(get, path = "/v1/jobs/{id}", operation_id = "get_job", tag = "Jobs",
    params(("id" = JobId, Path, description = "The job.")), responses((status = 200, body = JobView)))]
async fn get(State(app): State<App>, scope: Reader, Path(id): Path<JobId>) -> Result<Json<JobView>> {
    let job = match scope {
        OrgOrPlatform::Org(scope) => store::load(&app.table, &scope, id).await?,
        OrgOrPlatform::Platform(scope) => store::load_anywhere(&app.table, &scope, id).await?,
    };
    Ok(Json(job.into()))
}

/// Has a job tried again, at once and as often as if it were new
///
/// 409 `job_not_failed` unless it is dead, or an attempt failed.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", operation_id = "retry_job", tag = "Jobs",
    params(("id" = JobId, Path, description = "The job.")), responses((status = 200, body = JobView)))]
async fn retry(State(app): State<App>, scope: Manager, Path(id): Path<JobId>) -> Result<Json<JobView>> {
    Ok(Json(deeds::retry(&app, &scope, id).await?))
}

/// Ends a job without doing it
///
/// If a worker is at it, what that does may still happen, but nothing after it. 409 `job_over` when it is done; repeating it changes
/// nothing. 409 `job_not_cancelable` for jobs of `payments` and `erasures`, and for those that are about a person's account.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", operation_id = "cancel_job", tag = "Jobs",
    params(("id" = JobId, Path, description = "The job.")), responses((status = 200, body = JobView)))]
async fn cancel(State(app): State<App>, scope: Manager, Path(id): Path<JobId>) -> Result<Json<JobView>> {
    Ok(Json(deeds::cancel(&app, &scope, id).await?))
}
