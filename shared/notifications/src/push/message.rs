//! What is sent to a browser, as a job for each of a person's.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jobs::{Job, JobKey, Later, Owner, Place, Queue};
use kernel::{PushSubscriptionId, Result, Time, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::Table;

use super::encryption::MOST_PLAIN;
use super::subscription::Subscriptions;
use crate::topic::Topic;

/// A title has so many characters, …
const LONGEST_TITLE: usize = 200;
/// … and the address of a page so many bytes; a longer one is left out.
const LONGEST_URL: usize = 1_024;

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushMessage {
    /// In a few words.
    pub title: String,
    /// In a sentence or two.
    pub body: String,
    /// What it is about.
    pub topic: Topic,
    /// The page of the console that shows more: its path, or a whole address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// How much a browser is to be disturbed (RFC 8030, 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Also when power is low.
    High,
    /// Otherwise.
    Normal,
}

impl Urgency {
    /// As the header has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
        }
    }
}

impl PushMessage {
    /// How urgent it is.
    pub fn urgency(&self) -> Urgency {
        match self.topic {
            Topic::Alerts | Topic::Chat | Topic::Payments | Topic::Security => Urgency::High,
            _ => Urgency::Normal,
        }
    }

    /// What a browser reads: `{"title","body","topic","url"}`. What is too long for one message is cut.
    pub fn payload(&self) -> Vec<u8> {
        let title: String = self.title.chars().take(LONGEST_TITLE).collect();
        let url = self.url.as_ref().filter(|url| url.len() <= LONGEST_URL);
        let mut body = self.body.as_str();
        loop {
            let text = json!({"title": title, "body": body, "topic": self.topic, "url": url}).to_string();
            if text.len() <= MOST_PLAIN || body.is_empty() {
                return text.into_bytes();
            }
            // By a tenth, at the end of a character: what is written of a character may be longer than it.
            let most = body.len() * 9 / 10;
            let end = body
                .char_indices()
                .map(|(place, _)| place)
                .take_while(|place| *place <= most);
            body = &body[..end.last().unwrap_or(0)];
        }
    }
}

/// A message that is to be sent to one browser. Which one, and its keys, is looked up when it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushNotice {
    /// Whose it is.
    pub owner: Owner,
    /// What causes it.
    pub cause: String,
    /// When that was: it is told once to each browser.
    pub at: Time,
    /// Whom it is for.
    pub user: UserId,
    /// To which of their browsers.
    pub subscription: PushSubscriptionId,
    /// What it says.
    pub message: PushMessage,
}

impl PushNotice {
    /// One name for each owner and topic, which tells neither: 32 letters of base64url (RFC 8030, 5.4).
    pub fn topic(&self) -> String {
        let hash = digest(
            &SHA256,
            format!("push\0{}\0{}", self.owner, self.message.topic).as_bytes(),
        );
        BASE64.encode(&hash.as_ref()[..24])
    }
}

impl Job for PushNotice {
    const KIND: &'static str = "push";
    const QUEUE: &'static Queue = &jobs::queue::PUSHES;
    const SEALED: bool = true;

    fn place(&self) -> Place {
        Place::of(self.owner, &self.cause)
    }

    fn label(&self) -> Option<String> {
        Some(self.subscription.to_string())
    }

    fn key(&self) -> Option<JobKey> {
        Some(JobKey::once(self.subscription.to_string(), self.at))
    }

    /// Of one person's browsers, however slow their push service, none holds up another person's.
    fn group(&self) -> String {
        self.user.to_string()
    }
}

/// What tells a person's browsers of something, one job for each of them; none if they have none. `cause` is an id or a word
/// (letters, digits and `_`) and `at` when it was: the same cause of the same moment makes the same jobs, of which each is
/// stored once (`Later::store`, or in a commit). They are due at `due`.
pub async fn jobs_for(
    table: &Table,
    now: Time,
    due: Time,
    (owner, cause, at): (Owner, String, Time),
    user: UserId,
    message: &PushMessage,
) -> Result<Vec<Later>> {
    let subscriptions = Subscriptions::of(table, user).await?;
    let job = |id: PushSubscriptionId| PushNotice {
        owner,
        cause: cause.clone(),
        at,
        user,
        subscription: id,
        message: message.clone(),
    };
    let all = subscriptions.all().iter();
    all.map(|one| Later::of(now, &job(one.id), due)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(title: &str, body: &str, url: Option<String>) -> PushMessage {
        PushMessage {
            title: title.to_owned(),
            body: body.to_owned(),
            topic: Topic::Billing,
            url,
        }
    }

    #[test]
    fn a_browser_reads_what_was_said() {
        let payload = message("Paid", "Acme paid.", Some("https://x".to_owned())).payload();
        let read: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(
            read,
            json!({"title": "Paid", "body": "Acme paid.", "topic": "billing", "url": "https://x"})
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_is_said_fits(title in "\\PC{0,400}", body in "(\\PC|\u{1}|\"){0,6000}", url in "\\PC{0,1500}") {
            let payload = message(&title, &body, Some(url)).payload();
            prop_assert!(payload.len() <= MOST_PLAIN);
            let read: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            prop_assert!(body.starts_with(read["body"].as_str().unwrap()));
        }
    }
}
