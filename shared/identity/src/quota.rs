//! How much of a kind there may be: projects and enabled alerts of an organization, API keys of a project, organizations that
//! a person has made. What is free must have an end, or one person makes work for everybody. Pure.

mod store;

use std::collections::BTreeSet;

use kernel::{Check, Error, Input, OrgId, Result, UserId};
use serde::{Deserialize, Serialize};

/// So many organizations that one person has made there are at once.
const MOST_ORGS: usize = 20;

/// What an organization has a quota of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Projects that were not deleted.
    Projects,
    /// API keys of one project that work, or did a day ago: each leaves its mark in what is counted of a day.
    KeysPerProject,
    /// Alerts that are enabled, of all projects together.
    EnabledAlerts,
}

impl Quota {
    /// What it is where nobody has raised it.
    fn usual(self) -> u32 {
        match self {
            Self::Projects => 100,
            Self::KeysPerProject => 50,
            Self::EnabledAlerts => 1_000,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Projects => "projects",
            Self::KeysPerProject => "keysPerProject",
            Self::EnabledAlerts => "enabledAlerts",
        }
    }

    /// What it counts, in words.
    fn of(self) -> &'static str {
        match self {
            Self::Projects => "an organization has at most {} projects",
            Self::KeysPerProject => "a project has at most {} API keys, and one that ended counts for a day more",
            Self::EnabledAlerts => "an organization has at most {} alerts that are enabled",
        }
    }
}

fn reached(name: &str, what: &str) -> Error {
    let detail = format!("{what} (quota `{name}`); end one that you do not need, or ask for a higher quota");
    Error::refused("quota_reached", detail)
}

/// The quotas of an organization.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quotas {
    org: OrgId,
    #[serde(default)]
    raised: Raised,
    #[serde(default)]
    version: u64,
}

/// Those that somebody of the platform has set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raised {
    projects: Option<u32>,
    keys_per_project: Option<u32>,
    enabled_alerts: Option<u32>,
}

impl Quotas {
    fn new(org: OrgId) -> Self {
        Self {
            org,
            raised: Raised::default(),
            version: 0,
        }
    }

    fn most(&self, quota: Quota) -> u32 {
        let raised = match quota {
            Quota::Projects => self.raised.projects,
            Quota::KeysPerProject => self.raised.keys_per_project,
            Quota::EnabledAlerts => self.raised.enabled_alerts,
        };
        raised.unwrap_or_else(|| quota.usual())
    }

    /// Fails if there are as many of a kind already: 409 `quota_reached`.
    fn check(&self, quota: Quota, there: usize) -> Result<()> {
        let most = self.most(quota);
        if there < most as usize {
            return Ok(());
        }
        Err(reached(quota.name(), &quota.of().replace("{}", &most.to_string())))
    }

    fn change(&mut self, change: &QuotaChange) {
        let Raised {
            projects,
            keys_per_project,
            enabled_alerts,
        } = &mut self.raised;
        *projects = change.projects.or(*projects);
        *keys_per_project = change.keys_per_project.or(*keys_per_project);
        *enabled_alerts = change.enabled_alerts.or(*enabled_alerts);
    }
}

/// What changes quotas; what is absent stays.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaChange {
    /// How many projects the organization may have.
    #[serde(default, deserialize_with = "kernel::check::given")]
    #[schema(minimum = 0, maximum = 10_000, nullable = false, example = 500)]
    pub projects: Option<u32>,
    /// How many API keys each of them may have.
    #[serde(default, deserialize_with = "kernel::check::given")]
    #[schema(minimum = 0, maximum = 1_000, nullable = false, example = 100)]
    pub keys_per_project: Option<u32>,
    /// How many alerts may be enabled, of all projects together.
    #[serde(default, deserialize_with = "kernel::check::given")]
    #[schema(minimum = 0, maximum = 10_000, nullable = false, example = 2_000)]
    pub enabled_alerts: Option<u32>,
}

impl Input for QuotaChange {
    fn check(&self, check: &mut Check) {
        // The head of a day's events, which has a line for each key, holds some 4,000 of them.
        for (name, value, most) in [
            ("projects", self.projects, 10_000),
            ("keysPerProject", self.keys_per_project, 1_000),
            ("enabledAlerts", self.enabled_alerts, 10_000),
        ] {
            if let Some(value) = value {
                check.range(name, value, 0..=most);
            }
        }
    }
}

/// The quotas of an organization, as replies show them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotasView {
    /// How many projects it may have.
    #[schema(example = 100)]
    pub projects: u32,
    /// How many API keys each of them may have.
    #[schema(example = 50)]
    pub keys_per_project: u32,
    /// How many alerts may be enabled, of all projects together.
    #[schema(example = 1_000)]
    pub enabled_alerts: u32,
}

impl From<&Quotas> for QuotasView {
    fn from(quotas: &Quotas) -> Self {
        Self {
            projects: quotas.most(Quota::Projects),
            keys_per_project: quotas.most(Quota::KeysPerProject),
            enabled_alerts: quotas.most(Quota::EnabledAlerts),
        }
    }
}

/// The organizations that a person has made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Made {
    user: UserId,
    orgs: BTreeSet<OrgId>,
    #[serde(default)]
    version: u64,
}

impl Made {
    fn nothing(user: UserId) -> Self {
        Self {
            user,
            orgs: BTreeSet::new(),
            version: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.orgs.len() >= MOST_ORGS
    }

    /// Counts one more; 409 `quota_reached` if there are as many as there may be.
    fn add(&mut self, org: OrgId) -> Result<()> {
        if self.is_full() {
            let what = format!("a person makes at most {MOST_ORGS} organizations");
            return Err(reached("organizations", &what));
        }
        self.orgs.insert(org);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Time;

    #[test]
    fn as_many_as_the_quota_says_and_no_more() {
        let mut quotas = Quotas::new(OrgId::from_bits(1));
        let check = |quotas: &Quotas, there: usize, passes: bool| {
            let admitted = quotas.check(Quota::Projects, there);
            assert_eq!(admitted.is_ok(), passes, "{there}: {admitted:?}");
        };
        check(&quotas, 99, true);
        check(&quotas, 100, false);
        quotas.change(&QuotaChange {
            projects: Some(200),
            keys_per_project: None,
            enabled_alerts: Some(0),
        });
        check(&quotas, 199, true);
        check(&quotas, 200, false);
        let view = QuotasView::from(&quotas);
        assert_eq!(
            (view.projects, view.keys_per_project, view.enabled_alerts),
            (200, 50, 0)
        );
    }

    #[test]
    fn a_refusal_names_quota_and_number() {
        let refused = Quotas::new(OrgId::from_bits(1)).check(Quota::KeysPerProject, 50);
        let Err(Error::Refused { code, detail }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(code, "quota_reached");
        assert!(
            detail.contains("at most 50 API keys") && detail.contains("`keysPerProject`"),
            "{detail}"
        );
    }

    #[test]
    fn a_person_makes_twenty_organizations() {
        let mut made = Made::nothing(UserId::from_bits(1));
        for number in 0..20 {
            made.add(OrgId::new(Time::from_millis(number))).unwrap();
        }
        assert!(made.is_full() && made.add(OrgId::new(Time::from_millis(20))).is_err());
    }
}
