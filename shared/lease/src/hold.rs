//! Units that one call holds.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::leases::Seen;
use crate::{Holding, Portion, Report};

/// One process's share of a pool.
#[derive(Debug)]
pub(crate) struct Slot<I> {
    holding: Mutex<Holding<I>>,
    /// Held by the one who asks the pool.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

impl<I> Default for Slot<I> {
    fn default() -> Self {
        Self {
            holding: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }
}

impl<I> Slot<I> {
    pub(crate) fn holding(&self) -> MutexGuard<'_, Holding<I>> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Units held for one call. Dropped, they go back into the block; [`Hold::spent`], they are gone.
#[derive(Debug)]
pub struct Hold<I: Copy + Eq> {
    slot: Arc<Slot<I>>,
    /// Nothing once they are spent.
    portion: Option<Portion<I>>,
    seen: Seen,
}

impl<I: Copy + Eq> Hold<I> {
    pub(crate) fn new(slot: Arc<Slot<I>>, portion: Portion<I>) -> Self {
        let seen = Seen {
            enough: true,
            remaining: portion.remaining,
            until: portion.lease.ends_at,
        };
        Self {
            slot,
            portion: Some(portion),
            seen,
        }
    }

    /// The pool as it was when they were taken.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// How much of the lease is spent, with these units. Write it in the transaction, or send it in the message, that
    /// they pay for; then call [`Hold::spent`] if that was done or may have been, and drop the hold if it was not.
    pub fn report(&mut self) -> Report<I> {
        let portion = self.portion.as_mut();
        let portion = portion.expect("only `spent` takes the portion, and the hold with it");
        self.slot.holding().count(portion)
    }

    /// Names the lease that they are of.
    ///
    /// # Panics
    /// Never: only what takes the hold itself takes its units.
    pub fn lease(&self) -> I {
        let portion = self.portion.as_ref();
        portion.expect("only what takes the hold takes the portion").lease.id
    }

    /// Says that nobody knows whether what the units pay for was done. Nothing of their lease is spent any more, and it is
    /// not closed: the source tells by what was reported.
    pub fn abandon(mut self) {
        if let Some(portion) = self.portion.take() {
            self.slot.holding().abandon(portion);
        }
    }

    /// Says that what the units pay for was done.
    pub fn spent(mut self) {
        if let Some(portion) = self.portion.take() {
            self.slot.holding().spend(portion);
        }
    }
}

impl<I: Copy + Eq> Drop for Hold<I> {
    fn drop(&mut self) {
        if let Some(portion) = self.portion.take() {
            self.slot.holding().put_back(portion);
        }
    }
}
