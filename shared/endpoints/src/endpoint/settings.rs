//! What a person sets of an endpoint, and its rules. Pure.

use std::collections::{BTreeMap, BTreeSet};

use kernel::check::{self, Check, Input};
use kernel::{ClientId, ProjectId, Result};
use outbound::AllowList;
use outbound::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::Status;
use crate::events;

/// The longest address.
const LONGEST_URL: usize = 2_000;
const LONGEST_DESCRIPTION: usize = 200;
/// So many headers of one's own …
const MOST_HEADERS: usize = 20;
/// … with at most so many characters each.
const LONGEST_HEADER: usize = 1_000;
/// Names of them are no longer.
const LONGEST_NAME: usize = 100;
/// Headers that are ours, or the connection's. Those of Standard Webhooks begin with `webhook-`.
const RESERVED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
const RESERVED_STARTS: &[&str] = &["webhook-", "proxy-", "sec-", "x-forwarded-"];

/// What a person may change about an endpoint; its headers' values are secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Where it is called.
    pub url: String,
    /// The events that it is told of, without repeats.
    pub events: Vec<String>,
    /// What they call it.
    pub description: Option<String>,
    /// Only events of this project.
    pub project_id: Option<ProjectId>,
    /// Only events of this client.
    pub client_id: Option<ClientId>,
}

/// What an event says of whom it concerns.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Concerns {
    project_id: Option<ProjectId>,
    client_id: Option<ClientId>,
}

impl Settings {
    /// Whether data of an event concern the project and the client that are wanted.
    pub(super) fn concerns(&self, data: &str) -> bool {
        if self.project_id.is_none() && self.client_id.is_none() {
            return true;
        }
        let said: Concerns = serde_json::from_str(data).unwrap_or_default();
        (self.project_id.is_none() || said.project_id == self.project_id)
            && (self.client_id.is_none() || said.client_id == self.client_id)
    }

    /// Wants an address that may be called, and keeps it as it is called.
    pub(super) fn check(&mut self, allow: &AllowList) -> Result<()> {
        let mut check = Check::default();
        if self.url.len() > LONGEST_URL {
            check.that(false, "url", format!("must have at most {LONGEST_URL} bytes"));
        } else {
            match outbound::check(&self.url, allow) {
                Ok(url) => self.url = url.into(),
                Err(refused) => check.that(
                    false,
                    "url",
                    format!("{refused}; webhooks go to public https addresses only"),
                ),
            }
        }
        check.done()
    }
}

/// An endpoint that is to be made.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewWebhookSubscription)]
pub struct NewEndpoint {
    /// Where it is called: a public https address.
    #[schema(example = "https://example.com/hooks", max_length = 2000)]
    pub url: String,
    /// The events that it is to be told of; `["*"]` for all.
    #[schema(example = json!(["invoice.paid"]), min_items = 1)]
    pub events: Vec<String>,
    /// What you call it: 1 to 200 characters.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub description: Option<String>,
    /// Headers that each call is to have, at most 20 of 1 to 1,000 characters. Stored sealed, and never shown.
    #[serde(default)]
    #[schema(example = json!({"x-tenant": "acme"}))]
    pub headers: BTreeMap<String, String>,
    /// Only events of this project.
    #[serde(default)]
    pub project_id: Option<ProjectId>,
    /// Only events of this client.
    #[serde(default)]
    pub client_id: Option<ClientId>,
}

impl Input for NewEndpoint {
    fn check(&self, check: &mut Check) {
        check_events(check, &self.events);
        check_description(check, self.description.as_deref());
        check_headers(check, &self.headers);
    }
}

impl NewEndpoint {
    /// The settings, and the headers with the names that they are sent under.
    pub(super) fn parts(self) -> (Settings, BTreeMap<String, String>) {
        let settings = Settings {
            url: self.url,
            events: without_repeats(self.events),
            description: self.description,
            project_id: self.project_id,
            client_id: self.client_id,
        };
        (settings, lower(self.headers))
    }
}

/// What is to be changed about an endpoint; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = WebhookSubscriptionPatch)]
pub struct EndpointPatch {
    /// Where it is called: a public https address.
    #[serde(default, deserialize_with = "check::given")]
    #[schema(nullable = false, max_length = 2000)]
    pub url: Option<String>,
    /// The events that it is to be told of; `["*"]` for all.
    #[serde(default, deserialize_with = "check::given")]
    #[schema(nullable = false, min_items = 1)]
    pub events: Option<Vec<String>>,
    /// What you call it; null for nothing.
    #[serde(default, deserialize_with = "check::given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    pub description: Option<Option<String>>,
    /// All headers of its own; null for none.
    #[serde(default, deserialize_with = "check::given")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub headers: Option<Option<BTreeMap<String, String>>>,
    /// Only events of this project; null for all.
    #[serde(default, deserialize_with = "check::given")]
    #[schema(value_type = Option<ProjectId>)]
    pub project_id: Option<Option<ProjectId>>,
    /// Only events of this client; null for all.
    #[serde(default, deserialize_with = "check::given")]
    #[schema(value_type = Option<ClientId>)]
    pub client_id: Option<Option<ClientId>>,
    /// Enables or disables it. Enabling it sends nothing of what was skipped.
    #[serde(default, deserialize_with = "check::given")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
}

impl Input for EndpointPatch {
    fn check(&self, check: &mut Check) {
        if let Some(events) = &self.events {
            check_events(check, events);
        }
        check_description(check, self.description.iter().flatten().map(String::as_str).next());
        if let Some(Some(headers)) = &self.headers {
            check_headers(check, headers);
        }
    }
}

impl EndpointPatch {
    /// The settings with what is to be changed.
    pub(super) fn changed(&self, settings: &Settings) -> Settings {
        let mut changed = settings.clone();
        if let Some(url) = &self.url {
            changed.url.clone_from(url);
        }
        if let Some(events) = &self.events {
            changed.events = without_repeats(events.clone());
        }
        if let Some(description) = &self.description {
            changed.description.clone_from(description);
        }
        if let Some(project) = self.project_id {
            changed.project_id = project;
        }
        if let Some(client) = self.client_id {
            changed.client_id = client;
        }
        changed
    }

    /// The headers that are to be instead of those there are, if they are to be changed.
    pub(super) fn headers(&self) -> Option<BTreeMap<String, String>> {
        let headers = self.headers.clone()?;
        Some(lower(headers.unwrap_or_default()))
    }
}

fn check_events(check: &mut Check, wanted: &[String]) {
    check.that(!wanted.is_empty(), "events", "must name an event, or be [\"*\"]");
    for (place, name) in wanted.iter().enumerate() {
        let known = name == events::ALL || events::named(name).is_some();
        let problem = "is no event; their names stand under `webhooks` in /docs/json";
        check.that(known, &format!("events[{place}]"), problem);
    }
    let everything = wanted.iter().any(|name| name == events::ALL);
    check.that(
        !everything || wanted.len() == 1,
        "events",
        "`*` stands for all events, and so alone",
    );
}

fn check_description(check: &mut Check, description: Option<&str>) {
    if let Some(description) = description {
        check.text("description", description, 1..=LONGEST_DESCRIPTION);
    }
}

fn check_headers(check: &mut Check, headers: &BTreeMap<String, String>) {
    check.that(
        headers.len() <= MOST_HEADERS,
        "headers",
        format!("must be at most {MOST_HEADERS}"),
    );
    let different: BTreeSet<String> = headers.keys().map(|name| name.to_ascii_lowercase()).collect();
    check.that(
        different.len() == headers.len(),
        "headers",
        "must not have a name twice",
    );
    for (name, value) in headers {
        let field = format!("headers.{name}");
        let lower = name.to_ascii_lowercase();
        let reserved =
            RESERVED.contains(&lower.as_str()) || RESERVED_STARTS.iter().any(|start| lower.starts_with(start));
        check.that(!reserved, &field, "is a name that is ours, or the connection's");
        check.that(
            name.len() <= LONGEST_NAME && HeaderName::try_from(name.as_str()).is_ok(),
            &field,
            format!("is no name of a header of at most {LONGEST_NAME} characters"),
        );
        let fits = (1..=LONGEST_HEADER).contains(&value.len()) && value.is_ascii();
        check.that(
            fits && HeaderValue::try_from(value.as_str()).is_ok(),
            &field,
            format!("must have 1 to {LONGEST_HEADER} visible characters of ASCII"),
        );
    }
}

fn without_repeats(mut events: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    events.retain(|event| seen.insert(event.clone()));
    events
}

fn lower(headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    headers
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use kernel::Error;

    use super::*;

    fn broken(input: &NewEndpoint) -> Vec<String> {
        match Check::run(input) {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(problems)) => problems.into_iter().map(|problem| problem.field).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    fn with(events: &[&str], headers: &[(&str, &str)]) -> NewEndpoint {
        NewEndpoint {
            url: "https://example.com/".to_owned(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            description: None,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            project_id: None,
            client_id: None,
        }
    }

    #[test]
    fn only_events_that_there_are_can_be_wanted() {
        assert!(broken(&with(&["*"], &[])).is_empty());
        assert!(broken(&with(&["invoice.paid", "invoice.paid", "payment.failed"], &[])).is_empty());
        assert_eq!(broken(&with(&[], &[])), ["events"]);
        assert_eq!(broken(&with(&["*", "invoice.paid"], &[])), ["events"]);
        assert_eq!(broken(&with(&["invoice.paid", "invoice.lost"], &[])), ["events[1]"]);
        let (settings, _) = with(&["invoice.paid", "invoice.paid"], &[]).parts();
        assert_eq!(settings.events, ["invoice.paid"]);
    }

    #[test]
    fn headers_of_ours_are_not_anybodys() {
        assert!(broken(&with(&["*"], &[("Authorization", "Bearer x"), ("x-tenant", "acme")])).is_empty());
        for name in [
            "Host",
            "Content-Length",
            "webhook-id",
            "Webhook-Signature",
            "traceparent",
            "proxy-x",
            "a b",
            "",
        ] {
            assert_eq!(
                broken(&with(&["*"], &[(name, "x")])),
                [format!("headers.{name}")],
                "{name}"
            );
        }
        for value in ["", "a\r\nb: c", "ü"] {
            assert_eq!(broken(&with(&["*"], &[("x-a", value)])), ["headers.x-a"], "{value:?}");
        }
        assert_eq!(broken(&with(&["*"], &[("X-A", "1"), ("x-a", "2")])), ["headers"]);
        let long = "x".repeat(LONGEST_HEADER + 1);
        assert_eq!(broken(&with(&["*"], &[("x-a", &long)])), ["headers.x-a"]);
    }

    #[test]
    fn an_endpoint_may_want_one_client_or_project_only() {
        let (mut settings, _) = with(&["*"], &[]).parts();
        let client: ClientId = ClientId::from_bits(7);
        assert!(settings.concerns("{}"));
        settings.client_id = Some(client);
        assert!(!settings.concerns("{}") && !settings.concerns("no JSON"));
        assert!(settings.concerns(&format!(r#"{{"clientId":"{client}","x":1}}"#)));
        assert!(!settings.concerns(&format!(r#"{{"clientId":"{}"}}"#, ClientId::from_bits(8))));
    }
}
