//! A challenge: what somebody gets who has logged in as far as a password goes, and brings back with a second proof. Good
//! once, for five minutes, and only while the person's sessions are not ended. Pure.

use kernel::{Error, Time, UserId};
use serde::{Deserialize, Serialize};

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
    pub(super) user: UserId,
    pub(super) until: Time,
    /// The person's `session_epoch` when they gave their password.
    epoch: u32,
    #[serde(default)]
    pub(super) version: u64,
}

impl Challenge {
    /// A new one for a person.
    pub(crate) fn new(user: &User, now: Time) -> (Self, ChallengeToken) {
        let token = ChallengeToken(Ticket::new([user.id.bits()]));
        let challenge = Self {
            hash: token.hash(),
            user: user.id,
            until: now.plus_millis(LIFETIME),
            epoch: user.session_epoch,
            version: 0,
        };
        (challenge, token)
    }

    /// Whether it is still good for this person.
    pub(super) fn is_open(&self, user: &User, now: Time) -> bool {
        now < self.until && self.user == user.id && self.epoch == user.session_epoch
    }
}

pub(super) fn bad_challenge() -> Error {
    Error::Unauthenticated {
        code: "bad_challenge",
        detail: "this challenge is unknown, used or older than 5 minutes; log in again",
    }
}
