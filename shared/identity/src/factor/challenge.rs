//! A challenge: what somebody gets who has logged in as far as a password goes, or wants to log in by a passkey, and brings
//! back with a proof. Good once, for five minutes, and only while the person's sessions are not ended. Pure.

use kernel::{Error, SessionId, Time, UserId};
use serde::{Deserialize, Serialize};

use super::Asked;
use crate::ticket::Ticket;
use crate::user::User;

/// It is good for so long.
const LIFETIME: i64 = 5 * Time::MINUTE;
/// What its text begins with.
const PREFIX: &str = "lc_";

/// The text of a challenge: whose it is, and a secret.
#[derive(Clone, Debug)]
pub(crate) struct ChallengeToken(Ticket<1>);

impl ChallengeToken {
    /// Reads it; nothing if it was not made here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Ticket::parse(PREFIX, text).map(Self)
    }

    /// Its text, for the reply and never for a log.
    pub(super) fn reveal(&self) -> String {
        self.0.reveal(PREFIX)
    }

    /// What is stored of it.
    pub(super) fn hash(&self) -> String {
        self.0.hash()
    }
}

/// A challenge, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Challenge {
    pub(super) hash: String,
    /// Whom it asks; anybody with a passkey, if nobody is named.
    #[serde(default)]
    pub(super) user: Option<UserId>,
    pub(super) until: Time,
    /// The person's `session_epoch` when they gave their password.
    epoch: u32,
    /// The session in which it is to be proved again who calls; it opens no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) within: Option<SessionId>,
    /// What a passkey is to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<Asked>,
    #[serde(default)]
    pub(super) version: u64,
}

impl Challenge {
    /// A new one for a person who has given their password, and for their passkeys if they have any.
    pub(super) fn new(user: &User, asked: Option<Asked>, now: Time) -> (Self, ChallengeToken) {
        Self::stored(Some(user), asked, now)
    }

    /// A new one for a person who is logged in, and is to prove again that it is still them.
    pub(super) fn again(user: &User, session: SessionId, asked: Asked, now: Time) -> (Self, ChallengeToken) {
        let (mut challenge, token) = Self::stored(Some(user), Some(asked), now);
        challenge.within = Some(session);
        (challenge, token)
    }

    /// A new one for whoever has a passkey.
    pub(super) fn of_anybody(asked: Asked, now: Time) -> (Self, ChallengeToken) {
        Self::stored(None, Some(asked), now)
    }

    fn stored(user: Option<&User>, asked: Option<Asked>, now: Time) -> (Self, ChallengeToken) {
        let token = ChallengeToken(Ticket::new([user.map_or(0, |user| user.id.bits())]));
        let challenge = Self {
            hash: token.hash(),
            user: user.map(|user| user.id),
            until: now.plus_millis(LIFETIME),
            epoch: user.map_or(0, |user| user.session_epoch),
            within: None,
            asked,
            version: 0,
        };
        (challenge, token)
    }

    /// Whether it is still good for this person.
    pub(super) fn is_open(&self, user: &User, now: Time) -> bool {
        let is_theirs = self
            .user
            .is_none_or(|id| id == user.id && self.epoch == user.session_epoch);
        now < self.until && is_theirs
    }
}

pub(super) fn bad_challenge() -> Error {
    Error::Unauthenticated {
        code: "bad_challenge",
        detail: "this challenge is unknown, used or older than 5 minutes; log in again",
    }
}
