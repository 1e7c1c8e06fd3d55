//! A project: what events, metrics and API keys belong to. Pure.

mod alert_defaults;
mod store;

use kernel::check::{given, given_object, object};
use kernel::{Check, Input, OrgId, ProjectId, Time, UserId};
use serde::{Deserialize, Serialize};

pub use alert_defaults::{AlertDefaults, LONGEST_COOL_DOWN, Window};
pub(crate) use store::key;

/// Where a project's software runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// For its users; its API keys begin with `ch_live_`.
    Prod,
    /// For a last look; its keys begin with `ch_test_`.
    Staging,
    /// For its developers; its keys begin with `ch_test_`.
    Dev,
}

/// A project.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Whose it is.
    pub org: OrgId,
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where it runs.
    pub environment: Environment,
    /// What its new alerts take where they say nothing themselves.
    pub alert_defaults: Option<AlertDefaults>,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// When it was deleted.
    pub deleted_at: Option<Time>,
    #[serde(default)]
    version: u64,
}

/// What makes a project.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewProject {
    /// What it is called.
    #[schema(min_length = 1, max_length = 100, example = "Shop")]
    pub name: String,
    /// What it is for.
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// Where it runs.
    pub environment: Environment,
    /// What its new alerts take where they say nothing themselves.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AlertDefaults>)]
    pub alert_defaults: Option<AlertDefaults>,
}

impl Input for NewProject {
    fn check(&self, check: &mut Check) {
        check.mailed_name("name", &self.name, 1..=100);
        if let Some(description) = &self.description {
            check.text("description", description, 0..=2000);
        }
        if let Some(defaults) = &self.alert_defaults {
            defaults.check("alertDefaults", check);
        }
    }
}

/// What changes a project; what is absent stays.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProjectPatch {
    /// What it is called.
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 100, example = "Shop", nullable = false)]
    pub name: Option<String>,
    /// What it is for; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 2000)]
    pub description: Option<Option<String>>,
    /// Where it runs. Keys that were made before keep their prefix.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub environment: Option<Environment>,
    /// What its new alerts take where they say nothing themselves, all of it; null takes it away. Alerts that are
    /// there already stay as they are.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<AlertDefaults>)]
    pub alert_defaults: Option<Option<AlertDefaults>>,
}

impl Input for ProjectPatch {
    fn check(&self, check: &mut Check) {
        if let Some(name) = &self.name {
            check.mailed_name("name", name, 1..=100);
        }
        if let Some(Some(description)) = &self.description {
            check.text("description", description, 0..=2000);
        }
        if let Some(Some(defaults)) = &self.alert_defaults {
            defaults.check("alertDefaults", check);
        }
    }
}

impl Project {
    pub(crate) fn new(now: Time, org: OrgId, by: UserId, new: NewProject) -> Self {
        Self {
            id: ProjectId::new(now),
            org,
            name: new.name,
            description: new.description,
            environment: new.environment,
            alert_defaults: new.alert_defaults,
            created_by: by,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 0,
        }
    }

    /// What a person may change about it.
    fn settings(&self) -> NewProject {
        let Self {
            name,
            description,
            environment,
            alert_defaults,
            ..
        } = self.clone();
        NewProject {
            name,
            description,
            environment,
            alert_defaults,
        }
    }

    /// What the audit trail says of that.
    fn noted(&self) -> NewProject {
        let settings = self.settings();
        NewProject {
            alert_defaults: settings.alert_defaults.map(AlertDefaults::shown),
            ..settings
        }
    }

    fn apply(&mut self, patch: ProjectPatch) {
        self.name = patch.name.unwrap_or_else(|| std::mem::take(&mut self.name));
        self.description = patch.description.unwrap_or_else(|| self.description.take());
        self.environment = patch.environment.unwrap_or(self.environment);
        let before = self.alert_defaults.take();
        self.alert_defaults = match patch.alert_defaults {
            Some(new) => new.map(|new| new.after(before.as_ref())),
            None => before,
        };
    }
}

/// A project, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectView {
    /// Its id.
    pub id: ProjectId,
    /// What it is called.
    #[schema(example = "Shop")]
    pub name: String,
    /// What it is for.
    #[schema(required)]
    pub description: Option<String>,
    /// Where it runs.
    pub environment: Environment,
    /// What its new alerts take where they say nothing themselves.
    #[schema(required)]
    pub alert_defaults: Option<AlertDefaults>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

impl From<Project> for ProjectView {
    fn from(project: Project) -> Self {
        let Project {
            id,
            name,
            description,
            environment,
            alert_defaults,
            created_at,
            updated_at,
            ..
        } = project;
        Self {
            id,
            name,
            description,
            environment,
            alert_defaults: alert_defaults.map(AlertDefaults::shown),
            created_at,
            updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let now = Time::from_millis(1);
        let new = NewProject {
            name: "Shop".to_owned(),
            description: Some("sells".to_owned()),
            environment: Environment::Dev,
            alert_defaults: None,
        };
        let mut project = Project::new(now, OrgId::new(now), UserId::new(now), new);
        let mut patch = |json: &str| {
            project.apply(serde_json::from_str(json).unwrap());
            (project.name.clone(), project.description.clone(), project.environment)
        };
        let sells = Some("sells".to_owned());
        assert_eq!(patch("{}"), ("Shop".to_owned(), sells.clone(), Environment::Dev));
        assert_eq!(
            patch(r#"{"name":"Store"}"#),
            ("Store".to_owned(), sells, Environment::Dev)
        );
        assert_eq!(
            patch(r#"{"description":null}"#),
            ("Store".to_owned(), None, Environment::Dev)
        );
        assert_eq!(patch(r#"{"environment":"prod"}"#).2, Environment::Prod);
        assert!(serde_json::from_str::<ProjectPatch>(r#"{"name":null}"#).is_err());
    }
}
