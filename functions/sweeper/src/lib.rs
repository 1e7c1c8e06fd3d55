//! Each minute: finds the notices that are due and that nobody seems to be told of (a crash after the commit, a lost
//! message, a worker that died), and tells the notifier. It changes nothing itself, so running it twice, late or
//! several times at once only tells the notifier what it then finds done.

use kernel::{Result, Time};
use lambda::{App, Env, Function, Schedule, Start};
use notifications::job::store;
use notifications::{Job, NoticeQueue};

/// Who caused a notice tells the notifier at once; only what is overdue by this much is looked at.
const GRACE_MILLIS: i64 = 15 * Time::SECOND;
/// How many jobs a page has, and how many pages of a shard a firing reads: 16,000 jobs a minute in all.
const PAGE: u16 = 100;
const PAGES: usize = 10;

/// The function.
pub const FUNCTION: Function = Function::schedule::<Sweeper>("sweeper");

/// Tells the notifier of what is due.
struct Sweeper(NoticeQueue);

impl Start for Sweeper {
    async fn start(_: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self(NoticeQueue::of(&app.queues)))
    }
}

impl Sweeper {
    async fn sweep(&self, app: &App, shard: u8) -> Result<usize> {
        let before = app.now().plus_millis(-GRACE_MILLIS);
        let (mut found, mut after) = (0, None);
        for _ in 0..PAGES {
            let page = store::due(&app.table, shard, before, PAGE, after).await?;
            let jobs: Vec<_> = page.records.iter().map(Job::reference).collect();
            self.0.nudge(&jobs).await;
            found += jobs.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

impl Schedule for Sweeper {
    async fn fire(&self, app: &App) -> Result<()> {
        let (mut found, mut failed) = (0, None);
        for shard in 0..store::SHARDS {
            match self.sweep(app, shard).await {
                Ok(more) => found += more,
                // The other shards' jobs do not wait for this one's.
                Err(error) => failed = Some(error),
            }
        }
        if found > 0 {
            tracing::info!(jobs = found, "notices were overdue");
        }
        failed.map_or(Ok(()), Err)
    }
}
