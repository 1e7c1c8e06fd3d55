//! An organization's billing settings:   pk ORG#<org>   sk BILLING   (absent as long as it has said none)

use kernel::{OrgId, OrgWide, Result, Scope};
use table::{Key, Record, Table, TableName};

use super::BillingSettings;

impl Record for BillingSettings {
    const KIND: &'static str = "billingSettings";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.org)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(org: OrgId) -> Key {
    Key::of(format!("ORG#{org}"), "BILLING")
}

impl BillingSettings {
    /// Reads those of the scope's organization.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>) -> Result<Self> {
        find(table, scope.org()).await
    }
}

/// Reads those of an organization.
pub(crate) async fn find(table: &Table, org: OrgId) -> Result<BillingSettings> {
    let found = table.get(&key(org)).await?;
    Ok(found.unwrap_or_else(|| BillingSettings::new(org)))
}

/// Reads those of some organizations, in no order; of those that have said none there are none.
pub(crate) async fn of_many(table: &Table, orgs: &[OrgId]) -> Result<Vec<BillingSettings>> {
    let keys: Vec<Key> = orgs.iter().copied().map(key).collect();
    table.get_many(&keys, false).await
}
