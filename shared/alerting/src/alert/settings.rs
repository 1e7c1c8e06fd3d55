//! What a person may say about an alert, and which rules it must keep. Pure.

use identity::project::{AlertDefaults, LONGEST_COOL_DOWN, Window};
use kernel::check::given;
use kernel::{Check, Error, FieldProblem, Input, ProjectId, Result};
use notifications::{Channel, webhook};
use outbound::AllowList;
use serde::{Deserialize, Serialize};

use crate::target;

/// The cool-down where neither the alert nor its project says one.
const COOL_DOWN: u16 = 5;
/// More events than this no window has.
const MOST_EVENTS: f64 = 1e12;

/// What an alert measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricType {
    /// Errors divided by events, from 0 to 1 as in the overview's `errorRate`; 0 without events.
    ErrorRate,
    /// How many events.
    EventCount,
}

/// On which side of its threshold an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Condition {
    /// Above it.
    #[serde(rename = ">")]
    Above,
    /// Below it.
    #[serde(rename = "<")]
    Below,
}

impl Condition {
    /// Whether a value lies on its side of the threshold.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::Below => value < threshold,
        }
    }
}

/// What makes an alert. What is left out of `channel`, `target`, `window` and `coolDownMinutes` comes from the project's
/// `alertDefaults`.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewAlert {
    /// The project whose events it looks at.
    pub project_id: ProjectId,
    /// What you call it.
    #[schema(min_length = 1, max_length = 100, example = "Checkout fails")]
    pub name: Option<String>,
    /// What is measured.
    pub metric_type: MetricType,
    /// Only events of this type; for `event_count` only.
    #[schema(min_length = 1, max_length = 64, example = "ERROR")]
    pub event_type: Option<String>,
    /// Only events of this name. Past the 1,000 names that are told apart a day, names count as `other`.
    #[schema(min_length = 1, max_length = 1000, example = "payment_failed")]
    pub event_name: Option<String>,
    /// On which side of the threshold it fires.
    pub condition: Condition,
    /// From 0 to 1 for `error_rate` (0.05 is five errors in a hundred events), a whole number for `event_count`.
    #[schema(minimum = 0, example = 100)]
    pub threshold: f64,
    /// The time that it looks back over.
    pub window: Option<Window>,
    /// How notices are sent.
    pub channel: Option<Channel>,
    /// Where they are sent: an email address, or the URL of a webhook that is reachable from everywhere.
    #[schema(min_length = 1, max_length = 2000, example = "oncall@example.com")]
    pub target: Option<String>,
    /// After it fired, it does not fire again for so many minutes; 5 if nothing says another number.
    #[schema(maximum = 1440)]
    pub cool_down_minutes: Option<u16>,
    /// Whether it is looked at; true if absent.
    pub enabled: Option<bool>,
}

impl Input for NewAlert {
    /// Nothing yet: what is left out comes from the project, and then the whole is checked.
    fn check(&self, _: &mut Check) {}
}

/// What changes an alert; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertPatch {
    /// What you call it; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    pub name: Option<Option<String>>,
    /// What is measured.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub metric_type: Option<MetricType>,
    /// Only events of this type; null for all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    pub event_type: Option<Option<String>>,
    /// Only events of this name; null for all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1000)]
    pub event_name: Option<Option<String>>,
    /// On which side of the threshold it fires.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub condition: Option<Condition>,
    /// From 0 to 1 for `error_rate`, a whole number for `event_count`.
    #[serde(default, deserialize_with = "given")]
    #[schema(minimum = 0, nullable = false)]
    pub threshold: Option<f64>,
    /// The time that it looks back over.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub window: Option<Window>,
    /// How notices are sent.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub channel: Option<Channel>,
    /// Where they are sent. Another webhook gets another signing secret, which the reply shows.
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 2000, nullable = false)]
    pub target: Option<String>,
    /// After it fired, it does not fire again for so many minutes.
    #[serde(default, deserialize_with = "given")]
    #[schema(maximum = 1440, nullable = false)]
    pub cool_down_minutes: Option<u16>,
    /// Whether it is looked at. Disabling one that fires resolves its incident.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub enabled: Option<bool>,
}

impl Input for AlertPatch {
    /// Nothing yet: whether a change is good depends on what it changes.
    fn check(&self, _: &mut Check) {}
}

/// What a person may change about an alert, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// What a person calls it.
    pub name: Option<String>,
    /// What is measured.
    pub metric_type: MetricType,
    /// Only events of this type.
    pub event_type: Option<String>,
    /// Only events of this name.
    pub event_name: Option<String>,
    /// On which side of the threshold it fires.
    pub condition: Condition,
    /// What the measured value is compared with.
    pub threshold: f64,
    /// The time that it looks back over.
    pub window: Window,
    /// How notices are sent.
    pub channel: Channel,
    /// Where they are sent.
    pub target: String,
    /// After it fired, it does not fire again for so many minutes.
    pub cool_down_minutes: u16,
    /// Whether it is looked at.
    pub enabled: bool,
}

fn missing_field(field: &str) -> FieldProblem {
    FieldProblem {
        field: field.to_owned(),
        problem: "is missing: neither this request nor the project's `alertDefaults` says it".to_owned(),
    }
}

impl Settings {
    /// Completes what a person said by their project's defaults; 422 names what neither says.
    pub fn complete(new: NewAlert, defaults: &AlertDefaults) -> Result<Self> {
        let channel = new.channel.or(defaults.channel);
        // An address of one channel is none of another.
        let target = new
            .target
            .or_else(|| defaults.target.clone().filter(|_| channel == defaults.channel));
        let window = new.window.or(defaults.window);
        let absent = [
            (window.is_none(), "window"),
            (channel.is_none(), "channel"),
            (target.is_none(), "target"),
        ];
        let (Some(window), Some(channel), Some(target)) = (window, channel, target) else {
            let missing = absent.into_iter().filter(|(absent, _)| *absent);
            return Err(Error::Invalid(missing.map(|(_, field)| missing_field(field)).collect()));
        };
        let cool_down = new.cool_down_minutes.or(defaults.cool_down_minutes);
        Ok(Self {
            name: new.name,
            metric_type: new.metric_type,
            event_type: new.event_type,
            event_name: new.event_name,
            condition: new.condition,
            threshold: new.threshold,
            window,
            channel,
            target,
            cool_down_minutes: cool_down.unwrap_or(COOL_DOWN),
            enabled: new.enabled.unwrap_or(true),
        })
    }

    /// The same after a change.
    #[must_use]
    pub fn changed(self, patch: AlertPatch) -> Self {
        Self {
            name: patch.name.unwrap_or(self.name),
            metric_type: patch.metric_type.unwrap_or(self.metric_type),
            event_type: patch.event_type.unwrap_or(self.event_type),
            event_name: patch.event_name.unwrap_or(self.event_name),
            condition: patch.condition.unwrap_or(self.condition),
            threshold: patch.threshold.unwrap_or(self.threshold),
            window: patch.window.unwrap_or(self.window),
            channel: patch.channel.unwrap_or(self.channel),
            target: patch.target.unwrap_or(self.target),
            cool_down_minutes: patch.cool_down_minutes.unwrap_or(self.cool_down_minutes),
            enabled: patch.enabled.unwrap_or(self.enabled),
        }
    }

    /// Checks the whole, and keeps the address of a webhook as it was parsed; 422 names every rule that is broken.
    pub fn check(&mut self, allow: &AllowList) -> Result<()> {
        let mut check = Check::default();
        if let Some(name) = &self.name {
            check.mailed_name("name", name, 1..=100);
        }
        if let Some(kind) = &self.event_type {
            check.text("eventType", kind, 1..=64);
            let counts = self.metric_type == MetricType::EventCount;
            check.that(
                counts,
                "eventType",
                "must be left out of an error rate, which compares errors with all events",
            );
        }
        if let Some(name) = &self.event_name {
            check.text("eventName", name, 1..=1_000);
        }
        self.check_threshold(&mut check);
        check.range("coolDownMinutes", self.cool_down_minutes, 0..=LONGEST_COOL_DOWN);
        target::check(&mut check, allow, "target", self.channel, &mut self.target);
        check.done()
    }

    /// A threshold that no value can pass would make an alert that never fires.
    fn check_threshold(&self, check: &mut Check) {
        let threshold = self.threshold;
        let (fits, rule) = match self.metric_type {
            MetricType::ErrorRate => (
                (0.0..=1.0).contains(&threshold),
                "must be from 0 to 1: a rate of 0.05 is five errors in a hundred events",
            ),
            MetricType::EventCount => (
                (0.0..=MOST_EVENTS).contains(&threshold) && threshold.fract() == 0.0,
                "must be a whole number of events, from 0 to 1000000000000",
            ),
        };
        let can_pass = match (self.condition, self.metric_type) {
            (Condition::Below, _) => threshold > 0.0,
            (Condition::Above, MetricType::ErrorRate) => threshold < 1.0,
            (Condition::Above, MetricType::EventCount) => true,
        };
        check.that(fits, "threshold", rule);
        check.that(!fits || can_pass, "threshold", "must be one that a value can pass");
    }

    /// What a patch makes of these, which have the whole URL of a webhook: who sends back what they were shown of it changes
    /// nothing.
    pub(crate) fn patched(self, mut patch: AlertPatch) -> Self {
        let is_shown = |target: &String| self.channel == Channel::Webhook && webhook::is_shown(target, &self.target);
        patch.target = patch.target.filter(|target| !is_shown(target));
        self.changed(patch)
    }

    /// Whether notices go somewhere else than before, so that a webhook needs another secret.
    pub(crate) fn moved_from(&self, before: &Self) -> bool {
        self.channel != before.channel || self.target != before.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn complete(new: &Value, defaults: Value) -> Result<Settings, Vec<String>> {
        let mut whole = json!({"projectId": ProjectId::from_bits(7), "metricType": "event_count", "condition": ">", "threshold": 5});
        whole.as_object_mut().unwrap().extend(new.as_object().unwrap().clone());
        let defaults = serde_json::from_value(defaults).unwrap();
        Settings::complete(serde_json::from_value(whole).unwrap(), &defaults).map_err(fields)
    }

    fn fields(error: Error) -> Vec<String> {
        match error {
            Error::Invalid(problems) => problems.into_iter().map(|problem| problem.field).collect(),
            other => panic!("{other}"),
        }
    }

    fn good() -> Value {
        json!({"window": "5m", "channel": "email", "target": "a@example.com"})
    }

    fn check(change: Value) -> Result<(), Vec<String>> {
        let settings = complete(&good(), json!({})).unwrap();
        let mut settings = settings.changed(serde_json::from_value(change).unwrap());
        settings.check(&AllowList::default()).map_err(fields)
    }

    #[test]
    fn what_is_left_out_comes_from_the_project() {
        let settings = complete(
            &json!({}),
            json!({"channel": "email", "target": "b@example.com", "window": "1h", "coolDownMinutes": 9}),
        );
        let settings = settings.unwrap();
        assert_eq!(
            (settings.window, settings.target.as_str()),
            (Window::Hour, "b@example.com")
        );
        assert_eq!((settings.cool_down_minutes, settings.enabled), (9, true));
        let settings = complete(
            &good(),
            json!({"window": "1h", "channel": "webhook", "target": "https://example.com/"}),
        )
        .unwrap();
        assert_eq!(
            (settings.window, settings.target.as_str()),
            (Window::FiveMinutes, "a@example.com")
        );
        assert_eq!(settings.cool_down_minutes, COOL_DOWN);
    }

    #[test]
    fn what_nobody_says_is_named() {
        assert_eq!(
            complete(&json!({}), json!({})),
            Err(vec!["window".to_owned(), "channel".to_owned(), "target".to_owned()])
        );
        let defaults = json!({"channel": "email", "target": "b@example.com", "window": "1h"});
        let other_channel = complete(&json!({"channel": "webhook"}), defaults);
        assert_eq!(
            other_channel,
            Err(vec!["target".to_owned()]),
            "a mail's address is no webhook"
        );
    }

    #[test]
    fn rules_that_are_broken_are_named() {
        for good in [
            json!({}),
            json!({"threshold": 0}),
            json!({"metricType": "error_rate", "threshold": 0.05}),
            json!({"metricType": "error_rate", "threshold": 1, "condition": "<"}),
            json!({"eventType": "ERROR", "eventName": "a"}),
            json!({"coolDownMinutes": 1440}),
            json!({"coolDownMinutes": 0}),
        ] {
            assert_eq!(check(good.clone()), Ok(()), "{good}");
        }
        for (bad, field) in [
            (json!({"threshold": -1}), "threshold"),
            (json!({"threshold": 1.5}), "threshold"),
            (json!({"threshold": 1e13}), "threshold"),
            (json!({"threshold": 0, "condition": "<"}), "threshold"),
            (json!({"metricType": "error_rate", "threshold": 5}), "threshold"),
            (json!({"metricType": "error_rate", "threshold": 1}), "threshold"),
            (
                json!({"metricType": "error_rate", "threshold": 0.5, "eventType": "ERROR"}),
                "eventType",
            ),
            (json!({"eventType": ""}), "eventType"),
            (json!({"eventName": "x".repeat(1_001)}), "eventName"),
            (json!({"name": ""}), "name"),
            (json!({"coolDownMinutes": 1441}), "coolDownMinutes"),
            (json!({"target": "nobody"}), "target"),
            (json!({"channel": "webhook"}), "target"),
        ] {
            let broken = check(bad.clone()).unwrap_err();
            assert!(
                broken.iter().all(|one| one == field) && !broken.is_empty(),
                "{bad}: {broken:?}"
            );
        }
    }
}
