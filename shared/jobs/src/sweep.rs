//! Finding what is due and nobody seems to be told of: a crash after the commit, a lost message, a job that is due in a
//! month, a worker that died. The queue is told again, as long as it has room.
//!
//! Running it late, twice or several times at once only tells workers what they then find done.

use std::ops::AddAssign;

use app::App;
use kernel::{Result, Time};
use table::Page;

use crate::later::message;
use crate::queue::Queue;
use crate::record::{JobRecord, State, store};

/// Who made a job has told of it at once; only what is overdue by this much is looked at.
const GRACE: i64 = 15 * Time::SECOND;
/// How many jobs a page has, and how many pages of a shard are read at most.
const PAGE: u16 = 100;
const PAGES: usize = 20;

/// What a sweep came across.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Jobs that queues were told of.
    pub told: usize,
    /// Jobs whose workers were not heard of any more.
    pub lost: usize,
    /// Shards of which nothing, or not everything, was told, for want of room in the queue.
    pub held_back: usize,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, more: Self) {
        self.told += more.told;
        self.lost += more.lost;
        self.held_back += more.held_back;
    }
}

/// Tells each of these queues of its jobs that are overdue, the longest due first, until it holds `most_waiting`
/// messages. A shard that cannot be read does not keep the others waiting; the error comes at the end.
pub async fn sweep(app: &App, queues: &[&Queue]) -> Result<Swept> {
    let (mut swept, mut failure) = (Swept::default(), None);
    for queue in queues {
        // What SQS says of a queue may be as old as what it was told of a moment ago, so that is counted here too.
        let mut room = queue.most_waiting;
        for shard in 0..queue.shards {
            match sweep_shard(app, queue, shard, &mut room).await {
                Ok(more) => swept += more,
                Err(error) => failure = Some(error),
            }
        }
    }
    failure.map_or(Ok(swept), Err)
}

async fn sweep_shard(app: &App, queue: &Queue, shard: u8, room: &mut u64) -> Result<Swept> {
    let before = app.now().plus_millis(-GRACE);
    let (mut swept, mut after) = (Swept::default(), None);
    for page in 0..PAGES {
        let found: Page<JobRecord> = store::due(&app.table, queue.name, shard, before, PAGE, after).await?;
        // An empty shard, as nearly all are, asks SQS nothing.
        if page == 0 && !found.records.is_empty() {
            let depth = app.queues.depth(queue.told).await?;
            *room = queue.most_waiting.saturating_sub(depth).min(*room);
        }
        let mut jobs = Vec::with_capacity(found.records.len());
        for job in found.records {
            let recovered = recover(app, job).await?;
            swept.lost += usize::from(recovered.was_lost);
            jobs.extend(recovered.job);
        }
        let fits = jobs.len().min(usize::try_from(*room).unwrap_or(usize::MAX));
        let messages: Vec<_> = jobs[..fits].iter().map(message).collect();
        app.queues.nudge(queue.told, &messages).await;
        swept.told += fits;
        *room -= fits as u64;
        if fits < jobs.len() {
            swept.held_back += 1;
            break;
        }
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    Ok(swept)
}

/// A job that is due, and whether its worker was lost.
struct Recovered {
    /// Nothing if there is nobody to be told.
    job: Option<JobRecord>,
    was_lost: bool,
}

/// Notes of a job whose lease ended that its worker is lost, so that nothing is running that nobody does.
async fn recover(app: &App, mut job: JobRecord) -> Result<Recovered> {
    if !job.is_lost(app.now()) {
        return Ok(Recovered {
            job: Some(job),
            was_lost: false,
        });
    }
    job.lose(app.now());
    // If it is not saved, it changed since: a worker has it, or has had it.
    let was_lost = store::save(&app.table, &mut job).await?;
    if was_lost {
        tracing::warn!(job.id = %job.id, job.kind = job.kind, job.state = job.state.name(), "a worker was lost");
    }
    if was_lost && job.state == State::Dead {
        app.measures.count("jobs.failed", &[("queue", job.queue.as_str())]);
    }
    Ok(Recovered {
        was_lost,
        job: (was_lost && job.state.is_open()).then_some(job),
    })
}
