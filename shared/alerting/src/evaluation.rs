//! Looking at the alerts of one project: its numbers are read once, and something is written only where a status
//! changes. Whatever runs twice, late, or at the same time as another one ends with the same incidents and notices,
//! for each change is one transaction under the alert's version.

use app::App;
use commit::NotDone;
use identity::{Org, Project};
use kernel::policy::{ReadAlerts, ReadMetrics, ReadOrg};
use kernel::{Error, ProjectId, Result, Scope, Time};
use table::Table;
use telemetry::metrics::{self, Only, Question, Range, Tally};

use crate::Alert;
use crate::alert::Verdict;
use crate::due::ProjectAlerts;
use crate::facts::Turn;
use crate::notice::{Ending, Notices, Reason};

/// A window ends with the last whole minute that was over so long ago. An accepted event is counted well within that
/// time, so a minute does not change once it was looked at, but for events that their own clients sent late.
const SETTLED: i64 = 5 * Time::SECOND;

/// Looks at some alerts of a project, and tells of those whose status changes.
pub async fn evaluate(app: &App, notices: &Notices, due: &ProjectAlerts) -> Result<()> {
    let scope = Scope::<ReadAlerts>::system(due.org);
    let mut alerts = Alert::load_many(&app.table, &scope, &due.alerts).await?;
    alerts.retain(|alert| alert.settings.enabled && alert.project == due.project);
    if alerts.is_empty() {
        return Ok(());
    }
    let look = Look {
        app,
        notices,
        now: app.now(),
        scope: &scope,
    };
    // An organization that was deleted has projects still, and nobody who could switch its alerts off.
    let found = match Org::load(&app.table, &Scope::<ReadOrg>::system(due.org)).await {
        Ok(_) => Project::load(&app.table, &scope, due.project).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(project) => look.at(&project, alerts).await,
        Err(Error::NotFound(_)) => look.at_none(alerts).await,
        Err(error) => Err(error),
    }
}

/// One look at a project.
struct Look<'a> {
    app: &'a App,
    notices: &'a Notices,
    now: Time,
    scope: &'a Scope<ReadAlerts>,
}

impl Look<'_> {
    async fn at(&self, project: &Project, alerts: Vec<Alert>) -> Result<()> {
        let tallies = measure(&self.app.table, &self.scope.narrow()?, project.id, self.now, &alerts).await?;
        let mut failure = None;
        for (alert, tally) in alerts.into_iter().zip(tallies) {
            let value = alert.value(tally);
            let Some(verdict) = alert.judge(value, self.now) else {
                continue;
            };
            // One that cannot be written does not keep the others from being.
            if let Err(error) = self.turn(project, alert, verdict, value).await {
                failure = Some(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn turn(&self, project: &Project, mut alert: Alert, verdict: Verdict, value: f64) -> Result<()> {
        let told = match verdict {
            Verdict::Fire => {
                let incident = alert.fire(value, self.now);
                let job = self.notices.fired(self.now, &project.name, &alert, &incident)?;
                Some(Turn::of(&alert, &project.name, incident, job))
            }
            Verdict::Resolve => {
                let ending = Ending {
                    now: self.now,
                    project: &project.name,
                    reason: Reason::Recovered(value),
                };
                alert.end(&self.app.table, self.scope, self.notices, ending).await?
            }
        };
        self.store(alert, told).await
    }

    /// The project was deleted: its alerts are looked at no more.
    async fn at_none(&self, alerts: Vec<Alert>) -> Result<()> {
        for mut alert in alerts {
            let project = alert.project.to_string();
            let ending = Ending {
                now: self.now,
                project: &project,
                reason: Reason::ProjectDeleted,
            };
            let told = alert.end(&self.app.table, self.scope, self.notices, ending).await?;
            alert.settings.enabled = false;
            self.notices.seal_anew(&mut alert)?;
            told_of(&alert, alert.disable(self.app, self.scope, told.as_ref()).await)?;
        }
        Ok(())
    }

    async fn store(&self, mut alert: Alert, told: Option<Turn>) -> Result<()> {
        self.notices.seal_anew(&mut alert)?;
        told_of(&alert, alert.turn(self.app, self.scope, told.as_ref()).await)
    }
}

/// Says what became of storing an alert.
fn told_of(alert: &Alert, stored: Result<(), NotDone>) -> Result<()> {
    match stored {
        Ok(()) => {
            tracing::info!(alert.id = %alert.id, alert.status = ?alert.status(), "an alert's status changed");
            Ok(())
        }
        // Another evaluator was faster, or a person changed it meanwhile: the next minute looks again.
        Err(NotDone::Conditions(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Counts for every alert what lies in its window.
async fn measure(
    table: &Table,
    scope: &Scope<ReadMetrics>,
    project: ProjectId,
    now: Time,
    alerts: &[Alert],
) -> Result<Vec<Tally>> {
    let end = now.plus_millis(-SETTLED).floor(Time::MINUTE);
    let question = |alert: &Alert| Question {
        from: end.plus_millis(-alert.settings.window.millis()),
        only: Only {
            kind: alert.settings.event_type.clone(),
            name: alert.settings.event_name.clone(),
        },
    };
    let questions: Vec<Question> = alerts.iter().map(question).collect();
    let from = questions.iter().map(|question| question.from).min().unwrap_or(end);
    metrics::tallies(table, scope, project, (Range { from, to: end }, now), &questions).await
}
