//! The data folder: one runner at a time, and the secrets made at first start.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::keys::{KeyPair, random_secret};
use crate::template::Template;

/// An open data folder. While it is open, no other runner opens it.
#[derive(Debug)]
pub struct Data {
    folder: PathBuf,
    _lock: File,
}

/// What no template should hold, made at first start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Secrets {
    jwt_private_key: String,
    jwt_public_keys: String,
    cursor_secret: String,
    /// Absent in folders of an older runner.
    #[serde(default)]
    sealing_secret: String,
    manager_password: String,
}

const LOCK: &str = "lock";

impl Data {
    /// Opens a folder, and makes it if there is none. `fresh` deletes what it holds.
    pub fn open(folder: &Path, fresh: bool) -> Result<Self> {
        let ours = folder.join(LOCK).exists();
        let holds_something = folder.read_dir().is_ok_and(|mut entries| entries.next().is_some());
        if fresh && holds_something && !ours {
            bail!(
                "{} is no data folder of the local stack; it is not deleted",
                folder.display()
            );
        }
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let lock = OpenOptions::new().create(true).append(true).open(folder.join(LOCK));
        let lock = lock.with_context(|| format!("open the lock of {}", folder.display()))?;
        if lock.try_lock().is_err() {
            bail!(
                "{} is in use by another runner; stop it, or name another folder with --data",
                folder.display()
            );
        }
        if fresh {
            empty(&folder)?;
        }
        Ok(Self { folder, _lock: lock })
    }

    /// Yields where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the secrets; makes them at first start, and later those that came with a newer runner.
    pub fn secrets(&self) -> Result<Secrets> {
        let path = self.folder.join("secrets.json");
        let mut secrets = Secrets::generate()?;
        if path.exists() {
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let known: Secrets =
                serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
            if !known.sealing_secret.is_empty() {
                return Ok(known);
            }
            let sealing_secret = secrets.sealing_secret;
            secrets = Secrets {
                sealing_secret,
                ..known
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
}

fn empty(folder: &Path) -> Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name() == LOCK {
            continue;
        }
        let deleted = if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        deleted.with_context(|| format!("delete {}", path.display()))?;
    }
    Ok(())
}

impl Secrets {
    fn generate() -> Result<Self> {
        let pair = KeyPair::generate()?;
        Ok(Self {
            jwt_private_key: pair.private,
            jwt_public_keys: pair.public,
            cursor_secret: random_secret()?,
            sealing_secret: random_secret()?,
            manager_password: random_secret()?,
        })
    }

    /// Reads the template in `folder` with these secrets as parameters, as far as it has such parameters, then with
    /// those that are given.
    pub fn template(&self, folder: &Path, given: &BTreeMap<String, String>) -> Result<Template> {
        let made = [
            ("JwtPublicKeys", &self.jwt_public_keys),
            ("CursorSecret", &self.cursor_secret),
            ("SealingSecret", &self.sealing_secret),
        ];
        let declared = crate::template::parameter_names(folder)?;
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
    fn a_folder_has_one_runner() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::open(folder.path(), false).unwrap();
        let error = Data::open(folder.path(), true).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(data);
        Data::open(folder.path(), false).unwrap();
    }

    #[test]
    fn secrets_stay_until_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let password = |fresh: bool| {
            Data::open(folder.path(), fresh)
                .unwrap()
                .secrets()
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
        let before = Data::open(folder.path(), false).unwrap().secrets().unwrap();
        let mut older = serde_json::to_value(&before).unwrap();
        older.as_object_mut().unwrap().remove("sealing_secret");
        std::fs::write(&file, older.to_string()).unwrap();
        let sealing = || {
            Data::open(folder.path(), false)
                .unwrap()
                .secrets()
                .unwrap()
                .sealing_secret
        };
        let added = sealing();
        assert_eq!(added.len(), 43);
        assert_eq!(sealing(), added);
        let after = Data::open(folder.path(), false).unwrap().secrets().unwrap();
        assert_eq!(after.jwt_private_key, before.jwt_private_key);
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        assert!(Data::open(folder.path(), true).is_err());
        assert!(folder.path().join("thesis.txt").exists());
    }
}
