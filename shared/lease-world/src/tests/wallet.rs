//! A wallet, as small as it can be: a source whose units may not vanish. A lease is an item made in one transaction with the
//! debit; what it was spent on is reported with each call, in the call's own transaction or by a message that may come
//! twice, late and out of order, and is noted at the lease or, while that is young, stored beside it; what the dead held comes
//! back after a grace. Shows that a [`Holding`] is enough for it.
//!
//! [`Holding`]: lease::Holding

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use kernel::Time;
use lease::{Answer, Ask, Closed, Lease, Pool, Report, Sizing};
use proptest::prelude::*;

use crate::{LONGEST_CALL, MOST_SKEW, Model, Step, World, a_step, skews};

/// How long a lease may be spent.
const RUNS: i64 = 60 * Time::SECOND;
/// How long a process believes what it was told of the balance when it was too small.
const BELIEVED: i64 = 2 * Time::SECOND;
/// What is held of a lease comes back so long after its end, in the time of the slowest message: no call that took units
/// before the end, by any clock, has not sent its report by then.
const GRACE: i64 = LONGEST_CALL + MOST_SKEW;

/// So young is a lease whose reports are stored beside it, …
const YOUNG: i64 = RUNS + MOST_SKEW;
/// … which takes so long: what is not stored by then is not stored at all.
const LONGEST_PUT: i64 = GRACE - MOST_SKEW - 2 * MOST_SKEW;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reports {
    /// In the transaction of what was paid for.
    Ride,
    /// In a message to a queue.
    Travel,
    /// In a message to a queue, from where those of young leases are stored, one beside the other.
    Gather,
}

/// Who ended a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Its process, which knows what it spent: reports that come later are older.
    Owner,
    /// The sweeper, which knows what was reported.
    Sweeper,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    units: u64,
    spent: u64,
    until: Time,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    report: Report<u32>,
    sent_at: Time,
    arrived: bool,
}

#[derive(Debug)]
struct Wallet {
    reports: Reports,
    granted: u64,
    balance: u64,
    leases: BTreeMap<u32, Item>,
    /// What the leases were spent on that are there no more, and who said so.
    settled: BTreeMap<u32, (u64, By)>,
    messages: Vec<Message>,
    /// Reports that are about to be stored, until when, and those that are.
    storing: Vec<(Message, Time)>,
    stored: Vec<Report<u32>>,
    /// What was reported of a lease after it came back: never, if the grace is long enough.
    late: u64,
    /// The truth: how many units paid for something that was done.
    done: u64,
}

impl Wallet {
    fn new(granted: u64, reports: Reports) -> Self {
        Self {
            reports,
            granted,
            balance: granted,
            leases: BTreeMap::new(),
            settled: BTreeMap::new(),
            messages: Vec::new(),
            storing: Vec::new(),
            stored: Vec::new(),
            late: 0,
            done: 0,
        }
    }

    fn top_up(&mut self, credits: u64) {
        self.granted += credits;
        self.balance += credits;
    }

    /// How many units are leased and not known to be spent.
    fn leased(&self) -> u64 {
        self.leases.values().map(|item| item.units - item.spent).sum()
    }

    fn spent(&self) -> u64 {
        let live: u64 = self.leases.values().map(|item| item.spent).sum();
        live + self.settled()
    }

    fn settled(&self) -> u64 {
        self.settled.values().map(|(spent, _)| spent).sum()
    }

    /// What its owner has paid, once all leases are over.
    fn charged(&self) -> u64 {
        self.granted - self.balance
    }

    /// What holds after every step.
    fn check(&self) {
        assert_eq!(self.balance + self.leased() + self.spent(), self.granted);
        let could_be_spent: u64 = self.leases.values().map(|item| item.units).sum();
        assert!(self.done <= could_be_spent + self.settled(), "{self:?}");
        assert_eq!(self.late, 0, "{self:?}");
    }

    /// Keeps the largest report of a lease.
    fn report(&mut self, Report { lease, spent }: Report<u32>) {
        if let Some(item) = self.leases.get_mut(&lease) {
            item.spent = item.spent.max(spent);
            assert!(item.spent <= item.units, "more was spent than was leased");
        } else {
            let (settled, by) = self.settled[&lease];
            if by == By::Sweeper {
                self.late += spent.saturating_sub(settled);
            }
        }
    }

    fn end(&mut self, lease: u32, spent: u64, by: By) {
        if let Some(item) = self.leases.remove(&lease) {
            self.balance += item.units - spent;
            self.settled.insert(lease, (spent, by));
        }
    }

    /// A message arrives, for the first time or again.
    fn deliver(&mut self, choice: usize, now: Time) {
        if self.messages.is_empty() {
            return;
        }
        let message = self.messages[choice % self.messages.len()];
        let item = self.leases.get(&message.report.lease);
        // A writer does not look whether the lease is there; here, who closed has the last word anyway.
        let is_young = item.is_some_and(|item| now < item.until.plus_millis(YOUNG - RUNS));
        if self.reports == Reports::Gather && is_young {
            self.storing.push((message, now.plus_millis(LONGEST_PUT)));
            return;
        }
        self.arrive(message.report, choice);
        self.report(message.report);
    }

    fn arrive(&mut self, report: Report<u32>, choice: usize) {
        let is_it = |message: &Message| message.report == report;
        for message in self.messages.iter_mut().filter(|message| is_it(message)) {
            message.arrived = true;
        }
        if !choice.is_multiple_of(3) {
            self.messages.retain(|message| !is_it(message));
        }
    }

    /// What is to be stored is; or its writer dies, and the message comes again.
    fn store(&mut self, choice: usize) {
        if self.storing.is_empty() {
            return;
        }
        let (message, _) = self.storing.swap_remove(choice % self.storing.len());
        if !choice.is_multiple_of(5) {
            self.stored.push(message.report);
            self.arrive(message.report, choice);
        }
    }

    /// What is stored of a lease.
    fn largest(&self, lease: u32) -> u64 {
        let reports = self.stored.iter().filter(|report| report.lease == lease);
        reports.map(|report| report.spent).max().unwrap_or(0)
    }

    /// The sweeper gives back what the dead held, as old as the queue is.
    fn sweep(&mut self, now: Time) {
        let waiting = self.messages.iter().filter(|message| !message.arrived);
        let oldest = waiting.map(|message| message.sent_at).min().unwrap_or(now);
        let over = self
            .leases
            .iter()
            .filter(|(_, item)| item.until.plus_millis(GRACE) < oldest);
        let over: Vec<_> = over
            .map(|(lease, item)| (*lease, item.spent.max(self.largest(*lease))))
            .collect();
        for (lease, spent) in over {
            self.end(lease, spent, By::Sweeper);
        }
    }
}

impl Model for Wallet {
    type Id = u32;

    fn sizing(&self) -> Sizing {
        Sizing {
            first: 1,
            largest: 1_000,
            share: 100,
            whole: None,
        }
    }

    fn ask(&mut self, ask: Ask<u32>, clock: Time) -> Answer<u32> {
        if self.balance < ask.units {
            return Answer::Refused(Some(Pool {
                left: self.balance,
                until: clock.plus_millis(BELIEVED),
            }));
        }
        self.balance -= ask.units;
        let extended = ask.lease.and_then(|lease| Some((lease, self.leases.get_mut(&lease)?)));
        let lease = if let Some((lease, item)) = extended {
            item.units += ask.units;
            Lease {
                id: lease,
                ends_at: item.until,
            }
        } else {
            let id = u32::try_from(self.leases.len() + self.settled.len()).unwrap();
            let until = clock.plus_millis(RUNS);
            let item = Item {
                units: ask.units,
                spent: 0,
                until,
            };
            self.leases.insert(id, item);
            Lease { id, ends_at: until }
        };
        Answer::Granted(
            lease,
            Pool {
                left: self.balance,
                until: lease
                    .ends_at
                    .min(clock.plus_millis(if self.balance == 0 { BELIEVED } else { RUNS })),
            },
        )
    }

    fn done(&mut self, units: u64, report: Report<u32>, now: Time) {
        self.done += units;
        match self.reports {
            Reports::Ride => self.report(report),
            Reports::Travel | Reports::Gather => self.messages.push(Message {
                report,
                sent_at: now,
                arrived: false,
            }),
        }
    }

    /// The last word of who knows: not the largest report, which may have counted what then failed.
    fn close(&mut self, closed: Closed<u32>) {
        self.end(closed.lease, closed.spent, By::Owner);
    }

    fn stir(&mut self, choice: usize, now: Time) {
        self.storing.retain(|(_, until)| now < *until);
        match choice % 8 {
            0 => self.sweep(now),
            1..=3 => self.store(choice / 8),
            _ => self.deliver(choice / 8, now),
        }
    }
}

/// Everything arrives, and the grace is over.
fn settle(world: &mut World<Wallet>) {
    world.now = world.now.plus_millis(RUNS + GRACE + 2 * MOST_SKEW);
    world.die_all();
    world.model.storing.clear();
    while !world.model.messages.is_empty() {
        let now = world.now;
        world.model.deliver(1, now);
        world.model.check();
    }
    world.now = world.now.plus_millis(RUNS + GRACE + 2 * MOST_SKEW);
    world.model.sweep(world.now);
    world.model.check();
}

fn a_wallet() -> impl Strategy<Value = Wallet> {
    let granted = prop_oneof![0..5_u64, 0..300_u64, 0..100_000_u64];
    let reports = prop_oneof![Just(Reports::Ride), Just(Reports::Travel), Just(Reports::Gather)];
    (granted, reports).prop_map(|(granted, reports)| Wallet::new(granted, reports))
}

proptest! {
    #[test]
    fn no_unit_vanishes_or_is_spent_twice_whoever_dies(
        wallet in a_wallet(),
        skews in skews(8),
        steps in proptest::collection::vec(a_step(30), 1..600),
        credits in 0..1_000_u64,
    ) {
        let mut world = World::new(wallet, &skews, 4);
        for (number, step) in steps.iter().enumerate() {
            if number == steps.len() / 2 {
                world.model.top_up(credits);
            }
            world.step(step);
            world.model.check();
        }
        settle(&mut world);
        // What was counted for one of several calls at a time, and then failed, is charged if its process died before
        // it could say so; never less than what was done.
        prop_assert!(world.model.leases.is_empty());
        prop_assert!(world.model.charged() >= world.model.done);
    }

    #[test]
    fn of_one_call_at_a_time_exactly_what_was_done_is_charged(
        wallet in a_wallet(),
        skews in skews(8),
        steps in proptest::collection::vec(a_step(30), 1..600),
    ) {
        let mut world = World::new(wallet, &skews, 1);
        for step in &steps {
            world.step(step);
            world.model.check();
        }
        settle(&mut world);
        prop_assert_eq!(world.model.charged(), world.model.done);
    }

    #[test]
    fn who_closes_is_charged_exactly_what_was_done(
        wallet in a_wallet(),
        skews in skews(8),
        steps in proptest::collection::vec(a_step(30), 1..600),
    ) {
        let mut world = World::new(wallet, &skews, 4);
        for step in steps.iter().filter(|step| !matches!(step, Step::Die(_) | Step::Wait(_))) {
            world.step(step);
            world.model.check();
        }
        world.retire_all();
        settle(&mut world);
        prop_assert_eq!(world.model.charged(), world.model.done);
    }

    #[test]
    fn all_of_a_wallet_is_spent_when_everybody_goes_on(granted in 0..3_000_u64, many in 1..12_usize) {
        let mut world = World::new(Wallet::new(granted, Reports::Ride), &vec![0; many], 4);
        let mut refused = vec![false; many];
        while refused.contains(&false) {
            for (at, refused) in refused.iter_mut().enumerate() {
                *refused = !world.whole_call(at, NonZeroU64::MIN);
            }
        }
        prop_assert_eq!((world.model.done, world.model.balance), (granted, 0));
    }
}

fn units(units: u64) -> NonZeroU64 {
    NonZeroU64::new(units).unwrap()
}

#[test]
fn an_empty_wallet_is_refused_from_memory_and_opens_within_two_seconds_of_a_top_up() {
    let mut world = World::new(Wallet::new(3, Reports::Ride), &[0], 4);
    let passed = (0..1_000).filter(|_| world.whole_call(0, units(1))).count();
    assert_eq!((passed, world.writes), (3, 3));
    world.model.top_up(10);
    assert!(!world.whole_call(0, units(1)));
    world.now = world.now.plus_millis(BELIEVED);
    assert!(world.whole_call(0, units(1)));
}

#[test]
fn a_call_is_given_all_that_it_wants_or_nothing() {
    let mut world = World::new(Wallet::new(100, Reports::Ride), &[0], 4);
    assert!(world.whole_call(0, units(60)));
    assert!(!world.whole_call(0, units(60)));
    assert!(world.whole_call(0, units(40)));
    assert!(!world.whole_call(0, units(1)));
    assert_eq!((world.model.done, world.model.balance), (100, 0));
}

#[test]
fn a_large_wallet_costs_few_writes() {
    let mut world = World::new(Wallet::new(1_000_000, Reports::Ride), &[0; 8], 4);
    for call in 0..100_000 {
        assert!(world.whole_call(call % 8, units(1)));
        world.now = world.now.plus_millis(1);
    }
    println!(
        "100,000 calls of a wallet of 1,000,000 by 8 processes: {} writes",
        world.writes
    );
    assert!(world.writes * 50 <= world.calls, "{} writes", world.writes);
}

#[test]
fn a_failed_call_costs_nothing_and_its_units_pay_for_the_next() {
    let mut world = World::new(Wallet::new(1, Reports::Ride), &[0], 4);
    for fate in [crate::Fate::Fails, crate::Fate::Stops] {
        while world.call(0, units(1)).is_none() {
            world.reach(0);
            world.hear(0);
        }
        world.finish(0, fate);
    }
    assert!(world.whole_call(0, units(1)) && !world.whole_call(0, units(1)));
    world.retire_all();
    assert_eq!((world.model.done, world.model.balance, world.model.spent()), (1, 0, 1));
}

#[test]
fn what_the_dead_held_comes_back_after_the_grace_and_not_before() {
    let mut world = World::new(Wallet::new(1_000, Reports::Travel), &[0], 4);
    assert!(world.whole_call(0, units(7)));
    world.die_all();
    let until = world.model.leases[&0].until;
    world.model.deliver(3, until);
    world.now = until.plus_millis(GRACE);
    world.model.sweep(world.now);
    assert_eq!(world.model.leases.len(), 1);
    world.now = world.now.plus_millis(1);
    world.model.sweep(world.now);
    assert_eq!((world.model.balance, world.model.spent()), (993, 7));
    // The same report once more changes nothing.
    let now = world.now;
    world.model.deliver(1, now);
    world.model.check();
}

#[test]
fn nothing_comes_back_while_a_report_may_be_under_way() {
    let mut world = World::new(Wallet::new(1_000, Reports::Travel), &[0], 4);
    assert!(world.whole_call(0, units(7)));
    world.die_all();
    world.now = world.now.plus_millis(Time::HOUR);
    world.model.sweep(world.now);
    assert_eq!(world.model.leases.len(), 1);
    let now = world.now;
    world.model.deliver(1, now);
    world.model.sweep(world.now);
    assert_eq!(
        (world.model.balance, world.model.spent(), world.model.late),
        (993, 7, 0)
    );
}
