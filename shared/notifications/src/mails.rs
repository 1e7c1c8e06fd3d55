//! What mails say: who gets one, its values, and its subject, text and HTML as the templates in `mails/` make them.
//!
//! Pure: sends nothing. A job keeps a mail's kind and values, not what they were rendered to; so a mail that waits while
//! another version is deployed goes out with the texts of that version, and wording may change
//! at any time. What may not change is how a [`Letter`] is stored: a kind or a value that is renamed is read under its
//! old name too.

mod sample;
#[cfg(test)]
mod tests;

use std::fmt;

use anyhow::Context;
use askama::Template;
use kernel::{OrgRole, Result, Time, UserId};
use serde::{Deserialize, Serialize};

pub use sample::samples;

use crate::topic::Topic;

/// A mail to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Who gets it.
    pub to: String,
    /// What it says.
    #[serde(flatten)]
    pub letter: Letter,
    /// What it is about, if its recipient chose, or could have chosen, to get it; nothing for what belongs to a transaction of
    /// theirs, or goes to a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Topic>,
    /// The member of the organization that sends it, whom it goes to, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<UserId>,
    /// Where a POST ends mails of this kind to this person, for mail that they can do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<Unsubscribe>,
    /// The file that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
}

/// A file that goes with a mail: a PDF in the bucket of documents. It may not lie there yet; what the mail says holds
/// without it, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Where it lies.
    pub key: String,
    /// What it is called: letters, digits, `-`, `_` and full stops.
    pub file_name: String,
    /// It is waited for until then.
    pub waits_until: Time,
}

/// The mails that there are, with their values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "template",
    content = "variables",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Letter {
    /// Asks to confirm an address.
    VerifyEmail {
        /// Who is asked.
        name: Line,
        /// Where they confirm it.
        link: Line,
    },
    /// Lets someone choose a new password.
    ResetPassword {
        /// Whose password it is.
        name: Line,
        /// Where they choose it.
        link: Line,
    },
    /// Says that a password was changed.
    PasswordChanged {
        /// Whose password it is.
        name: Line,
        /// When.
        changed_at: Time,
        /// Where they ask for another one if it was not them.
        link: Line,
    },
    /// Says that a factor was added to an account.
    FactorAdded {
        /// Whose account it is.
        name: Line,
        /// What they call the factor.
        factor: Line,
        /// When.
        changed_at: Time,
        /// Where they ask for another password if it was not them.
        link: Line,
    },
    /// Says that factors were removed from an account.
    FactorRemoved {
        /// Whose account it is.
        name: Line,
        /// What they called them.
        factor: Line,
        /// When.
        changed_at: Time,
        /// Where they ask for another password if it was not them.
        link: Line,
    },
    /// Says that somebody logged in with a recovery code.
    RecoveryCodeUsed {
        /// Whose account it is.
        name: Line,
        /// How many are left.
        left: u64,
        /// When.
        changed_at: Time,
        /// Where they ask for another password if it was not them.
        link: Line,
    },
    /// Says that somebody logged in from where they never had before.
    NewDevice {
        /// Whose account it is.
        name: Line,
        /// From which address.
        address: Line,
        /// When.
        changed_at: Time,
        /// Where they ask for another password if it was not them.
        link: Line,
    },
    /// Says that somebody has another role on the platform.
    PlatformRoleChanged {
        /// Who.
        name: Line,
        /// Which one.
        role: Line,
        /// When.
        changed_at: Time,
        /// Where they ask for another password if they know nothing of it.
        link: Line,
    },
    /// Invites to an organization.
    Invitation {
        /// Who invites.
        inviter: Line,
        /// Where to.
        organization: Line,
        /// As what.
        role: OrgRole,
        /// Where they accept.
        link: Line,
    },
    /// Says that a rule fires.
    AlertFired {
        /// Such as `error rate > 0.05 over 5 minutes`.
        rule: Line,
        /// What its project is called.
        project: Line,
        /// What was measured.
        value: Line,
        /// Since when.
        fired_at: Time,
        /// Its page.
        link: Line,
    },
    /// Says that a rule does not fire any more.
    AlertResolved {
        /// Such as `error rate > 0.05 over 5 minutes`.
        rule: Line,
        /// What its project is called.
        project: Line,
        /// What was measured, or why nothing was.
        value: Line,
        /// Since when.
        resolved_at: Time,
        /// Its page.
        link: Line,
    },
    /// Says that most of what a wallet's month includes was spent.
    WalletLow {
        /// Who gets it.
        name: Line,
        /// Whose wallet it is.
        organization: Line,
        /// Credits that the month includes.
        included: u64,
        /// Credits that are left in the wallet.
        left: u64,
        /// Its page.
        link: Line,
    },
    /// Says that all of what a wallet's month includes was spent.
    WalletExhausted {
        /// Who gets it.
        name: Line,
        /// Whose wallet it is.
        organization: Line,
        /// Credits that the month includes.
        included: u64,
        /// Credits that are left in the wallet.
        left: u64,
        /// Its page.
        link: Line,
    },
    /// Says that credits could not be bought that a wallet asked for by itself.
    TopupFailed {
        /// Who gets it.
        name: Line,
        /// Whose wallet it is.
        organization: Line,
        /// How many credits.
        credits: u64,
        /// For how much.
        amount: Line,
        /// The wallet's page.
        link: Line,
    },
    /// Says that an endpoint for webhooks is not called any more.
    WebhookDisabled {
        /// Who gets it.
        name: Line,
        /// Whose endpoint it is.
        organization: Line,
        /// Where it is; no more of its address, which may be a secret.
        server: Line,
        /// Whether it said itself that it is no more.
        gone: bool,
        /// The page of endpoints.
        link: Line,
    },
    /// Says that money came that fits nothing.
    PaymentUnapplied {
        /// Who gets it.
        name: Line,
        /// Whose money it is.
        organization: Line,
        /// How much.
        amount: Line,
        /// Where it came.
        provider: Line,
        /// Why it fits nothing.
        reason: Line,
        /// The payment's page.
        link: Line,
    },
    /// Says that a provider lists what is booked otherwise here.
    PaymentsDrifted {
        /// Who gets it.
        name: Line,
        /// Whose account was compared.
        organization: Line,
        /// Where.
        provider: Line,
        /// How many payments differ.
        payments: u64,
        /// The page of comparisons.
        link: Line,
    },
    /// Says to a client that an invoice was sent.
    InvoiceSent {
        /// Who gets it.
        name: Line,
        /// Whose invoice it is.
        organization: Line,
        /// Its number.
        number: Line,
        /// What it comes to.
        total: Line,
        /// What of that is due.
        due: Line,
        /// Until when.
        due_date: Line,
        /// Whether nothing is due.
        is_paid: bool,
        /// Its page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<Line>,
    },
    /// Says to a client that an invoice is overdue.
    InvoiceReminder {
        /// Who gets it.
        name: Line,
        /// Whose invoice it is.
        organization: Line,
        /// Its number.
        number: Line,
        /// What is due.
        due: Line,
        /// Since when.
        due_date: Line,
        /// Its page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<Line>,
    },
    /// Says to a client that its contract rests because an invoice is not paid.
    ContractSuspended {
        /// Who gets it.
        name: Line,
        /// Whose invoice it is.
        organization: Line,
        /// Its number.
        number: Line,
        /// What is due.
        due: Line,
        /// Since when.
        due_date: Line,
        /// Its page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<Line>,
    },
    /// Says to a client that its contract goes on.
    ContractResumed {
        /// Who gets it.
        name: Line,
        /// With whom.
        organization: Line,
        /// The number of the invoice that it rested for.
        number: Line,
    },
    /// Says to those who sell that a contract rests because an invoice is not paid.
    ClientSuspended {
        /// Who gets it.
        name: Line,
        /// Who sells.
        organization: Line,
        /// Whose contract it is.
        client: Line,
        /// The number of the invoice.
        number: Line,
        /// What is due.
        due: Line,
        /// Since when.
        due_date: Line,
        /// The invoice's page.
        link: Line,
    },
    /// Says to those who sell that a contract goes on.
    ClientResumed {
        /// Who gets it.
        name: Line,
        /// Who sells.
        organization: Line,
        /// Whose contract it is.
        client: Line,
        /// The number of the invoice that it rested for.
        number: Line,
        /// The invoice's page.
        link: Line,
    },
    /// Says what has happened about one topic since the digest before.
    Digest {
        /// Who gets it.
        name: Line,
        /// Where it happened.
        organization: Line,
        /// What it is about.
        topic: Topic,
        /// The first of the news.
        news: Vec<News>,
        /// How many there are besides.
        more: u64,
        /// The page of notifications.
        link: Line,
    },
}

/// One of the news of a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// In a few words.
    pub title: Line,
    /// In a sentence.
    pub text: Line,
    /// When it happened.
    pub at: Time,
}

/// So many characters of a title, and of what is said under it, are shown in a digest.
const LONGEST_TITLE: usize = 200;
const LONGEST_TEXT: usize = 300;

impl News {
    /// What happened at a moment, cut where it is too long.
    pub fn of(title: &str, text: &str, at: Time) -> Self {
        let cut = |text: &str, most: usize| Line::from(text.chars().take(most).collect::<String>());
        Self {
            title: cut(title, LONGEST_TITLE),
            text: cut(text, LONGEST_TEXT),
            at,
        }
    }
}

/// A text without line breaks and other control characters: what people chose as a name must not add a header to a mail
/// or a paragraph to its text. Control characters become blanks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct Line(String);

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        let line_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        let parts: Vec<&str> = text.split(line_break).filter(|part| !part.is_empty()).collect();
        Self(parts.join(" "))
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where one POST ends mails (RFC 8058): an `https` address; `http` on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Unsubscribe(String);

/// SES takes 870 characters as the value of a header, and two of them are brackets.
const LONGEST_UNSUBSCRIBE: usize = 868;

impl TryFrom<String> for Unsubscribe {
    type Error = NoUnsubscribe;

    fn try_from(url: String) -> Result<Self, NoUnsubscribe> {
        let known = url.starts_with("https://")
            || ["http://localhost:", "http://127.0.0.1:"]
                .iter()
                .any(|local| url.starts_with(local));
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ',' | '"' | '\\');
        if known && url.len() <= LONGEST_UNSUBSCRIBE && url.chars().all(plain) {
            return Ok(Self(url));
        }
        Err(NoUnsubscribe)
    }
}

impl fmt::Display for Unsubscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says that an address cannot stand in the header `List-Unsubscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an https address of at most {LONGEST_UNSUBSCRIBE} plain characters")]
pub struct NoUnsubscribe;

/// A mail as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// On one line.
    pub subject: String,
    /// For clients that show no HTML, and for people who want none.
    pub text: String,
    /// A whole document.
    pub html: String,
    /// Headers besides the usual ones: names and values.
    pub headers: Vec<(&'static str, String)>,
}

impl Mail {
    /// A mail to an address.
    pub fn to(address: impl Into<String>, letter: Letter) -> Self {
        Self {
            to: address.into(),
            letter,
            topic: None,
            reader: None,
            unsubscribe: None,
            attachment: None,
        }
    }

    /// Says what it is about.
    #[must_use]
    pub fn about(mut self, topic: Topic) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Says which member of the organization that sends it gets it.
    #[must_use]
    pub fn for_member(mut self, reader: UserId) -> Self {
        self.reader = Some(reader);
        self
    }

    /// What it says, as one of the news of a digest.
    pub fn news(&self, product: &Line, at: Time) -> Result<News> {
        let letter = &self.letter;
        let written = Written { product, letter }.render().context("a mail's text")?;
        let fields = Fields::of(&written).context("a mail without its fields")?;
        Ok(News::of(fields.subject, fields.preview, at))
    }

    /// Whether its recipient may want none of its kind.
    pub fn is_optional(&self) -> bool {
        self.topic.is_some_and(Topic::is_optional)
    }

    /// Sends a file with it.
    #[must_use]
    pub fn with(mut self, attachment: Attachment) -> Self {
        self.attachment = Some(attachment);
        self
    }

    /// Says where to unsubscribe, in headers that mail programs know and at the foot. Only of mail that is optional.
    #[must_use]
    pub fn unsubscribe_at(mut self, url: Unsubscribe) -> Self {
        self.unsubscribe = Some(url);
        self
    }

    /// Fills the templates. `product` is what recipients know us as.
    pub fn render(&self, product: &Line) -> Result<Rendered> {
        let letter = &self.letter;
        let written = Written { product, letter }.render().context("a mail's text")?;
        let Fields {
            subject,
            preview,
            reason,
            text,
        } = Fields::of(&written).context("a mail without its fields")?;
        let unsubscribe = self.unsubscribe.as_ref();
        let framed = TextPart {
            text,
            reason,
            unsubscribe,
        };
        let html = HtmlPart {
            product,
            letter,
            subject,
            preview,
            reason,
            unsubscribe,
        };
        Ok(Rendered {
            subject: subject.to_owned(),
            text: framed.render().context("a mail's text")?,
            html: html.render().context("a mail's HTML")?,
            headers: unsubscribe.map(Unsubscribe::headers).into_iter().flatten().collect(),
        })
    }
}

impl Unsubscribe {
    fn headers(&self) -> [(&'static str, String); 2] {
        [
            ("List-Unsubscribe", format!("<{self}>")),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()),
        ]
    }
}

/// A letter's fields and text, as in its file.
#[derive(Template)]
#[template(path = "letter.txt")]
struct Written<'a> {
    product: &'a Line,
    letter: &'a Letter,
}

/// What [`Written`] consists of.
struct Fields<'a> {
    subject: &'a str,
    /// What a list of mails shows beside the subject.
    preview: &'a str,
    /// Why one gets the mail.
    reason: &'a str,
    text: &'a str,
}

impl<'a> Fields<'a> {
    /// Takes a letter apart. Values are lines, so none of them adds a field or ends them.
    fn of(written: &'a str) -> Option<Self> {
        let rest = written.strip_prefix("Subject: ")?;
        let (subject, rest) = rest.split_once("\nPreview: ")?;
        let (preview, rest) = rest.split_once("\nReason: ")?;
        let (reason, text) = rest.split_once("\n\n")?;
        Some(Self {
            subject,
            preview,
            reason,
            text,
        })
    }
}

/// The text part.
#[derive(Template)]
#[template(path = "mail.txt")]
struct TextPart<'a> {
    text: &'a str,
    reason: &'a str,
    unsubscribe: Option<&'a Unsubscribe>,
}

/// The HTML part.
#[derive(Template)]
#[template(path = "mail.html")]
struct HtmlPart<'a> {
    product: &'a Line,
    letter: &'a Letter,
    subject: &'a str,
    preview: &'a str,
    reason: &'a str,
    unsubscribe: Option<&'a Unsubscribe>,
}

/// A number for people: `100,000`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
fn count(number: &u64) -> String {
    let digits = number.to_string();
    let (mut text, many) = (String::new(), digits.len());
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (many - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A moment for people, in HTML: `2026-11-27 11:40:05 UTC`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
fn moment(time: &Time) -> String {
    let text = time.to_string();
    format!("{} {} UTC", &text[..10], &text[11..19])
}
