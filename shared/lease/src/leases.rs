//! One process's leases of all pools of a source.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::{Error, Result, Time};

use crate::hold::{Hold, Slot};
use crate::{Answer, Ask, Closed, Pool, Sizing, Take};

/// How many pools one process remembers.
const REMEMBERED: usize = 4_096;
/// An ask that is refused tells why, so that the next one fits; only others who are faster can refuse that too.
const ATTEMPTS: u32 = 16;

/// Where leases come from.
pub trait Source: Send + Sync {
    /// Names a pool.
    type Key: Clone + Eq + Hash + Send + Sync;
    /// Names a lease of a pool.
    type Id: Copy + Eq + Send + Sync;

    /// How large the blocks of a pool are.
    fn sizing(&self, key: &Self::Key) -> Sizing;

    /// Leases units of a pool, all that are asked for or none, by one conditional write. When it does not answer, what it
    /// may have leased is held by nobody, and so spent by nobody.
    fn ask(
        &self,
        key: &Self::Key,
        ask: Ask<Self::Id>,
        now: Time,
    ) -> impl Future<Output = Result<Answer<Self::Id>>> + Send;

    /// Gives back what was not spent of a lease. Sources whose leases end by themselves have nothing to do.
    fn close(
        &self,
        _key: &Self::Key,
        _closed: Closed<Self::Id>,
        _now: Time,
    ) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}

/// What became of taking from several pools at once.
#[derive(Debug)]
pub enum Taken<I: Copy + Eq> {
    /// Of each pool what was wanted, in the order of the question.
    All(Vec<Hold<I>>),
    /// Nothing of any pool, for one has too little left.
    None(Vec<Seen>),
}

/// A pool as a process knew it when it took of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it had enough.
    pub enough: bool,
    /// How many units are left, beside those that were wanted if there were enough.
    pub remaining: u64,
    /// When that ends: the lease, or that there is too little.
    pub until: Time,
}

/// One process's leases of all pools of a source.
pub struct Leases<S: Source> {
    source: S,
    slots: Slots<S::Key, S::Id>,
}

impl<S: Source> fmt::Debug for Leases<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").finish_non_exhaustive()
    }
}

impl<S: Source> Leases<S> {
    /// None yet, of this source.
    pub fn new(source: S) -> Self {
        Self {
            source,
            slots: Slots(Mutex::default()),
        }
    }

    /// Where they come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Takes units of each of these pools, or of none. `Busy` when a pool is asked in vain: others were always faster.
    pub async fn take(&self, wanted: &[(S::Key, NonZeroU64)], now: impl Fn() -> Time) -> Result<Taken<S::Id>> {
        let takes = wanted.iter().map(|(key, units)| self.take_one(key, *units, &now));
        // Those that were taken go back when this returns without them.
        let all: Vec<_> = futures::future::join_all(takes)
            .await
            .into_iter()
            .collect::<Result<_>>()?;
        if all.iter().all(Result::is_ok) {
            return Ok(Taken::All(all.into_iter().flatten().collect()));
        }
        let seen = all.iter().map(|taken| match taken {
            Ok(hold) => hold.seen(),
            Err(pool) => Seen {
                enough: false,
                remaining: pool.left,
                until: pool.until,
            },
        });
        Ok(Taken::None(seen.collect()))
    }

    /// Closes the leases that are over. What cannot be closed, because calls still hold units of it or the source does
    /// not answer, is left to whatever gives back what the dead held.
    pub async fn close_over(&self, now: Time) {
        for (key, slot) in self.slots.all() {
            let closed = slot.holding().close_over(now);
            self.close(&key, closed, now).await;
        }
    }

    /// Closes the lease of one pool, unless calls hold units of it.
    pub async fn close_one(&self, key: &S::Key, now: Time) {
        let closed = self.slots.of(key, now).holding().close();
        self.close(key, closed, now).await;
    }

    /// Closes all leases of which no call holds units: for a process that is about to end.
    pub async fn close_all(&self, now: Time) {
        for (key, slot) in self.slots.all() {
            let closed = slot.holding().close();
            self.close(&key, closed, now).await;
        }
    }

    async fn close(&self, key: &S::Key, closed: Option<Closed<S::Id>>, now: Time) {
        if let Some(closed) = closed
            && let Err(error) = self.source.close(key, closed, now).await
        {
            tracing::warn!(%error, "a lease was not closed");
        }
    }

    async fn take_one(
        &self,
        key: &S::Key,
        units: NonZeroU64,
        now: impl Fn() -> Time,
    ) -> Result<Result<Hold<S::Id>, Pool>> {
        let (slot, sizing) = (self.slots.of(key, now()), self.source.sizing(key));
        let (mut turn, mut noted) = (None, None);
        for _ in 0..ATTEMPTS {
            let ask = {
                let mut holding = slot.holding();
                if let Some((ask, answer)) = noted.take() {
                    holding.note(now(), &sizing, ask, answer);
                }
                match holding.take(now(), units, &sizing) {
                    Take::Taken(portion) => return Ok(Ok(Hold::new(Arc::clone(&slot), portion))),
                    Take::Short(pool) => return Ok(Err(pool)),
                    Take::Wanting(ask) => ask,
                }
            };
            if turn.is_some() {
                let over = slot.holding().close_over(now());
                self.close(key, over, now()).await;
                noted = Some((ask, self.source.ask(key, ask, now()).await?));
            } else {
                // One asks at a time; whoever waited looks first what the one before brought.
                turn = Some(slot.asking.lock().await);
            }
        }
        Err(Error::Busy)
    }
}

type Slotted<K, I> = HashMap<K, Arc<Slot<I>>>;

/// What one process holds, by pool.
struct Slots<K, I>(Mutex<Slotted<K, I>>);

impl<K: Clone + Eq + Hash, I: Copy + Eq> Slots<K, I> {
    /// The pool's slot; an empty one if it is not remembered.
    fn of(&self, key: &K, now: Time) -> Arc<Slot<I>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        if slots.len() >= REMEMBERED {
            slots.retain(|_, slot| !slot.holding().is_over(now));
        }
        if slots.len() >= REMEMBERED {
            // What they hold is spent by nobody: fewer calls pass, never more.
            slots.clear();
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }

    fn all(&self) -> Vec<(K, Arc<Slot<I>>)> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots
            .iter()
            .map(|(key, slot)| (key.clone(), Arc::clone(slot)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures::future::join_all;

    use super::*;
    use crate::Lease;

    const NOW: Time = Time::from_millis(1_000_000);
    const ONE: NonZeroU64 = NonZeroU64::MIN;

    /// Purses by their number. Each holds so many units; a lease of one lasts a second.
    #[derive(Debug, Default)]
    struct Purses(Mutex<State>);

    #[derive(Debug, Default)]
    struct State {
        units: BTreeMap<u32, u64>,
        asked: u32,
        asking: u32,
        most_asking: u32,
        leases: u32,
        closed: Vec<(u32, u64)>,
        is_away: bool,
        /// Whether it says that there is enough, and gives nothing.
        lies: bool,
    }

    impl Source for Purses {
        type Key = u32;
        type Id = u32;

        fn sizing(&self, _: &u32) -> Sizing {
            Sizing {
                first: 1,
                largest: 20,
                share: 10,
                whole: None,
            }
        }

        async fn ask(&self, key: &u32, ask: Ask<u32>, now: Time) -> Result<Answer<u32>> {
            {
                let mut state = self.0.lock().unwrap();
                state.asked += 1;
                state.asking += 1;
                state.most_asking = state.most_asking.max(state.asking);
            }
            tokio::task::yield_now().await;
            let mut state = self.0.lock().unwrap();
            state.asking -= 1;
            if state.is_away {
                return Err(Error::Busy);
            }
            let pool = |left| Pool {
                left,
                until: now.plus_seconds(1),
            };
            if state.lies {
                return Ok(Answer::Refused(Some(pool(u64::MAX))));
            }
            let left = state.units.entry(*key).or_default();
            let Some(rest) = left.checked_sub(ask.units) else {
                return Ok(Answer::Refused(Some(pool(*left))));
            };
            *left = rest;
            let id = ask.lease.unwrap_or(state.leases);
            state.leases = state.leases.max(id + 1);
            let ends_at = now.plus_seconds(1);
            Ok(Answer::Granted(Lease { id, ends_at }, pool(rest)))
        }

        async fn close(&self, _: &u32, closed: Closed<u32>, _now: Time) -> Result<()> {
            let mut state = self.0.lock().unwrap();
            if state.is_away {
                return Err(Error::Busy);
            }
            state.closed.push((closed.lease, closed.spent));
            Ok(())
        }
    }

    fn leases<const N: usize>(units: [(u32, u64); N]) -> Leases<Purses> {
        let state = State {
            units: units.into(),
            ..State::default()
        };
        Leases::new(Purses(Mutex::new(state)))
    }

    impl Leases<Purses> {
        fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
            look(&mut self.source.0.lock().unwrap())
        }

        async fn one(&self, key: u32) -> Option<Hold<u32>> {
            self.at(NOW, &[(key, ONE)]).await.and_then(|mut holds| holds.pop())
        }

        async fn at(&self, now: Time, wanted: &[(u32, NonZeroU64)]) -> Option<Vec<Hold<u32>>> {
            match self.take(wanted, || now).await.unwrap() {
                Taken::All(holds) => Some(holds),
                Taken::None(_) => None,
            }
        }
    }

    #[tokio::test]
    async fn of_many_callers_as_many_pass_as_there_are_units_and_one_asks_at_a_time() {
        let leases = leases([(1, 100)]);
        let calls = (0..300).map(async |_| leases.one(1).await.map(Hold::spent).is_some());
        let passed = join_all(calls).await.into_iter().filter(|passed| *passed).count();
        assert_eq!(passed, 100);
        let (asked, most_asking) = leases.state(|state| (state.asked, state.most_asking));
        assert_eq!(most_asking, 1);
        assert!(asked < 60, "asked {asked} times");
    }

    #[tokio::test]
    async fn of_several_pools_all_give_or_none() {
        let leases = leases([(1, 1), (2, 0)]);
        let both = [(1, ONE), (2, ONE)];
        for _ in 0..3 {
            let Taken::None(seen) = leases.take(&both, || NOW).await.unwrap() else {
                panic!("the second is empty");
            };
            assert_eq!(seen.iter().map(|seen| seen.enough).collect::<Vec<_>>(), [true, false]);
        }
        let asked = leases.state(|state| state.asked);
        assert!(leases.one(1).await.is_some(), "the unit came back");
        assert_eq!(leases.state(|state| state.asked), asked);
    }

    #[tokio::test]
    async fn what_was_taken_comes_back_when_another_pool_does_not_answer() {
        let leases = leases([(1, 1), (2, 1)]);
        drop(leases.one(1).await.unwrap());
        leases.state(|state| state.is_away = true);
        let refused = leases.take(&[(1, ONE), (2, ONE)], || NOW).await;
        assert!(matches!(refused, Err(Error::Busy)));
        assert!(leases.one(1).await.is_some());
    }

    #[tokio::test]
    async fn nobody_asks_for_ever() {
        let leases = leases([]);
        leases.state(|state| state.lies = true);
        assert!(matches!(leases.take(&[(1, ONE)], || NOW).await, Err(Error::Busy)));
        assert!(leases.state(|state| state.asked) <= ATTEMPTS);
    }

    #[tokio::test]
    async fn a_hold_reports_spends_or_returns() {
        let leases = leases([(1, 10)]);
        let mut kept = leases.at(NOW, &[(1, NonZeroU64::new(4).unwrap())]).await.unwrap();
        assert_eq!(kept[0].report().spent, 4);
        kept.into_iter().for_each(Hold::spent);
        let mut failed = leases.one(1).await.unwrap();
        assert_eq!(failed.report().spent, 5);
        drop(failed);
        assert_eq!(leases.one(1).await.unwrap().report().spent, 5);
        leases.close_all(NOW).await;
        assert_eq!(leases.state(|state| state.closed.clone()), [(0, 4)]);
    }

    #[tokio::test]
    async fn leases_that_are_over_are_closed() {
        let leases = leases([(1, 10), (2, 10)]);
        leases.one(1).await.unwrap().spent();
        let held = leases.one(2).await.unwrap();
        leases.close_over(NOW).await;
        assert!(leases.state(|state| state.closed.is_empty()), "they run");
        let later = NOW.plus_seconds(1);
        leases.close_over(later).await;
        assert_eq!(leases.state(|state| state.closed.clone()), [(0, 1)]);
        // Who needs another one closes the one before first, as soon as nobody holds any of it.
        held.spent();
        assert!(leases.at(later, &[(2, ONE)]).await.is_some());
        assert_eq!(leases.state(|state| state.closed.clone()), [(0, 1), (1, 1)]);
    }

    #[tokio::test]
    async fn a_lease_that_cannot_be_closed_is_let_go() {
        let leases = leases([(1, 10)]);
        leases.one(1).await.unwrap().spent();
        leases.state(|state| state.is_away = true);
        leases.close_all(NOW).await;
        leases.state(|state| state.is_away = false);
        leases.close_all(NOW).await;
        assert!(leases.state(|state| state.closed.is_empty()));
    }

    #[tokio::test]
    async fn no_number_of_callers_fills_the_memory() {
        let leases = leases([]);
        let remembered = || leases.slots.0.lock().unwrap().len();
        let many = u32::try_from(REMEMBERED).unwrap();
        let later = NOW.plus_seconds(1);
        for number in 0..3 * many {
            leases.state(|state| state.units.insert(number, 5));
            let now = if number % 1_000 == 0 { later } else { NOW };
            assert!(leases.at(now, &[(number, ONE)]).await.is_some());
            assert!(remembered() <= REMEMBERED);
        }
        assert_eq!(remembered(), REMEMBERED);
        // Those that are over go first: all but the four of the last 4,096 that were leased later.
        leases.slots.of(&u32::MAX, later);
        assert_eq!(remembered(), 4 + 1);
    }
}
