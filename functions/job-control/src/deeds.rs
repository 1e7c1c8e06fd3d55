//! What people do to one job: the job, the entry of the audit trail and the reply together, then its queue is told.

use app::App;
use commit::{Commit, NotDone, Reply, again};
use jobs::{JobRecord, JobView, Owner, State, store};
use kernel::{Actor, Error, JobId, OrgOrPlatform, Result};
use serde_json::json;
use trail::{Chain, Change};

use crate::Manager;

/// Has a job tried again. 409 `job_not_failed` unless an attempt failed.
pub(crate) async fn retry(app: &App, scope: &Manager, id: JobId) -> Result<JobView> {
    let job = again(|| async {
        let (mut job, before) = load(app, scope, id).await?;
        job.retry(app.now())?;
        save(app, scope, before, &job, "job.retried").await?;
        Ok(job)
    })
    .await?;
    app.queues.nudge_each(job.nudge(app.now())).await;
    Ok(job.into())
}

/// Ends a job without doing it. 409 `job_not_cancelable` where people may not, `job_over` when it is done; nothing happens if it
/// was canceled before.
pub(crate) async fn cancel(app: &App, scope: &Manager, id: JobId) -> Result<JobView> {
    let job = again(|| async {
        let (mut job, before) = load(app, scope, id).await?;
        if !job.is_cancelable() {
            let detail = "what settles money, erases, or tells a person of their account is not ended by hand";
            return Err(Error::refused("job_not_cancelable", detail).into());
        }
        if job.cancel(app.now())? {
            save(app, scope, before, &job, "job.canceled").await?;
        }
        Ok(job)
    })
    .await?;
    Ok(job.into())
}

/// The job as it is now, and what became of it so far.
async fn load(app: &App, scope: &Manager, id: JobId) -> Result<(JobRecord, State)> {
    let job = match scope {
        OrgOrPlatform::Org(scope) => store::load(&app.table, scope, id).await?,
        OrgOrPlatform::Platform(scope) => store::load_anywhere(&app.table, scope, id).await?,
    };
    let before = job.state;
    Ok((job, before))
}

/// Stores it with the entry of whoever's job it is: so an organization sees what the platform did to its jobs.
async fn save(app: &App, scope: &Manager, before: State, job: &JobRecord, action: &'static str) -> Result<(), NotDone> {
    let chain = match job.owner {
        Owner::Org(org) => Chain::Org(org),
        Owner::User(user) => Chain::User(user),
    };
    let what = |state: State| json!({"queue": job.queue, "type": job.kind, "status": state});
    let change = Change::by(actor(scope), action, "job", job.id);
    commit(app, scope)
        .write("job", store::replace(job)?)
        .note(chain, change.from(what(before)).to(what(job.state)))
        .reply(Reply::ok(&JobView::from(job.clone()))?)
        .await
}

/// Who acts.
pub(crate) fn actor(scope: &Manager) -> Actor {
    match scope {
        OrgOrPlatform::Org(scope) => scope.actor(),
        OrgOrPlatform::Platform(scope) => scope.actor(),
    }
}

/// Begins a change by whoever acts.
pub(crate) fn commit<'a>(app: &'a App, scope: &Manager) -> Commit<'a> {
    match scope {
        OrgOrPlatform::Org(scope) => Commit::by(app, scope),
        OrgOrPlatform::Platform(scope) => Commit::by(app, scope),
    }
}
