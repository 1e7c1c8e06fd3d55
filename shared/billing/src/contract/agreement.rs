//! A contract with its subscriptions: what is done to it is done to them. Pure.

use kernel::{Error, InvoiceId, Result, SubscriptionId, Time};

use super::{CannotChange, Contract, ContractPatch, Reason, Status};
use crate::subscription::{self, Credit, PausedBy, Subscription, When};
use crate::tax::Taxation;

/// A contract has at most so many subscriptions that have not ended, for a transaction has 100 writes. Terminating one takes
/// 6 for each subscription (itself, its fact, two for its mark, a credit note, its fact), 2 for each currency, and up to 12
/// for the rest: `10 × (6 + 2) + 12 = 92`.
pub const MOST_SUBSCRIPTIONS: usize = 10;

/// A contract with its subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The contract.
    pub contract: Contract,
    /// Its subscriptions: all that have not ended, and some that have.
    pub subscriptions: Vec<Subscription>,
}

/// What the end of a subscription gives back: by its place in the agreement.
pub(super) type Credits = Vec<(usize, Credit)>;

impl Agreement {
    /// Lets the contract begin, and its subscriptions with it.
    pub fn activate(&mut self, now: Time) -> Result<()> {
        let has_some = self.subscriptions.iter().any(|one| !one.status.is_over());
        self.contract.activate(now, has_some)?;
        self.wake(now)
    }

    /// Lets it rest, and its active subscriptions with it.
    pub fn suspend(&mut self, now: Time) -> Result<()> {
        self.contract.suspend()?;
        self.pause(now)
    }

    /// Lets it rest because an invoice was not paid, and its active subscriptions with it; whether it does.
    pub(crate) fn suspend_unpaid(&mut self, now: Time, invoice: InvoiceId) -> Result<bool> {
        let rests = self.contract.suspend_unpaid(now, invoice);
        if rests {
            self.pause(now)?;
        }
        Ok(rests)
    }

    /// Lets it go on, if this invoice was the last that it rests for.
    pub(crate) fn release(&mut self, now: Time, invoice: InvoiceId) -> Result<()> {
        if self.contract.release(now, invoice) {
            self.resume(now)?;
        }
        Ok(())
    }

    fn pause(&mut self, now: Time) -> Result<()> {
        for one in self.running(now) {
            if one.status == subscription::Status::Active {
                one.pause(now, PausedBy::Contract)?;
            }
        }
        Ok(())
    }

    /// Lets it go on, with those of its subscriptions that it paused.
    pub fn resume(&mut self, now: Time) -> Result<()> {
        self.contract.resume(now)?;
        self.wake(now)
    }

    /// Ends it now, and its subscriptions with it; what they give back.
    pub fn terminate(&mut self, now: Time, reason: Reason, taxation: Taxation) -> Result<Credits> {
        self.contract.terminate(now, reason)?;
        let mut credits = Vec::new();
        for (place, one) in self.subscriptions.iter_mut().enumerate() {
            if !one.is_over(now) {
                let credit = one.cancel(now, When::Now, taxation)?.credit;
                credits.extend(credit.map(|credit| (place, credit)));
            }
        }
        Ok(credits)
    }

    /// Gives it another name or end, which is that of its subscriptions too.
    pub fn change(&mut self, now: Time, patch: ContractPatch) -> Result<()> {
        if self.has_ended(now) {
            return Err(CannotChange::Ended.into());
        }
        let name = patch.name.unwrap_or_else(|| self.contract.name.clone());
        let ends_at = patch.ends_at.unwrap_or(self.contract.ends_at);
        let runs = self.contract.status != Status::Draft;
        if runs && ends_at.is_some_and(|end| end <= now) {
            return Err(Error::invalid("endsAt", "must lie in the future"));
        }
        self.contract.change(name, ends_at)?;
        // Also of those that end with a draft whose end has passed.
        for one in self.subscriptions.iter_mut().filter(|one| !one.status.is_over()) {
            one.contract_ends_at = ends_at;
        }
        Ok(())
    }

    /// Makes place for a subscription.
    pub fn add(&mut self, now: Time, id: SubscriptionId) -> Result<()> {
        if self.has_ended(now) {
            return Err(CannotChange::Ended.into());
        }
        let going_on = self.subscriptions.iter().filter(|one| !one.status.is_over());
        let mut ids: Vec<SubscriptionId> = going_on.map(|one| one.id).collect();
        if ids.len() >= MOST_SUBSCRIPTIONS {
            return Err(CannotChange::TooManySubscriptions.into());
        }
        ids.push(id);
        self.contract.subscriptions = ids;
        Ok(())
    }

    /// Whether it is over by then, also where nobody has noted it.
    fn has_ended(&self, now: Time) -> bool {
        self.contract.status.is_over() || (self.contract.status != Status::Draft && self.contract.ends_by(now))
    }

    fn running(&mut self, now: Time) -> impl Iterator<Item = &mut Subscription> {
        self.subscriptions.iter_mut().filter(move |one| !one.is_over(now))
    }

    fn wake(&mut self, now: Time) -> Result<()> {
        for one in self.running(now) {
            if one.is_paused_by_contract() {
                one.resume(now, true)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kernel::{ClientId, ContractId, OrgId, Zone};

    use super::*;
    use crate::contract::NewContract;
    use crate::number::Quantity;
    use crate::plan::{NewPlan, Plan};
    use crate::subscription::{NewSubscription, Status as Sold};

    const NOW: Time = Time::from_millis(1_799_000_000_000);
    const LATER: Time = Time::from_millis(1_799_000_001_000);

    fn sold(contract: ContractId, is_active: bool) -> Subscription {
        let json = r#"{"name":"a","interval":"monthly","currency":"EUR","prices":[{"kind":"flat","amount":3000}]}"#;
        let new: NewPlan = serde_json::from_str(json).unwrap();
        let org = OrgId::from_bits(1);
        let new = NewSubscription {
            org,
            contract,
            client: ClientId::from_bits(1),
            terms: Plan::new(NOW, org, &new).unwrap().terms,
            quantity: Quantity::whole(1),
            zone: Zone::utc(),
            start_at: None,
            may_try: false,
            discount: None,
            contract_ends_at: None,
        };
        Subscription::new(NOW, new, is_active)
    }

    /// A draft with so many subscriptions.
    fn draft(count: usize) -> Agreement {
        let new = NewContract {
            client_id: ClientId::from_bits(1),
            name: None,
            ends_at: None,
        };
        let mut agreement = Agreement {
            contract: Contract::new(NOW, OrgId::from_bits(1), &new).unwrap(),
            subscriptions: Vec::new(),
        };
        for _ in 0..count {
            let one = sold(agreement.contract.id, false);
            agreement.add(NOW, one.id).unwrap();
            agreement.subscriptions.push(one);
        }
        agreement
    }

    fn code(refused: Result<()>) -> &'static str {
        match refused {
            Err(Error::Refused { code, .. }) => code,
            other => panic!("{other:?}"),
        }
    }

    fn statuses(agreement: &Agreement) -> Vec<Sold> {
        agreement.subscriptions.iter().map(|one| one.status).collect()
    }

    #[test]
    fn a_contract_wakes_what_it_paused_and_nothing_else() {
        let mut both = draft(2);
        both.activate(NOW).unwrap();
        assert_eq!(statuses(&both), [Sold::Active; 2]);
        both.subscriptions[1].pause(NOW, PausedBy::Person).unwrap();
        both.suspend(NOW).unwrap();
        assert_eq!(statuses(&both), [Sold::Paused; 2]);
        both.resume(LATER).unwrap();
        assert_eq!(statuses(&both), [Sold::Active, Sold::Paused]);
        let credits = both.terminate(LATER, Reason::Breach, Taxation::default()).unwrap();
        assert_eq!(statuses(&both), [Sold::Canceled; 2]);
        // Nothing was billed, so nothing is given back.
        assert!(credits.is_empty());
    }

    #[test]
    fn a_contract_begins_with_what_has_not_ended() {
        assert_eq!(code(draft(0).activate(NOW)), "contract_without_subscription");
        let mut one = draft(1);
        one.subscriptions[0]
            .cancel(NOW, When::Now, Taxation::default())
            .unwrap();
        assert_eq!(code(one.activate(NOW)), "contract_without_subscription");
    }

    #[test]
    fn a_contract_has_as_many_subscriptions_as_fit_a_transaction() {
        let mut full = draft(MOST_SUBSCRIPTIONS);
        let another = sold(full.contract.id, false).id;
        assert_eq!(code(full.add(NOW, another)), "too_many_subscriptions");
        // One that is over makes place.
        full.subscriptions[3]
            .cancel(NOW, When::Now, Taxation::default())
            .unwrap();
        full.add(NOW, another).unwrap();
        assert_eq!(full.contract.subscriptions.len(), MOST_SUBSCRIPTIONS);
        assert!(!full.contract.subscriptions.contains(&full.subscriptions[3].id));
    }

    #[test]
    fn the_end_of_a_contract_is_that_of_its_subscriptions() {
        let end = |at: Option<Time>| ContractPatch {
            ends_at: Some(at),
            ..ContractPatch::default()
        };
        let mut one = draft(1);
        // A draft may end whenever; it only does not begin then.
        one.change(LATER, end(Some(NOW))).unwrap();
        assert_eq!(code(one.activate(LATER)), "contract_ended");
        one.change(LATER, end(None)).unwrap();
        one.activate(NOW).unwrap();
        assert!(matches!(one.change(NOW, end(Some(NOW))), Err(Error::Invalid(_))));
        one.change(NOW, end(Some(LATER))).unwrap();
        assert_eq!(one.subscriptions[0].contract_ends_at, Some(LATER));
        assert_eq!(code(one.change(LATER, end(None))), "contract_ended");
        let another = sold(one.contract.id, false).id;
        assert_eq!(code(one.add(LATER, another)), "contract_ended");
    }
}
