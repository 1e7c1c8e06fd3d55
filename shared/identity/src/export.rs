//! What is kept about a person, for themself: who they are, how they log in, from where, where they are members, and what the
//! platform noted about them. That it was exported is noted too.

use app::App;
use commit::Commit;
use kernel::policy::ManageOwnAccount;
use kernel::{OrgId, OrgRole, Result, Scope, Time};
use serde::Serialize;
use table::{Page, Slice};
use trail::{Chain, Change, EntryView};

use crate::devices::{DeviceView, Devices};
use crate::factor::{FactorView, Factors};
use crate::member::Member;
use crate::oidc;
use crate::session::{Session, SessionView};
use crate::user::{Login, User, UserView};

/// Of each kind at most so many are exported, the newest.
const MOST: u16 = 1_000;

/// What is kept about a person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// Who they are.
    profile: UserView,
    /// How they log in.
    #[schema(example = json!(["password"]))]
    logins: Vec<&'static str>,
    /// What they prove on top of that.
    factors: Vec<FactorView>,
    /// The sessions that are stored, newest first; those that have ended are for a week.
    sessions: Vec<SessionView>,
    /// From where they have logged in, oldest first.
    devices: Vec<DeviceView>,
    /// Where they are members, by organization.
    memberships: Vec<MembershipView>,
    /// What the platform noted about them, newest first.
    history: Vec<EntryView>,
    /// Whether that is all: of sessions, memberships and entries the newest 1,000 are exported.
    complete: bool,
    /// When.
    exported_at: Time,
}

/// A person's membership of an organization.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct MembershipView {
    /// The organization.
    org_id: OrgId,
    /// Their role in it.
    role: OrgRole,
    /// Since when.
    joined_at: Time,
}

impl From<Member> for MembershipView {
    fn from(member: Member) -> Self {
        Self {
            org_id: member.org,
            role: member.role,
            joined_at: member.joined_at,
        }
    }
}

/// Exports what is kept about the caller, and notes that.
pub async fn export(app: &App, scope: &Scope<ManageOwnAccount>) -> Result<Export> {
    let (table, user) = (&app.table, User::me(&app.table, scope).await?);
    let slice = || Slice {
        limit: MOST,
        after: None,
    };
    let mut complete = true;
    let sessions = all(Session::list(table, scope, slice()).await?, &mut complete);
    let memberships = all(Member::of_user(table, user.id, slice()).await?, &mut complete);
    let history = all(trail::of_own(table, scope, slice()).await?, &mut complete);
    let by_password = Login::of(table, &user).await?.map(|_| "password");
    let by_provider = oidc::logs_in(table, &user).await?.then_some("google");
    let change = Change::by(user.id, "user.exported", "user", user.id);
    Commit::by(app, scope).note(Chain::User(user.id), change).await?;
    Ok(Export {
        logins: by_password.into_iter().chain(by_provider).collect(),
        sessions: sessions
            .into_iter()
            .map(|session| SessionView::of(session, scope.session()))
            .collect(),
        factors: Factors::of(table, user.id).await?.views(),
        devices: Devices::of(table, user.id).await?.views(),
        memberships: memberships.into_iter().map(Into::into).collect(),
        history,
        complete,
        exported_at: app.now(),
        profile: user.into(),
    })
}

/// The things of a page; not complete if more follow.
fn all<R>(page: Page<R>, complete: &mut bool) -> Vec<R> {
    *complete &= page.next.is_none();
    page.records
}
