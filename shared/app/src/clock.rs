//! The one place that asks what time it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kernel::Time;

/// Tells the time. On one machine the local stack moves it by a file that `LOCAL_CLOCK` names; tests set it.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    /// The system's time, moved by the milliseconds that stand in this file.
    Moved(Arc<PathBuf>),
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// The system's clock, moved by the milliseconds that stand in a file, if it is there.
    pub fn moved_by(file: impl Into<PathBuf>) -> Self {
        Self(Kind::Moved(Arc::new(file.into())))
    }

    /// A clock that stands at `time` until it is moved.
    pub fn at(time: Time) -> Self {
        Self(Kind::Set(Arc::new(AtomicI64::new(time.millis()))))
    }

    /// Moves a clock made by [`Clock::at`]; the system's cannot be moved.
    pub fn advance(&self, millis: i64) {
        if let Kind::Set(time) = &self.0 {
            time.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// Whether its time passes by itself.
    pub(crate) fn runs(&self) -> bool {
        !matches!(self.0, Kind::Set(_))
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        match &self.0 {
            Kind::System => system(),
            Kind::Moved(file) => {
                // The file is replaced by rename, so it is whole or not there yet.
                let offset = std::fs::read_to_string(file.as_ref())
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                system().plus_millis(offset.unwrap_or(0))
            }
            Kind::Set(time) => Time::from_millis(time.load(Ordering::SeqCst)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "everyone else asks the clock")]
fn system() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
