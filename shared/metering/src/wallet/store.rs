//! A wallet:   pk ORG#<org>#WALLET   sk WALLET   (its leases, grants, entries and top-ups lie beside it)

use app::App;
use commit::{Commit, NotDone, again, again_patiently};
use identity::Org;
use kernel::policy::{ReadOrg, ReadWallet};
use kernel::{Error, LeaseId, OrgId, Origin, Result, Scope, Time, Zone};
use table::{Key, Record, Table, TableName, Write};

use super::{Happened, Wallet, WalletView};
use crate::facts::{Told, WalletExhausted, WalletLow, WalletToppedUp};
use crate::lease::Lease;
use crate::month::{Month, Threshold};
use crate::plan::Plan;
use crate::{credit_grant, price, receipt, topup, usage};

/// A wallet and its open leases are read this often until both are of one moment.
pub(crate) const LOOKS: u32 = 4;

impl Record for Wallet {
    const KIND: &'static str = "wallet";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

pub(crate) fn partition(org: OrgId) -> String {
    format!("ORG#{org}#WALLET")
}

fn key(org: OrgId) -> Key {
    Key::of(partition(org), "WALLET")
}

impl Wallet {
    /// Reads a wallet and lets time change it: what is over ends, a new month begins. An organization that has none yet has
    /// a new one. Nothing is stored by it.
    pub(crate) async fn current(table: &Table, org: OrgId, now: Time) -> Result<Self> {
        let mut wallet: Self = table.get(&key(org)).await?.unwrap_or_else(|| Self::new(org));
        if wallet.is_due(now) {
            let month = if wallet.month.is_over(now) {
                match Org::load(table, &Scope::<ReadOrg>::system(org)).await {
                    Ok(org) => {
                        let plan = Plan::of(table, org.id).await?;
                        wallet.month.next(now, org.time_zone, plan.included_credits)
                    }
                    // What is left to settle of one that was deleted.
                    Err(Error::NotFound(_)) => Month::of(now, Zone::utc(), 0),
                    Err(error) => return Err(error),
                }
            } else {
                wallet.month.clone()
            };
            wallet.advance(now, || month);
        }
        Ok(wallet)
    }

    /// Adds to a commit what stores it, with all that came of its changes.
    pub(crate) async fn commit<'a>(mut self, table: &Table, mut commit: Commit<'a>) -> Result<Commit<'a>> {
        for happened in std::mem::take(&mut self.happened) {
            commit = self.add(table, commit, happened).await?;
        }
        let told = self.take_ended().into_iter();
        let ended = told.map(|(grant, credits)| credit_grant::expired(self.org, grant, credits));
        commit = commit.write_all("grant", ended);
        Ok(commit.write("wallet", Write::save(&self)?))
    }

    async fn add<'a>(&mut self, table: &Table, commit: Commit<'a>, happened: Happened) -> Result<Commit<'a>> {
        Ok(match happened {
            Happened::Moved(entry) => commit.write("entry", Write::create(&entry)?),
            Happened::Granted(grant) => commit.write("grant", Write::create(&grant)?),
            Happened::Asked(wanted) => {
                let topup = wanted.priced(self.org, &price::load(table).await?);
                commit.write("topup", Write::create(&topup)?)
            }
            Happened::Reached(Threshold::Low) => commit.tell(&WalletLow(self.tell()))?,
            Happened::Reached(Threshold::Exhausted) => commit.tell(&WalletExhausted(self.tell()))?,
            Happened::ToppedUp => commit.tell(&WalletToppedUp(self.tell()))?,
        })
    }

    /// Stores it, with all that came of its changes, because time has passed.
    pub(crate) async fn store(self, app: &App) -> Result<(), NotDone> {
        let commit = Commit::of(app, &Origin::default());
        self.commit(&app.table, commit).await?.await
    }

    fn tell(&mut self) -> Told {
        self.told += 1;
        Told {
            org: self.org,
            sequence: self.told,
            included: self.month.included,
            wallet: WalletView::of(self, &[]),
        }
    }

    /// Reads the wallet of the scope's organization as it is now. What time has changed of it is stored on the way, and that
    /// the organization is in another zone.
    pub async fn now(app: &App, scope: &Scope<ReadWallet>) -> Result<Self> {
        let org = Org::load(&app.table, scope).await?;
        again(|| async {
            let mut wallet = Self::current(&app.table, org.id, app.now()).await?;
            let moves = wallet.month.zone != org.time_zone;
            if moves || !wallet.happened.is_empty() {
                wallet.month.zone = org.time_zone.clone();
                wallet.store(app).await?;
                wallet = Self::current(&app.table, org.id, app.now()).await?;
            }
            Ok(wallet)
        })
        .await
    }

    /// Reads the wallet of the scope's organization as it is now, with its open leases.
    pub async fn view(app: &App, scope: &Scope<ReadWallet>) -> Result<(Self, Vec<Lease>)> {
        for _ in 0..LOOKS {
            let wallet = Self::now(app, scope).await?;
            let receipts = receipt::largest_of(&app.table, scope.org(), wallet.open.iter().copied()).await?;
            let mut leases = Lease::load_many(&app.table, scope.org(), &wallet.open).await?;
            // One that was settled since counts in a wallet that was not read yet.
            if leases.iter().all(Lease::is_open) {
                for lease in &mut leases {
                    receipts.get(&lease.id).into_iter().for_each(|sold| lease.receive(sold));
                }
                return Ok((wallet, leases));
            }
        }
        Err(Error::Busy)
    }

    /// Settles a lease of this organization after `change` has said what is known of it; nothing if the change says that
    /// nothing is to be done.
    pub(crate) async fn settle_lease(
        app: &App,
        org: OrgId,
        id: LeaseId,
        change: impl Fn(&mut Lease) -> bool + Send + Sync,
    ) -> Result<()> {
        again_patiently(|| async {
            let now = app.now();
            let Some(mut lease) = Lease::load(&app.table, org, id).await? else {
                return Ok(());
            };
            if !change(&mut lease) {
                return Ok(());
            }
            let mut wallet = Self::current(&app.table, org, now).await?;
            wallet.settle(now, &mut lease);
            let commit = Commit::of(app, &Origin::default())
                .write_all("lease", lease.save(now))
                .write_all("usage", usage::add(org, lease.used()));
            wallet.commit(&app.table, commit).await?.await?;
            Ok::<_, NotDone>(())
        })
        .await
    }
}

/// Whether a top-up is what these credits fulfil.
pub(crate) async fn open_topup(table: &Table, wallet: &Wallet) -> Result<Option<topup::Topup>> {
    match wallet.open_topup {
        Some(id) => topup::open(table, wallet.org, id).await,
        None => Ok(None),
    }
}
