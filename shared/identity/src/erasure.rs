//! Erasing a person: a manager of the platform asks for it, or they themself. They are kept out at once; a job erases them a
//! minute later, when whoever was in the middle of something with them is done.
//!
//! Each step may be done again, so a job that died is done anew from the beginning. The record of the person comes last:
//! until then it tells their address, by which the rest is found. What is left of them is told by `docs/erasure.md`.

use app::App;
use commit::{Commit, NotDone, Reply, again};
use jobs::{Job, JobKey, Owner, Place, Queue, Running};
use kernel::policy::{DeleteOrg, ErasePeople, LeaveOrg, ManageOwnAccount};
use kernel::{Actor, Error, OrgId, OrgRole, Origin, Permission, PlatformRole, Result, Scope, Time, UserId};
use notifications::push::Subscriptions;
use serde::{Deserialize, Serialize};
use table::Write;
use trail::{Chain, Change, Subject};

use crate::accepted::Accepted;
use crate::account::prove_password;
use crate::factor::Factors;
use crate::member::Member;
use crate::oidc;
use crate::org::{self, Org};
use crate::user::{self, User};

/// Between asking and erasing: what was begun is done by then, and stands in every index.
const DELAY: i64 = Time::MINUTE;
/// Memberships are read in pages of this many.
const PAGE: u16 = 100;
/// A refusal names so many organizations.
const NAMED: usize = 5;

/// Erases a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErasePerson {
    /// Whom.
    pub user: UserId,
}

impl Job for ErasePerson {
    const KIND: &'static str = "erase-person";
    const QUEUE: &'static Queue = &jobs::queue::ERASURES;

    fn place(&self) -> Place {
        Place::of(Owner::User(self.user), self.user)
    }

    fn key(&self) -> Option<JobKey> {
        Some(JobKey::of("person", self.user.time()))
    }
}

/// Begins to erase a person, and notes it; nothing happens if it has begun. 404; 409 `has_platform_role`, or `sole_owner` while
/// an organization with others in it has no other owner.
pub async fn begin(app: &App, scope: &Scope<ErasePeople>, id: UserId) -> Result<Accepted> {
    again(|| async {
        let user = User::find(&app.table, id).await?;
        request(app, scope, user.ok_or(Error::NotFound("user"))?).await
    })
    .await
}

/// Begins to erase the caller, who knows their password. 422 if it is another; 409 as [`begin`], and `no_password` for who logs
/// in otherwise.
pub async fn begin_own(app: &App, scope: &Scope<ManageOwnAccount>, password: &str) -> Result<Accepted> {
    let user = User::me(&app.table, scope).await?;
    let without = "you log in without a password; ask a manager of the platform";
    let (_, guess) = prove_password(app, &user, ("password", password), without).await?;
    guess.was_right(app).await?;
    again(|| async { request(app, scope, User::me(&app.table, scope).await?).await }).await
}

async fn request<P: Permission>(app: &App, scope: &Scope<P>, mut user: User) -> Result<Accepted, NotDone> {
    let accepted = Accepted::taken();
    if user.is_erased() {
        return Ok(accepted);
    }
    may_go(app, &user).await?;
    let now = app.now();
    let is_new = user.begin_erasure(now);
    // Who asks again makes a job if the one before is dead.
    let mut commit = user
        .replaced_by(app, scope)
        .await?
        .later(&ErasePerson { user: user.id }, now.plus_millis(DELAY))?
        .reply(Reply::json(Accepted::STATUS, &accepted)?);
    if is_new {
        commit = commit.note(Chain::User(user.id), user.changed_by(scope, "user.erasure_requested"));
    }
    match commit.await {
        // It is there.
        Err(failed) if !is_new && failed.failed("job") => Ok(accepted),
        done => done.map(|()| accepted),
    }
}

/// Fails if others need somebody else first: a platform whose manager they are, or an organization that has no other owner.
async fn may_go(app: &App, user: &User) -> Result<()> {
    if user.role != PlatformRole::User {
        let detail = "another manager has to take the role on the platform away first";
        return Err(Error::refused("has_platform_role", detail));
    }
    let memberships = table::whole(PAGE, |slice| Member::of_user(&app.table, user.id, slice)).await?;
    let mut orphans = Vec::new();
    for member in memberships.iter().filter(|member| member.role == OrgRole::Owner) {
        let org = app.table.get::<Org>(&org::key(member.org)).await?;
        let is_last = org.is_some_and(|org| org.is_live() && org.has_one_owner());
        // The platform's own organization is never deleted.
        if is_last && (member.org == OrgId::PLATFORM || !member.is_alone(&app.table).await?) {
            orphans.push(member.org.to_string());
        }
        if orphans.len() >= NAMED {
            break;
        }
    }
    if orphans.is_empty() {
        return Ok(());
    }
    let detail = format!("make somebody else owner of {} first, or delete it", orphans.join(", "));
    Err(Error::refused("sole_owner", detail))
}

/// Erases a person. `besides` is what else is to be written when an organization is deleted: theirs go with them, if nobody else
/// is in them. `forget` erases what others keep of them in an organization that they leave.
pub async fn erase<F: Future<Output = Result<()>>>(
    app: &App,
    running: &Running<'_, ErasePerson>,
    besides: impl Fn(Time, OrgId) -> Result<Write>,
    forget: impl Fn(Scope<LeaveOrg>) -> F,
) -> Result<()> {
    let (table, origin) = (&app.table, running.origin());
    let found = User::find(table, running.job.user).await?;
    let Some(user) = found.filter(|user| !user.is_erased()) else {
        return Ok(());
    };
    for member in table::whole(PAGE, |slice| Member::of_user(table, user.id, slice)).await? {
        // While they are a member still, so that whoever is interrupted finds it again.
        forget(Scope::system(member.org)).await?;
        leave(app, origin, &member, &besides).await?;
    }
    oidc::forget(table, &user).await?;
    table
        .write([Write::remove(&Factors::of(table, user.id).await?)])
        .await?;
    user::forget(table, &user).await?;
    jobs::store::forget(table, Owner::User(user.id), running.id()).await?;
    Subscriptions::erase(table, user.id).await?;
    for subject in [Subject::of(user.id), Subject::address(&user.email)] {
        trail::erase(table, &subject).await?;
    }
    again(|| async {
        let mut user = User::find(table, user.id).await?.ok_or(Error::NotFound("user"))?;
        user.erase(app.now());
        Commit::of(app, origin)
            .write("user", Write::replace(&user)?)
            .note(
                Chain::User(user.id),
                Change::by(Actor::System, "user.erased", "user", user.id),
            )
            .await
    })
    .await
}

async fn leave(
    app: &App,
    origin: &Origin,
    member: &Member,
    besides: impl Fn(Time, OrgId) -> Result<Write>,
) -> Result<()> {
    let scope = Scope::<LeaveOrg>::system(member.org).because_of(origin.clone());
    match Member::take_out(app, &scope, member.user).await {
        Err(Error::Refused { code: "last_owner", .. }) if member.is_alone(&app.table).await? => {
            let scope = scope.narrow::<DeleteOrg>()?;
            let org = Org::load(&app.table, &scope).await?;
            org.delete(app, &scope, besides(app.now(), member.org)?).await?;
        }
        // The organization was deleted, or they have left it.
        Err(Error::NotFound(_)) => {}
        done => return done,
    }
    Ok(app.table.write([Write::remove(member)]).await?)
}
