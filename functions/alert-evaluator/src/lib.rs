//! The alert queue's consumer: looks at alerts, and tells of those whose status changes.
//!
//! The alerts of a project are looked at together, whatever messages they come in, so that its numbers are read once.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use alerting::due::{Batch, ProjectAlerts};
use alerting::{Notices, evaluation};
use kernel::{AlertId, OrgId, ProjectId};
use lambda::{App, Consumer, Env, Function, Message, Start};

/// The function.
pub const FUNCTION: Function = Function::queue::<AlertEvaluator>("alert-evaluator");

/// Looks at alerts.
struct AlertEvaluator(Notices);

impl Start for AlertEvaluator {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self(Notices::of(env, &app)?))
    }
}

/// What is asked about one project, and by which messages.
#[derive(Default)]
struct Asked {
    alerts: BTreeSet<AlertId>,
    messages: Vec<String>,
}

impl Consumer for AlertEvaluator {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        let (projects, mut failed) = by_project(messages);
        for ((org, project), asked) in projects {
            let alerts = ProjectAlerts {
                org,
                project,
                alerts: asked.alerts.into_iter().collect(),
            };
            if let Err(error) = evaluation::evaluate(app, &self.0, &alerts).await {
                let error = format!("{:#}", anyhow::anyhow!(error));
                tracing::error!(project.id = %project, error, "alerts were not looked at");
                failed.extend(asked.messages);
            }
        }
        failed.into_iter().collect()
    }
}

/// What messages ask for, project by project, and the ids of those that cannot be read.
fn by_project(messages: Vec<Message>) -> (BTreeMap<(OrgId, ProjectId), Asked>, HashSet<String>) {
    let (mut projects, mut failed) = (BTreeMap::<_, Asked>::new(), HashSet::new());
    for message in messages {
        match Batch::from_text(&message.body) {
            Ok(batch) => {
                for one in batch.projects {
                    let asked = projects.entry((one.org, one.project)).or_default();
                    asked.alerts.extend(one.alerts);
                    asked.messages.push(message.id.clone());
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(message.id = message.id, error, "a message cannot be read");
                failed.insert(message.id);
            }
        }
    }
    (projects, failed)
}
