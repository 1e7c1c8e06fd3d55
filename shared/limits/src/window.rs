//! What one process holds of one subject's limit, and what it asks the counter for. Pure: time is passed in.
//!
//! The counter alone decides: it admits a lease only into the window that it holds, and never more units than the
//! limit. A unit is spent once, by the process that leased it, before the window's end by that process's clock; so of
//! each window at most the limit passes, however many processes there are, whoever dies, and whatever their clocks say.

use kernel::Time;

/// How long a window is. It begins with the first call after the window before.
pub(crate) const WINDOW: i64 = Time::MINUTE;
/// A block that lasts less than this is followed by one twice as large, one that lasts longer than the other by a half.
const QUICK: i64 = 2 * Time::SECOND;
const SLOW: i64 = 10 * Time::SECOND;
/// A process begins with a thousandth of the limit, so that one that idles keeps little from the others, and leases a
/// hundredth at most.
const FIRST: u32 = 1_000;
const LARGEST: u32 = 100;

/// A subject's counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    /// When its window ends.
    pub(crate) ends_at: Time,
    /// How many units of the window were leased.
    pub(crate) taken: u32,
}

/// What a process asks the counter for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// To begin a window with so many units leased, if none is running.
    Open { units: u32 },
    /// To lease so many units of the running window, if so many are left.
    Lease { units: u32 },
}

impl Ask {
    fn units(self) -> u32 {
        match self {
            Self::Open { units } | Self::Lease { units } => units,
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was done; the counter as it is now.
    Granted(Counter),
    /// It was not; the counter as it is, if there is one.
    Refused(Option<Counter>),
}

/// What a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spend {
    /// Pass: a unit was spent for it.
    Spent(Unit),
    /// Come again when the window has ended.
    Refused(Counter),
    /// Ask the counter first.
    Wanting(Ask),
}

/// A spent unit, by its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// When the window ends.
    pub(crate) ends_at: Time,
    /// How many more there are, as far as this process knows.
    pub(crate) remaining: u32,
}

/// What a process holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holding {
    /// The counter as it was last seen; nothing before.
    counter: Counter,
    /// Units that were leased of its window and not spent.
    block: u32,
    /// How many units to lease next, before what is left bounds them.
    size: u32,
    leased_at: Time,
}

impl Holding {
    /// Spends a unit, if one is held whose window runs.
    pub(crate) fn spend(&mut self, now: Time, limit: u32) -> Spend {
        if now >= self.counter.ends_at {
            let units = block(limit, limit, self.size);
            return Spend::Wanting(Ask::Open { units });
        }
        let left = limit.saturating_sub(self.counter.taken);
        if self.block > 0 {
            self.block -= 1;
            return Spend::Spent(Unit {
                ends_at: self.counter.ends_at,
                remaining: left.saturating_add(self.block),
            });
        }
        if left == 0 {
            return Spend::Refused(self.counter);
        }
        let units = block(limit, left, self.size);
        Spend::Wanting(Ask::Lease { units })
    }

    /// Takes a unit back that was spent for a call that did not pass.
    pub(crate) fn put_back(&mut self, unit: Unit) {
        if unit.ends_at == self.counter.ends_at {
            self.block += 1;
        }
    }

    /// Notes what became of an ask.
    pub(crate) fn note(&mut self, now: Time, limit: u32, ask: Ask, answer: Answer) {
        let counter = match answer {
            Answer::Granted(counter) => counter,
            Answer::Refused(counter) => counter.unwrap_or_default(),
        };
        if counter.ends_at != self.counter.ends_at {
            self.block = 0;
        }
        self.counter = counter;
        if let Answer::Granted(_) = answer {
            self.block += ask.units();
            self.size = next_size(self.size, limit, now.millis() - self.leased_at.millis());
            self.leased_at = now;
        }
    }

    /// Whether nothing is lost by forgetting it.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        now >= self.counter.ends_at
    }
}

/// How many units to lease when so many are left: `size`, but at least 1, and at most 1 % of the limit and 2 % of what
/// is left.
///
/// Of a limit of 10,000 that is at most 50 leases of 100 for the first half, then ln(5,000 / 50) / 0.02 = 230 smaller
/// ones, then 50 one by one: together some 330, or 0.033 for each call. (Counted: 359 to 396, as whole numbers are leased,
/// and small blocks at first.) A limit of 100 or less is leased one by one.
fn block(limit: u32, left: u32, size: u32) -> u32 {
    size.max(limit / FIRST).min(limit / LARGEST).min(left / 50).max(1)
}

fn next_size(size: u32, limit: u32, lasted_ms: i64) -> u32 {
    let size = match lasted_ms {
        // Doubling nothing must come to something.
        ..QUICK => size.saturating_mul(2).max(2),
        QUICK..=SLOW => size,
        _ => size / 2,
    };
    size.clamp(limit / FIRST, limit / LARGEST)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The table's part: what the conditions of `store::ask` say, done one at a time.
    fn ask(stored: &mut Option<Counter>, ask: Ask, now: Time, limit: u32) -> Answer {
        let running = stored.filter(|counter| counter.ends_at > now);
        let next = match (ask, running) {
            (Ask::Open { units }, None) => Some(Counter {
                ends_at: now.plus_millis(WINDOW),
                taken: units,
            }),
            (Ask::Lease { units }, Some(counter)) if counter.taken + units <= limit => Some(Counter {
                taken: counter.taken + units,
                ..counter
            }),
            _ => None,
        };
        match next {
            Some(counter) => Answer::Granted(*stored.insert(counter)),
            None => Answer::Refused(*stored),
        }
    }

    #[derive(Clone, Debug, Default)]
    struct Process {
        holding: Holding,
        /// How far its clock is ahead.
        skew_ms: i64,
        asked: Option<Ask>,
        answered: Option<(Ask, Answer)>,
    }

    /// Many processes, one counter, and how many calls passed in each window.
    #[derive(Debug)]
    struct World {
        limit: u32,
        now: Time,
        counter: Option<Counter>,
        processes: Vec<Process>,
        passed: BTreeMap<Time, u32>,
        calls: u32,
        writes: u32,
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A call arrives, or one that waits goes on.
        Call(usize),
        /// What a process asked reaches the table.
        Reach(usize),
        /// The table's answer reaches the process.
        Hear(usize),
        /// A process dies with all it holds and has asked; another takes its place.
        Die(usize),
        Wait(i64),
    }

    impl World {
        fn new(limit: u32, skews_ms: &[i64]) -> Self {
            let process = |skew_ms: &i64| Process {
                skew_ms: *skew_ms,
                ..Process::default()
            };
            Self {
                limit,
                now: Time::from_millis(1_000_000),
                counter: None,
                processes: skews_ms.iter().map(process).collect(),
                passed: BTreeMap::new(),
                calls: 0,
                writes: 0,
            }
        }

        fn step(&mut self, step: &Step) {
            let many = self.processes.len();
            match *step {
                Step::Call(at) => {
                    self.call(at % many);
                }
                Step::Reach(at) => self.reach(at % many),
                Step::Hear(at) => self.hear(at % many),
                Step::Die(at) => {
                    let skew_ms = self.processes[at % many].skew_ms;
                    self.processes[at % many] = Process {
                        skew_ms,
                        ..Process::default()
                    };
                }
                Step::Wait(millis) => self.now = self.now.plus_millis(millis),
            }
        }

        /// Nothing if the process waits for an answer.
        fn call(&mut self, at: usize) -> Option<bool> {
            let (limit, process) = (self.limit, &mut self.processes[at]);
            let now = self.now.plus_millis(process.skew_ms);
            if process.asked.is_some() || process.answered.is_some() {
                return None;
            }
            match process.holding.spend(now, limit) {
                Spend::Spent(unit) => {
                    assert!(now < unit.ends_at, "a unit was spent after its window");
                    assert!(unit.remaining < limit);
                    *self.passed.entry(unit.ends_at).or_default() += 1;
                    Some(true)
                }
                Spend::Refused(counter) => {
                    assert!(counter.taken >= limit && now < counter.ends_at);
                    Some(false)
                }
                Spend::Wanting(ask) => {
                    assert!(ask.units() >= 1 && ask.units() <= (limit / 100).max(1));
                    process.asked = Some(ask);
                    None
                }
            }
        }

        fn reach(&mut self, at: usize) {
            let process = &mut self.processes[at];
            if let Some(wish) = process.asked.take() {
                self.writes += 1;
                let now = self.now.plus_millis(process.skew_ms);
                process.answered = Some((wish, ask(&mut self.counter, wish, now, self.limit)));
            }
        }

        fn hear(&mut self, at: usize) {
            let process = &mut self.processes[at];
            if let Some((ask, answer)) = process.answered.take() {
                let now = self.now.plus_millis(process.skew_ms);
                process.holding.note(now, self.limit, ask, answer);
            }
        }

        /// A call that waits for its answers; whether it passed.
        fn whole_call(&mut self, at: usize) -> bool {
            self.calls += 1;
            for _ in 0..crate::ATTEMPTS {
                if let Some(passed) = self.call(at) {
                    return passed;
                }
                self.reach(at);
                self.hear(at);
            }
            panic!("asked in vain");
        }

        fn passed(&self) -> u32 {
            self.passed.values().sum()
        }
    }

    fn a_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            30 => any::<usize>().prop_map(Step::Call),
            12 => any::<usize>().prop_map(Step::Reach),
            12 => any::<usize>().prop_map(Step::Hear),
            1 => any::<usize>().prop_map(Step::Die),
            2 => (0..3_000_i64).prop_map(Step::Wait),
            1 => (0..70_000_i64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn no_window_ever_passes_more_than_its_limit(
            limit in prop_oneof![1..=5_u32, 1..=300_u32, 1..=20_000_u32],
            skews in proptest::collection::vec(-5_000..5_000_i64, 1..8),
            steps in proptest::collection::vec(a_step(), 1..600),
        ) {
            let mut world = World::new(limit, &skews);
            for step in &steps {
                world.step(step);
                for passed in world.passed.values() {
                    prop_assert!(*passed <= limit);
                }
            }
            // Windows do not begin sooner after one another than clocks are apart.
            let ends: Vec<i64> = world.passed.keys().map(|ends_at| ends_at.millis()).collect();
            prop_assert!(ends.windows(2).all(|pair| pair[1] - pair[0] >= WINDOW));
        }

        #[test]
        fn all_of_a_limit_passes_when_everybody_goes_on_calling(limit in 1..=3_000_u32, many in 1..12_usize) {
            let mut world = World::new(limit, &vec![0; many]);
            let mut refused = vec![false; many];
            while refused.contains(&false) {
                for (at, refused) in refused.iter_mut().enumerate() {
                    *refused = !world.whole_call(at);
                }
            }
            prop_assert_eq!(world.passed(), limit);
        }

        #[test]
        fn a_small_limit_is_leased_one_by_one(limit in 1..=100_u32, left in 1..=100_u32, size in any::<u32>()) {
            prop_assert_eq!(block(limit, left, size), 1);
        }

        #[test]
        fn a_block_is_small_against_the_limit_and_what_is_left(limit in 1..10_000_000_u32, part in 0.0..1.0, size in any::<u32>()) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a u32")]
            let left = ((f64::from(limit) * part) as u32).max(1);
            let units = u64::from(block(limit, left, size));
            prop_assert!(units >= 1 && units <= u64::from(left));
            prop_assert!(units == 1 || (units * 100 <= u64::from(limit) && units * 50 <= u64::from(left)));
        }
    }

    /// 12,000 calls in a minute on a limit of 10,000, dealt to processes as a gateway might.
    fn check_cost(processes: usize, deal: impl Fn(usize) -> usize) {
        let mut world = World::new(10_000, &vec![0; processes]);
        for call in 0..12_000 {
            world.whole_call(deal(call) % processes);
            world.now = world.now.plus_millis(4);
        }
        let (passed, writes) = (world.passed(), world.writes);
        println!("{processes} processes: {passed} of 12,000 calls passed a limit of 10,000 with {writes} writes");
        assert!((9_900..=10_000).contains(&passed), "{passed} passed");
        assert!(writes * 20 <= passed, "{writes} writes for {passed} calls");
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
        let mut world = World::new(10_000, &[0; 8]);
        for at in 0..8 {
            assert!(world.whole_call(at));
        }
        // Each has leased a first block of 10, spent one, and never calls again; the first goes on.
        let passed = (0..12_000).filter(|_| world.whole_call(0)).count();
        assert_eq!(passed, 10_000 - 8 - 7 * 9);
    }

    #[test]
    fn a_used_up_window_is_remembered_without_writing() {
        let mut world = World::new(5, &[0]);
        let passed = (0..1_000).filter(|_| world.whole_call(0)).count();
        assert_eq!((passed, world.writes), (5, 5));
        world.now = world.now.plus_millis(WINDOW);
        assert!(world.whole_call(0));
    }

    #[test]
    fn a_unit_that_is_put_back_is_spent_in_its_own_window_only() {
        let mut world = World::new(1, &[0]);
        assert!(world.whole_call(0));
        let unit = Unit {
            ends_at: *world.passed.keys().next().unwrap(),
            remaining: 0,
        };
        world.processes[0].holding.put_back(unit);
        assert!(world.whole_call(0) && !world.whole_call(0));
        world.now = world.now.plus_millis(WINDOW);
        assert!(world.whole_call(0));
        world.processes[0].holding.put_back(unit);
        assert!(!world.whole_call(0));
    }
}
