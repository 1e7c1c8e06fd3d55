//! What is told of contracts: what became of one between two states of it.

use commit::Commit;
use kernel::Result;
use outbox::{Shown, facts};

use super::{Contract, ContractView, Status};

facts! {
    /// A contract became active.
    ContractActivated(Shown<ContractView>) "contract.activated";
    /// A contract rests.
    ContractSuspended(Shown<ContractView>) "contract.suspended";
    /// A contract goes on.
    ContractResumed(Shown<ContractView>) "contract.resumed";
    /// A person ended a contract.
    ContractTerminated(Shown<ContractView>) "contract.terminated";
    /// A contract's time is over.
    ContractExpired(Shown<ContractView>) "contract.expired";
}

/// Adds to a commit what is told of a contract that was so and is so now.
pub(super) fn tell<'a>(commit: Commit<'a>, before: Status, after: &mut Contract) -> Result<Commit<'a>> {
    if before == after.status {
        return Ok(commit);
    }
    after.told += 1;
    let told = Shown::of(after.org, &after.id, after.told, ContractView::from(&*after));
    match (before, after.status) {
        (Status::Draft, Status::Active) => commit.tell(&ContractActivated(told)),
        (_, Status::Active) => commit.tell(&ContractResumed(told)),
        (_, Status::Suspended) => commit.tell(&ContractSuspended(told)),
        (_, Status::Terminated) => commit.tell(&ContractTerminated(told)),
        (_, Status::Expired) => commit.tell(&ContractExpired(told)),
        (_, Status::Draft) => Ok(commit),
    }
}
