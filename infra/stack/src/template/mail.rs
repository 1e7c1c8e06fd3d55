//! Templates of mails, and the little of Handlebars that is served in them.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::intrinsics::text_of;

/// A template of mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailTemplate {
    /// Its name; the logical id, unless the template names it.
    pub name: String,
    /// Subject, with `{{names}}`.
    pub subject: String,
    /// HTML body, with `{{names}}`.
    pub html: Option<String>,
    /// Plain body, with `{{names}}`.
    pub text: Option<String>,
}

pub(super) fn read(id: &str, properties: &Value) -> Result<MailTemplate> {
    let map = properties["Template"].as_object().context("no Template")?;
    let known = ["TemplateName", "SubjectPart", "HtmlPart", "TextPart"];
    if let Some(other) = map.keys().find(|key| !known.contains(&key.as_str())) {
        bail!("a template of mails has no {other}");
    }
    let part = |name: &str| map.get(name).map(text_of);
    let template = MailTemplate {
        name: part("TemplateName").unwrap_or_else(|| id.to_owned()),
        subject: part("SubjectPart").context("no SubjectPart")?,
        html: part("HtmlPart"),
        text: part("TextPart"),
    };
    let parts = [Some(&template.subject), template.html.as_ref(), template.text.as_ref()];
    for part in parts.into_iter().flatten() {
        parse(part).map_err(anyhow::Error::msg)?;
    }

    Ok(template)
}

/// A part of a template: text as it is, or a name that a value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text.
    Text(&'a str),
    /// The name in `{{name}}`.
    Name(&'a str),
}

/// Cuts a template into its pieces. SES knows more of Handlebars than `{{name}}`; here all else is an error.
pub fn parse(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let end = rest[start..].find("}}").ok_or("`{{` without `}}`")? + start;
        let name = rest[start + 2..end].trim();
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain || rest[end + 2..].starts_with('}') {
            return Err(format!(
                "only {{{{name}}}} is served in a template of mails, not {{{{{name}}}}}"
            ));
        }
        pieces.extend([Piece::Text(&rest[..start]), Piece::Name(name)]);
        rest = &rest[end + 2..];
    }
    if rest.contains("}}") {
        return Err("`}}` without `{{`".into());
    }
    pieces.push(Piece::Text(rest));

    Ok(pieces)
}
