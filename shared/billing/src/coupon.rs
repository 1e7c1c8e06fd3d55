//! Coupons, and the discounts that they become when they are applied. A discount is lines of its own before tax, one for
//! each rate, and never takes more than there is.

mod store;
mod view;

use std::collections::BTreeMap;

use kernel::{Check, CouponId, Currency, Day, Input, Minor, Money, OrgId, Time};
use serde::{Deserialize, Serialize};

use crate::line::{Line, LineKind};
use crate::number::{Given, Quantity, Rate};
use crate::price::{amount, number};

pub use store::{NAME, give_back, redeem};
pub use view::{CouponView, DiscountView};

kernel::refusals! {
    /// Why a coupon is not applied.
    CannotRedeem {
        /// It has ended.
        Expired = "coupon_expired": "this coupon has expired";
        /// It was applied as often as it may be.
        UsedUp = "coupon_used_up": "this coupon was redeemed as often as it may be";
        /// It takes off an amount of another currency.
        OtherCurrency = "coupon_currency": "this coupon is for another currency";
        /// It was deleted.
        Deleted = "coupon_deleted": "this coupon was deleted";
    }
    /// Why a coupon is not made.
    CannotMake {
        /// Another one has its code.
        CodeTaken = "coupon_code_taken": "another coupon has this code";
    }
}

/// What a discount takes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Off {
    /// So many percent.
    Percent(Rate),
    /// So much of each invoice.
    Amount(Money),
}

/// Which invoices of a subscription a discount is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lasts {
    /// The first.
    Once,
    /// Those of periods that begin within so many months of the first.
    Repeating(u16),
    /// All.
    Forever,
}

/// How long a coupon lasts, in the words of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Duration {
    /// The first invoice.
    Once,
    /// `months` from the first.
    Repeating,
    /// Every invoice.
    Forever,
}

/// A coupon, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCoupon {
    /// What a client types.
    #[schema(example = "WELCOME10")]
    pub code: String,
    /// Percent, above zero; or `amountOff`.
    pub percent_off: Option<Given>,
    /// Minor units, above zero; or `percentOff`.
    #[schema(value_type = Option<i64>)]
    pub amount_off: Option<Minor>,
    /// The currency of `amountOff`.
    pub currency: Option<String>,
    /// How long it lasts.
    pub duration: Duration,
    /// Of `repeating`: how many months.
    #[schema(minimum = 1, maximum = 120)]
    pub months: Option<u16>,
    /// How often it may be applied.
    pub max_redemptions: Option<u32>,
    /// From when on it may not.
    pub expires_at: Option<Time>,
}

impl Input for NewCoupon {
    fn check(&self, check: &mut Check) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let is_code = (1..=50).contains(&self.code.len()) && self.code.chars().all(plain);
        check.that(is_code, "code", "must have 1 to 50 letters, digits, `-` and `_`");
        self.off(check);
        self.lasts(check);
        if let Some(most) = self.max_redemptions {
            check.that(most > 0, "maxRedemptions", "must be at least 1");
        }
    }
}

impl NewCoupon {
    fn off(&self, check: &mut Check) -> Option<Off> {
        let one = self.percent_off.is_some() != self.amount_off.is_some();
        check.that(one, "percentOff", "must be given, or `amountOff` instead");
        let with = self.amount_off.is_some() == self.currency.is_some();
        check.that(with, "currency", "must be given with `amountOff`, and only then");
        if let Some(given) = &self.percent_off {
            let rate: Rate = number(check, "percentOff", given)?;
            check.that(!rate.is_zero(), "percentOff", "must be above 0");
            return Some(Off::Percent(rate));
        }
        let minor = self.amount_off?;
        amount(check, "amountOff", minor);
        check.that(minor != Minor::ZERO, "amountOff", "must be above 0");
        let currency = currency(check, "currency", self.currency.as_deref()?)?;
        Some(Off::Amount(Money::new(minor, currency)))
    }

    fn lasts(&self, check: &mut Check) -> Option<Lasts> {
        let with = self.months.is_some() == (self.duration == Duration::Repeating);
        check.that(with, "months", "must be given for `repeating`, and only then");
        if let Some(months) = self.months {
            check.range("months", months, 1..=120);
        }
        match self.duration {
            Duration::Once => Some(Lasts::Once),
            Duration::Repeating => self.months.map(Lasts::Repeating),
            Duration::Forever => Some(Lasts::Forever),
        }
    }
}

/// Reads a currency, and notes what is wrong with it.
pub(crate) fn currency(check: &mut Check, field: &str, code: &str) -> Option<Currency> {
    let read: Result<Currency, _> = code.parse();
    if let Err(problem) = read {
        check.that(false, field, problem.to_string());
    }
    read.ok()
}

/// A coupon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coupon {
    /// Its id.
    pub id: CouponId,
    /// Whose it is.
    pub org: OrgId,
    /// What a client types.
    pub code: String,
    /// What it takes off.
    pub off: Off,
    /// How long it lasts once applied.
    pub lasts: Lasts,
    /// How often it may be applied.
    pub max_redemptions: Option<u32>,
    /// How often it was.
    pub redemptions: u32,
    /// From when on it may not be applied.
    pub expires_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it was deleted. What it was applied to keeps its discount.
    pub deleted_at: Option<Time>,
    #[serde(default)]
    version: u64,
}

impl Coupon {
    /// Makes a coupon; `Invalid` with every rule that the request breaks.
    pub fn new(now: Time, org: OrgId, new: &NewCoupon) -> kernel::Result<Self> {
        Check::run(new)?;
        let mut check = Check::default();
        let (off, lasts) = (new.off(&mut check), new.lasts(&mut check));
        let read = off.zip(lasts);
        let (off, lasts) = read.ok_or_else(|| kernel::Error::invalid("duration", "cannot be read"))?;
        Ok(Self {
            id: CouponId::new(now),
            org,
            code: new.code.clone(),
            off,
            lasts,
            max_redemptions: new.max_redemptions,
            redemptions: 0,
            expires_at: new.expires_at,
            created_at: now,
            deleted_at: None,
            version: 0,
        })
    }

    /// Counts that it is applied to something in a currency; what that gets.
    pub fn redeem(&mut self, now: Time, currency: Currency) -> Result<Discount, CannotRedeem> {
        if self.deleted_at.is_some() {
            return Err(CannotRedeem::Deleted);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(CannotRedeem::Expired);
        }
        if self.max_redemptions.is_some_and(|most| most <= self.redemptions) {
            return Err(CannotRedeem::UsedUp);
        }
        if matches!(self.off, Off::Amount(money) if money.currency != currency) {
            return Err(CannotRedeem::OtherCurrency);
        }
        self.redemptions += 1;
        Ok(Discount {
            coupon: self.id,
            code: self.code.clone(),
            off: self.off,
            lasts: self.lasts,
            since: None,
        })
    }

    /// Counts that it is on something no more that it was applied to, and that came to nothing.
    pub fn give_back(&mut self) {
        self.redemptions = self.redemptions.saturating_sub(1);
    }

    /// Deletes it.
    pub fn delete(&mut self, now: Time) {
        self.deleted_at.get_or_insert(now);
    }
}

/// A coupon that was applied: what it says stays, whatever becomes of the coupon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Discount {
    /// Of which coupon.
    pub coupon: CouponId,
    /// What the client typed.
    pub code: String,
    /// What it takes off.
    pub off: Off,
    /// Which invoices it is on.
    pub lasts: Lasts,
    /// The day of the first invoice that it was on.
    pub since: Option<Day>,
}

impl Discount {
    /// Whether it is on the invoice of a period that begins on that day.
    pub fn is_on(&self, day: Day) -> bool {
        match (self.since, self.lasts) {
            (None, _) | (_, Lasts::Forever) => true,
            (Some(_), Lasts::Once) => false,
            (Some(since), Lasts::Repeating(months)) => day < since.plus_months(months.into()),
        }
    }

    /// What it takes off an amount: never more than there is.
    pub fn of(&self, amount: Minor) -> Minor {
        let off = match self.off {
            Off::Percent(rate) => rate.of(amount),
            Off::Amount(money) => money.minor,
        };
        off.min(amount).max(Minor::ZERO)
    }

    /// Its lines for a document's other lines: one for each tax rate, split by what each rate's lines come to.
    pub fn lines(&self, lines: &[Line]) -> Vec<Line> {
        let mut bases: BTreeMap<Rate, Minor> = BTreeMap::new();
        for line in lines {
            *bases.entry(line.tax_rate).or_default() += line.amount;
        }
        bases.retain(|_, base| *base > Minor::ZERO);
        let weights: Vec<i64> = bases.values().map(|base| base.get()).collect();
        let parts = self.of(bases.values().copied().sum()).split(&weights);
        let taken = bases.keys().zip(parts).filter(|(_, part)| *part != Minor::ZERO);
        taken.map(|(rate, part)| self.line(-part, *rate)).collect()
    }

    /// A line of its own.
    pub(crate) fn line(&self, amount: Minor, tax_rate: Rate) -> Line {
        Line {
            kind: LineKind::Discount,
            description: format!("Discount {}", self.code),
            quantity: Quantity::whole(1),
            unit_price: None,
            amount,
            tax_rate,
            period: None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kernel::Error;
    use proptest::prelude::*;

    use super::*;
    use crate::tax::Totals;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    pub(crate) fn coupon(json: &str) -> Coupon {
        Coupon::new(NOW, OrgId::from_bits(1), &serde_json::from_str(json).unwrap()).unwrap()
    }

    pub(crate) fn discount(json: &str) -> Discount {
        coupon(json).redeem(NOW, "EUR".parse().unwrap()).unwrap()
    }

    fn amounts(lines: &[Line]) -> Vec<(String, i64)> {
        let pair = |line: &Line| (line.tax_rate.to_string(), line.amount.get());
        lines.iter().map(pair).collect()
    }

    #[test]
    fn a_discount_is_split_over_the_rates_by_largest_remainder() {
        let lines = [
            Line::of_amount(333, "7"),
            Line::of_amount(333, "19"),
            Line::of_amount(334, "0"),
        ];
        let half = discount(r#"{"code":"HALF","percentOff":50,"duration":"once"}"#);
        assert_eq!(
            amounts(&half.lines(&lines)),
            [("0".into(), -167), ("7".into(), -167), ("19".into(), -166)]
        );
        let much = discount(r#"{"code":"MUCH","amountOff":5000,"currency":"EUR","duration":"once"}"#);
        assert_eq!(
            amounts(&much.lines(&lines)),
            [("0".into(), -334), ("7".into(), -333), ("19".into(), -333)]
        );
        assert!(much.lines(&[]).is_empty());
    }

    #[test]
    fn a_discount_lasts_as_long_as_it_says() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        let mut once = discount(r#"{"code":"A","percentOff":5,"duration":"once"}"#);
        let mut three = discount(r#"{"code":"A","percentOff":5,"duration":"repeating","months":3}"#);
        let mut always = discount(r#"{"code":"A","percentOff":"5.5","duration":"forever"}"#);
        for discount in [&mut once, &mut three, &mut always] {
            assert!(discount.is_on(day("2027-01-31")));
            discount.since = Some(day("2027-01-31"));
        }
        let on = |discount: &Discount| ["2027-02-28", "2027-03-31", "2027-04-30"].map(|text| discount.is_on(day(text)));
        assert_eq!(on(&once), [false; 3]);
        assert_eq!(on(&three), [true, true, false]);
        assert_eq!(on(&always), [true; 3]);
    }

    #[test]
    fn a_coupon_is_applied_only_while_it_may_be() {
        let eur: Currency = "EUR".parse().unwrap();
        let json = r#"{"code":"A","amountOff":5,"currency":"EUR","duration":"once","maxRedemptions":1,
            "expiresAt":"2027-01-16T00:00:00Z"}"#;
        let mut one = coupon(json);
        let end = one.expires_at.unwrap();
        assert_eq!(one.redeem(end, eur), Err(CannotRedeem::Expired));
        assert_eq!(
            one.redeem(NOW, "USD".parse().unwrap()),
            Err(CannotRedeem::OtherCurrency)
        );
        assert!(one.redeem(NOW, eur).is_ok());
        assert_eq!(one.redeem(NOW, eur), Err(CannotRedeem::UsedUp));
        one.give_back();
        assert!(one.redeem(NOW, eur).is_ok());
        one.give_back();
        one.give_back();
        assert_eq!(one.redemptions, 0);
        assert!(one.redeem(NOW, eur).is_ok());
        let mut gone = coupon(json);
        gone.delete(NOW);
        assert_eq!(gone.redeem(NOW, eur), Err(CannotRedeem::Deleted));
        assert_eq!(CannotRedeem::UsedUp.code(), "coupon_used_up");
    }

    #[test]
    fn a_coupon_takes_off_one_thing() {
        for (json, fields) in [
            (r#"{"code":"a b","duration":"once"}"#, vec!["code", "percentOff"]),
            (
                r#"{"code":"A","percentOff":0,"amountOff":5,"duration":"once"}"#,
                vec!["percentOff", "currency", "percentOff"],
            ),
            (
                r#"{"code":"A","amountOff":0,"currency":"EURO","duration":"repeating"}"#,
                vec!["amountOff", "currency", "months"],
            ),
            (
                r#"{"code":"A","percentOff":101,"duration":"forever","months":1,"maxRedemptions":0}"#,
                vec!["percentOff", "months", "maxRedemptions"],
            ),
        ] {
            let new: NewCoupon = serde_json::from_str(json).unwrap();
            let Err(Error::Invalid(problems)) = Coupon::new(NOW, OrgId::from_bits(1), &new) else {
                panic!("{json} is taken");
            };
            let found: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
            assert_eq!(found, fields, "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_document_never_falls_below_zero(
            lines in prop::collection::vec((0_i64..100_000, 0_usize..3), 1..20),
            percent in 1_u32..=100,
            off in 1_i64..1_000_000,
        ) {
            let rates = ["0", "7", "19"];
            let lines: Vec<Line> = lines.into_iter().map(|(amount, rate)| Line::of_amount(amount, rates[rate])).collect();
            for json in [
                format!(r#"{{"code":"A","percentOff":{percent},"duration":"once"}}"#),
                format!(r#"{{"code":"A","amountOff":{off},"currency":"EUR","duration":"once"}}"#),
            ] {
                let mut all = lines.clone();
                let found = discount(&json);
                all.extend(found.lines(&lines));
                let before: Minor = lines.iter().map(|line| line.amount).sum();
                let totals = Totals::of(&all).unwrap();
                prop_assert_eq!(totals.subtotal, before - found.of(before));
                prop_assert!(totals.taxes.iter().all(|tax| tax.base >= Minor::ZERO));
            }
        }
    }
}
