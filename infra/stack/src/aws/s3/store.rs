//! Where objects are kept: their bytes as files in a folder, all else in the stack's store. A file is whole before a row
//! names it, and outlives its row for a moment; what no row names is deleted at the next start.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::body::Kept;
use crate::aws::store::Store;

/// The objects of a stack.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    rows: Store,
    folder: Arc<Path>,
    /// Deletes the folder in the end, if it is only for a while.
    _temporary: Option<Arc<tempfile::TempDir>>,
}

/// An object, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) key: String,
    pub(super) file: String,
    pub(super) size: u64,
    /// Without its quotes.
    pub(super) etag: String,
    /// Headers that come back with it: type, disposition, what its owner noted.
    pub(super) headers: Vec<(String, String)>,
    pub(super) modified_ms: i64,
    /// Header and value of its checksum.
    pub(super) checksum: Option<(String, String)>,
}

/// An upload in parts that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) begun_ms: i64,
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) file: String,
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) modified_ms: i64,
    /// The algorithm and the value of its checksum.
    pub(super) checksum: Option<(String, String)>,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS object (
        bucket TEXT NOT NULL, key TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
        headers TEXT NOT NULL, modified_ms INTEGER NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (bucket, key));
    CREATE TABLE IF NOT EXISTS upload (
        id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, begun_ms INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS part (
        upload TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
        modified_ms INTEGER NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY (upload, number));
";

type Rows<T> = rusqlite::Result<T>;

impl Objects {
    /// Opens the objects in a folder, or in one that goes with the handle.
    pub(super) fn open(rows: Store, folder: Option<PathBuf>) -> Result<Self> {
        rows.write(|db| db.execute_batch(SCHEMA))?;
        let temporary = match folder {
            None => Some(Arc::new(tempfile::tempdir().context("make a folder for objects")?)),
            Some(_) => None,
        };
        let folder = match (folder, &temporary) {
            (Some(folder), _) => folder,
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => unreachable!("one of them is there"),
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let this = Self {
            rows,
            folder: folder.into(),
            _temporary: temporary,
        };
        this.delete_unnamed()?;
        Ok(this)
    }

    fn delete_unnamed(&self) -> Result<()> {
        let named: HashSet<String> = self.rows.read(|db| {
            let mut select = db.prepare("SELECT file FROM object UNION SELECT file FROM part")?;
            select.query_map([], |row| row.get(0))?.collect()
        })?;
        for entry in self.folder.read_dir()? {
            let entry = entry?;
            if !named.contains(&*entry.file_name().to_string_lossy()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Deletes files that no row names any more.
    pub(super) fn discard(&self, files: impl IntoIterator<Item = String>) {
        for file in files {
            if let Err(error) = std::fs::remove_file(self.path(&file)) {
                tracing::warn!("an object's file stays until the next start: {error}");
            }
        }
    }

    pub(super) fn find(&self, bucket: &str, key: &str) -> Rows<Option<Object>> {
        let sql =
            "SELECT key, file, size, etag, headers, modified_ms, checksum FROM object WHERE bucket = ?1 AND key = ?2";
        self.rows
            .read(|db| db.query_row(sql, params![bucket, key], object).optional())
    }

    /// Puts an object in the place of another; `only_new` puts it only where none is. Says whether it did.
    pub(super) fn put(&self, bucket: &str, object: &Object, only_new: bool) -> Rows<bool> {
        let before = self.rows.write(|db| replace(db, bucket, object, only_new))?;
        if let Ok(before) = &before {
            self.discard(before.clone());
        }
        Ok(before.is_ok())
    }

    pub(super) fn delete(&self, bucket: &str, key: &str) -> Rows<()> {
        let sql = "DELETE FROM object WHERE bucket = ?1 AND key = ?2 RETURNING file";
        let file: Option<String> = self
            .rows
            .write(|db| db.query_row(sql, params![bucket, key], |row| row.get(0)).optional())?;
        self.discard(file);
        Ok(())
    }

    /// Lists objects whose keys begin with a prefix and come after another, in the order of their bytes.
    pub(super) fn list(&self, bucket: &str, prefix: &str, after: &str, most: usize) -> Rows<Vec<Object>> {
        self.rows.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT key, file, size, etag, headers, modified_ms, checksum FROM object
                 WHERE bucket = ?1 AND key > ?2 AND substr(key, 1, length(?3)) = ?3 ORDER BY key LIMIT ?4",
            )?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            select
                .query_map(params![bucket, after, prefix, most], object)?
                .collect()
        })
    }

    pub(super) fn begin(&self, bucket: &str, upload: &Upload) -> Rows<()> {
        let sql = "INSERT INTO upload (id, bucket, key, headers, begun_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
        let headers = write_pairs(&upload.headers);
        let values = params![upload.id, bucket, upload.key, headers, upload.begun_ms];
        self.rows.write(|db| db.execute(sql, values).map(|_| ()))
    }

    pub(super) fn uploads(&self, bucket: &str) -> Rows<Vec<Upload>> {
        self.rows.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT id, key, headers, begun_ms FROM upload WHERE bucket = ?1 ORDER BY key, begun_ms, id",
            )?;
            select.query_map([bucket], upload)?.collect()
        })
    }

    pub(super) fn upload(&self, bucket: &str, key: &str, id: &str) -> Rows<Option<Upload>> {
        let sql = "SELECT id, key, headers, begun_ms FROM upload WHERE id = ?1 AND bucket = ?2 AND key = ?3";
        self.rows
            .read(|db| db.query_row(sql, params![id, bucket, key], upload).optional())
    }

    /// Puts a part in the place of another with its number; not if the upload has ended meanwhile. Says whether it did.
    pub(super) fn put_part(&self, upload: &str, part: &Part) -> Rows<bool> {
        let before = self.rows.write(|db| {
            let is_open = db
                .prepare_cached("SELECT 1 FROM upload WHERE id = ?1")?
                .exists([upload])?;
            if !is_open {
                return Ok(None);
            }
            let sql = "SELECT file FROM part WHERE upload = ?1 AND number = ?2";
            let before: Option<String> = db
                .query_row(sql, params![upload, part.number], |row| row.get(0))
                .optional()?;
            let sql = "INSERT OR REPLACE INTO part (upload, number, file, size, etag, modified_ms, checksum)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let checksum = write_pairs(part.checksum.as_slice());
            let (file, etag) = (&part.file, &part.etag);
            db.execute(
                sql,
                params![upload, part.number, file, part.size, etag, part.modified_ms, checksum],
            )?;
            Ok(Some(before))
        })?;
        let was_put = before.is_some();
        self.discard(before.flatten());
        Ok(was_put)
    }

    pub(super) fn parts(&self, upload: &str) -> Rows<Vec<Part>> {
        self.rows.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT number, file, size, etag, modified_ms, checksum FROM part WHERE upload = ?1 ORDER BY number",
            )?;
            select.query_map([upload], part)?.collect()
        })
    }

    /// Ends an upload: with an object made of its parts, or with none. Says whether it was still under way.
    pub(super) fn end(&self, bucket: &str, upload: &str, made: Option<&Object>) -> Rows<bool> {
        let files = self.rows.write(|db| {
            if db.execute("DELETE FROM upload WHERE id = ?1", [upload])? == 0 {
                return Ok(None);
            }
            let mut delete = db.prepare_cached("DELETE FROM part WHERE upload = ?1 RETURNING file")?;
            let mut files: Vec<String> = delete.query_map([upload], |row| row.get(0))?.collect::<Rows<_>>()?;
            if let Some(object) = made {
                files.extend(replace(db, bucket, object, false)?.into_iter().flatten());
            }
            Ok(Some(files))
        })?;
        let was_open = files.is_some();
        self.discard(files.into_iter().flatten());
        Ok(was_open)
    }

    /// Joins files into a new one.
    pub(super) fn join(&self, files: &[String]) -> std::io::Result<String> {
        let joined = new_file();
        let mut out = std::fs::File::create_new(self.path(&joined))?;
        for file in files {
            std::io::copy(&mut std::fs::File::open(self.path(file))?, &mut out)?;
        }
        out.sync_all()?;
        Ok(joined)
    }
}

/// Names a file that is not there yet.
pub(super) fn new_file() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Object {
    /// Makes an object of a body.
    pub(super) fn of(key: &str, file: &str, kept: Kept, headers: Vec<(String, String)>, now: i64) -> Self {
        Self {
            key: key.to_owned(),
            file: file.to_owned(),
            size: kept.size,
            etag: kept.md5,
            headers,
            modified_ms: now,
            checksum: kept
                .checksum
                .map(|(algorithm, sum)| (format!("x-amz-checksum-{algorithm}"), sum)),
        }
    }
}

/// Replaces an object; yields the file of the one before, or an error if there was one and there must not be.
fn replace(db: &Connection, bucket: &str, object: &Object, only_new: bool) -> Rows<Result<Option<String>, ()>> {
    let sql = "SELECT file FROM object WHERE bucket = ?1 AND key = ?2";
    let before: Option<String> = db
        .query_row(sql, params![bucket, object.key], |row| row.get(0))
        .optional()?;
    if only_new && before.is_some() {
        return Ok(Err(()));
    }
    let sql = "INSERT OR REPLACE INTO object (bucket, key, file, size, etag, headers, modified_ms, checksum)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let checksum = write_pairs(object.checksum.as_slice());
    let headers = write_pairs(&object.headers);
    let (key, file, etag) = (&object.key, &object.file, &object.etag);
    db.execute(
        sql,
        params![
            bucket,
            key,
            file,
            object.size,
            etag,
            headers,
            object.modified_ms,
            checksum
        ],
    )?;
    Ok(Ok(before))
}

fn object(row: &Row) -> Rows<Object> {
    Ok(Object {
        key: row.get(0)?,
        file: row.get(1)?,
        size: row.get(2)?,
        etag: row.get(3)?,
        headers: read_pairs(&row.get::<_, String>(4)?),
        modified_ms: row.get(5)?,
        checksum: read_pairs(&row.get::<_, String>(6)?).pop(),
    })
}

fn upload(row: &Row) -> Rows<Upload> {
    Ok(Upload {
        id: row.get(0)?,
        key: row.get(1)?,
        headers: read_pairs(&row.get::<_, String>(2)?),
        begun_ms: row.get(3)?,
    })
}

fn part(row: &Row) -> Rows<Part> {
    Ok(Part {
        number: row.get(0)?,
        file: row.get(1)?,
        size: row.get(2)?,
        etag: row.get(3)?,
        modified_ms: row.get(4)?,
        checksum: read_pairs(&row.get::<_, String>(5)?).pop(),
    })
}

fn write_pairs(pairs: &[(String, String)]) -> String {
    serde_json::to_string(pairs).unwrap_or_default()
}

fn read_pairs(text: &str) -> Vec<(String, String)> {
    serde_json::from_str(text).unwrap_or_default()
}
