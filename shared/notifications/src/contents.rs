//! What a notice says, as it lies sealed in its job.

use kernel::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum Contents {
    /// A mail.
    Email(Mail),
    /// A webhook call.
    Webhook(Webhook),
}

/// A mail, by its template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Who gets it.
    pub to: String,
    /// Which one it is.
    pub template: MailTemplate,
    /// What stands for the names in the template; texts and numbers, as they are, not escaped.
    pub variables: Map<String, Value>,
}

/// A webhook call, without what belongs to one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where it goes.
    pub url: String,
    /// Signs it: `whsec_` and base64.
    pub secret: String,
    /// What is posted: `{"type":…,"timestamp":…,"data":…}`.
    pub body: String,
}

/// The mails that there are: each is an `AWS::SES::Template` of template.yaml, named after the stack and
/// [`MailTemplate::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailTemplate {
    /// Asks to confirm an address: `name`, `link`.
    VerifyEmail,
    /// Lets someone choose a new password: `name`, `link`.
    ResetPassword,
    /// Says that a password was changed: `name`, `changedAt`, `link` (where to ask for a new one).
    PasswordChanged,
    /// Invites to an organization: `inviter`, `organization`, `role`, `link`.
    Invitation,
    /// Says that a rule fires: `rule` (such as `error_rate > 0.05 over 5m`), `project`, `value`, `firedAt`, `link`.
    AlertFired,
    /// Says that a rule does not fire any more: `rule`, `project`, `value`, `resolvedAt`, `link`.
    AlertResolved,
}

impl MailTemplate {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::VerifyEmail,
        Self::ResetPassword,
        Self::PasswordChanged,
        Self::Invitation,
        Self::AlertFired,
        Self::AlertResolved,
    ];

    /// What follows the stack's name and a dash in the template's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
            Self::ResetPassword => "reset-password",
            Self::PasswordChanged => "password-changed",
            Self::Invitation => "invitation",
            Self::AlertFired => "alert-fired",
            Self::AlertResolved => "alert-resolved",
        }
    }

    /// The names in the template, each of which needs a value.
    pub const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::VerifyEmail | Self::ResetPassword => &["name", "link"],
            Self::PasswordChanged => &["name", "changedAt", "link"],
            Self::Invitation => &["inviter", "organization", "role", "link"],
            Self::AlertFired => &["rule", "project", "value", "firedAt", "link"],
            Self::AlertResolved => &["rule", "project", "value", "resolvedAt", "link"],
        }
    }

    /// Takes an object with exactly the variables of this template, each a text or a number. Anything else is our own
    /// mistake, and better found here than by SES, which drops a mail that it cannot fill in.
    pub(crate) fn fill(self, variables: Value) -> Result<Map<String, Value>> {
        let Value::Object(given) = variables else {
            return Err(Error::Internal(anyhow::anyhow!(
                "the variables of {} are no object",
                self.name()
            )));
        };
        let complete = self.variables().len() == given.len()
            && self
                .variables()
                .iter()
                .all(|name| matches!(given.get(*name), Some(Value::String(_) | Value::Number(_))));
        if complete {
            return Ok(given);
        }
        let names: Vec<&String> = given.keys().collect();
        Err(Error::Internal(anyhow::anyhow!(
            "the mail {} takes {:?} as texts or numbers, not {names:?}",
            self.name(),
            self.variables()
        )))
    }
}

impl Mail {
    /// The data that fills the template, as JSON. SES escapes nothing, so each variable stands in it twice: `name` on
    /// one line for subject and plain text, and `nameHtml` escaped for the HTML part.
    pub fn template_data(&self) -> String {
        let mut data = Map::new();
        for (name, value) in &self.variables {
            let text = one_line(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            data.insert(format!("{name}Html"), escape(&text).into());
            data.insert(name.clone(), text.into());
        }
        Value::Object(data).to_string()
    }
}

/// Without line breaks and other control characters: what people chose as a name must not add a header to a mail or
/// a paragraph to its text.
fn one_line(text: &str) -> String {
    let line_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.split(line_break)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// For text and for attributes in double or single quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn data(name: &str) -> Value {
        let variables = MailTemplate::VerifyEmail.fill(json!({"name": name, "link": "https://x/#token=a&b"}));
        let mail = Mail {
            to: "ada@example.com".to_owned(),
            template: MailTemplate::VerifyEmail,
            variables: variables.unwrap(),
        };
        serde_json::from_str(&mail.template_data()).unwrap()
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let data = data("Tom & <b>Jerry</b> \"O'Neil\"");
        assert_eq!(data["name"], "Tom & <b>Jerry</b> \"O'Neil\"");
        assert_eq!(
            data["nameHtml"],
            "Tom &amp; &lt;b&gt;Jerry&lt;/b&gt; &quot;O&#39;Neil&quot;"
        );
        assert_eq!(data["linkHtml"], "https://x/#token=a&amp;b");
    }

    #[test]
    fn a_name_adds_no_header() {
        assert_eq!(data("Ada\r\nBcc: eve@example.com")["name"], "Ada Bcc: eve@example.com");
    }

    #[test]
    fn only_the_variables_of_the_template_are_taken() {
        let bad = [
            json!({"name": "Ada"}),
            json!({"name": "Ada", "link": "x", "more": 1}),
            json!({"name": "Ada", "link": null}),
            json!(["Ada", "x"]),
        ];
        for variables in bad {
            assert!(MailTemplate::VerifyEmail.fill(variables).is_err());
        }
        assert!(MailTemplate::VerifyEmail.fill(json!({"name": 5, "link": "x"})).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_breaks_out(name in "\\PC{0,30}|[\\x00-\\x7f]{0,30}") {
            let data = data(&name);
            let html = data["nameHtml"].as_str().unwrap();
            let dangerous = ['<', '>', '"', '\''];
            prop_assert!(!html.contains(dangerous));
            prop_assert!(!data["name"].as_str().unwrap().chars().any(char::is_control));
        }
    }
}
