//! Who may do what: the one authorization policy, for every route of the system.
//!
//! A handler names a permission in its signature (`Scope<ReadMetrics>`); that is the check. Each permission
//! stands here once, with everybody it is granted to. A route that names none is public.
//!
//! Who lacks the role in the organization may have it for one project of it, by a grant. That counts for the
//! permissions of `Grant::Project` alone, and only in that project: their scope does not say which organization it is
//! for until it is told the project (`Scope::org_of`), so a store that forgets to ask does not compile.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scope::{Caller, Permission, Reach};

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

impl fmt::Display for OrgRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Accountant => "accountant",
            Self::Member => "member",
            Self::Viewer => "viewer",
        })
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
    /// Members with one of these roles, in the organization or by a grant for the project that it is about.
    Project(&'static [OrgRole]),
    /// People with at least this role on the platform.
    Platform(PlatformRole),
    /// API keys, for their own project.
    ApiKey,
}

impl Grant {
    /// How far `caller` has it; nothing if not at all. A member of another organization never gets this far: finding
    /// the caller's role in the organization is what makes a `Caller::Member`.
    pub(crate) fn reach(self, caller: &Caller) -> Option<Reach> {
        match (self, caller) {
            (Self::SignedIn, Caller::Person { .. } | Caller::Member { .. }) => Some(Reach::All),
            (Self::ApiKey, Caller::ApiKey { project, .. }) => Some(Reach::Projects(vec![*project])),
            (Self::Org(roles) | Self::Project(roles), Caller::Member { role, .. }) if roles.contains(role) => {
                Some(Reach::All)
            }
            (Self::Project(roles), Caller::Member { grants, .. }) => {
                let granted = grants.iter().filter(|grant| roles.contains(&grant.role));
                let projects: Vec<_> = granted.map(|grant| grant.project).collect();
                (!projects.is_empty()).then_some(Reach::Projects(projects))
            }
            (Self::Platform(least), Caller::Person { platform_role, .. } | Caller::Member { platform_role, .. }) => {
                (*platform_role >= least).then_some(Reach::All)
            }
            _ => None,
        }
    }
}

/// The kinds of [`Grant`] as types, for what a scope may do by its permission's kind.
pub mod kind {
    macro_rules! kinds {
        ($($name:ident)*) => {$(
            #[doc = concat!("Granted by `Grant::", stringify!($name), "`.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;
        )*};
    }
    kinds! { SignedIn Org Project Platform ApiKey }

    /// Kinds that are had within an organization.
    pub trait WithinOrg {}
    impl WithinOrg for Org {}
    impl WithinOrg for Project {}
    impl WithinOrg for ApiKey {}

    /// Kinds that are had for the whole of what the caller acts in, so that its organization says enough.
    pub trait Whole: WithinOrg {}
    impl Whole for Org {}
    impl Whole for ApiKey {}
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
    ($($permission:ident => Grant::$kind:ident $(($who:expr))?;)*) => {
        $(
            #[doc = concat!("The permission `", stringify!($permission), "`; the policy says who has it.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $permission;

            impl Permission for $permission {
                const NAME: &'static str = stringify!($permission);
                const GRANT: Grant = Grant::$kind$(($who))?;
                type Kind = kind::$kind;
            }
        )*

        /// Every permission by name, for documentation and for the coverage test.
        pub const POLICY: &[(&str, Grant)] = &[$((stringify!($permission), $permission::GRANT)),*];
    };
}

policy! {
    // One's own account.
    ManageOwnAccount   => Grant::SignedIn;
    CreateOrg          => Grant::SignedIn;
    ListOwnOrgs        => Grant::SignedIn;
    AcceptInvitations  => Grant::SignedIn;

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
    ManageGrants       => Grant::Org(ADMINS);
    ReadOrgAudit       => Grant::Org(ADMINS);

    // Projects and API keys.
    ReadProjects       => Grant::Org(EVERYONE);
    CreateProjects     => Grant::Org(BUILDERS);
    WriteProjects      => Grant::Project(BUILDERS);
    DeleteProjects     => Grant::Project(ADMINS);
    ReadApiKeys        => Grant::Project(BUILDERS);
    ManageApiKeys      => Grant::Project(BUILDERS);

    // Events.
    IngestEvents       => Grant::ApiKey;
    ReadMetrics        => Grant::Org(EVERYONE);
    ReadEvents         => Grant::Org(EVERYONE);

    // Alerts, and the notices that they send.
    ReadAlerts         => Grant::Org(EVERYONE);
    ManageAlerts       => Grant::Project(BUILDERS);
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
