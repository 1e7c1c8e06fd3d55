//! Who may do what: the one authorization policy, for every route of the system.
//!
//! A handler names a permission in its signature (`Scope<ReadMetrics>`); that is the check. Each permission
//! stands here once, with everybody it is granted to. A route that names none is public.
//!
//! Who lacks the role in the organization may have it for one resource of it, by a grant. That counts for the
//! permissions of `Audience::Resource` alone, and only in that resource: their scope does not say which organization it is
//! for until it is told the resource (`Scope::org_of`), so a store that forgets to ask does not compile.

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
    /// As it is written in JSON: never changed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Accountant => "accountant",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }

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

impl PlatformRole {
    /// As it is written in JSON: never changed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Manager => "manager",
        }
    }
}

/// What an API key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyScope {
    /// Sending events.
    Ingest,
}

/// Who has a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everyone who is logged in, for what is their own.
    SignedIn,
    /// Members of the organization with one of these roles.
    Org(&'static [OrgRole]),
    /// Members with one of these roles, in the organization or by a grant for the resource that it is about.
    Resource(&'static [OrgRole]),
    /// People with at least this role on the platform.
    Platform(PlatformRole),
    /// API keys with this scope, for their own project.
    ApiKey(KeyScope),
}

impl Audience {
    /// How far `caller` has it; nothing if not at all. A member of another organization never gets this far: finding
    /// the caller's role in the organization is what makes a `Caller::Member`.
    pub(crate) fn reach(self, caller: &Caller) -> Option<Reach> {
        match (self, caller) {
            (Self::SignedIn, Caller::Person { .. } | Caller::Member { .. }) => Some(Reach::All),
            (Self::ApiKey(wanted), Caller::ApiKey { project, scopes, .. }) if scopes.contains(&wanted) => {
                Some(Reach::Resources(vec![(*project).into()]))
            }
            (Self::Org(roles) | Self::Resource(roles), Caller::Member { role, .. }) if roles.contains(role) => {
                Some(Reach::All)
            }
            (Self::Resource(roles), Caller::Member { grants, .. }) => {
                let granted = grants.iter().filter(|grant| roles.contains(&grant.role));
                let resources: Vec<_> = granted.map(|grant| grant.resource).collect();
                (!resources.is_empty()).then_some(Reach::Resources(resources))
            }
            (Self::Platform(least), Caller::Person { platform_role, .. } | Caller::Member { platform_role, .. }) => {
                (*platform_role >= least).then_some(Reach::All)
            }
            _ => None,
        }
    }
}

/// The kinds of [`Audience`] as types, for what a scope may do by its permission's kind.
pub mod kind {
    macro_rules! kinds {
        ($($name:ident)*) => {$(
            #[doc = concat!("Had by `Audience::", stringify!($name), "`.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;
        )*};
    }
    kinds! { SignedIn Org Resource Platform ApiKey }

    /// Kinds that are had within an organization.
    pub trait WithinOrg {}
    impl WithinOrg for Org {}
    impl WithinOrg for Resource {}
    impl WithinOrg for ApiKey {}

    /// Kinds that are had for the whole of what the caller acts in, so that its organization says enough.
    pub trait Whole: WithinOrg {}
    impl Whole for Org {}
    impl Whole for ApiKey {}
}

/// All roles.
pub const EVERYONE: &[OrgRole] = &[
    OrgRole::Owner,
    OrgRole::Admin,
    OrgRole::Accountant,
    OrgRole::Member,
    OrgRole::Viewer,
];
const BUILDERS: &[OrgRole] = &[OrgRole::Owner, OrgRole::Admin, OrgRole::Member];
/// Who see to what is owed.
pub const PAYERS: &[OrgRole] = &[OrgRole::Owner, OrgRole::Admin, OrgRole::Accountant];
/// Who administer.
pub const ADMINS: &[OrgRole] = &[OrgRole::Owner, OrgRole::Admin];
/// Who answer for all of it.
pub const OWNERS: &[OrgRole] = &[OrgRole::Owner];

macro_rules! policy {
    ($($permission:ident => Audience::$kind:ident $(($who:expr))?;)*) => {
        $(
            #[doc = concat!("The permission `", stringify!($permission), "`; the policy says who has it.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $permission;

            impl Permission for $permission {
                const NAME: &'static str = stringify!($permission);
                const AUDIENCE: Audience = Audience::$kind$(($who))?;
                type Kind = kind::$kind;
            }
        )*

        /// Every permission by name, for documentation and for the coverage test.
        pub const POLICY: &[(&str, Audience)] = &[$((stringify!($permission), $permission::AUDIENCE)),*];
    };
}

policy! {
    // One's own account.
    ManageOwnAccount   => Audience::SignedIn;
    CreateOrg          => Audience::SignedIn;
    ListOwnOrgs        => Audience::SignedIn;
    AcceptInvitations  => Audience::SignedIn;

    // The platform.
    ManageUsers        => Audience::Platform(PlatformRole::Admin);
    EndSessions        => Audience::Platform(PlatformRole::Manager);
    ResetFactors       => Audience::Platform(PlatformRole::Manager);
    ReadPlatformAudit  => Audience::Platform(PlatformRole::Manager);
    ErasePeople        => Audience::Platform(PlatformRole::Manager);
    ManageQuotas       => Audience::Platform(PlatformRole::Manager);
    ReadStats          => Audience::Platform(PlatformRole::Admin);
    SearchAllEvents    => Audience::Platform(PlatformRole::Admin);
    // Jobs, whosever they are: for who calls outside of any organization.
    ReadAllJobs        => Audience::Platform(PlatformRole::Admin);
    ManageAllJobs      => Audience::Platform(PlatformRole::Admin);

    // An organization.
    ReadOrg            => Audience::Org(EVERYONE);
    UpdateOrg          => Audience::Org(ADMINS);
    DeleteOrg          => Audience::Org(OWNERS);
    ReadMembers        => Audience::Org(EVERYONE);
    ManageMembers      => Audience::Org(ADMINS);
    LeaveOrg           => Audience::Org(EVERYONE);
    ManageGrants       => Audience::Org(ADMINS);
    ReadOrgAudit       => Audience::Org(ADMINS);

    // Projects and API keys.
    ReadProjects       => Audience::Org(EVERYONE);
    CreateProjects     => Audience::Org(BUILDERS);
    WriteProjects      => Audience::Resource(BUILDERS);
    DeleteProjects     => Audience::Resource(ADMINS);
    ReadApiKeys        => Audience::Resource(BUILDERS);
    ManageApiKeys      => Audience::Resource(BUILDERS);

    // Events.
    IngestEvents       => Audience::ApiKey(KeyScope::Ingest);
    ReadMetrics        => Audience::Org(EVERYONE);
    ReadEvents         => Audience::Org(EVERYONE);

    // The wallet, and what the platform does to it.
    ReadWallet         => Audience::Org(EVERYONE);
    TopUpWallet        => Audience::Org(PAYERS);
    GrantCredits       => Audience::Platform(PlatformRole::Manager);
    ManagePrices       => Audience::Platform(PlatformRole::Manager);

    // Billing: clients, plans, contracts, invoices.
    ReadBilling        => Audience::Org(EVERYONE);
    ManageBilling      => Audience::Org(PAYERS);
    // Where its money comes.
    ManageProviders    => Audience::Org(ADMINS);

    // Endpoints that subscribe to events; their addresses may be secrets.
    ReadWebhooks       => Audience::Org(BUILDERS);
    ManageWebhooks     => Audience::Org(ADMINS);

    // Its jobs: what was to be done for it, and what became of that.
    ReadJobs           => Audience::Org(ADMINS);
    ManageJobs         => Audience::Org(ADMINS);

    // What one is told oneself, and how.
    ReadNotifications   => Audience::Org(EVERYONE);
    ManageNotifications => Audience::Org(EVERYONE);

    // Alerts, and the notices that they send.
    ReadAlerts         => Audience::Org(EVERYONE);
    ManageAlerts       => Audience::Resource(BUILDERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_called_as_json_calls_them() {
        for role in EVERYONE {
            assert_eq!(serde_json::json!(role), role.name());
        }
        for role in [PlatformRole::User, PlatformRole::Admin, PlatformRole::Manager] {
            assert_eq!(serde_json::json!(role), role.name());
        }
    }

    #[test]
    fn roles_manage_only_what_is_not_above_them() {
        assert!(OrgRole::Owner.may_manage(OrgRole::Owner));
        assert!(OrgRole::Admin.may_manage(OrgRole::Admin));
        assert!(!OrgRole::Admin.may_manage(OrgRole::Owner));
        assert!(!OrgRole::Member.may_manage(OrgRole::Viewer));
        assert!(PlatformRole::User < PlatformRole::Admin && PlatformRole::Admin < PlatformRole::Manager);
    }
}
