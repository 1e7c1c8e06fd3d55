//! What is to be looked at: found by the schedule, shard by shard, and put on the evaluator's queue. Only ids travel,
//! so that a message that comes late looks at the alert as it is then.

use anyhow::{Context, anyhow};
use app::{App, Outgoing, Queue, Queues};
use kernel::{AlertId, OrgId, ProjectId, Result};
use serde::{Deserialize, Serialize};
use table::Table;

use crate::alert::{Due, SHARDS};

/// The queue of the evaluator.
const QUEUE: Queue = Queue("ALERT_QUEUE_URL");
/// A message names about so many alerts; the alerts of one project are never divided.
const ALERTS: usize = 50;
/// A shard is read up to this many pages of 500 alerts.
const MOST_PAGES: usize = 50;
/// SQS takes this many messages at once.
const SEND: usize = 10;

/// The alerts of one project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectAlerts {
    /// Whose they are.
    pub org: OrgId,
    /// The project.
    pub project: ProjectId,
    /// The alerts.
    pub alerts: Vec<AlertId>,
}

/// What one message asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The projects, and their alerts.
    pub projects: Vec<ProjectAlerts>,
}

impl Batch {
    /// Reads a message.
    pub fn from_text(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).context("a message that is none of ours")
    }

    fn add(&mut self, due: &Due) {
        match self.projects.last_mut() {
            Some(last) if (last.org, last.project) == (due.org, due.project) => last.alerts.push(due.id),
            _ => self.projects.push(ProjectAlerts {
                org: due.org,
                project: due.project,
                alerts: vec![due.id],
            }),
        }
    }

    fn is_full_before(&self, due: &Due) -> bool {
        let alerts: usize = self.projects.iter().map(|project| project.alerts.len()).sum();
        alerts >= ALERTS && self.projects.last().is_some_and(|last| last.project != due.project)
    }
}

/// Puts every enabled alert on the queue. Returns how many there were. A shard that cannot be read does not keep the
/// others waiting; the error comes at the end.
pub async fn queue_all(app: &App) -> Result<usize> {
    let (mut found, mut failure) = (0, None);
    let mut unsent = Unsent::new(&app.queues);
    for shard in 0..SHARDS {
        match queue_shard(&app.table, shard, &mut unsent).await {
            Ok(alerts) => found += alerts,
            Err(error) => failure = Some(error),
        }
    }
    unsent.flush().await?;
    failure.map_or(Ok(found), Err)
}

async fn queue_shard(table: &Table, shard: u8, unsent: &mut Unsent<'_>) -> Result<usize> {
    let (mut found, mut after) = (0, None);
    for _ in 0..MOST_PAGES {
        let page = Due::page(table, shard, after).await?;
        found += page.records.len();
        for due in &page.records {
            unsent.add(due).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
    Err(anyhow!("shard {shard} holds more than {found} alerts; the rest was not looked at").into())
}

/// Messages that are not sent yet.
struct Unsent<'a> {
    queues: &'a Queues,
    open: Batch,
    full: Vec<Outgoing>,
}

impl<'a> Unsent<'a> {
    fn new(queues: &'a Queues) -> Self {
        Self {
            queues,
            open: Batch::default(),
            full: Vec::new(),
        }
    }

    async fn add(&mut self, due: &Due) -> Result<()> {
        if self.open.is_full_before(due) {
            self.close()?;
        }
        if self.full.len() == SEND {
            self.queues.send_all(QUEUE, &std::mem::take(&mut self.full)).await?;
        }
        self.open.add(due);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.open);
        let body = serde_json::to_string(&batch).context("a message")?;
        self.full.push(Outgoing::now(body));
        Ok(())
    }

    async fn flush(mut self) -> Result<()> {
        if !self.open.projects.is_empty() {
            self.close()?;
        }
        self.queues.send_all(QUEUE, &self.full).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn due(project: u8, alert: u16) -> Due {
        Due {
            id: AlertId::from_bits(alert.into()),
            org: OrgId::from_bits(1),
            project: ProjectId::from_bits(project.into()),
        }
    }

    proptest! {
        #[test]
        fn no_alert_is_left_out_and_no_project_divided(sizes in prop::collection::vec(1_u16..120, 0..12)) {
            let (mut batches, mut open, mut all) = (Vec::new(), Batch::default(), Vec::new());
            for (project, size) in (0_u8..).zip(&sizes) {
                for alert in 0..*size {
                    let due = due(project, alert);
                    if open.is_full_before(&due) {
                        batches.push(std::mem::take(&mut open));
                    }
                    open.add(&due);
                    all.push((due.project, due.id));
                }
            }
            batches.push(open);
            let projects: Vec<&ProjectAlerts> = batches.iter().flat_map(|batch| &batch.projects).collect();
            prop_assert_eq!(projects.len(), sizes.len());
            let named = projects.iter().flat_map(|one| one.alerts.iter().map(|alert| (one.project, *alert)));
            prop_assert_eq!(named.collect::<Vec<_>>(), all);
            for batch in &batches {
                let text = serde_json::to_string(batch).unwrap();
                prop_assert_eq!(&Batch::from_text(&text).unwrap(), batch);
                prop_assert!(text.len() < 64 * 1024, "one part of a message as SQS bills it");
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}") {
            let _ = Batch::from_text(&text);
        }
    }
}
