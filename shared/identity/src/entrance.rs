//! What is asked before anybody is known to have a permission: whether a token's session and person, a membership, or an
//! API key is good. Reads ids that are proved, and tells no more than the gate needs.

use kernel::{Anchor, OrgId, PlatformRole, Result, Time, UserId};
use table::{Key, Record, Table};

use crate::api_key::{self, ApiKey, Secret};
use crate::member::{self, Member};
use crate::org::{self, Org};
use crate::session::{self, Session, session_ended};
use crate::token::{Claims, not_authenticated};
use crate::user::{self, User, deactivated};

/// Who somebody is on the platform, and how far they have proved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Their role.
    pub role: PlatformRole,
    /// Whether they have a factor.
    pub has_factor: bool,
    /// When they proved last in their session that it is them.
    pub proved_at: Time,
}

/// The person's standing, if they and their session are good at `now`; else 401. It may be that of a moment ago.
pub async fn standing(table: &Table, claims: Claims, now: Time) -> Result<Standing> {
    let (user, session) = tokio::try_join!(
        read::<User>(table, user::key(claims.user)),
        read::<Session>(table, session::key(claims.user, claims.session))
    )?;
    judged(user, session, now)
}

/// The person's standing as it is now; else 401.
pub async fn standing_now(table: &Table, claims: Claims, now: Time) -> Result<Standing> {
    let (user, session) = (user::key(claims.user), session::key(claims.user, claims.session));
    let (user, session) = tokio::try_join!(table.get(&user), table.get(&session))?;
    judged(user, session, now)
}

fn judged(user: Option<User>, session: Option<Session>, now: Time) -> Result<Standing> {
    let user = user.ok_or_else(not_authenticated)?;
    if !user.is_active() {
        return Err(deactivated());
    }
    let session = session.filter(|session| session.is_live(&user, now));
    let session = session.ok_or_else(session_ended)?;
    Ok(Standing {
        role: user.role,
        has_factor: user.has_factor,
        proved_at: session.proved_at(),
    })
}

/// That somebody is a member.
#[derive(Clone, Debug)]
pub struct Membership {
    /// As what.
    pub member: Member,
    /// What must stay so for that.
    pub anchors: Vec<Anchor>,
    /// Whether the organization demands a factor of its members.
    pub requires_factor: bool,
}

/// The person's membership of an organization that was not deleted. Who only looks may be who they were a moment ago.
pub async fn membership(table: &Table, org: OrgId, user: UserId, looks: bool) -> Result<Option<Membership>> {
    let (member, org) = (member::key(org, user), org::key(org));
    let (member, org) = if looks {
        tokio::try_join!(read::<Member>(table, member), read::<Org>(table, org))?
    } else {
        tokio::try_join!(table.get::<Member>(&member), table.get::<Org>(&org))?
    };
    let found = member.zip(org.filter(Org::is_live));
    Ok(found.map(|(member, org)| Membership {
        anchors: vec![table::unchanged(&member), org.not_deleted()],
        requires_factor: org.require_factor,
        member,
    }))
}

/// The key that a secret opens, whatever its status; nothing if its organization or project is gone.
pub async fn api_key(table: &Table, secret: &Secret) -> Result<Option<ApiKey>> {
    Box::pin(api_key::open(table, secret)).await
}

/// Reads for half the price; what was only just written may not be there yet, so absence is made sure of.
async fn read<R: Record>(table: &Table, key: Key) -> Result<Option<R>> {
    match table.peek(&key).await? {
        None => table.get(&key).await,
        found => Ok(found),
    }
}
