//! A person: who they are, and who may change what about them. Pure.

mod store;

use kernel::policy::ManageUsers;
use kernel::{Error, PlatformRole, Result, Scope, Time, UserId};
use serde::{Deserialize, Serialize};

pub(crate) use store::{Address, Login, forget, key};

/// What somebody who was erased is called.
const ERASED: &str = "Erased";

/// Whether a person may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserStatus {
    /// They may.
    Active,
    /// They may not, and their tokens stop working within a minute.
    Deactivated,
}

/// A person. The record is never deleted, for others name them by their id; one that was erased says no more than that.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their address, in lower case.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// Their role on the platform.
    pub role: PlatformRole,
    /// Whether they may log in.
    pub status: UserStatus,
    /// When they registered.
    pub created_at: Time,
    /// When they proved that they read the mail of their address.
    #[serde(default)]
    pub email_verified_at: Option<Time>,
    /// Sessions with another number than this are over: raising it ends all of them at once, however many.
    #[serde(default)]
    pub(crate) session_epoch: u32,
    /// When somebody asked to erase them.
    #[serde(default)]
    erasing_since: Option<Time>,
    /// When they were erased.
    #[serde(default)]
    erased_at: Option<Time>,
    /// Whether they have a factor: then a password alone opens no session. Kept with their factors.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) has_factor: bool,
    #[serde(default)]
    version: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_false(value: &bool) -> bool {
    !value
}

impl User {
    /// A new person with this address, which is kept in lower case.
    pub(crate) fn new(now: Time, email: &str, name: &str, role: PlatformRole) -> Self {
        Self {
            id: UserId::new(now),
            email: email.to_lowercase(),
            name: name.to_owned(),
            role,
            status: UserStatus::Active,
            created_at: now,
            email_verified_at: None,
            session_epoch: 0,
            erasing_since: None,
            erased_at: None,
            has_factor: false,
            version: 0,
        }
    }

    /// Whether they were erased: all that is left is their id.
    pub fn is_erased(&self) -> bool {
        self.erased_at.is_some()
    }

    /// Keeps them out for ever, for they are to be erased; says whether that is a change.
    pub(crate) fn begin_erasure(&mut self, now: Time) -> bool {
        if self.erasing_since.is_some() {
            return false;
        }
        self.erasing_since = Some(now);
        self.status = UserStatus::Deactivated;
        self.end_sessions();
        true
    }

    /// Leaves nothing but their id, and when they came and went. The address is nobody's: no mail goes there (RFC 2606).
    pub(crate) fn erase(&mut self, now: Time) {
        self.email = format!("{}@erased.invalid", self.id);
        ERASED.clone_into(&mut self.name);
        self.email_verified_at = None;
        self.has_factor = false;
        self.erased_at = Some(now);
    }

    /// Whether they may log in and act.
    pub fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// Fails unless they may log in and act: 401 `deactivated`.
    pub(crate) fn must_be_active(&self) -> Result<()> {
        if self.is_active() { Ok(()) } else { Err(deactivated()) }
    }

    /// Notes that they read the mail of their address.
    pub(crate) fn prove_email(&mut self, now: Time) {
        self.email_verified_at.get_or_insert(now);
    }

    /// Which of what they have begun still counts: what was begun under another number ended with their sessions.
    pub fn epoch(&self) -> u32 {
        self.session_epoch
    }

    /// Ends all of their sessions.
    pub(crate) fn end_sessions(&mut self) {
        self.session_epoch = self.session_epoch.wrapping_add(1);
    }

    /// Fails if it is they themselves who act: 409 `own_account`.
    pub(crate) fn must_be_another(&self, actor: UserId) -> Result<()> {
        if self.id == actor { Err(own_account()) } else { Ok(()) }
    }

    /// Fails if a role would be more than they have, and they may be somebody else: 409 `user_unproved`.
    pub(crate) fn must_be_proved_for(&self, role: PlatformRole) -> Result<()> {
        if role > self.role && self.email_verified_at.is_none() {
            return Err(unproved());
        }
        Ok(())
    }

    /// Gives them a role; says whether that is a change. Nobody gives more than they have.
    pub fn set_role(&mut self, by: &Scope<ManageUsers>, role: PlatformRole) -> Result<bool> {
        may_change(by.user()?, by.platform_role(), self)?;
        if role > by.platform_role() {
            return Err(Error::Denied);
        }
        Ok(std::mem::replace(&mut self.role, role) != role)
    }

    /// Lets them in or keeps them out; says whether that is a change. Who had their tokens was perhaps why they were kept out, so
    /// whoever is let in again proves anew who they are.
    pub fn set_status(&mut self, by: &Scope<ManageUsers>, status: UserStatus) -> Result<bool> {
        may_change(by.user()?, by.platform_role(), self)?;
        if self.erasing_since.is_some() && status == UserStatus::Active {
            return Err(Error::refused("erased", "this person is erased, or about to be"));
        }
        let changes = std::mem::replace(&mut self.status, status) != status;
        if changes && status == UserStatus::Active {
            self.end_sessions();
        }
        Ok(changes)
    }
}

pub(crate) fn deactivated() -> Error {
    Error::Unauthenticated {
        code: "deactivated",
        detail: "this account is deactivated; ask an administrator",
    }
}

fn own_account() -> Error {
    Error::refused("own_account", "another manager has to do this to your account")
}

fn unproved() -> Error {
    Error::refused(
        "user_unproved",
        "this person has not proved their address, so anybody may be behind it; they prove it by the mail that they got when they registered",
    )
}

/// A manager changes everybody, an admin everybody but managers, nobody himself.
fn may_change(actor: UserId, role: PlatformRole, target: &User) -> Result<()> {
    match (actor == target.id, role) {
        (true, PlatformRole::Manager) => Err(own_account()),
        (true, _) => Err(Error::Denied),
        (false, _) if target.role > role => Err(Error::Denied),
        (false, _) => Ok(()),
    }
}

/// A person, as replies show them.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Their id.
    pub id: UserId,
    /// Their address, in lower case.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// Whether they proved that they read its mail.
    pub email_verified: bool,
    /// What they are called.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// Their role on the platform.
    pub role: PlatformRole,
    /// Whether they may log in.
    pub status: UserStatus,
    /// When they registered.
    pub created_at: Time,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let User {
            id,
            email,
            name,
            role,
            status,
            created_at,
            email_verified_at,
            ..
        } = user;
        Self {
            id,
            email,
            email_verified: email_verified_at.is_some(),
            name,
            role,
            status,
            created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PlatformRole::{Admin, Manager, User as Plain};
    use kernel::{Caller, SessionId};

    const NOW: Time = Time::from_millis(1_700_000_000_000);

    fn someone(role: PlatformRole) -> User {
        let mut user = User::new(NOW, "Ada@Example.com", "Ada", role);
        user.prove_email(NOW);
        user
    }

    fn scope(user: UserId, platform_role: PlatformRole) -> Scope<ManageUsers> {
        Scope::permit(Caller::Person {
            user,
            platform_role,
            session: SessionId::new(NOW),
        })
        .unwrap()
    }

    fn check_role(by: PlatformRole, target: PlatformRole, given: PlatformRole, allowed: bool) {
        let mut target = someone(target);
        let outcome = target.set_role(&scope(UserId::new(NOW), by), given);
        assert_eq!(outcome.is_ok(), allowed, "{by:?} gives {given:?}");
    }

    #[test]
    fn an_admin_neither_touches_a_manager_nor_makes_one() {
        for (target, given, allowed) in [
            (Plain, Admin, true),
            (Admin, Plain, true),
            (Plain, Manager, false),
            (Admin, Manager, false),
            (Manager, Plain, false),
        ] {
            check_role(Admin, target, given, allowed);
            check_role(Manager, target, given, true);
        }
        let mut manager = someone(Manager);
        assert!(
            manager
                .set_status(&scope(UserId::new(NOW), Admin), UserStatus::Deactivated)
                .is_err()
        );
    }

    #[test]
    fn who_has_not_proved_their_address_is_not_raised() {
        let mut user = User::new(NOW, "ada@example.com", "Ada", Admin);
        assert!(matches!(
            user.must_be_proved_for(Manager),
            Err(Error::Refused {
                code: "user_unproved",
                ..
            })
        ));
        assert!(user.must_be_proved_for(Admin).is_ok() && user.must_be_proved_for(Plain).is_ok());
        user.prove_email(NOW);
        assert!(user.must_be_proved_for(Manager).is_ok());
    }

    #[test]
    fn nobody_changes_himself() {
        let mut admin = someone(Admin);
        let by = scope(admin.id, Admin);
        assert!(matches!(admin.set_role(&by, Manager), Err(Error::Denied)));
        assert!(matches!(admin.set_role(&by, Plain), Err(Error::Denied)));
        assert!(matches!(
            admin.set_status(&by, UserStatus::Deactivated),
            Err(Error::Denied)
        ));
        let mut manager = someone(Manager);
        let by = scope(manager.id, Manager);
        assert!(matches!(
            manager.set_role(&by, Plain),
            Err(Error::Refused {
                code: "own_account",
                ..
            })
        ));
        assert_eq!(manager.role, Manager);
    }

    #[test]
    fn what_is_so_already_is_no_change() {
        let by = scope(UserId::new(NOW), Manager);
        let mut user = someone(Plain);
        assert!(user.set_role(&by, Admin).unwrap());
        assert!(!user.set_role(&by, Admin).unwrap());
        assert!(user.set_status(&by, UserStatus::Deactivated).unwrap());
        assert!(!user.set_status(&by, UserStatus::Deactivated).unwrap());
        assert_eq!(user.email, "ada@example.com");
    }
}
