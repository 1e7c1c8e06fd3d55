//! What a person may have a role in, beside the whole organization. Written as its id, whose prefix tells the kind.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ProjectId;
use crate::id::NotAnId;

/// What a grant is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResourceType {
    /// A project.
    Project,
}

/// Something of an organization that a member may have a role in, whatever their role in the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A project.
    Project(ProjectId),
}

impl Resource {
    /// Its kind.
    pub fn kind(self) -> ResourceType {
        match self {
            Self::Project(_) => ResourceType::Project,
        }
    }
}

impl From<ProjectId> for Resource {
    fn from(project: ProjectId) -> Self {
        Self::Project(project)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(id) => id.fmt(f),
        }
    }
}

impl FromStr for Resource {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        text.parse().map(Self::Project)
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OrgId;

    #[test]
    fn a_resource_is_written_as_its_id() {
        let project = ProjectId::from_bits(7);
        let resource = Resource::from(project);
        assert_eq!(
            (resource.to_string(), resource.kind()),
            (project.to_string(), ResourceType::Project)
        );
        assert_eq!(project.to_string().parse::<Resource>(), Ok(resource));
        assert!(OrgId::from_bits(7).to_string().parse::<Resource>().is_err());
    }
}
