//! Failures at a subject:   pk LIMIT#<subject>   sk FAILURES   (gone a day after the last one, or once one succeeds)

use app::App;
use commit::{Commit, again};
use kernel::{Origin, Result, Time};
use table::{Key, Record, TableName, Write};

use super::{Failures, KEPT, Subject};

impl Record for Failures {
    const KIND: &'static str = "failures";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(&self.subject)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.at.plus_millis(KEPT))
    }
}

fn key(subject: &str) -> Key {
    Key::of(format!("LIMIT#{subject}"), "FAILURES")
}

/// An attempt that is charged as a failure as long as it is not known to be right.
#[must_use]
#[derive(Debug)]
pub(crate) struct Guess(Failures);

impl Guess {
    /// Charges an attempt; 429 `too_many_failures` if it comes too early. Of attempts at one moment each is charged, or
    /// `Busy`.
    pub(crate) async fn begin(app: &App, subject: Subject<'_>) -> Result<Self> {
        let name = subject.name();
        again(|| async {
            let found = app.table.get(&key(&name)).await?;
            let mut failures = found.unwrap_or_else(|| Failures::none(&name));
            failures.charge(app.now(), subject.longest())?;
            Commit::of(app, &Origin::default())
                .write("failures", Write::save(&failures)?)
                .await?;
            Ok(Self(failures))
        })
        .await
    }

    /// What forgets the failures before an attempt that was right, and the charge for it.
    pub(crate) fn forgotten(&self) -> Write {
        Write::remove(&self.0)
    }

    /// Forgets them at once.
    pub(crate) async fn was_right(&self, app: &App) -> Result<()> {
        let forgotten = Commit::of(app, &Origin::default()).write("failures", self.forgotten());
        Ok(forgotten.await?)
    }
}
