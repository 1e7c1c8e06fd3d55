//! Wallets as pools of credits that processes lease: each lease is an item, made in one transaction with the debit.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use app::App;
use commit::{Commit, NotDone, again_patiently};
use kernel::{LeaseId, OrgId, Origin, Result, Time, Zone};
use lease::{Answer, Ask, Closed, Pool, Sizing, Source};

use crate::lease::{Lease, MOST_TALLIES, Tally};
use crate::wallet::Wallet;

/// A process begins with so many credits, leases at most so many at once, and at most one in a hundred of those that are
/// left: one by one from 200 down.
const SIZING: Sizing = Sizing {
    first: 50,
    largest: 1_000_000,
    share: 100,
    whole: Some(u64::MAX),
};
/// So long is it believed how much is left: a top-up opens the way within 2 seconds everywhere.
const BELIEVED: i64 = 1_500;
/// So many organizations' zones, and leases' sales, are remembered.
const REMEMBERED: usize = 8_192;

/// The wallets of all organizations, as one process leases of them.
#[derive(Debug)]
pub(crate) struct Wallets {
    app: App,
    sold: Mutex<Sold>,
}

/// What this process sold of its leases, and the zones of whom it sold to.
#[derive(Debug, Default)]
pub(crate) struct Sold {
    leases: HashMap<LeaseId, BTreeMap<Tally, u64>>,
    zones: HashMap<OrgId, Zone>,
}

impl Sold {
    /// The zone of an organization of whom a lease is held.
    pub(crate) fn zone(&self, org: OrgId) -> Zone {
        self.zones.get(&org).cloned().unwrap_or_default()
    }

    /// Whether a lease can count sales of this kind too.
    pub(crate) fn has_room(&self, lease: LeaseId, tally: &Tally) -> bool {
        let Some(sales) = self.leases.get(&lease) else {
            return true;
        };
        sales.len() < MOST_TALLIES || sales.contains_key(tally)
    }

    /// Counts a sale. How much was sold of its kind in all.
    pub(crate) fn count(&mut self, lease: LeaseId, tally: &Tally, credits: u64) -> u64 {
        let total = self.leases.entry(lease).or_default().entry(tally.clone()).or_default();
        *total += credits;
        *total
    }

    fn know(&mut self, org: OrgId, zone: &Zone) {
        if self.zones.len() >= REMEMBERED {
            self.zones.clear();
        }
        self.zones.insert(org, zone.clone());
    }

    /// Forgets what was sold of leases that were left alone long ago.
    fn tidy(&mut self, now: Time) {
        if self.leases.len() >= REMEMBERED {
            let old = now.plus_millis(-Time::HOUR);
            self.leases.retain(|lease, _| lease.time() > old);
        }
    }
}

impl Wallets {
    pub(crate) fn new(app: App) -> Self {
        Self {
            app,
            sold: Mutex::default(),
        }
    }

    pub(crate) fn sold(&self) -> MutexGuard<'_, Sold> {
        // Each change is one call, so a panic elsewhere leaves nothing half done.
        self.sold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Wallets {
    type Key = OrgId;
    type Id = LeaseId;

    fn sizing(&self, _: &OrgId) -> Sizing {
        SIZING
    }

    async fn ask(&self, org: &OrgId, ask: Ask<LeaseId>, _: Time) -> Result<Answer<LeaseId>> {
        again_patiently(|| async {
            let now = self.app.now();
            let mut wallet = Wallet::current(&self.app.table, *org, now).await?;
            self.sold().know(*org, &wallet.month.zone);
            let pool = |wallet: &Wallet| Pool {
                left: wallet.balance,
                until: now.plus_millis(BELIEVED),
            };
            // Who does not know how much is left may ask for more than a fair share of it.
            if ask.pool.is_none() && ask.units > (wallet.balance / SIZING.share).max(1) || ask.units > wallet.balance {
                let refused = Answer::Refused(Some(pool(&wallet)));
                // Who has nothing left writes nothing else, so a top-up would be asked for by nobody.
                if wallet.asks() {
                    wallet.store(&self.app).await?;
                }
                return Ok(refused);
            }
            let (lease, writes) = if let Some(extended) = self.extend(&mut wallet, ask, now).await? {
                extended
            } else {
                let Some(lease) = wallet.lease(now, LeaseId::new(now), ask.units) else {
                    return Ok(Answer::Refused(Some(pool(&wallet))));
                };
                let writes = lease.create()?;
                (lease, writes)
            };
            let granted = Answer::Granted(
                lease::Lease {
                    id: lease.id,
                    ends_at: lease.ends_at,
                },
                pool(&wallet),
            );
            let commit = Commit::of(&self.app, &Origin::default()).write_all("lease", writes);
            wallet.commit(&self.app.table, commit).await?.await?;
            Ok::<_, NotDone>(granted)
        })
        .await
    }

    async fn close(&self, org: &OrgId, closed: Closed<LeaseId>, now: Time) -> Result<()> {
        let sales = {
            let mut sold = self.sold();
            sold.tidy(now);
            sold.leases.remove(&closed.lease).unwrap_or_default()
        };
        Wallet::settle_lease(&self.app, *org, closed.lease, |lease| {
            let open = lease.is_open();
            if open {
                lease.close(&sales);
            }
            open
        })
        .await
    }
}

impl Wallets {
    /// Adds to the lease that is held, if it runs and the credits do not end before it.
    async fn extend(
        &self,
        wallet: &mut Wallet,
        ask: Ask<LeaseId>,
        now: Time,
    ) -> Result<Option<(Lease, Vec<table::Write>)>> {
        let Some(id) = ask.lease else { return Ok(None) };
        let Some(before) = Lease::load(&self.app.table, wallet.org, id).await? else {
            return Ok(None);
        };
        let mut lease = before.clone();
        if !wallet.extend(now, &mut lease, ask.units) {
            return Ok(None);
        }
        let writes = vec![lease.add_more(&before)];
        Ok(Some((lease, writes)))
    }
}
