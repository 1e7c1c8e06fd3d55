//! What one process holds of one pool, and what it asks for. Pure: time is passed in.
//!
//! The pool alone decides what is leased. A unit is spent once, by the process that leased it, before the lease's end by
//! that process's clock; so no more is spent than was leased, however many processes there are, whoever dies, and
//! whatever their clocks say.

use std::num::NonZeroU64;

use kernel::Time;

use crate::Sizing;

/// A block is for so many calls as large as the one for which it is leased, at least, where what is left allows it.
const CALLS: u64 = 8;

/// A lease by its name: a source tells by it whether units belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease<I> {
    /// What the source calls it.
    pub id: I,
    /// Nothing of it is spent from this time on.
    pub ends_at: Time,
}

/// A pool as a source last told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How many units nobody has leased.
    pub left: u64,
    /// How long that may be believed: so long are calls refused from memory that want more than is left.
    pub until: Time,
}

/// What a process asks a pool for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<I> {
    /// So many units.
    pub units: u64,
    /// The pool as it was last told of, while that may be believed.
    pub pool: Option<Pool>,
    /// The lease that is held and runs: the units may be added to it, or be a lease of their own.
    pub lease: Option<I>,
}

/// What became of an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<I> {
    /// All of the units were leased: to the lease that is held, if it is called the same, or else to a new one, which is
    /// held from now on in its place.
    Granted(Lease<I>, Pool),
    /// None was. The pool as it is, if that is known: the next ask fits it.
    Refused(Option<Pool>),
}

/// What a call may do.
#[derive(Debug, PartialEq, Eq)]
pub enum Take<I> {
    /// Go on, with these units.
    Taken(Portion<I>),
    /// Come again later: so much is left, with what this process holds.
    Short(Pool),
    /// Ask the pool first.
    Wanting(Ask<I>),
}

/// Units that were taken for one call, to be given to [`Holding::spend`] or [`Holding::put_back`] of where they come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Portion<I> {
    /// Of which lease.
    pub lease: Lease<I>,
    /// How many.
    pub units: u64,
    /// How many more there are, as far as this process knows.
    pub remaining: u64,
    /// Whether they are in the lease's count already.
    counted: bool,
}

/// How much of a lease is spent: all that was counted since it began and did not come back. Never less than what was done,
/// and exactly that if the process is at one call at a time; so whoever keeps the largest report of a lease keeps enough,
/// in whatever order they come and however often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<I> {
    /// Of which lease.
    pub lease: I,
    /// So many units.
    pub spent: u64,
}

/// A lease that its process spends no more of, and exactly what it did spend. It may be less than was reported, when one of
/// several calls at a time was counted and failed after all; this is the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<I> {
    /// Which lease.
    pub lease: I,
    /// So many units of it were spent; the others are to be given back.
    pub spent: u64,
}

/// What a process holds of a pool.
#[derive(Clone, Debug)]
pub struct Holding<I> {
    pool: Option<Pool>,
    lease: Option<Held<I>>,
    /// Leases whose place another one has taken, as long as calls hold units of them.
    former: Vec<Held<I>>,
    /// How many units to lease next, before what is left bounds them.
    size: u64,
    leased_at: Time,
}

/// A lease and where its units are. Those that are neither in the block nor out were spent.
#[derive(Clone, Copy, Debug)]
struct Held<I> {
    lease: Lease<I>,
    /// Units that nobody has taken.
    block: u64,
    /// Units that calls have taken and are not done with.
    out: u64,
    /// Units that were spent, or are out and counted as if they were.
    counted: u64,
}

impl<I> Default for Holding<I> {
    fn default() -> Self {
        Self {
            pool: None,
            lease: None,
            former: Vec::new(),
            size: 0,
            leased_at: Time::default(),
        }
    }
}

impl<I: Copy + Eq> Holding<I> {
    /// Takes units from the block, if so many are held whose lease runs.
    pub fn take(&mut self, now: Time, units: NonZeroU64, sizing: &Sizing) -> Take<I> {
        let (units, pool) = (units.get(), self.pool.filter(|pool| now < pool.until));
        let running = self.lease.as_mut().filter(|held| now < held.lease.ends_at);
        let block = running.as_ref().map_or(0, |held| held.block);
        let lease = running.as_ref().map(|held| held.lease.id);
        if let Some(held) = running
            && block >= units
        {
            held.block -= units;
            held.out += units;
            return Take::Taken(Portion {
                lease: held.lease,
                units,
                remaining: pool.map_or(0, |pool| pool.left).saturating_add(held.block),
                counted: false,
            });
        }
        let missing = units - block;
        match pool {
            Some(pool) if pool.left < missing => Take::Short(Pool {
                left: pool.left + block,
                ..pool
            }),
            _ => Take::Wanting(Ask {
                // Who wants many at once does so again.
                units: sizing
                    .block(pool.map(|pool| pool.left), self.size.max(units.saturating_mul(CALLS)))
                    .max(missing),
                pool,
                lease,
            }),
        }
    }

    /// Notes what became of an ask.
    pub fn note(&mut self, now: Time, sizing: &Sizing, ask: Ask<I>, answer: Answer<I>) {
        let (lease, pool) = match answer {
            Answer::Granted(lease, pool) => (lease, pool),
            Answer::Refused(pool) => {
                self.pool = pool;
                return;
            }
        };
        self.pool = Some(pool);
        self.size = sizing.next(self.size, now.millis() - self.leased_at.millis());
        self.leased_at = now;
        match &mut self.lease {
            Some(held) if held.lease.id == lease.id => {
                held.lease = lease;
                held.block += ask.units;
            }
            // The lease was let go of meanwhile, and what was added to it comes back with it.
            _ if ask.lease == Some(lease.id) => {}
            held => {
                let new = Held {
                    lease,
                    block: ask.units,
                    out: 0,
                    counted: 0,
                };
                self.former.extend(held.replace(new).filter(|held| held.out > 0));
            }
        }
    }

    /// Counts units as spent, and tells how much of their lease is, with them. To be written with what they pay for: so
    /// nothing that was done is left out, whoever dies. Counting them again changes nothing.
    pub fn count(&mut self, portion: &mut Portion<I>) -> Report<I> {
        let held = self.held(portion.lease.id);
        if !portion.counted {
            held.counted += portion.units;
            portion.counted = true;
        }
        Report {
            lease: portion.lease.id,
            spent: held.counted,
        }
    }

    /// Takes note that units are gone for good: what they pay for was done.
    pub fn spend(&mut self, mut portion: Portion<I>) {
        self.count(&mut portion);
        self.held(portion.lease.id).out -= portion.units;
        self.former.retain(|held| held.out > 0);
    }

    /// Takes units back that paid for nothing: the next call spends them, if their lease still runs.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "who puts units back has none of them any more"
    )]
    pub fn put_back(&mut self, portion: Portion<I>) {
        let held = self.held(portion.lease.id);
        held.out -= portion.units;
        held.block += portion.units;
        if portion.counted {
            held.counted -= portion.units;
        }
        self.former.retain(|held| held.out > 0);
    }

    /// Takes note that nobody knows whether what units pay for was done. The lease is spent of and reported no more, and never
    /// closed: the source tells by what was reported of it whether they were, once nothing can be under way any more.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "who does not know what became of units has none of them any more"
    )]
    pub fn abandon(&mut self, portion: Portion<I>) {
        self.former
            .extend(self.lease.take_if(|held| held.lease.id == portion.lease.id));
        let held = self.held(portion.lease.id);
        held.out -= portion.units;
        self.former.retain(|held| held.out > 0);
    }

    /// Lets go of the lease, if it is over and no call holds units of it.
    pub fn close_over(&mut self, now: Time) -> Option<Closed<I>> {
        self.close_if(|held| now >= held.lease.ends_at)
    }

    /// Lets go of the lease, if no call holds units of it.
    pub fn close(&mut self) -> Option<Closed<I>> {
        self.close_if(|_| true)
    }

    fn close_if(&mut self, may: impl Fn(&Held<I>) -> bool) -> Option<Closed<I>> {
        let held = self.lease.take_if(|held| held.out == 0 && may(held))?;
        Some(Closed {
            lease: held.lease.id,
            spent: held.counted,
        })
    }

    /// Whether nothing is lost by forgetting it.
    pub fn is_over(&self, now: Time) -> bool {
        let lease = self.lease.as_ref().map_or(Time::default(), |held| held.lease.ends_at);
        let pool = self.pool.map_or(Time::default(), |pool| pool.until);
        now >= lease.max(pool) && self.lease.iter().chain(&self.former).all(|held| held.out == 0)
    }

    fn held(&mut self, lease: I) -> &mut Held<I> {
        let mut all = self.lease.iter_mut().chain(&mut self.former);
        let held = all.find(|held| held.lease.id == lease);
        held.expect("a lease is kept while calls hold units of it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000_000);
    const ONE: NonZeroU64 = NonZeroU64::MIN;
    const SIZING: Sizing = Sizing {
        first: 10,
        largest: 10,
        share: 1,
        whole: None,
    };

    /// One that holds `units` of lease `id`, which ends in a second, and believes that `left` more are left.
    fn granted(holding: &mut Holding<u32>, id: u32, units: u64, left: u64) {
        let ask = Ask {
            units,
            pool: None,
            lease: None,
        };
        let lease = Lease {
            id,
            ends_at: NOW.plus_seconds(1),
        };
        let until = NOW.plus_seconds(2);
        holding.note(NOW, &SIZING, ask, Answer::Granted(lease, Pool { left, until }));
    }

    fn holds(units: u64, left: u64) -> Holding<u32> {
        let mut holding = Holding::default();
        granted(&mut holding, 1, units, left);
        holding
    }

    fn taken(holding: &mut Holding<u32>, units: u64) -> Portion<u32> {
        match holding.take(NOW, NonZeroU64::new(units).unwrap(), &SIZING) {
            Take::Taken(portion) => portion,
            other => panic!("{other:?}"),
        }
    }

    fn wanted(holding: &mut Holding<u32>, now: Time, units: u64) -> Result<(u64, Option<u32>), Pool> {
        match holding.take(now, NonZeroU64::new(units).unwrap(), &SIZING) {
            Take::Taken(portion) => panic!("{portion:?}"),
            Take::Wanting(ask) => Ok((ask.units, ask.lease)),
            Take::Short(pool) => Err(pool),
        }
    }

    #[test]
    fn what_is_asked_for_is_what_is_missing_or_a_block() {
        let mut holding = holds(5, 100);
        assert_eq!(wanted(&mut holding, NOW, 8), Ok((10, Some(1))));
        assert_eq!(wanted(&mut holding, NOW, 50), Ok((45, Some(1))));
        assert_eq!(wanted(&mut holding, NOW, 105), Ok((100, Some(1))));
        assert_eq!(wanted(&mut holding, NOW, 106).unwrap_err().left, 105);
        assert_eq!(taken(&mut holding, 5).remaining, 100);
    }

    #[test]
    fn no_unit_is_spent_after_its_lease() {
        let mut holding = holds(5, 100);
        let over = NOW.plus_seconds(1);
        assert_eq!(wanted(&mut holding, over, 1), Ok((10, None)));
        // Nor is what was told of the pool believed after its time.
        assert_eq!(wanted(&mut holding, over, 101).unwrap_err().left, 100);
        assert_eq!(wanted(&mut holding, NOW.plus_seconds(2), 101), Ok((101, None)));
    }

    #[test]
    fn units_come_back_to_the_block_or_are_spent() {
        let mut holding = holds(3, 0);
        let (spent, back) = (taken(&mut holding, 2), taken(&mut holding, 1));
        assert!(wanted(&mut holding, NOW, 1).is_err());
        holding.spend(spent);
        holding.put_back(back);
        assert_eq!(taken(&mut holding, 1).remaining, 0);
        assert!(wanted(&mut holding, NOW, 1).is_err());
    }

    #[test]
    fn a_report_counts_all_that_was_done_and_what_may_be() {
        let mut holding = holds(10, 0);
        let mut calls = [1, 2, 4].map(|units| taken(&mut holding, units));
        let spent: Vec<u64> = calls.iter_mut().map(|call| holding.count(call).spent).collect();
        assert_eq!(spent, [1, 3, 7]);
        assert_eq!(holding.count(&mut calls[0]).spent, 7, "counting twice counts once");
        let [done, failed, done_too] = calls;
        holding.spend(done);
        holding.put_back(failed);
        holding.spend(done_too);
        let mut last = taken(&mut holding, 3);
        assert_eq!(holding.count(&mut last), Report { lease: 1, spent: 8 });
        assert_eq!(holding.close(), None, "a call holds units of it");
        holding.put_back(last);
        assert_eq!(holding.close(), Some(Closed { lease: 1, spent: 5 }));
        assert_eq!(holding.close(), None);
    }

    #[test]
    fn a_lease_that_another_replaces_keeps_its_own_count() {
        let mut holding = holds(5, 100);
        let (mut first, second) = (taken(&mut holding, 2), taken(&mut holding, 1));
        granted(&mut holding, 2, 10, 90);
        holding.put_back(second);
        assert_eq!(holding.count(&mut first), Report { lease: 1, spent: 2 });
        holding.spend(first);
        let mut third = taken(&mut holding, 4);
        assert_eq!(holding.count(&mut third), Report { lease: 2, spent: 4 });
        assert_eq!(wanted(&mut holding, NOW, 7), Ok((10, Some(2))));
        assert!(holding.former.is_empty());
    }

    #[test]
    fn a_lease_of_which_nobody_knows_what_was_done_is_neither_spent_nor_closed() {
        let mut holding = holds(10, 100);
        let (doubtful, other) = (taken(&mut holding, 2), taken(&mut holding, 1));
        holding.abandon(doubtful);
        assert_eq!(holding.close(), None);
        assert_eq!(wanted(&mut holding, NOW, 1), Ok((10, None)), "a lease of its own");
        // Who has units of it still spends or returns them.
        holding.spend(other);
        assert!(holding.former.is_empty() && holding.lease.is_none());
    }

    #[test]
    fn what_is_added_to_a_lease_that_was_let_go_of_is_not_spent() {
        for let_go in [
            |holding: &mut Holding<u32>| assert!(holding.close().is_some()),
            |holding: &mut Holding<u32>| {
                let doubtful = taken(holding, 1);
                holding.abandon(doubtful);
            },
        ] {
            let mut holding = holds(5, 100);
            let Take::Wanting(ask) = holding.take(NOW, NonZeroU64::new(8).unwrap(), &SIZING) else {
                panic!("there are 5");
            };
            assert_eq!(ask.lease, Some(1));
            let_go(&mut holding);
            let lease = Lease {
                id: 1,
                ends_at: NOW.plus_seconds(1),
            };
            let pool = Pool {
                left: 90,
                until: NOW.plus_seconds(2),
            };
            holding.note(NOW, &SIZING, ask, Answer::Granted(lease, pool));
            assert_eq!(wanted(&mut holding, NOW, 1), Ok((10, None)), "a lease of its own");
            assert_eq!(holding.close(), None);
        }
    }

    #[test]
    fn a_lease_is_let_go_when_it_is_over() {
        let mut holding = holds(5, 0);
        let call = taken(&mut holding, 1);
        let over = NOW.plus_seconds(1);
        assert_eq!(holding.close_over(over), None, "a call holds units of it");
        holding.spend(call);
        assert_eq!(holding.close_over(NOW), None);
        assert!(!holding.is_over(over), "it is still known that nothing is left");
        assert!(holding.is_over(NOW.plus_seconds(2)));
        assert_eq!(holding.close_over(over), Some(Closed { lease: 1, spent: 1 }));
    }

    #[test]
    fn a_pool_that_nothing_is_known_of_is_asked() {
        let mut holding = holds(0, 0);
        assert!(wanted(&mut holding, NOW, 1).is_err());
        let ask = Ask {
            units: 1,
            pool: None,
            lease: None,
        };
        holding.note(NOW, &SIZING, ask, Answer::Refused(None));
        assert!(matches!(
            holding.take(NOW, ONE, &SIZING),
            Take::Wanting(Ask {
                pool: None,
                units: 1,
                ..
            })
        ));
    }
}
