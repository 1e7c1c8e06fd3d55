//! An incident: one time in which an alert fired. Pure.

mod store;

use kernel::{AlertId, IncidentId, OrgId, Time};
use serde::{Deserialize, Serialize};

use crate::Alert;

/// Whether an incident is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IncidentStatus {
    /// It is not.
    Firing,
    /// It is.
    Resolved,
}

/// An incident.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// Whose it is.
    pub org: OrgId,
    /// The alert that fired.
    pub alert: AlertId,
    /// What was measured when it fired.
    pub value: f64,
    /// When it fired.
    pub fired_at: Time,
    /// When it was resolved.
    pub resolved_at: Option<Time>,
    #[serde(default)]
    version: u64,
}

impl Incident {
    pub(crate) fn open(alert: &Alert, value: f64, now: Time) -> Self {
        Self {
            id: IncidentId::new(now),
            org: alert.org,
            alert: alert.id,
            value,
            fired_at: now,
            resolved_at: None,
            version: 0,
        }
    }

    /// The same, resolved at `now`; one that was resolved before stays as it is.
    pub(crate) fn resolved(self, now: Time) -> Self {
        Self {
            resolved_at: self.resolved_at.or(Some(now)),
            ..self
        }
    }

    /// Whether it is over.
    pub fn status(&self) -> IncidentStatus {
        match self.resolved_at {
            Some(_) => IncidentStatus::Resolved,
            None => IncidentStatus::Firing,
        }
    }
}

/// An incident, as replies and notices show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentView {
    /// Its id.
    pub id: IncidentId,
    /// Whether it is over.
    pub status: IncidentStatus,
    /// What was measured when it fired.
    pub value: f64,
    /// When it fired.
    pub fired_at: Time,
    /// When it was resolved.
    #[schema(required)]
    pub resolved_at: Option<Time>,
}

impl From<Incident> for IncidentView {
    fn from(incident: Incident) -> Self {
        Self {
            id: incident.id,
            status: incident.status(),
            value: incident.value,
            fired_at: incident.fired_at,
            resolved_at: incident.resolved_at,
        }
    }
}
