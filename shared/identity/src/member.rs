//! A member: a person's role in an organization, and who may change it. Pure.

mod store;

use kernel::{Error, OrgId, OrgRole, ResourceRole, Result, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::grant::Held;
use crate::user::User;

pub use store::Addressee;
pub(crate) use store::{end, key};

/// A person's membership of an organization.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(
    clippy::unsafe_derive_deserialize,
    reason = "what is unsafe stands in a macro of tokio's"
)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Of which organization.
    pub org: OrgId,
    /// Who.
    pub user: UserId,
    /// What they may do in it.
    pub role: OrgRole,
    /// Since when.
    pub joined_at: Time,
    /// What they may do in single resources, whatever their role; one for a resource.
    #[serde(default)]
    pub(crate) grants: Vec<Held>,
    #[serde(default)]
    version: u64,
}

impl Member {
    pub(crate) fn new(now: Time, org: OrgId, user: UserId, role: OrgRole) -> Self {
        Self {
            org,
            user,
            role,
            joined_at: now,
            grants: Vec::new(),
            version: 0,
        }
    }

    /// Their roles in single resources.
    pub fn resource_roles(&self) -> Vec<ResourceRole> {
        self.grants.iter().copied().map(Into::into).collect()
    }
}

pub(crate) fn already_member() -> Error {
    Error::refused("already_member", "this person is a member already")
}

/// Fails unless someone with the role `by` may change a membership from `old` to `new` (none: not a member).
pub(crate) fn may_change(by: OrgRole, old: Option<OrgRole>, new: Option<OrgRole>) -> Result<()> {
    let allowed = [old, new].into_iter().flatten().all(|role| by.may_manage(role));
    if allowed { Ok(()) } else { Err(Error::Denied) }
}

/// What a membership is.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// It counts; who is invited only is in the list of invitations.
    Active,
}

/// A member, as replies show them.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// Who.
    pub user_id: UserId,
    /// Their address.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// What they are called.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// What they may do.
    pub role: OrgRole,
    /// That they are a member.
    pub status: MemberStatus,
    /// Since when.
    pub joined_at: Time,
}

impl MemberView {
    /// Shows a member, who is this person.
    pub fn of(member: &Member, user: User) -> Self {
        Self {
            user_id: member.user,
            email: user.email,
            name: user.name,
            role: member.role,
            status: MemberStatus::Active,
            joined_at: member.joined_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrgRole::{Admin, Owner, Viewer};

    #[test]
    fn an_admin_neither_makes_nor_changes_nor_removes_an_owner() {
        for (old, new, allowed) in [
            (None, Some(Admin), true),
            (Some(Viewer), Some(Admin), true),
            (Some(Admin), None, true),
            (None, Some(Owner), false),
            (Some(Admin), Some(Owner), false),
            (Some(Owner), Some(Admin), false),
            (Some(Owner), None, false),
        ] {
            assert_eq!(may_change(Admin, old, new).is_ok(), allowed, "{old:?} -> {new:?}");
            assert!(may_change(Owner, old, new).is_ok());
            assert!(may_change(Viewer, old, new).is_err());
        }
    }
}
