//! Who is calling, and the proof that they may: only a `Scope` opens a store.

use std::marker::PhantomData;

use crate::policy::{Grant, OrgRole, PlatformRole};
use crate::{ApiKeyId, Error, OrgId, ProjectId, Result, SessionId, UserId};

/// Something that can be permitted; `policy` lists them all.
pub trait Permission: Send + Sync + 'static {
    /// Its name.
    const NAME: &'static str;
    /// To whom it is granted.
    const GRANT: Grant;
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
    permission: PhantomData<P>,
}

impl<P: Permission> Scope<P> {
    /// Asks the policy: a scope if it grants `P` to `caller`, else `Denied`.
    pub fn permit(caller: Caller) -> Result<Self> {
        if !P::GRANT.covers(&caller) {
            return Err(Error::Denied);
        }
        let tenant = match &caller {
            Caller::Person { .. } => None,
            Caller::Member { org, .. } | Caller::ApiKey { org, .. } => Some(*org),
        };
        Ok(Self {
            caller: Some(caller),
            tenant,
            permission: PhantomData,
        })
    }

    /// Lets the system act for a tenant; only for what comes from our own queues and schedules.
    pub fn system(tenant: OrgId) -> Self {
        Self {
            caller: None,
            tenant: Some(tenant),
            permission: PhantomData,
        }
    }

    /// The organization this scope is for.
    ///
    /// # Panics
    /// If the permission is not one of an organization or API key: the policy never makes such a scope without one.
    pub fn org(&self) -> OrgId {
        self.tenant
            .expect("the policy grants organization permissions to members and keys only")
    }

    /// The organization this scope is for, if it is for one.
    pub fn tenant(&self) -> Option<OrgId> {
        self.tenant
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
                permission: PhantomData,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use crate::policy::{DeleteOrg, IngestEvents, ManageUsers, ReadMetrics};

    fn member(role: OrgRole) -> Caller {
        let now = Time::from_millis(1);
        Caller::Member {
            user: UserId::new(now),
            platform_role: PlatformRole::User,
            session: SessionId::new(now),
            org: OrgId::new(now),
            role,
        }
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
