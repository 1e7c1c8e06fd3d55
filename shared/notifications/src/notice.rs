//! The two ways a notice goes, each a job of its own queue: neither waits for the other's targets.

use jobs::{Job, JobKey, Owner, Place, Queue};
use kernel::Time;
use serde::{Deserialize, Serialize};

use crate::mails::Mail;
use crate::webhook;

/// A mail that is to be sent. It may hold a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailNotice {
    /// Whose it is.
    pub owner: Owner,
    /// What causes it.
    pub cause: String,
    /// What is sent.
    pub mail: Mail,
    /// When its cause was, if that sends one to an address and no more, however often it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once_of: Option<Time>,
}

impl Job for MailNotice {
    const KIND: &'static str = "mail";
    const QUEUE: &'static Queue = &jobs::queue::NOTIFICATIONS;
    const SEALED: bool = true;

    fn place(&self) -> Place {
        Place::of(self.owner, &self.cause)
    }

    fn label(&self) -> Option<String> {
        Some(self.mail.to.clone())
    }

    fn key(&self) -> Option<JobKey> {
        self.once_of.map(|at| JobKey::of(&self.mail.to, at))
    }
}

/// A webhook call that is to be made, without what belongs to one attempt. It holds the secret that signs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookNotice {
    /// Whose it is.
    pub owner: Owner,
    /// What causes it.
    pub cause: String,
    /// Where it goes.
    pub url: String,
    /// Signs it: `whsec_` and base64.
    pub secret: String,
    /// What is posted: `{"type":…,"timestamp":…,"data":…}`.
    pub body: String,
}

impl Job for WebhookNotice {
    const KIND: &'static str = "webhook";
    const QUEUE: &'static Queue = &jobs::queue::INTEGRATIONS;
    const SEALED: bool = true;

    fn place(&self) -> Place {
        Place::of(self.owner, &self.cause)
    }

    fn label(&self) -> Option<String> {
        Some(webhook::shown(&self.url))
    }

    /// Of one host's calls, however many, none holds up another host's.
    fn group(&self) -> String {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A group has a name of at most 128 characters, of which not every one is taken.
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':') {
                c
            } else {
                '_'
            }
        };
        host.chars().map(plain).take(128).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::OrgId;

    fn group(url: &str) -> String {
        let notice = WebhookNotice {
            owner: Owner::Org(OrgId::new(Time::from_millis(1))),
            cause: "test".to_owned(),
            url: url.to_owned(),
            secret: String::new(),
            body: String::new(),
        };
        notice.group()
    }

    #[test]
    fn a_hosts_calls_are_one_group() {
        for url in [
            "https://a.example:8443/x",
            "https://a.example:8443?x",
            "https://a.example:8443",
        ] {
            assert_eq!(group(url), "a.example:8443", "{url}");
        }
        assert_eq!(group("https://[2001:db8::1]/x"), "_2001:db8::1_");
        assert_eq!(group(&format!("https://{}/", "a".repeat(300))).len(), 128);
    }
}
