//! One entry: what it tells and how it is hashed. Pure.

use std::fmt::Display;

use aws_lc_rs::digest::{SHA256, digest};
use kernel::{Actor, ApiKeyId, AuditId, OrgId, Time, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::chain::Head;
use crate::disclosure::{Disclosed, Disclosure, Noted, Side};

/// Whose chain an entry stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chain {
    /// An organization's.
    Org(OrgId),
    /// A person's, for what happens to them on the platform.
    User(UserId),
}

impl Chain {
    /// Its name, which is part of what is hashed: the id of the organization or person.
    pub fn name(self) -> String {
        match self {
            Self::Org(org) => org.to_string(),
            Self::User(user) => user.to_string(),
        }
    }
}

/// What somebody changed, to be written down.
#[derive(Clone, Debug)]
pub struct Change {
    pub(crate) actor: Actor,
    pub(crate) action: &'static str,
    pub(crate) target_type: &'static str,
    pub(crate) target_id: String,
    pub(crate) old_value: Option<Noted>,
    pub(crate) new_value: Option<Noted>,
}

impl Change {
    /// Notes that `actor` did `action` (named `<entity>.<past tense>`, such as `member.added`) to a thing.
    pub fn by(
        actor: impl Into<Actor>,
        action: &'static str,
        target_type: &'static str,
        target_id: impl Display,
    ) -> Self {
        Self {
            actor: actor.into(),
            action,
            target_type,
            target_id: target_id.to_string(),
            old_value: None,
            new_value: None,
        }
    }

    /// What it was done to: its kind and its id.
    pub fn target(&self) -> String {
        format!("{} {}", self.target_type, self.target_id)
    }

    /// What it was before; never a secret or a hash of one. What is personal in it is named by [`Noted::about`].
    #[must_use]
    pub fn from(mut self, value: impl Into<Noted>) -> Self {
        self.old_value = Some(value.into());
        self
    }

    /// What it is now, in the same way.
    #[must_use]
    pub fn to(mut self, value: impl Into<Noted>) -> Self {
        self.new_value = Some(value.into());
        self
    }

    /// The personal data of the entry that tells of it, to be written with that one.
    pub fn disclosures(&self, entry: &Entry) -> Vec<Disclosure> {
        let sides = [(Side::Old, &self.old_value), (Side::New, &self.new_value)];
        let of = |(side, noted): (Side, &Option<Noted>)| noted.as_ref()?.disclosure(entry, side);
        sides.into_iter().filter_map(of).collect()
    }
}

/// The value with fractions as texts.
pub(crate) fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::String(number.to_string()),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        other => other,
    }
}

/// What stands before the first entry of a chain.
pub(crate) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An entry of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its id.
    pub id: AuditId,
    /// Whose chain it stands in.
    pub chain: Chain,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// Which person did it.
    pub(crate) actor_user_id: Option<UserId>,
    /// Which API key did it.
    pub(crate) actor_api_key_id: Option<ApiKeyId>,
    /// What kind of thing it was done to.
    pub target_type: String,
    /// Which one.
    pub target_id: String,
    /// What was done.
    pub action: String,
    /// What it was before, as canonical JSON, with digests of what is personal.
    pub old_value: Option<String>,
    /// What it is now, in the same way.
    pub new_value: Option<String>,
    /// When.
    pub created_at: Time,
    /// The hash of the entry before; zeros for the first.
    pub prev_hash: String,
    /// SHA-256, in hex, of everything above.
    pub hash: String,
    /// Which values have personal data beside the chain. No hash covers it: what it leads to is covered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) personal: Vec<Side>,
}

impl Entry {
    /// The entry that follows the last one of its chain.
    pub(crate) fn after(head: &Head, chain: Chain, change: &Change, now: Time) -> Self {
        let (actor_user_id, actor_api_key_id) = match change.actor {
            Actor::User(user) => (Some(user), None),
            Actor::ApiKey(key) => (None, Some(key)),
            Actor::System => (None, None),
        };
        let sides = [(Side::Old, &change.old_value), (Side::New, &change.new_value)];
        let is_personal = |(_, noted): &(Side, &Option<Noted>)| noted.as_ref().is_some_and(Noted::is_personal);
        let personal = sides.into_iter().filter(is_personal);
        let mut entry = Self {
            id: AuditId::new(now),
            chain,
            seq: head.seq + 1,
            actor_user_id,
            actor_api_key_id,
            target_type: change.target_type.to_owned(),
            target_id: change.target_id.clone(),
            action: change.action.to_owned(),
            old_value: change.old_value.as_ref().map(|noted| canonical(&noted.value)),
            new_value: change.new_value.as_ref().map(|noted| canonical(&noted.value)),
            created_at: now,
            prev_hash: head.hash.clone(),
            hash: String::new(),
            personal: personal.map(|(side, _)| side).collect(),
        };
        entry.hash = entry.digest();
        entry
    }

    /// What `hash` must be: SHA-256 over the canonical JSON of this object, `prevHash` included.
    pub(crate) fn digest(&self) -> String {
        let mut fields = json!({
            "id": self.id,
            "chain": self.chain.name(),
            "seq": self.seq,
            "actorUserId": self.actor_user_id,
            "targetType": self.target_type,
            "targetId": self.target_id,
            "action": self.action,
            "oldValue": parsed(self.old_value.as_deref()),
            "newValue": parsed(self.new_value.as_deref()),
            "createdAt": self.created_at,
            "prevHash": self.prev_hash,
        });
        if let Some(key) = self.actor_api_key_id {
            fields["actorApiKeyId"] = json!(key);
        }
        sha256(&canonical(&fields))
    }
}

/// SHA-256 of a text, in hex.
pub(crate) fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

fn parsed(value: Option<&str>) -> Value {
    match value {
        // Damaged JSON is hashed as the text it is, which no whole entry's hash equals.
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        None => Value::Null,
    }
}

/// JSON with sorted members and no blanks: RFC 8785 for what entries hold (texts, whole numbers, structure).
pub(crate) fn canonical(value: &Value) -> String {
    sorted(value).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_cached_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
            members
                .into_iter()
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// An entry of the audit trail, as lists show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
    /// Its id.
    pub id: AuditId,
    /// Whose chain it stands in: the id of an organization or person.
    pub chain: String,
    /// Its place in the chain, from 1, without gaps.
    pub seq: u64,
    /// Which person did it; null if it was none.
    #[schema(required)]
    pub actor_user_id: Option<UserId>,
    /// Which API key did it; absent unless it was one. Where neither a person nor a key stands, it was the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_api_key_id: Option<ApiKeyId>,
    /// What kind of thing it was done to.
    #[schema(example = "member")]
    pub target_type: String,
    /// Which one.
    pub target_id: String,
    /// What was done.
    #[schema(example = "member.role_changed")]
    pub action: String,
    /// What it was before; null if it was not.
    #[schema(required)]
    pub old_value: Option<Value>,
    /// What it is now; null if it is no more.
    #[schema(required)]
    pub new_value: Option<Value>,
    /// When.
    pub created_at: Time,
    /// The hash of the entry before; zeros for the first.
    pub prev_hash: String,
    /// SHA-256, in hex, over the canonical JSON (RFC 8785) of all other fields, as `docs/audit-export.md` tells.
    pub hash: String,
    /// What of it is personal, and can be erased: members of the values that are hashed as digests. Absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disclosed: Option<Disclosed>,
}

impl EntryView {
    /// Shows an entry with these disclosures of it; personal data without one were erased, and are shown as digests.
    pub(crate) fn of(entry: Entry, disclosures: &[Disclosure]) -> kernel::Result<Self> {
        let mut disclosed = Disclosed::default();
        let mut shown = |side: Side, value: Option<String>| -> kernel::Result<Option<Value>> {
            let mut value = value.map(|text| parsed(Some(&text)));
            let disclosure = disclosures.iter().find(|disclosure| disclosure.side == side);
            if let (Some(value), Some(disclosure)) = (&mut value, disclosure) {
                let opened = Some(disclosure.open(value)?);
                match side {
                    Side::Old => disclosed.old_value = opened,
                    Side::New => disclosed.new_value = opened,
                }
            }
            Ok(value)
        };
        let (old_value, new_value) = (shown(Side::Old, entry.old_value)?, shown(Side::New, entry.new_value)?);
        Ok(Self {
            id: entry.id,
            chain: entry.chain.name(),
            seq: entry.seq,
            actor_user_id: entry.actor_user_id,
            actor_api_key_id: entry.actor_api_key_id,
            target_type: entry.target_type,
            target_id: entry.target_id,
            action: entry.action,
            old_value,
            new_value,
            created_at: entry.created_at,
            prev_hash: entry.prev_hash,
            hash: entry.hash,
            disclosed: Some(disclosed).filter(|disclosed| *disclosed != Disclosed::default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_does_not_depend_on_the_order_of_members() {
        let one = json!({"b": [1, {"y": "é", "x": null}], "a": true});
        let other = json!({"a": true, "b": [1, {"x": null, "y": "é"}]});
        assert_eq!(canonical(&one), canonical(&other));
        assert_eq!(canonical(&one), r#"{"a":true,"b":[1,{"x":null,"y":"é"}]}"#);
    }

    /// An entry by an actor, as lists show it.
    fn view(actor: Actor) -> Value {
        let now = Time::from_millis(1_700_000_000_000);
        let change = Change::by(actor, "org.renamed", "org", "org_1")
            .from(json!({"name": "a"}))
            .to(json!({"name": "b"}));
        let entry = Entry::after(&Head::genesis(), Chain::User(UserId::new(now)), &change, now);
        serde_json::to_value(EntryView::of(entry, &[]).unwrap()).unwrap()
    }

    #[test]
    fn a_view_hashes_to_what_it_says() {
        for actor in [
            UserId::from_bits(1).into(),
            Actor::ApiKey(ApiKeyId::from_bits(2)),
            Actor::System,
        ] {
            let mut fields = view(actor);
            let hash = fields.as_object_mut().unwrap().shift_remove("hash").unwrap();
            assert_eq!(hash, json!(sha256(&canonical(&fields))), "{actor:?}");
        }
    }

    #[test]
    fn who_did_it_is_a_person_a_key_or_the_system() {
        let (user, key) = (UserId::from_bits(1), ApiKeyId::from_bits(2));
        let shown = |actor: Actor| {
            let view = view(actor);
            (view.get("actorUserId").cloned(), view.get("actorApiKeyId").cloned())
        };
        assert_eq!(shown(user.into()), (Some(json!(user)), None));
        assert_eq!(shown(Actor::ApiKey(key)), (Some(Value::Null), Some(json!(key))));
        assert_eq!(shown(Actor::System), (Some(Value::Null), None));
    }

    #[test]
    fn an_entry_of_before_keys_and_the_system_could_act_is_whole() {
        let id = |prefix: &str, number: u8| format!("{prefix}_{number:026}");
        let stored = json!({
            "id": id("aud", 1), "chain": {"org": id("org", 2)}, "seq": 1, "actorUserId": id("usr", 3),
            "targetType": "org", "targetId": id("org", 2), "action": "org.created",
            "newValue": r#"{"name":"Acme"}"#, "createdAt": "2026-11-21T12:00:00.000Z", "prevHash": GENESIS,
            // By docs/audit-export.md, computed elsewhere.
            "hash": "58bd05d34f39f7b6ee82a45425dc188b478406bb46b93bcbdf46d10557ca3d61",
        });
        let entry: Entry = serde_json::from_value(stored).unwrap();
        assert_eq!(entry.digest(), entry.hash);
    }

    #[test]
    fn a_fraction_is_noted_as_its_text() {
        let change = Change::by(UserId::from_bits(1), "rule.made", "rule", 1)
            .from(json!(0.5))
            .to(json!({"threshold": [0.1, 2, -3], "text": "0.5"}));
        let noted = |noted: Option<Noted>| noted.map(|noted| noted.value);
        assert_eq!(noted(change.old_value), Some(json!("0.5")));
        assert_eq!(
            noted(change.new_value),
            Some(json!({"threshold": ["0.1", 2, -3], "text": "0.5"}))
        );
    }
}
