//! The whole protocol, tried in a world of skewed clocks, lost answers and deaths: leases, sales, reports that come late,
//! twice and in any order, repeats that cost nothing, grants that end, top-ups, corrections, months.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use kernel::{ApiKeyId, ProjectId, Zone};
use lease::{Answer, Ask, Closed, Lease as Held, Pool, Report, Sizing};
use lease_world::{LONGEST_CALL, MOST_SKEW, Model, Step, World, a_step, skews};
use proptest::prelude::*;

use super::*;
use crate::lease::Tally;

const START: Time = Time::from_millis(1_000_000);
/// Nobody's call that took credits of a lease before its end has not sent its report by then.
const GRACE: i64 = LONGEST_CALL + 2 * MOST_SKEW;
/// So young is a lease whose receipts are stored, and so long may that take: here, where the grace is short. A lease may end
/// as soon as it is made, with what it comes from.
const YOUNG: i64 = 15 * Time::SECOND;
const LONGEST_PUT: i64 = GRACE - YOUNG - 2 * MOST_SKEW - Time::SECOND;
const BELIEVED: i64 = 1_500;
const INCLUDED: u64 = 500;

/// A report under way: what was sold of a lease in all, and how much of it with this call.
#[derive(Clone, Copy, Debug)]
struct Message {
    number: u32,
    report: Report<LeaseId>,
    units: u64,
    sent_at: Time,
    arrived: bool,
}

/// A receipt that a writer is about to store, until it is killed.
#[derive(Clone, Copy, Debug)]
struct Storing {
    message: u32,
    report: Report<LeaseId>,
    until: Time,
}

#[derive(Debug)]
struct Ledger {
    wallet: Wallet,
    leases: BTreeMap<LeaseId, Lease>,
    messages: Vec<Message>,
    storing: Vec<Storing>,
    /// The largest receipt of each lease that is stored.
    receipts: BTreeMap<LeaseId, u64>,
    numbers: u32,
    /// The messages that turned out to be repeats, which is found out once each.
    repeats: BTreeSet<u32>,
    seen: BTreeSet<u32>,
    /// The truth: credits of calls that were acknowledged, and of those that were repeats.
    acknowledged: u64,
    free: u64,
    /// What the ledger's entries and usage say.
    accounts: BTreeMap<Account, i64>,
    used: i64,
    asked: u32,
    topped_up: u32,
    failed: u32,
    /// Credits that were to be taken back.
    taken_back: u64,
    now: Time,
}

fn tally() -> Tally {
    Tally {
        day: "2027-01-01".parse().unwrap(),
        project: ProjectId::from_bits(1),
        key: ApiKeyId::from_bits(2),
        endpoint: "POST /v1/ingest/event".to_owned(),
    }
}

impl Ledger {
    fn new(credits: u64, auto: Option<AutoTopup>) -> Self {
        let org = OrgId::from_bits(7);
        let mut ledger = Self {
            wallet: Wallet::new(org),
            leases: BTreeMap::new(),
            messages: Vec::new(),
            storing: Vec::new(),
            receipts: BTreeMap::new(),
            numbers: 0,
            repeats: BTreeSet::new(),
            seen: BTreeSet::new(),
            acknowledged: 0,
            free: 0,
            accounts: BTreeMap::new(),
            used: 0,
            asked: 0,
            topped_up: 0,
            failed: 0,
            taken_back: 0,
            now: START,
        };
        ledger.wallet.auto_topup = auto;
        ledger.change(START, |wallet| {
            if credits > 0 {
                wallet.grant(START, CreditGrant::manual(START, org, credits, "first", 50, None));
            }
        });
        ledger
    }

    /// Changes the wallet, and books what came of it.
    fn change<T>(&mut self, now: Time, change: impl FnOnce(&mut Wallet) -> T) -> T {
        if self.wallet.is_due(now) {
            self.wallet.advance(now, || Month::of(now, Zone::utc(), INCLUDED));
        }
        let done = change(&mut self.wallet);
        for happened in std::mem::take(&mut self.wallet.happened) {
            match happened {
                Happened::Moved(entry) => {
                    assert_eq!(entry.lines.iter().map(|(_, amount)| amount).sum::<i64>(), 0);
                    for (account, amount) in entry.lines {
                        *self.accounts.entry(account).or_default() += amount;
                    }
                }
                Happened::Asked(_) => self.asked += 1,
                Happened::ToppedUp => self.topped_up += 1,
                _ => {}
            }
        }
        done
    }

    fn account(&self, account: Account) -> i64 {
        self.accounts.get(&account).copied().unwrap_or(0)
    }

    /// What holds after every step.
    fn check(&self) {
        let wallet = &self.wallet;
        wallet.check();
        assert_eq!(self.account(Account::Balance), amount(wallet.balance + wallet.leased));
        assert_eq!(self.account(Account::Granted), -amount(wallet.granted));
        assert_eq!(self.account(Account::Spent), amount(wallet.spent));
        assert_eq!(self.account(Account::Expired), amount(wallet.expired));
        assert_eq!(self.account(Account::Debt), amount(wallet.owed()));
        let open: u64 = wallet.open.iter().map(|id| self.leases[id].units).sum();
        assert_eq!(open, wallet.leased);
        assert!(
            self.asked <= self.topped_up + self.failed + 1,
            "one top-up is open at a time"
        );
        // What is to be taken back and is not there is known to be spent as soon as anything is.
        assert!(wallet.withheld == 0 || wallet.balance + wallet.spent == 0);
        // No call was acknowledged that was not paid for or is not still held.
        let known = wallet.spent + wallet.leased + wallet.debt + self.free;
        assert!(self.acknowledged <= known, "{self:?}");
    }

    fn settle(&mut self, now: Time, id: LeaseId, end: impl FnOnce(&mut Lease)) {
        let mut lease = self.leases[&id].clone();
        end(&mut lease);
        let before = lease.applied();
        self.change(now, |wallet| wallet.settle(now, &mut lease));
        self.used += amount(lease.applied()) - amount(before);
        self.leases.insert(id, lease);
    }

    /// A message arrives, for the first time or again. A young lease's is stored some time later, if it is nothing that turns
    /// out to be free; any other is made durable and reported at once.
    fn deliver(&mut self, choice: usize, now: Time) {
        if self.messages.is_empty() {
            return;
        }
        let message = self.messages[choice % self.messages.len()];
        let skew = i64::try_from(choice % 11).unwrap_or(0) - 5;
        let clock = now.plus_millis(skew * MOST_SKEW / 5);
        let is_early = clock < message.report.lease.time().plus_millis(YOUNG);
        if is_early && !message.number.is_multiple_of(5) {
            self.storing.push(Storing {
                message: message.number,
                report: message.report,
                until: now.plus_millis(LONGEST_PUT),
            });
            return;
        }
        self.arrive(message.number, choice);
        let lease = self.leases.get_mut(&message.report.lease).unwrap();
        if self.seen.insert(message.number) && message.number.is_multiple_of(5) {
            self.repeats.insert(message.number);
            self.free += message.units;
            lease.note_given_back(&tally(), message.units);
        }
        lease.note_report(&tally(), message.report.spent);
        if lease.is_behind() {
            self.settle(now, message.report.lease, |_| {});
        }
    }

    /// A message is done with; it may come again all the same.
    fn arrive(&mut self, number: u32, choice: usize) {
        for message in self.messages.iter_mut().filter(|message| message.number == number) {
            message.arrived = true;
        }
        if !choice.is_multiple_of(3) {
            self.messages.retain(|message| message.number != number);
        }
    }

    /// A receipt is stored at last; or its writer dies, and the message comes again.
    fn store(&mut self, choice: usize) {
        if self.storing.is_empty() {
            return;
        }
        let storing = self.storing.swap_remove(choice % self.storing.len());
        if choice.is_multiple_of(5) {
            return;
        }
        let stored = self.receipts.entry(storing.report.lease).or_default();
        *stored = storing.report.spent.max(*stored);
        self.arrive(storing.message, choice);
    }

    /// Somebody gives up what the dead held, as old as the queue is.
    fn sweep(&mut self, now: Time) {
        let waiting = self.messages.iter().filter(|message| !message.arrived);
        let oldest = waiting.map(|message| message.sent_at).min().unwrap_or(now);
        let open = self.wallet.open.clone();
        for id in open {
            if self.leases[&id].ends_at.plus_millis(GRACE) < oldest {
                let receipts = self.receipts.get(&id).map(|total| (tally(), *total));
                let receipts = receipts.into_iter().collect();
                self.settle(now, id, |lease| lease.give_up(&receipts));
            }
        }
    }

    fn stir_wallet(&mut self, choice: usize, now: Time) {
        let org = self.wallet.org;
        let credits = (choice as u64 / 64) % 400 + 1;
        if choice.is_multiple_of(6) {
            self.taken_back += credits;
        }
        let failed = self.change(now, |wallet| {
            let open = wallet.open_topup.filter(|_| choice % 6 == 5);
            open.is_some_and(|topup| wallet.topup_failed(now, topup))
        });
        self.failed += u32::from(failed);
        self.change(now, |wallet| match choice % 6 {
            0 => {
                let net = |wallet: &Wallet| amount(wallet.balance + wallet.leased) - amount(wallet.owed());
                let before = net(wallet);
                let grant = wallet.pots.get(choice / 6 % 7).map(|pot| pot.grant);
                wallet.take_back(now, credits, grant);
                assert_eq!(net(wallet), before - amount(credits));
            }
            4 => {
                let grant =
                    CreditGrant::manual(now, org, credits, "gift", u8::try_from(choice % 100 + 1).unwrap(), None);
                wallet.grant(now, grant);
            }
            1 => {
                let end = now.plus_millis(Time::MINUTE);
                wallet.grant(now, CreditGrant::manual(now, org, credits, "short", 10, Some(end)));
            }
            2 => {
                let before = wallet.granted;
                let corrected = wallet.correct(now, credits, "mistake");
                assert_eq!(wallet.granted, before - if corrected.is_ok() { credits } else { 0 });
            }
            5 => {}
            _ => {
                if let Some(topup) = wallet.open_topup {
                    wallet.grant(
                        now,
                        CreditGrant::manual(now, org, credits, "paid", 50, None).fulfilling(topup),
                    );
                }
            }
        });
    }
}

impl Model for Ledger {
    type Id = LeaseId;

    fn sizing(&self) -> Sizing {
        Sizing {
            first: 5,
            largest: 1_000,
            share: 100,
            whole: Some(u64::MAX),
        }
    }

    fn ask(&mut self, ask: Ask<LeaseId>, clock: Time) -> Answer<LeaseId> {
        let held = ask.lease.map(|id| self.leases[&id].clone());
        let leased = self.change(clock, |wallet| {
            let fair = ask.pool.is_some() || ask.units <= (wallet.balance / 100).max(1);
            if !fair {
                return None;
            }
            if let Some(mut lease) = held
                && wallet.extend(clock, &mut lease, ask.units)
            {
                return Some(lease);
            }
            wallet.lease(clock, LeaseId::new(clock), ask.units)
        });
        let pool = Pool {
            left: self.wallet.balance,
            until: clock.plus_millis(BELIEVED),
        };
        let Some(lease) = leased else {
            return Answer::Refused(Some(pool));
        };
        let (id, ends_at) = (lease.id, lease.ends_at);
        self.leases.insert(id, lease);
        Answer::Granted(Held { id, ends_at }, pool)
    }

    fn done(&mut self, units: u64, report: Report<LeaseId>, now: Time) {
        self.acknowledged += units;
        self.numbers += 1;
        self.messages.push(Message {
            number: self.numbers,
            report,
            units,
            sent_at: now,
            arrived: false,
        });
    }

    fn close(&mut self, closed: Closed<LeaseId>) {
        if self.leases[&closed.lease].is_open() {
            let sold = BTreeMap::from([(tally(), closed.spent)]);
            self.settle(self.now, closed.lease, |lease| lease.close(&sold));
        }
    }

    fn stir(&mut self, choice: usize, now: Time) {
        self.now = now;
        // Writers that take longer are killed.
        self.storing.retain(|storing| now < storing.until);
        match choice % 8 {
            0 => self.sweep(now),
            1 => self.stir_wallet(choice / 8, now),
            2..=4 => self.store(choice / 8),
            _ => self.deliver(choice / 8, now),
        }
    }
}

/// Everything arrives, and the grace is over.
fn settle(world: &mut World<Ledger>) {
    let later = |world: &mut World<Ledger>| {
        world.now = world.now.plus_millis(RUNS + GRACE + 2 * MOST_SKEW);
        world.model.now = world.now;
    };
    later(world);
    world.die_all();
    world.model.storing.clear();
    while !world.model.messages.is_empty() {
        let now = world.now;
        world.model.deliver(1, now);
    }
    later(world);
    let now = world.now;
    world.model.sweep(now);
    world.model.check();
    assert!(world.model.wallet.open.is_empty());
}

fn a_ledger() -> impl Strategy<Value = Ledger> {
    let auto = prop::option::of((1_u64..300, 1_u64..100).prop_map(|(threshold, step)| AutoTopup { threshold, step }));
    (prop_oneof![0..5_u64, 0..300_u64, 0..100_000_u64], auto).prop_map(|(credits, auto)| Ledger::new(credits, auto))
}

proptest! {
    #[test]
    fn whoever_dies_all_credits_are_accounted_for(
        ledger in a_ledger(),
        skews in skews(8),
        steps in proptest::collection::vec(a_step(30), 1..500),
    ) {
        let mut world = World::new(ledger, &skews, 4);
        for step in &steps {
            world.step(step);
            world.model.check();
        }
        settle(&mut world);
        let (model, wallet) = (&world.model, &world.model.wallet);
        prop_assert_eq!(model.used, amount(wallet.spent + wallet.debt));
        prop_assert!(wallet.spent + wallet.debt + model.free >= model.acknowledged);
    }

    #[test]
    fn of_one_call_at_a_time_exactly_what_was_acknowledged_is_spent(
        ledger in a_ledger(),
        skews in skews(8),
        steps in proptest::collection::vec(a_step(30), 1..500),
    ) {
        let mut world = World::new(ledger, &skews, 1);
        for step in &steps {
            world.step(step);
            world.model.check();
        }
        settle(&mut world);
        let (model, wallet) = (&world.model, &world.model.wallet);
        prop_assert_eq!(wallet.spent + wallet.debt, model.acknowledged - model.free);
        prop_assert_eq!(model.used, amount(wallet.spent + wallet.debt));
        prop_assert!(wallet.debt <= model.taken_back, "the grace is long enough");
    }
}

fn wallet(credits: u64) -> Wallet {
    let mut wallet = Wallet::new(OrgId::from_bits(7));
    wallet.month = Month::of(START, Zone::utc(), 0);
    wallet.grant(
        START,
        CreditGrant::manual(START, wallet.org, credits, "first", 50, None),
    );
    wallet.happened.clear();
    wallet
}

fn give(wallet: &mut Wallet, credits: u64, priority: u8, ends_in: Option<i64>) -> CreditGrantId {
    let end = ends_in.map(|millis| START.plus_millis(millis));
    let grant = CreditGrant::manual(START, wallet.org, credits, "more", priority, end);
    let id = grant.id;
    wallet.grant(START, grant);
    id
}

#[test]
fn grants_are_used_by_priority_then_by_their_end_then_by_age() {
    let mut wallet = wallet(10);
    let first = wallet.pots[0].grant;
    let late = give(&mut wallet, 10, 50, Some(2 * Time::HOUR));
    let soon = give(&mut wallet, 10, 50, Some(Time::HOUR));
    let last = give(&mut wallet, 10, 51, Some(Time::MINUTE));
    let before = give(&mut wallet, 10, 1, None);
    let mut order = Vec::new();
    for number in 0..5 {
        let lease = wallet.lease(START, LeaseId::from_bits(number), 10).unwrap();
        order.push(lease.first_part().unwrap());
        wallet.check();
    }
    assert_eq!(order, [before, soon, late, first, last]);
    assert!(wallet.lease(START, LeaseId::from_bits(9), 1).is_none());
}

#[test]
fn no_lease_outlives_what_it_comes_from() {
    let mut wallet = wallet(100);
    give(&mut wallet, 10, 1, Some(500));
    let mut lease = wallet.lease(START, LeaseId::from_bits(1), 15).unwrap();
    assert_eq!(lease.ends_at, START.plus_millis(500));
    assert!(wallet.extend(START, &mut lease, 5));
    let other = wallet.lease(START, LeaseId::from_bits(2), 5).unwrap();
    assert_eq!(other.ends_at, START.plus_millis(RUNS_SCARCE));
    // Credits that would end sooner are a lease of their own.
    let (mut lease, before) = (other, wallet.balance);
    give(&mut wallet, 10, 1, Some(500));
    assert!(!wallet.extend(START, &mut lease, 5));
    assert_eq!((wallet.balance, lease.units), (before + 10, 5));
    wallet.check();
}

#[test]
fn what_comes_back_after_the_end_of_its_grant_has_ended() {
    let mut wallet = wallet(0);
    give(&mut wallet, 10, 1, Some(500));
    let mut lease = wallet.lease(START, LeaseId::from_bits(1), 10).unwrap();
    let later = START.plus_millis(600);
    lease.close(&BTreeMap::from([(tally(), 4)]));
    wallet.settle(later, &mut lease);
    assert_eq!(
        (wallet.spent, wallet.expired, wallet.balance, wallet.leased),
        (4, 6, 0, 0)
    );
    wallet.check();
}

#[test]
fn what_is_reported_too_late_is_debt_that_the_next_grant_pays() {
    let mut wallet = wallet(10);
    let mut lease = wallet.lease(START, LeaseId::from_bits(1), 10).unwrap();
    lease.give_up(&BTreeMap::new());
    wallet.settle(START, &mut lease);
    assert_eq!(wallet.balance, 10);
    let mut other = wallet.lease(START, LeaseId::from_bits(2), 8).unwrap();
    other.close(&BTreeMap::from([(tally(), 8)]));
    wallet.settle(START, &mut other);
    lease.note_report(&tally(), 6);
    wallet.settle(START, &mut lease);
    assert_eq!((wallet.balance, wallet.spent, wallet.debt), (0, 10, 4));
    wallet.settle(START, &mut lease);
    assert_eq!((wallet.spent, wallet.debt), (10, 4), "settling again changes nothing");
    give(&mut wallet, 10, 50, None);
    assert_eq!(
        (wallet.balance, wallet.spent, wallet.debt, wallet.granted),
        (6, 14, 0, 20)
    );
    wallet.check();
}

#[test]
fn who_gives_a_lease_up_takes_the_largest_of_what_was_reported_and_stored() {
    let mut wallet = wallet(10);
    let mut lease = wallet.lease(START, LeaseId::from_bits(1), 10).unwrap();
    lease.note_report(&tally(), 3);
    lease.give_up(&BTreeMap::from([(tally(), 6)]));
    wallet.settle(START, &mut lease);
    assert_eq!((wallet.balance, wallet.spent), (4, 6));
    // A late report that is smaller says nothing new, and takes nothing back.
    lease.note_report(&tally(), 5);
    assert!(!lease.is_behind());
    lease.note_report(&tally(), 8);
    assert!(lease.is_behind());
    wallet.settle(START, &mut lease);
    assert_eq!((wallet.balance, wallet.spent), (2, 8));
    wallet.check();
}

#[test]
fn the_owners_word_is_less_than_a_receipt_says_that_counted_what_then_failed() {
    let mut wallet = wallet(10);
    let mut lease = wallet.lease(START, LeaseId::from_bits(1), 10).unwrap();
    // What is shown of it meanwhile.
    let mut shown = lease.clone();
    shown.receive(&BTreeMap::from([(tally(), 6)]));
    assert_eq!((shown.due(), shown.is_open(), lease.due()), (6, true, 0));
    lease.close(&BTreeMap::from([(tally(), 4)]));
    wallet.settle(START, &mut lease);
    assert_eq!((wallet.balance, wallet.spent), (6, 4));
}

#[test]
fn a_correction_takes_what_would_be_used_last_and_never_what_is_not_there() {
    let mut wallet = wallet(10);
    let soon = give(&mut wallet, 10, 50, Some(Time::HOUR));
    wallet.correct(START, 12, "mistake").unwrap();
    assert_eq!((wallet.left_of(soon), wallet.balance, wallet.granted), (8, 8, 8));
    let refused = wallet.correct(START, 9, "mistake");
    assert!(matches!(
        refused,
        Err(Error::Refused {
            code: "balance_too_low",
            ..
        })
    ));
    wallet.check();
}

#[test]
fn a_month_ends_with_what_it_included() {
    let mut wallet = Wallet::new(OrgId::from_bits(7));
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let march: Time = "2027-03-15T12:00:00Z".parse().unwrap();
    wallet.advance(march, || Month::of(march, berlin.clone(), 100));
    let mut lease = wallet.lease(march, LeaseId::from_bits(1), 30).unwrap();
    lease.close(&BTreeMap::from([(tally(), 30)]));
    wallet.settle(march, &mut lease);
    // Clocks went forward on the 28th: the month ends at 22:00 UTC.
    let last: Time = "2027-03-31T21:59:59.999Z".parse().unwrap();
    assert!(!wallet.is_due(last));
    let next = last.plus_millis(1);
    assert!(wallet.is_due(next));
    wallet.advance(next, || Month::of(next, berlin, 100));
    assert_eq!(
        (wallet.granted, wallet.spent, wallet.expired, wallet.balance),
        (200, 30, 70, 100)
    );
    wallet.check();
}

#[test]
fn fifty_debits_below_the_threshold_ask_for_one_top_up() {
    let mut wallet = wallet(1_000);
    wallet.set_auto_topup(
        START,
        Some(AutoTopup {
            threshold: 1_000,
            step: 500,
        }),
    );
    for number in 0..50 {
        let _ = wallet.lease(START, LeaseId::from_bits(number), 20).unwrap();
    }
    let asked = |wallet: &Wallet| {
        let asked = wallet.happened.iter().filter_map(|happened| match happened {
            Happened::Asked(topup) => Some(topup.credits),
            _ => None,
        });
        asked.collect::<Vec<_>>()
    };
    assert_eq!(asked(&wallet), [500]);
    let mut empty = Wallet::new(OrgId::from_bits(8));
    empty.set_auto_topup(
        START,
        Some(AutoTopup {
            threshold: 1_000,
            step: 500,
        }),
    );
    assert_eq!(asked(&empty), [1_000]);
}

fn bought(wallet: &mut Wallet, credits: u64) -> CreditGrantId {
    let grant = CreditGrant::bought(START, wallet.org, credits, PaymentId::from_bits(1));
    let id = grant.id;
    wallet.grant(START, grant);
    id
}

/// Spends credits of the wallet, in a lease of its own.
fn spend(wallet: &mut Wallet, number: u128, credits: u64) {
    let mut lease = wallet.lease(START, LeaseId::from_bits(number), credits).unwrap();
    lease.close(&BTreeMap::from([(tally(), credits)]));
    wallet.settle(START, &mut lease);
}

#[track_caller]
fn has(wallet: &Wallet, balance: u64, spent: u64, granted: u64, owed: u64) {
    wallet.check();
    assert_eq!(
        (wallet.balance, wallet.spent, wallet.granted, wallet.owed()),
        (balance, spent, granted, owed)
    );
}

#[test]
fn what_is_taken_back_is_unspent_first_of_its_own_grant() {
    let mut wallet = wallet(10);
    let grant = bought(&mut wallet, 100);
    wallet.take_back(START, 40, Some(grant));
    assert_eq!(wallet.left_of(grant), 60);
    has(&wallet, 70, 0, 70, 0);
    wallet.take_back(START, 60, Some(grant));
    assert_eq!(wallet.left_of(grant), 0);
    has(&wallet, 10, 0, 10, 0);
}

#[test]
fn what_was_spent_of_it_is_debt_that_the_next_grant_pays() {
    let mut wallet = wallet(0);
    let grant = bought(&mut wallet, 100);
    spend(&mut wallet, 1, 70);
    wallet.take_back(START, 100, Some(grant));
    has(&wallet, 0, 0, 0, 70);
    // What was used is what is spent and owed, whatever is granted.
    give(&mut wallet, 50, 50, None);
    has(&wallet, 0, 50, 50, 20);
    give(&mut wallet, 50, 50, None);
    has(&wallet, 30, 70, 100, 0);
}

#[test]
fn what_is_leased_of_it_is_known_when_the_lease_is_settled() {
    let mut wallet = wallet(0);
    let grant = bought(&mut wallet, 100);
    let mut lease = wallet.lease(START, LeaseId::from_bits(1), 100).unwrap();
    wallet.take_back(START, 100, Some(grant));
    has(&wallet, 0, 0, 100, 100);
    lease.close(&BTreeMap::from([(tally(), 30)]));
    wallet.settle(START, &mut lease);
    has(&wallet, 0, 0, 0, 30);
}

#[test]
fn what_was_corrected_away_and_is_taken_back_is_owed() {
    let mut wallet = wallet(0);
    let grant = bought(&mut wallet, 100);
    wallet.correct(START, 100, "mistake").unwrap();
    wallet.take_back(START, 100, Some(grant));
    has(&wallet, 0, 0, 0, 100);
    give(&mut wallet, 150, 50, None);
    has(&wallet, 50, 0, 50, 0);
}

#[test]
fn a_top_up_that_failed_is_asked_for_again_after_an_hour() {
    let mut wallet = Wallet::new(OrgId::from_bits(8));
    wallet.month = Month::of(START, Zone::utc(), 0);
    let auto = AutoTopup {
        threshold: 1_000,
        step: 500,
    };
    wallet.set_auto_topup(START, Some(auto));
    let first = wallet.open_topup.unwrap();
    assert!(!wallet.topup_failed(START, PaymentId::from_bits(9)) && wallet.topup_failed(START, first));
    assert!(!wallet.topup_failed(START, first), "once");
    let asks = |wallet: &mut Wallet, at: Time| {
        wallet.happened.clear();
        wallet.set_auto_topup(at, Some(auto));
        wallet.asks()
    };
    let end = START.plus_millis(COOL_DOWN);
    assert!(!asks(&mut wallet, end.plus_millis(-1)) && !wallet.is_due(end.plus_millis(-1)));
    // Nobody has to spend anything: that the hour is over is enough.
    assert!(wallet.is_due(end));
    wallet.advance(end, || unreachable!("the month runs"));
    assert!(wallet.asks() && !wallet.is_due(end));
    // One that is paid after all ends the pause.
    assert!(wallet.topup_failed(end, wallet.open_topup.unwrap()));
    bought(&mut wallet, 10);
    assert!(asks(&mut wallet, end));
}

#[test]
fn who_had_money_taken_back_is_not_asked_for_more_at_once() {
    let mut wallet = wallet(0);
    let auto = AutoTopup {
        threshold: 50,
        step: 50,
    };
    let grant = bought(&mut wallet, 100);
    wallet.set_auto_topup(START, Some(auto));
    wallet.take_back(START, 100, Some(grant));
    assert!(!wallet.asks() && !wallet.is_due(START) && wallet.is_due(START.plus_millis(COOL_DOWN)));
}

#[test]
fn a_wallet_that_runs_out_leases_for_a_moment_only() {
    let mut large = wallet(1_000_000);
    let mut small = wallet(1_000);
    let runs = |wallet: &mut Wallet| wallet.lease(START, LeaseId::from_bits(1), 1).unwrap().ends_at;
    assert_eq!(runs(&mut large), START.plus_millis(RUNS));
    assert_eq!(runs(&mut small), START.plus_millis(RUNS_SCARCE));
}

#[test]
fn many_debits_write_the_wallet_seldom() {
    let mut world = World::new(Ledger::new(1_000_000, None), &[0; 8], 4);
    for call in 0..100_000 {
        assert!(world.whole_call(call % 8, NonZeroU64::MIN));
        world.now = world.now.plus_millis(1);
    }
    println!(
        "100,000 debits in 100 s by 8 processes: {} writes of the wallet",
        world.writes
    );
    assert!(world.writes * 20 <= world.calls, "{} writes", world.writes);
}

#[test]
fn steps_are_tried() {
    // The world's own steps reach every part of the model: a run long enough has seen each.
    let mut world = World::new(Ledger::new(500, None), &[0, 10], 2);
    for step in [
        Step::Stir(1),
        Step::Stir(9),
        Step::Stir(17),
        Step::Stir(0),
        Step::Wait(1),
    ] {
        world.step(&step);
    }
    assert!(world.model.wallet.granted > 500);
}
