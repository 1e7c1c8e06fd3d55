//! Handing facts to those who listen.

use std::future::Future;
use std::pin::Pin;

use anyhow::anyhow;
use app::{App, survive};
use futures::future::join_all;
use kernel::{Result, Time};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::fact::{FactRef, SHARDS, Told};
use crate::{QUEUE, store};

/// Who made a fact has told of it at once; only what is overdue by this much is looked at.
const GRACE: i64 = 15 * Time::SECOND;
/// How many facts a page has, and how many the queue may hold before the sweep stops.
const PAGE: u16 = 100;
const MOST_WAITING: u64 = 2_000;

/// What a listener makes of a fact.
pub type Heard<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// Makes something of facts.
pub trait Listener: Send + Sync {
    /// What it is called, in logs.
    fn name(&self) -> &'static str;

    /// Hears a fact, perhaps not for the first time: its id makes that harmless. An error means that it is to be told
    /// again, to all who listen.
    fn hear<'a>(&'a self, app: &'a App, fact: &'a Told) -> Heard<'a>;
}

/// Hands the fact that a message names to everybody who listens, unless that was done. One who fails, or panics, keeps
/// none of the others from hearing it; it is told again later. An error means that the message has to come again.
pub async fn relay(app: &App, listeners: &[&dyn Listener], message: &str) -> Result<()> {
    let named = FactRef::parse(message)?;
    let Some(mut fact) = store::find(&app.table, &named).await? else {
        // The record is the truth: without one nothing happened.
        tracing::warn!(fact.id = %named.id, "there is no such fact");
        return Ok(());
    };
    if fact.is_relayed() {
        return Ok(());
    }
    let timed = span(&fact);
    let stored = fact.origin.clone();
    fact.origin = stored.within(spans::of(&timed));
    let heard = Box::pin(join_all(listeners.iter().map(|listener| hear(*listener, app, &fact))));
    let heard = heard.instrument(timed.clone()).await;
    timed.record("error", heard.contains(&false));
    fact.origin = stored;
    if heard.into_iter().all(|heard| heard) {
        fact.relayed();
    } else {
        fact.postpone(app.now());
    }
    // If it is not saved, another one relayed it at the same time.
    store::save(&app.table, &fact).await?;
    Ok(())
}

/// What telling of a fact takes, within the trace of what made it.
fn span(fact: &Told) -> tracing::Span {
    tracing::info_span!(
        target: spans::TARGET,
        "fact",
        otel.kind = "consumer",
        otel.name = format!("fact {}", fact.fact),
        otel.parent = fact.origin.trace,
        fact.id = %fact.id,
        error = Empty,
    )
}

/// Says whether a listener could hear a fact.
async fn hear(listener: &dyn Listener, app: &App, fact: &Told) -> bool {
    let error = match survive(listener.hear(app, fact)).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => format!("{:#}", anyhow!(error)),
        Err(panic) => format!("it panicked: {panic}"),
    };
    tracing::error!(fact.id = %fact.id, fact.kind = fact.fact, request.id = fact.origin.request, listener = listener.name(), error, "a fact was not heard");
    false
}

/// Tells the relay of facts that are overdue, the longest due first, until its queue holds 2,000 messages. Returns of how
/// many it told. A shard that cannot be read does not keep the others waiting; the error comes at the end.
pub async fn sweep(app: &App) -> Result<usize> {
    let (mut told, mut room, mut failure) = (0, MOST_WAITING, None);
    for shard in 0..SHARDS {
        match sweep_shard(app, shard, &mut room).await {
            Ok(more) => told += more,
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(told), Err)
}

async fn sweep_shard(app: &App, shard: u8, room: &mut u64) -> Result<usize> {
    let before = app.now().plus_millis(-GRACE);
    let (mut told, mut after) = (0, None);
    loop {
        let page = store::due(&app.table, shard, before, PAGE, after).await?;
        // An empty shard, as nearly all are, asks SQS nothing.
        if told == 0 && !page.records.is_empty() {
            *room = MOST_WAITING.saturating_sub(app.queues.depth(QUEUE).await?).min(*room);
        }
        let fits = page.records.len().min(usize::try_from(*room).unwrap_or(usize::MAX));
        let messages: Vec<_> = page.records[..fits].iter().map(Told::message).collect();
        app.queues.nudge(QUEUE, &messages).await;
        told += fits;
        *room -= fits as u64;
        after = page.next;
        if after.is_none() || fits < page.records.len() {
            return Ok(told);
        }
    }
}
