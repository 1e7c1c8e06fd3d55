//! Breakers in a world of many processes whose clocks are apart, beside the few lines that say what a breaker is.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const RULE: Rule = Rule {
    failures: 3,
    cool_down: Duration::from_secs(10),
    successes: 2,
};
/// Clocks are apart by at most twice this.
const SKEW: i64 = 2 * Time::SECOND;
const COOL_DOWN: i64 = 10 * Time::SECOND;
const START: i64 = 1_800_000_000_000;

impl Change {
    /// What DynamoDB does with it.
    fn apply(&self, state: &mut State) -> bool {
        let holds = self.wants.iter().all(|(field, want)| match want {
            Want::Is(value) => state.at(*field) == value,
            Want::AtMost(value) => &*state.at(*field) <= value,
        });
        if holds {
            self.sets.iter().for_each(|(field, value)| *state.at(*field) = *value);
            self.adds.iter().for_each(|field| *state.at(*field) += 1);
        }
        holds
    }
}

impl State {
    fn at(&mut self, field: Field) -> &mut i64 {
        match field {
            Field::Round => &mut self.round,
            Field::Failures => &mut self.failures,
            Field::FailedMs => &mut self.failed_ms,
            Field::Successes => &mut self.successes,
            Field::Trial => &mut self.trial,
            Field::TrialEndsMs => &mut self.trial_ends_ms,
        }
    }
}

/// A call under way: what it reports to.
#[derive(Clone, Copy, Debug)]
enum Call {
    Closed { round: i64, row: bool },
    Trial { number: i64, succeeded: i64 },
}

#[derive(Default)]
struct World {
    state: State,
    /// What it was at the read before: whoever reads may see that.
    before: State,
    now: i64,
    trials: i64,
    calls: Vec<Call>,
}

impl World {
    fn new() -> Self {
        Self {
            now: START,
            ..Self::default()
        }
    }

    fn change(&mut self, change: &Change) -> bool {
        self.before = self.state.clone();
        change.apply(&mut self.state)
    }

    /// As `Breaker::ask`, by a process whose clock is off by `skew`.
    fn ask(&mut self, skew: i64, is_stale: bool) -> Option<Call> {
        let read = if is_stale { &self.before } else { &self.state }.clone();
        let now = Time::from_millis(self.now + skew);
        match read.admission(RULE, now) {
            Admission::Pass => {
                let (round, row) = (read.round, read.failures > 0);
                Some(Call::Closed { round, row })
            }
            Admission::Refused { until } => {
                assert!(until > now);
                None
            }
            Admission::Trial => {
                self.trials += 1;
                let number = self.trials;
                let taken = self.change(&Change::trial(&read, number, now));
                let succeeded = self.state.successes;
                taken.then_some(Call::Trial { number, succeeded })
            }
        }
    }

    /// As `Breaker::report`.
    fn report(&mut self, call: Call, has_failed: bool, skew: i64) -> bool {
        let now = Time::from_millis(self.now + skew);
        let change = match (call, has_failed) {
            (Call::Closed { round, .. }, true) => Change::failure(round, RULE, now),
            (Call::Closed { round, row: true }, false) => Change::end_of_row(round, RULE),
            (Call::Closed { .. }, false) => return false,
            (Call::Trial { number, .. }, true) => Change::opened_anew(number, now),
            (Call::Trial { number, succeeded }, false) => Change::success(number, succeeded, RULE),
        };
        self.change(&change)
    }

    fn once(&mut self, has_failed: bool) -> bool {
        let call = self.ask(0, false);
        call.map(|call| self.report(call, has_failed, 0));
        call.is_some()
    }
}

/// What a breaker is, said for one process that makes one call after the other.
#[derive(Debug, PartialEq)]
enum Book {
    Closed { row: u32 },
    Open { until: i64, successes: u32 },
}

impl Book {
    /// Whether a call passes, and what it is after it.
    fn once(&mut self, now: i64, has_failed: bool) -> bool {
        let open = Self::Open {
            until: now + COOL_DOWN,
            successes: 0,
        };
        let (passes, then) = match *self {
            Self::Open { until, .. } if now < until => return false,
            Self::Open { .. } if has_failed => (true, open),
            Self::Open { successes, .. } if successes + 1 == RULE.successes => (true, Self::Closed { row: 0 }),
            Self::Open { until, successes } => {
                let successes = successes + 1;
                (true, Self::Open { until, successes })
            }
            Self::Closed { row } if has_failed && row + 1 == RULE.failures => (true, open),
            Self::Closed { row } if has_failed => (true, Self::Closed { row: row + 1 }),
            Self::Closed { .. } => (true, Self::Closed { row: 0 }),
        };
        *self = then;
        passes
    }
}

#[test]
fn the_rules_are_those_that_were_promised() {
    for (rule, failures, seconds, successes) in [
        (Rule::PROVIDER, 5, 30, 2),
        (Rule::EMAIL, 3, 60, 1),
        (Rule::WEBHOOK, 10, 15, 3),
    ] {
        assert_eq!(
            (rule.failures, rule.cool_down.as_secs(), rule.successes),
            (failures, seconds, successes)
        );
    }
}

#[test]
fn a_success_ends_a_row_and_a_row_opens() {
    let mut world = World::new();
    for has_failed in [true, true, false, true, true] {
        assert!(world.once(has_failed));
    }
    assert!(!world.state.is_open(RULE) && world.once(true) && world.state.is_open(RULE));
    assert!(!world.once(false));
    // One trial fails, and the cool-down begins anew; then two succeed.
    world.now += COOL_DOWN;
    assert!(world.once(true) && !world.once(false));
    world.now += COOL_DOWN;
    assert!(world.once(false) && world.state.is_open(RULE) && world.once(false));
    assert_eq!((world.state.failures, world.state.round), (0, 1));
}

#[test]
fn one_call_at_a_time_tries_and_who_died_blocks_nobody_for_long() {
    let mut world = World::new();
    for _ in 0..3 {
        world.once(true);
    }
    world.now += COOL_DOWN;
    let died = world.ask(0, false).unwrap();
    assert!(world.ask(0, false).is_none());
    world.now += TRIAL - 1;
    assert!(world.ask(0, false).is_none());
    world.now += 1;
    let next = world.ask(0, false).unwrap();
    // What the first one says now is about another time.
    assert!(!world.report(died, true, 0) && world.report(next, false, 0));
    assert!(world.once(false) && !world.state.is_open(RULE));
}

#[test]
fn what_was_called_before_says_nothing_of_after() {
    let mut world = World::new();
    let early: Vec<Call> = (0..5).map(|_| world.ask(0, false).unwrap()).collect();
    for call in &early[..3] {
        assert!(world.report(*call, true, 0));
    }
    let open = world.state.clone();
    // Neither prolongs the cool-down, nor closes it.
    world.now += Time::SECOND;
    assert!(!world.report(early[3], true, 0) && !world.report(early[4], false, 0));
    assert_eq!(world.state, open);
    world.now += COOL_DOWN;
    assert!(world.once(false) && world.once(false));
    assert!(!world.report(early[3], true, 0) && world.state.failures == 0);
}

proptest! {
    #[test]
    fn one_process_has_what_the_book_says(steps in prop::collection::vec((any::<bool>(), 0..8_000_i64), 1..80)) {
        let (mut world, mut book) = (World::new(), Book::Closed { row: 0 });
        for (has_failed, passed) in steps {
            world.now += passed;
            prop_assert_eq!(world.once(has_failed), book.once(world.now, has_failed));
            prop_assert_eq!(world.state.is_open(RULE), matches!(book, Book::Open { .. }));
        }
    }

    /// Steps: a call begins, one ends (well or not, or never), time passes.
    #[test]
    fn many_processes_with_clocks_apart_keep_it(
        steps in prop::collection::vec((0..4_u8, any::<prop::sample::Index>(), any::<bool>(), -SKEW..=SKEW, 0..6_000_i64), 1..160),
    ) {
        let mut world = World::new();
        // When it opened, by the true time.
        let mut opened: Option<i64> = None;
        for (kind, which, flag, skew, passed) in steps {
            match kind {
                0 | 1 => {
                    let was_open = world.state.is_open(RULE);
                    // Whoever reads what is stale passes in any case, so that is not asked here.
                    let call = world.ask(skew, flag && !was_open);
                    if let (Some(Call::Trial { .. }), Some(at)) = (call, opened) {
                        prop_assert!(world.now - at >= COOL_DOWN - 2 * SKEW);
                    }
                    let closed = matches!(call, Some(Call::Closed { .. }));
                    prop_assert!(!(was_open && closed));
                    world.calls.extend(call);
                }
                2 if !world.calls.is_empty() => {
                    let call = world.calls.swap_remove(which.index(world.calls.len()));
                    let before = world.state.clone();
                    let counts = world.report(call, flag, skew);
                    let (was, is) = (before.is_open(RULE), world.state.is_open(RULE));
                    match call {
                        // Nothing that began while it was closed closes or prolongs it.
                        Call::Closed { .. } if was => prop_assert!(!counts),
                        Call::Closed { round, .. } => prop_assert!(!counts || round == before.round),
                        Call::Trial { number, .. } => {
                            prop_assert_eq!(counts, before.trial == number);
                            // One failure opens it anew, two successes close it.
                            prop_assert!(!counts || is == (flag || before.successes + 1 < 2));
                        }
                    }
                    if is && (world.state.failed_ms != before.failed_ms) {
                        opened = Some(world.now);
                    }
                }
                _ => world.now += passed,
            }
            prop_assert!(world.state.failures <= 3 && world.state.successes < 2);
        }
        // When all is well again it closes, whoever died.
        world.now += TRIAL + COOL_DOWN + 2 * SKEW;
        for _ in 0..2 {
            world.once(false);
        }
        prop_assert!(!world.state.is_open(RULE));
    }
}
