//! What an alert tells when its status changes: a mail, or a signed webhook call.

use anyhow::{Context, anyhow};
use app::{App, Env};
use kernel::{Result, Time};
use notifications::{Channel, Desk, Job, Letter, Mail, Owner, Topic};
use outbound::AllowList;
use serde_json::{Value, json};

use crate::Alert;
use crate::alert::{AlertView, Condition, MetricType, Settings};
use crate::incident::{Incident, IncidentView};
use crate::target::Secret;

/// Why an incident is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// The condition does not hold any more; this was measured.
    Recovered(f64),
    /// The alert was disabled.
    Disabled,
    /// The alert was deleted.
    Deleted,
    /// The alert's project was deleted.
    ProjectDeleted,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Recovered(_) => "recovered",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
            Self::ProjectDeleted => "project_deleted",
        }
    }

    /// What a mail says of the value.
    fn value(self) -> String {
        match self {
            Self::Recovered(value) => value.to_string(),
            Self::Disabled => "not measured, for the alert was disabled".to_owned(),
            Self::Deleted => "not measured, for the alert was deleted".to_owned(),
            Self::ProjectDeleted => "not measured, for the project was deleted".to_owned(),
        }
    }
}

/// When, where and why an alert stops firing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending<'a> {
    pub(crate) now: Time,
    /// What its project is called.
    pub(crate) project: &'a str,
    pub(crate) reason: Reason,
}

/// Makes the notices of alerts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Notices {
    desk: Desk,
    allow: AllowList,
}

impl Notices {
    /// Notices that go out by a desk; webhooks to these addresses too, though they are not public.
    fn new(desk: Desk, allow: AllowList) -> Self {
        Self { desk, allow }
    }

    /// Notices as the environment of a function describes them.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        let allow = AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default());
        Ok(Self::new(Desk::of(env, app)?, allow))
    }

    /// Whether mails want proof of addresses first.
    pub(crate) fn need_proof(&self) -> bool {
        self.desk.needs_proof()
    }

    /// What webhooks may call although it is not public.
    pub fn allowed(&self) -> &AllowList {
        &self.allow
    }

    /// Gives an alert another secret if it calls a webhook, or else none.
    pub(crate) fn sign(&self, alert: &mut Alert) -> Result<Option<Secret>> {
        alert.secret = Vec::new();
        if alert.settings.channel == Channel::Email {
            return Ok(None);
        }
        let secret = Secret::new();
        alert.secret = self.desk.sealing().seal(&context(alert), secret.text().as_bytes())?;
        Ok(Some(secret))
    }

    /// Where an alert's notices go: an address, or the whole URL of its webhook.
    pub(crate) fn target(&self, alert: &Alert) -> Result<String> {
        if alert.url.is_empty() {
            return Ok(alert.settings.target.clone());
        }
        let url = self.desk.sealing().open(&url_context(alert), &alert.url)?;
        let url = url.ok_or_else(|| anyhow!("the URL of {} was sealed with a key that is gone", alert.id))?;
        Ok(String::from_utf8(url).context("a webhook's URL")?)
    }

    /// Seals the URL of an alert's webhook, which its settings have whole; what is shown of it stays there.
    pub(crate) fn conceal(&self, alert: &mut Alert) -> Result<()> {
        alert.url = match alert.settings.channel {
            Channel::Email => Vec::new(),
            Channel::Webhook => {
                let url = alert.settings.target.as_bytes();
                self.desk.sealing().seal(&url_context(alert), url)?
            }
        };
        alert.settings.target = alert.settings.channel.shown(&alert.settings.target);
        Ok(())
    }

    /// Seals what an alert has sealed with the newest key, if an older one did: so that the older one can go; and the URL of its
    /// webhook, if that was stored before URLs were sealed.
    pub(crate) fn seal_anew(&self, alert: &mut Alert) -> Result<()> {
        let sealing = self.desk.sealing();
        if alert.settings.channel == Channel::Webhook && (alert.url.is_empty() || sealing.is_old(&alert.url)?) {
            alert.settings.target = self.target(alert)?;
            self.conceal(alert)?;
        }
        if alert.secret.is_empty() || !sealing.is_old(&alert.secret)? {
            return Ok(());
        }
        if let Some(secret) = sealing.open(&context(alert), &alert.secret)? {
            alert.secret = sealing.seal(&context(alert), &secret)?;
        }
        Ok(())
    }

    /// Says that an alert fires.
    pub(crate) fn fired(&self, now: Time, project: &str, alert: &Alert, incident: &Incident) -> Result<Job> {
        match alert.settings.channel {
            Channel::Email => {
                let letter = Letter::AlertFired {
                    rule: rule(&alert.settings).into(),
                    project: project.into(),
                    value: incident.value.to_string().into(),
                    fired_at: now,
                    link: self.page(alert).into(),
                };
                self.mail(now, alert, letter)
            }
            Channel::Webhook => self.call(now, alert, "alert.fired", data(alert, incident)),
        }
    }

    /// Says that an alert does not fire any more, and why.
    pub(crate) fn resolved(&self, ending: Ending, alert: &Alert, incident: &Incident) -> Result<Job> {
        let Ending { now, project, reason } = ending;
        match alert.settings.channel {
            Channel::Email => {
                let letter = Letter::AlertResolved {
                    rule: rule(&alert.settings).into(),
                    project: project.into(),
                    value: reason.value().into(),
                    resolved_at: now,
                    link: self.page(alert).into(),
                };
                self.mail(now, alert, letter)
            }
            Channel::Webhook => {
                let mut data = data(alert, incident);
                data["reason"] = reason.name().into();
                self.call(now, alert, "alert.resolved", data)
            }
        }
    }

    fn mail(&self, now: Time, alert: &Alert, letter: Letter) -> Result<Job> {
        let (owner, cause) = (Owner::Org(alert.org), alert.id.to_string());
        let mail = Mail::to(&alert.settings.target, letter).about(Topic::Alerts);
        self.desk.mail(now, owner, &cause, mail)
    }

    fn call(&self, now: Time, alert: &Alert, event: &str, data: Value) -> Result<Job> {
        let secret = self.desk.sealing().open(&context(alert), &alert.secret)?;
        let secret = secret.ok_or_else(|| anyhow!("the secret of {} was sealed with a key that is gone", alert.id))?;
        let secret = String::from_utf8(secret).context("a webhook's secret")?;
        let (owner, cause) = (Owner::Org(alert.org), alert.id.to_string());
        self.desk
            .webhook(now, owner, &cause, &self.target(alert)?, &secret, event, data)
    }

    fn page(&self, alert: &Alert) -> String {
        self.desk
            .page(&format!("/projects/{}/alerts/{}", alert.project, alert.id))
    }
}

/// What an alert's secret is bound to.
fn context(alert: &Alert) -> String {
    format!("ALERT#{}", alert.id)
}

/// What the URL of its webhook is bound to.
fn url_context(alert: &Alert) -> String {
    format!("ALERT#{}#URL", alert.id)
}

fn data(alert: &Alert, incident: &Incident) -> Value {
    json!({"alert": AlertView::from(alert.clone()), "incident": IncidentView::from(incident.clone())})
}

/// A rule for a person to read: `Checkout fails: error rate > 0.05 over 5 minutes`.
pub(crate) fn rule(settings: &Settings) -> String {
    let measured = match settings.metric_type {
        MetricType::ErrorRate => "error rate",
        MetricType::EventCount => "number of events",
    };
    let sign = match settings.condition {
        Condition::Above => '>',
        Condition::Below => '<',
    };
    let part = |given: Option<String>| given.unwrap_or_default();
    let title = part(settings.name.as_ref().map(|name| format!("{name}: ")));
    let kind = part(settings.event_type.as_ref().map(|kind| format!(" of type {kind}")));
    let name = part(
        settings
            .event_name
            .as_ref()
            .map(|name| format!(" named {}", shortened(name))),
    );
    let window = settings.window.text();
    format!(
        "{title}{measured}{kind}{name} {sign} {} over {window}",
        settings.threshold
    )
}

/// So much of an event's name stands in the subject of a mail.
const SHORT: usize = 60;

fn shortened(name: &str) -> String {
    if name.chars().count() <= SHORT {
        return name.to_owned();
    }
    name.chars().take(SHORT).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::project::Window;

    #[test]
    fn a_rule_reads_as_a_sentence() {
        let mut settings = Settings {
            name: None,
            metric_type: MetricType::ErrorRate,
            event_type: None,
            event_name: None,
            condition: Condition::Above,
            threshold: 0.05,
            window: Window::FiveMinutes,
            channel: Channel::Email,
            target: "a@example.com".to_owned(),
            cool_down_minutes: 5,
            enabled: true,
        };
        assert_eq!(rule(&settings), "error rate > 0.05 over 5 minutes");
        settings.name = Some("Heartbeat".to_owned());
        settings.metric_type = MetricType::EventCount;
        settings.event_type = Some("CUSTOM".to_owned());
        settings.event_name = Some("x".repeat(61));
        settings.condition = Condition::Below;
        settings.threshold = 1.0;
        let name = format!("{}…", "x".repeat(60));
        assert_eq!(
            rule(&settings),
            format!("Heartbeat: number of events of type CUSTOM named {name} < 1 over 5 minutes")
        );
    }
}
