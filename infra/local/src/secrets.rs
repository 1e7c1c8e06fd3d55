//! The secrets of a data folder, made at first start, and where the template wants them.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use stack::data::Data;
use stack::template::{self, Template};

use crate::keys::{KeyPair, new_ring, random_secret};

/// What no template should hold, made at first start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Secrets {
    jwt_private_key: String,
    jwt_public_keys: String,
    /// Absent in folders of an older runner, as the next two.
    #[serde(default)]
    request_keys: String,
    #[serde(default)]
    sealing_keys: String,
    #[serde(default)]
    push_keys: String,
    manager_password: String,
}

impl Secrets {
    /// Reads the secrets of a data folder; makes them at first start, and later those that came with a newer runner.
    pub fn open(data: &Data) -> Result<Self> {
        let path = data.folder().join("secrets.json");
        let mut secrets = Self::generate()?;
        if path.exists() {
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let known: Self = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
            if !known.lacks_any() {
                return Ok(known);
            }
            let kept = |known: String, made: String| if known.is_empty() { made } else { known };
            secrets = Self {
                request_keys: kept(known.request_keys, secrets.request_keys),
                sealing_keys: kept(known.sealing_keys, secrets.sealing_keys),
                push_keys: kept(known.push_keys, secrets.push_keys),
                jwt_private_key: known.jwt_private_key,
                jwt_public_keys: known.jwt_public_keys,
                manager_password: known.manager_password,
            };
        }
        let next = path.with_extension("next");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(serde_json::to_string_pretty(&secrets)?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&next, &path).with_context(|| format!("write {}", path.display()))?;
        Ok(secrets)
    }

    /// Whether one that came with a newer runner is absent.
    fn lacks_any(&self) -> bool {
        let later = [&self.request_keys, &self.sealing_keys, &self.push_keys];
        later.iter().any(|ring| ring.is_empty())
    }

    fn generate() -> Result<Self> {
        let pair = KeyPair::generate()?;
        Ok(Self {
            jwt_private_key: pair.private,
            jwt_public_keys: pair.public,
            request_keys: new_ring()?,
            sealing_keys: new_ring()?,
            push_keys: new_ring()?,
            manager_password: random_secret()?,
        })
    }

    /// Reads the template in `folder` with these secrets as parameters, as far as it has such parameters, then with
    /// those that are given.
    pub fn template(&self, folder: &Path, given: &BTreeMap<String, String>) -> Result<Template> {
        let made = [("JwtPublicKeys", &self.jwt_public_keys)];
        let declared = template::parameter_names(folder)?;
        let known = made
            .into_iter()
            .filter(|(name, _)| declared.iter().any(|other| other == name));
        let mut parameters: BTreeMap<_, _> = known.map(|(name, value)| (name.to_owned(), value.clone())).collect();
        parameters.extend(given.clone());
        Template::load(folder, &parameters)
    }

    /// Yields the SSM parameters that a template names.
    pub fn ssm(&self, template: &Template) -> BTreeMap<String, String> {
        let made = [
            ("JwtPrivateKeyParameter", &self.jwt_private_key),
            ("BootstrapManagerPasswordParameter", &self.manager_password),
            ("RequestKeysParameter", &self.request_keys),
            ("SealingKeysParameter", &self.sealing_keys),
            ("PushKeysParameter", &self.push_keys),
        ];
        let named = made
            .into_iter()
            .filter_map(|(name, value)| Some((template.parameters.get(name)?.clone(), value.clone())));
        named.collect()
    }

    /// Yields the address and the password of the first platform manager, if the template has one.
    pub fn manager(&self, template: &Template) -> Option<(String, String)> {
        let email = template.parameters.get("BootstrapManagerEmail")?;
        Some((email.clone(), self.manager_password.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_until_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let password = |fresh: bool| {
            Secrets::open(&Data::open(folder.path(), fresh).unwrap())
                .unwrap()
                .manager_password
        };
        let first = password(false);
        assert_eq!(password(false), first);
        assert_ne!(password(true), first);
    }

    #[test]
    fn secrets_that_came_later_are_added() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets.json");
        let before = Secrets::open(&Data::open(folder.path(), false).unwrap()).unwrap();
        let mut older = serde_json::to_value(&before).unwrap();
        for later in ["sealing_keys", "push_keys"] {
            older.as_object_mut().unwrap().remove(later);
        }
        std::fs::write(&file, older.to_string()).unwrap();
        let sealing = || {
            Secrets::open(&Data::open(folder.path(), false).unwrap())
                .unwrap()
                .sealing_keys
        };
        let added = sealing();
        assert!(added.starts_with("1:") && added.len() == 66, "{added}");
        assert_eq!(sealing(), added);
        let after = Secrets::open(&Data::open(folder.path(), false).unwrap()).unwrap();
        assert_eq!(after.jwt_private_key, before.jwt_private_key);
        assert_eq!(after.request_keys, before.request_keys);
        assert!(after.push_keys.starts_with("1:") && after.push_keys != before.push_keys);
    }

    #[test]
    fn the_repositorys_template_can_be_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let template = Secrets::generate()
            .unwrap()
            .template(&folder, &BTreeMap::new())
            .unwrap();
        assert!(template.function("event-writer").is_some());
        assert!(template.routes.iter().any(|route| route.path == "/v1/auth/{proxy+}"));
    }
}
