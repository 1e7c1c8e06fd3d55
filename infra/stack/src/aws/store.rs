//! The `SQLite` file behind queues, mails and schedules; in memory for tests. Survives kill -9.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rusqlite::Connection;

/// A shared connection: one writer at a time, as `SQLite` wants it.
#[derive(Clone)]
pub struct Store(Arc<Mutex<Connection>>);

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Store")
    }
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS message (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        md5 TEXT NOT NULL,
        attributes TEXT,
        system_attributes TEXT,
        source TEXT,
        sent_ms INTEGER NOT NULL,          -- test clock
        delayed_until_ms INTEGER NOT NULL, -- test clock; 0 if not delayed
        hidden_until_ms INTEGER NOT NULL,  -- real time: when sent, then the end of the visibility timeout
        in_flight INTEGER NOT NULL DEFAULT 0,
        receives INTEGER NOT NULL DEFAULT 0,
        first_received_ms INTEGER,
        message_group TEXT);
    CREATE INDEX IF NOT EXISTS message_due ON message (queue, hidden_until_ms);
    CREATE TABLE IF NOT EXISTS mail (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        sender TEXT NOT NULL,
        recipients TEXT NOT NULL,
        subject TEXT NOT NULL,
        html TEXT,
        plain TEXT,
        sent_ms INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS mail_header (mail TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS mail_headers ON mail_header (mail);
    CREATE TABLE IF NOT EXISTS mail_sending (mail TEXT PRIMARY KEY, configuration_set TEXT NOT NULL, tags TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS mail_file (mail TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, bytes BLOB NOT NULL);
    CREATE INDEX IF NOT EXISTS mail_files ON mail_file (mail);
    CREATE TABLE IF NOT EXISTS firing (schedule TEXT PRIMARY KEY, expression TEXT NOT NULL, last_ms INTEGER NOT NULL);
";

/// What stands on columns that an older file does not have before they are added.
const GROUPS: &str = "
    CREATE INDEX IF NOT EXISTS message_groups
        ON message (queue, message_group, in_flight, hidden_until_ms, delayed_until_ms) WHERE message_group IS NOT NULL;
";

impl Store {
    /// Makes a store that lives in memory.
    pub fn memory() -> Result<Self> {
        Self::over(Connection::open_in_memory()?)
    }

    /// Opens the store in `file`; makes it if there is none.
    pub fn open(file: &Path) -> Result<Self> {
        let connection = Connection::open(file).with_context(|| format!("open {}", file.display()))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Self::over(connection).with_context(|| format!("open {}", file.display()))
    }

    fn over(connection: Connection) -> Result<Self> {
        connection.execute_batch(SCHEMA)?;
        let has_groups = connection
            .prepare("SELECT 1 FROM pragma_table_info('message') WHERE name = 'message_group'")?
            .exists([])?;
        if !has_groups {
            connection.execute_batch("ALTER TABLE message ADD COLUMN message_group TEXT")?;
        }
        connection.execute_batch(GROUPS)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Runs `work` in one transaction: all of it is stored, or nothing.
    pub fn write<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction()?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Runs `work`, which only reads.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        work(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_older_runner_learns_of_groups() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("services.sqlite");
        let older = SCHEMA.replace(",\n        message_group TEXT", "");
        assert!(!older.contains("message_group"));
        Connection::open(&file).unwrap().execute_batch(&older).unwrap();
        for _ in 0..2 {
            let store = Store::open(&file).unwrap();
            let groups = store.read(|db| {
                db.query_row("SELECT count(message_group) FROM message", [], |row| {
                    row.get::<_, i64>(0)
                })
            });
            assert_eq!(groups.unwrap(), 0);
        }
    }
}
