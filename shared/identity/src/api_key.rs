//! An API key: what a customer's servers send events with. Pure.
//!
//! The key itself is shown once and stored nowhere; its SHA-256 finds it. Its last six characters are a checksum, so
//! that a mistyped key (and a secret scanner's false alarm) is told apart without asking anybody.

mod store;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::check::given;
use kernel::{ApiKeyId, Check, Error, Input, KeyScope, OrgId, ProjectId, Result, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::org::Org;
use crate::project::{Environment, Project};

pub(crate) use store::open;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LIVE: &str = "ch_live_";
const TEST: &str = "ch_test_";
/// 30 characters of 62 kinds: 178 bits.
const RANDOM: usize = 30;
/// 62^6 is more than 2^32.
const CHECKSUM: usize = 6;
/// So much of a key is shown in lists.
const SHOWN: usize = 12;

/// A key in plain. Never stored, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Makes a key for a project in `environment`.
    pub fn new(environment: Environment) -> Self {
        let prefix = if environment == Environment::Prod { LIVE } else { TEST };
        let mut text = prefix.to_owned();
        while text.len() < prefix.len() + RANDOM {
            // 248 is the last multiple of 62 in a byte: taking more would make some characters likelier.
            let fair = kernel::id::random::<32>().into_iter().filter(|byte| *byte < 248);
            let rest = prefix.len() + RANDOM - text.len();
            text.extend(fair.take(rest).map(|byte| char::from(BASE62[usize::from(byte % 62)])));
        }
        let checksum = checksum(&text);
        Self(text + &checksum)
    }

    /// Reads a key; nothing if its form or its checksum is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(LIVE).or_else(|| text.strip_prefix(TEST))?;
        if rest.len() != RANDOM + CHECKSUM || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (body, sum) = text.split_at(text.len() - CHECKSUM);
        (checksum(body) == sum).then(|| Self(text.to_owned()))
    }

    /// The key's text, for the one reply that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn hash(&self) -> String {
        hex::encode(digest(&SHA256, self.0.as_bytes()))
    }

    fn prefix(&self) -> String {
        self.0.chars().take(SHOWN).collect()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Secret").field(&self.prefix()).finish()
    }
}

/// CRC-32 in base62, most significant first.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.map(char::from).iter().collect()
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// It does.
    Active,
    /// Not until it is made active again.
    Disabled,
    /// Never again.
    Revoked,
    /// No more: its time is over.
    Expired,
}

/// What a person may make of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It works.
    Active,
    /// It does not until it is made active again.
    Disabled,
}

/// An API key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its id, which is not the key.
    pub id: ApiKeyId,
    /// Whose it is.
    pub org: OrgId,
    /// Which project it opens.
    pub project: ProjectId,
    /// What a person calls it.
    pub label: String,
    /// Its first 12 characters.
    pub prefix: String,
    /// What it may be used for.
    pub scopes: Vec<KeyScope>,
    /// How many requests a minute it may make; none: the default.
    pub rate_limit_per_minute: Option<u32>,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Time,
    /// From when on it does not work.
    until: Option<Time>,
    disabled: bool,
    revoked_at: Option<Time>,
    #[serde(default)]
    version: u64,
}

/// What makes a key.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewApiKey {
    /// What you call it.
    #[schema(min_length = 1, max_length = 100, example = "checkout server")]
    pub label: String,
    /// What it may be used for; all there is if absent.
    #[schema(min_items = 1)]
    pub scopes: Option<Vec<KeyScope>>,
    /// How many requests a minute it may make; the default if absent. The organization's limit holds besides.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub rate_limit_per_minute: Option<u32>,
    /// From when on it does not work; in the future.
    pub expires_at: Option<Time>,
}

impl Input for NewApiKey {
    fn check(&self, check: &mut Check) {
        check.name("label", &self.label, 1..=100);
        if let Some(scopes) = &self.scopes {
            check.that((1..=10).contains(&scopes.len()), "scopes", "must name 1 to 10 scopes");
        }
        if let Some(limit) = self.rate_limit_per_minute {
            check.range("rateLimitPerMinute", limit, 1..=1_000_000);
        }
    }
}

/// What changes a key; what is absent stays.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyPatch {
    /// Whether it works.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub status: Option<Switch>,
    /// What you call it.
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 100, nullable = false)]
    pub label: Option<String>,
}

impl Input for ApiKeyPatch {
    fn check(&self, check: &mut Check) {
        if let Some(label) = &self.label {
            check.name("label", label, 1..=100);
        }
    }
}

/// How long a rotated key goes on working.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotation {
    /// Seconds until the old key stops; 0 stops it at once.
    #[schema(minimum = 0, maximum = 86_400, example = 3600)]
    pub grace_seconds: u32,
}

impl Input for Rotation {
    fn check(&self, check: &mut Check) {
        check.range("graceSeconds", self.grace_seconds, 0..=86_400);
    }
}

impl ApiKey {
    /// A new key for a project. 422 when it would have expired already.
    pub(crate) fn new(now: Time, project: &Project, by: UserId, new: NewApiKey) -> Result<(Self, Secret)> {
        if new.expires_at.is_some_and(|time| time <= now) {
            return Err(Error::invalid("expiresAt", "must be in the future"));
        }
        let secret = Secret::new(project.environment);
        let mut scopes = new.scopes.unwrap_or_else(|| vec![KeyScope::Ingest]);
        scopes.dedup();
        let key = Self {
            id: ApiKeyId::new(now),
            org: project.org,
            project: project.id,
            label: new.label,
            prefix: secret.prefix(),
            scopes,
            rate_limit_per_minute: new.rate_limit_per_minute,
            created_by: by,
            created_at: now,
            until: new.expires_at,
            disabled: false,
            revoked_at: None,
            version: 0,
        };
        Ok((key, secret))
    }

    /// Whether it works at `now`.
    pub fn status(&self, now: Time) -> KeyStatus {
        if self.revoked_at.is_some() {
            KeyStatus::Revoked
        } else if self.until.is_some_and(|until| until <= now) {
            KeyStatus::Expired
        } else if self.disabled {
            KeyStatus::Disabled
        } else {
            KeyStatus::Active
        }
    }

    /// Whether it counts among the keys of its project at `now`: it works, or did within the last day.
    fn counts(&self, now: Time) -> bool {
        let ended = [self.revoked_at, self.until].into_iter().flatten().min();
        ended.is_none_or(|ended| now < ended.plus_millis(Time::DAY))
    }

    /// Changes it; says whether that is a change. 409 `key_revoked` or `key_expired`.
    fn apply(&mut self, now: Time, patch: ApiKeyPatch) -> Result<bool> {
        self.must_not_be_over(now)?;
        let before = (self.label.clone(), self.disabled);
        if let Some(status) = patch.status {
            self.disabled = status == Switch::Disabled;
        }
        self.label = patch.label.unwrap_or_else(|| std::mem::take(&mut self.label));
        Ok(before != (self.label.clone(), self.disabled))
    }

    /// Ends it for ever; says whether that is a change.
    fn revoke(&mut self, now: Time) -> bool {
        let first = self.revoked_at.is_none();
        self.revoked_at.get_or_insert(now);
        first
    }

    /// Makes the key that takes its place; this one works for `grace_seconds` more, if it would have. 409 unless it is
    /// active.
    fn rotate(&mut self, now: Time, project: &Project, by: UserId, rotation: &Rotation) -> Result<(Self, Secret)> {
        self.must_not_be_over(now)?;
        if self.disabled {
            return Err(Error::refused(
                "key_disabled",
                "a disabled key cannot be rotated; make it active first",
            ));
        }
        let new = NewApiKey {
            label: self.label.clone(),
            scopes: Some(self.scopes.clone()),
            rate_limit_per_minute: self.rate_limit_per_minute,
            expires_at: self.until,
        };
        let successor = Self::new(now, project, by, new)?;
        let end = now.plus_seconds(i64::from(rotation.grace_seconds));
        self.until = Some(self.until.map_or(end, |until| until.min(end)));
        Ok(successor)
    }

    /// As it is in its organization, which may have made it void.
    fn within(mut self, org: &Org) -> Self {
        self.revoked_at = self.revoked_at.or(org.voided(self.created_at));
        self
    }

    fn must_not_be_over(&self, now: Time) -> Result<()> {
        match self.status(now) {
            KeyStatus::Revoked => Err(Error::refused(
                "key_revoked",
                "this key was revoked for ever; make another one",
            )),
            KeyStatus::Expired => Err(Error::refused("key_expired", "this key has expired; make another one")),
            KeyStatus::Active | KeyStatus::Disabled => Ok(()),
        }
    }
}

/// How much a key was used, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageView {
    /// How many events of the last 30 days came with it.
    pub events: u64,
}

/// An API key, as lists show it: not the key itself.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyView {
    /// Its id, which is not the key.
    pub id: ApiKeyId,
    /// Its first 12 characters.
    #[schema(example = "ch_live_4fGh")]
    pub prefix: String,
    /// What you call it.
    #[schema(example = "checkout server")]
    pub label: String,
    /// Whether it works.
    pub status: KeyStatus,
    /// What it may be used for.
    pub scopes: Vec<KeyScope>,
    /// How many requests a minute it may make; null: the default.
    #[schema(required)]
    pub rate_limit_per_minute: Option<u32>,
    /// When it was last used; null if it never was.
    #[schema(required)]
    pub last_used_at: Option<Time>,
    /// How much it was used.
    pub usage: UsageView,
    /// Who made it.
    pub created_by: UserId,
    /// Whether they still are a member: a key goes on working without who made it.
    pub created_by_member: bool,
    /// When it was made.
    pub created_at: Time,
    /// From when on it does not work; null: it has no end.
    #[schema(required)]
    pub expires_at: Option<Time>,
}

impl ApiKeyView {
    /// Shows a key at `now`, used so much, whose organization has these members among those who make keys.
    pub fn of(key: ApiKey, events: u64, last_used_at: Option<Time>, members: &[UserId], now: Time) -> Self {
        Self {
            id: key.id,
            status: key.status(now),
            prefix: key.prefix,
            label: key.label,
            scopes: key.scopes,
            rate_limit_per_minute: key.rate_limit_per_minute,
            last_used_at,
            usage: UsageView { events },
            created_by: key.created_by,
            created_by_member: members.contains(&key.created_by),
            created_at: key.created_at,
            expires_at: key.until,
        }
    }
}

/// A new API key: the only reply that shows the key itself.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewApiKeyView {
    /// The key. It is shown this once.
    #[schema(example = "ch_live_4fGh7sKq2mXv9bNc3dRt6wYz1aLp5e0aB3xZ")]
    pub key: String,
    /// Everything else about it.
    #[serde(flatten)]
    pub about: ApiKeyView,
}

impl NewApiKeyView {
    /// Shows a key that was made at `now`, and its secret.
    fn of(key: ApiKey, secret: &Secret, now: Time) -> Self {
        let by = key.created_by;
        Self {
            key: secret.reveal().to_owned(),
            about: ApiKeyView::of(key, 0, None, &[by], now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::NewProject;
    use proptest::prelude::*;

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    fn project(environment: Environment) -> Project {
        let new = NewProject {
            name: "Shop".to_owned(),
            description: None,
            environment,
            alert_defaults: None,
        };
        Project::new(NOW, OrgId::new(NOW), UserId::new(NOW), new)
    }

    fn key(expires_at: Option<Time>) -> (ApiKey, Secret) {
        let new = NewApiKey {
            label: "a".to_owned(),
            scopes: None,
            rate_limit_per_minute: Some(5),
            expires_at,
        };
        ApiKey::new(NOW, &project(Environment::Prod), UserId::new(NOW), new).unwrap()
    }

    #[test]
    fn the_prefix_says_where_a_key_is_for() {
        for (environment, prefix) in [
            (Environment::Prod, LIVE),
            (Environment::Staging, TEST),
            (Environment::Dev, TEST),
        ] {
            let secret = Secret::new(environment);
            assert!(secret.reveal().starts_with(prefix) && secret.reveal().len() == 44);
            assert_eq!(Secret::parse(secret.reveal()), Some(secret));
        }
    }

    #[test]
    fn a_key_is_not_stored_and_not_printed() {
        let (key, secret) = key(None);
        let stored = format!("{key:?}");
        assert!(
            !stored.contains(&secret.reveal()[SHOWN..]) && !format!("{secret:?}").contains(&secret.reveal()[SHOWN..])
        );
        assert_eq!(key.prefix, secret.reveal()[..SHOWN]);
    }

    #[test]
    fn status_follows_the_clock_and_the_switch() {
        let (mut key, _) = key(Some(NOW.plus_seconds(10)));
        assert_eq!(key.status(NOW), KeyStatus::Active);
        assert_eq!(key.status(NOW.plus_seconds(10)), KeyStatus::Expired);
        let switch = |status| ApiKeyPatch {
            status: Some(status),
            label: None,
        };
        assert!(key.apply(NOW, switch(Switch::Disabled)).unwrap());
        assert!(!key.apply(NOW, switch(Switch::Disabled)).unwrap());
        assert_eq!(key.status(NOW), KeyStatus::Disabled);
        assert!(key.revoke(NOW) && !key.revoke(NOW));
        assert_eq!(key.status(NOW), KeyStatus::Revoked);
        assert!(matches!(
            key.apply(NOW, switch(Switch::Active)),
            Err(Error::Refused {
                code: "key_revoked",
                ..
            })
        ));
    }

    fn check_rotation(until: Option<i64>, grace_seconds: u32, ends: i64) {
        let (mut old, _) = key(until.map(|seconds| NOW.plus_seconds(seconds)));
        let project = project(Environment::Prod);
        let (new, _) = old
            .rotate(NOW, &project, UserId::new(NOW), &Rotation { grace_seconds })
            .unwrap();
        assert_eq!(old.until, Some(NOW.plus_seconds(ends)));
        assert_eq!(new.until, until.map(|seconds| NOW.plus_seconds(seconds)));
        assert_eq!(
            (new.label, new.rate_limit_per_minute),
            (old.label, old.rate_limit_per_minute)
        );
    }

    #[test]
    fn a_rotated_key_works_through_its_grace_but_not_longer_than_before() {
        check_rotation(None, 60, 60);
        check_rotation(None, 0, 0);
        check_rotation(Some(30), 60, 30);
        check_rotation(Some(90), 60, 60);
    }

    #[test]
    fn what_has_expired_is_no_new_key() {
        let new = NewApiKey {
            label: "a".to_owned(),
            scopes: None,
            rate_limit_per_minute: None,
            expires_at: Some(NOW),
        };
        assert!(ApiKey::new(NOW, &project(Environment::Dev), UserId::new(NOW), new).is_err());
    }

    proptest! {
        #[test]
        fn a_mistyped_key_is_no_key(place in 8_usize..44, letter in "[0-9a-zA-Z]") {
            let secret = Secret::new(Environment::Prod);
            let mut typed = secret.reveal().to_owned();
            typed.replace_range(place..=place, &letter);
            // CRC-32 finds every change of one character.
            prop_assert_eq!(Secret::parse(&typed).is_some(), typed == secret.reveal());
        }

        #[test]
        fn no_other_text_is_a_key(text in "(ch_live_|ch_test_)?\\PC{0,44}") {
            prop_assert!(Secret::parse(&text).is_none());
        }

        #[test]
        fn characters_are_of_the_alphabet(_ in 0..200) {
            let secret = Secret::new(Environment::Dev);
            prop_assert!(secret.reveal()[TEST.len()..].bytes().all(|byte| BASE62.contains(&byte)));
        }
    }
}
