//! Leases whose owners are gone: what was not reported of them comes back, once no report can be under way any more.

use app::{App, Outgoing, Queue};
use kernel::{LeaseId, OrgId, Result, Time};
use table::Page;

use crate::lease::{self, OpenLease};
use crate::queue::{self, Message};
use crate::receipt;
use crate::wallet::Wallet;

/// Reports that ride in events come by this queue.
const EVENTS: Queue = Queue("EVENT_QUEUE_URL");
/// After its end a call that holds credits of a lease may still run (15 s), clocks may be apart, and its report be under
/// way: in a message that a dead consumer held, which the queue shows again after at most three minutes. A live owner closes
/// its lease long before.
pub const GRACE: i64 = 4 * Time::MINUTE;
/// While more events wait than this, the queue may lag behind the grace: nothing comes back until they are fewer.
const MOST_WAITING: u64 = 1_000;
/// The settler is told of no more while so many messages wait for it: the next sweep tells the rest.
const MOST_TOLD: u64 = 2_000;
const PAGE: u16 = 100;

/// Tells the settler of the leases that ended long ago and that nobody closed. How many those are; none while the event
/// queue lags.
pub async fn sweep(app: &App) -> Result<usize> {
    let (before, mut told) = (app.now().plus_millis(-GRACE), 0);
    for shard in 0..lease::SHARDS {
        let found = OpenLease::over(&app.table, shard, before, PAGE, None).await?;
        // Where nobody was left behind, as nearly always, SQS is asked nothing.
        if !found.records.is_empty() {
            told += sweep_shard(app, shard, before, found).await?;
        }
    }
    Ok(told)
}

async fn sweep_shard(app: &App, shard: u8, before: Time, mut found: Page<OpenLease>) -> Result<usize> {
    if app.queues.depth(EVENTS).await? > MOST_WAITING {
        tracing::warn!("leases are held back, for events wait");
        return Ok(0);
    }
    let (mut told, room) = (0, MOST_TOLD.saturating_sub(app.queues.depth(queue::USAGE).await?));
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    loop {
        let messages: Vec<_> = found.records.iter().map(message).take(room - told).collect();
        told += messages.len();
        app.queues.nudge(queue::USAGE, &messages).await;
        let after = found.next;
        if told == room || after.is_none() {
            return Ok(told);
        }
        found = OpenLease::over(&app.table, shard, before, PAGE, after).await?;
    }
}

fn message(open: &OpenLease) -> Outgoing {
    let OpenLease { org, lease, .. } = *open;
    Message::GiveUp { org, lease }.outgoing()
}

/// Gives a lease up if nobody has closed it and its time is long over: by what was reported of it, and by its receipts, of
/// which none is stored any more by then.
pub(crate) async fn give_up(app: &App, org: OrgId, id: LeaseId) -> Result<()> {
    let before = app.now().plus_millis(-GRACE);
    let receipts = receipt::largest(&app.table, org, id).await?;
    Wallet::settle_lease(app, org, id, |lease| {
        let lost = lease.is_open() && lease.ends_at < before;
        if lost {
            tracing::warn!(lease.id = %id, org.id = %org, units = lease.units, "a lease was given up");
            lease.give_up(&receipts);
        }
        lost
    })
    .await
}
