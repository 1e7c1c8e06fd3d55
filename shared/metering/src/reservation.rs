//! Credits that are set aside for work that takes long: reserved before it begins, spent with what it made, released if it
//! fails. A reservation is a lease of its own, so one that nobody ends, ends by itself: minutes after its time what it held
//! is back in the wallet.

use std::collections::BTreeMap;

use app::App;
use commit::{Commit, again_patiently};
use kernel::error::OutOfCredits;
use kernel::{Error, LeaseId, Origin, Result, Time};
use serde::{Deserialize, Serialize};

use crate::lease::{Lease, Tally};
use crate::meter::Buyer;
use crate::usage;
use crate::wallet::Wallet;

/// What names a reservation: to be stored with the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Whose wallet pays, for what.
    pub buyer: Buyer,
    lease: LeaseId,
}

impl Reservation {
    /// Sets credits aside until a time, or until the first of the grants they come from ends. 402 if there are not so many;
    /// `top_up_url` is where somebody adds some.
    pub async fn make(app: &App, buyer: &Buyer, credits: u64, until: Time, top_up_url: &str) -> Result<Self> {
        let lease = again_patiently(|| async {
            let now = app.now();
            let mut wallet = Wallet::current(&app.table, buyer.org, now).await?;
            let balance = wallet.balance;
            let Some(lease) = wallet.lease_until(now, LeaseId::new(now), credits, until) else {
                return Err(Error::OutOfCredits(OutOfCredits {
                    balance,
                    price: credits,
                    top_up_url: top_up_url.to_owned(),
                })
                .into());
            };
            let commit = Commit::of(app, &Origin::default()).write_all("lease", lease.create()?);
            wallet.commit(&app.table, commit).await?.await?;
            Ok(lease.id)
        });
        Ok(Self {
            buyer: buyer.clone(),
            lease: lease.await?,
        })
    }

    /// Spends so many of its credits in a commit, together with what they pay for; the others come back. 409
    /// `reservation_ended` if it has ended: then nothing is to be done that it was to pay for. Where somebody else was faster
    /// the commit says so, and this is to be asked again.
    pub async fn spend<'a>(&self, app: &'a App, credits: u64, commit: Commit<'a>) -> Result<Commit<'a>> {
        let (now, org) = (app.now(), self.buyer.org);
        let lease = Lease::load(&app.table, org, self.lease).await?;
        let mut lease = lease.filter(Lease::is_open).ok_or_else(ended)?;
        if credits > lease.units {
            let detail = format!("{} credits are reserved, and {credits} are to be spent", lease.units);
            return Err(Error::refused("reservation_too_small", detail));
        }
        let mut wallet = Wallet::current(&app.table, org, now).await?;
        let tally = Tally {
            day: wallet.month.zone.day_of(now),
            project: self.buyer.project,
            key: self.buyer.key,
            endpoint: self.buyer.endpoint.clone(),
        };
        lease.close(&BTreeMap::from([(tally, credits)]));
        wallet.settle(now, &mut lease);
        let commit = commit
            .write_all("lease", lease.save(now))
            .write_all("usage", usage::add(org, lease.used()));
        wallet.commit(&app.table, commit).await
    }

    /// Gives its credits back. Nothing happens if it has ended.
    pub async fn release(&self, app: &App) -> Result<()> {
        Wallet::settle_lease(app, self.buyer.org, self.lease, |lease| {
            let open = lease.is_open();
            if open {
                lease.close(&BTreeMap::new());
            }
            open
        })
        .await
    }
}

fn ended() -> Error {
    Error::refused(
        "reservation_ended",
        "the credits that were set aside for this are not any more",
    )
}
