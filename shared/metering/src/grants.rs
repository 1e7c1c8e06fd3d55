//! What people change of wallets: credits that the platform grants or takes back, and how a wallet is topped up by itself.

use app::App;
use commit::{Commit, Reply, again, again_patiently};
use kernel::policy::{GrantCredits, ReadOrg, TopUpWallet};
use kernel::{Error, OrgId, Result, Scope, Time};
use serde_json::json;
use trail::{Chain, Change};

use crate::credit_grant::{CreditGrant, CreditGrantView};
use crate::topup::{self, AutoTopup};
use crate::wallet::{self, Wallet, WalletView};

/// Credits that somebody of the platform adds, or takes back.
#[derive(Clone, Debug)]
pub struct Adjustment {
    /// How many; negative to take back.
    pub credits: i64,
    /// Why.
    pub reason: String,
    /// The priority of those that are added.
    pub priority: u8,
    /// When those end.
    pub expires_at: Option<Time>,
}

/// Adds credits to an organization's wallet, or takes some back, and notes it. Credits that are added fulfil the top-up that
/// the wallet asked for by itself, if one is open.
pub async fn adjust(app: &App, scope: &Scope<GrantCredits>, org: OrgId, adjustment: &Adjustment) -> Result<Adjusted> {
    if adjustment.expires_at.is_some_and(|end| end <= app.now()) {
        return Err(Error::invalid("expiresAt", "must be in the future"));
    }
    identity::Org::load(&app.table, &Scope::<ReadOrg>::system(org)).await?;
    again_patiently(|| async {
        let now = app.now();
        let mut wallet = Wallet::current(&app.table, org, now).await?;
        let mut commit = Commit::by(app, scope);
        let mut granted = None;
        let credits = adjustment.credits.unsigned_abs();
        let reason = &adjustment.reason;
        if adjustment.credits > 0 {
            wallet.may_be_granted(credits)?;
            let mut grant = CreditGrant::manual(now, org, credits, reason, adjustment.priority, adjustment.expires_at);
            if let Some(topup) = wallet::open_topup(&app.table, &wallet).await? {
                grant = grant.fulfilling(topup.id);
                commit = commit.write("topup", topup::fulfil(topup)?);
            }
            granted = Some(grant.clone());
            wallet.grant(now, grant);
        } else {
            wallet.correct(now, credits, reason)?;
        }
        let done = Adjusted {
            grant: granted.map(|grant| CreditGrantView::of(grant, &wallet)),
            wallet: WalletView::of(&wallet, &[]),
        };
        let change = Change::by(scope.actor(), "wallet.credits_adjusted", "wallet", org);
        let change = change.to(json!({"credits": adjustment.credits, "reason": reason}));
        commit = commit.note(Chain::Org(org), change).reply(Reply::created(&done)?);
        wallet.commit(&app.table, commit).await?.await?;
        Ok(done)
    })
    .await
}

/// What an adjustment made of a wallet.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adjusted {
    /// The grant that was made; absent when credits were taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<CreditGrantView>,
    /// The wallet as it is then.
    pub wallet: WalletView,
}

/// Says how the wallet of the scope's organization is topped up by itself, or that it is not, and notes it.
pub async fn set_auto_topup(app: &App, scope: &Scope<TopUpWallet>, auto: Option<AutoTopup>) -> Result<()> {
    again(|| async {
        let now = app.now();
        let mut wallet = Wallet::current(&app.table, scope.org(), now).await?;
        if wallet.auto_topup == auto {
            return Ok(());
        }
        let change = Change::by(scope.actor(), "wallet.auto_topup_set", "wallet", scope.org());
        let change = change.from(json!(wallet.auto_topup)).to(json!(auto));
        wallet.set_auto_topup(now, auto);
        let commit = Commit::by(app, scope).note(Chain::Org(scope.org()), change);
        wallet.commit(&app.table, commit).await?.await?;
        Ok(())
    })
    .await
}
