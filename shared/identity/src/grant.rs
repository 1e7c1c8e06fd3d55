//! A grant: a role that a member has in one resource only, such as a project, beyond their role in the organization. Pure.

mod store;

use kernel::{
    Check, Error, GrantId, Input, OrgId, OrgRole, ProjectId, Resource, ResourceRole, ResourceType, Result, Time, UserId,
};
use serde::{Deserialize, Serialize};

use crate::member::Member;

pub(crate) use store::of_member;

/// So many grants one member may have: they lie in the member's record, which every request reads, and end with it in
/// one transaction (of 100 writes at most).
const MOST: usize = 50;

/// A member's role in one resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// In which organization.
    pub org: OrgId,
    /// To whom.
    pub user: UserId,
    /// For which resource.
    #[serde(alias = "project")]
    pub resource: Resource,
    /// What they may do there.
    pub role: OrgRole,
    /// Who gave it.
    pub granted_by: UserId,
    /// When.
    pub created_at: Time,
    #[serde(default)]
    version: u64,
}

/// What a member's record says of a grant: what the guard needs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held {
    pub(crate) id: GrantId,
    #[serde(alias = "project")]
    resource: Resource,
    role: OrgRole,
}

impl From<Held> for ResourceRole {
    fn from(held: Held) -> Self {
        Self {
            resource: held.resource,
            role: held.role,
        }
    }
}

/// What makes a grant.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewGrant {
    /// A member of the organization.
    pub user_id: UserId,
    /// What the grant is about.
    pub resource_type: ResourceType,
    /// Which project.
    pub resource_id: ProjectId,
    /// What they may do there; not above your own role.
    pub role: OrgRole,
}

impl NewGrant {
    fn resource(&self) -> Resource {
        match self.resource_type {
            ResourceType::Project => self.resource_id.into(),
        }
    }
}

impl Input for NewGrant {
    fn check(&self, _: &mut Check) {}
}

/// Which grants to list; what is absent does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// To whom.
    pub user: Option<UserId>,
    /// For which resource.
    pub resource: Option<Resource>,
}

impl Grant {
    /// A new grant for a member, noted in the member's record. 409 `already_granted` or `too_many_grants`.
    fn new(now: Time, by: UserId, member: &mut Member, new: &NewGrant) -> Result<Self> {
        let (resource, role) = (new.resource(), new.role);
        if member.grants.iter().any(|held| held.resource == resource) {
            return Err(Error::refused(
                "already_granted",
                "this member has a role in this project already; take that grant away first",
            ));
        }
        if member.grants.len() >= MOST {
            return Err(Error::refused(
                "too_many_grants",
                format!("a member has at most {MOST} grants; give a role in the organization instead"),
            ));
        }
        let id = GrantId::new(now);
        member.grants.push(Held { id, resource, role });
        Ok(Self {
            id,
            org: member.org,
            user: member.user,
            resource,
            role,
            granted_by: by,
            created_at: now,
            version: 0,
        })
    }
}

/// A grant, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantView {
    /// Its id.
    pub id: GrantId,
    /// To whom.
    pub user_id: UserId,
    /// What it is about.
    pub resource_type: ResourceType,
    /// Which project.
    #[schema(value_type = ProjectId)]
    pub resource_id: Resource,
    /// What they may do there.
    pub role: OrgRole,
    /// Who gave it.
    pub granted_by: UserId,
    /// When.
    pub created_at: Time,
}

impl From<Grant> for GrantView {
    fn from(grant: Grant) -> Self {
        Self {
            id: grant.id,
            user_id: grant.user,
            resource_type: grant.resource.kind(),
            resource_id: grant.resource,
            role: grant.role,
            granted_by: grant.granted_by,
            created_at: grant.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    fn grant(member: &mut Member, project: u128) -> Result<Grant> {
        let new = NewGrant {
            user_id: member.user,
            resource_type: ResourceType::Project,
            resource_id: ProjectId::from_bits(project),
            role: OrgRole::Admin,
        };
        Grant::new(NOW, UserId::from_bits(1), member, &new)
    }

    #[test]
    fn a_member_has_one_grant_a_resource_and_not_endlessly_many() {
        let mut member = Member::new(NOW, OrgId::from_bits(1), UserId::from_bits(2), OrgRole::Viewer);
        let refusal = |refused: Result<Grant>| match refused {
            Err(Error::Refused { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        for project in 1..=MOST as u128 {
            grant(&mut member, project).unwrap();
        }
        assert_eq!(refusal(grant(&mut member, 1)), "already_granted");
        assert_eq!(refusal(grant(&mut member, 1_000)), "too_many_grants");
        assert_eq!(member.grants.len(), MOST);
    }
}
