//! What is told of contracts: what became of one between two states of it.

use commit::Commit;
use kernel::{OrgId, Result};
use outbox::Fact;
use serde::Serialize;

use super::{Contract, ContractView, Status};

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident $type:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize)]
        struct $name(Told);

        impl Fact for $name {
            const TYPE: &'static str = $type;

            fn org(&self) -> OrgId {
                self.0.org
            }

            fn about(&self) -> String {
                self.0.contract.id.to_string()
            }

            fn sequence(&self) -> u64 {
                self.0.sequence
            }
        }
    )*};
}

/// A contract as its GET shows it, when it happened.
#[derive(Clone, Debug, Serialize)]
struct Told {
    #[serde(skip)]
    org: OrgId,
    sequence: u64,
    #[serde(flatten)]
    contract: ContractView,
}

facts! {
    /// A contract became active.
    ContractActivated "contract.activated";
    /// A contract rests.
    ContractSuspended "contract.suspended";
    /// A contract goes on.
    ContractResumed "contract.resumed";
    /// A person ended a contract.
    ContractTerminated "contract.terminated";
    /// A contract's time is over.
    ContractExpired "contract.expired";
}

/// Adds to a commit what is told of a contract that was so and is so now.
pub(super) fn tell<'a>(commit: Commit<'a>, before: Status, after: &mut Contract) -> Result<Commit<'a>> {
    if before == after.status {
        return Ok(commit);
    }
    after.told += 1;
    let told = Told {
        org: after.org,
        sequence: after.told,
        contract: ContractView::from(&*after),
    };
    match (before, after.status) {
        (Status::Draft, Status::Active) => commit.tell(&ContractActivated(told)),
        (_, Status::Active) => commit.tell(&ContractResumed(told)),
        (_, Status::Suspended) => commit.tell(&ContractSuspended(told)),
        (_, Status::Terminated) => commit.tell(&ContractTerminated(told)),
        (_, Status::Expired) => commit.tell(&ContractExpired(told)),
        (_, Status::Draft) => Ok(commit),
    }
}
