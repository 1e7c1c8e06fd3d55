//! A wallet: an organization's credits, by the grants that they come from. Pure: time is passed in.
//!
//! What a wallet says of itself always adds up: `balance + leased + spent + expired = granted`. Credits that were used without
//! being there (a report that came after its lease had come back) are `debt`, which the next grant pays first; they count
//! as spent when they are paid.

mod store;
mod view;

use std::collections::BTreeMap;

use kernel::{CreditGrantId, Error, LeaseId, OrgId, PaymentId, Result, Time};
use serde::{Deserialize, Serialize};

use crate::credit_grant::{CreditGrant, Source};
use crate::lease::Lease;
use crate::ledger::{Account, Entry};
use crate::month::{Month, Threshold};
use crate::topup::{AutoTopup, COOL_DOWN, Wanted};

pub(crate) use store::{LOOKS, open_topup, partition};
pub use view::WalletView;

/// So many grants may have credits left: 30 KB of the wallet's item. Those of a month and of a top-up come one after the
/// other; only who adds small ones by hand meets this.
pub const MOST_POTS: usize = 250;
/// So many grants are told with one change that credits of them ended; those of more with the next ones. A change has far
/// fewer other writes than the rest of a transaction's 100.
const MOST_TOLD: usize = 30;
/// So many credits can be in a wallet: a number that JSON's readers all keep whole.
pub const MOST_CREDITS: u64 = 1_000_000_000_000_000;
/// A process spends a lease for so long, …
const RUNS: i64 = 60 * Time::SECOND;
/// … or of a wallet with little left, so that what one process does not need is soon another's.
const RUNS_SCARCE: i64 = 3 * Time::SECOND;
const SCARCE: u64 = 10_000;

/// An organization's credits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wallet {
    /// Whose they are.
    pub org: OrgId,
    /// All that were ever granted, less corrections.
    pub granted: u64,
    /// Those that nobody holds.
    pub balance: u64,
    /// Those of open leases, whether they were spent yet or not.
    pub leased: u64,
    /// Those of settled leases that were spent.
    pub spent: u64,
    /// Those that ended unspent.
    pub expired: u64,
    /// Used, but not there.
    pub debt: u64,
    /// To be taken back, but neither there nor known to be spent: they are in leases, or were taken back otherwise. Shown as
    /// debt.
    #[serde(default)]
    withheld: u64,
    /// What is left of grants.
    pots: Vec<Pot>,
    /// What ended unspent of grants whose records do not say it yet.
    #[serde(default)]
    ended: BTreeMap<CreditGrantId, u64>,
    /// The leases that are open.
    pub open: Vec<LeaseId>,
    /// What the current month includes.
    pub month: Month,
    /// How it is topped up by itself.
    pub auto_topup: Option<AutoTopup>,
    /// The top-up that it asked for by itself, and that nobody has paid.
    pub open_topup: Option<PaymentId>,
    /// Until when it asks for none, because one has failed.
    #[serde(default)]
    asks_after: Option<Time>,
    /// How many facts were told of it.
    pub told: u64,
    #[serde(default)]
    version: u64,
    /// What came of the changes since it was read, to be written with it.
    #[serde(skip)]
    happened: Vec<Happened>,
}

/// What is left of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pot {
    /// The grant.
    pub grant: CreditGrantId,
    /// Lower ones first.
    pub priority: u8,
    /// From then on nothing of it can be spent.
    pub expires_at: Option<Time>,
    /// Credits that nobody holds.
    pub left: u64,
    /// Credits of open leases.
    pub leased: u64,
}

impl Pot {
    fn of(grant: &CreditGrant) -> Self {
        Self {
            grant: grant.id,
            priority: grant.priority,
            expires_at: grant.expires_at,
            left: 0,
            leased: 0,
        }
    }

    fn is_over(&self, now: Time) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// By which pots are used: by priority, then the soonest end, then the oldest.
    fn rank(&self) -> (u8, Time, CreditGrantId) {
        let end = self.expires_at.unwrap_or(Time::from_millis(i64::MAX));
        (self.priority, end, self.grant)
    }
}

/// What came of a change.
#[derive(Clone, Debug)]
pub(crate) enum Happened {
    /// Credits moved.
    Moved(Entry),
    /// Credits were granted.
    Granted(CreditGrant),
    /// So much of what the month includes was spent.
    Reached(Threshold),
    /// A top-up was asked for.
    Asked(Wanted),
    /// One was fulfilled.
    ToppedUp,
}

impl Wallet {
    /// An empty one, before its first month.
    pub fn new(org: OrgId) -> Self {
        Self {
            org,
            granted: 0,
            balance: 0,
            leased: 0,
            spent: 0,
            expired: 0,
            debt: 0,
            withheld: 0,
            pots: Vec::new(),
            ended: BTreeMap::new(),
            open: Vec::new(),
            month: Month::none(),
            auto_topup: None,
            open_topup: None,
            asks_after: None,
            told: 0,
            version: 0,
            happened: Vec::new(),
        }
    }

    /// Whether time has changed it: a grant has ended, or the month, or the time in which it asks for no top-up.
    pub fn is_due(&self, now: Time) -> bool {
        self.month.is_over(now)
            || self.pots.iter().any(|pot| pot.left > 0 && pot.is_over(now))
            || self.wanted_topup(now).is_some()
    }

    /// Ends what is over, and begins the month that `begin` tells of, if the one before is over.
    pub fn advance(&mut self, now: Time, begin: impl FnOnce() -> Month) {
        let over = self.pots.iter_mut().filter(|pot| pot.left > 0 && pot.is_over(now));
        let ended: Vec<_> = over.map(|pot| (pot.grant, std::mem::take(&mut pot.left))).collect();
        self.balance -= ended.iter().map(|(_, credits)| credits).sum::<u64>();
        self.expire(now, ended);
        if self.month.is_over(now) {
            self.month = begin();
            if self.month.included > 0 {
                let (included, end) = (self.month.included, self.month.ends_at);
                self.grant(now, CreditGrant::monthly(now, self.org, included, end));
            }
        }
        self.consider_topup(now);
        self.tidy();
    }

    /// Adds credits.
    pub fn grant(&mut self, now: Time, grant: CreditGrant) {
        let paid = self.debt.min(grant.credits);
        let mut pot = Pot::of(&grant);
        pot.left = grant.credits - paid;
        self.debt -= paid;
        self.granted += grant.credits;
        self.spent += paid;
        self.balance += pot.left;
        let credits = amount(grant.credits);
        let mut lines = vec![(Account::Granted, -credits), (Account::Balance, amount(pot.left))];
        if paid > 0 {
            lines.push((Account::Spent, amount(paid)));
            lines.push((Account::Debt, -amount(paid)));
            lines.push((Account::Uncovered, amount(paid)));
        }
        self.moved(now, &grant.reason, lines);
        self.pots.push(pot);
        self.withhold(now, 0, None);
        if let Source::Topup(payment) = grant.source {
            self.topped_up(payment);
        }
        self.happened.push(Happened::Granted(grant));
        self.tidy();
    }

    /// Whether another grant can be added; a refusal to tell if not.
    pub fn may_be_granted(&self, credits: u64) -> Result<()> {
        if self.pots.len() >= MOST_POTS {
            let detail =
                format!("{MOST_POTS} credit grants have credits left, which is the most; wait until some are used up");
            return Err(Error::refused("too_many_credit_grants", detail));
        }
        if self.granted.saturating_add(credits) > MOST_CREDITS {
            let detail = format!("a wallet is granted at most {MOST_CREDITS} credits in all");
            return Err(Error::refused("too_many_credits", detail));
        }
        Ok(())
    }

    /// Takes credits back that were granted by mistake: those that would be used last.
    pub fn correct(&mut self, now: Time, credits: u64, reason: &str) -> Result<()> {
        if credits > self.balance {
            let detail = format!(
                "{} credits are in the balance, so {credits} cannot be taken back",
                self.balance
            );
            return Err(Error::refused("balance_too_low", detail));
        }
        self.take_last(credits, None);
        self.granted -= credits;
        let credits = amount(credits);
        self.moved(
            now,
            reason,
            vec![(Account::Balance, -credits), (Account::Granted, credits)],
        );
        self.consider_topup(now);
        self.tidy();
        Ok(())
    }

    /// Takes credits back whose payment was taken back: what is unspent of this grant first, then of those that would be used
    /// last. What is not there was spent, and is debt from now on; what is in leases becomes known when they are settled. It
    /// asks for no top-up because of that.
    pub fn take_back(&mut self, now: Time, credits: u64, grant: Option<CreditGrantId>) {
        self.pause_topups(now);
        self.withhold(now, credits, grant);
        self.tidy();
    }

    /// Lets go of credits that are to be taken back, these and those from before, as far as it can be said of which: those in
    /// the balance, and those that were spent.
    fn withhold(&mut self, now: Time, credits: u64, grant: Option<CreditGrantId>) {
        self.withheld += credits;
        let unspent = self.withheld.min(self.balance);
        let spent = (self.withheld - unspent).min(self.spent);
        if credits + unspent + spent == 0 {
            return;
        }
        self.take_last(unspent, grant);
        self.spent -= spent;
        self.granted -= unspent + spent;
        self.withheld -= unspent + spent;
        self.debt += spent;
        // What is withheld is shown as debt, so what was spent of it stays that.
        let (more, unspent, spent) = (amount(credits) - amount(unspent), amount(unspent), amount(spent));
        let lines = vec![
            (Account::Balance, -unspent),
            (Account::Spent, -spent),
            (Account::Granted, unspent + spent),
            (Account::Debt, more),
            (Account::Uncovered, -more),
        ];
        self.moved(now, "payment taken back", lines);
    }

    /// Takes credits out of the balance: of this grant, and then those that would be used last.
    fn take_last(&mut self, credits: u64, first: Option<CreditGrantId>) {
        let mut rest = credits;
        self.pots.sort_by_key(|pot| (Some(pot.grant) == first, pot.rank()));
        for pot in self.pots.iter_mut().rev() {
            let taken = pot.left.min(rest);
            pot.left -= taken;
            rest -= taken;
        }
        self.balance -= credits;
    }

    /// Leases credits, all of them or none: those of the grants that are to be used first. The end is that of the first of
    /// those grants that ends, so no lease outlives what it comes from. Nothing if there are not so many.
    #[must_use]
    pub fn lease(&mut self, now: Time, id: LeaseId, units: u64) -> Option<Lease> {
        self.lease_until(now, id, units, now.plus_millis(self.runs()))
    }

    /// As [`Wallet::lease`], but for so long.
    #[must_use]
    pub fn lease_until(&mut self, now: Time, id: LeaseId, units: u64, until: Time) -> Option<Lease> {
        let mut lease = Lease::new(self.org, id, until);
        let leased = self.add_to(now, &mut lease, units);
        leased.then(|| {
            self.open.push(id);
            lease
        })
    }

    /// Adds credits to a lease that runs. Not if there are not so many, or their grants end before it does.
    #[must_use]
    pub fn extend(&mut self, now: Time, lease: &mut Lease, units: u64) -> bool {
        let (mut wallet, mut more) = (self.clone(), lease.clone());
        let runs = lease.is_open() && now < lease.ends_at;
        if !runs || !wallet.add_to(now, &mut more, units) || more.ends_at < lease.ends_at {
            return false;
        }
        (*self, *lease) = (wallet, more);
        true
    }

    fn runs(&self) -> i64 {
        if self.balance < SCARCE { RUNS_SCARCE } else { RUNS }
    }

    fn add_to(&mut self, now: Time, lease: &mut Lease, units: u64) -> bool {
        if units > self.balance {
            return false;
        }
        let mut rest = units;
        self.pots.sort_by_key(Pot::rank);
        for pot in &mut self.pots {
            let taken = pot.left.min(rest);
            if taken > 0 {
                pot.left -= taken;
                pot.leased += taken;
                rest -= taken;
                lease.add(pot.grant, taken, pot.expires_at);
            }
        }
        self.balance -= units;
        self.leased += units;
        self.consider_topup(now);
        true
    }

    /// Brings the wallet up to date with a lease that was closed, or is given up: what was sold of it is spent, the rest
    /// comes back. Doing it again does what has come since: reports that were late, repeats that cost nothing.
    pub fn settle(&mut self, now: Time, lease: &mut Lease) {
        let (due, applied) = (lease.due(), lease.applied());
        if self.close(now, lease, due) {
            self.use_up(now, due.min(lease.units), "usage");
            self.overdraw(now, due.saturating_sub(lease.units));
        } else if due >= applied {
            self.overdraw(now, due - applied);
        } else {
            self.give_back(now, lease, applied - due);
        }
        lease.apply();
        self.withhold(now, 0, None);
        self.tidy();
    }

    /// Takes a lease out of the open ones, with what was spent of it going from its pots. Whether it was open.
    fn close(&mut self, now: Time, lease: &Lease, spent: u64) -> bool {
        let before = self.open.len();
        self.open.retain(|open| *open != lease.id);
        if self.open.len() == before {
            return false;
        }
        self.leased -= lease.units;
        let mut rest = spent.min(lease.units);
        let mut ended = Vec::new();
        self.pots.sort_by_key(Pot::rank);
        for pot in &mut self.pots {
            let Some(part) = lease.part(pot.grant) else { continue };
            let used = part.min(rest);
            rest -= used;
            pot.leased -= part;
            let back = part - used;
            if !pot.is_over(now) {
                pot.left += back;
                self.balance += back;
            } else if back > 0 {
                ended.push((pot.grant, back));
            }
        }
        self.expire(now, ended);
        true
    }

    fn use_up(&mut self, now: Time, credits: u64, why: &str) {
        if credits == 0 {
            return;
        }
        self.spent += credits;
        let lines = vec![(Account::Balance, -amount(credits)), (Account::Spent, amount(credits))];
        self.moved(now, why, lines);
        self.count(credits);
    }

    fn count(&mut self, credits: u64) {
        let reached = self.month.count(credits);
        self.happened.extend(reached.into_iter().map(Happened::Reached));
    }

    /// Spends credits that were used before anybody could say that they are there: of the balance, and what that has not
    /// becomes debt.
    fn overdraw(&mut self, now: Time, credits: u64) {
        if credits == 0 {
            return;
        }
        let (covered, mut rest) = (credits.min(self.balance), credits);
        self.pots.sort_by_key(Pot::rank);
        for pot in &mut self.pots {
            let taken = pot.left.min(rest);
            pot.left -= taken;
            rest -= taken;
        }
        self.balance -= covered;
        self.use_up(now, covered, "late usage");
        if rest > 0 {
            self.debt += rest;
            let lines = vec![(Account::Debt, amount(rest)), (Account::Uncovered, -amount(rest))];
            self.moved(now, "late usage", lines);
        }
        self.consider_topup(now);
    }

    /// Gives credits back that were spent on what turned out to be a repeat: so much less is debt, or else to a grant they came
    /// from, or else to the one that is used first, or else as credits that end with the month.
    fn give_back(&mut self, now: Time, lease: &Lease, credits: u64) {
        let unpaid = credits.min(self.debt);
        self.debt -= unpaid;
        let credits = (credits - unpaid).min(self.spent);
        let live = |pot: &&mut Pot| !pot.is_over(now);
        self.pots.sort_by_key(Pot::rank);
        let mut pots: Vec<&mut Pot> = self.pots.iter_mut().filter(live).collect();
        let own = pots.iter().position(|pot| lease.part(pot.grant).is_some()).unwrap_or(0);
        if let Some(pot) = pots.get_mut(own) {
            pot.left += credits;
        } else {
            self.pots.push(Pot {
                grant: lease.first_part().unwrap_or_else(|| CreditGrantId::new(now)),
                priority: CreditGrant::PRIORITY,
                expires_at: Some(self.month.ends_at),
                left: credits,
                leased: 0,
            });
        }
        self.spent -= credits;
        self.balance += credits;
        self.month.spent = self.month.spent.saturating_sub(credits);
        let (credits, unpaid) = (amount(credits), amount(unpaid));
        let lines = vec![
            (Account::Spent, -credits),
            (Account::Balance, credits),
            (Account::Debt, -unpaid),
            (Account::Uncovered, unpaid),
        ];
        self.moved(now, "repeated events", lines);
    }

    /// Sets how it is topped up by itself, or that it is not.
    pub fn set_auto_topup(&mut self, now: Time, auto: Option<AutoTopup>) {
        self.auto_topup = auto;
        self.consider_topup(now);
    }

    /// Asks for a top-up if the balance is below the threshold and none is open, sized to the gap in whole steps.
    fn consider_topup(&mut self, now: Time) {
        if let Some(credits) = self.wanted_topup(now) {
            let wanted = Wanted {
                id: PaymentId::new(now),
                credits,
            };
            self.open_topup = Some(wanted.id);
            self.happened.push(Happened::Asked(wanted));
        }
    }

    /// For how many credits it is to ask.
    fn wanted_topup(&self, now: Time) -> Option<u64> {
        let auto = self.auto_topup.filter(|_| self.open_topup.is_none())?;
        let may_ask = self.asks_after.is_none_or(|after| after <= now);
        auto.wanted(self.balance).filter(|_| may_ask)
    }

    /// Whether a top-up was asked for that is not stored yet.
    pub(crate) fn asks(&self) -> bool {
        let mut happened = self.happened.iter();
        happened.any(|happened| matches!(happened, Happened::Asked(_)))
    }

    fn topped_up(&mut self, payment: PaymentId) {
        if self.open_topup == Some(payment) {
            self.open_topup = None;
        }
        self.asks_after = None;
        self.happened.push(Happened::ToppedUp);
    }

    /// Takes notice that a top-up failed that it asked for by itself, and asks for no other for a while. Whether it was the one
    /// that is open.
    pub(crate) fn topup_failed(&mut self, now: Time, payment: PaymentId) -> bool {
        let was_open = self.open_topup == Some(payment);
        if was_open {
            self.open_topup = None;
            self.pause_topups(now);
        }
        was_open
    }

    fn pause_topups(&mut self, now: Time) {
        self.asks_after = Some(now.plus_millis(COOL_DOWN));
    }

    /// Books what ended unspent of grants.
    fn expire(&mut self, now: Time, ended: Vec<(CreditGrantId, u64)>) {
        let credits = ended.iter().map(|(_, credits)| credits).sum();
        if credits == 0 {
            return;
        }
        for (grant, credits) in ended {
            *self.ended.entry(grant).or_default() += credits;
        }
        self.expired += credits;
        let lines = vec![
            (Account::Balance, -amount(credits)),
            (Account::Expired, amount(credits)),
        ];
        self.moved(now, "expired", lines);
    }

    /// What ended unspent of grants, to be told to their records: of some, if it is of many.
    fn take_ended(&mut self) -> Vec<(CreditGrantId, u64)> {
        let mut told = std::mem::take(&mut self.ended);
        if let Some((first_untold, _)) = told.iter().nth(MOST_TOLD) {
            self.ended = told.split_off(&first_untold.clone());
        }
        told.into_iter().collect()
    }

    fn moved(&mut self, now: Time, why: &str, lines: Vec<(Account, i64)>) {
        let entry = Entry::new(now, self.org, why, lines);
        self.happened.push(Happened::Moved(entry));
    }

    /// Forgets pots that nothing is in and nobody holds of.
    fn tidy(&mut self) {
        self.pots.retain(|pot| pot.left > 0 || pot.leased > 0);
    }

    /// What is left of a grant.
    pub fn left_of(&self, grant: CreditGrantId) -> u64 {
        let pots = self.pots.iter().filter(|pot| pot.grant == grant);
        pots.map(|pot| pot.left + pot.leased).sum()
    }

    /// What ended unspent of a grant, besides what its record says.
    pub fn ended_of(&self, grant: CreditGrantId) -> u64 {
        self.ended.get(&grant).copied().unwrap_or(0)
    }

    /// What was used without being there, or is to be taken back and is not there.
    pub fn owed(&self) -> u64 {
        self.debt + self.withheld
    }

    /// The sums that always hold.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        assert_eq!(
            self.balance + self.leased + self.spent + self.expired,
            self.granted,
            "{self:?}"
        );
        assert_eq!(
            self.pots.iter().map(|pot| pot.left).sum::<u64>(),
            self.balance,
            "{self:?}"
        );
        assert_eq!(
            self.pots.iter().map(|pot| pot.leased).sum::<u64>(),
            self.leased,
            "{self:?}"
        );
    }
}

/// Credits as a signed amount of the ledger. They are bounded far below.
pub(crate) fn amount(credits: u64) -> i64 {
    i64::try_from(credits).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
