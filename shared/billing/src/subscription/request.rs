//! What requests say about subscriptions.

use kernel::{Check, ContractId, Input, PlanId, Time};
use serde::Deserialize;

use super::When;
use crate::number::{Given, Quantity};
use crate::price::number;
use crate::schedule::may_start;

/// A subscription, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscriptionRequest {
    /// Under which contract, whose client gets it.
    pub contract_id: ContractId,
    /// What is sold.
    pub plan_id: PlanId,
    /// When it begins; it may lie in the past. With its contract if it is not given.
    pub start_at: Option<Time>,
    /// How many of the flat prices: above zero, at most six decimal places. One if it is not given.
    pub quantity: Option<Given>,
    /// A coupon for its invoices.
    pub coupon_code: Option<String>,
}

impl Input for SubscriptionRequest {
    fn check(&self, check: &mut Check) {
        self.read(check);
        if let Some(code) = &self.coupon_code {
            check.text("couponCode", code, 1..=50);
        }
    }
}

impl SubscriptionRequest {
    /// How many of the flat prices; `Invalid` with every rule that the request breaks.
    pub fn quantity(&self, now: Time) -> kernel::Result<Quantity> {
        let mut check = Check::default();
        self.check(&mut check);
        let in_reach = self.start_at.is_none_or(|start| may_start(now, start));
        check.that(in_reach, "startAt", "must lie within ten years");
        check.done()?;
        Ok(self.read(&mut Check::default()).unwrap_or(Quantity::whole(1)))
    }

    fn read(&self, check: &mut Check) -> Option<Quantity> {
        let quantity: Quantity = number(check, "quantity", self.quantity.as_ref()?)?;
        check.that(!quantity.is_zero(), "quantity", "must be above 0");
        Some(quantity)
    }
}

/// A change of plan, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeRequest {
    /// The new plan.
    pub plan_id: PlanId,
    /// Whether it is only looked at.
    #[serde(default)]
    pub preview: bool,
    /// When it takes effect; at once if it is not given.
    pub effective: Option<When>,
}

impl Input for ChangeRequest {
    fn check(&self, _: &mut Check) {}
}

impl ChangeRequest {
    /// When it takes effect.
    pub fn when(&self) -> When {
        self.effective.unwrap_or(When::Now)
    }
}

/// A cancellation, as a request says it; null takes one back.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CancelRequest {
    /// When it takes effect: at the period's end if it is not given. Null takes it back.
    #[serde(default, deserialize_with = "kernel::check::given")]
    #[schema(value_type = Option<When>)]
    pub at: Option<Option<When>>,
}

impl Input for CancelRequest {
    fn check(&self, _: &mut Check) {}
}

impl CancelRequest {
    /// When it takes effect; nothing if one is taken back.
    pub fn when(&self) -> Option<When> {
        self.at.unwrap_or(Some(When::default()))
    }
}

#[cfg(test)]
mod tests {
    use kernel::Error;

    use super::*;

    #[test]
    fn a_quantity_is_above_zero_and_one_by_default() {
        let (contract, plan) = (ContractId::from_bits(1), PlanId::from_bits(1));
        let quantity = |rest: &str| {
            let json = format!(r#"{{"contractId":"{contract}","planId":"{plan}"{rest}}}"#);
            let request: SubscriptionRequest = serde_json::from_str(&json).unwrap();
            request.quantity(Time::from_millis(1_799_000_000_000))
        };
        assert_eq!(quantity("").unwrap(), Quantity::whole(1));
        assert_eq!(quantity(r#","quantity":"2.5""#).unwrap().to_string(), "2.5");
        for rest in [r#","quantity":0"#, r#","quantity":-1"#, r#","quantity":0.0000001"#] {
            let Err(Error::Invalid(problems)) = quantity(rest) else {
                panic!("{rest} is taken")
            };
            assert_eq!(problems[0].field, "quantity");
        }
        assert!(quantity(r#","couponCode":"""#).is_err());
        assert!(quantity(r#","startAt":"2010-01-01T00:00:00Z""#).is_err());
        assert!(quantity(r#","startAt":"2020-01-01T00:00:00Z""#).is_ok());
    }

    #[test]
    fn a_cancellation_is_for_the_periods_end_now_or_taken_back() {
        let when = |json: &str| serde_json::from_str::<CancelRequest>(json).unwrap().when();
        assert_eq!(when("{}"), Some(When::PeriodEnd));
        assert_eq!(when(r#"{"at":"period_end"}"#), Some(When::PeriodEnd));
        assert_eq!(when(r#"{"at":"now"}"#), Some(When::Now));
        assert_eq!(when(r#"{"at":null}"#), None);
        let plan = PlanId::from_bits(1);
        let change = |rest: &str| serde_json::from_str::<ChangeRequest>(&format!(r#"{{"planId":"{plan}"{rest}}}"#));
        assert_eq!(change("").unwrap().when(), When::Now);
        assert_eq!(change(r#","effective":"period_end""#).unwrap().when(), When::PeriodEnd);
        assert!(change(r#","effective":"soon""#).is_err());
    }
}
