//! Having what was given up tried again, after whatever was the matter was mended: dead jobs, and for the platform what lies
//! in dead-letter queues too.

use std::collections::BTreeMap;
use std::sync::Arc;

use app::App;
use axum::extract::State;
use commit::again;
use gate::{Proving, Routes, routes};
use jobs::{Queue, Redriven, queue, redrive, redrive_all};
use kernel::{Check, Error, Input, OrgOrPlatform};
use lambda::{Json, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::Position;
use trail::{Chain, Change};

use crate::deeds::{actor, commit};
use crate::{JobControl, Manager, QueueName};

/// One call has so many pages of dead jobs tried again, of 20 jobs each.
const MOST_PAGES: usize = 50;

/// Dead-letter queues by the variable that has the address of what they belong to. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetters(Arc<BTreeMap<String, String>>);

impl DeadLetters {
    /// Reads `MAIL=name EVENT=name …` of what belongs to `MAIL_QUEUE_URL` and so on; each ARN is `arns` and the name. So it takes
    /// little of what a function's variables may hold in all.
    pub(crate) fn parse(arns: &str, text: &str) -> Self {
        let named = text.split_whitespace().filter_map(|one| one.split_once('='));
        let by_variable = named.map(|(queue, name)| (format!("{queue}_QUEUE_URL"), format!("{arns}{name}")));
        Self(Arc::new(by_variable.collect()))
    }

    /// Those of these queues of jobs; of all queues if none is named.
    fn of(&self, queue: Option<&Queue>) -> Vec<&str> {
        match queue {
            Some(queue) => self.0.get(queue.told.0).into_iter().map(String::as_str).collect(),
            None => self.0.values().map(String::as_str).collect(),
        }
    }
}

pub(crate) fn routes() -> Routes<JobControl> {
    Routes::new().members_or_staff(routes![redrive_jobs])
}

/// Which dead jobs are tried again.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRedrive)]
struct NewRedrive {
    /// Those of this queue; of all queues if absent.
    #[serde(default)]
    #[schema(inline, value_type = Option<QueueName>)]
    queue: Option<String>,
}

impl Input for NewRedrive {
    fn check(&self, check: &mut Check) {
        let known = |name: &String| Queue::named(name).is_some();
        check.that(
            self.queue.as_ref().is_none_or(known),
            "queue",
            "must be a queue of jobs",
        );
    }
}

/// What is tried again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Redrive)]
struct RedriveView {
    /// So many dead jobs.
    jobs: usize,
    /// Whether there may be more of them: call again.
    more: bool,
    /// How many dead-letter queues are being emptied into what they belong to.
    dead_letter_queues: usize,
}

/// Has dead jobs tried again, each as often as if it were new
///
/// Those of the organization. Without `x-org-id`, for platform admins, everybody's; and what lies in SQS's dead-letter queues goes back
/// to where it comes from: 403 `proof_required` for who has not proved a moment ago that it is them. That is noted in the audit trail of
/// the admin, not in those of the organizations. A job that dies again meanwhile does not begin once more. One call does at most 1,000
/// jobs.
#[utoipa::path(post, path = "/v1/jobs/redrive", operation_id = "redrive_jobs", tag = "Jobs", request_body = NewRedrive,
    responses((status = 200, body = RedriveView)))]
async fn redrive_jobs(
    State(app): State<App>,
    State(dead_letters): State<DeadLetters>,
    scope: Manager,
    proving: Proving,
    Json(input): Json<NewRedrive>,
) -> Result<Json<RedriveView>> {
    if let OrgOrPlatform::Platform(_) = scope {
        // Who forgets to name their organization would otherwise redrive everybody's.
        proving.must_be_recent().await?;
    }
    let queue = input.queue.as_deref().and_then(Queue::named);
    let mut view = RedriveView {
        jobs: 0,
        more: false,
        dead_letter_queues: 0,
    };
    let mut pages = MOST_PAGES;
    for queue in queue::ALL
        .iter()
        .filter(|one| queue.is_none_or(|queue| queue.name == one.name))
    {
        let (jobs, more) = dead_jobs(&app, &scope, queue, &mut pages).await?;
        view.jobs += jobs;
        view.more |= more;
    }
    if let OrgOrPlatform::Platform(_) = scope {
        view.dead_letter_queues = letters(&app, &scope, &dead_letters.of(queue)).await?;
    }
    Ok(Json(view))
}

/// Has a queue's dead jobs tried again, until so many pages are done; says how many, and whether there are more.
async fn dead_jobs(
    app: &App,
    scope: &Manager,
    queue: &'static Queue,
    pages: &mut usize,
) -> kernel::Result<(usize, bool)> {
    // What dies again meanwhile died later than this.
    let before = app.now();
    let (mut jobs, mut after) = (0, None);
    while let Some(left) = pages.checked_sub(1) {
        *pages = left;
        let (done, next) = one_page(app, scope, queue, before, after.as_ref()).await?;
        jobs += done;
        if next.is_none() {
            return Ok((jobs, false));
        }
        after = next;
    }
    // Nothing more is done, but whether there is more is looked at.
    let rest = page(app, scope, queue, before, after.as_ref()).await?;
    Ok((jobs, !rest.is_empty() || rest.next.is_some()))
}

/// Dead jobs of a queue that are to be tried again: of whomever it is.
async fn page(
    app: &App,
    scope: &Manager,
    queue: &'static Queue,
    before: kernel::Time,
    after: Option<&Position>,
) -> kernel::Result<Redriven> {
    match scope {
        OrgOrPlatform::Org(scope) => redrive(app, scope, queue, before, after.cloned()).await,
        OrgOrPlatform::Platform(scope) => redrive_all(app, scope, queue, before, after.cloned()).await,
    }
}

async fn one_page(
    app: &App,
    scope: &Manager,
    queue: &'static Queue,
    before: kernel::Time,
    after: Option<&Position>,
) -> kernel::Result<(usize, Option<Position>)> {
    let page = again(|| async {
        let page = page(app, scope, queue, before, after).await?;
        if !page.is_empty() {
            let change = Change::by(actor(scope), "jobs.redriven", "queue", queue.name);
            commit(app, scope)
                .write_all("job", page.writes()?)
                .note(chain(scope)?, change.to(json!({"jobs": page.len()})))
                .begins("a redrive")
                .await?;
        }
        Ok(page)
    })
    .await?;
    if !page.is_empty() {
        page.tell(app).await?;
    }
    Ok((page.len(), page.next))
}

/// Has SQS move dead letters back, and notes that first: they are no records of ours.
async fn letters(app: &App, scope: &Manager, arns: &[&str]) -> kernel::Result<usize> {
    let names: Vec<&str> = arns.iter().filter_map(|arn| arn.rsplit(':').next()).collect();
    let change = Change::by(actor(scope), "dead_letters.redriven", "queue", names.join(","));
    let noted = commit(app, scope).note(chain(scope)?, change).begins("a redrive");
    noted.await?;
    for arn in arns {
        app.queues.move_back(arn).await?;
    }
    Ok(arns.len())
}

/// Where it is noted: with the organization, or with who did it to everybody's.
fn chain(scope: &Manager) -> kernel::Result<Chain> {
    match scope {
        OrgOrPlatform::Org(scope) => Ok(Chain::Org(scope.org())),
        OrgOrPlatform::Platform(scope) => Ok(Chain::User(scope.user().map_err(|_| Error::Denied)?)),
    }
}
