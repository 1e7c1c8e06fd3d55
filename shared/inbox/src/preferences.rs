//! How one person wants to be told what happens in one organization. Pure: time is passed in.

mod input;
mod store;

use kernel::{OrgId, Time, UserId};
use notifications::Topic;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::hours::{DigestHours, QuietHours};

pub use input::{DigestInput, PreferencesInput, QuietInput};

/// When somebody wants to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cadence {
    /// At once.
    #[default]
    Now,
    /// With the digest of the hour.
    Hourly,
    /// With that of the day.
    Daily,
    /// With that of the week.
    Weekly,
    /// Not at all.
    Off,
}

/// By which way somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By mail.
    Email,
    /// By their browser, though they do not look at it.
    Push,
    /// By the list of notifications.
    Inbox,
}

/// When somebody wants to be told of one topic, by each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = NotificationWays)]
pub struct Wanted {
    /// By mail.
    #[schema(required = false)]
    pub email: Cadence,
    /// By web push.
    #[schema(required = false)]
    pub push: Cadence,
    /// In the list of notifications.
    #[schema(required = false)]
    pub inbox: Cadence,
}

impl Wanted {
    fn by(self, way: Way) -> Cadence {
        match way {
            Way::Email => self.email,
            Way::Push => self.push,
            Way::Inbox => self.inbox,
        }
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Fields {
            email: Cadence,
            push: Cadence,
            inbox: Cadence,
        }
        let given: Option<Fields> = kernel::check::object(deserializer)?;
        let Fields { email, push, inbox } = given.ok_or_else(|| de::Error::custom("must be an object"))?;
        Ok(Self { email, push, inbox })
    }
}

/// What is wanted of each topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = NotificationTopics)]
pub struct Topics {
    /// Rules that fire, and cease to.
    #[schema(required = false)]
    pub alerts: Wanted,
    /// Invoices, subscriptions, contracts and the wallet.
    #[schema(required = false)]
    pub billing: Wanted,
    /// Money that came, went back, or fits nothing. Mail about it cannot be turned off.
    #[schema(required = false)]
    pub payments: Wanted,
    /// Endpoints of webhooks.
    #[schema(required = false)]
    pub webhooks: Wanted,
    /// Feedback: posts and comments.
    #[schema(required = false)]
    pub boards: Wanted,
    /// Support chats.
    #[schema(required = false)]
    pub chat: Wanted,
    /// Conversions of files.
    #[schema(required = false)]
    pub conversions: Wanted,
    /// Who is in the organization, and as what.
    #[schema(required = false)]
    pub organization: Wanted,
    /// One's account. Mail about it cannot be turned off.
    #[schema(required = false)]
    pub security: Wanted,
}

impl Topics {
    /// What is wanted of a topic.
    pub fn of(&self, topic: Topic) -> Wanted {
        match topic {
            Topic::Alerts => self.alerts,
            Topic::Billing => self.billing,
            Topic::Payments => self.payments,
            Topic::Webhooks => self.webhooks,
            Topic::Boards => self.boards,
            Topic::Chat => self.chat,
            Topic::Conversions => self.conversions,
            Topic::Organization => self.organization,
            Topic::Security => self.security,
        }
    }

    fn of_mut(&mut self, topic: Topic) -> &mut Wanted {
        match topic {
            Topic::Alerts => &mut self.alerts,
            Topic::Billing => &mut self.billing,
            Topic::Payments => &mut self.payments,
            Topic::Webhooks => &mut self.webhooks,
            Topic::Boards => &mut self.boards,
            Topic::Chat => &mut self.chat,
            Topic::Conversions => &mut self.conversions,
            Topic::Organization => &mut self.organization,
            Topic::Security => &mut self.security,
        }
    }
}

/// How one person wants to be told what happens in one organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preferences {
    /// In which organization.
    pub org: OrgId,
    /// Who.
    pub user: UserId,
    /// What they want of each topic.
    pub topics: Topics,
    /// When their digests are due.
    pub digest: DigestHours,
    /// When they want quiet.
    #[serde(default)]
    pub quiet: Option<QuietHours>,
    #[serde(default)]
    version: u64,
}

/// When somebody is to be told of something that happens now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// By itself, once it is not quiet any more.
    After(Time),
    /// With what else has happened by then.
    Digest(Time),
    /// Not at all.
    Never,
}

impl Preferences {
    /// Those of somebody who has set none: everything at once, and digests at 8:00 UTC.
    pub fn of_nobody(org: OrgId, user: UserId) -> Self {
        Self {
            org,
            user,
            topics: Topics::default(),
            digest: DigestHours::default(),
            quiet: None,
            version: 0,
        }
    }

    /// When they are to be told of something that happens now. Quiet hours keep nobody from reading a list.
    pub fn when(&self, topic: Topic, way: Way, now: Time) -> When {
        let due = match self.topics.of(topic).by(way) {
            Cadence::Now => None,
            Cadence::Hourly => Some(self.digest.next_hourly(now)),
            Cadence::Daily => Some(self.digest.next_daily(now)),
            Cadence::Weekly => Some(self.digest.next_weekly(now)),
            Cadence::Off => return When::Never,
        };
        let end = |time| self.end_of_quiet(topic, way, time);
        match due {
            Some(due) => When::Digest(end(due).unwrap_or(due)),
            None => end(now).map_or(When::Now, When::After),
        }
    }

    /// When quiet hours end that keep them from being told, if any do.
    pub fn end_of_quiet(&self, topic: Topic, way: Way, now: Time) -> Option<Time> {
        let waits = topic.is_optional() && way != Way::Inbox;
        let quiet = self.quiet.filter(|_| waits)?;
        self.digest.end_of_quiet(now, quiet)
    }

    /// Turns mail about a topic off. Says whether that changes anything.
    pub(crate) fn turn_off_mail(&mut self, topic: Topic) -> bool {
        let email = &mut self.topics.of_mut(topic).email;
        topic.is_optional() && std::mem::replace(email, Cadence::Off) != Cadence::Off
    }
}

/// Preferences, as they are shown.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NotificationPreferences)]
pub struct PreferencesView {
    /// What is wanted of each topic: all of them, those that were never set by the defaults.
    pub topics: Topics,
    /// When digests are due.
    pub digest: DigestHours,
    /// When it is quiet; null if never.
    #[schema(required)]
    pub quiet_hours: Option<QuietHours>,
}

impl From<Preferences> for PreferencesView {
    fn from(preferences: Preferences) -> Self {
        Self {
            topics: preferences.topics,
            digest: preferences.digest,
            quiet_hours: preferences.quiet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn given(value: serde_json::Value) -> Preferences {
        let input: PreferencesInput = serde_json::from_value(value).unwrap();
        kernel::Check::run(&input).unwrap();
        let mut preferences = Preferences::of_nobody(OrgId::from_bits(1), UserId::from_bits(2));
        input.apply(&mut preferences).unwrap();
        preferences
    }

    /// 21:30 in Berlin.
    const EVENING: &str = "2027-01-12T20:30:00Z";

    #[test]
    fn whoever_says_nothing_is_told_at_once() {
        let nobody = given(json!({}));
        let now: Time = EVENING.parse().unwrap();
        for topic in Topic::ALL {
            for way in [Way::Email, Way::Push, Way::Inbox] {
                assert_eq!(nobody.when(topic, way, now), When::Now);
            }
        }
    }

    #[test]
    fn what_can_wait_waits_until_it_is_not_quiet() {
        let preferences = given(json!({
            "topics": {"billing": {"email": "hourly", "push": "off"}, "payments": {"email": "daily"}, "chat": {"inbox": "weekly"}},
            "digest": {"at": "08:00", "timezone": "Europe/Berlin"},
            "quietHours": {"from": "21:00", "to": "08:30"}
        }));
        let now: Time = EVENING.parse().unwrap();
        let morning: Time = "2027-01-13T07:30:00Z".parse().unwrap();
        for (topic, way, expected) in [
            (Topic::Alerts, Way::Email, When::After(morning)),
            (Topic::Alerts, Way::Push, When::After(morning)),
            (Topic::Alerts, Way::Inbox, When::Now),
            (Topic::Billing, Way::Email, When::Digest(morning)),
            (Topic::Billing, Way::Push, When::Never),
            // What cannot be turned off waits for no quiet hours, though it may wait for a digest.
            (Topic::Security, Way::Email, When::Now),
            (
                Topic::Payments,
                Way::Email,
                When::Digest("2027-01-13T07:00:00Z".parse().unwrap()),
            ),
            (
                Topic::Chat,
                Way::Inbox,
                When::Digest("2027-01-18T07:00:00Z".parse().unwrap()),
            ),
        ] {
            assert_eq!(preferences.when(topic, way, now), expected, "{topic} {way:?}");
        }
    }

    #[test]
    fn only_mail_that_is_optional_can_be_turned_off() {
        let mut preferences = given(json!({}));
        assert!(preferences.turn_off_mail(Topic::Alerts));
        assert!(!preferences.turn_off_mail(Topic::Alerts));
        let wanted = preferences.topics.alerts;
        assert_eq!(
            (wanted.email, wanted.push, wanted.inbox),
            (Cadence::Off, Cadence::Now, Cadence::Now)
        );
        assert!(!preferences.turn_off_mail(Topic::Payments));
    }

    #[test]
    fn rules_are_named_by_their_fields() {
        let input: PreferencesInput = serde_json::from_value(json!({
            "topics": {"payments": {"email": "off"}, "security": {"email": "off"}, "alerts": {"email": "off"}},
            "digest": {"at": "8:00", "timezone": "Berlin"},
            "quietHours": {"from": "07:00", "to": "07:00"}
        }))
        .unwrap();
        let kernel::Error::Invalid(problems) = kernel::Check::run(&input).unwrap_err() else {
            panic!("no rule is broken");
        };
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        let expected = [
            "topics.payments.email",
            "topics.security.email",
            "digest.at",
            "digest.timezone",
            "quietHours.to",
        ];
        assert_eq!(fields, expected);
        for unknown in [
            json!({"topics": {"weather": {}}}),
            json!({"topics": {"alerts": {"email": "sometimes"}}}),
            json!({"topics": {"alerts": {"sms": "now"}}}),
            json!({"topics": {"alerts": ["now"]}}),
            json!({"topics": {"alerts": null}}),
            json!({"digest": {"at": "08:00"}}),
            json!({"digest": []}),
        ] {
            assert!(
                serde_json::from_value::<PreferencesInput>(unknown.clone()).is_err(),
                "{unknown}"
            );
        }
    }
}
