//! What SES tells of mails, as EventBridge brings it:
//! <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>. Pure.

use std::collections::BTreeMap;

use jobs::Owner;
use kernel::Time;
use serde::Deserialize;

use super::{Fate, News};

/// The tag that says whose a mail is.
pub const OWNER_TAG: &str = "owner";
/// The tag by which SES says what it was sent by.
const SET_TAG: &str = "ses:configuration-set";
/// What SES held back because of this account's list, which is not ours. That its own list has an address (`Suppressed`) counts:
/// mail to it came back for good lately, of whomever.
const OWN_LIST: &str = "OnAccountSuppressionList";

/// What became of a mail, by the addresses that it was to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// The configuration set that it was sent by, if that is told.
    pub configuration_set: Option<String>,
    /// The addresses, and what of each.
    pub news: Vec<(String, News)>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    time: Option<String>,
    detail: Detail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    event_type: String,
    #[serde(default)]
    mail: Sent,
    #[serde(default)]
    bounce: Option<Bounce>,
    #[serde(default)]
    complaint: Option<Complaint>,
}

#[derive(Deserialize, Default)]
struct Sent {
    #[serde(default)]
    tags: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "SES names them so")]
struct Bounce {
    #[serde(default)]
    bounce_type: String,
    #[serde(default)]
    bounce_sub_type: String,
    #[serde(default)]
    bounced_recipients: Vec<Recipient>,
    #[serde(default)]
    timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "SES names them so")]
struct Complaint {
    #[serde(default)]
    complaint_sub_type: Option<String>,
    #[serde(default)]
    complaint_feedback_type: Option<String>,
    #[serde(default)]
    complained_recipients: Vec<Recipient>,
    #[serde(default)]
    timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    email_address: String,
    #[serde(default)]
    status: Option<String>,
}

impl Recipient {
    /// The address alone: mails may have been to `Name <address>`.
    fn address(&self) -> String {
        let text = self.email_address.trim();
        let inner = text.rsplit_once('<').and_then(|(_, rest)| rest.split('>').next());
        inner.unwrap_or(text).to_owned()
    }
}

impl Feedback {
    /// Reads an event; without news if it is no bounce or complaint, or tells nothing that counts. `now` stands for a moment that
    /// is not told. An error is a text that is no event.
    pub fn parse(text: &str, now: Time) -> Result<Self, serde_json::Error> {
        let Event { time, detail } = serde_json::from_str(text)?;
        let tag = |name: &str| detail.mail.tags.get(name).and_then(|values| values.first()).cloned();
        let owner: Option<Owner> = tag(OWNER_TAG).and_then(|owner| owner.parse().ok());
        let moment = |told: Option<&String>| {
            let told = [told, time.as_ref()].into_iter().flatten();
            let mut moments = told.filter_map(|text| text.parse::<Time>().ok());
            moments.next().unwrap_or(now)
        };
        let news = match (detail.event_type.as_str(), &detail.bounce, &detail.complaint) {
            ("Bounce", Some(bounce), _) => bounce.news(moment(bounce.timestamp.as_ref()), owner),
            ("Complaint", _, Some(complaint)) => complaint.news(moment(complaint.timestamp.as_ref()), owner),
            _ => Vec::new(),
        };
        let configuration_set = tag(SET_TAG);
        Ok(Self {
            configuration_set,
            news,
        })
    }
}

impl Bounce {
    fn news(&self, at: Time, owner: Option<Owner>) -> Vec<(String, News)> {
        if self.bounce_sub_type == OWN_LIST {
            return Vec::new();
        }
        let of = |recipient: &Recipient| {
            // Some servers refuse for good, and SES calls it transient.
            let for_good = recipient.status.as_ref().is_some_and(|status| status.starts_with("5."));
            let fate = if for_good || self.bounce_type == "Permanent" {
                Fate::Permanent
            } else {
                Fate::Transient
            };
            (recipient.address(), News { fate, at, owner })
        };
        self.bounced_recipients.iter().map(of).collect()
    }
}

impl Complaint {
    fn news(&self, at: Time, owner: Option<Owner>) -> Vec<(String, News)> {
        let own = self.complaint_sub_type.as_deref() == Some(OWN_LIST);
        // By it readers say that a mail was taken for unwanted and is not.
        if own || self.complaint_feedback_type.as_deref() == Some("not-spam") {
            return Vec::new();
        }
        let fate = Fate::Complaint;
        let of = |recipient: &Recipient| (recipient.address(), News { fate, at, owner });
        self.complained_recipients.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    #[expect(clippy::needless_pass_by_value, reason = "it is written where it is passed")]
    fn read(detail: Value) -> Feedback {
        Feedback::parse(&json!({"source": "aws.ses", "detail": detail}).to_string(), NOW).unwrap()
    }

    fn bounce(kind: &str, sub: &str, status: Option<&str>) -> Vec<Fate> {
        let feedback = read(json!({
            "eventType": "Bounce",
            "bounce": {
                "bounceType": kind, "bounceSubType": sub, "timestamp": "2027-01-15T08:00:00.123Z",
                "bouncedRecipients": [{"emailAddress": "Ada <ada@example.com>", "action": "failed", "status": status}],
            },
            "mail": {"tags": {"owner": ["org_01m7zckcm3e00a33gpgyxya6y8"], "ses:configuration-set": ["ours"]}},
        }));
        assert_eq!(feedback.configuration_set.as_deref(), Some("ours"));
        for (address, news) in &feedback.news {
            assert_eq!(
                (address.as_str(), news.at.to_string().as_str()),
                ("ada@example.com", "2027-01-15T08:00:00.123Z")
            );
            assert!(matches!(news.owner, Some(Owner::Org(_))));
        }
        feedback.news.iter().map(|(_, news)| news.fate).collect()
    }

    #[test]
    fn bounces_are_told_apart() {
        assert_eq!(bounce("Transient", "General", None), [Fate::Transient]);
        assert_eq!(bounce("Transient", "MailboxFull", Some("4.2.2")), [Fate::Transient]);
        assert_eq!(bounce("Undetermined", "Undetermined", None), [Fate::Transient]);
        assert_eq!(bounce("Permanent", "General", Some("5.1.1")), [Fate::Permanent]);
        assert_eq!(bounce("Permanent", "General", None), [Fate::Permanent]);
        assert_eq!(
            bounce("Transient", "General", Some("5.1.1")),
            [Fate::Permanent],
            "which SES calls transient"
        );
        assert_eq!(
            bounce("Permanent", "OnAccountSuppressionList", None),
            [],
            "which is SES's own list"
        );
    }

    #[test]
    fn complaints_are_such_as_say_so() {
        let complaint = |kind: Option<&str>, sub: Option<&str>| {
            let feedback = read(json!({
                "eventType": "Complaint",
                "complaint": {
                    "complaintFeedbackType": kind, "complaintSubType": sub,
                    "complainedRecipients": [{"emailAddress": "ada@example.com"}],
                },
            }));
            feedback.news.first().map(|(_, news)| (news.fate, news.at, news.owner))
        };
        assert_eq!(complaint(Some("abuse"), None), Some((Fate::Complaint, NOW, None)));
        assert_eq!(complaint(None, None), Some((Fate::Complaint, NOW, None)));
        assert_eq!(complaint(Some("not-spam"), None), None);
        assert_eq!(complaint(None, Some("OnAccountSuppressionList")), None);
    }

    #[test]
    fn what_is_told_beside_is_no_news_and_what_is_no_event_an_error() {
        assert_eq!(read(json!({"eventType": "Delivery", "delivery": {}})).news, []);
        assert!(Feedback::parse("{", NOW).is_err());
        assert!(Feedback::parse("{}", NOW).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}", address in "\\PC{0,40}", moment in "\\PC{0,30}") {
            let _ = Feedback::parse(&text, NOW);
            let recipients = json!([{"emailAddress": address, "status": moment}]);
            let bounce = json!({"bounceType": text, "timestamp": moment, "bouncedRecipients": recipients});
            let _ = read(json!({"eventType": "Bounce", "bounce": bounce}));
        }
    }
}
