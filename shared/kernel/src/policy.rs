//! Who may do what: the one authorization policy, for every route of the system.
//!
//! A handler names a permission in its signature (`Scope<ReadMetrics>`); that is the check. Each permission
//! stands here once, with everybody it is granted to. A route that names none is public.

use serde::{Deserialize, Serialize};

use crate::scope::{Caller, Permission};

/// A person's role in an organization: owner > admin > accountant, member > viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrgRole {
    /// Everything, and the only one who may delete the organization or name other owners.
    Owner,
    /// Everything else that can be administered.
    Admin,
    /// Money: clients, invoices, payments; reads the rest.
    Accountant,
    /// Building: projects and keys; reads the rest.
    Member,
    /// Reads.
    Viewer,
}

impl OrgRole {
    /// Whether someone with this role may give, change or take away `other`: an owner any, an admin any but owner.
    pub fn may_manage(self, other: Self) -> bool {
        match self {
            Self::Owner => true,
            Self::Admin => other != Self::Owner,
            Self::Accountant | Self::Member | Self::Viewer => false,
        }
    }
}

/// A person's role on the platform: user < admin < manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlatformRole {
    /// Works in the organizations they belong to.
    User,
    /// Manages users and admins, but never a manager.
    Admin,
    /// Manages everybody.
    Manager,
}

/// To whom a permission is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Everyone who is logged in, for what is their own.
    SignedIn,
    /// Members of the organization with one of these roles.
    Org(&'static [OrgRole]),
    /// People with at least this role on the platform.
    Platform(PlatformRole),
    /// API keys, for their own project.
    ApiKey,
}

impl Grant {
    /// Whether `caller` is among those it is granted to. A member of another organization never gets this far:
    /// finding the caller's role in the organization is what makes a `Caller::Member`.
    pub fn covers(self, caller: &Caller) -> bool {
        match (self, caller) {
            (Self::SignedIn, Caller::Person { .. } | Caller::Member { .. }) | (Self::ApiKey, Caller::ApiKey { .. }) => {
                true
            }
            (Self::Org(roles), Caller::Member { role, .. }) => roles.contains(role),
            (Self::Platform(least), Caller::Person { platform_role, .. } | Caller::Member { platform_role, .. }) => {
                *platform_role >= least
            }
            _ => false,
        }
    }
}

const EVERYONE: &[OrgRole] = &[
    OrgRole::Owner,
    OrgRole::Admin,
    OrgRole::Accountant,
    OrgRole::Member,
    OrgRole::Viewer,
];
const BUILDERS: &[OrgRole] = &[OrgRole::Owner, OrgRole::Admin, OrgRole::Member];
const ADMINS: &[OrgRole] = &[OrgRole::Owner, OrgRole::Admin];
const OWNERS: &[OrgRole] = &[OrgRole::Owner];

macro_rules! policy {
    ($($permission:ident => $grant:expr;)*) => {
        $(
            #[doc = concat!("The permission `", stringify!($permission), "`; the policy says who has it.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $permission;

            impl Permission for $permission {
                const NAME: &'static str = stringify!($permission);
                const GRANT: Grant = $grant;
            }
        )*

        /// Every permission by name, for documentation and for the coverage test.
        pub const POLICY: &[(&str, Grant)] = &[$((stringify!($permission), $grant)),*];
    };
}

policy! {
    // One's own account.
    ManageOwnAccount   => Grant::SignedIn;
    CreateOrg          => Grant::SignedIn;
    ListOwnOrgs        => Grant::SignedIn;

    // The platform.
    ManageUsers        => Grant::Platform(PlatformRole::Admin);
    ReadPlatformAudit  => Grant::Platform(PlatformRole::Manager);

    // An organization.
    ReadOrg            => Grant::Org(EVERYONE);
    UpdateOrg          => Grant::Org(ADMINS);
    DeleteOrg          => Grant::Org(OWNERS);
    ReadMembers        => Grant::Org(EVERYONE);
    ManageMembers      => Grant::Org(ADMINS);
    LeaveOrg           => Grant::Org(EVERYONE);
    ReadOrgAudit       => Grant::Org(ADMINS);

    // Projects and API keys.
    ReadProjects       => Grant::Org(EVERYONE);
    WriteProjects      => Grant::Org(BUILDERS);
    DeleteProjects     => Grant::Org(ADMINS);
    ReadApiKeys        => Grant::Org(BUILDERS);
    ManageApiKeys      => Grant::Org(BUILDERS);

    // Events.
    IngestEvents       => Grant::ApiKey;
    ReadMetrics        => Grant::Org(EVERYONE);
    ReadEvents         => Grant::Org(EVERYONE);

    // Alerts, and the notices that they send.
    ReadAlerts         => Grant::Org(EVERYONE);
    ManageAlerts       => Grant::Org(BUILDERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_manage_only_what_is_not_above_them() {
        assert!(OrgRole::Owner.may_manage(OrgRole::Owner));
        assert!(OrgRole::Admin.may_manage(OrgRole::Admin));
        assert!(!OrgRole::Admin.may_manage(OrgRole::Owner));
        assert!(!OrgRole::Member.may_manage(OrgRole::Viewer));
        assert!(PlatformRole::User < PlatformRole::Admin && PlatformRole::Admin < PlatformRole::Manager);
    }
}
