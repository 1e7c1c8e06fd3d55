//! An invitation: an organization wants the reader of an address as a member, who proves to be that by the token that
//! went there. Pure.

mod store;

use std::collections::BTreeMap;

use kernel::{Error, InvitationId, OrgId, OrgRole, Result, Time, UserId};
use serde::{Deserialize, Serialize};

use crate::ticket::{Ticket, bad_token};

/// A token is good for so long.
const LIFETIME: i64 = 7 * Time::DAY;
/// So many mails one organization sends to one address within an hour.
const MOST: usize = 5;
/// So many invitations of one organization are open at once.
const MOST_OPEN: usize = 200;
/// What a token begins with.
const PREFIX: &str = "it_";

/// A token: of which organization, which invitation, and a secret.
#[derive(Clone, Debug)]
struct InvitationToken(Ticket<2>);

impl InvitationToken {
    fn parse(text: &str) -> Result<Self> {
        Ticket::parse(PREFIX, text).map(Self).ok_or_else(bad_token)
    }

    fn reveal(&self) -> String {
        self.0.reveal(PREFIX)
    }

    fn org(&self) -> OrgId {
        OrgId::from_bits(self.0.ids[0])
    }

    fn invitation(&self) -> InvitationId {
        InvitationId::from_bits(self.0.ids[1])
    }
}

/// An invitation of an address to an organization; there is one at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// To which organization.
    pub org: OrgId,
    /// Which address, in lower case.
    pub email: String,
    /// What they will be there.
    pub role: OrgRole,
    /// Who invited them last.
    pub invited_by: UserId,
    /// When they were first invited.
    pub created_at: Time,
    /// Until when its token is good.
    pub until: Time,
    /// The hash of the only token that is good; nothing once it was taken back.
    hash: Option<String>,
    /// When it was mailed within the last hour.
    mailed_at: Vec<Time>,
    #[serde(default)]
    version: u64,
}

impl Invitation {
    fn new(now: Time, org: OrgId, email: &str, by: UserId, role: OrgRole) -> Self {
        Self {
            id: InvitationId::new(now),
            org,
            email: email.to_owned(),
            role,
            invited_by: by,
            created_at: now,
            until: now,
            hash: None,
            mailed_at: Vec::new(),
            version: 0,
        }
    }

    /// Whether its token is good at `now`.
    pub fn is_open(&self, now: Time) -> bool {
        self.hash.is_some() && now < self.until
    }

    /// Makes the token of another mail; the one before is no good any more. 409 `too_many_mails` after five in an
    /// hour: an organization must not bomb an address.
    fn send(&mut self, now: Time, by: UserId, role: OrgRole) -> Result<InvitationToken> {
        self.mailed_at.retain(|at| now < at.plus_millis(Time::HOUR));
        if self.mailed_at.len() >= MOST {
            return Err(Error::refused(
                "too_many_mails",
                format!("you have sent {MOST} mails to this address within an hour; invite again later"),
            ));
        }
        self.mailed_at.push(now);
        let token = Ticket::new([self.org.bits(), self.id.bits()]);
        self.hash = Some(token.hash());
        (self.invited_by, self.role) = (by, role);
        self.until = now.plus_millis(LIFETIME);
        Ok(InvitationToken(token))
    }

    /// When its token was made.
    fn sent_at(&self) -> Time {
        self.until.plus_millis(-LIFETIME)
    }

    /// Takes it back; the record stays to remember the mails that were sent.
    fn withdraw(&mut self) {
        self.hash = None;
    }

    /// Whether this token is the good one.
    fn accepts(&self, token: &InvitationToken, now: Time) -> bool {
        self.is_open(now) && self.hash.as_ref().is_some_and(|hash| token.0.is(hash))
    }
}

/// The open invitations of an organization, of which there are at most 200: an organization must not bomb any number of
/// addresses either.
#[derive(Debug, Serialize, Deserialize)]
struct Roster {
    org: OrgId,
    /// Which they are, and until when each is open.
    #[serde(default)]
    open: BTreeMap<InvitationId, Time>,
    #[serde(default)]
    version: u64,
}

impl Roster {
    fn new(org: OrgId) -> Self {
        Self {
            org,
            open: BTreeMap::new(),
            version: 0,
        }
    }

    /// Gives an invitation that was sent just now a place, or goes on with the one it has. 409 `too_many_invitations` if
    /// there is none; those of invitations that ran out are free.
    fn enter(&mut self, now: Time, invitation: &Invitation) -> Result<()> {
        self.open.retain(|_, until| now < *until);
        self.open.insert(invitation.id, invitation.until);
        if self.open.len() > MOST_OPEN {
            return Err(Error::refused(
                "too_many_invitations",
                format!(
                    "an organization has at most {MOST_OPEN} open invitations; take one back, or wait for an answer"
                ),
            ));
        }
        Ok(())
    }

    /// Frees the place of an invitation that was accepted or taken back.
    fn leave(&mut self, invitation: &Invitation) {
        self.open.remove(&invitation.id);
    }
}

/// What an invitation is.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvitationStatus {
    /// Not accepted yet.
    Invited,
}

/// An invitation, as replies show it: not its token.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitationView {
    /// Its id.
    pub id: InvitationId,
    /// Which address is invited, in lower case.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// What they will be.
    pub role: OrgRole,
    /// That they are no member yet.
    pub status: InvitationStatus,
    /// Who invited them last.
    pub invited_by: UserId,
    /// When they were first invited.
    pub created_at: Time,
    /// Until when they may accept.
    pub expires_at: Time,
}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id,
            email: invitation.email,
            role: invitation.role,
            status: InvitationStatus::Invited,
            invited_by: invitation.invited_by,
            created_at: invitation.created_at,
            expires_at: invitation.until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrgRole::{Admin, Viewer};

    const NOW: Time = Time::from_millis(1_700_000_000_000);
    const BY: UserId = UserId::from_bits(1);

    fn sent() -> (Invitation, InvitationToken) {
        let mut invitation = Invitation::new(NOW, OrgId::from_bits(2), "ada@example.com", BY, Viewer);
        let token = invitation.send(NOW, BY, Viewer).unwrap();
        (invitation, token)
    }

    #[test]
    fn a_token_is_good_for_a_week_until_another_one_takes_its_place() {
        let (mut invitation, first) = sent();
        assert!(invitation.accepts(&first, NOW.plus_millis(LIFETIME - 1)));
        assert!(!invitation.accepts(&first, NOW.plus_millis(LIFETIME)));
        let second = invitation.send(NOW, BY, Admin).unwrap();
        assert!(!invitation.accepts(&first, NOW) && invitation.accepts(&second, NOW));
        assert_eq!(invitation.role, Admin);
        invitation.withdraw();
        assert!(!invitation.accepts(&second, NOW) && !invitation.is_open(NOW));
    }

    #[test]
    fn an_address_gets_five_mails_an_hour_even_if_the_invitation_is_taken_back() {
        let (mut invitation, _) = sent();
        for _ in 1..MOST {
            invitation.withdraw();
            invitation.send(NOW, BY, Viewer).unwrap();
        }
        let refused = invitation.send(NOW.plus_millis(Time::HOUR - 1), BY, Viewer);
        assert!(matches!(
            refused,
            Err(Error::Refused {
                code: "too_many_mails",
                ..
            })
        ));
        assert!(invitation.send(NOW.plus_millis(Time::HOUR), BY, Viewer).is_ok());
    }

    #[test]
    fn who_is_invited_again_keeps_their_place_and_who_ran_out_frees_it() {
        let mut roster = Roster::new(OrgId::from_bits(2));
        let invited = |place: usize| {
            let mut invitation = Invitation::new(NOW, OrgId::from_bits(2), &format!("{place}@example.com"), BY, Viewer);
            invitation.send(NOW, BY, Viewer).unwrap();
            invitation
        };
        let all: Vec<_> = (0..MOST_OPEN).map(invited).collect();
        for invitation in &all {
            roster.enter(NOW, invitation).unwrap();
        }
        let mut again = all[0].clone();
        again.send(NOW.plus_millis(1), BY, Viewer).unwrap();
        roster.enter(NOW.plus_millis(1), &again).unwrap();

        let late = NOW.plus_millis(LIFETIME - 1);
        let mut one_more = invited(MOST_OPEN);
        one_more.send(late, BY, Viewer).unwrap();
        let refused = roster.enter(late, &one_more);
        assert!(matches!(
            refused,
            Err(Error::Refused {
                code: "too_many_invitations",
                ..
            })
        ));
        roster.leave(&one_more);
        roster.leave(&all[1]);
        assert!(roster.enter(late, &one_more).is_ok());
        // All but the one that was mailed anew, and the new one, ran out.
        roster.leave(&one_more);
        assert!(roster.enter(NOW.plus_millis(LIFETIME), &one_more).is_ok());
        assert_eq!(roster.open.len(), 2);
        assert!(roster.open.contains_key(&again.id) && roster.open.contains_key(&one_more.id));
    }

    #[test]
    fn a_token_tells_its_invitation_and_is_not_stored() {
        let (invitation, token) = sent();
        let read = InvitationToken::parse(&token.reveal()).unwrap();
        assert_eq!((read.org(), read.invitation()), (invitation.org, invitation.id));
        assert!(!format!("{invitation:?}{token:?}").contains(&token.reveal()));
        assert!(InvitationToken::parse("it_x").is_err());
    }
}
