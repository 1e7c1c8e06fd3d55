//! An endpoint: where an organization wants to be told of events, and how it did lately. Pure.

mod settings;
mod store;

use std::collections::BTreeMap;
use std::fmt;

use kernel::{ClientId, OrgId, ProjectId, Result, Time, WebhookId};
use outbox::Told;
use serde::{Deserialize, Serialize};

use crate::events;
use crate::signing::Keys;

pub use settings::{EndpointPatch, NewEndpoint, Settings};
pub(crate) use store::{Known, Turn};

/// An endpoint that failed for so long is disabled, at the next attempt that fails …
const GIVEN_UP_AFTER: i64 = 120 * Time::HOUR;
/// … if one failed so long after the first, too: a sleeping endpoint that nothing was sent to for days is not given up for
/// two calls.
const FAILED_LATE_AFTER: i64 = 12 * Time::HOUR;
/// So many keys of before rotations sign too.
const MOST_BEFORE: usize = 4;
/// `/test` calls so often a minute.
const MOST_TESTS: usize = 10;

/// Whether an endpoint is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WebhookStatus)]
pub enum Status {
    /// It is.
    Active,
    /// It is not; what happens meanwhile is kept as `skipped`, and can be replayed.
    Disabled,
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WebhookDisabledReason)]
pub enum Reason {
    /// A person disabled it.
    Person,
    /// It answered 410.
    Gone,
    /// It failed for five days.
    Failing,
}

/// How an endpoint did lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// When the attempt failed with which a streak of failures began; nothing while the last one succeeded.
    pub failing_since: Option<Time>,
    /// Whether another one failed long after that.
    pub failed_late: bool,
}

/// What an attempt that failed changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Nothing,
    /// Its health is to be stored.
    Noted(Health),
    /// It is given up.
    GivenUp,
}

impl Health {
    /// What another attempt that failed makes of it.
    pub(crate) fn failed(self, now: Time) -> Verdict {
        let Some(since) = self.failing_since else {
            return Verdict::Noted(Self {
                failing_since: Some(now),
                failed_late: false,
            });
        };
        let lasts = now.millis() - since.millis();
        if lasts >= GIVEN_UP_AFTER && self.failed_late {
            return Verdict::GivenUp;
        }
        if lasts >= FAILED_LATE_AFTER && !self.failed_late {
            return Verdict::Noted(Self {
                failed_late: true,
                ..self
            });
        }
        Verdict::Nothing
    }
}

/// What only we may know of an endpoint. Stored sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secrets {
    keys: Keys,
    /// The keys of before rotations, the newest first, and until when they sign too.
    before: Vec<(Keys, Time)>,
    headers: BTreeMap<String, String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    pub(crate) fn new(headers: BTreeMap<String, String>) -> Self {
        Self {
            keys: Keys::new(),
            before: Vec::new(),
            headers,
        }
    }

    /// Takes other keys; the ones of before sign too until `until`, and those of before them as long as was said. None of
    /// them do if that is now.
    pub(crate) fn rotate(&mut self, now: Time, until: Time) {
        let before = std::mem::replace(&mut self.keys, Keys::new());
        self.before.insert(0, (before, until));
        self.before.retain(|(_, ends)| now < *ends && now < until);
        self.before.truncate(MOST_BEFORE);
    }

    pub(crate) fn set_headers(&mut self, headers: BTreeMap<String, String>) {
        self.headers = headers;
    }

    /// Headers of the organization's own.
    pub(crate) fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }

    /// Every signature of a message that is sent now, the newest keys' first.
    pub(crate) fn sign(&self, id: &str, now: Time, body: &str) -> Result<String> {
        let mut signatures = self.keys.sign(id, now, body)?;
        for (before, _) in self.before.iter().filter(|(_, until)| now < *until) {
            signatures = format!("{signatures} {}", before.sign(id, now, body)?);
        }
        Ok(signatures)
    }
}

/// An endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub org: OrgId,
    /// What a person may change about it.
    pub settings: Settings,
    /// The names of its own headers.
    #[serde(default)]
    pub(crate) header_names: Vec<String>,
    /// Whether it is called.
    pub status: Status,
    /// Why it is not.
    pub disabled_reason: Option<Reason>,
    /// What its calls can be verified with: `whpk_` and base64.
    pub public_key: String,
    /// Until when the keys of before the last rotation sign too.
    pub previous_expires_at: Option<Time>,
    /// How it did lately.
    pub health: Health,
    /// When it was made.
    pub created_at: Time,
    /// When a person last changed it.
    pub updated_at: Time,
    /// When it was tried lately.
    #[serde(default)]
    tests: Vec<Time>,
    #[serde(default, with = "serde_bytes")]
    pub(crate) sealed: Vec<u8>,
    #[serde(default)]
    pub(crate) version: u64,
}

impl Endpoint {
    pub(crate) fn new(now: Time, org: OrgId, settings: Settings, secrets: &Secrets) -> Result<Self> {
        Ok(Self {
            id: WebhookId::new(now),
            org,
            settings,
            header_names: secrets.headers.keys().cloned().collect(),
            status: Status::Active,
            disabled_reason: None,
            public_key: secrets.keys.public_key()?,
            previous_expires_at: None,
            health: Health::default(),
            created_at: now,
            updated_at: now,
            tests: Vec::new(),
            sealed: Vec::new(),
            version: 0,
        })
    }

    /// Whether it is called.
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// Whether it wants to be told of a fact.
    pub(crate) fn wants(&self, fact: &Told) -> bool {
        // What becomes of it concerns the others.
        if events::is_operational(&fact.fact) && self.is_behind(fact) {
            return false;
        }
        let settings = &self.settings;
        let named = settings
            .events
            .iter()
            .any(|event| event == events::ALL || *event == fact.fact);
        named && settings.concerns(&fact.data)
    }

    /// Whether a fact about endpoints is about this one, or about a delivery to it.
    fn is_behind(&self, fact: &Told) -> bool {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Said {
            subscription_id: Option<WebhookId>,
        }
        let said: Said = serde_json::from_str(&fact.data).unwrap_or_default();
        fact.about == self.id.to_string() || said.subscription_id == Some(self.id)
    }

    /// Enables it, as new, or disables it.
    pub(crate) fn turn(&mut self, status: Status, reason: Reason) {
        self.status = status;
        self.disabled_reason = (status == Status::Disabled).then_some(reason);
        self.health = Health::default();
    }

    /// Notes what follows from other keys.
    pub(crate) fn rotated(&mut self, secrets: &Secrets) -> Result<()> {
        self.public_key = secrets.keys.public_key()?;
        self.previous_expires_at = secrets.before.first().map(|(_, until)| *until);
        Ok(())
    }

    /// Counts a trial; says in how many seconds there may be another one if there were too many.
    pub(crate) fn tried(&mut self, now: Time) -> std::result::Result<(), u64> {
        self.tests.retain(|at| now.millis() - at.millis() < Time::MINUTE);
        if let Some(first) = self.tests.first().filter(|_| self.tests.len() >= MOST_TESTS) {
            let left = first.millis() + Time::MINUTE - now.millis();
            return Err(u64::try_from(left / Time::SECOND).unwrap_or(0) + 1);
        }
        self.tests.push(now);
        Ok(())
    }

    /// What the sealed part is bound to.
    pub(crate) fn context(&self) -> String {
        format!("WEBHOOK#{}", self.id)
    }
}

/// An endpoint, as it is shown.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookSubscriptionView)]
pub struct EndpointView {
    /// Its id.
    pub id: WebhookId,
    /// Where it is called.
    #[schema(example = "https://example.com/hooks")]
    pub url: String,
    /// The events that it is told of; `*` stands for all.
    #[schema(example = json!(["invoice.paid"]))]
    pub events: Vec<String>,
    /// What you call it.
    #[schema(required)]
    pub description: Option<String>,
    /// The names of its own headers; their values are not shown.
    #[schema(example = json!(["x-tenant"]))]
    pub headers: Vec<String>,
    /// Only events of this project.
    #[schema(required)]
    pub project_id: Option<ProjectId>,
    /// Only events of this client.
    #[schema(required)]
    pub client_id: Option<ClientId>,
    /// Whether it is called.
    pub status: Status,
    /// Why it is not.
    #[schema(required)]
    pub disabled_reason: Option<Reason>,
    /// What its calls can be verified with (`v1a`, Ed25519).
    #[schema(example = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")]
    pub public_key: String,
    /// Until when the keys of before the last rotation sign too.
    #[schema(required)]
    pub previous_expires_at: Option<Time>,
    /// Since when every attempt has failed.
    #[schema(required)]
    pub failing_since: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When a person last changed it.
    pub updated_at: Time,
}

impl From<Endpoint> for EndpointView {
    fn from(endpoint: Endpoint) -> Self {
        let settings = endpoint.settings;
        Self {
            id: endpoint.id,
            url: settings.url,
            events: settings.events,
            description: settings.description,
            headers: endpoint.header_names,
            project_id: settings.project_id,
            client_id: settings.client_id,
            status: endpoint.status,
            disabled_reason: endpoint.disabled_reason,
            public_key: endpoint.public_key,
            previous_expires_at: endpoint.previous_expires_at,
            failing_since: endpoint.health.failing_since,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// An endpoint with what is shown only once.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignedWebhookSubscriptionView)]
pub struct SignedEndpointView {
    /// The endpoint.
    #[serde(flatten)]
    pub endpoint: EndpointView,
    /// What its calls are signed with (Standard Webhooks, `v1`), never shown again: `whsec_` and 32 bytes in base64. The key is
    /// what that decodes to.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
}

impl SignedEndpointView {
    pub(crate) fn of(endpoint: Endpoint, secrets: &Secrets) -> Self {
        Self {
            endpoint: endpoint.into(),
            secret: secrets.keys.reveal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn hours(hours: i64) -> Time {
        NOW.plus_millis(hours * Time::HOUR)
    }

    /// What attempts that failed at these hours come to.
    fn streak(at: &[i64]) -> (Health, bool) {
        let mut health = Health::default();
        for hour in at {
            match health.failed(hours(*hour)) {
                Verdict::Nothing => {}
                Verdict::Noted(next) => health = next,
                Verdict::GivenUp => return (health, true),
            }
        }
        (health, false)
    }

    #[test]
    fn who_fails_for_five_days_is_given_up_if_one_failed_late() {
        assert_eq!(streak(&[0, 1, 119]), (streak(&[0, 12]).0, false));
        assert!(streak(&[0, 12, 120]).1);
        assert!(streak(&[0, 119, 120]).1);
        // Nothing was sent in between: the second failure is the first late one.
        assert!(!streak(&[0, 120]).1);
        assert!(streak(&[0, 120, 121]).1);
        assert!(!streak(&[0, 11, 119]).1);
    }

    #[test]
    fn after_a_rotation_both_sign_until_the_old_keys_end() {
        let mut secrets = Secrets::new(BTreeMap::new());
        let count = |secrets: &Secrets, at: Time| secrets.sign("msg_1", at, "{}").unwrap().matches("v1,").count();
        let old = secrets.sign("msg_1", NOW, "{}").unwrap();
        assert_eq!(count(&secrets, NOW), 1);
        secrets.rotate(NOW, hours(1));
        assert_eq!(count(&secrets, NOW), 2);
        assert!(secrets.sign("msg_1", NOW, "{}").unwrap().ends_with(&old));
        assert_eq!(count(&secrets, hours(1)), 1);
        // Another rotation takes nothing from the first.
        secrets.rotate(NOW, hours(2));
        assert_eq!(count(&secrets, NOW), 3);
        assert!(secrets.sign("msg_1", NOW, "{}").unwrap().ends_with(&old));
        assert_eq!(count(&secrets, hours(1)), 2);
        // One without an overlap ends all of before.
        secrets.rotate(NOW, NOW);
        assert_eq!(count(&secrets, NOW), 1);
        assert_eq!(format!("{secrets:?}"), "Secrets(…)");
    }

    proptest! {
        #[test]
        fn nobody_is_given_up_before_five_days(at in prop::collection::vec(0_i64..120, 0..40)) {
            let mut at = at;
            at.sort_unstable();
            prop_assert!(!streak(&at).1);
        }
    }
}
