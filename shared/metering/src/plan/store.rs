//! Which plan an organization has:   pk ORG#<org>#OWNPLAN   sk PLAN     (the free one if there is none)
//!
//! In a partition of its own: whoever gives it must not write wallets.

use kernel::{OrgId, Result};
use serde::{Deserialize, Serialize};
use table::{Key, Record, Table, TableName, Write};

use super::{FREE, Plan};

/// Says it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OrgPlan {
    org: OrgId,
    plan: String,
}

impl Record for OrgPlan {
    const KIND: &'static str = "org-plan";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org)
    }
}

fn key(org: OrgId) -> Key {
    Key::of(format!("ORG#{org}#OWNPLAN"), "PLAN")
}

impl Plan {
    /// What gives it to an organization: what it includes counts from the next month on, all else at once.
    pub fn give(&self, org: OrgId) -> Result<Write> {
        let plan = self.name.to_owned();
        Write::put(&OrgPlan { org, plan })
    }

    /// The plan that an organization has.
    pub async fn of(table: &Table, org: OrgId) -> Result<&'static Self> {
        let given: Option<OrgPlan> = table.get(&key(org)).await?;
        Ok(given.and_then(|given| Self::named(&given.plan)).unwrap_or(&FREE))
    }
}
