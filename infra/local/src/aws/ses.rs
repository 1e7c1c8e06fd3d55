//! SES v2: takes mails and keeps them for whoever asks; sends nothing.

use anyhow::Result;
use http::Method;
use rusqlite::params;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ServiceError;
use super::store::Store;
use crate::clock::Clock;

/// The mails of one stack.
#[derive(Debug)]
pub struct Ses {
    store: Store,
    clock: Clock,
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
    /// When it was given, by the test clock, as RFC 3339.
    pub sent_at: String,
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
    template: Option<Templated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Simple {
    subject: Part,
    body: SimpleBody,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SimpleBody {
    html: Option<Part>,
    text: Option<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Templated {
    template_content: Option<TemplateContent>,
    template_data: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TemplateContent {
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
}

impl Ses {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    pub(super) fn answer(&self, method: &Method, path: &str, body: &[u8]) -> Result<Value, ServiceError> {
        if method != Method::POST || path != "/v2/email/outbound-emails" {
            let text = format!("the local stack does not serve SES {method} {path}");
            return Err(ServiceError::refused("UnknownOperationException", text));
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
        let (subject, html, text) = render(input.content).map_err(bad)?;
        if html.is_none() && text.is_none() {
            return Err(bad("the mail has no body".into()));
        }
        let id = format!("{}-000000", uuid::Uuid::new_v4());
        self.keep(&id, &from, &to, &subject, html.as_deref(), text.as_deref())
            .map_err(|error| ServiceError::refused("InternalServiceErrorException", error.to_string()))?;

        Ok(json!({"MessageId": id}))
    }

    fn keep(
        &self,
        id: &str,
        from: &str,
        to: &[String],
        subject: &str,
        html: Option<&str>,
        text: Option<&str>,
    ) -> rusqlite::Result<()> {
        let recipients = Value::from(to.to_vec()).to_string();
        let sql = "INSERT INTO mail (id, sender, recipients, subject, html, plain, sent_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![id, from, recipients, subject, html, text, self.clock.now_ms()];
        self.store.write(|db| db.execute(sql, values)).map(|_| ())
    }

    /// Lists the mails to `recipient`, or all, oldest first; at most the newest 1,000.
    pub fn mails(&self, recipient: Option<&str>) -> Result<Vec<Mail>> {
        let mut mails: Vec<Mail> = self.store.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT id, sender, recipients, subject, html, plain, sent_ms FROM mail
                 WHERE ?1 IS NULL OR EXISTS (SELECT 1 FROM json_each(recipients) WHERE lower(value) = lower(?1))
                 ORDER BY number DESC LIMIT 1000",
            )?;
            let rows = select.query_map([recipient], |row| {
                Ok(Mail {
                    id: row.get(0)?,
                    from: row.get(1)?,
                    to: serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default(),
                    subject: row.get(3)?,
                    html: row.get(4)?,
                    text: row.get(5)?,
                    sent_at: crate::clock::rfc3339(row.get(6)?),
                })
            })?;
            rows.collect()
        })?;
        mails.reverse();
        Ok(mails)
    }
}

/// Subject, HTML and plain body.
type Rendered = (String, Option<String>, Option<String>);

fn render(content: Content) -> Result<Rendered, String> {
    if let Some(simple) = content.simple {
        let SimpleBody { html, text } = simple.body;
        return Ok((
            simple.subject.data,
            html.map(|part| part.data),
            text.map(|part| part.data),
        ));
    }
    let template = content.template.ok_or("Content has neither Simple nor Template")?;
    let inline = template
        .template_content
        .ok_or("only templates given in TemplateContent are served locally")?;
    let data = template.template_data.unwrap_or_else(|| "{}".into());
    let data: Map<String, Value> = serde_json::from_str(&data).map_err(|error| format!("TemplateData: {error}"))?;
    let fill = |text: Option<String>| text.map(|text| substitute(&text, &data)).transpose();
    let subject = fill(inline.subject)?.ok_or("the template has no subject")?;

    Ok((subject, fill(inline.html)?, fill(inline.text)?))
}

/// Replaces `{{name}}`; a name without a value is an error, as SES would fail to render it.
fn substitute(text: &str, data: &Map<String, Value>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        out.push_str(&rest[..start]);
        let end = rest[start..].find("}}").ok_or("`{{` without `}}`")? + start;
        let name = rest[start + 2..end].trim();
        let value = data
            .get(name)
            .ok_or_else(|| format!("the template data has no {name:?}"))?;
        out.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        rest = &rest[end + 2..];
    }
    out.push_str(rest);

    Ok(out)
}
