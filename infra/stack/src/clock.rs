//! Time: the machine's, moved forward by what tests ask for. The only place that reads the wall clock.
//!
//! Functions see the same time: they read the offset, in milliseconds, from the file that `LOCAL_CLOCK` names.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio::sync::watch;

/// Tells the time that functions, delays and schedules go by.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    source: Source,
    file: Option<PathBuf>,
    offset_ms: AtomicI64,
    moves: watch::Sender<i64>,
    /// By how much it was moved, and when by the machine's time.
    history: Mutex<Vec<(i64, i64)>>,
}

enum Source {
    System,
    Follow(Box<dyn Fn() -> i64 + Send + Sync>),
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Clock({} ms ahead)", self.offset_ms())
    }
}

impl Clock {
    /// Makes a clock that goes by the system's, until it is moved.
    pub fn system() -> Self {
        Self::new(Source::System, None, 0)
    }

    /// Makes a clock that goes by `now`, in milliseconds since 1970: a test's own.
    pub fn following(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self::new(Source::Follow(Box::new(now)), None, 0)
    }

    /// Opens the clock whose offset is kept in `file`; makes the file if there is none.
    pub fn open(file: &Path) -> Result<Self> {
        let offset = match std::fs::read_to_string(file) {
            Ok(text) => text
                .trim()
                .parse()
                .with_context(|| format!("{} holds no offset", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        let clock = Self::new(Source::System, Some(file.to_owned()), offset);
        clock.store(offset)?;
        Ok(clock)
    }

    fn new(source: Source, file: Option<PathBuf>, offset: i64) -> Self {
        let moves = watch::Sender::new(offset);
        Self(Arc::new(Inner {
            source,
            file,
            offset_ms: AtomicI64::new(offset),
            moves,
            history: Mutex::default(),
        }))
    }

    /// Tells the time in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        let base = match &self.0.source {
            Source::System => real_ms(),
            Source::Follow(now) => now(),
        };
        base + self.offset_ms()
    }

    /// Tells the time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms()).unwrap_or(Timestamp::MAX)
    }

    /// Tells how far it is ahead of its source, in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        self.0.offset_ms.load(Ordering::SeqCst)
    }

    /// Moves it forward by `seconds`; on return every function that looks sees the new time.
    pub fn advance(&self, seconds: u32) -> Result<()> {
        let offset = self.offset_ms() + i64::from(seconds) * 1000;
        self.store(offset)?;
        self.0.offset_ms.store(offset, Ordering::SeqCst);
        let moved = (real_ms(), i64::from(seconds) * 1000);
        self.0
            .history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(moved);
        self.0.moves.send_replace(offset);
        Ok(())
    }

    /// Tells by how much it was moved since a moment of the machine's time: how much older than by that time something
    /// is that was made then.
    pub fn moved_since(&self, real_ms: i64) -> i64 {
        let history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.iter().filter(|(at, _)| *at >= real_ms).map(|(_, by)| by).sum()
    }

    /// Watches it for moves.
    pub fn moves(&self) -> watch::Receiver<i64> {
        self.0.moves.subscribe()
    }

    /// Names the file that functions read the offset from, if it is kept in one.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Replaces the file as a whole, so that nobody reads half an offset.
    fn store(&self, offset: i64) -> Result<()> {
        let Some(file) = &self.0.file else { return Ok(()) };
        let next = file.with_extension("next");
        std::fs::write(&next, offset.to_string()).with_context(|| format!("write {}", next.display()))?;
        std::fs::rename(&next, file).with_context(|| format!("replace {}", file.display()))
    }
}

/// Tells the machine's own time in milliseconds since 1970, whatever tests did to the clock.
pub fn real_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Writes a time in milliseconds since 1970 as RFC 3339, in UTC, to the millisecond.
pub fn rfc3339(ms: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(ms).unwrap_or_default())
}

impl dynoxide::storage_backend::Clock for Clock {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from(self.now_ms() / 1000).unwrap_or_default()
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay below 2^53")]
    fn now_unix_secs_f64(&self) -> f64 {
        self.now_ms() as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_kept_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock");
        Clock::open(&file).unwrap().advance(90).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "90000");
        let again = Clock::open(&file).unwrap();
        assert_eq!(again.offset_ms(), 90_000);
        assert!(again.now_ms() - real_ms() > 89_000);
    }

    #[test]
    fn it_can_follow_a_tests_own_time() {
        let clock = Clock::following(|| 5_000);
        clock.advance(2).unwrap();
        assert_eq!(clock.now_ms(), 7_000);
    }
}
