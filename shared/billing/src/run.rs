//! The billing run: what the clock does to contracts, subscriptions, invoices and recurring invoices.
//!
//! A schedule reads each minute which marks are over ([`queue_due`]) and puts them on a queue; workers do what is due
//! ([`work`]), one transaction for each period, in their order. A mark goes in the transaction that does the last of what it
//! stands for, so whoever dies leaves it, and the next run finds it. Doing it twice, late or by several at once comes to
//! the same: what decides is what is stored of each thing, not the message.

mod deeds;

use anyhow::Context;
use app::{App, Outgoing, Queue};
use commit::{Commit, again};
use kernel::{Error, OrgId, Origin, Result, Time};
use serde::{Deserialize, Serialize};
use table::Write;

use crate::due::{Mark, SHARDS, Subject};
use crate::mails::Post;

const QUEUE: Queue = Queue("BILLING_QUEUE_URL");
/// A message names so many marks of one organization: they are worked at one after another, for numbers are taken so.
const TOGETHER: usize = 10;
/// While more messages wait than this, nothing is told that is most likely told already.
const MOST_WAITING: u64 = 500;
/// So many marks a run tells of at most; the next one tells of the others.
const MOST_TOLD: usize = 20_000;
const PAGE: u16 = 500;
/// After so long is tried again what cannot be done: until a person has changed something.
const LATER: i64 = 15 * Time::MINUTE;

/// What is due of one organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Message {
    org: OrgId,
    due: Vec<Due>,
}

/// What is due since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Due {
    subject: Subject,
    at: Time,
}

impl Message {
    fn outgoing(&self) -> Outgoing {
        Outgoing {
            group: Some(self.org.to_string()),
            ..Outgoing::now(serde_json::json!(self).to_string())
        }
    }
}

/// Tells the workers of everything that is due by now, the oldest first. How much that is.
pub async fn queue_due(app: &App) -> Result<usize> {
    if app.queues.depth(QUEUE).await? > MOST_WAITING {
        tracing::warn!("the billing queue is long; nothing more is told");
        return Ok(0);
    }
    let (now, mut told) = (app.now().plus_millis(1), 0);
    for shard in 0..SHARDS {
        let mut after = None;
        while told < MOST_TOLD {
            let page = Mark::before(&app.table, shard, now, PAGE, after).await?;
            let messages: Vec<_> = messages(&page.records).iter().map(Message::outgoing).collect();
            app.queues.send_all(QUEUE, &messages).await?;
            told += page.records.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(told)
}

/// Marks by organization, in the order in which they are due.
fn messages(marks: &[Mark]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for mark in marks {
        let (org, due) = (
            mark.org,
            Due {
                subject: mark.subject,
                at: mark.at,
            },
        );
        let open = messages.iter_mut().rev().find(|message| message.org == org);
        match open.filter(|message| message.due.len() < TOGETHER) {
            Some(message) => message.due.push(due),
            None => messages.push(Message { org, due: vec![due] }),
        }
    }
    messages
}

/// Does what a message says. An error if it must come again: a table was away, or others were always faster. What cannot be
/// done at all is tried again later, so that it holds up nothing else.
pub async fn work(app: &App, post: &Post, message: &str) -> Result<()> {
    let message: Message = serde_json::from_str(message).context("a message that is none of ours")?;
    let mut failure = None;
    for Due { subject, at } in message.due {
        let mark = Mark {
            org: message.org,
            subject,
            at,
        };
        if let Err(error) = work_at(app, post, mark).await {
            tracing::error!(org.id = %mark.org, %subject, error = format!("{:#}", anyhow::anyhow!(error)), "what is due was not done");
            failure = Some(Error::Busy);
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn work_at(app: &App, post: &Post, mark: Mark) -> Result<()> {
    match deeds::work(app, post, mark).await {
        Ok(()) => clear(app, mark).await,
        Err(error @ (Error::Busy | Error::Stale)) => Err(error),
        // Its organization was deleted, or it was.
        Err(Error::NotFound(_)) => {
            let gone = Commit::of(app, &Origin::default()).write("due mark", Write::remove(&mark));
            Ok(gone.await?)
        }
        Err(error) => {
            let error = format!("{:#}", anyhow::anyhow!(error));
            tracing::error!(org.id = %mark.org, subject = %mark.subject, error, "what is due cannot be done, and is tried again");
            postpone(app, mark).await
        }
    }
}

/// Takes a mark away that stands for nothing any more. Nearly always what was done has moved it.
async fn clear(app: &App, mark: Mark) -> Result<()> {
    if mark.is_gone(&app.table).await? {
        return Ok(());
    }
    again(|| async {
        let standing = deeds::standing(app, mark).await?;
        if standing
            .as_ref()
            .is_some_and(|(marked_at, _)| *marked_at == Some(mark.at))
        {
            return Ok(());
        }
        let unchanged = standing.map(|(_, unchanged)| unchanged);
        Commit::of(app, &Origin::default())
            .write_all("subject", unchanged)
            .write("due mark", Write::remove(&mark))
            .await
    })
    .await
}

/// Moves a mark to later. What it stands for does not know of it: it is taken away when it is found to stand for nothing.
async fn postpone(app: &App, mark: Mark) -> Result<()> {
    let later = Mark {
        at: app.now().plus_millis(LATER),
        ..mark
    };
    let commit = Commit::of(app, &Origin::default());
    let commit = commit
        .write("due mark", Write::remove(&mark))
        .write("later mark", Write::put(&later)?);
    Ok(commit.await?)
}

#[cfg(test)]
mod tests {
    use kernel::InvoiceId;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_mark_is_told_once_in_its_order(orgs in prop::collection::vec(0_u128..4, 0..80)) {
            let mark = |(number, org): (u128, &u128)| Mark {
                org: OrgId::from_bits(*org),
                subject: Subject::Invoice(InvoiceId::from_bits(number)),
                at: Time::from_millis(0),
            };
            let marks: Vec<Mark> = (0..).zip(&orgs).map(mark).collect();
            let messages = messages(&marks);
            for org in 0..4 {
                let org = OrgId::from_bits(org);
                let told = messages.iter().filter(|message| message.org == org).flat_map(|message| &message.due);
                let due = marks.iter().filter(|mark| mark.org == org);
                prop_assert!(told.map(|due| due.subject).eq(due.map(|mark| mark.subject)));
            }
            prop_assert!(messages.iter().all(|message| message.due.len() <= TOGETHER));
            let most: usize = (0..4).map(|org| orgs.iter().filter(|one| **one == org).count().div_ceil(TOGETHER)).sum();
            prop_assert_eq!(messages.len(), most);
        }

        #[test]
        fn no_message_makes_it_panic(text in ".{0,200}") {
            let _ = serde_json::from_str::<Message>(&text);
        }
    }
}
