//! What is told of alerts, and what else follows when the status of one changes.

use commit::Commit;
use kernel::Result;
use notifications::Job;
use outbox::{Shown, facts};
use serde::Serialize;
use table::Write;

use crate::Alert;
use crate::alert::AlertView;
use crate::incident::{Incident, IncidentView};
use crate::notice;

/// An alert as its GET shows it, and what it fires for.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AlertTold)]
pub struct AlertTold {
    #[serde(flatten)]
    alert: AlertView,
    /// The rule, as people read it.
    #[schema(example = "error rate > 0.05 over 5 minutes")]
    rule: String,
    /// What its project is called.
    #[schema(example = "Shop")]
    project: String,
    /// The time in which it fires, or fired.
    incident: IncidentView,
}

facts! {
    /// An alert fires.
    pub AlertFired(Shown<AlertTold>) "alert.fired";
    /// An alert does not fire any more.
    pub AlertResolved(Shown<AlertTold>) "alert.resolved";
}

/// What follows from a change of an alert's status.
#[derive(Debug)]
pub(crate) struct Turn {
    incident: Incident,
    job: Job,
    fact: Turned,
}

#[derive(Debug)]
enum Turned {
    Fired(AlertFired),
    Resolved(AlertResolved),
}

impl Turn {
    /// Of an alert that is so now, by an incident that has begun or is over; `project` is what its project is called.
    pub(crate) fn of(alert: &Alert, project: &str, incident: Incident, job: Job) -> Self {
        let view = AlertTold {
            alert: alert.clone().into(),
            rule: notice::rule(&alert.settings),
            project: project.to_owned(),
            incident: incident.clone().into(),
        };
        // Each is written with its alert, whose version grows.
        let told = Shown::of(alert.org, &alert.id, alert.version + 1, view);
        let fact = match incident.resolved_at {
            None => Turned::Fired(AlertFired(told)),
            Some(_) => Turned::Resolved(AlertResolved(told)),
        };
        Self { incident, job, fact }
    }

    /// Adds it to a commit.
    pub(crate) fn told_by<'a>(&self, commit: Commit<'a>) -> Result<Commit<'a>> {
        let commit = commit
            .write("incident", Write::save(&self.incident)?)
            .due(self.job.later())?;
        match &self.fact {
            Turned::Fired(fact) => commit.tell(fact),
            Turned::Resolved(fact) => commit.tell(fact),
        }
    }
}
