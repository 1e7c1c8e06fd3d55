//! One call to a provider, and what its answer means.

use std::time::Duration;

use outbound::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use outbound::{Client, Reply, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Credentials, Failure, Provider};

/// How long a provider may take to answer.
const TIMEOUT: Duration = Duration::from_secs(8);
/// How long an answer may be: a hundred of Stripe's sessions have some 300 KB.
const LONGEST_REPLY: usize = 2 << 20;
/// How much of a provider's words is kept, in characters.
const LONGEST_TEXT: usize = 300;
/// The code of a provider that does not know who calls.
const CREDENTIALS: &str = "credentials";
/// What stands in an id as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Stripe's own word on whether asking again is of use; it decides over what the status says.
static SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");

/// Stripe's word that it did nothing and says again what it said to the key before.
static REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Calls one account of a provider.
pub(crate) struct Caller<'a> {
    client: &'a Client,
    base: &'a str,
    account: &'a Credentials,
    headers: HeaderMap,
}

/// What is sent.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) kind: &'static str,
    pub(crate) body: String,
}

impl Content {
    /// A form.
    pub(crate) fn form(fields: &[(&str, &str)]) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        Self {
            kind: "application/x-www-form-urlencoded",
            body: form.finish(),
        }
    }

    /// JSON.
    pub(crate) fn json(value: &impl serde::Serialize) -> Self {
        Self {
            kind: "application/json",
            body: serde_json::to_string(value).expect("texts, numbers and maps by text are JSON"),
        }
    }
}

/// What the providers say when they refuse: Stripe and Razorpay below `error`, Cashfree at the top.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: Option<Words>,
    #[serde(flatten)]
    top: Words,
}

#[derive(Default, Deserialize)]
struct Words {
    code: Option<serde_json::Value>,
    r#type: Option<serde_json::Value>,
    message: Option<serde_json::Value>,
    description: Option<serde_json::Value>,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(client: &'a Client, base: &'a str, account: &'a Credentials) -> Self {
        Self {
            client,
            base,
            account,
            headers: HeaderMap::new(),
        }
    }

    /// Sends a header with every call.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Result<Self, Failure> {
        let mut value = HeaderValue::from_str(value).map_err(|_| credentials(self.provider()))?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Logs in with every call.
    pub(crate) fn authorized(self, value: &str) -> Result<Self, Failure> {
        self.with(AUTHORIZATION, value)
    }

    fn provider(&self) -> Provider {
        self.account.provider()
    }

    /// Reads something; [`Failure::Unknown`] by the name of `what` if there is no such thing.
    pub(crate) async fn get<T: DeserializeOwned>(&self, what: &'static str, path: &str) -> Result<T, Failure> {
        let reply = self.send(Request::get(format!("{}{path}", self.base))).await?;
        self.read(what, &reply)
    }

    /// As [`Self::get`], but something that a server does not have, or not under that address, is nothing.
    pub(crate) async fn find<T: DeserializeOwned>(&self, what: &'static str, path: &str) -> Result<Option<T>, Failure> {
        match self.get(what, path).await {
            Ok(found) => Ok(Some(found)),
            Err(Failure::Unknown(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// As [`Self::find`], for what need not be there: a server that refuses to look for it has none either. Not so if it
    /// does not know who asks.
    pub(crate) async fn seek<T: DeserializeOwned>(&self, what: &'static str, path: &str) -> Result<Option<T>, Failure> {
        match self.find(what, path).await {
            Err(Failure::Refused { code, .. }) if code != CREDENTIALS => Ok(None),
            found => found,
        }
    }

    /// Does something, with this key if the provider has one for it.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        content: Content,
        key: Option<(HeaderName, &str)>,
    ) -> Result<T, Failure> {
        self.post_once(what, path, content, key).await.map(|(done, _)| done)?
    }

    /// As [`Self::post`]; and whether the answer is one that was given to the key before.
    pub(crate) async fn post_once<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        content: Content,
        key: Option<(HeaderName, &str)>,
    ) -> Result<(Result<T, Failure>, bool), Failure> {
        let mut request = Request::post(format!("{}{path}", self.base), content.kind, content.body);
        if let Some((name, key)) = key {
            let key = HeaderValue::from_str(key).expect("our ids are letters, digits and `_`");
            request = request.header(name, key);
        }
        let mut reply = self.send(request.clone()).await?;
        if !reply.status.is_success() && should_retry(&reply) == Some(true) {
            // Once, with the same key and the same bytes.
            reply = self.send(request).await?;
        }
        let is_replayed = reply.headers.get(&REPLAYED).is_some_and(|said| said == "true");
        Ok((self.read(what, &reply), is_replayed))
    }

    async fn send(&self, mut request: Request) -> Result<Reply, Failure> {
        for (name, value) in &self.headers {
            request = request.header(name.clone(), value.clone());
        }
        let request = request.timeout(TIMEOUT).longest_reply(LONGEST_REPLY);
        self.client.send(request).await.map_err(|failure| match failure {
            outbound::Failure::Refused(_) => Failure::Refused {
                code: "target".to_owned(),
                text: failure.to_string(),
            },
            _ => Failure::Unanswered(failure.to_string()),
        })
    }

    fn read<T: DeserializeOwned>(&self, what: &'static str, reply: &Reply) -> Result<T, Failure> {
        if !reply.status.is_success() {
            return Err(self.failure(what, reply));
        }
        // The error of the parser may hold what was sent.
        serde_json::from_slice(&reply.body)
            .map_err(|_| Failure::Unanswered(format!("{} answered something unreadable", self.provider().title())))
    }

    fn failure(&self, what: &'static str, reply: &Reply) -> Failure {
        let (title, status) = (self.provider().title(), reply.status);
        let (code, said) = self.words(reply);
        let text = match &said {
            Some(said) => format!("{title} answered {}: {said}", status.as_u16()),
            None => format!("{title} answered {}", status.as_u16()),
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => credentials(self.provider()),
            StatusCode::NOT_FOUND => Failure::Unknown(what),
            _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => Failure::Unanswered(text),
            _ if should_retry(reply) == Some(true) => Failure::Unanswered(text),
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS if should_retry(reply) != Some(false) => {
                Failure::Unanswered(text)
            }
            // Razorpay has no 404 for an id that it does not know.
            _ if said.is_some_and(|said| said.contains("does not exist")) => Failure::Unknown(what),
            _ => Failure::Refused {
                code: code.unwrap_or_else(|| format!("http_{}", status.as_u16())),
                text,
            },
        }
    }

    /// A provider's code and words, without secrets.
    fn words(&self, reply: &Reply) -> (Option<String>, Option<String>) {
        let refusal: Refusal = serde_json::from_slice(&reply.body).unwrap_or_default();
        let words = refusal.error.unwrap_or(refusal.top);
        let text = |value: Option<serde_json::Value>| match value {
            Some(serde_json::Value::String(text)) if !text.is_empty() => Some(self.clean(&text)),
            _ => None,
        };
        (
            text(words.code).or(text(words.r#type)),
            text(words.message).or(text(words.description)),
        )
    }

    /// A provider's words, cut to a length, in one line, without anything that opens the account.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.account.secrets() {
            if !secret.is_empty() {
                text = text.replace(secret, "…");
            }
        }
        text.chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .take(LONGEST_TEXT)
            .collect()
    }
}

/// The provider does not know who calls.
fn credentials(provider: Provider) -> Failure {
    Failure::Refused {
        code: CREDENTIALS.to_owned(),
        text: format!("{} does not accept the credentials", provider.title()),
    }
}

fn should_retry(reply: &Reply) -> Option<bool> {
    match reply.headers.get(&SHOULD_RETRY)?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}

/// An id as a segment of a path, or as a value of a query.
pub(crate) fn segment(id: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(id, KEPT)
}

/// A provider says something of money that there is not.
pub(crate) fn no_money(provider: Provider) -> Failure {
    Failure::Refused {
        code: "unreadable_amount".to_owned(),
        text: format!(
            "{} speaks of an amount or a currency that there is not",
            provider.title()
        ),
    }
}

/// An amount cannot be asked for.
pub(crate) fn not_chargeable(why: crate::NotChargeable) -> Failure {
    Failure::Refused {
        code: "amount_not_chargeable".to_owned(),
        text: why.0,
    }
}
