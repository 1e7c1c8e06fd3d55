//! Who is calling, and the proof that they may: only a `Scope` opens a store.

use std::convert::Infallible;
use std::marker::PhantomData;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use crate::origin::{Anchor, Origin};
use crate::policy::kind::{Whole, WithinOrg};
use crate::policy::{Audience, KeyScope, OrgRole, PlatformRole};
use crate::{ApiKeyId, Error, OrgId, Problem, ProjectId, Resource, Result, SessionId, UserId};

/// Something that can be permitted; `policy` lists them all.
pub trait Permission: Send + Sync + 'static {
    /// Its name.
    const NAME: &'static str;
    /// Who has it.
    const AUDIENCE: Audience;
    /// The kind of `AUDIENCE`, as a type.
    type Kind;
}

/// A permission that, if had at all, is had for the whole organization.
pub trait OrgWide: Permission {}

impl<P: Permission<Kind: Whole>> OrgWide for P {}

/// A role that a member has in one resource, whatever their role in the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceRole {
    /// The resource.
    pub resource: Resource,
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
        /// Their roles in single resources of it.
        grants: Vec<ResourceRole>,
        /// What must be as it was for them to be still all that.
        anchors: Vec<Anchor>,
    },
    /// A server of a customer, with an API key.
    ApiKey {
        /// The key's id.
        key: ApiKeyId,
        /// The organization that owns the project.
        org: OrgId,
        /// The project that the key opens.
        project: ProjectId,
        /// What it may be used for.
        scopes: Vec<KeyScope>,
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

impl From<UserId> for Actor {
    fn from(user: UserId) -> Self {
        Self::User(user)
    }
}

/// The proof that the caller has permission `P`. It cannot be made but by [`Scope::permit`] and [`Scope::system`].
#[derive(Clone, Debug)]
pub struct Scope<P> {
    caller: Option<Caller>,
    tenant: Option<OrgId>,
    reach: Reach,
    origin: Origin,
    permission: PhantomData<P>,
}

/// How far a permission is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// For everything that the caller acts in.
    All,
    /// For these resources alone.
    Resources(Vec<Resource>),
}

impl<P: Permission> Scope<P> {
    /// Asks the policy: a scope if it grants `P` to `caller`, else `Denied`.
    pub fn permit(caller: Caller) -> Result<Self> {
        let reach = P::AUDIENCE.reach(&caller).ok_or(Error::Denied)?;
        let tenant = match &caller {
            Caller::Person { .. } => None,
            Caller::Member { org, .. } | Caller::ApiKey { org, .. } => Some(*org),
        };
        Ok(Self {
            caller: Some(caller),
            tenant,
            reach,
            origin: Origin::default(),
            permission: PhantomData,
        })
    }

    /// Lets the system act for a tenant; only for what comes from our own queues and schedules.
    pub fn system(tenant: OrgId) -> Self {
        Self {
            caller: None,
            tenant: Some(tenant),
            reach: Reach::All,
            origin: Origin::default(),
            permission: PhantomData,
        }
    }

    /// The same proof, for what comes from there.
    #[must_use]
    pub fn because_of(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Where what is done with it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What must be as it was for the caller to be still who they are.
    pub fn anchors(&self) -> &[Anchor] {
        match &self.caller {
            Some(Caller::Member { anchors, .. }) => anchors,
            _ => &[],
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

    /// The organization this scope is for, to reach this resource of it. `Denied` if the caller has the permission for
    /// other resources only.
    ///
    /// # Panics
    /// Never, as [`Scope::org`].
    pub fn org_of(&self, resource: impl Into<Resource>) -> Result<OrgId>
    where
        P: Permission<Kind: WithinOrg>,
    {
        match &self.reach {
            Reach::Resources(resources) if !resources.contains(&resource.into()) => {
                log_denied(P::NAME, self.caller.as_ref(), &self.origin);
                Err(Error::Denied)
            }
            Reach::Resources(_) | Reach::All => Ok(self.tenant()),
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
            Some(caller) => Ok(Scope::permit(caller.clone())?.because_of(self.origin.clone())),
            None => Ok(Scope {
                caller: None,
                tenant: self.tenant,
                reach: Reach::All,
                origin: self.origin.clone(),
                permission: PhantomData,
            }),
        }
    }
}

/// A handler that names a permission in its signature is called by nobody who lacks it.
impl<P: Permission, S: Sync> FromRequestParts<S> for Scope<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.ok_or_else(|| anyhow::anyhow!("a route that needs {} was left unguarded", P::NAME))?;
        let origin = parts.extensions.get::<Origin>().cloned().unwrap_or_default();
        match Self::permit(caller.clone()) {
            Ok(scope) => Ok(scope.because_of(origin)),
            Err(denied) => {
                log_denied(P::NAME, Some(caller), &origin);
                Err(denied.into())
            }
        }
    }
}

/// The proof of one of two permissions: of `O` for a member, within their organization; of `P` for who calls outside of any.
#[derive(Clone, Debug)]
pub enum OrgOrPlatform<O, P> {
    /// Within an organization.
    Org(Scope<O>),
    /// On the platform.
    Platform(Scope<P>),
}

impl<O, P, S> FromRequestParts<S> for OrgOrPlatform<O, P>
where
    O: Permission,
    P: Permission,
    S: Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Problem> {
        if let Some(Caller::Member { .. }) = parts.extensions.get::<Caller>() {
            return Ok(Self::Org(Scope::from_request_parts(parts, state).await?));
        }
        Ok(Self::Platform(Scope::from_request_parts(parts, state).await?))
    }
}

/// One line of the log for whoever lacks what a request needs.
fn log_denied(permission: &str, caller: Option<&Caller>, origin: &Origin) {
    let (user, org, key) = match caller {
        Some(Caller::Person { user, .. }) => (Some(user), None, None),
        Some(Caller::Member { user, org, .. }) => (Some(user), Some(org), None),
        Some(Caller::ApiKey { key, org, .. }) => (None, Some(org), Some(key)),
        None => (None, None, None),
    };
    tracing::warn!(
        permission,
        user.id = user.map(ToString::to_string),
        org.id = org.map(ToString::to_string),
        api_key.id = key.map(ToString::to_string),
        request.id = origin.request,
        "a caller was denied"
    );
}

/// Who calls, for the handler that serves nobody too.
impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
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
            anchors: Vec::new(),
        }
    }

    fn granted(role: OrgRole, project: ProjectId, granted: OrgRole) -> Caller {
        let mut caller = member(role);
        if let Caller::Member { grants, .. } = &mut caller {
            grants.push(ResourceRole {
                resource: project.into(),
                role: granted,
            });
        }
        caller
    }

    #[test]
    fn a_grant_counts_for_its_resource_alone() {
        let [mine, other] = [ProjectId::from_bits(1), ProjectId::from_bits(2)];
        let caller = granted(OrgRole::Viewer, mine, OrgRole::Member);
        let keys = Scope::<ManageApiKeys>::permit(caller.clone()).unwrap();
        assert!(keys.org_of(mine).is_ok());
        assert!(matches!(keys.org_of(other), Err(Error::Denied)));
        // What the granted role does not have, and what is about no resource, it does not give.
        assert!(Scope::<DeleteProjects>::permit(caller.clone()).is_err());
        assert!(Scope::<CreateProjects>::permit(caller.clone()).is_err());
        assert!(keys.narrow::<DeleteProjects>().is_err());

        // It takes nothing away: the role in the organization counts as before.
        let builder = granted(OrgRole::Member, mine, OrgRole::Viewer);
        let keys = Scope::<ManageApiKeys>::permit(builder).unwrap();
        assert!(keys.org_of(mine).is_ok() && keys.org_of(other).is_ok());
    }

    #[test]
    fn the_system_reaches_every_resource_of_the_tenant() {
        let org = OrgId::from_bits(7);
        let scope = Scope::<ManageApiKeys>::system(org);
        assert_eq!(scope.org_of(ProjectId::from_bits(1)).unwrap(), org);
    }

    #[test]
    fn a_key_may_be_used_for_what_its_scopes_say() {
        let key = |scopes: &[KeyScope]| Caller::ApiKey {
            key: ApiKeyId::from_bits(1),
            org: OrgId::from_bits(2),
            project: ProjectId::from_bits(3),
            scopes: scopes.to_vec(),
        };
        let scope = Scope::<IngestEvents>::permit(key(&[KeyScope::Ingest])).unwrap();
        assert!(scope.org_of(ProjectId::from_bits(3)).is_ok() && scope.org_of(ProjectId::from_bits(4)).is_err());
        assert!(Scope::<IngestEvents>::permit(key(&[])).is_err());
    }

    #[test]
    fn a_narrower_scope_comes_from_the_same_request() {
        let origin = Origin {
            request: "req-1".to_owned(),
            ..Origin::default()
        };
        let scope = Scope::<ManageApiKeys>::permit(member(OrgRole::Owner)).unwrap();
        let scope = scope.because_of(origin.clone()).narrow::<DeleteProjects>().unwrap();
        assert_eq!(scope.origin().request, "req-1");
        let system = Scope::<ManageApiKeys>::system(OrgId::from_bits(7)).because_of(origin);
        assert_eq!(system.narrow::<ReadMetrics>().unwrap().origin().request, "req-1");
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
