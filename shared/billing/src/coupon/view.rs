//! Coupons and discounts as replies show them: in the words of requests.

use kernel::{CouponId, Currency, Minor, Rate, Time};
use serde::Serialize;

use super::{Coupon, Discount, Duration, Lasts, Off};

/// A coupon as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CouponView {
    /// Its id.
    pub id: CouponId,
    /// What a client types.
    #[schema(example = "WELCOME10")]
    pub code: String,
    /// What it takes off, if that is a percentage.
    #[schema(required)]
    pub percent_off: Option<Rate>,
    /// What it takes off each invoice, if that is an amount.
    #[schema(required, value_type = Option<i64>)]
    pub amount_off: Option<Minor>,
    /// The currency of the amount.
    #[schema(required)]
    pub currency: Option<Currency>,
    /// How long it lasts.
    pub duration: Duration,
    /// Of `repeating`: how many months.
    #[schema(required)]
    pub months: Option<u16>,
    /// How often it may be applied.
    #[schema(required)]
    pub max_redemptions: Option<u32>,
    /// How often it was.
    pub redemptions: u32,
    /// From when on it may not be applied.
    #[schema(required)]
    pub expires_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
}

impl From<Coupon> for CouponView {
    fn from(coupon: Coupon) -> Self {
        let (percent_off, amount_off, currency) = off(coupon.off);
        let (duration, months) = lasts(coupon.lasts);
        Self {
            id: coupon.id,
            code: coupon.code,
            percent_off,
            amount_off,
            currency,
            duration,
            months,
            max_redemptions: coupon.max_redemptions,
            redemptions: coupon.redemptions,
            expires_at: coupon.expires_at,
            created_at: coupon.created_at,
        }
    }
}

/// A discount as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscountView {
    /// Of which coupon.
    pub coupon_id: CouponId,
    /// What the client typed.
    pub code: String,
    /// What it takes off, if that is a percentage.
    #[schema(required)]
    pub percent_off: Option<Rate>,
    /// What it takes off each invoice, if that is an amount.
    #[schema(required, value_type = Option<i64>)]
    pub amount_off: Option<Minor>,
    /// How long it lasts.
    pub duration: Duration,
    /// Of `repeating`: how many months.
    #[schema(required)]
    pub months: Option<u16>,
}

impl From<Discount> for DiscountView {
    fn from(discount: Discount) -> Self {
        let (percent_off, amount_off, _) = off(discount.off);
        let (duration, months) = lasts(discount.lasts);
        Self {
            coupon_id: discount.coupon,
            code: discount.code,
            percent_off,
            amount_off,
            duration,
            months,
        }
    }
}

fn off(off: Off) -> (Option<Rate>, Option<Minor>, Option<Currency>) {
    match off {
        Off::Percent(rate) => (Some(rate), None, None),
        Off::Amount(money) => (None, Some(money.minor), Some(money.currency)),
    }
}

fn lasts(lasts: Lasts) -> (Duration, Option<u16>) {
    match lasts {
        Lasts::Once => (Duration::Once, None),
        Lasts::Repeating(months) => (Duration::Repeating, Some(months)),
        Lasts::Forever => (Duration::Forever, None),
    }
}
