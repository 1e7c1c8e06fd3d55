//! An incident:   pk ORG#<org>#ALERT#<alert>   sk <incident>

use kernel::policy::ReadAlerts;
use kernel::{AlertId, Error, IncidentId, OrgId, Result, Scope, Time};
use table::{Key, Page, Query, Record, Slice, Table, TableName};

use super::Incident;
use crate::Alert;

/// An incident is kept for as long as events are: 400 days after it was resolved.
const KEPT: i64 = 400 * Time::DAY;

impl Record for Incident {
    const KIND: &'static str = "incident";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(self.org, self.alert, self.id)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.resolved_at?.plus_millis(KEPT))
    }
}

fn key(org: OrgId, alert: AlertId, id: IncidentId) -> Key {
    Key::of(partition(org, alert), id.to_string())
}

fn partition(org: OrgId, alert: AlertId) -> String {
    format!("ORG#{org}#ALERT#{alert}")
}

impl Incident {
    pub(crate) async fn load(table: &Table, scope: &Scope<ReadAlerts>, alert: AlertId, id: IncidentId) -> Result<Self> {
        let found = table.get(&key(scope.org(), alert, id)).await?;
        found.ok_or(Error::NotFound("incident"))
    }

    /// Reads one page of an alert's incidents, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadAlerts>, alert: &Alert, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org(), alert.id), slice).descending();
        table.query(query.consistent()).await
    }
}
