//! The meter of one process: it holds credits for calls before they are done, and counts what was sold.
//!
//! A call is admitted by a hold of its price ([`Meter::admit`]): dropped, the credits go back to the process, and cost
//! nothing. What is done is sold of the hold ([`Charge::sell`]), which gives a [`Receipt`]; the receipt travels with what it
//! pays for, so that whatever is acknowledged is reported too. What is a transaction of its own is sold in it
//! ([`Charge::sell_with`]).

mod source;

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::lease::{Hold, Leases, Taken};
use app::{App, Env};
use commit::Commit;
use kernel::error::OutOfCredits;
use kernel::{ApiKeyId, Error, LeaseId, OrgId, ProjectId, Result, Time};
use serde::{Deserialize, Serialize};

use crate::lease::{self, Tally};
use crate::price::{self, Operation, PriceList};
use crate::receipt::Receipt;
use source::{Sold, Wallets};

/// A price list is read again when it is older.
const PRICES_AGE: i64 = 30 * Time::SECOND;
/// How often a process looks for leases that are over.
const LOOK: Duration = Duration::from_secs(1);
/// Whoever sells of a lease that counts too many kinds already takes another one, so often.
const TRIES: u32 = 3;

/// Holds credits for calls. One a process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    app: App,
    leases: Leases<Wallets>,
    prices: Mutex<Option<(Time, Arc<PriceList>)>>,
    top_up_url: String,
}

/// What is paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Buyer {
    /// Whose wallet pays.
    pub org: OrgId,
    /// For which project.
    pub project: ProjectId,
    /// With which key.
    pub key: ApiKeyId,
    /// Which method of which path: `POST /v1/ingest/events`.
    pub endpoint: String,
}

impl Meter {
    /// A meter whose refusals point to the console of `CONSOLE_URL`. In a process that serves it closes leases that are over,
    /// and all of them when the process is to end.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        let console = env.variable("CONSOLE_URL")?.trim_end_matches('/');
        let inner = Arc::new(Inner {
            app: app.clone(),
            leases: Leases::new(Wallets::new(app.clone())),
            prices: Mutex::new(None),
            top_up_url: format!("{console}/wallet"),
        });
        let closing = Arc::clone(&inner);
        app.shutdown
            .then(async move { closing.leases.close_all(closing.app.now()).await });
        if env.optional("AWS_LAMBDA_RUNTIME_API").is_some() {
            tokio::spawn(close_over(Arc::downgrade(&inner)));
        }
        Ok(Self(inner))
    }

    pub(crate) fn app(&self) -> &App {
        &self.0.app
    }

    /// Closes the leases that are over.
    pub async fn close_over(&self) {
        self.0.leases.close_over(self.0.app.now()).await;
    }

    /// Holds what one operation costs. 402 if that is not there.
    pub async fn admit(&self, buyer: Buyer, operation: Operation) -> Result<Admission> {
        let price = self.prices().await?.of(operation);
        let hold = self.hold(&buyer, price).await?;
        Ok(Admission {
            meter: self.clone(),
            buyer,
            price,
            hold,
        })
    }

    async fn hold(&self, buyer: &Buyer, credits: u64) -> Result<Option<Hold<LeaseId>>> {
        let Some(wanted) = NonZeroU64::new(credits) else {
            return Ok(None);
        };
        for _ in 0..TRIES {
            let taken = self.0.leases.take(&[(buyer.org, wanted)], || self.0.app.now()).await?;
            let hold = match taken {
                Taken::All(holds) => holds.into_iter().next(),
                Taken::None(seen) => {
                    return Err(Error::OutOfCredits(OutOfCredits {
                        balance: seen.first().map_or(0, |seen| seen.remaining),
                        price: credits,
                        top_up_url: self.0.top_up_url.clone(),
                    }));
                }
            };
            let tally = self.tally(buyer);
            match hold {
                Some(hold) if !self.sold().has_room(hold.lease(), &tally) => {
                    drop(hold);
                    self.0.leases.close_one(&buyer.org, self.0.app.now()).await;
                }
                hold => return Ok(hold),
            }
        }
        Err(Error::Busy)
    }

    fn tally(&self, buyer: &Buyer) -> Tally {
        Tally {
            day: self.sold().zone(buyer.org).day_of(self.0.app.now()),
            project: buyer.project,
            key: buyer.key,
            endpoint: buyer.endpoint.clone(),
        }
    }

    fn sold(&self) -> MutexGuard<'_, Sold> {
        self.0.leases.source().sold()
    }

    /// The price list as it was at most 30 seconds ago.
    async fn prices(&self) -> Result<Arc<PriceList>> {
        let now = self.0.app.now();
        let known = || self.0.prices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, list)) = &*known()
            && (0..PRICES_AGE).contains(&(now.millis() - at.millis()))
        {
            return Ok(Arc::clone(list));
        }
        let list = Arc::new(price::load(&self.0.app.table).await?);
        *known() = Some((now, Arc::clone(&list)));
        Ok(list)
    }
}

/// As long as its process lives. On Lambda a process stands still between calls, and this with it; then the next call
/// closes what is over, or the end, or whoever looks for leases that were given up.
async fn close_over(meter: std::sync::Weak<Inner>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(meter) = meter.upgrade() else { return };
        meter.leases.close_over(meter.app.now()).await;
    }
}

/// A call that may be made: the credits of one operation are held. Dropped, they go back.
#[derive(Debug)]
pub struct Admission {
    meter: Meter,
    buyer: Buyer,
    price: u64,
    hold: Option<Hold<LeaseId>>,
}

impl Admission {
    /// Holds what so many operations cost, all of them or none. 402 if that is not there.
    pub async fn cover(mut self, times: u64) -> Result<Charge> {
        if times != 1 {
            // All are held of one lease.
            self.hold = None;
            self.hold = self.meter.hold(&self.buyer, self.price.saturating_mul(times)).await?;
        }
        Ok(self.charge())
    }

    /// Goes on with the one.
    pub fn charge(self) -> Charge {
        Charge {
            tally: self.meter.tally(&self.buyer),
            meter: self.meter,
            org: self.buyer.org,
            price: self.price,
            hold: self.hold,
            has_sold: false,
        }
    }
}

/// Credits that are held for what is about to be done. Dropped before anything is sold of them, they go back. Dropped after
/// that, nobody knows whether what was sold was done: its lease is left alone from now on, so what was reported of it says
/// what was. A receipt that arrived is paid, one that did not is not.
#[derive(Debug)]
pub struct Charge {
    meter: Meter,
    org: OrgId,
    tally: Tally,
    price: u64,
    /// Nothing if nothing is to be paid.
    hold: Option<Hold<LeaseId>>,
    /// Whether a receipt is out.
    has_sold: bool,
}

impl Charge {
    /// Sells so many operations. The receipt goes with them; nothing if they cost nothing.
    pub fn sell(&mut self, times: u64) -> Option<Receipt> {
        let lease = self.hold.as_ref()?.lease();
        let credits = self.price.saturating_mul(times);
        self.has_sold = true;
        let total = self.meter.sold().count(lease, &self.tally, credits);
        Some(Receipt {
            org: self.org,
            lease,
            tally: self.tally.clone(),
            price: self.price,
            total,
        })
    }

    /// Sells so many operations in the transaction of what they are, which does not happen once the lease is closed. Then say
    /// whether it was [`Charge::done`] or [`Charge::undone`]; dropped, nobody knows, and what is stored tells.
    pub fn sell_with<'a>(&mut self, times: u64, commit: Commit<'a>) -> Commit<'a> {
        let Some(hold) = &self.hold else { return commit };
        self.has_sold = true;
        let credits = self.price.saturating_mul(times);
        commit.write(
            "credits",
            lease::sold_directly(self.org, hold.lease(), &self.tally, credits),
        )
    }

    /// Says that nothing was done that was sold by [`Charge::sell_with`], and nothing of it can be under way.
    pub fn undone(mut self) {
        self.has_sold = false;
    }

    /// Says that all that was sold was done.
    pub fn done(mut self) {
        if let Some(hold) = self.hold.take() {
            hold.spent();
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take_if(|_| self.has_sold) {
            hold.abandon();
        }
    }
}
