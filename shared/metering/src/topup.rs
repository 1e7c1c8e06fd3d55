//! A top-up: credits that an organization wants to buy, by hand or by itself when few are left. It is `pending` until it is
//! paid, or until somebody of the platform grants credits in its place; `failed` when its payment has failed, which a later
//! success undoes. Its credits are granted once, whatever is told twice, late or in another order. Pure: time is passed in.

mod deeds;
mod store;

use kernel::link::{Links, Secret, Token};
use kernel::money::nearest;
use kernel::{CreditGrantId, Currency, Minor, Money, OrgId, PaymentId, Time};
use serde::{Deserialize, Serialize};

use crate::price::PriceList;

pub use deeds::{Paid, failed, paid, take_back};
pub use store::{by_token, create, list, load};
pub(crate) use store::{fulfil, open};

/// So many credits can be bought at once.
pub const MOST: i64 = 1_000_000_000_000;
/// After a top-up has failed that a wallet asked for by itself, or one was taken back, it asks for no other for so long.
pub const COOL_DOWN: i64 = Time::HOUR;

/// How a wallet is topped up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoTopup {
    /// When the balance falls below this, credits are bought.
    #[schema(minimum = 1, example = 1_000)]
    pub threshold: u64,
    /// They are bought in whole steps of this, as few as reach the threshold.
    #[schema(minimum = 1, example = 500)]
    pub step: u64,
}

impl AutoTopup {
    /// How many credits to buy at this balance; nothing if there are enough.
    pub(crate) fn wanted(self, balance: u64) -> Option<u64> {
        let gap = self.threshold.checked_sub(balance).filter(|gap| *gap > 0)?;
        Some(gap.div_ceil(self.step).saturating_mul(self.step))
    }
}

/// How far a top-up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TopupStatus {
    /// Nobody has paid it.
    Pending,
    /// Its credits are in the wallet, or were.
    Succeeded,
    /// Its payment has failed.
    Failed,
}

/// Credits that are to be bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topup {
    /// The payment of it.
    pub id: PaymentId,
    /// By whom.
    pub org: OrgId,
    /// How many.
    pub credits: u64,
    /// What they cost, by the prices of when it was asked for.
    pub price: Money,
    /// Whether the wallet asked for it by itself.
    pub automatic: bool,
    /// How far it is.
    pub status: TopupStatus,
    /// When it was asked for.
    pub created_at: Time,
    /// The grant that it paid for; none if somebody of the platform granted credits in its place.
    #[serde(default)]
    grant: Option<CreditGrantId>,
    /// What proves the link to its page.
    #[serde(default)]
    link: Option<Secret>,
    /// How many of its credits were taken back, because money was.
    #[serde(default)]
    pub taken_back: u64,
    #[serde(default)]
    version: u64,
}

/// A top-up that a wallet asks for by itself, before it has a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) id: PaymentId,
    pub(crate) credits: u64,
}

impl Wanted {
    pub(crate) fn priced(self, org: OrgId, prices: &PriceList) -> Topup {
        Topup {
            id: self.id,
            automatic: true,
            ..Topup::by_hand(self.id.time(), org, self.credits, prices)
        }
    }
}

impl Topup {
    /// One that somebody asks for.
    pub fn by_hand(now: Time, org: OrgId, credits: u64, prices: &PriceList) -> Self {
        Self {
            id: PaymentId::new(now),
            org,
            credits,
            price: prices.cost_of(credits),
            automatic: false,
            status: TopupStatus::Pending,
            created_at: now,
            grant: None,
            link: Some(Secret::new()),
            taken_back: 0,
            version: 0,
        }
    }

    /// The token of its page; nothing for one of before there were pages.
    pub fn token(&self) -> Option<Token> {
        let secret = self.link?;
        Some(Token::Topup {
            org: self.org,
            topup: self.id,
            secret,
        })
    }

    /// How many of its credits so much of its money is worth: all of them if it is all of it.
    pub fn worth(&self, money: Minor) -> u64 {
        let (part, whole) = (money.clamp(Minor::ZERO, self.price.minor), self.price.minor);
        let credits = nearest(
            i128::from(self.credits) * i128::from(part.get()),
            i128::from(whole.get()),
        );
        u64::try_from(credits).unwrap_or(0)
    }
}

/// A top-up as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopupView {
    /// The id of the payment.
    pub id: PaymentId,
    /// How many credits it buys.
    pub credits: u64,
    /// Whether the wallet asked for it by itself.
    pub automatic: bool,
    /// What they cost, in minor units.
    pub amount: Minor,
    /// Of this currency.
    pub currency: Currency,
    /// `pending` until it is paid, or somebody of the platform grants credits in its place; `failed` when its payment has failed,
    /// unless it succeeds after all.
    pub status: TopupStatus,
    /// How many of the credits were taken back after a refund or a charge-back.
    pub taken_back: u64,
    /// The page on which it is paid, without a login; null once it is paid.
    #[schema(required)]
    pub payment_url: Option<String>,
    /// When it was asked for.
    pub created_at: Time,
}

impl TopupView {
    /// Shows a top-up, with links that lead to us.
    pub fn of(topup: &Topup, links: &Links) -> Self {
        let is_open = topup.status != TopupStatus::Succeeded;
        let token = topup.token().filter(|_| is_open);
        Self {
            payment_url: token.map(|token| links.page(&token)),
            id: topup.id,
            credits: topup.credits,
            automatic: topup.automatic,
            amount: topup.price.minor,
            currency: topup.price.currency,
            status: topup.status,
            taken_back: topup.taken_back,
            created_at: topup.created_at,
        }
    }
}

/// What answers whoever asks for a top-up.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedTopup {
    /// The payment of it.
    pub payment: TopupView,
    /// Our page, on which it is paid by a provider of one's choice, without a login.
    pub payment_url: String,
}

impl StartedTopup {
    /// Shows one that was just asked for.
    pub fn of(topup: &Topup, links: &Links) -> Self {
        let payment = TopupView::of(topup, links);
        Self {
            payment_url: payment.payment_url.clone().unwrap_or_default(),
            payment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(threshold: u64, step: u64, balance: u64, expected: Option<u64>) {
        assert_eq!(AutoTopup { threshold, step }.wanted(balance), expected);
    }

    #[test]
    fn money_is_worth_its_share_of_the_credits() {
        let org = OrgId::from_bits(1);
        let topup = Topup::by_hand(Time::default(), org, 1_000_001, &PriceList::default());
        assert_eq!(topup.price.minor, Minor::new(1_000));
        for (money, credits) in [
            (0, 0),
            (-5, 0),
            (1, 1_000),
            (500, 500_001),
            (1_000, 1_000_001),
            (1_001, 1_000_001),
        ] {
            assert_eq!(topup.worth(Minor::new(money)), credits, "{money}");
        }
    }

    #[test]
    fn the_gap_is_filled_in_whole_steps() {
        check(1_000, 500, 1_000, None);
        check(1_000, 500, 980, Some(500));
        check(1_000, 500, 0, Some(1_000));
        check(1_000, 300, 0, Some(1_200));
        check(1, 1, 0, Some(1));
    }
}
