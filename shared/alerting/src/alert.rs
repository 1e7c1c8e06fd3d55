//! An alert: a rule over a project's metrics, and whether it fires. Pure.

mod settings;
mod store;

use identity::project::Window;
use kernel::{AlertId, IncidentId, OrgId, ProjectId, Time, UserId};
use notifications::Channel;
use serde::{Deserialize, Serialize};
use telemetry::metrics::Tally;

use crate::incident::Incident;
use crate::target::Secret;

pub use settings::{AlertPatch, Condition, MetricType, NewAlert, Settings};
pub use store::{Due, SHARDS};

/// Whether an alert's condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does not, or the alert is disabled.
    Ok,
    /// It does, and its notice was sent.
    Firing,
}

/// An alert.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Whose it is.
    pub org: OrgId,
    /// The project whose events it looks at.
    pub project: ProjectId,
    /// What a person may change about it.
    pub settings: Settings,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Time,
    /// When a person last changed it.
    pub updated_at: Time,
    /// The incident that is open; there is one while it fires.
    pub incident: Option<IncidentId>,
    /// When it last fired.
    pub last_fired_at: Option<Time>,
    /// What its webhook is signed with, sealed; empty without a webhook.
    #[serde(default, with = "serde_bytes")]
    pub(crate) secret: Vec<u8>,
    /// The whole URL of its webhook, sealed, of which `settings` have what is shown; empty without a webhook, and for one that was
    /// stored before URLs were sealed.
    #[serde(default, with = "serde_bytes")]
    pub(crate) url: Vec<u8>,
    #[serde(default)]
    pub(crate) version: u64,
}

/// What a measured value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It begins to fire.
    Fire,
    /// Its condition does not hold any more.
    Resolve,
}

impl Alert {
    pub(crate) fn new(now: Time, org: OrgId, project: ProjectId, by: UserId, settings: Settings) -> Self {
        Self {
            id: AlertId::new(now),
            org,
            project,
            settings,
            created_by: by,
            created_at: now,
            updated_at: now,
            incident: None,
            last_fired_at: None,
            secret: Vec::new(),
            url: Vec::new(),
            version: 0,
        }
    }

    /// Whether it fires.
    pub fn status(&self) -> Status {
        match self.incident {
            Some(_) => Status::Firing,
            None => Status::Ok,
        }
    }

    /// The number that its condition is about.
    #[expect(clippy::cast_precision_loss, reason = "a rate; and counts stay below 2^53")]
    pub fn value(&self, tally: Tally) -> f64 {
        match self.settings.metric_type {
            MetricType::EventCount => tally.events as f64,
            MetricType::ErrorRate if tally.events == 0 => 0.0,
            MetricType::ErrorRate => tally.errors as f64 / tally.events as f64,
        }
    }

    /// What a value that was measured now changes; nothing while the status stays as it is, or its cool-down lasts.
    pub fn judge(&self, value: f64, now: Time) -> Option<Verdict> {
        let holds = self.settings.condition.holds(value, self.settings.threshold);
        match self.status() {
            Status::Ok if holds && self.settings.enabled && !self.cools_down(now) => Some(Verdict::Fire),
            Status::Firing if !holds => Some(Verdict::Resolve),
            Status::Ok | Status::Firing => None,
        }
    }

    fn cools_down(&self, now: Time) -> bool {
        let cool_down = i64::from(self.settings.cool_down_minutes) * Time::MINUTE;
        self.last_fired_at
            .is_some_and(|fired| now < fired.plus_millis(cool_down))
    }

    /// Begins to fire: the incident that opens.
    pub(crate) fn fire(&mut self, value: f64, now: Time) -> Incident {
        let incident = Incident::open(self, value, now);
        self.incident = Some(incident.id);
        self.last_fired_at = Some(now);
        incident
    }

    /// Stops firing. Its incident is closed with it.
    pub(crate) fn calm(&mut self) {
        self.incident = None;
    }
}

/// An alert, as replies and notices show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertView {
    /// Its id.
    pub id: AlertId,
    /// The project whose events it looks at.
    pub project_id: ProjectId,
    /// What you call it.
    #[schema(required)]
    pub name: Option<String>,
    /// What is measured.
    pub metric_type: MetricType,
    /// Only events of this type.
    #[schema(required)]
    pub event_type: Option<String>,
    /// Only events of this name.
    #[schema(required)]
    pub event_name: Option<String>,
    /// On which side of the threshold it fires.
    pub condition: Condition,
    /// What the measured value is compared with.
    pub threshold: f64,
    /// The time that it looks back over.
    pub window: Window,
    /// How notices are sent.
    pub channel: Channel,
    /// Where they are sent. Of a webhook's URL its origin and the end: the rest may be a secret.
    #[schema(example = "https://hooks.example.com/…XYZ")]
    pub target: String,
    /// After it fired, it does not fire again for so many minutes.
    pub cool_down_minutes: u16,
    /// Whether it is looked at.
    pub enabled: bool,
    /// Whether it fires.
    pub status: Status,
    /// When it was made.
    pub created_at: Time,
    /// When a person last changed it.
    pub updated_at: Time,
    /// When it last fired.
    #[schema(required)]
    pub last_fired_at: Option<Time>,
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        let status = alert.status();
        let settings = alert.settings;
        Self {
            id: alert.id,
            project_id: alert.project,
            name: settings.name,
            metric_type: settings.metric_type,
            event_type: settings.event_type,
            event_name: settings.event_name,
            condition: settings.condition,
            threshold: settings.threshold,
            window: settings.window,
            channel: settings.channel,
            target: settings.channel.shown(&settings.target),
            cool_down_minutes: settings.cool_down_minutes,
            enabled: settings.enabled,
            status,
            created_at: alert.created_at,
            updated_at: alert.updated_at,
            last_fired_at: alert.last_fired_at,
        }
    }
}

/// An alert with what is shown only once.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedAlertView {
    /// The alert.
    #[serde(flatten)]
    pub alert: AlertView,
    /// What calls of its webhook are signed with (Standard Webhooks, `v1`); only when it is new, and never shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    pub signing_secret: Option<String>,
}

impl SignedAlertView {
    /// Shows an alert, and its secret if that is new.
    pub fn of(alert: Alert, secret: Option<Secret>) -> Self {
        Self {
            alert: alert.into(),
            signing_secret: secret.map(Secret::reveal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn alert(metric_type: MetricType, condition: Condition, threshold: f64) -> Alert {
        let settings = Settings {
            name: None,
            metric_type,
            event_type: None,
            event_name: None,
            condition,
            threshold,
            window: Window::FiveMinutes,
            channel: Channel::Email,
            target: "a@example.com".to_owned(),
            cool_down_minutes: 5,
            enabled: true,
        };
        Alert::new(NOW, OrgId::new(NOW), ProjectId::new(NOW), UserId::new(NOW), settings)
    }

    #[test]
    fn a_rate_is_errors_divided_by_events() {
        let rate = alert(MetricType::ErrorRate, Condition::Above, 0.5);
        let count = alert(MetricType::EventCount, Condition::Above, 0.5);
        for (events, errors, expected_rate, expected_count) in [(0, 0, 0.0, 0.0), (4, 1, 0.25, 4.0), (3, 3, 1.0, 3.0)] {
            let tally = Tally { events, errors };
            let (rate, count) = (rate.value(tally), count.value(tally));
            assert!((rate - expected_rate).abs() < 1e-12 && (count - expected_count).abs() < 1e-12);
        }
    }

    #[test]
    fn the_threshold_itself_fires_nothing() {
        for condition in [Condition::Above, Condition::Below] {
            assert_eq!(alert(MetricType::EventCount, condition, 10.0).judge(10.0, NOW), None);
        }
        let above = alert(MetricType::EventCount, Condition::Above, 10.0);
        let below = alert(MetricType::EventCount, Condition::Below, 10.0);
        assert_eq!(above.judge(11.0, NOW), Some(Verdict::Fire));
        assert_eq!(below.judge(9.0, NOW), Some(Verdict::Fire));
        assert_eq!(below.judge(0.0, NOW), Some(Verdict::Fire), "silence is below");
    }

    #[test]
    fn one_that_is_disabled_does_not_fire() {
        let mut alert = alert(MetricType::EventCount, Condition::Above, 10.0);
        alert.settings.enabled = false;
        assert_eq!(alert.judge(11.0, NOW), None);
    }

    proptest! {
        #[test]
        fn notices_alternate_and_respect_the_cool_down(
            values in prop::collection::vec((0_u32..20, -30_i64..900), 0..60),
            cool_down in 0_u16..30,
            below: bool,
        ) {
            let condition = if below { Condition::Below } else { Condition::Above };
            let mut alert = alert(MetricType::EventCount, condition, 10.0);
            alert.settings.cool_down_minutes = cool_down;
            // Times run mostly forwards, and sometimes back, as clocks of different machines do.
            let (mut now, mut notices) = (NOW, Vec::new());
            for (value, seconds) in values {
                now = now.plus_seconds(seconds);
                let value = f64::from(value);
                let verdict = alert.judge(value, now);
                match verdict {
                    Some(Verdict::Fire) => {
                        let incident = alert.fire(value, now);
                        prop_assert_eq!(alert.incident, Some(incident.id));
                    }
                    Some(Verdict::Resolve) => alert.calm(),
                    None => {}
                }
                // The same value at the same moment, once more, changes nothing.
                prop_assert_eq!(alert.judge(value, now), None);
                // Without a verdict the status tells the truth, or it cools down.
                let fires = alert.status() == Status::Firing;
                let holds = condition.holds(value, 10.0);
                prop_assert!(fires == holds || (holds && alert.cools_down(now)));
                notices.extend(verdict.map(|verdict| (verdict, now)));
            }
            let fired = |(verdict, at): &(Verdict, Time)| (*verdict == Verdict::Fire).then_some(*at);
            for (place, notice) in notices.iter().enumerate() {
                prop_assert_eq!(fired(notice).is_some(), place % 2 == 0, "fired, resolved, fired, …");
            }
            let times: Vec<Time> = notices.iter().filter_map(fired).collect();
            for pair in times.windows(2) {
                prop_assert!(pair[1] >= pair[0].plus_millis(i64::from(cool_down) * Time::MINUTE));
            }
        }
    }
}
