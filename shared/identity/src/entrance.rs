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

/// The person's role on the platform, if they and their session are good at `now`; else 401.
pub async fn standing(table: &Table, claims: Claims, now: Time) -> Result<PlatformRole> {
    let (user, session) = tokio::try_join!(
        read::<User>(table, user::key(claims.user)),
        read::<Session>(table, session::key(claims.user, claims.session))
    )?;
    let user = user.ok_or_else(not_authenticated)?;
    if !user.is_active() {
        return Err(deactivated());
    }
    session
        .filter(|session| session.is_live(&user, now))
        .ok_or_else(session_ended)?;
    Ok(user.role)
}

/// The person's membership of an organization that was not deleted, and what must stay so for that. Who only looks may be
/// who they were a moment ago.
pub async fn membership(table: &Table, org: OrgId, user: UserId, looks: bool) -> Result<Option<(Member, Vec<Anchor>)>> {
    let (member, org) = (member::key(org, user), org::key(org));
    let (member, org) = if looks {
        tokio::try_join!(read::<Member>(table, member), read::<Org>(table, org))?
    } else {
        tokio::try_join!(table.get::<Member>(&member), table.get::<Org>(&org))?
    };
    let found = member.zip(org.filter(Org::is_live));
    Ok(found.map(|(member, org)| {
        let anchors = vec![table::unchanged(&member), org.not_deleted()];
        (member, anchors)
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
