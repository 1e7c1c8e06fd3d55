//! What notices are about, for people to say which of them they want.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a notice is about. People say for each how they want to be told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// Rules that fire, and cease to.
    Alerts,
    /// Invoices, subscriptions, contracts and the wallet.
    Billing,
    /// Money that came, went back, or fits nothing.
    Payments,
    /// Endpoints of webhooks.
    Webhooks,
    /// Feedback: posts and comments.
    Boards,
    /// Support chats.
    Chat,
    /// Conversions of files.
    Conversions,
    /// Who is in the organization, and as what.
    Organization,
    /// One's account.
    Security,
}

impl Topic {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Alerts,
        Self::Billing,
        Self::Payments,
        Self::Webhooks,
        Self::Boards,
        Self::Chat,
        Self::Conversions,
        Self::Organization,
        Self::Security,
    ];

    /// As it is written in JSON: never changed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Billing => "billing",
            Self::Payments => "payments",
            Self::Webhooks => "webhooks",
            Self::Boards => "boards",
            Self::Chat => "chat",
            Self::Conversions => "conversions",
            Self::Organization => "organization",
            Self::Security => "security",
        }
    }

    /// The topic with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// Whether mail about it can be turned off. What cannot be passes quiet hours too.
    pub const fn is_optional(self) -> bool {
        !matches!(self, Self::Security | Self::Payments)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_called_as_json_calls_them() {
        for topic in Topic::ALL {
            assert_eq!(serde_json::json!(topic), topic.name());
            assert_eq!(Topic::named(topic.name()), Some(topic));
        }
        assert_eq!(Topic::named("Alerts"), None);
    }

    #[test]
    fn what_people_must_know_is_not_optional() {
        let not: Vec<_> = Topic::ALL.into_iter().filter(|topic| !topic.is_optional()).collect();
        assert_eq!(not, [Topic::Payments, Topic::Security]);
    }
}
