//! Turns of one process at taking numbers. All documents of an organization are numbered by one counter, so of those that
//! try at the same moment one succeeds and the others have worked for nothing. Processes meet rarely and try again; what
//! one process does at once, such as a worker with its messages, waits here instead.
//!
//! Nothing rests on it: the counter's condition is what keeps numbers apart.

use std::array;
use std::sync::Arc;

use app::App;
use kernel::OrgId;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Organizations share so many turns.
const TURNS: usize = 64;

#[derive(Debug)]
struct Turns([Arc<Mutex<()>>; TURNS]);

impl Default for Turns {
    fn default() -> Self {
        Self(array::from_fn(|_| Arc::default()))
    }
}

/// A turn: numbers are taken while it is held.
#[must_use = "a turn ends when it is dropped"]
#[derive(Debug)]
pub(crate) struct Turn {
    _held: OwnedMutexGuard<()>,
}

/// Waits for an organization's turn, in the order in which it is asked for.
pub(crate) async fn turn(app: &App, org: OrgId) -> Turn {
    let turns = app.memory.of::<Turns>();
    let place = usize::try_from(org.bits() % TURNS as u128).unwrap_or(0);
    Turn {
        _held: turns.0[place].clone().lock_owned().await,
    }
}
