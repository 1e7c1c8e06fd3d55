//! Having dead jobs tried again, after whatever killed them was mended: page by page, so that any number of them can be.

use app::App;
use futures::future::join_all;
use kernel::policy::kind;
use kernel::{OrgWide, Permission, Result, Scope, Time};
use table::Position;

use crate::later::message;
use crate::queue::Queue;
use crate::record::{JobRecord, Owner, store};

/// So many are tried again at a time.
const PAGE: u16 = 100;

/// What a page of dead jobs came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// How many are tried again.
    pub jobs: usize,
    /// Where to go on; nothing when there are no more.
    pub next: Option<Position>,
}

/// Has one page of a queue's dead jobs of the scope's organization tried again: those that died before `before`, so that
/// what dies again meanwhile does not begin once more.
pub async fn redrive<P: OrgWide>(
    app: &App,
    scope: &Scope<P>,
    queue: &Queue,
    before: Time,
    after: Option<Position>,
) -> Result<Redriven> {
    page(app, queue, Some(Owner::Org(scope.org())), before, after).await
}

/// Has one page of a queue's dead jobs tried again, whosever they are: those that died before `before`.
pub async fn redrive_all<P: Permission<Kind = kind::Platform>>(
    app: &App,
    _: &Scope<P>,
    queue: &Queue,
    before: Time,
    after: Option<Position>,
) -> Result<Redriven> {
    page(app, queue, None, before, after).await
}

async fn page(
    app: &App,
    queue: &Queue,
    owner: Option<Owner>,
    before: Time,
    after: Option<Position>,
) -> Result<Redriven> {
    let found = store::dead(&app.table, queue.name, owner, before, PAGE, after).await?;
    let is_older = |job: &JobRecord| job.finished_at.is_some_and(|at| at < before);
    let retried = join_all(found.records.into_iter().filter(is_older).map(|job| retry(app, job))).await;
    let jobs = retried
        .into_iter()
        .filter_map(Result::transpose)
        .collect::<Result<Vec<_>>>()?;
    // Of what does not fit the queue the sweeper tells.
    let depth = app.queues.depth(queue.told).await?;
    let room = usize::try_from(queue.most_waiting.saturating_sub(depth)).unwrap_or(usize::MAX);
    let messages: Vec<_> = jobs.iter().take(room).map(message).collect();
    app.queues.nudge(queue.told, &messages).await;
    Ok(Redriven {
        jobs: jobs.len(),
        next: found.next,
    })
}

/// Has one tried again; nothing if somebody else changed it meanwhile.
async fn retry(app: &App, mut job: JobRecord) -> Result<Option<JobRecord>> {
    job.retry(app.now())?;
    Ok(store::save(&app.table, &mut job).await?.then_some(job))
}
