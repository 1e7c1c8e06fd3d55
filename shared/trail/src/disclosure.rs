//! Personal data beside a chain. An entry holds salted digests of them, as SD-JWT (RFC 9901) has it; what they are of is a
//! disclosure, an item of its own that can be erased while the chain stays whole. Pure.
//!
//! The digest of a member is SHA-256, in hex, over the canonical JSON of `[salt, name, value]`. The salt is erased with the
//! values, so nobody can find out afterwards by guessing what they were.

use std::fmt::{self, Display};

use kernel::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::entry::{Chain, Entry, canonical, plain, sha256};

/// A salt has this many random bytes.
const SALT: usize = 16;

/// Whose personal data they are: all that is disclosed of one is erased together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subject(String);

impl Subject {
    /// Who has this id: a person, a client, an organization.
    pub fn of(id: impl Display) -> Self {
        Self(id.to_string())
    }

    /// Whoever reads the mails to an address, known by its SHA-256: who was invited is nobody here yet.
    pub fn address(email: &str) -> Self {
        Self(sha256(&email.to_lowercase()))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of an entry's two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Side {
    /// What it was before.
    #[serde(rename = "oldValue")]
    Old,
    /// What it is now.
    #[serde(rename = "newValue")]
    New,
}

impl Side {
    /// As entries call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Old => "oldValue",
            Self::New => "newValue",
        }
    }
}

/// A value that is noted, and what of it is personal. A fraction is noted as its text, for JSON writes the same fraction in
/// several ways.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The value, with digests in the place of what is personal.
    pub(crate) value: Value,
    open: Option<Open>,
}

/// What is personal in a value.
#[derive(Clone, Debug)]
struct Open {
    subject: Subject,
    salt: String,
    values: Map<String, Value>,
}

impl From<Value> for Noted {
    fn from(value: Value) -> Self {
        let value = plain(value);
        Self { value, open: None }
    }
}

impl Noted {
    /// A value of which these members, those that are there, are personal data of `subject`.
    pub fn about(subject: Subject, value: Value, names: &[&str]) -> Self {
        let mut noted = Self::from(value);
        let salt = hex::encode(kernel::id::random::<SALT>());
        let mut values = Map::new();
        for name in names {
            if let Some(value) = noted.value.get_mut(*name).filter(|value| !value.is_null()) {
                let concealed = concealed(&salt, name, value);
                values.insert((*name).to_owned(), std::mem::replace(value, concealed));
            }
        }
        if !values.is_empty() {
            noted.open = Some(Open { subject, salt, values });
        }
        noted
    }

    pub(crate) fn is_personal(&self) -> bool {
        self.open.is_some()
    }

    /// What discloses it, as one side of an entry that has this value there.
    pub(crate) fn disclosure(&self, entry: &Entry, side: Side) -> Option<Disclosure> {
        let open = self.open.as_ref()?;
        Some(Disclosure {
            chain: entry.chain,
            seq: entry.seq,
            side,
            subject: open.subject.clone(),
            salt: open.salt.clone(),
            values: canonical(&Value::Object(open.values.clone())),
        })
    }
}

/// What stands in an entry for a personal value.
fn concealed(salt: &str, name: &str, value: &Value) -> Value {
    json!({"sha256": sha256(&canonical(&json!([salt, name, value])))})
}

/// The personal data of one side of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disclosure {
    pub(crate) chain: Chain,
    pub(crate) seq: u64,
    pub(crate) side: Side,
    pub(crate) subject: Subject,
    salt: String,
    /// By their names, as canonical JSON.
    values: String,
}

impl Disclosure {
    /// Puts the values into that side of an entry; tells what makes digests of them again.
    pub(crate) fn open(&self, value: &mut Value) -> Result<Opened> {
        let values: Map<String, Value> = serde_json::from_str(&self.values).map_err(anyhow::Error::new)?;
        let names = values.keys().cloned().collect();
        for (name, open) in values {
            value[&name] = open;
        }
        let salt = self.salt.clone();
        Ok(Opened { names, salt })
    }
}

/// What of a value is personal, and the salt of its digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// Which members.
    #[schema(example = json!(["email", "name"]))]
    names: Vec<String>,
    /// Random, in hex.
    salt: String,
}

/// The personal data that an entry shows; absent where there are none, or none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disclosed {
    /// Of `newValue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) new_value: Option<Opened>,
    /// Of `oldValue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) old_value: Option<Opened>,
}

/// Makes an entry what was hashed: takes `disclosed` out of it, and puts digests where that says that values are personal.
/// Nothing if they are not there.
pub(crate) fn conceal(entry: &mut Value) -> Option<()> {
    let Some(disclosed) = entry.as_object_mut()?.shift_remove("disclosed") else {
        return Some(());
    };
    let sides = disclosed.as_object().filter(|sides| !sides.is_empty())?;
    if !sides.values().all(Value::is_object) {
        return None;
    }
    let disclosed: Disclosed = serde_json::from_value(disclosed).ok()?;
    for (side, opened) in [(Side::New, disclosed.new_value), (Side::Old, disclosed.old_value)] {
        let Some(Opened { names, salt }) = opened else { continue };
        if names.is_empty() {
            return None;
        }
        let values = entry.get_mut(side.name())?.as_object_mut()?;
        for name in names {
            let value = values.get_mut(&name)?;
            *value = concealed(&salt, &name, value);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use kernel::{OrgId, Time, UserId};

    use super::*;
    use crate::{Change, EntryView, Head};

    fn change() -> Change {
        let subject = || Subject::of(UserId::from_bits(7));
        Change::by(UserId::from_bits(7), "user.renamed", "user", 7)
            .from(Noted::about(
                subject(),
                json!({"name": "Ada", "role": "user"}),
                &["name", "email"],
            ))
            .to(Noted::about(
                subject(),
                json!({"name": "Ada L.", "role": "user", "email": null}),
                &["name", "email"],
            ))
    }

    fn entry(change: &Change) -> Entry {
        let chain = Chain::Org(OrgId::from_bits(1));
        Entry::after(&Head::genesis(), chain, change, Time::from_millis(1_700_000_000_000))
    }

    #[test]
    fn an_entry_holds_digests_and_shows_what_is_disclosed() {
        let change = change();
        let entry = entry(&change);
        let stored = serde_json::to_string(&entry).unwrap();
        assert!(!stored.contains("Ada") && stored.contains("user"), "{stored}");

        let disclosures = change.disclosures(&entry);
        let whole = serde_json::to_value(EntryView::of(entry.clone(), &disclosures).unwrap()).unwrap();
        assert_eq!(whole["oldValue"], json!({"name": "Ada", "role": "user"}));
        assert_eq!(
            whole["newValue"],
            json!({"name": "Ada L.", "role": "user", "email": null})
        );
        assert_eq!(whole["disclosed"]["newValue"]["names"], json!(["name"]));

        let erased = serde_json::to_value(EntryView::of(entry.clone(), &[]).unwrap()).unwrap();
        assert!(erased.get("disclosed").is_none());
        assert_eq!(erased["oldValue"]["name"]["sha256"].as_str().unwrap().len(), 64);
        // Both are what was hashed.
        for mut shown in [whole, erased] {
            conceal(&mut shown).unwrap();
            shown.as_object_mut().unwrap().shift_remove("hash");
            assert_eq!(sha256(&canonical(&shown)), entry.hash);
        }
    }

    #[test]
    fn equal_values_have_different_digests() {
        let (one, other) = (entry(&change()), entry(&change()));
        assert_ne!(one.old_value, other.old_value);
    }

    #[test]
    fn what_discloses_nothing_that_is_there_is_found() {
        let change = change();
        let entry = entry(&change);
        let view = EntryView::of(entry.clone(), &change.disclosures(&entry)).unwrap();
        let whole = serde_json::to_value(view).unwrap();
        let check = |deed: &dyn Fn(&mut Value), is_refused: bool| {
            let mut changed = whole.clone();
            deed(&mut changed);
            let concealed = conceal(&mut changed);
            assert_eq!(concealed.is_none(), is_refused, "{changed}");
            changed.as_object_mut().unwrap().shift_remove("hash");
            assert_ne!(sha256(&canonical(&changed)), entry.hash, "{changed}");
        };
        check(&|entry| entry["disclosed"] = json!({}), true);
        check(&|entry| entry["disclosed"] = json!("newValue"), true);
        check(&|entry| entry["disclosed"]["newValue"] = Value::Null, true);
        check(
            &|entry| entry["disclosed"]["value"] = json!({"names": ["name"], "salt": ""}),
            true,
        );
        check(&|entry| entry["disclosed"]["newValue"]["names"] = json!([]), true);
        check(&|entry| entry["disclosed"]["newValue"]["names"] = json!("name"), true);
        check(
            &|entry| entry["disclosed"]["newValue"]["names"] = json!(["address"]),
            true,
        );
        check(&|entry| entry["disclosed"]["newValue"]["more"] = json!(1), true);
        check(
            &|entry| entry["disclosed"]["newValue"]["names"] = json!(["name", "name"]),
            false,
        );
        check(&|entry| entry["disclosed"]["newValue"]["salt"] = json!("00"), false);
        check(&|entry| entry["newValue"]["name"] = json!("Eve"), false);
        check(&|entry| entry["newValue"] = json!(["Ada L."]), true);
    }

    #[test]
    fn an_address_is_known_however_it_is_written() {
        assert_eq!(Subject::address("Ada@Example.com"), Subject::address("ada@example.com"));
        assert!(!Subject::address("ada@example.com").to_string().contains("ada"));
    }
}
