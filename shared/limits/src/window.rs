//! A limit's counter as a pool of units, window by window. Pure: time is passed in.
//!
//! The counter alone decides: it admits a lease only into the window that it holds, and never more units than the
//! limit. A unit is spent once, by the process that leased it, before the window's end by that process's clock; so of
//! each window at most the limit passes, however many processes there are, whoever dies, and whatever their clocks say.

use kernel::Time;
use lease::{Answer, Lease, Pool, Sizing};

use crate::Subject;

/// How long a window is. It begins with the first call after the window before.
pub(crate) const WINDOW: i64 = Time::MINUTE;
/// A process begins with a thousandth of the limit, so that one that idles keeps little from the others, and leases a
/// hundredth at most, and at most a fiftieth of what is left.
///
/// Of a limit of 10,000 that is at most 50 leases of 100 for the first half, then ln(5,000 / 50) / 0.02 = 230 smaller
/// ones, then 50 one by one: together some 330, or 0.033 for each call. (Counted: 359 to 396, as whole numbers are leased,
/// and small blocks at first.) A limit of 100 or less is leased one by one.
const FIRST: u64 = 1_000;
const LARGEST: u64 = 100;
const SHARE: u64 = 50;

/// How many calls a minute a subject may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Limit {
    pub(crate) subject: Subject,
    pub(crate) calls: u32,
}

/// A subject's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    /// When its window ends.
    pub(crate) ends_at: Time,
    /// How many units of the window were leased.
    pub(crate) taken: u32,
}

impl Limit {
    pub(crate) fn new(subject: Subject, calls: u32) -> Self {
        Self { subject, calls }
    }

    pub(crate) fn sizing(self) -> Sizing {
        let calls = self.calls.into();
        Sizing {
            first: calls / FIRST,
            largest: calls / LARGEST,
            share: SHARE,
            whole: Some(calls),
        }
    }

    /// What a lease is answered that was taken; the counter as it is now. A window is one lease, and has its end for a name.
    pub(crate) fn granted(self, counter: Counter) -> Answer<Time> {
        let ends_at = counter.ends_at;
        Answer::Granted(Lease { id: ends_at, ends_at }, self.pool(counter))
    }

    /// What one is answered that was not; the counter as it is, if there is one.
    pub(crate) fn refused(self, counter: Option<Counter>) -> Answer<Time> {
        Answer::Refused(counter.map(|counter| self.pool(counter)))
    }

    fn pool(self, counter: Counter) -> Pool {
        Pool {
            left: self.calls.saturating_sub(counter.taken).into(),
            until: counter.ends_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU64;

    use lease::{Ask, Closed, Holding, Report, Take};
    use lease_world::{Model, World, a_step, skews};
    use proptest::prelude::*;

    use super::*;

    const ONE: NonZeroU64 = NonZeroU64::MIN;

    /// The table's part: what the conditions of `Windows::ask` say, done one at a time; and how many calls passed in each
    /// window.
    #[derive(Debug)]
    struct Table {
        limit: Limit,
        counter: Option<Counter>,
        passed: BTreeMap<Time, u64>,
    }

    impl Table {
        fn new(calls: u32) -> Self {
            Self {
                limit: Limit::new(Subject::Address(None), calls),
                counter: None,
                passed: BTreeMap::new(),
            }
        }

        fn passed(&self) -> u64 {
            self.passed.values().sum()
        }
    }

    impl Model for Table {
        type Id = Time;

        fn sizing(&self) -> Sizing {
            self.limit.sizing()
        }

        fn ask(&mut self, ask: Ask<Time>, clock: Time) -> Answer<Time> {
            let running = self.counter.filter(|counter| counter.ends_at > clock);
            let units = u32::try_from(ask.units).unwrap();
            let next = match (ask.pool, running) {
                (None, None) => Some(Counter {
                    ends_at: clock.plus_millis(WINDOW),
                    taken: units,
                }),
                (Some(_), Some(counter)) if counter.taken + units <= self.limit.calls => Some(Counter {
                    taken: counter.taken + units,
                    ..counter
                }),
                _ => None,
            };
            match next {
                Some(counter) => self.limit.granted(*self.counter.insert(counter)),
                None => self.limit.refused(self.counter),
            }
        }

        fn done(&mut self, units: u64, report: Report<Time>, _now: Time) {
            *self.passed.entry(report.lease).or_default() += units;
        }

        fn close(&mut self, _closed: Closed<Time>) {}

        fn stir(&mut self, _choice: usize, _now: Time) {}
    }

    proptest! {
        #[test]
        fn no_window_ever_passes_more_than_its_limit(
            limit in prop_oneof![1..=5_u32, 1..=300_u32, 1..=20_000_u32],
            skews in skews(8),
            most_calls in 1..4_usize,
            steps in proptest::collection::vec(a_step(1), 1..600),
        ) {
            let mut world = World::new(Table::new(limit), &skews, most_calls);
            for step in &steps {
                world.step(step);
                for passed in world.model.passed.values() {
                    prop_assert!(*passed <= limit.into());
                }
            }
            // Windows do not begin sooner after one another than clocks are apart.
            let ends: Vec<i64> = world.model.passed.keys().map(|ends_at| ends_at.millis()).collect();
            prop_assert!(ends.windows(2).all(|pair| pair[1] - pair[0] >= WINDOW));
        }

        #[test]
        fn all_of_a_limit_passes_when_everybody_goes_on_calling(limit in 1..=3_000_u32, many in 1..12_usize) {
            let mut world = World::new(Table::new(limit), &vec![0; many], 1);
            let mut refused = vec![false; many];
            while refused.contains(&false) {
                for (at, refused) in refused.iter_mut().enumerate() {
                    *refused = !world.whole_call(at, ONE);
                }
            }
            prop_assert_eq!(world.model.passed(), u64::from(limit));
        }

        #[test]
        fn a_small_limit_is_leased_one_by_one(limit in 1..=100_u32, left in 1..=100_u64, size: u64) {
            let sizing = Limit::new(Subject::Address(None), limit).sizing();
            prop_assert_eq!(sizing.block(Some(left), size), 1);
            prop_assert_eq!(sizing.block(None, size), 1);
        }

        #[test]
        fn a_block_is_small_against_the_limit_and_what_is_left(limit in 1..10_000_000_u32, part in 0.0..1.0, size: u64) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a u32")]
            let left = u64::from((f64::from(limit) * part) as u32).max(1);
            let units = Limit::new(Subject::Address(None), limit).sizing().block(Some(left), size);
            prop_assert!(units >= 1 && units <= left);
            prop_assert!(units == 1 || (units * 100 <= u64::from(limit) && units * 50 <= left));
        }
    }

    /// 12,000 calls in a minute on a limit of 10,000, dealt to processes as a gateway might.
    fn check_cost(processes: usize, deal: impl Fn(usize) -> usize) {
        let mut world = World::new(Table::new(10_000), &vec![0; processes], 1);
        for call in 0..12_000 {
            world.whole_call(deal(call) % processes, ONE);
            world.now = world.now.plus_millis(4);
        }
        let (passed, writes) = (world.model.passed(), world.writes);
        println!("{processes} processes: {passed} of 12,000 calls passed a limit of 10,000 with {writes} writes");
        assert!((9_900..=10_000).contains(&passed), "{passed} passed");
        assert!(u64::from(writes) * 20 <= passed, "{writes} writes for {passed} calls");
    }

    #[test]
    fn a_large_limit_costs_few_writes() {
        check_cost(1, |_| 0);
        check_cost(8, |call| call);
        check_cost(8, |call| call / 500);
        // Uneven: the first process gets half of the calls, the next half of the rest, and so on.
        check_cost(8, |call| call.trailing_ones() as usize);
        check_cost(32, |call| call.wrapping_mul(2_654_435_761) >> 7);
    }

    #[test]
    fn an_idle_process_keeps_little() {
        let mut world = World::new(Table::new(10_000), &[0; 8], 1);
        for at in 0..8 {
            assert!(world.whole_call(at, ONE));
        }
        // Each has leased a first block of 10, spent one, and never calls again; the first goes on.
        let passed = (0..12_000).filter(|_| world.whole_call(0, ONE)).count();
        assert_eq!(passed, 10_000 - 8 - 7 * 9);
    }

    #[test]
    fn a_used_up_window_is_remembered_without_writing() {
        let mut world = World::new(Table::new(5), &[0], 1);
        let passed = (0..1_000).filter(|_| world.whole_call(0, ONE)).count();
        assert_eq!((passed, world.writes), (5, 5));
        world.now = world.now.plus_millis(WINDOW);
        assert!(world.whole_call(0, ONE));
    }

    #[test]
    fn a_unit_that_is_put_back_is_spent_in_its_own_window_only() {
        let (mut table, mut holding) = (Table::new(1), Holding::default());
        let mut take = |holding: &mut Holding<Time>, now| {
            loop {
                let (sizing, ask) = (
                    table.sizing(),
                    match holding.take(now, ONE, &table.sizing()) {
                        Take::Taken(portion) => return Some(portion),
                        Take::Short(_) => return None,
                        Take::Wanting(ask) => ask,
                    },
                );
                holding.note(now, &sizing, ask, table.ask(ask, now));
            }
        };
        let now = Time::from_millis(1_000_000);
        let unit = take(&mut holding, now).unwrap();
        assert!(take(&mut holding, now).is_none());
        holding.put_back(unit);
        let unit = take(&mut holding, now).unwrap();
        assert!(take(&mut holding, now).is_none());
        let later = now.plus_millis(WINDOW);
        let next = take(&mut holding, later).unwrap();
        holding.put_back(unit);
        assert!(take(&mut holding, later).is_none());
        holding.put_back(next);
        assert!(take(&mut holding, later).is_some());
    }
}
