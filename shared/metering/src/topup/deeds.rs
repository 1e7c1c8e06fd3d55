//! What becomes of a top-up by its payment. The money is the platform's, the credits are those of who bought them; so these add
//! to the commit that books the money, and both happen or none. Where somebody else was faster with the wallet or the top-up,
//! that commit is made anew.

use app::App;
use commit::Commit;
use kernel::{OrgId, PaymentId, Result};
use notifications::Desk;
use table::Write;

use super::{Topup, TopupStatus, load};
use crate::credit_grant::CreditGrant;
use crate::mails;
use crate::wallet::Wallet;

/// What a payment of a top-up came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paid {
    /// The credits are granted with this commit.
    Now,
    /// They were granted for its payment before; the commit has nothing of it.
    Before,
    /// Somebody of the platform granted credits in its place before it was paid; the commit has nothing of it, and the money
    /// pays for nothing.
    ByHand,
}

/// Adds to a commit that a top-up is paid: its credits are granted, never to end, if they were not before. One that had failed is
/// paid all the same.
pub async fn paid<'a>(app: &App, commit: Commit<'a>, org: OrgId, id: PaymentId) -> Result<(Commit<'a>, Paid)> {
    let mut topup = load(&app.table, org, id).await?;
    if topup.status == TopupStatus::Succeeded {
        let paid = if topup.grant.is_some() {
            Paid::Before
        } else {
            Paid::ByHand
        };
        return Ok((commit, paid));
    }
    let now = app.now();
    let mut wallet = Wallet::current(&app.table, org, now).await?;
    let grant = CreditGrant::bought(now, org, topup.credits, id);
    (topup.status, topup.grant) = (TopupStatus::Succeeded, Some(grant.id));
    // Whatever a wallet may hold: what was paid for is there.
    wallet.grant(now, grant);
    Ok((store(app, commit, &topup, wallet).await?, Paid::Now))
}

/// Adds to a commit that the payment of a top-up has failed. If the wallet asked for it by itself it asks for no other for an
/// hour, and the organization's owners and admins are mailed. Nothing if it has failed before, or its credits are there.
pub async fn failed<'a>(
    app: &App,
    desk: &Desk,
    mut commit: Commit<'a>,
    org: OrgId,
    id: PaymentId,
) -> Result<Commit<'a>> {
    let mut topup = load(&app.table, org, id).await?;
    if topup.status != TopupStatus::Pending {
        return Ok(commit);
    }
    topup.status = TopupStatus::Failed;
    let now = app.now();
    let mut wallet = Wallet::current(&app.table, org, now).await?;
    if wallet.topup_failed(now, id) {
        for job in mails::of_failed_topup(app, desk, &topup).await? {
            commit = commit.due(job.later())?;
        }
    }
    store(app, commit, &topup, wallet).await
}

/// Adds to a commit that of a top-up's credits so many are taken back in all, because its money was: those that are unspent; the
/// rest is debt. Nothing if so many were taken back before; if more were, because a refund has failed after all, the difference
/// is granted again. `credits` above those of the top-up are all of them; one that was never paid has none.
pub async fn take_back<'a>(
    app: &App,
    commit: Commit<'a>,
    org: OrgId,
    id: PaymentId,
    credits: u64,
) -> Result<Commit<'a>> {
    let mut topup = load(&app.table, org, id).await?;
    let (before, now) = (topup.taken_back, app.now());
    let in_all = credits.min(topup.credits);
    if topup.grant.is_none() || in_all == before {
        return Ok(commit);
    }
    let mut wallet = Wallet::current(&app.table, org, now).await?;
    if in_all > before {
        wallet.take_back(now, in_all - before, topup.grant);
    } else {
        wallet.grant(now, CreditGrant::given_again(now, org, before - in_all));
    }
    topup.taken_back = in_all;
    store(app, commit, &topup, wallet).await
}

async fn store<'a>(app: &App, commit: Commit<'a>, topup: &Topup, wallet: Wallet) -> Result<Commit<'a>> {
    let commit = commit.write("topup", Write::replace(topup)?);
    wallet.commit(&app.table, commit).await
}
