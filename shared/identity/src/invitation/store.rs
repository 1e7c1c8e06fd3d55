//! An invitation:         pk ORG#<org>                     sk INVITATION#<address>   (gone a week after the last mail)
//! Those that are open:   gsi1pk ORG#<org>#INVITATIONS     gsi1sk <id>
//! How many are open:     pk ORG#<org>#INVITATIONS         sk ROSTER     (their ids; bounds them)

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::{AcceptInvitations, ManageMembers};
use kernel::{Error, InvitationId, OrgId, OrgRole, Result, Scope, Time};
use notifications::{Desk, Letter, Mail, Owner};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change, Noted, Subject};

use super::{Invitation, InvitationToken, InvitationView, Roster};
use crate::member::{self, Member};
use crate::org::{self, Org, OrgView};
use crate::postage::{self, Postage};
use crate::ticket::bad_token;
use crate::user::{Address, User};

/// The page of the console that mails lead to.
const PAGE: &str = "/invitation";

impl Record for Invitation {
    const KIND: &'static str = "invitation";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.org, &self.email)
    }

    fn index1(&self) -> Option<Key> {
        let open = self.hash.is_some();
        open.then(|| Key::of(open_of(self.org), self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.until)
    }
}

fn key(org: OrgId, email: &str) -> Key {
    Key::of(format!("ORG#{org}"), format!("INVITATION#{email}"))
}

fn open_of(org: OrgId) -> String {
    format!("ORG#{org}#INVITATIONS")
}

impl Record for Roster {
    const KIND: &'static str = "invitationRoster";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        roster_key(self.org)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn roster_key(org: OrgId) -> Key {
    Key::of(open_of(org), "ROSTER")
}

impl Roster {
    async fn load(table: &Table, org: OrgId) -> Result<Self> {
        Ok(table.get(&roster_key(org)).await?.unwrap_or_else(|| Self::new(org)))
    }

    /// What writes it without this invitation.
    async fn without(table: &Table, invitation: &Invitation) -> Result<Write> {
        let mut roster = Self::load(table, invitation.org).await?;
        roster.leave(invitation);
        Write::save(&roster)
    }
}

/// The open invitation with this id.
async fn find(table: &Table, org: OrgId, id: InvitationId) -> Result<Option<Invitation>> {
    let query = Query::of(open_of(org), 1).between(id.to_string(), id.to_string());
    Ok(table.query(query.index1()).await?.records.into_iter().next())
}

/// What the audit trail says of an invitation: the address, which may be nobody's here, beside it.
fn noted(invitation: &Invitation) -> Noted {
    let value = json!({"email": invitation.email, "role": invitation.role, "expiresAt": invitation.until});
    Noted::about(Subject::address(&invitation.email), value, &["email"])
}

impl Invitation {
    /// Invites an address, registered or not, and notes it; the token goes there by mail and nowhere else. Inviting again
    /// replaces the token. 409 `already_member`; 403 for a role above the caller's own; 409
    /// `email_unproved` unless the caller has proved their own address, where that is wanted; 409
    /// `too_many_mails` after five in an hour, or as many a day as an address gets or a person sends, `too_many_invitations` when the organization has 200 that are open.
    pub async fn create(
        app: &App,
        desk: &Desk,
        scope: &Scope<ManageMembers>,
        email: &str,
        role: OrgRole,
    ) -> Result<InvitationView> {
        member::may_change(scope.role().ok_or(Error::Denied)?, None, Some(role))?;
        let (email, table) = (email.to_lowercase(), &app.table);
        let org = Org::load(table, scope).await?;
        let inviter = User::find(table, scope.user()?).await?.ok_or(Error::Denied)?;
        if desk.needs_proof() {
            postage::proved(&inviter)?;
        }
        again(|| async {
            if is_member(table, org.id, &email).await? {
                return Err(member::already_member().into());
            }
            let now = app.now();
            let before = table.get::<Self>(&key(org.id, &email)).await?;
            let mut invitation = before
                .clone()
                .unwrap_or_else(|| Self::new(now, org.id, &email, inviter.id, role));
            let token = invitation.send(now, inviter.id, role)?;
            let mut roster = Roster::load(table, org.id).await?;
            roster.enter(now, &invitation)?;
            let postage = Postage::pay(table, now, inviter.id, &email).await?;
            let letter = Letter::Invitation {
                inviter: inviter.name.as_str().into(),
                organization: org.name.as_str().into(),
                role,
                link: desk.link(PAGE, &token.reveal()).into(),
            };
            let (owner, cause) = (Owner::Org(org.id), invitation.id.to_string());
            let job = desk.mail(now, owner, &cause, Mail::to(&email, letter))?;
            let mut change = Change::by(scope.actor(), "invitation.created", "invitation", invitation.id);
            if let Some(before) = before.as_ref().filter(|before| before.is_open(now)) {
                change = change.from(noted(before));
            }
            let view = InvitationView::from(invitation.clone());
            Commit::by(app, scope)
                .write("invitation", Write::save(&invitation)?)
                .write("roster", Write::save(&roster)?)
                .write_all("postage", postage)
                .due(job.later())?
                .note(Chain::Org(org.id), change.to(noted(&invitation)))
                .reply(Reply::created(&view)?)
                .await?;
            Ok(view)
        })
        .await
    }

    /// Reads one page of the open invitations, newest first. A page may be short: those that ran out are left out.
    pub async fn list(table: &Table, now: Time, scope: &Scope<ManageMembers>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(open_of(scope.org()), slice).index1().descending();
        let mut page = table.query::<Self>(query).await?;
        page.records.retain(|invitation| invitation.is_open(now));
        Ok(page)
    }

    /// Takes an invitation back and notes it; 404 if none with this id is open, 403 if its role is above the caller's.
    pub async fn revoke(app: &App, scope: &Scope<ManageMembers>, id: InvitationId) -> Result<()> {
        again(|| async {
            let found = find(&app.table, scope.org(), id).await?;
            let found = found.filter(|found| found.is_open(app.now()));
            let mut invitation = found.ok_or(Error::NotFound("invitation"))?;
            member::may_change(scope.role().ok_or(Error::Denied)?, None, Some(invitation.role))?;
            let change = Change::by(scope.actor(), "invitation.revoked", "invitation", id).from(noted(&invitation));
            invitation.withdraw();
            Commit::by(app, scope)
                .write("invitation", Write::replace(&invitation)?)
                .write("roster", Roster::without(&app.table, &invitation).await?)
                .note(Chain::Org(scope.org()), change)
                .await
        })
        .await
    }

    /// Makes the caller a member by the token from a mail, and notes it; since the token went to their address, that is
    /// proved too. Returns the organization and their role.
    ///
    /// 400 `bad_token`; 409 `invitation_for_another_address`, `already_member`, or `invitation_void` when whoever invited
    /// them may not do so any more, or were not who they said: what someone who had to go has sent out ends with them.
    pub async fn accept(app: &App, scope: &Scope<AcceptInvitations>, token: &str) -> Result<OrgView> {
        let token = InvitationToken::parse(token)?;
        again(|| async {
            let (now, table) = (app.now(), &app.table);
            let found = find(table, token.org(), token.invitation()).await?;
            let invitation = found.filter(|found| found.accepts(&token, now)).ok_or_else(bad_token)?;
            let mut user = User::find(table, scope.user()?).await?.ok_or(Error::Denied)?;
            if invitation.email != user.email {
                return Err(for_another().into());
            }
            let org = table.get::<Org>(&org::key(invitation.org)).await?;
            let mut org = org.filter(Org::is_live).ok_or_else(bad_token)?;
            if org.voided(invitation.sent_at()).is_some() {
                return Err(void().into());
            }
            let inviter = table.get::<Member>(&member::key(org.id, invitation.invited_by)).await?;
            let may_invite = |inviter: &Member| inviter.role.may_manage(invitation.role);
            let inviter = inviter.filter(may_invite).ok_or_else(void)?;
            let person = User::find(table, invitation.invited_by).await?;
            let person = person.filter(User::is_active).ok_or_else(void)?;

            let member = Member::new(now, org.id, user.id, invitation.role);
            let mut commit = Commit::by(app, scope)
                .write("member", Write::create(&member)?)
                .write("invitation", Write::delete(&invitation))
                .write("roster", Roster::without(table, &invitation).await?)
                .write("inviter", Write::check(&inviter))
                .write("inviting person", Write::check(&person));
            if org.count_owner(None, Some(member.role))? {
                commit = commit.write("org", Write::replace(&org)?);
            }
            if user.email_verified_at.is_none() {
                user.prove_email(now);
                commit = commit.write("user", Write::replace(&user)?);
            }
            let change = Change::by(scope.actor(), "member.joined", "member", user.id);
            let change = change.to(json!({"role": member.role, "invitation": invitation.id}));
            let billing = org::billing::store::find(table, org.id).await?;
            let view = OrgView::of(org, billing, member.role);
            let done = commit.note(Chain::Org(view.id), change).reply(Reply::created(&view)?);
            done.await
                .map_err(|failed| failed.if_failed("member", member::already_member))?;
            Ok(view)
        })
        .await
    }
}

/// Whether somebody with this address, in lower case, is a member.
async fn is_member(table: &Table, org: OrgId, email: &str) -> Result<bool> {
    let Some(address) = Address::find(table, email).await? else {
        return Ok(false);
    };
    Ok(table.get::<Member>(&member::key(org, address.user)).await?.is_some())
}

fn for_another() -> Error {
    Error::refused(
        "invitation_for_another_address",
        "this invitation is for another address; log in as the one who was invited",
    )
}

fn void() -> Error {
    Error::refused(
        "invitation_void",
        "whoever invited you may not do so any more; ask for another invitation",
    )
}
