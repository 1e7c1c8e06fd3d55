//! Contracts with clients, under which they have subscriptions. What is done to a contract is done to those too: that is
//! an [`Agreement`]. Pure but for its store.

mod agreement;
mod deeds;
pub mod facts;
mod store;
mod view;

use kernel::check::given;
use kernel::{Check, ClientId, ContractId, Input, InvoiceId, OrgId, SubscriptionId, Time};
use serde::{Deserialize, Serialize};

pub use agreement::{Agreement, MOST_SUBSCRIPTIONS};
pub use deeds::expire;
pub use store::NAME;
pub use view::ContractView;

kernel::refusals! {
    /// Why a contract does not become active.
    CannotActivate {
        /// It was a draft no more.
        NotDraft = "contract_not_draft": "only a draft can be activated";
        /// There is nothing to bill.
        NoSubscription = "contract_without_subscription": "a contract needs a subscription to become active";
        /// It would have ended already.
        Ended = "contract_ended": "the end of this contract lies in the past";
    }
    /// Why a contract is not suspended.
    CannotSuspend {
        /// It does not run.
        NotActive = "contract_not_active": "only an active contract can be suspended";
    }
    /// Why a contract is not resumed.
    CannotResume {
        /// It is not suspended.
        NotSuspended = "contract_not_suspended": "only a suspended contract can be resumed";
        /// It ended meanwhile.
        Ended = "contract_ended": "this contract ended while it was suspended";
    }
    /// Why a contract is not terminated.
    CannotTerminate {
        /// It ended already.
        Ended = "contract_ended": "this contract has ended already";
    }
    /// Why a contract is not changed.
    CannotChange {
        /// It ended already.
        Ended = "contract_ended": "a contract that has ended is not changed";
        /// What is done to it could not be done to more of them at once.
        TooManySubscriptions = "too_many_subscriptions": "a contract has at most 10 subscriptions that have not ended";
    }
}

/// The state of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = ContractStatus)]
pub enum Status {
    /// It was not agreed yet.
    Draft,
    /// It runs.
    Active,
    /// It rests, and its subscriptions with it.
    Suspended,
    /// A person ended it.
    Terminated,
    /// Its time is over.
    Expired,
}

impl Status {
    /// Whether it is over for good.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Terminated | Self::Expired)
    }
}

/// Why a contract was terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = TerminationReason)]
pub enum Reason {
    /// The client wished so.
    CustomerRequest,
    /// The client did not pay.
    NonPayment,
    /// It was broken.
    Breach,
    /// We decided so.
    AdminDecision,
}

/// A contract, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewContract {
    /// With whom.
    pub client_id: ClientId,
    /// What you call it.
    pub name: Option<String>,
    /// When it ends by itself.
    pub ends_at: Option<Time>,
}

impl Input for NewContract {
    fn check(&self, check: &mut Check) {
        if let Some(name) = &self.name {
            check.name("name", name, 1..=200);
        }
    }
}

/// What changes a contract; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContractPatch {
    /// What you call it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
    /// When it ends by itself; of one that runs it lies in the future. Its subscriptions end then too.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Time>)]
    pub ends_at: Option<Option<Time>>,
}

impl Input for ContractPatch {
    fn check(&self, check: &mut Check) {
        if let Some(Some(name)) = &self.name {
            check.name("name", name, 1..=200);
        }
    }
}

/// The end of a contract, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Termination {
    /// Why.
    pub reason: Reason,
}

impl Input for Termination {
    fn check(&self, _: &mut Check) {}
}

/// A contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// Its id.
    pub id: ContractId,
    /// Whose it is.
    pub org: OrgId,
    /// With whom.
    pub client: ClientId,
    /// What a person calls it.
    pub name: Option<String>,
    /// Its state.
    pub status: Status,
    /// When it ends by itself.
    pub ends_at: Option<Time>,
    /// Why it was terminated, or suspended because it was not paid.
    pub reason: Option<Reason>,
    /// The invoices for which it was suspended, that are due still; empty if a person suspended it.
    #[serde(default)]
    unpaid: Vec<InvoiceId>,
    /// When it was made.
    pub created_at: Time,
    /// When it became active.
    pub activated_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Its subscriptions: all that have not ended, and some that have.
    #[serde(default)]
    pub subscriptions: Vec<SubscriptionId>,
    /// How much was told of it.
    #[serde(default)]
    told: u64,
    #[serde(default)]
    version: u64,
}

impl Contract {
    /// Makes a draft; `Invalid` with every rule that the request breaks.
    pub fn new(now: Time, org: OrgId, new: &NewContract) -> kernel::Result<Self> {
        Check::run(new)?;
        Ok(Self {
            id: ContractId::new(now),
            org,
            client: new.client_id,
            name: new.name.clone(),
            status: Status::Draft,
            ends_at: new.ends_at,
            reason: None,
            unpaid: Vec::new(),
            created_at: now,
            activated_at: None,
            ended_at: None,
            subscriptions: Vec::new(),
            told: 0,
            version: 0,
        })
    }

    /// Lets it begin. Its subscriptions begin with it.
    pub fn activate(&mut self, now: Time, has_subscription: bool) -> Result<(), CannotActivate> {
        if self.status != Status::Draft {
            return Err(CannotActivate::NotDraft);
        }
        if !has_subscription {
            return Err(CannotActivate::NoSubscription);
        }
        if self.ends_by(now) {
            return Err(CannotActivate::Ended);
        }
        self.status = Status::Active;
        self.activated_at = Some(now);
        Ok(())
    }

    /// Lets it rest. Its active subscriptions are paused with it.
    pub fn suspend(&mut self) -> Result<(), CannotSuspend> {
        if self.status != Status::Active {
            return Err(CannotSuspend::NotActive);
        }
        self.status = Status::Suspended;
        Ok(())
    }

    /// Lets it go on, with those of its subscriptions that it paused.
    pub fn resume(&mut self, now: Time) -> Result<(), CannotResume> {
        if self.status != Status::Suspended {
            return Err(CannotResume::NotSuspended);
        }
        if self.ends_by(now) {
            return Err(CannotResume::Ended);
        }
        self.status = Status::Active;
        self.forget_unpaid();
        Ok(())
    }

    /// Lets it rest because an invoice was not paid, or notes that of one more if it rests for that already; whether it does.
    /// What a person has suspended stays theirs.
    pub fn suspend_unpaid(&mut self, now: Time, invoice: InvoiceId) -> bool {
        let rests = self.status == Status::Suspended && !self.unpaid.is_empty();
        let runs = self.status == Status::Active && !self.ends_by(now);
        if !rests && !runs {
            return false;
        }
        self.status = Status::Suspended;
        self.reason = Some(Reason::NonPayment);
        self.unpaid.push(invoice);
        true
    }

    /// Takes note that nothing is due any more of an invoice; whether it may go on because of that.
    pub fn release(&mut self, now: Time, invoice: InvoiceId) -> bool {
        let before = self.unpaid.len();
        self.unpaid.retain(|unpaid| *unpaid != invoice);
        let was_last = before > 0 && self.unpaid.is_empty();
        was_last && self.status == Status::Suspended && !self.ends_by(now)
    }

    fn forget_unpaid(&mut self) {
        self.unpaid.clear();
        self.reason = None;
    }

    /// Ends it now. Its subscriptions are cancelled with it.
    pub fn terminate(&mut self, now: Time, reason: Reason) -> Result<(), CannotTerminate> {
        if self.status.is_over() {
            return Err(CannotTerminate::Ended);
        }
        self.status = Status::Terminated;
        self.unpaid.clear();
        self.reason = Some(reason);
        self.ended_at = Some(now);
        Ok(())
    }

    /// Ends it if its time is over; whether it is. Its subscriptions end at the same instant.
    pub fn expire(&mut self, now: Time) -> bool {
        let runs = matches!(self.status, Status::Active | Status::Suspended);
        if !runs || !self.ends_by(now) {
            return false;
        }
        self.forget_unpaid();
        self.status = Status::Expired;
        self.ended_at = self.ends_at;
        true
    }

    /// Gives it another name or end. Its subscriptions have to be told of the end.
    pub fn change(&mut self, name: Option<String>, ends_at: Option<Time>) -> Result<(), CannotChange> {
        if self.status.is_over() {
            return Err(CannotChange::Ended);
        }
        self.name = name;
        self.ends_at = ends_at;
        Ok(())
    }

    /// When the clock ends it: nothing unless it runs.
    pub(crate) fn due_at(&self) -> Option<Time> {
        let runs = matches!(self.status, Status::Active | Status::Suspended);
        self.ends_at.filter(|_| runs)
    }

    fn ends_by(&self, now: Time) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_799_000_000_000);
    const LATER: Time = Time::from_millis(1_799_000_001_000);

    fn in_state(status: Status) -> Contract {
        let new = NewContract {
            client_id: ClientId::from_bits(1),
            name: None,
            ends_at: Some(LATER),
        };
        let mut contract = Contract::new(NOW, OrgId::from_bits(1), &new).unwrap();
        if status != Status::Draft {
            contract.activate(NOW, true).unwrap();
        }
        match status {
            Status::Draft | Status::Active => {}
            Status::Suspended => contract.suspend().unwrap(),
            Status::Terminated => contract.terminate(NOW, Reason::Breach).unwrap(),
            Status::Expired => assert!(contract.expire(LATER)),
        }
        assert_eq!(contract.status, status);
        contract
    }

    const ALL: [Status; 5] = [
        Status::Draft,
        Status::Active,
        Status::Suspended,
        Status::Terminated,
        Status::Expired,
    ];

    /// What each deed makes of each state, in the order of `ALL`; nothing where it is refused.
    fn check(act: fn(&mut Contract) -> bool, expected: [Option<Status>; 5]) {
        for (status, expected) in ALL.into_iter().zip(expected) {
            let mut contract = in_state(status);
            let before = contract.clone();
            if act(&mut contract) {
                assert_eq!(Some(contract.status), expected, "{status:?}");
            } else {
                assert_eq!((None, contract), (expected, before), "{status:?}");
            }
        }
    }

    #[test]
    fn states_follow_each_other_as_the_contract_says() {
        use Status::{Active, Expired, Suspended, Terminated};
        check(
            |contract| contract.activate(NOW, true).is_ok(),
            [Some(Active), None, None, None, None],
        );
        check(
            |contract| contract.suspend().is_ok(),
            [None, Some(Suspended), None, None, None],
        );
        check(
            |contract| contract.resume(NOW).is_ok(),
            [None, None, Some(Active), None, None],
        );
        check(
            |contract| contract.terminate(NOW, Reason::NonPayment).is_ok(),
            [Some(Terminated), Some(Terminated), Some(Terminated), None, None],
        );
        check(
            |contract| contract.expire(LATER),
            [None, Some(Expired), Some(Expired), None, None],
        );
        check(|contract| contract.expire(NOW), [None; 5]);
        check(
            |contract| contract.change(None, None).is_ok(),
            [Some(Status::Draft), Some(Active), Some(Suspended), None, None],
        );
    }

    #[test]
    fn what_was_not_paid_lets_it_rest_until_all_of_it_is() {
        let [one, other] = [1, 2].map(InvoiceId::from_bits);
        let mut contract = in_state(Status::Active);
        assert!(contract.suspend_unpaid(NOW, one) && contract.suspend_unpaid(NOW, other));
        assert_eq!(
            (contract.status, contract.reason),
            (Status::Suspended, Some(Reason::NonPayment))
        );
        assert!(!contract.release(NOW, one) && !contract.release(NOW, one));
        let mut late = contract.clone();
        assert!(
            contract.release(NOW, other) && !late.release(LATER, other),
            "it has ended"
        );
        contract.resume(NOW).unwrap();
        assert_eq!(contract.reason, None);
        // What a person has done stays: one that they suspended, or let go on.
        let mut theirs = in_state(Status::Suspended);
        assert!(!theirs.suspend_unpaid(NOW, one) && !theirs.release(NOW, one));
        assert!(contract.suspend_unpaid(NOW, one));
        contract.resume(NOW).unwrap();
        contract.suspend().unwrap();
        assert!(!contract.release(NOW, one));
        for status in [Status::Draft, Status::Terminated, Status::Expired] {
            assert!(!in_state(status).suspend_unpaid(NOW, one), "{status:?}");
        }
        assert!(!in_state(Status::Active).suspend_unpaid(LATER, one));
    }

    #[test]
    fn refusals_say_why() {
        let mut draft = in_state(Status::Draft);
        assert_eq!(draft.activate(NOW, false), Err(CannotActivate::NoSubscription));
        assert_eq!(draft.activate(LATER, true), Err(CannotActivate::Ended));
        assert_eq!(
            in_state(Status::Active).activate(NOW, true),
            Err(CannotActivate::NotDraft)
        );
        assert_eq!(in_state(Status::Suspended).resume(LATER), Err(CannotResume::Ended));
        assert_eq!(CannotTerminate::Ended.code(), "contract_ended");
        assert_eq!(in_state(Status::Expired).ended_at, Some(LATER));
        let text = serde_json::to_string(&in_state(Status::Terminated)).unwrap();
        assert!(text.contains(r#""status":"TERMINATED""#) && text.contains(r#""reason":"BREACH""#));
    }
}
