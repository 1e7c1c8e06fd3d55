//! What subscriptions bring each month: flat prices of those that run, net of tax and discounts.

use std::collections::BTreeMap;

use kernel::{Currency, Minor, Money, Time};

use crate::schedule::Interval;
use crate::subscription::Subscription;

impl Subscription {
    /// What it brings a month, while it runs and is not tried: a year's twelfth, or of 30 days 365/360.
    pub fn monthly_revenue(&self, now: Time) -> Option<Money> {
        if !self.runs(now) || self.is_tried(now) || self.is_over(now) {
            return None;
        }
        let net = self.net_flat(now)?;
        let monthly = match self.terms.interval {
            Interval::Monthly => net,
            Interval::Yearly => net.share(1, 12),
            Interval::Days30 => net.share(365, 360),
        };
        Some(Money::new(monthly, self.terms.currency))
    }
}

/// The revenue of a month from subscriptions, by currency.
pub fn monthly<'a>(all: impl IntoIterator<Item = &'a Subscription>, now: Time) -> BTreeMap<Currency, Minor> {
    let mut sums = BTreeMap::new();
    for money in all
        .into_iter()
        .filter_map(|subscription| subscription.monthly_revenue(now))
    {
        *sums.entry(money.currency).or_default() += money.minor;
    }
    sums
}
