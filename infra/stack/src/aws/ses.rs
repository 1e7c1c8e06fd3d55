//! SES v2: takes mails that are written out (`Simple`) and keeps them for whoever asks; sends nothing.

use std::collections::BTreeMap;

use anyhow::Result;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{Method, StatusCode};
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::iam::Need;
use super::service::{Answer, Call, Service, ServiceError, THROTTLED};
use super::store::Store;
use super::usage::Used;
use crate::chaos::Draw;
use crate::clock::{Clock, rfc3339};
use crate::template::{ACCOUNT, ConfigurationSet, REGION, configuration_set_arn, sender_arn};

/// The mails of one stack.
#[derive(Debug, Clone)]
pub struct Ses {
    store: Store,
    clock: Clock,
    sets: Vec<ConfigurationSet>,
}

/// A mail as it was given to SES.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// Id that SES gave it.
    pub id: String,
    /// Who sends it.
    pub from: String,
    /// Who gets it: to, copies and blind copies.
    pub to: Vec<String>,
    /// Subject.
    pub subject: String,
    /// HTML body.
    pub html: Option<String>,
    /// Plain body.
    pub text: Option<String>,
    /// Headers that its sender added.
    pub headers: BTreeMap<String, String>,
    /// Files that go with it.
    pub attachments: Vec<File>,
    /// The configuration set that it was sent by.
    pub configuration_set: Option<String>,
    /// Tags that its sender gave it: its events carry them.
    pub tags: BTreeMap<String, String>,
    /// When it was given, by the test clock, as RFC 3339.
    pub sent_at: String,
}

/// A file that goes with a mail. Lists do not show what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// What it is called.
    pub file_name: String,
    /// What it is.
    pub content_type: String,
    /// How many bytes it has.
    pub size: usize,
    /// What is in it.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// The most recipients of one mail.
const MAX_RECIPIENTS: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    from_email_address: Option<String>,
    #[serde(default)]
    destination: Destination,
    content: Content,
    configuration_set_name: Option<String>,
    #[serde(default)]
    email_tags: Vec<Header>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Destination {
    #[serde(rename = "ToAddresses")]
    to: Vec<String>,
    #[serde(rename = "CcAddresses")]
    copies: Vec<String>,
    #[serde(rename = "BccAddresses")]
    blind_copies: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Content {
    simple: Option<Simple>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Simple {
    subject: Text,
    body: Body,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Attachment {
    raw_content: String,
    file_name: String,
    content_type: Option<String>,
    content_disposition: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Body {
    text: Option<Text>,
    html: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Text {
    data: String,
    charset: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Header {
    name: String,
    value: String,
}

impl Ses {
    pub(super) fn new(store: Store, clock: Clock, sets: &[ConfigurationSet]) -> Self {
        let sets = sets.to_vec();
        Self { store, clock, sets }
    }

    fn run(&self, method: &Method, path: &str, body: &[u8]) -> Result<Value, ServiceError> {
        if method != Method::POST || path != "/v2/email/outbound-emails" {
            return Err(ServiceError::not_served(format_args!("SES {method} {path}")));
        }
        let bad = |text: String| ServiceError::refused("BadRequestException", text);
        let input: Input = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
        let from = input.from_email_address.filter(|from| from.contains('@'));
        let from = from.ok_or_else(|| bad("FromEmailAddress is missing or no address".into()))?;
        let Destination {
            to,
            copies,
            blind_copies,
        } = input.destination;
        let to: Vec<String> = to.into_iter().chain(copies).chain(blind_copies).collect();
        if to.is_empty() || to.len() > MAX_RECIPIENTS {
            return Err(bad(format!("a mail has between 1 and {MAX_RECIPIENTS} recipients")));
        }
        if let Some(address) = to.iter().find(|address| !address.contains('@')) {
            return Err(bad(format!("{address:?} is no address")));
        }
        let set = input.configuration_set_name;
        if let Some(unknown) = set
            .as_ref()
            .filter(|set| !self.sets.iter().any(|one| one.name == **set))
        {
            let text = format!("Configuration set <{unknown}> does not exist.");
            return Err(ServiceError::refused("NotFoundException", text));
        }
        let simple = input.content.simple;
        let simple = simple.ok_or_else(|| bad("only Simple content is served locally".into()))?;
        let (subject, html, text) = simple.parts().map_err(bad)?;
        let mail = Mail {
            id: format!("{}-000000", uuid::Uuid::new_v4()),
            from,
            to,
            subject,
            html,
            text,
            headers: headers(simple.headers).map_err(bad)?,
            attachments: files(simple.attachments).map_err(bad)?,
            configuration_set: set,
            tags: tags(input.email_tags).map_err(bad)?,
            sent_at: String::new(),
        };
        self.keep(&mail)
            .map_err(|error| ServiceError::refused("InternalServiceErrorException", error.to_string()))?;

        Ok(json!({"MessageId": mail.id}))
    }

    fn keep(&self, mail: &Mail) -> rusqlite::Result<()> {
        let recipients = Value::from(mail.to.clone()).to_string();
        let sql = "INSERT INTO mail (id, sender, recipients, subject, html, plain, sent_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let now = self.clock.now_ms();
        let values = params![mail.id, mail.from, recipients, mail.subject, mail.html, mail.text, now];
        self.store.write(|db| {
            for (name, value) in &mail.headers {
                let sql = "INSERT INTO mail_header (mail, name, value) VALUES (?1, ?2, ?3)";
                db.execute(sql, params![mail.id, name, value])?;
            }
            if let Some(set) = &mail.configuration_set {
                let sql = "INSERT INTO mail_sending (mail, configuration_set, tags) VALUES (?1, ?2, ?3)";
                db.execute(sql, params![mail.id, set, json!(mail.tags).to_string()])?;
            }
            for file in &mail.attachments {
                let sql = "INSERT INTO mail_file (mail, name, type, bytes) VALUES (?1, ?2, ?3, ?4)";
                db.execute(sql, params![mail.id, file.file_name, file.content_type, file.bytes])?;
            }
            db.execute(sql, values).map(|_| ())
        })
    }

    /// Lists the mails to `recipient`, or all, oldest first; at most the newest 1,000.
    pub fn mails(&self, recipient: Option<&str>) -> Result<Vec<Mail>> {
        let mut mails: Vec<Mail> = self.store.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT id, sender, recipients, subject, html, plain, sent_ms, configuration_set, tags
                 FROM mail LEFT JOIN mail_sending ON mail = id
                 WHERE ?1 IS NULL OR EXISTS (SELECT 1 FROM json_each(recipients) WHERE lower(value) = lower(?1))
                 ORDER BY number DESC LIMIT 1000",
            )?;
            let mut headers = db.prepare_cached("SELECT name, value FROM mail_header WHERE mail = ?1")?;
            let mut files =
                db.prepare_cached("SELECT name, type, bytes FROM mail_file WHERE mail = ?1 ORDER BY rowid")?;
            let rows = select.query_map([recipient], |row| {
                let id: String = row.get(0)?;
                let headers = headers.query_map([&id], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let files = files.query_map([&id], |row| {
                    let bytes: Vec<u8> = row.get(2)?;
                    Ok(File {
                        file_name: row.get(0)?,
                        content_type: row.get(1)?,
                        size: bytes.len(),
                        bytes,
                    })
                })?;
                Ok(Mail {
                    attachments: files.collect::<rusqlite::Result<_>>()?,
                    headers: headers.collect::<rusqlite::Result<_>>()?,
                    id,
                    from: row.get(1)?,
                    to: serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default(),
                    subject: row.get(3)?,
                    html: row.get(4)?,
                    text: row.get(5)?,
                    sent_at: rfc3339(row.get(6)?),
                    configuration_set: row.get(7)?,
                    tags: of_json(row.get(8)?),
                })
            })?;
            rows.collect()
        })?;
        mails.reverse();
        Ok(mails)
    }
}

fn of_json(text: Option<String>) -> BTreeMap<String, String> {
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// What EventBridge calls an event of SES, and what a configuration set calls it, by what SES itself does.
const EVENTS: [(&str, &str, &str); 10] = [
    ("Bounce", "Email Bounced", "BOUNCE"),
    ("Click", "Email Clicked", "CLICK"),
    ("Complaint", "Email Complaint Received", "COMPLAINT"),
    ("Delivery", "Email Delivered", "DELIVERY"),
    ("DeliveryDelay", "Email Delivery Delayed", "DELIVERY_DELAY"),
    ("Open", "Email Opened", "OPEN"),
    ("Reject", "Email Rejected", "REJECT"),
    ("Rendering Failure", "Email Rendering Failed", "RENDERING_FAILURE"),
    ("Send", "Email Sent", "SEND"),
    ("Subscription", "Email Subscribed", "SUBSCRIPTION"),
];

impl Ses {
    /// Completes what is told of a mail to an event of EventBridge: `given` is one with what matters, or its `detail` alone.
    /// Of a mail that was sent here, the tags are added if they are not given. None if nobody wants to hear of it.
    pub(super) fn event(&self, given: Value) -> Result<Option<Value>, String> {
        let mut event = match given {
            Value::Object(whole) if whole.contains_key("detail") => Value::Object(whole),
            detail => json!({"detail": detail}),
        };
        let kind = event["detail"]["eventType"].as_str().unwrap_or_default();
        let known = EVENTS.iter().find(|(name, ..)| *name == kind);
        let (_, detail_type, told) = known.ok_or_else(|| format!("SES has no event {kind:?}"))?;
        let id = event["detail"]["mail"]["messageId"].as_str().unwrap_or_default();
        let sent = self.sent(id).map_err(|error| error.to_string())?;
        let set = sent.as_ref().map(|(set, _)| set.clone());
        let wants = |one: &ConfigurationSet| {
            set.as_ref().is_none_or(|set| *set == one.name) && one.told.iter().any(|one| one == told)
        };
        if !self.sets.iter().any(wants) {
            return Ok(None);
        }
        if let Some((set, tags)) = sent
            && event["detail"]["mail"]["tags"].is_null()
        {
            let own = tags.into_iter().map(|(name, value)| (name, json!([value])));
            let mut tags: serde_json::Map<String, Value> = own.collect();
            tags.insert("ses:configuration-set".to_owned(), json!([set]));
            event["detail"]["mail"]["tags"] = tags.into();
        }
        let names = set.into_iter().map(|set| configuration_set_arn(&set));
        let envelope = json!({
            "version": "0", "id": uuid::Uuid::new_v4().to_string(), "detail-type": detail_type, "source": "aws.ses",
            "account": ACCOUNT, "time": format!("{}Z", &rfc3339(self.clock.now_ms())[..19]), "region": REGION,
            "resources": names.collect::<Vec<_>>(),
        });
        for (name, value) in envelope.as_object().into_iter().flatten() {
            if event[name].is_null() {
                event[name] = value.clone();
            }
        }
        Ok(Some(event))
    }

    /// By which configuration set a mail was sent, and its tags.
    fn sent(&self, id: &str) -> rusqlite::Result<Option<(String, BTreeMap<String, String>)>> {
        self.store.read(|db| {
            let sql = "SELECT configuration_set, tags FROM mail_sending WHERE mail = ?1";
            db.query_row(sql, [id], |row| Ok((row.get(0)?, of_json(row.get(1)?))))
                .optional()
        })
    }
}

/// Subject, HTML and plain body.
type Rendered = (String, Option<String>, Option<String>);

impl Service for Ses {
    fn names(&self) -> &'static [&'static str] {
        &["SESV2"]
    }

    fn takes(&self, parts: &Parts) -> bool {
        parts.uri.path().starts_with("/v2/email/")
    }

    fn operation(&self, parts: &Parts) -> String {
        parts.uri.path().to_owned()
    }

    fn needs(&self, call: &Call) -> Result<Vec<Need>, String> {
        needs(&call.body)
    }

    fn answer(&self, call: Call) -> BoxFuture<'_, Result<Answer, ServiceError>> {
        Box::pin(async move {
            let reply = self.run(&call.parts.method, call.parts.uri.path(), &call.body)?;
            Ok(Answer::json(&reply, Used::Request))
        })
    }

    fn throttle(&self, _call: &Call, _draw: Draw) -> Response {
        self.refuse(&ServiceError {
            status: StatusCode::TOO_MANY_REQUESTS,
            ..ServiceError::refused("TooManyRequestsException", THROTTLED)
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MailRequest {
    from_email_address: Option<String>,
    configuration_set_name: Option<String>,
}

/// Lists what a mail needs: the right to send as its sender's address, or as the address's domain, and by its
/// configuration set.
fn needs(body: &[u8]) -> Result<Vec<Need>, String> {
    let request: MailRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let from = request.from_email_address.unwrap_or_default();
    let address = from
        .rsplit_once('<')
        .map_or(from.as_str(), |(_, address)| address.trim_end_matches('>'));
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let sender = Need {
        action: "ses:SendEmail".into(),
        resources: vec![sender_arn(address), sender_arn(domain)],
        context: Vec::new(),
    };
    let set = request.configuration_set_name;
    let set = set.map(|set| Need::of("ses:SendEmail".to_owned(), configuration_set_arn(&set)));
    Ok([Some(sender), set].into_iter().flatten().collect())
}

impl Simple {
    fn parts(&self) -> Result<Rendered, String> {
        let subject = self.subject.read()?;
        if subject.chars().any(char::is_control) {
            return Err("a subject is one line".into());
        }
        let [html, text] = [&self.body.html, &self.body.text].map(|part| part.as_ref().map(Text::read).transpose());
        let (html, text) = (html?, text?);
        if html.is_none() && text.is_none() {
            return Err("the mail has no body".into());
        }
        Ok((subject, html, text))
    }
}

impl Text {
    /// Yields the text; without a character set SES takes seven bits, and would mangle the rest.
    fn read(&self) -> Result<String, String> {
        match self.charset.as_deref() {
            None if self.data.is_ascii() => Ok(self.data.clone()),
            None => Err("text beyond ASCII needs a Charset".into()),
            Some(charset) if charset.eq_ignore_ascii_case("utf-8") => Ok(self.data.clone()),
            Some(other) => Err(format!("the local stack does not serve the charset {other}")),
        }
    }
}

/// Reads headers within SES's bounds: <https://docs.aws.amazon.com/ses/latest/dg/header-fields.html>.
fn headers(given: Vec<Header>) -> Result<BTreeMap<String, String>, String> {
    const MOST: usize = 15;
    const NAME_CHARS: usize = 126;
    const VALUE_CHARS: usize = 870;
    if given.len() > MOST {
        return Err(format!("a mail has at most {MOST} headers of its own"));
    }
    let token = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut headers = BTreeMap::new();
    for Header { name, value } in given {
        let good_name = (1..=NAME_CHARS).contains(&name.len()) && name.chars().all(token);
        if !good_name || value.len() > VALUE_CHARS || !value.chars().all(|c| (' '..='~').contains(&c)) {
            return Err(format!("{name:?} is no header"));
        }
        if headers.insert(name.clone(), value).is_some() {
            return Err(format!("the header {name} stands twice"));
        }
    }
    Ok(headers)
}

/// Reads tags: <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html>.
fn tags(given: Vec<Header>) -> Result<BTreeMap<String, String>, String> {
    let mut tags = BTreeMap::new();
    for Header { name, value } in given {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.@".contains(c);
        let good = |text: &str| (1..=256).contains(&text.len()) && text.chars().all(plain);
        if !good(&name) || !good(&value) || tags.insert(name.clone(), value).is_some() {
            return Err(format!("{name:?} is no tag, or stands twice"));
        }
    }
    Ok(tags)
}

/// Reads attachments within SES's bounds: <https://docs.aws.amazon.com/ses/latest/dg/attachments.html>.
fn files(given: Vec<Attachment>) -> Result<Vec<File>, String> {
    /// Of a whole mail, as it goes out.
    const MOST_BYTES: usize = 40 << 20;
    const NAME_CHARS: usize = 255;
    let mut files = Vec::new();
    let mut total = 0;
    for attachment in given {
        let Attachment {
            raw_content,
            file_name,
            content_type,
            content_disposition,
        } = attachment;
        total += raw_content.len();
        let name_is_good = (1..=NAME_CHARS).contains(&file_name.len()) && !file_name.contains(['\r', '\n', '/']);
        if !name_is_good || total > MOST_BYTES {
            return Err(format!("{file_name:?} cannot be attached"));
        }
        if !matches!(content_disposition.as_deref(), None | Some("ATTACHMENT" | "INLINE")) {
            return Err("a ContentDisposition is ATTACHMENT or INLINE".into());
        }
        let bytes = STANDARD.decode(raw_content).map_err(|error| error.to_string())?;
        files.push(File {
            file_name,
            content_type: content_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
            size: bytes.len(),
            bytes,
        });
    }
    Ok(files)
}
