//! A session:        pk USER#<user>   sk SESSION#<session>          (gone when it ended)
//! A spent token:    pk USER#<user>   sk SPENT#<session>#<hash>     (gone a week later)

use kernel::policy::ManageOwnAccount;
use kernel::{Error, Result, Scope, SessionId, Time, UserId};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write, WriteError};
use trail::{Chain, Change};

use super::{LIFETIME, RefreshToken, Session, Spent, Turn, bad_refresh_token, refresh_reused, session_ended};
use crate::user::User;

/// Requests that rotate one token at once try this often; one wins, and the others then find it spent.
const ATTEMPTS: u32 = 8;

impl Record for Session {
    const KIND: &'static str = "session";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.user, self.id)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.until)
    }
}

pub(crate) fn key(user: UserId, session: SessionId) -> Key {
    Key::of(partition(user), format!("SESSION#{session}"))
}

fn partition(user: UserId) -> String {
    format!("USER#{user}")
}

impl Record for Spent {
    const KIND: &'static str = "spentToken";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        spent_key(self.user, self.session, &self.hash)
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.at.plus_millis(LIFETIME))
    }
}

fn spent_key(user: UserId, session: SessionId, hash: &str) -> Key {
    Key::of(partition(user), format!("SPENT#{session}#{hash}"))
}

/// Stores a session that was just opened.
pub(crate) fn create(session: &Session) -> Result<Write> {
    Write::create(session)
}

/// A session that has not ended by itself.
async fn lasting(table: &Table, now: Time, user: UserId, id: SessionId) -> Result<Option<Session>> {
    let session = table.get::<Session>(&key(user, id)).await?;
    Ok(session.filter(|session| session.lasts(now)))
}

/// The session of a token, if it is live and the token is one of this person's.
async fn live(table: &Table, now: Time, user: &User, token: &RefreshToken) -> Result<Option<Session>> {
    let session = lasting(table, now, user.id, token.session).await?;
    Ok(session.filter(|session| session.is_live(user, now)))
}

/// The session that the caller calls in, kept for this person, whose others end; to be stored with that.
pub(crate) async fn kept(table: &Table, now: Time, scope: &Scope<ManageOwnAccount>, user: &User) -> Result<Session> {
    let id = scope.session().ok_or(Error::Denied)?;
    let session = lasting(table, now, user.id, id).await?;
    let mut session = session.ok_or_else(session_ended)?;
    session.keep(user);
    Ok(session)
}

async fn spent(table: &Table, session: &Session, token: &RefreshToken) -> Result<Option<Spent>> {
    if session.is_current(token) {
        return Ok(None);
    }
    table.get(&spent_key(token.user, token.session, &token.hash())).await
}

/// Fails unless a refresh token is the current one of a person's session; spends nothing.
pub(crate) async fn must_be_current(table: &Table, now: Time, user: &User, token: &RefreshToken) -> Result<()> {
    let session = live(table, now, user, token).await?;
    let current = session.is_some_and(|session| session.is_current(token));
    if current { Ok(()) } else { Err(bad_refresh_token()) }
}

/// Spends a person's refresh token for its successor. Whoever comes with the same token within 30 seconds gets the same
/// successor; whoever comes later ends the session: 401 `refresh_reused`.
pub(crate) async fn rotate(table: &Table, now: Time, user: &User, token: &RefreshToken) -> Result<RefreshToken> {
    for _ in 0..ATTEMPTS {
        let Some(mut session) = live(table, now, user, token).await? else {
            return Err(bad_refresh_token());
        };
        let spent = spent(table, &session, token).await?;
        let written = match session.turn(token, spent.as_ref(), now) {
            Turn::Unknown => return Err(bad_refresh_token()),
            Turn::Repeat(nonce) => return Ok(token.successor(&nonce)),
            Turn::Reused => {
                tracing::warn!(session.id = %session.id, user.id = %session.user, "a spent refresh token came again");
                let change = Change::new(user.id, "session.ended", "session", session.id);
                let change = change.to(json!({"because": "refresh_reused"}));
                let writes = vec![Write::delete(&session)];
                let ended = trail::commit(table, now, Chain::User(user.id), change, writes).await;
                ended.map(|()| Err(refresh_reused()))
            }
            Turn::Rotate => {
                let (spent, successor) = session.rotate(token, now);
                table
                    .write([Write::replace(&session)?, Write::create(&spent)?])
                    .await
                    .map(|()| Ok(successor))
            }
        };
        match written {
            Ok(outcome) => return outcome,
            Err(WriteError::Condition(_)) => {}
            Err(WriteError::Other(error)) => return Err(error),
        }
    }
    Err(Error::Busy)
}

/// Ends the session of a refresh token, current or spent. One that has ended stays so.
pub(crate) async fn end_by_token(table: &Table, now: Time, token: &RefreshToken) -> Result<()> {
    let Some(session) = lasting(table, now, token.user, token.session).await? else {
        return Ok(());
    };
    let spent = spent(table, &session, token).await?;
    if session.turn(token, spent.as_ref(), now) == Turn::Unknown {
        return Err(bad_refresh_token());
    }
    end(table, now, token.user, token.session).await.map(|_| ())
}

/// Ends a session and notes it; says whether there was one.
async fn end(table: &Table, now: Time, user: UserId, id: SessionId) -> Result<bool> {
    for _ in 0..ATTEMPTS {
        let Some(session) = lasting(table, now, user, id).await? else {
            return Ok(false);
        };
        let change = Change::new(user, "session.ended", "session", id);
        match trail::commit(table, now, Chain::User(user), change, vec![Write::delete(&session)]).await {
            Ok(()) => return Ok(true),
            // It was refreshed meanwhile: end that.
            Err(WriteError::Condition(_)) => {}
            Err(WriteError::Other(error)) => return Err(error),
        }
    }
    Err(Error::Busy)
}

impl Session {
    /// Reads one page of the caller's sessions; one that has just ended by itself may still be among them.
    pub async fn list(table: &Table, scope: &Scope<ManageOwnAccount>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.user()?), slice)
            .prefix("SESSION#")
            .descending();
        table.query(query.consistent()).await
    }

    /// Ends one of the caller's sessions; 404 if they have none with this id.
    pub async fn end(table: &Table, now: Time, scope: &Scope<ManageOwnAccount>, id: SessionId) -> Result<()> {
        let ended = end(table, now, scope.user()?, id).await?;
        if ended { Ok(()) } else { Err(Error::NotFound("session")) }
    }

    /// Ends the session that the caller calls in.
    pub async fn end_own(table: &Table, now: Time, scope: &Scope<ManageOwnAccount>) -> Result<()> {
        let id = scope.session().ok_or(Error::Denied)?;
        end(table, now, scope.user()?, id).await.map(|_| ())
    }
}
