//! The data folder: one runner at a time.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// An open data folder. While it is open, no other runner opens it.
#[derive(Debug)]
pub struct Data {
    folder: PathBuf,
    _lock: File,
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
    fn a_folder_of_somebody_else_is_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
        assert!(Data::open(folder.path(), true).is_err());
        assert!(folder.path().join("thesis.txt").exists());
    }
}
