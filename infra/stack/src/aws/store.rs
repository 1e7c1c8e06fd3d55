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
        first_received_ms INTEGER);
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
    CREATE TABLE IF NOT EXISTS firing (schedule TEXT PRIMARY KEY, expression TEXT NOT NULL, last_ms INTEGER NOT NULL);
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
