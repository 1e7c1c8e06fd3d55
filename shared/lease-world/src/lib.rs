//! The world that sources of leases are tried in: many processes with clocks of their own spend one pool, and between any
//! two of their steps a call can fail, an answer can be lost, a process can die.
//!
//! What a source does with its table is a [`Model`] here, done one step at a time; the processes are real ones
//! ([`lease::Holding`]). The world asserts what holds of every source, the model's own tests what holds of it. For tests
//! only.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::num::NonZeroU64;

use kernel::Time;
use lease::{Answer, Ask, Closed, Holding, Portion, Report, Sizing, Take};
use proptest::prelude::*;

#[cfg(test)]
#[path = "tests/wallet.rs"]
mod wallet;

/// How long a call may take: a process that has not finished one by then is killed.
pub const LONGEST_CALL: i64 = 30 * Time::SECOND;
/// How far a clock may be off.
pub const MOST_SKEW: i64 = 5 * Time::SECOND;
/// So often does a call ask before it asks in vain.
const ATTEMPTS: u32 = 16;

/// The source's part, as its conditional writes do it.
pub trait Model {
    /// Names a lease.
    type Id: Copy + Eq + Debug;

    /// How large blocks are.
    fn sizing(&self) -> Sizing;

    /// Does what a process asks for, whose clock says `clock`.
    fn ask(&mut self, ask: Ask<Self::Id>, clock: Time) -> Answer<Self::Id>;

    /// Does what so many units pay for, and notes or sends the report with it. What does that is a transaction.
    fn done(&mut self, units: u64, report: Report<Self::Id>, now: Time);

    /// Gives back what is left of a lease.
    fn close(&mut self, closed: Closed<Self::Id>);

    /// Something happens that no process does: a message arrives, a sweeper looks. Which, `choice` says.
    fn stir(&mut self, choice: usize, now: Time);
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// What it is for is done.
    Done,
    /// It fails, after its units were counted for the write that was refused.
    Fails,
    /// It fails before that.
    Stops,
}

/// What happens next, to which of the processes.
#[derive(Clone, Debug)]
pub enum Step {
    /// A call for so many units arrives, or one that waits goes on.
    Call(usize, NonZeroU64),
    /// A call comes to its end.
    Finish(usize, Fate),
    /// What a process asked reaches the table.
    Reach(usize),
    /// The table's answer reaches the process.
    Hear(usize),
    /// It does not, or the question does not reach the table: which is for others to find out.
    Lose(usize),
    /// Something that was asked by a process that has died or given up reaches the table.
    Drift(usize),
    /// A process closes what is over.
    Close(usize),
    /// A process dies with all that it holds and has asked; another takes its place.
    Die(usize),
    /// A process closes all and ends; another takes its place.
    Retire(usize),
    /// Something happens that no process does.
    Stir(usize),
    /// Time goes on.
    Wait(i64),
}

/// Any step, of calls of at most so many units. Some happen more often than others.
pub fn a_step(most_units: u64) -> impl Strategy<Value = Step> {
    let units = (1..=most_units).prop_map(|units| NonZeroU64::new(units).expect("at least 1"));
    let fate = prop_oneof![8 => Just(Fate::Done), 1 => Just(Fate::Fails), 1 => Just(Fate::Stops)];
    prop_oneof![
        30 => (any::<usize>(), units).prop_map(|(at, units)| Step::Call(at, units)),
        25 => (any::<usize>(), fate).prop_map(|(at, fate)| Step::Finish(at, fate)),
        12 => any::<usize>().prop_map(Step::Reach),
        12 => any::<usize>().prop_map(Step::Hear),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => any::<usize>().prop_map(Step::Drift),
        1 => any::<usize>().prop_map(Step::Close),
        1 => any::<usize>().prop_map(Step::Die),
        1 => any::<usize>().prop_map(Step::Retire),
        8 => any::<usize>().prop_map(Step::Stir),
        2 => (0..3_000_i64).prop_map(Step::Wait),
        1 => (0..70_000_i64).prop_map(Step::Wait),
    ]
}

/// Processes by how far their clocks are ahead.
pub fn skews(most: usize) -> impl Strategy<Value = Vec<i64>> {
    proptest::collection::vec(-MOST_SKEW..MOST_SKEW, 1..most)
}

#[derive(Debug)]
struct Process<I> {
    holding: Holding<I>,
    /// How far its clock is ahead.
    skew_ms: i64,
    asked: Option<Ask<I>>,
    answered: Option<(Ask<I>, Answer<I>)>,
    /// What its calls hold, and since when.
    calls: VecDeque<(Portion<I>, Time)>,
}

impl<I> Process<I> {
    fn new(skew_ms: i64) -> Self {
        Self {
            holding: Holding::default(),
            skew_ms,
            asked: None,
            answered: None,
            calls: VecDeque::new(),
        }
    }
}

/// Many processes and one pool.
#[derive(Debug)]
pub struct World<M: Model> {
    /// The pool.
    pub model: M,
    /// What time it is; each process believes something else.
    pub now: Time,
    /// How many whole calls were made.
    pub calls: u32,
    /// How many questions reached the table.
    pub writes: u32,
    /// At how many calls a process may be at once.
    most_calls: usize,
    processes: Vec<Process<M::Id>>,
    /// What was asked by those who do not wait for the answer any more, and by which clock.
    adrift: Vec<(Ask<M::Id>, i64)>,
}

impl<M: Model> World<M> {
    /// A process for each of these clocks, which are so far ahead; each may be at so many calls at once.
    pub fn new(model: M, skews_ms: &[i64], most_calls: usize) -> Self {
        Self {
            most_calls,
            model,
            now: Time::from_millis(1_000_000),
            calls: 0,
            writes: 0,
            processes: skews_ms.iter().map(|skew| Process::new(*skew)).collect(),
            adrift: Vec::new(),
        }
    }

    /// Does one step.
    pub fn step(&mut self, step: &Step) {
        let many = self.processes.len();
        match *step {
            Step::Call(at, units) => {
                self.call(at % many, units);
            }
            Step::Finish(at, fate) => {
                self.finish(at % many, fate);
            }
            Step::Reach(at) => self.reach(at % many),
            Step::Hear(at) => self.hear(at % many),
            Step::Lose(at) => self.lose(at % many),
            Step::Drift(choice) => {
                if !self.adrift.is_empty() {
                    let (ask, skew_ms) = self.adrift.swap_remove(choice % self.adrift.len());
                    self.writes += 1;
                    self.model.ask(ask, self.now.plus_millis(skew_ms));
                }
            }
            Step::Close(at) => {
                let clock = self.clock(at % many);
                let closed = self.processes[at % many].holding.close_over(clock);
                self.close(closed);
            }
            Step::Die(at) => self.die(at % many),
            Step::Retire(at) => self.retire(at % many),
            Step::Stir(choice) => self.model.stir(choice, self.now),
            Step::Wait(millis) => self.wait(millis),
        }
    }

    /// A call that waits for its answers and is done; whether there were units for it.
    pub fn whole_call(&mut self, at: usize, units: NonZeroU64) -> bool {
        self.calls += 1;
        for _ in 0..ATTEMPTS {
            if let Some(taken) = self.call(at, units) {
                self.finish(at, Fate::Done);
                return taken;
            }
            self.reach(at);
            self.hear(at);
        }
        panic!("asked in vain");
    }

    /// Everybody's calls come to a good end.
    pub fn finish_all(&mut self) {
        for at in 0..self.processes.len() {
            while !self.processes[at].calls.is_empty() {
                self.finish(at, Fate::Done);
            }
        }
    }

    /// Everybody closes all and ends, in place of whom come others.
    pub fn retire_all(&mut self) {
        (0..self.processes.len()).for_each(|at| self.retire(at));
    }

    /// Everybody dies, in place of whom come others, and whatever was asked reaches the table.
    pub fn die_all(&mut self) {
        (0..self.processes.len()).for_each(|at| self.die(at));
        while !self.adrift.is_empty() {
            self.step(&Step::Drift(0));
        }
    }

    fn clock(&self, at: usize) -> Time {
        self.now.plus_millis(self.processes[at].skew_ms)
    }

    /// Nothing if the process waits for an answer or is busy.
    fn call(&mut self, at: usize, units: NonZeroU64) -> Option<bool> {
        let (clock, sizing) = (self.clock(at), self.model.sizing());
        let process = &mut self.processes[at];
        if process.asked.is_some() || process.answered.is_some() || process.calls.len() >= self.most_calls {
            return None;
        }
        match process.holding.take(clock, units, &sizing) {
            Take::Taken(portion) => {
                assert!(clock < portion.lease.ends_at, "units were taken after their lease");
                assert_eq!(portion.units, units.get());
                assert!(sizing.whole.is_none_or(|whole| portion.remaining < whole));
                process.calls.push_back((portion, self.now));
                Some(true)
            }
            Take::Short(pool) => {
                assert!(pool.left < units.get() && clock < pool.until);
                Some(false)
            }
            Take::Wanting(ask) => {
                let left = ask.pool.map(|pool| pool.left).or(sizing.whole);
                let share = left.map_or(1, |left| left / sizing.share).min(sizing.largest);
                assert!((1..=units.get().max(share)).contains(&ask.units), "{ask:?}");
                process.asked = Some(ask);
                // A lease that is over is closed before another one is asked for.
                let closed = process.holding.close_over(clock);
                self.close(closed);
                None
            }
        }
    }

    fn finish(&mut self, at: usize, fate: Fate) {
        let process = &mut self.processes[at];
        let Some((mut portion, _)) = process.calls.pop_front() else {
            return;
        };
        match fate {
            Fate::Done => {
                let report = process.holding.count(&mut portion);
                self.model.done(portion.units, report, self.now);
                process.holding.spend(portion);
            }
            Fate::Fails => {
                process.holding.count(&mut portion);
                process.holding.put_back(portion);
            }
            Fate::Stops => process.holding.put_back(portion),
        }
    }

    fn reach(&mut self, at: usize) {
        let clock = self.clock(at);
        if let Some(ask) = self.processes[at].asked.take() {
            self.writes += 1;
            self.processes[at].answered = Some((ask, self.model.ask(ask, clock)));
        }
    }

    fn hear(&mut self, at: usize) {
        let (clock, sizing) = (self.clock(at), self.model.sizing());
        let process = &mut self.processes[at];
        if let Some((ask, answer)) = process.answered.take() {
            process.holding.note(clock, &sizing, ask, answer);
        }
    }

    fn lose(&mut self, at: usize) {
        let process = &mut self.processes[at];
        process.answered = None;
        let asked = process.asked.take().map(|ask| (ask, process.skew_ms));
        self.adrift.extend(asked);
    }

    fn die(&mut self, at: usize) {
        self.lose(at);
        self.processes[at] = Process::new(self.processes[at].skew_ms);
    }

    /// Finishes its calls, closes what it holds, and ends.
    fn retire(&mut self, at: usize) {
        while !self.processes[at].calls.is_empty() {
            self.finish(at, Fate::Done);
        }
        self.hear(at);
        let closed = self.processes[at].holding.close();
        self.close(closed);
        self.die(at);
    }

    fn close(&mut self, closed: Option<Closed<M::Id>>) {
        if let Some(closed) = closed {
            self.model.close(closed);
        }
    }

    fn wait(&mut self, millis: i64) {
        self.now = self.now.plus_millis(millis);
        let begun_before = self.now.plus_millis(-LONGEST_CALL);
        for at in 0..self.processes.len() {
            if self.processes[at].calls.iter().any(|(_, since)| *since < begun_before) {
                self.die(at);
            }
        }
    }
}
