//! A session:        pk USER#<user>   sk SESSION#<session>          (gone when it ended; a week after 30 days)
//! A spent token:    pk USER#<user>   sk SPENT#<session>#<hash>     (gone a week later)

use app::App;
use commit::{Commit, again};
use kernel::policy::ManageOwnAccount;
use kernel::{Error, Origin, Result, Scope, SessionId, Time, UserId};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{LIFETIME, RefreshToken, Session, Spent, Turn, bad_refresh_token, refresh_reused, session_ended};
use crate::user::User;

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
        // Who comes after its very end is told so for a while.
        let told = if self.is_last() { LIFETIME } else { 0 };
        Some(self.until.plus_millis(told))
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

/// The session that this person calls in.
pub(crate) async fn own(table: &Table, now: Time, scope: &Scope<ManageOwnAccount>, user: &User) -> Result<Session> {
    let id = scope.session().ok_or(Error::Denied)?;
    let session = lasting(table, now, user.id, id).await?;
    session
        .filter(|session| session.is_live(user, now))
        .ok_or_else(session_ended)
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
/// successor; whoever comes later ends the session: 401 `refresh_reused`. After 30 days 401 `session_expired`. Of requests that rotate one token at once one
/// wins, and the others then find it spent.
pub(crate) async fn rotate(app: &App, user: &User, token: &RefreshToken) -> Result<RefreshToken> {
    again(|| async {
        let now = app.now();
        let session = app.table.get::<Session>(&key(user.id, token.session)).await?;
        let mut session = session.ok_or_else(bad_refresh_token)?;
        session.must_be_live(user, token, now)?;
        let spent = spent(&app.table, &session, token).await?;
        match session.turn(token, spent.as_ref(), now) {
            Turn::Unknown => Err(bad_refresh_token().into()),
            Turn::Repeat(nonce) => Ok(token.successor(&nonce)),
            Turn::Reused => {
                tracing::warn!(session.id = %session.id, user.id = %session.user, "a spent refresh token came again");
                let change = Change::by(user.id, "session.ended", "session", session.id);
                Commit::of(app, &Origin::default())
                    .write("session", Write::delete(&session))
                    .note(Chain::User(user.id), change.to(json!({"because": "refresh_reused"})))
                    .await?;
                Err(refresh_reused().into())
            }
            Turn::Rotate => {
                let (spent, successor) = session.rotate(token, now);
                Commit::of(app, &Origin::default())
                    .write("session", Write::replace(&session)?)
                    .write("spent token", Write::create(&spent)?)
                    .await?;
                Ok(successor)
            }
        }
    })
    .await
}

/// Ends the session of a refresh token, current or spent. One that has ended stays so.
pub(crate) async fn end_by_token(app: &App, token: &RefreshToken) -> Result<()> {
    let (table, now) = (&app.table, app.now());
    let Some(session) = lasting(table, now, token.user, token.session).await? else {
        return Ok(());
    };
    let spent = spent(table, &session, token).await?;
    if session.turn(token, spent.as_ref(), now) == Turn::Unknown {
        return Err(bad_refresh_token());
    }
    end(app, &Origin::default(), token.user, token.session)
        .await
        .map(|_| ())
}

/// Ends a session and notes it; says whether there was one. If it is refreshed meanwhile, that is ended too.
async fn end(app: &App, origin: &Origin, user: UserId, id: SessionId) -> Result<bool> {
    again(|| async {
        let Some(session) = lasting(&app.table, app.now(), user, id).await? else {
            return Ok(false);
        };
        Commit::of(app, origin)
            .write("session", Write::delete(&session))
            .note(Chain::User(user), Change::by(user, "session.ended", "session", id))
            .await?;
        Ok(true)
    })
    .await
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
    pub async fn end(app: &App, scope: &Scope<ManageOwnAccount>, id: SessionId) -> Result<()> {
        let ended = end(app, scope.origin(), scope.user()?, id).await?;
        if ended { Ok(()) } else { Err(Error::NotFound("session")) }
    }

    /// Ends the session that the caller calls in.
    pub async fn end_own(app: &App, scope: &Scope<ManageOwnAccount>) -> Result<()> {
        let id = scope.session().ok_or(Error::Denied)?;
        end(app, scope.origin(), scope.user()?, id).await.map(|_| ())
    }
}
