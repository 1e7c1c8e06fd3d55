//! Who is calling, and the proof that they may: only a `Scope` opens a store.

use std::marker::PhantomData;

use axum_core::extract::FromRequestParts;
use http::request::Parts;

use crate::policy::kind::{Whole, WithinOrg};
use crate::policy::{Grant, OrgRole, PlatformRole};
use crate::{ApiKeyId, Error, OrgId, Problem, ProjectId, Result, SessionId, UserId};

/// Something that can be permitted; `policy` lists them all.
pub trait Permission: Send + Sync + 'static {
    /// Its name.
    const NAME: &'static str;
    /// To whom it is granted.
    const GRANT: Grant;
    /// The kind of `GRANT`, as a type.
    type Kind;
}

/// A permission that, if had at all, is had for the whole organization.
pub trait OrgWide: Permission {}

impl<P: Permission<Kind: Whole>> OrgWide for P {}

/// A role that a member has in one project, whatever their role in the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectRole {
    /// The project.
    pub project: ProjectId,
    /// The role in it.
    pub role: OrgRole,
}

/// Who is calling, as far as their credentials prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A logged-in person, outside any organization.
    Person {
        /// Who.
        user: UserId,
        /// Their role on the platform.
        platform_role: PlatformRole,
        /// The session of their access token.
        session: SessionId,
    },
    /// A logged-in person within an organization that they belong to.
    Member {
        /// Who.
        user: UserId,
        /// Their role on the platform.
        platform_role: PlatformRole,
        /// The session of their access token.
        session: SessionId,
        /// The organization.
        org: OrgId,
        /// Their role in it.
        role: OrgRole,
        /// Their roles in single projects of it.
        grants: Vec<ProjectRole>,
    },
    /// A server of a customer, with an API key.
    ApiKey {
        /// The key's id.
        key: ApiKeyId,
        /// The organization that owns the project.
        org: OrgId,
        /// The project that the key opens.
        project: ProjectId,
    },
}

/// Who stands behind an action, for the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person.
    User(UserId),
    /// An API key.
    ApiKey(ApiKeyId),
    /// The system itself, from a queue or a schedule.
    System,
}

/// The proof that the caller has permission `P`. It cannot be made but by [`Scope::permit`] and [`Scope::system`].
#[derive(Clone, Debug)]
pub struct Scope<P> {
    caller: Option<Caller>,
    tenant: Option<OrgId>,
    reach: Reach,
    permission: PhantomData<P>,
}

/// How far a permission is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// For everything that the caller acts in.
    All,
    /// For these projects alone.
    Projects(Vec<ProjectId>),
}

impl<P: Permission> Scope<P> {
    /// Asks the policy: a scope if it grants `P` to `caller`, else `Denied`.
    pub fn permit(caller: Caller) -> Result<Self> {
        let reach = P::GRANT.reach(&caller).ok_or(Error::Denied)?;
        let tenant = match &caller {
            Caller::Person { .. } => None,
            Caller::Member { org, .. } | Caller::ApiKey { org, .. } => Some(*org),
        };
        Ok(Self {
            caller: Some(caller),
            tenant,
            reach,
            permission: PhantomData,
        })
    }

    /// Lets the system act for a tenant; only for what comes from our own queues and schedules.
    pub fn system(tenant: OrgId) -> Self {
        Self {
            caller: None,
            tenant: Some(tenant),
            reach: Reach::All,
            permission: PhantomData,
        }
    }

    /// The organization this scope is for.
    ///
    /// # Panics
    /// Never: the policy makes no scope of this kind but for members and keys, who have an organization.
    pub fn org(&self) -> OrgId
    where
        P: OrgWide,
    {
        self.tenant()
    }

    /// The organization this scope is for, to reach this project of it. `Denied` if the caller has the permission for
    /// other projects only.
    ///
    /// # Panics
    /// Never, as [`Scope::org`].
    pub fn org_of(&self, project: ProjectId) -> Result<OrgId>
    where
        P: Permission<Kind: WithinOrg>,
    {
        match &self.reach {
            Reach::Projects(projects) if !projects.contains(&project) => Err(Error::Denied),
            Reach::Projects(_) | Reach::All => Ok(self.tenant()),
        }
    }

    fn tenant(&self) -> OrgId {
        self.tenant
            .expect("the policy grants organization permissions to members and keys only")
    }

    /// Who acts.
    pub fn actor(&self) -> Actor {
        match &self.caller {
            Some(Caller::Person { user, .. } | Caller::Member { user, .. }) => Actor::User(*user),
            Some(Caller::ApiKey { key, .. }) => Actor::ApiKey(*key),
            None => Actor::System,
        }
    }

    /// Who calls; nobody when the system acts.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// The person who calls.
    pub fn user(&self) -> Result<UserId> {
        match self.actor() {
            Actor::User(user) => Ok(user),
            Actor::ApiKey(_) | Actor::System => Err(Error::Denied),
        }
    }

    /// The session that the person calls in.
    pub fn session(&self) -> Option<SessionId> {
        match &self.caller {
            Some(Caller::Person { session, .. } | Caller::Member { session, .. }) => Some(*session),
            _ => None,
        }
    }

    /// The role of the person in the organization.
    pub fn role(&self) -> Option<OrgRole> {
        match &self.caller {
            Some(Caller::Member { role, .. }) => Some(*role),
            _ => None,
        }
    }

    /// The role of the person on the platform.
    pub fn platform_role(&self) -> PlatformRole {
        match &self.caller {
            Some(Caller::Person { platform_role, .. } | Caller::Member { platform_role, .. }) => *platform_role,
            _ => PlatformRole::User,
        }
    }

    /// The same proof for another permission, if the caller has that too.
    pub fn narrow<Q: Permission>(&self) -> Result<Scope<Q>> {
        match &self.caller {
            Some(caller) => Scope::permit(caller.clone()),
            None => Ok(Scope {
                caller: None,
                tenant: self.tenant,
                reach: Reach::All,
                permission: PhantomData,
            }),
        }
    }
}

/// A handler that names a permission in its signature is called by nobody who lacks it.
impl<P: Permission, S: Sync> FromRequestParts<S> for Scope<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| anyhow::anyhow!("a route that needs {} was left unguarded", P::NAME))?;
        Ok(Self::permit(caller)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use crate::policy::{
        CreateProjects, DeleteOrg, DeleteProjects, IngestEvents, ManageApiKeys, ManageUsers, ReadMetrics,
    };

    fn member(role: OrgRole) -> Caller {
        let now = Time::from_millis(1);
        Caller::Member {
            user: UserId::new(now),
            platform_role: PlatformRole::User,
            session: SessionId::new(now),
            org: OrgId::new(now),
            role,
            grants: Vec::new(),
        }
    }

    fn granted(role: OrgRole, project: ProjectId, granted: OrgRole) -> Caller {
        let mut caller = member(role);
        if let Caller::Member { grants, .. } = &mut caller {
            grants.push(ProjectRole { project, role: granted });
        }
        caller
    }

    #[test]
    fn a_grant_counts_for_its_project_alone() {
        let [mine, other] = [ProjectId::from_bits(1), ProjectId::from_bits(2)];
        let caller = granted(OrgRole::Viewer, mine, OrgRole::Member);
        let keys = Scope::<ManageApiKeys>::permit(caller.clone()).unwrap();
        assert!(keys.org_of(mine).is_ok());
        assert!(matches!(keys.org_of(other), Err(Error::Denied)));
        // What the granted role does not have, and what is about no project, it does not give.
        assert!(Scope::<DeleteProjects>::permit(caller.clone()).is_err());
        assert!(Scope::<CreateProjects>::permit(caller.clone()).is_err());
        assert!(keys.narrow::<DeleteProjects>().is_err());

        // It takes nothing away: the role in the organization counts as before.
        let builder = granted(OrgRole::Member, mine, OrgRole::Viewer);
        let keys = Scope::<ManageApiKeys>::permit(builder).unwrap();
        assert!(keys.org_of(mine).is_ok() && keys.org_of(other).is_ok());
    }

    #[test]
    fn the_system_reaches_every_project_of_the_tenant() {
        let org = OrgId::from_bits(7);
        let scope = Scope::<ManageApiKeys>::system(org);
        assert_eq!(scope.org_of(ProjectId::from_bits(1)).unwrap(), org);
    }

    #[test]
    fn the_policy_decides() {
        assert!(Scope::<ReadMetrics>::permit(member(OrgRole::Viewer)).is_ok());
        assert!(Scope::<DeleteOrg>::permit(member(OrgRole::Owner)).is_ok());
        for refused in [
            Scope::<DeleteOrg>::permit(member(OrgRole::Admin)).map(|_| ()),
            Scope::<ManageUsers>::permit(member(OrgRole::Owner)).map(|_| ()),
            Scope::<IngestEvents>::permit(member(OrgRole::Owner)).map(|_| ()),
        ] {
            assert!(matches!(refused, Err(Error::Denied)));
        }
    }
}
