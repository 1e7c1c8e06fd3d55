//! A contract as replies show it.

use kernel::{ClientId, ContractId, Time};
use serde::Serialize;

use super::{Contract, Reason, Status};

/// A contract as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Contract)]
pub struct ContractView {
    /// Its id.
    pub id: ContractId,
    /// With whom.
    pub client_id: ClientId,
    /// What you call it.
    #[schema(required)]
    pub name: Option<String>,
    /// Its state.
    pub status: Status,
    /// When it ends by itself.
    #[schema(required)]
    pub ends_at: Option<Time>,
    /// Why it was terminated; `NON_PAYMENT` of one that was suspended because an invoice was not paid.
    #[schema(required)]
    pub reason: Option<Reason>,
    /// When it was made.
    pub created_at: Time,
    /// When it became active.
    #[schema(required)]
    pub activated_at: Option<Time>,
    /// When it ended.
    #[schema(required)]
    pub ended_at: Option<Time>,
}

impl From<&Contract> for ContractView {
    fn from(contract: &Contract) -> Self {
        Self {
            id: contract.id,
            client_id: contract.client,
            name: contract.name.clone(),
            status: contract.status,
            ends_at: contract.ends_at,
            reason: contract.reason,
            created_at: contract.created_at,
            activated_at: contract.activated_at,
            ended_at: contract.ended_at,
        }
    }
}
