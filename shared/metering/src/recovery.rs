//! Leases whose owners are gone: what was not reported of them comes back, once no report can be under way any more.

use app::{App, Outgoing, Queue};
use kernel::{LeaseId, OrgId, Result, Time};

use crate::lease::{self, OpenLease};
use crate::queue::{self, Message};
use crate::wallet::Wallet;

/// Reports that ride in events come by this queue.
const EVENTS: Queue = Queue("EVENT_QUEUE_URL");
/// After its end a call that holds credits of a lease may still run (15 s), clocks may be apart, and its report be under
/// way. A live owner closes its lease long before.
const GRACE: i64 = 2 * Time::MINUTE;
/// While more events wait than this, the queue may lag behind the grace: nothing comes back until they are fewer.
const MOST_WAITING: u64 = 1_000;
const PAGE: u16 = 100;
const PAGES: usize = 20;

/// Tells the settler of the leases that ended long ago and that nobody closed. How many those are; none while the event
/// queue lags.
pub async fn sweep(app: &App) -> Result<usize> {
    let (before, mut told) = (app.now().plus_millis(-GRACE), 0);
    for shard in 0..lease::SHARDS {
        let mut after = None;
        for page in 0..PAGES {
            let found = OpenLease::over(&app.table, shard, before, PAGE, after).await?;
            if page == 0 && !found.records.is_empty() && app.queues.depth(EVENTS).await? > MOST_WAITING {
                tracing::warn!("leases are held back, for events wait");
                return Ok(told);
            }
            let messages: Vec<_> = found.records.iter().map(message).collect();
            told += messages.len();
            app.queues.nudge(queue::USAGE, &messages).await;
            after = found.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(told)
}

fn message(open: &OpenLease) -> Outgoing {
    let OpenLease { org, lease, .. } = *open;
    Message::GiveUp { org, lease }.outgoing()
}

/// Gives a lease up if nobody has closed it and its time is long over: by what was reported of it.
pub(crate) async fn give_up(app: &App, org: OrgId, id: LeaseId) -> Result<()> {
    let before = app.now().plus_millis(-GRACE);
    Wallet::settle_lease(app, org, id, |lease| {
        let lost = lease.is_open() && lease.ends_at < before;
        if lost {
            tracing::warn!(lease.id = %id, org.id = %org, units = lease.units, "a lease was given up");
            lease.give_up();
        }
        lost
    })
    .await
}
