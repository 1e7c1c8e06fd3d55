//! Having dead jobs tried again, after whatever killed them was mended: page by page, so that any number of them can be. Each
//! page is one transaction with whatever else says that it was done.

use app::App;
use kernel::policy::kind;
use kernel::{OrgWide, Permission, Result, Scope, Time};
use table::{Position, Write};

use crate::later::message;
use crate::queue::Queue;
use crate::record::{JobRecord, Owner, store};

/// So many are tried again at a time: what they say fits one transaction.
const PAGE: u16 = 20;

/// Dead jobs that are to be tried again. Nothing is changed yet: put [`Redriven::writes`] into a transaction, and once that is
/// committed call [`Redriven::tell`].
#[derive(Debug)]
pub struct Redriven {
    queue: &'static Queue,
    jobs: Vec<JobRecord>,
    /// Where to go on; nothing when there are no more.
    pub next: Option<Position>,
}

/// One page of a queue's dead jobs of the scope's organization: those that died before `before`, so that what dies again
/// meanwhile does not begin once more.
pub async fn redrive<P: OrgWide>(
    app: &App,
    scope: &Scope<P>,
    queue: &'static Queue,
    before: Time,
    after: Option<Position>,
) -> Result<Redriven> {
    page(app, queue, Some(Owner::Org(scope.org())), before, after).await
}

/// One page of a queue's dead jobs, whosever they are: those that died before `before`.
pub async fn redrive_all<P: Permission<Kind = kind::Platform>>(
    app: &App,
    _: &Scope<P>,
    queue: &'static Queue,
    before: Time,
    after: Option<Position>,
) -> Result<Redriven> {
    page(app, queue, None, before, after).await
}

async fn page(
    app: &App,
    queue: &'static Queue,
    owner: Option<Owner>,
    before: Time,
    after: Option<Position>,
) -> Result<Redriven> {
    let found = store::dead(&app.table, queue.name, owner, before, PAGE, after).await?;
    let mut jobs = Vec::with_capacity(found.records.len());
    for mut job in found.records {
        if job.finished_at.is_some_and(|at| at < before) {
            job.retry(app.now())?;
            jobs.push(job);
        }
    }
    let next = found.next;
    Ok(Redriven { queue, jobs, next })
}

impl Redriven {
    /// How many jobs it is.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there is nothing to be done.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// What has them tried again. A condition does not hold where somebody else changed one since it was read.
    pub fn writes(&self) -> Result<Vec<Write>> {
        self.jobs.iter().map(store::replace).collect()
    }

    /// Tells the queue of them; of what does not fit it the sweeper tells.
    pub async fn tell(&self, app: &App) -> Result<()> {
        let depth = app.queues.depth(self.queue.told).await?;
        let room = usize::try_from(self.queue.most_waiting.saturating_sub(depth)).unwrap_or(usize::MAX);
        let messages: Vec<_> = self.jobs.iter().take(room).map(message).collect();
        app.queues.nudge(self.queue.told, &messages).await;
        Ok(())
    }
}
