//! What a project's new alerts take where they say nothing themselves. Pure.
//!
//! Where an alert's notices go is checked where they are sent from: whether a webhook's address is a public one depends
//! on the deployment.

use kernel::{Check, Time};
use notifications::{Channel, webhook};
use serde::{Deserialize, Serialize};

/// An alert may stay quiet after a notice for at most this many minutes: a day.
pub const LONGEST_COOL_DOWN: u16 = 1_440;

/// The time that an alert looks back over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Window {
    /// A minute.
    #[serde(rename = "1m")]
    Minute,
    /// Five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// A quarter of an hour.
    #[serde(rename = "15m")]
    QuarterHour,
    /// An hour.
    #[serde(rename = "1h")]
    Hour,
    /// 24 hours.
    #[serde(rename = "24h")]
    Day,
}

impl Window {
    /// Its length in milliseconds.
    pub const fn millis(self) -> i64 {
        match self {
            Self::Minute => Time::MINUTE,
            Self::FiveMinutes => 5 * Time::MINUTE,
            Self::QuarterHour => 15 * Time::MINUTE,
            Self::Hour => Time::HOUR,
            Self::Day => Time::DAY,
        }
    }

    /// Its length for a person to read.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Minute => "1 minute",
            Self::FiveMinutes => "5 minutes",
            Self::QuarterHour => "15 minutes",
            Self::Hour => "1 hour",
            Self::Day => "24 hours",
        }
    }
}

/// What a project's new alerts take where they say nothing themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertDefaults {
    /// How notices are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Where they are sent: an email address, or the URL of a webhook; needs a channel. Alerts that choose another
    /// channel do not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2000, example = "oncall@example.com")]
    pub target: Option<String>,
    /// The time that an alert looks back over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// After a notice that it fired, an alert does not fire again for so many minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1440)]
    pub cool_down_minutes: Option<u16>,
}

impl AlertDefaults {
    /// As they are shown: of a webhook's URL its origin and the end.
    pub(super) fn shown(mut self) -> Self {
        if let (Some(channel), Some(target)) = (self.channel, &mut self.target) {
            *target = channel.shown(target);
        }
        self
    }

    /// With the whole URL of before, where somebody sends back what they were shown of it.
    pub(super) fn after(mut self, before: Option<&Self>) -> Self {
        let known = before.filter(|before| before.channel == self.channel);
        if let (Some(Channel::Webhook), Some(target), Some(url)) = (
            self.channel,
            &mut self.target,
            known.and_then(|before| before.target.as_ref()),
        ) && webhook::is_shown(target, url)
        {
            target.clone_from(url);
        }
        self
    }

    /// Notes every rule that they break but those of the target itself; `field` is where they stand in the input.
    pub(super) fn check(&self, field: &str, check: &mut Check) {
        check.that(
            self.target.is_none() || self.channel.is_some(),
            &format!("{field}.channel"),
            "is missing: say how to reach the target",
        );
        if let Some(minutes) = self.cool_down_minutes {
            check.range(&format!("{field}.coolDownMinutes"), minutes, 0..=LONGEST_COOL_DOWN);
        }
    }
}
